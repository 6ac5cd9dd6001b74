"""verify: read all copies of a processed cell again, here and at backups, and report damage.

Results are compared with `manifest.json`, raw data in the landing area with `raw.json`, and every
copy on a backup with both. This action repairs nothing, and removes only the growing outputs that
an overtaken attempt has left beside the results. Damage is recorded in
`{cell}.verify.failed`, which prevents every deletion until a later attempt finds all copies intact.

A place that cannot be reached is not damaged: the attempt is retried, and the damage that an
earlier attempt found remains recorded.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from hesiod_watch.actions import Job, Outcome
from hesiod_watch.actions.attempt import attempt_at
from hesiod_watch.actions.copies.verification import (
    Say,
    VerificationResult,
    require_done,
    verify_copies,
)
from hesiod_watch.actions.outputs.progress import ProgressReporter
from hesiod_watch.actions.outputs.publication import remove_leftovers
from hesiod_watch.core.errors import PermanentError, TemporaryError
from hesiod_watch.core.ownership import Progress
from hesiod_watch.core.results import VerificationRecord
from hesiod_watch.host.process import iso_now
from hesiod_watch.host.runlog import RunLog
from hesiod_watch.runs import flags
from hesiod_watch.runs.observe import COPIES_FILE

ROOM = 24_000
"""Bytes of a flag for sentences about damage, each of at most LONGEST characters."""
LONGEST = 500


def perform(job: Job) -> Outcome:
    """Read a cell's copies and record the result.

    Raises FlagExists while another attempt is under way, TemporaryError if a place could not be
    read, PermanentError if a copy is damaged.
    """
    cell = job.the_cell
    log = RunLog(job.output / "backup.log")
    reporter = ProgressReporter(job.cell_output, job.on_progress, COPIES_FILE)
    try:
        found = verify_and_record(
            job,
            lambda phase, done, total: reporter.say(Progress(phase, done, total)),
            log,
            stop=lambda: bool(job.stop_flag()),
        )
    finally:
        reporter.end()
    for sentence in [*found.problems, *found.unread, *filter(None, [found.new_data])]:
        log.line(f"{cell}: {sentence}")
    if found.problems:
        raise PermanentError(f"{job.run_dir.name} {cell}: damaged: {'; '.join(found.problems[:3])}")
    if found.unread:
        raise TemporaryError(f"{job.run_dir.name} {cell}: {'; '.join(found.unread)}")
    places = ", ".join(["here", *(copy.backup for copy in found.copies)])
    log.line(f"{cell}: every copy was read and agrees: {places}")
    return "done"


def verify_and_record(
    job: Job,
    say: Say = lambda phase, done, total: None,
    log: RunLog | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> VerificationResult:
    """Read every copy, in an attempt of its own; remove what an overtaken attempt has left.

    Raises FlagExists while another attempt is under way, HesiodError.
    """
    work = flags.verify(job.the_cell.stem)
    require_done(job.config, job.run, job.the_cell)
    with attempt_at(job, work, VerificationRecord, _known_damage, log=log) as attempt:
        found = verify_copies(
            job.config,
            job.run,
            job.output,
            job.the_cell,
            fence=attempt.require_current,
            say=say,
            stop=stop,
        )
        known = attempt.before
        problems = list(found.problems)
        if found.unread:
            # Not every place could be read again, so earlier damage stays recorded.
            problems += [problem for problem in known.problems if problem not in problems]
        fitting = _sentences_that_fit(problems)
        if len(problems) > len(fitting):
            fitting.append(f"and {len(problems) - len(fitting)} more")
        now = found.checksums.finding(iso_now())
        attempt.result = VerificationRecord(
            tuple(found.copies),
            found.local_read,
            tuple(fitting),
            now if now.at else known.finding,
            raw_made=found.raw_made,
        )
        attempt.failed = bool(found.problems or found.unread)
        attempt.reason = "; ".join([*found.problems[:1], *found.unread])[:LONGEST]
    remove_leftovers(job)
    return found


def _known_damage(before: VerificationRecord) -> VerificationRecord:
    """Earlier damage: it stays recorded until an attempt has read all, also if that is killed."""
    return VerificationRecord(problems=before.problems, finding=before.finding)


def _sentences_that_fit(problems: Sequence[str]) -> list[str]:
    """First sentences, as many as fit into a flag; a larger flag could not be read again."""
    fitting: list[str] = []
    room = ROOM
    for problem in problems:
        room -= len(json.dumps(problem[:LONGEST])) + 2
        if room < 0:
            break
        fitting.append(problem[:LONGEST])
    return fitting
