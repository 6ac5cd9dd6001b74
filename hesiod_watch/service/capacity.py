"""How full the disks are, how fast they fill, and when they will be full: for people, who buy disks
months ahead.

*Growing by* is what the cells that were finished in the last WINDOW days brought, divided by these
days: for results the sizes of their files; for raw data what raw.json says, or where there is none
the sizes of the FASTQ that manifest.json lists; for a backup what its copy records say. It knows
nothing of what other programs write.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from hesiod_watch.config import Config
from hesiod_watch.core.model import Cell, Snapshot
from hesiod_watch.core.records import MOST, loads, whole_number
from hesiod_watch.core.text import number_of
from hesiod_watch.remote.backup.questions import MARKER
from hesiod_watch.rules.copies import copies_in

WINDOW = 14
"""Days that are looked back."""
DAY = 86400.0
SMALLEST_SHARE = 0.05
"""Of free space, below which somebody should look."""
HEAD = 4096
LARGEST = 16 << 20
"""Bytes of a manifest that are read for this."""
_BYTES = re.compile(rb'"bytes": ([0-9]+)')
SOON = 7.0
"""Days until a disk is full, below which somebody should look."""


@dataclass(frozen=True, slots=True)
class DiskSpace:
    """One file system that fills. Sizes are in bytes."""

    where: str  # landing, output, or a backup's name
    path: str
    free: int
    total: int
    per_day: float | None  # None: nothing was finished lately, so nothing is known

    @property
    def full_in(self) -> float | None:
        """Days until it is full if it goes on like this; None where it does not grow."""
        return self.free / self.per_day if self.per_day else None

    @property
    def ok(self) -> bool:
        soon = self.full_in is not None and self.full_in < SOON
        return not soon and (self.total == 0 or self.free / self.total > SMALLEST_SHARE)

    def __str__(self) -> str:
        said = f"{self.where} {self.path}: {_gigabytes(self.free)} free of {_gigabytes(self.total)}"
        if self.per_day is None or self.full_in is None:
            return f"{said}, no cell finished in the last {WINDOW} days"
        return f"{said}, growing by {_gigabytes(self.per_day)} a day, full {_days(self.full_in)}"


def spaces(config: Config, snapshots: Iterable[Snapshot], now: float) -> list[DiskSpace]:
    """The disks of landing, output and each mounted backup, as far as they can be looked at. `now`:
    seconds, epoch.

    A backup whose marker is not there is left out: what is in its place is another disk.
    """
    brought: dict[str, int] = {}
    for snapshot in snapshots:
        for cell in snapshot.cells:
            for where, size in _brought(snapshot, cell, now - WINDOW * DAY).items():
                brought[where] = brought.get(where, 0) + size
    places = [("landing", config.landing), ("output", config.output)]
    for backup in config.backups:
        if not backup.place.over_ssh and os.path.lexists(Path(backup.place.path) / MARKER):
            places.append((backup.name, Path(backup.place.path)))
    found = []
    for where, path in places:
        try:
            status = os.statvfs(path)
        except OSError:
            continue
        per_day = brought[where] / WINDOW if brought.get(where) else None
        free, total = status.f_bavail * status.f_frsize, status.f_blocks * status.f_frsize
        found.append(DiskSpace(where, str(path), free, total, per_day))
    return found


def _brought(snapshot: Snapshot, cell: Cell, since: float) -> Mapping[str, int]:
    """Bytes that a cell has brought to each place since a time; nothing for one that was finished
    before.
    """
    brought: dict[str, int] = {}
    done = cell.flags.done
    if done and done.mtime >= since and snapshot.output:
        place = snapshot.output / cell.id.library / cell.id.name
        brought["output"] = _size_of_files(place)
        brought["landing"] = _raw_bytes(place)
    for copy in copies_in(cell.backup.record) if cell.backup else ():
        if copy.verified and copy.verified.timestamp() >= since:
            brought[copy.backup] = copy.bytes
    return brought


def _size_of_files(place: Path) -> int:
    total = 0
    try:
        with os.scandir(place) as entries:
            for entry in entries:
                if entry.is_file(follow_symlinks=False):
                    total += entry.stat(follow_symlinks=False).st_size
    except OSError:
        pass  # it is for people, and the next look may see it
    return total


def _raw_bytes(place: Path) -> int:
    """Bytes of a cell's raw data. The sum stands at the beginning of raw.json, which may list a
    million files.
    """
    try:
        with (place / "raw.json").open("rb") as file:
            found = _BYTES.search(file.read(HEAD).partition(b'"files"')[0])
        size = int(found[1]) if found else 0
        return size if size < MOST else 0
    except OSError:
        pass
    try:
        with (place / "manifest.json").open("rb") as file:
            document = loads(file.read(LARGEST))
        return sum(whole_number(entry["bytes"]) or 0 for entry in document["sources"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0  # also one that is too large to be read for this


def _gigabytes(size: float) -> str:
    return f"{size / 1e12:.1f} TB" if size >= 1e12 else f"{size / 1e9:.1f} GB"


def _days(days: float) -> str:
    if days < 730:
        return f"in about {number_of(round(days), 'day')}"
    return f"in about {days / 365:.0f} years" if days < 3650 else "not within ten years"
