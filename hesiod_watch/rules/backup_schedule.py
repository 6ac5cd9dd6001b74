"""What is to be done so that there are copies of processed cells and that they stay whole. Rules,
as in `plan`.

A cell is backed up when its results are new to some backup. What failed is tried again, less and
less often: how often that was is in the flag itself (the epoch of its owner), so a restart forgets
nothing. The run's own files follow when its cells have settled. Copies are read again from time to
time, here and there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from hesiod_watch.core.model import Action, Attempt, Cell, Policy, Snapshot, Stage
from hesiod_watch.core.times import due_at, time_at, time_of
from hesiod_watch.rules.checksum_findings import finding_of, other_damage
from hesiod_watch.rules.copies import copies_in, damage_in, known_copies
from hesiod_watch.rules.liveness import unclear, under_way
from hesiod_watch.rules.stages import SETTLED, at, digest_of_report, stage_of

HANDS_OFF = frozenset({"failed", "aborted", "stripped"})
"""Run-level flags under which nothing is copied. Copies of a stripped run are read: nothing else is
left of it.
"""
RETRY = (60.0, 6 * 3600.0)
"""Shortest and longest time in seconds from a round that failed to the next; doubled each time."""


def want_backup(snapshot: Snapshot, policy: Policy, now: datetime) -> Iterator[Action]:
    """A processed cell whose results some backup does not have, proven by reading there; then the
    run's own files.
    """
    if not policy.backups or not _workable(snapshot, HANDS_OFF):
        return
    open_cells = False
    for cell in at(snapshot, Stage.PROCESSED):
        reason = backup_reason(cell, policy)
        open_cells = open_cells or bool(reason)
        if reason and (due := backup_due(cell, now)) is not None and due <= now:
            yield Action("backup", snapshot.run, reason, cell.id, epoch=_attempt(cell.backup))
    if not open_cells and _run_due(snapshot, now):
        yield Action(
            "backup", snapshot.run, "its own files have changed", epoch=_attempt(snapshot.backup)
        )


def want_verify(snapshot: Snapshot, policy: Policy, now: datetime) -> Iterator[Action]:
    """A processed cell whose copies have not been read for long, or that was backed up anew since
    one was found bad.
    """
    if not policy.backups or not _workable(snapshot, HANDS_OFF - {"stripped"}):
        return
    for cell in at(snapshot, Stage.PROCESSED):
        due = verify_due(cell, policy, now)
        if due is not None and due <= now:
            reason = (
                "its copies have not been read for long"
                if not cell.verification
                else _why_again(cell)
            )
            yield Action("verify", snapshot.run, reason, cell.id, epoch=_attempt(cell.verification))


def backup_reason(cell: Cell, policy: Policy) -> str:
    """Why a processed cell is to be backed up; "" when it need not be, or cannot be."""
    manifest, last = manifest_of(cell), cell.backup
    if not manifest:
        return ""
    if last is None:
        return "processed, and not copied to a second place"
    if not last.ending:
        return f"its backup was begun and not ended: {last.evidence}"
    if last.record.get("manifest") != manifest:
        return (
            "processed once more since its last backup" if last.ending == "done" else _failed(last)
        )
    if last.ending != "done":
        return _failed(last)
    lacking = policy.backups - {copy.backup for copy in copies_in(last.record)}
    return f"no copy on {', '.join(sorted(lacking))} that was read back" if lacking else ""


def backup_due(cell: Cell, now: datetime) -> datetime | None:
    """When the next round of its backup may begin; None: one is under way."""
    return _next(cell.backup, now)


def verify_due(cell: Cell, policy: Policy, now: datetime) -> datetime | None:
    """When the copies of a processed cell are to be read again; None: somebody is at it, or nothing
    says when.
    """
    last, backup = cell.verification, cell.backup
    if under_way(last) or under_way(backup):
        return None
    every = timedelta(seconds=policy.verify_every)
    backed_up = ended_at(backup) if backup and backup.ending == "done" else None
    if last is None:
        if backed_up is None and not (cell.flags.done and cell.flags.done.mtime):
            return None
        return due_at(backed_up or finished_at(cell, now), now, every)
    ended = ended_at(last)
    if ended is None:
        return None
    if last.ending == "done":
        return due_at(
            max((time for time in (ended, backed_up) if time and time <= now), default=None),
            now,
            every,
        )
    if damage_in(last):
        return backed_up if backed_up and ended < backed_up <= now else due_at(ended, now, every)
    return _next(last, now)


def manifest_of(cell: Cell) -> str:
    """MD5 of the manifest that `.done` speaks of; "" for a flag made by hand or by an earlier
    Hesiod.
    """
    found = cell.flags.done.record.get("manifest_md5") if cell.flags.done else None
    return found if isinstance(found, str) else ""


def ended_at(last: Attempt | None) -> datetime | None:
    """When a round ended, by its own word, else when it began; None where nothing says."""
    if last is None:
        return None
    return time_of(last.record.get("ended")) or time_of(last.owner.time if last.owner else None)


def finished_at(cell: Cell, now: datetime) -> datetime | None:
    """When a cell was finished; None where every record of it says the future.

    The time of the flag's file counts, then the time that the flag names, then the end of the
    cell's backup.
    """
    done = cell.flags.done
    known = (time_at(done.mtime), time_of(done.record.get("time"))) if done else ()
    return next((time for time in (*known, ended_at(cell.backup)) if time and time <= now), None)


def run_digest(snapshot: Snapshot) -> str:
    """What stands for the state of a run that its backup saw: how its cells were settled, and which
    are backed up.
    """
    lines = []
    for cell in snapshot.cells:
        stage = stage_of(cell)
        if stage not in SETTLED:
            continue
        flag = cell.flags.done or cell.flags.failed or cell.flags.aborted
        backed_up = (
            cell.backup.record.get("manifest")
            if cell.backup and cell.backup.ending == "done"
            else ""
        )
        lines.append(f"{cell.id} {stage} {flag.mtime if flag else 0:.6f} {backed_up}")
    return hashlib.sha256("\n".join(sorted(lines)).encode("utf-8", "surrogateescape")).hexdigest()[
        :16
    ]


def waiting(snapshot: Snapshot, policy: Policy) -> Iterator[str]:
    """Sentences about copies that are missing or bad, and for whom or what they wait."""
    for cell in at(snapshot, Stage.PROCESSED):
        last = cell.backup
        if policy.backups and not manifest_of(cell):
            yield (
                f"{cell.id}: its flag done names no manifest (made by hand, or by an earlier program), so there is "
                "nothing that a backup could be held against; it has one when it is processed once more"
            )
        elif last and last.ending == "failed" and backup_reason(cell, policy):
            yield f"{cell.id}: not backed up: {last.why}"
        elif unclear(last):
            yield f"{cell.id}: a backup was begun, and nobody can tell whether its owner lives ({last.evidence})"
        if wrong := finding_of(cell).said:
            yield f"{cell.id}: {wrong}"
        for problem in other_damage(cell):
            yield f"{cell.id}: damaged: {problem}"
    if snapshot.backup and snapshot.backup.ending == "failed":
        yield f"the run's own files are not backed up: {snapshot.backup.why}"


def damage(snapshot: Snapshot) -> tuple[str, ...]:
    """Of each cell with a damaged copy a sentence; every poll says it, until a reading finds all
    mended.
    """
    return tuple(
        f"{snapshot.run} {cell.id}: damaged: {problems[0]}; hesiod-watch explain {snapshot.run} {cell.id}"
        for cell in snapshot.cells
        if (problems := damage_in(cell.verification))
    )


def look_again(snapshot: Snapshot, policy: Policy, now: datetime) -> Iterator[datetime]:
    """When something here may be due although nothing will announce it."""
    if not policy.backups or not _workable(snapshot, HANDS_OFF):
        return
    for cell in at(snapshot, Stage.PROCESSED):
        due = backup_due(cell, now)
        if backup_reason(cell, policy) and due and due > now:
            yield due


@dataclass(frozen=True, slots=True)
class CopyLocation:
    """One place where a cell's data are, for people. `verified_at` is ISO 8601 or ""."""

    where: str  # output, landing, or a backup's name
    location: str
    holds: str  # results, raw data, results and raw data
    verified_at: str = ""
    problem: str = ""  # what the last verification found wrong there


def copy_locations(snapshot: Snapshot, cell: Cell) -> tuple[CopyLocation, ...]:
    """Which copies of a processed cell there are, as its flags say; nothing is looked at."""
    if stage_of(cell) is not Stage.PROCESSED:
        return ()
    last = cell.verification
    read = str(last.record.get("ended", "")) if last and last.record.get("here") else ""
    problems = damage_in(last)
    found = []
    if snapshot.output:
        place = snapshot.output / cell.id.library / cell.id.name
        found.append(
            CopyLocation("output", str(place), "results", read, _problem(problems, "output: "))
        )
    gone = "stripped" in snapshot.flags or (cell.strip and cell.strip.ending == "done")
    if cell.present and not gone:
        place = snapshot.path / cell.id.library / cell.id.name
        found.append(
            CopyLocation("landing", str(place), "raw data", read, _problem(problems, "landing: "))
        )
    for copy in known_copies(manifest_of(cell), cell.backup, last):
        holds = "results and raw data" if copy.raw else "results"
        problem = _problem(problems, f"{copy.backup}: ")
        found.append(
            CopyLocation(
                copy.backup, f"{copy.location}/{snapshot.run}", holds, copy.verified_at, problem
            )
        )
    return tuple(found)


def _problem(problems: tuple[str, ...], beginning: str) -> str:
    return next((problem for problem in problems if problem.startswith(beginning)), "")


def _workable(snapshot: Snapshot, hands_off: frozenset[str]) -> bool:
    return snapshot.adopted and snapshot.output is not None and not hands_off & snapshot.flags


def _failed(last: Attempt) -> str:
    return f"its last backup failed: {last.why}"


def _why_again(cell: Cell) -> str:
    return (
        "its last verification failed"
        if damage_in(cell.verification)
        else "its copies have not been read for long"
    )


def _attempt(last: Attempt | None) -> int:
    """The number of the next round: one more than that of the last one, unless that succeeded."""
    return last.owner.epoch + 1 if last and last.ending != "done" and last.owner else 1


def _next(last: Attempt | None, now: datetime) -> datetime | None:
    """When a round may follow on the last one; None: that is under way."""
    if last is None or last.ending == "done":
        return now
    if under_way(last):
        return None
    shortest, longest = RETRY
    tries = min(last.owner.epoch, 20) if last.owner else 1
    return due_at(ended_at(last), now, timedelta(seconds=min(shortest * 2 ** (tries - 1), longest)))


def _run_due(snapshot: Snapshot, now: datetime) -> bool:
    """Whether the run's own files are to be copied: its page tells of all, some cell is there, and
    it has changed.
    """
    there = any(
        cell.backup and cell.backup.ending == "done" for cell in at(snapshot, Stage.PROCESSED)
    )
    if not there or snapshot.report_digest != digest_of_report(snapshot):
        return False
    last = snapshot.backup
    if last and last.ending == "done":
        return last.record.get("covers") != run_digest(snapshot)
    due = _next(last, now)
    return due is not None and due <= now
