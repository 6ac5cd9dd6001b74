"""Gather the evidence for a deletion proof: read all copies now, and the cell's flags last.

The files to delete are listed first, read, and listed again at the end; every entry that appeared,
disappeared or changed in between is reported. All places are read at the same time, each in its own
thread. Only the files to delete must be readable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hesiod_watch.actions import Job
from hesiod_watch.actions.copies.survey import Copies, CopySurvey
from hesiod_watch.core.action_kinds import STRIP
from hesiod_watch.core.file_entry import FileEntry, changed_names, file_sizes
from hesiod_watch.core.model import CellId
from hesiod_watch.core.naming import display
from hesiod_watch.core.ownership import CellFlags
from hesiod_watch.core.results import BackupRecord, DoneRecord
from hesiod_watch.remote.backup.manifests import manifest_md5, read_raw
from hesiod_watch.remote.backup.minknow_hashes import read_output_hashes
from hesiod_watch.remote.sequencer import deletion_list
from hesiod_watch.rules import completeness, late_data
from hesiod_watch.rules.checksum_findings import finding_in, problem_of
from hesiod_watch.rules.copies import damage_in
from hesiod_watch.rules.deletion_proof import (
    DeletionEvidence,
    DeletionProof,
    DeletionRefused,
    ProofLimits,
    about_cell,
    prove,
    why_unverified,
)
from hesiod_watch.rules.liveness import Judge
from hesiod_watch.runs import cell_files, flags, minknow
from hesiod_watch.runs.cell_directories import find_late_data


def examine_cell(
    job: Job,
    there: deletion_list.DeletionList | None = None,
    *,
    stop: Callable[[], bool] = lambda: False,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> DeletionProof | DeletionRefused:
    """Gather evidence about the job's cell and judge it. Raises as `gather_evidence`."""
    limits = ProofLimits(fresh=timedelta(seconds=job.config.backup.fresh))
    if unverified := find_unverified(job):  # hours of reading would not change that
        return DeletionRefused((why_unverified(unverified),))
    return prove(gather_evidence(job, there, stop=stop), limits, clock())


def gather_evidence(
    job: Job,
    there: deletion_list.DeletionList | None = None,
    *,
    stop: Callable[[], bool] = lambda: False,
) -> DeletionEvidence:
    """Gather all evidence about deleting the job's cell.

    The files to delete are in `there`, an open upstream, or without one in landing.

    Raises TemporaryError if the files to delete cannot be read, PermanentError if the records of
    the cell cannot be read.
    """
    cell = job.the_cell
    cell_output = job.cell_output
    directory = job.run.opened()
    raw = read_raw(cell_output)
    survey = CopySurvey(job, directory, cell_output, raw.files, stop)
    with ThreadPoolExecutor(2 + len(job.config.backups)) as pool:
        listed = pool.submit(_list_upstream_files, there, cell) if there else None
        backups = [(backup, pool.submit(survey.of_backup, backup)) for backup in job.config.backups]
        here = pool.submit(survey.of_landing).result()
        outputs = survey.of_outputs(here)
        places: list[Copies] = [outputs, *([here.copies()] if there else [])]
        places += [
            survey.with_outputs(backup, future.result(), outputs) for backup, future in backups
        ]
        found = listed.result() if listed else here.found
    taken_at = datetime.now(UTC)
    after = (
        there.inventory(there.place(cell)).entries if there else cell_files.entries(directory, cell)
    )
    names = found.keys() | survey.raw.keys()
    # A file that raw.json names was part of the cell. After a strip only backups have it.
    sha256 = {**dict.fromkeys([*found, *here.found], ""), **raw.sha256, **here.sha256}
    evidence = DeletionEvidence(
        job.run_dir.name,
        cell,
        "upstream" if there else "landing",
        taken_at,
        found,
        survey.raw,
        copies={name: tuple(place[name] for place in places if name in place) for name in names},
        manifest=manifest_md5(cell_output),
        moved=changed_names(found, after),
        checksums=here.hashes.judge(sha256) or raw.checksums,
    )
    evidence = _with_flags(job, evidence)
    damaged = (f"{display(name)}: {why}" for name, why in raw.damaged.items())
    return replace(evidence, blockers=(*evidence.blockers, *damaged))


def unmet_preconditions(job: Job) -> tuple[str, ...]:
    """Reasons in flags and manifests against deleting the job's cell; reads no data."""
    cell_output = job.cell_output
    now = datetime.now(UTC)
    evidence = DeletionEvidence(
        job.run_dir.name,
        job.the_cell,
        "landing",
        now,
        {},
        read_raw(cell_output).files,
        copies={},
        manifest=manifest_md5(cell_output),
    )
    return tuple(about_cell(_with_flags(job, evidence)))


def _list_upstream_files(there: deletion_list.DeletionList, cell: CellId) -> dict[str, FileEntry]:
    """Every entry of a cell on an upstream, with the MD5 of its files."""
    inventory = there.inventory(there.place(cell))
    checksums = there.checksums(there.place(cell), file_sizes(inventory.entries))
    return {
        name: replace(entry, md5=checksums.get(name, ""))
        for name, entry in inventory.entries.items()
    }


# Records in flags.


def _with_flags(job: Job, evidence: DeletionEvidence) -> DeletionEvidence:
    """Add the cell's records to the evidence.

    They are read last, because a flag set meanwhile must count.
    """
    stem = job.the_cell.stem
    late = find_late_data(job.cell_dir, job.cell_output)
    listing = flags.read_flags(job.pipeline)
    cell = listing.cell(stem, job.judge)
    done = DoneRecord.of(cell.done)
    backup = listing.attempt(flags.backup(stem), job.judge)
    return replace(
        evidence,
        closed=_closed(job, cell),
        epoch=done.epoch,
        current_epoch=max(
            (each.number for each in listing.epochs(stem) if not each.over), default=done.epoch
        ),
        done_manifest=done.manifest_md5,
        backup_manifest=BackupRecord.of(backup).manifest
        if backup and backup.outcome == "done"
        else "",
        blockers=(
            *find_blockers(listing, stem, job.judge),
            *((late_data.said(late),) if late else ()),
        ),
        unverified=find_unverified(job),
    )


def find_unverified(job: Job) -> dict[str, int]:
    """Files of the job's cell by kind whose number nothing states; empty if a person accepted them.

    The files are those of raw.json, because a strip may have removed some. Raises as `read_raw`.
    """
    cell = job.the_cell
    listing = flags.read_flags(job.pipeline)
    done = DoneRecord.of(listing.cell(cell.stem, job.judge).done)
    if listing.accepted(cell.stem) or (done.completeness and done.completeness.by_hand):
        return {}
    names = read_raw(job.cell_output).files
    try:
        summaries = minknow.read_summaries(job.cell_dir)
        here = [entry.name for entry in job.cell_dir.entries()]
        named = read_output_hashes(job.run.opened(), cell, here).sha256
    except OSError:
        summaries, named = (), {}
    return completeness.unverified_files(minknow.contents_of(names, summaries, named))


def _closed(job: Job, cell: CellFlags) -> str:
    if cell.synced:
        return "recorded as synced"
    verdict = completeness.judge(minknow.read_contents(job.cell_dir))
    return verdict.why if verdict.proven else ""


def find_blockers(listing: flags.FlagListing, stem: str, judge: Judge) -> Iterator[str]:
    """Sentences for the flags that prohibit deleting data of a cell."""
    for name in sorted(STRIP.stopped_by & listing.run_flags):
        yield f"the run is flagged {name}"
    if listing.stripped_by_hand:
        yield (
            "the run is flagged stripped, and not by this program: what is left of it is not known"
        )
    cell = listing.cell(stem, judge)
    if not cell.done:
        yield "it is not processed: there is no flag `done`"
    for flag, name in ((cell.failed, "failed"), (cell.aborted, "aborted")):
        if flag:
            yield f"it is flagged {name}"
    done_record = cell.done.record if cell.done else {}
    works = (flags.backup(stem), flags.verify(stem), flags.deletable(stem), flags.strip(stem))
    attempts = [listing.attempt(work, judge) for work in works]
    checksum_problem = finding_in(done_record, *(each.record for each in attempts if each)).said
    if checksum_problem:
        yield checksum_problem
    for problem in damage_in(attempts[1]):
        if not problem_of(checksum_problem).startswith(problem):
            yield f"a verification has found: {problem}"
