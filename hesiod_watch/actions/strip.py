"""strip: remove a cell's raw data from the landing area, as far as a drop proof goes, and leave a
stub.

What stays: every directory, whatever is small and no data, the final_summary and MinKNOW's report,
links, and each file that has not two other verified copies; the flag names these. A cell with the
flag is never copied again from its upstream nor processed again. Killed anywhere, it is only half
stripped, and the next time everything is proven anew.

A strip and a mark of the same cell keep out of each other's way. No copy depends on that (`proof`
says why): but a mark's evidence shall be true when it is written.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial

from hesiod_watch.actions import Job, Outcome, command_of
from hesiod_watch.actions.copies.delete import DeletedFiles, delete_files
from hesiod_watch.actions.copies.evidence import examine_cell, find_blockers
from hesiod_watch.core.errors import FlagExists, HesiodError, PermanentError, TemporaryError
from hesiod_watch.core.naming import display
from hesiod_watch.core.text import number_of
from hesiod_watch.core.times import iso
from hesiod_watch.host import process
from hesiod_watch.host.locks import alone_on_this_host
from hesiod_watch.rules.checksum_findings import carried_finding
from hesiod_watch.rules.deletion_proof import NOTHING, DeletionProof, DeletionRefused, KeptFile
from hesiod_watch.rules.liveness import under_way
from hesiod_watch.runs import flags
from hesiod_watch.runs.observe import observe

SAID = ("reason", "files", "bytes", "inventory", "places", "kept")
Clock = Callable[[], datetime]
NAMED = 5
"""Names of files that a flag gives for each reason why some stay, and twice as many reasons."""


def perform(job: Job, clock: Clock = lambda: datetime.now(UTC)) -> Outcome:
    """Raises FlagExists while a strip is under way, TemporaryError, or PermanentError with the
    reasons against it.
    """
    cell = job.the_cell
    work = flags.strip(cell.stem)
    former = flags.read_flags(job.pipeline).round(work, process.judge_here)
    # What an earlier round has removed must not be forgotten, should this one be killed or refused.
    begun = former is not None and former.record.get("files") != 0
    alone = partial(alone_on_this_host, job.config.landing, job.run_dir.name)
    known = carried_finding(former.record if former else {})
    flags.begin_attempt(job.pipeline, work, job.owner, alone=alone, record=known)
    done = False
    record: dict[str, object] = {"reason": "it ended early", **known}
    gone = DeletedFiles()
    try:
        job.log().command(command_of(job))
        keep_clear(job, flags.deletable(cell.stem))
        record |= _strip(job, record, gone, clock, former.record if former else {})
        done = True
    except HesiodError as error:
        record |= {"reason": str(error), "needs_person": not isinstance(error, TemporaryError)}
        raise
    finally:
        if not done and (gone.files or not begun):
            record |= {"files": gone.files}  # where it says 0, the cell is as whole as it was
        record |= {"ended": iso(clock()), "cell": str(cell)}
        flags.end_attempt(job.pipeline, work, job.owner, "done" if done else "failed", record)
    _flag_run(job)
    return "done"


def find_strippable(job: Job) -> DeletionProof | DeletionRefused:
    """What would go and what would stay, proven now; changes nothing. Raises TemporaryError,
    PermanentError.
    """
    return examine_cell(job)


def keep_clear(job: Job, other: str) -> None:
    """Raises TemporaryError while another round of work on the same cell is under way, or may be.

    Whoever begins makes its own flag first and looks second. So of two that begin at once, one at
    least steps back.
    """
    found = flags.read_flags(job.pipeline).round(other, process.judge_here)
    if under_way(found):
        raise TemporaryError(
            f"{job.run_dir.name} {job.the_cell}: {other}.started: under way: {found.evidence}"
        )


def _strip(
    job: Job,
    record: dict[str, object],
    gone: DeletedFiles,
    clock: Clock,
    former: Mapping[str, object],
) -> dict[str, object]:
    """Prove and remove; what the flag is to say, where an earlier round had said `former`.

    What MinKNOW's checksums prove is put into `record` at once, because the strip is refused then.
    """
    cell = job.the_cell
    answer = examine_cell(job, clock=clock)
    if isinstance(answer, DeletionRefused):
        if answer.checksums.wrong:
            record |= answer.checksums.finding(iso(clock()))
        if answer.reasons == (NOTHING,):
            return {
                "reason": "everything that may go had gone",
                **{key: former[key] for key in SAID if key in former},
            }
        raise PermanentError(f"{job.run_dir.name} {cell} is not stripped: {answer}")
    delete_files(answer, job, gone, still=lambda: _still(job), clock=clock)
    stays = kept_words(answer.kept)
    removed = f"{number_of(gone.files, 'file')}, {number_of(gone.bytes, 'byte')}"
    sentence = f"{removed} removed from landing; copies: {', '.join(answer.places)}"
    job.log().line(f"{cell}: stripped: {sentence}")
    for words in stays:
        job.log().line(f"{cell}: {words}")
    return {
        "reason": sentence,
        "files": gone.files,
        "bytes": gone.bytes,
        "inventory": answer.inventory_digest,
        "places": list(answer.places),
        "kept": stays,
    }


def _still(job: Job) -> None:
    """Raises TemporaryError when the ground has gone while files go."""
    listing = flags.read_flags(job.pipeline)
    for why in find_blockers(listing, job.the_cell.stem):
        raise TemporaryError(f"{job.run_dir.name} {job.the_cell}: stopped: {why}")


def kept_words(kept: tuple[KeptFile, ...]) -> list[str]:
    """Sentences about what stays, one for each reason, with the names of some files."""
    groups: dict[str, list[KeptFile]] = defaultdict(list)
    for each in kept:
        groups[each.why].append(each)
    return [
        f"kept: {number_of(len(group), 'file')}, {number_of(sum(each.size for each in group), 'byte')}: {why}: "
        + display(", ".join(each.name[:100] for each in group[:NAMED]))
        + (", …" if len(group) > NAMED else "")
        for why, group in sorted(
            groups.items(), key=lambda pair: -sum(each.size for each in pair[1])
        )
    ][: 2 * NAMED]


def _flag_run(job: Job) -> None:
    """When every cell of the run is stripped or disregarded, say so of the run."""
    listing = flags.read_flags(job.pipeline)
    cells = observe(job.run_dir, job.config.output).cells
    if not all(
        cell.flags.aborted or (cell.strip and cell.strip.ending == "done") for cell in cells
    ):
        return
    record = {
        "action": "strip",
        "reason": "the raw data of all its cells were removed from here",
        "time": job.owner.time,
    }
    if not listing.has("stripped"):
        try:
            flags.create(job.pipeline, "stripped", record)
        except FlagExists:
            pass  # somebody was first, and said the same
