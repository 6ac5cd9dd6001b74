"""The same in each life of a schedule: time, random names, and the order of threads.

All of this is set in a process of the program, after it was forked.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

LONGEST_WAIT = 2 * 3600.0
"""Seconds that a process of the program may wait in all."""
PATIENT = ("hesiod_watch.actions.process", "hesiod_watch.actions.patience")
"""Modules that wait for ever for an ingest that is stopped, or for a file system that is away."""
PATIENCE = 300.0
"""Seconds after which somebody kills such a process."""
MOMENT = 0.005
"""Seconds of the longest wait that is a real one: the program waits so for the end of a command."""


def make_repeatable(place: Path, name: str, minute: float, hindered: Callable[[], bool]) -> None:
    """Set everything for the process of this name, which has its temporary files in `place`.

    `hindered` says whether another process is stopped, or a file system is away.
    """
    Clock(minute, hindered)
    numbers = itertools.count()

    def urandom(count: int) -> bytes:
        return hashlib.shake_256(f"{name} {next(numbers)}".encode()).digest(count)

    os.__dict__["urandom"] = urandom
    os.environ["TMPDIR"] = str(place)
    tempfile.tempdir = None  # a new process has not chosen a directory yet
    names = tempfile.__dict__["_RandomNameSequence"]
    setattr(names, "__next__", lambda _: urandom(4).hex())  # noqa: B010  in this process only
    for module in _modules("ThreadPoolExecutor", type):
        module.__dict__["ThreadPoolExecutor"] = _OneAfterTheOther


class Clock:
    """Waiting in this process: a wait is over at once, and all files become that much older.

    The program calls a file finished that has not changed for a minute, by the clock of the file
    system. The world cannot change that clock, so it changes the minute. The clock that measures
    durations advances only by what the program waits.
    """

    def __init__(self, minute: float, hindered: Callable[[], bool]) -> None:
        self.minute, self.hindered = minute, hindered
        self.waited = 0.0
        self._quiet = _modules("QUIET", float)
        self._set()
        began, self._really_sleep = time.monotonic(), time.sleep
        time.__dict__["sleep"] = self.sleep
        time.__dict__["monotonic"] = lambda: began + self.waited

    def sleep(self, seconds: float) -> None:
        if seconds <= MOMENT:
            self._really_sleep(seconds)
            return
        self.waited += seconds
        caller = sys._getframe(1).f_globals["__name__"]
        if caller in PATIENT and self.waited > PATIENCE and self.hindered():
            os.kill(os.getpid(), signal.SIGKILL)
        if self.waited > LONGEST_WAIT:
            raise AssertionError(f"waited for {LONGEST_WAIT:.0f} s in vain")
        self._set()

    def _set(self) -> None:
        for module in self._quiet:
            module.__dict__["QUIET"] = max(0.0, self.minute - self.waited)


class _OneAfterTheOther(Executor):
    """A pool that performs each call at once, in the thread of its caller."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        ThreadPoolExecutor(*arguments, **named).shutdown()  # refuses what the real one refuses

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()
        try:
            future.set_result(function(*arguments, **named))
        except BaseException as error:  # noqa: BLE001  the caller gets it, as from a thread
            future.set_exception(error)
        return future


@cache
def _modules(name: str, kind: type) -> list[ModuleType]:
    """Modules of the program that have a value of this kind under this name."""
    loaded: Iterable[ModuleType] = list(sys.modules.values())
    return [
        module
        for module in loaded
        if module.__name__.startswith("hesiod_watch.")
        and isinstance(getattr(module, name, None), kind)
    ]


def find_modules() -> None:
    """Find, before the first fork, the modules that each process changes."""
    _modules("ThreadPoolExecutor", type)
    _modules("QUIET", float)
