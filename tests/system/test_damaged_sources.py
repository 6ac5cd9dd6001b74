"""Cells with damaged FASTQ: every damaged file is named, and the other reads are shown.

A damaged file that changed within the last minute is waited for. So the cells of all tests are
damaged first and rest together. A test then renames a directory above, which leaves their files as
old as they are.
"""

from __future__ import annotations

import gzip
import html
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sites import Site, eventually
from younger_files import end_with_summaries

from hesiod_watch.rules.settling import QUIET

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

RUN = "20261122_TEST_alpha"
LIBRARY = "sample_A"
CELL = "20261122_2210_1A_PAW00001_0a1b2c3d"
NAME = f"{LIBRARY}/{CELL}"
BARCODES = ("barcode01", "barcode02", "barcode03")
FILES = 4


def text_of(barcode: str, number: int) -> bytes:
    return f"@{barcode}_{number}\nACGT\n+\n5555\n".encode()


def write_cell(landing: Path, end: str = ".fastq") -> Path:
    """Write a finished cell of three barcodes with four files of one read each."""
    cell = landing / RUN / LIBRARY / CELL
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


def damage(cell: Path, end: str) -> None:
    """Damage three files of two barcodes."""
    for name, how in zip(DAMAGED, (cut, zeros, cut), strict=True):
        how(cell / f"{name}{end}")


HOSTILE: dict[str, Callable[[Path], Path]] = {
    "quote": lambda cell: cell / "fastq_pass" / "a'b $(touch x).fastq",
    "newline": lambda cell: cell / "fastq_pass" / "a\nb.fastq",
    "dash": lambda cell: cell / "fastq_pass" / "-rf.fastq",
}


def write_hostile(landing: Path, place: Callable[[Path], Path]) -> None:
    cell = landing / RUN / LIBRARY / CELL
    (cell / "fastq_pass").mkdir(parents=True)
    place(cell).write_bytes(b"@r\nAC")
    (cell / "final_summary.txt").write_text("fastq_files_in_final_dest=1\n")


COLUMNS = b"filename\tread_id\n"
SUMMARIES = {
    "sequencing_summary_a.txt": COLUMNS + b"x\t1\nx",
    "sequencing_summary_b.txt.gz": gzip.compress(COLUMNS + b"x\t1\n")[:-6],
    "sequencing_summary_c\n<b>.txt": b"\0" * 9,
    "sequencing_summary_d.txt": b"",
}
"""Damaged sequencing summaries."""


def write_summaries(landing: Path) -> None:
    """Write a cell of sound reads with damaged sequencing summaries, and a link to one."""
    cell = write_cell(landing)
    for name, content in SUMMARIES.items():
        (cell / name).write_bytes(content)
    (cell / "sequencing_summary_e.txt").symlink_to("/etc/passwd")
    (cell / "final_summary.txt").touch()


Take = Callable[..., Path]
"""Move a damaged cell into a directory.

The kind is an end of names, "summaries", or a key of HOSTILE.
"""


@pytest.fixture(scope="module")
def take(tmp_path_factory: pytest.TempPathFactory) -> Take:
    """Damaged cells that have rested for a minute."""
    root = tmp_path_factory.mktemp("rested")
    kinds = {".fastq": 14, ".fastq.gz": 6, "summaries": 1} | dict.fromkeys(HOSTILE, 1)
    shelf = {kind: [root / f"{kind}_{each}" for each in range(kinds[kind])] for kind in kinds}
    for kind, places in shelf.items():
        for place in places:
            if kind == "summaries":
                write_summaries(place)
            elif kind in HOSTILE:
                write_hostile(place, HOSTILE[kind])
            else:
                damage(write_cell(place, kind), kind)
                end_with_summaries(place)
    changed = time.time()
    eventually(lambda: time.time() > changed + QUIET, "the files have rested", 2 * QUIET)

    def taken(landing: Path, kind: str = ".fastq") -> Path:
        (shelf[kind].pop() / RUN).rename(landing / RUN)
        return landing / RUN / LIBRARY / CELL

    return taken


@pytest.mark.parametrize("end", [".fastq", ".fastq.gz"])
@pytest.mark.parametrize("processes", [1, 3])
def test_all_damaged_files_are_named_at_once(
    site: Site, take: Take, end: str, processes: int
) -> None:
    """One attempt names every damaged file, and shows the reads of all other files."""
    site.configure(processing=f"processes: {processes}")
    take(site.landing, end)
    names = {f"{name}{end}" for name in DAMAGED}
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


def test_files_that_are_copied_again(site: Site, take: Take) -> None:
    """After all damaged files are copied again, the cell has all its reads and no trace."""
    cell = take(site.landing)
    site.run("poll", check=1)
    for name in DAMAGED:
        path = cell / f"{name}.fastq"
        path.write_bytes(text_of(path.parent.name, int(path.stem.removeprefix("a_"))))
    end_with_summaries(cell)
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


@pytest.mark.parametrize(
    "upstream",
    [False, pytest.param(True, marks=pytest.mark.slow, id="copied from an upstream a moment ago")],
)
def test_the_offered_command_continues_without_the_files(
    site: Site, take: Take, upstream: bool
) -> None:
    """The command of `explain` works as it is printed, and the finished report names the files."""
    there = site.root / "there" if upstream else site.landing
    names = {f"{name}.fastq" for name in DAMAGED}
    there.mkdir(exist_ok=True)
    take(there)
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


def test_damage_in_a_running_cell_withholds_no_other_numbers(site: Site, take: Take) -> None:
    """An ingest that meets a damaged file takes all other outputs, and shows their reads."""
    cell = take(site.landing)
    (cell / "final_summary.txt").unlink()
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


def test_former_results_stay(site: Site, take: Take) -> None:
    """Finished results of an earlier processing are not replaced by those of a failed one."""
    cell = write_cell(site.landing)
    site.run("poll")
    before = {path.name: path.read_bytes() for path in results(site).iterdir() if path.is_file()}
    flag(site, "done").unlink()
    (site.root / "aside").mkdir()
    (cell / "fastq_pass" / "barcode01").rename(site.root / "aside" / "barcode01")
    damaged = take(site.root / "aside")
    (damaged / "fastq_pass" / "barcode01").rename(cell / "fastq_pass" / "barcode01")
    end_with_summaries(cell)
    site.run("retry", RUN, CELL, "--why", "again", check=None)
    site.run("poll", check=1)
    assert flag(site, "failed").exists()
    for name in ("qc.json", "report.html", "manifest.json"):
        assert (results(site) / name).read_bytes() == before[name]


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_names_are_harmless_in_the_command(site: Site, take: Take, kind: str) -> None:
    """A name is quoted in the command, or the command does not contain it."""
    damaged = HOSTILE[kind](take(site.landing, kind))
    site.run("poll", check=1)
    command = accept_command(site)
    assert "\n" not in command
    if command.startswith("mkdir"):
        run_command(site, command)
        assert not damaged.exists()
        assert not list(site.root.rglob("x"))


def test_damaged_sequencing_summaries(site: Site, take: Take) -> None:
    """They are named in notes and do not stop the cell; what can be read of them is copied."""
    take(site.landing, "summaries")
    site.run("poll")
    qc = qc_of(site)
    assert (qc["state"], qc["total"]["reads"]) == ("complete", 12)
    assert [each["source"] for each in qc["sequencing_summaries"]] == [
        name for name in SUMMARIES if not name.endswith(".gz")
    ]
    expected = {
        "_a.txt ends in the middle of a line: it is cut off",
        "_b.txt.gz: truncated gzip: the file ends in the middle of a member",
        "_c\\n<b>.txt does not begin with the names of its columns",
        "_d.txt does not begin with the names of its columns",
        "_e.txt: not a regular file but a symbolic link",
    }
    assert len(qc["notes"]) == len(expected)
    page = (results(site) / "report.html").read_text()
    for note, words in zip(qc["notes"], sorted(expected), strict=True):
        assert words in note
        assert html.escape(note, quote=False) in page
    for each in qc["sequencing_summaries"]:
        copy = gzip.decompress((results(site) / each["file"]).read_bytes())
        assert copy == SUMMARIES[each["source"]]
    site.run("verify", RUN, CELL)
