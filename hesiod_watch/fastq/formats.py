"""The formats of reads, by the ending of an output's name: how each is read, measured, written.

Everything else (journal, checkpoint, durability, workers) is the same for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

from hesiod_watch.bam.measure import BamMeasurer
from hesiod_watch.bam.records import BamReader
from hesiod_watch.core.naming import BAM_SUFFIX
from hesiod_watch.fastq.measure import ReadMeasurer
from hesiod_watch.fastq.records import RecordReader
from hesiod_watch.fastq.statistics import ReadStatistics

ReadInto = Callable[[memoryview], int]


class Unit(Protocol):
    """Some whole records of a source, and the bytes that they are made of."""

    @property
    def data(self) -> memoryview: ...
    @property
    def reads(self) -> int: ...
    @property
    def lengths(self) -> Any: ...


class UnitReader(Protocol):
    """Reader of one stream of inflated reads; `repaired` says what was wrong with it, or ""."""

    @property
    def repaired(self) -> str: ...
    def __iter__(self) -> Iterator[Any]: ...


class UnitMeasurer(Protocol):
    """Measurer of the units of one stream."""

    def add(self, unit: Any) -> bool: ...
    def result(self) -> ReadStatistics: ...


def is_bam(name: str) -> bool:
    """Whether a source or an output with this name is BAM; everything else is FASTQ."""
    return name.endswith(BAM_SUFFIX)


def is_compressed(name: str) -> bool:
    """Whether a source with this name consists of gzip members; BAM always does."""
    return is_bam(name) or name.endswith(".gz")


def unit_reader(name: str, readinto: ReadInto, path: Path, *, headed: bool = True) -> UnitReader:
    """Reader for the inflated data of a source or an output; `headed`: from its first byte on."""
    return (
        BamReader(readinto, path, headed=headed) if is_bam(name) else RecordReader(readinto, path)
    )


def unit_measurer(name: str, path: Path, header: Iterable[str] = ()) -> UnitMeasurer:
    """Measurer for the units of a reader; `header`: the lines of a BAM header."""
    return BamMeasurer(path, header) if is_bam(name) else ReadMeasurer(path)
