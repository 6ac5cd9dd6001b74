"""checksums: compare a cell with MinKNOW's checksums before it counts as complete.

Only with `processing.checksums: require`. A cell of which a file differs or is absent does not
become `synced`. Neither does a cell that could not be compared. The flag `{cell}.checksums.failed`
says which file it is. Each attempt reads every file that MinKNOW names.
"""

from __future__ import annotations

from hesiod_watch.actions import Job, Outcome, mark_synced
from hesiod_watch.actions.attempt import attempt_at
from hesiod_watch.core.errors import PermanentError
from hesiod_watch.core.model import LOCAL
from hesiod_watch.core.naming import display
from hesiod_watch.core.results import ChecksumsRecord
from hesiod_watch.host.process import iso_now
from hesiod_watch.remote.backup.minknow_hashes import compare
from hesiod_watch.runs import flags


def perform(job: Job) -> Outcome:
    """Compare the cell, and record it as complete; a copied cell is recorded by its next sync.

    Raises FlagExists while another attempt is under way, PermanentError if a file differs, is
    absent or was not compared, and what `mark_synced` raises.
    """
    require_agreement(job)
    return mark_synced.perform(job) if flags.read_upstream(job.pipeline) == LOCAL else "done"


def require_agreement(job: Job) -> None:
    """Compare the cell with MinKNOW's checksums in an attempt. Raises as `perform`."""
    cell = job.the_cell
    work, log = flags.checksums(cell.stem), job.log()
    with attempt_at(job, work, ChecksumsRecord, log=log) as attempt:
        found = compare(job.run, cell)
        attempt.result = ChecksumsRecord(found.finding(iso_now()))
        if found.wrong or found.not_compared or found.problem:
            raise PermanentError(found.sentence)
        attempt.reason = found.sentence or f"MinKNOW wrote no checksums of {display(str(cell))}"
