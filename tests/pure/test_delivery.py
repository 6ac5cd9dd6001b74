"""When messages are delivered, and what is said when they are not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hesiod_watch.core.model import (
    LOCAL,
    Attempt,
    Decision,
    ListedRun,
    Liveness,
    Outbox,
    OutboxMessage,
    Policy,
    RunName,
    Snapshot,
)
from hesiod_watch.rules import delivery
from hesiod_watch.rules.delivery import (
    DeliveryFailure,
    after,
    due_channels,
    in_all,
    next_attempt,
    overdue,
    record_of,
    sentences,
)
from hesiod_watch.rules.explain import explain_run
from hesiod_watch.rules.plan import look_again, plan, waiting

NOW = datetime(2026, 11, 22, 22, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
LETTERS = tuple(
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
    waiting=LETTERS,
)
RUN = Snapshot(
    RunName("run"), Path("/r"), has_pipeline=True, upstream=LOCAL, output=Path("/o"), outbox=OUTBOX
)
POLICY = Policy(channels={"rt": {}, "chat": {}})


def ended(**found: DeliveryFailure) -> Attempt:
    return Attempt(
        "failed" if found else "done", None, Liveness.DEAD, "it has ended", record_of(found)
    )


def trouble(minutes: float, *, why: str = "away", attempts: int = 1) -> DeliveryFailure:
    return DeliveryFailure(
        why, attempts, "2026-11-22T21:00:00+00:00", (NOW + minutes * MINUTE).isoformat()
    )


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        (None, ["rt", "chat"]),
        (ended(), ["rt", "chat"]),
        (ended(rt=trouble(1)), ["chat"]),
        (ended(rt=trouble(-1)), ["rt", "chat"]),
        (ended(rt=trouble(0)), ["rt", "chat"]),
        (ended(rt=trouble(1), chat=trouble(5)), []),
        (Attempt("", None, Liveness.ALIVE, ""), []),
        (Attempt("", None, Liveness.UNKNOWN, ""), []),
        (Attempt("", None, Liveness.DEAD, ""), ["rt", "chat"]),
        (Attempt("", None, Liveness.DEAD, "", record_of({"rt": trouble(1)})), ["chat"]),
        (
            Attempt(
                "failed",
                None,
                Liveness.DEAD,
                "",
                {"channels": {"rt": "x", "chat": {"attempts": "2"}}},
            ),
            ["rt", "chat"],
        ),
        (Attempt("failed", None, Liveness.DEAD, "", {"channels": ["rt"]}), ["rt", "chat"]),
        (
            Attempt(
                "failed",
                None,
                Liveness.DEAD,
                "",
                {"channels": {"rt": {"attempts": 1, "until": "soon"}}},
            ),
            ["rt", "chat"],
        ),
    ],
)
def test_due(last: Attempt | None, expected: list[str]) -> None:
    """A channel is tried unless it rests or somebody is at it; a flag that is not understood delays
    nothing.
    """
    snapshot = replace(RUN, outbox=replace(OUTBOX, round=last))
    assert snapshot.outbox
    assert due_channels(snapshot.outbox, NOW) == expected
    names = [action.name for action in plan(snapshot, POLICY, NOW).actions]
    assert ("notify" in names) is bool(expected)


def test_only_for_what_waits() -> None:
    """A channel that has everything is not tried, and one that lacks nothing does not count."""
    outbox = replace(OUTBOX, delivered={"rt": 2, "chat": 1})
    assert due_channels(outbox, NOW) == ["chat"]
    assert delivery.undelivered(outbox) == {"chat": 1}
    assert due_channels(replace(OUTBOX, waiting=()), NOW) == []
    assert delivery.undelivered(None) == {}


def test_a_message_that_is_no_message_is_for_everybody() -> None:
    """What cannot be understood may be for any channel, and holds up each that has not passed it."""
    outbox = replace(
        OUTBOX, waiting=(OutboxMessage(3, "x", problem="mend it"),), delivered={"rt": 3}
    )
    assert due_channels(outbox, NOW) == ["chat"]


@pytest.mark.parametrize(
    "flags", [frozenset(), frozenset({"failed"}), frozenset({"aborted"}), frozenset({"stripped"})]
)
def test_whatever_the_run_is_flagged_as(flags: frozenset[str]) -> None:
    """What was written is delivered, and looked at again when it is time, also for a run that
    nothing is started in.
    """
    resting = replace(
        RUN, flags=flags, outbox=replace(OUTBOX, round=ended(rt=trouble(2), chat=trouble(5)))
    )
    assert look_again(resting, POLICY, NOW) == NOW + 2 * MINUTE
    assert "notify" in [
        action.name for action in plan(replace(RUN, flags=flags), POLICY, NOW).actions
    ]
    busy = replace(
        RUN, flags=flags, outbox=replace(OUTBOX, round=Attempt("", None, Liveness.ALIVE, ""))
    )
    assert look_again(busy, POLICY, NOW) == NOW + delivery.WAIT


def test_back_off() -> None:
    """The time between attempts doubles up to an hour; for what needs a person it is an hour at
    once.
    """
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
    assert delivery.delivery_failures(replace(OUTBOX, round=ended(rt=bad))) == {"rt": bad}


def test_sentences() -> None:
    """What is not delivered is said with its reason, in the same words for as long as that stays;
    success is silent.
    """
    assert list(sentences(OUTBOX)) == []
    assert list(sentences(None)) == []
    one = replace(OUTBOX, round=ended(rt=trouble(1)), delivered={"rt": 1, "chat": 2})
    assert list(sentences(one)) == ["1 message not delivered to rt: away"]
    later = replace(one, round=ended(rt=trouble(9, attempts=5)))
    assert (
        list(sentences(later))
        == list(sentences(one))
        == list(waiting(replace(RUN, outbox=one), POLICY, NOW))
    )
    held = replace(OUTBOX, round=Attempt("", None, Liveness.UNKNOWN, "it is on another host"))
    assert "remove pipeline/notify.started" in next(sentences(held))
    assert list(sentences(replace(OUTBOX, problem="cannot be read"))) == ["cannot be read"]


def test_explained() -> None:
    """A run explains what keeps its messages, when they are tried again, and what a person can do."""
    outbox = replace(
        OUTBOX, round=ended(rt=trouble(9, attempts=3)), delivered={"chat": 2}, ticket=12
    )
    snapshot = replace(RUN, outbox=outbox)
    told = explain_run(snapshot, Decision(()), POLICY, NOW)
    assert "reported in ticket 12: 2 messages, the last one cell-done.2" in told.evidence
    assert "2 messages not delivered to rt: away" in told.evidence
    assert "rt: 3 attempts since 2026-11-22T21:00:00+00:00; again in 9 min" in told.evidence
    assert told.next.endswith("; delivery of messages is tried again in 9 min")
    assert (
        "retry the delivery of messages now: remove /r/pipeline/notify.failed"
        in told.you_can
    )


def test_next_attempt() -> None:
    """The next attempt is that of the channel which is first, of those that lack something."""
    outbox = replace(OUTBOX, round=ended(rt=trouble(9), chat=trouble(3)))
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
)
def test_overdue(time: str, expected: bool) -> None:
    """After an hour somebody should hear of it in another way; a message without a time is no
    reason to be silent.
    """
    assert overdue(replace(OUTBOX, waiting=(replace(LETTERS[0], time=time),)), NOW) is expected
    assert not overdue(replace(OUTBOX, waiting=()), NOW)
    assert not overdue(None, NOW)


def test_of_all_runs() -> None:
    """What cron says is one sentence for each channel, however many runs there are."""
    away = replace(OUTBOX, round=ended(rt=trouble(1)), delivered={"chat": 2})
    assert list(in_all({"a": away})) == [
        "2 messages of a not delivered to rt for more than an hour: away"
    ]
    both = list(in_all({"a": away, "b": OUTBOX}))
    assert both == [
        "4 messages of 2 runs not delivered to rt for more than an hour: away",
        "2 messages of b not delivered to chat for more than an hour",
    ]
    assert list(in_all({})) == []


def test_tell() -> None:
    """What has happened is told, with the upstream as it was just seen; what has no number yet gets
    one.
    """
    fresh = replace(RUN, outbox=Outbox(), upstream="host:/x", listed_at="host:/x")
    (action,) = [action for action in plan(fresh, POLICY, NOW).actions if action.name == "tell"]
    assert (action.reason, action.listed_run) == (
        "to be told: run-new",
        ListedRun("host:/x", frozenset()),
    )
    half = replace(RUN, outbox=Outbox(reported=frozenset({"run-new"}), unnumbered=("run-new",)))
    assert [action.name for action in plan(half, POLICY, NOW).actions] == ["tell"]
    assert (
        plan(replace(half, outbox=Outbox(reported=frozenset({"run-new"}))), POLICY, NOW).actions
        == ()
    )
