"""One look at one run: the disk becomes a frozen snapshot, and every decision is made from that alone.

A snapshot may be out of date by the time it is used, and on a network file system it may be so from the start.
That is harmless: flags are only ever added, so an old view is an earlier true one, and whatever is started needs
a claim that the file system judges then. Only cells whose flags leave a question open have their files counted.

Nothing is written, nothing is claimed, and bad names end up in `quarantined` with a reason.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from hesiod_watch import completeness, flags, machine, minknow, naming
from hesiod_watch.errors import PermanentError
from hesiod_watch.model import (
    Cell,
    CellContents,
    CellFlags,
    CellId,
    Liveness,
    Owner,
    Progress,
    Quarantined,
    RunName,
    Snapshot,
)
from hesiod_watch.report.covers import read_covers

Judge = Callable[[Owner | None], tuple[Liveness, str]]

NOT_LIBRARIES = frozenset({"pipeline", "rundata"})
PROGRESS_FILE = "progress.json"
WORK_PREFIX = ".work."
"""A worker's private directory inside the cell's output: `.work.{epoch}.{token}`."""


def observe(
    run_dir: Path,
    output_root: Path,
    *,
    upstream_cells: frozenset[CellId] = frozenset(),
    judge: Judge = machine.judge_here,
) -> Snapshot:
    """Look at the run in `run_dir` once.

    `upstream_cells` are the cells that a listing of its upstream shows. Never raises for what lies in the run:
    what cannot be read is said in `problem` or `quarantined`.
    """
    run = RunName(run_dir.name)
    snapshot = Snapshot(run, run_dir, has_pipeline=False)
    if why := naming.run_problem(run):
        return replace(snapshot, quarantined=(Quarantined(naming.display(run), why),))
    try:
        cells, quarantined, ignored = _find_cells(run_dir)
    except OSError as error:
        return replace(
            snapshot,
            has_pipeline=(run_dir / "pipeline").exists(),
            problem=f"{run_dir} cannot be read: {error.strerror}",
        )
    snapshot = replace(snapshot, quarantined=tuple(quarantined), ignored=tuple(ignored))
    pipeline = run_dir / "pipeline"
    try:
        listing = flags.read_flags(pipeline)
    except FileNotFoundError:
        found = tuple(_cell(run_dir, None, cell, CellFlags(), cell in upstream_cells) for cell in cells)
        return replace(snapshot, cells=found)
    except PermanentError as error:
        return replace(snapshot, has_pipeline=True, problem=str(error))

    output, output_problem = flags.read_output(pipeline, output_root)
    known = {cell.stem: cell for cell in cells}
    observed = [_cell(run_dir, output, cell, listing.cell(cell.stem, judge), cell in upstream_cells) for cell in cells]
    for stem in sorted(listing.stems - known.keys()):
        cell_flags = listing.cell(stem, judge)
        cell_id = CellId(_library_of(cell_flags), stem)
        observed.append(Cell(cell_id, present=False, flags=cell_flags, results=_results(cell_flags)))
    seen = {cell.id.stem for cell in observed}
    observed += [Cell(cell, present=False, upstream=True) for cell in sorted(upstream_cells) if cell.stem not in seen]
    return replace(
        snapshot,
        has_pipeline=True,
        upstream=flags.read_upstream(pipeline),
        output=output,
        output_problem=output_problem,
        flags=listing.run_flags,
        flag_texts=listing.run_texts,
        cells=tuple(sorted(observed, key=lambda cell: cell.id)),
        report_covers=read_covers(output / "report.html") if output else None,
    )


def _find_cells(run_dir: Path) -> tuple[list[CellId], list[Quarantined], list[Quarantined]]:
    """Cells of a run, names that are quarantined, and what is left alone on purpose.

    Raises OSError when the run itself cannot be listed.
    """
    cells: list[CellId] = []
    quarantined: list[Quarantined] = []
    ignored: list[Quarantined] = []
    for library in _directories(run_dir):
        if library in NOT_LIBRARIES:
            continue
        if why := naming.library_problem(library):
            quarantined.append(Quarantined(naming.display(library), why))
            continue
        try:
            names = list(_directories(run_dir / library))
        except OSError as error:
            quarantined.append(Quarantined(library, f"cannot be read: {error.strerror}"))
            continue
        found = 0
        for name in names:
            parsed = naming.parse_cell(name)
            shown = naming.display(f"{library}/{name}")
            if parsed is None:
                if naming.looks_like_cell(name):
                    quarantined.append(Quarantined(shown, naming.cell_problem(name)))
            elif naming.is_configuration_test(parsed):
                ignored.append(Quarantined(shown, "a configuration test cell, not data"))
            else:
                cells.append(CellId(library, name))
                found += 1
        if not found and (why := minknow.pooled(run_dir / library)):
            quarantined.append(Quarantined(library, why))
    # Flags carry the cell's directory name only, so two cells of that name would share them.
    twins = {stem for stem, count in Counter(cell.stem for cell in cells).items() if count > 1}
    quarantined += [
        Quarantined(str(cell), "another library of this run has a cell of the same name; they would share their flags")
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


def _cell(run_dir: Path, output: Path | None, cell: CellId, cell_flags: CellFlags, upstream: bool) -> Cell:
    observed = Cell(cell, present=True, upstream=upstream, flags=cell_flags)
    if cell_flags.done or cell_flags.aborted or cell_flags.failed:
        return replace(observed, results=_results(cell_flags))
    if cell_flags.claims:
        return replace(observed, progress=_read_progress(output / cell.library / cell.name if output else None))
    if cell_flags.synced:
        return observed
    directory = run_dir / cell.library / cell.name
    since = minknow.newest_summary_mtime(directory)
    # Counting the files of a cell that is still being written would cost a listing of everything at every look.
    contents = minknow.read_contents(directory) if since is not None else CellContents()
    return replace(observed, completeness=completeness.judge(contents), summary_since=since)


def _results(cell_flags: CellFlags) -> Mapping[str, object]:
    """Headline numbers that the worker wrote into `.done`; empty for a flag made by hand."""
    results = cell_flags.done.record.get("results") if cell_flags.done else None
    return results if isinstance(results, dict) else {}


def _library_of(cell_flags: CellFlags) -> str:
    """The library of a cell whose directory has gone, from what its flags say; "?" where none does."""
    for flag in (cell_flags.done, cell_flags.failed, cell_flags.aborted):
        cell = flag.record.get("cell") if flag else None
        if isinstance(cell, str) and "/" in cell:
            library = cell.split("/", 1)[0]
            if not naming.library_problem(library):
                return library
    return "?"


def _read_progress(cell_output: Path | None) -> Progress | None:
    """What the newest worker of a cell last wrote about itself; None when there is nothing to be read."""
    if cell_output is None:
        return None
    newest: Progress | None = None
    try:
        work = [name for name in _directories_hidden(cell_output) if name.startswith(WORK_PREFIX)]
        for name in work:
            values = json.loads((cell_output / name / PROGRESS_FILE).read_bytes()[:65536])
            progress = Progress(**values)
            if newest is None or progress.updated > newest.updated:
                newest = progress
    except (OSError, ValueError, TypeError):
        return newest  # between two writes, or not ours: progress is for people and may be missing
    return newest


def _directories_hidden(parent: Path) -> Iterator[str]:
    with os.scandir(parent) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield entry.name
