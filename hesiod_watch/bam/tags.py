"""The optional fields (tags) of a BAM record: names, types and values. No I/O."""

from __future__ import annotations

import struct
from collections.abc import Container

Tag = bytes | int | float

_NUMBERS: dict[int, struct.Struct] = {
    ord(letter): struct.Struct(f"<{letter_of_struct}")
    for letter, letter_of_struct in zip("cCsSiIf", "bBhHiIf", strict=True)
}
_TEXT, _HEX, _ARRAY, _CHARACTER = b"ZHBA"
_COUNT = struct.Struct("<I")


def read_tags(data: bytes, at: int, end: int, wanted: Container[bytes]) -> dict[bytes, Tag]:
    """The tags of `wanted` among those in `data` from `at` to `end`; all of them are checked.

    The value of an array is its number of elements. Raises ValueError for bytes that are no tags.
    """
    found: dict[bytes, Tag] = {}
    while at < end:
        if end - at < 4:
            raise ValueError("a tag is cut off")
        name, kind = data[at : at + 2], data[at + 2]
        at += 3
        value: Tag
        if number := _NUMBERS.get(kind):
            size = number.size
            if at + size > end:
                raise ValueError("a tag is cut off")
            value = number.unpack_from(data, at)[0] if name in wanted else 0
        elif kind in (_TEXT, _HEX):
            stop = data.find(b"\0", at, end)
            if stop < 0:
                raise ValueError("a text tag has no end")
            value = data[at:stop] if name in wanted else b""
            size = stop + 1 - at
        elif kind == _ARRAY:
            element = _NUMBERS.get(data[at])
            if element is None or at + 5 > end:
                raise ValueError(f"an array of the unknown type {chr(data[at])!a}")
            (value,) = _COUNT.unpack_from(data, at + 1)
            size = 5 + int(value) * element.size
        elif kind == _CHARACTER:
            value, size = data[at : at + 1], 1
        else:
            raise ValueError(f"a tag of the unknown type {chr(kind)!a}")
        at += size
        if at > end:
            raise ValueError("a tag is cut off")
        if name in wanted:
            found[name] = value
    return found
