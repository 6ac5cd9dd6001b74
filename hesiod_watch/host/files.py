"""Files: open them without following links, read, write whole, fsync and checksum them.

An account that may write in a directory could put a link, a FIFO or a device in place of a file. So
every function here refuses links in the last part of a name, unless `follow` allows them, and opens
only what it expects. Names are relative to a directory that is already open (`parent`), or they are
a path that the administrator chose.

All functions raise OSError, unless they say otherwise. `core.system_errors` translates it.

Calls that change the disk use the module `os`, so that tests can record them and let them fail.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Self

from hesiod_watch.core.errors import PermanentError
from hesiod_watch.core.model import CellId
from hesiod_watch.core.naming import display
from hesiod_watch.core.pooled import PooledCell
from hesiod_watch.core.system_errors import (
    NO_LINKS,
    DirectoryExchanged,
    LinksNotStored,
    NotRegularFile,
    translate,
)

CHUNK = 1 << 20
MODE = 0o664  # operators of one group share runs; the site restricts it with the umask
TEMPORARY = ".tmp."
"""Prefix of hidden files that get their final name when they are whole."""


def open_directory(name: Path | str, parent: int | None = None, *, follow: bool = False) -> int:
    """Open a real directory; `follow`: also through a link."""
    link = 0 if follow else os.O_NOFOLLOW
    return os.open(name, os.O_RDONLY | os.O_DIRECTORY | link | os.O_CLOEXEC, dir_fd=parent)


def directory(
    name: Path | str, parent: int | None = None, *, follow: bool = False
) -> AbstractContextManager[int]:
    """Open a directory as `open_directory` does, so that no process can exchange it during use."""
    return _closing(open_directory(name, parent, follow=follow))


@contextmanager
def _closing(descriptor: int) -> Iterator[int]:
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def open_below(start: int, parts: Iterable[str], *, make: bool = False) -> int:
    """Open the directory at `parts` below `start`, each part by itself, without following links.

    `make` creates the directories that are missing.
    """
    descriptor = os.dup(start)
    for part in parts:
        try:
            if make:
                with suppress(FileExistsError):
                    os.mkdir(part, 0o777, dir_fd=descriptor)
            inner = open_directory(part, descriptor)
        finally:
            os.close(descriptor)
        descriptor = inner
    return descriptor


class OpenDirectory:
    """Directory that is opened at its first use and stays the same one; no link is followed.

    Another account may exchange a directory for a link, or for another directory, at any moment.
    So everything in it is used relative to `descriptor`, and `path` is for messages. It is closed
    like a file: by `close`, at the end of a `with` statement, or when it is not referred to any
    more.
    """

    def __init__(
        self,
        path: Path,
        start: Path | OpenDirectory | None = None,
        *,
        make: bool = False,
        owner: PooledCell | None = None,
    ) -> None:
        """No link is followed below `start`, or in the last part of `path` without `start`.

        `start` is a directory that the administrator chose, or one that is opened in this way.
        `make` creates the directories that are missing. `owner`: the cell whose files are listed
        here and in all directories below; the other files are of other cells.
        """
        self.path = path
        self.owner = owner
        self._start = path.parent if start is None else start
        self._make = make
        self._descriptor: int | None = None

    @classmethod
    def inherited(cls, path: Path, descriptor: int, owner: PooledCell | None = None) -> Self:
        """The directory at `path` that a parent process has opened and left open for this one."""
        opened = cls(path, owner=owner)
        opened._descriptor = os.dup(descriptor)
        return opened

    def __reduce__(self) -> tuple[Callable[..., OpenDirectory], tuple[object, ...]]:
        """For a child process that inherits the descriptor."""
        return OpenDirectory.inherited, (self.path, self.descriptor, self.owner)

    @property
    def descriptor(self) -> int:
        """Descriptor of the directory, the same at each use. Raises OSError."""
        if self._descriptor is None:
            try:
                self._descriptor = self._opened()
            except OSError as error:
                error.filename = str(self.path)
                raise
        return self._descriptor

    def opened(self) -> Self:
        """Open it now. Raises TemporaryError, PermanentError."""
        try:
            self.descriptor  # noqa: B018 -- opens it
        except NotADirectoryError as error:
            raise PermanentError(
                f"{display(str(self))}: a part of this path is a link or not a directory"
            ) from error
        except OSError as error:
            raise translate(error, f"{display(str(self))} cannot be opened") from error
        return self

    def open(self, *parts: str) -> OpenDirectory:
        """The directory at `parts` below this one."""
        return OpenDirectory(self.path.joinpath(*parts), self, owner=self.owner)

    def open_cell(self, cell: CellId) -> OpenDirectory:
        """The directory in a run's directory that has the files of a cell."""
        return OpenDirectory(self.path.joinpath(*cell.parts), self, owner=cell.pooled)

    def entries(self) -> Iterator[os.DirEntry[str]]:
        """List it, without files of other cells. Raises OSError."""
        with os.scandir(self.descriptor) as entries:
            for entry in entries:
                own = self.owner is None or self.owner.owns(entry.name)
                if own or entry.is_dir(follow_symlinks=False):
                    yield entry

    def require_in_place(self) -> None:
        """Check that the path still leads to this directory. Raises DirectoryExchanged, OSError."""
        top: Path | OpenDirectory = self
        while isinstance(top, OpenDirectory):
            top = top._start
        with OpenDirectory(self.path, top) as now:
            if not os.path.sameopenfile(now.descriptor, self.descriptor):
                raise DirectoryExchanged(self.path)

    def is_in_place(self) -> bool:
        """Whether the path leads to this directory, as far as it can be opened."""
        try:
            self.require_in_place()
        except (FileNotFoundError, NotADirectoryError, DirectoryExchanged):
            return False
        except OSError:
            return True  # the next use of it raises the error
        return True

    def status(self) -> os.stat_result:
        """Status of the directory, also of one that may not be opened. Raises OSError."""
        if self._descriptor is not None:
            return os.fstat(self._descriptor)
        with OpenDirectory(self.path.parent, self._start) as parent:
            return os.stat(self.path.name, dir_fd=parent.descriptor, follow_symlinks=False)

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def _opened(self) -> int:
        if isinstance(self._start, OpenDirectory):
            parts = self.path.relative_to(self._start.path).parts
            return open_below(self._start.descriptor, parts, make=self._make)
        with directory(self._start, follow=True) as trusted:
            return open_below(trusted, self.path.relative_to(self._start).parts, make=self._make)

    def __truediv__(self, name: str) -> Path:
        """Path of a name in it, for messages."""
        return self.path / name

    def __str__(self) -> str:
        return str(self.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()


def require_regular(name: Path | str, status: os.stat_result) -> None:
    """Raise NotRegularFile unless this is the status of a regular file."""
    if not stat.S_ISREG(status.st_mode):
        raise NotRegularFile(name, status)


def open_regular(
    name: Path | str, parent: int | None = None, *, access: int = os.O_RDONLY, follow: bool = False
) -> int:
    """Open an existing regular file; `follow`: also through a link.

    Its status is checked first: opening a FIFO or a tape has effects even with O_NONBLOCK.
    """
    require_regular(name, os.stat(name, dir_fd=parent, follow_symlinks=follow))
    link = 0 if follow else os.O_NOFOLLOW
    return _checked(name, access | link | os.O_NONBLOCK | os.O_CLOEXEC, parent)


def open_or_create(path: Path, access: int, mode: int = MODE) -> int:
    """Open a regular file, or create it, for locks and logs."""
    return _checked(
        path, access | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, None, mode
    )


def _checked(name: Path | str, flags: int, parent: int | None, mode: int = MODE) -> int:
    descriptor = os.open(name, flags, mode, dir_fd=parent)
    try:
        require_regular(name, os.fstat(descriptor))  # it may have been exchanged meanwhile
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def regular(
    name: Path | str, parent: int | None = None, *, follow: bool = False
) -> AbstractContextManager[int]:
    """Open a regular file for reading, as `open_regular` does."""
    return _closing(open_regular(name, parent, follow=follow))


@contextmanager
def regular_below(place: OpenDirectory, name: str) -> Iterator[int]:
    """Open a regular file at `name` below `place`, each part by itself, for reading."""
    *parents, last = name.split("/")
    with place.open(*parents) as holder, regular(last, holder.descriptor) as descriptor:
        yield descriptor


def chunks(descriptor: int, size: int | None = None) -> Iterator[bytes]:
    """Content of an open file from its position on, at most `size` bytes."""
    left = sys.maxsize if size is None else size
    while left and (data := os.read(descriptor, min(CHUNK, left))):
        left -= len(data)
        yield data


def read_head(
    name: Path | str, size: int, parent: int | None = None, *, follow: bool = False
) -> bytes:
    """First bytes of a regular file; the file is longer if there are `size` of them."""
    with regular(name, parent, follow=follow) as descriptor:
        return b"".join(chunks(descriptor, size))


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def checksums(
    descriptor: int,
    *kinds: str,
    size: int | None = None,
    from_disk: bool = False,
    stop: Callable[[], bool] = lambda: False,
) -> list[str]:
    """Checksums of an open file (its first `size` bytes), one for each kind: "md5", "sha256".

    `from_disk` has the kernel drop its copy first. Not every file system does. Raises
    InterruptedError when `stop` returns True.
    """
    if from_disk:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    digests = [hashlib.new(kind, usedforsecurity=False) for kind in kinds]
    for data in chunks(descriptor, size):
        for digest in digests:
            digest.update(data)
        if stop():
            raise InterruptedError
    return [digest.hexdigest() for digest in digests]


def create(name: Path | str, parent: int | None = None) -> int:
    """Create a file that must not exist yet, and open it for writing."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(name, flags, MODE, dir_fd=parent)


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """Write all of `data`, with as many short writes as needed."""
    written = os.write(descriptor, data)
    while written < len(data):
        data = memoryview(data)[written:]
        written = os.write(descriptor, data)


def write_new(
    parent: int, name: str, content: bytes | Iterable[bytes], *, durable: bool = True
) -> None:
    """Write a file that must not exist yet, and fsync it; after an error there is no file."""
    descriptor = create(name, parent)
    try:
        try:
            for data in [content] if isinstance(content, bytes) else content:
                write_all(descriptor, data)
            if durable:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)  # NFS reports a full disk here
    except OSError:
        with suppress(OSError):
            os.unlink(name, dir_fd=parent)  # ours beyond doubt: O_EXCL made it
        raise


def time_in(parent: int) -> float:
    """Time in seconds since the epoch, by the clock of the file system of an open directory."""
    name = TEMPORARY + os.urandom(16).hex()
    descriptor = create(name, parent)
    try:
        return os.fstat(descriptor).st_ctime
    finally:
        os.close(descriptor)
        with suppress(OSError):
            os.unlink(name, dir_fd=parent)


def make_link(target: Path | str, name: str, parent: int) -> None:
    """Make a symbolic link. Raises LinksNotStored where the file system cannot store one."""
    try:
        os.symlink(target, name, dir_fd=parent)
    except OSError as error:
        # An immutable directory has the same error.
        if error.errno in NO_LINKS and os.access(".", os.W_OK, dir_fd=parent):
            raise LinksNotStored(name) from error
        raise


def replace_whole(
    parent: int, name: str, content: bytes, *, temporary: str = "", durable: bool = True
) -> None:
    """Set the content of a file, whole or not at all; `durable`: also after a power loss.

    `temporary` is a name that only this process uses; without it a new one is made. So any number
    of processes may replace the file at the same time.
    """
    if temporary:
        with suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=parent)
    new = temporary or TEMPORARY + os.urandom(16).hex()
    write_new(parent, new, content, durable=durable)
    try:
        os.rename(new, name, src_dir_fd=parent, dst_dir_fd=parent)
    except OSError:
        with suppress(OSError):
            os.unlink(new, dir_fd=parent)
        raise
    if durable:
        sync_directory(parent)


def sync_directory(place: int | Path) -> None:
    """Make the names in a directory durable; ignore EINVAL of a file system that cannot do it."""
    if isinstance(place, Path):
        with directory(place, follow=True) as descriptor:
            sync_directory(descriptor)
        return
    try:
        os.fsync(place)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
