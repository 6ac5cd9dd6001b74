"""Marks that exist already, marks that come too late, and runs of several stripped cells.

Backups are mounted for the test, which needs root: copies on one device count once.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from facility_world import CELL, World, said
from mounts import needs_mounts

from hesiod_watch.actions import mark_deletable
from hesiod_watch.core.errors import TemporaryError
from hesiod_watch.core.times import time_of
from hesiod_watch.rules.deletion_marks import EVIDENCE, LIST, DeletionMark, read_marks

pytestmark = needs_mounts

LASTS = timedelta(days=7)
CHANGED: dict[str, Callable[[DeletionMark], dict[str, Any]]] = {
    "another number of files": lambda mark: {"files": mark.files + 1},
    "another number of bytes": lambda mark: {"bytes": mark.bytes - 1},
    "other files": lambda mark: {"digest": "0" * 32},
    "of the library's former name": lambda mark: {"place": f"alpha/former/{CELL.name}"},
    "less than half of its time left": lambda mark: {"until": end_of(mark) - LASTS / 2},
    "longer than marks last": lambda mark: {"until": end_of(mark) + timedelta(hours=1)},
}


def end_of(mark: DeletionMark) -> datetime:
    assert mark.until is not None
    return mark.until


def marks(world: World) -> list[DeletionMark]:
    """Marks in the list on the sequencer, in their order."""
    lines = (world.root / "sequencer" / LIST).read_bytes().splitlines()
    return [mark for line in lines[1:] for mark in read_marks(lines[0] + b"\n" + line).values()]


def rewrite(world: World, mark: DeletionMark) -> None:
    """Let the list have this mark only."""
    listed = world.root / "sequencer" / LIST
    head = listed.read_text().splitlines()[0]
    listed.write_text(f"{head}\n{mark.line()}\n")


def test_a_mark_is_recorded_completely(world: World) -> None:
    """The list, its evidence and the flag agree, also if the mark was made by an earlier attempt.

    A mark with more than half of its time left is not written again.
    """
    world.perform("deletable")
    (mark,) = marks(world)
    assert (mark.run, mark.place) == (world.run_dir.name, f"alpha/{CELL}")
    assert end_of(mark) - mark.made == LASTS
    assert (mark.files, mark.bytes) == (len(world.truth), sum(map(len, world.truth.values())))
    evidence = (world.root / "sequencer" / EVIDENCE / mark.evidence).read_bytes()
    for name, content in world.truth.items():
        line = f"{hashlib.md5(content, usedforsecurity=False).hexdigest()}  ./{name}"
        assert line.encode() in evidence
    kept = replace(mark, until=end_of(mark) - LASTS / 2 + timedelta(hours=1))
    rewrite(world, kept)
    for expected in (mark, kept):
        record = said(world, "deletable.done")
        assert (record["marked"], record["files"], record["bytes"]) == (
            True,
            mark.files,
            mark.bytes,
        )
        assert (record["inventory"], record["evidence"]) == (mark.digest, mark.evidence)
        assert record["places"] == ["backup backup1", "backup backup2", "landing", "output"]
        assert time_of(str(record["until"])) == expected.until
        assert str(record["reason"]).endswith(f"copies: {mark.said}")
        world.perform("deletable")
        assert marks(world) == [kept]


def test_a_mark_that_says_something_else_is_replaced(world: World) -> None:
    """A mark of other files, or with the wrong end, gets a new line, which is what holds."""
    world.perform("deletable")
    (mark,) = marks(world)
    for why, changed in CHANGED.items():
        rewrite(world, replace(mark, **changed(mark)))
        world.perform("deletable")
        assert len(marks(world)) == 2, why
        last = marks(world)[-1]
        assert (last.place, last.digest, last.files, last.bytes) == (
            mark.place,
            mark.digest,
            mark.files,
            mark.bytes,
        ), why
        assert end_of(last) - last.made == LASTS, why


def test_every_standing_mark_is_revoked(world: World) -> None:
    """Without a proof, the marks of the cell under all names of its library are revoked."""
    world.perform("deletable")
    (mark,) = marks(world)
    former = replace(mark, place=f"alpha/former/{CELL.name}")
    with (world.root / "sequencer" / LIST).open("a") as listed:
        listed.write(f"{former.line()}\n")
    (world.pipeline / f"{CELL.stem}.aborted").touch()
    assert "aborted" in world.try_to(lambda: world.perform("deletable"))
    revoked = [each for each in marks(world) if each.word == "revoked"]
    assert sorted(each.place for each in revoked) == sorted([mark.place, former.place])
    assert all("aborted" in each.said and each.run == world.run_dir.name for each in revoked)
    assert said(world, "deletable.failed")["marked"] is False


def test_a_proof_that_expires_marks_nothing(world: World) -> None:
    """If the proof expires before its mark is written, the list and the flag stay as they were."""

    def perform_late() -> None:
        proof_made = datetime.now(UTC)
        times = itertools.chain([proof_made], itertools.repeat(proof_made + timedelta(minutes=11)))
        with pytest.raises(TemporaryError, match="expired before its mark was written"):
            mark_deletable.perform(world.job("deletable"), clock=lambda: next(times))

    perform_late()
    assert world.marked() == ""
    assert said(world, "deletable.failed")["marked"] is False
    world.perform("deletable")
    (mark,) = marks(world)
    other = replace(mark, digest="0" * 32)
    rewrite(world, other)
    perform_late()
    assert marks(world) == [other]
    assert said(world, "deletable.failed")["marked"] is True


def test_a_run_is_stripped_with_its_last_cell(world: World) -> None:
    """A run is flagged only if each other cell is stripped with success, or disregarded."""
    other = replace(CELL, name="20261122_2211_1B_PAW00002_1a2b3c4d")
    (world.run_dir / str(other)).mkdir()
    for flag, stripped in (("done", False), ("strip.failed", False), ("strip.done", True)):
        (world.pipeline / f"{other.stem}.{flag}").write_text("{}\n")
        world.perform("strip")
        assert ("stripped" in world.flags()) is stripped, flag
        (world.pipeline / f"{other.stem}.{flag}").unlink()
