"""Charts of a cell's page: read lengths, qualities, yield over time, barcodes. Pure.

Passed reads are plain, failed reads hatched, skipped reads outlined: the difference is visible
without colour. A chart is None if there is nothing to draw; the page then gives the reason.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from hesiod_watch.core.naming import PARTS, natural_key
from hesiod_watch.core.sample_sheet import UNPLACED
from hesiod_watch.core.text import number_of
from hesiod_watch.report.document import BarcodeReads, QcDocument
from hesiod_watch.report.formatting import bases_text, reads_text, scaled, share_text, visible
from hesiod_watch.report.read_groups import HistogramBin, ReadGroup, YieldOverTime
from hesiod_watch.report.svg import (
    AxisTick,
    Chart,
    ChartTable,
    area,
    axis_bottom,
    axis_left,
    canvas,
    column,
    line,
    marker,
    nice_step,
    nice_top,
    stretched,
)
from hesiod_watch.report.tolerant import fraction

WORDS = {"pass": "passed", "fail": "failed", "skip": "skipped", "all": "all reads"}

_HOVER_ZONES = (
    72  # number of zones of the yield curve with a tooltip; narrower zones are hard to hit
)
_HOUR_STEPS = (1 / 60, 1 / 12, 1 / 6, 0.5, 1, 2, 3, 6, 12, 24, 48, 96, 168)  # hours


def shown_parts(parts: Mapping[str, ReadGroup], total: ReadGroup) -> dict[str, ReadGroup]:
    """Parts with reads, to be stacked; all reads as one part if the instrument split nothing."""
    found = {part: parts[part] for part in PARTS if part in parts and parts[part].reads}
    return found or {"all": total}


def legend_of(parts: Mapping[str, ReadGroup]) -> tuple[tuple[str, str], ...]:
    return () if list(parts) == ["all"] else tuple((part, WORDS[part]) for part in parts)


def length_chart(cell: QcDocument) -> Chart | None:
    """Bases by read length on a logarithmic axis: where the bases are, not the reads."""
    parts = shown_parts(cell.parts, cell.total)
    stacks = _stacks(parts, lambda group: group.lengths, lambda a_bin: a_bin.bases)
    if not stacks:
        return None
    low, high = _log_span(stacks)
    span = math.log10(high / low)

    def place(length: float) -> float:
        return math.log10(length / low) / span

    top, step = nice_top(max(sum(parts.values()) for parts in stacks.values()))
    columns = [
        column(
            place(start),
            place(stop) - place(start),
            f"{_lengths(start, stop)}: {_spoken(amounts, bases_text)}",
            ((part, amount / top) for part, amount in amounts.items()),
        )
        for (start, stop), amounts in stacks.items()
        if low <= start and stop <= high
    ]
    n50, longest = cell.passed.value("n50"), cell.passed.value("longest")
    which = "passed " if cell.split else ""
    summary = " ".join(
        sentence
        for sentence in (
            f"Half of all {which}bases are in reads of at least {bases_text(n50)} (N50)."
            if n50
            else "",
            f"The longest {which}read has {bases_text(longest)}." if longest else "",
        )
        if sentence
    )
    title = "Read length"
    picture = canvas(
        "length",
        title,
        summary,
        axis_left(_left_ticks(top, step, "b")),
        *columns,
        axis_bottom(
            [
                AxisTick(place(10.0**power), _decade(power))
                for power in range(10)
                if low <= 10.0**power <= high
            ],
            "read length, logarithmic",
        ),
        *([marker(place(n50), f"N50 {bases_text(n50)}")] if n50 and low <= n50 <= high else []),
    )
    table = ChartTable(
        "Bases and reads by read length",
        ("Read length (bases)", *_heads(parts, "bases"), "Reads"),
        _length_rows(stacks, parts, cell.total),
    )
    return Chart(
        "length", title, "bases in reads of each length", picture, summary, table, legend_of(parts)
    )


def quality_chart(cell: QcDocument) -> Chart | None:
    """Reads by mean Q."""
    parts = shown_parts(cell.parts, cell.total)
    stacks = _stacks(parts, lambda group: group.qualities, lambda a_bin: a_bin.reads)
    if not stacks:
        return None
    low = math.floor(min(stacks)[0])
    high = math.ceil(max(stacks)[1])
    low, high = (low, high) if high - low >= 5 else (max(0, low - 3), high + 3)
    top, step = nice_top(max(sum(parts.values()) for parts in stacks.values()))

    def place(quality: float) -> float:
        return (quality - low) / (high - low)

    columns = [
        column(
            place(start),
            place(stop) - place(start),
            f"Q {start:g} to {stop:g}: {_spoken(amounts, reads_text)} reads",
            ((part, amount / top) for part, amount in amounts.items()),
        )
        for (start, stop), amounts in stacks.items()
    ]
    mean = cell.passed.value("mean_q")
    good = fraction(cell.passed.value("reads_q15"), cell.passed.reads)
    which = "passed " if cell.split else ""
    summary = " ".join(
        sentence
        for sentence in (
            f"The mean over {which}reads is {mean:.1f}." if mean is not None else "",
            f"{share_text(good)} of the {which}reads have Q15 or better."
            if good is not None
            else "",
        )
        if sentence
    )
    title = "Mean quality"
    every = int(max(1, nice_step(high - low, 8)))
    picture = canvas(
        "quality",
        title,
        summary,
        axis_left(_left_ticks(top, step, "")),
        *columns,
        axis_bottom(
            [
                AxisTick(place(value), f"{value}")
                for value in range(low, high + 1)
                if value % every == 0
            ],
            "mean Q of a read",
        ),
        *(
            [marker(place(mean), f"mean {mean:.1f}")]
            if mean is not None and low <= mean <= high
            else []
        ),
    )
    rows = tuple(
        (f"{start:g} to {stop:g}", *(f"{amounts.get(part, 0):,.0f}" for part in parts))
        for (start, stop), amounts in stacks.items()
    )
    table = ChartTable("Reads by mean Q", ("Mean Q", *_heads(parts, "reads")), rows)
    return Chart(
        "quality", title, "reads of each mean Q", picture, summary, table, legend_of(parts)
    )


def yield_chart(cell: QcDocument) -> Chart | None:
    """Bases so far by time since the first read: all reads dashed, passed reads plain."""
    whole = cell.total.yields
    if whole is None or not sum(whole.bases):
        return None
    passed = cell.parts["pass"].yields if "pass" in cell.parts else None
    curves = {"all": _running_sum(whole, whole.start)}
    if passed is not None and (passed.start.tzinfo is None) == (whole.start.tzinfo is None):
        curves["pass"] = _running_sum(passed, whole.start)
    hours = max(point[0] for points in curves.values() for point in points)
    highest = curves["all"][-1][1]
    top, step = nice_top(max(highest, *(points[-1][1] for points in curves.values())))
    # Both curves end at the right edge: the last hours may have no passed read, and this must not
    # look like a gap.
    drawn = {
        part: [(hour / hours, amount / top) for hour, amount in [*points, (hours, points[-1][1])]]
        for part, points in curves.items()
    }
    half = next(hour for hour, amount in curves["all"] if amount >= highest / 2)
    summary = (
        f"{bases_text(highest)} in {_hours(hours)}; half of it after {_hours(half)}."
        + (f" {bases_text(curves['pass'][-1][1])} passed." if "pass" in curves else "")
    )  # fmt: skip
    title = "Yield over time"
    zones = min(_HOVER_ZONES, len(whole.bases))
    sampled = [hours * (zone + 1) / zones for zone in range(zones)]
    picture = canvas(
        "yield",
        title,
        summary,
        axis_left(_left_ticks(top, step, "b")),
        stretched(
            *(
                [area(drawn["pass"], "curve-area")]
                if "pass" in drawn
                else [area(drawn["all"], "curve-area")]
            ),
            *([line(drawn["pass"], "curve curve-pass")] if "pass" in drawn else []),
            line(drawn["all"], "curve curve-all" if "pass" in drawn else "curve curve-pass"),
        ),
        *(
            column(
                zone / zones, 1 / zones, f"After {_hours(hour)}: {_curve_words(curves, hour)}", ()
            )
            for zone, hour in enumerate(sampled)
        ),
        axis_bottom(_hour_ticks(hours), _time_axis(hours)),
    )
    every = max(1, round(len(sampled) / 24))
    chosen = [
        hour for index, hour in enumerate(sampled, 1) if index % every == 0 or index == len(sampled)
    ]
    table = ChartTable(
        "Bases so far, by time since the first read",
        ("Time", *(f"{WORDS[part].capitalize()}, bases" for part in curves)),
        tuple(
            (_hours(hour), *(f"{_at(points, hour):,.0f}" for points in curves.values()))
            for hour in chosen
        ),
    )
    legend = (("curve-pass", "passed"), ("curve-all", "all reads")) if "pass" in curves else ()
    return Chart(
        "yield", title, "bases since the first read, added up", picture, summary, table, legend
    )


def barcode_chart(barcodes: Sequence[BarcodeReads]) -> Chart | None:
    """Bases of each barcode as columns, by name, so that the pattern of a plate is visible."""
    ordered = in_order(barcodes)
    if not ordered:
        return None
    stacks = [
        {part: group.bases for part, group in shown_parts(barcode.parts, barcode.total).items()}
        for barcode in ordered
    ]
    parts = [part for part in (*PARTS, "all") if any(part in stack for stack in stacks)]
    top, step = nice_top(max(sum(stack.values()) for stack in stacks))
    width = 1 / len(ordered)
    whole = sum(barcode.total.bases for barcode in ordered)
    columns = [
        column(
            index * width + 0.1 * width,
            0.8 * width,
            f"{barcode.label}: {_spoken(stack, bases_text)}",
            ((part, amount / top) for part, amount in stack.items()),
        )
        for index, (barcode, stack) in enumerate(zip(ordered, stacks, strict=True))
    ]
    placed = [barcode for barcode in ordered if barcode.label not in UNPLACED] or ordered
    most = max(placed, key=lambda barcode: barcode.total.bases)
    summary = (
        f"{number_of(len(placed), 'barcode')}; the largest, {visible(most.label)}, has "
        f"{share_text(fraction(most.total.bases, whole) or 0)} of the bases."
    )
    title = "Bases by barcode"
    labels = _sparse([_short(barcode.label) for barcode in ordered])
    picture = canvas(
        "barcodes",
        title,
        summary,
        axis_left(_left_ticks(top, step, "b")),
        *columns,
        axis_bottom(
            [AxisTick((index + 0.5) * width, label) for index, label in enumerate(labels) if label],
            "barcode, by name",
        ),
    )
    table = ChartTable(
        "Bases by barcode, by name",
        ("Barcode", *(f"{WORDS[part].capitalize()}, bases" for part in parts)),
        tuple(
            (barcode.label, *(f"{stack.get(part, 0):,.0f}" for part in parts))
            for barcode, stack in zip(ordered, stacks, strict=True)
        ),
    )
    legend = tuple((part, WORDS[part]) for part in parts if part != "all")
    subtitle = "in the order of their names" + (
        ", unplaced reads last" if ordered[-1].label in UNPLACED else ""
    )
    return Chart("barcodes", title, subtitle, picture, summary, table, legend)


def _stacks(
    parts: Mapping[str, ReadGroup],
    bins: Callable[[ReadGroup], Sequence[HistogramBin]],
    amount: Callable[[HistogramBin], float],
) -> dict[tuple[float, float], dict[str, float]]:
    """Amount of each part in each non-empty class, classes in order.

    The groups may cover different ranges.
    """
    found: dict[tuple[float, float], dict[str, float]] = {}
    for part, group in parts.items():
        for a_bin in bins(group):
            if amount(a_bin) > 0:
                found.setdefault((a_bin.low, a_bin.high), {})[part] = amount(a_bin)
    return {edges: {part: found[edges].get(part, 0.0) for part in parts} for edges in sorted(found)}


def _log_span(stacks: Mapping[tuple[float, float], Mapping[str, float]]) -> tuple[float, float]:
    """Range of the axis: every column of at least a thousandth of the highest one.

    The range is at least one and a half decades.
    """
    highest = max(sum(amounts.values()) for amounts in stacks.values())
    seen = [edges for edges, amounts in stacks.items() if sum(amounts.values()) >= highest / 1000]
    low, high = min(seen)[0], max(edges[1] for edges in seen)
    missing = 1.5 - math.log10(high / low)
    if missing > 0:
        low, high = max(1.0, low / 10 ** (missing / 2)), high * 10 ** (missing / 2)
    return low, high


def _length_rows(
    stacks: Mapping[tuple[float, float], Mapping[str, float]],
    parts: Mapping[str, ReadGroup],
    total: ReadGroup,
) -> tuple[tuple[str, ...], ...]:
    reads = {(a_bin.low, a_bin.high): a_bin.reads for a_bin in total.lengths}
    return tuple(
        (
            f"{edges[0]:,.0f} to {edges[1] - 1:,.0f}",
            *(f"{amounts[part]:,.0f}" for part in parts),
            f"{reads.get(edges, 0):,.0f}",
        )
        for edges, amounts in stacks.items()
    )


def _decade(power: int) -> str:
    """Axis label of a power of 10: "100 b", "10 kb"."""
    return f"{10 ** (power % 3)} {('', 'k', 'M', 'G')[power // 3]}b"


def _heads(parts: Mapping[str, ReadGroup], unit: str) -> tuple[str, ...]:
    return tuple(f"{WORDS[part].capitalize()}, {unit}" for part in parts)


def _lengths(start: float, stop: float) -> str:
    return f"{bases_text(start)} to {bases_text(stop)}"


def _spoken(amounts: Mapping[str, float], words: Callable[[float], str]) -> str:
    """Amounts as text: "12.3 Gb passed, 1.2 Gb failed"."""
    if list(amounts) == ["all"]:
        return words(amounts["all"])
    return ", ".join(f"{words(amount)} {WORDS[part]}" for part, amount in amounts.items())


def _left_ticks(top: float, step: float, unit: str) -> list[AxisTick]:
    """Ticks from 0, with one prefix for the whole axis and no meaningless digits."""
    _, prefix = scaled(top)
    factor = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}[prefix]
    return [
        AxisTick(
            index * step / top,
            f"{index * step / factor:.4g} {prefix}{unit}".rstrip() if index else "0",
        )
        for index in range(round(top / step) + 1)
    ]


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


def _time_axis(hours: float) -> str:
    return f"{'minutes' if hours < 2 else 'hours'} since the first read"


def _hours(hours: float) -> str:
    return (
        f"{round(hours * 60)} min"
        if hours < 2
        else f"{hours:.1f} h"
        if hours < 10
        else f"{round(hours)} h"
    )


def in_order(barcodes: Sequence[BarcodeReads]) -> list[BarcodeReads]:
    """Barcodes by name, barcode2 before barcode10; reads without a barcode last."""
    return sorted(
        barcodes, key=lambda barcode: (barcode.label in UNPLACED, natural_key(barcode.label))
    )


def _sparse(labels: Sequence[str]) -> list[str]:
    """About twelve of the labels, the others empty; numeric labels are round, as on a plate."""
    every = next(
        step for step in (1, 2, 4, 8, 12, 24, 48, len(labels)) if len(labels) / step <= 12.5
    )
    return [
        label if (int(label) if label.isdecimal() else index) % every == 0 else ""
        for index, label in enumerate(labels)
    ]


def _short(label: str) -> str:
    """Label below a column: "7" for barcode07; "" for a name that is too long."""
    match = re.fullmatch(r"[A-Za-z_-]*?0*(\d{1,4})", label)
    return match.group(1) if match else label if len(label) <= 4 else ""
