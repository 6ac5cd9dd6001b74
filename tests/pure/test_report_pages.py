"""Pages for cells of every kind: their contents, and no text of a document becomes markup."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from parsed_pages import EVIL, Page, with_hostile_texts
from qc_documents import (
    all_failed,
    barcode,
    empty_group,
    few_barcodes,
    group,
    not_barcoded,
    one_read,
    plate,
    qc_document,
    run_document,
    without_fastq,
)

from hesiod_watch.report import formatting
from hesiod_watch.report.cell import render_cell
from hesiod_watch.report.run import render_run

CELLS: Mapping[str, Callable[[], dict[str, Any]]] = {
    "six barcodes": qc_document,
    "a full plate": lambda: qc_document(barcodes=plate(96)),
    "thirteen barcodes": lambda: qc_document(
        barcodes=[barcode(f"barcode{n:02d}", 1000 * n) for n in range(1, 14)]
    ),
    "not barcoded": not_barcoded,
    "no FASTQ": without_fastq,
    "one read": lambda: qc_document(
        barcodes=[], total=one_read(), **{"pass": one_read(), "fail": None}
    ),
    "all failed": all_failed,
    "not split": lambda: qc_document(barcodes=few_barcodes()[:1], **{"pass": None, "fail": None}),
    "skipped reads": lambda: qc_document(skip=group(4_000, name="s")),
    "running": lambda: qc_document(state="running"),
    "running, nothing yet": lambda: without_fastq(state="running", facts={}, counts={}),
    "Flongle": lambda: not_barcoded(
        total=group(4_000, channels=126), facts={"flow_cell_type": "FLO-FLG114"}
    ),
    "MinION": lambda: not_barcoded(
        total=group(90_000, channels=512), facts={"flow_cell_type": "FLO-MIN114"}
    ),
    "empty group": lambda: qc_document(total=empty_group()),
    "nothing": dict,
    "only nonsense": lambda: dict.fromkeys(qc_document(), "nonsense"),
    "numbers that are none": lambda: qc_document(
        total={"reads": "many", "bases": None, "n50": True, "mean_q": []}
    ),
}


@pytest.mark.parametrize("make", CELLS.values(), ids=CELLS.keys())
def test_cell_pages_parse(make: Callable[[], dict[str, Any]]) -> None:
    """The page of every kind of cell parses and has one main heading and no script.

    Its ids are unique, and every id that it uses exists.
    """
    page = Page(render_cell(make()))
    assert len(page.ids) == len(set(page.ids))
    assert (page.tags["h1"], page.tags["main"], page.tags["style"]) == (1, 1, 1)
    assert "script" not in page.tags
    assert "None" not in page.text
    assert "nan" not in page.text.lower().split()

    named = {word for value in page.values("aria-labelledby") for word in value.split()}
    named |= {value[1:] for value in page.values("href") if value.startswith("#")}
    assert named <= set(page.ids)


def test_nothing_is_fetched() -> None:
    """Neither page refers to another resource, except by links that a person may click."""
    for html in (render_cell(qc_document()), render_run(run_document())):
        page = Page(html)
        assert (
            set(page.tags)
            & {"script", "img", "iframe", "object", "embed", "audio", "video", "base", "form"}
            == set()
        )
        for tag, name, value in page.attributes:
            assert name not in {"src", "srcset", "action", "style", "background"}
            assert not name.startswith("on")
            if name == "href" and tag != "a":
                assert value.startswith(("#", "data:image/svg+xml,"))
        assert "@import" not in html
        assert re.findall(r"url\((?!\"#)", html) == []


def test_policy_names_the_style() -> None:
    """The policy allows only the style sheet of the page, by the hash of its bytes."""
    html = render_cell(qc_document())
    style = html.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = next(
        value
        for _, name, value in Page(html).attributes
        if name == "content" and "default-src" in value
    )
    assert policy.split("; ")[:2] == ["default-src 'none'", f"style-src 'sha256-{digest}'"]
    assert "unsafe" not in policy


def test_hostile_document() -> None:
    """A document of hostile texts gives a readable page with the tags of the harmless one."""
    harmless = qc_document(barcodes=plate(14)[:14])
    hostile = with_hostile_texts(harmless)
    hostile["total"] = harmless["total"]
    html = render_cell(hostile)
    page = Page(html)
    html.encode()
    assert {"script", "img"}.isdisjoint(page.tags)
    assert not any(name.startswith("on") for _, name, _ in page.attributes)
    assert set("\u202e\x1b\u2028") & set(html) == set()
    assert "\\u202e" in page.text
    assert "<script>alert(1)</script>" in page.text


@pytest.mark.parametrize("key", ["run", "library", "cell", "flow_cell_id", "program", "made_at"])
def test_hostile_names_one_by_one(key: str) -> None:
    """A hostile name adds no tag, except the marks around characters that are spelled out."""
    count = Page(render_cell(qc_document())).tags
    attacked = Page(render_cell(qc_document(**{key: EVIL}))).tags
    for tags in (count, attacked):
        for tag in ("span", "bdi", "time"):  # these marks; an invalid time is shown like a name
            tags.pop(tag, None)
    assert attacked == count


@pytest.mark.parametrize(
    "link", ["javascript:alert(1)", "//example.org/report.html", "data:text/html,<b>", EVIL]
)
def test_hostile_links(link: str) -> None:
    """A link in a document can lead to a file only, never to a script or another host."""
    page = Page(render_cell(qc_document(links={"ont_report": link})))
    run = run_document()
    run["cells"][0]["page"] = link
    for target in page.values("href") + Page(render_run(run)).values("href"):
        if not target.startswith("data:image/svg+xml,"):
            assert ":" not in target
            assert not target.startswith("//")


@pytest.mark.parametrize(
    ("verdict", "tone"),
    [
        ("proven", "good"),
        ("by-hand", "warn"),
        ("over", "warn"),
        ("short", "bad"),
        ("fallback", "bad"),
        ("unreadable", "bad"),
        ("running", "busy"),
        ("", "none"),
    ],
)
def test_line_of_state(verdict: str, tone: str) -> None:
    """The line at the top has the verdict's tone and the reason."""
    page = Page(
        render_cell(qc_document(completeness={"verdict": verdict, "why": "because of the reason"}))
    )
    assert f"state {tone}" in page.values("class")
    assert "because of the reason" in page.text


@pytest.mark.parametrize(
    ("document", "tone", "words"),
    [
        (without_fastq, "none", "basecalling was off"),
        (lambda: without_fastq(facts={"basecalling_enabled": "1"}), "warn", "there are no reads"),
        (lambda: without_fastq(facts={}), "warn", "there are no reads"),
        (lambda: qc_document(removed=[{"name": "a", "reason": "b"}]), "warn", "without 1 file"),
        (
            lambda: qc_document(
                completeness={"verdict": "proven", "why": "", "unverified": {"bam": 2}}
            ),
            "warn",
            "not verified",
        ),
        (qc_document, "good", "Complete: every announced file is here"),
    ],
    ids=["not basecalled", "no reads", "nothing known", "lost files", "not verified", "good"],
)
def test_state_claims_no_more_than_the_document(
    document: Callable[[], dict[str, Any]], tone: str, words: str
) -> None:
    """Both pages are green only if all announced files are here and their reads are counted."""
    qc = document()
    page = Page(render_cell(qc))
    assert [each for each in page.values("class") if each.startswith("state ")] == [f"state {tone}"]
    assert words in page.text

    cell = run_document()["cells"][0] | {"qc": qc}
    other = run_document()["cells"][1]
    run = Page(render_run(run_document(status="complete", cells=[cell, other], quarantined=[])))
    chips = [each for each in run.values("class") if each.startswith("chip ")]
    assert chips == [f"chip {tone}", "chip good"]
    if not qc["total"]["reads"] or "removed" in qc:
        assert [each for each in run.values("class") if each.startswith("state ")] == [
            f"state {tone}"
        ]


def test_unknown_results_are_not_green() -> None:
    """A cell that is called processed, without a document, has no green mark."""
    cell = run_document()["cells"][0] | {"qc": None}
    run = Page(render_run(run_document(status="complete", cells=[cell], quarantined=[])))
    assert "chip none" in run.values("class")
    assert "no numbers yet" not in run.text


@pytest.mark.parametrize(
    ("grade", "tone", "reasons"),
    [("PASS", "good", []), ("WARN", "warn", ["N50 <b>"]), ("FAIL", "bad", ["a", "b"])],
)
def test_verdict_is_shown(grade: str, tone: str, reasons: list[str]) -> None:
    """Both pages show the verdict and its reasons; a run is as good as its worst cell."""
    qc = qc_document(qc_verdict={"grade": grade, "type": "internal", "reasons": reasons})
    page = Page(render_cell(qc))
    assert f"state verdict {tone}" in page.values("class")
    assert grade in page.text
    assert all(reason in page.text for reason in reasons)
    cells = [run_document()["cells"][0] | {"qc": qc}, run_document()["cells"][1]]
    run = Page(render_run(run_document(status="complete", cells=cells, quarantined=[])))
    assert grade in run.text
    assert f"state {tone}" in run.values("class")
    assert "verdict" not in render_cell(qc_document(qc_verdict={"grade": "?"})).split("</style>")[1]


def test_notes_are_outside_the_state() -> None:
    """What a person should read has its own section, and so has what names of files show."""
    notes = [f"note {number}" for number in range(7)]
    completeness = {"verdict": "proven", "why": "all are here", "evidence": ["a gap in the names"]}
    html = render_cell(qc_document(notes=notes, completeness=completeness))
    state = html[html.index('class="state ') : html.index("</section>")]
    assert "state good" in html
    for words in (*notes, "a gap in the names"):
        assert words not in state
        assert words in html
    assert "2 more notes" not in state
    bad = render_cell(qc_document(completeness=completeness | {"verdict": "over"}))
    assert "a gap in the names" in bad[bad.index('class="state ') : bad.index("</section>")]


@pytest.mark.parametrize(
    ("backups", "backed_up", "words"),
    [
        (["nas", "tape"], [True, True], "Backed up to nas and tape."),
        (["nas"], [True, False], "1 of 2 processed cells backed up to nas."),
        (["nas"], [False, False], "0 of 2 processed cells backed up to nas."),
        ([], [False, False], "No backup is configured."),
    ],
)
def test_backup_is_shown(backups: list[str], backed_up: list[bool], words: str) -> None:
    """The run's page says how many of its processed cells are backed up, and where to."""
    cells = [
        cell | {"backed_up": copied}
        for cell, copied in zip(run_document()["cells"], backed_up, strict=False)
    ]
    page = Page(render_run(run_document(cells=cells, backups=backups)))
    assert words in page.text


def test_running_cells_are_marked() -> None:
    """The page of a cell that is still being written says that its numbers will grow.

    This does not depend on the verdict.
    """
    page = Page(render_cell(qc_document(state="running")))
    assert "Still running" in page.text
    assert "state busy" in page.values("class")


def test_missing_files_are_counted() -> None:
    """The page has the numbers of missing files and of files in the fallback directory."""
    page = Page(
        render_cell(
            qc_document(
                completeness={"verdict": "fallback", "why": "…", "fallback": {"fastq": 2}},
                counts={
                    "fastq": {"announced": 69, "found": 66},
                    "pod5": {"announced": None, "found": 1},
                },
            )
        )
    )
    assert "FASTQ 66 of 69 files, 3 missing" in page.text
    assert "POD5 1 file" in page.text
    assert "FASTQ: 2 in the sequencer" in page.text


def test_six_numbers() -> None:
    """The page has passed reads and bases, their share, N50, median and mean Q.

    Failed reads are shown separately.
    """
    page = Page(render_cell(qc_document()))
    start = page.text.index("The cell in six numbers")
    shown = page.text[start : page.text.index("Mean Q: arithmetic")]
    passed = qc_document()["pass"]
    assert re.findall(
        r"Passed reads|Passed bases|Passed, by bases|N50|Median length|Mean Q", shown
    ) == [*("Passed reads", "Passed bases", "Passed, by bases", "N50", "Median length", "Mean Q")]
    assert "5.42 M failed: 590 k" in shown
    assert "18.7 failed: 7.6" in shown
    assert f"{passed['bases']:,} bases" in page.values("title")


def test_mean_q_is_named() -> None:
    """The page defines its mean Q."""
    meaning = "the basecaller's own value, averaged over reads"
    assert meaning in Page(render_cell(qc_document(mean_q={"rule": "qs", "meaning": meaning}))).text


def table_labels(html: str) -> list[str]:
    return re.findall(r'<th scope="row"><bdi class="name">(barcode\d+|unclassified)</bdi>', html)


def test_barcodes_by_bases() -> None:
    """Barcodes are sorted by bases; those below a ten-thousandth are folded.

    A sentence says how many are folded.
    """
    html = render_cell(qc_document())
    assert table_labels(html) == [
        *(
            "barcode01",
            "barcode02",
            "barcode04",
            "barcode03",
            "barcode05",
            "barcode06",
            "unclassified",
        ),
        *("barcode11", "barcode24"),
    ]
    many = [barcode("unclassified", 9_000_000), *few_barcodes(), barcode("mixed", 8_000_000)]
    labels = re.findall(
        r'<th scope="row"><bdi class="name">(\w+)</bdi>', render_cell(qc_document(barcodes=many))
    )
    assert labels.index("barcode06") < labels.index("unclassified") < labels.index("mixed")
    open_part, folded = html.split("2 barcodes with less than 0.01 %")
    assert "barcode06" in open_part
    assert ">barcode11<" not in open_part
    assert ">barcode11<" in folded


def test_many_barcodes_have_a_chart() -> None:
    """More than a dozen barcodes have one chart instead of bars.

    An empty well of a plate is a gap in the chart.
    """
    few, many = render_cell(qc_document()), render_cell(qc_document(barcodes=plate(96)))
    assert "with-bars" in few
    assert 'id="barcodes-title"' not in few
    assert 'class="barcodes with-bars"' not in many
    assert 'id="barcodes-title"' in many
    chart = many[many.index('id="barcodes-title"') : many.index("</figure>")]
    assert "barcode17:" in chart
    assert len(table_labels(many)) == 97


def test_chart_is_in_order() -> None:
    """The chart's columns are in natural order of their names; unplaced reads come last."""
    labels = ["unclassified", *(f"barcode{number}" for number in range(13, 0, -1))]
    html = render_cell(qc_document(barcodes=[barcode(label, 5000) for label in labels]))
    chart = html[html.index('id="barcodes-title"') : html.index("</figure>")]
    assert re.findall(r"<title>(\w+):", chart) == list(reversed(labels))


def test_cell_without_fastq() -> None:
    """The page of a cell without basecalling has the reason, the facts and the counts.

    It has no empty charts.
    """
    page = Page(render_cell(without_fastq()))
    assert "Basecalling was off" in page.text
    assert "POD5 592 of 592 files" in page.text
    assert "FLO-PRO114M" in page.text
    assert "figure" not in page.tags


def test_cell_with_bam() -> None:
    """The page shows what only BAM has, and escapes the models, which come from the headers."""
    counts = {"reads": 1000, "records": 1010, "aligned": 750, "duplex": 0, "modified": 1000}
    models = {"modified_base_models": ["sup_5mCG@v1", EVIL]}
    total = group(1000) | {"bam": counts | models}
    page = Page(render_cell(not_barcoded(total=total)))
    assert "750 (75.0 %)" in page.text
    assert "sup_5mCG@v1" in page.text
    assert "Duplex" not in page.text
    assert "script>alert" not in render_cell(not_barcoded(total=total))


def test_missing_numbers_are_not_invented() -> None:
    """If headers have no times or channels, a sentence replaces the chart."""
    bare = group(1000) | {"yield": {"start": None}, "channels": {"active": 0, "reads": {}}}
    page = Page(render_cell(not_barcoded(total=bare, **{"pass": None, "fail": None})))
    assert "headers carry no times and no channels." in page.text


def test_files_are_listed() -> None:
    """Every output is listed with its checksum and a link to the file in the same directory."""
    document = qc_document()
    page = Page(render_cell(document))
    for output in document["outputs"]:
        assert output["md5"] in page.text
        assert output["file"] in page.values("href")
    assert "../../report.html" in page.values("href")


def test_figures_of_an_earlier_version() -> None:
    """The page says why charts are missing if an earlier version measured some of the reads."""
    words = "an earlier version of this program measured some of the reads"
    assert words not in render_cell(qc_document())
    unknown = group(1000) | {"over_time": None, "length_quality": None}
    assert words in render_cell(qc_document(total=unknown))
    assert words not in render_cell(without_fastq())


def test_first_half_hour() -> None:
    """The page of a run of less than two half hours says when more charts appear."""
    words = "once there are reads of two half hours"
    assert words not in render_cell(qc_document())
    total = qc_document()["total"]
    first = total["over_time"] | {
        key: total["over_time"][key][:1] for key in ("reads", "n50", "mean_q")
    }
    assert words in render_cell(qc_document(total=total | {"over_time": first}))


def test_charts_have_tables() -> None:
    """Each chart is an image with title and description, and a table has its numbers."""
    html = render_cell(qc_document())
    page = Page(html)
    assert page.tags["figure"] == 8
    assert html.count('role="img" aria-labelledby') == 8
    assert html.count("<caption>") == 8
    assert all(
        page.ids.count(f"{key}-{part}") == 1
        for key in (
            "length",
            "quality",
            "length-quality",
            "yield",
            "quality-time",
            "n50-time",
            "pores",
            "channels",
        )
        for part in ("title", "desc")
    )


def test_documents_are_unchanged() -> None:
    """Rendering does not change the document."""
    document = qc_document()
    before = json.dumps(document)
    render_cell(document)
    assert json.dumps(document) == before


@pytest.mark.parametrize(
    ("text", "capital"),
    [
        ("still running: no final_summary yet", True),
        ("all files announced are here", True),
        ("sample_A/20261122_2210_1A_PAW00001_0a1b2c3d: still running", False),
        ("final_summary_x.txt is half-written", False),
        ("3 of 69 FASTQ files missing", False),
        ("", False),
    ],
)
def test_names_keep_their_case(text: str, capital: bool) -> None:
    """A sentence begins with a capital letter, but a name at its beginning is not changed."""
    assert (formatting.sentence(text) == "sentence") is capital
