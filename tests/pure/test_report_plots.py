"""Geometry of the charts: scales, ticks, stacks and the map of the flow cell."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qc_documents import STARTED, cell_group, group, not_barcoded, one_read, qc_document

from hesiod_watch.report.document import QcDocument
from hesiod_watch.report.flowcell import LAYOUTS, FlowCellLayout, channel_chart, layout_for
from hesiod_watch.report.formatting import UNKNOWN
from hesiod_watch.report.heat_map import length_quality_chart
from hesiod_watch.report.plots import length_chart, quality_chart
from hesiod_watch.report.shades import SHADES, ShadeScale
from hesiod_watch.report.svg import Chart, element, nice_step, nice_top
from hesiod_watch.report.time_charts import (
    n50_over_time_chart,
    pore_chart,
    quality_over_time_chart,
    yield_chart,
)

CHARTS = (
    length_chart,
    quality_chart,
    yield_chart,
    pore_chart,
    quality_over_time_chart,
    n50_over_time_chart,
    length_quality_chart,
)


def numbers(pattern: str, chart: Chart) -> list[float]:
    return [float(found) for found in re.findall(pattern, chart.picture)]


@given(st.floats(min_value=1e-3, max_value=1e15), st.integers(min_value=2, max_value=10))
def test_nice_step(span: float, most: int) -> None:
    """A step is 1, 2 or 5 times a power of ten.

    It gives at most the wanted number of steps, and not many fewer.
    """
    step = nice_step(span, most)
    assert f"{step:.0e}"[0] in "125"
    assert span / step <= most * 1.00001
    assert span / step >= most / 2.6


@given(st.floats(min_value=1e-3, max_value=1e15))
def test_nice_top(highest: float) -> None:
    """The axis includes its highest column, wastes less than one step and ends at a step."""
    top, step = nice_top(highest)
    assert highest <= top * 1.00001
    assert top - step < highest
    assert abs(top / step - round(top / step)) < 1e-6


def test_top_of_nothing() -> None:
    """An axis without a value still has a range."""
    assert nice_top(0) == (1.0, 1.0)


def test_elements_are_escaped() -> None:
    """Text and attributes of a drawing cannot become markup."""
    assert (
        element("text", "<b>&\u202e", class_='a"b')
        == '<text class="a&#34;b">&lt;b&gt;&amp;\\u202e</text>'
    )


@pytest.mark.parametrize(
    "document",
    [qc_document(), not_barcoded(total=one_read(), **{"pass": one_read(), "fail": None})],
    ids=["barcoded", "one read"],
)
def test_columns_stay_inside(document: dict[str, Any]) -> None:
    """Every column of a chart is within the axes."""
    cell = QcDocument(document)
    wanted = {"length", "quality", "yield", "pores"}
    wanted |= {"quality-time", "n50-time", "length-quality"} if cell.total.over_time else set()
    charts = {chart.key: chart for draw in CHARTS if (chart := draw(cell))}
    assert set(charts) == wanted
    for chart in charts.values():
        rects = re.findall(
            r'<rect x="([^"%]+)%" width="([^"%]+)%" y="([^"%]+)%" height="([^"%]+)%"', chart.picture
        )
        assert rects
        for x, width, y, height in (map(float, rect) for rect in rects):
            assert x >= -0.001
            assert x + width <= 100.01
            assert y >= -0.001
            assert y + height <= 100.01


def test_stack_adds_up() -> None:
    """Columns of the length chart have the heights of their bases on the chart's scale.

    This is true for passed and failed reads.
    """
    passed, failed = group(1000, name="a"), group(400, length=2000, name="b")
    total = group(1400, name="c")
    chart = length_chart(QcDocument(qc_document(total=total, **{"pass": passed, "fail": failed})))
    assert chart is not None
    heights = {
        part: sum(numbers(rf'height="([^"%]+)%" class="{part}"', chart))
        for part in ("pass", "fail")
    }
    assert heights["pass"] / heights["fail"] == pytest.approx(
        passed["bases"] / failed["bases"], rel=0.01
    )


def test_curve_ends_at_the_total() -> None:
    """Yield curves end at the totals, also if passed reads begin later than failed ones."""
    start = STARTED
    total = one_read() | {
        "yield": {"start": start.isoformat(), "bin_seconds": 600, "bases": [100, 300, 600]}
    }
    later = (start + timedelta(minutes=10)).isoformat()
    passed = one_read() | {"yield": {"start": later, "bin_seconds": 600, "bases": [250, 250]}}
    chart = yield_chart(QcDocument(qc_document(total=total, **{"pass": passed})))
    assert chart is not None
    assert chart.table.rows[-1] == ("30 min", "1,000", "500")
    assert chart.table.rows[0] == ("10 min", "100", "0")
    ends = re.findall(r'L1000\.0 ([0-9.]+)"', chart.picture)
    assert ends == ["500.0", "0.0"]


def test_pores_over_time() -> None:
    """The chart of pores has the scans in its table, and a sentence about the first and last."""
    scans = [
        {"seconds": 1800, "available": 6000, "pores": 12_000},
        {"seconds": 5400, "available": 4500, "pores": 12_000},
        {"seconds": 18_000, "available": 1500, "pores": 12_000},
    ]
    chart = pore_chart(QcDocument(qc_document(pores=scans)))
    assert chart is not None
    assert chart.table.rows == (("30 min", "6,000"), ("90 min", "4,500"), ("5.0 h", "1,500"))
    assert chart.summary == (
        "6,000 of 12,000 pores were available at the first scan; 1,500 (25.0 % of these) at the"
        " last, after 5.0 h."
    )
    assert chart.picture.count("pores available</title>") == 3


def over_time(*periods: tuple[int, float | None, int | None], start: str = "") -> dict[str, Any]:
    """The key "over_time" with (reads, mean Q, N50) of each half hour."""
    return {
        "over_time": {
            "start": start or STARTED.replace(minute=0, second=0, microsecond=0).isoformat(),
            "bin_seconds": 1800,
            "reads": [reads for reads, _, _ in periods],
            "mean_q": [quality for _, quality, _ in periods],
            "n50": [length for _, _, length in periods],
        }
    }


def test_quality_and_n50_over_time() -> None:
    """Both charts have a row for each half hour, and a sentence about the course of the run.

    Hours count from the first read; a period without reads has no value and no point; one with too
    few reads to compare has a value in the table and no point.
    """
    total = group(5000) | over_time(
        (900, 20.0, 5000), (0, None, None), (2, 3.0, 90), (1000, 18.25, 4000)
    )
    passed = group(4000) | over_time(
        (800, 21.0, 6000), (0, None, None), (1, 4.0, 80), (900, 19.0, 4500)
    )
    cell = QcDocument(qc_document(total=total, **{"pass": passed}))
    quality, length = quality_over_time_chart(cell), n50_over_time_chart(cell)
    assert quality is not None
    assert length is not None
    assert quality.table.header == ("Time", "All reads, mean Q", "Passed, mean Q")
    assert quality.table.rows == (
        ("18 min", "20.0", "21.0"),
        ("48 min", UNKNOWN, UNKNOWN),
        ("78 min", "3.0", "4.0"),
        ("108 min", "18.2", "19.0"),
    )
    assert length.table.rows[0] == ("18 min", "5,000", "6,000")
    assert quality.summary == (
        "The mean Q of passed reads was 21.0 at the beginning and 19.0 at the end; the lowest was"
        " 19.0 (after 93 min), the highest 21.0 (after 9 min)."
    )
    assert "N50 of passed reads was 6.00 kb at the beginning and 4.50 kb at the end" in (
        length.summary
    )
    for chart in (quality, length):
        assert chart.picture.count("L") - chart.picture.count("Length") == 2  # one for each curve
        assert "After 48 min: no reads" in chart.picture
        assert chart.legend == (("curve-pass", "passed"), ("curve-all", "all reads"))


@pytest.mark.parametrize("draw", [quality_over_time_chart, n50_over_time_chart])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"over_time": None},
        {"over_time": "nonsense"},
        over_time((900, 20.0, 5000)),
        over_time((900, None, None), (900, None, None)),
        over_time((0, 20.0, 5000), (900, 20.0, 5000), start="yesterday"),
        {"over_time": over_time((9, 2.0, 5))["over_time"] | {"n50": [1, 2]}},
        {"over_time": over_time((9, 2.0, 5), (9, 2.0, 5))["over_time"] | {"bin_seconds": 0}},
    ],
    ids=["absent", "null", "text", "one", "no values", "no start", "uneven", "no width"],
)
def test_no_chart_of_unknown_figures(draw: Any, changes: dict[str, Any]) -> None:
    """Figures of an earlier version, of one period, or of nonsense make no chart."""
    assert draw(QcDocument(qc_document(total=group(900) | changes))) is None


def test_length_against_quality() -> None:
    """A square's shade shows its reads; the table has the quarters, the sentence both halves."""
    table = {
        "edges": [1000, 1122, 1259, 1413],
        "start": 8,
        "width": 1,
        "reads": [[300, 0, 0, 9], [0, 0, 0, 0], [0, 0, 90, 243]],
    }
    facts = qc_document()["facts"] | {"min_q": 9}
    total = group(642) | {"length_quality": table}
    chart = length_quality_chart(QcDocument(qc_document(total=total, facts=facts)))
    assert chart is not None
    assert chart.table.rows == (
        ("1,000 to 1,121", "309", "8", "8", "8"),
        ("1,259 to 1,412", "333", "10", "11", "11"),
    )
    assert chart.summary == (
        "Reads below 1.26 kb (48.1 % of all) have a median Q of 8, longer reads of 11."
    )
    assert [name for _, name in chart.legend] == [
        "2 to 3",
        "4 to 11",
        "12 to 33",
        "34 to 99",
        "100 or more",
    ]
    drawn = re.findall(r'd="([^"]+)" class="squares shade-(\d)"', chart.picture)
    assert {int(shade): path.count("M") for path, shade in drawn} == {2: 1, 4: 1, 5: 2}
    assert "passed from Q9" in chart.picture
    assert "1.00 kb to 1.12 kb: 309 reads; the middle half has Q8 to Q8</title>" in chart.picture


@pytest.mark.parametrize(
    "table",
    [
        None,
        "nonsense",
        {"edges": [], "start": 3, "width": 1, "reads": []},
        {"edges": [0, 1], "start": 3, "width": 1, "reads": [[5]]},
        {"edges": [10, 20], "start": 3, "width": 1, "reads": [[0, 0]]},
        {"edges": [10, 20, 30], "start": 3, "width": 1, "reads": [[1]]},
        {"edges": [10, 20], "start": None, "width": 1, "reads": [[1]]},
        {"edges": [10, 20], "start": 3, "width": 0.5, "reads": [[1]]},
        {"edges": [10, 20], "start": 3, "width": 1, "reads": ["x"]},
    ],
)
def test_no_map_of_unknown_lengths_and_qualities(table: Any) -> None:
    """Figures of an earlier version, empty reads alone, and nonsense make no chart."""
    total = group(900) | {"length_quality": table}
    assert length_quality_chart(QcDocument(qc_document(total=total))) is None


@given(st.integers(1, 10**9), st.integers(1, 10**9))
def test_shades_and_their_names_agree(highest: int, count: int) -> None:
    """A count is in the class whose name contains it, on both kinds of scale."""
    for scale in (ShadeScale.thirds(highest), ShadeScale.steps([highest, count])):
        shade = scale.shade(count)
        first, *last = [
            int(word) for word in re.findall(r"\d+", scale.name(shade).replace(",", ""))
        ]
        if shade == 0:
            assert count < first
        else:
            assert first <= count
            assert shade == SHADES or count <= (last or [first])[0]


def test_long_runs_have_few_zones_and_rows() -> None:
    """A chart over months has as many tooltips and rows as one over days."""
    months = over_time(*[(900, 20.0 + number % 3, 5000) for number in range(2880)])
    chart = n50_over_time_chart(QcDocument(qc_document(total=cell_group(900) | months)))
    assert chart is not None
    assert len(chart.table.rows) < 30
    assert chart.picture.count('class="hit"') < 80
    assert chart.table.rows[-1][0] == "1440 h"


@pytest.mark.parametrize(
    "scans",
    [
        [],
        "nonsense",
        [{"seconds": 200, "available": 5, "pores": 9}],
        [{"seconds": 0, "available": 5, "pores": 9}] * 2,
        [{"seconds": 200, "available": 0, "pores": 9}] * 2,
        [{"seconds": 200, "available": 5}, {"available": 5, "pores": 9}],
    ],
)
def test_no_chart_of_too_few_scans(scans: Any) -> None:
    """Fewer than two scans, or scans without a pore, make no chart."""
    assert pore_chart(QcDocument(qc_document(pores=scans))) is None


@pytest.mark.parametrize(
    ("start", "curves"), [("2026-11-19T14:05:33", 1), ("2026-11-19T14:05:33Z", 2)]
)
def test_times_that_cannot_be_compared(start: str, curves: int) -> None:
    """A group whose times alone lack an offset has no curve; the page is still made."""
    passed = group(1000) | {"yield": {"start": start, "bin_seconds": 600, "bases": [1, 2]}}
    chart = yield_chart(QcDocument(qc_document(**{"pass": passed})))
    assert chart is not None
    assert len(chart.table.header) == 1 + curves


@pytest.mark.parametrize("layout", LAYOUTS, ids=[layout.kind for layout in LAYOUTS])
def test_every_channel_has_its_place(layout: FlowCellLayout) -> None:
    """Each channel is on the map, and no two have the same place."""
    places = [layout.place(channel) for channel in range(1, layout.channels + 1)]
    assert len(set(places)) == layout.channels
    assert all(0 <= column < layout.columns and 0 <= row < layout.rows for column, row in places)


@pytest.mark.parametrize(
    ("kind", "channel", "place"),
    [
        ("MinION", 1, (0, 15)),
        ("MinION", 33, (0, 0)),
        ("MinION", 481, (4, 0)),
        ("MinION", 449, (4, 15)),
        ("MinION", 65, (28, 15)),
        ("MinION", 512, (7, 7)),
        ("PromethION", 1, (0, 0)),
        ("PromethION", 11, (0, 1)),
        ("PromethION", 250, (9, 24)),
        ("PromethION", 251, (10, 0)),
        ("PromethION", 3000, (119, 24)),
        ("Flongle", 1, (0, 0)),
        ("Flongle", 25, (0, 2)),
        ("Flongle", 126, (11, 9)),
    ],
)
def test_known_places(kind: str, channel: int, place: tuple[int, int]) -> None:
    """Channels have the same places as on the instruments' own displays."""
    layout = next(layout for layout in LAYOUTS if layout.kind == kind)
    assert layout.place(channel) == place


@pytest.mark.parametrize(
    ("flow_cell_type", "highest", "kind"),
    [
        ("FLO-PRO114M", 12, "PromethION"),
        ("FLO-MIN114", 12, "MinION"),
        ("FLO-FLG114", 12, "Flongle"),
        ("flo-min106", 512, "MinION"),
        ("", 126, "Flongle"),
        ("", 127, "MinION"),
        ("FLO-FLG001", 400, "MinION"),
        ("something", 513, "PromethION"),
        ("", 3001, None),
    ],
)
def test_layout(flow_cell_type: str, highest: int, kind: str | None) -> None:
    """The product code decides, unless a channel does not exist on such a flow cell."""
    layout = layout_for(flow_cell_type, highest)
    assert (layout.kind if layout else None) == kind


def test_map_counts_every_channel() -> None:
    """The classes in the map's table add up to the channels of the flow cell."""
    chart = channel_chart(QcDocument(qc_document()))
    assert chart is not None
    assert sum(int(count.replace(",", "")) for _, count in chart.table.rows) == 3000
    assert chart.picture.count("M") == 3000


@pytest.mark.parametrize(
    "channels",
    [{}, {"0": 5}, {"-1": 5}, {"x": 5}, {"1": 0}, {"9999": 3}, {"²": 3}],
    ids=["empty", "channel 0", "negative", "text", "no reads", "too high", "another digit"],
)
def test_no_map(channels: dict[str, int]) -> None:
    """Invalid channels, and channels of no known flow cell, give no map."""
    total = group(100) | {"channels": {"active": 1, "reads": channels}}
    assert channel_chart(QcDocument(not_barcoded(total=total))) is None
