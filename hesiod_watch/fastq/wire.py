"""What a pool and its workers say to each other; the answer to a `Task` is some `Step`s and a `Written` or `Failed`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hesiod_watch.fastq.model import Output, Settings


@dataclass(frozen=True, slots=True)
class Task:
    """What a worker is asked to write."""

    output: Output
    directory: Path
    settings: Settings
    suffix: str


@dataclass(frozen=True, slots=True)
class Step:
    """What was done since the last step."""

    bytes_done: int
    reads: int
    bases: int


@dataclass(frozen=True, slots=True)
class Failed:
    """The error that ended the work on the task."""

    error: Exception
