"""Overdue cells, which have ended and are still incomplete, and the steps for a person.

A cell is overdue if all of these are true: it has a final_summary, its data are not proven
complete, and the grace period is over. Messages, `explain`, `plan` and `poll` use the verdict and
the sentences of this module.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

from hesiod_watch.core.action_kinds import PROCESS
from hesiod_watch.core.cell_contents import Verdict
from hesiod_watch.core.model import LOCAL, Cell, CellId, Policy, Snapshot, Stage
from hesiod_watch.core.naming import display
from hesiod_watch.core.times import due_at, iso
from hesiod_watch.rules.completeness import announced
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


def problems(snapshot: Snapshot, policy: Policy, now: datetime) -> Mapping[CellId, str]:
    """Return a sentence for each overdue cell; each poll prints it until the cell is resolved."""
    return {
        cell.id: f"{snapshot.run} {cell.id}: overdue: {_why(cell)}; "
        f"its final_summary arrived at {_arrived(cell)}; "
        f"hesiod-watch explain {snapshot.run} {cell.id}"
        for cell in overdue_cells(snapshot, policy, now)
    }


def overdue_words(cell: Cell) -> str:
    """Return what is wrong with an overdue cell, and since when."""
    return (
        f"{_why(cell)}. Its final_summary arrived at {_arrived(cell)}, "
        "and the grace period after that is over."
    )


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


def steps(snapshot: Snapshot, cell: Cell) -> Iterator[str]:
    """Yield the steps of a person for an overdue cell, by cause; the last is to accept it."""
    found = cell.completeness
    if found is None:
        return
    local = snapshot.upstream == LOCAL
    landing = f"{snapshot.path}/{cell.id}"
    source = landing if local else f"{snapshot.upstream}/{cell.id}"
    after = "" if local else "; the next sync copies them"
    if bad := [display(each.name) for each in found.summaries if each.problem]:
        yield f"copy {' and '.join(bad)} again from the sequencer into {landing}"
    elif found.verdict is Verdict.UNREADABLE and found.summaries and not announced(found.summaries):
        yield (
            f"compare the final_summary in {landing} with the one on the sequencer, "
            "and copy it again where they differ"
        )
    elif found.verdict is Verdict.UNREADABLE:
        yield (
            f"make sure that the user of hesiod-watch can read all of {landing} "
            "(permissions, disk, mount)"
        )
    if found.verdict is Verdict.DAMAGED:
        yield (
            f"copy the named files again from the sequencer into {landing}; "
            f"then hesiod-watch perform checksums {snapshot.run} {cell.id}"
        )
    if found.fallback:
        yield (
            "find the files in MinKNOW's fallback folder on the sequencer, "
            f"and copy them into {source}{after}"
        )
    missing = [each.kind.upper() for each in found.shortfalls if each.found < each.expected]
    surplus = [each.kind.upper() for each in found.shortfalls if each.found > each.expected]
    if missing:
        kinds = " and ".join(missing)
        yield (
            f"look for the missing {kinds} files on the sequencer, "
            f"and copy them into {source}{after}"
        )
    if surplus:
        places = landing if local else f"{source} and out of {landing}"
        kinds = " and ".join(surplus)
        yield (
            f"find the {kinds} files that do not belong to this cell, and move them out of {places}"
        )
    if local or found.fallback:
        flag = f"{snapshot.path}/pipeline/{cell.id.stem}.synced"
        yield f"{_when_to_accept(cell)}: hesiod-touch-atomic {flag}"


def _when_to_accept(cell: Cell) -> str:
    """Return when a person may accept an overdue cell, and what would be missing then."""
    found = cell.completeness
    if found is None or found.verdict is Verdict.UNREADABLE:
        return (
            "last: if that is impossible, count the files yourself and accept the cell as complete "
            "(the program cannot tell which files would be missing)"
        )
    if found.fallback:
        return (
            f"last: when all files are here, or are lost, accept the cell as complete ({found.why})"
        )
    if found.verdict is Verdict.DAMAGED or any(
        each.found < each.expected for each in found.shortfalls
    ):
        return (
            f"last: if the files are lost, accept the cell as complete without them ({found.why})"
        )
    return f"last: if all files belong to this cell, accept it as complete ({found.why})"


def _why(cell: Cell) -> str:
    return cell.completeness.why if cell.completeness else ""


def _arrived(cell: Cell) -> str:
    arrived = summary_time(cell)
    return iso(arrived) if arrived else "an unknown time"
