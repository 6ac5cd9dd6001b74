"""Numbers and page of a cell that is not finished, and its sources that were lost on the way.

A running cell gets them from each ingest, a failed one from the attempt that found damaged files.
Neither is a result: there is no manifest, and the next attempt makes them again.

A damaged source may be removed by a person before the next attempt. Therefore its name is kept
beside the results, in `.lost.json`, until the finished report can name it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Literal

from hesiod_watch.actions import Job
from hesiod_watch.actions.outputs.documents import json_text, qc_document
from hesiod_watch.actions.outputs.results import QC, REPORT
from hesiod_watch.core.cell_contents import CellContents, Completeness
from hesiod_watch.core.errors import BadSource
from hesiod_watch.core.minknow_checksums import twin_of
from hesiod_watch.core.records import loads
from hesiod_watch.core.system_errors import translated
from hesiod_watch.fastq.ingest import Ingest
from hesiod_watch.fastq.model import Output
from hesiod_watch.host.files import directory, replace_whole, write_new
from hesiod_watch.remote.backup.manifests import MANIFEST
from hesiod_watch.report.cell import render_cell

LOST_FILE = ".lost.json"
"""In a cell's output: each source that was damaged or disappeared, with the reason."""
DISAPPEARED = "was read, and was not there later"


def unfinished_files(
    job: Job,
    cell_output: Path,
    ingest: Ingest,
    counted: tuple[CellContents, Completeness],
    *,
    state: Literal["running", "failed"],
    damaged: Mapping[str, str] | None = None,
) -> tuple[dict[str, bytes], Mapping[str, object]]:
    """Make `qc.json` and the page with the reads in the journal; also the numbers of all reads.

    Results of an earlier processing of the cell stay as they are, because their manifest names
    them: then there is no file.
    """
    qc = qc_document(
        job, ingest.groups, counted, notes=ingest.notes, state=state, damaged=damaged or {}
    )
    files: dict[str, bytes] = {}
    if (ingest.sources or damaged) and not os.path.lexists(cell_output / MANIFEST):
        for name, text in ((QC, json_text(qc)), (REPORT, render_cell(qc))):
            files[name] = text.encode("utf-8", "surrogateescape")
    return files, qc["total"]


def publish_unfinished(
    files: Mapping[str, bytes], place: Path, cell_output: Path, still_ours: Callable[[], None]
) -> None:
    """Publish the files of a failed cell, out of the staging directory `place` of this attempt.

    `still_ours` raises if this attempt must not publish. Raises TemporaryError, PermanentError.
    """
    with translated(cell_output, own_output=True), directory(place) as parent:
        for name, content in files.items():
            # Not durable: the next attempt makes them again.
            write_new(parent, name, content, durable=False)
        still_ours()
        for name in files:
            (place / name).rename(cell_output / name)


def damaged_names(job: Job, error: BadSource) -> dict[str, str]:
    """The damaged files by name relative to the cell, each with what is wrong with it."""
    return {os.path.relpath(one.path, job.cell_dir.path): one.said for one in error.each}


def disappeared(ingest: Ingest, listed: Iterable[Output]) -> dict[str, str]:
    """Sources in the journal that are not in the cell any more, neither as they were nor gzipped.

    `listed`: all sources of the cell.
    """
    present = {source.name for output in listed for source in output.sources}
    return {
        name: DISAPPEARED
        for name in ingest.names
        if name not in present and twin_of(name) not in present
    }


def remember_lost(cell_output: Path, lost: Mapping[str, str]) -> None:
    """Add names to the lost sources of a cell; the first reason of each stays.

    Raises TemporaryError, PermanentError.
    """
    known = _known(cell_output)
    if lost.keys() <= known.keys():
        return
    body = json.dumps({"sources": {**lost, **known}}).encode("ascii") + b"\n"
    with translated(cell_output, own_output=True), directory(cell_output, follow=True) as parent:
        replace_whole(parent, LOST_FILE, body)


def removed_sources(cell_output: Path, present: Collection[str]) -> dict[str, str]:
    """Lost sources that are not among the `present` ones, neither as they were nor gzipped."""
    return {
        name: reason
        for name, reason in sorted(_known(cell_output).items())
        if name not in present and twin_of(name) not in present
    }


def _known(cell_output: Path) -> dict[str, str]:
    try:
        found = loads((cell_output / LOST_FILE).read_bytes())
    except (OSError, ValueError):
        return {}
    sources = found.get("sources") if isinstance(found, dict) else None
    return (
        {str(name): str(reason) for name, reason in sources.items()}
        if isinstance(sources, dict)
        else {}
    )
