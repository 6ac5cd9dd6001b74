"""Append sources to the end of one output, make them durable, and read them back.

The journal can then record them. `OutputAppender` is the same for every format; `bam.append` has
the one for BAM. Each output of FASTQ is written in one of two ways:

- Where all sources are gzipped, their gzip members are kept byte for byte. They are inflated once,
  for the statistics and to check their integrity; the SHA-256 of source and disk must then agree.
- Any other output is BGZF throughout, because a plain gzip member after BGZF breaks `bgzip -@2`.

Two exceptions apply to an output of gzipped sources. A source whose text must be repaired (no
newline at its end, Windows line ends) cannot be kept; it becomes a plain gzip member. If the first
source happens to be BGZF, every source that is not BGZF is converted to it.
"""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from enum import Enum, auto
from pathlib import Path

from isal import isal_zlib

from hesiod_watch.core.file_entry import FileEntry
from hesiod_watch.core.frozen import frozen
from hesiod_watch.fastq import bgzf
from hesiod_watch.fastq.compress import compress
from hesiod_watch.fastq.durable import OutputFile, OutputReader
from hesiod_watch.fastq.gunzip import GzipReader
from hesiod_watch.fastq.malloc import keep_freed_memory
from hesiod_watch.fastq.md5 import Md5
from hesiod_watch.fastq.measure import ReadMeasurer
from hesiod_watch.fastq.model import Level, Output, Piece, Settings
from hesiod_watch.fastq.readback import TextChecksum, confirm
from hesiod_watch.fastq.records import RecordReader
from hesiod_watch.fastq.sources import SourceFile
from hesiod_watch.fastq.statistics import ReadStatistics
from hesiod_watch.fastq.tasks import OutputPart
from hesiod_watch.host.files import OpenDirectory

OnUnit = Callable[[int, int, int], None]
"""Called after each unit with what it added: bytes of source data as on disk, reads, bases."""

_GZIP_MEMBER = 31  # zlib's wbits: a gzip header and trailer around deflate with a window of 32 KiB


class _Encoding(Enum):
    """The way to write one source to an output."""

    BGZF = auto()
    VERBATIM = auto()  # the source's own gzip members
    REWRITE = auto()  # one new gzip member


@frozen
class AppendedSource:
    """One source as it was read, and what was written of it."""

    statistics: ReadStatistics
    text: TextChecksum  # of all that the source inflates to
    written: TextChecksum | None  # of all that its piece must inflate to; None: its own bytes
    ctime_ns: int
    inode: int
    sha256: str
    note: str = ""
    header: tuple[str, ...] = ()


class OutputAppender(ABC):
    """Writer of one output from byte `at` on.

    Call `append` for each source in order, then `sync`, then `confirm`; call `close` in any case.
    After an error in `append`, `rewind` discards what that source left.
    """

    blocks = True
    """Whether every byte of the output must be BGZF."""

    def __init__(self, part: OutputPart, path: Path) -> None:
        keep_freed_memory()
        self.path = path
        self.pieces: list[Piece] = []
        self.statistics = ReadStatistics()
        self._name = part.name
        self._file = OutputFile(path, part.at)
        self._digest = None if part.md5 is None else Md5(part.md5)
        # For the current source: its start in the output, the digest before it, the bytes written.
        self._start, self._before = part.at, part.md5
        self._size, self._crc = part.at, 0
        self._texts: list[TextChecksum | None] = []

    @property
    def md5(self) -> bytes | None:
        """The saved digest of the output as it is now."""
        return self._digest.save() if self._digest else None

    def append(
        self, source: FileEntry, cell: OpenDirectory, on_unit: OnUnit | None = None
    ) -> Piece:
        """Append the reads of a source of `cell` to the output, and return its record.

        Nothing is durable yet. Raises `BadSource`, `TemporaryError` or `PermanentError`, naming the
        file.
        """
        self._start, self._before, self._crc = self._size, self.md5, 0
        done = self._copy(source, cell, on_unit)
        piece = Piece(
            source=source.name,
            size=source.size,
            mtime_ns=source.mtime_ns,
            output=self._name,
            offset=self._start,
            length=self._size - self._start,
            crc32=self._crc,
            reads=done.statistics.reads,
            bases=done.statistics.bases,
            note=done.note,
            ctime_ns=done.ctime_ns,
            inode=done.inode,
            text_bytes=done.text.size,
            text_crc32=done.text.crc32,
            sha256=done.sha256,
            header=done.header,
        )
        self.pieces.append(piece)
        self.statistics.merge(done.statistics)
        self._texts.append(done.written)
        return piece

    @abstractmethod
    def _copy(
        self, source: FileEntry, cell: OpenDirectory, on_unit: OnUnit | None
    ) -> AppendedSource:
        """Read one source to its end, and write its reads with `_write`."""

    def rewind(self) -> None:
        """Restore the state before the last call of `append`, which failed."""
        self._file.rewind(self._start)
        self._size, self._crc = self._start, 0
        self._digest = None if self._before is None else Md5(self._before)

    def sync(self) -> None:
        """Make everything appended so far durable. After an error none of it counts."""
        self._file.sync()

    def confirm(self) -> None:
        """Read back what was appended, and compare it with the text or bytes of the sources.

        Raises `PermanentError` if it differs; then none of it counts.
        """
        confirm(self.path, self.pieces, self._texts, blocks=self.blocks)

    def close(self) -> None:
        self._file.close()

    def _write(self, data: bytes | memoryview) -> None:
        self._file.write(data)
        if self._digest is not None:
            self._digest.update(data)
        self._crc = isal_zlib.crc32(data, self._crc)
        self._size += len(data)


class FastqAppender(OutputAppender):
    """Writer of one output of FASTQ. `part.members`: keep the sources' own gzip members."""

    def __init__(self, part: OutputPart, path: Path, level: Level) -> None:
        super().__init__(part, path)
        self._level = level
        self._verbatim = part.members
        self.blocks = not part.members
        # Every source is written as BGZF.
        self._to_blocks = self.blocks or (part.at > 0 and has_blocks(path))

    def _copy(
        self, source: FileEntry, cell: OpenDirectory, on_unit: OnUnit | None
    ) -> AppendedSource:
        encoding = self._choose_encoding(source, cell)
        done = self._copy_as(source, cell, encoding, on_unit)
        if encoding is _Encoding.VERBATIM and done.note:
            # A needed repair is rare, and known only at the end: write again, not verbatim.
            self.rewind()
            again = _Encoding.BGZF if self._to_blocks else _Encoding.REWRITE
            done = self._copy_as(source, cell, again, None)
        if not done.note and not done.statistics.reads:
            return replace(done, note=f"{source.name}: empty file")
        return done

    def _choose_encoding(self, source: FileEntry, cell: OpenDirectory) -> _Encoding:
        if not self._verbatim:
            return _Encoding.BGZF
        with SourceFile(source, cell) as file:
            is_block = bgzf.is_block(file.head(bgzf.HEAD_BYTES))
        if not self._size:
            self._to_blocks = is_block
        return _Encoding.BGZF if self._to_blocks and not is_block else _Encoding.VERBATIM

    def _copy_as(
        self, source: FileEntry, cell: OpenDirectory, encoding: _Encoding, on_unit: OnUnit | None
    ) -> AppendedSource:
        """Write one source with `encoding`; the note says what was repaired in it."""
        text = TextChecksum(0, 0)
        measure = ReadMeasurer(source.path)
        rewriting = (
            isal_zlib.compressobj(2, isal_zlib.DEFLATED, _GZIP_MEMBER)
            if encoding is _Encoding.REWRITE
            else None
        )
        with SourceFile(source, cell) as file:
            readinto = file.readinto_hashed
            if source.gzipped and source.size:  # an empty file is not gzip, and is allowed
                readinto = GzipReader(
                    readinto, source.path, self._write if encoding is _Encoding.VERBATIM else None
                ).readinto
            reader = RecordReader(readinto, source.path)
            reported = 0
            for unit in reader:
                plain = measure.add(unit)
                text = text.followed_by(unit.data)
                if rewriting is not None:
                    self._write(rewriting.compress(unit.data))
                elif encoding is _Encoding.BGZF:
                    self._write(compress(unit, self._level, plain=plain))
                if on_unit is not None:
                    on_unit(file.consumed - reported, unit.reads, int(unit.lengths.sum()))
                    reported = file.consumed
            if on_unit is not None:
                on_unit(source.size - reported, 0, 0)
            file.check_unchanged()
        if rewriting is not None:
            self._write(rewriting.flush(zlib.Z_FINISH))
        repaired = f"{source.name}: {reader.repaired}; repaired in the output"
        return AppendedSource(
            measure.result(),
            text,
            None if encoding is _Encoding.VERBATIM else text,
            *(file.ctime_ns, file.inode, file.sha256),
            note=repaired if reader.repaired else "",
        )


def keeps_members(output: Output, settings: Settings) -> bool:
    """Whether an output consists of its sources' own gzip members."""
    return (
        not settings.recompress
        and bool(output.sources)
        and all(source.gzipped for source in output.sources)
    )


def has_blocks(path: Path) -> bool:
    """Whether an output begins with BGZF."""
    head = bytearray(bgzf.HEAD_BYTES)
    with OutputReader(path) as reader:
        reader.seek(0, len(head))
        reader.readinto(memoryview(head))
    return bgzf.is_block(bytes(head))
