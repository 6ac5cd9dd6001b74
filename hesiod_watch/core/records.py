"""Safe reader of JSON records from disk or from another program; refuses impossible values.

One bad number in one flag must not stop a command that shows all runs. So a text is refused as a
whole if one of its numbers is not finite or does not fit into 64 bits. A text is also refused if
it is nested very deeply, or if it contains half a character (a lone surrogate).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

MOST = 2**64
"""Upper limit of a number in a record: a size, a count, an inode or a time in seconds.

A number is less than this, and at least minus half of this.
"""
_LEAST = -MOST // 2
_LARGEST = 2**96
"""Limit of a number in a document: 64 bits of seconds, as nanoseconds.

The owner of a file can set its time to any such value.
"""
_EARLIER = frozenset({"trouble", "why", "person", "again"})
"""Keys of version 0.1.0 that have another name now."""
DEEPEST = 32
"""Highest number of nested lists and objects in a record."""


def loads(text: str | bytes) -> Any:
    """Parse a JSON text like `json.loads`. Raises ValueError for every refused text.

    It also serves documents that list files: times in nanoseconds may need more than 64 bits.
    Their sizes are read with `whole_number`.
    """
    text = text if isinstance(text, str) else text.decode()
    try:
        value = _DECODER.decode(text)
        if "\\ud" in text or "\\uD" in text:
            _refuse_half_characters(value)
    except RecursionError:  # thousands of open brackets
        raise ValueError("nested too deeply") from None
    return value


def record_in(text: str | bytes | None) -> Mapping[str, object]:
    """Return the JSON object in a flag's text, in today's spelling; empty if there is none."""
    if not text:
        return {}
    try:
        record = loads(text)
    except ValueError:
        return {}
    return current(record) if isinstance(record, dict) and _is_plain(record, DEEPEST) else {}


def current(record: Mapping[str, object]) -> dict[str, object]:
    """Return a record in today's spelling: keys of version 0.1.0 get their new names.

    `trouble` and `why` become `reason`; in a record with both, `trouble` is the reason. `person`
    becomes `needs_person`; `again` becomes its opposite, `needs_person`.
    """
    renamed = {key: value for key, value in record.items() if key not in _EARLIER}
    if "reason" not in renamed:
        for key in ("trouble", "why"):
            if key in record:
                renamed["reason"] = record[key]
                break
    if "needs_person" not in renamed and "person" in record:
        renamed["needs_person"] = record["person"]
    if "needs_person" not in renamed and isinstance(record.get("again"), bool):
        renamed["needs_person"] = not record["again"]
    return renamed


def parse_whole(text: str | bytes) -> int:
    """Parse a whole number. Raises ValueError if it is none or does not fit into a record."""
    if not _fits_record(number := int(text)):
        raise ValueError("a number that does not fit into a record")
    return number


def whole_number(value: object) -> int | None:
    """Return a whole number of a record; None for a text, boolean, fraction or negative number."""
    return value if type(value) is int and 0 <= value < MOST else None


def texts_in(value: object) -> tuple[str, ...]:
    """Return the entries of a record's list as texts; empty for anything else."""
    return tuple(str(each) for each in value) if isinstance(value, list) else ()


def numbers_in(value: object) -> dict[str, int | float | None]:
    """Return the amounts (not negative) and nulls of a record's object by name; drop the rest."""
    named = value.items() if isinstance(value, dict) else ()
    return {name: number for name, number in named if number is None or _is_amount(number)}


def _is_amount(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < MOST


def _fits_record(number: float) -> bool:
    return _LEAST <= number < MOST


def _is_plain(value: object, levels: int) -> bool:
    """Whether a value has at most `levels` nested levels, and all its numbers fit into 64 bits."""
    if isinstance(value, int | float):
        return _fits_record(value)
    if levels < 1:
        return False
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for each in inner:  # most values are texts and numbers: a call for each would take long
        kind = type(each)
        if kind is int or kind is float:
            if not _LEAST <= each < MOST:
                return False
        elif kind is not str and each is not None and not _is_plain(each, levels - 1):
            return False
    return True


def _refuse_half_characters(value: object) -> None:
    """Raise ValueError for a text that cannot be encoded.

    Lone surrogates that represent undecodable bytes of a name are allowed.
    """
    if isinstance(value, str):
        value.encode("utf-8", "surrogateescape")
    for each in (
        (*value, *value.values())
        if isinstance(value, dict)
        else value
        if isinstance(value, list)
        else ()
    ):
        _refuse_half_characters(each)


def _whole(text: str) -> int:
    number = int(text)
    if not -_LARGEST < number < _LARGEST:
        raise ValueError("a number that does not fit into a record")
    return number


def _fraction(text: str) -> float:
    number = float(text)
    if not -_LARGEST < number < _LARGEST:
        raise ValueError("a number that does not fit into a record")
    return number


def _constant(text: str) -> float:
    raise ValueError(f"{text} is not a number")


_DECODER = json.JSONDecoder(parse_int=_whole, parse_float=_fraction, parse_constant=_constant)


def why_in(text: str | None) -> str:
    """Return the reason in a flag's text: its record's `reason`, or the plain text as one line."""
    record = record_in(text)
    return str(record.get("reason", "")) if record else " ".join((text or "").split())
