"""Read a written file back from the disk and prove that it holds what was put into it.

Everything is checked independently of how it was written: the MD5 of the bytes, the CRC and size of every gzip member,
for BGZF the length that every block claims and the end-of-file block, the form of every record, and the counts.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from isal import isal_zlib

from hesiod_watch.errors import PermanentError
from hesiod_watch.fastq import bgzf
from hesiod_watch.fastq.files import SourceFile, look
from hesiod_watch.fastq.gunzip import ISAL_ERROR, Inflater
from hesiod_watch.fastq.model import Tally
from hesiod_watch.fastq.records import RecordReader

_TRAILER = struct.Struct("<II")


def verify(
    written_path: Path,
    *,
    md5: str,
    reads: int,
    bases: int,
    on_progress: Callable[[Tally], None] | None = None,
) -> None:
    """Re-read `written_path` and compare. Returns only if everything agrees.

    Raises `PermanentError` (often `BadSource`) that names the file and the difference; `TemporaryError` where the file
    cannot be read just now. The file must have been fsynced, or the cached copy is what is read.
    """
    digest = hashlib.md5(usedforsecurity=False)
    with SourceFile(look(written_path, written_path.name)) as file:
        file.forget_cache()
        head = file.head(bgzf.HEAD_BYTES)
        readinto: Callable[[memoryview], int]
        if bgzf.is_block(head):
            readinto = _Blocks(file, digest).readinto
        else:
            readinto = Inflater(file.readinto, written_path, digest.update).readinto
        reader = RecordReader(readinto, written_path)
        found_bases = 0
        for unit in reader:
            found_bases += int(unit.lengths.sum())
            if on_progress is not None:
                on_progress(Tally(file.consumed, reader.records + unit.reads, found_bases, "verifying"))
        file.check_unchanged()
    for what, found, expected in (
        ("MD5", digest.hexdigest(), md5),
        ("reads", reader.records, reads),
        ("bases", found_bases, bases),
    ):
        if found != expected:
            raise PermanentError(f"{written_path}: {what} differ on re-reading: {found} on disk, {expected} written")
    if reader.repaired:
        raise PermanentError(f"{written_path}: {reader.repaired}, which was not written")


class _Blocks:
    """The inflated bytes of a BGZF file, block by block, as readers that jump would see it."""

    def __init__(self, file: SourceFile, digest: Any) -> None:
        self._file = file
        self._path = file.source.path
        self._digest = digest
        self._offset = 0  # of the current block
        self._rest = b""  # inflated and not handed out
        self._last = b""  # the block before

    def readinto(self, buffer: memoryview) -> int:
        filled = 0
        while filled < len(buffer):
            if not self._rest and not self._next():
                break
            part = self._rest[: len(buffer) - filled]
            buffer[filled : filled + len(part)] = part
            self._rest = self._rest[len(part) :]
            filled += len(part)
        return filled

    def _next(self) -> bool:
        """Inflate the next block that holds anything; False at the end of the file."""
        while not self._rest:
            head = self._read(bgzf.HEAD_BYTES)
            if not head:
                if self._last != bgzf.END_OF_FILE:
                    raise PermanentError(f"{self._path}: the BGZF end-of-file block is missing: the file is truncated")
                return False
            if not bgzf.is_block(head):
                raise self._bad("is no BGZF block")
            size = struct.unpack_from("<H", head, 16)[0] + 1
            body = self._read(size - bgzf.HEAD_BYTES) if size > bgzf.HEAD_BYTES + _TRAILER.size else b""
            if len(body) != size - bgzf.HEAD_BYTES:
                raise self._bad("is cut off")
            crc, length = _TRAILER.unpack_from(body, len(body) - _TRAILER.size)
            try:
                data = isal_zlib.decompress(memoryview(body)[: -_TRAILER.size], -15, max(length, 1))
            except ISAL_ERROR as error:
                raise self._bad(f"does not inflate: {error}") from error
            if len(data) != length or isal_zlib.crc32(data) != crc:
                raise self._bad("inflates to other data than were written (CRC)")
            self._last = head + body if length == 0 else b""
            self._rest = data
            self._offset += size
        return True

    def _read(self, size: int) -> bytes:
        data = bytearray(size)
        count = self._file.readinto(memoryview(data))
        self._digest.update(memoryview(data)[:count])
        return bytes(memoryview(data)[:count])

    def _bad(self, how: str) -> PermanentError:
        return PermanentError(f"{self._path}: the gzip member at byte {self._offset} {how}")
