"""Charts of a cell's page over time: yield, mean Q, N50, and available pores. Pure.

All of them have one builder, `_drawn`: curves in a stretched canvas, zones with a tooltip, an axis
of hours, and a table of at most about 24 of the same moments.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise

from hesiod_watch.core.frozen import frozen
from hesiod_watch.report.columns import WORDS
from hesiod_watch.report.document import QcDocument
from hesiod_watch.report.formatting import UNKNOWN, bases_text, quality_text, share_text
from hesiod_watch.report.read_groups import FiguresOverTime, ReadGroup, YieldOverTime
from hesiod_watch.report.svg import (
    AxisTick,
    Chart,
    ChartTable,
    Plot,
    area,
    column,
    left_ticks,
    line,
    nice_top,
    quality_span,
    quality_ticks,
    stretched,
)

Points = Sequence[tuple[float, float]]
"""Points of a curve: hours, and the value at that time."""

_ZONES = 72  # most zones with a tooltip; narrower ones are hard to hit
_TABLE_ROWS = 24
_HOUR_STEPS = (1 / 60, 1 / 12, 1 / 6, 0.5, 1, 2, 3, 6, 12, 24, 48, 96, 168)  # hours
_CURVES = (("curve-pass", "passed"), ("curve-all", "all reads"))
_FEW = 0.01
"""Part of the reads of the fullest period below which the figures of a period are mere noise."""


@frozen
class _Curve:
    """Curve, and its values at the moments of the chart (None: none is known)."""

    points: Points
    values: Sequence[float | None]


@frozen
class _TimeChart:
    """Drawing instructions: curves, their words and the moments at which they are read."""

    key: str
    title: str
    subtitle: str
    summary: str
    since: str  # the beginning of the time axis: "the first read"
    left: Sequence[AxisTick]
    span: tuple[float, float]  # values at the bottom and at the top
    curves: Mapping[str, _Curve]  # by kind: "pass" or "all"
    moments: Sequence[float]  # hours, in order; the last one is the right edge
    what: str  # the values of all curves, in a column's head: "bases"
    words: Callable[[float], str]  # a value as text, in a tooltip
    digits: int = 0  # decimals in the table
    head: str = ""  # of the only column of the table, in place of `what` and the kind
    shaded: bool = True  # the area below the main curve


def yield_chart(cell: QcDocument) -> Chart | None:
    """Bases so far by time since the first read: all reads dashed, passed reads plain."""
    whole = cell.total.yields
    if whole is None or not sum(whole.bases):
        return None
    passed = cell.parts["pass"].yields if "pass" in cell.parts else None
    sums = {"all": _running_sum(whole, whole.start)}
    if passed is not None and _comparable(passed.start, whole.start):
        sums["pass"] = _running_sum(passed, whole.start)
    hours = max(point[0] for points in sums.values() for point in points)
    highest = sums["all"][-1][1]
    half = next(hour for hour, amount in sums["all"] if amount >= highest / 2)
    summary = f"{bases_text(highest)} in {_hours(hours)}; half of it after {_hours(half)}."
    if "pass" in sums:
        summary += f" {bases_text(sums['pass'][-1][1])} passed."
    zones = min(_ZONES, len(whole.bases))
    moments = [hours * (zone + 1) / zones for zone in range(zones)]
    top, step = nice_top(highest)
    return _drawn(
        _TimeChart(
            key="yield",
            title="Yield over time",
            subtitle="bases since the first read, added up",
            summary=summary,
            since="the first read",
            left=left_ticks(top, step, "b"),
            span=(0, top),
            # Both curves end at the right edge: the last hours may have no passed read, and this
            # must not look like a gap.
            curves={
                kind: _Curve(
                    [*points, (hours, points[-1][1])], [_at(points, hour) for hour in moments]
                )
                for kind, points in sums.items()
            },
            moments=moments,
            what="bases",
            words=bases_text,
        )
    )


def quality_over_time_chart(cell: QcDocument) -> Chart | None:
    """Mean Q of the reads that began in each period; None for less than two periods."""
    found = _by_period(cell, "mean_q")
    if found is None:
        return None
    low, high = quality_span(*_extremes(found))
    return _drawn(
        _TimeChart(
            key="quality-time",
            title="Quality over time",
            subtitle="mean Q of the reads that began in each half hour",
            summary=_course("The mean Q", found, quality_text),
            since="the first read",
            left=quality_ticks(low, high),
            span=(low, high),
            curves=found.curves,
            moments=found.moments,
            what="mean Q",
            words=lambda value: f"Q {quality_text(value)}",
            digits=1,
            shaded=False,
        )
    )


def n50_over_time_chart(cell: QcDocument) -> Chart | None:
    """N50 of the reads that began in each period; None for less than two periods."""
    found = _by_period(cell, "n50")
    if found is None:
        return None
    top, step = nice_top(_extremes(found)[1])
    return _drawn(
        _TimeChart(
            key="n50-time",
            title="N50 over time",
            subtitle="N50 of the reads that began in each half hour",
            summary=_course("The N50", found, bases_text),
            since="the first read",
            left=left_ticks(top, step, "b"),
            span=(0, top),
            curves=found.curves,
            moments=found.moments,
            what="N50",
            words=bases_text,
            shaded=False,
        )
    )


def pore_chart(cell: QcDocument) -> Chart | None:
    """Available pores at each scan, by time since the start of the run."""
    scans = cell.pore_scans
    if len(scans) < 2 or not any(scan.available for scan in scans):
        return None
    points = [(scan.seconds / 3600, float(scan.available)) for scan in scans]
    first, last = scans[0], scans[-1]
    if not last.seconds:
        return None
    kept = share_text(last.available / first.available) if first.available else "none"
    top, step = nice_top(max(value for _, value in points))
    return _drawn(
        _TimeChart(
            key="pores",
            title="Pores over time",
            subtitle="pores available for sequencing, at each scan",
            summary=f"{first.available:,} of {first.pores:,} pores were available at the first"
            f" scan; {last.available:,} ({kept} of these) at the last,"
            f" after {_hours(points[-1][0])}.",
            since="the start of the run",
            left=left_ticks(top, step, ""),
            span=(0, top),
            curves={"all": _Curve(points, [value for _, value in points])},
            moments=[hour for hour, _ in points],
            what="pores",
            words=lambda value: f"{value:,.0f} pores available",
            head="Available pores",
        )
    )


@frozen
class _Periods:
    """One figure of all reads, and of the passed ones, over the periods of a run."""

    curves: Mapping[str, _Curve]
    moments: Sequence[float]  # ends of the periods, in hours since the first read

    @property
    def main(self) -> Points:
        return self.curves["pass" if "pass" in self.curves else "all"].points


def _by_period(cell: QcDocument, key: str) -> _Periods | None:
    """The figure by period; None if fewer than two periods have reads enough to compare them."""
    whole, yields = cell.total.over_time, cell.total.yields
    if whole is None:
        return None
    zero = whole.start
    if yields and _comparable(yields.start, zero):
        late = (yields.start - zero).total_seconds()
        zero = yields.start if 0 < late < whole.seconds else zero
    moments = [hour for _, hour in _periods(whole, zero)]
    groups: dict[str, ReadGroup] = {"all": cell.total}
    if "pass" in cell.parts:
        groups["pass"] = cell.parts["pass"]
    curves = {
        kind: _curve(figures, key, zero, moments)
        for kind, group in groups.items()
        if (figures := group.over_time) and _comparable(figures.start, zero)
    }
    found = _Periods({kind: curve for kind, curve in curves.items() if curve.points}, moments)
    return found if "all" in found.curves and len(found.main) > 1 else None


def _periods(figures: FiguresOverTime, zero: datetime) -> list[tuple[float, float]]:
    """Start and end of each period, in hours since `zero`; the first may begin before it."""
    first = (figures.start - zero) / timedelta(hours=1)
    width = figures.seconds / 3600
    edges = [first + index * width for index in range(len(figures.reads) + 1)]
    return [(max(0.0, start), end) for start, end in pairwise(edges)]


def _curve(figures: FiguresOverTime, key: str, zero: datetime, moments: Sequence[float]) -> _Curve:
    periods, values = _periods(figures, zero), figures.values[key]
    enough = _FEW * max(figures.reads)
    points = [
        ((start + end) / 2, value)
        for (start, end), value, reads in zip(periods, values, figures.reads, strict=True)
        if value is not None and reads >= enough and 0 < end <= moments[-1] + 1e-9
    ]
    by_end = {round(60 * end): value for (_, end), value in zip(periods, values, strict=True)}
    return _Curve(points, [by_end.get(round(60 * moment)) for moment in moments])


def _extremes(found: _Periods) -> tuple[float, float]:
    values = [value for curve in found.curves.values() for _, value in curve.points]
    return min(values), max(values)


def _course(what: str, found: _Periods, words: Callable[[float], str]) -> str:
    """Sentence about the course of a figure: the first and last value, and the extremes."""
    points = found.main
    low, high = (choose(points, key=lambda point: point[1]) for choose in (min, max))
    which = "passed reads" if "pass" in found.curves else "reads"
    return (
        f"{what} of {which} was {words(points[0][1])} at the beginning and"
        f" {words(points[-1][1])} at the end; the lowest was {words(low[1])} (after"
        f" {_hours(low[0])}), the highest {words(high[1])} (after {_hours(high[0])})."
    )


def _drawn(chart: _TimeChart) -> Chart:
    """Draw a chart over time; the curve `pass`, or else the only one, is the main one."""
    hours = chart.moments[-1]
    bottom, top = chart.span
    scaled = {
        kind: [(hour / hours, (value - bottom) / (top - bottom)) for hour, value in curve.points]
        for kind, curve in chart.curves.items()
    }
    main = "pass" if "pass" in scaled else "all"
    lines = [line(scaled[main], "curve curve-pass")]
    if chart.shaded:
        lines.insert(0, area(scaled[main], "curve-area"))
    lines += [line(scaled[kind], "curve curve-all") for kind in scaled if kind != main]
    shown = _some(len(chart.moments), _ZONES)
    edges = [0.0, *(chart.moments[index] for index in shown)]
    zones = [
        column(
            before / hours,
            (hour - before) / hours,
            f"After {_hours(hour)}: {_spoken(chart, index)}",
            (),
        )
        for (before, hour), index in zip(pairwise(edges), shown, strict=True)
    ]
    heads = [chart.head or f"{WORDS[kind].capitalize()}, {chart.what}" for kind in chart.curves]
    table = ChartTable(
        f"{chart.subtitle[0].upper()}{chart.subtitle[1:]}",
        ("Time", *heads),
        tuple(
            (
                _hours(chart.moments[index]),
                *(
                    UNKNOWN
                    if (value := curve.values[index]) is None
                    else f"{value:,.{chart.digits}f}"
                    for curve in chart.curves.values()
                ),
            )
            for index in _some(len(chart.moments), _TABLE_ROWS)
        ),
    )
    return Plot(
        key=chart.key,
        title=chart.title,
        subtitle=chart.subtitle,
        summary=chart.summary,
        left=chart.left,
        bottom=_hour_ticks(hours),
        bottom_name=_time_axis(hours, chart.since),
        marks=(stretched(*lines), *zones),
        table=table,
        legend=_CURVES if "pass" in chart.curves else (),
    ).chart()


def _some(count: int, most: int) -> list[int]:
    """About `most` of the indices below `count`, evenly spaced; the last one is among them."""
    every = max(1, round(count / most))
    return [index for index in range(count) if (index + 1) % every == 0 or index == count - 1]


def _spoken(chart: _TimeChart, index: int) -> str:
    """Values of all curves at a moment, as text: "13.0 Gb all reads, 12.3 Gb passed"."""
    texts = {
        kind: chart.words(value)
        for kind, curve in chart.curves.items()
        if (value := curve.values[index]) is not None
    }
    if not texts or len(chart.curves) == 1:
        return texts.get("all", "no reads")
    return ", ".join(f"{text} {WORDS[kind]}" for kind, text in texts.items())


def _running_sum(yields: YieldOverTime, zero: datetime) -> list[tuple[float, float]]:
    """Points (hours since `zero`, bases so far) at the end of each bin, from (0, 0)."""
    first = (yields.start - zero) / timedelta(hours=1)
    points, so_far = [(max(0.0, first), 0.0)], 0.0
    for index, amount in enumerate(yields.bases, 1):
        so_far += amount
        points.append((max(0.0, first) + index * yields.seconds / 3600, so_far))
    return points


def _comparable(one: datetime, other: datetime) -> bool:
    return (one.tzinfo is None) == (other.tzinfo is None)


def _at(points: Points, hour: float) -> float:
    """Value of the curve at an hour: that of the last point not after it."""
    return next((amount for when, amount in reversed(points) if when <= hour + 1e-9), 0.0)


def _hour_ticks(hours: float) -> list[AxisTick]:
    step = next((step for step in _HOUR_STEPS if hours / step <= 8), _HOUR_STEPS[-1])
    in_minutes = hours < 2
    return [
        AxisTick(index * step / hours, f"{index * step * (60 if in_minutes else 1):.4g}")
        for index in range(math.floor(hours / step + 1e-9) + 1)
    ]


def _time_axis(hours: float, since: str) -> str:
    return f"{'minutes' if hours < 2 else 'hours'} since {since}"


def _hours(hours: float) -> str:
    return (
        f"{round(hours * 60)} min"
        if hours < 2
        else f"{hours:.1f} h"
        if hours < 10
        else f"{round(hours)} h"
    )
