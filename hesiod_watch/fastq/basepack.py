"""Deflate bases without searching for repeats: two bits for three of A, C, G, T and three for the rarest.

A compressor for anything finds "matches" in random bases that cost more bits than the bases do, and takes its time over
them. With one fixed Huffman code there is nothing to search for, so numpy can do it: 1 ns a base against 2.5 of isal
level 2, and 2.2 bits a base against 2.45. (Reads that overlap do repeat each other, but isal, which remembers one place
for each four letters, does not find that either; zlib does, slowly.) What comes out is an ordinary deflate block (RFC
1951). The CRC in the BGZF trailer is taken of the input, so a mistake made here could not pass the verification.

How: sixteen bases become a number of up to 48 bits by two table look-ups of eight; a running sum of their lengths says
at which bit each number goes; numbers are shifted to their place in 64-bit words, and those of one word are added up.
Bits are counted from the lowest, as deflate does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hesiod_watch.fastq.huffman import END, block_header, canonical

_SYMBOLS: Final = b"ACTG"
"""The bases by bits 1 and 2 of their letters: (letter >> 1) & 3 is the place here."""

_CODE = np.uint64(0xFFFFFF)  # in a look-up: the code of eight bases; the byte above says how many bits it has
_SAMPLE_BYTES = 32 << 10


@dataclass(frozen=True, slots=True)
class _Table:
    """What depends on which base is the rarest."""

    lookup: NDArray[np.uint32]  # by eight bases
    filler: int  # the base whose code is 00
    end: np.uint64  # the code of deflate's END, of three bits
    header: NDArray[np.uint8]  # of the block; its last byte is shared with the first bases
    header_bits: int


def pack(chunks: Sequence[memoryview]) -> list[memoryview]:
    """Each chunk as one deflate block that is not the last, followed by an empty stored one.

    So the results begin and end at byte boundaries, and can be put anywhere into a deflate stream. Every chunk holds at
    least one base, and nothing but A, C, G and T: the caller knows that; anything else would come out as one of them.
    """
    sample = np.bincount(np.frombuffer(chunks[0][:_SAMPLE_BYTES], np.uint8), minlength=256)
    table = _table(min(_SYMBOLS, key=lambda symbol: int(sample[symbol])))
    sizes = np.array([len(chunk) for chunk in chunks])
    missing = -sizes % 16
    numbers, lengths = _encode(_filled(chunks, missing, table.filler), table.lookup)

    # Cut off the fillers, whose bits are zeros anyway, and put the end of the block behind each chunk's last number.
    counts = (sizes + missing) >> 4
    last = np.cumsum(counts) - 1
    lengths[last] -= 2 * missing
    numbers[last] |= table.end << lengths[last].view(np.uint64)
    ends = np.cumsum(lengths)
    bits = np.diff(ends[last], prepend=0)

    # Behind the bases: three bits of END, three of an empty stored block, zeros up to a byte, and its length 0 twice.
    stops = np.cumsum(((table.header_bits + bits + 3 + 3 + 7) >> 3) + 4)
    starts = np.concatenate(([0], stops[:-1]))
    places = ends - lengths
    places += np.repeat(8 * starts + table.header_bits - (ends[last] - bits), counts)
    packed: NDArray[np.uint8] = _put(numbers, places, int(stops[-1])).view(np.uint8)
    packed[starts[:, np.newaxis] + np.arange(len(table.header))] |= table.header
    packed[stops - 1] = packed[stops - 2] = 0xFF
    view = packed.data
    return [view[start:stop] for start, stop in zip(starts.tolist(), stops.tolist(), strict=True)]


def _filled(chunks: Sequence[memoryview], missing: NDArray[np.int64], filler: int) -> bytes:
    """The chunks joined, each filled up to whole numbers of sixteen bases."""
    fillers = [bytes([filler]) * count for count in range(16)]
    parts: list[bytes | memoryview] = []
    for chunk, count in zip(chunks, missing.tolist(), strict=True):
        parts += (chunk, fillers[count])
    return b"".join(parts)


def _encode(bases: bytes, lookup: NDArray[np.uint32]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """For each sixteen bases their bits as one number, and how many bits."""
    four = np.frombuffer(bases, "<u4") >> np.uint32(1)
    four &= np.uint32(0x03030303)
    four *= np.uint32(0x40100401)  # brings the four pairs of bits together in the highest byte, the first base on top
    four >>= np.uint32(24)
    both = lookup.take(four.astype(np.uint8).view("<u2"), mode="clip").view("<u8")
    lengths = (both >> np.uint64(24)) & np.uint64(0xFF)
    numbers = (both >> np.uint64(32)) & _CODE
    numbers <<= lengths
    numbers |= both & _CODE
    lengths += both >> np.uint64(56)
    return numbers, lengths.view(np.int64)


def _put(numbers: NDArray[np.uint64], places: NDArray[np.int64], size: int) -> NDArray[np.uint64]:
    """At least `size` bytes with each number at its place, a bit. Places ascend, numbers do not overlap."""
    words = np.zeros(size // 8 + 2, np.uint64)
    word = places >> 6
    shift = (places & 63).view(np.uint64)
    beyond = (numbers >> np.uint64(1)) >> (np.uint64(63) - shift)  # in two steps: a shift by 64 is undefined
    final = np.flatnonzero(np.append(word[1:] != word[:-1], True))  # the last number that starts in each word
    # Sums wrap around at 2^64; their differences are right all the same.
    sums = np.cumsum(numbers << shift)[final]
    sums[1:] -= sums[:-1].copy()
    word = word[final]
    words[word] = sums
    # Only the last number that starts in a word can reach into the next.
    words[word + 1] |= beyond[final]
    return words


@cache
def _table(rarest: int) -> _Table:
    lengths = dict.fromkeys(_SYMBOLS, 2) | {rarest: 3, END: 3}
    codes = canonical(lengths)
    bits = np.array([codes[symbol] for symbol in _SYMBOLS], np.uint32)
    size = np.array([lengths[symbol] for symbol in _SYMBOLS], np.uint32)
    index = np.arange(256)
    four, four_size = np.zeros(256, np.uint32), np.zeros(256, np.uint32)
    for place in (6, 4, 2, 0):  # as _encode puts four bases into a byte
        base = (index >> place) & 3
        four |= bits[base] << four_size
        four_size += size[base]
    index = np.arange(1 << 16)
    low, high = index & 0xFF, index >> 8
    eight = four[low] | four[high] << four_size[low] | (four_size[low] + four_size[high]) << np.uint32(24)
    header, header_bits = block_header(lengths)
    return _Table(
        lookup=eight.astype(np.uint32),
        filler=next(symbol for symbol in _SYMBOLS if codes[symbol] == 0),
        end=np.uint64(codes[END]),
        header=np.frombuffer(header, np.uint8),
        header_bits=header_bits,
    )
