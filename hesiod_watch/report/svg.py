"""Inline SVG charts that fill the available width and keep their text at one size. Pure.

A chart's canvas has no viewBox: positions are in percent of the canvas. The style sheet sets the
height of the canvas and the margins for the axis labels. So the labels of a chart are equally
legible at 300 pixels on a phone and at 1,000 on a desk. A path cannot use percentages, so it is in
an inner canvas that stretches (`stretched`).

Colours and line widths are in the style sheet, by class; the page's policy forbids inline styles.
For a screen reader every chart is one image with a title and a description; the numbers are in a
table beside it (`Chart.table`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from markupsafe import Markup, escape

from hesiod_watch.core.frozen import frozen
from hesiod_watch.report.formatting import scaled, visible

STRETCH = 1000
"""Side of the inner, stretched canvas, in its own units."""


@frozen
class AxisTick:
    """Position on an axis, 0 to 1, and its label."""

    at: float
    label: str


@frozen
class ChartTable:
    """Numbers of a chart, for readers who do not see it."""

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@frozen
class Chart:
    """Drawn chart: picture, summary in a sentence, legend and table."""

    key: str  # unique on the page; part of the ids of elements
    title: str
    subtitle: str  # the quantities of the two axes
    picture: Markup
    summary: str
    table: ChartTable
    legend: tuple[tuple[str, str], ...] = ()  # (class of the swatch, words)


@frozen
class Plot:
    """Drawing instructions for a chart between two axes; `chart` draws all of them."""

    key: str
    title: str
    subtitle: str
    summary: str
    left: Sequence[AxisTick]
    bottom: Sequence[AxisTick]
    bottom_name: str
    marks: Sequence[Markup]  # what is between the axes
    table: ChartTable
    legend: tuple[tuple[str, str], ...] = ()
    notes: Sequence[Markup] = ()  # markers and their words, in front of everything

    def chart(self) -> Chart:
        picture = canvas(
            self.key,
            self.title,
            self.summary,
            axis_left(self.left),
            *self.marks,
            axis_bottom(self.bottom, self.bottom_name),
            *self.notes,
        )
        return Chart(
            self.key, self.title, self.subtitle, picture, self.summary, self.table, self.legend
        )


def element(tag: str, *children: Markup | str, **attributes: object) -> Markup:
    """`<tag …>children</tag>` with everything escaped.

    `_` in the name of an attribute becomes `-`; `class_` becomes `class`.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(visible(str(value)))}"'
        for key, value in attributes.items()
        if value is not None
    )
    inside = "".join(
        child if isinstance(child, Markup) else escape(visible(child)) for child in children
    )
    return Markup(f"<{tag}{written}>{inside}</{tag}>")  # noqa: S704 - every part was escaped above


def percent(fraction: float) -> str:
    """Fraction as a length in percent, without trailing zeros."""
    return f"{100 * fraction:.3f}".rstrip("0").rstrip(".") + "%"


def canvas(
    key: str, title: str, summary: str, *children: Markup, view_box: str | None = None
) -> Markup:
    """The outermost `<svg>`: one image with a title and a description.

    With a view box it is a drawing that scales.
    """
    return element(
        "svg",
        element("title", title, id=f"{key}-title"),
        element("desc", summary, id=f"{key}-desc"),
        *children,
        class_="drawing" if view_box else "plot",
        viewBox=view_box,
        role="img",
        aria_labelledby=f"{key}-title {key}-desc",
    )


def bar(x: float, width: float, bottom: float, top: float, kind: str) -> Markup:
    """Bar between two heights, in fractions of the canvas; heights are from the base line."""
    return element(
        "rect",
        x=percent(x),
        width=percent(width),
        y=percent(1 - top),
        height=percent(top - bottom),
        class_=kind,
    )


def column(x: float, width: float, words: str, parts: Iterable[tuple[str, float]]) -> Markup:
    """Stacked bars; `words` are the tooltip over the full height of the canvas."""
    bottom = 0.0
    bars = []
    for kind, height in parts:
        if height > 0:
            bars.append(bar(x, width, bottom, bottom + height, kind))
            bottom += height
    return element("g", element("title", words), bar(x, width, 0, 1, "hit"), *bars)


def axis_left(ticks: Sequence[AxisTick]) -> Markup:
    """Horizontal grid lines with labels on the left; the first one is the base line."""
    lines = [
        element(
            "line",
            x1="0",
            x2="100%",
            y1=percent(1 - tick.at),
            y2=percent(1 - tick.at),
            class_="grid",
        )
        for tick in ticks
    ]
    labels = [
        element(
            "text",
            tick.label,
            x="0",
            dx="-8",
            y=percent(1 - tick.at),
            dy="0.32em",
            class_="tick end",
        )
        for tick in ticks
    ]
    return element("g", *lines, *labels, class_="axis")


def axis_bottom(ticks: Sequence[AxisTick], name: str) -> Markup:
    """Base line, with labels and the axis' name below it."""
    labels = [
        element("text", tick.label, x=percent(tick.at), y="100%", dy="18", class_="tick middle")
        for tick in ticks
    ]
    base = element("line", x1="0", x2="100%", y1="100%", y2="100%", class_="base")
    title = element("text", name, x="100%", y="100%", dy="36", class_="axis-name end")
    return element("g", base, *labels, title, class_="axis")


def marker(at: float, words: str) -> Markup:
    """Vertical line with a label beside its top, on the side with more room."""
    left = at > 0.6
    return element(
        "g",
        element("line", x1=percent(at), x2=percent(at), y1="0", y2="100%", class_="marker"),
        element(
            "text",
            words,
            x=percent(at),
            dx="-6" if left else "6",
            y="0",
            dy="0.2em",
            class_=f"marker-label {'end' if left else 'start'}",
        ),
    )


def level(at: float, words: str) -> Markup:
    """Horizontal line at a height from the base line, with a label above its right end."""
    y = percent(1 - at)
    return element(
        "g",
        element("line", x1="0", x2="100%", y1=y, y2=y, class_="marker"),
        element("text", words, x="100%", dx="-4", y=y, dy="-0.4em", class_="marker-label end"),
    )


def stretched(*children: Markup) -> Markup:
    """Inner canvas of 1000 by 1000 units over the whole chart.

    Strokes keep their width (style sheet).
    """
    return element(
        "svg",
        *children,
        viewBox=f"0 0 {STRETCH} {STRETCH}",
        preserveAspectRatio="none",
        width="100%",
        height="100%",
        class_="stretched",
    )


def line(points: Sequence[tuple[float, float]], kind: str) -> Markup:
    """Line through points in fractions of the canvas, heights from the base line.

    For use in `stretched`.
    """
    return element("path", d="M" + "L".join(map(_point, points)), class_=kind)


def area(points: Sequence[tuple[float, float]], kind: str) -> Markup:
    """Area between a line, as in `line`, and the base line."""
    closed = [(points[0][0], 0.0), *points, (points[-1][0], 0.0)]
    return element("path", d="M" + "L".join(map(_point, closed)) + "Z", class_=kind)


def square(left: float, right: float, bottom: float, top: float) -> str:
    """Part of a path: a rectangle in fractions of the canvas, for use in `stretched`."""
    x, y = (f"{STRETCH * value:.5g}" for value in (left, 1 - top))
    width, height = (f"{STRETCH * value:.4g}" for value in (right - left, top - bottom))
    return f"M{x} {y}h{width}v{height}h-{width}z"


def _point(point: tuple[float, float]) -> str:
    x, y = point
    return f"{x * STRETCH:.1f} {(1 - y) * STRETCH:.1f}"


def nice_step(span: float, most: int) -> float:
    """Smallest of 1, 2, 5 times a power of ten that divides `span` into `most` steps or fewer."""
    rough = span / most
    power = 10.0 ** math.floor(math.log10(rough))
    return next(
        step for step in (power, 2 * power, 5 * power, 10 * power) if step >= rough * 0.999999
    )


def nice_top(highest: float, most: int = 4) -> tuple[float, float]:
    """Top of an axis from 0 that includes `highest`, and its step."""
    if highest <= 0:
        return 1.0, 1.0
    step = nice_step(highest, most)
    return math.ceil(highest / step * 0.999999) * step, step


def left_ticks(top: float, step: float, unit: str) -> list[AxisTick]:
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


def log_place(low: float, high: float) -> Callable[[float], float]:
    """Function for the place of a value, 0 to 1, on a logarithmic axis from `low` to `high`."""
    span = math.log10(high / low)
    return lambda value: math.log10(value / low) / span


def decade_ticks(low: float, high: float) -> list[AxisTick]:
    """Ticks at the powers of ten of a logarithmic axis of bases: "100 b", "10 kb"."""
    place = log_place(low, high)
    return [
        AxisTick(place(10.0**power), f"{10 ** (power % 3)} {('', 'k', 'M', 'G')[power // 3]}b")
        for power in range(10)
        if low <= 10.0**power <= high
    ]


def quality_ticks(low: float, high: float) -> list[AxisTick]:
    """Ticks of an axis of Q between two whole numbers."""
    step = max(1.0, nice_step(high - low, 6))
    first = math.ceil(low / step)
    return [
        AxisTick((number * step - low) / (high - low), f"Q{number * step:g}")
        for number in range(first, math.floor(high / step) + 1)
    ]


def quality_span(low: float, high: float) -> tuple[int, int]:
    """Whole Q below and above two values, at least five apart, so that noise stays small."""
    first, last = math.floor(low), math.ceil(high)
    return (first, last) if last - first >= 5 else (max(0, first - 3), last + 3)
