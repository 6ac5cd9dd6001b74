"""Files on this host: opened without following links, compared, identified by file system."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hesiod_watch.core.errors import HesiodError, PermanentError, TemporaryError
from hesiod_watch.core.naming import display
from hesiod_watch.host import process
from hesiod_watch.remote.backup.queries import device_name

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def device_of(path: Path) -> str:
    """Unique name of a local path's file system, comparable with `BackupStore.device`.

    Raises OSError.
    """
    number, owner = path.stat().st_dev, process.this_owner("backup", "inline")
    return device_name(owner.boot_id, owner.machine_id, str(number), _source(number))


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


@contextmanager
def opened_directory(path: Path, below: Path | None = None) -> Iterator[int]:
    """Open a directory; no link is followed below `below`, or in its last part without `below`.

    Raises TemporaryError, PermanentError.
    """
    try:
        descriptor = _open(path, path.parent if below is None else below)
    except NotADirectoryError as error:
        raise PermanentError(
            f"{display(str(path))}: a part of this path is a link or not a directory"
        ) from error
    except OSError as error:
        raise TemporaryError(f"{display(str(path))} cannot be opened: {error.strerror}") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _open(path: Path, start: Path) -> int:
    descriptor = os.open(start, _DIRECTORY & ~os.O_NOFOLLOW)  # the administrator chose this path
    for part in path.relative_to(start).parts:
        try:
            inner = os.open(part, _DIRECTORY, dir_fd=descriptor)
        finally:
            os.close(descriptor)
        descriptor = inner
    return descriptor


@contextmanager
def opened_file(path: Path) -> Iterator[int]:
    descriptor = os.open(path, _FILE)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise HesiodError(f"{display(str(path))} is not a regular file")
        yield descriptor
    finally:
        os.close(descriptor)


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
