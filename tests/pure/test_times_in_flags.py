"""Wrong times in flags: none delays work by more than one waiting time.

A clock that was wrong once must not stop work for years. `CASES` has one entry for each time that
a rule uses. A new rule with a waiting time needs an entry here.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from outboxes import ALL_TOLD

from hesiod_watch.core.model import (
    Attempt,
    Cell,
    CellFlags,
    CellId,
    Claim,
    Completeness,
    Flag,
    IngestState,
    Liveness,
    Outbox,
    OutboxMessage,
    Owner,
    Policy,
    RunName,
    Snapshot,
    Verdict,
)
from hesiod_watch.rules.delivery import DeliveryFailure, overdue, record_of
from hesiod_watch.rules.plan import plan
from hesiod_watch.rules.stages import digest_of_report

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=900)
FAR = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
ID = CellId("lib", "20261122_1000_1A_PAD38578_c6ded78b")
UPSTREAM = "prom:/data/alpha"
POLICY = Policy(
    sync_interval=300.0,
    ingest_interval=60.0,
    backups=frozenset({"second"}),
    verify_every=30 * 86400.0,
    marking={"prom:/data": 7 * 86400.0},
    strip_after=20 * 86400.0,
    channels={"rt": {}},
)
RUNNING = Completeness(Verdict.RUNNING, "still being written")


def ended(ending: str, then: datetime = LONG_AGO, epoch: int = 1, **record: object) -> Attempt:
    """Return an attempt that began and ended at one time."""
    owner = Owner("t", host="h", time=then.isoformat(), epoch=epoch)
    return Attempt(
        ending,
        owner,
        Liveness.DEAD,
        "it has ended",
        {"ended": then.isoformat(), "manifest": "m", **record},
    )


def copied(then: datetime = LONG_AGO, ending: str = "done") -> Attempt:
    names = ("identity", "device", "location", "manifest_md5", "raw_digest")
    copy = {
        "backup": "second",
        "files": 1,
        "bytes": 1,
        "verified_at": then.isoformat(),
        "raw": True,
    }
    return ended(ending, then, copies=[{**copy, **dict.fromkeys(names, "m")}])


def run_of(cell: Cell | None = None, upstream: str = "LOCAL", **more: object) -> Snapshot:
    run = Snapshot(
        RunName("run"),
        Path("/landing/run"),
        has_pipeline=True,
        upstream=upstream,
        listed_at="" if upstream == "LOCAL" else upstream,
        output=Path("/output/run"),
        cells=(cell,) if cell else (),
        outbox=ALL_TOLD,
    )
    run = replace(run, **more)  # type: ignore[arg-type]  # fields of a snapshot
    return replace(run, report_digest=digest_of_report(run))


def done(made: datetime = LONG_AGO, **more: object) -> Cell:
    """Return a processed cell. By default all its work ended long ago and needs nothing."""
    flag = Flag(f"{ID.stem}.done", made.timestamp(), text=json.dumps({"manifest_md5": "m"}))
    cell = Cell(
        ID,
        present=True,
        flags=CellFlags(done=flag),
        backup=copied(),
        verification=ended("done", NOW),
    )
    return replace(cell, **more)  # type: ignore[arg-type]  # fields of a cell


def arriving(
    then: datetime, ending: str, seen: int = 1, unfinished: int = 0, changed: int = 2
) -> Snapshot:
    cell = Cell(ID, present=True, completeness=RUNNING)
    return run_of(
        replace(cell, arriving=IngestState(changed, seen, unfinished, ended(ending, then)))
    )


def nanoseconds(then: datetime) -> int:
    return int(then.timestamp()) * 10**9


def claimed(then: datetime) -> Snapshot:
    claims = tuple(
        Claim(n, ended("", then).owner, None, False, Liveness.DEAD, "gone") for n in (1, 2, 3)
    )
    return run_of(Cell(ID, present=True, flags=CellFlags(claims=claims)))


def undelivered(then: datetime) -> Snapshot:
    """Return a run with a message whose channel waits for the longest time since `then`."""
    message = OutboxMessage(1, "run-new", channels={"rt": "comment"}, time=LONG_AGO.isoformat())
    until = (then + HOUR if then < FAR - HOUR else FAR).isoformat()
    record = record_of({"rt": DeliveryFailure("away", 9, then.isoformat(), until)})
    last = Attempt("failed", None, Liveness.DEAD, "it has ended", record)
    box = replace(
        ALL_TOLD, last=1, newest="run-new", channels=("rt",), waiting=(message,), round=last
    )
    return run_of(outbox=box)


@dataclass(frozen=True)
class Case:
    """One time in a flag that a rule uses."""

    action: str  # action that is due when the waiting time is over
    rest: timedelta  # the waiting time
    at: Callable[[datetime], Snapshot]  # returns a run with that time in a flag


DAMAGED = ["second: x: missing"]
NEW = Cell(ID, present=False, upstream=True)
CASES: dict[str, Case] = {
    "sync that failed": Case(
        "sync", 5 * MINUTE, lambda t: run_of(NEW, UPSTREAM, sync=ended("failed", t))
    ),
    "sync that was done": Case(
        "sync", 5 * MINUTE, lambda t: run_of(NEW, UPSTREAM, sync=ended("done", t))
    ),
    "sync that was killed": Case(
        "sync", 5 * MINUTE, lambda t: run_of(NEW, UPSTREAM, sync=ended("", t))
    ),
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
    "claims without a result": Case("process", DAY, claimed),
    "backup that failed": Case(
        "backup", MINUTE, lambda t: run_of(done(backup=copied(t, "failed")))
    ),
    "backup that failed often": Case(
        "backup", 6 * HOUR, lambda t: run_of(done(backup=ended("failed", t, epoch=99)))
    ),
    "backup of the run's files": Case(
        "backup", MINUTE, lambda t: run_of(done(), backup=ended("failed", t))
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
        lambda t: run_of(done(upstream=True, deletable=ended("done", t, marked=True)), UPSTREAM),
    ),
    "mark that was refused": Case(
        "deletable",
        DAY,
        lambda t: run_of(done(upstream=True, deletable=ended("failed", t)), UPSTREAM),
    ),
    "mark that could not be made": Case(
        "deletable",
        10 * MINUTE,
        lambda t: run_of(
            done(upstream=True, deletable=ended("failed", t, needs_person=False)), UPSTREAM
        ),
    ),
    "mark that could not be withdrawn": Case(
        "deletable",
        10 * MINUTE,
        lambda t: run_of(done(backup=None, deletable=ended("failed", t, marked=True)), UPSTREAM),
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


@pytest.mark.parametrize("name", CASES)
def test_each_rests_once(name: str) -> None:
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
def test_what_was_done_just_now_rests(backup: Attempt, verification: Attempt) -> None:
    """The copies of a backup with a time in the future are not read again and again."""
    assert "verify" not in planned(run_of(done(backup=backup, verification=verification)), NOW)


@pytest.mark.parametrize("days", [0, 1, 60])
def test_future_claims_are_not_of_this_day(days: int) -> None:
    """A claim with a time in the future counts only on the day on which its flag was made."""
    snapshot = claimed(FAR)
    (cell,) = snapshot.cells
    claims = tuple(replace(claim, made=NOW.timestamp()) for claim in cell.flags.claims)
    snapshot = replace(snapshot, cells=(replace(cell, flags=replace(cell.flags, claims=claims)),))
    assert planned(snapshot, NOW + days * DAY) == ({"process"} if days else {"give-up"})


def test_a_young_cell_is_not_stripped() -> None:
    """If the time of `done` is in the future, raw data are kept from the end of the backup on."""
    young = run_of(done(FAR, backup=copied(NOW - DAY)))
    assert "strip" not in planned(young, NOW)
    assert "strip" in planned(young, NOW + 19 * DAY)


def test_undelivered_messages_are_reported() -> None:
    """A message with a time in the future counts as one that has waited for a long time."""
    message = OutboxMessage(1, "run-new", channels={"rt": "comment"}, time=FAR.isoformat())
    assert overdue(Outbox(channels=("rt",), waiting=(message,)), NOW)
