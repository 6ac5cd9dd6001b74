"""Index of cells by identity: a second copy of a cell is found before it is processed.

A cell is identified by the ids in its final_summary: of its acquisitions, or of its protocol run.
Without them, its flow cell and the eight hex digits in its name count, if both copies have a data
file of one name and size.

The index has one small file for each identity in `{output}/.hesiod-watch/cells/`, which names the
place of the cell. A look-up reads a few of them, however many runs there are. The index may be
deleted: it is then made again from the names of the results. A place counts only as long as the
cell, or its flag `done`, is there. So a run or library that was renamed takes its identity along.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hesiod_watch.core import naming
from hesiod_watch.core.cell_contents import FinalSummary
from hesiod_watch.core.errors import PermanentError
from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.model import CellId, CellName
from hesiod_watch.core.records import record_in, texts_in
from hesiod_watch.host.files import (
    TEMPORARY,
    OpenDirectory,
    directory,
    open_directory,
    replace_whole,
)
from hesiod_watch.runs import flags, minknow
from hesiod_watch.runs.flags.flag_files import publish, read
from hesiod_watch.runs.flags.output_owner import BACK_LINK
from hesiod_watch.runs.state_files import MARKER_DIRECTORY

INDEX = "cells"
MANIFEST = "manifest.json"


@frozen
class CellPlace:
    """Place of a cell in the landing area, and the acquisitions that it consists of."""

    run_dir: Path
    cell: CellId
    acquisitions: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{naming.display(self.run_dir.name)} {naming.display(str(self.cell))}"

    @property
    def directory(self) -> Path:
        return self.run_dir / self.cell.place

    def found(self, landing: Path | None) -> str:
        """The place in words, if the cell is there or was processed there; "" if it is aborted."""
        try:
            listing = flags.read_flags(flags.Pipeline(OpenDirectory(self.run_dir, landing)))
        except (OSError, ValueError, PermanentError):
            return ""
        stem = self.cell.stem
        if listing.has(flags.aborted(stem)):
            return ""
        if not (listing.has(flags.done(stem)) or self.directory.is_dir()):
            return ""
        removed = listing.raw_removed(stem)
        return f"{self} (its raw data were removed on purpose)" if removed else str(self)


def find_second_copy(
    output_root: Path,
    landing: Path,
    run_dir: Path,
    cell: CellId,
    summaries: Iterable[FinalSummary],
    files: Collection[tuple[str, int]],
) -> str:
    """Return why this cell is a second copy of another one; "" if it is the only one.

    `files`: names, relative to the cell, and sizes of its FASTQ. A cell that is no second copy is
    added to the index. Raises OSError if the index cannot be used.
    """
    summaries = list(summaries)
    acquisitions = _values(summaries, "acquisition_run_id")
    ours = CellPlace(run_dir, cell, acquisitions)
    by_id = {f"acquisition {each}": "acquisition" for each in acquisitions}
    by_id |= {f"protocol {each}": "protocol run" for each in _values(summaries, "protocol_run_id")}
    parsed = naming.parse_cell(cell.name)
    suffix = parsed.suffix if parsed else ""
    keys = {f"{key} {suffix}": what for key, what in by_id.items()}
    if parsed:
        keys[_name_key(parsed)] = ""
    with _opened_index(output_root) as index:
        for key, what in keys.items():
            while (other := _read(index, key)) is None:
                if _write(index, key, ours):
                    break
            if other is None or other == ours:
                continue
            if other.directory != ours.directory and (found := other.found(landing)):
                if set(acquisitions).isdisjoint(other.acquisitions) and all(
                    (acquisitions, other.acquisitions)
                ):
                    continue  # another acquisition, whatever the names are
                if what:
                    return f"{found} is of the same {what}"
                if _shares_file(other, landing, files):
                    return f"{found} has the same flow cell, short id and files"
                continue
            _write(index, key, ours, replace=True)
    return ""


def find_listed_copy(
    output_root: Path, run_dir: Path, cell: CellId, *, register: bool = False
) -> str:
    """Return which cell an upstream's cell is a second copy of; "" if it is the only one.

    The listing of an upstream has names only, so flow cell and short id are the identity. They are
    parts of the protocol run id and of its place. With `register`, the only one is added to the
    index. Raises OSError if the index cannot be used.
    """
    parsed = naming.parse_cell(cell.name)
    if parsed is None:
        return ""
    key, ours = _name_key(parsed), CellPlace(run_dir, cell)
    place = output_root / MARKER_DIRECTORY / INDEX
    with _opened_index(output_root) if register else directory(place) as index:
        other = _read(index, key)
        if other and (other.run_dir, other.cell.stem) == (run_dir, cell.stem):
            return ""
        if other and (found := other.found(None)):
            return f"{found} has the same flow cell and short id"
        if register:
            _write(index, key, ours, replace=other is not None)
    return ""


def _values(summaries: Iterable[FinalSummary], key: str) -> tuple[str, ...]:
    return tuple(sorted({value for each in summaries if (value := each.values.get(key, ""))}))


def _shares_file(other: CellPlace, landing: Path, files: Collection[tuple[str, int]]) -> bool:
    """Whether another cell has a FASTQ of the same name and size; True if it has no data left."""
    found: set[tuple[str, int]] = set()
    if other.directory.is_dir():
        cell_dir = OpenDirectory(other.run_dir, landing).open_cell(other.cell)
        with suppress(OSError):
            minknow.read_contents(
                cell_dir, lambda file: found.add((file.entry.name, file.entry.size))
            )
    return not found or bool(found & set(files))


@contextmanager
def _opened_index(output_root: Path) -> Iterator[int]:
    """Open the directory of the index; it is made and filled if it is missing. Raises OSError."""
    place = output_root / MARKER_DIRECTORY / INDEX
    try:
        index = open_directory(place)
    except FileNotFoundError:
        _make_index(output_root)
        index = open_directory(place)
    try:
        yield index
    finally:
        os.close(index)


def _make_index(output_root: Path) -> None:
    place = output_root / MARKER_DIRECTORY
    with directory(place) as parent:
        hidden = TEMPORARY + os.urandom(16).hex()
        os.mkdir(hidden, dir_fd=parent)
        with directory(hidden, parent) as index:
            for key, found in _known_results(output_root):
                _write(index, key, found)
        with suppress(OSError):  # another process was first
            os.rename(hidden, INDEX, src_dir_fd=parent, dst_dir_fd=parent)
        shutil.rmtree(place / hidden, ignore_errors=True)


def _known_results(output_root: Path) -> Iterator[tuple[str, CellPlace]]:
    """Cells with results, by the key of their names: those that earlier versions processed."""
    for output in sorted(output_root.iterdir()):
        try:
            run_dir = Path(os.path.normpath(output / (output / BACK_LINK).readlink()))
        except OSError:
            continue
        for place in sorted(output.glob("*/*")):
            parsed = naming.parse_cell(place.name)
            if parsed and (place / MANIFEST).is_file():
                key = _name_key(parsed)
                yield key, CellPlace(run_dir, CellId(place.parent.name, place.name))


def _name_key(name: CellName) -> str:
    return f"name {name.flow_cell_id} {name.short_id} {name.suffix}"


def _file_of(key: str) -> str:
    """File name of a key: ids come from files of MinKNOW, and may contain anything."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _read(index: int, key: str) -> CellPlace | None:
    try:
        record = record_in(read(index, _file_of(key)).text)
        run, library, name = (str(record[part]) for part in ("run", "library", "cell"))
    except (FileNotFoundError, KeyError):
        return None
    return CellPlace(Path(run), CellId(library, name), texts_in(record.get("acquisitions")))


def _write(index: int, key: str, place: CellPlace, *, replace: bool = False) -> bool:
    """Add an entry; False if another process was first. Raises OSError."""
    record = {
        "run": str(place.run_dir),
        "library": place.cell.library,
        "cell": place.cell.name,
        "acquisitions": list(place.acquisitions),
    }
    body = json.dumps(record).encode("ascii") + b"\n"
    if replace:
        replace_whole(index, _file_of(key), body, durable=False)
        return True
    return publish(index, _file_of(key), body) is None
