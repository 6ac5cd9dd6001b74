"""Whether a source could be had back from its output: the reversible rule by which an output is a copy of its sources.

A source and the piece of an output that was made of it are the same when they inflate to the same text. Which files are
compared is proven by the MD5 of their bytes, taken in the same reading, and not by their names.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from hesiod_watch.fastq.durable import OutputReader
from hesiod_watch.fastq.files import SourceFile, look
from hesiod_watch.fastq.gunzip import Inflater

_BUFFER_BYTES = 256 << 10


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read of a file, or of a part of one: MD5 of its bytes, size and SHA-256 of the text they inflate to."""

    md5: str
    text_size: int
    text_sha256: str

    def same_text(self, other: Reading) -> bool:
        return (self.text_size, self.text_sha256) == (other.text_size, other.text_sha256)


def read_source(path: Path) -> Reading:
    """A FASTQ file, gzipped if its name says so. Raises BadSource, PermanentError, TemporaryError."""
    md5, text, size = hashlib.md5(usedforsecurity=False), hashlib.sha256(), 0
    buffer = memoryview(bytearray(_BUFFER_BYTES))
    with SourceFile(look(path, path.name)) as file:
        file.forget_cache()
        inflating = Inflater(file.readinto, path, md5.update) if file.source.gzipped else None
        readinto = inflating.readinto if inflating else file.readinto
        while count := readinto(buffer):
            size += count
            text.update(buffer[:count])
            if not inflating:
                md5.update(buffer[:count])
        file.check_unchanged()
    return Reading(md5.hexdigest(), size, text.hexdigest())


def read_piece(path: Path, offset: int, length: int) -> Reading:
    """`length` bytes of whole gzip members at `offset` of an output. Raises as `read_source`."""
    md5, text, size = hashlib.md5(usedforsecurity=False), hashlib.sha256(), 0
    buffer = memoryview(bytearray(_BUFFER_BYTES))
    with OutputReader(path) as reader:
        reader.seek(offset, length, forget=True)
        inflating = Inflater(reader.readinto, path, md5.update)
        while length and (count := inflating.readinto(buffer)):
            size += count
            text.update(buffer[:count])
    return Reading(md5.hexdigest(), size, text.hexdigest())
