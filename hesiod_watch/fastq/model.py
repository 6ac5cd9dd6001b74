"""Values of the data path: files to write, settings, and files written.

A `Piece` is the unit of the journal: the whole gzip members made from one source, at a place in an
output that never changes afterwards.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from hesiod_watch.core.file_entry import FileEntry
from hesiod_watch.core.frozen import frozen

if TYPE_CHECKING:
    from hesiod_watch.fastq.statistics import ReadStatistics

Level = Literal["default", "fast", "small"]


@frozen
class Output:
    """One file to make: its final name, and its sources in their final order."""

    name: str
    barcode: str | None  # None: the cell is not barcoded
    part: str  # pass, fail or skip; with `_duplex` for duplex reads
    sources: tuple[FileEntry, ...]

    @property
    def size(self) -> int:
        """Bytes of source data, as on disk."""
        return sum(source.size for source in self.sources)


@frozen
class Settings:
    """Settings for writing outputs.

    `level`: "default" makes long reads 2 to 6 % smaller than gzip -6 does. "fast" gives up 1 % of
    that and saves a few per cent of the time. "small" uses zlib's level 6, which pays for amplicons
    (overlapping reads) and takes ten times as long. `recompress`: make BGZF also of outputs whose
    sources are all gzipped. `processes`: number of outputs written at the same time, each by its
    own process.
    """

    level: Level = "default"
    recompress: bool = False
    processes: int = 1


@frozen
class Piece:
    """One source in its output: `length` bytes of whole gzip members, with their CRC-32.

    The bytes start at `offset`.
    """

    source: str
    size: int
    mtime_ns: int
    output: str
    offset: int
    length: int
    crc32: int
    reads: int
    bases: int
    note: str = ""  # a note for people about this source
    # Hints about the source's file when it was read, and its text. All 0 in journals of 0.1.0.
    ctime_ns: int = 0
    inode: int = 0
    text_bytes: int = 0
    text_crc32: int = 0
    sha256: str = ""  # of the source's bytes on disk; "" in journals that lack it
    # Lines of a BAM source's header that the sources before it lack; the first source has all its
    # lines in the output itself.
    header: tuple[str, ...] = ()

    @property
    def entry(self) -> FileEntry:
        """The source as it was when it was read."""
        return FileEntry(
            self.source,
            "f",
            self.size,
            self.mtime_ns,
            self.ctime_ns,
            inode=self.inode,
            sha256=self.sha256,
        )


@frozen
class SourceIdentity:
    """Hints about a source's file when it was read, and the checksum of its bytes."""

    ctime_ns: int
    inode: int
    sha256: str


@frozen
class IndexFile:
    """Index of a sorted output of BAM, whole and fsynced at `path`."""

    name: str  # its final name
    path: Path
    bytes: int
    md5: str


@frozen
class Written:
    """One output, whole and fsynced at `path` (still under its temporary suffix)."""

    output: Output
    path: Path
    bytes: int
    md5: str
    reads: int
    bases: int
    statistics: ReadStatistics
    pieces: tuple[Piece, ...]
    notes: tuple[str, ...]  # notes for people
    placed: bool = True  # each piece is at its place; False: the reads were sorted
    index: IndexFile | None = None


@frozen
class Tally:
    """Progress of the work."""

    bytes_done: int  # bytes of source data, as on disk
    reads: int
    bases: int
    phase: str  # "compressing", "verifying"
