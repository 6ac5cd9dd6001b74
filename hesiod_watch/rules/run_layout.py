"""Layout of runs: which directories are runs, libraries and cells, here and on an upstream.

    {run}/{library}/{cell}

A hidden name is never one of them. A name outside the grammar is quarantined, together with
everything below it. So are two cells of one name in a run: names of flags contain only the cell's
directory name, so such cells would share their flags.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from hesiod_watch.core import naming
from hesiod_watch.core.model import CellId, QuarantinedName

_NOT_RUNS = frozenset({"lost+found"})
_NOT_LIBRARIES = frozenset({"pipeline", "rundata"})


def may_be_run(name: str) -> bool:
    """Whether a directory among the runs is one, perhaps with a quarantined name."""
    return not name.startswith(".") and name not in _NOT_RUNS


def may_be_library(name: str) -> bool:
    """Whether a directory of a run is a library, perhaps with a quarantined name."""
    return not name.startswith(".") and name not in _NOT_LIBRARIES


@dataclass
class RunContents:
    """Cells of one run, and the names in it that are no cells although they might seem so."""

    cells: list[CellId] = field(default_factory=list)
    quarantined: list[QuarantinedName] = field(default_factory=list)
    ignored: list[QuarantinedName] = field(default_factory=list)  # left alone on purpose

    def add(self, library: str, name: str) -> bool:
        """Sort in a directory of a library; returns whether it is a cell."""
        cell, shown = naming.parse_cell(name), naming.display(f"{library}/{name}")
        if cell is None:
            if naming.looks_like_cell(name):
                self.quarantined.append(QuarantinedName(shown, naming.cell_problem(name)))
            return False
        if naming.is_configuration_test(cell):
            self.ignored.append(QuarantinedName(shown, "a configuration test cell, not data"))
            return False
        self.cells.append(CellId(library, name))
        return True

    def quarantine_twins(self) -> None:
        """Quarantine cells of one name, when all cells of the run are known; sort the others."""
        counts = Counter(cell.stem for cell in self.cells)
        self.quarantined += [
            QuarantinedName(
                naming.display(str(cell)),
                "another library of this run has a cell of the same name; "
                "they would share their flags",
                "doubled",
            )
            for cell in self.cells
            if counts[cell.stem] > 1
        ]
        self.cells = sorted(cell for cell in self.cells if counts[cell.stem] == 1)
