"""Files of a cell in the landing area, read and written without following links.

An account that may write in the landing area could put a link in place of a directory, and so make
the program write or read elsewhere. So each directory on the way is opened by itself, refusing
links. Everything below is done through its descriptor.
"""

from __future__ import annotations

import ctypes
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

from hesiod_watch.core.errors import PermanentError, TemporaryError
from hesiod_watch.core.file_entry import Entries, FileEntry
from hesiod_watch.core.inventory import PARTIAL, OverlongName, require_copyable
from hesiod_watch.core.model import CellId
from hesiod_watch.core.naming import display
from hesiod_watch.host.files import OpenDirectory, open_below, regular_below, sync_directory
from hesiod_watch.host.files import checksums as file_checksums

_TEMPORARY = re.compile(r"\.(.+)\.[A-Za-z0-9]{6}", re.DOTALL)


def entries(run: OpenDirectory, cell: CellId) -> dict[str, FileEntry]:
    """List everything of a cell in the landing area; empty if it is not there yet.

    Raises PermanentError if a link or a file has the name of the library or the cell, or if a path
    is too long to be copied; TemporaryError if it cannot be read.
    """
    found: dict[str, FileEntry] = {}
    try:
        with run.open_cell(cell) as opened_cell:
            _walk(opened_cell.descriptor, found)
    except FileNotFoundError:
        return {}
    except NotADirectoryError as error:
        raise PermanentError(
            f"{cell}: something in the landing area is no directory, or a link to one"
        ) from error
    except OverlongName as error:
        raise PermanentError(f"{cell}: {error}") from error
    except OSError as error:
        name = f"/{display(str(error.filename))}" if error.filename else ""
        raise TemporaryError(f"{cell}{name} cannot be read: {error.strerror}") from error
    return cell.pooled.entries(found) if cell.pooled else found


def _walk(cell: int, found: dict[str, FileEntry]) -> None:
    """List the open directory of a cell. Raises OverlongName, OSError.

    Without recursion, and with two open directories at most: other accounts decide how deep the
    tree is. A directory is opened from the one listed before it, or else from the top.
    """
    pending, before, descriptor = [""], "", os.dup(cell)
    try:
        while pending:
            prefix = pending.pop()
            if prefix:
                inside = prefix.startswith(before)
                parts = prefix[len(before) if inside else 0 : -1].split("/")
                try:
                    inner = open_below(descriptor if inside else cell, parts)
                except (FileNotFoundError, NotADirectoryError):
                    # It has changed meanwhile; the comparison will find what is missing.
                    continue
                os.close(descriptor)
                before, descriptor = prefix, inner
            pending += _list(descriptor, prefix, found)
    finally:
        os.close(descriptor)


def _list(parent: int, prefix: str, found: dict[str, FileEntry]) -> list[str]:
    """Add the entries of a directory to `found`; returns the prefixes of its directories."""
    with os.scandir(parent) as listed:
        names = [entry.name for entry in listed]
    inner = []
    for name in names:
        require_copyable(prefix + name)
        try:
            status = os.stat(name, dir_fd=parent, follow_symlinks=False)
            target = os.readlink(name, dir_fd=parent) if stat.S_ISLNK(status.st_mode) else ""
        except FileNotFoundError:
            continue
        entry = FileEntry.of_status(prefix + name, status, target=target)
        found[entry.name] = entry
        if entry.kind == "d":
            inner.append(f"{prefix}{name}/")
    return inner


@contextmanager
def opened(run: OpenDirectory, cell: CellId, name: str) -> Iterator[int]:
    """Open a regular file of a cell for reading. Raises OSError, also if it is not regular."""
    with regular_below(run, f"{cell.place}/{name}") as descriptor:
        yield descriptor


@contextmanager
def holder(run: OpenDirectory, cell: CellId, name: str) -> Iterator[tuple[int, str]]:
    """Open the directory of a cell's entry; yields it and the entry's last name part.

    Raises OSError.
    """
    *parents, last = name.split("/")
    with run.open(*cell.parts, *parents) as parent:
        yield parent.descriptor, last


def checksums(
    run: OpenDirectory, cell: CellId, names: Iterable[str], stop: Callable[[], bool]
) -> dict[str, str]:
    """MD5 of a cell's files, read from disk after an fsync; unreadable files have none.

    Ends early, with the checksums so far, when `stop` returns True.
    """
    _write_out(run.descriptor)
    found = {}
    for name in names:
        if stop():
            break
        with suppress(OSError), opened(run, cell, name) as descriptor:
            # The flag "the cell is here" must be true after a power failure, too.
            os.fsync(descriptor)
            [found[name]] = file_checksums(descriptor, "md5", stop=stop)
    return found


def make_durable(run: OpenDirectory, cell: CellId, found: Entries) -> None:
    """Make the names of all copied files durable: fsync the cell's directories and those above.

    Raises OSError.
    """
    parts = [(), (cell.library,), cell.parts]
    parts += [(*cell.parts, *name.split("/")) for name, entry in found.items() if entry.kind == "d"]
    for each in parts:
        with run.open(*each) as directory:
            sync_directory(directory.descriptor)


def remove_leftovers(run: OpenDirectory, cell: CellId, there: Entries) -> list[str]:
    """Remove leftovers of killed rsyncs if the file itself is whole; returns removed names.

    Leftovers are the files in PARTIAL, and rsync's temporary files: `.{name}.{6 letters}` beside a
    file `name`. A file is kept if the upstream has a file of that name. A leftover that cannot be
    removed stays; it is hidden and is not counted.
    """
    removed = []
    for name in sorted(entries(run, cell)):
        inside, _, last = name.rpartition("/")
        above, _, inner = inside.rpartition("/")
        found = _TEMPORARY.fullmatch(last)
        whole = f"{above}/{last}" if above else last
        if inner != PARTIAL:
            whole = f"{inside}/{found[1]}" if found and inside else found[1] if found else ""
        if whole not in there or name in there or there[whole].kind != "f":
            continue
        with suppress(OSError), holder(run, cell, name) as (parent, last):
            os.unlink(last, dir_fd=parent)
            removed.append(name)
            if inner == PARTIAL:
                os.rmdir(f"../{PARTIAL}", dir_fd=parent)
    return removed


def _write_out(descriptor: int) -> None:
    """Write a file system's pending data at once, if the C library can.

    After that ten thousand fsyncs are quick.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).syncfs(descriptor)
