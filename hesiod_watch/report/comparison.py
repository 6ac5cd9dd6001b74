"""Comparison of a cell with the cells of the same kind that were finished before it. Pure.

Of each number the page shows the median of the others, and how many of them are lower. Nothing is
shown for fewer than FEWEST others, because their median says little.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import median

from hesiod_watch.core.frozen import frozen
from hesiod_watch.report.formatting import UNKNOWN, bases_text, quality_text, share_text
from hesiod_watch.report.tolerant import number

FEWEST = 5
"""Number of other cells from which a comparison is shown."""

COMPARED: tuple[tuple[str, str, Callable[[float], str]], ...] = (
    ("gigabases", "Passed bases", lambda value: bases_text(1e9 * value)),
    ("n50", "N50", bases_text),
    ("mean_q", "Mean Q", quality_text),
    ("passed_percent", "Passed", lambda value: share_text(value / 100)),
    ("pores", "Pores at start", "{:,.0f}".format),
)
"""Compared numbers: name (see `limits`), label, and words."""

Figures = Mapping[str, float | None]


@frozen
class ComparedFigure:
    """One number of a cell beside those of the others; `standing` is "" without a comparison."""

    label: str
    value: str
    median: str = ""
    standing: str = ""  # for example "higher than 15 of 20"


def compare_figures(own: Figures, others: Sequence[Figures]) -> tuple[ComparedFigure, ...]:
    """Compare the numbers of a cell; empty if there are too few others."""
    if len(others) < FEWEST:
        return ()
    return tuple(
        _compared(label, words, own.get(key), [each.get(key) for each in others])
        for key, label, words in COMPARED
    )


def _compared(
    label: str, words: Callable[[float], str], value: float | None, found: Sequence[float | None]
) -> ComparedFigure:
    others = [other for each in found if (other := number(each)) is not None]
    if value is None:
        return ComparedFigure(label, UNKNOWN)
    if len(others) < FEWEST:
        return ComparedFigure(label, words(value))
    return ComparedFigure(label, words(value), words(median(others)), _standing(value, others))


def _standing(value: float, others: Sequence[float]) -> str:
    lower, number_of_all = sum(other < value for other in others), len(others)
    if lower == number_of_all:
        return f"higher than all {number_of_all}"
    if all(other > value for other in others):
        return f"lower than all {number_of_all}"
    return f"higher than {lower} of {number_of_all}"
