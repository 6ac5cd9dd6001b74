"""Numbers of things in the singular and the plural, and durations."""

from __future__ import annotations

import pytest

from hesiod_watch.core.text import exact_span_text, number_of, span_text


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


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-3, "0 s"),
        (0.9, "0 s"),
        (42, "42 s"),
        (119.9, "119 s"),
        (120, "2 min"),
        (300, "5 min"),
        (7199, "119 min"),
        (3 * 3600, "3 h"),
        (2 * 86400 - 1, "47 h"),
        (50 * 3600, "2 days"),
    ],
)
def test_span_text(seconds: float, words: str) -> None:
    """Durations are in the unit that a person would use, and never negative."""
    assert span_text(seconds) == words


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0 s"), (59, "59 s"), (60, "1 min"), (3599, "1 h 00 min"), (259_241, "72 h 01 min")],
)
def test_exact_span_text(seconds: float, shown: str) -> None:
    """A duration has at most two units."""
    assert exact_span_text(seconds) == shown
