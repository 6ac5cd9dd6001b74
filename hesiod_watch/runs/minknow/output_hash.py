"""MinKNOW's list of checksums, `output_hash_*.csv`: the names and SHA-256 of files of a cell.

Its columns are `file_hash` (SHA-256) and `file_path`, relative to the folder of the run on the
sequencer.
MinKNOW chooses the names in it, so hesiod-watch does not control them. An invalid row, or one that
names a file outside the cell, is skipped.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from itertools import pairwise

from hesiod_watch.core.cell_contents import NAMED, DataKind, ListedFiles, NamedFiles
from hesiod_watch.core.minknow_checksums import twin_of
from hesiod_watch.core.model import CellId
from hesiod_watch.core.naming import display, looks_like_cell
from hesiod_watch.host.files import OpenDirectory, read_head
from hesiod_watch.runs.minknow.layout import kind_of

LARGEST_FILE = 256 << 20
"""Largest output_hash file that is used, in bytes."""
_OUTPUT_HASH = re.compile(r"output_hash_.*\.csv", re.DOTALL)
_SHA256 = re.compile(r"[0-9A-Fa-f]{64}")


def is_output_hash(name: str) -> bool:
    """Whether MinKNOW gives this name to a file of checksums."""
    return _OUTPUT_HASH.fullmatch(name) is not None


def parse_output_hash(
    text: str, cell: CellId, names: set[str], skip: Callable[[str], None] = lambda path: None
) -> dict[str, frozenset[str]]:
    """SHA-256 by name relative to the cell; `skip` is called with the path of each other row.

    Paths may begin with the run, the library and the cell, or not. Raises csv.Error.
    """
    found: dict[str, frozenset[str]] = {}
    for row in csv.DictReader(io.StringIO(text, newline="")):
        path, digest = row.get("file_path") or "", (row.get("file_hash") or "").lower()
        relative = path if path in names else _relative(path, cell)
        # A row with too few columns is truncated; one with too many is split at the wrong places.
        # In both, the path may be wrong too.
        if None in row or None in row.values() or not relative or not _SHA256.fullmatch(digest):
            skip(path)
        elif cell.pooled and not cell.pooled.owns(relative.rpartition("/")[2]):
            continue  # a file of another acquisition of the protocol run
        else:
            found[relative] = found.get(relative, frozenset()) | {digest}
    return found


def _relative(path: str, cell: CellId) -> str:
    """Convert a path of MinKNOW to one relative to the cell; "" for a path outside the cell."""
    parts = path.replace("\\", "/").split("/")
    directory = cell.parts[-1]
    if "\0" in path or ".." in parts or parts[-1] in ("", directory):
        return ""
    begins = (
        number
        for number, (part, inner) in enumerate(pairwise(parts), 1)
        if part == directory != inner  # a library may have the name of its run
    )
    if begin := next(begins, 0):
        parts = parts[begin:]
    elif (
        not parts[0] or parts[0].endswith(":") or any(looks_like_cell(part) for part in parts[:-1])
    ):
        return ""  # an absolute path, or a path through another cell
    return "/".join(part for part in parts if part not in ("", "."))


def read_listed_names(
    cell_dir: OpenDirectory, files: Iterable[str], kinds: Collection[DataKind]
) -> ListedNames:
    """Names of these kinds in these output_hash files. Raises nothing."""
    names: set[str] = set()
    library, place = cell_dir.path.parent.name, cell_dir.path.name
    cell = CellId(place, cell_dir.owner.name) if cell_dir.owner else CellId(library, place)
    for name in files:
        try:
            text = read_head(name, LARGEST_FILE + 1, cell_dir.descriptor).decode(
                "utf-8-sig", "surrogateescape"
            )
            names.update(parse_output_hash(text, cell, set()))
        except (OSError, csv.Error):
            continue  # the comparison with the checksums reports it
    return ListedNames(names, kinds)


class ListedNames:
    """Names that MinKNOW lists, compared with the names of the files here."""

    def __init__(self, names: Iterable[str], kinds: Collection[DataKind]) -> None:
        self._left: dict[DataKind, set[str]] = {}
        self._unnamed: Counter[DataKind] = Counter()
        for name in names:
            kind = kind_of(name)
            if kind is not None and kind in kinds:
                self._left.setdefault(kind, set()).add(name)
        self._counts = {kind: len(left) for kind, left in self._left.items()}

    def see(self, kind: DataKind, name: str) -> None:
        """Take note of a file; its compressed or unpacked form counts as the file."""
        left = self._left.get(kind, set())
        known = name if name in left else twin_of(name)
        if known in left:
            left.remove(known)
        else:
            self._unnamed[kind] += 1

    def result(self) -> dict[DataKind, ListedFiles]:
        return {
            kind: ListedFiles(
                count,
                NamedFiles(
                    len(self._left[kind]), tuple(map(display, sorted(self._left[kind])[:NAMED]))
                ),
                self._unnamed[kind],
            )
            for kind, count in self._counts.items()
        }
