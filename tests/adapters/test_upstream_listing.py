"""Listing an upstream with the real find and md5sum under every installed shell.

A partial response is never taken for a complete one.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from unprivileged import UNPRIVILEGED, needs_unprivileged
from upstream_cells import CELL, ODD_NAMES, make_cell

from hesiod_watch.config import UpstreamSettings
from hesiod_watch.core import naming
from hesiod_watch.core.inventory import (
    CELLS,
    CHECKSUMS,
    FILES,
    names_given,
    question,
    read_checksums,
    read_files,
    records,
)
from hesiod_watch.core.model import CellId
from hesiod_watch.host.command import CommandResult, run
from hesiod_watch.remote.sequencer.listing import UpstreamListing, UpstreamRun, list_upstream

SHELLS = [["sh"], ["bash"], ["dash"], ["busybox", "sh"]]


def ask(
    shell: Sequence[str], script: str, directory: Path, given: bytes = b""
) -> tuple[list[bytes], int]:
    if not shutil.which(shell[0]):
        pytest.skip(f"{shell[0]} is not installed")
    command = [*shell, *question(script, str(directory))[1:]]
    return records(subprocess.run(command, input=given, capture_output=True).stdout)


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_files_are_listed_exactly(shell: Sequence[str], tmp_path: Path) -> None:
    """Every entry of a cell is listed with its size and exact times, under any name."""
    cell = make_cell(tmp_path / "run", odd=True)
    (cell / "link").symlink_to("odd/\n")
    os.mkfifo(cell / "fifo")
    os.utime(cell / "fastq_pass" / "plain.fastq", ns=(0, 1_700_000_000_123_456_789))
    there = read_files(ask(shell, FILES, cell)[0])
    expected = {str(path.relative_to(cell)) for path in cell.rglob("*")}
    assert set(there.entries) == expected
    for name, entry in there.entries.items():
        status = (cell / name).lstat()
        assert entry.mtime_ns == status.st_mtime_ns
        assert entry.ctime_ns == status.st_ctime_ns
        assert entry.kind != "f" or entry.size == status.st_size
    assert there.entries["link"].target == "odd/\n"
    assert there.entries["fifo"].kind == "o"


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_checksums_of_odd_names(shell: Sequence[str], tmp_path: Path) -> None:
    """Every named file gets its checksum; a missing file does not affect the others."""
    cell = make_cell(tmp_path / "run", odd=True)
    names = [str(path.relative_to(cell)) for path in cell.rglob("*") if path.is_file()]
    answer, code = ask(shell, CHECKSUMS, cell, names_given([*names, "fastq_pass/gone"]))
    assert code != 0
    assert read_checksums(answer) == {name: md5(cell / name) for name in names}


def test_leftovers_of_copying_are_not_listed(tmp_path: Path) -> None:
    """Partial files of an earlier copy to the upstream are not data."""
    cell = make_cell(tmp_path / "run")
    (cell / "fastq_pass" / ".hesiod-watch-partial").mkdir()
    (cell / "fastq_pass" / ".hesiod-watch-partial" / "x.fastq").touch()
    assert not [
        name for name in read_files(ask(["sh"], FILES, cell)[0]).entries if "partial" in name
    ]


def upstream(directory: Path) -> UpstreamSettings:
    return UpstreamSettings("mounted", str(directory))


def test_runs_and_cells(tmp_path: Path) -> None:
    """Runs and their cells are listed in natural order with their locations."""
    second = CellId("lib 1", "20190711_1723_2-A5-D5_PAD38579_c6ded78c")
    recalled = CellId("other", f"{CELL.name}.2")
    for name, cell in (
        ("run10", CELL),
        ("run9", CELL),
        ("My Exp", second),
        ("My Exp", recalled),
        ("My Exp", CELL),
    ):
        make_cell(tmp_path / name, cell)
    assert list_upstream(upstream(tmp_path)) == UpstreamListing(
        (
            UpstreamRun("My Exp", f"{tmp_path}/My Exp", (CELL, second, recalled)),
            UpstreamRun("run9", f"{tmp_path}/run9", (CELL,)),
            UpstreamRun("run10", f"{tmp_path}/run10", (CELL,)),
        ),
    )
    assert list_upstream(upstream(tmp_path)).runs[0].first_cell_date == "20190710"


def test_entries_that_are_not_data(tmp_path: Path) -> None:
    """Hidden names, links, empty runs, our own directories and test cells are skipped."""
    make_cell(tmp_path / ".hidden")
    make_cell(tmp_path / "lost+found")
    make_cell(tmp_path / "real" / "pipeline")
    make_cell(tmp_path / "real", CellId("pipeline", CELL.name))
    make_cell(tmp_path / "real", CellId("lib", "20190710_1723_2-A5-D5_CTC00001_c6ded78b"))
    make_cell(tmp_path / "real", CellId(".lib", CELL.name))
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "empty").mkdir()
    (tmp_path / "persistence" / "sets" / "a").mkdir(parents=True)
    (tmp_path / "file").touch()
    assert list_upstream(upstream(tmp_path)) == UpstreamListing()


def test_odd_names_are_quarantined(tmp_path: Path) -> None:
    """Invalid names of runs, libraries or cells are shown with a reason and never listed."""
    bad = [name for name in ODD_NAMES if naming.run_problem(name) and not name.startswith(".")]
    assert len(bad) > 30
    cells = [f"20190710_1723_{name[:100]}_PAD1_c6ded78b" for name in bad]
    cells = [name for name in cells if naming.cell_problem(name)]
    for name in bad:
        make_cell(tmp_path / name)
        make_cell(tmp_path / "run", CellId(name, CELL.name))
    for name in cells:
        make_cell(tmp_path / "run", CellId("lib", name))
    listing = list_upstream(upstream(tmp_path))
    assert (listing.problem, listing.runs) == ("", ())
    expected = [*bad, *(f"run/{name}" for name in bad), *(f"run/lib/{name}" for name in cells)]
    assert sorted(each.name for each in listing.quarantined) == sorted(
        map(naming.display, expected)
    )
    assert all(each.why for each in listing.quarantined)


def test_twins_are_quarantined(tmp_path: Path) -> None:
    """Two cells of one name would share their flags: neither is listed."""
    make_cell(tmp_path / "run", CellId("a", CELL.name))
    make_cell(tmp_path / "run", CellId("b", CELL.name))
    listing = list_upstream(upstream(tmp_path))
    assert listing.runs == ()
    assert [each.name for each in listing.quarantined] == [
        f"run/a/{CELL.name}",
        f"run/b/{CELL.name}",
    ]


def answering(
    change: Callable[[bytes], bytes], code: int = 0, reason: str = ""
) -> Callable[..., CommandResult]:
    """A command runner with a bad line: it changes each response."""

    def bad_line(command: Sequence[str], **options: object) -> CommandResult:
        ended = run(command, quiet=60)
        return CommandResult(code or ended.code, change(ended.output), ended.errors, reason)

    return bad_line


@pytest.mark.parametrize(
    ("change", "code", "reason", "expected"),
    [
        pytest.param(lambda data: data[:-1], 0, "", "cut short", id="last byte missing"),
        pytest.param(
            lambda data: data[: len(data) // 2],
            255,
            "",
            "cut short; ssh could not connect",
            id="half missing",
        ),
        pytest.param(
            lambda data: b"", 255, "", "no answer came; ssh could not connect", id="empty, code 255"
        ),
        pytest.param(
            lambda data: b"",
            0,
            "",
            "no answer came; the command ended without an error",
            id="empty, code 0",
        ),
        pytest.param(
            lambda data: data,
            0,
            "nothing came for 70 s",
            "does not answer: nothing came",
            id="timeout",
        ),
        pytest.param(
            lambda data: b"This account is not available.\n",
            1,
            "",
            "no answer came",
            id="another text",
        ),
    ],
)
def test_incomplete_response(
    change: Callable[[bytes], bytes], code: int, reason: str, expected: str, tmp_path: Path
) -> None:
    """An incomplete response is a problem, and never an upstream with fewer runs."""
    make_cell(tmp_path / "run")
    listing = list_upstream(upstream(tmp_path), runner=answering(change, code, reason))
    assert expected in listing.problem
    assert listing.runs == ()


def test_missing_directory(tmp_path: Path) -> None:
    """A directory that is missing is a problem; an empty one is not."""
    assert list_upstream(upstream(tmp_path)).problem == ""
    assert "can't cd to" in (problem := list_upstream(upstream(tmp_path / "gone")).problem)
    assert str(tmp_path / "gone") in problem


def test_directory_that_cannot_be_read(tmp_path: Path) -> None:
    """An unreadable directory is reported, and the rest is listed."""
    make_cell(tmp_path / "run")
    answer = (
        b"hesiod-watch answers\0drun\0ulost\0drun/lib 1\0drun/lib 1/" + CELL.name.encode() + b"\0"
    )
    listing = list_upstream(
        upstream(tmp_path), runner=answering(lambda data: answer + b"hesiod-watch ends 0\0")
    )
    assert [(each.name, each.why) for each in listing.quarantined] == [
        ("lost", "it cannot be read")
    ]
    assert [run.cells for run in listing.runs] == [(CELL,)]


def unprivileged(command: Sequence[str], **how: Any) -> CommandResult:
    """Run a command without the right of root to read every file."""
    return run([*UNPRIVILEGED, *command], **how)


@needs_unprivileged
def test_permission_denied(tmp_path: Path) -> None:
    """A real directory without permission is reported, and the rest is listed."""
    make_cell(tmp_path / "run")
    (tmp_path / "closed").mkdir(mode=0)
    listing = list_upstream(upstream(tmp_path), runner=unprivileged)
    assert [each.name for each in listing.quarantined] == ["closed"]
    assert [run.cells for run in listing.runs] == [(CELL,)]


def test_incomplete_listing(tmp_path: Path) -> None:
    """After an error of find, its results are listed, and the listing is called incomplete."""
    make_cell(tmp_path / "run")
    listing = list_upstream(
        upstream(tmp_path), runner=answering(lambda data: data.replace(b"ends 0", b"ends 1"))
    )
    assert [run.cells for run in listing.runs] == [(CELL,)]
    assert "cannot be listed in full" in listing.problem


def test_local_is_not_queried() -> None:
    """LOCAL, the landing area itself, is not queried."""
    assert list_upstream(UpstreamSettings("local", "LOCAL")) == UpstreamListing()


def test_script_is_one_line() -> None:
    """Scripts for a login shell contain no newline and no `!`, which csh expands in quotes."""
    assert not set("\n!'") & set(CELLS + FILES + CHECKSUMS)
