"""Locks among the processes of this user on this host, given back by the kernel however a process
ends.

They lie in a private directory on a local disk, because flock is not to be relied on over network
mounts. They bound load (`slots`) and put the processes of one host in order where only this host
can judge; who may work on what is decided by flags, for all hosts.
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


def lock_directory(landing: Path, base: Path | None = None) -> Path:
    """The directory of the locks that belong to a landing area; made if need be.

    Raises PermanentError when somebody else has made it: in a shared directory for temporary files
    anybody can.
    """
    digest = hashlib.sha256(os.fsencode(landing)).hexdigest()[:12]
    directory = (base or Path(tempfile.gettempdir())) / f"hesiod-watch-{os.getuid()}-{digest}"
    directory.mkdir(mode=0o700, exist_ok=True)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise PermanentError(
            f"{directory} is not a directory of this user; remove it: it only holds locks"
        )
    return directory


def open_lock(path: Path) -> int:
    """An open descriptor of a lock file; the lock is taken with flock on it and ends with its last
    copy.
    """
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def take_one(files: Iterable[Path]) -> int | None:
    """Lock the first file that nobody has locked: the descriptor that holds the lock; None when all
    are taken.
    """
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
    """At most one process of this user on this host is inside for the same `what`; others wait."""
    name = hashlib.sha256(os.fsencode(what)).hexdigest()[:2]  # 256 files serve any number of names
    descriptor = open_lock(lock_directory(landing) / f"alone-{name}")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
