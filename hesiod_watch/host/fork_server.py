"""Fork server: a process that has loaded the work and forks a worker in milliseconds.

Most of a short action was the start of an interpreter and its imports. The fork server has done
both; each worker is a fork of it.

A worker is a child of the process that asked for it, not of the fork server (`CLONE_PARENT`). So
that process waits for it and learns its exit code or signal, whatever becomes of the fork server.
A worker runs in its own session and shows its own command line. It outlives the process that asked
for it and the fork server.

The steps of a start, so that no kill at any moment starts a worker twice or without an owner:

1. The asking process sends the arguments with the descriptors for the worker, one of them a
   channel. If the fork server has died, it starts another one.
2. The fork server forks. The worker sends its pid through the channel and waits.
3. The asking process notes the pid and answers. Only now does the worker begin. A worker whose
   channel ends before that ends without doing anything.

The fork server has one thread: a lock that another one held would stay locked in a fork. It closes
its copies of the descriptors after each fork, and ends when the process that started it has ended.
It loads all code of the work before its first fork, so no worker runs code of two versions. An
upgrade with pip replaces `hesiod_watch/__init__.py`; then the next start begins with a new fork
server, and the workers run the new code. After a change of single files, restart the service.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import platform
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import hesiod_watch
from hesiod_watch.host.child import open_log, own_command, own_module

ANSWER_SECONDS = 60.0
"""Longest wait for a worker's pid; a loaded host imports slowly. Then the fork server is ended."""
LONGEST_REQUEST = 1 << 16
"""Bytes of one request; paths have 4096 bytes at most."""
TITLE_ROOM = 1 << 14
"""Bytes kept free in the command line of the fork server for that of a worker."""

_CLONE_PARENT = 0x8000
# Numbers of clone(2), in the kernel's tables of system calls; no function of libc forks a sibling.
_CLONE = {
    **dict.fromkeys(("x86_64",), 56),
    **dict.fromkeys(("aarch64", "riscv64", "loongarch64"), 220),
    **dict.fromkeys(("ppc64le", "ppc64", "i386", "i686", "armv7l", "armv6l"), 120),
}


class ForkServer:
    """Starts workers. The fork server is started with the first one, and anew when it has died.

    Its process starts the module `module` of this program after `prefix`, such as `ionice`. `words`
    are shown in its command line. Until it serves, its errors are in the log of the worker that it
    is started for. Used by one thread.
    """

    def __init__(self, module: str, words: Sequence[str], prefix: Sequence[str] = ()) -> None:
        self._module = module
        self._words = tuple(words)
        self._prefix = tuple(prefix)
        self._process: subprocess.Popen[bytes] | None = None
        self._code = _code()
        self._socket = -1

    def start(
        self,
        arguments: Sequence[str],
        *,
        log: Path | None,
        inherit: Sequence[int],
        on_exit: Callable[[int, int], None],
    ) -> int:
        """Start a worker with these arguments of `hesiod-watch`; returns its pid.

        `on_exit` gets its pid and exit code, in another thread; the code is negative for a signal.
        Its output is appended to `log`, or discarded if `log` cannot be opened. `inherit` are
        descriptors that it keeps open. Raises OSError if it could not be started; it has then done
        nothing.
        """
        output = open_log(log)
        try:
            given = (output, *inherit)
            pid = self._fork(arguments, given) or self._fork(arguments, given)
        finally:
            os.close(output)
        if pid is None:
            code = self._process.poll() if self._process else None
            raise OSError(0, f"its fork server ended with code {code}")

        def wait() -> None:
            on_exit(pid, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

        threading.Thread(target=wait, name=f"wait-{pid}", daemon=True).start()
        return pid

    def close(self) -> None:
        """End the fork server; its workers continue."""
        if self._socket >= 0:
            os.close(self._socket)
            self._socket = -1

    def __del__(self) -> None:
        self.close()

    def _fork(self, arguments: Sequence[str], given: Sequence[int]) -> int | None:
        """Start one worker; None if the fork server ended before the worker began.

        Raises OSError if it could not fork.
        """
        if self._process is None or self._process.poll() is not None or self._code != _code():
            self._launch(given[0])
        request = json.dumps(list(arguments)).encode()
        ours, theirs = socket.socketpair()
        with ours:
            with (
                theirs,
                socket.socket(fileno=os.dup(self._socket)) as server,
                suppress(BrokenPipeError, ConnectionResetError),
            ):
                socket.send_fds(server, [request], [theirs.fileno(), *given])
            ours.settimeout(ANSWER_SECONDS)
            try:
                answer = int(ours.recv(32) or b"0")
            except (TimeoutError, ConnectionResetError):
                answer = 0
            if answer > 0:
                with suppress(BrokenPipeError, ConnectionResetError):  # it has just died
                    ours.send(b"\n")
                return answer
        if answer < 0:
            raise OSError(-answer, os.strerror(-answer))
        self._end()
        return None

    def _launch(self, output: int) -> None:
        self.close()
        code = _code()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs:
            process = subprocess.Popen(
                (
                    *self._prefix,
                    *own_module(self._module),
                    *self._words,
                    str(theirs.fileno()),
                    " " * TITLE_ROOM,
                ),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                pass_fds=(theirs.fileno(),),
                cwd="/",
            )
            self._process, self._code = process, code
            self._socket = ours.detach()
        # Reaps it whenever it ends.
        threading.Thread(target=process.wait, name="wait-fork-server", daemon=True).start()

    def _end(self) -> None:
        """End a fork server that does not answer, and wait until it has ended."""
        self.close()
        if self._process:
            self._process.kill()
            self._process.wait()


def _code() -> tuple[int, int] | None:
    """State of this program's code on disk: another one after an upgrade. None: it is missing."""
    try:
        status = Path(hesiod_watch.__file__).stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def serve(descriptor: int, call: Callable[[list[str]], int]) -> int:
    """Fork a worker for each request, until the socket is closed.

    Returns the exit code of this process, which is the fork server or one of its workers. A worker
    is given its arguments by `call`.
    """
    if (threads := len(os.listdir("/proc/self/task"))) > 1:
        sys.exit(f"a process with {threads} threads cannot fork workers")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (1, 2):  # the log of the first worker must not stay open
        os.dup2(nowhere, standard)
    os.close(nowhere)
    title = _Title()
    title.write((sys.executable, *sys.orig_argv[1:-1]))
    with socket.socket(fileno=descriptor) as requests:
        while True:
            request, descriptors, _, _ = socket.recv_fds(requests, LONGEST_REQUEST, 4)
            if not request:
                return 0
            try:
                if _fork_sibling() == 0:
                    break
            except OSError as error:
                os.write(descriptors[0], b"-%d" % (error.errno or errno.EAGAIN))
            for each in descriptors:
                os.close(each)
    arguments: list[str] = json.loads(request)
    os.setsid()
    channel, output, *kept = descriptors
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    for each in kept:
        os.set_inheritable(each, True)
    title.write(own_command(*arguments))
    with socket.socket(fileno=channel) as asker:
        asker.send(b"%d" % os.getpid())
        if not asker.recv(1):
            return 0  # nothing waits for this worker: it was not started
    return call(arguments)


def _fork_sibling() -> int:
    """`os.fork`, but the child is a child of this process's parent. Raises OSError."""
    number = _CLONE.get(platform.machine())
    if number is None:
        raise OSError(errno.ENOSYS, f"workers cannot be forked on {platform.machine()}")
    libc = ctypes.PyDLL(None, use_errno=True)  # keeps the interpreter's lock, as os.fork does
    flags = ctypes.c_long(_CLONE_PARENT | signal.SIGCHLD)
    nothing = ctypes.c_long(0)
    ctypes.pythonapi.PyOS_BeforeFork()
    pid: int = libc.syscall(ctypes.c_long(number), flags, *(nothing,) * 4)
    if pid == 0:
        ctypes.pythonapi.PyOS_AfterFork_Child()
        return 0
    ctypes.pythonapi.PyOS_AfterFork_Parent()
    if pid < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return pid


class _Title:
    """Command line of this process, as other processes see it; `TITLE_ROOM` limits its length."""

    def __init__(self) -> None:
        self._start = self._room = 0
        with suppress(OSError, IndexError):  # without /proc, no process sees command lines
            fields = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
            start, end = int(fields[45]), int(fields[46])
            self._start, self._room = start, end - start

    def write(self, words: Sequence[str]) -> None:
        """Replace the command line. The rest of its room is filled with NUL."""
        if self._start and self._room > 1:
            text = b"\0".join(map(os.fsencode, words))[: self._room - 1]
            ctypes.memmove(self._start, text.ljust(self._room, b"\0"), self._room)
