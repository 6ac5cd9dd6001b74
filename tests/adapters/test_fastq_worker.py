"""A worker answers every task, with totals of what it did and errors that arrive whole."""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from disks import Disk, install
from fastq_files import GOOD, put, reads
from open_runs import opened

from hesiod_watch.core.errors import NoSpace, PermanentError
from hesiod_watch.fastq import md5, worker
from hesiod_watch.fastq.tasks import (
    AppendTask,
    OutputPart,
    StopRequest,
    TaskLimits,
    TaskProgress,
    TaskResult,
)


@contextmanager
def serving(ours: Connection, theirs: Connection) -> Iterator[Connection]:
    """The parent's end of a worker's socket; closing it ends the worker."""
    worker_thread = threading.Thread(target=worker.serve, args=(theirs,))
    worker_thread.start()
    yield ours
    ours.close()
    worker_thread.join(10)
    assert not worker_thread.is_alive()
    theirs.close()


@pytest.fixture
def parent() -> Iterator[Connection]:
    """The parent's end of a worker's socket."""
    with serving(*Pipe()) as ours:
        yield ours


def task_of(directory: Path, *texts: bytes, skip_bad: bool = False) -> AppendTask:
    """A task with one output of these texts; it must live until the worker has received it."""
    sources = tuple(put(directory, f"{number}.fastq", text) for number, text in enumerate(texts))
    part = OutputPart("o.fastq.gz", members=False, at=0, md5=md5.EMPTY, sources=sources)
    (directory / "out").mkdir(exist_ok=True)
    return AppendTask(
        opened(directory), directory / "out", "default", (part,), TaskLimits(), skip_bad
    )


def message_of(parent: Connection) -> TaskProgress | TaskResult:
    """The next message of the worker."""
    assert parent.poll(10), "the worker does not answer"
    message = parent.recv()
    assert isinstance(message, (TaskProgress, TaskResult))
    return message


def answer(parent: Connection) -> tuple[TaskProgress, TaskResult]:
    """Sum of all progress, and the result."""
    size = count = bases = 0
    while isinstance(message := message_of(parent), TaskProgress):
        size, count, bases = (
            size + message.bytes_done,
            count + message.reads,
            bases + message.bases,
        )
    return TaskProgress(size, count, bases), message


def test_progress_adds_up_to_the_task(tmp_path: Path, parent: Connection) -> None:
    """Each task is answered on its own, and its progress is all bytes, reads and bases of it."""
    for seed in (1, 2):
        texts = [reads(200, seed), reads(300, seed + 10)]
        task = task_of(tmp_path, *texts)
        parent.send(task)
        done, result = answer(parent)
        [grown] = result.grown
        assert (done.bytes_done, done.reads) == (sum(map(len, texts)), 500)
        assert done.bases == sum(piece.bases for piece in grown.pieces) == grown.statistics.bases
        assert (result.parts, result.error, result.bad) == (task.parts, None, ())
        assert (grown.name, grown.at, len(grown.pieces)) == ("o.fastq.gz", 0, 2)


def test_progress_is_reported_before_the_end(
    tmp_path: Path, parent: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Progress is sent once its time has come, not only with the result."""
    monkeypatch.setattr(worker, "_REPORT_SECONDS", -1.0)
    task = task_of(tmp_path, reads(5), reads(5))
    parent.send(task)
    messages = []
    while isinstance(message := message_of(parent), TaskProgress):
        messages.append(message)
    assert len([one for one in messages if one.reads]) == 2
    assert sum(one.reads for one in messages) == 10


def test_a_late_stop_is_ignored(tmp_path: Path, parent: Connection) -> None:
    """A stop that arrives after the end of its task does not end the next one."""
    parent.send(StopRequest())
    task = task_of(tmp_path, GOOD, GOOD, GOOD)
    parent.send(task)
    assert len(answer(parent)[1].grown[0].pieces) == 3


def test_a_stop_ends_a_task_between_sources(tmp_path: Path) -> None:
    """A stop during a task ends it after the current source, which counts."""
    ours, theirs = Pipe()
    task = task_of(tmp_path, GOOD, GOOD, GOOD)
    ours.send(task)
    ours.send(StopRequest())
    with serving(ours, theirs):
        result = answer(ours)[1]
    assert len(result.grown[0].pieces) == 1
    assert result.error is None


def test_a_bad_source_arrives_whole(tmp_path: Path, parent: Connection) -> None:
    """The error about a source has its path, its place and its output's name."""
    task = task_of(tmp_path, GOOD, b"text\n", GOOD, skip_bad=True)
    parent.send(task)
    result = answer(parent)[1]
    [(name, bad)] = result.bad
    assert (name, bad.path, bad.where) == (
        "o.fastq.gz",
        tmp_path / "1.fastq",
        "record 1, line 1",
    )
    assert [piece.source for piece in result.grown[0].pieces] == ["0.fastq", "2.fastq"]


class Foreign(Exception):
    """An error that cannot be sent: it is made from two values and keeps one."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(one)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(errno.EIO, "Input/output error"), PermanentError),
        (OSError(errno.ENOSPC, "No space left on device"), NoSpace),
        (Foreign("one", "two"), RuntimeError),
    ],
    ids=["a bad disk", "a full disk", "an error that cannot be sent"],
)
def test_an_error_is_the_answer(
    error: Exception,
    kind: type[Exception],
    tmp_path: Path,
    parent: Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Any error of a task is sent with its trace, and the worker goes on to the next task."""

    def fails(what: str, number: int) -> None:
        if what == "write":
            raise error

    task = task_of(tmp_path, GOOD)
    with monkeypatch.context() as patch:
        install(patch, Disk(tmp_path / "out", fails))
        parent.send(task)
        result = answer(parent)[1]
    assert (type(result.error), result.parts, result.grown) == (kind, task.parts, ())
    told = "".join([str(result.error), *getattr(result.error, "__notes__", [])])
    assert str(error.args[-1]) in told
    assert "in fails" in told
    parent.send(task)
    assert answer(parent)[1].error is None
