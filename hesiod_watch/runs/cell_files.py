"""Files of a cell in the landing area, read and written without following links.

An account that may write in the landing area could put a link in place of a directory, and so make
the program write or read elsewhere. So each directory on the way is opened by itself, refusing
links. Everything below is done through its descriptor.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hesiod_watch.core.errors import PermanentError, TemporaryError
from hesiod_watch.core.file_entry import Entries, FileEntry
from hesiod_watch.core.inventory import PARTIAL
from hesiod_watch.core.model import CellId
from hesiod_watch.core.naming import display

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CHUNK = 1 << 20
_TEMPORARY = re.compile(r"\.(.+)\.[A-Za-z0-9]{6}", re.DOTALL)


@contextmanager
def opened_run(landing: Path, run_dir: Path) -> Iterator[int]:
    """Open a run's directory below `landing`, creating it if needed; yields a descriptor.

    Raises PermanentError if something else has its name, TemporaryError if the landing area cannot
    be used.
    """
    try:
        # The administrator chose this path: links in it are followed.
        descriptor = os.open(landing, _DIRECTORY & ~os.O_NOFOLLOW)
    except OSError as error:
        raise TemporaryError(
            f"the landing area {landing} cannot be opened: {error.strerror}"
        ) from error
    try:
        for part in run_dir.relative_to(landing).parts:
            try:
                inner = _open_or_make(descriptor, part)
            except NotADirectoryError as error:
                why = "is no directory, or a link to one; nothing is written there"
                raise PermanentError(f"{display(str(run_dir))}: {part} {why}") from error
            except OSError as error:
                raise TemporaryError(
                    f"{display(str(run_dir))} cannot be opened: {error.strerror}"
                ) from error
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


def _open_or_make(parent: int, name: str) -> int:
    with suppress(FileExistsError):
        os.mkdir(name, 0o777, dir_fd=parent)
    return os.open(name, _DIRECTORY, dir_fd=parent)


def entries(run: int, cell: CellId) -> dict[str, FileEntry]:
    """List everything of a cell in the landing area; empty if it is not there yet.

    Raises PermanentError if a link or a file has the name of the library or the cell, OSError.
    """
    found: dict[str, FileEntry] = {}
    try:
        with _directory(run, (cell.library, cell.name)) as descriptor:
            _walk(descriptor, "", found)
    except FileNotFoundError:
        return {}
    except NotADirectoryError as error:
        raise PermanentError(
            f"{cell}: something in the landing area is no directory, or a link to one"
        ) from error
    return found


def _walk(directory: int, prefix: str, found: dict[str, FileEntry]) -> None:
    with os.scandir(directory) as listed:
        names = [entry.name for entry in listed]
    for name in names:
        try:
            status = os.stat(name, dir_fd=directory, follow_symlinks=False)
            target = os.readlink(name, dir_fd=directory) if stat.S_ISLNK(status.st_mode) else ""
        except FileNotFoundError:
            continue
        entry = FileEntry.of_status(prefix + name, status, target=target)
        found[entry.name] = entry
        if entry.kind == "d":
            # It may have changed meanwhile; the comparison will find what is missing.
            with suppress(FileNotFoundError, NotADirectoryError):
                inner = os.open(name, _DIRECTORY, dir_fd=directory)
                try:
                    _walk(inner, f"{prefix}{name}/", found)
                finally:
                    os.close(inner)


@contextmanager
def _directory(start: int, parts: Iterable[str]) -> Iterator[int]:
    """Open the directory at `parts` below `start` without following links. Raises OSError."""
    descriptor = os.dup(start)
    try:
        for part in parts:
            inner = os.open(part, _DIRECTORY, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def opened(run: int, cell: CellId, name: str) -> Iterator[int]:
    """Open a regular file of a cell for reading. Raises OSError, also if it is not regular."""
    *parents, last = name.split("/")
    with _directory(run, (cell.library, cell.name, *parents)) as parent:
        descriptor = os.open(last, _FILE, dir_fd=parent)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def holder(run: int, cell: CellId, name: str) -> Iterator[tuple[int, str]]:
    """Open the directory of a cell's entry; yields it and the entry's last name part.

    Raises OSError.
    """
    *parents, last = name.split("/")
    with _directory(run, (cell.library, cell.name, *parents)) as parent:
        yield parent, last


def checksums(
    run: int, cell: CellId, names: Iterable[str], stop: Callable[[], bool]
) -> dict[str, str]:
    """MD5 of a cell's files, read from disk after an fsync; unreadable files have none.

    Ends early, with the checksums so far, when `stop` returns True.
    """
    _write_out(run)
    found = {}
    for name in names:
        if stop():
            break
        *parents, last = name.split("/")
        with suppress(OSError), _directory(run, (cell.library, cell.name, *parents)) as parent:
            if (checksum := _checksum(parent, last, stop)) is not None:
                found[name] = checksum
    return found


def _checksum(parent: int, name: str, stop: Callable[[], bool]) -> str | None:
    descriptor = os.open(name, _FILE, dir_fd=parent)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        # The flag "the cell is here" must be true after a power failure, too.
        os.fsync(descriptor)
        digest = hashlib.md5(usedforsecurity=False)
        while data := os.read(descriptor, _CHUNK):
            digest.update(data)
            if stop():
                return None
        return digest.hexdigest()
    finally:
        os.close(descriptor)


def make_durable(run: int, cell: CellId, found: Entries) -> None:
    """Make the names of all copied files durable: fsync the cell's directories and those above.

    Raises OSError.
    """
    parts = [(), (cell.library,), (cell.library, cell.name)]
    parts += [
        (cell.library, cell.name, *name.split("/"))
        for name, entry in found.items()
        if entry.kind == "d"
    ]
    for each in parts:
        with _directory(run, each) as descriptor:
            os.fsync(descriptor)


def remove_leftovers(run: int, cell: CellId, there: Entries) -> list[str]:
    """Remove leftovers of killed rsyncs if the file itself is whole; returns removed names.

    Leftovers are the files in PARTIAL, and rsync's temporary files: `.{name}.{6 letters}` beside a
    file `name`. A file is kept if the upstream has a file of that name. A leftover that cannot be
    removed stays; it is hidden and is not counted.
    """
    removed = []
    for name in sorted(entries(run, cell)):
        directory, _, last = name.rpartition("/")
        above, _, holder = directory.rpartition("/")
        found = _TEMPORARY.fullmatch(last)
        whole = f"{above}/{last}" if above else last
        if holder != PARTIAL:
            whole = f"{directory}/{found[1]}" if found and directory else found[1] if found else ""
        if whole not in there or name in there or there[whole].kind != "f":
            continue
        with (
            suppress(OSError),
            _directory(
                run, (cell.library, cell.name, *filter(None, directory.split("/")))
            ) as parent,
        ):
            os.unlink(last, dir_fd=parent)
            removed.append(name)
            if holder == PARTIAL:
                os.rmdir(f"../{PARTIAL}", dir_fd=parent)
    return removed


def _write_out(descriptor: int) -> None:
    """Write a file system's pending data at once, if the C library can.

    After that ten thousand fsyncs are quick.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).syncfs(descriptor)
