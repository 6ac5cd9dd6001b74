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
from dataclasses import replace
from datetime import datetime, timedelta

from hesiod_watch.actions import Job, Outcome
from hesiod_watch.actions.attempt import Clock, OpenAttempt, attempt_at, utc_now
from hesiod_watch.actions.copies.evidence import examine_cell, unmet_preconditions
from hesiod_watch.actions.strip import refuse_while_under_way
from hesiod_watch.actions.sync import upstream_of
from hesiod_watch.config import UpstreamSettings
from hesiod_watch.core.errors import PermanentError, TemporaryError
from hesiod_watch.core.results import MarkRecord
from hesiod_watch.core.text import number_of
from hesiod_watch.core.times import iso
from hesiod_watch.remote.sequencer import deletion_list
from hesiod_watch.rules.deletion_marks import DeletionMark, evidence_name, evidence_text
from hesiod_watch.rules.deletion_proof import DeletionProof, DeletionRefused
from hesiod_watch.runs import flags


def perform(job: Job, clock: Clock = utc_now) -> Outcome:
    """Mark the cell, or revoke its mark.

    Raises FlagExists while another attempt is under way, TemporaryError, or PermanentError with the
    reasons against a mark.
    """
    cell = job.the_cell
    location = flags.read_upstream(job.pipeline) or ""
    upstream = upstream_of(job, location)
    work, log = flags.deletable(cell.stem), job.log()
    with attempt_at(job, work, MarkRecord, _maybe_marked, log=log, clock=clock) as attempt:
        refuse_while_under_way(job, flags.strip(cell.stem))
        with deletion_list.reached(upstream, location) as there:
            _mark(job, upstream, there, attempt, clock)
    return "done"


def _maybe_marked(before: MarkRecord) -> MarkRecord:
    """The former finding. A killed attempt may write a mark: `marked` until the list is read."""
    return MarkRecord(marked=True, finding=before.finding)


def _mark(
    job: Job,
    upstream: UpstreamSettings,
    there: deletion_list.DeletionList,
    attempt: OpenAttempt[MarkRecord],
    clock: Clock,
) -> None:
    """Prove and write the mark; sets the result and the reason of `attempt`.

    `marked` in the result always agrees with the list on the upstream.
    """
    cell = job.the_cell
    standing = there.standing_marks(cell)
    attempt.result = replace(attempt.result, marked=bool(standing))
    if not upstream.mark_deletable:
        answer: DeletionProof | DeletionRefused = DeletionRefused(
            (f"the configuration of {upstream.name} says no mark_deletable",)
        )
    elif cell.pooled:
        answer = DeletionRefused(
            ("it shares its directory there with other cells, and a mark is for a whole directory",)
        )
    elif unmet := unmet_preconditions(job):
        # No data need be read, and the cell may no longer exist on the upstream.
        answer = DeletionRefused(unmet)
    else:
        answer = examine_cell(job, there, clock=clock)
    if isinstance(answer, DeletionRefused):
        if answer.checksums.wrong:
            finding = answer.checksums.finding(iso(clock()))
            attempt.result = replace(attempt.result, finding=finding)
        if standing:
            why = str(answer)
            for each in standing:
                there.write(
                    DeletionMark("revoked", clock(), each.place, job.run_dir.name, said=why)
                )
            attempt.result = replace(attempt.result, marked=False)
            job.log().line(f"{cell}: its mark as safe to delete upstream is revoked: {why}")
        raise PermanentError(f"{job.run_dir.name} {cell} is not marked as safe to delete: {answer}")
    mark = _mark_for(answer, upstream, there, clock())
    same = next((each for each in standing if _stands(each, mark)), None)
    if same is None:
        evidence = evidence_text({target.name: target.md5 for target in answer.files})
        md5 = hashlib.md5(evidence, usedforsecurity=False).hexdigest()
        there.keep_evidence(mark.evidence, evidence, md5)
        if not answer.holds(clock()):
            raise TemporaryError(
                f"{job.run_dir.name} {cell}: the proof has expired before its mark was written"
            )
        attempt.result = replace(attempt.result, marked=True)
        there.write(mark)
        files = number_of(mark.files, "file")
        job.log().line(f"{cell}: marked upstream as safe to delete: {files}; copies: {mark.said}")
    else:
        mark = same
    attempt.reason = (
        f"{number_of(mark.files, 'file')}, {number_of(mark.bytes, 'byte')}; copies: {mark.said}"
    )
    attempt.result = MarkRecord(
        True,
        mark.files,
        mark.bytes,
        mark.digest,
        mark.evidence,
        answer.places,
        iso(mark.until) if mark.until else "",
        attempt.result.finding,
    )


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


def _stands(standing: DeletionMark, mark: DeletionMark) -> bool:
    """Whether an existing mark says the same and remains valid for some time."""
    if standing.until is None or mark.until is None:
        return False
    same = (standing.place, standing.digest, standing.files, standing.bytes) == (
        mark.place,
        mark.digest,
        mark.files,
        mark.bytes,
    )
    return same and timedelta(0) <= mark.until - standing.until < (mark.until - mark.made) / 2
