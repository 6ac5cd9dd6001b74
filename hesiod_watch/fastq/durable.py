"""Files that must survive a crash: every change that `fastq/` makes on the disk.

The callers decide the order of the changes. There are three kinds of files:

- outputs, which only grow at their end;
- the log, which is the authority on the outputs and is locked while a process writes;
- small files, which exist whole or not at all.

`host.files` opens and writes them. After an error no file is fsynced again: the kernel may have
dropped the data, and would report success.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from hesiod_watch.core.errors import HesiodError, PermanentError, TemporaryError
from hesiod_watch.core.system_errors import translate, translated
from hesiod_watch.core.text import number_of
from hesiod_watch.host import files

LOCK_SECONDS = 10.0
"""Seconds to wait for the lock: the workers of a killed writer still hold it for milliseconds."""

_NO_LOCKS = frozenset({errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL})


def _doing(path: Path, doing: str) -> AbstractContextManager[None]:
    return translated(f"{path}: {doing} failed", own_output=True)


class OutputFile:
    """An output opened for writing from byte `at` on.

    With `at` 0 it is a new file. An existing file at `path` is unlinked, not truncated: a process
    that has it open, or another hard link, keeps the old content. Otherwise everything after the
    first `at` bytes is cut off. Raises `PermanentError` if the file has fewer bytes.
    """

    def __init__(self, path: Path, at: int = 0) -> None:
        self.path = path
        if not at:
            remove(path)
        with _doing(path, "opening for writing"):
            self._descriptor = (
                files.open_regular(path, access=os.O_WRONLY) if at else files.create(path)
            )
        try:
            if at:
                self._continue(at)
        except BaseException:
            os.close(self._descriptor)
            raise

    def write(self, data: bytes | memoryview) -> None:
        """Append all of `data`."""
        with _doing(self.path, "writing"):
            files.write_all(self._descriptor, data)

    def rewind(self, size: int) -> None:
        """Cut off everything after the first `size` bytes."""
        with _doing(self.path, "truncating"):
            os.ftruncate(self._descriptor, size)
            os.lseek(self._descriptor, size, os.SEEK_SET)

    def sync(self) -> None:
        """Make everything written so far durable."""
        with _doing(self.path, "fdatasync"):
            os.fdatasync(self._descriptor)

    def close(self) -> None:
        _close(self._descriptor, self.path)

    def _continue(self, at: int) -> None:
        with _doing(self.path, "truncating"):
            size = os.fstat(self._descriptor).st_size
            if size > at:
                os.ftruncate(self._descriptor, at)
            os.lseek(self._descriptor, at, os.SEEK_SET)
        if size < at:
            raise PermanentError(
                f"{self.path}: has {number_of(size, 'byte')}, but {at} were made durable:"
                " the file was truncated"
            )


class OutputReader:
    """An output opened for reading back: from the disk, not the cache, where possible.

    The file system decides whether it is possible.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._at = self._end = 0
        with _doing(path, "opening"):
            self._descriptor = files.open_regular(path)

    def __enter__(self) -> OutputReader:
        return self

    def __exit__(self, *_: object) -> None:
        _close(self._descriptor, self.path)

    def seek(self, offset: int, length: int, *, forget: bool = False) -> None:
        """Set the range that `readinto` reads; `forget`: have the kernel drop its copy first."""
        self._at, self._end = offset, offset + length
        if forget:
            with _doing(self.path, "reading back"):
                os.posix_fadvise(self._descriptor, offset, length, os.POSIX_FADV_DONTNEED)

    def readinto(self, buffer: memoryview) -> int:
        """Fill `buffer`; fewer bytes only at the end of the range or of the file."""
        filled, wanted = 0, min(len(buffer), self._end - self._at)
        with _doing(self.path, "reading back"):
            while filled < wanted and (
                count := os.preadv(self._descriptor, [buffer[filled:wanted]], self._at)
            ):
                filled += count
                self._at += count
        return filled


class LogFile:
    """An existing file that grows by whole writes; it is locked while it is open.

    The lock keeps other writers out. Worker processes inherit `descriptor`, and with it the lock,
    which ends with the last of them. Raises `TemporaryError` while another process holds the lock.
    On a file system without locks there is no lock.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with _doing(path, "opening"):
            self.descriptor = files.open_regular(path, access=os.O_RDWR)
        try:
            self._lock()
        except BaseException:
            os.close(self.descriptor)
            raise

    def chunks(self) -> Iterator[bytes]:
        """The whole file from its start, in chunks."""
        at = 0
        with _doing(self.path, "reading"):
            while chunk := os.pread(self.descriptor, files.CHUNK, at):
                yield chunk
                at += len(chunk)

    def truncate(self, size: int) -> None:
        with _doing(self.path, "truncating"):
            os.ftruncate(self.descriptor, size)

    def write(self, data: bytes, at: int) -> None:
        """Write `data` at byte `at`, in one call unless the system accepts only a part."""
        with _doing(self.path, "writing"):
            written = os.pwrite(self.descriptor, data, at)
            while written < len(data):
                written += os.pwrite(self.descriptor, memoryview(data)[written:], at + written)

    def sync(self) -> None:
        with _doing(self.path, "fdatasync"):
            os.fdatasync(self.descriptor)

    def close(self) -> None:
        _close(self.descriptor, self.path)

    def _lock(self) -> None:
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise TemporaryError(
                        f"{self.path}: another process is writing there"
                    ) from error
                time.sleep(0.02)
            except OSError as error:
                if error.errno in _NO_LOCKS:
                    return
                raise translate(error, f"{self.path}: locking failed", own_output=True) from error
            else:
                return


def _close(descriptor: int, path: Path) -> None:
    with _doing(path, "closing"):  # NFS reports a full disk here
        os.close(descriptor)


def read_whole(path: Path) -> bytes | None:
    """Contents of a small file; None if there is none."""
    with suppress(FileNotFoundError):
        return b"".join(chunks_of(path))
    return None


def chunks_of(path: Path) -> Iterator[bytes]:
    """Contents of a file, in chunks. Raises FileNotFoundError if there is none."""
    try:
        with files.regular(path) as descriptor:
            yield from files.chunks(descriptor)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise translate(error, f"{path}: reading failed", own_output=True) from error


def replace_whole(path: Path, data: bytes) -> None:
    """Set the contents of `path` to `data`, durable; after an error the file is unchanged."""
    with _doing(path, "writing"), files.directory(path.parent, follow=True) as parent:
        files.replace_whole(parent, path.name, data, temporary=f"{path.name}.new")


def size_of(path: Path) -> int | None:
    """Size of an output in bytes; None if there is none."""
    with _doing(path, "reading its status"):
        try:
            status = os.lstat(path)
        except FileNotFoundError:
            return None
        files.require_regular(path, status)
        return status.st_size


def cut(path: Path, size: int) -> None:
    """Cut off an output after its first `size` bytes.

    The cut is not durable: the next writer cuts again before it appends.
    """
    if not size:
        remove(path)
    elif (size_of(path) or 0) > size:
        OutputFile(path, size).close()


def give_back(directory: Path, ends: Iterable[tuple[str, int]]) -> None:
    """Try to cut off outputs (name, size), because a disk may be full and others need space.

    A failure does no harm: the remainder is cut off before the next append.
    """
    for name, size in ends:
        with suppress(HesiodError):
            cut(directory / name, size)


def remove(path: Path) -> None:
    with _doing(path, "removing"), suppress(FileNotFoundError):
        os.unlink(path)  # noqa: PTH108  tests record the calls of `os`


def make_directory(path: Path) -> None:
    """Make a directory, durable.

    Does not make its parents: one of them may be a missing mount.
    """
    with _doing(path, "creating it"):
        try:
            os.mkdir(path)  # noqa: PTH102  tests record the calls of `os`
        except FileExistsError:
            return
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make the names in `directory` durable."""
    with _doing(directory, "fsync"):
        files.sync_directory(directory)
