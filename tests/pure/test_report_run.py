"""The run's page over all its cells: yield of each, totals by sample, comparison with others."""

from __future__ import annotations

import re
from typing import Any

import pytest
from qc_documents import group, not_barcoded, qc_document, run_document

from hesiod_watch.report.comparison import FEWEST, compare_figures
from hesiod_watch.report.document import QcDocument
from hesiod_watch.report.run import render_run
from hesiod_watch.report.samples import sample_totals

Json = dict[str, Any]


def cell_of(library: str, name: str, passed: int, failed: int, **more: Any) -> Json:
    """A cell without barcodes."""
    parts = {
        "pass": group(passed, name=name),
        "fail": group(failed, name=name),
        "total": group(passed + failed, name=name),
    }
    return not_barcoded(library=library, cell=name, flow_cell_id=name, **parts, **more)


def row_of(document: Json, **more: Any) -> Json:
    names = {key: document[key] for key in ("library", "cell")}
    return {**names, "stage": "processed", "why": "", "page": None, "qc": document, **more}


def page_of(*rows: Json) -> str:
    return render_run(run_document(status="complete", cells=list(rows), quarantined=[]))


def barcode(label: str, passed: int, failed: int, **sheet: str) -> Json:
    entry = {
        "barcode": label,
        "total": group(passed + failed, name=label),
        "pass": group(passed, name=label),
        "fail": group(failed, name=label),
        "skip": None,
    }
    row = {"barcode": label, "alias": "", "sample_id": "", "type": "", **sheet}
    return entry | ({"sample_sheet": row} if sheet else {})


def pool(cell: str, *barcodes: Json, **more: Any) -> QcDocument:
    return QcDocument(qc_document(library="pool", cell=cell, barcodes=list(barcodes), **more))


def bases(entry: Json, part: str = "pass") -> int:
    number = entry[part]["bases"]
    assert isinstance(number, int)
    return number


def test_yield_of_each_cell() -> None:
    """The chart and its table have passed and failed bases of each cell, by its row."""
    cells = [cell_of("a", "PAW1", 4000, 100), cell_of("b", "PAW2", 2000, 900)]
    aborted = row_of(cell_of("c", "PAW3", 1, 1)) | {"stage": "aborted"}
    page = page_of(row_of(cells[0]), aborted, row_of(cells[1]))
    assert 'class="card chart chart-cells"' in page
    for number, document in ((1, cells[0]), (3, cells[1])):
        first = f"{number} · {document['library']} · {document['flow_cell_id']}"
        numbers = "".join(f"<td>{document[part]['bases']:,}</td>" for part in ("pass", "fail"))
        assert f'<th scope="row">{first}</th>{numbers}' in page
    assert "PAW3 ·" not in page


@pytest.mark.parametrize("cells", [[], [cell_of("a", "PAW1", 4000, 100)]])
def test_one_cell_has_nothing_to_compare(cells: list[Json]) -> None:
    """A run of one cell has neither a chart over cells nor totals by sample."""
    page = page_of(*(row_of(each) for each in cells))
    assert "chart-cells" not in page
    assert 'id="samples"' not in page


def test_many_cells() -> None:
    """The page of a run of 96 cells stays below 1 MB, with a dozen labels below the chart."""
    cells = [cell_of("a", f"PAW{number}", 4000 + number, 100) for number in range(96)]
    page = page_of(*map(row_of, cells))
    assert len(page) < 1_000_000
    picture = page[page.index("chart-cells") : page.index("</figure>")]
    assert len(re.findall(r'class="tick middle"', picture)) <= 12


def test_totals_of_samples() -> None:
    """A sample is summed over the cells of its library; other aliases are other samples."""
    one, two = (
        barcode("barcode01", 3000, 100, alias="Ada"),
        barcode("barcode01", 500, 50, alias="Ada"),
    )
    other, unknown = barcode("barcode01", 70, 7, alias="Bob"), barcode("unclassified", 40, 400)
    absent = {"barcode": "barcode02", "alias": "Eve", "sample_id": "s", "type": ""}
    sheet = {"samples": [absent], "without_reads": [absent], "unexpected": []}
    cells = [
        pool("c1", one, unknown, sample_sheet=sheet),
        pool("c2", two, barcode("barcode10", 90, 1)),
        pool("c3", other, barcode("barcode10", 60, 0)),
    ]
    totals = sample_totals(cells)
    assert [(each.barcode, each.alias, each.cells) for each in totals] == [
        ("barcode01", "Ada", 2),
        ("barcode01", "Bob", 1),
        ("barcode02", "Eve", 0),
        ("barcode10", "", 2),
        ("unclassified", "", 1),
    ]
    ada = totals[0]
    assert (ada.reads, ada.bases) == (3500, bases(one) + bases(two))
    judged = sum(bases(each, part) for each in (one, two) for part in ("pass", "fail"))
    assert ada.share == (bases(one) + bases(two)) / judged
    page = page_of(*(row_of(dict(each.raw)) for each in cells))
    section = page[page.index('id="samples"') :]
    assert re.findall(r"Ada|Bob|Eve", section)[:3] == ["Ada", "Bob", "Eve"]


def test_libraries_are_samples_of_their_own() -> None:
    """Cells without barcodes are summed by library, and never over two libraries."""
    documents = [("a", "PAW1", 10), ("b", "PAW2", 20), ("a", "PAW3", 30)]
    cells = [QcDocument(cell_of(library, name, reads, 1)) for library, name, reads in documents]
    totals = sample_totals(cells)
    assert [(each.library, each.barcode, each.reads) for each in totals] == [
        ("a", "", 40),
        ("b", "", 20),
    ]


def peers(*gigabases: float) -> list[Json]:
    return [{"gigabases": value, "n50": 5000} for value in gigabases]


@pytest.mark.parametrize(
    ("value", "others", "median", "standing"),
    [
        (10.0, [1, 2, 3, 4, 5], "3.00 Gb", "higher than all 5"),
        (0.5, [1, 2, 3, 4, 5, 6], "3.50 Gb", "lower than all 6"),
        (3.0, [1, 2, 3, 4, 5], "3.00 Gb", "higher than 2 of 5"),
        (3.0, [3, 3, 3, 3, 3], "3.00 Gb", "higher than 0 of 5"),
    ],
)
def test_standing(value: float, others: list[float], median: str, standing: str) -> None:
    """A number is shown with the median of the others, and how many of them are lower."""
    first, *rest = compare_figures({"gigabases": value}, peers(*others))
    assert (first.median, first.standing) == (median, standing)
    assert {each.standing for each in rest} == {""}


def test_too_few_others() -> None:
    """Nothing is compared with fewer cells than that, also if only one number is known of them."""
    assert compare_figures({"gigabases": 1.0}, peers(*range(1, FEWEST))) == ()
    unknown = [{"gigabases": None}, *peers(*range(1, FEWEST))]
    assert {each.standing for each in compare_figures({"gigabases": 1.0}, unknown)} == {""}
    page = page_of(row_of(cell_of("a", "PAW1", 9, 1), peers=peers(1, 2, 3, 4)))
    assert 'id="compared"' not in page


@pytest.mark.parametrize("odd", [None, "x", [], {"gigabases": float("nan")}, {"gigabases": "1"}])
def test_damaged_numbers_of_others(odd: Any) -> None:
    """Numbers that are none are left out."""
    given = [odd, *peers(1, 2, 3, 4, 5)]
    page = page_of(row_of(cell_of("a", "PAW1", 90_000, 1), peers=given))
    assert "of 5</span>" in page or "all 5</span>" in page


def test_a_cell_that_is_not_finished_is_not_compared() -> None:
    """Only a processed cell is compared."""
    row = row_of(cell_of("a", "PAW1", 9, 1), peers=peers(1, 2, 3, 4, 5)) | {"stage": "incomplete"}
    assert 'id="compared"' not in page_of(row)
