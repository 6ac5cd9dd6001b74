"""One look at one run: the disk becomes a frozen snapshot, and every decision is made from that
alone.

A snapshot may be out of date by the time it is used, and on a network file system it may be so from
the start. That is harmless: flags are only ever added, so an old view is an earlier true one, and
whatever is started needs a claim that the file system judges then. Only cells whose flags leave a
question open have their files counted.

Nothing is written, nothing is claimed, and bad names end up in `quarantined` with a reason.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from hesiod_watch.core import naming
from hesiod_watch.core.errors import PermanentError
from hesiod_watch.core.model import (
    Attempt,
    Cell,
    CellContents,
    CellFlags,
    CellId,
    IngestState,
    ListedRun,
    Liveness,
    Owner,
    Progress,
    QuarantinedName,
    RunName,
    Snapshot,
)
from hesiod_watch.core.records import numbers_in, record_in, whole_number
from hesiod_watch.host import process
from hesiod_watch.rules import completeness
from hesiod_watch.rules.liveness import under_way
from hesiod_watch.runs import flags, minknow
from hesiod_watch.runs.report_digest import read_report_digest

Judge = Callable[[Owner | None], tuple[Liveness, str]]

NOT_LIBRARIES = frozenset({"pipeline", "rundata"})
PROGRESS_FILE = ".progress.json"
"""In a cell's output while somebody works on it: what the worker says about itself."""
COPYING_FILE = ".copying.json"
"""The same of a sync, which may copy a cell while ingest is at work on it."""
COPIES_FILE = ".copies.json"
"""The same of a backup, or of the reading of copies, of a cell that is processed."""
INGEST_FILE = ".ingest.json"
"""In a cell's output while the cell is being written: what the last round of ingest saw and has
come to.
"""
SMALL = 1 << 20
"""Bytes of such a file that are read; ours are far smaller."""


def observe(
    run_dir: Path,
    output_root: Path,
    *,
    listed_run: ListedRun | None = None,
    judge: Judge = process.judge_here,
    channels: Collection[str] = (),
) -> Snapshot:
    """Look at the run in `run_dir` once.

    `listed_run` is the run as a listing of its upstream shows it; it need not be here yet.
    `channels` are those whose undelivered messages are of interest. Never raises for what lies in
    the run: what cannot be read is said in `problem` or `quarantined`.
    """
    run = RunName(run_dir.name)
    upstream_cells = listed_run.cells if listed_run else frozenset()
    look = _Circumstances(upstream_cells, judge)
    snapshot = Snapshot(
        run, run_dir, has_pipeline=False, listed_at=listed_run.location if listed_run else ""
    )
    if why := naming.run_problem(run):
        return replace(snapshot, quarantined=(QuarantinedName(naming.display(run), why),))
    try:
        cells, quarantined, ignored = _find_cells(run_dir)
    except OSError as error:
        if listed_run and isinstance(error, FileNotFoundError):
            return replace(
                snapshot, cells=_with_upstream([], upstream_cells)
            )  # it is to be taken up
        return replace(
            snapshot,
            has_pipeline=os.path.lexists(run_dir / "pipeline"),
            problem=f"{naming.display(str(run_dir))} cannot be read: {error.strerror}",
        )
    snapshot = replace(snapshot, quarantined=tuple(quarantined), ignored=tuple(ignored))
    pipeline = run_dir / "pipeline"
    try:
        listing = flags.read_flags(pipeline)
    except FileNotFoundError:
        here = [_cell(run_dir, None, cell, None, look) for cell in cells]
        return replace(snapshot, cells=_with_upstream(here, upstream_cells))
    except PermanentError as error:
        return replace(snapshot, has_pipeline=True, problem=str(error))

    results = flags.find_output(pipeline, output_root)
    output = results.path
    sync = listing.round(flags.SYNC, judge)
    look = replace(look, syncing=under_way(sync))
    known = {cell.stem: cell for cell in cells}
    observed = [_cell(run_dir, output, cell, listing, look) for cell in cells]
    there = {cell.stem: cell for cell in upstream_cells}
    run_type, type_problem = flags.read_type(pipeline)
    for stem in sorted(listing.stems - known.keys()):
        cell_flags = listing.cell(stem, judge)
        cell_id = there.get(stem) or CellId(_library_of(cell_flags), stem)
        gone = _recorded(Cell(cell_id, present=False, upstream=stem in there, flags=cell_flags))
        observed.append(_with_copies(gone, listing, judge, output) if cell_flags.done else gone)
    return replace(
        snapshot,
        has_pipeline=True,
        upstream=flags.read_upstream(pipeline),
        output=output,
        output_problem=results.problem,
        output_foreign=results.foreign,
        flags=_counting(listing, observed, upstream_cells),
        flag_texts=listing.run_texts,
        cells=_with_upstream([_let_go(cell, listing, judge) for cell in observed], upstream_cells),
        sync=sync,
        backup=listing.round(flags.BACKUP, judge),
        type=run_type,
        type_problem=type_problem,
        outbox=flags.read_outbox(pipeline, listing, channels, judge),
        report_digest=read_report_digest(output / "report.html") if output else None,
    )


def _let_go(cell: Cell, listing: flags.FlagListing, judge: Judge) -> Cell:
    """A cell, with what its flags say of letting its raw data go, there and here."""
    marked = listing.round(flags.deletable(cell.id.stem), judge)
    strip = listing.round(flags.strip(cell.id.stem), judge)
    return replace(cell, deletable=marked, strip=strip) if marked or strip else cell


def _counting(
    listing: flags.FlagListing, here: list[Cell], upstream_cells: frozenset[CellId]
) -> frozenset[str]:
    """The run's flags that count: our own `stripped` says nothing any more once the run has another
    cell.
    """
    stems = {cell.stem for cell in upstream_cells} | {cell.id.stem for cell in here}
    stems -= {cell.id.stem for cell in here if cell.flags.aborted}
    return (
        listing.run_flags
        if all(map(listing.raw_removed, stems))
        else listing.run_flags - {"stripped"}
    )


def _with_upstream(here: list[Cell], upstream_cells: frozenset[CellId]) -> tuple[Cell, ...]:
    """Cells that are here or recorded, and those that are on the upstream only; a renamed library
    changes nothing.
    """
    seen = {cell.id.stem for cell in here}
    there = [
        Cell(cell, present=False, upstream=True) for cell in upstream_cells if cell.stem not in seen
    ]
    return tuple(sorted([*here, *there], key=lambda cell: cell.id))


@dataclass(frozen=True)
class _Circumstances:
    """What a look at a run brings along."""

    upstream_cells: frozenset[CellId]
    judge: Judge
    syncing: bool = False  # a sync of the run is under way


def _find_cells(run_dir: Path) -> tuple[list[CellId], list[QuarantinedName], list[QuarantinedName]]:
    """Cells of a run, names that are quarantined, and what is left alone on purpose.

    Raises OSError when the run itself cannot be listed.
    """
    cells: list[CellId] = []
    quarantined: list[QuarantinedName] = []
    ignored: list[QuarantinedName] = []
    for library in _directories(run_dir):
        if library in NOT_LIBRARIES:
            continue
        if why := naming.library_problem(library):
            quarantined.append(QuarantinedName(naming.display(library), why))
            continue
        try:
            names = list(_directories(run_dir / library))
        except OSError as error:
            quarantined.append(QuarantinedName(library, f"cannot be read: {error.strerror}"))
            continue
        found = 0
        for name in names:
            parsed = naming.parse_cell(name)
            shown = naming.display(f"{library}/{name}")
            if parsed is None:
                if naming.looks_like_cell(name):
                    quarantined.append(QuarantinedName(shown, naming.cell_problem(name)))
            elif naming.is_configuration_test(parsed):
                ignored.append(QuarantinedName(shown, "a configuration test cell, not data"))
            else:
                cells.append(CellId(library, name))
                found += 1
        if not found and (why := minknow.pooled(run_dir / library)):
            quarantined.append(QuarantinedName(library, why))
    # Flags carry the cell's directory name only, so two cells of that name would share them.
    twins = {stem for stem, count in Counter(cell.stem for cell in cells).items() if count > 1}
    quarantined += [
        QuarantinedName(
            str(cell),
            "another library of this run has a cell of the same name; they would share their flags",
        )
        for cell in cells
        if cell.stem in twins
    ]
    return sorted(cell for cell in cells if cell.stem not in twins), quarantined, ignored


def _directories(parent: Path) -> Iterator[str]:
    """Names of the real directories in a directory; links and hidden names are nobody's data."""
    with os.scandir(parent) as entries:
        for entry in entries:
            if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False):
                yield entry.name


def _cell(
    run_dir: Path,
    output: Path | None,
    cell: CellId,
    listing: flags.FlagListing | None,
    look: _Circumstances,
) -> Cell:
    cell_flags = listing.cell(cell.stem, look.judge) if listing else CellFlags()
    observed = _recorded(
        Cell(cell, present=True, upstream=cell in look.upstream_cells, flags=cell_flags)
    )
    directory = run_dir / cell.library / cell.name
    if cell_flags.accepted and not cell_flags.aborted and observed.completeness is None:
        # A person says that all is here: people are told what the count says.
        counted = completeness.judge(minknow.read_contents(directory))
        observed = replace(observed, completeness=completeness.accept(counted))
    if cell_flags.done or cell_flags.aborted or cell_flags.failed:
        return (
            _with_copies(observed, listing, look.judge, output)
            if listing and cell_flags.done
            else observed
        )
    results = output / cell.library / cell.name if output else None
    if cell_flags.claims:
        return replace(observed, progress=_read_progress(results))
    if cell_flags.synced:
        return observed
    since = minknow.newest_summary_mtime(directory)
    # Counting the files of a cell that is still being written would cost a listing of everything at
    # every look.
    contents = minknow.read_contents(directory) if since is not None else CellContents()
    observed = replace(observed, completeness=completeness.judge(contents), summary_since=since)
    progress = _read_progress(results, COPYING_FILE) if look.syncing else None
    last = listing.round(flags.ingest(cell.stem), look.judge) if listing else None
    return _arriving(replace(observed, progress=progress), directory, results, last)


def _with_copies(cell: Cell, listing: flags.FlagListing, judge: Judge, output: Path | None) -> Cell:
    """A processed cell, with what its flags say of its copies on second places."""
    backup = listing.round(flags.backup(cell.id.stem), judge)
    verification = listing.round(flags.verify(cell.id.stem), judge)
    working = under_way(backup) or under_way(verification)
    results = output / cell.id.library / cell.id.name if output and working else None
    progress = _read_progress(results, COPIES_FILE)
    return replace(cell, backup=backup, verification=verification, progress=progress)


def _arriving(cell: Cell, directory: Path, results: Path | None, last: Attempt | None) -> Cell:
    """A cell that is still being written, with what ingest knows of it so far."""
    state = _read_small(results / INGEST_FILE) if results else {}
    arriving = IngestState(
        changed=minknow.fastq_changed(directory),
        seen=whole_number(state.get("seen_ns")) or 0,
        unfinished=whole_number(state.get("unfinished")) or 0,
        round=last,
    )
    return replace(cell, arriving=arriving, results=numbers_in(state.get("results")))


def _recorded(cell: Cell) -> Cell:
    """A cell, with what its worker wrote into `.done` or `.failed`: nothing where it was made by
    hand.
    """
    flag = cell.flags.done or cell.flags.failed
    if flag is None:
        return cell
    results = numbers_in(flag.record.get("results")) if cell.flags.done else {}
    found = completeness.recorded(flag.record)
    return replace(cell, results=results, completeness=found)


def _library_of(cell_flags: CellFlags) -> str:
    """The library of a cell whose directory has gone, from what its flags say; "?" where none does."""
    for flag in (cell_flags.done, cell_flags.failed, cell_flags.aborted):
        cell = flag.record.get("cell") if flag else None
        if isinstance(cell, str) and "/" in cell:
            library = cell.split("/", 1)[0]
            if not naming.library_problem(library):
                return library
    return "?"


def _read_progress(results: Path | None, name: str = PROGRESS_FILE) -> Progress | None:
    """What the worker of a cell last wrote about itself; None when there is nothing to be read."""
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
        return None  # of another version
    return Progress(phase, note=note, updated=updated, **known)


def _read_small(path: Path) -> Mapping[str, object]:
    """A small JSON object of ours; empty where there is none: it is for people, or can be found out
    again.
    """
    try:
        with path.open("rb") as file:
            return record_in(file.read(SMALL))
    except OSError:
        return {}
