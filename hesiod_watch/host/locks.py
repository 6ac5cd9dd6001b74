"""Locks among this user's processes on this host; the kernel releases them at process end.

The lock files are in a private directory on a local disk, because flock is not reliable on network
mounts. Locks limit load (`slots`), and they order the processes of one host where only this host
can judge. Flags decide, for all hosts, which process may work on a cell or run.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hesiod_watch.core.errors import PermanentError
from hesiod_watch.host.files import open_or_create


def lock_directory(landing: Path, base: Path | None = None) -> Path:
    """Directory of the locks for a landing area; created if needed.

    Raises PermanentError when another user made it: in a shared directory for temporary files every
    user can.
    """
    digest = hashlib.sha256(os.fsencode(landing)).hexdigest()[:12]
    directory = (base or Path(tempfile.gettempdir())) / f"hesiod-watch-{os.getuid()}-{digest}"
    directory.mkdir(mode=0o700, exist_ok=True)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise PermanentError(
            f"{directory} is not a directory of this user; remove it: it only contains locks"
        )
    return directory


def open_lock(path: Path) -> int:
    """Open a lock file; flock on the descriptor locks it until its last copy is closed."""
    return open_or_create(path, os.O_RDWR, 0o600)


def take_one(files: Iterable[Path]) -> int | None:
    """Lock the first free file; returns its descriptor, or None if all are locked."""
    for file in files:
        descriptor = open_lock(file)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            continue
        return descriptor
    return None


@contextmanager
def alone_on_this_host(landing: Path, what: str) -> Iterator[None]:
    """Admit one process of this user on this host at a time for each `what`; others wait."""
    name = hashlib.sha256(os.fsencode(what)).hexdigest()[:2]  # 256 files serve any number of names
    descriptor = open_lock(lock_directory(landing) / f"alone-{name}")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
