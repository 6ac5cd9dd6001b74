"""Data pooling: a MinKNOW setting that puts data into `{run}/{sample}/`, without a cell.

Several flow cells may then share that directory. hesiod-watch does not process such data and does
not guess: it reports what the directory contains.
"""

from __future__ import annotations

import os
from collections import Counter

from hesiod_watch.core.cell_contents import DataKind
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

_NOT_PROCESSED = "hesiod-watch does not process"


def pooled(run: OpenDirectory, library: str) -> str:
    """Sentence about a library directory with data outside a cell directory; "" if none.

    Lists the directory once, and reads more only if it contains such data. Never raises.
    """
    name, library_dir = display(library), run.open(library)
    try:
        if _is_data_directory(run, library):
            where = f"{name} is in the run itself, without library and cell directories"
            return f"{where}; {_NOT_PROCESSED} such data"
        if not _holds_data(library_dir):
            return ""
        if parse_cell(library):
            where = f"{name} is a cell's directory without a library above it"
            return f"{where}; {_NOT_PROCESSED} such data"
        acquisitions = _acquisitions(library_dir)
    except OSError as error:
        return f"{name} cannot be read: {error.strerror}"
    where = f"{name} holds data without a cell directory (MinKNOW data pooling)"
    if acquisitions:
        where += f": {number_of(len(acquisitions), 'acquisition')}, {', '.join(acquisitions)}"
    return f"{where}; {_NOT_PROCESSED} pooled data"


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
