"""Messages between an ingest and its workers: an `AppendTask`, answered by a `TaskResult`.

A worker process communicates over a socket. It may send `TaskProgress` before the result, and may
receive a `StopRequest`.
"""

from __future__ import annotations

from pathlib import Path

from hesiod_watch.core.errors import BadSource
from hesiod_watch.core.file_entry import FileEntry
from hesiod_watch.core.frozen import frozen
from hesiod_watch.fastq.model import Level, Piece
from hesiod_watch.fastq.statistics import ReadStatistics
from hesiod_watch.host.files import OpenDirectory


@frozen
class TaskLimits:
    """Limits of one batch; the first limit that is reached ends the batch."""

    files: int = 64
    bytes: int = 256 << 20  # bytes of source data, as on disk
    seconds: float = 10.0


@frozen
class OutputPart:
    """Sources to append to one output. No other process writes to it meanwhile."""

    name: str
    members: bool  # keep the sources' own gzip members
    at: int  # bytes of the output that are journalled
    md5: bytes | None  # saved digest of the journalled bytes
    sources: tuple[FileEntry, ...]
    header: tuple[str, ...] = ()  # lines that journalled pieces add to the header of a BAM output


@frozen
class AppendTask:
    """One batch."""

    cell: OpenDirectory  # contains the sources
    directory: Path
    level: Level
    parts: tuple[OutputPart, ...]
    limits: TaskLimits
    skip_bad: bool = False  # leave out a bad source, and append the sources after it


@frozen
class StopRequest:
    """Request to end the task after the current source."""


@frozen
class TaskProgress:
    """Work done since the last progress message."""

    bytes_done: int
    reads: int
    bases: int


@frozen
class OutputGrowth:
    """Pieces appended to one output, durable and read back; ready for the journal."""

    name: str
    at: int
    pieces: tuple[Piece, ...]
    statistics: ReadStatistics  # statistics of the pieces
    md5: bytes | None  # saved digest of the output with the pieces


@frozen
class TaskResult:
    """Result of a task: the outputs that have grown, and the error that ended it early, if any.

    An output may have grown by less than requested.
    """

    parts: tuple[OutputPart, ...]  # the parts of the task
    grown: tuple[OutputGrowth, ...] = ()
    error: Exception | None = None
    bad: tuple[tuple[str, BadSource], ...] = ()  # refused sources, each with its output's name
