"""When the command of `on_done` is run for a processed cell, and when a person is needed."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from snapshots import attempt, cell, flag, run

from hesiod_watch.core.circumstances import NOTHING_KNOWN
from hesiod_watch.core.model import Cell, Policy, Snapshot
from hesiod_watch.core.ownership import Attempt, Flag, Liveness, Owner
from hesiod_watch.core.results import DoneRecord
from hesiod_watch.rules.attention import attention
from hesiod_watch.rules.hook_schedule import look_again, waiting
from hesiod_watch.rules.plan import plan

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
CELL = "20261122_1000_1A_PAD38578_c6ded78b"
POLICY = Policy(on_done=True)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def done_flag(time: str = "2026-11-23T10:00:00Z", *, due: bool = True) -> Flag:
    record = DoneRecord("lib/cell", 1, "h", "v", time, "m", hook_due=due).record()
    return flag(json.dumps(record), NOW.timestamp() - 7200)


KEY = DoneRecord.of(done_flag()).key
FORMER = DoneRecord.of(done_flag("2026-11-01T10:00:00Z")).key


def hook(outcome: str = "", ago: timedelta = HOUR, epoch: int = 1, **record: Any) -> Attempt:
    """An attempt that began and ended some time ago; for the present `.done` by default."""
    time = (NOW - ago).isoformat()
    seen = {key: record.pop(key) for key in ("liveness", "evidence") if key in record}
    facts = {"done": KEY, "ended": time, "needs_person": False, "reason": "why", **record}
    return attempt(outcome, owner=Owner("t", time=time, epoch=epoch), **(facts | seen))


UNKNOWN = hook(liveness=Liveness.UNKNOWN, evidence="other host")


def processed(last: Attempt | None, done: Flag | None = None, **facts: Any) -> Cell:
    return cell(CELL, done=done or done_flag(), hook=last, **facts)


def planned(snapshot: Snapshot, policy: Policy = POLICY) -> list[int]:
    """Numbers of the planned attempts."""
    return [each.epoch for each in plan(snapshot, policy, NOW).actions if each.name == "hook"]


@pytest.mark.parametrize(
    ("last", "attempts"),
    [
        pytest.param(None, [1], id="never run"),
        pytest.param(hook("done"), [], id="has succeeded"),
        pytest.param(hook("done", done=FORMER), [1], id="has succeeded for another result"),
        pytest.param(attempt("done"), [], id="done by hand"),
        pytest.param(hook(), [], id="under way"),
        pytest.param(hook(liveness=Liveness.UNKNOWN), [], id="under way on another host"),
        pytest.param(hook(liveness=Liveness.DEAD), [2], id="its worker has died"),
        pytest.param(hook(done=FORMER), [], id="under way for another result"),
        pytest.param(hook("failed"), [2], id="failed an hour ago"),
        pytest.param(hook("failed", MINUTE / 2), [], id="failed just now"),
        pytest.param(hook("failed", HOUR, epoch=9), [], id="failed often"),
        pytest.param(hook("failed", 6 * HOUR, epoch=9), [10], id="failed often, hours ago"),
        pytest.param(hook("failed", MINUTE, 9, done=FORMER), [1], id="failed for another result"),
    ],
)
def test_attempts(last: Attempt | None, attempts: list[int]) -> None:
    """The command is run once for each result; after a failure it is run again after a pause."""
    assert planned(run(processed(last))) == attempts


@pytest.mark.parametrize(
    "done",
    [done_flag(due=False), flag(""), flag(json.dumps({"manifest_md5": "m"}))],
    ids=["no command then", "by hand", "of an earlier version"],
)
def test_old_cells(done: Flag) -> None:
    """The command is not run for a cell that was finished while no command was configured."""
    assert planned(run(processed(None, done))) == []


def test_nothing_without_a_command() -> None:
    """Without a command nothing is run, and an earlier failure needs no person."""
    snapshot = run(processed(hook("failed", epoch=9)))
    assert planned(snapshot, Policy()) == []
    assert kinds(snapshot, Policy()) == set()


@pytest.mark.parametrize(
    ("name", "attempts"), [("failed", []), ("aborted", []), ("stripped", [1]), ("", [1])]
)
def test_flags_of_the_run(name: str, attempts: list[int]) -> None:
    """Flags of a person stop the command; results stay when the raw data are removed."""
    assert planned(run(processed(None), flags=frozenset({name} - {""}))) == attempts


def kinds(snapshot: Snapshot, policy: Policy = POLICY) -> set[str]:
    return {each.kind for each in attention(snapshot, NOTHING_KNOWN, policy, NOW)}


@pytest.mark.parametrize(
    ("last", "needed"),
    [
        pytest.param(None, False, id="never run"),
        pytest.param(hook("failed", epoch=2), False, id="failed twice"),
        pytest.param(hook("failed", epoch=3), True, id="failed three times"),
        pytest.param(hook("failed", needs_person=True), True, id="cannot be started"),
        pytest.param(hook(epoch=4, failing="why"), True, id="is tried again after that"),
        pytest.param(hook("failed", epoch=2, failing="why"), True, id="its second try was stopped"),
        pytest.param(hook("done", epoch=4, failing="why"), False, id="has succeeded in the end"),
        pytest.param(hook("failed", epoch=9, done=FORMER), False, id="for another result"),
    ],
)
def test_person_is_needed(last: Attempt | None, needed: bool) -> None:
    """A command that keeps failing needs a person, from then on until it succeeds."""
    assert kinds(run(processed(last))) == ({"hook-failed"} if needed else set())


def test_no_person_for_a_command_that_is_not_due() -> None:
    """An earlier failure needs no person once the command is not to be run for the cell."""
    failed = hook("failed", epoch=9, done="")
    assert kinds(run(processed(failed))) == {"hook-failed"}
    assert kinds(run(processed(failed, done_flag(due=False)))) == set()


FAILED = f"lib/{CELL}: the command of on_done failed: why"
UNCLEAR = (
    f"lib/{CELL}: the command of on_done was started, and it is unknown whether its owner lives"
    " (other host)"
)


@pytest.mark.parametrize(
    ("last", "policy", "sentences"),
    [
        pytest.param(None, POLICY, [], id="never run"),
        pytest.param(hook("done"), POLICY, [], id="has succeeded"),
        pytest.param(hook("failed"), POLICY, [FAILED], id="failed"),
        pytest.param(hook("failed"), Policy(), [], id="failed, and there is no command now"),
        pytest.param(hook("failed", done=FORMER), POLICY, [], id="for another result"),
        pytest.param(hook(), POLICY, [], id="under way"),
        pytest.param(UNKNOWN, POLICY, [UNCLEAR], id="under way on another host"),
        pytest.param(UNKNOWN, Policy(), [UNCLEAR], id="there, and there is no command now"),
    ],
)
def test_reasons_to_wait(last: Attempt | None, policy: Policy, sentences: list[str]) -> None:
    """A failed command is named, and one whose worker may live, also without a command now."""
    assert list(waiting(run(processed(last)), policy)) == sentences
    assert list(waiting(run(cell(CELL, hook=last)), policy)) == []


@pytest.mark.parametrize(
    ("last", "after"),
    [
        pytest.param(None, [], id="due now"),
        pytest.param(hook("failed", HOUR), [], id="due since long"),
        pytest.param(hook("failed", MINUTE), [], id="due at this moment"),
        pytest.param(hook("failed", MINUTE / 4), [MINUTE * 3 / 4], id="after a pause"),
        pytest.param(hook("failed", MINUTE, epoch=2), [MINUTE], id="after a longer pause"),
        pytest.param(hook(), [], id="under way"),
        pytest.param(hook("done", MINUTE / 4), [], id="has succeeded"),
    ],
)
def test_next_look(last: Attempt | None, after: list[timedelta]) -> None:
    """A look is planned for the end of a pause, if the command is configured and may start."""
    snapshot = run(processed(last))
    assert list(look_again(snapshot, POLICY, NOW)) == [NOW + rest for rest in after]
    assert list(look_again(snapshot, Policy(), NOW)) == []
    stopped = run(processed(last), flags=frozenset({"failed"}))
    assert list(look_again(stopped, POLICY, NOW)) == []


@pytest.mark.parametrize(
    ("last", "reason"),
    [
        (None, "processed, and the command of on_done was not run yet"),
        (hook("failed", epoch=2), "its last attempt failed: why"),
        (hook(liveness=Liveness.DEAD, evidence="gone"), "it was begun and not finished: gone"),
    ],
    ids=["never run", "failed", "its worker has died"],
)
def test_reasons_to_run(last: Attempt | None, reason: str) -> None:
    """The plan says why the command is run, and for which cell."""
    (action,) = plan(run(processed(last)), POLICY, NOW).actions
    assert (action.name, str(action.cell), action.reason) == ("hook", f"lib/{CELL}", reason)
