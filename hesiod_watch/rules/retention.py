"""Retention rules: when raw data are marked for deletion upstream or removed from landing.

These rules only say when to try. A deletion proof decides whether any file may be deleted, from
evidence that the action gathers. A refused attempt is repeated after a day, because a person, a
backup or time removes most reasons. A mark is renewed before it expires, and withdrawn as soon as a
precondition is seen to be unmet.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from hesiod_watch.core.action_kinds import DELETABLE, STRIP
from hesiod_watch.core.location import parse_location, run_in
from hesiod_watch.core.model import LOCAL, Action, Cell, Policy, Snapshot, Stage
from hesiod_watch.core.ownership import Attempt
from hesiod_watch.core.results import AttemptEnd, BackupRecord, MarkRecord
from hesiod_watch.core.text import number_of
from hesiod_watch.core.times import BackOff, due_at
from hesiod_watch.rules.backup_schedule import ended_at, finished_at, manifest_of
from hesiod_watch.rules.checksum_findings import finding_of
from hesiod_watch.rules.copies import damage_in
from hesiod_watch.rules.late_data import late_words
from hesiod_watch.rules.liveness import unclear, under_way
from hesiod_watch.rules.stages import stage_of

RETRY = BackOff(first=timedelta(minutes=10), longest=timedelta(days=1), factor=1)
"""After a refusal a day, after an error that passes by itself ten minutes."""


def want_deletable(snapshot: Snapshot, policy: Policy, now: datetime) -> Iterator[Action]:
    """Mark a cell that is backed up and still upstream, or withdraw a mark.

    A mark is withdrawn if a precondition is unmet.
    """
    for cell, due, reason in _marks(snapshot, policy, now):
        if due <= now:
            yield Action(DELETABLE, snapshot.run, reason, cell.id)


def want_strip(snapshot: Snapshot, policy: Policy, now: datetime) -> Iterator[Action]:
    """Strip a cell whose raw data have been in the landing area long enough since its end."""
    for cell, due, reason in _strips(snapshot, policy, now):
        if due <= now:
            yield Action(STRIP, snapshot.run, reason, cell.id)


def look_again(snapshot: Snapshot, policy: Policy, now: datetime) -> Iterator[datetime]:
    """Times at which a mark or a strip becomes due although nothing else changes."""
    for each in (_marks(snapshot, policy, now), _strips(snapshot, policy, now)):
        yield from (due for _, due, _ in each if due > now)


DueCell = tuple[Cell, datetime, str]
"""A cell, when its work is due, and the reason."""


def _marks(snapshot: Snapshot, policy: Policy, now: datetime) -> Iterator[DueCell]:
    lasts = mark_lifetime(snapshot, policy)
    for cell in snapshot.cells if snapshot.workable else ():
        last, why = cell.deletable, unmet_precondition(snapshot, cell)
        if under_way(last):
            continue
        if why and marked(cell):
            failed = last is not None and last.outcome == "failed"
            due = due_at(ended_at(last), now, RETRY.first) if failed else now
            yield cell, due, f"its mark is to be withdrawn: {why}"
        elif not why and lasts and _may_be_marked(cell) and snapshot.listed_at == snapshot.upstream:
            yield cell, mark_due(cell, lasts, now), _why_mark(cell)


def _strips(snapshot: Snapshot, policy: Policy, now: datetime) -> Iterator[DueCell]:
    if not snapshot.may_start(STRIP) or policy.strip_after is None:
        return
    for cell in snapshot.cells:
        if (
            not cell.present
            or unmet_precondition(snapshot, cell)
            or under_way(cell.strip)
            or under_way(cell.deletable)
        ):
            continue
        if mark_lifetime(snapshot, policy) and _may_be_marked(cell) and not marked(cell):
            continue  # first the mark: it counts the files in landing as copies
        due = strip_due(cell, policy.strip_after, now)
        if due is not None:
            days = number_of(policy.strip_after / 86400, "day", form="g")
            yield cell, due, f"finished for {days}"


def _may_be_marked(cell: Cell) -> bool:
    """Whether a mark on the upstream is possible: it is for a whole directory, not for a part."""
    return cell.upstream and cell.id.pooled is None


def mark_lifetime(snapshot: Snapshot, policy: Policy) -> float:
    """Seconds for which a mark is valid on the run's upstream; 0.0 if none is made there."""
    if snapshot.upstream in (None, LOCAL):
        return 0.0
    for location, lasts in policy.marking.items():
        try:
            run_in(parse_location(location), snapshot.upstream or "")
        except ValueError:
            continue
        return lasts
    return 0.0


def unmet_precondition(snapshot: Snapshot, cell: Cell) -> str:
    """Why, by its flags, no data of a cell may be deleted; "" if a proof is worth trying."""
    if flagged := snapshot.stop_flags(STRIP):
        return f"the run is flagged {flagged[0]}"
    if stage_of(cell) is not Stage.PROCESSED or cell.flags.failed:
        return "it is not processed any more" if not cell.flags.failed else "it is flagged failed"
    if wrong := finding_of(cell).said:
        return wrong
    if new := late_words(cell):
        return new
    if damage_in(cell.verification) or (
        cell.verification and cell.verification.outcome == "failed"
    ):
        return "a verification found something wrong with its copies"
    manifest, backup = manifest_of(cell), cell.backup
    if backup is None or backup.outcome != "done":
        return "it has no verified backup"
    if not manifest or BackupRecord.of(backup).manifest != manifest:
        return "it was processed again since its backup"
    return ""


def marked(cell: Cell) -> bool:
    """Whether the last mark on its upstream says deletable.

    True also if a killed attempt may have written such a mark.
    """
    last = cell.deletable
    return last is not None and (not last.outcome or MarkRecord.of(last).marked)


def mark_due(cell: Cell, lasts: float, now: datetime) -> datetime:
    """When the next mark is to be made."""
    last = cell.deletable
    if last is None or not last.outcome:
        return now
    return due_at(
        ended_at(last),
        now,
        timedelta(seconds=lasts) if last.outcome == "done" else _rest_of(last),
    )


def strip_due(cell: Cell, after: float, now: datetime) -> datetime | None:
    """When raw data are next to be removed; None: never, or a removal is under way.

    The time says nothing about copies: the removal reads every copy again.
    """
    last = cell.strip
    if last and last.outcome == "done":
        return None
    if last and last.outcome:
        return due_at(ended_at(last), now, _rest_of(last))
    return (
        due_at(finished_at(cell, now), now, timedelta(seconds=after)) if cell.flags.done else None
    )


def stripped(cell: Cell) -> bool:
    """Whether the raw data that its proof allowed to delete were removed from landing."""
    return cell.strip is not None and cell.strip.outcome == "done"


def waiting(snapshot: Snapshot) -> Iterator[str]:
    """Sentences about cells that were not marked or not stripped, and why."""
    for cell in snapshot.cells:
        for last, what in (
            (cell.deletable, "not marked as deletable"),
            (cell.strip, "not stripped"),
        ):
            if last and last.outcome == "failed":
                yield f"{cell.id}: {what}: {last.why}"
            elif unclear(last):
                yield (
                    f"{cell.id}: {what}: it was begun, and it is unknown whether its owner lives"
                    f" ({last.evidence})"
                )


def _why_mark(cell: Cell) -> str:
    last = cell.deletable
    if last is None:
        return "backed up, and still on its upstream"
    if not last.outcome:
        return f"marking it was begun and not finished: {last.evidence}"
    return "its mark expires" if last.outcome == "done" else "it could not be marked before"


def _rest_of(last: Attempt) -> timedelta:
    return RETRY.rest(1, needs_person=AttemptEnd.of(last).needs_person is not False)
