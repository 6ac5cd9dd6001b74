"""Text for people: numbers of things."""

from __future__ import annotations


def number_of(number: float, one: str, many: str = "", *, form: str = "") -> str:
    """Return a number with its noun: "1 file", "3 files".

    `many` is the plural if it is not `one` plus s. `form` is the format of the number.
    """
    return f"{number:{form}} {one if number == 1 else many or f'{one}s'}"
