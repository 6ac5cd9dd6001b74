"""synced: record that all of a cell's data are here.

Whoever has just counted the cell's files, in this process, hands the proof over; otherwise it is
taken now. To count a hundred thousand files takes as long as all else from the end of a cell to its
claim.
"""

from __future__ import annotations

from hesiod_watch.actions import Job, Outcome
from hesiod_watch.core.errors import TemporaryError
from hesiod_watch.rules import completeness
from hesiod_watch.runs import flags, minknow


def perform(job: Job) -> Outcome:
    """Raises TemporaryError when the data are not complete (any more), FlagExists when it is
    recorded already.
    """
    cell = job.the_cell
    verdict = job.completeness or completeness.judge(minknow.read_contents(job.cell_dir))
    if not verdict.proven:
        raise TemporaryError(f"{job.run_dir.name} {cell}: not complete: {verdict.why}")
    record = {
        "reason": verdict.why,
        "cell": str(cell),
        "version": job.owner.version,
        "time": job.owner.time,
    }
    flags.create(job.pipeline, flags.synced(cell.stem), record)
    job.log().line(f"{cell}: complete: {verdict.why}")
    return "done"
