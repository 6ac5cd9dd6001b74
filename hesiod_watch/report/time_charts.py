"""Charts of a cell's page over time: yield, and available pores. Pure.

All of them have one builder, `_drawn`: curves in a stretched canvas, zones with a tooltip, an axis
of hours, and a table of at most about 24 of the same moments.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from hesiod_watch.report.document import QcDocument
from hesiod_watch.report.formatting import bases_text, share_text
from hesiod_watch.report.plots import WORDS
from hesiod_watch.report.read_groups import YieldOverTime
from hesiod_watch.report.svg import (
    AxisTick,
    Chart,
    ChartTable,
    area,
    axis_bottom,
    axis_left,
    canvas,
    column,
    left_ticks,
    line,
    nice_top,
    stretched,
)

Points = Sequence[tuple[float, float]]
"""Points of a curve: hours, and the value at that time."""

_HOVER_ZONES = 72  # zones of a curve with a tooltip; narrower zones are hard to hit
_TABLE_ROWS = 24
_HOUR_STEPS = (1 / 60, 1 / 12, 1 / 6, 0.5, 1, 2, 3, 6, 12, 24, 48, 96, 168)  # hours


@dataclass(frozen=True, slots=True)
class _TimeChart:
    """Drawing instructions: curves, their words and the moments at which they are read."""

    key: str
    title: str
    subtitle: str
    summary: str
    since: str  # the beginning of the time axis: "the first read"
    unit: str  # of the values: "b" for bases
    curves: Mapping[str, tuple[str, Points]]  # kind → head of its column in the table, points
    moments: Sequence[float]  # hours, in order; the last one is the right edge
    words: Callable[[float], str]  # the values at a moment, as text
    legend: tuple[tuple[str, str], ...] = ()


def yield_chart(cell: QcDocument) -> Chart | None:
    """Bases so far by time since the first read: all reads dashed, passed reads plain."""
    whole = cell.total.yields
    if whole is None or not sum(whole.bases):
        return None
    passed = cell.parts["pass"].yields if "pass" in cell.parts else None
    sums = {"all": _running_sum(whole, whole.start)}
    if passed is not None and (passed.start.tzinfo is None) == (whole.start.tzinfo is None):
        sums["pass"] = _running_sum(passed, whole.start)
    hours = max(point[0] for points in sums.values() for point in points)
    highest = sums["all"][-1][1]
    half = next(hour for hour, amount in sums["all"] if amount >= highest / 2)
    summary = f"{bases_text(highest)} in {_hours(hours)}; half of it after {_hours(half)}."
    if "pass" in sums:
        summary += f" {bases_text(sums['pass'][-1][1])} passed."
    zones = min(_HOVER_ZONES, len(whole.bases))
    return _drawn(
        _TimeChart(
            "yield",
            "Yield over time",
            "bases since the first read, added up",
            summary,
            "the first read",
            "b",
            # Both curves end at the right edge: the last hours may have no passed read, and this
            # must not look like a gap.
            {
                part: (f"{WORDS[part].capitalize()}, bases", [*points, (hours, points[-1][1])])
                for part, points in sums.items()
            },
            [hours * (zone + 1) / zones for zone in range(zones)],
            lambda hour: _curve_words(sums, hour),
            (("curve-pass", "passed"), ("curve-all", "all reads")) if "pass" in sums else (),
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
    return _drawn(
        _TimeChart(
            "pores",
            "Pores over time",
            "pores available for sequencing, at each scan",
            f"{first.available:,} of {first.pores:,} pores were available at the first scan;"
            f" {last.available:,} ({kept} of these) at the last, after {_hours(points[-1][0])}.",
            "the start of the run",
            "",
            {"all": ("Available pores", points)},
            [hour for hour, _ in points],
            lambda hour: f"{_at(points, hour):,.0f} pores available",
        )
    )


def _drawn(chart: _TimeChart) -> Chart:
    """Draw a chart over time; the curve `pass`, or else the only one, has a shaded area."""
    hours = chart.moments[-1]
    highest = max(value for _, points in chart.curves.values() for _, value in points)
    top, step = nice_top(highest)
    scaled = {
        kind: [(hour / hours, value / top) for hour, value in points]
        for kind, (_, points) in chart.curves.items()
    }
    main = "pass" if "pass" in scaled else "all"
    lines = [area(scaled[main], "curve-area"), line(scaled[main], "curve curve-pass")]
    lines += [line(scaled[kind], "curve curve-all") for kind in scaled if kind != main]
    edges = [0.0, *chart.moments]
    zones = [
        column(
            before / hours,
            (hour - before) / hours,
            f"After {_hours(hour)}: {chart.words(hour)}",
            (),
        )
        for before, hour in pairwise(edges)
    ]
    picture = canvas(
        chart.key,
        chart.title,
        chart.summary,
        axis_left(left_ticks(top, step, chart.unit)),
        stretched(*lines),
        *zones,
        axis_bottom(_hour_ticks(hours), _time_axis(hours, chart.since)),
    )
    every = max(1, round(len(chart.moments) / _TABLE_ROWS))
    chosen = [
        hour
        for index, hour in enumerate(chart.moments, 1)
        if index % every == 0 or index == len(chart.moments)
    ]
    table = ChartTable(
        f"{chart.subtitle[0].upper()}{chart.subtitle[1:]}",
        ("Time", *(head for head, _ in chart.curves.values())),
        tuple(
            (_hours(hour), *(f"{_at(points, hour):,.0f}" for _, points in chart.curves.values()))
            for hour in chosen
        ),
    )
    return Chart(
        chart.key, chart.title, chart.subtitle, picture, chart.summary, table, chart.legend
    )


def _running_sum(yields: YieldOverTime, zero: datetime) -> list[tuple[float, float]]:
    """Points (hours since `zero`, bases so far) at the end of each bin, from (0, 0)."""
    first = (yields.start - zero) / timedelta(hours=1)
    points, so_far = [(max(0.0, first), 0.0)], 0.0
    for index, amount in enumerate(yields.bases, 1):
        so_far += amount
        points.append((max(0.0, first) + index * yields.seconds / 3600, so_far))
    return points


def _at(points: Sequence[tuple[float, float]], hour: float) -> float:
    """Value of the curve at an hour: that of the last point not after it."""
    return next((amount for when, amount in reversed(points) if when <= hour + 1e-9), 0.0)


def _curve_words(curves: Mapping[str, Sequence[tuple[float, float]]], hour: float) -> str:
    if "pass" not in curves:
        return bases_text(_at(curves["all"], hour))
    return (
        f"{bases_text(_at(curves['pass'], hour))} passed of {bases_text(_at(curves['all'], hour))}"
    )


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
