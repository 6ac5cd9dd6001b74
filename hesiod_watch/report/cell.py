"""Page of one cell, from its qc document (format "hesiod-watch qc 1").

The page answers the questions of the lab in this order: Is the cell complete? How many reads and
bases? How good are they? Which barcodes? Was the flow cell healthy? Where are the files?
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from markupsafe import Markup, escape

from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.naming import DUPLEX, PARTS
from hesiod_watch.core.qc_verdict import QcGrade
from hesiod_watch.core.sample_sheet import UNPLACED, SheetRow
from hesiod_watch.core.text import number_of
from hesiod_watch.report import formatting
from hesiod_watch.report.document import BarcodeReads, QcDocument
from hesiod_watch.report.flowcell import channel_chart
from hesiod_watch.report.heat_map import length_quality_chart
from hesiod_watch.report.page import render
from hesiod_watch.report.plots import (
    barcode_chart,
    in_order,
    length_chart,
    quality_chart,
)
from hesiod_watch.report.read_groups import ReadGroup, passed_share
from hesiod_watch.report.svg import Chart
from hesiod_watch.report.time_charts import (
    n50_over_time_chart,
    pore_chart,
    quality_over_time_chart,
    yield_chart,
)
from hesiod_watch.report.tolerant import fraction

BARS_UP_TO = 12
"""Above this number of barcodes, one chart replaces the bar in each row."""

RUN_PAGE = "../../report.html"
"""URL relative to the cell's page, which is beside its outputs in {run}/{library}/{cell}/."""

ROWS_SHOWN = 24
FILES_SHOWN = 8
NOTES_SHOWN = 5


SHAPE_CHARTS: tuple[Callable[[QcDocument], Chart | None], ...] = (
    length_chart,
    quality_chart,
    length_quality_chart,
)
TIME_CHARTS: tuple[Callable[[QcDocument], Chart | None], ...] = (
    yield_chart,
    quality_over_time_chart,
    n50_over_time_chart,
    pore_chart,
    channel_chart,
)


@frozen
class PageState:
    """Line at the top of the page. `tone` is good, busy, warn, bad or none."""

    tone: str
    headline: str


STATES: Mapping[str, PageState] = {
    "proven": PageState("good", "Complete: every announced file is here"),
    "by-hand": PageState("warn", "Accepted as complete by a person"),
    "over": PageState("warn", "More files are here than were announced"),
    "short": PageState("bad", "Files are missing"),
    "fallback": PageState("bad", "Files were left behind on the sequencer"),
    "unreadable": PageState("bad", "The final summary cannot be read"),
    "damaged": PageState("bad", "MinKNOW's checksums show damaged or missing files"),
    "running": PageState("busy", "Still running: these numbers will grow"),
}
DAMAGED = STATES["damaged"]
GRADE_TONES: Mapping[QcGrade, str] = {
    QcGrade.PASS: "good",
    QcGrade.WARN: "warn",
    QcGrade.FAIL: "bad",
}
UNVERIFIED = PageState("warn", "Every announced file is here; other files are not verified")
NO_READS = PageState("warn", "Every announced file is here, and there are no reads")
NOT_BASECALLED = PageState("none", "Every announced file is here; basecalling was off")
_NO_STATE = PageState("none", "Completeness is not known")


@frozen
class HeadlineFigure:
    """One of the six main numbers: short number and unit, exact text, and a line below it."""

    label: str
    number: str
    unit: str
    exact: str
    aside: str = ""


@frozen
class BarcodeRow:
    """Row of the barcode table. Bars are fractions of the longest bar."""

    label: str
    passed: ReadGroup
    share: float | None  # of the cell's passed bases
    passed_share: float | None  # of this barcode's bases
    bars: tuple[tuple[str, float, float], ...]  # (part, start, width), in percent
    sheet: SheetRow | None = None  # its row in the sample sheet
    unexpected: bool = False  # the sample sheet names other barcodes only


def render_cell(qc: Mapping[str, Any]) -> str:
    """Render the cell's page as one HTML document. Missing facts leave gaps, never an error."""
    cell = QcDocument(qc)
    used = cell.used_barcodes
    charted = len(used) > BARS_UP_TO
    state = state_of(cell)
    return render(
        "cell.html",
        cell=cell,
        run_page=RUN_PAGE,
        state=state,
        notes=notes_of(cell, state),
        verdict=cell.verdict_by_limits,
        verdict_tone=GRADE_TONES[cell.verdict_by_limits.grade] if cell.verdict_by_limits else "",
        figures=figures(cell) if cell.has_reads else (),
        rows=barcode_rows(cell, used),
        tiny=barcode_rows(cell, cell.tiny_barcodes),
        rows_shown=ROWS_SHOWN,
        files_shown=FILES_SHOWN,
        notes_shown=NOTES_SHOWN,
        bars=not charted,
        barcode_chart=barcode_chart(_charted(cell, used)) if charted else None,
        shape_charts=[chart for draw in SHAPE_CHARTS if (chart := draw(cell))],
        time_charts=[chart for draw in TIME_CHARTS if (chart := draw(cell))],
        facts=facts(cell),
        columns=detail_columns(cell),
        details=DETAILS,
        no_reads=_why_no_reads(cell),
    )


def state_of(cell: QcDocument) -> PageState:
    """State of the cell for the top of its page.

    A running cell is running, whatever the count of its files is at this moment. Damage or loss
    that MinKNOW's checksums prove has priority, unless the file counts are as bad. Only a cell
    whose reads are all in the numbers is good.
    """
    if cell.running:
        return STATES["running"]
    if cell.failed:
        files = number_of(cell.damaged, "file")
        verb = "is" if cell.damaged == 1 else "are"
        return PageState("bad", f"Not finished: {files} {verb} damaged and not in these numbers")
    state = STATES.get(cell.verdict, _NO_STATE)
    if cell.checksums.wrong and state.tone != "bad":
        return DAMAGED
    if state.tone != "good":
        return state
    if cell.removed:
        files = number_of(cell.removed, "file")
        return PageState("warn", f"Processed without {files} that were damaged or removed")
    if cell.unverified:
        return UNVERIFIED
    if not cell.has_reads:
        return NOT_BASECALLED if cell.basecalling_off else NO_READS
    return state


def notes_of(cell: QcDocument, state: PageState) -> tuple[str, ...]:
    """Sentences that a person should read, beside the line of state.

    What the names of the files show is a reason for a bad state, and a note on a good one.
    """
    return (*(cell.evidence if state.tone == "good" else ()), *cell.notes)


def figures(cell: QcDocument) -> tuple[HeadlineFigure, ...]:
    """The six main numbers, of the passed reads, with those of the failed reads below.

    If the instrument did not split the reads, the numbers are of all reads.
    """
    passed, failed = cell.passed, cell.parts.get("fail")

    def figure(label: str, key: str, words: Callable[[float], str], unit: str) -> HeadlineFigure:
        other = failed.value(key) if failed else None
        aside = "" if other is None else f"failed: {words(other)}"
        return _figure(label, passed.value(key), words, unit, aside)

    return (
        figure("Passed reads" if cell.split else "Reads", "reads", formatting.reads_text, "reads"),
        figure("Passed bases" if cell.split else "Bases", "bases", formatting.bases_text, "bases"),
        _passed_figure(cell),
        figure("N50", "n50", formatting.bases_text, "bases"),
        figure("Median length", "median_length", formatting.bases_text, "bases"),
        figure("Mean Q", "mean_q", formatting.quality_text, "(Phred)"),
    )


def _figure(
    label: str, value: float | None, words: Callable[[float], str], unit: str, aside: str
) -> HeadlineFigure:
    if value is None:
        return HeadlineFigure(label, formatting.UNKNOWN, "", "not known", aside)
    number, _, short_unit = words(value).partition(" ")
    return HeadlineFigure(label, number, short_unit, formatting.exact_text(value, unit), aside)


def _passed_figure(cell: QcDocument) -> HeadlineFigure:
    """Passed share of the bases, with the passed share of the reads below."""
    if not cell.split:
        return HeadlineFigure(
            "Passed", formatting.UNKNOWN, "", "not known", "not split by the instrument"
        )
    of_reads = passed_share(cell.parts, "reads")
    aside = "" if of_reads is None else f"{formatting.share_text(of_reads)} of reads"
    return _figure(
        "Passed, by bases", passed_share(cell.parts), formatting.share_text, "of 1", aside
    )


def barcode_rows(cell: QcDocument, barcodes: Sequence[BarcodeReads]) -> list[BarcodeRow]:
    """Rows for some of the cell's barcodes; the length of a bar is the number of bases."""
    whole = sum(barcode.passed.bases for barcode in cell.barcodes)
    longest = max((barcode.total.bases for barcode in cell.barcodes), default=0)
    return [
        BarcodeRow(
            barcode.label,
            barcode.passed,
            fraction(barcode.passed.bases, whole),
            passed_share(barcode.parts),
            _bars(barcode, longest),
            barcode.sheet,
            cell.has_sheet and barcode.sheet is None and barcode.label not in UNPLACED,
        )
        for barcode in barcodes
    ]


def facts(cell: QcDocument) -> tuple[tuple[str, Markup], ...]:
    """Known facts about the cell's run, with labels; unknown facts are left out."""
    named = (
        ("Experiment", cell.fact("protocol_group_id")),
        ("Sample", cell.fact("sample_id")),
        ("Flow cell", cell.fact("flow_cell_id") or cell.field("flow_cell_id")),
        ("Flow cell type", cell.fact("flow_cell_type")),
        ("Kit", cell.fact("kit")),
        ("Machine", cell.fact("instrument")),
        ("Position", cell.fact("position") or cell.field("position")),
    )
    found = [(label, formatting.name(value)) for label, value in named if value]
    if started := cell.fact("started"):
        found.append(("Started", formatting.moment(started)))
    if stopped := cell.fact("acquisition_stopped"):
        found.append(("Stopped", formatting.moment(stopped)))
    if (length := cell.run_seconds) is not None:
        found.append(("Run length", formatting.hours(length)))
    if (length := cell.catch_up_seconds) is not None and length >= 60:
        found.append(("Basecalling caught up after", formatting.hours(length)))
    if cell.models:
        label = "Basecalling model" if len(cell.models) == 1 else "Basecalling models"
        found.append((label, Markup("<br>").join(formatting.name(model) for model in cell.models)))
    if cell.duplex and cell.parts:
        reads = sum(group.reads for group in cell.duplex.values())
        bases = sum(group.bases for group in cell.duplex.values())
        amount = f"{formatting.reads_text(reads)}, {formatting.bases_text(bases)}"
        found.append(("Duplex reads, not in the totals", escape(amount)))
    found += _bam_facts(cell.total.bam)
    if q := cell.fact("min_q"):
        found.append(("Reads pass from", escape(f"Q{q}")))
    if reason := cell.fact("stop_reason"):
        words = reason.removeprefix("STOPPED_").replace("_", " ").lower()
        found.append(("End of the run", formatting.name(words)))
    if version := cell.fact("minknow_version"):
        found.append(("MinKNOW", formatting.name(version)))
    if version := cell.fact("basecaller_version"):
        found.append(("Basecaller", formatting.name(version)))
    if protocol := cell.fact("protocol"):
        found.append(("Protocol", formatting.name(protocol)))
    return tuple(found)


def _bam_facts(bam: ReadGroup) -> list[tuple[str, Markup]]:
    """Facts about the reads that came in BAM, of which FASTQ shows nothing."""
    found: list[tuple[str, Markup]] = []
    for label, key in (
        ("Aligned reads", "aligned"),
        ("Duplex reads", "duplex"),
        ("Reads with modified bases", "modified"),
    ):
        if count := bam.value(key):
            share = formatting.share_text(count / bam.reads) if bam.reads else ""
            found.append((label, escape(f"{formatting.reads_text(count)} ({share})")))
    if models := bam.modified_base_models:
        label = "Modified-base model" if len(models) == 1 else "Modified-base models"
        found.append((label, Markup("<br>").join(formatting.name(model) for model in models)))
    return found


DETAILS: tuple[tuple[str, str, int], ...] = (
    ("Reads", "reads", 0),
    ("Bases", "bases", 0),
    ("N50, bases", "n50", 0),
    ("Mean length, bases", "mean_length", 1),
    ("Median length, bases", "median_length", 0),
    ("Shortest, bases", "shortest", 0),
    ("Longest, bases", "longest", 0),
    ("Mean Q", "mean_q", 2),
    ("Median Q", "median_q", 2),
    ("Mean Q over the whole read", "mean_q_whole", 2),
    ("Mean Q without the first 60 bases", "mean_q_skip60", 2),
    ("Mean Q by the basecaller's own tag", "mean_q_qs", 2),
    ("Reads of Q10 and better", "reads_q10", 0),
    ("Reads of Q15 and better", "reads_q15", 0),
    ("Reads of Q20 and better", "reads_q20", 0),
    ("Part of bases of Q20 and better", "bases_q20", 4),
    ("Part of bases of Q30 and better", "bases_q30", 4),
    ("GC, part of A C G T", "gc", 4),
)
"""Rows of the table with every number: label, key in the group, number of decimals."""


def detail_columns(cell: QcDocument) -> tuple[tuple[str, ReadGroup], ...]:
    words = {"pass": "Passed", "fail": "Failed", "skip": "Skipped"}
    return (
        *((words[part], cell.parts[part]) for part in PARTS if part in cell.parts),
        ("All", cell.total),
        *(
            (f"{words[part.removesuffix(DUPLEX)]} duplex", cell.duplex[part])
            for part in cell.duplex
        ),
    )


def _bars(barcode: BarcodeReads, longest: float) -> tuple[tuple[str, float, float], ...]:
    found, start = [], 0.0
    groups = barcode.parts or {"all": barcode.total}
    for part, group in groups.items():
        width = 100 * (fraction(group.bases, longest) or 0.0)
        if width > 0:
            found.append((part, round(start, 3), round(width, 3)))
            start += width
    return tuple(found)


def _charted(cell: QcDocument, used: Sequence[BarcodeReads]) -> list[BarcodeReads]:
    """Used barcodes and, by name, those between them: an empty well must show as a gap."""
    ordered = in_order(cell.barcodes)
    names = {barcode.label for barcode in used}
    wells = [
        index
        for index, barcode in enumerate(ordered)
        if barcode.label in names and barcode.label not in UNPLACED
    ]
    first, last = (wells[0], wells[-1]) if wells else (0, -1)
    return [
        barcode
        for index, barcode in enumerate(ordered)
        if first <= index <= last or barcode.label in names
    ]


def _why_no_reads(cell: QcDocument) -> str:
    """Sentence in place of the numbers of a cell without reads."""
    if cell.basecalling_off:
        return (
            "Basecalling was off, so the instrument wrote no reads. Reads can be called from the"
            " raw data later."
        )
    if cell.running:
        return "No finished file of reads yet. The numbers come with the first."
    if cell.failed:
        return "No file of reads of this cell could be read to its end."
    if why := cell.field("no_reads"):
        return f"{why[0].upper()}{why[1:]}."
    return "There is no read in FASTQ or BAM: the instrument wrote none, or only another format."
