"""Parse FASTQ headers: channel, start time, the basecaller's own Q, and model.

Two families are in use: `key=value` fields (MinKNOW 2017 to 2025) and SAM tags (`ch:i:332`; dorado,
MinKNOW of 2026). Both are unordered sets of fields, separated by blanks or tabs. Any field may be
missing or empty, and a header may consist of the id alone. Fields are therefore found by name,
never by position.

The headers of one file mostly have the same fields in the same order. Then one call splits all
headers of a unit into words; every k-th word is a column. Two more calls check a column and remove
the field's name. If headers differ (dorado names a parent for split reads only), those with equally
many words are tried together. The rest is parsed word by word, at four times the cost.
"""

from __future__ import annotations

import re
from typing import Final

from hesiod_watch.core.frozen import frozen

CHANNEL, START, SCORE, MODEL = range(4)

_VALUES: Final[dict[bytes, int]] = {
    b"ch=": CHANNEL,
    b"start_time=": START,
    b"basecall_model_version_id=": MODEL,
    b"model_version_id=": MODEL,
}
_TAGS: Final[dict[bytes, int]] = {
    b"ch:i:": CHANNEL,
    b"st:Z:": START,
    b"qs:f:": SCORE,
    b"RG:Z:": MODEL,
}
_FIELDS: Final = _VALUES | _TAGS
_FIELD = re.compile(b"|".join(map(re.escape, _FIELDS)))

# In RG:Z: the model is between the run's id and an optional barcode: {id}_{model}[_{barcode}].
_RUN_ID = re.compile(r"^[0-9a-f-]{36,40}(?:_|$)")
_VERSION = re.compile(r"^.*?@v\d+(?:\.\d+)*")
_BARCODE = re.compile(r"(?:_[A-Z]{3}-[A-Z0-9-]+)?_(?:barcode\d+\w*|unclassified)$")
_SANE = re.compile(r"[\w.@+:-]{1,120}", re.ASCII)


@frozen
class HeaderColumns:
    """Raw values of some headers, by field: one value per header.

    A value is b"" if its header lacks the field. A column is None if no header has the field.
    """

    channels: list[bytes] | None = None
    starts: list[bytes] | None = None
    scores: list[bytes] | None = None
    models: list[bytes] | None = None


def read_headers(headers: bytes, count: int) -> HeaderColumns:
    """Parse `count` header lines, each ended by a newline, into columns."""
    if count == 0 or (b" " not in headers and b"\t" not in headers):
        return HeaderColumns()
    return HeaderColumns(*(_columns_of_alike(headers, count) or _columns_by_width(headers, count)))


def _columns_of_alike(headers: bytes, count: int) -> list[list[bytes] | None] | None:
    """The columns if all headers have the same fields in the same order; otherwise None."""
    words = headers.split()
    width, rest = divmod(len(words), count)
    if rest:
        return None
    numbers: dict[bytes, int] = {}
    for number, word in enumerate(words[:width]):
        if match := _FIELD.match(word):
            numbers.setdefault(match.group(), number)
    # Search for a field that the first header lacks and a later one has. Testing for `=` and `:`
    # first is cheap where one is near the start or there is none. Tabs are no sign of tags: some
    # programs replace them by blanks.
    for family, mark in ((_VALUES, b"="), (_TAGS, b":")):
        if mark in headers and any(
            key not in numbers and _is_field_of(headers, key) for key in family
        ):
            return None
    columns: list[list[bytes] | None] = [None] * 4
    for key, number in numbers.items():
        # Values contain no newlines, so this gives `count` values only if every item of the column
        # begins with the key.
        values = (b"\n" + b"\n".join(words[number::width])).split(b"\n" + key)
        if len(values) != count + 1:
            return None
        if columns[_FIELDS[key]] is None:
            columns[_FIELDS[key]] = values[1:]
    return columns


def _is_field_of(headers: bytes, key: bytes) -> bool:
    return key in headers and (b" " + key in headers or b"\t" + key in headers)


def _columns_by_width(headers: bytes, count: int) -> list[list[bytes] | None]:
    """The columns of headers that differ.

    Headers with equally many words usually have the same fields.
    """
    widths: dict[int, list[int]] = {}
    lines = headers.split(b"\n")[:count]  # other line ends may be part of a header
    for number, line in enumerate(lines):
        widths.setdefault(len(line.split()), []).append(number)
    columns = [[b""] * count for _ in range(4)]
    for numbers in widths.values():
        some = b"".join([lines[number] + b"\n" for number in numbers])
        found = _columns_of_alike(some, len(numbers)) or _columns_of_each(some)
        for column, values in zip(columns, found, strict=True):
            for number, value in zip(numbers, values or (), strict=False):
                column[number] = value
    return [column if any(column) else None for column in columns]


def _columns_of_each(headers: bytes) -> list[list[bytes] | None]:
    """The columns, parsed header by header; b"" where a header lacks the field."""
    columns: list[list[bytes]] = [[], [], [], []]
    for header in headers.removesuffix(b"\n").split(b"\n"):
        values: list[bytes | None] = [None] * 4
        for word in header.split():
            match = _FIELD.match(word)
            if match and values[_FIELDS[match.group()]] is None:
                values[_FIELDS[match.group()]] = word[match.end() :]
        for column, value in zip(columns, values, strict=True):
            column.append(value or b"")
    return [column if any(column) else None for column in columns]


def model_name(value: str) -> str | None:
    """The basecalling model in a header's value (a plain name or a read group), or None."""
    name = _RUN_ID.sub("", value)
    if version := _VERSION.match(name):
        name = version.group()
    else:
        name = _BARCODE.sub("", name)
    return name if _SANE.fullmatch(name) and name != "unknown" else None
