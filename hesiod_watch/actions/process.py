"""process: turn a complete cell into compressed, checksummed, checked and reported output, and say so once.

The order, each step only after the one before:

1. record that we are the worker of this claim, then look for a later claim (`flags` explains the protocol):
   whoever took over sees us, or we see them;
2. write every output in one pass over its sources, in a private directory of this attempt;
3. read the outputs back: reads in = reads out, and the sources are still what was read;
4. write checksums, QC, report and manifest beside them;
5. publish all of it by renames, and only then, if the claim is still ours, make `{cell}.done`.

Killed anywhere, the next attempt starts again at 2 with a directory of its own. What time may mend (a full
disk, a file system that went away) is waited for here, under the claim; what needs a person becomes `.failed`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime

from hesiod_watch import flags, minknow, naming
from hesiod_watch.actions import Job, Outcome, command_of
from hesiod_watch.actions.results import Results, publish
from hesiod_watch.actions.workplace import Workplace
from hesiod_watch.errors import HesiodError, PermanentError, TemporaryError
from hesiod_watch.fastq.model import Output, Settings, Source, Tally, Written
from hesiod_watch.fastq.verify import verify
from hesiod_watch.fastq.write import write_outputs
from hesiod_watch.fields import fields
from hesiod_watch.model import DataKind, Progress

logger = logging.getLogger(__name__)

PATIENCE = (1.0, 300.0)
"""Shortest and longest wait in seconds before something temporary is tried again; doubled each time."""


def perform(job: Job) -> Outcome:
    """Process one claimed cell to the end.

    Raises FlagExists when the cell is not ours to process, HesiodError after `.failed` has been recorded.
    """
    cell = job.the_cell
    log = job.log()
    log.command(command_of(job))
    flags.record_worker(job.pipeline, cell.stem, job.owner)
    try:
        results = _patiently(job, lambda: _process(job))
    except _TakenOver as error:
        log.line(f"{cell}: {error}; attempt {job.owner.epoch} stops")
        return "nothing"
    except Exception as error:
        # Also what we did not foresee: it is a bug, and the cell must not be tried for ever.
        _record_failure(job, error)
        raise
    log.line(f"{cell}: done: {results.sentence}")
    return "done"


class _TakenOver(HesiodError):
    """The claim is not ours any more, or a person said stop."""


def _process(job: Job) -> Results:
    cell = job.the_cell
    if not job.cell_dir.is_dir():
        raise missing(job)
    cell_output = job.output / cell.library / cell.name
    with Workplace(cell_output, job.owner, job.on_progress) as workplace:
        outputs = find_outputs(job)
        total = sum(source.size for output in outputs for source in output.sources)
        processing = job.config.processing
        settings = Settings(
            level=processing.compression, recompress=processing.recompress, processes=processing.processes
        )

        def compressing(tally: Tally) -> None:
            workplace.report(Progress("compressing", tally.bytes_done, total, tally.reads, tally.bases))

        written = write_outputs(outputs, workplace.directory, settings, on_progress=compressing)
        _check(written, workplace)
        if find_outputs(job) != outputs:
            raise TemporaryError(f"{job.run_dir.name} {cell}: its files changed while they were being read")
        workplace.report(Progress("reporting", total, total))
        results = Results.make(job, written, workplace.directory)
        _still_ours(job)
        publish(workplace.directory, cell_output, results.names)
        _still_ours(job)
        flags.create(job.pipeline, flags.done(cell.stem), results.record(job.owner))
    return results


def find_outputs(job: Job) -> list[Output]:
    """What is to be written for a cell, and from which files: one output per barcode and pass, fail or skip.

    Sources are in natural order of their names, so that the output of a cell is the same whoever makes it.
    Raises PermanentError when a name cannot be used, TemporaryError when the cell cannot be read just now.
    """
    cell = job.the_cell
    groups: dict[tuple[str, str], list[Source]] = {}
    try:
        for file in minknow.data_files(job.cell_dir, (DataKind.FASTQ,)):
            found = file.path.lstat()
            source = Source(file.path, file.name, found.st_size, found.st_mtime_ns)
            groups.setdefault((file.barcode or "", file.part), []).append(source)
    except OSError as error:
        if not job.cell_dir.is_dir():
            raise missing(job) from error
        raise TemporaryError(f"{error.filename}: {error.strerror}") from error
    outputs = []
    for (barcode, part), sources in sorted(groups.items()):
        name = naming.output_file_name(job.run_dir.name, cell, barcode or None, part)
        sources.sort(key=lambda source: naming.natural_key(source.name))
        outputs.append(Output(name, barcode or None, part, tuple(sources)))
    return outputs


def missing(job: Job) -> HesiodError:
    """What it means that a cell's directory is not there: a file system that went away, or a cell that did."""
    landing = job.config.landing
    if not landing.is_dir() or not any(landing.iterdir()):
        return TemporaryError(f"the landing area {landing} has gone; waiting for it to come back")
    return PermanentError(f"{job.cell_dir} has gone: renamed or removed while it was being processed")


def _check(written: list[Written], workplace: Workplace) -> None:
    total = sum(output.bytes for output in written)
    checked = 0
    for output in written:
        taken = sum(piece.reads for piece in output.pieces)
        if taken != output.reads:
            raise PermanentError(f"{output.output.name}: {taken} reads were read and {output.reads} written")

        def checking(tally: Tally, before: int = checked) -> None:
            workplace.report(Progress("checking", before + tally.bytes_done, total, tally.reads, tally.bases))

        verify(output.path, md5=output.md5, reads=output.reads, bases=output.bases, on_progress=checking)
        checked += output.bytes


def _still_ours(job: Job) -> None:
    """Raises _TakenOver when this attempt must not publish: fencing for a worker that was taken for dead."""
    stem = job.the_cell.stem
    if later := flags.overtaken(job.pipeline, stem, job.owner):
        raise _TakenOver(f"attempt {later} has taken this cell over")
    if not flags.holds_worker(job.pipeline, stem, job.owner):
        raise _TakenOver("a person has withdrawn this attempt's claim")
    if stopped := flags.stops(job.pipeline, stem):
        raise _TakenOver(f"a person has flagged it {stopped}")


def _patiently(job: Job, attempt: Callable[[], Results]) -> Results:
    """Try until it works or fails for good; what is temporary is said and waited for."""
    delay, longest = PATIENCE
    while True:
        try:
            return attempt()
        except TemporaryError as error:
            wait = error.retry_after or delay
            job.log().line(f"{job.the_cell}: waiting {wait:.0f} s: {error}")
            logger.warning("waiting", extra=fields(run=job.run_dir.name, cell=job.the_cell, why=error))
            job.on_progress(Progress("waiting", note=str(error), updated=time.time()))
            time.sleep(wait)
            delay = min(delay * 2, longest)
            if job.pipeline.is_dir():
                _still_ours(job)


def _record_failure(job: Job, error: Exception) -> None:
    cell = job.the_cell
    why = str(error) if isinstance(error, HesiodError) else f"a bug in hesiod-watch: {type(error).__name__}: {error}"
    record = {
        "why": why,
        "cell": str(cell),
        "epoch": job.owner.epoch,
        "host": job.owner.host,
        "version": job.owner.version,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    try:
        _still_ours(job)
        flags.create(job.pipeline, flags.failed(cell.stem), record)
    except (HesiodError, OSError) as second:
        # The run has gone, or this attempt does not count any more: the flag is not ours to make.
        job.log().line(f"{cell}: attempt {job.owner.epoch} stops: {why}")
        logger.info("failure not recorded", extra=fields(run=job.run_dir.name, cell=cell, why=second))
    else:
        job.log().line(f"{cell}: failed: {why}; when the cause is mended: hesiod-watch retry {job.run_dir.name} {cell}")
