"""Whether a source could be had back from its output: the reversible rule by which an output is a
copy of its sources.

A source and the piece of an output that was made of it are the same when they inflate to the same
text. Which file was compared is proven by the MD5 of its bytes, taken in the same reading, and not
by its name.
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
    """What a file, or a part of one, inflates to. Equal ones are the same text."""

    size: int
    sha256: bytes


@dataclass(frozen=True, slots=True)
class ContentReading:
    """What was read of a source: MD5 of all its bytes, and its text, or why there is none."""

    md5: str
    text: TextHash | None
    why: str = ""


def read_source(readinto: ReadInto, path: Path, *, gzipped: bool) -> ContentReading:
    """A FASTQ file, read once from start to end; `path` is how messages call it. Raises what
    `readinto` raises.
    """
    md5 = hashlib.md5(usedforsecurity=False)
    text, why = None, ""

    def taken(buffer: memoryview) -> int:
        count = readinto(buffer)
        md5.update(buffer[:count])
        return count

    try:
        text = _text_of(GzipReader(taken, path).readinto if gzipped else taken)
    except BadSource as error:
        why = str(error)
        buffer = memoryview(bytearray(_BUFFER_BYTES))
        while taken(buffer):  # its bytes are what they are
            pass
    return ContentReading(md5.hexdigest(), text, why)


def read_piece(path: Path, offset: int, length: int) -> TextHash:
    """Of `length` bytes of whole gzip members at `offset` of an output. Raises PermanentError,
    TemporaryError.
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
