"""Charts of a cell's page in columns: read lengths, qualities, barcodes. Pure.

All have one builder (`columns`). A chart is None if there is nothing to draw; the page then gives
the reason.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence

from hesiod_watch.core.naming import PARTS, natural_key
from hesiod_watch.core.sample_sheet import UNPLACED
from hesiod_watch.core.text import number_of
from hesiod_watch.report.columns import WORDS, Column, ColumnChart
from hesiod_watch.report.document import BarcodeReads, QcDocument
from hesiod_watch.report.formatting import bases_text, reads_text, share_text, visible
from hesiod_watch.report.read_groups import HistogramBin, ReadGroup
from hesiod_watch.report.svg import (
    AxisTick,
    Chart,
    ChartTable,
    decade_ticks,
    log_place,
    marker,
    nice_step,
    quality_span,
)
from hesiod_watch.report.tolerant import fraction


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
    place = log_place(low, high)
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
    return ColumnChart(
        key="length",
        title="Read length",
        subtitle="bases in reads of each length",
        summary=summary,
        columns=[
            Column(place(start), place(stop) - place(start), _lengths(start, stop), amounts)
            for (start, stop), amounts in stacks.items()
            if low <= start and stop <= high
        ],
        unit="b",
        words=bases_text,
        bottom=decade_ticks(low, high),
        bottom_name="read length, logarithmic",
        table=ChartTable(
            "Bases and reads by read length",
            ("Read length (bases)", *_heads(parts, "bases"), "Reads"),
            _length_rows(stacks, parts, cell.total),
        ),
        legend=legend_of(parts),
        notes=[marker(place(n50), f"N50 {bases_text(n50)}")] if n50 and low <= n50 <= high else [],
    ).chart()


def quality_chart(cell: QcDocument) -> Chart | None:
    """Reads by mean Q."""
    parts = shown_parts(cell.parts, cell.total)
    stacks = _stacks(parts, lambda group: group.qualities, lambda a_bin: a_bin.reads)
    if not stacks:
        return None
    low, high = quality_span(min(stacks)[0], max(stacks)[1])

    def place(quality: float) -> float:
        return (quality - low) / (high - low)

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
    every = int(max(1, nice_step(high - low, 8)))
    return ColumnChart(
        key="quality",
        title="Mean quality",
        subtitle="reads of each mean Q",
        summary=summary,
        columns=[
            Column(place(start), place(stop) - place(start), f"Q {start:g} to {stop:g}", amounts)
            for (start, stop), amounts in stacks.items()
        ],
        unit="",
        words=reads_text,
        noun=" reads",
        bottom=[
            AxisTick(place(value), f"{value}")
            for value in range(low, high + 1)
            if value % every == 0
        ],
        bottom_name="mean Q of a read",
        table=ChartTable(
            "Reads by mean Q",
            ("Mean Q", *_heads(parts, "reads")),
            tuple(
                (f"{start:g} to {stop:g}", *(f"{amounts.get(part, 0):,.0f}" for part in parts))
                for (start, stop), amounts in stacks.items()
            ),
        ),
        legend=legend_of(parts),
        notes=[marker(place(mean), f"mean {mean:.1f}")]
        if mean is not None and low <= mean <= high
        else [],
    ).chart()


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
    width = 1 / len(ordered)
    whole = sum(barcode.total.bases for barcode in ordered)
    placed = [barcode for barcode in ordered if barcode.label not in UNPLACED] or ordered
    most = max(placed, key=lambda barcode: barcode.total.bases)
    summary = (
        f"{number_of(len(placed), 'barcode')}; the largest, {visible(most.label)}, has "
        f"{share_text(fraction(most.total.bases, whole) or 0)} of the bases."
    )
    labels = _sparse([_short(barcode.label) for barcode in ordered])
    return ColumnChart(
        key="barcodes",
        title="Bases by barcode",
        subtitle="in the order of their names"
        + (", unplaced reads last" if ordered[-1].label in UNPLACED else ""),
        summary=summary,
        columns=[
            Column(index * width + 0.1 * width, 0.8 * width, barcode.label, stack)
            for index, (barcode, stack) in enumerate(zip(ordered, stacks, strict=True))
        ],
        unit="b",
        words=bases_text,
        bottom=[
            AxisTick((index + 0.5) * width, label) for index, label in enumerate(labels) if label
        ],
        bottom_name="barcode, by name",
        table=ChartTable(
            "Bases by barcode, by name",
            ("Barcode", *(f"{WORDS[part].capitalize()}, bases" for part in parts)),
            tuple(
                (barcode.label, *(f"{stack.get(part, 0):,.0f}" for part in parts))
                for barcode, stack in zip(ordered, stacks, strict=True)
            ),
        ),
        legend=tuple((part, WORDS[part]) for part in parts if part != "all"),
    ).chart()


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


def _heads(parts: Mapping[str, ReadGroup], unit: str) -> tuple[str, ...]:
    return tuple(f"{WORDS[part].capitalize()}, {unit}" for part in parts)


def _lengths(start: float, stop: float) -> str:
    return f"{bases_text(start)} to {bases_text(stop)}"


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
