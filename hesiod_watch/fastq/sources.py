"""Sources as the data path needs them: regular files, unchanged while they are read, and errors
that say what to do.

Only this module and `durable`, which is about what we write, open files or meet `OSError`. Names
come from the disk and are not trusted: a source is looked at with lstat first and never followed,
so that a FIFO or a device in its place cannot hang us.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from types import TracebackType

from hesiod_watch.core.errors import BadSource, HesiodError, PermanentError, TemporaryError
from hesiod_watch.core.text import number_of
from hesiod_watch.fastq.model import Source

# What goes away when somebody frees space, mounts again or waits. EIO is not among them: after a
# failed write or fsync the kernel may have dropped the data, and asking again would be told all is
# well.
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
"""How long at most to wait for space: somebody frees it at once when he is told, and then looks
whether it goes on.
"""

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def translate(error: OSError, path: Path, doing: str) -> HesiodError:
    """The error to raise instead of `error`, met while `doing` something ("reading", "writing")
    with `path`.
    """
    reason = error.strerror or str(error)
    message = f"{path}: {doing} failed: {reason}"
    if error.errno in FULL:
        return TemporaryError(message, retry_after=FULL_SECONDS)
    if error.errno in PASSING:
        return TemporaryError(message)
    return PermanentError(message, errno=error.errno or 0)


def look(path: Path, name: str) -> Source:
    """The file at `path` as it is now, called `name`."""
    try:
        status = os.lstat(path)
    except OSError as error:
        raise translate(error, path, "looking at it") from error
    return source_of(path, name, status)


def source_of(path: Path, name: str, status: os.stat_result) -> Source:
    return Source(
        os.fspath(path), name, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino
    )


class SourceFile:
    """A source opened for one reading from start to end; a context manager.

    Opening and `check_unchanged` compare the file with what was listed. Raises `TemporaryError`
    where the file is still growing or has vanished, `BadSource` where it is not a regular file or
    is another file than the one listed.
    """

    def __init__(self, source: Source) -> None:
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
            self.ctime_ns, self.inode = (
                opened.st_ctime_ns,
                opened.st_ino,
            )  # hints about what is read
            os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_SEQUENTIAL)
        except BaseException:
            os.close(self._descriptor)
            raise

    def readinto(self, buffer: memoryview) -> int:
        """Fill `buffer` from the file; fewer bytes than asked for only at the end of the file."""
        filled = 0
        try:
            while filled < len(buffer) and (count := os.readv(self._descriptor, [buffer[filled:]])):
                filled += count
        except OSError as error:
            raise translate(error, self.source.path, "reading") from error
        self.consumed += filled
        return filled

    def head(self, size: int) -> bytes:
        """The first `size` bytes, without moving on."""
        try:
            return os.pread(self._descriptor, size, 0)
        except OSError as error:
            raise translate(error, self.source.path, "reading") from error

    def forget_cache(self) -> None:
        """Ask the kernel to drop its copy, so that reading means reading the disk. Not every file
        system does.
        """
        try:
            os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        except OSError as error:
            raise translate(error, self.source.path, "reading") from error

    def check_unchanged(self) -> os.stat_result:
        """Compare size and mtime with what was listed; the file's status now."""
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
                f"shrank after it was listed, from {listed.size} to {number_of(now.st_size, 'byte')}",
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
    """Raises `BadSource` for what is not a regular file."""
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
