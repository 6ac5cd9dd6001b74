"""Reading JSON records from disk or from another program: what no record of ours can hold is
refused at the border.

One number in one flag must not stop a command that shows all runs. So a text with a number that is
not finite, or that 64 bits do not hold, is no record at all. Neither is one that is nested very
deeply, nor one with half a character.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

MOST = 2**64
"""Numbers are smaller than this, and not smaller than half of it below zero: sizes, counts, inodes,
seconds.
"""
_LARGEST = 2**96
"""The same of a document: 64 bits of seconds, in nanoseconds, as a file's time may be that its
owner has set.
"""
_EARLIER = frozenset({"trouble", "why", "person", "again"})
"""Keys of version 0.1.0 that are spelled otherwise now."""
DEEPEST = 32
"""Levels of lists and objects within each other in a record."""


def loads(text: str | bytes) -> Any:
    """The value that a JSON text says, as `json.loads` gives it. Raises ValueError for every text
    that is refused.

    For documents that list files: times in nanoseconds may need more than 64 bits. `whole_number`
    reads the sizes.
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
    """The JSON object that a flag's text is, or an empty mapping."""
    try:
        record = loads(text or "")
    except ValueError:
        return {}
    return current(record) if isinstance(record, dict) and _is_plain(record, DEEPEST) else {}


def current(record: Mapping[str, object]) -> dict[str, object]:
    """A record in today's spelling: the keys of version 0.1.0 that have another name now are
    renamed.

    `trouble` and `why` are `reason`; a record with both has its reason in `trouble`. `person` is
    `needs_person`, and so is the opposite of `again`.
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
    """The number that a text spells. Raises ValueError for no number, and for one that no record
    holds.
    """
    if not _is_held(number := int(text)):
        raise ValueError("a number that no record holds")
    return number


def whole_number(value: object) -> int | None:
    """A number of things in a record; None for text, a boolean, a fraction and what is below zero."""
    return value if type(value) is int and 0 <= value < MOST else None


def numbers_in(value: object) -> dict[str, int | float | None]:
    """The numbers of an object in a record by their names, and the names without a number; the rest
    is left out.
    """
    named = value.items() if isinstance(value, dict) else ()
    return {name: number for name, number in named if number is None or _is_amount(number)}


def _is_amount(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < MOST


def _is_held(number: float) -> bool:
    return -MOST // 2 <= number < MOST


def _is_plain(value: object, levels: int) -> bool:
    """Whether lists and objects are not nested too deeply, and hold no number that 64 bits do not
    hold.
    """
    if isinstance(value, int | float):
        return _is_held(value)
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels > 0 and all(_is_plain(each, levels - 1) for each in inner)


def _refuse_half_characters(value: object) -> None:
    """Raise ValueError for a text that cannot be encoded. Lone surrogates that stand for bytes of a
    name are kept.
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
        raise ValueError("a number that no record holds")
    return number


def _fraction(text: str) -> float:
    number = float(text)
    if not -_LARGEST < number < _LARGEST:
        raise ValueError("a number that no record holds")
    return number


def _constant(text: str) -> float:
    raise ValueError(f"{text} is no number")


_DECODER = json.JSONDecoder(parse_int=_whole, parse_float=_fraction, parse_constant=_constant)
