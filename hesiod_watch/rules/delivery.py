"""Delivery rules: when a message is sent, retried and reported as undelivered.

Channels fail independently. The flag that ends a delivery attempt records the failure of each
channel, so a failure survives every process. A temporary failure is retried soon, then less often.
A failure that needs a person is retried, too: that person may fix it and not say so, and no message
may be lost then.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

from hesiod_watch.core.action_kinds import NOTIFY
from hesiod_watch.core.model import Action, Policy, Snapshot
from hesiod_watch.core.queued_messages import Outbox
from hesiod_watch.core.results import DeliveryFailure, DeliveryRecord
from hesiod_watch.core.text import number_of
from hesiod_watch.core.times import BackOff, due_until, rested, time_of
from hesiod_watch.rules.liveness import unclear, under_way

LONGEST = timedelta(hours=1)
"""Longest time between two attempts, after any failure."""
WAIT = timedelta(seconds=30)
"""Time between two checks of another process's delivery, whose end is not announced."""
OVERDUE = timedelta(hours=1)
"""Age of an undelivered message after which a person is informed in another way."""


# Rules of the plan.


def want_notify(snapshot: Snapshot, policy: Policy, now: datetime) -> Iterator[Action]:
    """Deliver messages that wait for a channel which may be tried now.

    The flags of the run do not matter.
    """
    outbox = snapshot.outbox
    channels = due_channels(outbox, now) if outbox else []
    if outbox and channels:
        numbers = {message.number for name in channels for message in outbox.waiting_for(name)}
        reason = f"{number_of(len(numbers), 'message')} to be delivered to {', '.join(channels)}"
        yield Action(NOTIFY, snapshot.run, reason=reason)


def look_again(snapshot: Snapshot, policy: Policy, now: datetime) -> Iterator[datetime]:
    """When a delivery may become due although nothing else changes."""
    outbox = snapshot.outbox
    if outbox and outbox.waiting and under_way(outbox.last_attempt):
        yield now + WAIT
    elif outbox and (time := next_attempt(outbox, now)):
        yield time


# Failures and their consequences.


def delivery_failures(outbox: Outbox) -> Mapping[str, DeliveryFailure]:
    """Failures of the last attempt, by channel.

    A record that cannot be understood is not a failure: its channel is tried again.
    """
    last = outbox.last_attempt
    return DeliveryRecord.of(last).failures


def after(
    former: DeliveryFailure | None,
    reason: str,
    now: datetime,
    shortest: timedelta,
    *,
    needs_person: bool = False,
) -> DeliveryFailure:
    """The failure to record after a failed attempt, given that of the attempt before."""
    attempts = former.attempts + 1 if former else 1
    delay = BackOff(shortest, LONGEST).rest(attempts, needs_person=needs_person)
    since = former.since if former and former.since else _iso(now)
    return DeliveryFailure(
        reason, attempts, since, _iso(now + max(delay, timedelta(0))), needs_person
    )


def due_channels(outbox: Outbox, now: datetime) -> list[str]:
    """Channels that have waiting messages and may be tried now; none during a delivery."""
    if under_way(outbox.last_attempt):
        return []
    known = delivery_failures(outbox)
    return [
        name
        for name in outbox.channels
        if outbox.waiting_for(name) and not (name in known and rests(known[name], now))
    ]


def rests(failure: DeliveryFailure, now: datetime) -> bool:
    """Whether a channel is not to be tried yet."""
    return due_until(time_of(failure.until), now, LONGEST) > now


def next_attempt(outbox: Outbox, now: datetime) -> datetime | None:
    """Earliest next attempt among channels with waiting messages; None if no failure delays one."""
    known = delivery_failures(outbox)
    times = [
        due_until(time_of(known[name].until), now, LONGEST)
        for name in outbox.channels
        if outbox.waiting_for(name) and name in known
    ]
    return min(times, default=None)


def undelivered(outbox: Outbox | None) -> dict[str, int]:
    """Number of undelivered messages by channel; channels without any are left out."""
    counts = {name: len(outbox.waiting_for(name)) for name in outbox.channels} if outbox else {}
    return {name: count for name, count in counts.items() if count}


def overdue(outbox: Outbox | None, now: datetime) -> bool:
    """Whether a message has waited so long that a person must be informed in another way."""
    if outbox is None:
        return False
    times = [
        time_of(message.time) for name in outbox.channels for message in outbox.waiting_for(name)
    ]
    return any(rested(time, now, OVERDUE) for time in times)


def sentences(outbox: Outbox | None) -> Iterator[str]:
    """Sentences about undelivered messages for a person; the same while the reason is the same."""
    if outbox is None:
        return
    if outbox.problem:
        yield outbox.problem
    known = delivery_failures(outbox)
    for name, count in undelivered(outbox).items():
        if name in known:
            yield f"{number_of(count, 'message')} not delivered to {name}: {known[name].reason}"
    last = outbox.last_attempt
    if outbox.waiting and unclear(last):
        yield (
            "messages are being delivered by a process that can neither be seen alive nor proven"
            f" dead ({last.evidence}); if you have checked that it is dead, remove"
            " pipeline/notify.started"
        )


def in_all(outboxes: Mapping[str, Outbox]) -> Iterator[tuple[str, str]]:
    """Channels with undelivered messages of many runs, each with one sentence about them."""
    waiting: dict[str, list[str]] = {}
    counts: dict[str, int] = {}
    reasons: dict[str, str] = {}
    for run, outbox in outboxes.items():
        known = delivery_failures(outbox)
        for name, count in undelivered(outbox).items():
            waiting.setdefault(name, []).append(run)
            counts[name] = counts.get(name, 0) + count
            reasons[name] = known[name].reason if name in known else reasons.get(name, "")
    for name, runs in waiting.items():
        of_runs = runs[0] if len(runs) == 1 else f"{len(runs)} runs"
        reason = f": {reasons[name]}" if reasons[name] else ""
        yield (
            name,
            f"{number_of(counts[name], 'message')} of {of_runs} not delivered to {name}"
            f" for more than an hour{reason}",
        )


def _iso(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="milliseconds")
