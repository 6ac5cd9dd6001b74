"""Formats of Hesiod's scripts: the status block of a run and the listing of an upstream.

The formats are those of `run_status.py` and `list_remote_cells.sh` of EdinburghGenomics/hesiod 3.4.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hesiod_watch.core import naming
from hesiod_watch.core.errors import UsageError
from hesiod_watch.core.model import CellId, ListedRun, Snapshot, Stage
from hesiod_watch.core.times import time_at
from hesiod_watch.rules.stages import at, status_of

PENDING = (Stage.NEW, Stage.PENDING, Stage.INCOMPLETE)


Listing = dict[str, ListedRun]
"""Runs of a listing, by name."""


def read_listing(lines: Iterable[str]) -> Listing:
    """Parse `run TAB location TAB library/cell` lines.

    A cell whose name is outside the grammar is left out: no command could use it. Raises UsageError
    with the number of a line of another form.
    """
    places: dict[str, str] = {}
    cells: dict[str, set[CellId]] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        parts = line.rstrip("\n").split("\t")
        library, _, name = parts[2].partition("/") if len(parts) == 3 else ("", "", "")
        if not library or not name:
            raise UsageError(
                f"standard input, line {number}: not RUN TAB LOCATION TAB LIBRARY/CELL:"
                f" {line.strip()!r}"
            )
        places.setdefault(parts[0], parts[1])
        if naming.parse_cell(name) and not naming.library_problem(library):
            cells.setdefault(parts[0], set()).add(CellId(library, name))
    return {run: ListedRun(place, frozenset(cells.get(run, ()))) for run, place in places.items()}


def describe(snapshot: Snapshot, location: str | None, run_type: str) -> str:
    """Lines about one run, without the separator of runs. Lists are separated by tabs."""
    status, _ = status_of(snapshot)
    lines = (
        ("Experiment", snapshot.run.split(".")[0]),
        ("Instrument", _instrument(snapshot.run)),
        ("Type", run_type),
        ("Upstream", location or snapshot.upstream or "LOCAL"),
        ("Cells", _cells(snapshot, tuple(Stage))),
        ("CellsPending", _cells(snapshot, PENDING)),
        ("CellsReady", _cells(snapshot, (Stage.READY,))),
        ("CellsDone", _cells(snapshot, (Stage.PROCESSED,))),
        ("CellsAborted", _cells(snapshot, (Stage.ABORTED,))),
        ("StartTime", _start_time(snapshot)),
        ("PipelineStatus", str(status)),
    )
    return "\n".join(f"{key}: {_one_line(value)}" for key, value in lines)


def _instrument(run: str) -> str:
    parts = run.split(".")[0].split("_")
    return parts[1] if len(parts) > 1 else "unknown"


def _cells(snapshot: Snapshot, stages: Sequence[Stage]) -> str:
    return "\t".join(str(cell.id) for cell in at(snapshot, *stages))


def _start_time(snapshot: Snapshot) -> str:
    """Oldest mtime in any cell, as ctime(3) writes it; Hesiod's overview sorts by it."""
    times = []
    for cell in snapshot.cells:
        directory = snapshot.path / cell.id.place
        try:
            times += [entry.lstat().st_mtime for entry in directory.iterdir()]
        except OSError:
            continue
    # Hesiod's scripts parse local time.
    began = time_at(min(times, default=0.0))
    return began.astimezone().replace(tzinfo=None).ctime() if began else "unknown"


def _one_line(text: str) -> str:
    """Escape control characters, so that a name makes no new line or column. Tabs stay."""
    return "\t".join(naming.display(part) for part in text.split("\t"))
