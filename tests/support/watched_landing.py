"""A landing area with a real watcher; the test controls its clock."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from hesiod_watch.runs.landing import Batch, LandingArea
from hesiod_watch.service.watch.watcher import Engine, Watcher

CELL = "20190710_1723_2-A5-D5_PAD38578_c6ded78b"
DEADLINE = 30.0
"""Seconds that a test waits at most; an idle machine needs a millisecond."""
HOUR = 3600.0
LONG = 1000 * HOUR


class Hints:
    """Collects hints and waits for them. While `held` is locked, senders of hints wait."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._all: list[Path | None] = []
        self.held = threading.Lock()

    def __call__(self, run: Path | None) -> None:
        with self.held, self._changed:
            self._all.append(run)
            self._changed.notify_all()

    @property
    def all(self) -> list[Path | None]:
        with self._changed:
            return list(self._all)

    def clear(self) -> None:
        with self._changed:
            self._all.clear()

    def has(self, *runs: Path | None) -> bool:
        """Whether all these hints arrive before the deadline."""
        with self._changed:
            return self._changed.wait_for(lambda: set(runs) <= set(self._all), DEADLINE)


class Watched:
    """A landing area that is watched inside a `with` block.

    `sweep` moves the clock to the next sweep and runs it.
    """

    def __init__(self, path: Path, engine: Engine = "auto", batch: Batch = "none") -> None:
        self.path = path
        self.hints = Hints()
        self.now = 1000.0
        self.settled: set[Path] = set()
        self.watching = Watcher(
            LandingArea(path, batch),
            self.hints,
            engine=engine,
            sweep_interval=10.0,
            full_sweep_interval=LONG,
            settled=self.settled.__contains__,
            clock=lambda: self.now,
        )

    def __enter__(self) -> Watched:
        self.watching.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.watching.stop()

    def state(self) -> str:
        return self.watching.state

    def sweep(self, times: int = 1) -> None:
        for _ in range(times):
            self.now += self.watching.next_check()
            self.watching.check()

    def settle(self) -> None:
        """Wait until all present kernel events are delivered, by the event of a new run."""
        marker = self.path / f"marker_{time.monotonic_ns()}"
        marker.mkdir()
        assert self.hints.has(marker)


def wait_until(condition: Callable[[], bool]) -> bool:
    """Whether the condition becomes true before the deadline."""
    end = time.monotonic() + DEADLINE
    pause = threading.Event()
    while not condition():
        if time.monotonic() > end:
            return False
        pause.wait(0.01)
    return True


def add_run(landing: Path, name: str) -> Path:
    """Make a run with one cell; return the cell."""
    cell = landing / name / "lib" / CELL
    cell.mkdir(parents=True)
    return cell
