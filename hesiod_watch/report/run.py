"""Page of a run: an overview of its cells, with a link to the page of each cell.

    {"run", "title", "status", "status_why", "made_at", "program", "covers", "backups",
     "cells": [{"library", "cell", "stage", "why", "by_hand", "unverified", "new_data",
                "damaged", "verified_bad", "backed_up", "page", "qc", "peers"}],
     "quarantined": [{"name", "why"}]}

- `covers`: digest of the content of the page (hex). It is at the top of the file, where
  `runs.report_digest` finds it.
- `by_hand`: the missing data of a cell that is accepted as complete by a person, or "".
- `unverified`: true if MinKNOW states no number for some of its files.
- `new_data`: true if data came after the cell was processed.
- `damaged`: true if MinKNOW's checksums prove that files of a processed cell differ or are missing.
- `verified_bad`: true if the last verification has found damage; `why` names the first one.
- `backups`: names of the backups that each processed cell is copied to; may be missing.
- `backed_up`: true if the last backup of the cell ended with verified copies.
- `page`: a URL relative to this page, or None.
- `qc`: a qc document, or None.
- `peers`: numbers of the cells of the same kind that were finished last (`comparison`), may be
  missing.
- `title`: the facility's name; may be missing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.naming import display
from hesiod_watch.core.qc_verdict import QcGrade
from hesiod_watch.core.text import number_of
from hesiod_watch.report.cell import GRADE_TONES, ROWS_SHOWN, state_of
from hesiod_watch.report.comparison import COMPARED, ComparedFigure, compare_figures
from hesiod_watch.report.document import QcDocument
from hesiod_watch.report.limits import limited_figures
from hesiod_watch.report.page import render
from hesiod_watch.report.read_groups import passed_share
from hesiod_watch.report.run_charts import cell_chart
from hesiod_watch.report.samples import sample_totals
from hesiod_watch.report.tolerant import fraction, mapping, mappings, strings, text
from hesiod_watch.runs.report_digest import DIGEST, META_NAME

TONES: Mapping[str, str] = {
    "complete": "good",
    "processed": "good",
    "failed": "bad",
    "processing": "busy",
    "processing_syncing": "busy",
    "processing_sync_needed": "busy",
    "syncing": "busy",
    "sync_needed": "busy",
    "cell_ready": "busy",
    "ready": "busy",
    "pending": "busy",
    "new": "busy",
    "incomplete": "busy",
    "aborted": "none",
    "stripped": "none",
    "historic": "none",
    "unknown": "warn",
}
"""Tone of each status of a run and stage of a cell: good, busy, warn, bad or none. For display
only.
"""


HEADLINES: Mapping[str, str] = {
    "new": "Just seen",
    "aborted": "Disregarded",
    "stripped": "Raw data removed from here on purpose",
    "historic": "Not taken up",
    "unknown": "Not clear",
    "failed": "A person is needed",
    "complete": "Complete",
    "processing_syncing": "Being processed and copied",
    "processing_sync_needed": "Being processed, more is to be copied",
    "processing": "Being processed",
    "cell_ready": "Ready to be processed",
    "syncing": "Being copied here",
    "sync_needed": "To be copied here",
    "incomplete": "Still being written",
}
"""Headline for each status of a run; the page shows the status itself beside it."""

UNVERIFIED = "Complete, but some files are not verified"
"""Headline of a complete run if MinKNOW states no number for some of its files."""
BY_HAND = "Accepted as complete by a person"
"""Headline of a complete run if some of its data are not proven to be here."""

_WORSE = ("good", "none", "busy", "warn", "bad")


@frozen
class RunPageRow:
    """Row of a cell. `bar`: its passed bases in percent of those of the largest cell."""

    library: str
    cell: str
    stage: str
    tone: str
    why: str
    page: str
    qc: QcDocument | None
    bar: float
    backed_up: bool = False
    compared: tuple[ComparedFigure, ...] = ()  # with other cells of the same kind
    peers: int = 0  # number of these

    @property
    def grade(self) -> str:
        """Grade by the limits of the facility: PASS, WARN or FAIL; "" without limits."""
        verdict = self.qc.verdict_by_limits if self.qc else None
        return str(verdict.grade) if verdict else ""

    @property
    def grade_tone(self) -> str:
        return GRADE_TONES[QcGrade(self.grade)] if self.grade else ""

    @property
    def processed(self) -> bool:
        return self.stage == "processed"

    @property
    def counted(self) -> bool:
        """Whether the totals include the cell: it has numbers and is not aborted."""
        return self.qc is not None and self.stage != "aborted"

    @property
    def passed_share(self) -> float | None:
        return passed_share(self.qc.parts) if self.qc else None


@frozen
class RunTotals:
    """Sums over the counted cells."""

    cells: int
    processed: int
    reads: float
    bases: float
    judged: float  # passed and failed bases of the cells whose instrument split them
    passed: float  # passed bases of the same cells

    @property
    def share(self) -> float | None:
        return fraction(self.passed, self.judged)


def render_run(run: Mapping[str, Any]) -> str:
    """Render the run's page as one HTML document.

    Raises ValueError if `covers` is not a digest: no reader could find it in the file.
    """
    covers = text(run.get("covers"))
    if not DIGEST.fullmatch(covers):
        raise ValueError(f"the run's page needs the hex digest of what it covers, not {covers!r}")
    lines = _lines(run)
    shown = [
        (number, line.qc)
        for number, line in enumerate(lines, 1)
        if line.counted and line.qc and line.qc.total.bases
    ]
    samples = sample_totals([qc for _, qc in shown])
    status = text(run.get("status")) or "unknown"
    tone, headline = TONES.get(status, "warn"), HEADLINES.get(status, "Status")
    if status == "complete":
        tone, headline = _complete(lines, tone, headline)
    if status == "complete" and any(
        item.get("unverified") is True for item in mappings(run.get("cells"))
    ):
        tone, headline = "warn", UNVERIFIED
    if status == "complete" and any(
        text(item.get("by_hand")) for item in mappings(run.get("cells"))
    ):
        tone, headline = "warn", BY_HAND
    if any(item.get("new_data") is True for item in mappings(run.get("cells"))):
        tone, headline = "warn", f"{headline}, but new data came after that"
    if any(item.get("damaged") is True for item in mappings(run.get("cells"))):
        tone, headline = "bad", f"{headline}, but MinKNOW's checksums show damaged or missing files"
    elif any(item.get("verified_bad") is True for item in mappings(run.get("cells"))):
        tone, headline = "bad", f"{headline}, but a reading of its files has found damage"
    return render(
        "run.html",
        meta_name=META_NAME,
        covers=covers,
        title=text(run.get("title")),
        run=text(run.get("run")),
        status=status,
        tone=tone,
        headline=headline,
        status_why=text(run.get("status_why")),
        lines=lines,
        backup=_backup(lines, list(strings(run.get("backups")))) if "backups" in run else "",
        totals=_totals(lines),
        chart=cell_chart(shown),
        samples=samples,
        sheet=any(sample.alias or sample.sample_id for sample in samples),
        compared=[label for _, label, _ in COMPARED],
        rows_shown=ROWS_SHOWN,
        aborted=any(line.stage == "aborted" for line in lines),
        quarantined=[
            (text(item.get("name")), text(item.get("why")))
            for item in mappings(run.get("quarantined"))
        ],
        program=text(run.get("program")),
        made_at=text(run.get("made_at")),
    )


def _lines(run: Mapping[str, Any]) -> list[RunPageRow]:
    cells = [
        (item, QcDocument(item["qc"]) if mapping(item.get("qc")) else None)
        for item in mappings(run.get("cells"))
    ]
    amounts = [qc.passed.bases for _, qc in cells if qc]
    largest = max(amounts) if len(amounts) > 1 else 0.0  # a single bar would compare nothing
    return [
        RunPageRow(
            library=text(item.get("library")),
            cell=text(item.get("cell")),
            stage=text(item.get("stage")) or "unknown",
            tone=_tone(item, qc),
            why=text(item.get("why")),
            page=text(item.get("page")),
            qc=qc,
            bar=round(100 * (fraction(qc.passed.bases, largest) or 0.0), 3) if qc else 0.0,
            backed_up=item.get("backed_up") is True,
            compared=_compared(item, qc),
            peers=len(mappings(item.get("peers"))),
        )
        for item, qc in cells
    ]


def _compared(item: Mapping[str, Any], qc: QcDocument | None) -> tuple[ComparedFigure, ...]:
    """Numbers of a processed cell beside those of others; empty if there are too few."""
    if qc is None or not qc.has_reads or text(item.get("stage")) != "processed":
        return ()
    return compare_figures(limited_figures(qc), mappings(item.get("peers")))


def _tone(item: Mapping[str, Any], qc: QcDocument | None) -> str:
    """Tone of a cell: never better than its own page, or than what is known since then."""
    stage = text(item.get("stage"))
    tones = [TONES.get(stage, "warn")]
    if stage == "processed":
        tones.append(state_of(qc).tone if qc else "none")
    if text(item.get("by_hand")) or True in (item.get("unverified"), item.get("new_data")):
        tones.append("warn")
    if True in (item.get("damaged"), item.get("verified_bad")):
        tones.append("bad")
    return max(tones, key=_WORSE.index)


def _complete(lines: list[RunPageRow], tone: str, headline: str) -> tuple[str, str]:
    """Tone and headline of a complete run, by the numbers of its processed cells."""
    documents = [line.qc for line in lines if line.processed and line.qc]
    grades = Counter(verdict.grade for qc in documents if (verdict := qc.verdict_by_limits))
    for grade, worse, words in (
        (QcGrade.FAIL, "bad", "FAIL by its limits"),
        (QcGrade.WARN, "warn", "WARN by its limits"),
    ):
        if number := grades[grade]:
            return worse, f"{headline}, but {number_of(number, 'cell')}: {words}"
    if removed := sum(bool(qc.removed) for qc in documents):
        cells = number_of(removed, "cell")
        return "warn", f"{headline}, but the reads of some files are not in the numbers of {cells}"
    if empty := [qc for qc in documents if not qc.has_reads]:
        called = any(not qc.basecalling_off for qc in empty)
        has = number_of(len(empty), "cell has", "cells have")
        but = "but" if called else "and"
        return "warn" if called else "none", f"{headline}, {but} {has} no reads"
    return tone, headline


def _backup(lines: list[RunPageRow], names: list[str]) -> str:
    """Sentence about the backup of the run's processed cells; "" if there are none."""
    processed = [line for line in lines if line.processed]
    done = sum(line.backed_up for line in processed)
    if not processed or (not names and not done):
        return "No backup is configured." if processed else ""
    where = f" to {' and '.join(map(display, names))}" if names else ""
    if done == len(processed):
        return f"Backed up{where}."
    return f"{done} of {number_of(len(processed), 'processed cell')} backed up{where}."


def _totals(lines: list[RunPageRow]) -> RunTotals:
    counted = [line.qc for line in lines if line.qc is not None and line.counted]
    split = [qc for qc in counted if qc.split]
    return RunTotals(
        cells=len(lines),
        processed=sum(line.stage == "processed" for line in lines),
        reads=sum(qc.passed.reads for qc in counted),
        bases=sum(qc.passed.bases for qc in counted),
        judged=sum(
            qc.parts[part].bases for qc in split for part in ("pass", "fail") if part in qc.parts
        ),
        passed=sum(qc.passed.bases for qc in split),
    )
