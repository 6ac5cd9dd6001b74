"""Plan for one run: from a snapshot, the policy and the time to actions and reasons to wait.

Each rule examines the facts by itself and is independent of the other rules. The order of the
rules is the priority: work that makes data safe comes first, reports come later. Actions of one
rule are in the order of their turns (`rules.turns`). A new requirement is a new rule, not a new
state. Rules never read, write, claim or log; `reconcile` does. A dry run prints this same plan.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from hesiod_watch.core.action_kinds import (
    CHECKSUMS,
    GIVE_UP,
    INGEST,
    NEW_RUN,
    PROCESS,
    REPORT,
    SYNC,
    SYNCED,
)
from hesiod_watch.core.cell_contents import Verdict
from hesiod_watch.core.model import LOCAL, Action, Cell, Decision, Policy, Snapshot, Stage
from hesiod_watch.core.ownership import Attempt, Liveness, Owner
from hesiod_watch.core.text import number_of
from hesiod_watch.core.times import due_at, rested, time_at, time_of
from hesiod_watch.rules import backup_schedule, delivery, events, hook_schedule, retention
from hesiod_watch.rules.attempt_pauses import (
    attempt_due,
    attempts_today,
    is_orphan,
    next_epoch,
    pause_words,
)
from hesiod_watch.rules.backup_schedule import ended_at
from hesiod_watch.rules.liveness import unclear, under_way
from hesiod_watch.rules.overdue import disagrees, grace_end, overdue, summary_time
from hesiod_watch.rules.run_types import type_of, type_problem
from hesiod_watch.rules.settling import QUIET, settles_at, settling_words
from hesiod_watch.rules.stages import (
    SETTLED,
    at,
    by_hand,
    copy_words,
    digest_of_report,
    settled,
    stage_of,
)
from hesiod_watch.rules.turns import in_turn

COMPARE_AGAIN = timedelta(hours=1)
"""Time from a comparison with MinKNOW's checksums that failed to the next one."""
BATCH_GAP = timedelta(seconds=2)
"""Longest time from a processed cell to the next one of the same batch, which shares its page."""
WAIT_FOR_WORKER = 5.0
"""Seconds between two looks at a worker of another process: no event announces its end."""
WAIT_FOR_FILES = (1.0, 60.0)
"""Shortest and longest time in seconds between two counts of a cell with missing files."""
OVERDUE_AFTER = timedelta(milliseconds=1)
"""Time from the end of the grace period to the look at it: two clocks may differ a little."""


def plan(snapshot: Snapshot, policy: Policy, now: datetime) -> Decision:
    """Decide everything to do for this run now. `now` has a time zone."""
    actions = tuple(
        action for rule in RULES for action in in_turn(snapshot, rule(snapshot, policy, now), now)
    )
    return Decision(
        actions, tuple(waiting(snapshot, policy, now)), look_again(snapshot, policy, now)
    )


# Rules: (snapshot, policy, now) -> actions.


def want_new_run(snapshot: Snapshot, policy: Policy, now: datetime) -> Iterator[Action]:
    """Take up a new run in an upstream's listing, or one written into the landing area itself."""
    if snapshot.has_pipeline or snapshot.problem or snapshot.historic:
        return
    if snapshot.listed_at:
        reason = f"{len(snapshot.cells)} cell(s) seen on {snapshot.listed_at}"
        yield Action(NEW_RUN, snapshot.run, reason=reason, upstream=snapshot.listed_at)
    elif policy.local and any(cell.present for cell in snapshot.cells):
        yield Action(
            NEW_RUN,
            snapshot.run,
            reason=f"{len(snapshot.cells)} cell(s) seen in a run that is not taken up yet",
        )


def want_synced(snapshot: Snapshot, policy: Policy, now: datetime) -> Iterator[Action]:
    """Mark a cell of a LOCAL run as synced once all its data are proven to have arrived."""
    if not snapshot.may_start(SYNCED) or snapshot.upstream != LOCAL:
        return
    for cell in at(snapshot, Stage.INCOMPLETE):
        found = cell.completeness
        if not cell.present or not found or found.verdict not in (Verdict.PROVEN, Verdict.DAMAGED):
            continue
        if settles_at(cell, now):
            continue
        if policy.require_checksums and found.output_hashes:
            if comparison_due(cell.checksums, now) <= now and not under_way(cell.checksums):
                reason = "MinKNOW's checksums must agree before the cell is complete"
                yield Action(CHECKSUMS, snapshot.run, cell=cell.id, reason=reason)
        else:
            yield Action(SYNCED, snapshot.run, cell=cell.id, reason=found.why)


def want_process(snapshot: Snapshot, policy: Policy, now: datetime) -> Iterator[Action]:
    """Process a cell that is synced, complete and not started, or whose worker is proven dead."""
    if not snapshot.may_start(PROCESS) or not type_of(snapshot, policy).process:
        return
    for cell in at(snapshot, Stage.READY):
        state = by_hand(cell) or "synced and complete"
        yield Action(PROCESS, snapshot.run, cell=cell.id, reason=f"{state}, not started")
    for cell in snapshot.cells:
        due = attempt_due(cell, policy, now)
        if due is not None and due <= now:
            claim = cell.flags.claim
            why = (
                "every claim was released"
                if claim is None
                else claim.evidence
                if claim.death
                else f"attempt {claim.epoch} has ended without a result: {claim.evidence}"
            )
            yield Action(PROCESS, snapshot.run, cell=cell.id, epoch=next_epoch(cell), reason=why)


def want_give_up(snapshot: Snapshot, policy: Policy, now: datetime) -> Iterator[Action]:
    """Give up a cell whose workers die repeatedly; it needs a person before the next attempt."""
    if not snapshot.may_start(GIVE_UP) or not type_of(snapshot, policy).process:
        return
    for cell in filter(is_orphan, snapshot.cells):
        attempts = attempts_today(cell, now)
        if attempts >= policy.attempts_per_day:
            claim = cell.flags.claim
            evidence = claim.evidence if claim else "every claim was released"
            ended = f"{number_of(attempts, 'attempt')} within 24 hours ended without a result"
            reason = f"{ended}; the last one: {evidence}"
            yield Action(GIVE_UP, snapshot.run, cell=cell.id, reason=reason)


def want_ingest(snapshot: Snapshot, policy: Policy, now: datetime) -> Iterator[Action]:
    """Ingest new reads of a cell that is still being written, to save time at its end."""
    if (
        not snapshot.may_start(INGEST)
        or policy.ingest_interval is None
        or not type_of(snapshot, policy).process
    ):
        return
    for cell in at(snapshot, Stage.INCOMPLETE, Stage.PENDING):
        if cell.copy_of:
            continue
        proven = cell.completeness and cell.completeness.proven
        if proven and snapshot.upstream == LOCAL and cell.unsettled_since is None:
            continue  # about to be processed
        due = _next_ingest(cell, policy.ingest_interval, now)
        if due is not None and due <= now:
            yield Action(
                INGEST, snapshot.run, cell=cell.id, reason="new files of reads have landed"
            )


def want_sync(snapshot: Snapshot, policy: Policy, now: datetime) -> Iterator[Action]:
    """Sync a run whose upstream has cells that are missing or incomplete here.

    Processing of ready cells comes first.
    """
    if (
        not snapshot.may_start(SYNC)
        or snapshot.upstream is None
        or snapshot.listed_at != snapshot.upstream
    ):
        return
    missing = [
        cell
        for cell in at(snapshot, Stage.NEW, Stage.PENDING)
        if not (_is_lost(cell) or cell.copy_of)
    ]
    last = snapshot.sync
    busy = type_of(snapshot, policy).process and at(snapshot, Stage.READY)
    if not missing or busy or under_way(last):
        return
    began = _time_of(last.owner) if last else None
    if rested(began, now, timedelta(seconds=policy.sync_interval)):
        reason = f"{len(missing)} cell(s) of {snapshot.upstream} are missing or incomplete here"
        yield Action(SYNC, snapshot.run, reason=reason, upstream=snapshot.upstream)


def want_report(snapshot: Snapshot, policy: Policy, now: datetime) -> Iterator[Action]:
    """Write the page of a run if it does not show the present state of the run's cells."""
    if not snapshot.may_start(REPORT):
        return
    has_content = any(cell.results for cell in snapshot.cells)
    # Without an outbox, flags alone are an earlier Hesiod's: its runs stay as they are.
    has_content = has_content or bool(snapshot.outbox and at(snapshot, *SETTLED))
    if not has_content or ((due := _batch_end(snapshot, now)) and due > now):
        return
    if snapshot.report_digest != digest_of_report(snapshot):
        reason = (
            "the run's page is out of date" if snapshot.report_digest else "the run has no page yet"
        )
        yield Action(REPORT, snapshot.run, reason=reason)


Rule = Callable[[Snapshot, Policy, datetime], Iterator[Action]]
RULES: tuple[Rule, ...] = (
    want_new_run,
    want_synced,
    want_process,
    want_give_up,
    want_ingest,
    want_sync,
    want_report,
    events.want_queue_messages,
    delivery.want_notify,
    backup_schedule.want_backup,
    backup_schedule.want_verify,
    hook_schedule.want_hook,
    retention.want_deletable,
    retention.want_strip,
)


# Reasons to wait.


def waiting(snapshot: Snapshot, policy: Policy, now: datetime) -> Iterator[str]:
    """Yield a sentence for each thing that waits, with the person or event it waits for."""
    if snapshot.problem:
        yield snapshot.problem
    yield from delivery.sentences(snapshot.outbox)
    if not snapshot.adopted:
        return
    for flag in snapshot.stop_flags(PROCESS):
        yield f"the run is flagged {flag}: nothing is started until a person removes the flag"
    if snapshot.output is None:
        problem = snapshot.output_problem or "the output directory is missing"
        yield f"{problem}: nothing is started without it"
    yield from _wait_for_type(snapshot, policy)
    sync = snapshot.sync
    if unclear(sync):
        yield (
            "a sync was begun, and its owner can neither be seen alive nor proven dead "
            f"({sync.evidence}); "
            f"if you have checked that it is dead, remove {snapshot.path}/pipeline/sync.started"
        )
    yield from backup_schedule.waiting(snapshot, policy)
    yield from hook_schedule.waiting(snapshot, policy)
    yield from retention.waiting(snapshot)
    for cell in snapshot.cells:
        sentence = _reason_to_wait(cell, policy, now)
        if sentence:
            yield f"{cell.id}: {sentence}"


def look_again(snapshot: Snapshot, policy: Policy, now: datetime) -> datetime | None:
    """Return when to look at this run again even without an event; None if only an event matters.

    No watch reports files in data directories, and a worker may belong to another process. Both
    are looked at again soon at first and then less often.
    """
    times = list(delivery.look_again(snapshot, policy, now))
    if not snapshot.adopted or snapshot.stop_flags(PROCESS):
        return min(times, default=None)
    times += [
        *backup_schedule.look_again(snapshot, policy, now),
        *hook_schedule.look_again(snapshot, policy, now),
        *retention.look_again(snapshot, policy, now),
    ]
    if (due := _batch_end(snapshot, now)) and due > now:
        times.append(due)
    for cell in snapshot.cells:
        stage = stage_of(cell)
        if stage is Stage.PROCESSING:
            soon = now + timedelta(seconds=WAIT_FOR_WORKER)
            times.append(max(attempt_due(cell, policy, now) or soon, soon))
        elif stage is Stage.INCOMPLETE and disagrees(cell) and (written := summary_time(cell)):
            shortest, longest = WAIT_FOR_FILES
            age = max(0.0, (now - written).total_seconds())
            times.append(now + timedelta(seconds=min(max(age / 4, shortest), longest)))
        if cell.checksums and (again := comparison_due(cell.checksums, now)) > now:
            times.append(again)
        if (end := grace_end(cell, policy, now)) and end > now:
            times.append(end + OVERDUE_AFTER)
        if settled_at := settles_at(cell, now):
            times.append(settled_at)
        if (
            stage in (Stage.INCOMPLETE, Stage.PENDING)
            and cell.present
            and policy.ingest_interval is not None
        ):
            due = _next_ingest(cell, policy.ingest_interval, now)
            # New files may make the ingest due sooner, and no event reports a file in a data
            # directory.
            soon = now + timedelta(seconds=policy.ingest_interval)
            times.append(due if due and now < due < soon else soon)
    return min(times, default=None)


# Helpers.


def comparison_due(last: Attempt | None, now: datetime) -> datetime:
    """Return when the next comparison with MinKNOW's checksums is due; it reads the whole cell."""
    if last is None or last.outcome != "failed":
        return now
    return due_at(ended_at(last), now, COMPARE_AGAIN)


def _is_lost(cell: Cell) -> bool:
    """Whether flags of a cell exist but its data are missing here.

    Such a cell is not copied again: its flags would make half of a new copy look complete.
    """
    return not cell.present and bool(cell.flags.synced or cell.flags.claims or cell.flags.failed)


def _next_ingest(cell: Cell, interval: float, now: datetime) -> datetime | None:
    """Return when the next ingest of a cell is due; None if no file waits or one is under way.

    After a failed attempt the interval is ten times longer, because the cause usually remains.
    """
    arriving = cell.arriving
    if arriving is None or not arriving.changed:
        return None
    last = arriving.last_attempt
    if under_way(last):
        return None
    if last and last.outcome == "failed":
        rest = interval * 10
    elif arriving.changed != arriving.seen:  # also if `seen` is in the future
        rest = interval
    elif arriving.unfinished:
        rest = max(interval, QUIET)
    else:
        return None
    return due_at(_time_of(last.owner) if last else None, now, timedelta(seconds=rest))


def _batch_end(snapshot: Snapshot, now: datetime) -> datetime | None:
    """Return when the page of a run need not wait for more cells; None if it need not wait at all.

    Cells that finish together get one page, after the last of them.
    """
    if not at(snapshot, Stage.READY, Stage.PROCESSING):
        return None
    finished = [time_at(cell.flags.done.mtime) for cell in snapshot.cells if cell.flags.done]
    known = [time for time in finished if time and time <= now]
    return due_at(max(known), now, BATCH_GAP) if known else None


def _time_of(owner: Owner | None) -> datetime | None:
    """Return when an owner began, by its own clock; None if the time cannot be read."""
    return time_of(owner.time) if owner else None


def _wait_for_type(snapshot: Snapshot, policy: Policy) -> Iterator[str]:
    """Yield what a run's type prevents, as long as the run still has work to do."""
    if settled(snapshot):
        return
    if problem := type_problem(snapshot, policy):
        yield problem
    kind = type_of(snapshot, policy)
    if not kind.process and at(snapshot, Stage.READY):
        yield f"its type is {kind.name}, and runs of that type are not processed"


def _reason_to_wait(cell: Cell, policy: Policy, now: datetime) -> str:
    """Return a sentence if a cell waits for something unusual; else ""."""
    stage = stage_of(cell)
    if stage is Stage.PROCESSING:
        claim = cell.flags.claim
        if claim and claim.liveness is Liveness.UNKNOWN:
            return (
                "claimed, and its owner can neither be seen alive nor proven dead "
                f"({claim.evidence}); "
                "if you have checked that it is dead, say so with `hesiod-watch release`"
            )
        return pause_words(cell, policy, now)
    elif cell.copy_of:
        return f"{copy_words(cell)}; a person decides"
    elif stage is Stage.NEW and _is_lost(cell):
        return (
            "its data are missing here, and its flags prevent another copy; "
            "to have it copied again, remove its flags"
        )
    elif stage is Stage.FAILED:
        return f"failed: {cell.flags.failed.why if cell.flags.failed else ''}".rstrip(": ")
    elif settles_at(cell, now):
        return settling_words(cell)
    elif cell.completeness and disagrees(cell):
        late = (
            "; the grace period is over, a person should look" if overdue(cell, policy, now) else ""
        )
        return cell.completeness.why + late if late or stage is Stage.INCOMPLETE else ""
    return ""
