"""Source files: regular files that must not change while they are read.

Errors say what to do. Only this module and `durable` (for files that we write) open files or handle
`OSError`. Names come from the disk and are not trusted. A source is checked with lstat first and a
link is never followed, so that a FIFO or a device in its place cannot block the program.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from types import TracebackType

from hesiod_watch.core.errors import BadSource, HesiodError, PermanentError, TemporaryError
from hesiod_watch.core.file_entry import FileEntry
from hesiod_watch.core.text import number_of

# Errors that end when a person frees space or mounts again, or after waiting. EIO is not included:
# after a failed write or fsync the kernel may have dropped the data, and a second call would report
# success.
PASSING = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EROFS,
        errno.ESTALE,
        errno.EAGAIN,
        errno.EINTR,
        errno.ENOENT,
        errno.ENOMEM,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOTCONN,
        errno.ETIMEDOUT,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.ESHUTDOWN,
    }
)

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
FULL_SECONDS = 30.0
"""Seconds to wait at most for space: a person who frees it expects the work to continue soon."""

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def translate(error: OSError, path: Path, doing: str) -> HesiodError:
    """The error to raise instead of `error`.

    It was met while `doing` something ("reading", "writing") with `path`.
    """
    reason = error.strerror or str(error)
    message = f"{path}: {doing} failed: {reason}"
    if error.errno in FULL:
        return TemporaryError(message, retry_after=FULL_SECONDS)
    if error.errno in PASSING:
        return TemporaryError(message)
    return PermanentError(message, errno=error.errno or 0)


def look(path: Path, name: str) -> FileEntry:
    """The file at `path` as it is now, with the name `name`."""
    try:
        status = os.lstat(path)
    except OSError as error:
        raise translate(error, path, "reading its status") from error
    return FileEntry.of_status(name, status, location=os.fspath(path))


class SourceFile:
    """A source opened for one reading from start to end; a context manager.

    Opening and `check_unchanged` compare the file with the listed one. Raises `TemporaryError` if
    the file is still growing or has vanished, `BadSource` if it is not a regular file or is another
    file than the listed one.
    """

    def __init__(self, source: FileEntry) -> None:
        self.source = source
        self.consumed = 0  # bytes read so far
        path = source.path
        try:
            # lstat before open: opening a FIFO or a tape has effects even with O_NONBLOCK.
            require_regular(path, os.lstat(path))
            self._descriptor = os.open(path, _FLAGS)
        except OSError as error:
            raise translate(error, path, "opening") from error
        try:
            opened = self.check_unchanged()
            # hints about the file that is read
            self.ctime_ns, self.inode = opened.st_ctime_ns, opened.st_ino
            os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_SEQUENTIAL)
        except BaseException:
            os.close(self._descriptor)
            raise

    def readinto(self, buffer: memoryview) -> int:
        """Fill `buffer` from the file; fewer bytes only at the end of the file."""
        filled = 0
        try:
            while filled < len(buffer) and (count := os.readv(self._descriptor, [buffer[filled:]])):
                filled += count
        except OSError as error:
            raise translate(error, self.source.path, "reading") from error
        self.consumed += filled
        return filled

    def head(self, size: int) -> bytes:
        """The first `size` bytes, without moving the read position."""
        try:
            return os.pread(self._descriptor, size, 0)
        except OSError as error:
            raise translate(error, self.source.path, "reading") from error

    def forget_cache(self) -> None:
        """Ask the kernel to drop its copy, so that reading reads the disk.

        Not every file system does.
        """
        try:
            os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        except OSError as error:
            raise translate(error, self.source.path, "reading") from error

    def check_unchanged(self) -> os.stat_result:
        """Compare size and mtime with the listed ones; return the file's status now."""
        path, listed = self.source.path, self.source
        try:
            now = os.fstat(self._descriptor)
        except OSError as error:
            raise translate(error, path, "reading") from error
        require_regular(path, now)
        if now.st_size > listed.size:
            grown = f"{number_of(listed.size, 'byte')} when listed, {now.st_size} now"
            raise TemporaryError(f"{path}: still being written ({grown})")
        if now.st_size < listed.size:
            raise BadSource(
                path,
                f"shrank after it was listed, from {listed.size}"
                f" to {number_of(now.st_size, 'byte')}",
            )
        if now.st_mtime_ns != listed.mtime_ns:
            raise BadSource(
                path, "was changed after it was listed: same size, other modification time"
            )
        return now

    def __enter__(self) -> SourceFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._descriptor)


def require_regular(path: Path, status: os.stat_result) -> None:
    """Raise `BadSource` unless the file is a regular file."""
    if not stat.S_ISREG(status.st_mode):
        kinds = {
            stat.S_IFLNK: "a symbolic link",
            stat.S_IFDIR: "a directory",
            stat.S_IFIFO: "a FIFO",
            stat.S_IFSOCK: "a socket",
            stat.S_IFCHR: "a device",
            stat.S_IFBLK: "a device",
        }
        kind = kinds.get(stat.S_IFMT(status.st_mode), "something else")
        raise BadSource(path, f"not a regular file but {kind}; it was not opened")
