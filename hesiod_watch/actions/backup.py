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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from hesiod_watch.actions import Job, Outcome, command_of
from hesiod_watch.actions.copies.mirror import DirectoryMirror, mirror_run_files
from hesiod_watch.actions.outputs.ingest_dir import hold_ingest_dir
from hesiod_watch.actions.outputs.progress import ProgressReporter
from hesiod_watch.config import BackupPlaceSettings
from hesiod_watch.core.errors import HesiodError, PermanentError, TemporaryError
from hesiod_watch.core.file_entry import Entries
from hesiod_watch.core.logfields import fields
from hesiod_watch.core.minknow_checksums import KEY
from hesiod_watch.core.model import CellId, Progress, RunType
from hesiod_watch.core.naming import display
from hesiod_watch.core.text import number_of
from hesiod_watch.core.times import rested
from hesiod_watch.host import process
from hesiod_watch.host.locks import alone_on_this_host
from hesiod_watch.host.process import iso_now
from hesiod_watch.host.runlog import RunLog
from hesiod_watch.remote.backup.init import refuse_same_disk
from hesiod_watch.remote.backup.manifests import (
    RAW_MANIFEST,
    manifest_md5,
    read_raw,
    read_raw_data,
    result_facts,
    sources_of,
    write_raw,
)
from hesiod_watch.remote.backup.store import opened
from hesiod_watch.rules.backup_schedule import run_digest
from hesiod_watch.rules.checksum_findings import carried_finding, finding_in
from hesiod_watch.rules.copies import (
    CopyRecord,
    copies_in,
    digest,
    raw_place,
    raw_wanted,
    results_place,
)
from hesiod_watch.rules.run_types import type_of
from hesiod_watch.runs import flags
from hesiod_watch.runs.observe import COPIES_FILE, observe

logger = logging.getLogger(__name__)

CARRIED = ("manifest", "copies", "reason", KEY)
"""Record keys that an attempt takes over from the attempt before it.

They are written at the beginning, so that nothing is lost if the attempt is killed.
"""
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

    def record(self) -> dict[str, object]:
        return {"reason": "; ".join(self.sentences[:SHOWN])[:4000]} if self.sentences else {}

    def error(self, what: str) -> HesiodError:
        message = f"{what}: {'; '.join(self.sentences)}"
        return TemporaryError(message) if self.temporary else PermanentError(message)


def _backup_cell(job: Job, cell: CellId) -> Outcome:
    work = flags.backup(cell.stem)
    former = flags.read_flags(job.pipeline).attempt(work, process.judge_here)
    carried: Mapping[str, object] = former.record if former else {}
    taken_over: dict[str, object] = {key: carried[key] for key in CARRIED if key in carried}
    flags.begin_attempt(job.pipeline, work, job.owner, lock=hold_ingest_dir(job), record=taken_over)
    log = RunLog(job.output / "backup.log")
    log.command(command_of(job))
    record = {key: value for key, value in taken_over.items() if key != "reason"}
    outcome: flags.AttemptOutcome = "failed"
    try:
        copying = _CellBackup(job, cell, log, carried)
        copies, failures = copying.make()
        record = {
            "manifest": copies.manifest,
            "copies": [copy.record() for copy in copies.made],
            **failures.record(),
        }
        record |= copying.finding
        if failures.sentences:
            raise failures.error(f"{job.run_dir.name} {cell}")
        outcome = "done"
    except HesiodError as error:
        record.setdefault("reason", str(error)[:4000])
        log.line(f"{cell}: not backed up: {error}")
        raise
    finally:
        if outcome == "failed":
            record.setdefault("reason", "it ended early")
        flags.end_attempt(
            job.pipeline,
            work,
            job.owner,
            outcome,
            {**record, "cell": str(cell), "ended": iso_now()},
        )
    wrong = finding_in(copying.finding).said
    log.line(
        f"{cell}: backed up and read back: {', '.join(copy.backup for copy in copies.made)}"
        + (f"; it was copied as it is: {wrong}" if wrong else "")
    )
    return "done"


@dataclass
class _Copies:
    """Verified copies made by an attempt, and the MD5 of the manifest that they are copies of."""

    manifest: str
    made: list[CopyRecord] = field(default_factory=list)


class _CellBackup:
    """One attempt to back up one cell."""

    def __init__(self, job: Job, cell: CellId, log: RunLog, carried: Mapping[str, object]) -> None:
        self.job = job
        self.cell = cell
        self.log = log
        self.carried = carried
        self.finding = carried_finding(carried)  # result of MinKNOW's checksums, for the flag
        self.kind = type_of(observe(job.run_dir, job.config.output), job.config.policy())
        self.cell_output = job.output / cell.library / cell.name
        self.manifest = _manifest(job, cell, self.cell_output)
        self.reporter = ProgressReporter(self.cell_output, job.on_progress, COPIES_FILE)

    def make(self) -> tuple[_Copies, _BackupFailures]:
        """Copy the cell to every backup.

        Raises HesiodError if there is nothing to copy to any of them.
        """
        manifest = self.manifest
        copies, failures = _Copies(manifest), _BackupFailures()
        try:
            raw = self._raw()
            results, sources = result_facts(self.cell_output), sources_of(self.cell_output)
            for backup in self.job.config.backups:
                wanted = raw_wanted(
                    raw, sources, wanted=raw_policy(self.kind, backup), fastq=backup.fastq
                )
                made = self._still_good(backup, manifest, digest(raw), bool(wanted))
                try:
                    copies.made.append(made or self._copy(backup, manifest, results, raw, wanted))
                except HesiodError as error:
                    self.log.line(f"{self.cell}: {error}")
                    failures.note(error)
            if manifest_md5(self.cell_output) != manifest:
                raise TemporaryError(
                    f"{self.job.run_dir.name} {self.cell}: processed again during the backup"
                )
        finally:
            self.reporter.end()
        return copies, failures

    def _still_good(
        self, backup: BackupPlaceSettings, manifest: str, raw_digest: str, raw: bool
    ) -> CopyRecord | None:
        """Copy that a failed attempt verified, if it is recent and nothing has changed since.

        An attempt that a person requests starts afresh, and so does an attempt after one that was
        `done`.
        """
        if (
            self.carried.get("manifest") != manifest
            or "reason" not in self.carried
            or self.job.owner.epoch == 1
        ):
            return None
        now, fresh = datetime.now(UTC), timedelta(seconds=self.job.config.backup.fresh)
        for copy in copies_in(self.carried):
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
        former = read_raw(self.cell_output)
        if flags.read_flags(self.job.pipeline).stripped(self.cell.stem):
            return former.files  # only a part is in landing; the removed files are on the backups
        if (
            not any(raw_policy(self.kind, backup) for backup in self.job.config.backups)
            or not self.job.cell_dir.is_dir()
        ):
            return former.files
        raw = read_raw_data(
            self.job.config.landing,
            self.job.run_dir,
            self.cell,
            former,
            on_problem=lambda sentence: self.log.line(f"{self.cell}: {sentence}"),
            on_progress=lambda done, total: self.reporter.say(
                Progress("reading raw data", done, total)
            ),
            stop=self._stopped,
        )
        self.finding = raw.checksums.finding(iso_now()) or self.finding
        self._refuse_other_content(former.files, raw.files)
        if raw != former:
            write_raw(self.cell_output, raw)
        return raw.files

    def _refuse_other_content(self, former: Entries, now: Entries) -> None:
        """Refuse raw data that changed although the cell was not processed again.

        Raw data of a finished cell do not change. If they did, the disk may be failing, and the
        present content must become neither the record nor the copy. A cell that was processed again
        since then may have been repaired: its changes are accepted. Raises PermanentError.
        """
        if self.carried.get("manifest") not in (None, self.manifest):
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
        run, job = self.job.run_dir.name, self.job
        with opened(backup, stop=self._stopped) as store:
            refuse_same_disk(
                store,
                job.config,
                *(place for place in (self.cell_output, job.cell_dir) if place.is_dir()),
            )
            store.nice = job.config.processing.nice
            output, landing = job.config.output, job.config.landing
            parts = [
                DirectoryMirror(
                    store,
                    self.cell_output,
                    output,
                    results_place(run, self.cell),
                    results,
                    self.log,
                )
            ]
            if wanted:
                parts.append(
                    DirectoryMirror(
                        store, job.cell_dir, landing, raw_place(run, self.cell), wanted, self.log
                    )
                )
            superseded = sum(
                part.copy_missing(say)
                for part, say in self._parts_with_progress(f"copying to {backup.name}", parts)
            )
            if superseded:
                entries = number_of(superseded, "entry", "entries")
                self.log.line(
                    f"{self.cell}: {backup.name}: {entries} moved to {store.superseded(run)}"
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
    done = flags.read_flags(job.pipeline).cell(cell.stem, process.judge_here).done
    what = f"{job.run_dir.name} {cell}"
    if done is None:
        raise PermanentError(f"{what} is not processed; there is nothing to copy yet")
    manifest = manifest_md5(cell_output)
    recorded = done.record.get("manifest_md5")
    if not manifest or manifest != recorded:
        state = "not the one" if manifest else "missing,"
        expected = (
            f"that its flag done names ({recorded})" if recorded else "and its flag done names none"
        )
        raise PermanentError(f"{what}: manifest.json is {state} {expected}")
    return manifest


def _backup_run(job: Job) -> Outcome:
    former = flags.read_flags(job.pipeline).attempt(flags.BACKUP, process.judge_here)
    carried = {"covers": former.record["covers"]} if former and "covers" in former.record else {}
    at_once = partial(alone_on_this_host, job.config.landing, job.run_dir.name)
    flags.begin_attempt(job.pipeline, flags.BACKUP, job.owner, lock=at_once, record=carried)
    log = RunLog(job.output / "backup.log")
    log.command(command_of(job))
    failures = _BackupFailures()
    # Computed first: the next pass then detects what changes while files are copied.
    record: dict[str, object] = {"covers": run_digest(observe(job.run_dir, job.config.output))}
    outcome: flags.AttemptOutcome = "failed"
    try:
        for backup in job.config.backups:
            try:
                with opened(backup) as store:
                    refuse_same_disk(store, job.config)
                    files = number_of(
                        mirror_run_files(store, job.run_dir, job.output, job.config, log), "file"
                    )
                log.line(
                    f"{backup.name}: the run's own files are there and were read back: {files}"
                )
            except HesiodError as error:
                log.line(f"{display(str(error))}")
                failures.note(error)
        record |= failures.record()
        if failures.sentences:
            raise failures.error(job.run_dir.name)
        outcome = "done"
    finally:
        if outcome == "failed":
            record.setdefault("reason", "it ended early")
        logger.info("run files backed up", extra=fields(run=job.run_dir.name, outcome=outcome))
        flags.end_attempt(
            job.pipeline, flags.BACKUP, job.owner, outcome, {**record, "ended": iso_now()}
        )
    return "done"
