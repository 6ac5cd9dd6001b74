"""Overdue cells: cells that have ended and are still incomplete after the grace period.

A cell is overdue if all of these are true: it has a final_summary, its data are not proven
complete, and the grace period is over. `cell_attention` has the sentences about such a cell.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hesiod_watch.core.action_kinds import PROCESS
from hesiod_watch.core.cell_contents import Verdict
from hesiod_watch.core.model import Cell, Policy, Snapshot, Stage
from hesiod_watch.core.times import due_at
from hesiod_watch.rules.liveness import under_way
from hesiod_watch.rules.stages import stage_of

WAITING = frozenset({Stage.INCOMPLETE, Stage.PENDING})
"""Stages in which a cell waits for its data."""

CLOCK_SKEW = timedelta(minutes=1)
"""Largest difference between two clocks at which a time is still trusted."""


def disagrees(cell: Cell) -> bool:
    """Whether a cell waits for data although its acquisition has ended."""
    found = cell.completeness
    if found is None or found.proven or found.verdict is Verdict.RUNNING:
        return False
    return cell.present and stage_of(cell) in WAITING


def summary_time(cell: Cell) -> datetime | None:
    """Return when the newest final_summary of a cell arrived here; None if there is none."""
    since = cell.summary_since
    return None if since is None else datetime.fromtimestamp(since, UTC)


def grace_end(cell: Cell, policy: Policy, now: datetime) -> datetime | None:
    """Return when an ended, incomplete cell becomes overdue, or became so; None for others.

    A final_summary dated more than `CLOCK_SKEW` in the future gives no grace period.
    """
    arrived = summary_time(cell) if disagrees(cell) else None
    if arrived is None:
        return None
    began = now if now < arrived <= now + CLOCK_SKEW else arrived
    return due_at(began, now, timedelta(seconds=policy.grace))


def overdue(cell: Cell, policy: Policy, now: datetime) -> bool:
    """Whether a cell has ended and is still incomplete after the grace period."""
    end = grace_end(cell, policy, now)
    return end is not None and end <= now


def overdue_cells(snapshot: Snapshot, policy: Policy, now: datetime) -> list[Cell]:
    """Return a run's overdue cells; none if work is stopped or a sync may still bring files."""
    if not snapshot.adopted or snapshot.stop_flags(PROCESS) or under_way(snapshot.sync):
        return []
    return [cell for cell in snapshot.cells if overdue(cell, policy, now)]


def is_resolved(snapshot: Snapshot, cell: Cell, policy: Policy, now: datetime) -> bool:
    """Whether a cell is known not to be overdue; False also if the snapshot cannot tell.

    Nothing is known about the data of a cell if its directory is missing, or if a sync may be
    changing it.
    """
    stage = stage_of(cell)
    if stage not in WAITING:
        return stage is not Stage.NEW
    if cell.completeness is None or under_way(snapshot.sync):
        return False
    return not overdue(cell, policy, now)


# Sentences.


def continues(cell: Cell) -> str:
    """Return how an overdue cell continues without a person."""
    if cell.completeness and cell.completeness.fallback:
        return (
            "The final_summary will always name the fallback folder. "
            "So the cell is processed only after a person has accepted it as complete."
        )
    return "The cell continues by itself as soon as its files agree with its final_summary."


def resolved_words(cell: Cell) -> str:
    """Return why a cell is no longer overdue."""
    flags, found = cell.flags, cell.completeness
    if flags.aborted:
        return f"a person has said to disregard it: {flags.aborted.why or 'no reason was given'}"
    if flags.done:
        return "it is processed"
    if flags.failed:
        return f"its processing was started and has failed: {flags.failed.why}".rstrip(": ")
    if flags.synced or flags.claims:
        if found and not found.proven:
            accepted = f"a person has accepted it as complete: {found.why}"
            return found.why if found.verdict is Verdict.BY_HAND else accepted
        return "its data are recorded as complete"
    if found and (found.proven or found.verdict is Verdict.RUNNING):
        return found.why
    why = f": {found.why}" if found else ""
    return f"a new final_summary is here, and the grace period begins again{why}"
