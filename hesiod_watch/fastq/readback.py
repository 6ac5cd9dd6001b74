"""Read outputs back: compare the disk with what the journal says, or is about to say.

Three functions check consecutive pieces of one output:

- `confirm`: the new bytes are on the disk and inflate to exactly the text read from the sources; or
  they are exactly the bytes of a gzipped source, which was inflated whole when they were written.
- `sound`: the bytes still have their CRC-32.
- `measure`: the same as `sound`; also computes statistics and MD5 again.

`reread` checks a source: it still has the text that was appended.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from isal import isal_zlib

from hesiod_watch.bam.front import header_in
from hesiod_watch.core.errors import BadSource, PermanentError, TemporaryError
from hesiod_watch.core.file_entry import FileEntry
from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.system_errors import translated
from hesiod_watch.fastq.blocks import BgzfBlocks
from hesiod_watch.fastq.durable import OutputReader
from hesiod_watch.fastq.formats import is_bam, is_compressed, unit_measurer, unit_reader
from hesiod_watch.fastq.gunzip import GzipReader
from hesiod_watch.fastq.md5 import Md5
from hesiod_watch.fastq.model import Piece, SourceIdentity
from hesiod_watch.fastq.sources import SourceFile
from hesiod_watch.fastq.statistics import ReadStatistics
from hesiod_watch.host.files import OpenDirectory, checksums, regular

_BUFFER_BYTES = 256 << 10


@frozen
class TextChecksum:
    """Length and CRC-32 of a source's uncompressed text; equal ones mean the same reads."""

    size: int
    crc32: int

    def followed_by(self, more: memoryview) -> TextChecksum:
        return TextChecksum(self.size + len(more), isal_zlib.crc32(more, self.crc32))


@frozen
class ReadbackResult:
    """Figures of the first `pieces` pieces; the next piece is not as it was written."""

    pieces: int
    statistics: ReadStatistics
    md5: bytes | None


def confirm(
    path: Path, pieces: Sequence[Piece], texts: Sequence[TextChecksum | None], *, blocks: bool
) -> None:
    """Read back pieces that were just made durable; `blocks`: they must be BGZF.

    `texts`: what each piece must inflate to; None if it must have every byte of its source. Raises
    `PermanentError` if the disk does not contain what was written, or if it does not inflate to the
    source's text.
    """
    with OutputReader(path) as reader:
        for piece, text in zip(pieces, texts, strict=True):
            reader.seek(piece.offset, piece.length, forget=True)
            digest = hashlib.sha256() if text is None else None
            counter = _ChecksumCounter(digest)
            found = None
            if text is None:
                counter.add_all(reader)
            else:
                found = _inflated(reader, piece, counter, blocks=blocks)
            same = (counter.size, counter.crc32) == (piece.length, piece.crc32)
            if not same or (digest and digest.hexdigest() != piece.sha256):
                raise PermanentError(
                    f"{path}: reading back what was just written for {piece.source}"
                    " gives other bytes: do not trust the disk or the memory of this host"
                )
            if found != text:
                raise PermanentError(
                    f"{path}: what was written for {piece.source} does not inflate to its text"
                )


def _inflated(
    reader: OutputReader, piece: Piece, counter: _ChecksumCounter, *, blocks: bool
) -> TextChecksum:
    """The text that a piece inflates to; `counter` counts its bytes."""
    inflating = (
        BgzfBlocks(reader.readinto, reader.path, counter.add, piece.offset)
        if blocks
        else GzipReader(reader.readinto, reader.path, counter.add)
    )
    found = TextChecksum(0, 0)
    try:
        for part in inflating if piece.length else ():
            found = found.followed_by(part)
    except BadSource as error:  # about the output, which is not a source
        raise PermanentError(
            f"{reader.path}: what was just written for {piece.source}: {error.reason}"
        ) from error
    return found


def reread(source: FileEntry, cell: OpenDirectory, piece: Piece) -> SourceIdentity | None:
    """Hints and checksum of a source that still has the text of `piece`; otherwise None.

    Reads the whole source. Raises `TemporaryError` or `PermanentError`.
    """
    text = TextChecksum(0, 0)
    try:
        with SourceFile(source, cell) as file:
            readinto = file.readinto_hashed
            if is_compressed(source.name) and source.size:
                readinto = GzipReader(readinto, source.path).readinto
            for unit in unit_reader(source.name, readinto, source.path):
                text = text.followed_by(unit.data)
            file.check_unchanged()
    except BadSource:  # the source was sound when it was appended
        return None
    same = (text.size, text.crc32) == (piece.text_bytes, piece.text_crc32)
    return SourceIdentity(file.ctime_ns, file.inode, file.sha256) if same else None


def sound(path: Path, pieces: Sequence[Piece]) -> int:
    """Number of pieces, from the first, that have their CRC-32 on the disk.

    Raises `TemporaryError`.
    """
    if _are_empty(pieces):
        return len(pieces)
    with OutputReader(path) as reader:
        for number, piece in enumerate(pieces):
            counter = _ChecksumCounter()
            try:
                reader.seek(piece.offset, piece.length, forget=True)
                counter.add_all(reader)
            except TemporaryError:
                raise
            except PermanentError:  # the disk can no longer read the piece
                return number
            if counter.size != piece.length or counter.crc32 != piece.crc32:
                return number
    return len(pieces)


def _are_empty(pieces: Sequence[Piece]) -> bool:
    """Whether all pieces are without bytes; then their output need not exist."""
    return not any(piece.length for piece in pieces)


def crc32_of(path: Path, offset: int, length: int) -> int:
    """The CRC-32 of a range, from the disk. Raises TemporaryError, PermanentError."""
    counter = _ChecksumCounter()
    with OutputReader(path) as reader:
        reader.seek(offset, length, forget=True)
        counter.add_all(reader)
    return counter.crc32


def read(path: Path, offset: int, length: int) -> bytes:
    """The bytes of a range, from the disk; fewer at the end of the file."""
    buffer = bytearray(length)
    with OutputReader(path) as reader:
        reader.seek(offset, length, forget=True)
        return bytes(buffer[: reader.readinto(memoryview(buffer))])


def md5_of(path: Path) -> str:
    """The MD5 of a whole file."""
    with (
        translated(f"{path}: reading back failed", own_output=True),
        regular(path) as descriptor,
    ):
        return checksums(descriptor, "md5")[0]


def measure(
    path: Path, pieces: Sequence[Piece], md5: bytes | None, header: Sequence[str] = ()
) -> ReadbackResult:
    """Measure pieces, and continue the digest `md5` over their bytes. Raises `TemporaryError`.

    `header`: lines of the header of a BAM output that are not in the output itself.
    """
    total = ReadStatistics()
    if _are_empty(pieces):
        return ReadbackResult(len(pieces), total, md5)
    lines: tuple[str, ...] | None = None if is_bam(path.name) else ()
    with OutputReader(path) as reader:
        for number, piece in enumerate(pieces):
            digest = Md5(md5) if md5 is not None else None
            try:
                if lines is None:
                    lines = (*header_in(reader)[0].lines, *header)
                statistics = _measure(path, reader, piece, digest, lines)
            except TemporaryError:
                raise
            except PermanentError:
                return ReadbackResult(number, total, md5)
            if statistics is None:
                return ReadbackResult(number, total, md5)
            total.merge(statistics)
            md5 = digest.save() if digest else None
    return ReadbackResult(len(pieces), total, md5)


def _measure(
    path: Path, reader: OutputReader, piece: Piece, digest: Md5 | None, lines: Sequence[str]
) -> ReadStatistics | None:
    """Statistics of one piece; None if it is not as it was written. `lines`: its BAM header."""
    reader.seek(piece.offset, piece.length)
    counter = _ChecksumCounter(digest)
    measuring = unit_measurer(path.name, path, lines)
    if piece.length:
        inflated = GzipReader(reader.readinto, path, counter.add)
        headed = not piece.offset
        for unit in unit_reader(path.name, inflated.readinto, path, headed=headed):
            measuring.add(unit)
    statistics = measuring.result()
    as_written = (counter.size, counter.crc32) == (piece.length, piece.crc32)
    return (
        statistics
        if as_written and (statistics.reads, statistics.bases) == (piece.reads, piece.bases)
        else None
    )


class _Digest(Protocol):
    def update(self, data: memoryview, /) -> object: ...


class _ChecksumCounter:
    """Size and CRC-32 of some bytes, which also update a digest if there is one."""

    def __init__(self, digest: _Digest | None = None) -> None:
        self.size = self.crc32 = 0
        self._digest = digest

    def add(self, data: memoryview) -> None:
        self.size += len(data)
        self.crc32 = isal_zlib.crc32(data, self.crc32)
        if self._digest is not None:
            self._digest.update(data)

    def add_all(self, reader: OutputReader) -> None:
        """Count all bytes of the range that `reader` reads."""
        buffer = memoryview(bytearray(_BUFFER_BYTES))
        while count := reader.readinto(buffer):
            self.add(buffer[:count])
