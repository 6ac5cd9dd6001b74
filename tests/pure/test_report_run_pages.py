"""Pages of runs: their contents, and no name becomes markup."""

from __future__ import annotations

from typing import Any

import pytest
from parsed_pages import Page, with_hostile_texts
from qc_documents import qc_document, run_document, without_fastq

from hesiod_watch.report.run import HEADLINES, TONES, render_run


def test_run_page() -> None:
    """The run's page shows each cell with stage, reason, numbers and a link to its page."""
    document = run_document(title="Genome Centre")
    html = render_run(document)
    page = Page(html)
    assert len(page.ids) == len(set(page.ids))
    for cell in document["cells"]:
        assert cell["cell"] in page.text
        assert cell["stage"] in page.text
        assert cell["why"] in page.text
    links = [value for value in page.values("href") if value.endswith("report.html")]
    assert links == [cell["page"] for cell in document["cells"] if cell["page"]]
    assert "processing_sync_needed" in page.text
    assert "Genome Centre" in page.text
    assert "pool 7;rm -rf" in page.text


def test_run_totals() -> None:
    """Totals are of the passed reads of all cells except aborted ones."""
    document = run_document()
    counted = [cell["qc"]["pass"]["bases"] for cell in document["cells"] if cell["qc"]]
    document["cells"][-1]["qc"] = qc_document()
    assert document["cells"][-1]["stage"] == "aborted"
    page = Page(render_run(document))
    assert f"{sum(counted):,} bases" in page.values("title")


@pytest.mark.parametrize(
    "cells",
    [
        [],
        [{}],
        [
            {
                "library": "a",
                "cell": "b",
                "stage": "processed",
                "why": "",
                "page": None,
                "qc": without_fastq(),
            }
        ],
    ],
    ids=["no cell", "an empty one", "no FASTQ"],
)
def test_run_page_of_little(cells: list[dict[str, Any]]) -> None:
    """A run without a cell, or without numbers, has a page too."""
    Page(render_run(run_document(cells=cells, quarantined=[])))


def test_hostile_run() -> None:
    """Names in a run's page, also quarantined ones, stay text."""
    document = run_document()
    html = render_run(with_hostile_texts(document) | {"covers": document["covers"]})
    page = Page(html)
    assert {"script", "img"}.isdisjoint(page.tags)
    assert set("\u202e\x1b\u2028") & set(html) == set()
    html.encode()


@pytest.mark.parametrize("status", sorted(HEADLINES))
def test_every_status_has_a_headline(status: str) -> None:
    """Each status has a tone and a headline.

    The page shows the status beside the headline unless they are the same word.
    """
    page = Page(render_run(run_document(status=status)))
    assert f"state {TONES[status]}" in page.values("class")
    assert f"{HEADLINES[status]} {status}" in page.text or HEADLINES[status].lower() == status


def test_status_words_are_the_models() -> None:
    """The pages know every status and stage of the model."""
    from hesiod_watch.core.model import Stage, Status

    assert {str(status) for status in Status} == set(HEADLINES)
    assert {str(stage) for stage in Stage} <= set(TONES)
