"""A run of an upstream whose adoption is killed at any change is adopted by the next attempt."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from facility_world import RUN, Killed, World, killed_at

from hesiod_watch import actions
from hesiod_watch.runs.areas import landing_problem
from hesiod_watch.runs.landing import Batch, LandingArea

CHANGES = 60


@pytest.mark.parametrize("batch", ["none", "year"])
def test_killed_at_every_change(tmp_path: Path, batch: Batch) -> None:
    """The landing area never seems to be away, and the run has its flags and links at the end."""
    adopted = False
    for number in range(CHANGES):
        root = tmp_path / str(number)
        root.mkdir()
        world = World(root, backups=0)
        config = replace(world.config, batch=batch)
        run_dir = config.landing / ("2026" if batch == "year" else "") / RUN
        location = f"{root / 'sequencer'}/alpha"
        job = replace(
            world.job("new-run", cell=None), run_dir=run_dir, config=config, upstream=location
        )
        try:
            with killed_at(number):
                actions.perform(job)
            adopted = True
        except Killed:
            pass
        assert landing_problem(LandingArea(config.landing, config.batch), config.output) == ""
        actions.perform(replace(job))
        assert (run_dir / "pipeline" / "upstream").read_text().strip() == location
        assert (config.output / RUN / "rundata").readlink() == run_dir
        if adopted:
            return
    pytest.fail("it never came to its end")
