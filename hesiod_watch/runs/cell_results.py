"""Place of a processed cell's results: a library that is renamed later moves none of them.

Results stay where they were published, and `done` names that library. So nothing is moved under a
backup or a verification that reads them, and copies on backups keep their place.
"""

from __future__ import annotations

import glob
import os
import stat
from pathlib import Path

from hesiod_watch.core import naming
from hesiod_watch.core.model import CellId
from hesiod_watch.core.results import DoneRecord
from hesiod_watch.host.files import OpenDirectory
from hesiod_watch.rules.copies import CopyPlace


def find_results(output: Path, cell: CellId, done: DoneRecord | None) -> CellId:
    """The cell under the library whose directory in `output` has its results.

    Without `done`, that is its present library. Else the first of these that exists: the library
    in `done`, the present one, and the only other one. A person may have moved results, and `done`
    of an earlier Hesiod names no library.
    """
    if done is None:
        return cell
    for library in (_recorded_library(cell, done), cell.library):
        if library and _is_directory(output / library / cell.name):
            return CellId(library, cell.name)
    others = [
        place.parent.name
        for place in output.glob(f"*/{glob.escape(cell.name)}")
        if _is_directory(place) and not naming.library_problem(place.parent.name)
    ]
    return CellId(others[0], cell.name) if len(others) == 1 else cell


def run_names_on_backups(run: OpenDirectory, output_root: Path, output: Path) -> tuple[str, ...]:
    """Names under which backups may have a run, each once; new copies get the first one.

    That is the name of its output directory, which stays when the run is renamed. An earlier
    version has copied a renamed run under its present name.
    """
    here = run.path.name
    return tuple(dict.fromkeys((output.name, here))) if _is_in(output, output_root) else (here,)


def places_on_backups(
    run: OpenDirectory, output_root: Path, output: Path, cell: CellId, results: CellId
) -> tuple[CopyPlace, ...]:
    """Places where backups may have a cell with these `results`, the one for new copies first."""
    names = run_names_on_backups(run, output_root, output)
    return tuple(dict.fromkeys(CopyPlace(name, each) for each in (results, cell) for name in names))


def _is_in(output: Path, output_root: Path) -> bool:
    """Whether an output directory is in the root itself, so that no other one has its name."""
    return output.parent == output_root.resolve()


def _recorded_library(cell: CellId, done: DoneRecord) -> str:
    """Library in `done`; "" if it names none, or something that is no library."""
    library, _, name = done.cell.partition("/")
    return library if name == cell.name and not naming.library_problem(library) else ""


def _is_directory(path: Path) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False
