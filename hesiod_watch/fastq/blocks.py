"""Inflate BGZF block by block, as a seeking reader would: check every length and every CRC."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path

from isal import isal_zlib

from hesiod_watch.core.errors import BadSource, PermanentError
from hesiod_watch.fastq import bgzf
from hesiod_watch.fastq.gunzip import ISAL_ERROR

_TRAILER = struct.Struct("<II")
_CUT_OFF = "is cut off"
_SLAB_BYTES = 128 << 10  # read at a time; a block has at most half of that


class BgzfBlocks:
    """Inflated bytes of a stream of BGZF blocks, as an iterator or as `readinto`.

    `readinto` returns the compressed bytes; the first is at `offset` of the file `path`.
    `passed_on` is called with each part of them, before it is checked. `on_block` is called with
    each block that is not empty, after it was checked: its bytes, and what they inflate to. Our
    program wrote the file, so a wrong block raises `PermanentError`; in a `source` it raises
    `BadSource`.
    """

    def __init__(
        self,
        readinto: Callable[[memoryview], int],
        path: Path,
        passed_on: Callable[[memoryview], None],
        offset: int = 0,
        *,
        on_block: Callable[[memoryview, memoryview], None] | None = None,
        source: bool = False,
    ) -> None:
        self.last = b""  # the previous block, if it was empty
        self._readinto = readinto
        self._path = path
        self._passed_on = passed_on
        self._offset = offset  # of the current block
        self._on_block = on_block
        self._source = source
        self._compressed = memoryview(b"")  # bytes read and not yet inflated
        self._rest = memoryview(b"")  # bytes inflated and not yet returned

    def __iter__(self) -> Iterator[memoryview]:
        while self._next():
            yield self._rest
            self._rest = memoryview(b"")

    def readinto(self, buffer: memoryview) -> int:
        """Fill `buffer`; fewer bytes than asked for only at the end of the stream."""
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
        """Inflate the next block that is not empty; False at the end of the stream."""
        while not self._rest:
            head = bytes(self._peek(bgzf.HEAD_BYTES))
            if not head:
                return False
            if not bgzf.is_block(head):
                if bgzf.END_OF_FILE.startswith(head[:4]) and len(head) < bgzf.HEAD_BYTES:
                    raise self._bad(_CUT_OFF)
                raise self._bad("is not a BGZF block")
            size = struct.unpack_from("<H", head, 16)[0] + 1
            block = self._peek(size)
            if len(block) < size:
                raise self._bad(_CUT_OFF)
            if size <= bgzf.HEAD_BYTES + _TRAILER.size:
                raise self._bad("is shorter than its own frame")
            crc, length = _TRAILER.unpack_from(block, size - _TRAILER.size)
            if length > 1 << 16:
                raise self._bad("claims more data than a block can have")
            try:
                data = isal_zlib.decompress(
                    block[bgzf.HEAD_BYTES : -_TRAILER.size], -15, max(length, 1)
                )
            except ISAL_ERROR as error:
                raise self._bad(f"does not inflate: {error}") from error
            if len(data) != length or isal_zlib.crc32(data) != crc:
                raise self._bad("inflates to other data than were written (CRC)")
            self.last = bytes(block) if length == 0 else b""
            self._rest = memoryview(data)
            if self._on_block is not None and length:
                self._on_block(block, self._rest)
            self._compressed = self._compressed[size:]
            self._offset += size
        return True

    def _peek(self, size: int) -> memoryview:
        """The next `size` bytes without consuming them; fewer at the end of the stream."""
        if len(self._compressed) < size:
            slab = memoryview(bytearray(_SLAB_BYTES))
            start = len(self._compressed)
            slab[:start] = self._compressed
            count = self._readinto(slab[start:])
            self._passed_on(slab[start : start + count])
            self._compressed = slab[: start + count]
        return self._compressed[:size]

    def _bad(self, how: str) -> PermanentError:
        if self._source:
            cut = "truncated: the file ends in the middle of a BGZF block"
            reason = cut if how == _CUT_OFF else f"corrupt BGZF: the block {how}"
            return BadSource(self._path, reason, where=f"byte {self._offset}")
        return PermanentError(f"{self._path}: the gzip member at byte {self._offset} {how}")
