"""synced: record that all data of a cell are in the landing area.

A process that has just counted the cell's files passes its snapshot in. Otherwise the files are
counted now. Counting a hundred thousand files takes as long as everything else between the end of a
cell and its claim.
"""

from __future__ import annotations

from hesiod_watch.actions import Job, Outcome
from hesiod_watch.core.errors import TemporaryError
from hesiod_watch.rules import completeness
from hesiod_watch.runs import flags, minknow


def perform(job: Job) -> Outcome:
    """Record the cell as complete.

    Raises TemporaryError if the data are not complete (any more), FlagExists if the flag is already
    there.
    """
    cell = job.the_cell
    found = job.snapshot.cell(cell) if job.snapshot else None
    verdict = (found and found.completeness) or completeness.judge(
        minknow.read_contents(job.cell_dir)
    )
    if not verdict.proven:
        raise TemporaryError(f"{job.run_dir.name} {cell}: not complete: {verdict.why}")
    flags.create(job.pipeline, flags.synced(cell.stem), job.record(cell, verdict.why))
    job.log().line(f"{cell}: complete: {verdict.why}")
    return "done"
