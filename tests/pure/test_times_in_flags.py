"""Wrong times in flags: none delays work by more than one waiting time.

A clock that was wrong once must not stop work for years. `CASES` has one entry for each time that
a rule uses. A new rule with a waiting time needs an entry here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from outboxes import ALL_TOLD
from snapshots import attempt, cell, claim, flag, run

from hesiod_watch.actions.outputs.sources import NewestFile
from hesiod_watch.core.cell_contents import Completeness, Verdict
from hesiod_watch.core.model import Cell, IngestState, Policy, Snapshot
from hesiod_watch.core.ownership import Attempt, Liveness, Owner, WorkerDeath
from hesiod_watch.core.queued_messages import Outbox, OutboxMessage
from hesiod_watch.core.results import DeliveryFailure, DeliveryRecord
from hesiod_watch.core.times import time_of
from hesiod_watch.rules import overdue as overdue_cells
from hesiod_watch.rules.delivery import overdue
from hesiod_watch.rules.plan import plan
from hesiod_watch.rules.stages import digest_of_report
from hesiod_watch.service import failed_actions

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=900)
MARK = NOW - timedelta(days=3)
FAR = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
CELL = "20261122_1000_1A_PAD38578_c6ded78b"
UPSTREAM = "prom:/data/alpha"
POLICY = Policy(
    sync_interval=300.0,
    ingest_interval=60.0,
    backups=frozenset({"second"}),
    verify_every=30 * 86400.0,
    marking={"prom:/data": 7 * 86400.0},
    strip_after=20 * 86400.0,
    on_done=True,
    channels={"rt": {}},
)
RUNNING = Completeness(Verdict.RUNNING, "still being written")


def ended(outcome: str, then: datetime = LONG_AGO, epoch: int = 1, **record: Any) -> Attempt:
    """An attempt that began and ended at one time; without an outcome, its owner was killed."""
    time = then.isoformat()
    owner = Owner("t", host="h", time=time, epoch=epoch)
    facts = {"ended": time, "manifest": "m", **record}
    return attempt(outcome, liveness=Liveness.DEAD, owner=owner, **facts)


def copied(then: datetime = LONG_AGO, outcome: str = "done") -> Attempt:
    names = ("identity", "device", "location", "manifest_md5", "raw_digest")
    copy = {
        "backup": "second",
        "files": 1,
        "bytes": 1,
        "verified_at": then.isoformat(),
        "raw": True,
    }
    return ended(outcome, then, copies=[{**copy, **dict.fromkeys(names, "m")}])


def run_of(*cells: Cell, **facts: Any) -> Snapshot:
    """A run whose events are all reported, with a page that is up to date."""
    snapshot = run(*cells, **({"outbox": ALL_TOLD} | facts))
    return replace(snapshot, report_digest=digest_of_report(snapshot))


def listed(*cells: Cell, **facts: Any) -> Snapshot:
    """The same for a run that its upstream lists."""
    return run_of(*cells, upstream=UPSTREAM, listed_at=UPSTREAM, **facts)


def done(made: datetime = LONG_AGO, *, hook_due: bool = False, **facts: Any) -> Cell:
    """A processed cell. By default all its work ended long ago and needs nothing."""
    usual: dict[str, Any] = {
        "done": flag(json.dumps({"manifest_md5": "m", "hook_due": hook_due}), made.timestamp()),
        "backup": copied(),
        "verification": ended("done", NOW),
    }
    return cell(CELL, **(usual | facts))


def arriving(
    then: datetime, outcome: str, seen: int = 1, unfinished: int = 0, changed: int = 2
) -> Snapshot:
    """A run with a cell that is being written, and whose last ingest was then."""
    state = IngestState(changed, seen, unfinished, ended(outcome, then))
    return run_of(cell(CELL, completeness=RUNNING, arriving=state))


def nanoseconds(then: datetime) -> int:
    return int(then.timestamp()) * 10**9


def claimed(then: datetime, made: float = LONG_AGO.timestamp()) -> Snapshot:
    """A run with a cell that was claimed three times, each time without a result."""
    owner = ended("", then).owner
    claims = (claim(Liveness.DEAD, epoch, owner=owner) for epoch in (1, 2, 3))
    return run_of(cell(CELL, claims=tuple(replace(each, made=made) for each in claims)))


def unsettled(then: datetime) -> Snapshot:
    """A run with a complete cell whose data changed then, after its summary arrived."""
    proven = Completeness(Verdict.PROVEN, "3 of 3 FASTQ files")
    return run_of(cell(CELL, completeness=proven, unsettled_since=then.timestamp()))


def died(then: datetime) -> Snapshot:
    """A run with a cell whose first worker died then, while its service lived."""
    death = WorkerDeath("attempt 1 was killed", then.isoformat())
    owner = ended("", LONG_AGO).owner
    return run_of(cell(CELL, claims=(claim(Liveness.DEAD, owner=owner, death=death),)))


def undelivered(then: datetime) -> Snapshot:
    """A run with a message whose channel waits for the longest time since `then`."""
    message = OutboxMessage(1, "run-new", channels={"rt": "comment"}, time=LONG_AGO.isoformat())
    until = (then + HOUR if then < FAR - HOUR else FAR).isoformat()
    failure = DeliveryFailure("away", 9, then.isoformat(), until)
    record: dict[str, Any] = DeliveryRecord({"rt": failure}).record()
    last = attempt("failed", **record)
    box = replace(
        ALL_TOLD, last=1, newest="run-new", channels=("rt",), waiting=(message,), last_attempt=last
    )
    return run_of(outbox=box)


@dataclass(frozen=True)
class Case:
    """One time in a flag that a rule uses."""

    action: str  # action that is due when the waiting time is over
    rest: timedelta  # the waiting time
    at: Callable[[datetime], Snapshot]  # returns a run with that time in a flag


DAMAGED = ["second: x: missing"]
NEW = cell(CELL, present=False, upstream=True)
CASES: dict[str, Case] = {
    "sync that failed": Case("sync", 5 * MINUTE, lambda t: listed(NEW, sync=ended("failed", t))),
    "sync that was done": Case("sync", 5 * MINUTE, lambda t: listed(NEW, sync=ended("done", t))),
    "sync that was killed": Case("sync", 5 * MINUTE, lambda t: listed(NEW, sync=ended("", t))),
    "ingest that was done": Case("ingest", MINUTE, lambda t: arriving(t, "done")),
    "ingest that failed": Case("ingest", 10 * MINUTE, lambda t: arriving(t, "failed")),
    "ingest that left files": Case(
        "ingest", MINUTE, lambda t: arriving(t, "done", seen=2, unfinished=1)
    ),
    "FASTQ seen in the future": Case(
        "ingest",
        timedelta(0),
        lambda t: arriving(LONG_AGO, "done", nanoseconds(t), changed=nanoseconds(LONG_AGO)),
    ),
    "data younger than the summary": Case("synced", MINUTE, unsettled),
    "claims without a result": Case("process", DAY, claimed),
    "death of a worker": Case("process", MINUTE, died),
    "page that waits for its batch": Case(
        "report",
        timedelta(seconds=2),
        lambda t: replace(
            run_of(done(t), cell("second", claims=(claim(),))), report_digest="of fewer cells"
        ),
    ),
    "backup that failed": Case(
        "backup", MINUTE, lambda t: run_of(done(backup=copied(t, "failed")))
    ),
    "backup that failed often": Case(
        "backup", 6 * HOUR, lambda t: run_of(done(backup=ended("failed", t, epoch=99)))
    ),
    "backup of the run's files": Case(
        "backup", MINUTE, lambda t: run_of(done(), backup=ended("failed", t))
    ),
    "command that failed": Case(
        "hook", MINUTE, lambda t: run_of(done(hook_due=True, hook=ended("failed", t)))
    ),
    "command that failed often": Case(
        "hook", 6 * HOUR, lambda t: run_of(done(hook_due=True, hook=ended("failed", t, epoch=99)))
    ),
    "copies not read since their backup": Case(
        "verify", 30 * DAY, lambda t: run_of(done(backup=copied(t), verification=None))
    ),
    "results never copied or read": Case(
        "verify", 30 * DAY, lambda t: run_of(done(t, backup=None, verification=None))
    ),
    "copies that were read": Case(
        "verify", 30 * DAY, lambda t: run_of(done(verification=ended("done", t)))
    ),
    "a backup after the reading": Case(
        "verify", 30 * DAY, lambda t: run_of(done(backup=copied(t), verification=ended("done")))
    ),
    "reading that failed": Case(
        "verify", MINUTE, lambda t: run_of(done(verification=ended("failed", t)))
    ),
    "damage that was found": Case(
        "verify",
        30 * DAY,
        lambda t: run_of(done(verification=ended("failed", t, problems=DAMAGED))),
    ),
    "mark that was made": Case(
        "deletable",
        7 * DAY,
        lambda t: listed(done(upstream=True, deletable=ended("done", t, marked=True))),
    ),
    "mark that was refused": Case(
        "deletable",
        DAY,
        lambda t: listed(done(upstream=True, deletable=ended("failed", t))),
    ),
    "mark that could not be made": Case(
        "deletable",
        10 * MINUTE,
        lambda t: listed(done(upstream=True, deletable=ended("failed", t, needs_person=False))),
    ),
    "mark that could not be withdrawn": Case(
        "deletable",
        10 * MINUTE,
        lambda t: listed(done(backup=None, deletable=ended("failed", t, marked=True))),
    ),
    "cell that was finished": Case("strip", 20 * DAY, lambda t: run_of(done(t))),
    "strip that was refused": Case("strip", DAY, lambda t: run_of(done(strip=ended("failed", t)))),
    "strip that was away": Case(
        "strip", 10 * MINUTE, lambda t: run_of(done(strip=ended("failed", t, needs_person=False)))
    ),
    "channel that rests": Case("notify", HOUR, undelivered),
}


def planned(snapshot: Snapshot, now: datetime) -> set[str]:
    return {action.name for action in plan(snapshot, POLICY, now).actions}


def with_text(found: Any, text: str) -> Any:
    """The same value with another text in place of each recorded time near `MARK`."""
    if isinstance(found, str):
        time = time_of(found)
        return text if time and abs(time - MARK) <= HOUR else found
    if isinstance(found, Mapping):
        return {key: with_text(value, text) for key, value in found.items()}
    if isinstance(found, list | tuple | frozenset):
        return type(found)(with_text(each, text) for each in found)
    if is_dataclass(found) and not isinstance(found, type):
        return replace(found, **{name: with_text(value, text) for name, value in vars_of(found)})
    return found


def vars_of(found: Any) -> Iterator[tuple[str, Any]]:
    return ((field.name, getattr(found, field.name)) for field in fields(found))


@dataclass(frozen=True)
class Wait:
    """A waiting time of a rule outside the plan."""

    rest: timedelta
    is_over: Callable[[datetime | None, datetime], bool]  # (begin, now)


def incomplete(arrived: datetime | None) -> Cell:
    since = arrived.timestamp() if arrived else LONG_AGO.timestamp()
    return cell(completeness=Completeness(Verdict.SHORT, ""), summary_since=since)


WAITS = {
    "cell in its grace period": Wait(
        timedelta(seconds=POLICY.grace) + overdue_cells.CLOCK_SKEW,
        lambda then, now: overdue_cells.overdue(incomplete(then), POLICY, now),
    ),
    "message that is not delivered": Wait(
        HOUR,
        lambda then, now: overdue(
            Outbox(channels=("rt",), waiting=(message_of(then.isoformat() if then else ""),)), now
        ),
    ),
    "action that failed": Wait(
        failed_actions.RETRY.longest,
        lambda then, now: not then or failed_actions.FailedAction("", 99, then).due(now) <= now,
    ),
    "file that is quiet": Wait(
        MINUTE,
        lambda then, now: not then or NewestFile(1, 1, then.timestamp()).quiet(now.timestamp()),
    ),
}


def message_of(time: str) -> OutboxMessage:
    return OutboxMessage(1, "run-new", channels={"rt": "comment"}, time=time)


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=30)
@given(then=st.datetimes(timezones=st.just(UTC)))
def test_no_time_delays_more_than_one_rest(name: str, then: datetime) -> None:
    """Whatever time is recorded, the action is due after one waiting time from now at the latest;
    a time in the future delays nothing.
    """
    case = CASES[name]
    assert case.action in planned(case.at(then), NOW if then > NOW else NOW + case.rest)


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=20)
@given(text=st.text() | st.sampled_from(["", "0", "null", "0001-01-01", "2026-13-01T00:00Z"]))
def test_no_text_delays_more_than_one_rest(name: str, text: str) -> None:
    """A time that is missing or cannot be read delays an action by one waiting time at most."""
    case = CASES[name]
    assert case.action in planned(with_text(case.at(MARK), text), NOW + case.rest)


@pytest.mark.parametrize("name", WAITS)
@given(then=st.none() | st.timedeltas(LONG_AGO - NOW, FAR - NOW).map(lambda ahead: NOW + ahead))
def test_no_wait_is_longer_than_one_rest(name: str, then: datetime | None) -> None:
    """The other rules that wait do so for one waiting time from now at most."""
    wait = WAITS[name]
    assert wait.is_over(then, NOW) or wait.is_over(then, NOW + wait.rest)


@pytest.mark.parametrize("name", CASES)
def test_each_waits_once(name: str) -> None:
    """Each time delays its action for its waiting time and no longer."""
    case = CASES[name]
    snapshot = case.at(NOW)
    if case.rest:
        assert case.action not in planned(snapshot, NOW + case.rest - timedelta(seconds=1))
    assert case.action in planned(snapshot, NOW + case.rest)


@pytest.mark.parametrize("name", CASES)
@given(ahead=st.timedeltas(timedelta(seconds=1), FAR - NOW))
def test_the_future_delays_nothing(name: str, ahead: timedelta) -> None:
    """A time in the future delays no action: the action is due now."""
    case = CASES[name]
    assert case.action in planned(case.at(NOW + ahead), NOW)


@pytest.mark.parametrize("name", CASES)
def test_no_look_waits_for_the_future(name: str) -> None:
    """A wrong time in a flag never delays the next look."""
    again = plan(CASES[name].at(FAR), POLICY, NOW).look_again
    assert again is None or again <= NOW + max(case.rest for case in CASES.values())


@pytest.mark.parametrize(
    ("backup", "verification"),
    [(copied(FAR), ended("done", NOW)), (copied(FAR), ended("failed", NOW, problems=DAMAGED))],
    ids=["all well", "damaged"],
)
def test_recent_work_is_not_repeated(backup: Attempt, verification: Attempt) -> None:
    """The copies of a backup with a time in the future are not read again and again."""
    assert "verify" not in planned(run_of(done(backup=backup, verification=verification)), NOW)


@pytest.mark.parametrize("days", [0, 1, 60])
def test_future_claims_are_not_of_this_day(days: int) -> None:
    """A claim with a time in the future counts only on the day on which its flag was made."""
    snapshot = claimed(FAR, NOW.timestamp())
    assert planned(snapshot, NOW + days * DAY) == ({"process"} if days else {"give-up"})


def test_a_young_cell_is_not_stripped() -> None:
    """If the time of `done` is in the future, raw data are kept from the end of the backup on."""
    young = run_of(done(FAR, backup=copied(NOW - DAY)))
    assert "strip" not in planned(young, NOW)
    assert "strip" in planned(young, NOW + 19 * DAY)


def test_undelivered_messages_are_reported() -> None:
    """A message with a time in the future counts as one that has waited for a long time."""
    assert overdue(Outbox(channels=("rt",), waiting=(message_of(FAR.isoformat()),)), NOW)
