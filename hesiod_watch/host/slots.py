"""Limit of concurrent workers on this host, shared by the service, polls and operators.

A slot is a locked file. The lock belongs to the open file, which the worker inherits. So the kernel
frees the slot when the worker and all its children have ended, however they ended. The limit holds
across restarts of the service, and between a service and a poll. No cleanup is needed.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from hesiod_watch.core.naming import display
from hesiod_watch.host.locks import lock_directory, lock_directory_in_use, take_one

PROCESSES = Path("/proc")


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

    def holders(self) -> tuple[str, ...]:
        """Describe the work that holds each taken slot, such as "process RUN CELL"; takes none.

        Only processes of this user are visible; a slot with an unknown holder counts as free.
        """
        directory = lock_directory_in_use(self._landing, self._locks)
        if directory is None:
            return ()
        files = [directory.resolve() / f"{self._kind}-{number}" for number in range(self._count)]
        found: dict[Path, str] = {}
        for descriptor in PROCESSES.glob("[0-9]*/fd/*"):
            with suppress(OSError):
                file = descriptor.readlink()
                if file in files and (work := _work_of(descriptor.parents[1])):
                    found[file] = work
        return tuple(found[file] for file in files if file in found)


def _work_of(process: Path) -> str:
    """Describe the action that a worker performs; "" for any other process."""
    words = (process / "cmdline").read_bytes().decode("utf-8", "surrogateescape").split("\0")
    if "perform" not in words or "--" not in words:
        return ""
    action, run_dir, *cell = [word for word in words[words.index("--") + 1 :] if word]
    return display(" ".join([action, Path(run_dir).name, *cell]))
