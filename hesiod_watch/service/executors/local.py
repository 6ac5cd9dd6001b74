"""Work in processes on this host: bounded in number, nice, and independent of the service.

Workers continue when the service that started them ends.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
from pathlib import Path

from hesiod_watch.config import Config
from hesiod_watch.core.action_kinds import ACTIONS, PROCESS, Slots
from hesiod_watch.core.errors import HesiodError, TemporaryError
from hesiod_watch.core.logfields import fields
from hesiod_watch.core.model import Action, Snapshot
from hesiod_watch.core.ownership import Owner
from hesiod_watch.host.files import OpenDirectory
from hesiod_watch.host.fork_server import ForkServer
from hesiod_watch.host.load import host_load
from hesiod_watch.host.slots import WorkerSlots
from hesiod_watch.rules.worker_counts import workers_now
from hesiod_watch.rules.worker_exit import exit_words, not_begun
from hesiod_watch.runs import flags
from hesiod_watch.service.executors import EndedAction, OnEnd, Reservation

logger = logging.getLogger(__name__)


class _Slot:
    """A reservation: a lock for the worker, or nothing for an action that needs none."""

    def __init__(self, descriptor: int | None) -> None:
        self.descriptor = descriptor

    def give_back(self) -> None:
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None


class Local:
    """Starts `hesiod-watch perform …` in its own session, holding a worker slot.

    `host.fork_server` starts the processes.
    """

    name = "local"

    def __init__(self, config: Config, on_end: OnEnd) -> None:
        self._config = config
        self._on_end = on_end
        processing = config.processing
        counts: dict[Slots, int] = {
            "workers": processing.workers,
            "ingest_workers": processing.ingest_workers,
        }
        # Each action has its own slots: finished cells do not wait for growing ones, nor do pages
        # wait for either.
        self._slots = {
            kind: WorkerSlots(
                *(config.landing, kind.name, count),
                most=processing.most_workers if kind is PROCESS else count,
                locks=config.locks,
            )
            for kind in ACTIONS.values()
            if isinstance(count := counts.get(kind.slots, kind.slots), int)
        }
        self._fork_server = ForkServer("cli.fork_server", _config_words(config), self._gently())
        self._lock = threading.Lock()
        self._running: dict[str, Action] = {}

    def reserve(self, action: Action) -> Reservation | None:
        slots = self._slots_of(action)
        if slots is None:
            return _Slot(None)
        descriptor = slots.take()
        if descriptor is None and action.kind is PROCESS:
            descriptor = slots.take(self._cells_at_once())
        return None if descriptor is None else _Slot(descriptor)

    def _cells_at_once(self) -> int:
        """Number of cells that may be processed now: with `auto` more while CPUs are idle."""
        processing = self._config.processing
        if processing.most_workers == processing.workers:
            return processing.workers
        running = sum(action.kind is PROCESS for action in self.running().values())
        return workers_now(processing.workers, running, host_load())

    def start(
        self, action: Action, snapshot: Snapshot, owner: Owner, reservation: Reservation
    ) -> None:
        run_dir = snapshot.path
        assert isinstance(reservation, _Slot)  # noqa: S101 -- ours, from reserve()
        arguments = (
            *_config_words(self._config),
            "perform",
            "--claimed",
            f"{owner.epoch}:{owner.token}",
            "--nice",
            str(self._config.processing.nice),
            "--reason",
            action.reason,
            "--",
            action.name,
            str(run_dir),
            *((str(action.cell),) if action.cell else ()),
        )
        with self._lock:
            self._running[owner.token] = action

        def on_exit(pid: int, code: int) -> None:
            # First the record: until it is made, the action counts as running.
            problem = self._record_end(action, run_dir, owner, pid, code)
            # Both under the lock: a caller that finds nothing running must also find the end
            # announced.
            with self._lock:
                self._running.pop(owner.token, None)
                exit_code = code if code >= 0 else 128 - code
                self._on_end(EndedAction(run_dir, action, exit_code, problem))

        inherit = () if reservation.descriptor is None else (reservation.descriptor,)
        try:
            pid = self._fork_server.start(
                arguments, log=self._log(run_dir), inherit=inherit, on_exit=on_exit
            )
        except OSError as error:
            problem = f"the worker could not be started: {error.strerror}"
            self._release(action, run_dir, owner, problem)
            with self._lock:
                self._running.pop(owner.token, None)
            raise TemporaryError(f"{run_dir.name}: {problem}") from error
        finally:
            reservation.give_back()  # the worker holds its own copy now
        logger.info(
            "started",
            extra=fields(run=run_dir.name, cell=action.cell, action=action.name, pid=pid),
        )

    def _record_end(self, action: Action, run_dir: Path, owner: Owner, pid: int, code: int) -> str:
        """Record the end of a worker that did not do so; returns why it could not begin."""
        if problem := not_begun(code, claimed=action.kind is PROCESS):
            self._release(action, run_dir, owner, problem)
            return f"{run_dir.name}: {problem}"
        pipeline, words = self._pipeline(run_dir), exit_words(code)
        died = False
        try:
            if code and action.kind is PROCESS and action.cell:
                died = bool(flags.record_death(pipeline, action.cell.stem, owner, words, code))
            elif code and (work := flags.work_of(action.name, action.cell)):
                landing, locks = self._config.landing, self._config.locks
                lock = flags.attempt_lock(landing, run_dir, action.cell, locks)
                reason = f"the worker {words}"
                died = flags.end_dead_attempt(
                    *(pipeline, work, pid, reason), lock=lock, judge=self._config.judge
                )
        except (HesiodError, OSError) as error:
            self._say("the end of a worker is not recorded", action, error)
        if died:
            self._say("a worker has died", action, words)
        return ""

    def _release(self, action: Action, run_dir: Path, owner: Owner, why: str) -> None:
        """Give up the claim of a worker that was never started, so that it is no attempt."""
        if action.kind is not PROCESS or not action.cell:
            return
        try:
            flags.release_claim(self._pipeline(run_dir), action.cell.stem, owner, why=why)
        except (HesiodError, OSError) as error:
            self._say("cannot release the claim", action, error)

    def _pipeline(self, run_dir: Path) -> flags.Pipeline:
        site = flags.SitePipeline(self._config.output)
        if run_dir == site.path:
            return site
        return flags.Pipeline(OpenDirectory(run_dir, self._config.landing))

    def _say(self, what: str, action: Action, why: object) -> None:
        extra = fields(run=action.run, cell=action.cell, action=action.name, why=why)
        logger.warning(what, extra=extra)

    def _slots_of(self, action: Action) -> WorkerSlots | None:
        if action.kind.slots != "per upstream":
            return self._slots.get(action.kind)
        upstream = self._config.upstream_of(action.upstream)
        kind = f"{action.name}-{upstream.name}" if upstream else ""
        if upstream is None:
            return None
        return WorkerSlots(self._config.landing, kind, 1, locks=self._config.locks)

    def _gently(self) -> tuple[str, ...]:
        """Prefix that lowers the disk priority of all workers (ionice); empty if unavailable.

        ionice is part of util-linux. Classes of ioprio_set(2): 2 is best effort, with 7 as the
        lowest of its levels; 3 is idle.
        """
        words = {"normal": (), "low": ("-c", "2", "-n", "7"), "idle": ("-c", "3")}[
            self._config.processing.disk
        ]
        program = shutil.which("ionice") if words else None
        return (program, *words) if program else ()

    def running(self) -> dict[str, Action]:
        with self._lock:
            return dict(self._running)

    def _log(self, run_dir: Path) -> Path | None:
        """The run's log; None where the run has no output directory of its own."""
        pipeline = self._pipeline(run_dir)
        if isinstance(pipeline, flags.SitePipeline):
            return pipeline / "messages.log"
        place = flags.log_directory(pipeline, self._config.output)
        return place / "pipeline.log" if place else None


def _config_words(config: Config) -> tuple[str, ...]:
    return ("--config", str(config.path)) if config.path else ()
