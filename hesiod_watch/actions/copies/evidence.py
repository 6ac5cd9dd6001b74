"""Finding out what a drop proof rests on: all copies of a cell are read now, and what its flags say
is read last.

What is to be dropped is listed first, read, and listed again at the end; whatever came, went or
changed in between is told. The places are read at the same time, each by a thread of its own. Only
what is to be dropped must be readable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hesiod_watch.actions import Job
from hesiod_watch.actions.copies.survey import Copies, CopySurvey, moved
from hesiod_watch.core.inventory import Entries
from hesiod_watch.core.model import CellFlags, CellId
from hesiod_watch.host import process
from hesiod_watch.remote.backup import damage_in, manifest_md5, read_raw, read_raw_manifest
from hesiod_watch.remote.sequencer import deletion_list
from hesiod_watch.rules import completeness
from hesiod_watch.rules.checksum_findings import finding_in, problem_of
from hesiod_watch.rules.deletion_proof import (
    DeletionEvidence,
    DeletionProof,
    DeletionRefused,
    FoundEntry,
    ProofLimits,
    RecordedFile,
    about_cell,
    prove,
)
from hesiod_watch.runs import cell_files, flags, minknow


def examine_cell(
    job: Job,
    there: deletion_list.DeletionList | None = None,
    *,
    stop: Callable[[], bool] = lambda: False,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> DeletionProof | DeletionRefused:
    """Gather evidence about the job's cell and judge it. Raises as `gather_evidence`."""
    limits = ProofLimits(fresh=timedelta(seconds=job.config.backup.fresh))
    return prove(gather_evidence(job, there, stop=stop), limits, clock())


def gather_evidence(
    job: Job,
    there: deletion_list.DeletionList | None = None,
    *,
    stop: Callable[[], bool] = lambda: False,
) -> DeletionEvidence:
    """All evidence about dropping the job's cell: from `there`, an open upstream, or without one
    from landing.

    Raises TemporaryError when what is to be dropped cannot be read, PermanentError when what is
    recorded of the cell cannot.
    """
    cell = job.the_cell
    cell_output = job.output / cell.library / cell.name
    with cell_files.opened_run(job.config.landing, job.run_dir) as directory:
        raw = read_raw(cell_output)
        looking = CopySurvey(job, directory, cell_output, raw.facts, stop)
        with ThreadPoolExecutor(2 + len(job.config.backups)) as pool:
            asked = pool.submit(_ask, there, cell) if there else None
            backups = [
                (backup, pool.submit(looking.of_backup, backup)) for backup in job.config.backups
            ]
            here = pool.submit(looking.of_landing).result()
            outputs = looking.of_outputs(here)
            places: list[Copies] = [outputs, *([here.copies()] if there else [])]
            places += [
                looking.with_outputs(backup, future.result(), outputs) for backup, future in backups
            ]
            before, found = asked.result() if asked else (here.entries, here.found)
        taken_at = datetime.now(UTC)
        after = there.inventory(cell).entries if there else cell_files.entries(directory, cell)
    recorded = {name: RecordedFile(fact.size, fact.md5) for name, fact in looking.raw.items()}
    names = found.keys() | recorded.keys()
    # A file that raw.json names was part of the cell: after a strip it is on the backups only.
    sha256 = {**dict.fromkeys([*found, *here.found], ""), **raw.sha256, **here.sha256}
    evidence = DeletionEvidence(
        job.run_dir.name,
        cell,
        "upstream" if there else "landing",
        taken_at,
        found,
        recorded,
        copies={name: tuple(place[name] for place in places if name in place) for name in names},
        manifest=manifest_md5(cell_output),
        moved=moved(before, after),
        checksums=here.hashes.judge(sha256) or raw.checksums,
    )
    return _with_flags(job, evidence)


def ground(job: Job) -> tuple[str, ...]:
    """What flags and manifests say against dropping anything of the job's cell; no data are read."""
    cell_output = job.output / job.the_cell.library / job.the_cell.name
    recorded = {
        name: RecordedFile(fact.size, fact.md5)
        for name, fact in read_raw_manifest(cell_output).items()
    }
    now = datetime.now(UTC)
    evidence = DeletionEvidence(
        job.run_dir.name,
        job.the_cell,
        "landing",
        now,
        {},
        recorded,
        copies={},
        manifest=manifest_md5(cell_output),
    )
    return tuple(about_cell(_with_flags(job, evidence)))


def _ask(there: deletion_list.DeletionList, cell: CellId) -> tuple[Entries, dict[str, FoundEntry]]:
    """Everything in a cell of an upstream, with the MD5 of its files."""
    inventory = there.inventory(cell)
    checksums = there.checksums(cell, inventory)
    found = {
        name: FoundEntry(
            entry.kind,
            entry.size,
            (entry.size, entry.mtime, entry.changed),
            checksums.get(name, ""),
        )
        for name, entry in inventory.entries.items()
    }
    return inventory.entries, found


# What flags say.


def _with_flags(job: Job, evidence: DeletionEvidence) -> DeletionEvidence:
    """The evidence with what is recorded about the cell, read last: a flag set meanwhile must
    count.
    """
    stem = job.the_cell.stem
    listing = flags.read_flags(job.pipeline)
    cell = listing.cell(stem, process.judge_here)
    done = dict(cell.done.record) if cell.done else {}
    backup = listing.round(flags.backup(stem), process.judge_here)
    said = done.get("epoch")
    epoch = said if isinstance(said, int) else 0
    return replace(
        evidence,
        closed=_closed(job, cell),
        epoch=epoch,
        current_epoch=max(
            (each.number for each in listing.epochs(stem) if not each.over), default=epoch
        ),
        done_manifest=str(done.get("manifest_md5", "")),
        backup_manifest=str(backup.record.get("manifest", ""))
        if backup and backup.ending == "done"
        else "",
        blockers=tuple(find_blockers(listing, stem)),
    )


def _closed(job: Job, cell: CellFlags) -> str:
    if cell.synced:
        return "recorded as synced"
    verdict = completeness.judge(minknow.read_contents(job.cell_dir))
    return verdict.why if verdict.proven else ""


def find_blockers(listing: flags.FlagListing, stem: str) -> Iterator[str]:
    """What flags say against dropping anything of a cell, a sentence each."""
    for name in ("failed", "aborted"):
        if listing.has(name):
            yield f"the run is flagged {name}"
    if listing.stripped_by_hand:
        yield "the run is flagged stripped, and not by this program: what is left of it is not known"
    cell = listing.cell(stem, process.judge_here)
    if not cell.done:
        yield "it is not processed: there is no flag `done`"
    for flag, name in ((cell.failed, "failed"), (cell.aborted, "aborted")):
        if flag:
            yield f"it is flagged {name}"
    done_record = cell.done.record if cell.done else {}
    works = (flags.backup(stem), flags.verify(stem), flags.deletable(stem), flags.strip(stem))
    rounds = [listing.round(work, process.judge_here) for work in works]
    said = finding_in(done_record, *(each.record for each in rounds if each)).said
    if said:
        yield said
    for problem in damage_in(rounds[1]):
        if not problem_of(said).startswith(problem):
            yield f"a verification has found: {problem}"
