"""Section `take_up`: which of the runs that were there before are taken up."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated

import yaml

from hesiod_watch.config.reading import (
    ConfigMistake,
    PatternValue,
    ReadContext,
    described,
    scalar,
)
from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.take_up import ALWAYS, NOW, TakeUpRule


class SinceValue:
    """`now`, `always` or a day, written 2026-11-30; empty: not decided."""

    def __call__(self, node: yaml.Node, reading: ReadContext, key: str) -> str:
        text = scalar(node, f"{NOW}, {ALWAYS} or a day such as 2026-11-30")
        if text in ("", NOW, ALWAYS):
            return text
        try:
            if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
                raise ValueError(text)
            return date.fromisoformat(text).isoformat()
        except ValueError:
            raise ConfigMistake(
                f"should be {NOW}, {ALWAYS} or a day such as 2026-11-30, not {described(node)}"
            ) from None


class PatternListValue:
    """List of regular expressions; a single one may be written without a list."""

    def __call__(self, node: yaml.Node, reading: ReadContext, key: str) -> tuple[str, ...]:
        nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
        return tuple(PatternValue()(each, reading, key) for each in nodes)


@frozen
class TakeUpSettings(TakeUpRule):
    """Which runs are taken up."""

    since: Annotated[str, SinceValue()] = ""
    """`always`: all. `now`: only those that were not there, finished, at the first look with this
    setting. A day: also those with a cell that began on it or later. Empty: all, unless more than
    20 finished runs are there at the first look; then none of these, and a person must decide.
    """

    include: Annotated[tuple[str, ...], PatternListValue()] = ()
    """Regular expressions; only runs whose whole name matches one are taken up. Empty: all runs."""

    exclude: Annotated[tuple[str, ...], PatternListValue()] = ()
    """Regular expressions; runs whose whole name matches one are not taken up."""
