"""Disk capacity: how full the disks are, how fast they fill, and when they will be full.

The numbers are for people, who buy disks months ahead.

*Growing by* is the size of the cells finished in the last WINDOW days, divided by these days. For
results it is the sizes of their files. For raw data it is the sum in raw.json, or without one the
sizes of the FASTQ in manifest.json. For a backup it is the sizes in its copy records. Data written
by other programs are not included.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from hesiod_watch.config import Config
from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.model import Cell, Snapshot
from hesiod_watch.core.records import MOST, loads, whole_number
from hesiod_watch.core.results import BackupRecord
from hesiod_watch.core.text import number_of
from hesiod_watch.remote.backup.queries import MARKER

WINDOW = 14
"""Days of the past that the growth is computed from."""
DAY = 86400.0
SMALLEST_SHARE = 0.05
"""Share of free space below which a person must act."""
HEAD = 4096
LARGEST = 16 << 20
"""Limit in bytes for reading a manifest here."""
_BYTES = re.compile(rb'"bytes": ([0-9]+)')
SOON = 7.0
"""Days until a disk is full, below which a person must act."""


@frozen
class DiskSpace:
    """One file system that fills. Sizes are in bytes."""

    where: str  # landing, output, or a backup's name
    path: str
    free: int
    total: int
    per_day: float | None  # bytes; None: no cell was finished lately, so it is unknown

    @property
    def full_in(self) -> float | None:
        """Days until the disk is full at the present growth; None if it does not grow."""
        return self.free / self.per_day if self.per_day else None

    @property
    def ok(self) -> bool:
        soon = self.full_in is not None and self.full_in < SOON
        return not soon and (self.total == 0 or self.free / self.total > SMALLEST_SHARE)

    def __str__(self) -> str:
        sentence = (
            f"{self.where} {self.path}: {_gigabytes(self.free)} free of {_gigabytes(self.total)}"
        )
        if self.per_day is None or self.full_in is None:
            return f"{sentence}, no cell finished in the last {WINDOW} days"
        return (
            f"{sentence}, growing by {_gigabytes(self.per_day)} a day, full {_days(self.full_in)}"
        )


def growth(snapshot: Snapshot, now: float) -> Mapping[str, int]:
    """Bytes that a run has added to each place in the last WINDOW days.

    `now`: seconds since the epoch.
    """
    added: Counter[str] = Counter()
    for cell in snapshot.cells:
        added.update(_bytes_added(snapshot, cell, now - WINDOW * DAY))
    return added


def spaces(config: Config, growths: Iterable[Mapping[str, int]]) -> list[DiskSpace]:
    """Disks of landing, output and each mounted backup that can be read.

    `growths`: `growth` of each run. A backup without its marker is left out: another disk is at its
    path.
    """
    added: Counter[str] = Counter()
    for each in growths:
        added.update(each)
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
        per_day = added[where] / WINDOW if added.get(where) else None
        free, total = status.f_bavail * status.f_frsize, status.f_blocks * status.f_frsize
        found.append(DiskSpace(where, str(path), free, total, per_day))
    return found


def _bytes_added(snapshot: Snapshot, cell: Cell, since: float) -> Mapping[str, int]:
    """Bytes that a cell has added to each place since a time; empty if it was finished earlier."""
    added: dict[str, int] = {}
    done = cell.flags.done
    if done and done.mtime >= since and snapshot.output:
        place = snapshot.output / cell.results_place
        added["output"] = _size_of_files(place)
        added["landing"] = _raw_bytes(place)
    for copy in BackupRecord.of(cell.backup).copies:
        if copy.verified and copy.verified.timestamp() >= since:
            added[copy.backup] = copy.bytes
    return added


def _size_of_files(place: Path) -> int:
    total = 0
    try:
        with os.scandir(place) as entries:
            for entry in entries:
                if entry.is_file(follow_symlinks=False):
                    total += entry.stat(follow_symlinks=False).st_size
    except OSError:
        pass  # only shown to people; the next call may succeed
    return total


def _raw_bytes(place: Path) -> int:
    """Bytes of a cell's raw data.

    raw.json may list a million files, so only the sum at its beginning is read.
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
        return 0  # also for a manifest that is too large to read here


def _gigabytes(size: float) -> str:
    return f"{size / 1e12:.1f} TB" if size >= 1e12 else f"{size / 1e9:.1f} GB"


def _days(days: float) -> str:
    if days < 730:
        return f"in about {number_of(round(days), 'day')}"
    return f"in about {days / 365:.0f} years" if days < 3650 else "not within ten years"
