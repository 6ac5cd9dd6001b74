"""Tolerant readers of JSON values: a missing or malformed value becomes None or empty."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any


def fraction(part: float | None, whole: float | None) -> float | None:
    """`part` divided by `whole`; None if either is missing or `whole` is 0."""
    return part / whole if part is not None and whole else None


def number(value: object) -> float | None:
    """A finite JSON number, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return value


def numbers(value: object) -> list[float]:
    return [number(item) or 0 for item in value] if isinstance(value, list | tuple) else []


def known_numbers(value: object) -> list[float | None]:
    """As `numbers`, but None where there is no number."""
    return [number(item) for item in value] if isinstance(value, list | tuple) else []


def text(value: object) -> str:
    """A string or a number as text, else ""."""
    return value if isinstance(value, str) else str(value) if number(value) is not None else ""


def strings(value: object) -> Iterable[str]:
    return (
        (item for item in value if isinstance(item, str)) if isinstance(value, list | tuple) else ()
    )


def mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def mappings(value: object) -> list[Mapping[str, Any]]:
    return (
        [item for item in value if isinstance(item, Mapping)]
        if isinstance(value, list | tuple)
        else []
    )
