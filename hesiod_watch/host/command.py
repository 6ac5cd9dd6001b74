"""Run one command to its end: no shell, always with a time limit, no process left behind.

`sh` starts the process in its own session and waits for it. This module reads the output itself,
for two reasons. rsync separates its progress by carriage returns. And a process that outlives the
command (ssh's shared connection) may keep the pipe open for hours: the end of the command counts,
not the end of its output.

If this process is killed, the kernel ends the command. So the next process that takes over the work
does not meet a command that still writes. This must be requested between fork and exec, where
Python must not run in a program with threads: `setpriv` does it.
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
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from hesiod_watch.core.errors import TemporaryError
from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.text import span_text

LARGEST = 1 << 30
"""Bytes of output that are kept. A million files with long names need a quarter of it."""
LARGEST_ERRORS = 1 << 20
TERM_GRACE = 5.0
"""Seconds between SIGTERM and SIGKILL: rsync uses them to save its partial file."""
_ABANDON = 5.0  # seconds after SIGKILL: a process that waits for a dead mount does not die
# From util-linux. The command ends with this thread, which waits for it.
_WITH_US = ("setpriv", "--pdeathsig", "TERM")
_POLL = 0.1  # seconds until the end of output, or a request to stop, is noticed


@frozen
class CommandResult:
    """Result of a command.

    `code` is negative for a signal; `why` is the reason if this program ended the command.
    """

    code: int
    output: bytes
    errors: str
    why: str = ""


class CommandRunner(Protocol):
    """Function that runs a command; the real one is `run`."""

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
    foreign: Mapping[str, str] | None = None,
) -> CommandResult:
    """Run `command` with `given` as its standard input; returns its result, however it ends.

    The command is ended, with all processes that it started, when it writes nothing for `quiet`
    seconds, when it writes more than LARGEST bytes, or when `stop` returns True. `directory` is an
    open directory in which it works. `on_output` gets the output in pieces as they arrive;
    otherwise the output is kept. A program that is not installed has exit code 127.

    `foreign` is the environment of a program about which nothing is known. Its errors are a part of
    its output, and each of its processes gets SIGTERM when it is ended.

    Raises only TemporaryError, if this host has no space for the input or no free descriptors.
    """
    if shutil.which(command[0]) is None:
        return CommandResult(127, b"", f"{command[0]}: not found")
    import sh  # a slow import, and most commands of hesiod-watch do not need it

    logging.getLogger("sh").setLevel(logging.WARNING)  # it logs every process that it starts
    with ExitStack() as opened:
        try:
            stdin = opened.enter_context(_file(given))
            output, out = _pipe(opened)
            errors, err = _pipe(opened)
        except OSError as error:  # no room for temporary files, or too many are open
            raise TemporaryError(f"{command[0]} cannot be started: {error}") from error
        reading = _PipeReader(output, errors, on_output)
        try:
            program, *arguments = (*_end_with_us(), *command)
            process = sh.Command(program)(
                *arguments,
                _in=stdin,
                _out=out,
                _err=err if foreign is None else out,
                _bg=True,
                _bg_exc=False,
                _new_session=True,
                _ok_code=list(range(-128, 256)),  # all: `exit_codes` decides what they mean
                _encoding="utf-8",
                _env={**os.environ, "LC_ALL": "C"} if foreign is None else dict(foreign),
                _preexec_fn=None if directory is None else lambda: os.fchdir(directory),
            )
        except (sh.CommandNotFound, sh.ForkException, OSError) as error:
            return CommandResult(126, b"", f"{command[0]}: {str(error).strip().splitlines()[-1]}")
        # The command has its own copies. Output ends when the last copy is closed.
        out.close()
        err.close()
        why = _wait_for_end(process, reading, quiet, stop, together=foreign is not None)
        reading.drain()
        return CommandResult(
            _code(process), bytes(reading.output), reading.errors.decode("utf-8", "replace"), why
        )


def _pipe(opened: ExitStack) -> tuple[int, BinaryIO]:
    """Create a pipe that is closed with `opened`; returns its read end and its write end."""
    read, write = os.pipe()
    opened.callback(os.close, read)
    return read, opened.enter_context(os.fdopen(write, "wb"))


@cache
def _end_with_us() -> tuple[str, ...]:
    """Prefix that ends the command with this process; empty if unavailable.

    Without it the command ends when it writes to a pipe without a reader.
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
    """Open file with `data`; the command gets its descriptor, so no thread has to fill a pipe."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 -- the caller closes it
    file.write(data)
    file.seek(0)
    return file


class _PipeReader:
    """Output and errors that a command has written so far."""

    def __init__(self, output: int, errors: int, on_output: Callable[[bytes], None] | None) -> None:
        self.output = bytearray()
        self.errors = bytearray()
        self._on_output = on_output
        self._open = {output: self._take_output, errors: self._take_errors}
        for descriptor in self._open:
            os.set_blocking(descriptor, False)

    def take(self, seconds: float) -> bool:
        """Wait up to `seconds` for output and take it; False if none came."""
        if not self._open:
            time.sleep(min(seconds, 0.005))  # the command ends soon
            return False
        poll = select.poll()  # not select.select, which allows no descriptor above 1023
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

    def drain(self) -> None:
        """Take the output that is available, without waiting for more."""
        while self._open and self.take(0):
            pass

    def _take_output(self, data: bytes) -> None:
        if self._on_output:
            self._on_output(data)
        else:
            self.output += data

    def _take_errors(self, data: bytes) -> None:
        self.errors += data
        del self.errors[:-LARGEST_ERRORS]


def _wait_for_end(
    process: Any,
    reading: _PipeReader,
    quiet: float,
    stop: Callable[[], bool],
    *,
    together: bool,
) -> str:
    """Wait for the end of a process; returns "" or the reason why this program ended it."""
    last_output = time.monotonic()
    while process.is_alive():
        if reading.take(_POLL):
            last_output = time.monotonic()
        if stop():
            why = "stopped"
        elif len(reading.output) > LARGEST:
            why = "it wrote more than can be true"
        elif time.monotonic() - last_output > quiet:
            why = f"nothing came for {span_text(quiet)}"
        else:
            continue
        _end(process, reading, together=together)
        return why
    return ""


def _end(process: Any, reading: _PipeReader, *, together: bool) -> None:
    """End a process and all that it started: SIGTERM first, then SIGKILL.

    Output is read meanwhile, so that the process does not block. Unless `together`, only the
    process itself gets SIGTERM: rsync passes it to its helpers, which then keep their partial
    files. The processes that it started have the remaining time to end.
    """
    with suppress(ProcessLookupError):
        # Its own session: the group has the same number.
        (os.killpg if together else os.kill)(process.pid, signal.SIGTERM)
    until = time.monotonic() + TERM_GRACE
    while (process.is_alive() or _group_lives(process.pid)) and time.monotonic() < until:
        reading.take(_POLL)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    until = time.monotonic() + _ABANDON
    while process.is_alive() and time.monotonic() < until:
        reading.take(_POLL)


def end_marked(variable: str, value: str) -> int:
    """End every process of this host that has this variable in its environment; returns how many.

    A command leaves them when this program was killed: only the command itself ends with it.
    SIGTERM first, then SIGKILL. Processes of other users are not seen.
    """
    mark = f"{variable}={value}".encode()
    ended = set(_marked(mark))
    for number, seconds in ((signal.SIGTERM, TERM_GRACE), (signal.SIGKILL, _ABANDON)):
        for pid in _marked(mark):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)
        until = time.monotonic() + seconds
        while _marked(mark) and time.monotonic() < until:
            time.sleep(_POLL)
    return len(ended)


def _marked(mark: bytes) -> list[int]:
    """Ids of the other processes with this entry in their environment; not those that ended."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):
            environment = Path(f"/proc/{pid}/environ").read_bytes()
            if mark in environment.split(b"\0") and int(pid) != os.getpid():
                found.append(int(pid))
    return found


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def _code(process: Any) -> int:
    """Exit code; that of SIGKILL for a process that cannot be killed and is abandoned."""
    if process.is_alive():
        return -signal.SIGKILL
    return int(process.exit_code)
