"""give-up: flag a cell as needing a person, after too many attempts without a result.

The decision may be old when the flag is made: a person has requested a retry meanwhile, or another
attempt has begun. So the claims are judged once more behind the fence of the flag.
"""

from __future__ import annotations

from hesiod_watch.actions import Job, Outcome
from hesiod_watch.core.errors import FlagExists
from hesiod_watch.core.ownership import Liveness
from hesiod_watch.runs import flags


def perform(job: Job) -> Outcome:
    """Make `{cell}.failed`. Raises FlagExists if the cell is not without a worker any more."""
    cell = job.the_cell
    why = job.reason or "given up"
    record = job.record(cell, why)
    flags.create(job.pipeline, flags.failed(cell.stem), record, fence=lambda: _require_orphan(job))
    job.log().line(f"{cell}: given up: {why}; after fixing the cause: hesiod-watch retry")
    return "done"


def _require_orphan(job: Job) -> None:
    """Raise FlagExists unless all attempts at the cell have ended without a result."""
    stem = job.the_cell.stem
    cell = flags.read_flags(job.pipeline).cell(stem, job.judge)
    if cell.done or cell.aborted or not cell.claims:
        raise FlagExists(f"{job.run_dir.name} {job.the_cell}: is not to be given up any more")
    if cell.claim and cell.claim.liveness is not Liveness.DEAD:
        raise FlagExists(
            f"{job.run_dir.name} {job.the_cell}: attempt {cell.claim.epoch} has begun:"
            f" {cell.claim.evidence}"
        )
