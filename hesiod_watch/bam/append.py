"""Append BAM sources to the end of one output, as `samtools cat` does.

The first source brings its header, and every source its records. The BGZF blocks of a source are
kept byte for byte. Only the records that share a block with the header are compressed again, so
every source begins with a block of its own.

Each block of a source is inflated once: its CRC is checked, its records are checked and measured.
A source must end with the end-of-file block, because a file without it was cut off.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hesiod_watch.bam.front import read_header
from hesiod_watch.bam.header import BamHeader, added_lines, decode, header_of
from hesiod_watch.bam.measure import BamMeasurer
from hesiod_watch.bam.records import BamReader, foreign
from hesiod_watch.core.errors import BadSource
from hesiod_watch.core.file_entry import FileEntry
from hesiod_watch.fastq import bgzf
from hesiod_watch.fastq.append import AppendedSource, OnUnit, OutputAppender
from hesiod_watch.fastq.blocks import BgzfBlocks
from hesiod_watch.fastq.model import Level
from hesiod_watch.fastq.readback import TextChecksum
from hesiod_watch.fastq.sources import SourceFile
from hesiod_watch.fastq.tasks import OutputPart
from hesiod_watch.host.files import OpenDirectory

FOREIGN_BYTES = 18
_WRITE_BYTES = 256 << 10


class BamAppender(OutputAppender):
    """Writer of one output of BAM."""

    def __init__(self, part: OutputPart, path: Path, level: Level) -> None:
        super().__init__(part, path)
        self._level = level
        # The header with all sources so far; None: no source has been appended.
        self._header: BamHeader | None = None
        if part.at:
            first, _ = read_header(path)
            self._header = header_of((*first.lines, *part.header))

    def _copy(
        self, source: FileEntry, cell: OpenDirectory, on_unit: OnUnit | None
    ) -> AppendedSource:
        text = written = TextChecksum(0, 0)
        with SourceFile(source, cell) as file:
            if what := foreign(file.head(FOREIGN_BYTES)):
                raise BadSource(source.path, what)
            writer = _BlockWriter(self._write, self._level, headed=self._header is None)
            blocks = BgzfBlocks(
                file.readinto_hashed,
                source.path,
                lambda part: None,
                on_block=writer.take,
                source=True,
            )
            units = iter(BamReader(blocks.readinto, source.path))
            head = next(units)
            assert head.header is not None  # noqa: S101  the first unit is the header
            text = text.followed_by(head.data)
            if self._header is None:
                written = text
            united, added = self._unite(source, head.header)
            measure = BamMeasurer(source.path, united.lines)
            reported = 0
            for unit in units:
                measure.add(unit)
                text, written = text.followed_by(unit.data), written.followed_by(unit.data)
                if on_unit is not None:
                    on_unit(file.consumed - reported, unit.reads, int(unit.lengths.sum()))
                    reported = file.consumed
            if blocks.last != bgzf.END_OF_FILE:
                raise BadSource(
                    source.path, "truncated: the end-of-file block of BGZF is missing at its end"
                )
            writer.flush()
            if on_unit is not None:
                on_unit(source.size - reported, 0, 0)
            file.check_unchanged()
        self._header = united
        statistics = measure.result()
        return AppendedSource(
            statistics,
            *(text, written, file.ctime_ns, file.inode, file.sha256),
            note="" if statistics.bam.records else f"{source.name}: a BAM file without reads",
            header=added,
        )

    def _unite(self, source: FileEntry, header: BamHeader) -> tuple[BamHeader, tuple[str, ...]]:
        """The header of the output with a source, and the lines that the source adds to it.

        Raises BadSource if the records of both cannot be in one file.
        """
        known = self._header
        if known is None:
            return header, ()
        if known.references and header.references not in ((), known.references):
            raise BadSource(
                source.path, "aligned to other reference sequences than the files before it"
            )
        added = added_lines(known.lines, header.lines)
        return header_of((*known.lines, *added)), added


class _BlockWriter:
    """Writes the blocks of one source after its header; `headed`: writes its header, too."""

    def __init__(self, write: Callable[[memoryview], None], level: Level, *, headed: bool) -> None:
        self._write = write
        self._level = level
        self._headed = headed
        self._front: bytearray | None = bytearray()  # None: the header has ended
        self._waiting = bytearray()  # written together, because a block is small

    def take(self, block: memoryview, inflated: memoryview) -> None:
        if self._front is None:
            self._waiting += block
            if len(self._waiting) >= _WRITE_BYTES:
                self.flush()
            return
        self._front += inflated
        try:
            found = decode(self._front)
        except ValueError:
            return  # the reader says what is wrong
        if found is None:
            return
        front, self._front = memoryview(bytes(self._front)), None
        header, records = front[: found[1]], front[found[1] :]
        for part in (header, records) if self._headed else (records,):
            self._waiting += b"".join(bgzf.compress(part, (), self._level))

    def flush(self) -> None:
        if self._waiting:
            self._write(memoryview(self._waiting))
            self._waiting = bytearray()
