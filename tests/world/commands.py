"""Commands of the program, such as rsync: started faster than by `sh`, and hung or slow by fault.

`sh` copies the page tables of the process that starts a command, and runs Python in the copy. That
costs more than most commands, and a world runs hundreds of them.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import sh

from hesiod_watch.host import command

MOMENT = 30.0
"""Seconds that pass each time the program looks at a command that hangs."""
SLOW = 45.0
"""Seconds until a slow command begins; shorter than the silence that ends a command."""


@dataclass
class Slowness:
    """How commands in a directory fail to answer: from which one on, and for how long."""

    place: str
    after: int  # number of commands of a process that answer at once
    for_ever: bool

    def begins(self, arguments: tuple[str, ...]) -> bool:
        """Whether this command, which is about to be started, is one of them."""
        if not any(each.startswith(self.place) for each in arguments):
            return False
        self.after -= 1
        return self.after < 0


def start_fast(slowness: Slowness | None) -> None:
    """Have this process start its commands by vfork, where it used `sh`.

    No command outlives this process: it is killed or stopped only while it changes something
    itself.
    """

    class Command(_Command):
        slow = slowness

    sh.__dict__["Command"] = Command
    command.__dict__["_end_with_us"] = tuple


class _Command:
    """Command as `hesiod_watch.host.command` uses it."""

    slow: Slowness | None = None

    def __init__(self, program: str) -> None:
        self._program = program

    def __call__(
        self,
        *arguments: str,
        _in: BinaryIO,
        _out: BinaryIO,
        _err: BinaryIO,
        _env: Mapping[str, str],
        _preexec_fn: Callable[[], None] | None,
        **_named: Any,
    ) -> _Process:
        words, hangs = (self._program, *arguments), False
        if self.slow and self.slow.begins(arguments):
            if hangs := self.slow.for_ever:
                words = ("sleep", "infinity")
            else:
                time.sleep(SLOW)  # by the clock of the world: no time passes
        before = os.open(".", os.O_PATH)
        try:
            if _preexec_fn:
                _preexec_fn()  # changes the directory
            started = subprocess.Popen(
                words,
                stdin=_in,
                stdout=_out,
                stderr=_err,
                env=dict(_env),
                start_new_session=True,
            )
        finally:
            os.fchdir(before)
            os.close(before)
        return _Process(started, hangs)


class _Process:
    """Process that was started, as `sh` describes it."""

    def __init__(self, started: subprocess.Popen[bytes], hangs: bool) -> None:
        self._started, self._hangs = started, hangs
        self.pid = started.pid

    def is_alive(self) -> bool:
        if self._hangs:
            time.sleep(MOMENT)  # by the clock of the world: no time passes
        return self._started.poll() is None

    @property
    def exit_code(self) -> int:
        return self._started.wait()
