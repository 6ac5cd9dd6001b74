"""Decide whether a source could be restored from its output: the reversible copy rule.

A source and its piece of an output are equal if they inflate to the same text. In BAM the text is
that of the records, and the output must have every line of the source's header. The MD5 of the
source's bytes, computed in the same reading, proves which file was compared. The name proves
nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from hesiod_watch.bam.front import read_header
from hesiod_watch.bam.header import lost_lines
from hesiod_watch.bam.records import BamReader
from hesiod_watch.core.errors import BadSource
from hesiod_watch.core.frozen import frozen
from hesiod_watch.fastq.durable import OutputReader
from hesiod_watch.fastq.formats import is_bam
from hesiod_watch.fastq.gunzip import GzipReader

_BUFFER_BYTES = 256 << 10

ReadInto = Callable[[memoryview], int]


@frozen
class TextHash:
    """Size and SHA-256 of inflated text. Equal hashes mean the same text."""

    size: int
    sha256: bytes


@frozen
class ContentReading:
    """Result of reading a source: MD5 of all its bytes, and its text or the reason why not."""

    md5: str
    text: TextHash | None
    why: str = ""
    header: tuple[str, ...] = ()  # lines of the header of BAM


def read_source(readinto: ReadInto, path: Path, *, gzipped: bool) -> ContentReading:
    """Read a file of reads once from start to end; `path` is its name in messages.

    Raises the errors of `readinto`.
    """
    md5 = hashlib.md5(usedforsecurity=False)
    text, why = None, ""
    header: tuple[str, ...] = ()

    def read_and_hash(buffer: memoryview) -> int:
        count = readinto(buffer)
        md5.update(buffer[:count])
        return count

    try:
        inflated = GzipReader(read_and_hash, path).readinto if gzipped else read_and_hash
        text, header = _text_of(inflated, path, headed=True)
    except BadSource as error:
        why = str(error)
        buffer = memoryview(bytearray(_BUFFER_BYTES))
        while read_and_hash(buffer):  # the MD5 covers the rest, too
            pass
    return ContentReading(md5.hexdigest(), text, why, header)


def difference(reading: ContentReading, path: Path, offset: int, length: int) -> str:
    """Why a piece of an output is no copy of a source; "" if it is one.

    Raises PermanentError or TemporaryError.
    """
    if reading.text is None:
        return f"cannot be compared with the file: {reading.why}"
    if reading.text != read_piece(path, offset, length):
        return "does not contain the exact text of the file"
    if reading.header and lost_lines(read_header(path)[0].lines, reading.header):
        return "does not contain the header of the file"
    return ""


def read_piece(path: Path, offset: int, length: int) -> TextHash:
    """Hash the text of `length` bytes of whole gzip members at `offset` of an output.

    Raises PermanentError or TemporaryError.
    """
    with OutputReader(path) as reader:
        reader.seek(offset, length, forget=True)
        inflated = GzipReader(reader.readinto, path).readinto if length else reader.readinto
        return _text_of(inflated, path, headed=not offset)[0]


def _text_of(readinto: ReadInto, path: Path, *, headed: bool) -> tuple[TextHash, tuple[str, ...]]:
    """The text, and the lines of the header that BAM has before it if it is `headed`."""
    text, size = hashlib.sha256(), 0
    if is_bam(path.name):
        header: tuple[str, ...] = ()
        for unit in BamReader(readinto, path, headed=headed):
            if unit.header is not None:
                header = unit.header.lines
                continue
            size += len(unit.data)
            text.update(unit.data)
        return TextHash(size, text.digest()), header
    buffer = memoryview(bytearray(_BUFFER_BYTES))
    while count := readinto(buffer):
        size += count
        text.update(buffer[:count])
    return TextHash(size, text.digest()), ()
