"""Errors of the system: which of them end by themselves, and which need a person.

This is the only table. An error that it does not name is temporary: the work waits, and says for
what it waits.
"""

from __future__ import annotations

import errno
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hesiod_watch.core.errors import (
    BadSource,
    HesiodError,
    NoSpace,
    PermanentError,
    TemporaryError,
)
from hesiod_watch.core.file_entry import FileStatus

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
CIRCLE = errno.ELOOP
"""Links that lead in a circle."""
FULL_SECONDS = 30.0
"""Seconds to wait at most for space: a person who frees it expects the work to continue soon."""

_NEEDS_A_PERSON = frozenset(
    {
        errno.EACCES,
        errno.EPERM,
        errno.ENOTDIR,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.EISDIR,
        errno.EINVAL,
    }
)
_NEEDS_A_PERSON_IN_OUTPUT = _NEEDS_A_PERSON | {
    errno.EROFS,
    errno.EEXIST,
    # After a failed write or fsync the kernel may have dropped the data, and a second call would
    # report success.
    errno.EIO,
    errno.EUCLEAN,
    errno.EBADMSG,
}
_KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS})
"""Errors of a file system that cannot store symbolic links, where files can be made."""
WITHOUT_LINKS = (
    "is on a file system that cannot store symbolic links (vfat, some SMB mounts); hesiod-watch "
    "links each run and its results: use another file system, or the mount option mfsymlinks"
)


class LinksNotStored(OSError):
    """Error for a file system that cannot store symbolic links."""

    def __init__(self, name: Path | str) -> None:
        super().__init__(errno.EPERM, f"it {WITHOUT_LINKS}", str(name))


class NotRegularFile(OSError):
    """Error for a name that is not a regular file; `status` is its status."""

    def __init__(self, name: Path | str, status: FileStatus) -> None:
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "something else")
        self.reason = f"not a regular file but {kind}; it was not opened"
        super().__init__(errno.EINVAL, self.reason, str(name))
        self.status = status


class DirectoryExchanged(OSError):
    """Error for a path that does not lead to the directory any more that was opened there."""

    def __init__(self, path: Path) -> None:
        reason = "another directory is in its place since it was opened; nothing was recorded"
        super().__init__(errno.ESTALE, reason, str(path))


def translate(error: OSError, attempted: str | Path, *, own_output: bool = False) -> HesiodError:
    """Translate an OSError to an error of this program; `attempted` says what failed and where.

    A path in `attempted` is replaced by, or completed with, the name in the error. Unknown errors
    are temporary: the work waits, and says for what. `own_output`: the error was met with our own
    results, which only a person can repair, and not with a source or a flag.
    """
    if isinstance(error, NotRegularFile):
        return BadSource(Path(error.filename), error.reason)
    if isinstance(attempted, Path) and isinstance(error.filename, str | Path):
        attempted /= error.filename
    reason = error.strerror or str(error)
    if own_output and error.errno == errno.EEXIST:
        reason = "something else of this name is in the way"
    message = f"{attempted}: {reason}"
    if error.errno in FULL:
        return NoSpace(message, retry_after=FULL_SECONDS)
    if error.errno in (_NEEDS_A_PERSON_IN_OUTPUT if own_output else _NEEDS_A_PERSON):
        return PermanentError(message, errno=error.errno or 0)
    return TemporaryError(message)


@contextmanager
def translated(attempted: str | Path, *, own_output: bool = False) -> Iterator[None]:
    """Raise `translate` of each OSError."""
    try:
        yield
    except OSError as error:
        raise translate(error, attempted, own_output=own_output) from error
