"""Explanation of a run or a cell for people: its state, the cause, the next step, and commands.

The first sentence names the cause that blocks the run or the cell, also if it is outside of it.
Sentences and steps about blocked work come from `attention`. This module only computes: everything
comes from a snapshot, the circumstances, and the decision made from the snapshot.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from hesiod_watch.core.action_kinds import BACKUP, HOOK, PROCESS
from hesiod_watch.core.attention import Attention, Stops
from hesiod_watch.core.attention_kinds import KINDS
from hesiod_watch.core.cell_contents import Verdict
from hesiod_watch.core.circumstances import NOTHING_KNOWN, Circumstances
from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.model import Cell, CellId, Decision, Policy, Snapshot, Stage
from hesiod_watch.core.ownership import Liveness
from hesiod_watch.core.text import quoted, span_text
from hesiod_watch.core.times import iso
from hesiod_watch.rules.attempt_pauses import attempt_due, next_epoch
from hesiod_watch.rules.attention import attention, attention_of_site, concerning_cell
from hesiod_watch.rules.backup_schedule import backup_due, backup_reason
from hesiod_watch.rules.delivery import next_attempt
from hesiod_watch.rules.evidence import (
    cell_evidence,
    copy_evidence,
    message_evidence,
    type_evidence,
)
from hesiod_watch.rules.heartbeat import attention_of_watchers
from hesiod_watch.rules.hook_schedule import hook_due, is_hook_over
from hesiod_watch.rules.run_types import type_of
from hesiod_watch.rules.settling import settling_words
from hesiod_watch.rules.stages import stage_of, status_of, why_stage

MOST_STEPS = 20
"""Most steps in the explanation of a run with many cells."""


@frozen
class Explanation:
    """Output of `hesiod-watch explain`."""

    subject: str  # the run, or the run and the cell
    state: str  # stage of the cell or status of the run
    why: str  # one sentence: what blocks it, or the reason for the state
    evidence: tuple[str, ...]  # facts behind the reason
    next: str  # next step without a person, and when it happens
    you_can: tuple[str, ...]  # what a person can do, with the commands


def explain_run(
    snapshot: Snapshot,
    decision: Decision,
    policy: Policy,
    now: datetime,
    around: Circumstances = NOTHING_KNOWN,
    *,
    name: str = "",
) -> Explanation:
    """Explain the status of a run. `now` has a time zone.

    `name` is a name in the run that is not worked on: what is wrong with it comes first.
    """
    status, why = status_of(snapshot)
    found = (*_outside(snapshot, around, now), *attention(snapshot, around, policy, now))
    found = tuple(sorted(found, key=lambda each: not _is_about(each, name)))
    stopped = [each for each in found if not each.cell and KINDS[each.kind].stops is Stops.WORK]
    first = next(iter([*(each for each in found if each.needs_person), *stopped]), None)
    evidence = [f"{snapshot.path}/pipeline: {'there' if snapshot.has_pipeline else 'not there'}"]
    if first:
        evidence.insert(0, f"its status is {status}: {why}")
    evidence += [f"{each.cell}: {each.sentence}" for each in found if each.cell]
    evidence += [each.sentence for each in found if not each.cell and each is not first]
    evidence += _watchers(around, now, found)
    if snapshot.upstream is not None:
        evidence.append(f"comes from: {snapshot.upstream}")
    if snapshot.output is not None:
        evidence.append(f"results: {snapshot.output}")
    if snapshot.output_foreign:
        evidence.append(f"results: none are written: {snapshot.output_problem}")
    evidence += type_evidence(snapshot, policy)
    evidence += [f"run flag: {flag}" for flag in sorted(snapshot.flags)]
    evidence += message_evidence(snapshot, now)
    evidence += [f"{cell.id}: {stage_of(cell)}: {why_stage(cell)}" for cell in snapshot.cells]
    evidence += [f"quarantined: {entry.name}: {entry.why}" for entry in snapshot.quarantined]
    evidence += [f"left alone: {entry.name}: {entry.why}" for entry in snapshot.ignored]
    happens = _next(decision, None, found) or _run_next(snapshot, first)
    happens += _delivery_next(snapshot, now)
    can = [*_steps(found), *_run_can(snapshot)]
    return Explanation(
        f"{snapshot.run} {name}".rstrip(),
        str(status),
        _first_sentence(first) if first else why,
        tuple(dict.fromkeys(evidence)),
        happens,
        tuple(dict.fromkeys(can)),
    )


def is_hidden(snapshot: Snapshot, name: str) -> bool:
    """Whether a cell of this name may be in the run, and what is wrong with the run hides it."""
    return bool(snapshot.problem) or any(
        entry.kind in _HIDING or name in entry.name or entry.name in name
        for entry in snapshot.quarantined
    )


_HIDING = ("link", "unreadable", "wrong-level", "pooled")


def explain_unseen(subject: str, around: Circumstances, now: datetime) -> Explanation:
    """Explain a run that cannot be looked at because of something outside of it."""
    found = attention_of_site(around, now)
    return Explanation(
        subject,
        "unknown",
        found[0].sentence,
        tuple(each.sentence for each in found[1:]),
        "nothing, until the cause is fixed; then it continues by itself",
        tuple(_steps(found)),
    )


def _is_about(each: Attention, name: str) -> bool:
    """Whether an entry is about a name in a run; about the whole run without a name."""
    of = each.facts.get("name", "")
    return bool(name and of) and (name in of or of in name)


def _first_sentence(first: Attention) -> str:
    return f"{first.cell}: {first.sentence}" if first.cell else first.sentence


def _outside(snapshot: Snapshot, around: Circumstances, now: datetime) -> tuple[Attention, ...]:
    """Return what blocks a run from outside of it."""
    return tuple(
        each
        for each in attention_of_site(around, now)
        if KINDS[each.kind].stops is Stops.WORK
        or any(concerning_cell([each], snapshot, cell) for cell in snapshot.cells)
    )


def _watchers(around: Circumstances, now: datetime, found: Iterable[Attention]) -> tuple[str, ...]:
    """Return what is wrong with the processes that look, if `found` does not say it."""
    said = {each.sentence for each in found}
    wrong = attention_of_watchers(around.watchers, now)
    return tuple(each.sentence for each in wrong if each.sentence not in said)


def _steps(found: Iterable[Attention]) -> list[str]:
    steps = list(dict.fromkeys(str(step) for each in found for step in each.steps))
    if len(steps) <= MOST_STEPS:
        return steps
    return [*steps[:MOST_STEPS], "show all that needs a person: hesiod-watch status --attention"]


def explain_cell(
    snapshot: Snapshot,
    cell_id: CellId,
    decision: Decision,
    policy: Policy,
    now: datetime,
    around: Circumstances = NOTHING_KNOWN,
) -> Explanation:
    """Explain the stage of a cell. Raises KeyError if the cell is not in the snapshot."""
    cell = snapshot.cell(cell_id)
    if cell is None:
        raise KeyError(cell_id)
    everything = (*attention_of_site(around, now), *attention(snapshot, around, policy, now))
    found = concerning_cell(everything, snapshot, cell)
    state = [f"its stage is {stage_of(cell)}: {why_stage(cell)}"] if found else []
    happens = _next(decision, cell_id, found) or _cell_next(snapshot, cell, policy, now, found)
    return Explanation(
        f"{snapshot.run} {cell_id}",
        str(stage_of(cell)),
        found[0].sentence if found else why_stage(cell),
        (
            *state,
            *(each.sentence for each in found[1:]),
            *_watchers(around, now, found),
            *cell_evidence(cell, now),
            *copy_evidence(snapshot, cell, now),
        ),
        happens,
        tuple(dict.fromkeys([*_steps(found), *_cell_can(snapshot, cell)])),
    )


def _next(decision: Decision, cell: CellId | None, found: Iterable[Attention]) -> str:
    """Return the planned actions, and what prevents them."""
    actions = [action for action in decision.actions if cell in (None, action.cell)]
    if not actions:
        return ""
    names = ", ".join(f"{action.name} {action.cell or ''}".strip() for action in actions)
    when = "at the next look"
    for each in found:
        if each.kind in _REFUSING and (cell or not each.cell):
            when = "as soon as the cause is fixed"
        elif each.kind == "no-watcher":
            when = "as soon as a process looks again"
        elif each.kind == "waiting-for-worker":
            when = "as soon as a worker is free"
    return f"{when}: {names} ({actions[0].reason})"


_REFUSING = frozenset(
    {"landing-missing", "output-missing", "locks-unusable", "not-permitted", "action-refused"}
)
"""Kinds that prevent an action although it is planned."""


def _delivery_next(snapshot: Snapshot, now: datetime) -> str:
    if snapshot.outbox and (then := next_attempt(snapshot.outbox, now)) and then > now:
        return f"; delivery of messages is tried again in {span_text((then - now).total_seconds())}"
    return ""


def _run_next(snapshot: Snapshot, first: Attention | None) -> str:
    if snapshot.historic:
        return "nothing, until a person has it taken up, or it gets another cell"
    if snapshot.stop_flags(PROCESS):
        return "nothing, until a person removes the run's flag"
    if snapshot.pipeline_foreign:
        return "nothing, until a person decides"
    if not snapshot.adopted:
        if snapshot.has_pipeline:
            return "nothing, until the run is taken up"
        return _UNTIL_FIXED if first else "it is taken up with its first cell"
    stages = {stage_of(cell) for cell in snapshot.cells}
    if first and not stages & {Stage.PROCESSING}:
        return _UNTIL_FIXED
    if stages and stages <= {Stage.PROCESSED, Stage.ABORTED}:
        return "nothing, unless new cells appear"
    if Stage.PROCESSING in stages:
        return "the cells being processed are finished"
    if Stage.INCOMPLETE in stages:
        return "each cell is processed when its final_summary and all its files are here"
    return "nothing by itself"


_UNTIL_FIXED = (
    "nothing for what is named above, until a person follows the steps below; everything else"
    " continues by itself"
)


def _cell_next(
    snapshot: Snapshot, cell: Cell, policy: Policy, now: datetime, found: Iterable[Attention]
) -> str:
    stage, kinds = stage_of(cell), {each.kind for each in found}
    if snapshot.stop_flags(PROCESS) and stage not in (Stage.PROCESSED, Stage.ABORTED):
        return "nothing, because the run is flagged " + ", ".join(snapshot.stop_flags(PROCESS))
    if stage is Stage.PROCESSED:
        return _processed_next(snapshot, cell, policy, now, kinds)
    if stage is Stage.PROCESSING:
        return _processing_next(cell, policy, now, kinds)
    if any(KINDS[each.kind].stops is Stops.WORK and not each.cell for each in found):
        return "nothing, until the cause is fixed; then it continues by itself"
    if stage is Stage.READY and not type_of(snapshot, policy).process:
        name = type_of(snapshot, policy).name
        return f"nothing: its run is of the type {name}, and such runs are not processed"
    if stage is Stage.INCOMPLETE and kinds & {"upstream-unconfigured"}:
        return "nothing, until its upstream is in the configuration"
    if stage is Stage.INCOMPLETE:
        return _incomplete_next(cell)
    if kinds & {"upstream-silent", "upstream-refusing", "upstream-unconfigured", "stale-sync"}:
        return "it is fetched as soon as the cause is fixed"
    return {
        Stage.READY: "it is processed as soon as a worker is free",
        Stage.PENDING: "it is fetched by the next sync",
        Stage.NEW: "it is fetched by the next sync",
        Stage.FAILED: "nothing, until a person decides",
        Stage.ABORTED: "nothing; it is disregarded",
    }[stage]


def _incomplete_next(cell: Cell) -> str:
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
            "its files are counted again every minute or sooner; processing starts when they agree"
        )
    return (
        "it is processed when its final_summary says that all files are written, "
        "and they are all here"
    )


def _processing_next(cell: Cell, policy: Policy, now: datetime, kinds: set[str]) -> str:
    claim = cell.flags.claim
    if claim and claim.liveness is Liveness.UNKNOWN:
        return "nothing, until its owner is seen to end or a person releases the claim"
    due = attempt_due(cell, policy, now)
    if due and due > now:
        left = span_text((due - now).total_seconds())
        return f"attempt {next_epoch(cell)} starts in {left}, at {iso(due)}"
    if kinds & {"waiting-for-space", "worker-waits"}:
        return "its worker tries again within 5 minutes; other cells are processed meanwhile"
    if "waiting-for-worker" in kinds:
        return "its worker continues as soon as another cell is finished"
    return "its worker finishes it, or is found dead and replaced"


def _processed_next(
    snapshot: Snapshot, cell: Cell, policy: Policy, now: datetime, kinds: set[str]
) -> str:
    """Return what is still tried for a processed cell, such as its backup."""
    if policy.backups and snapshot.may_start(BACKUP) and backup_reason(cell, policy):
        due = backup_due(cell, now)
        if due is None:
            return "its backup is under way"
        left = span_text((due - now).total_seconds()) if due > now else ""
        return f"its backup is tried again {f'in {left}' if left else 'at the next look'}"
    if policy.on_done and snapshot.may_start(HOOK) and not is_hook_over(cell):
        due = hook_due(cell, now)
        if due is None:
            return "its command of on_done is under way"
        left = span_text((due - now).total_seconds()) if due > now else ""
        return f"its command of on_done is run {f'in {left}' if left else 'at the next look'}"
    if "new-data" in kinds:
        return "nothing, until a person has the new data processed"
    if kinds & {"files-damaged", "copy-damaged"}:
        return "nothing by itself: a person must follow the steps below"
    return "nothing; it is finished"


def _run_can(snapshot: Snapshot) -> Iterator[str]:
    """Yield what a person can do with a run in any case; to disregard it comes last."""
    if snapshot.historic:
        yield f"have it taken up: hesiod-watch take-up {quoted(snapshot.run)}"
    if snapshot.has_pipeline and snapshot.problem:
        return  # its flags are not known
    if snapshot.adopted and not snapshot.stop_flags(PROCESS):
        yield f"disregard the whole run: hesiod-watch abort {quoted(snapshot.run)} --why …"


def _cell_can(snapshot: Snapshot, cell: Cell) -> Iterator[str]:
    """Yield what a person can do with a cell in any case; to disregard it comes last."""
    name, stage = f"{quoted(snapshot.run)} {quoted(str(cell.id))}", stage_of(cell)
    flag = f"{snapshot.path}/pipeline/{cell.id.stem}"
    if stage is Stage.PROCESSED:
        yield f"check its results again: hesiod-watch verify {name}"
        if cell.backup:
            yield f"read all its copies, also those on backups: hesiod-watch verify {name} --backup"
        yield f"process it again: rm {quoted(f'{flag}.done')}"
    elif stage is Stage.ABORTED:
        yield f"to undo: rm {quoted(f'{flag}.aborted')}"
    else:
        yield f"disregard it: hesiod-watch abort {name} --why …"
