"""When messages are delivered, and which sentences report undelivered ones."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from snapshots import attempt, run

from hesiod_watch.core.model import Decision, Policy
from hesiod_watch.core.ownership import Attempt, Liveness
from hesiod_watch.core.queued_messages import Outbox, OutboxMessage
from hesiod_watch.core.results import DeliveryFailure, DeliveryRecord
from hesiod_watch.rules import delivery
from hesiod_watch.rules.delivery import (
    after,
    due_channels,
    in_all,
    next_attempt,
    overdue,
    sentences,
)
from hesiod_watch.rules.explain import explain_run
from hesiod_watch.rules.plan import look_again, plan, waiting

NOW = datetime(2026, 11, 22, 22, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
MESSAGES = tuple(
    OutboxMessage(
        number,
        f"cell-done.{number}",
        channels={"rt": "reply", "chat": "comment"},
        time="2026-11-22T21:59:00+00:00",
    )
    for number in (1, 2)
)
OUTBOX = Outbox(
    reported=frozenset({"run-new"}),
    last=2,
    newest="cell-done.2",
    channels=("rt", "chat"),
    waiting=MESSAGES,
)
POLICY = Policy(channels={"rt": {}, "chat": {}})


def record(**found: DeliveryFailure) -> dict[str, Any]:
    """The record of a delivery in which these channels failed."""
    return DeliveryRecord(found).record()


def ended(**found: DeliveryFailure) -> Attempt:
    """A delivery that ended, and in which these channels failed."""
    return attempt("failed" if found else "done", **record(**found))


def failure(minutes: float, *, why: str = "away", attempts: int = 1) -> DeliveryFailure:
    return DeliveryFailure(
        why, attempts, "2026-11-22T21:00:00+00:00", (NOW + minutes * MINUTE).isoformat()
    )


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        pytest.param(None, ["rt", "chat"], id="none yet"),
        pytest.param(ended(), ["rt", "chat"], id="all delivered"),
        pytest.param(ended(rt=failure(1)), ["chat"], id="rt waits"),
        pytest.param(ended(rt=failure(-1)), ["rt", "chat"], id="rt has waited"),
        pytest.param(ended(rt=failure(0)), ["rt", "chat"], id="rt has just waited"),
        pytest.param(ended(rt=failure(1), chat=failure(5)), [], id="both wait"),
        pytest.param(attempt(), [], id="under way"),
        pytest.param(attempt(liveness=Liveness.UNKNOWN), [], id="perhaps under way"),
        pytest.param(attempt(liveness=Liveness.DEAD), ["rt", "chat"], id="killed"),
        pytest.param(
            attempt(liveness=Liveness.DEAD, **record(rt=failure(1))),
            ["chat"],
            id="killed, rt waits",
        ),
        pytest.param(
            attempt("failed", channels={"rt": "x", "chat": {"attempts": "2"}}),
            ["rt", "chat"],
            id="failures of other types",
        ),
        pytest.param(
            attempt("failed", channels=["rt"]), ["rt", "chat"], id="channels without failures"
        ),
        pytest.param(
            attempt("failed", channels={"rt": {"attempts": 1, "until": "soon"}}),
            ["rt", "chat"],
            id="until no time",
        ),
    ],
)
def test_due(last: Attempt | None, expected: list[str]) -> None:
    """A channel is tried unless it must wait or a delivery is under way.

    A flag that cannot be understood delays nothing.
    """
    outbox = replace(OUTBOX, last_attempt=last)
    assert due_channels(outbox, NOW) == expected
    names = [action.name for action in plan(run(outbox=outbox), POLICY, NOW).actions]
    assert ("notify" in names) is bool(expected)


def test_only_for_what_waits() -> None:
    """A channel without waiting messages is not tried and not counted."""
    outbox = replace(OUTBOX, delivered={"rt": 2, "chat": 1})
    assert due_channels(outbox, NOW) == ["chat"]
    assert delivery.undelivered(outbox) == {"chat": 1}
    assert due_channels(replace(OUTBOX, waiting=()), NOW) == []
    assert delivery.undelivered(None) == {}


def test_an_unreadable_message_is_for_all_channels() -> None:
    """An invalid message may be for any channel; it blocks each that has not delivered it."""
    outbox = replace(
        OUTBOX, waiting=(OutboxMessage(3, "x", problem="mend it"),), delivered={"rt": 3}
    )
    assert due_channels(outbox, NOW) == ["chat"]


@pytest.mark.parametrize(
    "flags",
    [frozenset(), frozenset({"failed"}), frozenset({"aborted"}), frozenset({"stripped"})],
    ids=["none", "failed", "aborted", "stripped"],
)
def test_whatever_the_run_is_flagged_as(flags: frozenset[str]) -> None:
    """Messages are delivered and retried even in a run whose flags stop all other work."""
    failed = ended(rt=failure(2), chat=failure(5))
    resting = run(flags=flags, outbox=replace(OUTBOX, last_attempt=failed))
    assert look_again(resting, POLICY, NOW) == NOW + 2 * MINUTE
    ready = run(flags=flags, outbox=OUTBOX)
    assert "notify" in [action.name for action in plan(ready, POLICY, NOW).actions]
    busy = run(flags=flags, outbox=replace(OUTBOX, last_attempt=attempt()))
    assert look_again(busy, POLICY, NOW) == NOW + delivery.WAIT


def test_back_off() -> None:
    """The time between attempts doubles up to an hour; it is an hour if a person is needed."""
    found = None
    delays = []
    for _ in range(9):
        found = after(found, "away", NOW, MINUTE)
        delays.append((datetime.fromisoformat(found.until) - NOW) / MINUTE)
    assert delays == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert found
    assert (found.attempts, found.since) == (9, "2026-11-22T22:00:00.000+00:00")
    assert after(DeliveryFailure("x", 10**9), "away", NOW, MINUTE).until == (
        NOW + 60 * MINUTE
    ).isoformat(timespec="milliseconds")
    bad = after(None, "no such queue", NOW, MINUTE, needs_person=True)
    assert (bad.needs_person, datetime.fromisoformat(bad.until)) == (True, NOW + 60 * MINUTE)
    assert delivery.delivery_failures(replace(OUTBOX, last_attempt=ended(rt=bad))) == {"rt": bad}


def test_sentences() -> None:
    """Undelivered messages are reported with the reason, in the same words while it stays.

    Success is not reported.
    """
    assert list(sentences(OUTBOX)) == []
    assert list(sentences(None)) == []
    one = replace(OUTBOX, last_attempt=ended(rt=failure(1)), delivered={"rt": 1, "chat": 2})
    assert list(sentences(one)) == ["1 message not delivered to rt: away"]
    later = replace(one, last_attempt=ended(rt=failure(9, attempts=5)))
    assert (
        list(sentences(later))
        == list(sentences(one))
        == list(waiting(run(outbox=one), POLICY, NOW))
    )
    unclear = replace(OUTBOX, last_attempt=attempt(liveness=Liveness.UNKNOWN))
    assert "remove pipeline/notify.started" in next(sentences(unclear))
    assert list(sentences(replace(OUTBOX, problem="cannot be read"))) == ["cannot be read"]


def test_explained() -> None:
    """`explain` says why messages wait, when they are retried, and what a person can do."""
    outbox = replace(
        OUTBOX, last_attempt=ended(rt=failure(9, attempts=3)), delivered={"chat": 2}, ticket=12
    )
    snapshot = replace(run(outbox=outbox), path=Path("/r"))
    explained = explain_run(snapshot, Decision(()), POLICY, NOW)
    assert "reported in ticket 12: 2 messages, the last one cell-done.2" in explained.evidence
    assert "2 messages not delivered to rt: away" in explained.evidence
    assert "rt: 3 attempts since 2026-11-22T21:00:00+00:00; again in 9 min" in explained.evidence
    assert explained.next.endswith("; delivery of messages is tried again in 9 min")
    assert "retry the delivery of messages now: rm /r/pipeline/notify.failed" in explained.you_can


def test_next_attempt() -> None:
    """The next attempt is the earliest one among channels with waiting messages."""
    outbox = replace(OUTBOX, last_attempt=ended(rt=failure(9), chat=failure(3)))
    assert next_attempt(outbox, NOW) == NOW + 3 * MINUTE
    assert next_attempt(replace(outbox, delivered={"chat": 2}), NOW) == NOW + 9 * MINUTE
    assert next_attempt(OUTBOX, NOW) is None


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("2026-11-22T21:30:00+00:00", False),
        ("2026-11-22T20:30:00", True),
        ("2026-11-22T20:59:59+00:00", True),
        ("", True),
    ],
    ids=["half an hour ago", "no time zone", "more than an hour ago", "no time"],
)
def test_overdue(time: str, expected: bool) -> None:
    """A message is overdue after an hour, and also if it has no time."""
    assert overdue(replace(OUTBOX, waiting=(replace(MESSAGES[0], time=time),)), NOW) is expected
    assert not overdue(replace(OUTBOX, waiting=()), NOW)
    assert not overdue(None, NOW)


def test_of_all_runs() -> None:
    """Cron's mail has one sentence for each channel, for any number of runs."""
    away = replace(OUTBOX, last_attempt=ended(rt=failure(1)), delivered={"chat": 2})
    assert list(in_all({"a": away})) == [
        ("rt", "2 messages of a not delivered to rt for more than an hour: away")
    ]
    both = list(in_all({"a": away, "b": OUTBOX}))
    assert both == [
        ("rt", "4 messages of 2 runs not delivered to rt for more than an hour: away"),
        ("chat", "2 messages of b not delivered to chat for more than an hour"),
    ]
    assert list(in_all({})) == []


def test_tell() -> None:
    """New events are queued, and a message without a number gets one."""
    fresh = run(outbox=Outbox(), upstream="host:/x", listed_at="host:/x")
    (action,) = [action for action in plan(fresh, POLICY, NOW).actions if action.name == "tell"]
    assert action.reason == "to report: run-new"
    half = run(outbox=Outbox(reported=frozenset({"run-new"}), unnumbered=("run-new",)))
    assert [action.name for action in plan(half, POLICY, NOW).actions] == ["tell"]
    whole = run(outbox=Outbox(reported=frozenset({"run-new"})))
    assert plan(whole, POLICY, NOW).actions == ()
