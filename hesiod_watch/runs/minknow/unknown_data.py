"""Data in a cell that are neither counted nor processed: their format or directory is not known.

Basecallers write CRAM on request, and people and programs add directories: `dorado/`,
`fastq_pass_trimmed/`, a directory below that of a barcode. Such files must not change what is
proven about MinKNOW's own, so they are only reported, by directory.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from hesiod_watch.core.cell_contents import DATA_SUFFIXES, NAMED
from hesiod_watch.core.naming import display, natural_key
from hesiod_watch.core.text import number_of
from hesiod_watch.host.files import OpenDirectory

MOST_DIRECTORIES = 1000
"""Most unknown directories of a cell that are listed; other accounts decide how many there are."""


def format_of(name: str) -> str:
    """Format of a data file by its name, in capitals; "" for a file that is none."""
    lower = name.lower()
    if not lower.endswith(DATA_SUFFIXES):
        return ""
    ending = lower.removesuffix(".gz").rpartition(".")[2]
    return "FASTQ" if ending == "fq" else ending.upper()


@dataclass(slots=True)
class _Files:
    """Files of one format in one directory."""

    first: str  # path relative to the cell
    number: int = 0


@dataclass(slots=True)
class UnknownData:
    """Collector of the files that look like data, and of the directories that may have some.

    All paths are relative to the cell.
    """

    directories: list[str] = field(default_factory=list)  # still to be listed
    _files: dict[tuple[str, str], _Files] = field(default_factory=dict)
    _unlisted: list[str] = field(default_factory=list)

    def entry(self, directory: str, entry: os.DirEntry[str]) -> None:
        """Add an entry of a directory ("": of the cell itself): a directory, or a file of data.

        Hidden names and links are left out.
        """
        path = f"{directory}/{entry.name}" if directory else entry.name
        if entry.name[0] == ".":
            return
        if entry.is_dir(follow_symlinks=False):
            self.directories.append(path)
        elif (kind := format_of(entry.name)) and entry.is_file(follow_symlinks=False):
            found = self._files.setdefault((directory, kind), _Files(path))
            found.first = min(found.first, path)
            found.number += 1

    def list_directories(self, cell_dir: OpenDirectory) -> None:
        """List all unknown directories, and those in them. Never raises."""
        for _ in range(MOST_DIRECTORIES):
            if not self.directories:
                return
            path = self.directories.pop()
            try:
                with cell_dir.open(*path.split("/")) as opened:
                    for entry in opened.entries():
                        self.entry(path, entry)
            except FileNotFoundError:
                continue
            except OSError as error:
                self._unlisted.append(f"{display(path)}, which cannot be read: {error.strerror}")
        if self.directories:
            self._unlisted.append("directories beyond the first thousand")

    def result(self) -> tuple[str, ...]:
        """Say what was found, in natural order: at most `NAMED` items, and how many more."""
        found = sorted(self._files.items(), key=lambda item: natural_key(item[1].first))
        items = [
            display(files.first)
            if files.number == 1
            else f"{number_of(files.number, f'{kind} file')} in {display(directory) or 'the cell'}"
            for (directory, kind), files in found
        ]
        items += self._unlisted
        more = len(items) - NAMED
        if more > 0:
            return (*items[:NAMED], f"{number_of(more, 'more directory', 'more directories')}")
        return tuple(items)
