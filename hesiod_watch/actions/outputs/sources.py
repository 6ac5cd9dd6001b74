"""The FASTQ files of a cell as the data path wants them: which outputs there are, and which files
go into each.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from hesiod_watch.actions import Job
from hesiod_watch.core import naming
from hesiod_watch.core.errors import HesiodError, PermanentError, TemporaryError
from hesiod_watch.core.model import DataKind
from hesiod_watch.fastq.model import Output, Source
from hesiod_watch.fastq.sources import source_of
from hesiod_watch.rules.plan import QUIET
from hesiod_watch.runs import flags, minknow


@dataclass(frozen=True)
class NewestFile:
    """The last file of an output, as it was when it was first seen so. `since` is our own clock, in
    seconds.
    """

    size: int
    mtime_ns: int
    since: float

    def quiet(self, now: float) -> bool:
        return (
            not 0 <= now - self.since < QUIET
        )  # a time in the future is one that a clock got wrong


def find_outputs(job: Job) -> list[Output]:
    """One output per barcode and pass, fail or skip, with all its files in natural order of their
    names.

    So the output of a cell is the same whoever makes it. Raises PermanentError when a name cannot
    be used, the cell has gone or may not be read, TemporaryError when it cannot be read just now.
    """
    groups: dict[tuple[str, str], list[Source]] = {}
    for file, source in _sources(job):
        groups.setdefault((file.barcode or "", file.part), []).append(source)
    outputs = []
    for (barcode, part), sources in sorted(groups.items()):
        name = naming.output_file_name(job.run_dir.name, job.the_cell, barcode or None, part)
        sources.sort(key=lambda source: naming.natural_key(source.name))
        outputs.append(Output(name, barcode or None, part, tuple(sources)))
    return outputs


def sources_unchanged(job: Job, outputs: Sequence[Output]) -> bool:
    """Whether `find_outputs` would find these again. Raises as it does.

    Compares sums of digests, so that the cell's files are never in memory twice. The name of a file
    decides which output it belongs to and its place there.
    """
    expected = sum(_digest(source) for output in outputs for source in output.sources)
    return sum(_digest(source) for _, source in _sources(job)) == expected


def _sources(job: Job) -> Iterator[tuple[minknow.DataFile, Source]]:
    """Every FASTQ file of the cell, as it is now."""
    try:
        for file in minknow.data_files(job.cell_dir, (DataKind.FASTQ,)):
            found = file.path.lstat()
            yield file, source_of(file.path, file.name, found)
    except OSError as error:
        if not job.cell_dir.is_dir():
            raise missing_cell(job) from error
        raise flags.translate(error, str(error.filename)) from error


def _digest(source: Source) -> int:
    """A number of 256 bits, because sums of shorter ones could be made alike by whoever chooses the
    names.
    """
    hints = f"{source.ctime_ns} {source.inode}"
    text = f"{source.size} {source.mtime_ns} {hints} {source.location}".encode(
        "utf-8", "surrogateescape"
    )
    return int.from_bytes(hashlib.sha256(text).digest())


def finished_sources(
    outputs: Sequence[Output], before: Mapping[str, NewestFile], now: float
) -> tuple[list[Output], dict[str, NewestFile]]:
    """The finished files of a growing cell, and the newest of each output, to be given as `before`
    the next time.

    A file is finished when a later one of its directory is there, or when it has not changed for a
    while by our own clock (`now`, seconds); what the file system's clock says is not compared with
    ours. Decided by stat alone, so it works where there are no events. A file taken too early is
    noticed when the cell is closed, and done again.
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


def missing_cell(job: Job) -> HesiodError:
    """What it means that a cell's directory is not there: a file system that went away, or a cell
    that did.
    """
    landing = job.config.landing
    if not landing.is_dir() or not any(landing.iterdir()):
        return TemporaryError(f"the landing area {landing} has gone; waiting for it to come back")
    return PermanentError(
        f"{job.cell_dir} has gone: renamed or removed while it was being processed"
    )
