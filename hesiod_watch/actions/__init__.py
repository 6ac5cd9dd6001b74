"""What can be done to a run: one module an action, one function `perform` in each.

An action is idempotent or claimed, looks at the disk for itself, writes its result as a flag or a
file that is whole or absent, and says what it does in the run's log. It is run by `hesiod-watch
perform ACTION RUN [CELL]`, as a process of its own or (the short ones) inside the process that
decided.
"""

from __future__ import annotations

import errno
import importlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from hesiod_watch.config import Config
from hesiod_watch.core.errors import (
    FlagExists,
    HesiodError,
    PermanentError,
    TemporaryError,
    UsageError,
)
from hesiod_watch.core.logfields import fields
from hesiod_watch.core.model import LOCAL, CellId, Completeness, ListedRun, Owner, Progress
from hesiod_watch.host.runlog import RunLog
from hesiod_watch.runs import flags
from hesiod_watch.runs.areas import OutputArea
from hesiod_watch.runs.landing import LandingArea

logger = logging.getLogger(__name__)

Outcome = Literal["done", "nothing"]
"""`nothing`: somebody else did it, or it was not to be done any more."""


@dataclass(frozen=True)
class Job:
    """One action on one run, with everything it needs to know."""

    action: str
    run_dir: Path
    config: Config
    owner: Owner  # who performs: for claims and results
    cell: CellId | None = None
    reason: str = ""
    upstream: str = LOCAL  # where the run comes from; for new-run
    listed_run: ListedRun | None = (
        None  # the run as its upstream was just seen to have it; for tell
    )
    completeness: Completeness | None = None  # what this process has just counted; for synced
    on_progress: Callable[[Progress], None] = field(default=lambda progress: None)

    @property
    def pipeline(self) -> Path:
        return self.run_dir / "pipeline"

    @property
    def output(self) -> Path:
        """Where this run's results go. Raises HesiodError when that is missing or not this run's."""
        self.check_output_area()
        return flags.own_output(self.pipeline, self.config.output)

    def check_output_area(self) -> None:
        """Raises TemporaryError where the output area is not the real one: nothing may be written."""
        area = OutputArea(
            self.config.output, LandingArea(self.config.landing, self.config.batch), warn=False
        )
        if problem := area.problem(mark=True):
            raise TemporaryError(f"{self.run_dir.name}: {self.action} is not done: {problem}")

    @property
    def cell_dir(self) -> Path:
        return self.run_dir / self.the_cell.library / self.the_cell.name

    @property
    def the_cell(self) -> CellId:
        if self.cell is None:
            raise UsageError(f"the action {self.action} needs a cell: LIBRARY/CELL")
        return self.cell

    def log(self) -> RunLog:
        """The run's own log; without an output directory, or where it cannot be written, lines are
        lost.
        """
        try:
            place: Path | None = self.output
        except HesiodError:
            place = flags.log_directory(self.pipeline, self.config.output)
        return RunLog(place / "pipeline.log" if place else None)


ACTIONS: dict[str, str] = {
    "new-run": "hesiod_watch.actions.new_run",
    "synced": "hesiod_watch.actions.mark_synced",
    "process": "hesiod_watch.actions.process",
    "ingest": "hesiod_watch.actions.ingest",
    "sync": "hesiod_watch.actions.sync",
    "report": "hesiod_watch.actions.report_page",
    "backup": "hesiod_watch.actions.backup",
    "verify": "hesiod_watch.actions.verify",
    "give-up": "hesiod_watch.actions.give_up",
    "deletable": "hesiod_watch.actions.mark_deletable",
    "strip": "hesiod_watch.actions.strip",
    "tell": "hesiod_watch.actions.queue_messages",
    "notify": "hesiod_watch.actions.deliver_messages",
}
"""Modules are imported when their action is performed: the deciding process never loads what works
on data.
"""

CELL_ACTIONS = frozenset({"synced", "process", "ingest", "give-up", "deletable", "strip", "verify"})


def output_error(error: OSError, attempted: str) -> HesiodError:
    """The error to raise instead of one that was met while writing results.

    Space, and a file system that is away, come back by themselves: TemporaryError. Missing rights,
    a read-only file system, or a file in the place of a directory need a person: PermanentError.
    """
    if error.errno == errno.EEXIST:
        return PermanentError(f"{attempted}: in the way, and not a directory", errno=errno.EEXIST)
    if error.errno == errno.EROFS:
        return PermanentError(f"{attempted}: {error.strerror}", errno=errno.EROFS)
    return flags.translate(error, attempted)


def command_of(job: Job) -> tuple[str, ...]:
    """The command that repeats a job, as a person would type it."""
    config = ("--config", str(job.config.path)) if job.config.path else ()
    cell = (str(job.cell),) if job.cell else ()
    upstream = ("--upstream", job.upstream) if job.upstream != LOCAL else ()
    return ("hesiod-watch", *config, "perform", *upstream, job.action, str(job.run_dir), *cell)


def perform(job: Job) -> Outcome:
    """Do one action now, in this process. Raises HesiodError; the action has recorded what must be
    recorded.
    """
    module = ACTIONS.get(job.action)
    if module is None:
        raise UsageError(f"there is no action {job.action!r}; there are {', '.join(ACTIONS)}")
    job.check_output_area()
    try:
        outcome: Outcome = importlib.import_module(module).perform(job)
    except FlagExists as error:
        logger.info(
            "somebody was first", extra=fields(run=job.run_dir.name, cell=job.cell, why=error)
        )
        return "nothing"
    return outcome
