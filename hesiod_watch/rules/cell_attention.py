"""Attention for one cell: what blocks it, or is wrong with it although it is processed."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from hesiod_watch.core.action_kinds import DELETABLE, PROCESS, STRIP
from hesiod_watch.core.attention import Attention, Step
from hesiod_watch.core.attention_kinds import KINDS
from hesiod_watch.core.cell_contents import NOT_FOLLOWED, Completeness, DataKind, Verdict
from hesiod_watch.core.circumstances import Circumstances
from hesiod_watch.core.model import LOCAL, Cell, Policy, Snapshot, Stage
from hesiod_watch.core.naming import display
from hesiod_watch.core.ownership import Liveness, Wait
from hesiod_watch.core.results import AttemptEnd
from hesiod_watch.core.times import iso, rested, time_at, time_of
from hesiod_watch.rules import damaged_sources
from hesiod_watch.rules.attempt_pauses import pause_words
from hesiod_watch.rules.backup_schedule import (
    failing_since,
    fails_for_long,
    is_stuck,
    keeps_failing,
)
from hesiod_watch.rules.checksum_findings import finding_of, other_damage
from hesiod_watch.rules.completeness import announced
from hesiod_watch.rules.copies import damage_in
from hesiod_watch.rules.hook_schedule import failing
from hesiod_watch.rules.late_data import late_step, late_words
from hesiod_watch.rules.liveness import describe, is_silent, under_way
from hesiod_watch.rules.overdue import grace_end, overdue, summary_time
from hesiod_watch.rules.run_types import type_of
from hesiod_watch.rules.stages import no_reads, stage_of

UNKNOWN_LOSS = "the program cannot tell which files would be missing"


def attention_of_cell(
    snapshot: Snapshot, cell: Cell, around: Circumstances, policy: Policy, now: datetime
) -> Iterator[Attention]:
    """Yield what is blocked in a cell, or is wrong with it."""
    stage = stage_of(cell)
    yield from _of_deletion(snapshot, cell)
    if stage is Stage.PROCESSED:
        yield from _of_processed(snapshot, cell, policy)
    elif stage is Stage.FAILED:
        yield from _of_failed(snapshot, cell)
    elif snapshot.stop_flags(PROCESS) or not snapshot.adopted:
        return  # the flag of the run, or its missing upstream, is the cause
    elif cell.copy_of:
        yield _about(
            "second-copy",
            snapshot,
            cell,
            why=cell.copy_of,
            wanted=_flag(snapshot, cell, "wanted"),
        )
    elif stage is Stage.PROCESSING:
        yield from _of_claimed(snapshot, cell, around, policy, now)
    elif stage is Stage.READY:
        yield from _of_ready(snapshot, cell, around, policy)
    elif not cell.present and (stage is Stage.INCOMPLETE or _is_recorded(cell)):
        if not _has_other_cause(snapshot, cell):
            yield _of_lost(snapshot, cell)
    elif stage in (Stage.INCOMPLETE, Stage.PENDING):
        yield from _of_unfinished(snapshot, cell, policy, now)


def _of_deletion(snapshot: Snapshot, cell: Cell) -> Iterator[Attention]:
    """Yield the marks and strips that fail; a refusal with its reasons is no failure."""
    for last, action, what in (
        (cell.deletable, DELETABLE.name, "its mark on the upstream could not be made or withdrawn"),
        (cell.strip, STRIP.name, "its raw data could not be removed from the landing area"),
    ):
        if last and fails_for_long(last) and not AttemptEnd.of(last).needs_person:
            since = failing_since(last)
            yield _about(
                "deletion-behind", snapshot, cell, since, action=action, what=what, why=last.why
            )


def _about(
    kind: str, snapshot: Snapshot, cell: Cell, since: datetime | None = None, **facts: Any
) -> Attention:
    return KINDS[kind].about(snapshot.run, str(cell.id), since, **facts)


def _flag(snapshot: Snapshot, cell: Cell, name: str) -> str:
    return f"{snapshot.path}/pipeline/{cell.id.stem}.{name}"


def _landing(snapshot: Snapshot, cell: Cell) -> str:
    return f"{snapshot.path}/{cell.id}"


def _source(snapshot: Snapshot, cell: Cell) -> tuple[str, str]:
    """Return where files of a cell are to be copied to, and what brings them here then."""
    if snapshot.upstream == LOCAL:
        return _landing(snapshot, cell), ""
    return f"{snapshot.upstream}/{cell.id}", "; the next sync copies them"


def _is_all_here(snapshot: Snapshot) -> bool:
    """Whether all files of a run that exist where it comes from are here too.

    Otherwise accepting a cell would end the copying of its files. A sync that is done has compared
    every cell with the upstream.
    """
    last = snapshot.sync
    return snapshot.upstream == LOCAL or (last is not None and last.outcome == "done")


def _is_recorded(cell: Cell) -> bool:
    """Whether flags describe data of a cell that are not here any more."""
    return bool(cell.flags.synced or cell.flags.claims or cell.flags.failed)


# Waiting for data.


def _has_other_cause(snapshot: Snapshot, cell: Cell) -> bool:
    """Whether an entry of its own says why the cell's directory is not seen.

    Such as two directories of its name, a link in its place or that of its library, or a library
    that cannot be read. An entry too many does less harm than a lost cell without one.
    """
    library, name = display(cell.id.library), display(cell.id.name)
    return any(
        each.kind == "unreadable" or each.name == library or each.name.rpartition("/")[2] == name
        for each in snapshot.quarantined
    )


def _of_lost(snapshot: Snapshot, cell: Cell) -> Attention:
    pipeline, library = f"{snapshot.path}/pipeline", cell.id.library
    unknown = snapshot.upstream not in (LOCAL, None) and not snapshot.listed_at
    listed = "its upstream lists it" if cell.upstream else "no upstream lists it"
    return _about(
        "data-lost",
        snapshot,
        cell,
        listed="its upstream's listing is not known here" if unknown else listed,
        landing=_landing(snapshot, cell) if library != "?" else f"its library in {snapshot.path}",
        pipeline=pipeline if cell.upstream or unknown else None,
        stem=cell.id.stem,
        aside=f"{pipeline}/attic/by-hand",
    )


def _of_unfinished(
    snapshot: Snapshot, cell: Cell, policy: Policy, now: datetime
) -> Iterator[Attention]:
    """Yield what is wrong with a cell that is still being written, or is not complete."""
    found, last = cell.completeness, cell.arriving.last_attempt if cell.arriving else None
    if not under_way(snapshot.sync):  # the look after the sync reports it
        if found and overdue(cell, policy, now):
            yield overdue_attention(snapshot, cell, grace_end(cell, policy, now))
        elif found and found.verdict is Verdict.RUNNING:
            yield from _quiet(snapshot, cell, found, policy, now)
        elif found and _is_closed(found) and not (last and is_stuck(last)):
            unreadable = _landing(snapshot, cell)
            yield _about("unreadable-data", snapshot, cell, why=found.why, unreadable=unreadable)
    if last and is_stuck(last):
        since = failing_since(last)
        # The present count names a directory that cannot be read, also after its rights changed.
        why = found.why if found and found.verdict is Verdict.UNREADABLE else last.why
        landing = _landing(snapshot, cell)
        yield _about("ingest-failed", snapshot, cell, since, why=why, landing=landing)


def _is_closed(found: Completeness) -> bool:
    """Whether the data of a cell without a final_summary cannot be listed."""
    return found.verdict is Verdict.UNREADABLE and not found.summaries


def _quiet(
    snapshot: Snapshot, cell: Cell, found: Completeness, policy: Policy, now: datetime
) -> Iterator[Attention]:
    changed = time_at(cell.changed or 0.0)
    if changed is None or changed > now - timedelta(seconds=policy.quiet):
        return
    to, then = _source(snapshot, cell)
    yield _about(
        "quiet" if cell.has_data else "never-started",
        snapshot,
        cell,
        changed + timedelta(seconds=policy.quiet),
        last_file=iso(changed),
        why=found.why,
        to=f"{display(to)}{then}",
        synced=_flag(snapshot, cell, "synced") if _is_all_here(snapshot) else None,
    )


def overdue_attention(snapshot: Snapshot, cell: Cell, since: datetime | None = None) -> Attention:
    """Return the entry about an overdue cell, by its cause."""
    found = cell.completeness or Completeness(Verdict.UNREADABLE, "its files cannot be counted")
    landing = _landing(snapshot, cell)
    (to, then), arrived = _source(snapshot, cell), summary_time(cell)
    local = snapshot.upstream == LOCAL
    bad = [display(each.name) for each in found.summaries if each.problem]
    linked = NOT_FOLLOWED in found.why
    short = [each.kind for each in found.shortfalls if each.found < each.expected]
    missing = [] if linked else short  # links are what is not counted
    surplus = [each.kind for each in found.shortfalls if each.found > each.expected]
    unreadable = found.verdict is Verdict.UNREADABLE and not bad
    empty = unreadable and found.summaries and not announced(found.summaries)
    # Only a person can accept files from the fallback folder: the final_summary never changes.
    acceptable = _is_all_here(snapshot) or found.fallback
    return _about(
        _kind_of_overdue(found, closed=unreadable and not empty),
        snapshot,
        cell,
        since,
        why=found.why,
        arrived=iso(arrived) if arrived else "an unknown time",
        landing=landing,
        bad_summaries=" and ".join(bad),
        empty_in=landing if empty else None,
        linked_in=landing if linked else None,
        unreadable=landing if unreadable and not (empty or linked) else None,
        damaged_in=landing if found.verdict is Verdict.DAMAGED else None,
        fallback_to=f"{to}{then}" if found.fallback else None,
        to=f"{to}{then}",
        missing_kinds=_kinds(missing),
        surplus_kinds=_kinds(surplus),
        places=landing if local else f"{to} and out of {landing}",
        synced=_flag(snapshot, cell, "synced") if acceptable else None,
        **{_what_accepted(found, short): _missing_if_accepted(found)},
    )


def _kind_of_overdue(found: Completeness, *, closed: bool) -> str:
    return {
        Verdict.FALLBACK: "fallback",
        Verdict.UNREADABLE: "unreadable-files" if closed else "unreadable-summary",
        Verdict.OVER: "surplus-files",
    }.get(found.verdict, "overdue")


def _what_accepted(found: Completeness, missing: Sequence[DataKind]) -> str:
    """Return the fact that selects the step which accepts a cell."""
    if found.verdict is Verdict.UNREADABLE:
        return "unknown"
    lost = missing or found.verdict is Verdict.DAMAGED
    return "in_fallback" if found.fallback else "lost" if lost else "surplus"


def _missing_if_accepted(found: Completeness) -> str:
    return UNKNOWN_LOSS if found.verdict is Verdict.UNREADABLE else found.why


def _kinds(kinds: Sequence[DataKind]) -> str:
    return " and ".join(kind.upper() for kind in kinds)


# Waiting for work.


def _of_failed(snapshot: Snapshot, cell: Cell) -> Iterator[Attention]:
    flag = cell.flags.failed
    why = (flag.why if flag else "") or "processing failed and needs a person"
    failed = _about("failed", snapshot, cell, time_at(flag.mtime) if flag else None, why=why)
    if damaged_sources.damaged_sources(cell).damaged:
        failed = replace(failed, steps=tuple(map(Step, damaged_sources.steps(snapshot, cell))))
    yield failed


def _of_claimed(
    snapshot: Snapshot, cell: Cell, around: Circumstances, policy: Policy, now: datetime
) -> Iterator[Attention]:
    claim, progress = cell.flags.claim, cell.progress
    if claim and claim.liveness is Liveness.UNKNOWN:
        owner = claim.worker or claim.owner
        silent = around.slurm.is_silent and owner and owner.slurm_name
        signs = (time_at(claim.made), time_at(progress.updated) if progress else None)
        yield _about(
            "owner-unknown" if is_silent(signs, now) and not silent else "owner-elsewhere",
            snapshot,
            cell,
            time_at(claim.made),
            owner=describe(owner) if owner else "an unknown owner",
            why=claim.evidence,
        )
    elif job_waits(cell, around.slurm.waiting_jobs, policy, now):
        job = claim.owner.slurm_name if claim and claim.owner else ""
        why, made = claim.evidence if claim else "", time_at(claim.made) if claim else None
        yield _about("job-waiting", snapshot, cell, made, why=why, job=job)
    elif words := pause_words(cell, policy, now):
        death = claim.death if claim else None
        yield _about("worker-died", snapshot, cell, time_of(death.time if death else ""), why=words)
    elif progress and claim and claim.liveness is Liveness.ALIVE:
        since, why = time_at(progress.updated), progress.note
        if progress.phase == Wait.FOR_SPACE:
            output = snapshot.output
            yield _about("waiting-for-space", snapshot, cell, since, why=why, output=output)
        elif progress.phase == Wait.FOR_WORKER:
            yield _about("waiting-for-worker", snapshot, cell, since, holders=_holders(around))
        elif progress.phase in (Wait.TO_RETRY, Wait.FOR_INGEST):
            what = (
                "an ingest of its cell is under way: " if progress.phase == Wait.FOR_INGEST else ""
            )
            yield _about("worker-waits", snapshot, cell, since, why=f"{what}{why}")


def job_waits(cell: Cell, waiting: Collection[str], policy: Policy, now: datetime) -> bool:
    """Whether the Slurm job of a claim has not begun for longer than the grace period.

    If its worker has made a record, the job was requeued: then it is one of the jobs that `waiting`
    names, and has not worked within that time.
    """
    claim, progress = cell.flags.claim, cell.progress
    if claim is None or claim.owner is None or not claim.owner.slurm_name:
        return False
    if claim.worker and claim.owner.slurm_name not in waiting:
        return False
    grace = timedelta(seconds=policy.grace)
    worked = not rested(time_at(progress.updated), now, grace) if progress else False
    return (
        claim.liveness is Liveness.ALIVE
        and rested(time_at(claim.made), now, grace)
        and not (claim.worker and worked)
    )


def _of_ready(
    snapshot: Snapshot, cell: Cell, around: Circumstances, policy: Policy
) -> Iterator[Attention]:
    kind = type_of(snapshot, policy)
    if not kind.process:
        type_file = f"{snapshot.path}/pipeline/type.yaml"
        yield _about("not-processed", snapshot, cell, type=kind.name, type_file=type_file)
    elif PROCESS.name in around.busy:
        yield _about("waiting-for-worker", snapshot, cell, holders=_holders(around))


def _holders(around: Circumstances) -> str:
    return ", ".join(around.busy.get(PROCESS.name, ())) or "other work"


# Processed.


def _of_processed(snapshot: Snapshot, cell: Cell, policy: Policy) -> Iterator[Attention]:
    verified = time_of(AttemptEnd.of(cell.verification).ended) if cell.verification else None
    raw = f"{snapshot.output}/{cell.results_place}/raw.json"
    finding = finding_of(cell)
    if finding.said:
        kind = "files-repacked" if finding.repacked else "files-damaged"
        yield _about(kind, snapshot, cell, time_of(finding.at), why=finding.said)
    if damage := other_damage(cell):
        more = f" and {len(damage) - 1} more" if len(damage) > 1 else ""
        yield _about(
            "copy-damaged",
            snapshot,
            cell,
            verified,
            why=f"{damage[0]}{more}",
            backed_up=str(cell.id) if cell.backup else None,
            raw=raw,
            only_raw=None if cell.backup else raw,
        )
    if words := late_words(cell):
        since = time_at(cell.flags.done.mtime) if cell.flags.done else None
        late = _about("new-data", snapshot, cell, since, why=words)
        yield replace(late, steps=(Step(late_step(snapshot, cell)),))
    if (last := cell.verification) and is_stuck(last) and not damage_in(last):
        yield _about("copies-unread", snapshot, cell, failing_since(last), why=last.why)
    if (last := cell.backup) and keeps_failing(last):
        yield _about(
            "backup-behind",
            snapshot,
            cell,
            failing_since(last),
            why=last.why,
            raw=raw if ": missing" in last.why else None,
        )
    if policy.on_done and (why := failing(cell)):
        ended = time_of(AttemptEnd.of(cell.hook).ended)
        yield _about(
            "hook-failed",
            snapshot,
            cell,
            ended,
            why=why,
            log=f"{snapshot.output}/pipeline.log",
            failed_hook=_flag(snapshot, cell, "hook.failed"),
            done_hook=_flag(snapshot, cell, "hook.done"),
        )
    if cell.flags.done and no_reads(cell):
        since = time_at(cell.flags.done.mtime)
        yield _about("no-reads", snapshot, cell, since, why=no_reads(cell))
