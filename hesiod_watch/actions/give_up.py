"""give-up: flag a cell as needing a person, after too many attempts without a result."""

from __future__ import annotations

from hesiod_watch.actions import Job, Outcome
from hesiod_watch.runs import flags


def perform(job: Job) -> Outcome:
    cell = job.the_cell
    why = job.reason or "given up"
    flags.create(job.pipeline, flags.failed(cell.stem), job.record(cell, why))
    job.log().line(f"{cell}: given up: {why}; after fixing the cause: hesiod-watch retry")
    return "done"
