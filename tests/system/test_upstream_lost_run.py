"""Runs that are renamed, moved or deleted on their upstream while their cells wait for files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sites import Site

from hesiod_watch.cli.simulator import SimulatedCell

pytestmark = pytest.mark.system

LIBRARY = "sample_A"
CELL = "20261122_2210_1A_PAW00001_0a1b2c3d"
RUN, FINISHED = "20261122_PROM_alpha", "20261122_PROM_beta"
SENTENCE = "upstream prom has no run {}/alpha any more"


@pytest.fixture
def there(site: Site) -> Path:
    """A mounted upstream with a run that is being sequenced and one that is processed."""
    there = site.root / "there"
    there.mkdir()
    upstreams = {"prom": {"location": str(there), "instrument": "PROM"}}
    site.configure(more=f"upstreams: {json.dumps(upstreams)}\n")
    running = SimulatedCell(there, "alpha", LIBRARY, CELL, files_per_barcode=2)
    running.write()
    for summary in running.path.glob("final_summary*"):
        summary.unlink()
    SimulatedCell(there, "beta", LIBRARY, CELL.replace("PAW00001", "PAW00002")).write()
    site.run("poll")
    assert "processed" in site.stages().values()
    return there


def lost(site: Site) -> set[str]:
    """Runs that are reported as missing on their upstream."""
    found = json.loads(site.run("status", "--attention", "--json", check=None).stdout)["attention"]
    return {each["run"] for each in found if each["kind"] == "upstream-lost-run"}


@pytest.mark.parametrize("how", ["renamed", "moved", "without cells"])
def test_a_run_that_its_upstream_has_no_more(site: Site, there: Path, how: str) -> None:
    """The poll, `explain` and `status` say so; it is over when the run is there again."""
    run = there / "alpha"
    place = {
        "renamed": there / "gamma",
        "moved": site.root / "alpha",
        "without cells": site.root / "library",
    }[how]
    moved = run / LIBRARY if how == "without cells" else run
    moved.rename(place)
    assert SENTENCE.format(there) in site.run("poll", check=1).stderr
    assert lost(site) == {RUN}
    for about in ([RUN], [RUN, CELL]):
        said = " ".join(site.run("explain", *about).stdout.split())
        assert SENTENCE.format(there) in said
        assert "hesiod-watch list-upstream prom" in said
    if how == "renamed":
        listed = site.run("list-upstream", "prom").stdout
        assert f"{there}/gamma" in listed
    place.rename(moved)
    site.run("poll", check=None)
    # The name that it had meanwhile is lost now.
    assert lost(site) == ({"20261122_PROM_gamma"} if how == "renamed" else set())


def test_finished_runs_may_be_deleted(site: Site, there: Path) -> None:
    """Nothing is said about a processed run that is deleted on its upstream."""
    (there / "beta").rename(site.root / "beta")
    site.run("poll")
    assert lost(site) == set()


def test_an_upstream_that_does_not_answer(site: Site, there: Path) -> None:
    """From an upstream that cannot be listed, no run is reported as missing."""
    there.rename(site.root / "away")
    site.run("poll", check=1)
    assert lost(site) == set()
