"""What is said between an ingest and whoever does its work, be it a worker process: the answer to a
`AppendTask` is a `TaskResult`.

Over the socket of a worker there are `TaskProgress`s before that, and there may be a `StopRequest`
for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hesiod_watch.fastq.model import Level, Piece, Source
from hesiod_watch.fastq.statistics import ReadStatistics


@dataclass(frozen=True)
class TaskLimits:
    """How much is made durable at once; what is reached first ends the batch."""

    files: int = 64
    bytes: int = 256 << 20  # of source data, as on disk
    seconds: float = 10.0


@dataclass(frozen=True, slots=True)
class OutputPart:
    """Sources to put at the end of one output. Nobody else writes to it meanwhile."""

    name: str
    members: bool  # keep the sources' own gzip members
    at: int  # bytes of the output that are journalled
    md5: bytes | None  # saved digest of these
    sources: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class AppendTask:
    """One batch."""

    directory: Path
    level: Level
    parts: tuple[OutputPart, ...]
    limits: TaskLimits


@dataclass(frozen=True, slots=True)
class StopRequest:
    """Please end the task after the source you are at."""


@dataclass(frozen=True, slots=True)
class TaskProgress:
    """What was done since the last step."""

    bytes_done: int
    reads: int
    bases: int


@dataclass(frozen=True, slots=True)
class OutputGrowth:
    """What was appended to one output, durable and read back, and can be journalled."""

    name: str
    at: int
    pieces: tuple[Piece, ...]
    statistics: ReadStatistics  # of these pieces
    md5: bytes | None  # of the output with them


@dataclass(frozen=True, slots=True)
class TaskResult:
    """What became of a task: outputs that have grown, perhaps by less than was asked, and why not
    by more.
    """

    parts: tuple[OutputPart, ...]  # as they were asked for
    grown: tuple[OutputGrowth, ...] = ()
    error: Exception | None = None
