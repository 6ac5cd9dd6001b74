"""A process that writes outputs for its parent: `python -m hesiod_watch.fastq.worker DESCRIPTOR
PARENT`.

It is given one task at a time over the socket DESCRIPTOR and answers with what it did; `pool` holds
the other end. It ends when the socket does, and the kernel kills it when its parent dies: nobody
else would tell it that the claim on its cell is gone.
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
    """Sends steps to the parent, a few per second."""

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
    """Do what is asked for until the parent closes its end."""
    while True:
        try:
            task: AppendTask | StopRequest = connection.recv()
            if isinstance(task, StopRequest):
                continue  # it was meant for the task that we had just done
            reporter = _ProgressSender(connection)
            try:
                answer = perform(task, reporter.add, lambda: _told_to_stop(connection))
            except (EOFError, BrokenPipeError):
                raise
            except Exception as error:  # noqa: BLE001  it is raised in the parent
                answer = TaskResult(task.parts, error=error)
            if answer.error:
                answer = replace(answer, error=_portable(answer.error))
            reporter.flush()
            connection.send(answer)
        except (EOFError, BrokenPipeError):
            return


def _told_to_stop(connection: Connection) -> bool:
    """Whether the parent has sent anything: while a task is under way that can only be a
    `StopRequest`, or its end.
    """
    if not connection.poll():
        return False
    connection.recv()
    return True


def _portable(error: Exception) -> Exception:
    """`error`, or where it does not survive pickling one that says the same; with its trace as a
    note.
    """
    trace = "".join(traceback.format_exception(error))
    error.add_note(f"In a worker process:\n{trace}")
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301  made by the line it stands in
    except Exception:  # noqa: BLE001  whatever a foreign exception class does when it is rebuilt
        return RuntimeError(trace)
    return error


def die_with_parent(parent: int) -> None:
    """Ask the kernel to kill this process when the one that started it dies."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before we asked
        sys.exit(1)


def main() -> None:
    descriptor, parent = (int(argument) for argument in sys.argv[1:])
    die_with_parent(parent)
    # Ctrl-C goes to the whole group of processes; the parent decides what happens to us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Connection(descriptor) as connection:
        serve(connection)


if __name__ == "__main__":
    main()
