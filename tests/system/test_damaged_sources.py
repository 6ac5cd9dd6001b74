"""Cells with damaged FASTQ: every damaged file is named, and the other reads are shown."""

from __future__ import annotations

import gzip
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sites import Site

pytestmark = pytest.mark.system

RUN = "20261122_TEST_alpha"
LIBRARY = "sample_A"
CELL = "20261122_2210_1A_PAW00001_0a1b2c3d"
NAME = f"{LIBRARY}/{CELL}"
BARCODES = ("barcode01", "barcode02", "barcode03")
FILES = 4


def text_of(barcode: str, number: int) -> bytes:
    return f"@{barcode}_{number}\nACGT\n+\n5555\n".encode()


def write_cell(landing: Path, *, run: str = RUN, end: str = ".fastq") -> Path:
    """Write a finished cell of three barcodes with four files of one read each."""
    cell = landing / run / LIBRARY / CELL
    for barcode in BARCODES:
        directory = cell / "fastq_pass" / barcode
        directory.mkdir(parents=True)
        for number in range(FILES):
            text = text_of(barcode, number)
            data = gzip.compress(text) if end.endswith(".gz") else text
            (directory / f"a_{number}{end}").write_bytes(data)
    files = len(BARCODES) * FILES
    (cell / "final_summary.txt").write_text(f"fastq_files_in_final_dest={files}\n")
    return cell


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-6])


def zeros(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def flag(site: Site, end: str) -> Path:
    return site.landing / RUN / "pipeline" / f"{CELL}.{end}"


def results(site: Site) -> Path:
    return site.output / RUN / LIBRARY / CELL


def qc_of(site: Site) -> dict[str, Any]:
    qc = json.loads((results(site) / "qc.json").read_text())
    assert isinstance(qc, dict)
    return qc


def reads_of(qc: dict[str, Any]) -> dict[str, int]:
    return {each["barcode"]: each["total"]["reads"] for each in qc["barcodes"]}


DAMAGED = (
    "fastq_pass/barcode01/a_0",
    "fastq_pass/barcode01/a_2",
    "fastq_pass/barcode03/a_3",
)


def damage(cell: Path, end: str = ".fastq") -> dict[str, bytes]:
    """Damage three files of two barcodes; return their former contents."""
    former = {}
    for name, how in zip(DAMAGED, (cut, zeros, cut), strict=True):
        path = cell / f"{name}{end}"
        former[f"{name}{end}"] = path.read_bytes()
        how(path)
    return former


@pytest.mark.parametrize("end", [".fastq", ".fastq.gz"])
@pytest.mark.parametrize("processes", [1, 3])
def test_all_damaged_files_are_named_at_once(site: Site, end: str, processes: int) -> None:
    """One attempt names every damaged file, and shows the reads of all other files."""
    site.configure(processing=f"processes: {processes}")
    names = set(damage(write_cell(site.landing, end=end), end))
    site.run("poll", check=1)
    record = json.loads(flag(site, "failed").read_text())
    assert set(record["damaged"]) == names
    assert record["damaged_files"] == 3
    explained = site.run("explain", RUN, CELL).stdout
    reported = site.run("messages", RUN, "--text").stdout
    page = (results(site) / "report.html").read_text()
    for name in names:
        for text in (record["reason"], explained, reported, page):
            assert name in text
    qc = qc_of(site)
    assert qc["state"] == "failed"
    assert {each["name"] for each in qc["damaged"]} == names
    assert reads_of(qc) == {"barcode01": 2, "barcode02": 4, "barcode03": 3}
    assert "Not finished: 3 files are damaged" in page
    assert not flag(site, "done").exists()
    found = {path.name for path in results(site).iterdir() if not path.name.startswith(".")}
    assert found == {"qc.json", "report.html"}


def test_files_that_are_copied_again(site: Site) -> None:
    """After all damaged files are copied again, the cell has all its reads and no trace."""
    cell = write_cell(site.landing)
    former = damage(cell)
    site.run("poll", check=1)
    for name, data in former.items():
        (cell / name).write_bytes(data)
    site.run("retry", RUN, CELL, "--why", "copied again")
    site.run("poll")
    qc = qc_of(site)
    assert (qc["state"], qc["total"]["reads"]) == ("complete", 12)
    assert not qc.keys() & {"damaged", "removed"}
    assert qc["notes"] == []
    site.run("verify", RUN, CELL)


def accept_command(site: Site, run: str = RUN) -> str:
    """The command that `explain` offers for continuing without the damaged files."""
    explained = site.run("explain", run, CELL, "--json").stdout
    (step,) = (each for each in json.loads(explained)["you_can"] if "continue without" in each)
    assert isinstance(step, str)
    command = step.partition("without their reads: ")[2].replace("--why …", "--why 'they are lost'")
    return command.replace("hesiod-watch retry", f"hesiod-watch --config {site.config} retry")


def run_command(site: Site, command: str) -> None:
    bin_directory = Path(__file__).parents[2] / "bin"
    path = f"{bin_directory}:{Path(site.command()[0]).parent}:{site.environ['PATH']}"
    subprocess.run(["sh", "-ec", command], check=True, env={**site.environ, "PATH": path})


@pytest.mark.parametrize("upstream", [False, True])
def test_the_offered_command_continues_without_the_files(site: Site, upstream: bool) -> None:
    """The command of `explain` works as it is printed, and the finished report names the files."""
    there = site.root / "there" if upstream else site.landing
    names = set(damage(write_cell(there)))
    if upstream:
        site.configure(more=f"upstreams: {{PROM: {{location: {there}}}}}\n")
    site.run("poll", check=1)
    (run,) = site.status()
    if upstream:
        assert f"copied again from {there}" in site.run("explain", run, CELL).stdout
    run_command(site, accept_command(site, run))
    site.run("poll")
    place = site.output / run / LIBRARY / CELL
    qc = json.loads((place / "qc.json").read_text())
    assert (qc["state"], qc["total"]["reads"]) == ("complete", 9)
    assert qc["completeness"]["why"] == (
        "accepted as complete by a person; 3 of 12 FASTQ files missing"
    )
    assert {each["name"] for each in qc["removed"]} == names
    page = (place / "report.html").read_text()
    for name in names:
        assert name in page
        assert (place / "removed" / name).is_file()
        assert not (site.landing / run / LIBRARY / CELL / name).exists()
    site.run("verify", run, CELL)


def test_damage_in_a_running_cell_withholds_no_other_numbers(site: Site) -> None:
    """An ingest that meets a damaged file takes all other outputs, and shows their reads."""
    cell = write_cell(site.landing)
    (cell / "final_summary.txt").unlink()
    cut(cell / f"{DAMAGED[0]}.fastq")
    site.run("perform", "new-run", RUN)
    done = site.run("perform", "ingest", RUN, NAME, check=1)
    assert f"{DAMAGED[0]}.fastq" in done.stderr
    assert reads_of(qc_of(site)) == {"barcode02": 3, "barcode03": 3}
    assert qc_of(site)["state"] == "running"


def test_a_file_that_disappears_is_named_in_the_finished_report(site: Site) -> None:
    """A file that was read while the cell was running, and was then removed, is reported."""
    cell = write_cell(site.landing)
    summary = (cell / "final_summary.txt").read_text()
    (cell / "final_summary.txt").unlink()
    site.run("perform", "new-run", RUN)
    site.run("perform", "ingest", RUN, NAME)
    gone = cell / f"{DAMAGED[0]}.fastq"
    gone.unlink()
    (cell / "final_summary.txt").write_text(summary)
    flag(site, "synced").touch()
    site.run("poll")
    assert [each["name"] for each in qc_of(site)["removed"]] == [f"{DAMAGED[0]}.fastq"]
    assert f"{DAMAGED[0]}.fastq" in (results(site) / "report.html").read_text()


def test_former_results_stay(site: Site) -> None:
    """Finished results of an earlier processing are not replaced by those of a failed one."""
    cell = write_cell(site.landing)
    site.run("poll")
    before = {path.name: path.read_bytes() for path in results(site).iterdir() if path.is_file()}
    flag(site, "done").unlink()
    cut(cell / f"{DAMAGED[0]}.fastq")
    site.run("retry", RUN, CELL, "--why", "again", check=None)
    site.run("poll", check=1)
    assert flag(site, "failed").exists()
    for name in ("qc.json", "report.html", "manifest.json"):
        assert (results(site) / name).read_bytes() == before[name]


HOSTILE: dict[str, Callable[[Path], Path]] = {
    "quote": lambda cell: cell / "fastq_pass" / "a'b $(touch x).fastq",
    "newline": lambda cell: cell / "fastq_pass" / "a\nb.fastq",
    "dash": lambda cell: cell / "fastq_pass" / "-rf.fastq",
}


@pytest.mark.parametrize("place", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_names_are_harmless_in_the_command(
    site: Site, place: Callable[[Path], Path]
) -> None:
    """A name is quoted in the command, or the command does not contain it."""
    cell = site.landing / RUN / LIBRARY / CELL
    (cell / "fastq_pass").mkdir(parents=True)
    place(cell).write_bytes(b"@r\nAC")
    (cell / "final_summary.txt").write_text("fastq_files_in_final_dest=1\n")
    site.run("poll", check=1)
    command = accept_command(site)
    assert "\n" not in command
    if command.startswith("mkdir"):
        run_command(site, command)
        assert not place(cell).exists()
        assert not list(site.root.rglob("x"))
