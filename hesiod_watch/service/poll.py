"""Poll: look at every run once, wait for the work that was started, and end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path

from hesiod_watch.config import Config
from hesiod_watch.core.errors import TemporaryError
from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.watch_state import POLL
from hesiod_watch.service.engine import (
    LOOKS_IN_POLL,
    SLOT_RETRY,
    Engine,
)
from hesiod_watch.service.poll_problems import Problem
from hesiod_watch.service.reconcile import LookResult
from hesiod_watch.service.state_writer import StateWriter

POLL_WAIT = 0.5
"""Seconds that a poll waits for the next event while its own workers run."""
HEAD_START = 2.0
"""Seconds that a poll first waits for its upstreams, so that it looks at their runs only once."""


@frozen
class PollResult:
    """Findings of a poll."""

    problems: list[Problem]
    unjudged_runs: frozenset[str]  # runs of which nothing is known; escaped for display


def poll(
    config: Config,
    *,
    runs: list[Path] | None = None,
    on_look: Callable[[LookResult], None] = lambda looked: None,
    stop: threading.Event | None = None,
) -> PollResult:
    """Look at every run (or at `runs`) once, and again after each piece of work; then return.

    Returns what the poll prints; raises TemporaryError if an area is missing. Runs that found every
    worker busy with work of other processes are left for the next poll. An upstream without a
    response delays nothing: all runs are looked at meanwhile, and the runs that it lists are looked
    at once more.
    """
    engine = Engine(config, repeat=False)
    stop = stop or threading.Event()
    writer = StateWriter(config, engine, POLL)
    if problem := engine.landing_problem() or engine.output_problem():
        engine.report_site(judged=False)
        work_through(engine, on_look, stop)
        if not engine.output_problem():
            writer.write(areas_only=True)
            writer.close()
        raise TemporaryError(problem)
    if runs is not None:
        for run in runs:
            engine.queue.add(run)
        work_through(engine, on_look, stop)
        return PollResult(engine.problems(), engine.unjudged_runs())
    engine.load_settled_runs()
    engine.queue_runs(LOOKS_IN_POLL)
    with ThreadPoolExecutor(1, thread_name_prefix="ask-upstreams") as thread:
        querying = thread.submit(engine.ask_upstreams, stop.is_set)
        wait([querying], HEAD_START)
        work_through(engine, on_look, stop, querying, on_idle=writer.first_look_over)
    querying.result()
    if not stop.is_set():
        writer.looked()
        engine.report_site(judged=True)
        work_through(engine, on_look, stop)
    engine.settled_runs.save()
    engine.first_looks.save()
    problems = [*engine.problems(), *map(Problem.of, writer.end(done=not stop.is_set()))]
    return PollResult(problems, engine.unjudged_runs())


def work_through(
    engine: Engine,
    on_look: Callable[[LookResult], None],
    stop: threading.Event,
    querying: Future[None] | None = None,
    on_idle: Callable[[], None] = lambda: None,
) -> None:
    """Look at every run in the queue until no work is under way and `asking` has ended."""
    # whether one of our workers has ended since the last look at the runs that found all busy
    ended = False
    next_retry = time.monotonic() + SLOT_RETRY
    while not stop.is_set():
        # Read before the queue, so that runs queued by the last response are not missed.
        answered = querying is None or querying.done()
        run_dir = engine.queue.get(
            timeout=0 if answered and not engine.reconciler.running() else POLL_WAIT
        )
        ended = engine.take_endings() or ended
        if run_dir is not None:
            if problem := engine.output_problem():
                raise TemporaryError(problem)
            looked = engine.look(run_dir)
            if looked:
                on_look(looked)
        elif engine.reconciler.running() or engine.has_more():
            on_idle()
            if time.monotonic() >= next_retry:  # one of our own workers may wait without its slot
                next_retry = time.monotonic() + SLOT_RETRY
                engine.retry_full()
        elif ended and engine.retry_full():
            ended = False
        elif answered and not engine.commence_syncs():
            break
