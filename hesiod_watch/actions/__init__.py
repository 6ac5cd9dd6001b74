"""Actions: the things that hesiod-watch does to a run, one module for each.

Each module has one function `perform`. An action is idempotent or holds a claim. It reads the disk
itself, writes its result as a flag or file that is whole or absent, and logs its work in the run's
log.

`hesiod-watch perform ACTION RUN [CELL]` runs an action as its own process. The short actions also
run inside the process that decides.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import field
from functools import cached_property
from pathlib import Path
from typing import Literal

from hesiod_watch.config import Config
from hesiod_watch.core.action_kinds import ACTIONS
from hesiod_watch.core.errors import (
    FlagExists,
    HesiodError,
    PermanentError,
    TemporaryError,
    UsageError,
)
from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.logfields import fields
from hesiod_watch.core.model import LOCAL, CellId, Snapshot
from hesiod_watch.core.naming import display
from hesiod_watch.core.ownership import Owner, Progress
from hesiod_watch.core.records import record_in
from hesiod_watch.core.results import DoneRecord
from hesiod_watch.core.system_errors import translated
from hesiod_watch.host.files import OpenDirectory, time_in
from hesiod_watch.host.runlog import RunLog
from hesiod_watch.rules.copies import CopyPlace
from hesiod_watch.rules.liveness import Judge
from hesiod_watch.runs import flags
from hesiod_watch.runs.areas import OutputArea, landing_owners
from hesiod_watch.runs.cell_results import find_results, places_on_backups
from hesiod_watch.runs.landing import LandingArea
from hesiod_watch.runs.observe import observe, observe_site

logger = logging.getLogger(__name__)

Outcome = Literal["done", "nothing"]
"""`nothing`: another process did the work, or the work is no longer needed."""


@frozen
class Job:
    """One action on one run, with everything that the action needs."""

    action: str
    run_dir: Path
    config: Config
    owner: Owner  # the process that performs the job; written in claims and results
    cell: CellId | None = None
    reason: str = ""
    upstream: str = LOCAL  # source of the run; for new-run
    snapshot: Snapshot | None = None  # the look that planned the job, if it was made just now here
    on_progress: Callable[[Progress], None] = field(default=lambda progress: None)

    @property
    def judge(self) -> Judge:
        """Judge of the owners of claims and attempts."""
        return self.config.judge

    @cached_property
    def run(self) -> OpenDirectory:
        """The run's directory; with everything in it, the same one for the whole action."""
        return OpenDirectory(self.run_dir, self.config.landing)

    @cached_property
    def pipeline(self) -> flags.Pipeline:
        return flags.Pipeline(self.run)

    @cached_property
    def cell_dir(self) -> OpenDirectory:
        return self.run.open_cell(self.the_cell)

    def open_anew(self) -> None:
        """Open the run and all in it again at the next use: its file system may have returned."""
        for name in ("run", "pipeline", "cell_dir"):
            self.__dict__.pop(name, None)

    @property
    def output(self) -> Path:
        """Output directory of this run.

        Raises HesiodError if the directory is missing or belongs to another run.
        """
        self.check_output_area()
        self.check_owner()
        return flags.own_output(self.pipeline, self.config.output)

    @property
    def cell_output(self) -> Path:
        """Directory of the cell's output; after its library was renamed, see `find_results`.

        Raises HesiodError.
        """
        cell, output, done = self.the_cell, self.output, None
        with translated(f"cannot read {display(str(self.pipeline))}"), suppress(FileNotFoundError):
            text = self.pipeline.read(flags.done(cell.stem)).text
            done = DoneRecord.from_record(record_in(text))
        return output / str(find_results(output, cell, done))

    @property
    def places_on_backups(self) -> tuple[CopyPlace, ...]:
        """Places where backups may have the cell. Raises as `cell_output`."""
        place = self.cell_output
        kept = CellId(place.parent.name, place.name)
        return places_on_backups(
            self.run, self.config.output, place.parent.parent, self.the_cell, kept
        )

    def check_output_area(self) -> None:
        """Check that the output area is the real one; otherwise nothing may be written.

        Raises TemporaryError.
        """
        area = OutputArea(
            self.config.output, LandingArea(self.config.landing, self.config.batch), warn=False
        )
        if problem := area.problem(mark=True):
            raise TemporaryError(f"{self.run_dir.name}: {self.action} is not done: {problem}")

    def check_owner(self) -> None:
        """Check that a trusted account made the run's `pipeline/`, if it exists.

        Raises HesiodError.
        """
        with translated(f"cannot read {display(str(self.pipeline))}"):
            foreign = flags.find_foreign_maker(
                self.pipeline, self.config.output, landing_owners(self.config)
            )
        if foreign:
            raise PermanentError(
                f"{display(self.run_dir.name)}: {self.action} is not done: {foreign}"
            )

    @property
    def the_cell(self) -> CellId:
        if self.cell is None:
            raise UsageError(f"the action {self.action} needs a cell: LIBRARY/CELL")
        return self.cell

    def record(self, cell: CellId, reason: str) -> dict[str, str]:
        """Content of a flag that this job makes for a cell."""
        return {
            "reason": reason,
            "cell": str(cell),
            "version": self.owner.version,
            "time": self.owner.time,
        }

    def stop_flag(self, cell: CellId | None = None) -> str:
        """Flag by which a person stops this action on a cell; "" if there is none.

        Work calls this for every file, and while it reads one. The flags are listed only if one of
        the few that may count exists.
        """
        kind, stem = ACTIONS[self.action], (cell or self.the_cell).stem
        names = {*kind.stopped_by, flags.aborted(stem)}
        try:
            if not any(map(self.pipeline.has, names)):
                return ""
            return flags.read_flags(self.pipeline).stop_flag(kind, stem)
        except FileNotFoundError:
            return ""

    def look(self, channels: Collection[str] = ()) -> Snapshot:
        """Observe the run now, as the decider does."""
        return observe(
            self.run,
            self.config.output,
            judge=self.judge,
            channels=channels,
            owners=landing_owners(self.config),
        )

    def log(self) -> RunLog:
        """Log of this run.

        Lines are lost if the run has no output directory or the log cannot be written.
        """
        try:
            directory: Path | None = self.output
        except HesiodError:
            directory = flags.log_directory(self.pipeline, self.config.output)
        return RunLog(directory / "pipeline.log" if directory else None)


def file_system_time(job: Job) -> float:
    """Time by the clock of the landing area, in seconds since the epoch.

    A clock of another host says nothing about the age of a file. Raises TemporaryError,
    PermanentError.
    """
    with translated(f"cannot write in {display(str(job.pipeline))}"):
        return time_in(job.pipeline.descriptor)


class SiteJob(Job):
    """Delivery of the messages of the site, which has no run."""

    @cached_property
    def pipeline(self) -> flags.Pipeline:
        return flags.SitePipeline(self.config.output)

    def check_owner(self) -> None:
        """The administrator's program made the directory."""

    def look(self, channels: Collection[str] = ()) -> Snapshot:
        """Observe the outbox of the site, like a run that has nothing but messages."""
        return observe_site(self.config.output, judge=self.judge, channels=channels)

    def log(self) -> RunLog:
        return RunLog(self.run_dir / "messages.log")


def command_of(job: Job) -> tuple[str, ...]:
    """Command that repeats a job, as a person would type it."""
    config = ("--config", str(job.config.path)) if job.config.path else ()
    cell = (str(job.cell),) if job.cell else ()
    upstream = ("--upstream", job.upstream) if job.upstream != LOCAL else ()
    return ("hesiod-watch", *config, "perform", *upstream, job.action, str(job.run_dir), *cell)


def perform(job: Job) -> Outcome:
    """Perform one action now, in this process.

    Raises HesiodError; the action has already recorded what it must record.
    """
    # Imported here: the deciding process never loads code that works on data.
    module = importlib.import_module(f"{__name__}.{ACTIONS[job.action].module}")
    job.check_output_area()
    job.check_owner()
    try:
        outcome: Outcome = module.perform(job)
    except FlagExists as error:
        logger.info(
            "another process was first",
            extra=fields(run=job.run_dir.name, cell=job.cell, why=error),
        )
        return "nothing"
    return outcome
