"""Service `hesiod-watch watch`: the sources of hints, their intervals, and when to stop.

It runs until it is stopped. It then leaves its workers running, because they are separate
processes.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import asdict
from pathlib import Path

from hesiod_watch.config import Config
from hesiod_watch.core.errors import TemporaryError
from hesiod_watch.core.logfields import fields
from hesiod_watch.core.watch_state import SERVICE
from hesiod_watch.host.sdnotify import SystemdNotifier
from hesiod_watch.service.engine import (
    SLOT_RETRY,
    Engine,
)
from hesiod_watch.service.state_writer import StateWriter
from hesiod_watch.service.watch.watcher import Watcher

logger = logging.getLogger(__name__)


class Service:
    """Service `hesiod-watch watch`: construct it, then call `run()`.

    A signal handler or another thread calls `stop()`.
    """

    def __init__(self, config: Config, notifier: SystemdNotifier) -> None:
        self._engine = Engine(config)
        self._notifier = notifier
        self._stop = threading.Event()
        self._watching = Watcher(
            self._engine.landing,
            self._engine.hint,
            engine=config.watch.engine,
            sweep_interval=config.watch.sweep_interval,
            full_sweep_interval=config.watch.full_sweep_interval,
            settled=self._engine.settled,
            moved=lambda full: self._engine.settled_runs.moved(full=full),
        )
        self._writer = StateWriter(config, self._engine, SERVICE)
        self._landing_problem = ""  # why the landing area is not the real one
        self._output_problem = ""  # why the output area is not the real one

    def stop(self) -> None:
        self._stop.set()
        self._engine.queue.wake()

    def run(self) -> None:
        """Run until `stop`. Errors of single runs are logged, never raised."""
        engine = self._engine
        self._check_areas()
        engine.load_settled_runs()
        self._watching.start()
        engine.hint(None)
        querying = threading.Thread(target=self._query_upstreams, name="ask-upstreams", daemon=True)
        if any(not upstream.place.is_local for upstream in engine.config.upstreams):
            querying.start()
        self._notifier.send(READY="1", STATUS=self._describe())
        logger.info(
            "ready", extra=fields(landing=engine.config.landing, output=engine.config.output)
        )
        heartbeat = self._notifier.watchdog_interval / 3
        next_heartbeat = next_retry = next_record = time.monotonic()
        try:
            while not self._stop.is_set():
                timeout = min(max(0.0, self._watching.next_check()), SLOT_RETRY)
                if heartbeat:
                    timeout = min(timeout, max(0.0, next_heartbeat - time.monotonic()))
                run_dir = engine.queue.get(timeout)
                engine.take_endings()
                if run_dir is not None:
                    self._look(run_dir)
                if not self._landing_problem and not self._output_problem and not engine.has_more():
                    engine.commence_syncs()
                if time.monotonic() >= next_retry:
                    next_retry = time.monotonic() + SLOT_RETRY
                    engine.retry_full()
                if time.monotonic() >= next_record:
                    next_record = time.monotonic() + engine.config.watch.full_sweep_interval
                    engine.settled_runs.save()
                    engine.first_looks.save()
                self._write_state()  # before a report: other processes must see that this one looks
                if self._watching.next_check() <= 0:
                    self._check_areas()
                    if not engine.has_more():
                        missing = self._landing_problem or self._output_problem
                        engine.report_site(judged=not missing)
                    self._watching.check()
                if heartbeat and time.monotonic() >= next_heartbeat:
                    next_heartbeat = time.monotonic() + heartbeat
                    self._notifier.send(WATCHDOG="1", STATUS=self._describe())
        finally:
            self._notifier.send(STOPPING="1")
            counted = asdict(self._watching.counters)
            self._watching.stop()
            engine.settled_runs.save()
            engine.first_looks.save()
            logger.info(
                "stopped", extra=fields(workers_left_running=engine.reconciler.running(), **counted)
            )

    def _describe(self) -> str:
        return self._output_problem or self._watching.describe()

    def _query_upstreams(self) -> None:
        """Query upstreams in a separate thread, so that a silent sequencer delays nothing else."""
        while not self._stop.is_set():
            try:
                self._engine.ask_upstreams(self._stop.is_set)
            except TemporaryError as error:
                logger.warning("upstreams not queried", extra=fields(why=error))
            except Exception:
                logger.exception("a bug while querying upstreams")
            self._stop.wait(self._engine.config.watch.upstream_interval)

    def _look(self, run_dir: Path) -> None:
        if not self._output_problem:
            self._check_output()
        if self._landing_problem or self._output_problem:
            # An empty directory at the path of the landing area must not look like runs without
            # cells.
            self._engine.queue.done(run_dir)
            return
        looked = self._engine.look(run_dir)
        self._watching.update(run_dir)
        if looked and looked.look_again is not None:
            self._engine.queue.add_after(run_dir, looked.look_again)

    def _write_state(self) -> None:
        engine = self._engine
        began = engine.pass_began
        if self._output_problem:
            return
        if self._landing_problem:
            engine.pass_began = None
            self._writer.write_without_runs()
        elif self._writer.turn(began) and engine.pass_began == began:
            engine.pass_began = None

    def _check_areas(self) -> None:
        self._check_landing()
        if (
            not self._landing_problem
        ):  # the runs of the landing area are evidence for the output area
            self._check_output()

    def _check_output(self) -> None:
        problem = self._engine.output_problem()
        if problem and problem != self._output_problem:
            logger.error("the output area is not there", extra=fields(why=problem))
        if self._output_problem and not problem:
            logger.info("the output area is back", extra=fields(output=self._engine.config.output))
            self._engine.hint(None)
        self._output_problem = problem

    def _check_landing(self) -> None:
        problem = self._engine.landing_problem()
        if problem and problem != self._landing_problem:
            logger.error("the landing area is not there", extra=fields(why=problem))
        if self._landing_problem and not problem:
            logger.info(
                "the landing area is back", extra=fields(landing=self._engine.config.landing)
            )
            self._engine.hint(None)
        self._landing_problem = problem
