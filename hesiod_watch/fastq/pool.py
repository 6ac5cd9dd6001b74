"""Workers that perform the tasks of an ingest: this process, or a pool of worker processes.

Each worker process has exclusive use of the outputs that it writes. Workers are started anew, not
forked, because the caller may have threads. Each is connected by a socket. They share nothing, so
four workers are four times as fast; threads in one interpreter are not.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import hesiod_watch
from hesiod_watch.core.errors import HesiodError, TemporaryError
from hesiod_watch.fastq.append import OnUnit
from hesiod_watch.fastq.batch import perform
from hesiod_watch.fastq.tasks import AppendTask, StopRequest, TaskProgress, TaskResult

_STOP_SECONDS = 10.0


class Workers(Protocol):
    """Performs tasks. A context manager; all its processes end with the context."""

    @property
    def idle(self) -> bool:
        """Whether a worker can accept a task."""

    @property
    def busy(self) -> bool:
        """Whether a task is still in progress."""

    def give(self, task: AppendTask) -> None: ...

    def collect(self, on_unit: OnUnit) -> list[TaskResult]:
        """Results of the tasks that have ended, possibly none.

        Waits for an event if there is none yet.
        """

    def stop(self) -> None:
        """Ask the tasks in progress to end after their current source."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class InlineWorkers:
    """This process as the only worker; `stopping` is called between sources."""

    def __init__(self, stopping: Callable[[], bool]) -> None:
        self._stopping = stopping
        self._task: AppendTask | None = None

    @property
    def idle(self) -> bool:
        return self._task is None

    @property
    def busy(self) -> bool:
        return self._task is not None

    def give(self, task: AppendTask) -> None:
        self._task = task

    def collect(self, on_unit: OnUnit) -> list[TaskResult]:
        task, self._task = self._task, None
        if task is None:
            return []
        try:
            return [perform(task, on_unit, self._stopping)]
        except HesiodError as error:
            return [TaskResult(task.parts, error=error)]

    def stop(self) -> None:
        """Do nothing: this worker calls `stopping` itself."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class WorkerPool:
    """Up to `count` worker processes, started when there is work for them.

    They inherit the descriptors `inherited`.
    """

    def __init__(self, count: int, inherited: Sequence[int]) -> None:
        self._count = count
        self._inherited = inherited
        self._idle: list[_Worker] = []
        self._busy: dict[Connection, _Worker] = {}
        self._started = 0

    @property
    def idle(self) -> bool:
        return bool(self._idle) or self._started < self._count

    @property
    def busy(self) -> bool:
        return bool(self._busy)

    def give(self, task: AppendTask) -> None:
        if self._idle:
            worker = self._idle.pop()
        else:
            worker = _Worker(self._inherited)
            self._started += 1
        self._busy[worker.connection] = worker
        worker.give(task)

    def collect(self, on_unit: OnUnit) -> list[TaskResult]:
        done: list[TaskResult] = []
        for connection in wait(list(self._busy)):
            assert isinstance(connection, Connection)  # noqa: S101  `wait` takes other things too
            worker = self._busy[connection]
            response = worker.receive()
            if isinstance(response, TaskProgress):
                on_unit(response.bytes_done, response.reads, response.bases)
                continue
            done.append(response)
            del self._busy[connection]
            if worker.alive:
                self._idle.append(worker)
        return done

    def stop(self) -> None:
        for worker in self._busy.values():
            worker.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._busy.values():
            worker.process.kill()
        for worker in (*self._busy.values(), *self._idle):
            worker.end()


class _Worker:
    """One worker process and its current task, if any."""

    def __init__(self, inherited: Sequence[int]) -> None:
        self.connection, theirs = Pipe()
        self.alive = True
        self._task: AppendTask | None = None
        self._stop_sent = False
        root = str(Path(hesiod_watch.__file__).resolve().parent.parent)
        path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        with theirs:
            # -P: import nothing from the current directory, because anyone may own it.
            self.process = subprocess.Popen(
                (
                    sys.executable,
                    "-P",
                    "-m",
                    "hesiod_watch.fastq.worker",
                    str(theirs.fileno()),
                    str(os.getpid()),
                ),
                pass_fds=(theirs.fileno(), *inherited),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"},
            )

    def give(self, task: AppendTask) -> None:
        self._task = task
        self._stop_sent = False
        try:
            self.connection.send(task)
        except OSError:
            pass  # the worker has died; `receive` reports how

    def receive(self) -> TaskProgress | TaskResult:
        """The next message about the task."""
        try:
            response: TaskProgress | TaskResult = self.connection.recv()
        except (EOFError, OSError):
            return self._lost()
        return response

    def stop(self) -> None:
        if not self._stop_sent:
            self._stop_sent = True
            try:
                self.connection.send(StopRequest())
            except OSError:
                pass  # the worker has died; `receive` reports how

    def end(self) -> None:
        """Wait until the process has ended. An idle worker ends when its socket is closed."""
        self.connection.close()
        try:
            self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _lost(self) -> TaskResult:
        self.process.kill()  # it may still run without its socket
        code = self.process.wait()
        self.connection.close()
        self.alive = False
        how = f"was killed by signal {-code}" if code < 0 else f"exited with {code}"
        parts = self._task.parts if self._task else ()
        names = parts[0].name if parts else "outputs"
        return TaskResult(
            parts, error=TemporaryError(f"the process writing {names} {how} before it was done")
        )
