"""One cell, one identity: a second copy waits for a person, and renamed data keep their results."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from sites import Site
from younger_files import end_with_summaries

from hesiod_watch.cli.simulator import SimulatedCell

pytestmark = pytest.mark.system

RUN, OTHER_RUN = "20261122_TEST_alpha", "20261123_TEST_beta"
LIBRARY = "sample_A"
CELL = "20261122_2210_1A_PAW00001_0a1b2c3d"
RENAMED = "20261125_0900_2B_PAW00001_0a1b2c3d"


def write_cell(site: Site, run: str = RUN, era: str = "2026") -> Path:
    cell = SimulatedCell(site.landing, run, LIBRARY, CELL, files_per_barcode=2, era=era)
    cell.write()
    return site.landing / run / LIBRARY / CELL


def failed(site: Site, run: str, cell: str) -> str:
    record = json.loads((site.landing / run / "pipeline" / f"{cell}.failed").read_text())
    return str(record["reason"])


@pytest.mark.parametrize(
    ("run", "library", "name"),
    [
        pytest.param(OTHER_RUN, LIBRARY, CELL, id="another run"),
        pytest.param(OTHER_RUN, "sample_B", RENAMED, id="another run, library and name"),
        pytest.param(RUN, "sample_B", RENAMED, id="another name in the same run"),
    ],
)
@pytest.mark.parametrize("era", ["2019", "2026"])
@pytest.mark.parametrize("index", [True, False], ids=["index", "index deleted"])
def test_a_second_copy_is_not_processed(
    site: Site, run: str, library: str, name: str, era: str, index: bool
) -> None:
    """A copy fails and names the first cell; with a person's `synced` it is processed too."""
    if not index and (name != CELL or era == "2019"):
        pytest.skip("the names of the results are all that is left")
    cell = write_cell(site, era=era)
    site.run("poll")
    if not index:
        shutil.rmtree(site.output / ".hesiod-watch" / "cells")
    place = site.landing / run / library / name
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(cell, place)
    end_with_summaries(place)
    done = site.run("poll", check=1)
    assert f"{RUN} {LIBRARY}/{CELL}" in failed(site, run, name)
    assert name in done.stderr
    assert RUN in site.run("explain", run, name).stdout
    assert not (site.landing / run / "pipeline" / f"{name}.done").exists()
    synced = site.landing / run / "pipeline" / f"{name}.synced"
    synced.unlink()
    synced.touch()
    site.run("retry", run, name, "--why", "both are wanted")
    site.run("poll")
    assert site.stages()[f"{run}/{library}/{name}"] == "processed"
    assert site.stages()[f"{RUN}/{LIBRARY}/{CELL}"] == "processed"


def test_the_flag_that_the_failure_names(site: Site) -> None:
    """The command in the reason of the failure allows both cells."""
    cell = write_cell(site)
    site.run("poll")
    place = site.landing / OTHER_RUN / LIBRARY / CELL
    place.parent.mkdir(parents=True)
    shutil.copytree(cell, place)
    end_with_summaries(place)
    site.run("poll", check=1)
    wanted = site.landing / OTHER_RUN / "pipeline" / f"{CELL}.wanted"
    assert f"hesiod-touch-atomic {wanted}, then retry" in failed(site, OTHER_RUN, CELL)
    wanted.touch()
    site.run("retry", OTHER_RUN, CELL, "--why", "both are wanted")
    site.run("poll")
    assert site.stages()[f"{OTHER_RUN}/{LIBRARY}/{CELL}"] == "processed"


def test_a_copy_counts_alone_after_the_first_was_removed(site: Site) -> None:
    """When the first cell is aborted, the copy is processed after a retry."""
    cell = write_cell(site)
    site.run("poll")
    place = site.landing / OTHER_RUN / LIBRARY / CELL
    place.parent.mkdir(parents=True)
    shutil.copytree(cell, place)
    end_with_summaries(place)
    site.run("poll", check=1)
    site.run("abort", RUN, CELL, "--why", "the other copy is right")
    site.run("retry", OTHER_RUN, CELL, "--why", "the first one is aborted")
    site.run("poll")
    assert site.stages()[f"{OTHER_RUN}/{LIBRARY}/{CELL}"] == "processed"


def test_other_cells_of_the_same_name(site: Site) -> None:
    """Cells of one name with other acquisitions are different cells."""
    write_cell(site)
    write_cell(site, OTHER_RUN)
    site.run("poll")
    assert set(site.stages().values()) == {"processed"}


def test_a_run_that_was_moved_is_no_second_copy(site: Site) -> None:
    """A cell that was processed and then renamed with its run can be processed again."""
    write_cell(site)
    site.run("poll")
    (site.landing / RUN).rename(site.landing / OTHER_RUN)
    (site.landing / OTHER_RUN / "pipeline" / f"{CELL}.done").unlink()
    site.run("retry", OTHER_RUN, CELL, "--why", "renamed", check=None)
    site.run("poll")
    assert site.stages()[f"{OTHER_RUN}/{LIBRARY}/{CELL}"] == "processed"


def test_a_library_renamed_while_it_runs(site: Site) -> None:
    """The outputs follow the new name of the library; nothing stays under the old one."""
    cell = write_cell(site)
    (summary,) = cell.glob("final_summary*")
    text = summary.read_text()
    summary.unlink()
    site.run("perform", "new-run", RUN)
    site.run("perform", "ingest", RUN, f"{LIBRARY}/{CELL}")
    (site.landing / RUN / LIBRARY).rename(site.landing / RUN / "sample_B")
    (site.landing / RUN / "sample_B" / CELL / summary.name).write_text(text)
    site.run("poll")
    assert site.stages() == {f"{RUN}/sample_B/{CELL}": "processed"}
    assert not (site.output / RUN / LIBRARY).exists()
    assert "results:" not in doctor(site)


def doctor(site: Site) -> str:
    done: subprocess.CompletedProcess[str] = site.run("doctor", check=None)
    return done.stdout + done.stderr


def test_doctor_lists_orphaned_results(site: Site) -> None:
    """Results of a deleted run are listed, and those beside the results of a renamed library."""
    write_cell(site)
    write_cell(site, OTHER_RUN)
    site.run("poll")
    assert str(site.output / RUN) not in doctor(site)
    shutil.rmtree(site.landing / OTHER_RUN)
    (site.landing / RUN / LIBRARY).rename(site.landing / RUN / "sample_B")
    found = doctor(site)
    assert f"{site.output / OTHER_RUN}: its run is not in the landing area" in found
    assert str(site.output / RUN) not in found
    former, copy = site.output / RUN / LIBRARY / CELL, site.output / RUN / "copies" / CELL
    shutil.copytree(former, copy)
    assert f"{copy}: the results of this cell are in {former}" in doctor(site)


def test_libraries_renamed_after_they_were_processed(site: Site) -> None:
    """Two libraries that swap their names keep their results, which every command finds."""
    other, aside = "sample_B", "20261122_2211_1B_PAW00002_1a2b3c4d"
    cells = {LIBRARY: CELL, other: aside}
    for library, name in cells.items():
        SimulatedCell(site.landing, RUN, library, name, files_per_barcode=2).write()
    site.run("poll")
    results = {name: list_of(site.output / RUN / library / name) for library, name in cells.items()}
    run = site.landing / RUN
    (run / LIBRARY).rename(run / "aside")
    (run / other).rename(run / LIBRARY)
    (run / "aside").rename(run / other)
    for _ in range(2):  # the second one reads what the first one made
        site.run("poll")
    assert site.stages() == {
        f"{RUN}/{other}/{CELL}": "processed",
        f"{RUN}/{LIBRARY}/{aside}": "processed",
    }
    for name in cells.values():
        assert "every file agrees" in site.run("verify", RUN, name, "--backup").stdout
    assert {
        name: list_of(site.output / RUN / library / name) for library, name in cells.items()
    } == results
    assert not (site.output / RUN / other / CELL).exists()
    page = (site.output / RUN / "report.html").read_text()
    assert all(f"{library}/{name}/report.html" in page for library, name in cells.items())
    former, now = site.output / RUN / LIBRARY / CELL, site.output / RUN / other / CELL
    assert str(former) in site.run("explain", RUN, CELL).stdout
    (run / "pipeline" / f"{CELL}.done").unlink()
    site.run("poll")
    assert (now / "manifest.json").exists()
    assert not former.exists()
    assert "every file agrees" in site.run("verify", RUN, CELL, "--backup").stdout


def list_of(place: Path) -> dict[str, bytes]:
    """Content of every visible result."""
    return {
        path.name: path.read_bytes()
        for path in place.iterdir()
        if path.is_file() and not path.name.startswith(".") and path.name != "raw.json"
    }
