"""Huffman codes as deflate wants them: codes from lengths, and the block header that tells a reader (RFC 1951, 3.2).

For small codes that are known beforehand. The first bit of a code or a header is the lowest of its number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby

END = 256
"""Deflate's symbol for the end of a block."""

_ORDER = (16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15)  # in which lengths' own lengths are told
_LENGTHS_OF_LENGTHS = {0: 3, 1: 3, 2: 2, 3: 3, 17: 3, 18: 2}
"""The code in which lengths are told: of 0 to 3, and of runs of 3 and of 11 zeros or more."""


def canonical(lengths: Mapping[int, int]) -> dict[int, int]:
    """The code of each symbol, given its bits: equally long codes count up in the order of symbols."""
    codes = {}
    code = previous = 0
    for length, symbol in sorted((length, symbol) for symbol, length in lengths.items()):
        code <<= length - previous
        codes[symbol] = int(f"{code:0{length}b}"[::-1], 2)
        code, previous = code + 1, length
    return codes


def block_header(lengths: Mapping[int, int]) -> tuple[bytes, int]:
    """The header of a deflate block, not the last, with this code for literals and no distances; and its bits.

    No length may be above 3.
    """
    # One distance code of one bit that is never used: some readers want to see one.
    told = list(_told([*(lengths.get(symbol, 0) for symbol in range(END + 1)), 1]))
    codes = canonical(_LENGTHS_OF_LENGTHS)
    used = max(_ORDER.index(symbol) for symbol in codes) + 1
    fields = [(0b100, 3), (0, 5), (0, 5), (used - 4, 4)]  # not the last, dynamic; 257 literals, 1 distance
    fields += [(_LENGTHS_OF_LENGTHS.get(symbol, 0), 3) for symbol in _ORDER[:used]]
    for symbol, extra, extra_bits in told:
        fields += [(codes[symbol], _LENGTHS_OF_LENGTHS[symbol]), (extra, extra_bits)]
    value = size = 0
    for field, bits in fields:
        value |= field << size
        size += bits
    return value.to_bytes((size + 7) // 8, "little"), size


def _told(lengths: list[int]) -> Iterator[tuple[int, int, int]]:
    """How the lengths are told: symbols, each with a number behind it and the bits of that."""
    for length, group in groupby(lengths):
        left = len(list(group))
        while left:
            if length == 0 and left >= 11:
                count = min(left, 138)
                yield 18, count - 11, 7
            elif length == 0 and left >= 3:
                count = left
                yield 17, count - 3, 3
            else:
                count = 1
                yield length, 0, 0
            left -= count
