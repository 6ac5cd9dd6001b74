"""Limit of concurrent workers on this host, shared by the service, polls and operators.

A slot is a locked file. The lock belongs to the open file, which the worker inherits. So the kernel
frees the slot when the worker and all its children have ended, however they ended. The limit holds
across restarts of the service, and between a service and a poll. No cleanup is needed.
"""

from __future__ import annotations

from pathlib import Path

from hesiod_watch.host.locks import lock_directory, take_one


class WorkerSlots:
    """`count` slots of a kind, shared by all processes of this host for one landing area."""

    def __init__(self, landing: Path, kind: str, count: int, *, locks: Path | None = None) -> None:
        self._landing = landing
        self._kind = kind
        self._count = count
        self._locks = locks

    def take(self) -> int | None:
        """Take a slot; returns its descriptor, or None if all are taken.

        The slot is held until every copy of the descriptor is closed. The descriptor is not
        inherited unless the caller passes it on explicitly. Raises PermanentError, OSError.
        """
        directory = lock_directory(self._landing, self._locks)
        return take_one(directory / f"{self._kind}-{number}" for number in range(self._count))
