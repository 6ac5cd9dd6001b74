"""Compress to BGZF: gzip members of at most 64 KiB that say their own length, so that readers can
jump and go parallel.

Readable by everything that reads gzip. This is for any data, by isal or zlib; `coder` does it for
FASTQ where it can. A deflate block has one Huffman table for all its bytes, but bases want two bits
and qualities nearly five; so it pays to end blocks where the one follows the other.

There is no time and no name in the bytes. With zlib (level "small") they depend on the data and the
library's version only. With isal two processes may choose other matches for the same data: ISA-L's
levels 1 and 2 seem to put a position under the hash of whatever is in memory (measured: 4 of
100,000 small blocks at level 2, 13 at level 1, none at levels 0 and 3, none where the address space
is not randomised). All of them inflate to the same data.

SAM/BAM specification, section 4.1, for the framing; RFC 1951 for what a flush leaves behind.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import Protocol

from isal import isal_zlib

from hesiod_watch.fastq.model import Level

# of input, as htslib takes it: leaves room for what does not compress. `coder.c` knows it too
BLOCK_BYTES = 65280
HEAD_BYTES = 18
END_OF_FILE = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
_HEAD = bytes.fromhex(
    "1f8b08040000000000ff060042430200"
)  # gzip, extra field BC, no time, system unknown
_SIZE = struct.Struct("<H")
_TRAILER = struct.Struct("<II")
_FRAME_BYTES = len(_HEAD) + _SIZE.size + _TRAILER.size
_LAST_BLOCK = b"\x03\x00"  # an empty final deflate block: a flush leaves the stream open


def is_block(head: bytes) -> bool:
    """Whether a gzip member that begins with `head` (18 bytes) is a BGZF block as everybody writes
    it.
    """
    return len(head) >= HEAD_BYTES and head[:4] == _HEAD[:4] and head[10:16] == _HEAD[10:16]


_Parts = list[bytes | memoryview]


class _Compressor(Protocol):
    def compress(self, data: memoryview, /) -> bytes: ...

    def flush(self, mode: int, /) -> bytes: ...


def compress(data: memoryview, splits: Sequence[int], level: Level) -> Iterator[bytes | memoryview]:
    """The BGZF blocks of `data`, in parts to be joined, in order; without the end-of-file block.

    `splits` are places in `data`, ascending, where the statistics of the bytes change.
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
        # A full flush forgets the history, so that the next block can be read without this one.
        parts += (
            compressor.compress(data[at:end]),
            compressor.flush(zlib.Z_FULL_FLUSH),
            _LAST_BLOCK,
        )
        yield from _framed(parts, block)


def _framed(deflated: _Parts, block: memoryview) -> _Parts:
    """One BGZF block: `deflated`, a whole deflate stream of the bytes `block`, between header and
    trailer.
    """
    size = _FRAME_BYTES + sum(map(len, deflated))
    if size > 1 << 16:
        # It grew. Stored as it is (one final block of type 00), it always fits.
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
