"""Files on this host: compared with an arriving stream, identified by file system."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from hesiod_watch.core.naming import display
from hesiod_watch.host import process
from hesiod_watch.remote.backup.queries import MARKER, device_name


def device_of(path: Path) -> str:
    """Unique name of a local path's file system, comparable with `BackupStore.device`.

    Raises OSError.
    """
    number, owner = path.stat().st_dev, process.this_owner("backup", "inline")
    return device_name(owner.boot_id, owner.machine_id, str(number), _source(number))


def marker_problem(place: Path) -> str:
    """Reason why a local directory is no backup: its marker is missing; "" if it has one.

    Reads no file. A directory that this user may not enter is not a reason: another user may.
    """
    shown = display(str(place))
    try:
        (place / MARKER).stat()
    except FileNotFoundError:
        if place.is_dir():
            return f"{MARKER} is not in {shown}: is its file system mounted?"
        return f"{shown} does not exist"
    except PermissionError:
        return ""
    except OSError as error:
        return f"{shown} cannot be read: {error.strerror}"
    return ""


def _source(number: int) -> str:
    """Mounted source of a device number, as the kernel reports it; "" if it is not known."""
    shown = f"{os.major(number)}:{os.minor(number)}"
    try:
        lines = Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return ""
    for line in lines:
        words = line.split(" ")
        if len(words) > 2 and words[2] == shown and "-" in words[6:]:
            return (words[words.index("-", 6) + 2 :] or [""])[0]
    return ""


def largest(directory: int, names: Iterable[str]) -> int:
    """Size in bytes of the largest of some files; missing files do not count."""
    found = 0
    for name in names:
        try:
            found = max(found, os.stat(name, dir_fd=directory, follow_symlinks=False).st_size)
        except OSError:
            continue
    return found


class ChecksumComparison:
    """Comparison of an arriving stream with an open local file."""

    def __init__(self, reference: int) -> None:
        self._reference = reference
        self._at = 0
        self._first: int | None = None
        self._count = 0

    def feed(self, data: bytes) -> None:
        expected = os.pread(self._reference, len(data), self._at)
        if expected != data:
            differing = [
                index
                for index, (one, other) in enumerate(zip(expected, data, strict=False))
                if one != other
            ]
            self._note(
                differing[0] if differing else len(expected),
                len(differing) + len(data) - len(expected),
            )
        self._at += len(data)

    def _note(self, index: int, count: int) -> None:
        if self._first is None:
            self._first = self._at + index
        self._count += count

    def result(self) -> tuple[int, int]:
        if (more := os.fstat(self._reference).st_size - self._at) > 0:
            self._note(0, more)
        return self._first or 0, self._count
