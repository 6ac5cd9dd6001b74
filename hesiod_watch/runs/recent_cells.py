"""Numbers of the cells that were finished last, which the page of a new run is compared with.

`.hesiod-watch/recent-cells/` of the output area has a directory for each kind of cell (kit,
instrument and type of flow cell), and in it one small file for each cell. Only the newest KEPT
files stay. So a comparison reads at most KEPT small files, however long the history is, and any
number of processes may add cells at the same time. The directory may be deleted: it is made again
by the cells that are finished after that.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.records import record_in
from hesiod_watch.host.files import OpenDirectory, read_head, replace_whole
from hesiod_watch.runs.state_files import state_directory

RECENT = "recent-cells"
KEPT = 21
"""Number of cells of one kind that are kept: twenty, and the one that is compared with them."""
LARGEST = 1 << 16
"""Most bytes of a file that are read."""

_NAME = re.compile(r"[0-9]{14}-[0-9a-f]{16}\.json")


@frozen
class RecentCell:
    """A finished cell with the numbers that other cells are compared with."""

    cell: str  # run, library and cell
    made_at: str  # when its qc.json was made: ISO 8601, UTC
    figures: Mapping[str, float | None]

    @property
    def file_name(self) -> str:
        digits = re.sub(r"[^0-9]", "", self.made_at)[:14]
        return f"{digits}-{_digest(self.cell)[:16]}.json"


def remember_cell(output: Path, kind: tuple[str, ...], cell: RecentCell) -> None:
    """Add a finished cell, and remove the oldest ones beyond KEPT.

    An earlier result of the same cell is replaced. Safe to repeat. Nothing is written where the
    output area has no `.hesiod-watch/`. Raises OSError.
    """
    if not _NAME.fullmatch(cell.file_name):
        return
    with suppress(FileNotFoundError), _opened(output, kind, make=True) as place:
        names = _names(place)
        own = [name for name in names if name[15:] == cell.file_name[15:]]
        newest = sorted({*names, cell.file_name}.difference(own) | {cell.file_name})[-KEPT:]
        if cell.file_name not in names and cell.file_name in newest:
            record = {"cell": cell.cell, "made_at": cell.made_at, "figures": dict(cell.figures)}
            body = json.dumps(record).encode("ascii") + b"\n"
            replace_whole(place.descriptor, cell.file_name, body, durable=False)
        for name in set(names).difference(newest):
            with suppress(FileNotFoundError):  # another process was first
                os.unlink(name, dir_fd=place.descriptor)


def recent_cells(output: Path, kind: tuple[str, ...]) -> list[RecentCell]:
    """List the kept cells of a kind, newest first. Never raises."""
    found = []
    with suppress(OSError), _opened(output, kind) as place:
        for name in sorted(_names(place), reverse=True)[:KEPT]:
            with suppress(OSError):
                record = record_in(read_head(name, LARGEST, place.descriptor))
                figures = record.get("figures")
                if isinstance(figures, dict):
                    cell, made_at = str(record.get("cell")), str(record.get("made_at"))
                    found.append(RecentCell(cell, made_at, figures))
    return found


def _opened(output: Path, kind: tuple[str, ...], *, make: bool = False) -> OpenDirectory:
    state = state_directory(output)
    return OpenDirectory(state / RECENT / _digest("\n".join(kind))[:32], state, make=make)


def _names(place: OpenDirectory) -> list[str]:
    return [name for name in os.listdir(place.descriptor) if _NAME.fullmatch(name)]


def _digest(text: str) -> str:
    """Digest of names that MinKNOW or its user chose, which may contain anything."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
