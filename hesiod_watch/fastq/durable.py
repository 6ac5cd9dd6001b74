"""Files that must survive a crash: every change that `fastq/` makes on the disk.

The callers decide the order of the changes. There are three kinds of files:

- outputs, which only grow at their end;
- the log, which is the authority on the outputs and is locked while a process writes;
- small files, which exist whole or not at all.

After an error no file is fsynced again: the kernel may have dropped the data, and would report
success.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from hesiod_watch.core.errors import HesiodError, PermanentError, TemporaryError
from hesiod_watch.core.text import number_of
from hesiod_watch.fastq.sources import require_regular, translate

CHUNK_BYTES = 1 << 20
LOCK_SECONDS = 10.0
"""Seconds to wait for the lock: the workers of a killed writer still hold it for milliseconds."""

_NO_LOCKS = frozenset({errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL})
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_EXISTING = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


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
        try:
            if at:
                require_regular(path, os.lstat(path))
                self._descriptor = os.open(path, os.O_WRONLY | _EXISTING)
            else:
                self._descriptor = os.open(path, _CREATE, 0o666)
        except OSError as error:
            raise translate(error, path, "opening for writing") from error
        try:
            if at:
                self._continue(at)
        except BaseException:
            os.close(self._descriptor)
            raise

    def write(self, data: bytes | memoryview) -> None:
        """Append all of `data`, with as many short writes as needed."""
        try:
            written = os.write(self._descriptor, data)
            while written < len(data):
                data = memoryview(data)[written:]
                written = os.write(self._descriptor, data)
        except OSError as error:
            raise translate(error, self.path, "writing") from error

    def rewind(self, size: int) -> None:
        """Cut off everything after the first `size` bytes."""
        try:
            os.ftruncate(self._descriptor, size)
            os.lseek(self._descriptor, size, os.SEEK_SET)
        except OSError as error:
            raise translate(error, self.path, "truncating") from error

    def sync(self) -> None:
        """Make everything written so far durable."""
        try:
            os.fdatasync(self._descriptor)
        except OSError as error:
            raise translate(error, self.path, "fdatasync") from error

    def close(self) -> None:
        _close(self._descriptor, self.path)

    def _continue(self, at: int) -> None:
        try:
            size = os.fstat(self._descriptor).st_size
            if size > at:
                os.ftruncate(self._descriptor, at)
            os.lseek(self._descriptor, at, os.SEEK_SET)
        except OSError as error:
            raise translate(error, self.path, "truncating") from error
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
        try:
            require_regular(path, os.lstat(path))
            self._descriptor = os.open(path, os.O_RDONLY | _EXISTING)
        except OSError as error:
            raise translate(error, path, "opening") from error

    def __enter__(self) -> OutputReader:
        return self

    def __exit__(self, *_: object) -> None:
        _close(self._descriptor, self.path)

    def seek(self, offset: int, length: int, *, forget: bool = False) -> None:
        """Set the range that `readinto` reads; `forget`: have the kernel drop its copy first."""
        self._at, self._end = offset, offset + length
        if forget:
            try:
                os.posix_fadvise(self._descriptor, offset, length, os.POSIX_FADV_DONTNEED)
            except OSError as error:
                raise translate(error, self.path, "reading back") from error

    def readinto(self, buffer: memoryview) -> int:
        """Fill `buffer`; fewer bytes only at the end of the range or of the file."""
        filled, wanted = 0, min(len(buffer), self._end - self._at)
        try:
            while filled < wanted and (
                count := os.preadv(self._descriptor, [buffer[filled:wanted]], self._at)
            ):
                filled += count
                self._at += count
        except OSError as error:
            raise translate(error, self.path, "reading back") from error
        return filled


class LogFile:
    """An existing file that grows by whole writes; it is locked while it is open.

    The lock keeps other writers out. Worker processes inherit `descriptor`, and with it the lock,
    which ends with the last of them. Raises `TemporaryError` while another process holds the lock.
    On a file system without locks there is no lock.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            require_regular(path, os.lstat(path))
            self.descriptor = os.open(path, os.O_RDWR | _EXISTING)
        except OSError as error:
            raise translate(error, path, "opening") from error
        try:
            self._lock()
        except BaseException:
            os.close(self.descriptor)
            raise

    def chunks(self) -> Iterator[bytes]:
        """The whole file from its start, in chunks."""
        at = 0
        try:
            while chunk := os.pread(self.descriptor, CHUNK_BYTES, at):
                yield chunk
                at += len(chunk)
        except OSError as error:
            raise translate(error, self.path, "reading") from error

    def truncate(self, size: int) -> None:
        try:
            os.ftruncate(self.descriptor, size)
        except OSError as error:
            raise translate(error, self.path, "truncating") from error

    def write(self, data: bytes, at: int) -> None:
        """Write `data` at byte `at`, in one call unless the system accepts only a part."""
        try:
            written = os.pwrite(self.descriptor, data, at)
            while written < len(data):
                written += os.pwrite(self.descriptor, memoryview(data)[written:], at + written)
        except OSError as error:
            raise translate(error, self.path, "writing") from error

    def sync(self) -> None:
        try:
            os.fdatasync(self.descriptor)
        except OSError as error:
            raise translate(error, self.path, "fdatasync") from error

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
                raise translate(error, self.path, "locking") from error
            else:
                return


def _close(descriptor: int, path: Path) -> None:
    try:
        os.close(descriptor)
    except OSError as error:  # NFS reports a full disk here
        raise translate(error, path, "closing") from error


def read_whole(path: Path) -> bytes | None:
    """Contents of a small file; None if there is none."""
    try:
        return b"".join(chunks_of(path))
    except FileNotFoundError:
        return None


def chunks_of(path: Path) -> Iterator[bytes]:
    """Contents of a file, in chunks. Raises FileNotFoundError if there is none."""
    try:
        require_regular(path, os.lstat(path))
        descriptor = os.open(path, os.O_RDONLY | _EXISTING)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise translate(error, path, "opening") from error
    try:
        while chunk := os.read(descriptor, CHUNK_BYTES):
            yield chunk
    except OSError as error:
        raise translate(error, path, "reading") from error
    finally:
        _close(descriptor, path)


def replace_whole(path: Path, data: bytes) -> None:
    """Set the contents of `path` to `data`, durable; after an error the file is unchanged."""
    file = OutputFile(new := path.with_name(path.name + ".new"))
    try:
        file.write(data)
        file.sync()
    finally:
        file.close()
    try:
        # All calls that change the disk use `os`, so that tests can record them.
        os.rename(new, path)  # noqa: PTH104
    except OSError as error:
        raise translate(error, path, "renaming") from error
    sync_directory(path.parent)


def size_of(path: Path) -> int | None:
    """Size of an output in bytes; None if there is none."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise translate(error, path, "reading its status") from error
    require_regular(path, status)
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
        try:
            cut(directory / name, size)
        except HesiodError:
            pass


def remove(path: Path) -> None:
    try:
        os.unlink(path)  # noqa: PTH108  tests record the calls of `os`
    except FileNotFoundError:
        pass
    except OSError as error:
        raise translate(error, path, "removing") from error


def make_directory(path: Path) -> None:
    """Make a directory, durable.

    Does not make its parents: one of them may be a missing mount.
    """
    try:
        os.mkdir(path)  # noqa: PTH102  tests record the calls of `os`
    except FileExistsError:
        return
    except OSError as error:
        raise translate(error, path, "creating it") from error
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make the names in `directory` durable."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise translate(error, directory, "fsync") from error
