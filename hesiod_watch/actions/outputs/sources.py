"""Files of reads of a cell, as the data path needs them: its outputs, and the files of each."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hesiod_watch.actions import Job, file_system_time
from hesiod_watch.core import naming
from hesiod_watch.core.cell_contents import NAMED, CellContents, DataKind, NamedFiles
from hesiod_watch.core.errors import BadSource, HesiodError, PermanentError, TemporaryError
from hesiod_watch.core.file_entry import FileEntry
from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.system_errors import translate, translated
from hesiod_watch.core.times import rested, time_at
from hesiod_watch.fastq.model import Output, Written
from hesiod_watch.rules.settling import QUIET, has_settled
from hesiod_watch.runs import minknow


@frozen
class NewestFile:
    """Last file of an output, with the time when it was first seen in this state.

    `since` is in seconds of our own clock.
    """

    size: int
    mtime_ns: int
    since: float

    def quiet(self, now: float) -> bool:
        moment = datetime.fromtimestamp(now, UTC)
        return rested(time_at(self.since), moment, timedelta(seconds=QUIET))


def find_outputs(job: Job) -> tuple[list[Output], CellContents]:
    """One output for each barcode, part (pass, fail, skip) and format (FASTQ, BAM).

    Its files are in natural order. So the output of a cell does not depend on which process makes
    it. The same look counts all data files of the cell.

    Raises PermanentError if a name cannot be used, or if the cell is missing or may not be read.
    Raises TemporaryError if the cell cannot be read now.
    """
    groups: dict[tuple[str, str, str], list[FileEntry]] = {}

    def group(file: minknow.DataFile) -> None:
        suffix = naming.BAM_SUFFIX if file.kind is DataKind.BAM else naming.FASTQ_SUFFIX
        groups.setdefault((file.barcode or "", file.part, suffix), []).append(file.entry)

    contents = _look(job, group)
    outputs = []
    for (barcode, part, suffix), sources in sorted(groups.items()):
        name = naming.output_file_name(
            job.run_dir.name, job.the_cell, barcode or None, part, suffix
        )
        sources.sort(key=lambda source: naming.natural_key(source.name))
        outputs.append(Output(name, barcode or None, part, tuple(sources)))
    return outputs, contents


def contents_if_unchanged(job: Job, outputs: Sequence[Output]) -> CellContents | None:
    """Look again: the cell's contents; None if `find_outputs` would find other outputs now.

    Compares sums of digests, so that the cell's files are never in memory twice. A file's name
    decides which output it belongs to, and its position there. Raises as `find_outputs`.
    """
    left = sum(_digest(source) for output in outputs for source in output.sources)

    def count_down(file: minknow.DataFile) -> None:
        nonlocal left
        left -= _digest(file.entry)

    contents = _look(job, count_down)
    return None if left else contents


def _look(job: Job, on_reads: Callable[[minknow.DataFile], None]) -> CellContents:
    try:
        return minknow.read_contents(job.cell_dir, on_reads)
    except OSError as error:
        if not job.cell_dir.is_in_place():
            raise missing_cell(job) from error
        raise translate(error, job.cell_dir.path) from error


def _digest(source: FileEntry) -> int:
    """Digest of a source, as a number of 256 bits.

    With shorter numbers, a person who chooses the names could make two sums equal.
    """
    hints = f"{source.ctime_ns} {source.inode}"
    text = f"{source.size} {source.mtime_ns} {hints} {source.location}".encode(
        "utf-8", "surrogateescape"
    )
    return int.from_bytes(hashlib.sha256(text).digest())


def equal_sources(written: Iterable[Written]) -> NamedFiles:
    """Sources that have the same reads as another source of the cell, as the journal knows them.

    Two texts of equal length, CRC-32, reads and bases are equal. Empty files are not compared, nor
    are files that version 0.1.0 read, because it recorded no CRC-32.
    """
    first: dict[tuple[int, int, int, int], str] = {}
    equal: dict[tuple[int, int, int, int], list[str]] = {}
    for piece in (piece for output in written for piece in output.pieces):
        key = (piece.text_bytes, piece.text_crc32, piece.reads, piece.bases)
        if not piece.reads or not piece.text_bytes:
            continue
        if key in first:
            equal.setdefault(key, [first[key]]).append(piece.source)
        else:
            first[key] = piece.source
    names = [name for group in equal.values() for name in group]
    return NamedFiles(len(names), tuple(map(naming.display, names[:NAMED])))


def finished_sources(
    outputs: Sequence[Output], before: Mapping[str, NewestFile], now: float
) -> tuple[list[Output], dict[str, NewestFile]]:
    """Finished files of a growing cell, and the newest file of each output.

    The newest files are the argument `before` of the next call.

    A file is finished if its directory has a later one, or if it has not changed for a while by our
    own clock (`now`, in seconds). The file system's clock is not compared with ours. Only `stat` is
    used, so this works without events. A file that was taken too early is detected when the cell is
    closed, and is processed again.
    """
    ready = []
    newest: dict[str, NewestFile] = {}
    for output in outputs:
        last = output.sources[-1]
        seen = before.get(last.name)
        if seen is None or (seen.size, seen.mtime_ns) != (last.size, last.mtime_ns):
            seen = NewestFile(last.size, last.mtime_ns, now)
        newest[last.name] = seen
        ready.append(output if seen.quiet(now) else replace(output, sources=output.sources[:-1]))
    return [output for output in ready if output.sources], newest


@contextmanager
def recent_damage_waits(job: Job) -> Iterator[None]:
    """Raise TemporaryError for a damaged source that changed within the last minute.

    A file that is still being copied looks like a damaged one. Its age is by the clock of the
    landing area. Raises BadSource for an older one.
    """
    try:
        yield
    except BadSource as error:
        with translated(str(error.path)):
            changed = max(one.path.lstat().st_ctime for one in error.each)
        now = file_system_time(job)
        if has_settled(changed, now):
            raise
        left = min(max(changed + QUIET - now, 0.1), QUIET)
        raise TemporaryError(
            f"{error}; it changed less than {QUIET:.0f} s ago and may still be being written",
            retry_after=left,
        ) from error


def missing_cell(job: Job) -> HesiodError:
    """Error for a cell whose directory is missing.

    TemporaryError if the landing area is absent, PermanentError if only the cell is.
    """
    landing = job.config.landing
    if not landing.is_dir() or not any(landing.iterdir()):
        return TemporaryError(f"the landing area {landing} is missing; waiting for it to come back")
    return PermanentError(
        f"{job.cell_dir} is missing: renamed or removed while it was being processed"
    )
