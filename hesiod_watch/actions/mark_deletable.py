"""deletable: mark a cell as safe to delete on its upstream, or revoke the mark.

The marks and their evidence are stored beside the upstream's runs (`deletion_list`). People read
them there, and `bin/hesiod-clean-upstream` acts on them. The list on the upstream is authoritative
and is read anew each time, because a killed attempt may or may not have written to it.

A mark is written only for a deletion proof. Without a proof, an existing mark is revoked. A mark is
left as it is if half of its time remains and the cell has not changed: the same line is never
written twice.

A strip and a mark of the same cell exclude each other; see `strip`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial

from hesiod_watch.actions import Job, Outcome, command_of
from hesiod_watch.actions.copies.evidence import examine_cell, unmet_preconditions
from hesiod_watch.actions.strip import refuse_while_under_way
from hesiod_watch.actions.sync import upstream_of
from hesiod_watch.config import UpstreamSettings
from hesiod_watch.core.errors import HesiodError, PermanentError, TemporaryError
from hesiod_watch.core.text import number_of
from hesiod_watch.core.times import iso
from hesiod_watch.host import process
from hesiod_watch.host.locks import alone_on_this_host
from hesiod_watch.remote.sequencer import deletion_list
from hesiod_watch.rules.checksum_findings import carried_finding
from hesiod_watch.rules.deletion_marks import DeletionMark, evidence_name, evidence_text
from hesiod_watch.rules.deletion_proof import DeletionProof, DeletionRefused
from hesiod_watch.runs import flags

Clock = Callable[[], datetime]


def perform(job: Job, clock: Clock = lambda: datetime.now(UTC)) -> Outcome:
    """Mark the cell, or revoke its mark.

    Raises FlagExists while another attempt is under way, TemporaryError, or PermanentError with the
    reasons against a mark.
    """
    cell = job.the_cell
    location = flags.read_upstream(job.pipeline) or ""
    upstream = upstream_of(job, location)
    work = flags.deletable(cell.stem)
    lock = partial(alone_on_this_host, job.config.landing, job.run_dir.name)
    # A killed attempt may have written a mark. `marked` says so until the list has been read.
    former = flags.read_flags(job.pipeline).attempt(work, process.judge_here)
    known = carried_finding(former.record if former else {})
    flags.begin_attempt(job.pipeline, work, job.owner, lock=lock, record={"marked": True, **known})
    outcome: flags.AttemptOutcome = "failed"
    record: dict[str, object] = {"reason": "it ended early", "marked": True, **known}
    try:
        job.log().command(command_of(job))
        refuse_while_under_way(job, flags.strip(cell.stem))
        with deletion_list.reached(upstream, location) as there:
            record |= _mark(job, upstream, there, record, clock)
        outcome = "done"
    except HesiodError as error:
        record |= {"reason": str(error), "needs_person": not isinstance(error, TemporaryError)}
        raise
    finally:
        record |= {"ended": iso(clock()), "cell": str(cell)}
        flags.end_attempt(job.pipeline, work, job.owner, outcome, record)
    return "done"


def _mark(
    job: Job,
    upstream: UpstreamSettings,
    there: deletion_list.DeletionList,
    record: dict[str, object],
    clock: Clock,
) -> Mapping[str, object]:
    """Prove and write the mark; returns the record of the flag.

    `record["marked"]` always agrees with the list on the upstream.
    """
    cell = job.the_cell
    standing = there.mark_of(cell)
    record["marked"] = standing is not None and standing.word == "deletable"
    if not upstream.mark_deletable:
        answer: DeletionProof | DeletionRefused = DeletionRefused(
            (f"the configuration of {upstream.name} says no mark_deletable",)
        )
    elif unmet := unmet_preconditions(job):
        answer = DeletionRefused(
            unmet
        )  # no data need be read, and the cell may no longer exist on the upstream
    else:
        answer = examine_cell(job, there, clock=clock)
    if isinstance(answer, DeletionRefused):
        if answer.checksums.wrong:
            record |= answer.checksums.finding(iso(clock()))
        if standing and standing.word == "deletable":
            why = str(answer)
            there.write(
                cell, DeletionMark("revoked", clock(), standing.place, job.run_dir.name, said=why)
            )
            record["marked"] = False
            job.log().line(f"{cell}: its mark as safe to delete upstream is revoked: {why}")
        raise PermanentError(f"{job.run_dir.name} {cell} is not marked as safe to delete: {answer}")
    mark = _mark_for(answer, upstream, there, clock())
    if not _stands(standing, mark):
        evidence = evidence_text({target.name: target.md5 for target in answer.files})
        md5 = hashlib.md5(evidence, usedforsecurity=False).hexdigest()
        there.keep_evidence(mark.evidence, evidence, md5)
        if not answer.holds(clock()):
            raise TemporaryError(
                f"{job.run_dir.name} {cell}: the proof has expired before its mark was written"
            )
        record["marked"] = True
        there.write(cell, mark)
        files = number_of(mark.files, "file")
        job.log().line(f"{cell}: marked upstream as safe to delete: {files}; copies: {mark.said}")
    elif standing:
        mark = standing
    return {
        "reason": (
            f"{number_of(mark.files, 'file')}, {number_of(mark.bytes, 'byte')}; copies: {mark.said}"
        ),
        "marked": True,
        "files": mark.files,
        "bytes": mark.bytes,
        "inventory": mark.digest,
        "evidence": mark.evidence,
        "places": list(answer.places),
        "until": iso(mark.until) if mark.until else "",
    }


def _mark_for(
    proof: DeletionProof,
    upstream: UpstreamSettings,
    there: deletion_list.DeletionList,
    now: datetime,
) -> DeletionMark:
    return DeletionMark(
        "deletable",
        now,
        there.place(proof.cell),
        proof.run,
        now + timedelta(seconds=upstream.mark_lasts),
        len(proof.files),
        proof.bytes,
        proof.inventory_digest,
        evidence_name(proof.cell.stem, proof.inventory_digest),
        ", ".join(proof.places),
    )


def _stands(standing: DeletionMark | None, mark: DeletionMark) -> bool:
    """Whether the existing mark says the same and remains valid for some time."""
    if (
        standing is None
        or standing.word != "deletable"
        or standing.until is None
        or mark.until is None
    ):
        return False
    same = (standing.digest, standing.files, standing.bytes) == (
        mark.digest,
        mark.files,
        mark.bytes,
    )
    return same and timedelta(0) <= mark.until - standing.until < (mark.until - mark.made) / 2
