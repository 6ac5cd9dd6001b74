"""sync: copy missing cells from the upstream, and record those that are verified complete.

Cells are copied one after the other. A cell that fails, or that changes while it is copied, does
not stop the next one.

A cell is recorded as synced only if it was compared with the upstream byte by byte and its counts
agree with its final_summary. Of a cell that is still being written, the settled files are copied,
so that ingest can follow. The action is safe to repeat: files that are already here are not sent
again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

from hesiod_watch.actions import Job, Outcome
from hesiod_watch.actions.attempt import attempt_at
from hesiod_watch.actions.compare_checksums import require_agreement
from hesiod_watch.actions.outputs.progress import ProgressReporter
from hesiod_watch.config import UpstreamSettings
from hesiod_watch.core.action_kinds import CHECKSUMS
from hesiod_watch.core.errors import FlagExists, HesiodError, PermanentError, TemporaryError
from hesiod_watch.core.logfields import fields
from hesiod_watch.core.model import CellId
from hesiod_watch.core.ownership import Progress
from hesiod_watch.core.results import WorkRecord
from hesiod_watch.core.system_errors import translated
from hesiod_watch.remote.backup.manifests import (
    RawManifest,
    damaged_ends,
    publish_raw,
    withdraw_raw,
)
from hesiod_watch.remote.sequencer.copy_cell import CopyResult, copy_cell
from hesiod_watch.remote.sequencer.copy_run_files import copy_run_files
from hesiod_watch.remote.sequencer.listing import UpstreamRun, list_upstream
from hesiod_watch.rules import completeness
from hesiod_watch.rules.plan import comparison_due
from hesiod_watch.runs import flags, minknow
from hesiod_watch.runs.identities import find_listed_copy
from hesiod_watch.runs.observe import COPYING_FILE

logger = logging.getLogger(__name__)


def perform(job: Job) -> Outcome:
    """Copy the run's missing cells.

    Raises FlagExists while a sync is under way, TemporaryError or PermanentError if some cell was
    not copied.
    """
    location = flags.read_upstream(job.pipeline) or ""
    upstream = upstream_of(job, location)
    with attempt_at(job, flags.SYNC, WorkRecord, log=job.log()) as attempt:
        _sync(job, upstream, location, attempt.require_current)
    return "done"


def upstream_of(job: Job, location: str) -> UpstreamSettings:
    """Configured upstream that contains a location.

    Raises PermanentError if there is none.
    """
    upstream = job.config.upstream_of(location)
    if upstream is None:
        raise PermanentError(
            f"{job.run_dir.name}: no upstream of the configuration contains {location!r}"
        )
    return upstream


def _sync(job: Job, upstream: UpstreamSettings, location: str, fence: Callable[[], None]) -> None:
    listing = list_upstream(upstream)
    run = next((run for run in listing.runs if run.location == location), None)
    if run is None:
        raise TemporaryError(
            listing.problem or f"{job.run_dir.name}: {location} is not there any more"
        )
    failures = []
    temporary = True
    for cell in _wanted(job, run):
        aborted = flags.aborted(cell.stem)
        if job.stop_flag(cell) not in ("", aborted):
            raise TemporaryError(f"{job.run_dir.name}: stopped by a flag")
        if why := _second_copy(job, cell):
            job.log().line(f"{cell}: not copied: a second copy of a cell: {why}")
            with suppress(FlagExists):
                flags.create(job.pipeline, flags.second_copy(cell.stem), job.record(cell, why))
            continue
        copied = _copy(job, upstream, location, cell)
        if copied.outcome != "done" and job.stop_flag(cell) == aborted:
            continue  # a person wanted this
        if copied.outcome != "done":
            failures.append(f"{cell}: {copied.why}")
            temporary = temporary and copied.outcome == "again"
        elif copied.verified:
            _record(job, cell, copied, fence)
    _copy_run_files(job, upstream, run)
    if failures:
        message = f"{job.run_dir.name}: {'; '.join(failures)}"
        raise TemporaryError(message) if temporary else PermanentError(message)


def _copy_run_files(job: Job, upstream: UpstreamSettings, run: UpstreamRun) -> None:
    """Copy what belongs to no cell; no cell waits for it, so errors are only logged."""
    any_cell = run.cells[0]
    try:
        problems = copy_run_files(
            upstream,
            run.location,
            run.cells,
            job.run,
            landing=job.config.landing,
            log=job.output / "sync.log",
            stop=lambda: job.stop_flag(any_cell) not in ("", flags.aborted(any_cell.stem)),
            nice=job.config.processing.nice,
        )
    except (TemporaryError, PermanentError, OSError) as error:
        problems = [str(error)]
    for problem in problems:
        job.log().line(f"files of the run: {problem}")


def _wanted(job: Job, run: UpstreamRun) -> list[CellId]:
    """Cells whose flags allow copying, finished upstream or not."""
    listing = flags.read_flags(job.pipeline)
    wanted = []
    for cell in run.cells:
        recorded = listing.cell(cell.stem, job.judge)
        if listing.stripped(cell.stem):
            continue  # it was here, and was deleted on purpose
        if not (
            recorded.done
            or recorded.synced
            or recorded.aborted
            or recorded.failed
            or recorded.claims
        ):
            wanted.append(cell)
    return wanted


def _second_copy(job: Job, cell: CellId) -> str:
    """Which cell this one is a second copy of; "" if it is the only one, or a person wants it."""
    if flags.read_flags(job.pipeline).has(flags.wanted(cell.stem)):
        return ""
    try:
        return find_listed_copy(job.config.output, job.run_dir, cell, register=True)
    except OSError as error:
        job.log().line(f"{cell}: not compared with the cells of other runs: {error}")
        return ""


def _copy(job: Job, upstream: UpstreamSettings, location: str, cell: CellId) -> CopyResult:
    cell_output = job.output / cell.library / cell.name
    with translated(cell_output, own_output=True):
        cell_output.mkdir(parents=True, exist_ok=True)
    withdraw_raw(cell_output)
    reporter = ProgressReporter(cell_output, job.on_progress, COPYING_FILE)

    def copying(done: int, total: int) -> None:
        reporter.say(Progress("copying", done, total))

    try:
        return copy_cell(
            upstream,
            location,
            cell,
            job.run,
            landing=job.config.landing,
            log=job.output / "sync.log",
            on_progress=copying,
            stop=lambda: bool(job.stop_flag(cell)),
            nice=job.config.processing.nice,
        )
    finally:
        reporter.end()


def _record(job: Job, cell: CellId, copied: CopyResult, fence: Callable[[], None]) -> None:
    """Record a cell as complete if its counts say so too; otherwise log the counts and wait."""
    verdict = completeness.judge(minknow.read_contents(job.run.open_cell(cell)))
    if not verdict.proven:
        job.log().line(f"{cell}: the same as upstream, but not complete: {verdict.why}")
        return
    if verdict.output_hashes and job.config.processing.checksums == "require":
        last = flags.read_flags(job.pipeline).attempt(flags.checksums(cell.stem), job.judge)
        if comparison_due(last, datetime.now(UTC)) > datetime.now(UTC):
            return
        try:
            require_agreement(replace(job, action=CHECKSUMS.name, cell=cell))
        except (FlagExists, PermanentError) as error:
            job.log().line(f"{cell}: the same as upstream, but not complete: {error}")
            return
    # Both sides have just been read in full, so the manifest needs no further reading. The
    # verification that makes the manifest later reports damaged files.
    files = {name: file for name, file in copied.files.items() if file.kind == "f"}
    if not damaged_ends(job.run, cell, files):
        raw = RawManifest(str(cell), copied.files)
        publish_raw(job.output / cell.library / cell.name, raw, fence)
    try:
        record = job.record(cell, verdict.why) | completeness.unverified_record(verdict)
        flags.create(job.pipeline, flags.synced(cell.stem), record)
    except FlagExists:
        return  # a person made the flag first
    except HesiodError as error:
        logger.warning("not recorded", extra=fields(run=job.run_dir.name, cell=cell, why=error))
        raise
    job.log().line(f"{cell}: copied and compared: {verdict.why}")
