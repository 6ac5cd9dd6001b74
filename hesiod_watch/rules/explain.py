"""Explanation of a run or a cell for people: its state, the reason, the next step, and commands.

This module only computes: everything comes from a snapshot and the decision made from it. All
output for people uses these sentences, so that a person reads the same text everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from hesiod_watch.core.action_kinds import PROCESS
from hesiod_watch.core.cell_contents import Verdict
from hesiod_watch.core.model import Cell, CellId, Decision, Policy, Snapshot, Stage
from hesiod_watch.core.ownership import Liveness, Owner
from hesiod_watch.core.results import DoneRecord, StripRecord
from hesiod_watch.core.text import number_of
from hesiod_watch.core.times import iso, time_of
from hesiod_watch.rules import damaged_sources
from hesiod_watch.rules.attempt_pauses import attempt_due, next_epoch, pause_words
from hesiod_watch.rules.attention import overdue, steps, summary_time
from hesiod_watch.rules.backup_schedule import copy_locations
from hesiod_watch.rules.checksum_findings import finding_of, other_damage
from hesiod_watch.rules.copies import damage_in
from hesiod_watch.rules.delivery import delivery_failures, next_attempt, rests, sentences
from hesiod_watch.rules.late_data import late_step, late_words
from hesiod_watch.rules.run_types import type_of, type_problem
from hesiod_watch.rules.settling import settling_words
from hesiod_watch.rules.stages import by_hand, stage_of, status_of, why_stage


@dataclass(frozen=True)
class Explanation:
    """Output of `hesiod-watch explain`."""

    subject: str  # the run, or the run and the cell
    state: str  # stage of the cell or status of the run
    why: str  # one sentence: the reason for the state
    evidence: tuple[str, ...]  # facts behind the reason
    next: str  # next step without a person, and when it happens
    you_can: tuple[str, ...]  # what a person can do, with the commands


def explain_run(
    snapshot: Snapshot, decision: Decision, policy: Policy, now: datetime
) -> Explanation:
    """Explain the status of a run. `now` has a time zone."""
    status, why = status_of(snapshot)
    evidence = [f"{snapshot.path}/pipeline: {'there' if snapshot.has_pipeline else 'not there'}"]
    if snapshot.upstream is not None:
        evidence.append(f"comes from: {snapshot.upstream}")
    if snapshot.output is not None:
        evidence.append(f"results: {snapshot.output}")
    if snapshot.output_foreign:
        evidence.append(f"results: none are written: {snapshot.output_problem}")
    evidence += _type_evidence(snapshot, policy)
    evidence += [f"run flag: {flag}" for flag in sorted(snapshot.flags)]
    evidence += _message_evidence(snapshot, now)
    evidence += [f"{cell.id}: {stage_of(cell)}: {why_stage(cell)}" for cell in snapshot.cells]
    evidence += [f"quarantined: {entry.name}: {entry.why}" for entry in snapshot.quarantined]
    evidence += [f"left alone: {entry.name}: {entry.why}" for entry in snapshot.ignored]
    happens = _next(decision, None) or _run_next(snapshot)
    if snapshot.outbox and (then := next_attempt(snapshot.outbox, now)) and then > now:
        happens += f"; delivery of messages is tried again in {ago((then - now).total_seconds())}"
    return Explanation(
        snapshot.run, str(status), why, tuple(evidence), happens, tuple(_run_can(snapshot))
    )


def _message_evidence(snapshot: Snapshot, now: datetime) -> Iterator[str]:
    """Yield how many messages were reported, and why the others are not delivered."""
    outbox = snapshot.outbox
    if outbox is None or not outbox.last:
        return
    ticket = f" in ticket {outbox.ticket}" if outbox.ticket is not None else ""
    yield f"reported{ticket}: {number_of(outbox.last, 'message')}, the last one {outbox.newest}"
    yield from sentences(outbox)
    for name, failure in sorted(delivery_failures(outbox).items()):
        until = time_of(failure.until)
        when = (
            f"in {ago((until - now).total_seconds())}"
            if until and rests(failure, now)
            else "at the next look"
        )
        attempts = number_of(failure.attempts, "attempt")
        yield f"{name}: {attempts} since {failure.since}; again {when}"


def _type_evidence(snapshot: Snapshot, policy: Policy) -> Iterator[str]:
    kind = type_of(snapshot, policy)
    yield f"type: {kind.name}" + ("" if kind.process else ": runs of this type are not processed")
    if problem := type_problem(snapshot, policy):
        yield problem


def explain_cell(
    snapshot: Snapshot, cell_id: CellId, decision: Decision, policy: Policy, now: datetime
) -> Explanation:
    """Explain the stage of a cell. Raises KeyError if the cell is not in the snapshot."""
    cell = snapshot.cell(cell_id)
    if cell is None:
        raise KeyError(cell_id)
    stage = stage_of(cell)
    happens = _next(decision, cell_id) or _cell_next(snapshot, cell, policy, now)
    late = (
        ["overdue: the grace period after its final_summary is over"]
        if overdue(cell, policy, now)
        else []
    )
    return Explanation(
        f"{snapshot.run} {cell_id}",
        str(stage),
        why_stage(cell),
        (*_cell_evidence(cell, now), *late, *_copy_evidence(snapshot, cell, now)),
        happens,
        tuple(_cell_can(snapshot, cell, policy, now)),
    )


def ago(seconds: float) -> str:
    """Format a duration in seconds for people: "42 s", "5 min", "3 h", "2 days"."""
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def owner_words(owner: Owner | None) -> str:
    """Describe the owner of a claim in a few words."""
    if owner is None or not owner.host:
        return "an unknown owner (an empty flag, made by hand or by an older program)"
    who = f"{owner.action or 'a process'} on {owner.host}, process {owner.pid}"
    return f"{who}, Slurm job {owner.slurm_job}" if owner.slurm_job else who


def _amounts(results: Mapping[str, object]) -> Iterator[str]:
    for key, one in (("reads", "read"), ("bases", "base")):
        number = results.get(key)
        yield number_of(number, one) if isinstance(number, int) else f"no number of {key}"


def _cell_evidence(cell: Cell, now: datetime) -> Iterator[str]:
    yield (
        "its directory is in the landing area"
        if cell.present
        else "its directory is not in the landing area"
    )
    flags = cell.flags
    for name, flag in (("done", flags.done), ("failed", flags.failed), ("aborted", flags.aborted)):
        if flag:
            reason = f": {flag.why}" if flag.why else ""
            yield f"flag {name}, {ago(now.timestamp() - flag.mtime)} old{reason}"
    # The owners of claims on a finished cell do not matter.
    for claim in () if flags.done else flags.claims:
        owner = owner_words(claim.worker or claim.owner)
        released = ", released" if claim.yielded else ""
        evidence = f" ({claim.evidence})" if claim.evidence else ""
        yield f"claim {claim.epoch} by {owner}: {claim.liveness}{released}{evidence}"
    if counted := DoneRecord.of(flags.done).counted:
        yield f"counted: {counted}"
    if compared := DoneRecord.of(flags.done).compared:
        yield f"compared when it was processed: {compared}"
    if flags.synced and (flags.accepted or by_hand(cell)):
        yield "flag synced: accepted as complete by a person"
    elif flags.synced:
        yield "flag synced: its data were recorded as complete"
    if arrived := summary_time(cell):
        yield f"final_summary arrived {ago((now - arrived).total_seconds())} ago"
    if cell.completeness and not flags.done:
        yield f"counted: {cell.completeness.why}"
        for summary in cell.completeness.summaries:
            yield f"{summary.name}: {summary.problem or 'read in full'}"
    for each in cell.completeness.evidence if cell.completeness else ():
        yield f"seen in its files: {each}"
    arriving = cell.arriving
    if cell.results and stage_of(cell) is Stage.INCOMPLETE:
        yield f"ingested so far: {', '.join(_amounts(cell.results))}"
    if arriving and arriving.last_attempt:
        how = arriving.last_attempt.outcome or f"under way, {arriving.last_attempt.liveness}"
        yield f"last ingest: {how} ({owner_words(arriving.last_attempt.owner)})"
    progress = cell.progress
    if progress:
        share = f" {progress.bytes_done / progress.bytes_total:.0%}" if progress.bytes_total else ""
        age = ago(now.timestamp() - progress.updated)
        yield f"worker reported {age} ago: {progress.phase}{share} {progress.note}".rstrip()


def _copy_evidence(snapshot: Snapshot, cell: Cell, now: datetime) -> Iterator[str]:
    """Yield the copies of a processed cell, when each was last read in full, and problems found."""
    for copy in copy_locations(snapshot, cell):
        read = time_of(copy.verified_at)
        when = (
            f"read in full {ago((now - read).total_seconds())} ago"
            if read
            else "not read again so far"
        )
        yield f"copy on {copy.where}: {copy.holds} in {copy.location}, {when}"
    if wrong := finding_of(cell).said:
        yield wrong
    for problem in other_damage(cell):
        yield f"damaged: {problem}"
    for work, last in (
        ("marked as safe to delete upstream", cell.deletable),
        ("raw data removed from here", cell.strip),
    ):
        if last and last.outcome:
            yield f"{work}: {'' if last.outcome == 'done' else 'no: '}{last.why}"
    yield from StripRecord.of(cell.strip).kept
    for work, last in (("backup", cell.backup), ("verification", cell.verification)):
        if last and last.outcome != "done":
            how = f"failed: {last.why}" if last.outcome else f"under way, {last.liveness}"
            yield f"last {work}: {how} ({owner_words(last.owner)})"


def _next(decision: Decision, cell: CellId | None) -> str:
    actions = [action for action in decision.actions if cell in (None, action.cell)]
    if actions:
        names = ", ".join(f"{action.name} {action.cell or ''}".strip() for action in actions)
        return f"at the next look: {names} ({actions[0].reason})"
    return ""


def _run_next(snapshot: Snapshot) -> str:
    if snapshot.stop_flags(PROCESS):
        return "nothing, until a person removes the run's flag"
    if snapshot.pipeline_foreign:
        return "nothing, until a person decides"
    if not snapshot.adopted:
        return (
            "nothing, until the run is taken up"
            if snapshot.has_pipeline
            else "it is taken up with its first cell"
        )
    stages = {stage_of(cell) for cell in snapshot.cells}
    if stages and stages <= {Stage.PROCESSED, Stage.ABORTED}:
        return "nothing, unless new cells appear"
    if Stage.PROCESSING in stages:
        return "the cells being processed are finished"
    if Stage.INCOMPLETE in stages:
        return "each cell is processed when its final_summary and all its files are here"
    return "nothing by itself"


def _cell_next(snapshot: Snapshot, cell: Cell, policy: Policy, now: datetime) -> str:
    stage = stage_of(cell)
    if snapshot.stop_flags(PROCESS):
        return "nothing, because the run is flagged " + ", ".join(snapshot.stop_flags(PROCESS))
    if stage is Stage.PROCESSING:
        claim = cell.flags.claim
        if claim and claim.liveness is Liveness.UNKNOWN:
            return "nothing, until its owner is seen to end or a person releases the claim"
        due = attempt_due(cell, policy, now)
        if due and due > now:
            left = ago((due - now).total_seconds())
            return f"attempt {next_epoch(cell)} starts in {left}, at {iso(due)}"
        return "its worker finishes it, or is found dead and replaced"
    if stage is Stage.READY and not type_of(snapshot, policy).process:
        name = type_of(snapshot, policy).name
        return f"nothing: its run is of the type {name}, and such runs are not processed"
    if stage is Stage.INCOMPLETE:
        if not cell.present:
            return "nothing, until its directory or its upstream is back"
        if cell.completeness and cell.completeness.fallback:
            return (
                "nothing, until a person accepts it as complete: "
                "its final_summary names the fallback folder"
            )
        if settling_words(cell):
            return "it is processed when its files have been unchanged for a minute"
        if cell.completeness and cell.completeness.verdict is Verdict.DAMAGED:
            return (
                "nothing, until its files agree with MinKNOW's checksums "
                "(processing.checksums: require); they are compared again within an hour"
            )
        if cell.completeness and cell.completeness.verdict is not Verdict.RUNNING:
            return (
                "its files are counted again every minute or sooner; "
                "processing starts when they agree"
            )
        return (
            "it is processed when its final_summary says that all files are written, "
            "and they are all here"
        )
    return {
        Stage.READY: "it is processed as soon as a worker is free",
        Stage.PENDING: "it is fetched by the next sync",
        Stage.NEW: "it is fetched by the next sync",
        Stage.FAILED: "nothing, until a person decides",
        Stage.ABORTED: "nothing; it is disregarded",
        Stage.PROCESSED: (
            "nothing, until a person has the new data processed"
            if late_words(cell)
            else "nothing; it is finished"
        ),
    }[stage]


def _run_can(snapshot: Snapshot) -> Iterator[str]:
    run = snapshot.run
    if snapshot.pipeline_foreign:
        yield "add the user to landing_owners in the configuration, if you trust that user's flags"
        yield f"have the run taken up anew: move {snapshot.path}/pipeline out of the landing area"
    if snapshot.has_pipeline and snapshot.problem:
        return  # its flags are not known
    for flag in sorted({"failed", "aborted"} & snapshot.flags):
        when = "after fixing the cause" if flag == "failed" else "to undo"
        yield f"{when}: remove {snapshot.path}/pipeline/{flag}"
    if snapshot.has_pipeline and snapshot.upstream is None:
        yield f"name the run's upstream: echo LOCAL > {snapshot.path}/pipeline/upstream"
    if snapshot.has_pipeline and snapshot.output is None:
        yield f"create the link {snapshot.path}/pipeline/output to its output directory"
    for entry in snapshot.quarantined:
        yield f"rename {entry.name}, so that it can be worked on safely"
    if snapshot.adopted and not snapshot.stop_flags(PROCESS):
        yield f"disregard the whole run: hesiod-watch abort {run} --why …"
    if snapshot.outbox and delivery_failures(snapshot.outbox):
        yield f"retry the delivery of messages now: remove {snapshot.path}/pipeline/notify.failed"
    for cell in snapshot.cells:
        if step := late_step(snapshot, cell):
            yield f"{cell.id}: {step}"
        if stage_of(cell) is Stage.FAILED:
            yield f"retry a failed cell: hesiod-watch retry {run} {cell.id} --why …"


def _cell_can(snapshot: Snapshot, cell: Cell, policy: Policy, now: datetime) -> Iterator[str]:
    run, stage = snapshot.run, stage_of(cell)
    if stage is Stage.READY and not type_of(snapshot, policy).process:
        yield f"have it processed: write another type into {snapshot.path}/pipeline/type.yaml"
    if stage is Stage.FAILED and damaged_sources.damaged_sources(cell).damaged:
        yield from damaged_sources.steps(snapshot, cell)
    elif stage is Stage.FAILED:
        yield f"after fixing the cause: hesiod-watch retry {run} {cell.id} --why …"
        if cell.completeness and not cell.completeness.proven and not by_hand(cell):
            synced = f"{snapshot.path}/pipeline/{cell.id.stem}.synced"
            yield f"accept it as complete: first retry it, then hesiod-touch-atomic {synced}"
    claim = cell.flags.claim
    if stage is Stage.PROCESSING and claim and claim.liveness is Liveness.UNKNOWN:
        yield (
            "if you have checked that the owner is dead: "
            f"hesiod-watch release {run} {cell.id} --why …"
        )
    if pause_words(cell, policy, now):
        yield f"start the next attempt now: hesiod-watch release {run} {cell.id} --why …"
    if overdue(cell, policy, now):
        yield from steps(snapshot, cell)
    elif stage is Stage.INCOMPLETE and cell.present:
        flag = f"{snapshot.path}/pipeline/{cell.id.stem}.synced"
        yield f"accept it as complete: hesiod-touch-atomic {flag}"
    if step := late_step(snapshot, cell):
        yield step
    if stage is Stage.PROCESSED:
        if finding_of(cell).said:
            yield (
                "after copying the named files again from the sequencer: "
                f"hesiod-watch verify {run} {cell.id} --backup "
                "(docs/backup.md says how to renew the copies)"
            )
        yield f"check its results again: hesiod-watch verify {run} {cell.id}"
        if cell.backup:
            yield (
                "read all its copies, also those on backups: "
                f"hesiod-watch verify {run} {cell.id} --backup"
            )
        if damage_in(cell.verification):
            raw = f"{snapshot.output}/{cell.id}/raw.json"
            again = f"hesiod-watch perform backup {run} {cell.id} && " if cell.backup else ""
            yield (
                "after copying damaged raw data again from the sequencer: "
                f"rm -f {raw} && {again}hesiod-watch verify {run} {cell.id} --backup"
            )
        if cell.backup and (cell.backup.outcome == "failed" or damage_in(cell.verification)):
            yield (
                "copy damaged and missing files to its backups again: "
                f"hesiod-watch perform backup {run} {cell.id}"
            )
        yield f"process it again: remove {snapshot.path}/pipeline/{cell.id.stem}.done"
    if stage not in (Stage.PROCESSED, Stage.ABORTED):
        yield f"disregard it: hesiod-watch abort {run} {cell.id} --why …"
    if stage is Stage.ABORTED:
        yield f"to undo: remove {snapshot.path}/pipeline/{cell.id.stem}.aborted"
