"""Attention for one run: what blocks all of its cells, or concerns none of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path

from hesiod_watch.core.action_kinds import ACTIONS
from hesiod_watch.core.attention import Attention
from hesiod_watch.core.attention_kinds import KINDS
from hesiod_watch.core.circumstances import Circumstances, RefusedAction
from hesiod_watch.core.model import LOCAL, Policy, QuarantinedName, Snapshot, Stage
from hesiod_watch.core.naming import display
from hesiod_watch.core.records import why_in
from hesiod_watch.core.text import number_of
from hesiod_watch.core.times import time_at, time_of
from hesiod_watch.rules import delivery
from hesiod_watch.rules.backup_schedule import ended_at, failing_since, is_stuck, keeps_failing
from hesiod_watch.rules.liveness import SKEW, is_silent, unclear, under_way
from hesiod_watch.rules.run_types import type_problem
from hesiod_watch.rules.stages import FINISHED, settled, stage_of
from hesiod_watch.rules.turns import last_attempt

NO_REASON = "no reason is recorded"
NO_DIRECTORY = "which is not a directory"


def attention_of_run(
    snapshot: Snapshot, around: Circumstances, policy: Policy, now: datetime
) -> Iterator[Attention]:
    """Yield what is blocked in a run, without its cells."""
    yield from _access(snapshot, around)
    yield from quarantined_names(snapshot, around.effects.beside_batch)
    if snapshot.problem or not snapshot.has_pipeline:
        yield from _refused(snapshot, around)
        return
    yield from _stopped(snapshot)
    yield from _undelivered(snapshot, now)
    if "aborted" in snapshot.flags:
        return
    yield from _refused(snapshot, around)
    yield from _source_and_results(snapshot, around)
    yield from _sync(snapshot, now)
    yield from _backup(snapshot, policy)
    if snapshot.adopted and not settled(snapshot) and (why := type_problem(snapshot, policy)):
        yield KINDS["type-unknown"].about(
            snapshot.run, why=why, type_file=_pipeline(snapshot, "type.yaml")
        )


def _pipeline(snapshot: Snapshot, name: str = "") -> str:
    return f"{snapshot.path}/pipeline/{name}".rstrip("/")


def _access(snapshot: Snapshot, around: Circumstances) -> Iterator[Attention]:
    """Yield why the run cannot be read, is not trusted, or must not be written."""
    if snapshot.pipeline_foreign:
        yield KINDS["not-trusted"].about(
            snapshot.run,
            why=snapshot.problem,
            pipeline=_pipeline(snapshot),
            pipeline_aside=f"{snapshot.path}.pipeline-aside",
        )
    elif snapshot.problem:
        is_bug = snapshot.problem.startswith("cannot be shown")
        path = _pipeline(snapshot) if snapshot.has_pipeline else snapshot.path
        yield KINDS["unreadable"].about(
            snapshot.run, why=snapshot.problem, path=None if is_bug else path
        )
    for denied in around.denied:
        cell = str(denied.cell or "")
        yield KINDS["not-permitted"].about(snapshot.run, cell, why=denied.why, path=denied.path)


def quarantined_names(snapshot: Snapshot, beside_batch: Iterable[Path] = ()) -> Iterator[Attention]:
    """Yield what is not worked on in a run.

    Where the run is a directory of runs, `beside_batch` has them, with the advice that helps.
    """
    has_runs = any(path.is_relative_to(snapshot.path) for path in beside_batch)
    for entry in snapshot.quarantined:
        if has_runs and entry.kind == "wrong-level":
            continue
        it = "it is" if entry.name == display(snapshot.run) else f"{entry.name} is"
        yield KINDS[entry.kind].about(
            snapshot.run,
            it=it,
            name=entry.name,
            why=entry.why,
            path=_place(snapshot, entry),
            area=snapshot.path.parent,
        )


def _place(snapshot: Snapshot, entry: QuarantinedName) -> str:
    """Return the path of a quarantined name; it is shown, and used only in a command that reads."""
    return str(snapshot.path if entry.name == display(snapshot.run) else snapshot.path / entry.name)


def _waits_for_files(snapshot: Snapshot) -> bool:
    stages = {stage_of(cell) for cell in snapshot.cells}
    return not stages or bool(stages & {Stage.NEW, Stage.PENDING, Stage.INCOMPLETE})


def _stopped(snapshot: Snapshot) -> Iterator[Attention]:
    for flag in ("failed", "aborted", "stripped"):
        if flag in snapshot.flags:
            why = why_in(snapshot.flag_texts.get(flag)) or NO_REASON
            yield KINDS[f"run-{flag}"].about(
                snapshot.run, why=why, run_flag=_pipeline(snapshot, flag)
            )


def _refused(snapshot: Snapshot, around: Circumstances) -> Iterator[Attention]:
    for each in around.refused:
        if each.run == snapshot.run and not (each.over and _is_superseded(each, snapshot, around)):
            yield refused_action(each)


def _is_superseded(refused: RefusedAction, snapshot: Snapshot, around: Circumstances) -> bool:
    """Whether something else says more about an action that an ended process could not do.

    That is the flag of an attempt which ended later, or with that process, or is under way; and a
    right that is missing still.
    """
    if any(denied.cell in (None, refused.cell) for denied in around.denied):
        return True
    kind = ACTIONS.get(refused.action)
    cell = snapshot.cell(refused.cell) if refused.cell else None
    if kind is None or (refused.cell and cell is None):
        return True
    last = last_attempt(snapshot, cell, kind)
    ended = ended_at(last)
    before = refused.since is None or ended is None or ended < refused.since - SKEW
    return last is not None and (under_way(last) or not before)


def refused_action(refused: RefusedAction) -> Attention:
    """Return the entry about an action that was tried and has failed."""
    cell = str(refused.cell or "")
    return KINDS["action-refused"].about(
        refused.run,
        cell,
        refused.since,
        action=refused.action,
        attempts=number_of(refused.attempts, "time"),
        why=refused.why,
        of_run=None if cell else refused.run,
    )


def _source_and_results(snapshot: Snapshot, around: Circumstances) -> Iterator[Attention]:
    """Yield why it is not known where the data come from, or where the results belong."""
    run, unfinished = snapshot.run, any(stage_of(cell) not in FINISHED for cell in snapshot.cells)
    upstream_flag = _pipeline(snapshot, "upstream")
    if snapshot.upstream_problem:
        yield KINDS["upstream-unreadable"].about(
            run, why=snapshot.upstream_problem, upstream_flag=upstream_flag
        )
    elif snapshot.upstream is None:
        yield KINDS["no-upstream"].about(run, upstream_flag=upstream_flag)
    elif snapshot.upstream != LOCAL and not around.upstream_configured and unfinished:
        yield KINDS["upstream-unconfigured"].about(
            run, upstream=snapshot.upstream, upstream_flag=upstream_flag
        )
    if around.lost_by and _waits_for_files(snapshot):
        yield KINDS["upstream-lost-run"].about(
            run, upstream=around.lost_by, location=snapshot.upstream, path=snapshot.path
        )
    if snapshot.output is None and not around.output_problem:
        moved = "no-results" if unfinished or not snapshot.cells else "results-moved"
        kind = "results-elsewhere" if snapshot.output_foreign else moved
        own = around.output / run if around.output and not snapshot.output_foreign else None
        blocked = own if snapshot.output_problem.endswith(f"{own}, {NO_DIRECTORY}") else None
        yield KINDS[kind].about(
            run,
            why=snapshot.output_problem or "the output directory is missing",
            output_link=_pipeline(snapshot, "output"),
            results=None if blocked else own,
            in_place=blocked,
            in_place_aside=f"{blocked}.aside" if blocked else None,
        )


def _sync(snapshot: Snapshot, now: datetime) -> Iterator[Attention]:
    last = snapshot.sync
    if last is None or (under_way(last) and not unclear(last)):
        return
    since = time_of(last.owner.time) if last.owner else None
    if unclear(last):
        copied = [time_at(cell.progress.updated) for cell in snapshot.cells if cell.progress]
        kind = "stale-sync" if is_silent((since, *copied), now) else "sync-elsewhere"
        yield KINDS[kind].about(
            snapshot.run,
            since=since,
            why=last.evidence,
            sync_flag=_pipeline(snapshot, "sync.started"),
        )
    elif is_stuck(last):
        yield KINDS["sync-failed"].about(
            snapshot.run,
            since=failing_since(last),
            upstream=snapshot.upstream,
            why=last.why,
        )


def _backup(snapshot: Snapshot, policy: Policy) -> Iterator[Attention]:
    """Yield that the run's own files are not on a backup, although its cells may be."""
    if policy.backups and (last := snapshot.backup) and keeps_failing(last):
        since = failing_since(last)
        yield KINDS["run-files-behind"].about(snapshot.run, since=since, why=last.why)


def _undelivered(snapshot: Snapshot, now: datetime) -> Iterator[Attention]:
    """Yield undelivered messages: those that need a person, and others after an hour."""
    outbox = snapshot.outbox
    why = "; ".join(delivery.sentences(outbox))
    if outbox is None or not why:
        return
    failures = delivery.delivery_failures(outbox).values()
    unknown = unclear(outbox.last_attempt)
    person = bool(outbox.problem) or unknown or delivery.overdue(outbox, now)
    person = person or any(each.needs_person for each in failures)
    yield KINDS["undelivered" if person else "delivery-retried"].about(
        snapshot.run,
        since=min((time for each in failures if (time := time_of(each.since))), default=None),
        why=why,
        notify_claim=_pipeline(snapshot, "notify.started") if unknown else None,
        notify_flag=_pipeline(snapshot, "notify.failed") if failures else None,
    )
