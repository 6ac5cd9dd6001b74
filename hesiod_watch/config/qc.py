"""Limits for the numbers of finished cells, by type of run."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated

import yaml

from hesiod_watch.config.reading import (
    NUMBER,
    ConfigMistake,
    NotAKey,
    ReadContext,
    described,
    entries,
    joined,
    scalar,
)
from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.qc_verdict import NO_LIMIT, QcLimit, QcLimits


@frozen
class LimitValue:
    """`{fail: NUMBER, warn: NUMBER}`, one of them or both; `{}` for no limit.

    Values below the numbers are bad, or above them if it is `upper`.
    """

    upper: bool = False
    largest: float = 1e9

    def __call__(self, node: yaml.Node, reading: ReadContext, key: str) -> QcLimit:
        if not isinstance(node, yaml.MappingNode):
            raise ConfigMistake(f"should be {{fail: NUMBER, warn: NUMBER}}, not {described(node)}")
        found: dict[str, float] = {}
        for name, value in entries(reading, node, key):
            if name not in ("fail", "warn"):
                text = "unknown key; known here: fail, warn"
                reading.problem(reading.lines[joined(key, name)], joined(key, name), text)
                continue
            text = scalar(value, "a number")
            if not re.fullmatch(NUMBER, text) or float(text) > self.largest:
                limit = f"a number from 0 to {self.largest:,.0f}"
                raise ConfigMistake(f"{name} should be {limit}, not {described(value)}")
            found[name] = float(text)
        if len(found) == 2 and (
            found["warn"] > found["fail"] if self.upper else found["warn"] < found["fail"]
        ):
            than = "smaller" if self.upper else "larger"
            raise ConfigMistake(f"warn should be {than} than fail, or it has no effect")
        return QcLimit(found.get("warn"), found.get("fail"))


@frozen
class QcSettings(QcLimits):
    """Limits for the cells of a type of run; a cell without limits gets no verdict."""

    name: Annotated[str, NotAKey]
    """Key under `qc`: the name of a type of run."""

    n50: Annotated[QcLimit, LimitValue()] = NO_LIMIT
    """Smallest N50 of the passed reads, in bases."""

    gigabases: Annotated[QcLimit, LimitValue()] = NO_LIMIT
    """Smallest number of passed bases, in 10^9."""

    passed_percent: Annotated[QcLimit, LimitValue(largest=100)] = NO_LIMIT
    """Smallest part of the bases that passed, in percent."""

    unclassified_percent: Annotated[QcLimit, LimitValue(upper=True, largest=100)] = NO_LIMIT
    """Largest part of the passed bases without a barcode, in percent; only for barcoded cells."""

    mean_q: Annotated[QcLimit, LimitValue(largest=100)] = NO_LIMIT
    """Smallest mean Q of the passed reads."""

    pores: Annotated[QcLimit, LimitValue()] = NO_LIMIT
    """Smallest number of pores that the first scan finds available, from MinKNOW's report."""


def limits_of(settings: Iterable[QcSettings], run_type: str) -> QcLimits | None:
    """Limits for the cells of a type of run; None if there are none."""
    return next((each for each in settings if each.name == run_type), None)
