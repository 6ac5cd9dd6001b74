"""ingest: process the finished files of a running cell early, to shorten the final step.

One attempt:

1. List the files of reads, and count all data files in the same look.
2. Read the finished files that are new, and commit them.
3. Publish the present state: numbers for `status`, and a page that shows the cell as running. Only
   a cell that no process has claimed gets them: they must never replace results. As in
   `publication`, the files come from a directory of this attempt, which the worker of a claim
   withdraws.

An attempt ends early as soon as the cell is ready to be processed; `process` then reads the rest.
When the cell is closed, everything that was read is compared with the disk again.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hesiod_watch.actions import Job, Outcome
from hesiod_watch.actions.attempt import attempt_at
from hesiod_watch.actions.outputs.ingest_dir import follow_renamed_library, open_ingest
from hesiod_watch.actions.outputs.progress import ProgressReporter
from hesiod_watch.actions.outputs.publication import own_directory, remove_leftovers
from hesiod_watch.actions.outputs.sources import (
    NewestFile,
    find_outputs,
    finished_sources,
    recent_damage_waits,
)
from hesiod_watch.actions.outputs.unfinished import (
    damaged_names,
    disappeared,
    remember_lost,
    unfinished_files,
)
from hesiod_watch.core.cell_contents import CellContents
from hesiod_watch.core.errors import BadSource
from hesiod_watch.core.ownership import Progress
from hesiod_watch.core.records import loads
from hesiod_watch.core.results import WorkRecord
from hesiod_watch.core.system_errors import translated
from hesiod_watch.core.text import number_of
from hesiod_watch.fastq.ingest import Ingest
from hesiod_watch.fastq.model import Tally
from hesiod_watch.host.files import directory, write_new
from hesiod_watch.rules import completeness
from hesiod_watch.runs import flags, minknow
from hesiod_watch.runs.observe import INGEST_FILE


def perform(job: Job) -> Outcome:
    """Make one attempt.

    Raises FlagExists if another attempt is under way, HesiodError if this one failed.
    """
    if _closing(job):
        return "nothing"
    with attempt_at(job, flags.ingest(job.the_cell.stem), WorkRecord):
        try:
            _ingest(job)
        finally:
            remove_leftovers(job)
    return "done"


def _ingest(job: Job) -> None:
    cell = job.the_cell
    cell_output = job.cell_output
    follow_renamed_library(job, cell_output)
    with translated(cell_output, own_output=True):
        cell_output.mkdir(parents=True, exist_ok=True)
    # Read before the listing: any later change is a reason for another attempt.
    seen = minknow.reads_changed(job.cell_dir)
    now = time.time()
    listed, contents = find_outputs(job)
    outputs, newest = finished_sources(listed, _newest_before(cell_output), now)
    unfinished = sum(not file.quiet(now) for file in newest.values())
    total = sum(output.size for output in outputs)
    reporter = ProgressReporter(cell_output, job.on_progress)

    def taking(tally: Tally) -> None:
        reporter.say(Progress("ingesting", tally.bytes_done, total, tally.reads, tally.bases))

    bad: BadSource | None = None
    taken = 0
    try:
        with open_ingest(job, cell_output) as ingest:
            remember_lost(cell_output, disappeared(ingest, listed))
            try:
                with recent_damage_waits(job):
                    taken = ingest.take(outputs, on_progress=taking, stop=lambda: _closing(job))
            except BadSource as error:
                bad = error  # the other outputs have grown
                remember_lost(cell_output, damaged_names(job, error))
            state: dict[str, Any] = {
                "seen_ns": seen,
                "unfinished": unfinished,
                "newest": {name: asdict(file) for name, file in newest.items()},
            }
            _publish_state(job, cell_output, ingest, contents, state)
            so_far = state["results"]
    finally:
        reporter.end()
    if bad:
        raise bad
    if taken:
        job.log().line(
            f"{cell}: ingested {number_of(taken, 'file')} while it runs: "
            f"{number_of(so_far['reads'], 'read')}, {number_of(so_far['bases'], 'base')} so far"
        )


def _closing(job: Job) -> bool:
    """Whether `process` waits for the cell, or a person has stopped the work."""
    stem = job.the_cell.stem
    names = flags.synced(stem), flags.started(stem)
    return bool(job.stop_flag()) or any(map(job.pipeline.has, names))


def _publish_state(
    job: Job, cell_output: Path, ingest: Ingest, contents: CellContents, state: dict[str, Any]
) -> None:
    """Write the page and numbers of a running cell, and the state that the next attempt needs."""
    counted = contents, completeness.judge(contents)
    files, total = unfinished_files(job, cell_output, ingest, counted, state="running")
    state["results"] = {key: total[key] for key in ("reads", "bases", "n50", "mean_q")} | {
        "files": ingest.sources
    }
    files[INGEST_FILE] = (json.dumps(state) + "\n").encode("utf-8", "surrogateescape")
    with (
        own_directory(cell_output, job.owner) as place,
        suppress(FileNotFoundError),  # withdrawn: the cell is being processed
        directory(place) as parent,
    ):
        for name, content in files.items():
            # Not durable: the next attempt makes them again.
            write_new(parent, name, content, durable=False)
        listing, stem = flags.read_flags(job.pipeline), job.the_cell.stem
        if listing.epoch_numbers(stem) or listing.has(flags.done(stem)):
            return
        for name in files:
            (place / name).rename(cell_output / name)


def _newest_before(cell_output: Path) -> dict[str, NewestFile]:
    try:
        files = loads((cell_output / INGEST_FILE).read_bytes())["newest"]
        return {name: _newest(**file) for name, file in files.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}  # first attempt, or written by another version: no file is known to be quiet


def _newest(size: object, mtime_ns: object, since: object) -> NewestFile:
    if type(size) is int and type(mtime_ns) is int and isinstance(since, float):
        return NewestFile(size, mtime_ns, since)
    raise TypeError("of another version")
