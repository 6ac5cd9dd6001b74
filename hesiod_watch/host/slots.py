"""Limit of concurrent workers on this host, shared by the service, polls and operators.

A slot is a locked file. The lock belongs to the open file, which the worker inherits. So the kernel
frees the slot when the worker and all its children have ended, however they ended. The limit holds
across restarts of the service, and between a service and a poll. No cleanup is needed.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from hesiod_watch.core.errors import HesiodError
from hesiod_watch.core.naming import display
from hesiod_watch.host.locks import lock_directory, lock_directory_in_use, take_one

PROCESSES = Path("/proc")


class WorkerSlots:
    """`count` slots of a kind, shared by all processes of this host for one landing area.

    There may be more of them, up to `most`, for a caller that asks for them.
    """

    def __init__(
        self, landing: Path, kind: str, count: int, *, most: int = 0, locks: Path | None = None
    ) -> None:
        self._landing = landing
        self._kind = kind
        self._count = count
        self._most = max(count, most)
        self._locks = locks

    def take(self, count: int | None = None) -> int | None:
        """Take one of the first `count` slots; returns its descriptor, or None if all are taken.

        The slot is held until every copy of the descriptor is closed. The descriptor is not
        inherited unless the caller passes it on explicitly. Raises PermanentError, OSError.
        """
        files = self._files(lock_directory(self._landing, self._locks))
        return take_one(files[: self._count if count is None else count])

    def held_here(self) -> int | None:
        """Descriptor of the slot that this process has inherited; None if it has none."""
        directory = lock_directory_in_use(self._landing, self._locks)
        files = self._files(directory.resolve()) if directory else []
        for descriptor in (PROCESSES / "self" / "fd").iterdir():
            with suppress(OSError):
                if descriptor.readlink() in files:
                    return int(descriptor.name)
        return None

    def _files(self, directory: Path) -> list[Path]:
        return [directory / f"{self._kind}-{number}" for number in range(self._most)]

    def holders(self) -> tuple[str, ...]:
        """Describe the work that holds each taken slot, such as "process RUN CELL"; takes none.

        Only processes of this user are visible; a slot with an unknown holder counts as free.
        """
        directory = lock_directory_in_use(self._landing, self._locks)
        if directory is None:
            return ()
        files = self._files(directory.resolve())
        found: dict[Path, str] = {}
        for descriptor in PROCESSES.glob("[0-9]*/fd/*"):
            with suppress(OSError):
                file = descriptor.readlink()
                if file in files and (work := _work_of(descriptor.parents[1])):
                    found[file] = work
        return tuple(found[file] for file in files if file in found)


class OwnSlot:
    """Slot of this worker, which it gives back while it waits.

    Slots limit load only. So if the locks cannot be used, the work continues. A worker that was
    started without a slot, such as one that a person started, needs none.
    """

    def __init__(self, slots: WorkerSlots, waiting: WorkerSlots) -> None:
        """`waiting`: slots of the workers that wait; they limit how many do so."""
        self._slots = slots
        self._waiting = waiting
        self._place: int | None = None  # descriptor among `waiting`; None while it has its slot

    def give_back(self) -> None:
        """Give the slot back, unless too many workers wait already."""
        if self._place is not None:
            return
        with suppress(HesiodError, OSError):
            own = self._slots.held_here()
            if own is None:
                return
            self._place = self._waiting.take()
            if self._place is not None:
                fcntl.flock(own, fcntl.LOCK_UN)  # also for copies that a child may have
                os.close(own)

    def take_again(self) -> bool:
        """Take a free slot if the own one was given back; returns whether the work may continue."""
        if self._place is None:
            return True
        with suppress(HesiodError, OSError):
            if self._slots.take() is None:
                return False
        os.close(self._place)
        self._place = None
        return True


def _work_of(process: Path) -> str:
    """Describe the action that a worker performs; "" for any other process."""
    words = (process / "cmdline").read_bytes().decode("utf-8", "surrogateescape").split("\0")
    if "perform" not in words or "--" not in words:
        return ""
    action, run_dir, *cell = [word for word in words[words.index("--") + 1 :] if word]
    return display(" ".join([action, Path(run_dir).name, *cell]))
