"""Events: when each is reported, when it is new, and when nothing is reported."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hesiod_watch.core.model import (
    LOCAL,
    Attempt,
    Cell,
    CellFlags,
    CellId,
    Claim,
    Flag,
    Liveness,
    Outbox,
    Owner,
    Policy,
    RunName,
    RunType,
    Snapshot,
)
from hesiod_watch.rules.events import (
    EVENTS,
    addressed,
    default_kinds,
    due,
    happened,
    is_told_complete,
)

NOW = datetime(2026, 11, 22, 22, 0, tzinfo=UTC)
FRESH = Outbox()
RUN = Snapshot(
    RunName("run"),
    Path("/landing/run"),
    has_pipeline=True,
    upstream=LOCAL,
    output=Path("/out/run"),
    outbox=FRESH,
)
THERE = "host:/data/run"
RUNNING = Cell(CellId("lib", "a"), present=True)
CLAIM = Claim(1, None, None, yielded=False, liveness=Liveness.ALIVE, evidence="")


def flag(text: str | None = "because", *, regular: bool = True) -> Flag:
    return Flag("flag", 1.0, regular, text=text)


READY = replace(RUNNING, flags=CellFlags(synced=True))
PROCESSING = replace(RUNNING, flags=CellFlags(synced=True, claims=(CLAIM,)))
DONE = replace(RUNNING, flags=CellFlags(synced=True, done=flag("done 1")))
FAILED = replace(RUNNING, flags=CellFlags(synced=True, failed=flag()))
ABORTED = replace(RUNNING, flags=CellFlags(aborted=flag()))
GONE = replace(DONE, present=False)
UPSTREAM_ONLY = replace(RUNNING, present=False, upstream=True)


def other(cell: Cell) -> Cell:
    return replace(cell, id=CellId("lib", "b"))


def due_names(*cells: Cell, **changes: Any) -> list[str]:
    """Names of the events to report about a run with these cells."""
    return [event.name for event in due(replace(RUN, cells=cells, **changes), POLICY, NOW)]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ([], []),
        ([RUNNING], []),
        ([READY], ["cell-ready", "all-cells-run"]),
        ([READY, other(RUNNING)], ["cell-ready"]),
        ([PROCESSING], ["cell-ready", "all-cells-run"]),
        ([DONE], ["cell-ready", "all-cells-run", "cell-done", "run-complete"]),
        ([GONE], ["cell-ready", "all-cells-run", "cell-done", "run-complete"]),
        ([DONE, other(RUNNING)], ["cell-ready", "cell-done"]),
        ([DONE, other(UPSTREAM_ONLY)], ["cell-ready", "cell-done"]),
        ([FAILED], ["cell-ready", "all-cells-run", "cell-failed"]),
        (
            [FAILED, other(DONE)],
            ["cell-ready", "cell-ready", "all-cells-run", "cell-done", "cell-failed"],
        ),
        ([ABORTED], ["cell-aborted"]),
        (
            [ABORTED, other(DONE)],
            ["cell-ready", "all-cells-run", "cell-done", "cell-aborted", "run-complete"],
        ),
    ],
)
def test_cells(cells: list[Cell], expected: list[str]) -> None:
    """Reported events follow from the stages of a run's cells, in the order of EVENTS."""
    assert due_names(*cells) == ["run-new", *expected]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (DONE, DONE, []),
        (DONE, replace(DONE, flags=CellFlags(done=flag("done 2"))), ["cell-done", "run-complete"]),
        (FAILED, FAILED, []),
        (
            FAILED,
            replace(FAILED, flags=CellFlags(synced=True, failed=flag("another"))),
            ["cell-failed"],
        ),
        (FAILED, DONE, ["cell-done", "run-complete"]),
        (DONE, replace(DONE, id=CellId("renamed", "a")), []),
        (DONE, replace(DONE, flags=CellFlags(done=flag("done 1"), synced=False)), []),
        (READY, FAILED, ["cell-failed"]),
        (READY, ABORTED, ["cell-aborted"]),
    ],
)
def test_once(before: Cell, after: Cell, expected: list[str]) -> None:
    """An event is reported once; a flag with new content is a new event."""
    known = frozenset(event.key for event in happened(replace(RUN, cells=(before,)), POLICY, NOW))
    assert due_names(after, outbox=Outbox(reported=known)) == expected


def test_cells_added() -> None:
    """A new cell causes `all-cells-run` and `run-complete` once more."""
    known = frozenset(event.key for event in happened(replace(RUN, cells=(DONE,)), POLICY, NOW))
    assert due_names(DONE, other(RUNNING), outbox=Outbox(reported=known)) == []
    assert due_names(DONE, other(READY), outbox=Outbox(reported=known)) == [
        "cell-ready",
        "all-cells-run",
    ]
    expected = ["cell-ready", "all-cells-run", "cell-done", "run-complete"]
    assert due_names(DONE, other(DONE), outbox=Outbox(reported=known)) == expected


@pytest.mark.parametrize("unreadable", [flag(None), None])
def test_a_flag_that_cannot_be_read_just_now(unreadable: Flag | None) -> None:
    """An unreadable flag is not reported; a flag that is no regular file has no content to read."""
    hidden = replace(DONE, flags=CellFlags(synced=True, done=unreadable))
    assert "cell-done" not in due_names(hidden)
    assert "run-complete" not in due_names(hidden)
    assert "cell-done" in due_names(replace(DONE, flags=CellFlags(done=flag(None, regular=False))))


@pytest.mark.parametrize(
    ("listed_at", "expected"),
    [("", False), (THERE, True), ("host:/other/run", False)],
    ids=["silent", "asked", "other"],
)
def test_only_an_upstream_knows_all_cells(listed_at: str, expected: bool) -> None:
    """A run from an upstream is reported as complete only if that upstream was just queried."""
    names = due_names(DONE, upstream=THERE, listed_at=listed_at)
    assert "cell-done" in names
    assert ("run-complete" in names) is expected
    assert ("all-cells-run" in names) is expected


@pytest.mark.parametrize(
    "changes",
    [
        {"has_pipeline": False, "upstream": None, "outbox": None},
        {"upstream": None},
        {"flags": frozenset({"aborted"})},
        {"problem": "cannot be read"},
        {"outbox": Outbox(problem="cannot be read")},
    ],
)
def test_silence(changes: dict[str, Any]) -> None:
    """No events are reported for runs that are aborted, unreadable or not adopted."""
    assert due_names(DONE, FAILED, **changes) == []


def test_stripped_runs_are_told_of() -> None:
    """A stripped run is reported like any other, because its copies may be found damaged."""
    assert due_names(GONE, flags=frozenset({"stripped"})) == due_names(GONE)


def test_long_names() -> None:
    """Flags with the longest possible names have keys that are unique and valid file names."""
    cells = [replace(DONE, id=CellId("?", "x" * 249 + letter)) for letter in "ab"]
    keys = [event.key for event in due(replace(RUN, cells=tuple(cells)), POLICY, NOW)]
    assert all(len(key) <= 240 for key in keys)
    assert len(set(keys)) == len(keys) == 7


def test_run_failed() -> None:
    """The run's `failed` flag is reported, and again when its content changes."""
    once = replace(RUN, flags=frozenset({"failed"}), flag_texts={"failed": "a"})
    keys = {event.key for event in due(once, POLICY, NOW) if event.name == "run-failed"}
    assert len(keys) == 1
    assert {
        event.key for event in due(replace(once, flag_texts={"failed": "b"}), POLICY, NOW)
    } - keys != set()


def sync(
    reason: str, day: str = "2026-11-22", *, person: bool = True, ending: str = "failed"
) -> Attempt:
    record = {"reason": reason, "needs_person": person, "time": f"{day}T10:00:00+00:00"}
    return Attempt(ending, None, Liveness.DEAD, "", record)


def test_sync_failed() -> None:
    """A sync that needs a person is reported once a day for the same reason.

    Numbers in the reason do not matter.
    """

    def key(last: Attempt) -> str:
        return next(
            (
                event.key
                for event in due(replace(RUN, sync=last), POLICY, NOW)
                if event.name == "sync-failed"
            ),
            "",
        )

    assert key(sync("code 23 after 5 s")) == key(sync("code 11 after 17 s")) != ""
    assert key(sync("code 23")) != key(sync("code 23", "2026-11-23"))
    assert key(sync("code 23")) != key(sync("no such host"))
    assert key(sync("code 23", person=False)) == key(sync("code 23", ending="done")) == ""


def test_copies() -> None:
    """Repeatedly failing backups, damaged copies and marks for deletion are reported."""

    def backup(epoch: int, day: str = "2026-11-22") -> Attempt:
        owner = Owner("t", epoch=epoch)
        return Attempt(
            "failed",
            owner,
            Liveness.DEAD,
            "",
            {"reason": "no route", "ended": f"{day}T10:00:00+00:00"},
        )

    def keys(cell: Cell) -> set[str]:
        known = frozenset(event.key for event in happened(replace(RUN, cells=(DONE,)), POLICY, NOW))
        return {
            event.key
            for event in due(
                replace(RUN, cells=(cell,), outbox=Outbox(reported=known)), POLICY, NOW
            )
        }

    assert keys(replace(DONE, backup=backup(2))) == set()
    assert len(keys(replace(DONE, backup=backup(3)))) == 1
    assert keys(replace(DONE, backup=backup(3))) == keys(replace(DONE, backup=backup(7)))
    assert keys(replace(DONE, backup=backup(3))) != keys(
        replace(DONE, backup=backup(3, "2026-11-23"))
    )
    damage = Attempt("failed", None, Liveness.DEAD, "", {"problems": ["qc.json differs"]})
    assert [key.split(".")[0] for key in keys(replace(DONE, verification=damage))] == [
        "verification-failed"
    ]
    assert keys(replace(DONE, deletable=Attempt("done", None, Liveness.DEAD, ""))) == {
        "cell-deletable.a"
    }
    assert keys(replace(DONE, deletable=Attempt("failed", None, Liveness.DEAD, ""))) == set()


def test_a_run_from_before() -> None:
    """Events of a run without an outbox are reported from now on, unless it is finished."""
    assert due_names(DONE, outbox=None) == []
    assert due_names(FAILED, outbox=None) == []
    assert due_names(DONE, other(RUNNING), outbox=None) == ["run-new"]
    assert due_names(outbox=None) == ["run-new"]


def test_complete_is_told() -> None:
    """A run counts as reported complete only with its current cells."""
    known = Outbox(
        reported=frozenset(
            event.key for event in happened(replace(RUN, cells=(DONE,)), POLICY, NOW)
        )
    )
    assert is_told_complete(replace(RUN, cells=(DONE,), outbox=known))
    assert is_told_complete(replace(RUN, cells=(DONE,), outbox=known, upstream=THERE))
    assert not is_told_complete(replace(RUN, cells=(DONE, other(DONE)), outbox=known))
    assert not is_told_complete(replace(RUN, cells=(DONE,)))
    assert not is_told_complete(replace(RUN, cells=(DONE,), outbox=None))


POLICY = Policy(
    types=(RunType("quiet", "q.*", notify=False), RunType("rest", ".*")),
    channels={"rt": {"cell-done": "reply", "run-new": "nothing"}, "chat": {"cell-done": "comment"}},
)


@pytest.mark.parametrize(
    ("event", "run", "expected"),
    [
        ("cell-done", "run", {"rt": "reply", "chat": "comment"}),
        ("run-new", "run", {}),
        ("cell-failed", "run", {}),
        ("cell-done", "quiet one", {}),
    ],
)
def test_addressed(event: str, run: str, expected: dict[str, str]) -> None:
    """A message is for the channels that want its event, unless its run's type has no messages."""
    assert addressed(event, replace(RUN, run=RunName(run)), POLICY) == expected


def test_the_table() -> None:
    """Each event has a default form, a description, and a name that can begin a file name."""
    assert set(default_kinds().values()) <= {"comment", "reply"}
    for name, kind in EVENTS.items():
        assert name == name.lower().strip("-")
        assert len(name) <= 30
        assert kind.says
    everything = replace(RUN, cells=(DONE, other(FAILED)), flags=frozenset({"failed"}))
    assert all(event.key.split(".")[0] == event.name for event in happened(everything, POLICY, NOW))
