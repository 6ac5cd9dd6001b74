"""Results whose run or cell is not in the landing area any more, for a person to look at.

A run that is renamed keeps its results, because its link `pipeline/output` moves with it, and a
processed cell keeps them when its library is renamed. Results without a run are those of a run that
was deleted, or moved to another place. Nothing here is removed by the program.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from hesiod_watch.core import naming
from hesiod_watch.core.model import CellId
from hesiod_watch.core.naming import display
from hesiod_watch.core.records import record_in
from hesiod_watch.core.results import DoneRecord
from hesiod_watch.core.text import quoted
from hesiod_watch.host.files import OpenDirectory
from hesiod_watch.runs import flags
from hesiod_watch.runs.cell_results import find_results
from hesiod_watch.runs.flags.output_owner import BACK_LINK, OWNER_FILE
from hesiod_watch.runs.landing import LandingArea


def find_orphans(landing: LandingArea, output_root: Path) -> Iterator[str]:
    """Yield a sentence for each orphaned directory of results. Raises OSError, HesiodError."""
    used: dict[Path, flags.Pipeline] = {}
    for run_dir in landing.runs():
        pipeline = flags.Pipeline(OpenDirectory(run_dir, landing.path))
        if output := flags.find_output(pipeline, output_root).path:
            used[output] = pipeline
    root = output_root.resolve()
    for name in _directories(root):
        output = root / name
        if output in used:
            yield from _orphaned_cells(output, used[output])
        elif any(os.path.lexists(output / mark) for mark in (BACK_LINK, OWNER_FILE)):
            yield (
                f"{display(str(output))}: its run is not in the landing area "
                "(deleted, or moved away); remove these results if they are not needed any more"
            )


def _orphaned_cells(output: Path, pipeline: flags.Pipeline) -> Iterator[str]:
    run_dir = pipeline.path.parent
    here = {
        cell: library
        for library in _directories(run_dir)
        if library != "pipeline"
        for cell in _directories(run_dir / library)
    }
    listing = flags.read_flags(pipeline)
    for library in _directories(output):
        for cell in _directories(output / library):
            if naming.parse_cell(cell) is None:
                continue
            place = display(str(output / library / cell))
            if listing.has(flags.done(cell)):
                done = DoneRecord.from_record(record_in(listing.text(flags.done(cell))))
                kept = find_results(output, CellId(here.get(cell, library), cell), done)
                if kept.library != library:
                    yield (
                        f"{place}: the results of this cell are in {display(str(output))}/"
                        f"{display(str(kept))}; remove these if they are not needed any more"
                    )
            elif cell in here and here[cell] != library:
                now = f"{here[cell]}/{cell}"
                step = f"if {display(str(output / now))} does not exist: "
                step += f"mv {quoted(str(output / library / cell))} {quoted(str(output / now))}"
                yield f"{place}: results of the cell that is now {display(now)}; {step}"
            elif cell not in here and cell not in listing.stems:
                yield (
                    f"{place}: its cell is not in the run {display(run_dir.name)} any more; "
                    "remove these results if they are not needed any more"
                )


def _directories(parent: Path) -> list[str]:
    """Names of the real directories in a directory, without hidden ones."""
    with os.scandir(parent) as entries:
        return sorted(
            entry.name
            for entry in entries
            if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False)
        )
