"""Verdict on the numbers of a cell, by the limits of the facility. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from typing import Any

from hesiod_watch.core.frozen import frozen


class QcGrade(StrEnum):
    """Result of comparing a cell's numbers with limits."""

    PASS = "PASS"  # noqa: S105 - a word for people
    WARN = "WARN"
    FAIL = "FAIL"


@frozen
class QcLimit:
    """Limit of one number; None: no limit."""

    warn: float | None = None
    fail: float | None = None

    def __bool__(self) -> bool:
        return self.warn is not None or self.fail is not None


NO_LIMIT = QcLimit()


@frozen
class QcLimits:
    """Limits for the cells of one type of run. All but one are the smallest good values."""

    name: str  # of the type
    n50: QcLimit = NO_LIMIT
    gigabases: QcLimit = NO_LIMIT
    passed_percent: QcLimit = NO_LIMIT
    unclassified_percent: QcLimit = NO_LIMIT  # largest good value
    mean_q: QcLimit = NO_LIMIT
    pores: QcLimit = NO_LIMIT


@frozen
class QcVerdict:
    """Grade of a cell, and the reasons for it; none for PASS."""

    grade: QcGrade
    type: str  # type of run whose limits were used
    reasons: tuple[str, ...] = ()  # the most serious first
    limits: Mapping[str, QcLimit] = field(default_factory=dict)

    @property
    def sentence(self) -> str:
        """The verdict for a person: "FAIL: N50 4,100 is below 5,000"."""
        return ": ".join(filter(None, (str(self.grade), "; ".join(self.reasons))))

    def record(self) -> dict[str, Any]:
        """The verdict as a JSON object for qc.json."""
        limits = {
            name: {"warn": limit.warn, "fail": limit.fail} for name, limit in self.limits.items()
        }
        return {
            "grade": str(self.grade),
            "type": self.type,
            "reasons": list(self.reasons),
            "limits": limits,
        }

    @classmethod
    def from_record(cls, record: object) -> QcVerdict | None:
        """Read grade, type and reasons of what `record` wrote; None for anything else."""
        if not isinstance(record, Mapping):
            return None
        reasons = record.get("reasons")
        try:
            grade = QcGrade(str(record.get("grade")))
        except ValueError:
            return None
        words = reasons if isinstance(reasons, list) else []
        return cls(grade, str(record.get("type", "")), tuple(map(str, words)))
