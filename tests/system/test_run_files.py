"""Files of a run that belong to no cell: copied from an upstream with the run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from facility import LIBRARY, OTHER, Facility, run_of
from sites import Site
from sshd_pair import Pair, needs_sshd

from hesiod_watch.cli.simulator import SimulatedCell

pytestmark = pytest.mark.system

WANTED = {
    "SampleSheet.csv": b"sample,barcode\n",
    f"{LIBRARY}/sample sheet (2).csv": b"a\n",
    f"{LIBRARY}/analysis/deep/er/result.txt": b"x" * 100_000,
    "notes/\udcff;touch x": b"odd",
    "notes/-rf": b"",
}
OTHERS = {
    ".hidden": b"",
    "pipeline/x": b"",
    f"{LIBRARY}/.hidden/x": b"",
    f"{LIBRARY}/pod5/x.pod5": b"",
    f"notes/deep/{LIBRARY}/{OTHER}/fastq_pass/x.fastq": b"",
    "fastq_pass/x.fastq": b"",
}
TOO_DEEP = f"notes/deep/{LIBRARY}/{OTHER} is a cell's directory too deep in the run"


def write(run: Path) -> None:
    for name, content in (WANTED | OTHERS).items():
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_bytes(content)
    (run / LIBRARY / "link").symlink_to("/etc/passwd")


def outside_of_cells(run: Path, *cells: str) -> dict[str, bytes]:
    return {
        str(path.relative_to(run)): path.read_bytes()
        for path in run.rglob("*")
        if path.is_file() and not {"pipeline", *cells} & set(path.relative_to(run).parts)
    }


def test_a_mounted_upstream(site: Site) -> None:
    """Files of run and library arrive with their bytes; a changed one is copied with a new cell."""
    there = site.root / "there"
    there.mkdir()
    upstreams = {"prom": {"location": str(there), "instrument": "PROM"}}
    site.configure(more=f"upstreams: {json.dumps(upstreams)}\n")
    cell = SimulatedCell(there, "alpha", LIBRARY, "20261122_2210_1A_PAW00001_0a1b2c3d")
    cell.write()
    write(there / "alpha")
    assert TOO_DEEP in site.run("poll", check=1).stderr
    run = site.landing / run_of()
    assert outside_of_cells(run, cell.cell) == WANTED
    (there / "alpha" / "SampleSheet.csv").write_bytes(b"changed and longer\n")
    SimulatedCell(there, "alpha", LIBRARY, OTHER).write()
    site.run("poll", check=None)  # what it reports once a day was reported
    changed = WANTED | {"SampleSheet.csv": b"changed and longer\n"}
    assert outside_of_cells(run, cell.cell, OTHER) == changed
    assert site.status()[run.name]["status"] == "complete"


def test_a_pooled_run(site: Site) -> None:
    """Files beside pooled data that belong to none of the acquisitions arrive, too."""
    there = site.root / "there"
    there.mkdir()
    upstreams = {"prom": {"location": str(there), "instrument": "PROM"}}
    site.configure(more=f"upstreams: {json.dumps(upstreams)}\n")
    cell = SimulatedCell(there, "alpha", LIBRARY, "20261122_2210_1A_PAW00001_0a1b2c3d", pooled=True)
    cell.write()
    (cell.path / "SampleSheet.csv").write_bytes(b"pooled\n")
    site.run("poll")
    (run,) = site.landing.glob("*alpha")
    assert (run / LIBRARY / "SampleSheet.csv").read_bytes() == b"pooled\n"
    assert site.stages()[f"{run.name}/{LIBRARY}/{cell.name}"] == "processed"


@needs_sshd
@pytest.mark.parametrize("mode", ["pull", "push"])
def test_a_sequencer_behind_ssh(tmp_path: Path, servers: Pair, mode: str) -> None:
    """The same files arrive from a sequencer behind ssh."""
    facility = Facility(tmp_path, servers)
    facility.reach(mode=mode)
    cell = facility.cell()
    cell.write()
    write(facility.there["hosta"] / "alpha")
    assert TOO_DEEP in facility.run("poll", check=1).stderr
    assert outside_of_cells(facility.landing / run_of(), cell.cell) == WANTED


@pytest.mark.parametrize("name", ["notes", f"{LIBRARY}/analysis/deep"])
def test_no_link_is_written_through(site: Site, name: str) -> None:
    """Where a link here is in the place of a directory, nothing is written, and the log says so."""
    there, elsewhere = site.root / "there", site.root / "elsewhere"
    there.mkdir()
    elsewhere.mkdir()
    upstreams = {"prom": {"location": str(there), "instrument": "PROM"}}
    site.configure(more=f"upstreams: {json.dumps(upstreams)}\n")
    cell = SimulatedCell(there, "alpha", LIBRARY, "20261122_2210_1A_PAW00001_0a1b2c3d")
    cell.write()
    site.run("poll")
    run = site.landing / run_of()
    (run / name).parent.mkdir(parents=True, exist_ok=True)
    (run / name).symlink_to(elsewhere)
    write(there / "alpha")
    SimulatedCell(there, "alpha", LIBRARY, OTHER).write()
    site.run("poll", check=None)
    assert not list(elsewhere.iterdir())
    assert f"{OTHER}.done" in {path.name for path in (run / "pipeline").iterdir()}
    assert "its place here" in (site.output / run.name / "pipeline.log").read_text()
