"""Judgement of a cell's numbers by the limits of its type of run: PASS, WARN or FAIL.

A number that has a limit and is not known is a reason to warn: PASS means that every limit was
compared. A cell without limits gets no verdict.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

from hesiod_watch.core.model import Cell
from hesiod_watch.core.qc_verdict import QcGrade, QcLimit, QcLimits, QcVerdict
from hesiod_watch.core.results import DoneRecord

MEASURES: Mapping[str, str] = {
    "n50": "N50",
    "gigabases": "passed gigabases",
    "passed_percent": "passed percent of the bases",
    "unclassified_percent": "unclassified percent of the passed bases",
    "mean_q": "mean Q",
    "pores": "pores at the start",
}
"""Words for each number that may have a limit."""
UPPER = frozenset({"unclassified_percent"})
"""Numbers of which small values are good."""


def judge_qc(
    limits: QcLimits, figures: Mapping[str, float | None], *, reads: float, basecalled: bool
) -> QcVerdict | None:
    """Judge a finished cell; None if no number has a limit.

    `figures`: the numbers by name; None: not known; a number that the cell cannot have is absent.
    A cell without reads fails. If basecalling was off, nothing can be judged, and that is a
    warning.
    """
    given: dict[str, QcLimit] = {
        each.name: limit
        for each in fields(limits)
        if isinstance(limit := getattr(limits, each.name), QcLimit) and limit
    }
    if not given:
        return None
    if not reads:
        grade = QcGrade.FAIL if basecalled else QcGrade.WARN
        why = "there are no reads" if basecalled else "basecalling was off, so nothing is compared"
        return QcVerdict(grade, limits.name, (why,), given)
    found = [
        _compare(name, figures[name], limit) for name, limit in given.items() if name in figures
    ]
    bad, doubtful = (
        [why for grade, why in found if grade is wanted] for wanted in (QcGrade.FAIL, QcGrade.WARN)
    )
    grade = QcGrade.FAIL if bad else QcGrade.WARN if doubtful else QcGrade.PASS
    return QcVerdict(grade, limits.name, (*bad, *doubtful), given)


def qc_verdict(cell: Cell) -> str:
    """Return the verdict on a processed cell by the facility's limits; "" without limits."""
    return DoneRecord.of(cell.flags.done).qc_verdict


def _compare(name: str, value: float | None, limit: QcLimit) -> tuple[QcGrade, str]:
    words = MEASURES[name]
    if value is None:
        return QcGrade.WARN, f"{words}: not known"
    upper = name in UPPER
    for grade, bound in ((QcGrade.FAIL, limit.fail), (QcGrade.WARN, limit.warn)):
        if bound is not None and (value > bound if upper else value < bound):
            shown, than = _number(value), "above" if upper else "below"
            return grade, f"{words} {shown} is {than} {_number(bound)}"
    return QcGrade.PASS, ""


def _number(value: float) -> str:
    """Number with at most three decimals."""
    return f"{value:,.3f}".rstrip("0").rstrip(".")
