"""Backup rules: when a processed cell is backed up, retried and verified again.

A cell is backed up when some backup lacks its current results. A failed backup is retried at
growing intervals. The flag itself counts the attempts (the epoch of its owner), so a restart
forgets nothing. The run's own files are backed up once its cells are settled. All copies, local and
on backups, are read again from time to time. The functions are rules, as in `plan`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from hesiod_watch.core.action_kinds import BACKUP, VERIFY
from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.model import Action, Cell, Policy, Snapshot, Stage
from hesiod_watch.core.ownership import Attempt
from hesiod_watch.core.results import (
    AttemptEnd,
    BackupRecord,
    DoneRecord,
    RunBackupRecord,
    VerificationRecord,
)
from hesiod_watch.core.times import BackOff, due_at, time_at, time_of
from hesiod_watch.rules.checksum_findings import finding_of, other_damage
from hesiod_watch.rules.copies import damage_in, known_copies
from hesiod_watch.rules.liveness import unclear, under_way
from hesiod_watch.rules.stages import SETTLED, at, digest_of, digest_of_report, stage_of

RETRY = BackOff(timedelta(minutes=1), timedelta(hours=6))
ATTEMPTS = 3
"""Failed attempts in a row after which a person is needed, whatever the reason."""
FAILING = timedelta(hours=1)
"""Time for which work fails at each attempt, after which a person is needed."""


def want_backup(snapshot: Snapshot, policy: Policy, now: datetime) -> Iterator[Action]:
    """Back up each processed cell whose results some backup lacks, then the run's own files.

    A backup has the results only if they were read and verified there.
    """
    if not policy.backups or not snapshot.may_start(BACKUP):
        return
    open_cells = False
    for cell in at(snapshot, Stage.PROCESSED):
        reason = backup_reason(cell, policy)
        open_cells = open_cells or bool(reason)
        if reason and (due := backup_due(cell, now)) is not None and due <= now:
            yield Action(BACKUP, snapshot.run, reason, cell.id, epoch=_attempt(cell.backup))
    if not open_cells and _run_due(snapshot, now):
        yield Action(
            BACKUP, snapshot.run, "its own files have changed", epoch=_attempt(snapshot.backup)
        )


def want_verify(snapshot: Snapshot, policy: Policy, now: datetime) -> Iterator[Action]:
    """Verify the copies of a processed cell that were not read for a long time.

    Also verify a cell that was backed up again after damage was found, and one whose raw data have
    no checksums yet: this reading makes them.
    """
    if not snapshot.may_start(VERIFY):
        return
    for cell in at(snapshot, Stage.PROCESSED):
        if _raw_due(snapshot, cell, policy):
            due = _next(cell.verification, now)
            if due is not None and due <= now:
                reason = "its raw data are not read in full yet"
                epoch = _attempt(cell.verification)
                yield Action(VERIFY, snapshot.run, reason, cell.id, epoch=epoch)
            continue
        if not policy.backups:
            continue
        due = verify_due(cell, policy, now)
        if due is not None and due <= now:
            reason = (
                "its last verification failed"
                if damage_in(cell.verification)
                else "its copies have not been read for a long time"
            )
            yield Action(VERIFY, snapshot.run, reason, cell.id, epoch=_attempt(cell.verification))


def _raw_due(snapshot: Snapshot, cell: Cell, policy: Policy) -> bool:
    """Whether a verification is to make `raw.json`, or to record damage that a backup has met.

    A backup reads the raw data too, so it comes first. Cells to process or to ingest come first.
    """
    backup = cell.backup
    if backup and BackupRecord.of(backup).damaged_ends and cell.verification is None:
        return backup.outcome != ""
    if not cell.raw_missing or at(snapshot, Stage.READY, Stage.PROCESSING):
        return False
    if policy.backups and manifest_of(cell):
        return bool(backup and backup.outcome) and not any(
            copy.raw for copy in BackupRecord.of(backup).copies
        )
    return True


def backup_reason(cell: Cell, policy: Policy) -> str:
    """Why a processed cell is to be backed up; "" if it need not or cannot be."""
    manifest, last = manifest_of(cell), cell.backup
    if not manifest:
        return ""
    if last is None:
        return "processed, and not copied to a backup"
    if not last.outcome:
        return f"its backup was begun and not finished: {last.evidence}"
    result = BackupRecord.of(last)
    if result.manifest != manifest:
        return "processed again since its last backup" if last.outcome == "done" else _failed(last)
    if last.outcome != "done":
        return _failed(last)
    missing = policy.backups - {copy.backup for copy in result.copies}
    if missing:
        return f"no verified copy on {', '.join(sorted(missing))}"
    if cell.raw_missing and any(copy.raw for copy in result.copies):
        return "the checksums of its raw data are missing"
    read, ended = ended_at(cell.verification), ended_at(last)
    made = VerificationRecord.of(cell.verification).raw_made
    newer = read is not None and ended is not None and read > ended
    return "the checksums of its raw data are not on every backup" if made and newer else ""


def backup_due(cell: Cell, now: datetime) -> datetime | None:
    """When the next backup attempt may begin; None while one is under way."""
    return _next(cell.backup, now)


def verify_due(cell: Cell, policy: Policy, now: datetime) -> datetime | None:
    """When the copies of a processed cell are to be read again.

    None: a backup or a verification is under way, or no time is recorded.
    """
    last, backup = cell.verification, cell.backup
    if under_way(last) or under_way(backup):
        return None
    every = timedelta(seconds=policy.verify_every)
    backed_up = ended_at(backup) if backup and backup.outcome == "done" else None
    if last is None:
        if backed_up is None and not (cell.flags.done and cell.flags.done.mtime):
            return None
        return due_at(backed_up or finished_at(cell, now), now, every)
    ended = ended_at(last)
    if last.outcome == "done":
        return due_at(
            max((time for time in (ended, backed_up) if time and time <= now), default=None),
            now,
            every,
        )
    if damage_in(last):
        repaired = backed_up and ended and ended < backed_up <= now
        return backed_up if repaired else due_at(ended, now, every)
    return _next(last, now)


def keeps_failing(last: Attempt) -> bool:
    """Whether work that is tried again by itself has failed in a way that needs a person."""
    attempts = last.owner.epoch if last.owner else 1
    needed = AttemptEnd.of(last).needs_person is not False
    return last.outcome == "failed" and (needed or attempts >= ATTEMPTS)


def fails_for_long(last: Attempt) -> bool:
    """Whether work that is tried again by itself has failed at each attempt for an hour.

    The time from the first to the last failure in a row counts. A time without attempts, such as
    the silence of an upstream, has a report of its own.
    """
    end = AttemptEnd.of(last)
    first, ended = time_of(end.failing_since), time_of(end.ended)
    for_long = first is not None and ended is not None and ended - first >= FAILING
    return last.outcome == "failed" and for_long


def is_stuck(last: Attempt) -> bool:
    """Whether failed work needs a person: it says so, or it fails for long."""
    needed = last.outcome == "failed" and AttemptEnd.of(last).needs_person is True
    return needed or fails_for_long(last)


def failing_since(last: Attempt) -> datetime | None:
    """When the first of the failures in a row was; None if no time is recorded."""
    return time_of(AttemptEnd.of(last).failing_since) or ended_at(last)


def manifest_of(cell: Cell) -> str:
    """MD5 of the manifest that `.done` records; "" if it was made by hand or an old Hesiod."""
    return DoneRecord.of(cell.flags.done).manifest_md5


def ended_at(last: Attempt | None) -> datetime | None:
    """When an attempt ended by its record, else when it began; None if neither is recorded."""
    if last is None:
        return None
    return time_of(AttemptEnd.of(last).ended) or time_of(last.owner.time if last.owner else None)


def finished_at(cell: Cell, now: datetime) -> datetime | None:
    """When a cell was finished; None if every recorded time is in the future.

    The first time that is not in the future counts: that of the flag's file, then the time in the
    flag, then the end of the cell's backup.
    """
    done = cell.flags.done
    known = (time_at(done.mtime), time_of(DoneRecord.of(done).time)) if done else ()
    return next((time for time in (*known, ended_at(cell.backup)) if time and time <= now), None)


def run_digest(snapshot: Snapshot) -> str:
    """Digest of a run's settled cells and their backups, as recorded by the run's backup."""
    lines = []
    for cell in snapshot.cells:
        stage = stage_of(cell)
        if stage not in SETTLED:
            continue
        flag = cell.flags.done or cell.flags.failed or cell.flags.aborted
        backed_up = (
            BackupRecord.of(cell.backup).manifest
            if cell.backup and cell.backup.outcome == "done"
            else ""
        )
        lines.append(f"{cell.id} {stage} {flag.mtime if flag else 0:.6f} {backed_up}")
    return digest_of(lines)


def waiting(snapshot: Snapshot, policy: Policy) -> Iterator[str]:
    """Sentences about missing or damaged copies, and what they wait for."""
    for cell in at(snapshot, Stage.PROCESSED):
        last = cell.backup
        if policy.backups and not manifest_of(cell):
            yield (
                f"{cell.id}: its flag done names no manifest (made by hand, or by an earlier"
                " program), so a backup could not be verified; processing the cell again makes one"
            )
        elif last and last.outcome == "failed" and backup_reason(cell, policy):
            yield f"{cell.id}: not backed up: {last.why}"
        elif unclear(last):
            yield (
                f"{cell.id}: a backup was begun, and it is unknown whether its owner lives"
                f" ({last.evidence})"
            )
        if wrong := finding_of(cell).said:
            yield f"{cell.id}: {wrong}"
        for problem in other_damage(cell):
            yield f"{cell.id}: damaged: {problem}"
    if snapshot.backup and snapshot.backup.outcome == "failed":
        yield f"the run's own files are not backed up: {snapshot.backup.why}"


def look_again(snapshot: Snapshot, policy: Policy, now: datetime) -> Iterator[datetime]:
    """Times at which a backup or a first reading becomes due although nothing else changes."""
    for cell in at(snapshot, Stage.PROCESSED) if snapshot.may_start(VERIFY) else ():
        due = _next(cell.verification, now) if _raw_due(snapshot, cell, policy) else None
        if due and due > now:
            yield due
    if not policy.backups or not snapshot.may_start(BACKUP):
        return
    for cell in at(snapshot, Stage.PROCESSED):
        due = backup_due(cell, now)
        if backup_reason(cell, policy) and due and due > now:
            yield due
    if snapshot.backup and snapshot.backup.outcome == "failed":
        due = _next(snapshot.backup, now)
        if due and due > now:
            yield due


@frozen
class CopyLocation:
    """One directory with a cell's data, for people; `verified_at` is ISO 8601 or ""."""

    where: str  # output, landing, or a backup's name
    location: str
    holds: str  # results, raw data, or both: results and raw data
    verified_at: str = ""
    problem: str = ""  # damage that the last verification found there


def copy_locations(snapshot: Snapshot, cell: Cell) -> tuple[CopyLocation, ...]:
    """Copies of a processed cell according to its flags; no file is read."""
    if stage_of(cell) is not Stage.PROCESSED:
        return ()
    last = cell.verification
    read = AttemptEnd.of(last).ended if last and VerificationRecord.of(last).here else ""
    problems = damage_in(last)

    def location(where: str, path: str, holds: str, verified_at: str = read) -> CopyLocation:
        problem = next((each for each in problems if each.startswith(f"{where}: ")), "")
        return CopyLocation(where, path, holds, verified_at, problem)

    locations = []
    if snapshot.output:
        locations.append(location("output", f"{snapshot.output}/{cell.results_place}", "results"))
    stripped = "stripped" in snapshot.flags or (cell.strip and cell.strip.outcome == "done")
    if cell.present and not stripped:
        locations.append(location("landing", f"{snapshot.path}/{cell.id}", "raw data"))
    for copy in known_copies(manifest_of(cell), cell.backup, last):
        holds = "results and raw data" if copy.raw else "results"
        path = f"{copy.location}/{copy.run or snapshot.run}"
        locations.append(location(copy.backup, path, holds, copy.verified_at))
    return tuple(locations)


def _failed(last: Attempt) -> str:
    return f"its last backup failed: {last.why}"


def _attempt(last: Attempt | None) -> int:
    """Number of the next attempt: 1 after a success, else one more than the last."""
    return last.owner.epoch + 1 if last and last.outcome != "done" and last.owner else 1


def _next(last: Attempt | None, now: datetime) -> datetime | None:
    """When the next attempt may begin; None while the last one is under way."""
    if last is None or last.outcome == "done":
        return now
    if under_way(last):
        return None
    return due_at(ended_at(last), now, RETRY.rest(last.owner.epoch if last.owner else 1))


def _run_due(snapshot: Snapshot, now: datetime) -> bool:
    """Whether the run's own files are to be backed up.

    Its page must be current, some cell must be backed up, and the run must have changed.
    """
    has_backup = any(
        cell.backup and cell.backup.outcome == "done" for cell in at(snapshot, Stage.PROCESSED)
    )
    if not has_backup or snapshot.report_digest != digest_of_report(snapshot):
        return False
    last = snapshot.backup
    if last and last.outcome == "done":
        return RunBackupRecord.of(last).covers != run_digest(snapshot)
    due = _next(last, now)
    return due is not None and due <= now
