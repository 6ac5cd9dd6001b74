"""Source files: regular files that must not change while they are read.

A source is opened below its cell, which is open, and no link is followed on the way: another
account may exchange any of the directories.

Errors say what to do. Names come from the disk and are not trusted: a link is never followed, and a
FIFO or a device in place of a source is never opened.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from types import TracebackType

from hesiod_watch.core.errors import BadSource, PermanentError, TemporaryError
from hesiod_watch.core.file_entry import FileEntry
from hesiod_watch.core.system_errors import translated
from hesiod_watch.core.text import number_of
from hesiod_watch.host.files import OpenDirectory, open_regular


def look(path: Path, name: str) -> FileEntry:
    """The file at `path` as it is now, with the name `name`."""
    with translated(f"{path}: reading its status failed"):
        status = os.lstat(path)
    return FileEntry.of_status(name, status, location=os.fspath(path))


def look_again(source: FileEntry, cell: OpenDirectory) -> FileEntry:
    """A source of a cell as it is now."""
    with translated(f"{source.path}: reading its status failed"), _holder(source, cell) as holder:
        status = os.stat(source.path.name, dir_fd=holder.descriptor, follow_symlinks=False)
    return FileEntry.of_status(source.name, status, location=source.location)


def _holder(source: FileEntry, cell: OpenDirectory) -> OpenDirectory:
    """Directory of a cell that contains a source."""
    return cell.open(*source.path.parent.relative_to(cell.path).parts)


class SourceFile:
    """A source opened for one reading from start to end; a context manager.

    Opening and `check_unchanged` compare the file with the listed one. Raises `TemporaryError` if
    the file is still growing or has vanished, `BadSource` if it is not a regular file or is another
    file than the listed one.
    """

    def __init__(self, source: FileEntry, cell: OpenDirectory) -> None:
        self.source = source
        self.consumed = 0  # bytes read so far
        self._sha256 = hashlib.sha256()
        path = source.path
        try:
            with translated("opening failed"), _holder(source, cell) as holder:
                self._descriptor = open_regular(path.name, holder.descriptor)
        except BadSource as error:  # not a regular file any more; it was opened by its last name
            raise BadSource(path, error.reason) from error
        except PermanentError as error:  # no right to read this file: the other files can be read
            raise BadSource(path, str(error), errno=error.errno) from error
        except TemporaryError as error:
            raise TemporaryError(f"{path}: {error}", retry_after=error.retry_after) from error
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
        with translated(f"{self.source.path}: reading failed"):
            while filled < len(buffer) and (count := os.readv(self._descriptor, [buffer[filled:]])):
                filled += count
        self.consumed += filled
        return filled

    def readinto_hashed(self, buffer: memoryview) -> int:
        """Read as `readinto` does; the bytes count for `sha256`."""
        filled = self.readinto(buffer)
        self._sha256.update(buffer[:filled])
        return filled

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes that `readinto_hashed` has read, as they are on disk."""
        return self._sha256.hexdigest()

    def head(self, size: int) -> bytes:
        """The first `size` bytes, without moving the read position."""
        with translated(f"{self.source.path}: reading failed"):
            return os.pread(self._descriptor, size, 0)

    def forget_cache(self) -> None:
        """Ask the kernel to drop its copy, so that reading reads the disk.

        Not every file system does.
        """
        with translated(f"{self.source.path}: reading failed"):
            os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_DONTNEED)

    def check_unchanged(self) -> os.stat_result:
        """Compare size and mtime with the listed ones; return the file's status now."""
        path, listed = self.source.path, self.source
        with translated(f"{path}: reading failed"):
            now = os.fstat(self._descriptor)
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
