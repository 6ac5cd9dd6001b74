"""Observe one run: read the disk once into a frozen snapshot, the basis of all decisions.

A snapshot may be out of date when it is used. On a network file system it may be so from the start.
That is harmless: flags are only added, so an old view is an earlier true one, and every start of
work needs a claim that the file system then judges. Files are counted only for cells whose flags do
not decide.

This module writes nothing and claims nothing. Bad names end up in `quarantined` with a reason.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from hesiod_watch.core import naming
from hesiod_watch.core.cell_contents import CellContents, Verdict
from hesiod_watch.core.errors import PermanentError
from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.model import (
    Cell,
    CellId,
    IngestState,
    ListedRun,
    QuarantinedName,
    RunName,
    Snapshot,
    Stage,
)
from hesiod_watch.core.ownership import Attempt, CellFlags, Progress
from hesiod_watch.core.records import numbers_in, record_in, whole_number, why_in
from hesiod_watch.core.results import DoneRecord, VerificationRecord
from hesiod_watch.host.files import OpenDirectory
from hesiod_watch.rules import completeness
from hesiod_watch.rules.liveness import Judge, under_way
from hesiod_watch.rules.run_layout import LINK
from hesiod_watch.rules.stages import stage_of
from hesiod_watch.runs import flags, minknow
from hesiod_watch.runs.cell_directories import find_late_data
from hesiod_watch.runs.cell_results import find_results
from hesiod_watch.runs.identities import find_listed_copy
from hesiod_watch.runs.report_digest import read_report_digest
from hesiod_watch.runs.run_directories import find_cells, is_link

PROGRESS_FILE = ".progress.json"
"""In a cell's output while a worker processes it: the worker's progress."""
COPYING_FILE = ".copying.json"
"""In a cell's output: progress of a sync, which may copy a cell while ingest works on it."""
COPIES_FILE = ".copies.json"
"""In a cell's output: progress of a backup, or of reading copies, of a processed cell."""
INGEST_DIRECTORY = ".ingest"
"""In a cell's output until it is processed: its growing outputs."""
INGEST_FILE = ".ingest.json"
"""In a cell's output while the cell is being written: state and results of the last ingest."""
RAW_MANIFEST = "raw.json"
"""In a cell's output: checksums of its raw data."""
SMALL = 1 << 20
"""Bytes of such a file that are read; ours are far smaller."""

WhyHistoric = Callable[[OpenDirectory, Collection[CellId]], str]
"""Returns why a run with these cells is not taken up; "" if it is."""


def observe(
    run_dir: OpenDirectory,
    output_root: Path,
    *,
    listed_run: ListedRun | None = None,
    judge: Judge,
    channels: Collection[str] = (),
    owners: Collection[int] = (),
    why_historic: WhyHistoric = lambda run, cells: "",
) -> Snapshot:
    """Look once at the run in `run_dir`, which need not exist yet.

    `listed_run` is the run in a listing of its upstream; it need not exist here yet. `channels` are
    those whose undelivered messages are needed. `owners` are user ids that may make `pipeline/`, as
    `areas.landing_owners` returns them. `why_historic` is asked about a run without `pipeline/`.
    Never raises because of the run's content: `problem` or `quarantined` says what cannot be read.
    """
    run = RunName(run_dir.path.name)
    upstream_cells = listed_run.cells if listed_run else frozenset()
    look = _CellContext(upstream_cells, judge)
    snapshot = Snapshot(
        run, run_dir.path, has_pipeline=False, listed_at=listed_run.location if listed_run else ""
    )
    if why := naming.run_problem(run):
        if historic := _why_historic_unnamed(run_dir, why_historic):
            return replace(snapshot, historic=historic)
        return replace(snapshot, quarantined=(QuarantinedName(naming.display(run), why),))
    try:
        found = find_cells(run_dir)
    except OSError as error:
        if listed_run and isinstance(error, FileNotFoundError):
            # a new run: it will be registered
            return replace(snapshot, cells=_with_upstream([], upstream_cells))
        if isinstance(error, NotADirectoryError) and is_link(run_dir):
            return replace(snapshot, quarantined=(QuarantinedName(run, LINK, "link"),))
        return replace(
            snapshot,
            has_pipeline=os.path.lexists(run_dir / "pipeline"),
            problem=f"{naming.display(str(run_dir))} cannot be read: {error.strerror}",
        )
    cells = found.cells
    snapshot = replace(snapshot, quarantined=tuple(found.quarantined), ignored=tuple(found.ignored))
    pipeline = flags.Pipeline(run_dir)
    try:
        if foreign := flags.find_foreign_maker(pipeline, output_root, owners):
            return replace(snapshot, has_pipeline=True, problem=foreign, pipeline_foreign=True)
        listing = flags.read_flags(pipeline)
    except FileNotFoundError:
        if not listed_run and (historic := why_historic(run_dir, cells)):
            return Snapshot(run, run_dir.path, has_pipeline=False, historic=historic)
        listing = flags.FlagListing(pipeline, {})
        here = [_cell(run_dir, None, cell, listing, look) for cell in cells]
        return replace(snapshot, cells=_with_upstream(here, upstream_cells))
    except PermanentError as error:
        return replace(snapshot, has_pipeline=True, problem=str(error))
    except OSError as error:
        why = f"{naming.display(str(pipeline))} cannot be read: {error.strerror}"
        return replace(snapshot, has_pipeline=True, problem=why)

    results = flags.find_output(pipeline, output_root)
    output = results.path
    sync = listing.attempt(flags.SYNC, judge)
    look = replace(look, syncing=under_way(sync))
    known = {cell.stem: cell for cell in cells}
    observed = [_cell(run_dir, output, cell, listing, look) for cell in cells]
    listed = {cell.stem: cell for cell in upstream_cells}
    run_type, type_problem = flags.read_type(pipeline)
    upstream, upstream_problem = flags.upstream_or_why(pipeline)
    for stem in sorted(listing.stems - known.keys()):
        cell_flags = listing.cell(stem, judge)
        copied = listing.has(flags.second_copy(stem))
        if copied and listed_run and stem not in listed and cell_flags == CellFlags():
            continue  # it was removed on the upstream
        recorded = record_in(listing.text(flags.second_copy(stem)))
        cell_id = listed.get(stem) or CellId(_library_of(cell_flags, recorded), stem)
        on_upstream = stem in listed or (copied and not listed_run)
        absent = Cell(cell_id, present=False, upstream=on_upstream, flags=cell_flags)
        absent = _recorded(absent, output)
        observed.append(_with_copies(absent, listing, judge, output) if cell_flags.done else absent)
    return replace(
        snapshot,
        has_pipeline=True,
        upstream=upstream,
        upstream_problem=upstream_problem,
        output=output,
        output_problem=results.problem,
        output_foreign=results.foreign,
        flags=_valid_run_flags(listing, observed, upstream_cells),
        flag_texts=listing.run_texts,
        cells=_with_upstream(
            [
                _with_second_copy(
                    _with_removal(cell, listing, judge), listing, run_dir.path, output_root
                )
                for cell in observed
            ],
            upstream_cells,
        ),
        sync=sync,
        backup=listing.attempt(flags.BACKUP, judge),
        type=run_type,
        type_problem=type_problem,
        outbox=flags.read_outbox(pipeline, listing, channels, judge),
        report_digest=read_report_digest(output / "report.html") if output else None,
    )


def _why_historic_unnamed(run: OpenDirectory, why_historic: WhyHistoric) -> str:
    """Return why a run whose name is not allowed is historic; else ""."""
    with suppress(OSError):
        if not os.path.lexists(run.path / "pipeline"):
            return why_historic(run, find_cells(run).cells)
    return ""


def _with_removal(cell: Cell, listing: flags.FlagListing, judge: Judge) -> Cell:
    """Cell with its flags about removing raw data, on the upstream and in the landing area."""
    marked = listing.attempt(flags.deletable(cell.id.stem), judge)
    strip = listing.attempt(flags.strip(cell.id.stem), judge)
    return replace(cell, deletable=marked, strip=strip) if marked or strip else cell


def _valid_run_flags(
    listing: flags.FlagListing, here: list[Cell], upstream_cells: frozenset[CellId]
) -> frozenset[str]:
    """Flags of the run that count.

    Our own `stripped` no longer counts when the run gets another cell.
    """
    stems = {cell.stem for cell in upstream_cells} | {cell.id.stem for cell in here}
    stems -= {cell.id.stem for cell in here if cell.flags.aborted}
    return listing.run_flags_for(stems)


def _with_upstream(here: list[Cell], upstream_cells: frozenset[CellId]) -> tuple[Cell, ...]:
    """Cells that are here or recorded, and cells that are only on the upstream.

    Cells are matched by name, so a renamed library changes nothing.
    """
    seen = {cell.id.stem for cell in here}
    absent = [
        Cell(cell, present=False, upstream=True) for cell in upstream_cells if cell.stem not in seen
    ]
    return tuple(sorted([*here, *absent], key=lambda cell: cell.id))


def _with_second_copy(
    cell: Cell, listing: flags.FlagListing, run_dir: Path, output_root: Path
) -> Cell:
    """Cell of an upstream, with what it is a second copy of, if a sync has found that."""
    flag, stem = flags.second_copy(cell.id.stem), cell.id.stem
    if (
        not listing.has(flag)
        or listing.has(flags.wanted(stem))
        or stage_of(cell) not in (Stage.NEW, Stage.PENDING, Stage.INCOMPLETE)
    ):
        return cell
    try:
        copy_of = find_listed_copy(output_root, run_dir, cell.id)
    except OSError:  # the index was deleted, and no other work has made it again yet
        copy_of = why_in(listing.text(flag))
    return replace(cell, copy_of=copy_of)


@frozen
class _CellContext:
    """Facts about the run that the observation of each of its cells needs."""

    upstream_cells: frozenset[CellId]
    judge: Judge
    syncing: bool = False  # a sync of the run is running


def _cell(
    run: OpenDirectory,
    output: Path | None,
    cell: CellId,
    listing: flags.FlagListing,
    look: _CellContext,
) -> Cell:
    cell_flags = listing.cell(cell.stem, look.judge)
    observed = _recorded(
        Cell(cell, present=True, upstream=cell in look.upstream_cells, flags=cell_flags), output
    )
    directory = run.open_cell(cell)
    if cell_flags.accepted and not cell_flags.aborted and observed.completeness is None:
        # A person accepted the cell as complete. People still get the result of the count.
        counted = completeness.judge(minknow.read_contents(directory))
        observed = replace(observed, completeness=completeness.accept(counted))
    results = output / observed.results_place if output else None
    if cell_flags.done:
        if results and not cell_flags.aborted:
            observed = replace(observed, late_data=find_late_data(directory, results))
        return _with_copies(observed, listing, look.judge, output)
    if cell_flags.synced:
        unverified = completeness.recorded_unverified(listing.synced_record(cell.stem))
        observed = replace(observed, unverified=unverified) if unverified else observed
    if cell_flags.aborted:
        return observed
    if cell_flags.failed or cell_flags.claims or cell_flags.synced:
        # The reads ingested so far; another stage does not make them fewer.
        so_far = numbers_in(_read_small(results / INGEST_FILE).get("results")) if results else {}
        observed = replace(observed, results=so_far)
        working = cell_flags.claims and not cell_flags.failed
        return replace(observed, progress=_read_progress(results)) if working else observed
    since = minknow.newest_summary_time(directory)
    # Do not count the files of a cell that is still being written: each pass would list everything.
    contents = minknow.read_contents(directory) if since is not None else CellContents()
    verdict = completeness.judge(contents)
    changed = minknow.changed_after_summary(directory) if verdict.proven else None
    compared = listing.attempt(flags.checksums(cell.stem), look.judge)
    if compared:
        verdict = completeness.with_comparison(verdict, compared)
    observed = replace(
        observed,
        completeness=verdict,
        checksums=compared,
        summary_since=since,
        unsettled_since=changed,
    )
    if verdict.verdict is Verdict.RUNNING:
        last_change, has_data = minknow.last_change(directory)
        observed = replace(observed, changed=last_change, has_data=has_data)
        if last_change is None:  # without a list of its data, its end is not noticed
            counted = completeness.judge(minknow.read_contents(directory))
            observed = replace(observed, completeness=counted)
    progress = _read_progress(results, COPYING_FILE) if look.syncing else None
    last = listing.attempt(flags.ingest(cell.stem), look.judge)
    return _arriving(replace(observed, progress=progress), directory, results, last)


def _with_copies(cell: Cell, listing: flags.FlagListing, judge: Judge, output: Path | None) -> Cell:
    """Processed cell with its flags about the copies on backups."""
    backup = listing.attempt(flags.backup(cell.id.stem), judge)
    verification = listing.attempt(flags.verify(cell.id.stem), judge)
    working = under_way(backup) or under_way(verification)
    results = output / cell.results_place if output and working else None
    progress = _read_progress(results, COPIES_FILE)
    raw_missing = (
        output is not None
        and cell.present
        and _may_make_raw(verification)
        and DoneRecord.of(cell.flags.done).raw_due
        and not os.path.lexists(output / cell.results_place / RAW_MANIFEST)
    )
    return replace(
        cell,
        backup=backup,
        verification=verification,
        hook=listing.attempt(flags.hook(cell.id.stem), judge),
        progress=progress,
        raw_missing=raw_missing,
    )


def _may_make_raw(verification: Attempt | None) -> bool:
    """Whether a verification may make `raw.json`: the last one did not decide against it."""
    if verification is None or verification.outcome != "done":
        return True
    return VerificationRecord.of(verification).raw_made


def _arriving(
    cell: Cell, directory: OpenDirectory, results: Path | None, last: Attempt | None
) -> Cell:
    """Cell that is still being written, with the state of its ingest."""
    state = _read_small(results / INGEST_FILE) if results else {}
    arriving = IngestState(
        changed=minknow.reads_changed(directory),
        seen=whole_number(state.get("seen_ns")) or 0,
        unfinished=whole_number(state.get("unfinished")) or 0,
        last_attempt=last,
    )
    return replace(cell, arriving=arriving, results=numbers_in(state.get("results")))


def _recorded(cell: Cell, output: Path | None) -> Cell:
    """Cell with its worker's record in `.done` or `.failed`; a person's flag has none."""
    flag = cell.flags.done or cell.flags.failed
    if flag is None:
        return cell
    found = completeness.recorded(flag.record)
    if not cell.flags.done:
        return replace(cell, completeness=found)
    library = find_results(output, cell.id, DoneRecord.of(flag)).library if output else ""
    results = numbers_in(flag.record.get("results"))
    return replace(cell, results=results, completeness=found, results_library=library)


def _library_of(cell_flags: CellFlags, recorded: Mapping[str, object]) -> str:
    """Library of a cell without a directory, from its flags; "?" if no flag names it."""
    made = (cell_flags.done, cell_flags.failed, cell_flags.aborted)
    for record in (*(flag.record for flag in made if flag), recorded):
        cell = record.get("cell")
        if isinstance(cell, str) and "/" in cell:
            library = cell.split("/", 1)[0]
            if not naming.library_problem(library):
                return library
    return "?"


def _read_progress(results: Path | None, name: str = PROGRESS_FILE) -> Progress | None:
    """Progress that the worker of a cell last wrote; None if there is none."""
    record = _read_small(results / name) if results else {}
    phase, note, updated = record.get("phase"), record.get("note", ""), record.get("updated", 0.0)
    counts = {
        key: whole_number(record.get(key, 0))
        for key in ("bytes_done", "bytes_total", "reads", "bases")
    }
    known = {key: number for key, number in counts.items() if number is not None}
    if not isinstance(phase, str) or not isinstance(note, str):
        return None
    if not isinstance(updated, int | float) or isinstance(updated, bool):
        return None
    if len(known) < len(counts) or record.keys() - {*counts, "phase", "note", "updated"}:
        return None  # written by another version
    return Progress(phase, note=note, updated=updated, **known)


def _read_small(path: Path) -> Mapping[str, object]:
    """Read a small JSON object of ours; empty if unreadable.

    Its content is only for people, or can be computed again.
    """
    try:
        with path.open("rb") as file:
            return record_in(file.read(SMALL))
    except OSError:
        return {}


def observe_site(output: Path, *, judge: Judge, channels: Collection[str] = ()) -> Snapshot:
    """Observe the outbox of the site, like a run that has nothing but messages."""
    place, outbox = flags.SitePipeline(output), None
    with suppress(OSError):  # it does not exist yet
        outbox = flags.read_outbox(place, flags.read_flags(place), channels, judge)
    return Snapshot(RunName(place.path.name), place.path, has_pipeline=True, outbox=outbox)
