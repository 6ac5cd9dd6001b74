"""Amounts of things as people read them."""

from __future__ import annotations


def number_of(number: float, one: str, many: str = "", *, form: str = "") -> str:
    """A number and what there is of it: "1 file", "3 files". `many` where an s will not do; `form`:
    of the number.
    """
    return f"{number:{form}} {one if number == 1 else many or f'{one}s'}"
