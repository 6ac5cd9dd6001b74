"""Layout of runs: which directories are runs, libraries and cells, here and on an upstream.

    {run}/{library}/{cell}
    {run}/{library}/         a pooled directory: its cells have no directories (`core.pooled`)

A hidden name is never one of them. A name outside the grammar is quarantined, together with
everything below it. So are two cells of one name in a run: names of flags contain only the cell's
directory name, so such cells would share their flags.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from hesiod_watch.core import naming, pooled
from hesiod_watch.core.attention_kinds import KINDS
from hesiod_watch.core.model import CellId, QuarantinedName
from hesiod_watch.core.pooled import PooledCell

_NOT_RUNS = frozenset({"lost+found"})
_NOT_LIBRARIES = frozenset({"pipeline", "rundata"})
_FILE_SUFFIX = re.compile(r"\.[A-Za-z][A-Za-z0-9]{0,4}$")

LAYOUT = ("link", "wrong-level")
"""Kinds of quarantined names that are at a place where no run, library or cell is looked for."""
LINK = "a symbolic link; links are not followed"
_ADVISED = ("quarantined", "doubled", *LAYOUT)
"""Kinds of names whose steps help on an upstream, too."""
BELONGS = "cells belong at RUN/LIBRARY/CELL"
DEEPEST = 2
"""Levels below the level of cells in which cells are looked for."""


def too_deep(name: str, path: str) -> QuarantinedName:
    """Quarantined `name` that contains a cell's directory at `path`, too deep."""
    why = f"{naming.display(path)} is a cell's directory too deep in the run; {BELONGS}"
    return QuarantinedName(name, why, "wrong-level")


def in_run_itself(name: str, data: str) -> QuarantinedName:
    """Quarantined `name` that has `data` where libraries belong."""
    shown = naming.display(data)
    why = f"{shown} is in the run itself, without library and cell directories; {BELONGS}"
    return QuarantinedName(name, why, "wrong-level")


def may_be_run(name: str) -> bool:
    """Whether a directory among the runs is one, perhaps with a quarantined name."""
    return not name.startswith(".") and name not in _NOT_RUNS


def may_be_library(name: str) -> bool:
    """Whether a directory of a run is a library, perhaps with a quarantined name."""
    return not name.startswith(".") and name not in _NOT_LIBRARIES


def may_link_to_directory(name: str) -> bool:
    """Whether a link of this name may be meant as a directory: its name does not end like a file's.

    Where a link leads is never examined: a dead mount there would stop all other work.
    """
    return _FILE_SUFFIX.search(name) is None


def with_advice(entry: QuarantinedName, area: str) -> str:
    """Sentence about a name in the runs of `area`, with the step that helps."""
    found = KINDS[entry.kind].about(name=entry.name, area=area)
    steps = found.steps if entry.kind in _ADVISED else ()
    return "; ".join((f"{entry.name}: {entry.why}", *map(str, steps)))


@dataclass
class RunContents:
    """Cells of one run, and the names in it that are no cells although they might seem so."""

    cells: list[CellId] = field(default_factory=list)
    quarantined: list[QuarantinedName] = field(default_factory=list)
    ignored: list[QuarantinedName] = field(default_factory=list)  # left alone on purpose

    def add(self, library: str, name: str) -> bool:
        """Sort in a directory of a library; returns whether it is a cell."""
        cell, shown = naming.parse_cell(name), naming.display(f"{library}/{name}")
        if pooled.parse(name):
            why = "only cells in pooled directories, which have no directories, have such names"
            self.quarantined.append(QuarantinedName(shown, why))
            return False
        if cell is None:
            if naming.looks_like_cell(name):
                self.quarantined.append(QuarantinedName(shown, naming.cell_problem(name)))
            return False
        if naming.is_configuration_test(cell):
            self.ignored.append(QuarantinedName(shown, "a configuration test cell, not data"))
            return False
        self.cells.append(CellId(library, name))
        return True

    def add_pooled(self, library: str, found: Iterable[PooledCell]) -> None:
        """Sort in the acquisitions of a library that is a pooled directory."""
        for acquisition in found:
            cell = CellId(library, acquisition.name)
            if cell.stem.upper().startswith("CTC"):
                why = "a configuration test cell, not data"
                self.ignored.append(QuarantinedName(naming.display(str(cell)), why))
            else:
                self.cells.append(cell)

    def add_other(self, library: str, name: str, *, is_link: bool) -> None:
        """Sort in something in the place of a cell that is no directory."""
        if not naming.looks_like_cell(name) or not may_link_to_directory(name):
            return
        shown = naming.display(f"{library}/{name}")
        if is_link:
            self.quarantined.append(QuarantinedName(shown, LINK, "link"))
        else:
            why = "a file is in the place of a cell's directory"
            self.quarantined.append(QuarantinedName(shown, why, "wrong-level"))

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
