"""Chart of a run's page: the yield of each of its cells. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from hesiod_watch.core.naming import PARTS
from hesiod_watch.core.text import number_of
from hesiod_watch.report.columns import WORDS, Column, ColumnChart
from hesiod_watch.report.document import QcDocument
from hesiod_watch.report.formatting import bases_text, visible
from hesiod_watch.report.plots import shown_parts
from hesiod_watch.report.svg import AxisTick, Chart, ChartTable

NAMED_UP_TO = 4
"""Above this number of cells, the columns have numbers: names would not fit on a phone."""


def cell_chart(numbered: Sequence[tuple[int, QcDocument]]) -> Chart | None:
    """Bases of each cell as columns; None for fewer than two cells. The numbers are those of rows.

    Only cells with bases can be drawn.
    """
    if len(numbered) < 2:
        return None
    cells = [cell for _, cell in numbered]
    names = [f"{number} · {cell.field('library')} · {_short(cell)}" for number, cell in numbered]
    stacks = [
        {part: group.bases for part, group in shown_parts(cell.parts, cell.total).items()}
        for cell in cells
    ]
    parts = [part for part in (*PARTS, "all") if any(part in stack for stack in stacks)]
    most = max(cells, key=lambda cell: cell.passed.bases)
    width, named = 1 / len(cells), len(cells) <= NAMED_UP_TO
    return ColumnChart(
        key="cells",
        title="Bases by cell",
        subtitle="in the order of the table above",
        summary=f"{number_of(len(cells), 'cell')}; the largest, {visible(_short(most))}, has"
        f" {bases_text(most.passed.bases)}{' passed' if most.split else ''}.",
        columns=[
            Column(index * width + 0.1 * width, 0.8 * width, name, stack)
            for index, (name, stack) in enumerate(zip(names, stacks, strict=True))
        ],
        unit="b",
        words=bases_text,
        bottom=[
            AxisTick((index + 0.5) * width, _short(cell) if named else str(number))
            for index, (number, cell) in enumerate(numbered)
            if named or _is_labelled(number, len(cells))
        ],
        bottom_name="flow cell" if named else "cell, by its row in the table",
        table=ChartTable(
            "Bases by cell",
            ("Cell", *(f"{WORDS[part].capitalize()}, bases" for part in parts)),
            tuple(
                (name, *(f"{stack.get(part, 0):,.0f}" for part in parts))
                for name, stack in zip(names, stacks, strict=True)
            ),
        ),
        legend=tuple((part, WORDS[part]) for part in parts if part != "all"),
    ).chart()


def _short(cell: QcDocument) -> str:
    return cell.field("flow_cell_id") or cell.field("cell")


def _is_labelled(number: int, cells: int) -> bool:
    """Whether a column has its number below it; about twelve columns have one."""
    return number % next(step for step in (1, 2, 5, 10, 50, cells) if cells / step <= 12.5) == 0
