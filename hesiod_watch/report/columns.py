"""Builder of charts in columns: stacked amounts by part, between an axis of amounts and another.

Passed reads are plain, failed reads hatched, skipped reads outlined: the difference is visible
without colour.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from markupsafe import Markup

from hesiod_watch.core.frozen import frozen
from hesiod_watch.report.svg import (
    AxisTick,
    Chart,
    ChartTable,
    Plot,
    column,
    left_ticks,
    nice_top,
)

WORDS = {"pass": "passed", "fail": "failed", "skip": "skipped", "all": "all reads"}


@frozen
class Column:
    """Column at a place of the canvas, in fractions of its width; `label` is what it is about."""

    start: float
    width: float
    label: str
    amounts: Mapping[str, float]  # by part, from the base line upwards


@frozen
class ColumnChart:
    """Drawing instructions for a chart in columns; `chart` draws all of them."""

    key: str
    title: str
    subtitle: str
    summary: str
    columns: Sequence[Column]
    unit: str  # of the axis of amounts: "b" for bases
    words: Callable[[float], str]  # an amount as text, in a tooltip
    bottom: Sequence[AxisTick]
    bottom_name: str
    table: ChartTable
    legend: tuple[tuple[str, str], ...] = ()
    noun: str = ""  # after the amounts in a tooltip
    notes: Sequence[Markup] = ()

    def chart(self) -> Chart:
        top, step = nice_top(max(sum(each.amounts.values()) for each in self.columns))
        return Plot(
            key=self.key,
            title=self.title,
            subtitle=self.subtitle,
            summary=self.summary,
            left=left_ticks(top, step, self.unit),
            bottom=self.bottom,
            bottom_name=self.bottom_name,
            marks=[
                column(
                    each.start,
                    each.width,
                    f"{each.label}: {self._spoken(each.amounts)}{self.noun}",
                    ((part, amount / top) for part, amount in each.amounts.items()),
                )
                for each in self.columns
            ],
            table=self.table,
            legend=self.legend,
            notes=self.notes,
        ).chart()

    def _spoken(self, amounts: Mapping[str, float]) -> str:
        """Amounts as text: "12.3 Gb passed, 1.2 Gb failed"."""
        if list(amounts) == ["all"]:
            return self.words(amounts["all"])
        return ", ".join(f"{self.words(amount)} {WORDS[part]}" for part, amount in amounts.items())
