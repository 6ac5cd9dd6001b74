"""Running one command to its end: never through a shell, never without a limit, never leaving
anything behind.

`sh` starts the process, in a session of its own, and waits for it. Output is read here, because
rsync divides its progress by carriage returns, and because a process that outlives the command
(ssh's shared connection) may hold the pipe open for hours: what counts is the end of the command,
not the end of its output.

Where this process is killed the kernel ends the command, so that nobody who takes the work over
meets it still writing. That has to be asked for between fork and exec, where Python must not run
when there are threads: `setpriv` does it.
"""

from __future__ import annotations

import logging
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import cache
from typing import Any, BinaryIO, Protocol

from hesiod_watch.core.errors import TemporaryError
from hesiod_watch.core.text import number_of

LARGEST = 1 << 30
"""Bytes of output that are kept. A million files with long names make a quarter of it."""
LARGEST_ERRORS = 1 << 20
TERM_GRACE = 5.0
"""Seconds that a command has between being asked to end and being killed: rsync saves what it has
of a file.
"""
_ABANDON = 5.0  # seconds after SIGKILL: a process that waits for a dead mount does not die
_WITH_US = (
    "setpriv",
    "--pdeathsig",
    "TERM",
)  # of util-linux; ends with this thread, which waits for the command
_POLL = 0.1  # seconds from the end of output, or from a wish to stop, to our noticing


@dataclass(frozen=True, slots=True)
class CommandResult:
    """How a command ended. `code` is negative for a signal; `why` says so where it was we who ended
    it.
    """

    code: int
    output: bytes
    errors: str
    why: str = ""


class CommandRunner(Protocol):
    """Runs a command. The one that is real is `run`."""

    def __call__(
        self,
        command: Sequence[str],
        *,
        quiet: float,
        given: bytes = b"",
        directory: int | None = None,
        on_output: Callable[[bytes], None] | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> CommandResult: ...


def run(
    command: Sequence[str],
    *,
    quiet: float,
    given: bytes = b"",
    directory: int | None = None,
    on_output: Callable[[bytes], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> CommandResult:
    """Run `command` with `given` as its standard input; never raises for how it ends, but
    TemporaryError where this host has no room for its input, or no descriptors.

    It is ended, with all that it started, when nothing has come from it for `quiet` seconds, when
    it writes more than LARGEST bytes, or when `stop` says so. `directory` is an open directory that
    it works in. Output goes to `on_output` in pieces as they come instead of being kept. A program
    that is not installed ends with code 127.
    """
    if shutil.which(command[0]) is None:
        return CommandResult(127, b"", f"{command[0]}: not found")
    import sh  # it takes a while, and most commands of hesiod-watch never get here

    logging.getLogger("sh").setLevel(logging.WARNING)  # it tells of every process that it starts
    with ExitStack() as opened:
        try:
            stdin = opened.enter_context(_file(given))
            output, out = _pipe(opened)
            errors, err = _pipe(opened)
        except OSError as error:  # no room for temporary files, or too many are open
            raise TemporaryError(f"{command[0]} cannot be started: {error}") from error
        reading = _PipeReader(output, errors, on_output)
        try:
            program, *arguments = (*_with_us(), *command)
            process = sh.Command(program)(
                *arguments,
                _in=stdin,
                _out=out,
                _err=err,
                _bg=True,
                _bg_exc=False,
                _new_session=True,
                _ok_code=list(range(-128, 256)),  # all: what they mean is for `exit_codes`
                _encoding="utf-8",
                _env={**os.environ, "LC_ALL": "C"},
                _preexec_fn=None if directory is None else lambda: os.fchdir(directory),
            )
        except (sh.CommandNotFound, sh.ForkException, OSError) as error:
            return CommandResult(126, b"", f"{command[0]}: {str(error).strip().splitlines()[-1]}")
        out.close()  # the command has its own, and the last of these to be closed ends what is read
        err.close()
        why = _attend(process, reading, quiet, stop)
        reading.rest()
        return CommandResult(
            _code(process), bytes(reading.output), reading.errors.decode("utf-8", "replace"), why
        )


def _pipe(opened: ExitStack) -> tuple[int, BinaryIO]:
    """A pipe whose ends are closed with `opened`: where it is read, and where it is written."""
    read, write = os.pipe()
    opened.callback(os.close, read)
    return read, opened.enter_context(os.fdopen(write, "wb"))


@cache
def _with_us() -> tuple[str, ...]:
    """What to put before a command, so that it does not outlive this process; nothing where that
    cannot be had.

    Then it ends when it finds that nobody reads what it writes.
    """
    try:
        tried = subprocess.run(
            (*_WITH_US, "true"),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TERM_GRACE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return () if tried.returncode else _WITH_US


def _file(data: bytes) -> BinaryIO:
    """An open file with `data`: a descriptor that is handed down, so that no thread has to feed a
    pipe.
    """
    file = tempfile.TemporaryFile()  # noqa: SIM115 -- the caller closes it
    file.write(data)
    file.seek(0)
    return file


class _PipeReader:
    """What a command has written so far."""

    def __init__(self, output: int, errors: int, on_output: Callable[[bytes], None] | None) -> None:
        self.output = bytearray()
        self.errors = bytearray()
        self._on_output = on_output
        self._open = {output: self._take_output, errors: self._take_errors}
        for descriptor in self._open:
            os.set_blocking(descriptor, False)

    def once(self, seconds: float) -> bool:
        """Wait for output and take it; False when none came."""
        if not self._open:
            time.sleep(min(seconds, 0.005))  # its end is near
            return False
        poll = select.poll()  # and not select.select, which knows no descriptor above 1023
        for descriptor in self._open:
            poll.register(descriptor, select.POLLIN)
        ready = poll.poll(seconds * 1000)
        for descriptor, _ in ready:
            try:
                data = os.read(descriptor, 1 << 16)
            except BlockingIOError:
                continue
            if data:
                self._open[descriptor](data)
            else:
                del self._open[descriptor]
        return bool(ready)

    def rest(self) -> None:
        """Take what is there, and not wait for more."""
        while self._open and self.once(0):
            pass

    def _take_output(self, data: bytes) -> None:
        if self._on_output:
            self._on_output(data)
        else:
            self.output += data

    def _take_errors(self, data: bytes) -> None:
        self.errors += data
        del self.errors[:-LARGEST_ERRORS]


def _attend(process: Any, reading: _PipeReader, quiet: float, stop: Callable[[], bool]) -> str:
    """Wait for the end of a process; "" or why we brought it about."""
    heard = time.monotonic()
    while process.is_alive():
        if reading.once(_POLL):
            heard = time.monotonic()
        if stop():
            why = "stopped"
        elif len(reading.output) > LARGEST:
            why = "it wrote more than can be true"
        elif time.monotonic() - heard > quiet:
            why = f"nothing came for {number_of(round(quiet), 'second')}"
        else:
            continue
        _end(process, reading)
        return why
    return ""


def _end(process: Any, reading: _PipeReader) -> None:
    """End a process and all that it started: ask it first, then kill. Output is read meanwhile,
    lest it block.

    Only the process itself is asked: rsync tells its helpers, which then keep what they have of a
    file. What it started has the rest of its time to end after it.
    """
    with suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGTERM)
    until = time.monotonic() + TERM_GRACE
    while (process.is_alive() or _group_lives(process.pid)) and time.monotonic() < until:
        reading.once(_POLL)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # a session of its own: its group has its number
    until = time.monotonic() + _ABANDON
    while process.is_alive() and time.monotonic() < until:
        reading.once(_POLL)


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def _code(process: Any) -> int:
    """The exit code; that of SIGKILL for a process that cannot even be killed, and is left to
    itself.
    """
    if process.is_alive():
        return -signal.SIGKILL
    return int(process.exit_code)
