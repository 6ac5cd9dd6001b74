"""Queue of runs to look at: each run at most once, none forgotten.

A run that is hinted at during its look is marked dirty and is queued again afterwards. A run that
already waits is not queued twice. Later looks are stored as times, not as threads. This is the
queue of client-go (`util/workqueue`), with `get` for one consumer and `add` from any thread.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path


class WorkQueue:
    """Runs that wait for a look, in the order of their first hint."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._waiting: OrderedDict[Path, None] = OrderedDict()
        self._processing: set[Path] = set()
        self._dirty: set[Path] = set()
        self._later: list[tuple[float, Path]] = []
        self._due: dict[Path, float] = {}
        self._woken = False

    def add(self, run: Path, *, first: bool = False) -> None:
        """Look at this run as soon as possible; `first`: before all that wait now."""
        with self._changed:
            self._add(run)
            if first and run in self._waiting:
                self._waiting.move_to_end(run, last=False)
            self._changed.notify()

    def add_after(self, run: Path, delay: float) -> None:
        """Look at this run in `delay` seconds, unless an earlier look is planned already."""
        due = self._clock() + max(0.0, delay)
        with self._changed:
            if run in self._due and self._due[run] <= due:
                return
            self._due[run] = due
            heapq.heappush(self._later, (due, run))
            self._changed.notify()

    def get(self, timeout: float | None = None) -> Path | None:
        """Next run, or None after `timeout` seconds or a `wake`.

        Call `done` with the run afterwards.
        """
        deadline = None if timeout is None else self._clock() + timeout
        with self._changed:
            while True:
                self._promote()
                if self._waiting:
                    run, _ = self._waiting.popitem(last=False)
                    self._processing.add(run)
                    return run
                if self._woken:
                    self._woken = False
                    return None
                now = self._clock()
                if deadline is not None and now >= deadline:
                    return None
                waits = [
                    when - now
                    for when in (deadline, self._later[0][0] if self._later else None)
                    if when is not None
                ]
                self._changed.wait(min(waits) if waits else None)

    def done(self, run: Path) -> None:
        """End the look at this run; if it was hinted at meanwhile, it waits again."""
        with self._changed:
            self._processing.discard(run)
            if run in self._dirty:
                self._dirty.discard(run)
                self._add(run)
                self._changed.notify()

    def wake(self) -> None:
        """Make a waiting `get` return None now."""
        with self._changed:
            self._woken = True
            self._changed.notify()

    def __len__(self) -> int:
        """Number of runs that wait for a look now; later looks are not counted."""
        with self._changed:
            self._promote()
            return len(self._waiting) + len(self._dirty)

    def _add(self, run: Path) -> None:
        if run in self._processing:
            self._dirty.add(run)
        else:
            self._waiting[run] = None

    def _promote(self) -> None:
        now = self._clock()
        while self._later and self._later[0][0] <= now:
            due, run = heapq.heappop(self._later)
            if self._due.get(run) == due:  # else an earlier look has replaced this one
                del self._due[run]
                self._add(run)
