"""Pooled directories, and runs without the level of libraries: each acquisition is a cell."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from facility import Facility, state
from mounts import in_memory, needs_mounts
from sites import Site
from sshd_pair import Pair, needs_sshd

from hesiod_watch.cli.simulator import SimulatedCell

pytestmark = pytest.mark.system

RUN, LIBRARY = "20261122_PROM_alpha", "sample_A"
FIRST, SECOND = "20261122_2210_1A_PAW00001_0a1b2c3d", "20261122_2211_1B_PAW00002_1a2b3c4d"
SECOND_ACQUISITION = "20261122_2212_1A_PAW00001_0a1b2c3d"
"""Directory's name that a second acquisition of the first protocol run would have."""


def pooled(
    landing: Path, cell: str = FIRST, run: str = RUN, library: str = LIBRARY, **more: Any
) -> SimulatedCell:
    options = {"files_per_barcode": 1, "reads_per_file": 20, "output_hash": True} | more
    return SimulatedCell(landing, run, library, cell, pooled=True, **options)


def without_library(landing: Path, cell: str, run: str = RUN) -> SimulatedCell:
    """A run without the level of libraries: the directories of its cells are in their place."""
    return pooled(landing, cell, run, library=cell)


def reads_of(cell: SimulatedCell) -> int:
    return sum(amount.reads for amount in cell.expected.values())


def results(site: Site, cell: SimulatedCell, run: str = RUN) -> Path:
    return site.output / run / cell.library / cell.name


def assert_processed(site: Site, *cells: SimulatedCell, run: str = RUN) -> None:
    """Assert that a run consists of these cells, and that each has all of its reads."""
    found = site.status()[run]
    assert {name: cell["stage"] for name, cell in found["cells"].items()} == {
        f"{cell.library}/{cell.name}": "processed" for cell in cells
    }
    assert (found["status"], found["quarantined"]) == ("complete", [])
    for cell in cells:
        qc = json.loads((results(site, cell, run) / "qc.json").read_text())
        assert qc["total"]["reads"] == reads_of(cell)
        assert qc["facts"]["flow_cell_id"] == cell.acquisition.cell.flow_cell_id
        ids = cell.acquisition.cell.short_id, cell.acquisition.id[:8]
        assert qc["short_id"] == ids[cell.era == "2021"]
        assert qc["completeness"]["verdict"] == "proven"
        if cell.output_hash:
            checksums = qc["minknow_checksums"]
            assert (checksums["differing"], checksums["absent"]) == ([], [])
            assert checksums["agreeing"] > 0
        if not cell.fastq:
            assert list(results(site, cell, run).glob("*.bam"))
            continue
        lines = 0
        for output in results(site, cell, run).glob("*.fastq.gz"):
            lines += gzip.decompress(output.read_bytes()).count(b"\n")
        assert lines == 4 * reads_of(cell)
    site.run("verify", run)


TREES: dict[str, Callable[[Path], list[SimulatedCell]]] = {
    "two flow cells": lambda at: [pooled(at), pooled(at, SECOND)],
    "two acquisitions of a protocol run": lambda at: [pooled(at), pooled(at, SECOND_ACQUISITION)],
    "names without protocol run": lambda at: [
        pooled(at, era="2021", output_hash=False),
        pooled(at, SECOND, era="2021", output_hash=False),
    ],
    "not barcoded": lambda at: [pooled(at, barcodes=()), pooled(at, SECOND, barcodes=())],
    "BAM without FASTQ": lambda at: [
        pooled(at, fastq=False, bam="aligned"),
        pooled(at, SECOND, fastq=False, bam="unaligned"),
    ],
    "without library": lambda at: [without_library(at, FIRST), without_library(at, SECOND)],
}


@pytest.mark.parametrize("tree", TREES)
def test_each_acquisition_is_processed(site: Site, tree: str) -> None:
    """Each acquisition that lands is a cell with its own reads, checksums and outputs."""
    cells = TREES[tree](site.landing)
    for cell in cells:
        cell.write()
    site.run("poll")
    assert_processed(site, *cells)
    before = state(site.landing), state(site.output / RUN)
    site.run("poll")
    assert (state(site.landing), state(site.output / RUN)) == before
    assert "Traceback" not in site.run("explain", RUN, cells[0].name).stdout


def test_an_acquisition_waits_for_its_own_files(site: Site) -> None:
    """A missing file holds up its own acquisition only, and a running one is no problem."""
    first, second = pooled(site.landing), pooled(site.landing, SECOND)
    first.write()
    second.write()
    missing = next(second.path.glob("fastq_pass/*/PAW00002_*"))
    kept = missing.rename(site.root / missing.name)
    running = pooled(site.landing, "20261122_2213_1C_PAW00003_2a3b4c5d")
    steps = running.steps()
    for _ in range(4):
        next(steps)
    site.run("poll")
    stages = {name.rpartition("/")[2]: stage for name, stage in site.stages().items()}
    assert stages == {
        first.name: "processed",
        second.name: "incomplete",
        running.name: "incomplete",
    }
    why = site.status()[RUN]["cells"][f"{LIBRARY}/{second.name}"]["why"]
    assert "1 of " in why
    assert "FASTQ" in why
    kept.rename(missing)
    for summary in second.path.glob("final_summary_PAW00002*"):
        summary.touch()  # otherwise the file is younger, and waits for a minute
    for _ in steps:
        pass
    site.run("poll")
    assert_processed(site, first, second, running)


@pytest.mark.parametrize("watch", ["sweep_interval: 600s", "sweep_interval: 1s, engine: poll"])
def test_the_service_notices_the_end_of_an_acquisition(site: Site, watch: str) -> None:
    """The final_summary in a pooled directory is noticed by events, and by sweeps without them."""
    site.configure(watch=watch)
    first, second = pooled(site.landing), pooled(site.landing, SECOND)
    first.write()
    steps = second.steps()
    for _ in range(second.step_count - 1):
        next(steps)
    with site.service():
        site.eventually(lambda: f"{first.name}.done" in site.flags(RUN), "the first is done")
        for _ in steps:
            pass
        site.eventually(lambda: f"{second.name}.done" in site.flags(RUN), "the second is done")
        site.eventually((site.output / RUN / "report.html").exists, "there is a page")
    site.run("poll")
    assert_processed(site, first, second)


def test_files_without_an_acquisition_are_reported(site: Site) -> None:
    """Data whose names tell no acquisition are reported by name, and the cells are processed."""
    cell = pooled(site.landing)
    cell.write()
    (cell.path / "fastq_pass" / "merged.fastq").write_text("")
    said = site.run("poll", check=1)
    assert "merged.fastq" in said.stderr + said.stdout
    (odd,) = site.status()[RUN]["quarantined"]
    assert odd["name"] == LIBRARY
    assert "1 file of them name no acquisition: merged.fastq" in odd["why"]
    assert site.stages()[f"{RUN}/{LIBRARY}/{cell.name}"] == "processed"
    (cell.path / "fastq_pass" / "merged.fastq").unlink()
    site.run("poll")
    assert_processed(site, cell)


def test_a_directory_with_the_name_of_a_pooled_cell(site: Site) -> None:
    """A real directory with such a name is reported, and is no cell."""
    cell = pooled(site.landing)
    cell.write()
    (site.landing / RUN / "sample_B" / cell.name).mkdir(parents=True)
    site.run("poll", check=1)
    (odd,) = site.status()[RUN]["quarantined"]
    assert odd["name"] == f"sample_B/{cell.name}"
    assert list(site.stages()) == [f"{RUN}/{LIBRARY}/{cell.name}"]


def test_data_after_the_end_are_those_of_the_acquisition(site: Site) -> None:
    """New data of one acquisition are late data of this one only."""
    first, second = pooled(site.landing), pooled(site.landing, SECOND)
    first.write()
    second.write()
    site.run("poll")
    assert_processed(site, first, second)
    known = next(first.path.glob("fastq_pass/barcode01/PAW00001_*"))
    late = known.with_name(known.name.replace("_0.", "_7."))
    shutil.copy(known, late)
    site.run("poll", check=1)
    assert "new data came" in site.run("explain", RUN, first.name).stdout
    assert "new data came" not in site.run("explain", RUN, second.name).stdout


@pytest.fixture
def backups(tmp_path: Path) -> Iterator[list[Path]]:
    with in_memory(tmp_path / "one") as one, in_memory(tmp_path / "two") as two:
        yield [one, two]


@needs_mounts
def test_backup_and_strip_of_one_acquisition(site: Site, backups: list[Path]) -> None:
    """A strip removes the data of its acquisition; those of others, and shared files, stay."""
    places = {place.name: {"location": str(place)} for place in backups}
    site.configure(processing="workers: 2, ingest: false", more=f"backups: {json.dumps(places)}\n")
    for name in places:
        site.run("backup-init", name)
    first, other = pooled(site.landing), pooled(site.landing, SECOND_ACQUISITION)
    second = pooled(site.landing, SECOND)
    for cell in (first, other, second):
        cell.write()
    shared = first.path / "other_reports" / "pore_scan_PAW00001_0a1b2c3d.csv"
    shared.parent.mkdir()
    shared.write_bytes(b"x" * 1_500_000)
    site.run("poll")
    assert_processed(site, first, other, second)
    for cell in (first, other, second):
        raw = json.loads((results(site, cell) / "raw.json").read_text())
        names = {file["name"] for file in raw["files"]}
        assert sum(name.endswith(".pod5") for name in names) == 1
        assert (f"other_reports/{shared.name}" in names) == (cell is not second)
        for place in backups:
            (copy,) = place.glob(f"{RUN}/*/{cell.library}/{cell.name}/pod5")
            copied = {path.name for path in copy.parent.rglob("*") if path.is_file()}
            # The outputs are the copies of the FASTQ files.
            assert copied == {Path(name).name for name in names if not name.endswith(".fastq")}
    before = {path for path in first.path.rglob("*") if path.is_file()}
    site.run("strip", RUN, first.name, "--yes")
    removed = before - {path for path in first.path.rglob("*") if path.is_file()}
    assert removed
    assert all(first.acquisition.id[:8] in path.name for path in removed)
    site.run("verify", RUN)
    site.run("strip", RUN, other.name, "--yes")
    site.run("strip", RUN, second.name, "--yes")
    assert shared.exists()
    assert not list(first.path.rglob("*.fastq")) + list(first.path.rglob("*.pod5"))
    site.run("poll")
    assert set(site.stages().values()) == {"processed"}


def assert_copied(site: Site, there: Path, run: str, *cells: SimulatedCell) -> None:
    """Assert that all files of a run on its upstream are here, byte by byte."""
    assert_processed(site, *cells, run=run)
    source = there / "alpha"
    names = [path.relative_to(source) for path in source.rglob("*") if path.is_file()]
    assert names
    for name in names:
        assert (site.landing / run / name).read_bytes() == (source / name).read_bytes()


UPSTREAM_TREES: dict[str, Callable[[Path], list[SimulatedCell]]] = {
    "pooled": lambda at: [
        pooled(at, run="alpha"),
        pooled(at, SECOND_ACQUISITION, run="alpha"),
        pooled(at, SECOND, run="alpha"),
    ],
    "without library": lambda at: [
        without_library(at, FIRST, run="alpha"),
        without_library(at, SECOND, run="alpha"),
    ],
}


@pytest.mark.parametrize("tree", UPSTREAM_TREES)
def test_a_mounted_upstream(site: Site, tree: str) -> None:
    """Acquisitions of a mounted upstream are listed, copied, and processed."""
    there = site.root / "there"
    there.mkdir()
    upstreams = {"prom": {"location": str(there), "instrument": "PROM"}}
    site.configure(more=f"upstreams: {json.dumps(upstreams)}\n")
    cells = UPSTREAM_TREES[tree](there)
    for cell in cells:
        cell.write()
    listed = site.run("list-upstream")
    assert (len(listed.stdout.splitlines()), listed.stderr) == (len(cells), "")
    site.run("poll")
    assert_copied(site, there, "PROM_alpha", *cells)
    before = state(site.landing)
    site.run("poll")
    assert state(site.landing) == before


@needs_sshd
@pytest.mark.parametrize("mode", ["pull", "push"])
def test_an_upstream_behind_ssh(tmp_path: Path, servers: Pair, mode: str) -> None:
    """Acquisitions of a sequencer behind ssh are copied while another one is running there."""
    facility = Facility(tmp_path, servers)
    facility.reach(mode=mode)
    there = facility.there["hosta"]
    first = pooled(there, run="alpha")
    first.write()
    second = pooled(there, SECOND, run="alpha")
    steps = second.steps()
    for _ in range(4):
        next(steps)
    facility.poll()
    assert_processed(facility, first, run="PROM_alpha")
    assert not list((facility.landing / "PROM_alpha").rglob("PAW00002*"))
    for _ in steps:
        pass
    facility.poll()
    assert_copied(facility, there, "PROM_alpha", first, second)


def test_old_pooled_data_without_a_summary_are_reported(site: Site) -> None:
    """Data on an upstream that no summary ever ended are listed with advice, and not new ones."""
    there = site.root / "there"
    there.mkdir()
    upstreams = {"prom": {"location": str(there), "instrument": "PROM"}}
    site.configure(more=f"upstreams: {json.dumps(upstreams)}\n")
    cell = pooled(there, run="alpha")
    cell.write()
    for summary in cell.path.glob("final_summary*"):
        summary.unlink()
    assert site.run("list-upstream").stderr == ""
    site.run("poll")
    for directory in cell.path.iterdir():
        if directory.is_dir():
            os.utime(directory, (1_700_000_000, 1_700_000_000))
    said = site.run("list-upstream").stderr
    assert "alpha/sample_A: it holds data without a cell directory" in said
    assert "final_summary" in said
    assert "alpha/sample_A" in site.run("poll", check=None).stderr
