"""Numbers of things in the singular and the plural."""

from __future__ import annotations

import pytest

from hesiod_watch.core.text import number_of


@pytest.mark.parametrize(
    ("number", "words", "form", "says"),
    [
        (0, ("file",), "", "0 files"),
        (1, ("file",), "", "1 file"),
        (2, ("file",), "", "2 files"),
        (21, ("file",), "", "21 files"),
        (1, ("entry", "entries"), "", "1 entry"),
        (3, ("entry", "entries"), "", "3 entries"),
        (1234567, ("read",), ",", "1,234,567 reads"),
        (1.0, ("day",), "g", "1 day"),
        (1.5, ("day",), "g", "1.5 days"),
    ],
)
def test_number_of(number: float, words: tuple[str, ...], form: str, says: str) -> None:
    """The noun is in the singular for one, and in the plural for all other numbers.

    Zero is plural, too.
    """
    assert number_of(number, *words, form=form) == says
