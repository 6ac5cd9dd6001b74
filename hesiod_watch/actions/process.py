"""process: turn a complete cell into compressed, checksummed, checked and reported output, and say
so once.

The order, each step only after the one before:

1. record that we are the worker of this claim, then look for a later claim (`flags` explains the
   protocol): whoever took over sees us, or we see them;
2. take what `ingest` has left of the FASTQ, each file in one pass; what is taken is read back
   before it counts;
3. compare every source with the journal: all there, unchanged, once, and reads in = reads out;
4. count the cell's files once more: a cell that the program recorded as complete and that is not
   any more fails here, and only a `.synced` that a person made lets a cell with missing files pass;
5. write checksums, QC, report and manifest;
6. publish all of it by renames, each only if the claim is still ours;
7. make sure that no overtaken attempt can publish any more, and that none has; then make
   `{cell}.done`.

So the time from the last file to `.done` depends on what was left, not on the size of the cell.
Killed anywhere, the next attempt goes on from the journal. What time may mend (a full disk, a file
system that went away) is waited for here, under the claim; what needs a person (missing rights, a
file in the place of a directory) becomes `.failed`.
"""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable

from hesiod_watch.actions import Job, Outcome, command_of
from hesiod_watch.actions.outputs.ingest_dir import (
    begin_ingest,
    end_ingest,
    hand_over,
    open_ingest,
    remove_ingest_dir,
)
from hesiod_watch.actions.outputs.progress import ProgressReporter
from hesiod_watch.actions.outputs.results import (
    CellResults,
    publish_results,
    require_published,
    staging_directory,
    withdraw_others,
)
from hesiod_watch.actions.outputs.sources import find_outputs, missing_cell, sources_unchanged
from hesiod_watch.core.errors import FlagExists, HesiodError, PermanentError, TemporaryError
from hesiod_watch.core.logfields import fields
from hesiod_watch.core.model import CellContents, Completeness, Progress
from hesiod_watch.core.naming import display
from hesiod_watch.fastq.model import Tally
from hesiod_watch.host import process
from hesiod_watch.host.process import iso_now
from hesiod_watch.rules import completeness
from hesiod_watch.rules.liveness import unclear
from hesiod_watch.runs import flags, minknow

logger = logging.getLogger(__name__)

PATIENCE = (1.0, 300.0)
"""Shortest and longest wait in seconds before something temporary is tried again; doubled each
time.

An error may know a longest wait of its own.
"""
ROUND_LOOKS = 0.05
"""Seconds between two looks whether a round of ingest has ended."""


def perform(job: Job) -> Outcome:
    """Process one claimed cell to the end.

    Raises FlagExists when the cell is not ours to process, HesiodError after `.failed` has been
    recorded.
    """
    cell = job.the_cell
    log = job.log()
    log.command(command_of(job))
    flags.record_worker(job.pipeline, cell.stem, job.owner)
    ending: flags.AttemptOutcome = "failed"
    try:
        results = _patiently(job, lambda: _process(job))
        ending = "done"
    except _Superseded as error:
        log.line(f"{cell}: {error}; attempt {job.owner.epoch} stops")
        return "nothing"
    except Exception as error:
        # Also what we did not foresee: it is a bug, and the cell must not be tried for ever.
        _record_failure(job, error)
        raise
    finally:
        _end_round(job, ending)
    log.line(f"{cell}: done: {results.sentence}")
    return "done"


def _end_round(job: Job, ending: flags.AttemptOutcome) -> None:
    """Nobody writes the outputs any more. Where that cannot be said, our death will say it."""
    try:
        end_ingest(job, ending)
    except HesiodError as error:
        logger.info(
            "round not ended", extra=fields(run=job.run_dir.name, cell=job.the_cell, why=error)
        )


class _NotCompleteError(PermanentError):
    """The cell's files do not agree with its final_summary, and no person accepted that."""

    def __init__(self, message: str, found: Completeness) -> None:
        super().__init__(message)
        self.found = found


class _Superseded(HesiodError):
    """The claim is not ours any more, or a person said stop."""


def _process(job: Job) -> CellResults:
    cell = job.the_cell
    if not job.cell_dir.is_dir():
        raise missing_cell(job)
    cell_output = job.output / cell.library / cell.name
    reporter = ProgressReporter(cell_output, job.on_progress)
    with staging_directory(cell_output, job.owner) as place:
        _wait_for_ingest(job, reporter)
        with open_ingest(job, cell_output) as ingest:
            outputs = find_outputs(job)
            total = sum(output.size for output in outputs)

            def working(tally: Tally) -> None:
                reporter.say(
                    Progress(tally.phase, tally.bytes_done, total, tally.reads, tally.bases)
                )

            written = ingest.finish(outputs, on_progress=working)
            if not sources_unchanged(job, outputs):
                raise TemporaryError(
                    f"{job.run_dir.name} {cell}: its files changed while they were being read"
                )
            counted = _count_again(job)
            reporter.say(Progress("reporting", total, total, ingest.reads, ingest.bases))
            written = hand_over(written, place)
            results = CellResults.make(job, written, counted, notes=ingest.notes, directory=place)
            published = publish_results(results.files, cell_output, lambda: _still_ours(job))
            withdraw_others(cell_output, job.owner)
            require_published(results, published, cell_output)
            _still_ours(job)
            flags.create(job.pipeline, flags.done(cell.stem), results.record(job.owner))
    remove_ingest_dir(cell_output, job.owner)
    reporter.end()
    return results


def _count_again(job: Job) -> tuple[CellContents, Completeness]:
    """The cell's files as they are now, with the verdict that its results and its flag will carry.

    Raises _NotCompleteError when files are missing and no person accepted the cell, TemporaryError
    when they or the flag cannot be read just now.
    """
    contents = minknow.read_contents(job.cell_dir)
    verdict = completeness.judge(contents)
    if verdict.proven:
        return contents, verdict
    if not job.cell_dir.is_dir():
        raise missing_cell(job)
    listing = flags.read_flags(job.pipeline)
    stem, subject = job.the_cell.stem, f"{job.run_dir.name} {job.the_cell}"
    if listing.accepted(stem):
        return contents, completeness.accept(verdict)
    if not contents.readable:
        raise TemporaryError(f"{subject}: its files cannot be counted: {contents.problem}")
    if not listing.cell(stem, process.judge_here).synced:
        why = f"the cell is not complete, and no person accepted it: {verdict.why}"
        raise _NotCompleteError(why, verdict)
    record = listing.synced_record(stem)
    if not record:
        raise TemporaryError(f"{subject}: its flag `synced` cannot be read")
    then = f"{display(str(record.get('time', '')))} ({display(str(record.get('why', '')))})"
    why = f"the cell was complete at {then} and is not any more: {verdict.why}"
    raise _NotCompleteError(why, verdict)


def _wait_for_ingest(job: Job, reporter: ProgressReporter) -> None:
    """Be the only writer of the cell's outputs; a round of ingest under way ends after the file it
    is at.

    One whose owner nobody can judge is not waited for: `open_ingest` keeps clear of what it may be
    writing.
    """
    while True:
        try:
            begin_ingest(job)
            return
        except FlagExists as error:
            last = flags.read_flags(job.pipeline).round(
                flags.ingest(job.the_cell.stem), process.judge_here
            )
            if unclear(last):
                job.log().line(
                    f"{job.the_cell}: not waiting for a round of ingest: {last.evidence}"
                )
                return
            reporter.say(Progress("waiting", note=f"for the round of ingest under way ({error})"))
            time.sleep(ROUND_LOOKS)


def _still_ours(job: Job) -> None:
    """Raises _TakenOver when this attempt must not publish: fencing for a worker that was taken for
    dead.
    """
    stem = job.the_cell.stem
    if later := flags.overtaken(job.pipeline, stem, job.owner):
        raise _Superseded(f"attempt {later} has taken this cell over")
    if not flags.holds_worker(job.pipeline, stem, job.owner):
        raise _Superseded("a person has withdrawn this attempt's claim")
    if stopped := flags.stops(job.pipeline, stem):
        raise _Superseded(f"a person has flagged it {stopped}")


def _patiently(job: Job, attempt: Callable[[], CellResults]) -> CellResults:
    """Try until it works or fails for good; what is temporary is said and waited for."""
    delay, longest = PATIENCE
    while True:
        try:
            return attempt()
        except TemporaryError as error:
            if job.pipeline.is_dir():
                _still_ours(job)  # an attempt that was overtaken has nothing to wait for
            wait = min(delay, error.retry_after or longest)
            job.log().line(f"{job.the_cell}: waiting {wait:.0f} s: {error}")
            _say_waiting(job, str(error))
            time.sleep(wait)
            delay = min(delay * 2, longest)
            if job.pipeline.is_dir():
                _still_ours(job)


def _say_waiting(job: Job, why: str) -> None:
    try:
        cell_output = job.output / job.the_cell.library / job.the_cell.name
    except HesiodError:
        return  # the output has gone, and that is what is waited for; the log has it
    ProgressReporter(cell_output, job.on_progress).say(Progress("waiting", note=why))


def _why(error: Exception) -> str:
    """The sentence of `{cell}.failed`."""
    if not isinstance(error, HesiodError):
        return f"a bug in hesiod-watch: {type(error).__name__}: {error}"
    if isinstance(error, PermanentError) and error.errno in (errno.EACCES, errno.EPERM):
        return f"{error}: the user {process.this_user()} has no right to do that (chown or chmod gives it)"
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
    try:
        _still_ours(job)
        flags.create(job.pipeline, flags.failed(cell.stem), record)
    except (HesiodError, OSError) as second:
        # The run has gone, or this attempt does not count any more: the flag is not ours to make.
        job.log().line(f"{cell}: attempt {job.owner.epoch} stops: {why}")
        logger.info(
            "failure not recorded", extra=fields(run=job.run_dir.name, cell=cell, why=second)
        )
    else:
        job.log().line(
            f"{cell}: failed: {why}; when the cause is mended: hesiod-watch retry {job.run_dir.name} {cell}"
        )
