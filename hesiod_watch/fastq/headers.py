"""Find the few facts we want in FASTQ headers: channel, start time, the basecaller's own Q, model.

Two families are in use: `key=value` fields (MinKNOW 2017 to 2025) and SAM tags (`ch:i:332`; dorado, MinKNOW of 2026).
Both are unordered sets of fields divided by blanks or tabs; any field may be missing or empty, and a header may be the
id alone. So fields are found by name, never by position.

Headers of one file have the same fields in the same order, nearly always. So the order is learnt from one header and
made into a regular expression that reads all headers of a unit in one call; headers of another order get their own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

CHANNEL, START, SCORE, MODEL = range(4)

_FIELDS: Final[dict[bytes, int]] = {
    b"ch=": CHANNEL,
    b"start_time=": START,
    b"basecall_model_version_id=": MODEL,
    b"model_version_id=": MODEL,
    b"ch:i:": CHANNEL,
    b"st:Z:": START,
    b"qs:f:": SCORE,
    b"RG:Z:": MODEL,
}
_FIELD = re.compile(rb"[ \t](" + b"|".join(map(re.escape, _FIELDS)) + rb")")

# In RG:Z: the model stands between the run's id and, perhaps, a barcode: {id}_{model}[_{barcode}].
_RUN_ID = re.compile(r"^[0-9a-f-]{36,40}(?:_|$)")
_VERSION = re.compile(r"^.*?@v\d+(?:\.\d+)*")
_BARCODE = re.compile(r"(?:_[A-Z]{3}-[A-Z0-9-]+)?_(?:barcode\d+\w*|unclassified)$")
_SANE = re.compile(r"[\w.@+:-]{1,120}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Columns:
    """The raw values of some headers, one per header and b"" where a header has none; None: no header has any."""

    channels: list[bytes] | None = None
    starts: list[bytes] | None = None
    scores: list[bytes] | None = None
    models: list[bytes] | None = None


class HeaderReader:
    """Reads headers; remembers the orders of fields it has met, so use one for all of a source."""

    def __init__(self) -> None:
        self._layouts: dict[tuple[bytes, ...], re.Pattern[bytes]] = {}
        self._usual: tuple[bytes, ...] = ()

    def read(self, headers: bytes, count: int) -> Columns:
        """The columns of `count` header lines, each ended by a newline."""
        if b" " not in headers and b"\t" not in headers:
            return Columns()
        found = self._read_alike(headers, count)
        if found is None:
            found = self._read_each(headers)
        return Columns(*found)

    def _read_alike(self, headers: bytes, count: int) -> list[list[bytes] | None] | None:
        """All headers by one expression, or None if they are not all of one order."""
        order = self._usual or _order(headers[: headers.index(b"\n")])
        if any(key not in order and key in headers for key in _FIELDS):
            return None
        columns: list[list[bytes] | None] = [None] * 4
        if not order:
            return columns
        values = self._layout(order).findall(headers)
        if len(values) != count:
            self._usual = ()
            return None
        self._usual = order
        if len(order) == 1:
            columns[_FIELDS[order[0]]] = values
        else:
            for key, column in zip(order, zip(*values, strict=True), strict=True):
                columns[_FIELDS[key]] = list(column)
        return columns

    def _read_each(self, headers: bytes) -> list[list[bytes] | None]:
        columns: list[list[bytes]] = [[], [], [], []]
        for header in headers.splitlines():
            values = [b""] * 4
            order = _order(header)
            if order and (match := self._layout(order).match(header)):
                for key, value in zip(order, match.groups(), strict=True):
                    values[_FIELDS[key]] = value
            for column, value in zip(columns, values, strict=True):
                column.append(value)
        return [column if any(column) else None for column in columns]

    def _layout(self, order: tuple[bytes, ...]) -> re.Pattern[bytes]:
        if order not in self._layouts:
            # Each field is the first of its name behind the one before. The groups are atomic: a header that does not
            # fit is given up at once instead of being tried in every combination.
            fields = (rb"(?>(?:[ \t][^ \t\n]*)*?[ \t]" + re.escape(key) + rb")([^ \t\n]*)" for key in order)
            self._layouts[order] = re.compile(rb"^@[^ \t\n]*" + b"".join(fields), re.MULTILINE)
        return self._layouts[order]


def _order(header: bytes) -> tuple[bytes, ...]:
    """The names of the fields we want, in this header's order; of two for the same fact the first."""
    order: dict[int, bytes] = {}
    for key in _FIELD.findall(header):
        order.setdefault(_FIELDS[key], key)
    return tuple(order.values())


def model_name(value: str) -> str | None:
    """The basecalling model in a header's value, be it a plain name or a read group; None where it holds none."""
    name = _RUN_ID.sub("", value)
    if version := _VERSION.match(name):
        name = version.group()
    else:
        name = _BARCODE.sub("", name)
    return name if _SANE.fullmatch(name) and name != "unknown" else None
