"""When people are told, what is done about a way to them that does not work, and what is said about
that.

Each channel fails by itself: what goes wrong is kept by channel in the flag that ends a round of
delivery, so that it outlives every process. What is temporary is tried again soon and then less
often; what needs a person is tried again, too, because nothing may be lost when that person mends
it and tells nobody.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

from hesiod_watch.core.model import Action, ListedRun, Outbox, Policy, Snapshot
from hesiod_watch.core.records import current, whole_number
from hesiod_watch.core.text import number_of
from hesiod_watch.core.times import rested, rests_until, time_of
from hesiod_watch.rules.events import due
from hesiod_watch.rules.liveness import unclear, under_way

LONGEST = timedelta(hours=1)
"""Between two attempts, whatever has gone wrong."""
WAIT = timedelta(seconds=30)
"""Between two looks at a delivery that is not our child's: nothing tells us when it ends."""
OVERDUE = timedelta(hours=1)
"""After which a person is told, by the ways that are left, that messages are not delivered."""


@dataclass(frozen=True, slots=True)
class DeliveryFailure:
    """Why a channel does not take a run's messages, and when it is asked again. Times are ISO 8601,
    UTC.
    """

    reason: str
    attempts: int = 1
    since: str = ""
    until: str = ""
    needs_person: bool = False  # trying again will not help by itself


# Rules of the plan.


def want_tell(snapshot: Snapshot, policy: Policy, now: datetime) -> Iterator[Action]:
    """Something has happened that nobody was told of yet: it is written down for them first."""
    names = list(dict.fromkeys(event.name for event in due(snapshot, policy, now)))
    if names or (snapshot.outbox and snapshot.outbox.unnumbered):
        cells = frozenset(cell.id for cell in snapshot.cells if cell.upstream)
        listed_run = ListedRun(snapshot.listed_at, cells) if snapshot.listed_at else None
        reason = f"to be told: {', '.join(names) or 'what somebody has begun to tell'}"
        yield Action("tell", snapshot.run, reason=reason, listed_run=listed_run)


def want_notify(snapshot: Snapshot, policy: Policy, now: datetime) -> Iterator[Action]:
    """Messages wait for a channel that may be tried now; it is tried whatever the run is flagged
    as.
    """
    outbox = snapshot.outbox
    channels = due_channels(outbox, now) if outbox else []
    if outbox and channels:
        numbers = {letter.number for name in channels for letter in outbox.waiting_for(name)}
        reason = f"{number_of(len(numbers), 'message')} to be delivered to {', '.join(channels)}"
        yield Action("notify", snapshot.run, reason=reason)


def look_again(snapshot: Snapshot, policy: Policy, now: datetime) -> Iterator[datetime]:
    """When time alone changes what is to be delivered."""
    outbox = snapshot.outbox
    if outbox and outbox.waiting and under_way(outbox.round):
        yield now + WAIT
    elif outbox and (time := next_attempt(outbox, now)):
        yield time


# What went wrong, and what follows from it.


def delivery_failures(outbox: Outbox) -> dict[str, DeliveryFailure]:
    """What went wrong at the last attempt, by channel. What is not understood is no trouble: it is
    tried again.
    """
    last = outbox.round
    said = last.record.get("channels") if last else None
    found = {}
    for name, record in said.items() if isinstance(said, Mapping) else ():
        said_of_it = current(record) if isinstance(record, Mapping) else {}
        attempts = whole_number(said_of_it.get("attempts"))
        if attempts is not None:
            texts = {key: str(said_of_it.get(key, "")) for key in ("reason", "since", "until")}
            person = said_of_it.get("needs_person") is True
            found[str(name)] = DeliveryFailure(attempts=attempts, needs_person=person, **texts)
    return found


def after(
    former: DeliveryFailure | None,
    reason: str,
    now: datetime,
    shortest: timedelta,
    *,
    needs_person: bool = False,
) -> DeliveryFailure:
    """The trouble that a failed attempt is, after that of the attempt before."""
    attempts = former.attempts + 1 if former else 1
    delay = LONGEST if needs_person else min(shortest * 2 ** min(attempts - 1, 30), LONGEST)
    since = former.since if former and former.since else _iso(now)
    return DeliveryFailure(
        reason, attempts, since, _iso(now + max(delay, timedelta(0))), needs_person
    )


def record_of(found: Mapping[str, DeliveryFailure]) -> dict[str, object]:
    """What the flags of a round say about it, beside their owner."""
    return {"channels": {name: asdict(trouble) for name, trouble in found.items()}} if found else {}


def due_channels(outbox: Outbox, now: datetime) -> list[str]:
    """Channels that messages wait for and that may be tried now; none while somebody is at it."""
    if under_way(outbox.round):
        return []
    known = delivery_failures(outbox)
    return [
        name
        for name in outbox.channels
        if outbox.waiting_for(name) and not (name in known and rests(known[name], now))
    ]


def rests(trouble: DeliveryFailure, now: datetime) -> bool:
    """Whether a channel is left alone for now."""
    return rests_until(time_of(trouble.until), now, LONGEST)


def next_attempt(outbox: Outbox, now: datetime) -> datetime | None:
    """When the first of the channels is tried again that messages wait for; None: none of them
    rests.
    """
    known = delivery_failures(outbox)
    times = [
        until if rests(known[name], now) else now
        for name in outbox.channels
        if outbox.waiting_for(name) and name in known and (until := time_of(known[name].until))
    ]
    return min(times, default=None)


def undelivered(outbox: Outbox | None) -> dict[str, int]:
    """How many messages each channel is still to get; those that lack none are left out."""
    counts = {name: len(outbox.waiting_for(name)) for name in outbox.channels} if outbox else {}
    return {name: count for name, count in counts.items() if count}


def overdue(outbox: Outbox | None, now: datetime) -> bool:
    """Whether a message has been waiting for so long that somebody should hear of it in another
    way.
    """
    if outbox is None:
        return False
    times = [
        time_of(letter.time) for name in outbox.channels for letter in outbox.waiting_for(name)
    ]
    return any(rested(time, now, OVERDUE) for time in times)


def sentences(outbox: Outbox | None) -> Iterator[str]:
    """What a person should know about messages that are not delivered. The same for as long as the
    reason is.
    """
    if outbox is None:
        return
    if outbox.problem:
        yield outbox.problem
    known = delivery_failures(outbox)
    for name, count in undelivered(outbox).items():
        if name in known:
            yield f"{number_of(count, 'message')} not delivered to {name}: {known[name].reason}"
    last = outbox.round
    if outbox.waiting and unclear(last):
        yield (
            "messages are being delivered, and by whom can neither be seen alive nor proven dead "
            f"({last.evidence}); if you have checked that it is dead, remove pipeline/notify.started"
        )


def in_all(outboxes: Mapping[str, Outbox]) -> Iterator[str]:
    """The same of many runs, one sentence for each channel; keys are names of runs."""
    lacking: dict[str, list[str]] = {}
    counts: dict[str, int] = {}
    whys: dict[str, str] = {}
    for run, outbox in outboxes.items():
        known = delivery_failures(outbox)
        for name, count in undelivered(outbox).items():
            lacking.setdefault(name, []).append(run)
            counts[name] = counts.get(name, 0) + count
            whys[name] = known[name].reason if name in known else whys.get(name, "")
    for name, runs in lacking.items():
        of = runs[0] if len(runs) == 1 else f"{len(runs)} runs"
        why = f": {whys[name]}" if whys[name] else ""
        yield f"{number_of(counts[name], 'message')} of {of} not delivered to {name} for more than an hour{why}"


def _iso(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="milliseconds")
