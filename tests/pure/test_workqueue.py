"""Queue of runs: each run once, none forgotten, later looks on time."""

from __future__ import annotations

import threading
from pathlib import Path

from hesiod_watch.service.workqueue import WorkQueue

A, B, C = Path("/a"), Path("/b"), Path("/c")


class Clock:
    """A clock that the test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_run_waits_once_however_often_it_is_hinted_at() -> None:
    """Hints for a waiting run are merged; runs come in the order of their first hint."""
    queue = WorkQueue(Clock())
    for run in (A, B, A, C, B):
        queue.add(run)
    assert [queue.get(0) for _ in range(4)] == [A, B, C, None]


def test_a_hint_during_the_look_is_not_lost() -> None:
    """A run with a hint during its look returns once after the look has ended."""
    queue = WorkQueue(Clock())
    queue.add(A)
    assert queue.get(0) == A
    queue.add(A)
    queue.add(A)
    assert queue.get(0) is None
    queue.done(A)
    assert queue.get(0) == A
    queue.done(A)
    assert queue.get(0) is None
    assert len(queue) == 0


def test_later_looks_come_when_they_are_due_and_the_earliest_counts() -> None:
    """The earliest of several times for one run counts; a later request does not postpone it."""
    clock = Clock()
    queue = WorkQueue(clock)
    queue.add_after(A, 10)
    queue.add_after(A, 5)
    queue.add_after(A, 20)
    queue.add_after(B, 7)
    assert queue.get(0) is None
    clock.now = 5
    assert queue.get(0) == A
    queue.done(A)
    clock.now = 10
    assert queue.get(0) == B
    queue.done(B)
    assert queue.get(0) is None


def test_wake_returns_a_waiting_get() -> None:
    """Stopping a service does not wait for the next hint."""
    queue = WorkQueue()
    answers: list[Path | None] = []
    thread = threading.Thread(target=lambda: answers.append(queue.get(60)))
    thread.start()
    queue.wake()
    thread.join(10)
    assert answers == [None]


def test_add_from_another_thread_returns_a_waiting_get() -> None:
    """A hint returns a waiting `get` at once."""
    queue = WorkQueue()
    answers: list[Path | None] = []
    thread = threading.Thread(target=lambda: answers.append(queue.get(60)))
    thread.start()
    queue.add(A)
    thread.join(10)
    assert answers == [A]
