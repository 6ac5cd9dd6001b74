"""Starts with a wrong clock, whose flags must not stop the work of later years."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sites import Site

from hesiod_watch.cli.simulator import SimulatedCell

pytestmark = pytest.mark.system

RUN = "20261122_PROM_alpha"
FIRST, SECOND = "20261122_2210_1A_PAW00001_0a1b2c3d", "20261123_2210_1A_PAW00002_0a1b2c3e"


def write_upstream(site: Site, cell: str) -> Path:
    there = site.root / "sequencer"
    there.mkdir(exist_ok=True)
    SimulatedCell(there, "alpha", "lib", cell, files_per_barcode=1, reads_per_file=4).write()
    return there


@pytest.mark.parametrize("outcome", ["failed", "done", "started"])
def test_a_sync_of_2036_does_not_stop_the_next(site: Site, outcome: str) -> None:
    """One poll copies the new cell of a mounted upstream, whatever time the last sync recorded."""
    site.configure(more=f"upstreams: {{PROM: {{location: {write_upstream(site, FIRST)}}}}}\n")
    site.run("poll")
    assert site.stages() == {f"{RUN}/lib/{FIRST}": "processed"}
    pipeline = site.landing / RUN / "pipeline"
    said = json.loads((pipeline / "sync.done").read_text()) | {"time": "2036-01-01T00:00:00+00:00"}
    (pipeline / "sync.done").unlink()
    (pipeline / f"sync.{outcome}").write_text(json.dumps(said))
    write_upstream(site, SECOND)
    site.run("poll")
    assert site.stages() == {f"{RUN}/lib/{cell}": "processed" for cell in (FIRST, SECOND)}
    assert json.loads((pipeline / "sync.done").read_text())["time"] < "2036"
