"""report: write the run's page over all its cells.

The page depends only on the disk and is replaced by one rename, so it needs no claim: two processes
at the same time write two good pages. The page contains a digest of its facts. If the older of two
pages is written last, its digest is out of date, and the next pass plans the report again.

Each finished cell is also added to the recent cells of its kind (`runs.recent_cells`), which it is
compared with.

Results count from `.done` on. The numbers of a cell without it are those of a running cell, and
files that an attempt has published before it was stopped are not shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from hesiod_watch import __version__
from hesiod_watch.actions import Job, Outcome
from hesiod_watch.actions.outputs.results import QC, REPORT
from hesiod_watch.core.model import Cell, Stage
from hesiod_watch.core.records import loads
from hesiod_watch.core.system_errors import translated
from hesiod_watch.host.files import directory, replace_whole
from hesiod_watch.host.process import iso_now
from hesiod_watch.report.document import QcDocument
from hesiod_watch.report.limits import limited_figures
from hesiod_watch.report.run import render_run
from hesiod_watch.rules.checksum_findings import finding_of, other_damage
from hesiod_watch.rules.late_data import late_words
from hesiod_watch.rules.stages import (
    backup_words,
    by_hand,
    copy_problem,
    digest_of_report,
    stage_of,
    status_of,
    unverified,
    why_stage,
)
from hesiod_watch.runs.recent_cells import KEPT, RecentCell, recent_cells, remember_cell


def perform(job: Job) -> Outcome:
    """Write the page.

    Raises TemporaryError, PermanentError.
    """
    snapshot = job.look()
    output = job.output
    status, why = status_of(snapshot)
    cells = [_cell(output, cell) for cell in snapshot.cells]
    _add_peers(job, cells)
    page = render_run(
        {
            "run": snapshot.run,
            "title": job.config.reports.title,
            "status": str(status),
            "status_why": why,
            "made_at": iso_now(),
            "program": f"hesiod-watch {__version__}",
            "covers": digest_of_report(snapshot),
            "backups": [backup.name for backup in job.config.backups],
            "cells": cells,
            "quarantined": [
                {"name": entry.name, "why": entry.why} for entry in snapshot.quarantined
            ],
        }
    )
    with (
        translated(f"{snapshot.run}: cannot write its report", own_output=True),
        directory(output, follow=True) as parent,
    ):
        replace_whole(parent, REPORT, page.encode("utf-8", "backslashreplace"))
    job.log().line(f"report: {output / REPORT}")
    return "done"


def _cell(output: Path, cell: Cell) -> dict[str, Any]:
    directory = output / cell.results_place
    qc = _read_qc(directory / QC)
    if qc and not _counts(cell, qc):
        qc = None
    has_page = bool(qc or cell.flags.done) and (directory / REPORT).is_file()
    return {
        "library": cell.id.library,
        "cell": cell.id.name,
        "stage": str(stage_of(cell)),
        "why": why_stage(cell),
        "by_hand": by_hand(cell),
        "unverified": stage_of(cell) is Stage.PROCESSED and bool(unverified(cell)),
        "new_data": bool(late_words(cell)),
        "damaged": stage_of(cell) is Stage.PROCESSED and bool(finding_of(cell).said),
        "verified_bad": stage_of(cell) is Stage.PROCESSED and bool(other_damage(cell)),
        "backed_up": bool(backup_words(cell)) and not copy_problem(cell),
        "page": f"{quote(cell.results_place)}/{REPORT}" if has_page else None,
        "qc": qc,
    }


def _add_peers(job: Job, cells: Sequence[dict[str, Any]]) -> None:
    """Remember the finished cells with reads, and add `peers` to each: numbers of other cells."""
    recent: dict[tuple[str, ...], list[RecentCell]] = {}
    finished = []
    for each in cells:
        if each["qc"] and each["stage"] == Stage.PROCESSED:
            qc = QcDocument(each["qc"])
            kind = tuple(qc.fact(key) for key in ("kit", "instrument", "flow_cell_type"))
            if qc.has_reads and all(kind[:2]):
                name = f"{job.run_dir.name}/{each['library']}/{each['cell']}"
                own = RecentCell(name, qc.field("made_at"), limited_figures(qc))
                finished.append((each, kind, own))
    for _, kind, own in finished:
        with suppress(OSError):  # a page does not wait for that
            remember_cell(job.config.output, kind, own)
    for each, kind, own in finished:
        if kind not in recent:
            recent[kind] = recent_cells(job.config.output, kind)
        others = [other.figures for other in recent[kind] if other.cell != own.cell]
        each["peers"] = others[: KEPT - 1]


def _counts(cell: Cell, qc: Mapping[str, Any]) -> bool:
    """Whether a qc document is that of the running cell, or of the results that `done` names."""
    if not cell.flags.done:
        return bool(qc.get("state") == "running")
    total = qc.get("total")
    named = {key: cell.results[key] for key in ("reads", "bases") if key in cell.results}
    return not named or (isinstance(total, dict) and named.items() <= total.items())


def _read_qc(path: Path) -> dict[str, Any] | None:
    try:
        document = loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return (
        document
        if isinstance(document, dict) and document.get("format") == "hesiod-watch qc 1"
        else None
    )
