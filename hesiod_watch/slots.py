"""How many workers this host may run at once, whoever starts them: a service, polls, an operator.

A slot is a locked file in a private directory on a local disk. The lock (flock) belongs to the open file,
which is handed down to the worker: the kernel gives the slot back when the worker and all it started have
ended, however they ended. So the bound holds across restarts of the service and between a service and a
poll, and nothing has to be cleaned up. It bounds load only; who works on which cell is decided by claims.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
import tempfile
from pathlib import Path

from hesiod_watch.errors import PermanentError


class Slots:
    """`count` slots shared by everything on this host that works for the same landing area."""

    def __init__(self, landing: Path, count: int, *, base: Path | None = None) -> None:
        digest = hashlib.sha256(os.fsencode(landing)).hexdigest()[:12]
        root = base or Path(tempfile.gettempdir())
        self.directory = root / f"hesiod-watch-{os.getuid()}-{digest}"
        self.count = count

    def take(self) -> int | None:
        """An open descriptor that holds a slot until it is closed in every process; None when all are taken.

        The descriptor is not inherited unless the caller passes it on explicitly.
        """
        self._prepare()
        for number in range(self.count):
            descriptor = os.open(self.directory / f"slot-{number}", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(descriptor)
                continue
            return descriptor
        return None

    def _prepare(self) -> None:
        self.directory.mkdir(mode=0o700, exist_ok=True)
        found = self.directory.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            raise PermanentError(
                f"{self.directory} is not a directory of this user; remove it: it only holds locks that count workers"
            )
