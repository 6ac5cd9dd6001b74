"""Cells declared complete by a person or by the program, and what a retry withdraws."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from open_runs import pipeline_at

from hesiod_watch.core.errors import FlagExists
from hesiod_watch.core.model import Cell, CellId, Stage
from hesiod_watch.host import process
from hesiod_watch.rules.stages import stage_of
from hesiod_watch.runs import flags

CELL = CellId("lib", "20190710_1723_2-A5-D5_PAD38578_c6ded78b")
STEM = CELL.stem
SYNCED = flags.synced(STEM)
ME = process.this_owner("process", "local")
TOUCH_ATOMIC = Path(__file__).parents[2] / "bin" / "hesiod-touch-atomic"
OF_0_1_0 = (
    '{"token": "0123456789abcdef0123456789abcdef", '
    '"why": "all files announced are here: 2 FASTQ files", '
    f'"cell": "{CELL}", "version": "0.1.0", "time": "2026-11-22T10:15:00+00:00"}}\n'
)


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    path = tmp_path / "pipeline"
    path.mkdir()
    return path


def make_by_program(pipeline: Path) -> None:
    (pipeline / SYNCED).write_text(OF_0_1_0)


def make_unreadable(pipeline: Path) -> None:
    """Make a flag larger than any flag may be, so that it is not read."""
    (pipeline / SYNCED).write_bytes(b"x" * 100_000)


def make_link(pipeline: Path) -> None:
    (pipeline / "elsewhere").touch()
    (pipeline / SYNCED).symlink_to("elsewhere")


@pytest.mark.parametrize(
    ("make", "synced", "accepted"),
    [
        pytest.param(make_by_program, True, False, id="by 0.1.0"),
        pytest.param(lambda pipeline: (pipeline / SYNCED).touch(), True, True, id="touch"),
        pytest.param(
            lambda pipeline: subprocess.run([TOUCH_ATOMIC, pipeline / SYNCED], check=True),
            True,
            True,
            id="touch-atomic",
        ),
        pytest.param(
            lambda pipeline: (pipeline / SYNCED).write_text("the rest is lost\n"),
            True,
            True,
            id="a sentence",
        ),
        pytest.param(
            lambda pipeline: (pipeline / SYNCED).write_text('{"why": "x"}'),
            True,
            True,
            id="foreign record",
        ),
        pytest.param(make_unreadable, True, False, id="unreadable"),
        pytest.param(make_link, False, False, id="link"),
        pytest.param(lambda pipeline: None, False, False, id="none"),
    ],
)
def test_who_made_it(
    make: Callable[[Path], object], synced: bool, accepted: bool, pipeline: Path
) -> None:
    """`synced` with the program's record is the program's; any other readable one is a person's."""
    make(pipeline)
    listing = flags.read_flags(pipeline_at(pipeline))
    found = listing.cell(STEM, process.judge_here)
    assert (found.synced, found.accepted) == (synced, accepted)
    assert listing.accepted(STEM) is accepted


@pytest.mark.parametrize(
    ("by_program", "recount", "stays"),
    [(True, True, False), (True, False, True), (False, True, True)],
    ids=["program's record, recount", "program's record, no recount", "person's flag, recount"],
)
def test_recount(by_program: bool, recount: bool, stays: bool, pipeline: Path) -> None:
    """A retry withdraws only the program's own record; a person's flag stays."""
    (pipeline / SYNCED).write_text(OF_0_1_0 if by_program else "")
    (pipeline / flags.failed(STEM)).touch()
    drawer = flags.archive_flags(pipeline_at(pipeline), STEM, why="", recount=recount)
    assert drawer
    assert (pipeline / SYNCED).exists() is stays
    assert (drawer / SYNCED).exists() is not stays
    assert not (pipeline / flags.failed(STEM)).exists()


def test_recount_without_failure(pipeline: Path) -> None:
    """If a retry has nothing else to move, the program's record stays."""
    make_by_program(pipeline)
    assert flags.archive_flags(pipeline_at(pipeline), STEM, why="", recount=True) is None
    assert (pipeline / SYNCED).exists()


@pytest.mark.parametrize("failed", [True, False], ids=["failed", "lost worker"])
@pytest.mark.parametrize("call", ["link", "unlink", "mkdir", "rename", "fsync"])
def test_recount_stopped_anywhere(
    call: str, failed: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """After a kill before any call, no pass finds the cell ready; the same retry moves the rest."""

    def stopped_before(number: int, place: Path) -> bool:
        """Run the retry, killed before the n-th call; returns whether there was such a call."""
        place.mkdir(parents=True)
        make_by_program(place)
        flags.create(pipeline_at(place), flags.started(STEM), ME)
        flags.create(pipeline_at(place), flags.worker(STEM), ME)
        if failed:
            flags.create(pipeline_at(place), flags.failed(STEM), {"why": "a test"})
        real: Callable[..., Any] = getattr(os, call)
        left = [number]

        def stopping(*arguments: Any, **options: Any) -> Any:
            if left[0] == 0:
                raise KeyboardInterrupt
            left[0] -= 1
            return real(*arguments, **options)

        with monkeypatch.context() as patched:
            patched.setattr(os, call, stopping)
            try:
                flags.archive_flags(pipeline_at(place), STEM, why="", recount=True)
            except KeyboardInterrupt:
                return True
        return False

    number = 0
    while stopped_before(number, place := tmp_path / str(number) / "pipeline"):
        listing = flags.read_flags(pipeline_at(place))
        if listing.stems:  # otherwise the kill came after the move of the last flag
            stage = stage_of(Cell(CELL, present=True, flags=listing.cell(STEM, process.judge_here)))
            assert stage is Stage.FAILED or (stage is Stage.PROCESSING and not failed)
            with pytest.raises(FlagExists):
                flags.claim_cell(pipeline_at(place), STEM, ME, judge=process.judge_here)
            flags.archive_flags(pipeline_at(place), STEM, why="", recount=True)
        assert flags.read_flags(pipeline_at(place)).stems == set()
        number += 1
    assert number
