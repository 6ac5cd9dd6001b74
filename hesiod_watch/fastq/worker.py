"""Worker process that writes outputs for its parent.

It is started as `python -m hesiod_watch.fastq.worker DESCRIPTOR PARENT`. It receives one task at a
time over the socket DESCRIPTOR and sends the result; `pool` is the other end. It ends when the
socket is closed. The kernel kills it when its parent dies, because no other process would report
that the claim on its cell has ended.
"""

from __future__ import annotations

import ctypes
import os
import pickle
import signal
import sys
import time
import traceback
from dataclasses import replace
from multiprocessing.connection import Connection

from hesiod_watch.fastq.batch import perform
from hesiod_watch.fastq.tasks import AppendTask, StopRequest, TaskProgress, TaskResult

_PR_SET_PDEATHSIG = 1
_REPORT_SECONDS = 0.1


class _ProgressSender:
    """Sends progress to the parent, a few times per second."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._bytes = self._reads = self._bases = 0
        self._sent = 0.0

    def add(self, more_bytes: int, reads: int, bases: int) -> None:
        self._bytes += more_bytes
        self._reads += reads
        self._bases += bases
        if time.monotonic() - self._sent > _REPORT_SECONDS:
            self.flush()

    def flush(self) -> None:
        self._connection.send(TaskProgress(self._bytes, self._reads, self._bases))
        self._bytes = self._reads = self._bases = 0
        self._sent = time.monotonic()


def serve(connection: Connection) -> None:
    """Perform tasks until the parent closes its end."""
    while True:
        try:
            task: AppendTask | StopRequest = connection.recv()
            if isinstance(task, StopRequest):
                continue  # it was meant for the task that has just ended
            reporter = _ProgressSender(connection)
            try:
                response = perform(task, reporter.add, lambda: _stop_requested(connection))
            except (EOFError, BrokenPipeError):
                raise
            except Exception as error:  # noqa: BLE001  the parent raises it
                response = TaskResult(task.parts, error=error)
            if response.error:
                response = replace(response, error=_portable(response.error))
            reporter.flush()
            connection.send(response)
        except (EOFError, BrokenPipeError):
            return


def _stop_requested(connection: Connection) -> bool:
    """Whether the parent has sent a `StopRequest` or has ended.

    Nothing else can arrive while a task is in progress.
    """
    if not connection.poll():
        return False
    connection.recv()
    return True


def _portable(error: Exception) -> Exception:
    """`error` with its trace as a note, or an equivalent error if it cannot be pickled."""
    trace = "".join(traceback.format_exception(error))
    error.add_note(f"In a worker process:\n{trace}")
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301  pickled on this line
    except Exception:  # noqa: BLE001  a foreign exception class can fail in any way
        return RuntimeError(trace)
    return error


def die_with_parent(parent: int) -> None:
    """Ask the kernel to kill this process when its parent dies."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # the parent died before the call
        sys.exit(1)


def main() -> None:
    descriptor, parent = (int(argument) for argument in sys.argv[1:])
    die_with_parent(parent)
    # Ctrl-C reaches the whole process group; the parent decides about its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Connection(descriptor) as connection:
        serve(connection)


if __name__ == "__main__":
    main()
