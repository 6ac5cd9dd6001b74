"""Steps for a person after a cell has failed because of damaged source files."""

from __future__ import annotations

import json
from typing import Any

import pytest
from snapshots import cell, flag, run

from hesiod_watch.core.model import Cell, Snapshot
from hesiod_watch.rules.damaged_sources import steps

THERE = "prom@host:/data/run"
RETRY = "hesiod-watch retry run lib/cell --why …"
SYNCED = "/landing/run/pipeline/cell.synced"
ACCEPT = f"rm -f {SYNCED} && hesiod-touch-atomic {SYNCED}"
NAMES = tuple(f"pass/{number}.fastq" for number in range(21))
LAST = "last: if the files are lost, continue without their reads: "
BY_HAND = f"{LAST}move the named files out of /landing/run/lib/cell, then {ACCEPT} && {RETRY}"


def damaged(*names: str, number: int | None = None) -> Cell:
    """A cell whose flag `failed` names damaged files, and says how many there are."""
    record = {"damaged": names} if number is None else {"damaged": names, "damaged_files": number}
    return cell(failed=flag(json.dumps(record)))


def said(found: Cell, **facts: Any) -> list[str]:
    return list(steps(run(found, **facts), found))


def shown(snapshot: Snapshot, found: Cell) -> str:
    """Names of the first step, which says what to copy again."""
    return next(steps(snapshot, found)).partition("lib/cell: ")[2].rpartition("; then ")[0]


def without(*files: str) -> str:
    """The last step, if its commands can be typed as they are."""
    names = " ".join(files)
    return (
        f"{LAST}mkdir -p /output/run/lib/cell/removed && (cd /landing/run/lib/cell"
        f" && cp -a --parents -t /output/run/lib/cell/removed -- {names}"
        f" && rm -- {names}) && {ACCEPT} && {RETRY}"
    )


@pytest.mark.parametrize("upstream", ["LOCAL", None])
def test_files_of_a_local_run(upstream: str | None) -> None:
    """The files are copied into the landing area, or their reads are given up by commands."""
    assert said(damaged("a.fastq", "b.fastq"), upstream=upstream) == [
        "copy the damaged files again from the sequencer into /landing/run/lib/cell:"
        f" a.fastq, b.fastq; then {RETRY}",
        without("a.fastq", "b.fastq"),
    ]


def test_files_of_an_upstream() -> None:
    """Files are mended where the run comes from: the next sync copies them."""
    assert said(damaged("a.fastq"), upstream=THERE) == [
        f"have the damaged files copied again from {THERE}/lib/cell: a.fastq; {RETRY}:"
        " the next sync compares every file with those there, and copies what differs",
        without("a.fastq"),
    ]


@pytest.mark.parametrize(
    ("named", "number", "more"),
    [
        pytest.param(20, None, 0, id="20 names and no number"),
        pytest.param(20, 20, 0, id="all are shown"),
        pytest.param(21, None, 1, id="one name too many"),
        pytest.param(20, 21, 1, id="one is not named"),
        pytest.param(21, 99, 79, id="most are not named"),
        pytest.param(2, 99, 97, id="the names are long"),
    ],
)
def test_more_files_than_are_shown(named: int, number: int | None, more: int) -> None:
    """A step names 20 files; commands are offered only if they do it for every file."""
    found = damaged(*NAMES[:named], number=number)
    snapshot = run(found)
    names = NAMES[: min(named, 20)]
    files = "1 more file" if more == 1 else f"{more} more files"
    rest = f" and {files} (all are named in /output/run/lib/cell/qc.json)" if more else ""
    assert shown(snapshot, found) == ", ".join(names) + rest
    assert said(found)[-1] == (BY_HAND if more else without(*names))


@pytest.mark.parametrize(
    ("name", "output"),
    [("a.fastq", None), ("a\n.fastq", "/output/run"), ("a\u202e.fastq", "/output/run")],
    ids=["no place to keep them", "a line end", "invisible"],
)
def test_without_commands(name: str, output: str | None) -> None:
    """A person moves the files where no command can: no results, or a name shown otherwise."""
    steps_shown = said(damaged(name), output=output)
    assert steps_shown[-1] == BY_HAND
    assert steps_shown[0].isprintable()


@pytest.mark.parametrize(
    "found",
    [cell(), cell(failed=flag("no space")), damaged(), damaged(number=3)],
    ids=["not failed", "failed otherwise", "no names", "a number without names"],
)
def test_other_cells(found: Cell) -> None:
    """A cell without named files has none of these steps."""
    assert said(found) == []
