"""Directories of a run: its libraries and cells, and whatever is in their place.

No link is followed. Names of cells in the wrong place are looked for only below a library that has
no cell, and only in a limited number of directories.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from enum import Enum

from hesiod_watch.core import naming
from hesiod_watch.core.model import QuarantinedName
from hesiod_watch.host.files import OpenDirectory
from hesiod_watch.rules.run_layout import LINK, RunContents, may_be_library, may_link_to_directory
from hesiod_watch.runs import minknow


def find_cells(run: OpenDirectory) -> RunContents:
    """Cells of a run, and its other names. Raises OSError if the run itself cannot be listed."""
    found = RunContents()
    for library, kind in _entries(run):
        if not may_be_library(library) or kind is _Entry.OTHER:
            continue
        if why := naming.library_problem(library):
            if kind is _Entry.DIRECTORY:
                found.quarantined.append(QuarantinedName(naming.display(library), why))
            continue
        if kind is _Entry.LINK:
            if may_link_to_directory(library):
                found.quarantined.append(QuarantinedName(library, LINK, "link"))
            continue
        try:
            inside = _entries(run.open(library))
        except OSError as error:
            why = f"{library} cannot be read: {error.strerror}"
            found.quarantined.append(QuarantinedName(library, why, "unreadable"))
            continue
        names = [name for name, kind in inside if kind is _Entry.DIRECTORY]
        cells = sum(found.add(library, name) for name in names)
        for name, kind in inside:
            if kind is not _Entry.DIRECTORY:
                found.add_other(library, name, is_link=kind is _Entry.LINK)
        if minknow.may_be_pooled(library, [name for name, _ in inside], cells):
            pooled = minknow.find_pooled(run.open(library), library)
            if pooled.cells or not cells:
                found.add_pooled(library, pooled.cells)
                found.quarantined += pooled.problems
                cells += len(pooled.cells) + len(pooled.problems)
        if not cells:
            found.quarantined += minknow.find_misplaced(run, library, names)
    found.quarantine_twins()
    return found


class _Entry(Enum):
    """Type of an entry of a directory."""

    DIRECTORY = "directory"
    LINK = "link"
    OTHER = "other"


def _entries(parent: OpenDirectory) -> list[tuple[str, _Entry]]:
    """Names in a directory, without hidden ones, and what each is."""
    with os.scandir(parent.descriptor) as entries:
        return [
            (
                entry.name,
                _Entry.DIRECTORY
                if entry.is_dir(follow_symlinks=False)
                else _Entry.LINK
                if entry.is_symlink()
                else _Entry.OTHER,
            )
            for entry in entries
            if not entry.name.startswith(".")
        ]


def is_link(run: OpenDirectory) -> bool:
    """Whether a symbolic link is in the place of a run."""
    with suppress(OSError):
        return stat.S_ISLNK(run.status().st_mode)
    return False
