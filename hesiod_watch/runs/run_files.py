"""Files of a run that belong to no cell: sample sheets, directories with analyses.

They are in the run's directory and in those of its libraries. Whatever looks like a cell or like
data is left out at any place where those are reported, and so is everything with a hidden name.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Sequence

from hesiod_watch.core import naming, pooled
from hesiod_watch.core.model import CellId
from hesiod_watch.core.naming import display
from hesiod_watch.host.files import OpenDirectory
from hesiod_watch.rules.run_layout import may_be_library
from hesiod_watch.runs.minknow.layout import is_data_directory_name


def may_hold_run_files(parts: Sequence[str]) -> bool:
    """Whether a directory of a run, given by the names on the way to it, is entered."""
    last = parts[-1]
    if last.startswith(".") or (len(parts) <= 2 and is_data_directory_name(last)):
        return False
    if len(parts) == 1:  # the directory of a cell may be in the place of a library
        return may_be_library(last) and not naming.library_problem(last)
    return not naming.looks_like_cell(last) and pooled.parse(last) is None


def is_run_file(name: str, cells: Collection[CellId]) -> bool:
    """Whether a file, given relative to its run, belongs to no cell of a pooled directory."""
    *parts, last = name.split("/")
    if last.startswith(".") or not all(
        may_hold_run_files(parts[:length]) for length in range(1, len(parts) + 1)
    ):
        return False
    return not any(
        cell.pooled.owns(last) for cell in cells if cell.pooled and cell.library in parts[:1]
    )


def run_files(
    run: OpenDirectory, cells: Collection[CellId], on_problem: Callable[[str], None]
) -> Iterator[str]:
    """Names of these regular files, relative to the run. `on_problem` gets what is left out."""
    pending: list[tuple[str, ...]] = [()]
    while pending:
        parts = pending.pop()
        try:
            with run.open(*parts) as opened, os.scandir(opened.descriptor) as listed:
                entries = sorted(
                    (entry.name, entry.is_dir(follow_symlinks=False), entry.is_symlink())
                    for entry in listed
                )
        except OSError as error:
            on_problem(f"{display('/'.join(parts))} cannot be read: {error.strerror}")
            continue
        for name, is_directory, is_link in entries:
            path = (*parts, name)
            if is_directory:
                if may_hold_run_files(path):
                    pending.append(path)
            elif is_link:
                if parts and not name.startswith("."):
                    on_problem(f"{display('/'.join(path))} is a link, which is not copied")
            elif is_run_file("/".join(path), cells):
                yield "/".join(path)
