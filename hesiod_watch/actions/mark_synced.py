"""synced: record that all data of a cell are in the landing area.

A process that has just counted the cell's files passes its snapshot in. Otherwise the files are
counted now. Counting a hundred thousand files takes as long as everything else between the end of a
cell and its claim.

Data that are younger than the final_summary must have been unchanged for a minute, by the clock of
the file system: a file may have its final name while it is copied.
"""

from __future__ import annotations

from hesiod_watch.actions import Job, Outcome, file_system_time
from hesiod_watch.core.cell_contents import Verdict
from hesiod_watch.core.errors import TemporaryError
from hesiod_watch.rules import completeness
from hesiod_watch.rules.settling import QUIET, has_settled
from hesiod_watch.runs import flags, minknow


def perform(job: Job) -> Outcome:
    """Record the cell as complete.

    Raises TemporaryError if the data are not complete (any more) or may still change, FlagExists if
    the flag is already there.
    """
    cell = job.the_cell
    found = job.snapshot.cell(cell) if job.snapshot else None
    verdict = found.completeness if found else None
    changed = found.unsettled_since if found else None
    # A comparison with MinKNOW's checksums that failed counts only while it is required.
    if verdict is None or verdict.verdict is Verdict.DAMAGED:
        verdict = completeness.judge(minknow.read_contents(job.cell_dir))
        changed = minknow.changed_after_summary(job.cell_dir)
    if not verdict.proven:
        raise TemporaryError(f"{job.run_dir.name} {cell}: not complete: {verdict.why}")
    if changed is not None and not has_settled(changed, file_system_time(job)):
        raise TemporaryError(
            f"{job.run_dir.name} {cell}: not recorded as complete yet: files changed after its"
            f" final_summary arrived, and less than {QUIET:.0f} s ago by the clock of the landing"
            " area"
        )
    record = job.record(cell, verdict.why) | completeness.unverified_record(verdict)
    flags.create(job.pipeline, flags.synced(cell.stem), record)
    job.log().line(f"{cell}: complete: {verdict.why}")
    return "done"
