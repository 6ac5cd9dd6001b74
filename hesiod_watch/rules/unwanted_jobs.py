"""Unwanted jobs: living Slurm jobs whose work is done, aborted, or claimed by another job."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from hesiod_watch.core.action_kinds import PROCESS
from hesiod_watch.core.model import Snapshot
from hesiod_watch.rules.slurm_jobs import ListedJob, job_mark


def unwanted_jobs(
    snapshot: Snapshot, jobs: Sequence[ListedJob], output: Path
) -> Iterator[ListedJob]:
    """Those of a run's jobs whose result would not count.

    The jobs must have been listed before the flags were read: a claim is older than its job, so a
    job without a claim has lost it. Nothing follows from flags that could not be read.
    """
    if snapshot.problem or not snapshot.has_pipeline:
        return
    claimed = {
        claim.owner.slurm_name
        for cell in snapshot.cells
        if not (cell.flags.done or cell.flags.failed or cell.flags.aborted)
        for claim in cell.flags.claims
        if claim.owner and not claim.yielded
    }
    aborted = {
        job_mark(str(output), snapshot.run, cell.id).cell
        for cell in snapshot.cells
        if cell.flags.aborted
    }
    for job in jobs:
        if (
            "aborted" in snapshot.flags
            or job.mark.cell in aborted
            or (job.does(PROCESS.name) and job.name not in claimed)
        ):
            yield job
