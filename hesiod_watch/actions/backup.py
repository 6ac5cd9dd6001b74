"""backup: copy a processed cell, or the run's own files, to each backup and verify the copy.

Each step starts only after the step before it:

1. Read the raw data that `raw.json` does not describe yet.
2. At each backup: move conflicting files aside (never delete them), copy files, and make them
   durable there.
3. Read **all** of it at the backup and compare it with both manifests. Copy what differs once more
   and read it again.
4. When every backup agrees, end the attempt as `done`; the flag lists the copies.

A backup that fails does not prevent the copy to the next one. The flag of a failed attempt lists
the copies that were verified, and the next attempt does not read these again. If an attempt is
killed, the next attempt continues with the files that are at the backups.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hesiod_watch.actions import Job, Outcome
from hesiod_watch.actions.attempt import OpenAttempt, attempt_at
from hesiod_watch.actions.copies.mirror import DirectoryMirror, mirror_run_files
from hesiod_watch.actions.outputs.progress import ProgressReporter
from hesiod_watch.config import BackupPlaceSettings
from hesiod_watch.core.errors import FlagExists, HesiodError, PermanentError, TemporaryError
from hesiod_watch.core.file_entry import Entries
from hesiod_watch.core.logfields import fields
from hesiod_watch.core.model import CellId, RunType
from hesiod_watch.core.naming import display
from hesiod_watch.core.ownership import Progress
from hesiod_watch.core.results import (
    AttemptEnd,
    BackupRecord,
    CopyRecord,
    DoneRecord,
    RunBackupRecord,
)
from hesiod_watch.core.text import number_of
from hesiod_watch.core.times import rested
from hesiod_watch.host.files import OpenDirectory
from hesiod_watch.host.process import iso_now
from hesiod_watch.host.runlog import RunLog
from hesiod_watch.remote.backup.compare import find_copy
from hesiod_watch.remote.backup.init import refuse_same_disk
from hesiod_watch.remote.backup.manifests import (
    manifest_md5,
    publish_raw,
    read_begun,
    read_raw,
    read_raw_data,
    result_facts,
    save_begun,
    sources_of,
    withdraw_raw,
)
from hesiod_watch.remote.backup.store import opened
from hesiod_watch.rules.backup_schedule import run_digest
from hesiod_watch.rules.copies import digest, raw_wanted
from hesiod_watch.rules.run_types import type_of
from hesiod_watch.runs import flags
from hesiod_watch.runs.observe import COPIES_FILE, RAW_MANIFEST

logger = logging.getLogger(__name__)

SHOWN = 20
"""Number of error sentences that a flag keeps; the log has all of them."""


def perform(job: Job) -> Outcome:
    """Copy a cell, or without a cell the run's own files.

    Raises FlagExists while another attempt is under way. Raises TemporaryError or PermanentError if
    some backup has no verified copy; the attempt has ended as `failed`.
    """
    if not job.config.backups:
        raise PermanentError("no backups are configured")
    return _backup_run(job) if job.cell is None else _backup_cell(job, job.cell)


@dataclass
class _BackupFailures:
    """Errors of the backups, and whether a later attempt may succeed."""

    sentences: list[str] = field(default_factory=list)
    temporary: bool = True

    def note(self, error: HesiodError) -> None:
        self.sentences.append(str(error))
        self.temporary = self.temporary and isinstance(error, TemporaryError)

    @property
    def reason(self) -> str:
        return "; ".join(self.sentences[:SHOWN])

    def error(self, what: str) -> HesiodError:
        message = f"{what}: {'; '.join(self.sentences)}"
        return TemporaryError(message) if self.temporary else PermanentError(message)


def _backup_cell(job: Job, cell: CellId) -> Outcome:
    log = RunLog(job.output / "backup.log")
    try:
        # All of the former result is written at the beginning, so that nothing is lost if the
        # attempt is killed.
        with attempt_at(job, flags.backup(cell.stem), BackupRecord, log=log) as attempt:
            failures = _CellBackup(job, cell, log, attempt).make()
            if failures.sentences:
                attempt.reason = failures.reason
                raise failures.error(f"{job.run_dir.name} {cell}")
    except FlagExists:
        raise
    except HesiodError as error:
        log.line(f"{cell}: not backed up: {error}")
        raise
    result = attempt.result
    wrong = result.finding.said
    log.line(
        f"{cell}: backed up and read back: {', '.join(copy.backup for copy in result.copies)}"
        + (f"; it was copied as it is: {wrong}" if wrong else "")
    )
    return "done"


class _CellBackup:
    """One attempt to back up one cell."""

    def __init__(
        self, job: Job, cell: CellId, log: RunLog, attempt: OpenAttempt[BackupRecord]
    ) -> None:
        self.job = job
        self.cell = cell
        self.log = log
        self.attempt = attempt
        self.before = attempt.before
        self.kind = type_of(job.look(), job.config.policy())
        self.cell_output = job.cell_output
        self.places = job.places_on_backups
        self.manifest = _manifest(job, cell, self.cell_output)
        self.reporter = ProgressReporter(self.cell_output, job.on_progress, COPIES_FILE)

    def make(self) -> _BackupFailures:
        """Copy the cell to every backup; the attempt's result gets the verified copies.

        Raises HesiodError if there is nothing to copy to any of them.
        """
        manifest, copies, failures = self.manifest, list[CopyRecord](), _BackupFailures()
        try:
            raw = self._raw()
            results, sources = result_facts(self.cell_output), sources_of(self.cell_output)
            for backup in self.job.config.backups:
                wanted = raw_wanted(
                    raw, sources, wanted=raw_policy(self.kind, backup), fastq=backup.fastq
                )
                made = self._still_good(backup, manifest, digest(raw), bool(wanted))
                try:
                    copies.append(made or self._copy(backup, manifest, results, raw, wanted))
                except HesiodError as error:
                    self.log.line(f"{self.cell}: {error}")
                    failures.note(error)
            if manifest_md5(self.cell_output) != manifest:
                raise TemporaryError(
                    f"{self.job.run_dir.name} {self.cell}: processed again during the backup"
                )
        finally:
            self.reporter.end()
        self.attempt.result = replace(self.attempt.result, manifest=manifest, copies=tuple(copies))
        return failures

    def _still_good(
        self, backup: BackupPlaceSettings, manifest: str, raw_digest: str, raw: bool
    ) -> CopyRecord | None:
        """Copy that a failed attempt verified, if it is recent and nothing has changed since.

        An attempt that a person requests starts afresh, and so does an attempt after one that was
        `done`.
        """
        if (
            self.before.manifest != manifest
            or not AttemptEnd.of(self.attempt.former).reason
            or self.job.owner.epoch == 1
        ):
            return None
        now, fresh = datetime.now(UTC), timedelta(seconds=self.job.config.backup.fresh)
        for copy in self.before.copies:
            same = (copy.backup, copy.manifest_md5, copy.raw_digest, copy.raw) == (
                backup.name,
                manifest,
                raw_digest,
                raw,
            )
            if same and copy.location == backup.location and not rested(copy.verified, now, fresh):
                return copy
        return None

    def _raw(self) -> Entries:
        """Facts about the raw data, after reading the files that were not known yet.

        Without a backup that stores raw data, nothing is read.
        """
        withdraw_raw(self.cell_output)
        former = read_raw(self.cell_output)
        if flags.read_flags(self.job.pipeline).stripped(self.cell.stem):
            return former.files  # only a part is in landing; the removed files are on the backups
        if (
            not any(raw_policy(self.kind, backup) for backup in self.job.config.backups)
            or not self.job.cell_dir.is_in_place()
        ):
            return former.files
        raw = read_raw_data(
            self.job.run,
            self.cell,
            former if former.files else read_begun(self.cell_output),
            on_problem=lambda sentence: self.log.line(f"{self.cell}: {sentence}"),
            on_progress=lambda done, total: self.reporter.say(
                Progress("reading raw data", done, total)
            ),
            stop=self._stopped,
            save=lambda begun: save_begun(self.cell_output, begun),
        )
        if raw.damaged:
            self.attempt.result = replace(self.attempt.result, damaged_ends=True)
        if (finding := raw.checksums.finding(iso_now())).at:
            self.attempt.result = replace(self.attempt.result, finding=finding)
        self._refuse_other_content(former.files, raw.files)
        if raw != former:
            fence = self.attempt.require_current
            publish_raw(self.cell_output, raw, fence, new=not former.cell)
        return raw.files

    def _refuse_other_content(self, former: Entries, now: Entries) -> None:
        """Refuse raw data that changed although the cell was not processed again.

        Raw data of a finished cell do not change. If they did, the disk may be failing, and the
        present content must become neither the record nor the copy. A cell that was processed again
        since then may have been repaired: its changes are accepted. Raises PermanentError.
        """
        if self.before.manifest not in ("", self.manifest):
            return
        changed = [
            name for name in sorted(former.keys() & now.keys()) if former[name].md5 != now[name].md5
        ]
        if changed:
            more = f" (and {len(changed) - 1} more)" if len(changed) > 1 else ""
            raise PermanentError(
                f"{self.job.run_dir.name} {self.cell}: landing: {display(changed[0])}{more} has "
                f"other content than {RAW_MANIFEST} says, though the cell was not processed again; "
                "it does not replace the good copy. "
                f"If it was changed on purpose, remove {self.cell_output / RAW_MANIFEST}"
            )

    def _copy(
        self,
        backup: BackupPlaceSettings,
        manifest: str,
        results: Entries,
        raw: Entries,
        wanted: Entries,
    ) -> CopyRecord:
        job = self.job
        with opened(backup, stop=self._stopped) as store:
            refuse_same_disk(
                store,
                job.config,
                *(place for place in (self.cell_output, job.cell_dir.path) if place.is_dir()),
            )
            store.nice = job.config.processing.nice
            place = find_copy(store, self.places, results)
            parts = [
                DirectoryMirror(
                    store,
                    OpenDirectory(self.cell_output, job.config.output),
                    place.results,
                    results,
                    self.log,
                )
            ]
            if wanted:
                parts.append(
                    DirectoryMirror(
                        store,
                        job.cell_dir,
                        place.raw,
                        wanted,
                        self.log,
                    )
                )
            superseded = sum(
                part.copy_missing(say)
                for part, say in self._parts_with_progress(f"copying to {backup.name}", parts)
            )
            if superseded:
                entries = number_of(superseded, "entry", "entries")
                self.log.line(
                    f"{self.cell}: {backup.name}: {entries} moved to {store.superseded(place.run)}"
                )
            problems = []
            for part, say in self._parts_with_progress(f"reading at {backup.name}", parts):
                problems += part.verify_files(say)
            if problems:
                for problem in problems:
                    self.log.line(f"{self.cell}: {problem}")
                more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
                raise PermanentError("; ".join(problems[:3]) + more)
            return CopyRecord(
                backup=backup.name,
                identity=store.identity,
                device=store.device,
                location=backup.location,
                manifest_md5=manifest,
                raw_digest=digest(raw),
                files=len(results) + len(wanted),
                bytes=sum(part.size for part in parts),
                verified_at=iso_now(),
                raw=bool(wanted),
                run=place.run,
            )

    def _parts_with_progress(
        self, phase: str, parts: Sequence[DirectoryMirror]
    ) -> Iterator[tuple[DirectoryMirror, Callable[[int], None]]]:
        """Each part, with a function that reports the progress of the part."""
        total, before = sum(part.size for part in parts), 0
        for part in parts:
            yield part, self._progress_of(phase, before, total)
            before += part.size

    def _progress_of(self, phase: str, before: int, total: int) -> Callable[[int], None]:
        return lambda done: self.reporter.say(Progress(phase, min(before + done, total), total))

    def _stopped(self) -> bool:
        return bool(self.job.stop_flag(self.cell))


def raw_policy(kind: RunType, backup: BackupPlaceSettings) -> bool:
    """Whether a backup stores a run's raw data; the run's type overrides the backup."""
    return backup.raw if kind.backup_raw == "default" else kind.backup_raw == "true"


def _manifest(job: Job, cell: CellId, cell_output: Path) -> str:
    """MD5 of the cell's manifest, which must be the one that `.done` names.

    Raises PermanentError.
    """
    done = flags.read_flags(job.pipeline).cell(cell.stem, job.judge).done
    what = f"{job.run_dir.name} {cell}"
    if done is None:
        raise PermanentError(f"{what} is not processed; there is nothing to copy yet")
    manifest = manifest_md5(cell_output)
    recorded = DoneRecord.of(done).manifest_md5
    if not manifest or manifest != recorded:
        state = "not the one" if manifest else "missing,"
        expected = (
            f"that its flag done names ({recorded})" if recorded else "and its flag done names none"
        )
        raise PermanentError(f"{what}: manifest.json is {state} {expected}")
    return manifest


def _backup_run(job: Job) -> Outcome:
    log = RunLog(job.output / "backup.log")
    with attempt_at(job, flags.BACKUP, RunBackupRecord, log=log) as attempt:
        # Computed first: the next pass then detects what changes while files are copied.
        snapshot = job.look()
        attempt.result = RunBackupRecord(run_digest(snapshot))
        kind = type_of(snapshot, job.config.policy())
        failures = _BackupFailures()
        for backup in job.config.backups:
            try:
                with opened(backup) as store:
                    refuse_same_disk(store, job.config)
                    raw = raw_policy(kind, backup)
                    number = mirror_run_files(store, job.run, job.output, job.config, log, raw=raw)
                    files = number_of(number, "file")
                log.line(
                    f"{backup.name}: the run's own files are there and were read back: {files}"
                )
            except HesiodError as error:
                log.line(f"{display(str(error))}")
                failures.note(error)
        if failures.sentences:
            attempt.reason = failures.reason
            raise failures.error(job.run_dir.name)
    logger.info("run files backed up", extra=fields(run=job.run_dir.name))
    return "done"
