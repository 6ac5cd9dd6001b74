"""What to do now about one run, and why: snapshot, policy and time in, actions and waits out.

Each rule looks at the facts for itself and knows nothing of the others; their order is the priority
(what makes data safe first, what tells about it last). A new wish is a new rule, not a new state.
Nothing here reads, writes, claims or logs: `reconcile` does, and a dry run is this same plan
printed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from hesiod_watch.core.model import (
    LOCAL,
    Action,
    Cell,
    Claim,
    Decision,
    Liveness,
    Owner,
    Policy,
    Snapshot,
    Stage,
)
from hesiod_watch.core.text import number_of
from hesiod_watch.core.times import due_at, rested, time_at, time_of
from hesiod_watch.rules import backup_schedule, delivery, retention
from hesiod_watch.rules.attention import disagrees, grace_end, overdue, summary_time
from hesiod_watch.rules.liveness import unclear, under_way
from hesiod_watch.rules.run_types import type_of, type_problem
from hesiod_watch.rules.stages import (
    HANDS_OFF,
    SETTLED,
    at,
    by_hand,
    digest_of_report,
    settled,
    stage_of,
)

DAY = timedelta(days=1)

WAIT_FOR_WORKER = 5.0
"""Seconds between two looks at a worker that is not our child: nothing tells us when it ends."""
WAIT_FOR_FILES = (1.0, 60.0)
"""Shortest and longest time in seconds between two counts of files that are announced and not here
yet.
"""
OVERDUE_AFTER = timedelta(milliseconds=1)
"""Time from the end of the grace period to the first look that finds a cell overdue."""

LONG_AGO = datetime.min.replace(tzinfo=UTC)
QUIET = 60.0
"""Seconds without a change after which the newest FASTQ of a directory counts as finished."""


def plan(snapshot: Snapshot, policy: Policy, now: datetime) -> Decision:
    """Everything that is to be done to this run now. `now` is aware of its time zone."""
    actions = tuple(action for rule in RULES for action in rule(snapshot, policy, now))
    return Decision(
        actions, tuple(waiting(snapshot, policy, now)), look_again(snapshot, policy, now)
    )


# Rules: (snapshot, policy, now) -> actions.


def want_new_run(snapshot: Snapshot, policy: Policy, now: datetime) -> Iterator[Action]:
    """A run that nobody has taken up: one that an upstream shows, or one that a sequencer writes
    here by itself.
    """
    if snapshot.has_pipeline or snapshot.problem:
        return
    if snapshot.listed_at:
        reason = f"{len(snapshot.cells)} cell(s) seen on {snapshot.listed_at}"
        yield Action("new-run", snapshot.run, reason=reason, upstream=snapshot.listed_at)
    elif policy.local and any(cell.present for cell in snapshot.cells):
        yield Action(
            "new-run",
            snapshot.run,
            reason=f"{len(snapshot.cells)} cell(s) seen in a run nobody has taken up",
        )


def want_synced(snapshot: Snapshot, policy: Policy, now: datetime) -> Iterator[Action]:
    """A cell of a LOCAL run whose data are proven to be here."""
    if not _workable(snapshot) or snapshot.upstream != LOCAL:
        return
    for cell in at(snapshot, Stage.INCOMPLETE):
        if cell.present and cell.completeness and cell.completeness.proven:
            why = cell.completeness.why
            yield Action(
                "synced", snapshot.run, cell=cell.id, reason=why, completeness=cell.completeness
            )


def want_process(snapshot: Snapshot, policy: Policy, now: datetime) -> Iterator[Action]:
    """A cell that is synced and complete and that nobody has started, or whose worker is proven
    dead.
    """
    if not _workable(snapshot) or not type_of(snapshot, policy).process:
        return
    for cell in at(snapshot, Stage.READY):
        state = by_hand(cell) or "synced and complete"
        yield Action("process", snapshot.run, cell=cell.id, reason=f"{state}, not started")
    for cell in _orphans(snapshot):
        if _attempts(cell, now) < policy.attempts_per_day:
            claim = cell.flags.claim
            why = (
                f"attempt {claim.epoch} has ended without a result: {claim.evidence}"
                if claim
                else "stepped back"
            )
            yield Action("process", snapshot.run, cell=cell.id, epoch=_next_epoch(cell), reason=why)


def want_give_up(snapshot: Snapshot, policy: Policy, now: datetime) -> Iterator[Action]:
    """A cell whose workers die again and again: a person must look before it is tried once more."""
    if not _workable(snapshot) or not type_of(snapshot, policy).process:
        return
    for cell in _orphans(snapshot):
        attempts = _attempts(cell, now)
        if attempts >= policy.attempts_per_day:
            claim = cell.flags.claim
            evidence = claim.evidence if claim else "every claim stepped back"
            ended = f"{number_of(attempts, 'attempt')} within 24 hours ended without a result"
            reason = f"{ended}; the last one: {evidence}"
            yield Action("give-up", snapshot.run, cell=cell.id, reason=reason)


def want_ingest(snapshot: Snapshot, policy: Policy, now: datetime) -> Iterator[Action]:
    """A cell that is still being written and has new FASTQ: what is done now need not be done at
    the end.

    The cell whose last round began longest ago comes first. In an order by name the first cells
    would take every round while files arrive faster than all cells get their turn.
    """
    if (
        not _workable(snapshot)
        or policy.ingest_interval is None
        or not type_of(snapshot, policy).process
    ):
        return
    cells = at(snapshot, Stage.INCOMPLETE, Stage.PENDING)
    for cell in sorted(cells, key=lambda cell: (_last_round(cell, now), cell.id)):
        if cell.completeness and cell.completeness.proven and snapshot.upstream == LOCAL:
            continue  # about to be processed
        due = _next_round(cell, policy.ingest_interval, now)
        if due is not None and due <= now:
            yield Action("ingest", snapshot.run, cell=cell.id, reason="new FASTQ files have landed")


def want_sync(snapshot: Snapshot, policy: Policy, now: datetime) -> Iterator[Action]:
    """A run whose upstream has cells that are not here, or not wholly; processing comes first."""
    if (
        not _workable(snapshot)
        or snapshot.upstream is None
        or snapshot.listed_at != snapshot.upstream
    ):
        return
    missing = [cell for cell in at(snapshot, Stage.NEW, Stage.PENDING) if not _gone(cell)]
    last = snapshot.sync
    busy = type_of(snapshot, policy).process and at(snapshot, Stage.READY)
    if not missing or busy or under_way(last):
        return
    began = _time_of(last.owner) if last else None
    if rested(began, now, timedelta(seconds=policy.sync_interval)):
        reason = f"{len(missing)} cell(s) of {snapshot.upstream} are not here, or not wholly"
        yield Action("sync", snapshot.run, reason=reason, upstream=snapshot.upstream)


def want_report(snapshot: Snapshot, policy: Policy, now: datetime) -> Iterator[Action]:
    """A run whose page does not tell what has become of its cells."""
    if not _workable(snapshot):
        return
    told = bool(at(snapshot, *SETTLED)) or any(cell.results for cell in snapshot.cells)
    if told and snapshot.report_digest != digest_of_report(snapshot):
        reason = (
            "the run's page is out of date" if snapshot.report_digest else "the run has no page yet"
        )
        yield Action("report", snapshot.run, reason=reason)


Rule = Callable[[Snapshot, Policy, datetime], Iterator[Action]]
RULES: tuple[Rule, ...] = (
    want_new_run,
    want_synced,
    want_process,
    want_give_up,
    want_ingest,
    want_sync,
    want_report,
    delivery.want_tell,
    delivery.want_notify,
    backup_schedule.want_backup,
    backup_schedule.want_verify,
    retention.want_deletable,
    retention.want_strip,
)


# What is waited for.


def waiting(snapshot: Snapshot, policy: Policy, now: datetime) -> Iterator[str]:
    """Sentences about what stands still, and for whom or what it waits."""
    if snapshot.problem:
        yield snapshot.problem
    yield from delivery.sentences(snapshot.outbox)
    if not snapshot.adopted:
        return
    for flag in sorted(HANDS_OFF & snapshot.flags):
        yield f"the run is flagged {flag}: nothing is started until a person removes the flag"
    if snapshot.output is None:
        yield f"{snapshot.output_problem or 'the output directory is missing'}: nothing is started without it"
    yield from _wait_for_type(snapshot, policy)
    sync = snapshot.sync
    if unclear(sync):
        yield (
            f"a sync was begun, and its owner can neither be seen alive nor proven dead ({sync.evidence}); "
            f"if you have checked that it is dead, remove {snapshot.path}/pipeline/sync.started"
        )
    yield from backup_schedule.waiting(snapshot, policy)
    yield from retention.waiting(snapshot)
    for cell in snapshot.cells:
        sentence = _wait_for(cell, policy, now)
        if sentence:
            yield f"{cell.id}: {sentence}"


def look_again(snapshot: Snapshot, policy: Policy, now: datetime) -> datetime | None:
    """When to look at this run again although nothing may announce a change by then; None: never by
    itself.

    Files land in data directories, which nothing watches; a worker may belong to another process.
    Both are looked at again soon at first and then less often.
    """
    times = list(delivery.look_again(snapshot, policy, now))
    if not snapshot.adopted or HANDS_OFF & snapshot.flags:
        return min(times, default=None)
    times += [
        *backup_schedule.look_again(snapshot, policy, now),
        *retention.look_again(snapshot, policy, now),
    ]
    for cell in snapshot.cells:
        stage = stage_of(cell)
        if stage is Stage.PROCESSING:
            times.append(now + timedelta(seconds=WAIT_FOR_WORKER))
        elif stage is Stage.INCOMPLETE and disagrees(cell) and (written := summary_time(cell)):
            shortest, longest = WAIT_FOR_FILES
            age = max(0.0, (now - written).total_seconds())
            times.append(now + timedelta(seconds=min(max(age / 4, shortest), longest)))
        if (end := grace_end(cell, policy)) and end >= now:
            times.append(end + OVERDUE_AFTER)
        if (
            stage in (Stage.INCOMPLETE, Stage.PENDING)
            and cell.present
            and policy.ingest_interval is not None
        ):
            due = _next_round(cell, policy.ingest_interval, now)
            # What is due later may be due sooner when files land, and no event tells of a file in a
            # data directory.
            soon = now + timedelta(seconds=policy.ingest_interval)
            times.append(due if due and now < due < soon else soon)
    return min(times, default=None)


# Helpers.


def _workable(snapshot: Snapshot) -> bool:
    return snapshot.adopted and snapshot.output is not None and not HANDS_OFF & snapshot.flags


def _orphans(snapshot: Snapshot) -> list[Cell]:
    """Cells being processed by nobody any more: the claim that counts is proven dead, or every one
    stepped back.
    """
    return [
        cell
        for cell in at(snapshot, Stage.PROCESSING)
        if cell.flags.claim is None or cell.flags.claim.liveness is Liveness.DEAD
    ]


def _gone(cell: Cell) -> bool:
    """Its data were here, or a person said so, and are not; half of them must not pass for all when
    copied again.
    """
    return not cell.present and bool(cell.flags.synced or cell.flags.claims or cell.flags.failed)


def _next_epoch(cell: Cell) -> int:
    return max((claim.epoch for claim in cell.flags.claims), default=0) + 1


def _attempts(cell: Cell, now: datetime) -> int:
    """Claims of the last 24 hours that were worked under. One of which no clock says the time
    counts as recent.
    """
    return sum(1 for claim in cell.flags.claims if not claim.yielded and _within_a_day(claim, now))


def _last_round(cell: Cell, now: datetime) -> datetime:
    """When the last round of ingest on a cell began; long ago where there was none, or it is in the
    future.
    """
    last = cell.arriving.round if cell.arriving else None
    began = _time_of(last.owner) if last else None
    return LONG_AGO if began is None or began > now else began


def _next_round(cell: Cell, interval: float, now: datetime) -> datetime | None:
    """When ingest has something to do for a cell; None: nothing waits, or a round is under way.

    A round that failed is repeated ten times less often: what is wrong is mostly still wrong.
    """
    arriving = cell.arriving
    if arriving is None or not arriving.changed:
        return None
    last = arriving.round
    if under_way(last):
        return None
    failed = last is not None and last.ending == "failed"
    began = _time_of(last.owner) if last else None
    if began is None or began > now:
        return now
    if failed:
        return due_at(began, now, timedelta(seconds=interval * 10))
    if arriving.changed != arriving.seen:  # also where it was seen with a time in the future
        return due_at(began, now, timedelta(seconds=interval))
    return (
        due_at(began, now, timedelta(seconds=max(interval, QUIET))) if arriving.unfinished else None
    )


def _within_a_day(claim: Claim, now: datetime) -> bool:
    """By the owner's clock; where that says nothing, or a time in the future, by the file system's."""
    time = _time_of(claim.owner)
    if time is None or time > now:
        time = time_at(claim.made) or time
    return time is None or not rested(time, now, DAY)


def _time_of(owner: Owner | None) -> datetime | None:
    """When an owner began, by its own clock; None where that cannot be read."""
    return time_of(owner.time) if owner else None


def _wait_for_type(snapshot: Snapshot, policy: Policy) -> Iterator[str]:
    """What a run's type holds back, as long as there is anything to be done to the run."""
    if settled(snapshot):
        return
    if problem := type_problem(snapshot, policy):
        yield problem
    kind = type_of(snapshot, policy)
    if not kind.process and at(snapshot, Stage.READY):
        yield f"its type is {kind.name}, and runs of that type are not processed"


def _wait_for(cell: Cell, policy: Policy, now: datetime) -> str:
    stage = stage_of(cell)
    if stage is Stage.PROCESSING:
        claim = cell.flags.claim
        if claim and claim.liveness is Liveness.UNKNOWN:
            return (
                f"claimed, and its owner can neither be seen alive nor proven dead ({claim.evidence}); "
                "if you have checked that it is dead, say so with `hesiod-watch release`"
            )
    elif stage is Stage.NEW and _gone(cell):
        return "its data have gone from here, and its flags keep it from being copied again; remove them to have it so"
    elif stage is Stage.FAILED:
        return f"failed: {cell.flags.failed.why if cell.flags.failed else ''}".rstrip(": ")
    elif cell.completeness and disagrees(cell):
        late = (
            "; the grace period is over, a person should look" if overdue(cell, policy, now) else ""
        )
        return cell.completeness.why + late if late or stage is Stage.INCOMPLETE else ""
    return ""
