"""Chart of a cell's page: reads by length and mean Q, as a map in shades. Pure.

A point for each read would make the page as big as the data, and points cover one another. Only
whole columns have a tooltip: one for each square would make the page twice as big.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import accumulate, groupby, zip_longest

from markupsafe import Markup

from hesiod_watch.report.document import QcDocument
from hesiod_watch.report.formatting import bases_text, reads_text, share_text
from hesiod_watch.report.read_groups import LengthRow
from hesiod_watch.report.shades import SHADES, ShadeScale
from hesiod_watch.report.svg import (
    Chart,
    ChartTable,
    Plot,
    column,
    decade_ticks,
    element,
    level,
    log_place,
    quality_span,
    quality_ticks,
    square,
    stretched,
)

_RARE = 0.001
"""Part of the reads of the fullest length class, or Q, below which another is not drawn."""


def length_quality_chart(cell: QcDocument) -> Chart | None:
    """Reads of each length and mean Q: which reads are poor, the short or the long ones."""
    known = [row for row in cell.total.length_quality if row.total > 0]
    if not known:
        return None
    enough = _RARE * max(row.total for row in known)
    rows = [row for row in known if row.total >= enough]
    low, high = _axis(rows[0].low, rows[-1].high)
    bottom, top = _qualities(rows)
    scale = ShadeScale.thirds(max(max(row.reads) for row in rows))
    place = log_place(low, high)
    zones = [
        column(
            place(row.low),
            place(row.high) - place(row.low),
            f"{_lengths(row)}: {reads_text(row.total)} reads; the middle half has"
            f" Q{row.quantile(0.25)} to Q{row.quantile(0.75)}",
            (),
        )
        for row in rows
    ]
    limit = cell.min_q
    return Plot(
        key="length-quality",
        title="Length against quality",
        subtitle="reads of each length and mean Q; each shade is three times the one before",
        summary=_sentence(known),
        left=quality_ticks(bottom, top),
        bottom=decade_ticks(low, high),
        bottom_name="read length, logarithmic",
        marks=(stretched(*_squares(rows, scale, place, (bottom, top))), *zones),
        table=ChartTable(
            "Reads by length, and the mean Q of the middle half of them",
            ("Read length (bases)", "Reads", "Lower quarter", "Median Q", "Upper quarter"),
            tuple(
                (
                    f"{row.low:,.0f} to {row.high - 1:,.0f}",
                    f"{row.total:,.0f}",
                    *(f"{row.quantile(part)}" for part in (0.25, 0.5, 0.75)),
                )
                for row in known
            ),
        ),
        legend=tuple(
            (f"shade-{shade}", name)
            for shade in range(1, SHADES + 1)
            if (name := scale.name(shade))
        ),
        notes=[level((limit - bottom) / (top - bottom), f"passed from Q{limit:g}")]
        if limit is not None and bottom < limit < top
        else [],
    ).chart()


def _axis(low: float, high: float) -> tuple[float, float]:
    """Range of the axis of lengths: all of them, and at least a decade and a half."""
    missing = math.sqrt(10**1.5 * low / high)
    return (max(1.0, low / missing), high * missing) if missing > 1 else (low, high)


def _qualities(rows: Sequence[LengthRow]) -> tuple[int, int]:
    """Range of the axis of Q: every Q of at least a thousandth of the reads of the fullest one."""
    counts = _together(rows).reads
    enough = _RARE * max(counts)
    used = [quality for quality, count in enumerate(counts, rows[0].start) if count >= enough]
    return quality_span(used[0], used[-1] + 1)


def _squares(
    rows: Sequence[LengthRow],
    scale: ShadeScale,
    place: Callable[[float], float],
    span: tuple[int, int],
) -> list[Markup]:
    """One path per shade; squares of one shade above one another are one rectangle."""
    bottom, top = span
    paths: list[list[str]] = [[] for _ in range(SHADES + 1)]
    for row in rows:
        shades = [scale.shade(count) for count in row.reads]
        inside = [
            (quality, shade)
            for quality, shade in enumerate(shades, row.start)
            if bottom <= quality < top
        ]
        for shade, group in groupby(inside, key=lambda each: each[1]):
            qualities = [quality for quality, _ in group]
            low, high = (
                (quality - bottom) / (top - bottom) for quality in (qualities[0], qualities[-1] + 1)
            )
            paths[shade].append(square(place(row.low), place(row.high), low, high))
    return [
        element("path", d="".join(path), class_=f"squares shade-{shade}")
        for shade, path in enumerate(paths)
        if path and shade
    ]


def _sentence(rows: Sequence[LengthRow]) -> str:
    """Sentence that compares the shorter with the longer half of the reads."""
    whole = sum(row.total for row in rows)
    if len(rows) == 1:
        return f"All reads have {_lengths(rows[0])}; their median Q is {rows[0].quantile(0.5)}."
    running = list(accumulate(row.total for row in rows))
    count = min(range(1, len(rows)), key=lambda number: abs(running[number - 1] - whole / 2))
    shorter, longer = _together(rows[:count]), _together(rows[count:])
    return (
        f"Reads below {bases_text(longer.low)} ({share_text(shorter.total / whole)} of all) have a"
        f" median Q of {shorter.quantile(0.5)}, longer reads of {longer.quantile(0.5)}."
    )


def _together(rows: Sequence[LengthRow]) -> LengthRow:
    counts = tuple(map(sum, zip_longest(*(row.reads for row in rows), fillvalue=0.0)))
    return LengthRow(rows[0].low, rows[-1].high, rows[0].start, counts)


def _lengths(row: LengthRow) -> str:
    return f"{bases_text(row.low)} to {bases_text(row.high)}"
