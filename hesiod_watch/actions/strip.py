"""strip: delete the raw data in a deletion proof from the landing area, and leave a stub.

Kept are: every directory, small files that are not data, the final_summary, MinKNOW's report,
links, and each file without two other verified copies. The flag names these files. A cell with the
flag is never copied again from its upstream nor processed again.

If a strip is killed, the cell is partly stripped, and the next attempt proves everything anew.

A strip and a mark of the same cell exclude each other. No copy depends on that (`deletion_proof`
says why), but the evidence of a mark must be true when it is written.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

from hesiod_watch.actions import Job, Outcome
from hesiod_watch.actions.attempt import Clock, OpenAttempt, attempt_at, utc_now
from hesiod_watch.actions.copies.delete import DeletedFiles, delete_files
from hesiod_watch.actions.copies.evidence import examine_cell, find_blockers
from hesiod_watch.core.action_kinds import STRIP
from hesiod_watch.core.errors import FlagExists, PermanentError, TemporaryError
from hesiod_watch.core.naming import display
from hesiod_watch.core.results import AttemptEnd, StripRecord
from hesiod_watch.core.system_errors import translated
from hesiod_watch.core.text import number_of
from hesiod_watch.core.times import iso
from hesiod_watch.rules.deletion_proof import NOTHING, DeletionProof, DeletionRefused, KeptFile
from hesiod_watch.rules.liveness import under_way
from hesiod_watch.runs import flags
from hesiod_watch.runs.cell_directories import record_removal

NAMED = 5
"""Number of file names that a flag lists for each reason to keep files.

A flag has at most twice as many reasons.
"""


def perform(job: Job, clock: Clock = utc_now) -> Outcome:
    """Strip the cell.

    Raises FlagExists while a strip is under way, TemporaryError, or PermanentError with the reasons
    against it.
    """
    cell = job.the_cell
    deleted = DeletedFiles()
    work = flags.strip(cell.stem)
    log = job.log()
    with attempt_at(job, work, StripRecord, _known_finding, log=log, clock=clock) as attempt:
        try:
            refuse_while_under_way(job, flags.deletable(cell.stem))
            _strip(job, attempt, deleted, clock)
        except BaseException:
            # The record of earlier deletions must survive if this attempt is killed or refused.
            if deleted.files or not attempt.former or attempt.before.unchanged:
                attempt.result = replace(attempt.result, files=deleted.files)
            raise
    _flag_run(job)
    return "done"


def _known_finding(before: StripRecord) -> StripRecord:
    """The former finding. Without a number of files, some may be deleted: no record is lost."""
    return StripRecord(finding=before.finding)


def find_strippable(job: Job) -> DeletionProof | DeletionRefused:
    """Prove now which files a strip deletes and keeps; changes nothing.

    Raises TemporaryError, PermanentError.
    """
    return examine_cell(job)


def refuse_while_under_way(job: Job, other: str) -> None:
    """Refuse to work while another action on the same cell is, or may be, under way.

    Each action first makes its own flag and then looks for the other. So if two begin at once, at
    least one of them stops. Raises TemporaryError.
    """
    found = flags.read_flags(job.pipeline).attempt(other, job.judge)
    if under_way(found):
        raise TemporaryError(
            f"{job.run_dir.name} {job.the_cell}: {other}.started: under way: {found.evidence}"
        )


def _strip(
    job: Job,
    attempt: OpenAttempt[StripRecord],
    deleted: DeletedFiles,
    clock: Clock,
) -> None:
    """Prove and delete; sets the result and the reason of `attempt`.

    A problem that MinKNOW's checksums prove is recorded although the strip is refused.
    """
    cell = job.the_cell
    answer = examine_cell(job, clock=clock)
    if isinstance(answer, DeletionRefused):
        if answer.checksums.wrong:
            finding = answer.checksums.finding(iso(clock()))
            attempt.result = replace(attempt.result, finding=finding)
        if answer.reasons == (NOTHING,):
            nothing = "every file that may be deleted was already deleted"
            attempt.reason = AttemptEnd.of(attempt.former).reason or nothing
            attempt.result = replace(attempt.before, finding=attempt.result.finding)
            return
        raise PermanentError(f"{job.run_dir.name} {cell} is not stripped: {answer}")
    delete_files(answer, job, deleted, still=lambda: _require_no_blocker(job), clock=clock)
    cell_output = job.cell_output
    with translated(f"{cell_output} cannot be written", own_output=True):
        record_removal(job.cell_dir, cell_output, [each.name for each in answer.kept])
    kept = kept_words(answer.kept)
    removed = f"{number_of(deleted.files, 'file')}, {number_of(deleted.bytes, 'byte')}"
    attempt.reason = f"{removed} removed from landing; copies: {', '.join(answer.places)}"
    job.log().line(f"{cell}: stripped: {attempt.reason}")
    for words in kept:
        job.log().line(f"{cell}: {words}")
    attempt.result = StripRecord(
        deleted.files,
        deleted.bytes,
        answer.inventory_digest,
        answer.places,
        tuple(kept),
        attempt.result.finding,
    )


def _require_no_blocker(job: Job) -> None:
    """Check between deletions that no flag prohibits them now.

    Raises TemporaryError.
    """
    listing = flags.read_flags(job.pipeline)
    for why in find_blockers(listing, job.the_cell.stem, job.judge):
        raise TemporaryError(f"{job.run_dir.name} {job.the_cell}: stopped: {why}")


def kept_words(kept: tuple[KeptFile, ...]) -> list[str]:
    """Sentences about the kept files, one for each reason, with the names of some files."""
    groups: dict[str, list[KeptFile]] = defaultdict(list)
    for each in kept:
        groups[each.why].append(each)
    return [
        f"kept: {number_of(len(group), 'file')}, "
        f"{number_of(sum(each.size for each in group), 'byte')}: {why}: "
        + display(", ".join(each.name[:100] for each in group[:NAMED]))
        + (", …" if len(group) > NAMED else "")
        for why, group in sorted(
            groups.items(), key=lambda pair: -sum(each.size for each in pair[1])
        )
    ][: 2 * NAMED]


def _flag_run(job: Job) -> None:
    """Flag the run as stripped when each of its cells is stripped or disregarded."""
    listing = flags.read_flags(job.pipeline)
    cells = job.look().cells
    if not all(
        cell.flags.aborted or (cell.strip and cell.strip.outcome == "done") for cell in cells
    ):
        return
    record = {
        "action": STRIP.name,
        "reason": "the raw data of all its cells were removed from here",
        "time": job.owner.time,
    }
    if not listing.has("stripped"):
        try:
            flags.create(job.pipeline, "stripped", record)
        except FlagExists:
            pass  # another process made the same flag first
