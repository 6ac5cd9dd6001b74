"""Events: when each is reported, when it is new, and when nothing is reported."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from snapshots import attempt, cell, claim, flag, run

from hesiod_watch.core.events import Event
from hesiod_watch.core.model import Cell, CellId, Policy, RunType, Snapshot
from hesiod_watch.core.ownership import Attempt, Flag, Owner
from hesiod_watch.core.queued_messages import Outbox
from hesiod_watch.rules.events import (
    EVENTS,
    addressed,
    default_kinds,
    due,
    happened,
    is_reported_complete,
)

NOW = datetime(2026, 11, 22, 22, 0, tzinfo=UTC)
THERE = "host:/data/run"
RUNNING = cell("a")
READY = cell("a", synced=True)
PROCESSING = cell("a", synced=True, claims=(claim(),))
DONE = cell("a", synced=True, done=flag("done 1"))
FAILED = cell("a", synced=True, failed=flag())
ABORTED = cell("a", aborted=flag())
GONE = cell("a", present=False, synced=True, done=flag("done 1"))


def other(one: Cell) -> Cell:
    """Another cell in the same state."""
    return replace(one, id=CellId("lib", "b"))


def unreported_run(*cells: Cell, **facts: Any) -> Snapshot:
    """A run with these cells; no event of it has been reported yet."""
    return run(*cells, **({"outbox": Outbox()} | facts))


def all_reported(*cells: Cell) -> Outbox:
    """An outbox in which all events of a run with these cells are reported."""
    return Outbox(
        reported=frozenset(event.key for event in happened(unreported_run(*cells), POLICY, NOW))
    )


def due_names(*cells: Cell, **facts: Any) -> list[str]:
    """Names of the events to report about a run with these cells."""
    return [event.name for event in due(unreported_run(*cells, **facts), POLICY, NOW)]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        pytest.param([], [], id="no cells"),
        pytest.param([RUNNING], [], id="running"),
        pytest.param([READY], ["cell-ready", "all-cells-run"], id="ready"),
        pytest.param([READY, other(RUNNING)], ["cell-ready"], id="ready, running"),
        pytest.param([PROCESSING], ["cell-ready", "all-cells-run"], id="processing"),
        pytest.param(
            [DONE], ["cell-ready", "all-cells-run", "cell-done", "run-complete"], id="done"
        ),
        pytest.param(
            [GONE], ["cell-ready", "all-cells-run", "cell-done", "run-complete"], id="gone"
        ),
        pytest.param([DONE, other(RUNNING)], ["cell-ready", "cell-done"], id="done, running"),
        pytest.param(
            [DONE, cell("b", present=False, upstream=True)],
            ["cell-ready", "cell-done"],
            id="done, only upstream",
        ),
        pytest.param([FAILED], ["cell-ready", "all-cells-run", "cell-failed"], id="failed"),
        pytest.param(
            [FAILED, other(DONE)],
            ["cell-ready", "cell-ready", "all-cells-run", "cell-done", "cell-failed"],
            id="failed, done",
        ),
        pytest.param([ABORTED], ["cell-aborted"], id="aborted"),
        pytest.param(
            [ABORTED, other(DONE)],
            ["cell-ready", "all-cells-run", "cell-done", "cell-aborted", "run-complete"],
            id="aborted, done",
        ),
    ],
)
def test_cells(cells: list[Cell], expected: list[str]) -> None:
    """Reported events follow from the stages of a run's cells, in the order of EVENTS."""
    assert due_names(*cells) == ["run-new", *expected]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param(DONE, DONE, [], id="still done"),
        pytest.param(
            DONE, cell("a", done=flag("done 2")), ["cell-done", "run-complete"], id="done again"
        ),
        pytest.param(FAILED, FAILED, [], id="still failed"),
        pytest.param(
            FAILED,
            cell("a", synced=True, failed=flag("another")),
            ["cell-failed"],
            id="failed again",
        ),
        pytest.param(FAILED, DONE, ["cell-done", "run-complete"], id="done after all"),
        pytest.param(
            DONE,
            cell("a", library="renamed", synced=True, done=flag("done 1")),
            [],
            id="library renamed",
        ),
        pytest.param(DONE, cell("a", done=flag("done 1")), [], id="synced removed"),
        pytest.param(READY, FAILED, ["cell-failed"], id="failed"),
        pytest.param(READY, ABORTED, ["cell-aborted"], id="aborted"),
    ],
)
def test_each_event_is_reported_once(before: Cell, after: Cell, expected: list[str]) -> None:
    """An event is reported once; a flag with new content is a new event."""
    assert due_names(after, outbox=all_reported(before)) == expected


def test_cells_added() -> None:
    """A new cell causes `all-cells-run` and `run-complete` once more."""
    known = all_reported(DONE)
    assert due_names(DONE, other(RUNNING), outbox=known) == []
    assert due_names(DONE, other(READY), outbox=known) == [
        "cell-ready",
        "all-cells-run",
    ]
    expected = ["cell-ready", "all-cells-run", "cell-done", "run-complete"]
    assert due_names(DONE, other(DONE), outbox=known) == expected


@pytest.mark.parametrize("unreadable", [Flag("flag", 1.0), None], ids=["not read", "not seen"])
def test_unreadable_flags(unreadable: Flag | None) -> None:
    """An unreadable flag is not reported; a flag that is no regular file has no content to read."""
    hidden = cell("a", synced=True, done=unreadable)
    assert "cell-done" not in due_names(hidden)
    assert "run-complete" not in due_names(hidden)
    assert "cell-done" in due_names(cell("a", done=Flag("flag", 1.0, regular=False)))


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
    ids=["not taken up", "upstream unknown", "aborted", "run unreadable", "outbox unreadable"],
)
def test_silence(changes: dict[str, Any]) -> None:
    """No events are reported for runs that are aborted, unreadable or not adopted."""
    assert due_names(DONE, FAILED, **changes) == []


def test_stripped_runs_are_reported() -> None:
    """A stripped run is reported like any other, because its copies may be found damaged."""
    assert due_names(GONE, flags=frozenset({"stripped"})) == due_names(GONE)


def test_long_names() -> None:
    """Flags with the longest possible names have keys that are unique and valid file names."""
    cells = [cell("x" * 249 + character, "?", synced=True, done=flag()) for character in "ab"]
    keys = [event.key for event in due(unreported_run(*cells), POLICY, NOW)]
    assert all(len(key) <= 240 for key in keys)
    assert len(set(keys)) == len(keys) == 7


def test_failed_runs_are_reported() -> None:
    """The run's `failed` flag is reported, and again when its content changes."""

    def events(text: str) -> tuple[Event, ...]:
        failed = unreported_run(flags=frozenset({"failed"}), flag_texts={"failed": text})
        return due(failed, POLICY, NOW)

    keys = {event.key for event in events("a") if event.name == "run-failed"}
    assert len(keys) == 1
    assert {event.key for event in events("b")} - keys != set()


def sync(
    reason: str, day: str = "2026-11-22", *, person: bool = True, outcome: str = "failed"
) -> Attempt:
    last = attempt(outcome, reason=reason, needs_person=person)
    return replace(last, owner=Owner("t", time=f"{day}T10:00:00+00:00"))


def test_sync_failed() -> None:
    """A sync that needs a person is reported once a day for the same reason.

    Numbers in the reason do not matter.
    """

    def key(last: Attempt) -> str:
        return next(
            (
                event.key
                for event in due(unreported_run(sync=last), POLICY, NOW)
                if event.name == "sync-failed"
            ),
            "",
        )

    assert key(sync("code 23 after 5 s")) == key(sync("code 11 after 17 s")) != ""
    assert key(sync("code 23")) != key(sync("code 23", "2026-11-23"))
    assert key(sync("code 23")) != key(sync("no such host"))
    assert key(sync("code 23", person=False)) == key(sync("code 23", outcome="done")) == ""
    since = {"ended": "2026-11-22T10:00:00Z", "failing_since": "2026-11-22T09:00:00Z"}
    first, other = (
        replace(each, record={**each.record, **since})
        for each in (sync("file a", person=False), sync("file b", person=False))
    )
    assert key(first) == key(other) != ""


def test_copies() -> None:
    """Repeatedly failing backups, damaged copies and marks for deletion are reported."""

    def backup(epoch: int, day: str = "2026-11-22") -> Attempt:
        owner = Owner("t", epoch=epoch)
        return attempt("failed", owner=owner, reason="no route", ended=f"{day}T10:00:00+00:00")

    def keys(**attempts: Any) -> set[str]:
        now = cell("a", synced=True, done=flag("done 1"), **attempts)
        return {
            event.key for event in due(unreported_run(now, outbox=all_reported(DONE)), POLICY, NOW)
        }

    assert keys(backup=backup(2)) == set()
    assert len(keys(backup=backup(3))) == 1
    assert keys(backup=backup(3)) == keys(backup=backup(7))
    assert keys(backup=backup(3)) != keys(backup=backup(3, "2026-11-23"))
    damage = attempt("failed", problems=["qc.json differs"])
    assert [key.split(".")[0] for key in keys(verification=damage)] == ["verification-failed"]
    assert keys(deletable=attempt("done")) == {"cell-deletable.a"}
    assert keys(deletable=attempt("failed")) == set()


def test_a_run_from_before() -> None:
    """Events of a run without an outbox are reported from now on, unless it is finished."""
    assert due_names(DONE, outbox=None) == []
    assert due_names(FAILED, outbox=None) == []
    assert due_names(READY, outbox=None, flags=frozenset({"failed"})) == []
    assert due_names(DONE, other(RUNNING), outbox=None) == ["run-new"]
    assert due_names(outbox=None) == ["run-new"]


def test_complete_runs_are_reported() -> None:
    """A run counts as reported complete only with its current cells."""
    known = all_reported(DONE)
    assert is_reported_complete(run(DONE, outbox=known))
    assert is_reported_complete(run(DONE, outbox=known, upstream=THERE))
    assert not is_reported_complete(run(DONE, other(DONE), outbox=known))
    assert not is_reported_complete(unreported_run(DONE))
    assert not is_reported_complete(run(DONE, outbox=None))


POLICY = Policy(
    types=(RunType("quiet", "q.*", notify=False), RunType("rest", ".*")),
    channels={"rt": {"cell-done": "reply", "run-new": "nothing"}, "chat": {"cell-done": "comment"}},
)


@pytest.mark.parametrize(
    ("event", "name", "expected"),
    [
        ("cell-done", "run", {"rt": "reply", "chat": "comment"}),
        ("run-new", "run", {}),
        ("cell-failed", "run", {}),
        ("cell-done", "quiet one", {}),
    ],
    ids=[
        "event for two channels",
        "event for no channel",
        "another event for no channel",
        "type without messages",
    ],
)
def test_addressed(event: str, name: str, expected: dict[str, str]) -> None:
    """A message is for the channels that want its event, unless its run's type has no messages."""
    assert addressed(event, run(name=name), POLICY) == expected


def test_the_table() -> None:
    """Each event has a default form, a description, and a name that can begin a file name."""
    assert set(default_kinds().values()) <= {"comment", "reply"}
    for name, kind in EVENTS.items():
        assert name == name.lower().strip("-")
        assert len(name) <= 30
        assert kind.says
    everything = unreported_run(DONE, other(FAILED), flags=frozenset({"failed"}))
    assert all(event.key.split(".")[0] == event.name for event in happened(everything, POLICY, NOW))
