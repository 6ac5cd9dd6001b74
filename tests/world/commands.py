"""Start the commands of the program, such as rsync, faster than `sh` does.

`sh` copies the page tables of the process that starts a command, and runs Python in the copy. That
costs more than most commands, and a world runs hundreds of them.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

import sh

from hesiod_watch.host import command


def start_fast() -> None:
    """Have this process start its commands by vfork, where it used `sh`.

    No command outlives this process: it is killed or stopped only while it changes something
    itself.
    """
    sh.__dict__["Command"] = _Command
    command.__dict__["_end_with_us"] = tuple


class _Command:
    """Command as `hesiod_watch.host.command` uses it."""

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
        before = os.open(".", os.O_PATH)
        try:
            if _preexec_fn:
                _preexec_fn()  # changes the directory
            started = subprocess.Popen(
                (self._program, *arguments),
                stdin=_in,
                stdout=_out,
                stderr=_err,
                env=dict(_env),
                start_new_session=True,
            )
        finally:
            os.fchdir(before)
            os.close(before)
        return _Process(started)


class _Process:
    """Process that was started, as `sh` describes it."""

    def __init__(self, started: subprocess.Popen[bytes]) -> None:
        self._started = started
        self.pid = started.pid

    def is_alive(self) -> bool:
        return self._started.poll() is None

    @property
    def exit_code(self) -> int:
        return self._started.wait()
