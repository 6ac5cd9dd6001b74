"""Append sources to the end of one output, make them durable, and read them back.

The journal can then record them. Each output is written in one of two ways:

- Where all sources are gzipped, their gzip members are kept byte for byte. They are inflated once,
  for the statistics and to check their integrity.
- Any other output is BGZF throughout, because a plain gzip member after BGZF breaks `bgzip -@2`.

Two exceptions apply to an output of gzipped sources. A source whose text must be repaired (no
newline at its end, Windows line ends) cannot be kept; it becomes a plain gzip member. If the first
source happens to be BGZF, every source that is not BGZF is converted to it.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from enum import Enum, auto
from pathlib import Path

from isal import isal_zlib

from hesiod_watch.core.file_entry import FileEntry
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
from hesiod_watch.host.files import OpenDirectory

OnUnit = Callable[[int, int, int], None]
"""Called after each unit with what it added: bytes of source data as on disk, reads, bases."""

_GZIP_MEMBER = 31  # zlib's wbits: a gzip header and trailer around deflate with a window of 32 KiB


class _Encoding(Enum):
    """The way to write one source to an output."""

    BGZF = auto()
    VERBATIM = auto()  # the source's own gzip members
    REWRITE = auto()  # one new gzip member


class OutputAppender:
    """Writer of one output from byte `at` on.

    Call `append` for each source in order, then `sync`, then `confirm`; call `close` in any case.
    `members`: keep the sources' own gzip members. `md5` is the saved digest of the first `at`
    bytes; None computes no digest. After an error in `append`, `rewind` discards what that source
    left.
    """

    def __init__(
        self, name: str, path: Path, level: Level, *, members: bool, at: int, md5: bytes | None
    ) -> None:
        keep_freed_memory()
        self.path = path
        self.pieces: list[Piece] = []
        self.statistics = ReadStatistics()
        self._name = name
        self._level = level
        self._verbatim = members
        self._blocks = not members or (at > 0 and has_blocks(path))  # the output is BGZF
        self._file = OutputFile(path, at)
        self._digest = None if md5 is None else Md5(md5)
        # For the current source: its start in the output, the digest before it, the bytes written
        # and the text read.
        self._start, self._before = at, md5
        self._size, self._crc = at, 0
        self._text = TextChecksum(0, 0)
        self._hints = (0, 0)  # change time and inode of the source file
        self._sha256 = ""  # of the source file
        self._texts: list[TextChecksum] = []

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
        self._start, self._before = self._size, self.md5
        encoding = self._choose_encoding(source, cell)
        measure, repaired = self._copy(source, cell, encoding, on_unit)
        if encoding is _Encoding.VERBATIM and repaired:
            # A needed repair is rare, and known only at the end: write again, not verbatim.
            self.rewind()
            measure, repaired = self._copy(
                source, cell, _Encoding.BGZF if self._blocks else _Encoding.REWRITE, None
            )
        statistics = measure.result()
        piece = Piece(
            source=source.name,
            size=source.size,
            mtime_ns=source.mtime_ns,
            output=self._name,
            offset=self._start,
            length=self._size - self._start,
            crc32=self._crc,
            reads=statistics.reads,
            bases=statistics.bases,
            note=_note(source, repaired, statistics),
            ctime_ns=self._hints[0],
            inode=self._hints[1],
            text_bytes=self._text.size,
            text_crc32=self._text.crc32,
            sha256=self._sha256,
        )
        self.pieces.append(piece)
        self.statistics.merge(statistics)
        self._texts.append(self._text)
        return piece

    def rewind(self) -> None:
        """Restore the state before the last call of `append`, which failed."""
        self._file.rewind(self._start)
        self._size = self._start
        self._digest = None if self._before is None else Md5(self._before)

    def sync(self) -> None:
        """Make everything appended so far durable. After an error none of it counts."""
        self._file.sync()

    def confirm(self) -> None:
        """Read back what was appended, and compare it with the text of the sources.

        Raises `PermanentError` if it differs; then none of it counts.
        """
        confirm(self.path, self.pieces, self._texts, blocks=not self._verbatim)

    def close(self) -> None:
        self._file.close()

    def _choose_encoding(self, source: FileEntry, cell: OpenDirectory) -> _Encoding:
        if not self._verbatim:
            return _Encoding.BGZF
        with SourceFile(source, cell) as file:
            is_block = bgzf.is_block(file.head(bgzf.HEAD_BYTES))
        if not self._size:
            self._blocks = is_block
        return _Encoding.BGZF if self._blocks and not is_block else _Encoding.VERBATIM

    def _copy(
        self, source: FileEntry, cell: OpenDirectory, encoding: _Encoding, on_unit: OnUnit | None
    ) -> tuple[ReadMeasurer, str]:
        """Write one source with `encoding`; return its measure, and what was repaired in it."""
        self._crc, self._text = 0, TextChecksum(0, 0)
        measure = ReadMeasurer(source.path)
        rewriting = (
            isal_zlib.compressobj(2, isal_zlib.DEFLATED, _GZIP_MEMBER)
            if encoding is _Encoding.REWRITE
            else None
        )
        with SourceFile(source, cell) as file:
            self._hints = (file.ctime_ns, file.inode)
            readinto = file.readinto_hashed
            if source.gzipped and source.size:  # an empty file is not gzip, and is allowed
                readinto = GzipReader(
                    readinto, source.path, self._write if encoding is _Encoding.VERBATIM else None
                ).readinto
            reader = RecordReader(readinto, source.path)
            reported = 0
            for unit in reader:
                plain = measure.add(unit)
                self._text = self._text.followed_by(unit.data)
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
            self._sha256 = file.sha256
        if rewriting is not None:
            self._write(rewriting.flush(zlib.Z_FINISH))
        return measure, reader.repaired

    def _write(self, data: bytes | memoryview) -> None:
        self._file.write(data)
        if self._digest is not None:
            self._digest.update(data)
        self._crc = isal_zlib.crc32(data, self._crc)
        self._size += len(data)


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


def _note(source: FileEntry, repaired: str, statistics: ReadStatistics) -> str:
    """A note for people about an appended source; empty if there is nothing to report."""
    if repaired:
        return f"{source.name}: {repaired}; repaired in the output"
    return "" if statistics.reads else f"{source.name}: empty file"
