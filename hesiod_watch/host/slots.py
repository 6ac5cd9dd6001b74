"""How many workers this host may run at once, whoever starts them: a service, polls, an operator.

A slot is a locked file; the lock belongs to the open file, which is handed down to the worker. So
the kernel gives the slot back when the worker and all it started have ended, however they ended:
the bound holds across restarts of the service and between a service and a poll, and nothing has to
be cleaned up.
"""

from __future__ import annotations

from pathlib import Path

from hesiod_watch.host.locks import lock_directory, take_one


class WorkerSlots:
    """`count` slots of a kind, shared by everything on this host that works for the same landing
    area.
    """

    def __init__(self, landing: Path, kind: str, count: int, *, base: Path | None = None) -> None:
        self._landing = landing
        self._kind = kind
        self._count = count
        self._base = base

    def take(self) -> int | None:
        """An open descriptor that holds a slot until it is closed in every process; None when all
        are taken.

        It is not inherited unless the caller passes it on explicitly. Raises PermanentError,
        OSError.
        """
        directory = lock_directory(self._landing, self._base)
        return take_one(directory / f"{self._kind}-{number}" for number in range(self._count))
