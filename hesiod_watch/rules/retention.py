"""When raw data are let go: marked on the sequencer as safe to delete, or removed from the landing
area. Rules only.

Whether anything may go is not decided here but by a drop proof, from evidence that the action
gathers. These rules say only when it is worth while to look for one. What was refused is looked at
again after a day, because the reasons are mostly such that a person, a backup or time mends them; a
mark is made anew before it runs out, and taken back as soon as its ground is seen to have gone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from hesiod_watch.core.location import parse_location, run_in
from hesiod_watch.core.model import LOCAL, Action, Attempt, Cell, Policy, Snapshot, Stage
from hesiod_watch.core.text import number_of
from hesiod_watch.core.times import due_at, rested
from hesiod_watch.rules.backup_schedule import ended_at, finished_at
from hesiod_watch.rules.checksum_findings import finding_of
from hesiod_watch.rules.copies import damage_in
from hesiod_watch.rules.liveness import unclear, under_way
from hesiod_watch.rules.stages import at, stage_of

AGAIN = timedelta(days=1)
"""From a round that was refused or failed to the next."""
SOON = timedelta(minutes=10)
"""The same where the reason was said to pass by itself."""
HANDS_OFF = frozenset({"failed", "aborted"})


def want_deletable(snapshot: Snapshot, policy: Policy, now: datetime) -> Iterator[Action]:
    """A cell to be marked on its upstream: backed up and still there; or one whose mark has lost
    its ground.
    """
    if not _workable(snapshot):
        return
    lasts = mark_lifetime(snapshot, policy)
    for cell in snapshot.cells:
        if under_way(cell.deletable):
            continue
        if marked(cell) and (why := unmet_precondition(snapshot, cell)):
            if _rested(cell.deletable, now, SOON):
                yield Action(
                    "deletable", snapshot.run, f"its mark is to be withdrawn: {why}", cell.id
                )
        elif (
            lasts
            and cell.upstream
            and snapshot.listed_at == snapshot.upstream
            and not unmet_precondition(snapshot, cell)
        ):
            due = mark_due(cell, lasts, now)
            if due <= now:
                yield Action("deletable", snapshot.run, _why_mark(cell), cell.id)


def want_strip(snapshot: Snapshot, policy: Policy, now: datetime) -> Iterator[Action]:
    """A cell that was finished long ago, and whose raw data are to leave the landing area then."""
    if not _workable(snapshot) or policy.strip_after is None:
        return
    for cell in snapshot.cells:
        if (
            not cell.present
            or unmet_precondition(snapshot, cell)
            or under_way(cell.strip)
            or under_way(cell.deletable)
        ):
            continue
        if mark_lifetime(snapshot, policy) and cell.upstream and not marked(cell):
            continue  # the mark counts what lies here; it comes first
        due = strip_due(cell, policy.strip_after, now)
        if due is not None and due <= now:
            days = number_of(policy.strip_after / 86400, "day", form="g")
            yield Action("strip", snapshot.run, f"finished for {days}", cell.id)


def mark_lifetime(snapshot: Snapshot, policy: Policy) -> float:
    """How long, in seconds, a mark counts on the upstream of a run; 0.0 where none is made."""
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
    """Why nothing of a cell may be let go, as far as flags tell; "" where a proof is worth looking
    for.
    """
    if flagged := sorted(HANDS_OFF & snapshot.flags):
        return f"the run is flagged {flagged[0]}"
    if stage_of(cell) is not Stage.PROCESSED or cell.flags.failed:
        return "it is not processed any more" if not cell.flags.failed else "it is flagged failed"
    if wrong := finding_of(cell).said:
        return wrong
    if damage_in(cell.verification) or (cell.verification and cell.verification.ending == "failed"):
        return "a verification found something wrong with its copies"
    manifest, backup = (
        cell.flags.done.record.get("manifest_md5") if cell.flags.done else None,
        cell.backup,
    )
    if backup is None or backup.ending != "done":
        return "it has no backup that was read back"
    if not manifest or backup.record.get("manifest") != manifest:
        return "it was processed once more since its backup"
    return ""


def marked(cell: Cell) -> bool:
    """Whether its upstream was last told that it may be deleted, or may have been, by a round that
    was killed.
    """
    last = cell.deletable
    return last is not None and (not last.ending or last.record.get("marked") is True)


def mark_due(cell: Cell, lasts: float, now: datetime) -> datetime:
    """When a mark is next to be made."""
    last = cell.deletable
    if last is None or not last.ending:
        return now
    return due_at(
        ended_at(last),
        now,
        timedelta(seconds=lasts) if last.ending == "done" else _rest_of(last.record),
    )


def strip_due(cell: Cell, after: float, now: datetime) -> datetime | None:
    """When raw data are next to be removed; None: never, or somebody is at it.

    That time has come says nothing about copies: the removal reads every one of them again.
    """
    last = cell.strip
    if last and last.ending == "done":
        return None
    if last and last.ending:
        ended = ended_at(last)
        return due_at(ended, now, _rest_of(last.record)) if ended else None
    return (
        due_at(finished_at(cell, now), now, timedelta(seconds=after)) if cell.flags.done else None
    )


def stripped(cell: Cell) -> bool:
    """Whether a cell's raw data were removed from here, as far as its proof went."""
    return cell.strip is not None and cell.strip.ending == "done"


def look_again(snapshot: Snapshot, policy: Policy, now: datetime) -> Iterator[datetime]:
    """When something here will be due by itself."""
    if not _workable(snapshot):
        return
    lasts = mark_lifetime(snapshot, policy)
    for cell in at(snapshot, Stage.PROCESSED):
        if unmet_precondition(snapshot, cell):
            continue
        if (
            policy.strip_after is not None
            and cell.present
            and (due := strip_due(cell, policy.strip_after, now))
        ):
            yield due
        if lasts and cell.deletable and cell.deletable.ending and cell.upstream:
            yield mark_due(cell, lasts, now)


def waiting(snapshot: Snapshot) -> Iterator[str]:
    """Sentences about what was not let go, and why."""
    for cell in snapshot.cells:
        for last, what in (
            (cell.deletable, "not marked as deletable"),
            (cell.strip, "not stripped"),
        ):
            if last and last.ending == "failed":
                yield f"{cell.id}: {what}: {last.why}"
            elif unclear(last):
                yield f"{cell.id}: {what}: it was begun, and nobody can tell whether its owner lives ({last.evidence})"


def _why_mark(cell: Cell) -> str:
    last = cell.deletable
    if last is None:
        return "backed up, and still on its upstream"
    if not last.ending:
        return f"marking it was begun and not ended: {last.evidence}"
    return "its mark runs out" if last.ending == "done" else "it could not be marked before"


def _workable(snapshot: Snapshot) -> bool:
    return snapshot.adopted and snapshot.output is not None


def _rested(last: Attempt | None, now: datetime, rest: timedelta) -> bool:
    return last is None or last.ending != "failed" or rested(ended_at(last), now, rest)


def _rest_of(record: Mapping[str, object]) -> timedelta:
    return SOON if record.get("needs_person") is False else AGAIN
