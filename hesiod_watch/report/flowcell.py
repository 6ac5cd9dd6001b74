"""Map of a flow cell: reads from each channel, at the place of the channel. Pure.

The channel numbers do not follow the rows. The three layouts are those of the instruments' own
displays: Flongle (126 channels), MinION and GridION (512), PromethION (3000).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from statistics import median

from markupsafe import Markup

from hesiod_watch.core.frozen import frozen
from hesiod_watch.report.document import QcDocument
from hesiod_watch.report.shades import SHADES, ShadeScale
from hesiod_watch.report.svg import Chart, ChartTable, canvas, element

_FLONGLE_ROWS = (12, 12, 13, 13, 13, 13, 13, 13, 12, 12)


@frozen
class FlowCellLayout:
    """Places of the channels on one kind of flow cell."""

    kind: str
    channels: int
    columns: int
    rows: int
    place: Callable[[int], tuple[int, int]]  # channel, from 1, to (column, row), from 0


def flongle_place(channel: int) -> tuple[int, int]:
    rest = channel - 1
    for row, width in enumerate(_FLONGLE_ROWS):
        if rest < width:
            return rest, row
        rest -= width
    raise ValueError(f"a Flongle has no channel {channel}")


def minion_place(channel: int) -> tuple[int, int]:
    """Column and row of a channel on a MinION flow cell.

    Eight blocks of 64 channels have four columns each: the first block first, then the others
    backwards. In each block the lower 32 channels fill the bottom half upwards and the upper 32
    channels the top half downwards.
    """
    block, rest = divmod(channel - 1, 64)
    top_half, rest = divmod(rest, 32)
    column, row = divmod(rest, 8)
    return 4 * ((8 - block) % 8) + column, row if top_half else 15 - row


def promethion_place(channel: int) -> tuple[int, int]:
    """Column and row of a channel: twelve blocks of 25 rows by 10, numbered along the rows."""
    block, rest = divmod(channel - 1, 250)
    row, column = divmod(rest, 10)
    return 10 * block + column, row


LAYOUTS = (
    FlowCellLayout("Flongle", 126, 13, 10, flongle_place),
    FlowCellLayout("MinION", 512, 32, 16, minion_place),
    FlowCellLayout("PromethION", 3000, 120, 25, promethion_place),
)

_BY_TYPE = {"FLG": LAYOUTS[0], "MIN": LAYOUTS[1], "PRO": LAYOUTS[2]}


def layout_for(flow_cell_type: str, highest_channel: int) -> FlowCellLayout | None:
    """Layout by the product code ("FLO-PRO114M") if known, else the smallest with the channel."""
    by_type = _BY_TYPE.get(flow_cell_type.upper().removeprefix("FLO-")[:3])
    if by_type is not None and highest_channel <= by_type.channels:
        return by_type
    return next((layout for layout in LAYOUTS if highest_channel <= layout.channels), None)


def channel_chart(cell: QcDocument) -> Chart | None:
    """Map of the flow cell; None if the headers name no channel, or one of no known flow cell."""
    reads = cell.total.channels
    layout = layout_for(cell.fact("flow_cell_type"), max(reads, default=0)) if reads else None
    if layout is None:
        return None
    counts = sorted(reads.values())
    scale = ShadeScale.steps(counts)
    shades = {channel: scale.shade(count) for channel, count in reads.items()}
    busiest = max(reads, key=lambda channel: reads[channel])
    summary = (
        f"{len(reads):,} of {layout.channels:,} channels gave reads:"
        f" {median(counts):,.0f} in the median,"
        f" {reads[busiest]:,.0f} from the busiest, channel {busiest}."
    )
    names = [scale.name(shade) for shade in range(SHADES + 1)]
    members = [
        sum(1 for channel in range(1, layout.channels + 1) if shades.get(channel, 0) == shade)
        for shade in range(SHADES + 1)
    ]
    title = "Channel activity"
    picture = canvas(
        "channels",
        title,
        summary,
        *_squares(layout, shades),
        view_box=f"0 0 {layout.columns} {layout.rows}",
    )
    table = ChartTable(
        "Channels by number of reads",
        ("Reads from the channel", "Channels"),
        tuple((label, f"{count:,}") for label, count in zip(names, members, strict=True)),
    )
    legend = tuple((f"shade-{shade}", label) for shade, label in enumerate(names))
    subtitle = f"reads from each channel, where it is on the {layout.kind} flow cell"
    return Chart("channels", title, subtitle, picture, summary, table, legend)


def _squares(layout: FlowCellLayout, shades: Mapping[int, int]) -> list[Markup]:
    """One SVG path per shade: 3000 rectangles would make the page ten times as big."""
    squares: list[list[str]] = [[] for _ in range(SHADES + 1)]
    for channel in range(1, layout.channels + 1):
        column, row = layout.place(channel)
        squares[shades.get(channel, 0)].append(f"M{column + 0.06:g} {row + 0.06:g}h.88v.88h-.88z")
    return [
        element("path", d="".join(path), class_=f"shade-{shade}")
        for shade, path in enumerate(squares)
        if path
    ]
