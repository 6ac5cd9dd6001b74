"""A second copy of a cell on an upstream: reported, and neither copied nor ingested."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from sites import Site

from hesiod_watch.cli.simulator import SimulatedCell

pytestmark = pytest.mark.system

LIBRARY = "sample_A"
CELL = "20261122_2210_1A_PAW00001_0a1b2c3d"
RENAMED = "20261125_0900_2B_PAW00001_0a1b2c3d"
OTHER = "20261122_2211_1B_PAW00002_1a2b3c4d"
RUN, OTHER_RUN = "20261122_PROM_alpha", "20261122_PROM_beta"


@pytest.fixture
def there(site: Site) -> Path:
    """A mounted upstream with one run, whose cell is here and processed."""
    there = site.root / "there"
    there.mkdir()
    upstreams = {"prom": {"location": str(there), "instrument": "PROM"}}
    site.configure(more=f"upstreams: {json.dumps(upstreams)}\n")
    write(there, "alpha", CELL)
    site.run("poll")
    assert site.stages()[f"{RUN}/{LIBRARY}/{CELL}"] == "processed"
    return there


def write(there: Path, experiment: str, cell: str) -> None:
    SimulatedCell(there, experiment, LIBRARY, cell, files_per_barcode=2).write()


def copy(there: Path, *place: str) -> None:
    """Copy the first cell as a sequencer writes one: its final_summary comes last."""
    cell = there.joinpath(*place)
    shutil.copytree(there / "alpha" / LIBRARY / CELL, cell)
    (summary,) = cell.glob("final_summary*")
    text = summary.read_text()
    summary.unlink()
    summary.write_text(text)


COPIES = [
    pytest.param("beta", LIBRARY, CELL, id="another run"),
    pytest.param("beta", "sample_B", RENAMED, id="another run, library and name"),
    pytest.param("alpha", "sample_B", RENAMED, id="another name in the same run"),
]


@pytest.mark.parametrize(("experiment", "library", "name"), COPIES)
def test_a_second_copy_is_not_copied(
    site: Site, there: Path, experiment: str, library: str, name: str
) -> None:
    """It is reported by status, explain and attention; other cells of its run are copied."""
    copy(there, experiment, library, name)
    write(there, experiment, OTHER)
    for _ in range(2):
        site.run("poll", check=None)
    (taken_up,) = [place for place in site.landing.iterdir() if place.name.endswith(experiment)]
    run = taken_up.name
    assert not (site.landing / run / library / name).exists()
    assert site.stages()[f"{run}/{LIBRARY}/{OTHER}"] == "processed"
    said = site.run("explain", run, name).stdout
    assert f"{RUN} {LIBRARY}/{CELL}" in said
    assert "second copy" in said
    assert "second copy" in site.run("status", check=None).stdout
    wanted = site.landing / run / "pipeline" / f"{name}.wanted"
    assert str(wanted) in said
    wanted.touch()
    site.run("poll")
    assert site.stages()[f"{run}/{library}/{name}"] == "processed"
    assert site.stages()[f"{RUN}/{LIBRARY}/{CELL}"] == "processed"


def test_a_run_that_was_renamed_upstream(site: Site, there: Path) -> None:
    """Its cells are not copied again under the new name until the former run is aborted."""
    (there / "alpha").rename(there / "beta")
    site.run("poll", check=None)
    site.run("poll", check=None)
    assert not (site.landing / OTHER_RUN / LIBRARY).exists()
    assert f"{RUN} {LIBRARY}/{CELL}" in site.run("explain", OTHER_RUN, CELL).stdout
    site.run("abort", RUN, CELL, "--why", "renamed upstream")
    site.run("poll")
    assert site.stages()[f"{OTHER_RUN}/{LIBRARY}/{CELL}"] == "processed"


def test_two_copies_that_arrive_at_once(site: Site, there: Path) -> None:
    """Of two new copies, the first one is copied, although none was processed before."""
    for library, name in (("sample_B", OTHER), ("sample_C", OTHER.replace("2211_1B", "2300_2C"))):
        copy(there, "beta", library, name)
    site.run("poll", check=None)
    here = [path.name for path in (site.landing / OTHER_RUN).glob("sample_*/*")]
    assert len(here) == 1


def test_a_copy_of_a_stripped_cell_says_so(site: Site, there: Path) -> None:
    """A cell whose raw data were removed on purpose still counts, and the reason names that."""
    shutil.rmtree(site.landing / RUN / LIBRARY)
    (site.landing / RUN / "pipeline" / "stripped").touch()
    (there / "alpha").rename(there / "beta")
    site.run("poll", check=None)
    site.run("poll", check=None)
    assert not (site.landing / OTHER_RUN / LIBRARY).exists()
    assert "removed on purpose" in site.run("explain", OTHER_RUN, CELL).stdout
