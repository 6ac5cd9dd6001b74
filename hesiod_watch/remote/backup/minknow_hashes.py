"""MinKNOW's own checksums: `output_hash_*.csv` at the top of a cell.

A recent MinKNOW writes this file if it is configured to. Its columns are `file_hash` (SHA-256) and
`file_path`, relative to the run's folder on the sequencer. Some files have no row. MinKNOW chooses
the names in it, so hesiod-watch does not control them. An invalid row, or one that names a file
outside the cell, is counted and skipped. It never makes a file differ or be absent.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping
from dataclasses import field

from hesiod_watch.core.errors import HesiodError
from hesiod_watch.core.file_entry import FileEntry, file_sizes
from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.minknow_checksums import MinknowChecksums, twin_of
from hesiod_watch.core.model import CellId
from hesiod_watch.core.naming import display
from hesiod_watch.host.files import OpenDirectory, checksums, chunks
from hesiod_watch.runs import cell_files
from hesiod_watch.runs.minknow.layout import kind_of
from hesiod_watch.runs.minknow.output_hash import LARGEST_FILE, is_output_hash, parse_output_hash


@frozen
class OutputHashes:
    """SHA-256 by name relative to the cell, and the names of the output_hash files.

    A name has several digests if several acquisitions of one cell name it. The file must have one
    of them.
    """

    files: tuple[str, ...] = ()
    sha256: Mapping[str, frozenset[str]] = field(default_factory=dict)
    rows_skipped: int = 0
    problem: str = ""

    def judge(self, found: Mapping[str, str]) -> MinknowChecksums:
        """Compare with `found`, the SHA-256 of all files of the cell by name; "": not known."""
        present = self.sha256.keys() & found.keys()
        compared = {name for name in present if found[name]}
        differing = sorted(name for name in compared if found[name] not in self.sha256[name])
        absent = sorted(self.sha256.keys() - present)
        return MinknowChecksums(
            files=self.files,
            agreeing=len(compared) - len(differing),
            differing=tuple(differing),
            absent=tuple(absent),
            repacked=tuple(name for name in absent if twin_of(name) in found),
            not_compared=len(present) - len(compared),
            unnamed=sum(
                kind_of(name) is not None and twin_of(name) not in self.sha256
                for name in found.keys() - present
            ),
            rows_skipped=self.rows_skipped,
            problem=self.problem,
        )


def read_output_hashes(
    directory: OpenDirectory, cell: CellId, names: Iterable[str]
) -> OutputHashes:
    """Read all MinKNOW checksums of a cell, below the open directory of its run. Raises nothing.

    `names` are the cell's regular files.
    """
    names = set(names)
    files = sorted(name for name in names if "/" not in name and is_output_hash(name))
    sha256: dict[str, frozenset[str]] = {}
    skipped: list[str] = []
    problem = ""
    for name in files:
        try:
            with cell_files.opened(directory, cell, name) as descriptor:
                text = b"".join(chunks(descriptor, LARGEST_FILE + 1))
            if len(text) > LARGEST_FILE:
                problem = f"{display(name)} is larger than {LARGEST_FILE} bytes and was not used"
                continue
            digests_by_name = parse_output_hash(
                text.decode("utf-8-sig", "surrogateescape"), cell, names, skipped.append
            )
        except (OSError, csv.Error) as error:
            problem = f"{display(name)} cannot be read: {error}"
            continue
        for named, digests in digests_by_name.items():
            sha256[named] = sha256.get(named, frozenset()) | digests
    return OutputHashes(tuple(files), sha256, len(skipped), problem)


def compare(
    run: OpenDirectory,
    cell: CellId,
    *,
    already_read: Iterable[FileEntry] = (),
    at_most: int | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> MinknowChecksums:
    """Compare a cell in the landing area with MinKNOW's checksums; only listed files are read.

    `already_read`: files with their SHA-256, of which an unchanged one is not read again. If the
    other files have more than `at_most` bytes, none of them is read, and only their names are
    compared.
    Raises nothing: `problem` and `not_compared` report what was not read.
    """
    files: tuple[str, ...] = ()
    try:
        directory = run.opened()
        with directory.open_cell(cell) as opened:
            names = [entry.name for entry in opened.entries()]
        files = tuple(sorted(filter(is_output_hash, names)))
        if not files:
            return MinknowChecksums()
        entries = cell_files.entries(directory, cell)
        sizes = file_sizes(entries)
        hashes = read_output_hashes(directory, cell, sizes)
        found = dict.fromkeys(sizes, "")
        for file in already_read:
            if file.name in found and entries[file.name].unchanged_since(file):
                found[file.name] = file.sha256
        wanted = sorted(name for name in hashes.sha256.keys() & sizes.keys() if not found[name])
        total, done = sum(sizes[name] for name in wanted), 0
        for name in wanted if at_most is None or total <= at_most else ():
            found[name] = sha256_of(directory, cell, name)
            done += sizes[name]
            on_progress(done, total)
        return hashes.judge(found)
    except (HesiodError, OSError) as error:
        return MinknowChecksums(
            files, problem=f"the cell cannot be compared with them: {display(str(error))}"
        )


def sha256_of(directory: OpenDirectory, cell: CellId, name: str) -> str:
    """SHA-256 of a file of a cell, read from its disk; "" if it cannot be read."""
    try:
        with cell_files.opened(directory, cell, name) as descriptor:
            return checksums(descriptor, "sha256", from_disk=True)[0]
    except OSError:
        return ""
