"""Share outputs among worker processes, largest first; each worker owns the whole of what it writes.

Workers are started anew (not forked: the caller may have threads) and talk over a socket each. They share nothing, so
four of them are four times as fast, which threads under one interpreter are not.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path

import hesiod_watch
from hesiod_watch.errors import TemporaryError
from hesiod_watch.fastq.append import OnUnit
from hesiod_watch.fastq.model import Output, Settings, Written
from hesiod_watch.fastq.wire import Failed, Step, Task

_STOP_SECONDS = 10.0


class _Worker:
    """One worker process and the index of the output it is writing, if any."""

    def __init__(self) -> None:
        self.connection, theirs = Pipe()
        self.index = -1
        root = str(Path(hesiod_watch.__file__).resolve().parent.parent)
        path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        with theirs:
            # -P: the current directory may belong to anyone and is no place to import from.
            self.process = subprocess.Popen(
                (sys.executable, "-P", "-m", "hesiod_watch.fastq.worker", str(theirs.fileno()), str(os.getpid())),
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"},
            )

    def give(self, index: int, task: Task) -> None:
        self.index = index
        try:
            self.connection.send(task)
        except OSError as error:
            raise self._lost(task.output.name) from error

    def receive(self, name: str) -> Step | Written | Failed:
        """The next message about the output `name`."""
        try:
            answer: Step | Written | Failed = self.connection.recv()
        except (EOFError, OSError) as error:
            raise self._lost(name) from error
        return answer

    def _lost(self, name: str) -> TemporaryError:
        self.process.kill()  # if it has only lost its socket
        code = self.process.wait()
        how = f"was killed by signal {-code}" if code < 0 else f"exited with {code}"
        return TemporaryError(f"the process writing {name} {how} before it was done")

    def stop(self) -> None:
        """End the process, whatever it is doing, and wait until it has ended. An idle one ends by itself."""
        self.connection.close()
        if self.index >= 0:
            self.process.kill()
        try:
            self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def write_in_processes(
    outputs: Sequence[Output], directory: Path, settings: Settings, on_unit: OnUnit, suffix: str
) -> list[Written]:
    """Write all outputs with up to `settings.processes` workers; results in the order of `outputs`.

    The first error of any worker ends all of them and is raised as it is. No worker outlives this call.
    """
    waiting = sorted(range(len(outputs)), key=lambda index: outputs[index].size)  # the largest is taken from the end
    results: dict[int, Written] = {}
    workers: list[_Worker] = []
    busy: dict[Connection, _Worker] = {}

    def give(worker: _Worker) -> None:
        worker.index = -1
        busy.pop(worker.connection, None)
        if waiting:
            index = waiting.pop()
            worker.give(index, Task(outputs[index], directory, settings, suffix))
            busy[worker.connection] = worker

    try:
        for _ in range(min(settings.processes, len(outputs))):
            workers.append(_Worker())
            give(workers[-1])
        while busy:
            for worker in [busy[connection] for connection in wait(list(busy)) if isinstance(connection, Connection)]:
                answer = worker.receive(outputs[worker.index].name)
                if isinstance(answer, Step):
                    on_unit(answer.bytes_done, answer.reads, answer.bases)
                elif isinstance(answer, Failed):
                    raise answer.error
                else:
                    results[worker.index] = answer
                    give(worker)
    finally:
        for worker in workers:
            worker.stop()
    return [results[index] for index in range(len(outputs))]
