"""Misplaced data: pooled data, cells at a wrong level, and data without a cell.

Data pooling is a MinKNOW setting that puts data into `{run}/{sample}/`, without a cell. Several
flow cells may then share that directory. hesiod-watch does not process such data and does not
guess: it reports what the directory contains, and where a cell is that it does not find.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress

from hesiod_watch.core.cell_contents import DataKind
from hesiod_watch.core.model import QuarantinedName
from hesiod_watch.core.naming import display, is_final_summary, parse_cell
from hesiod_watch.core.text import number_of
from hesiod_watch.host.files import OpenDirectory
from hesiod_watch.rules.completeness import announced
from hesiod_watch.runs.minknow.contents import read_summaries
from hesiod_watch.runs.minknow.file_numbers import acquisition_in
from hesiod_watch.runs.minknow.layout import (
    ALL_KINDS,
    data_directories,
    data_entries,
    is_data_directory_name,
)

DEEPEST = 2
"""Levels below the level of cells in which cells are looked for."""
MOST_DIRECTORIES = 100
"""Directories that are listed to find them."""


def find_misplaced(
    run: OpenDirectory, library: str, names: Sequence[str]
) -> Iterator[QuarantinedName]:
    """Yield what is in the place of a library and has data at a level where no cells are.

    `names` are the directories in it, none of which is a cell. Lists each directory once, and reads
    more only if it contains such data. Never raises.
    """
    name, library_dir = display(library), run.open(library)
    belongs = "cells belong at RUN/LIBRARY/CELL"
    try:
        if _is_data_directory(run, library):
            why = f"{name} is in the run itself, without library and cell directories"
            yield QuarantinedName(library, f"{why}; {belongs}", "wrong-level")
        elif parse_cell(library):
            why = f"{name} is a cell's directory without a library above it; {belongs}"
            yield QuarantinedName(library, why, "wrong-level")
        elif _holds_data(library_dir):
            yield QuarantinedName(library, _pooled(name, library_dir), "pooled")
        elif deep := _find_deep_cell(library_dir, names):
            why = f"{display(f'{library}/{deep}')} is a cell's directory too deep in the run"
            yield QuarantinedName(library, f"{why}; {belongs}", "wrong-level")
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


def _pooled(name: str, library_dir: OpenDirectory) -> str:
    acquisitions = _acquisitions(library_dir)
    where = f"{name} holds data without a cell directory (MinKNOW data pooling)"
    if acquisitions:
        where += f": {number_of(len(acquisitions), 'acquisition')}, {', '.join(acquisitions)}"
    return f"{where}; hesiod-watch does not process pooled data"


def _is_data_directory(run: OpenDirectory, name: str) -> bool:
    """Whether this is a data directory one or two levels too high, and not a library.

    An empty one may be either; it counts as a library.
    """
    if not is_data_directory_name(name):
        return False
    beside = data_directories(run, ALL_KINDS, [])
    return any(any(data_entries(one, [])) for one in beside if one.name == name)


def _holds_data(directory: OpenDirectory) -> bool:
    with os.scandir(directory.descriptor) as entries:
        return any(
            is_final_summary(entry.name)
            or (is_data_directory_name(entry.name) and entry.is_dir(follow_symlinks=False))
            for entry in entries
        )


def _acquisitions(directory: OpenDirectory) -> list[str]:
    """One text per acquisition: its short id, and for each kind the files counted and announced."""
    found: dict[str, Counter[DataKind]] = {}
    for data in data_directories(directory, ALL_KINDS, []):
        for _, file in data_entries(data, []):
            found.setdefault(acquisition_in(file.name)[:8], Counter())[data.kind] += 1
    summaries = {}
    for each in read_summaries(directory):
        if each.acquisition and not each.problem:
            summaries[each.acquisition[:8]] = each
    texts = []
    for acquisition in sorted(found.keys() | summaries.keys()):
        counts = found.get(acquisition, Counter())
        summary = summaries.get(acquisition)
        expected = announced([summary]) if summary else {}
        pieces = [
            f"{counts[kind]} of {expected[kind]} {kind.upper()}"
            if kind in expected
            else f"{counts[kind]} {kind.upper()}"
            for kind in DataKind
            if counts[kind] or expected.get(kind)
        ]
        text = f"{acquisition or 'without an id'} {' and '.join(pieces) or 'no files'}"
        texts.append(text if summary else f"{text} (no final_summary)")
    return texts
