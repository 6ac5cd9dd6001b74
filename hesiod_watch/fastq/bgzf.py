"""Compress data to BGZF: gzip members of at most 64 KiB that contain their own length.

Readers can therefore seek and work in parallel, and every gzip reader can read the result. This
module compresses any data, with isal or zlib; `coder` compresses FASTQ where it can. A deflate
block has one Huffman table for all its bytes. Bases need two bits and qualities nearly five, so it
pays to end a block where one follows the other.

The bytes contain no time and no name. With zlib (level "small") they depend only on the data and
the library's version. With isal two processes may choose different matches for the same data.
ISA-L's levels 1 and 2 seem to store a position under the hash of whatever is in memory. Measured:
4 of 100,000 small blocks differ at level 2, 13 at level 1, none at levels 0 and 3, and none where
the address space is not randomised. All of them inflate to the same data.

The framing follows the SAM/BAM specification, section 4.1; RFC 1951 defines what a flush writes.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import Protocol

from isal import isal_zlib

from hesiod_watch.fastq.model import Level

# Bytes of input in one block, as in htslib: leaves room for data that does not compress. `coder.c`
# contains the same number.
BLOCK_BYTES = 65280
HEAD_BYTES = 18
END_OF_FILE = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
# gzip, extra field BC, no time, system unknown
_HEAD = bytes.fromhex("1f8b08040000000000ff060042430200")
_SIZE = struct.Struct("<H")
_TRAILER = struct.Struct("<II")
_FRAME_BYTES = len(_HEAD) + _SIZE.size + _TRAILER.size
_LAST_BLOCK = b"\x03\x00"  # an empty final deflate block: a flush leaves the stream open


def is_block(head: bytes) -> bool:
    """Whether a gzip member is a BGZF block in the usual form; `head`: its first 18 bytes."""
    return len(head) >= HEAD_BYTES and head[:4] == _HEAD[:4] and head[10:16] == _HEAD[10:16]


_Parts = list[bytes | memoryview]


class _Compressor(Protocol):
    def compress(self, data: memoryview, /) -> bytes: ...

    def flush(self, mode: int, /) -> bytes: ...


def compress(data: memoryview, splits: Sequence[int], level: Level) -> Iterator[bytes | memoryview]:
    """Compress `data` to BGZF blocks, yielded in order in parts; no end-of-file block.

    `splits` are ascending positions in `data` where the statistics of the bytes change.
    """
    compressor = _compressor(level)
    split = iter(splits)
    next_split = next(split, len(data))
    for start in range(0, len(data), BLOCK_BYTES):
        block = data[start : start + BLOCK_BYTES]
        end = start + len(block)
        parts: _Parts = []
        at = start
        while next_split < end:
            if next_split > at:
                parts += (
                    compressor.compress(data[at:next_split]),
                    compressor.flush(zlib.Z_SYNC_FLUSH),
                )
                at = next_split
            next_split = next(split, len(data))
        # A full flush clears the history, so that the next block can be read without this one.
        parts += (
            compressor.compress(data[at:end]),
            compressor.flush(zlib.Z_FULL_FLUSH),
            _LAST_BLOCK,
        )
        yield from _framed(parts, block)


def _framed(deflated: _Parts, block: memoryview) -> _Parts:
    """One BGZF block: header, `deflated` and trailer.

    `deflated` is a whole deflate stream of `block`. →
    """
    size = _FRAME_BYTES + sum(map(len, deflated))
    if size > 1 << 16:
        # The data grew. Stored without compression (one final block of type 00), it always fits.
        length = len(block)
        deflated = [b"\x01", struct.pack("<HH", length, length ^ 0xFFFF), block]
        size = _FRAME_BYTES + sum(map(len, deflated))
    return [
        _HEAD,
        _SIZE.pack(size - 1),
        *deflated,
        _TRAILER.pack(isal_zlib.crc32(block), len(block)),
    ]


def _compressor(level: Level) -> _Compressor:
    if level == "small":
        return zlib.compressobj(6, zlib.DEFLATED, -15)
    return isal_zlib.compressobj(1 if level == "fast" else 2, isal_zlib.DEFLATED, -15)
