"""ingest: take what has landed of a cell that is still being written, so that little is left when
it is complete.

One round: list the FASTQ, take the finished ones that are new, commit, tell what is known so far
(numbers for `status`, a page that says the cell is running). A round ends early as soon as the cell
is to be processed: then `process` takes the rest. What a round has taken is compared with the disk
again when the cell is closed.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hesiod_watch.actions import Job, Outcome, output_error
from hesiod_watch.actions.outputs.ingest_dir import begin_ingest, end_ingest, open_ingest
from hesiod_watch.actions.outputs.progress import ProgressReporter
from hesiod_watch.actions.outputs.results import QC, REPORT, qc_document
from hesiod_watch.actions.outputs.sources import NewestFile, find_outputs, finished_sources
from hesiod_watch.core.model import Progress
from hesiod_watch.core.records import loads
from hesiod_watch.core.text import number_of
from hesiod_watch.fastq.ingest import Ingest
from hesiod_watch.fastq.model import Tally
from hesiod_watch.report.cell import render_cell
from hesiod_watch.rules import completeness
from hesiod_watch.runs import flags, minknow
from hesiod_watch.runs.observe import INGEST_FILE


def perform(job: Job) -> Outcome:
    """Raises FlagExists when a round is under way already, HesiodError when this one failed."""
    if _closing(job):
        return "nothing"
    begin_ingest(job)
    ending: flags.AttemptOutcome = "failed"
    try:
        _round(job)
        ending = "done"
    finally:
        end_ingest(job, ending)
    return "done"


def _round(job: Job) -> None:
    cell = job.the_cell
    cell_output = job.output / cell.library / cell.name
    _make(cell_output)
    # Before the listing: what changes from here on is a reason for another round.
    seen = minknow.fastq_changed(job.cell_dir)
    now = time.time()
    outputs, newest = finished_sources(find_outputs(job), _newest_before(cell_output), now)
    unfinished = sum(not file.quiet(now) for file in newest.values())
    total = sum(output.size for output in outputs)
    reporter = ProgressReporter(cell_output, job.on_progress)

    def taking(tally: Tally) -> None:
        reporter.say(Progress("ingesting", tally.bytes_done, total, tally.reads, tally.bases))

    try:
        with open_ingest(job, cell_output) as ingest:
            taken = ingest.take(outputs, on_progress=taking, stop=lambda: _closing(job))
            state = {
                "seen_ns": seen,
                "unfinished": unfinished,
                "newest": {name: asdict(file) for name, file in newest.items()},
            }
            _tell(job, cell_output, ingest, state)
    finally:
        reporter.end()
    if taken:
        job.log().line(
            f"{cell}: ingested {number_of(taken, 'file')} while it runs: "
            f"{number_of(ingest.reads, 'read')}, {number_of(ingest.bases, 'base')} so far"
        )


def _closing(job: Job) -> bool:
    """The cell is complete, or a person has stopped it: `process` is waiting for us."""
    stem = job.the_cell.stem
    return any(
        (job.pipeline / name).exists()
        for name in (flags.synced(stem), flags.started(stem), flags.aborted(stem))
    )


def _tell(job: Job, cell_output: Path, ingest: Ingest, state: dict[str, Any]) -> None:
    """Write what people can see of a running cell, and what the next look must know."""
    contents = minknow.read_contents(job.cell_dir)
    counted = contents, completeness.judge(contents)
    qc = qc_document(job, ingest.groups, counted, notes=ingest.notes, state="running")
    total = qc["total"]
    state["results"] = {key: total[key] for key in ("reads", "bases", "n50", "mean_q")} | {
        "files": ingest.sources
    }
    try:
        if ingest.sources:
            _replace(cell_output / QC, json.dumps(qc, indent=1, ensure_ascii=False) + "\n")
            _replace(cell_output / REPORT, render_cell(qc))
        _replace(cell_output / INGEST_FILE, json.dumps(state) + "\n")
    except OSError as error:
        raise output_error(error, str(error.filename)) from error


def _newest_before(cell_output: Path) -> dict[str, NewestFile]:
    try:
        files = loads((cell_output / INGEST_FILE).read_bytes())["newest"]
        return {name: _newest(**file) for name, file in files.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}  # the first round, or of another version: nothing is known to be quiet


def _newest(size: object, mtime_ns: object, since: object) -> NewestFile:
    if type(size) is int and type(mtime_ns) is int and isinstance(since, float):
        return NewestFile(size, mtime_ns, since)
    raise TypeError("of another version")


def _replace(path: Path, text: str) -> None:
    """Whole or not at all; not fsynced, because the next round makes it again."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(text, encoding="utf-8", errors="surrogateescape")
    temporary.replace(path)


def _make(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(error, str(error.filename)) from error
