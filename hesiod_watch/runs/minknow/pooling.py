"""Pooled data, cells at a wrong level, and data without a cell.

Data pooling is a MinKNOW setting that puts data into `{run}/{sample}/`, without a cell. Several
flow cells may then share that directory. A copy that lacks the level of the library looks the same.
Each acquisition there is a cell (`core.pooled`). Files that name no acquisition are reported.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import field

from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.model import QuarantinedName
from hesiod_watch.core.naming import display, is_final_summary, parse_cell
from hesiod_watch.core.pooled import PooledCell, acquisition_in
from hesiod_watch.core.text import number_of
from hesiod_watch.host.files import OpenDirectory
from hesiod_watch.rules.run_layout import BELONGS, DEEPEST, in_run_itself, too_deep
from hesiod_watch.runs.minknow.layout import (
    ALL_KINDS,
    data_directories,
    data_entries,
    is_data_directory_name,
)

MOST_DIRECTORIES = 100
"""Directories that are listed to find them."""
_NAMED = 3
"""Files that a sentence names."""


@frozen
class PooledDirectory:
    """Contents of a pooled directory: its cells, and what is not worked on."""

    cells: list[PooledCell] = field(default_factory=list)
    problems: list[QuarantinedName] = field(default_factory=list)


def may_be_pooled(library: str, names: Iterable[str], cells: int) -> bool:
    """Whether a library with `names` in it, and this number of cells, is a pooled directory.

    Beside cells with directories, data count only with a final_summary: people put copies there.
    """
    if is_data_directory_name(library):
        return False
    return any(
        is_final_summary(name) or (not cells and is_data_directory_name(name)) for name in names
    )


def find_pooled(library_dir: OpenDirectory, library: str) -> PooledDirectory:
    """Find the acquisitions of a pooled directory by the names of its files. Never raises."""
    found: dict[str, PooledCell] = {}
    nameless = []
    try:
        files = [entry.name for entry in library_dir.entries() if is_final_summary(entry.name)]
        for directory in data_directories(library_dir, ALL_KINDS, []):
            files += (entry.name for _, entry in data_entries(directory, []))
    except OSError as error:
        why = f"{display(library)} cannot be read: {error.strerror}"
        return PooledDirectory([], [QuarantinedName(library, why, "unreadable")])
    for name in files:
        if acquisition := acquisition_in(name):
            known = found.get(acquisition.acquisition)
            # Old raw data name no protocol run, and a file may lack the flow cell.
            if known is None or _ids(known) < _ids(acquisition):
                found[acquisition.acquisition] = acquisition
        else:
            nameless.append(name)
    problems = []
    if nameless:
        shown = ", ".join(display(name) for name in sorted(nameless)[:_NAMED])
        shown += ", …" if len(nameless) > _NAMED else ""
        why = (
            f"{display(library)} holds data without a cell directory (MinKNOW data pooling), and "
            f"{number_of(len(nameless), 'file')} of them name no acquisition: {shown}"
        )
        problems.append(QuarantinedName(library, why, "pooled"))
    return PooledDirectory(sorted(found.values(), key=_ids), problems)


def _ids(found: PooledCell) -> tuple[bool, bool, str]:
    return found.protocol != "", found.flow_cell_id != "", found.name


def find_misplaced(
    run: OpenDirectory, library: str, names: Sequence[str]
) -> Iterator[QuarantinedName]:
    """Yield what is in the place of a library and has data at a level where no cells are.

    `names` are the directories in it, none of which is a cell. Lists each directory once, and reads
    more only if it contains such data. Never raises.
    """
    name, library_dir = display(library), run.open(library)
    try:
        if _is_data_directory(run, library):
            yield in_run_itself(library, library)
        elif parse_cell(library) and not any(map(is_data_directory_name, names)):
            why = f"{name} is a cell's directory without a library above it; {BELONGS}"
            yield QuarantinedName(library, why, "wrong-level")
        elif deep := _find_deep_cell(library_dir, names):
            yield too_deep(library, f"{library}/{deep}")
    except OSError as error:
        yield QuarantinedName(library, f"{name} cannot be read: {error.strerror}", "unreadable")


def _find_deep_cell(library: OpenDirectory, names: Sequence[str]) -> str:
    """Path of a cell below the level of cells, relative to the library; "" if none is found."""
    pending = list(names[:MOST_DIRECTORIES])
    for path in pending:
        with suppress(OSError), library.open(*path.split("/")) as opened:
            for name in _directories(opened):
                if parse_cell(name):
                    return f"{path}/{name}"
                if path.count("/") < DEEPEST and len(pending) < MOST_DIRECTORIES:
                    pending.append(f"{path}/{name}")
    return ""


def _directories(parent: OpenDirectory) -> list[str]:
    with os.scandir(parent.descriptor) as entries:
        return [
            entry.name
            for entry in entries
            if not entry.name.startswith(".")
            and not is_data_directory_name(entry.name)
            and entry.is_dir(follow_symlinks=False)
        ]


def _is_data_directory(run: OpenDirectory, name: str) -> bool:
    """Whether this is a data directory one or two levels too high, and not a library.

    An empty one may be either; it counts as a library.
    """
    if not is_data_directory_name(name):
        return False
    beside = data_directories(run, ALL_KINDS, [])
    return any(any(data_entries(one, [])) for one in beside if one.name == name)
