"""Who does the tasks of an ingest: this process, or workers of its own that each own the outputs
they write to.

Workers are started anew (not forked: the caller may have threads) and talk over a socket each. They
share nothing, so four of them are four times as fast, which threads under one interpreter are not.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
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
    """Does tasks. A context manager; nothing of it outlives the context."""

    @property
    def idle(self) -> bool:
        """Whether somebody can be given a task."""

    @property
    def busy(self) -> bool:
        """Whether some task is not done yet."""

    def give(self, task: AppendTask) -> None: ...

    def collect(self, on_unit: OnUnit) -> list[TaskResult]:
        """Tasks that were done meanwhile, perhaps none; waits for something to happen if nothing
        has.
        """

    def stop(self) -> None:
        """Have tasks under way end after the source they are at."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class InlineWorkers:
    """This process; `stopping` is asked between sources."""

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
        """It asks by itself."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class WorkerPool:
    """Up to `count` worker processes, started when there is work for them. They inherit the
    descriptor `inherited`.
    """

    def __init__(self, count: int, inherited: int) -> None:
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
            answer = worker.receive()
            if isinstance(answer, TaskProgress):
                on_unit(answer.bytes_done, answer.reads, answer.bases)
                continue
            done.append(answer)
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
    """One worker process and the task it is at, if any."""

    def __init__(self, inherited: int) -> None:
        self.connection, theirs = Pipe()
        self.alive = True
        self._task: AppendTask | None = None
        self._told_to_stop = False
        root = str(Path(hesiod_watch.__file__).resolve().parent.parent)
        path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        with theirs:
            # -P: the current directory may belong to anyone and is no place to import from.
            self.process = subprocess.Popen(
                (
                    sys.executable,
                    "-P",
                    "-m",
                    "hesiod_watch.fastq.worker",
                    str(theirs.fileno()),
                    str(os.getpid()),
                ),
                pass_fds=(theirs.fileno(), inherited),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"},
            )

    def give(self, task: AppendTask) -> None:
        self._task = task
        self._told_to_stop = False
        try:
            self.connection.send(task)
        except OSError:
            pass  # it has died; `receive` finds out how

    def receive(self) -> TaskProgress | TaskResult:
        """The next message about the task."""
        try:
            answer: TaskProgress | TaskResult = self.connection.recv()
        except (EOFError, OSError):
            return self._lost()
        return answer

    def stop(self) -> None:
        if not self._told_to_stop:
            self._told_to_stop = True
            try:
                self.connection.send(StopRequest())
            except OSError:
                pass  # as above

    def end(self) -> None:
        """Wait until the process has ended. An idle one ends by itself when its socket does."""
        self.connection.close()
        try:
            self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _lost(self) -> TaskResult:
        self.process.kill()  # if it has only lost its socket
        code = self.process.wait()
        self.connection.close()
        self.alive = False
        how = f"was killed by signal {-code}" if code < 0 else f"exited with {code}"
        parts = self._task.parts if self._task else ()
        names = parts[0].name if parts else "outputs"
        return TaskResult(
            parts, error=TemporaryError(f"the process writing {names} {how} before it was done")
        )
