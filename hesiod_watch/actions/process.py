"""process: turn a complete cell into compressed, verified output with checksums and a report.

Each step starts only after the step before it:

1. Record this process as the worker of the claim, then look for a later claim (`flags` explains the
   protocol). Either the later attempt sees us, or we see it.
2. Process the reads that `ingest` has left, each file in one pass. Output is read back before it
   counts. Outputs of aligned BAM are sorted and indexed.
3. Compare every source with the journal: each is there, unchanged, and taken once; reads in = reads
   out.
4. In the same look, count the cell's files once more, and compare their contents with each other:
   two files with the same reads are one file under two names. A cell that the program recorded as
   complete and that is not complete any more fails here. Only a `.synced` made by a person accepts
   such a cell.
5. Compress MinKNOW's sequencing summary. Write checksums, QC, report and manifest.
6. Check that the claim is still ours, and publish all of it by renames. An attempt that is
   overtaken after the check cannot publish (`publication` explains why).
7. Compare the published files with ours. Then make `{cell}.done`, which an attempt that is
   overtaken cannot make either (`flag_files` in `runs.flags`).

So the time from the last file to `.done` depends on the remaining reads, not on the size of the
cell, except for the sequencing summary: it is there only at the end. If the process
is killed, the next attempt continues from the journal.

Temporary problems (a full disk, an absent file system, a damaged file that changed within the last
minute) are waited for here, under the claim (`patience`).
Problems that need a person (missing rights, a file in the place of a directory) become `.failed`.
"""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from hesiod_watch.actions import Job, Outcome, command_of
from hesiod_watch.actions.attempt import attempt_at
from hesiod_watch.actions.outputs.ingest_dir import (
    complete_outputs,
    follow_renamed_library,
    hand_over,
    ingest_files,
    open_ingest,
)
from hesiod_watch.actions.outputs.progress import ProgressReporter
from hesiod_watch.actions.outputs.publication import (
    publish_results,
    remove_leftovers,
    require_published,
    staging_directory,
    withdraw_others,
)
from hesiod_watch.actions.outputs.results import ONT_REPORTS, CellResults
from hesiod_watch.actions.outputs.sources import (
    contents_if_unchanged,
    equal_sources,
    find_outputs,
    missing_cell,
    recent_damage_waits,
)
from hesiod_watch.actions.outputs.summary_copies import (
    copy_summaries,
    is_summary_copy,
    require_unchanged,
)
from hesiod_watch.actions.outputs.unfinished import (
    damaged_names,
    disappeared,
    publish_unfinished,
    remember_lost,
    removed_sources,
    unfinished_files,
)
from hesiod_watch.actions.patience import Patience
from hesiod_watch.core.cell_contents import CellContents, Completeness, NamedFiles
from hesiod_watch.core.errors import (
    BadSource,
    FlagExists,
    HesiodError,
    PermanentError,
    TemporaryError,
)
from hesiod_watch.core.logfields import fields
from hesiod_watch.core.naming import display, is_output_file_name
from hesiod_watch.core.ownership import Progress, Wait
from hesiod_watch.core.results import DamageRecord, WorkRecord
from hesiod_watch.core.system_errors import translated
from hesiod_watch.core.text import quoted
from hesiod_watch.fastq.model import Output, Tally
from hesiod_watch.host import process
from hesiod_watch.host.files import sync_directory
from hesiod_watch.host.process import iso_now
from hesiod_watch.report.multiqc import is_multiqc_file
from hesiod_watch.rules import completeness
from hesiod_watch.rules.liveness import unclear
from hesiod_watch.runs import flags
from hesiod_watch.runs.cell_directories import directories_text
from hesiod_watch.runs.identities import find_second_copy
from hesiod_watch.runs.observe import PROGRESS_FILE

logger = logging.getLogger(__name__)

INGEST_CHECK_INTERVAL = 0.05
"""Seconds between two checks whether an ingest attempt of this host has ended."""
DISTANT_CHECK_INTERVAL = 1.0
"""Seconds between two checks of an ingest attempt that this host cannot judge."""
LONGEST_SILENCE = 600.0
"""Seconds without a change after which such an attempt is not waited for any more."""


def perform(job: Job) -> Outcome:
    """Process one claimed cell to the end.

    Raises FlagExists if the cell is not ours to process, HesiodError after `.failed` has been
    recorded.
    """
    cell = job.the_cell
    log = job.log()
    log.command(command_of(job))
    flags.record_worker(job.pipeline, cell.stem, job.owner)
    patience = Patience(job, lambda: _still_ours(job))
    try:
        with ExitStack() as only_writer:
            patience.retry(lambda: _wait_for_ingest(job, only_writer))
            results = patience.retry(lambda: _process(job))
    except _Superseded as error:
        log.line(f"{cell}: {error}; attempt {job.owner.epoch} stops")
        return "nothing"
    except Exception as error:
        # Includes unforeseen errors: these are bugs, and the cell must not be retried for ever.
        _record_failure(job, error)
        raise
    finally:
        remove_leftovers(job)
    log.line(f"{cell}: done: {results.sentence}")
    return "done"


class _NotCompleteError(PermanentError):
    """The cell's files do not agree with its final_summary, and no person accepted that."""

    def __init__(self, message: str, found: Completeness) -> None:
        super().__init__(message)
        self.found = found


class _Superseded(HesiodError):
    """The claim is no longer ours, or a person has requested a stop."""


def _process(job: Job) -> CellResults:
    cell = job.the_cell
    if not job.cell_dir.is_in_place():
        raise missing_cell(job)
    cell_output = job.cell_output
    reporter = ProgressReporter(cell_output, job.on_progress)
    with (
        staging_directory(cell_output, job.owner, job.judge) as place,
        open_ingest(job, cell_output) as ingest,
    ):
        outputs, found = find_outputs(job)
        _require_only_copy(job, outputs, found)
        total = sum(output.size for output in outputs)

        def working(tally: Tally) -> None:
            reporter.say(Progress(tally.phase, tally.bytes_done, total, tally.reads, tally.bases))

        remember_lost(cell_output, disappeared(ingest, outputs))
        try:
            with recent_damage_waits(job):
                written = ingest.finish(outputs, on_progress=working)
        except BadSource as error:
            damaged = damaged_names(job, error)
            _still_ours(job)
            remember_lost(cell_output, damaged)
            counted = found, _judge_failed(job, found)
            files, _ = unfinished_files(
                job, cell_output, ingest, counted, state="failed", damaged=damaged
            )
            publish_unfinished(files, place, cell_output, lambda: _still_ours(job))
            raise
        written = complete_outputs(
            job,
            written,
            place,
            lambda one: reporter.say(Progress("sorting", total, total, one.reads, one.bases)),
        )
        reporter.say(Progress("reporting", total, total, ingest.reads, ingest.bases))
        summaries = copy_summaries(job, place, found)
        # Listed first: data that come during the count are among those that came later.
        directories = directories_text(job.cell_dir)
        contents = contents_if_unchanged(job, outputs)
        if contents is None:
            raise TemporaryError(
                f"{job.run_dir.name} {cell}: its files changed while they were being read"
            )
        require_unchanged(job, summaries)
        counted = contents, _judge(job, contents, equal_sources(written))
        written = hand_over(written, ingest.directory, place)
        present = {source.name for output in outputs for source in output.sources}
        removed = removed_sources(cell_output, present)
        results = CellResults.make(
            job,
            written,
            counted,
            notes=ingest.notes,
            removed=removed,
            summaries=summaries,
            place=place,
            directories=directories,
        )
        _still_ours(job)
        published = publish_results(results.files, cell_output, partial(_is_result, job))
        withdraw_others(cell_output, job.owner, job.judge)
        require_published(results, published, cell_output)
        record = results.record(job.owner).record()
        # The process that made `pipeline/` may have died before the name was on disk.
        with translated(f"cannot bring {display(str(job.pipeline))} to disk"):
            sync_directory(job.run.descriptor)
        flags.create(job.pipeline, flags.done(cell.stem), record, fence=lambda: _may_end(job))
    reporter.end()
    return results


def _is_result(job: Job, name: str) -> bool:
    ours = is_multiqc_file(name) or name in ONT_REPORTS or is_summary_copy(name)
    return ours or is_output_file_name(name, job.run_dir.name, job.the_cell)


def _judge(job: Job, contents: CellContents, equal: NamedFiles) -> Completeness:
    """Judge the last count; the verdict is for the cell's results and its flag.

    `equal`: files that have the same reads as another one. Raises _NotCompleteError if files are
    missing or equal and no person accepted the cell, TemporaryError if the files or the flag cannot
    be read now.
    """
    verdict = completeness.with_equal_files(completeness.judge(contents), equal)
    if verdict.proven:
        return verdict
    if not job.cell_dir.is_in_place():
        raise missing_cell(job)
    listing = flags.read_flags(job.pipeline)
    stem, subject = job.the_cell.stem, f"{job.run_dir.name} {job.the_cell}"
    if listing.accepted(stem):
        return completeness.accept(verdict)
    if not contents.readable:
        raise TemporaryError(f"{subject}: its files cannot be counted: {contents.problem}")
    if not listing.cell(stem, job.judge).synced:
        why = f"the cell is not complete, and no person accepted it: {verdict.why}"
        raise _NotCompleteError(why, verdict)
    if equal.count:
        why = f"the cell's files are not those that MinKNOW wrote: {verdict.why}"
        raise _NotCompleteError(why, verdict)
    record = listing.synced_record(stem)
    if not record:
        raise TemporaryError(f"{subject}: its flag `synced` cannot be read")
    then = f"{display(str(record.get('time', '')))} ({display(str(record.get('reason', '')))})"
    why = f"the cell was complete at {then} and is not any more: {verdict.why}"
    raise _NotCompleteError(why, verdict)


def _require_only_copy(job: Job, outputs: Sequence[Output], contents: CellContents) -> None:
    """Refuse a second copy of a cell, unless a person accepted it. Raises PermanentError."""
    cell = job.the_cell
    files = {(source.name, source.size) for output in outputs for source in output.sources}
    try:
        why = find_second_copy(
            job.config.output, job.config.landing, job.run_dir, cell, contents.summaries, files
        )
    except OSError as error:
        job.log().line(f"{cell}: not compared with the cells of other runs: {error}")
        return
    if not why:
        return
    listing = flags.read_flags(job.pipeline)
    if not (listing.accepted(cell.stem) or listing.has(flags.wanted(cell.stem))):
        wanted = quoted(str(job.pipeline / flags.wanted(cell.stem)))
        raise PermanentError(
            f"it is a second copy of a cell: {why}; it is not processed twice. Remove one of them, "
            "or abort the other one, then retry. "
            f"To have both: hesiod-touch-atomic {wanted}, then retry"
        )


def _judge_failed(job: Job, contents: CellContents) -> Completeness:
    """Verdict on the contents of a cell that fails for another reason."""
    verdict = completeness.judge(contents)
    accepted = flags.read_flags(job.pipeline).accepted(job.the_cell.stem)
    return verdict if verdict.proven or not accepted else completeness.accept(verdict)


def _wait_for_ingest(job: Job, only_writer: ExitStack) -> None:
    """Become the only writer of the cell's outputs until `only_writer` ends.

    An ingest attempt under way ends after its present file. If this host cannot judge whether its
    owner lives, it is waited for while its files change. After that, `open_ingest` avoids the files
    that it may be writing.
    """
    cell, work = job.the_cell, flags.ingest(job.the_cell.stem)
    if not job.cell_dir.is_in_place():
        raise missing_cell(job)
    cell_output = job.cell_output
    follow_renamed_library(job, cell_output)
    reporter = ProgressReporter(cell_output, job.on_progress)
    silence: _Silence | None = None
    while True:
        try:
            only_writer.enter_context(attempt_at(job, work, WorkRecord, must_end=False))
            return
        except FlagExists as error:
            last = flags.read_flags(job.pipeline).attempt(work, job.judge)
            _still_ours(job)  # an overtaken attempt need not wait
            reporter.say(Progress(Wait.FOR_INGEST, note=str(error)))
            if not unclear(last):
                time.sleep(INGEST_CHECK_INTERVAL)
                continue
            silence = silence or _Silence(job, cell_output)
            if silence.seconds() >= LONGEST_SILENCE:
                job.log().line(
                    f"{cell}: not waiting any longer for an attempt to ingest, whose files have not"
                    f" changed for {LONGEST_SILENCE / 60:.0f} min: {last.evidence}"
                )
                return
            time.sleep(DISTANT_CHECK_INTERVAL)


class _Silence:
    """Time since the last change by an ingest attempt that this host cannot judge.

    Changes are found by comparing times of files with each other, never with the clock of this
    host. The first age is that of the newest file compared with a file that this process has just
    made in the same place. So a host that went down long ago causes no wait.
    """

    def __init__(self, job: Job, cell_output: Path) -> None:
        stem = job.the_cell.stem
        self._pipeline = job.pipeline
        self._flag = f"{flags.ingest(stem)}.started"
        self._cell_output = cell_output
        self._seen = self._look()
        ours = _flag_mtime(job.pipeline, flags.worker(stem, job.owner.epoch))
        ages = [ours - _flag_mtime(job.pipeline, self._flag)]
        if written := ingest_files(cell_output):
            newest = max(mtime for _, mtime in written.values()) / 1e9
            ages.append(_mtime(cell_output / PROGRESS_FILE) - newest)
        self._since = time.monotonic() - max(0.0, min(ages))

    def _look(self) -> tuple[float, dict[str, tuple[int, int]]]:
        return _flag_mtime(self._pipeline, self._flag), ingest_files(self._cell_output)

    def seconds(self) -> float:
        """Look again; return the seconds since the last change."""
        found = self._look()
        if found != self._seen:
            self._seen, self._since = found, time.monotonic()
        return time.monotonic() - self._since


def _mtime(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except OSError:
        return 0.0


def _flag_mtime(pipeline: flags.Pipeline, name: str) -> float:
    try:
        return pipeline.status(name).st_mtime
    except OSError:
        return 0.0


def _still_ours(job: Job) -> None:
    """Fencing for a worker that was taken for dead: check that it may still publish.

    Raises _Superseded if it must not.
    """
    if why := flags.reason_to_stop(job.pipeline, job.the_cell.stem, job.owner):
        raise _Superseded(why)


def _may_end(job: Job) -> None:
    """Check that `.done` may be made: the claim is ours, and the cell is in its place.

    Raises _Superseded, TemporaryError.
    """
    _still_ours(job)
    if not job.cell_dir.is_in_place():
        raise missing_cell(job)


def _why(error: Exception) -> str:
    """Reason for `{cell}.failed`, as a sentence."""
    if not isinstance(error, HesiodError):
        return f"a bug in hesiod-watch: {type(error).__name__}: {error}"
    if isinstance(error, PermanentError) and error.errno in (errno.EACCES, errno.EPERM):
        user = process.this_user()
        return f"{error}: the user {user} has no right to do that (chown or chmod gives it)"
    return str(error)


def _record_failure(job: Job, error: Exception) -> None:
    cell = job.the_cell
    why = _why(error)
    record: dict[str, object] = {
        "reason": why,
        "cell": str(cell),
        "epoch": job.owner.epoch,
        "host": job.owner.host,
        "version": job.owner.version,
        "time": iso_now(),
    }
    if isinstance(error, _NotCompleteError):
        record["completeness"] = error.found.record()
    if isinstance(error, BadSource):
        record |= DamageRecord.about(damaged_names(job, error)).record()
    try:
        flags.create(job.pipeline, flags.failed(cell.stem), record, fence=lambda: _still_ours(job))
    except (HesiodError, OSError) as second:
        # The run is missing, or this attempt is superseded: the flag is not ours to make.
        job.log().line(f"{cell}: attempt {job.owner.epoch} stops: {why}")
        logger.info(
            "failure not recorded", extra=fields(run=job.run_dir.name, cell=cell, why=second)
        )
    else:
        job.log().line(
            f"{cell}: failed: {why}; after fixing the cause: "
            f"hesiod-watch retry {quoted(job.run_dir.name)} {quoted(str(cell))}"
        )
