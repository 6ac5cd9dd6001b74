"""Decide whether a source could be restored from its output: the reversible copy rule.

A source and its piece of an output are equal if they inflate to the same text. The MD5 of the
source's bytes, computed in the same reading, proves which file was compared. The name proves
nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hesiod_watch.core.errors import BadSource
from hesiod_watch.fastq.durable import OutputReader
from hesiod_watch.fastq.gunzip import GzipReader

_BUFFER_BYTES = 256 << 10

ReadInto = Callable[[memoryview], int]


@dataclass(frozen=True, slots=True)
class TextHash:
    """Size and SHA-256 of inflated text. Equal hashes mean the same text."""

    size: int
    sha256: bytes


@dataclass(frozen=True, slots=True)
class ContentReading:
    """Result of reading a source: MD5 of all its bytes, and its text or the reason why not."""

    md5: str
    text: TextHash | None
    why: str = ""


def read_source(readinto: ReadInto, path: Path, *, gzipped: bool) -> ContentReading:
    """Read a FASTQ file once from start to end; `path` is its name in messages.

    Raises the errors of `readinto`.
    """
    md5 = hashlib.md5(usedforsecurity=False)
    text, why = None, ""

    def read_and_hash(buffer: memoryview) -> int:
        count = readinto(buffer)
        md5.update(buffer[:count])
        return count

    try:
        text = _text_of(GzipReader(read_and_hash, path).readinto if gzipped else read_and_hash)
    except BadSource as error:
        why = str(error)
        buffer = memoryview(bytearray(_BUFFER_BYTES))
        while read_and_hash(buffer):  # the MD5 covers the rest, too
            pass
    return ContentReading(md5.hexdigest(), text, why)


def read_piece(path: Path, offset: int, length: int) -> TextHash:
    """Hash the text of `length` bytes of whole gzip members at `offset` of an output.

    Raises PermanentError or TemporaryError.
    """
    with OutputReader(path) as reader:
        reader.seek(offset, length, forget=True)
        return _text_of(GzipReader(reader.readinto, path).readinto if length else reader.readinto)


def _text_of(readinto: ReadInto) -> TextHash:
    text, size = hashlib.sha256(), 0
    buffer = memoryview(bytearray(_BUFFER_BYTES))
    while count := readinto(buffer):
        size += count
        text.update(buffer[:count])
    return TextHash(size, text.digest())
