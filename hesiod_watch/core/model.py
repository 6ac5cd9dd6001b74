"""Runs and cells as observed, what the configuration allows, and what is decided about them.

A *run* is an experiment's directory. A *library* is the level below. A *cell* is one acquisition
of one flow cell.

All values are frozen. They compute only what follows from their fields. Rules (`status`, `plan`,
...) take and return these values. This module never touches the disk, the clock or the log.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Literal, NewType

from hesiod_watch.core import pooled
from hesiod_watch.core.action_kinds import ActionKind
from hesiod_watch.core.cell_contents import Completeness, LateData
from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.ownership import Attempt, CellFlags, Progress
from hesiod_watch.core.pooled import PooledCell
from hesiod_watch.core.queued_messages import Outbox

RunName = NewType("RunName", str)
"""Name of a run's directory in the landing area."""

LOCAL = "LOCAL"
"""Text of `pipeline/upstream` for a run whose sequencer writes into the landing area itself."""


@dataclass(frozen=True, order=True, slots=True)
class CellId:
    """Identity of a cell within a run: `library/cell`.

    The names of flags use only the cell's directory name, its *stem*. A cell in a pooled directory
    has no directory of its own: its files are in the library's.
    """

    library: str
    name: str

    def __str__(self) -> str:
        return f"{self.library}/{self.name}"

    @property
    def stem(self) -> str:
        return self.name

    @property
    def pooled(self) -> PooledCell | None:
        """Ids of the cell's files in the library's directory; None: the cell has its own."""
        return pooled.parse(self.name)

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the directories, from the run's to the one that has the cell's files."""
        return (self.library,) if self.pooled else (self.library, self.name)

    @property
    def place(self) -> str:
        """Path of the directory that has the cell's files, relative to the run's."""
        return "/".join(self.parts)


@frozen
class CellName:
    """Parts of a cell's directory name.

    The name has the form `{date}_{time}_{position}_{flow_cell_id}_{8 hex digits}[.suffix]`. A cell
    in a pooled directory has no date, time and position.
    """

    date: str  # YYYYMMDD; a label: local time or UTC, depending on MinKNOW's version
    time: str  # HHMM
    position: str
    flow_cell_id: str  # may be empty: "…_X1__0123abcd"
    short_id: str  # first eight hex digits of the protocol run id
    # Of data basecalled again by Hesiod's scripts, without the dot; or the acquisition's id.
    suffix: str = ""


@frozen
class ListedRun:
    """One run in the listing of its upstream."""

    location: str  # spelled as in pipeline/upstream
    cells: frozenset[CellId]


@frozen
class IngestState:
    """FASTQ ingest state of a cell that is still being written.

    Times are nanoseconds since the epoch, by the file system's clock.
    """

    changed: int  # last change of a data directory; 0: there is no data directory
    seen: int = 0  # value of `changed` that the last attempt read before it listed files
    unfinished: int = 0  # files that the last attempt skipped because they may still grow
    last_attempt: Attempt | None = None


@frozen
class Cell:
    """One observed cell: its state on disk, on its upstream and in flags."""

    id: CellId
    present: bool  # its directory is in the landing area
    upstream: bool = False  # its upstream's listing contains it
    flags: CellFlags = field(default_factory=CellFlags)
    # Counted for this snapshot, or read from `done` or `failed`; None: a flag already decides.
    completeness: Completeness | None = None
    # Which cell this one, on its upstream, is a second copy of; "" if a person wants it, too.
    copy_of: str = ""
    # Files by kind whose number nothing states, as the program recorded it in `synced`.
    unverified: Mapping[str, int] = field(default_factory=dict)
    # Arrival of the newest final_summary here, seconds since the epoch.
    summary_since: float | None = None
    # Last change of data that are younger than the newest final_summary, seconds since the epoch by
    # the file system's clock; None: all data are older, or they are not complete.
    unsettled_since: float | None = None
    late_data: LateData | None = None  # data that came after the cell was processed
    # For a cell without a final_summary: last change of its directory or of a data directory, by
    # the clock of this file system, in seconds since the epoch.
    changed: float | None = None
    has_data: bool = True  # a data directory exists
    progress: Progress | None = None
    arriving: IngestState | None = None  # None: not examined, because the cell is not being written
    # reads, bases, n50, mean_q; preliminary while the cell runs
    results: Mapping[str, object] = field(default_factory=dict)
    # For each kind of work: the last attempt, or the one under way.
    checksums: Attempt | None = None  # comparing it with MinKNOW's checksums before `synced`
    backup: Attempt | None = None  # copying it to the backups
    verification: Attempt | None = None  # reading its copies
    deletable: Attempt | None = None  # marking it on its upstream as safe to delete
    strip: Attempt | None = None  # removing its raw data from the landing area
    hook: Attempt | None = None  # running the facility's command, `on_done`
    raw_missing: bool = False  # processed, and `raw.json` is still to be made
    # Library that its results are under; "": the present one. It is another one if the library was
    # renamed after the cell was processed.
    results_library: str = ""

    @property
    def results_place(self) -> str:
        """Path of its results, relative to the output directory of its run."""
        return f"{self.results_library or self.id.library}/{self.id.name}"


class Stage(StrEnum):
    """Stage of a cell on its way from the sequencer to processed results."""

    ABORTED = "aborted"
    PROCESSED = "processed"
    FAILED = "failed"
    PROCESSING = "processing"
    READY = "ready"
    PENDING = "pending"
    NEW = "new"
    INCOMPLETE = "incomplete"


class Status(StrEnum):
    """Status of a run in one word, for people and for Hesiod's scripts; no code branches on it."""

    NEW = "new"
    ABORTED = "aborted"
    STRIPPED = "stripped"
    HISTORIC = "historic"
    UNKNOWN = "unknown"
    FAILED = "failed"
    COMPLETE = "complete"
    PROCESSING_SYNCING = "processing_syncing"
    PROCESSING_SYNC_NEEDED = "processing_sync_needed"
    PROCESSING = "processing"
    CELL_READY = "cell_ready"
    SYNCING = "syncing"
    SYNC_NEEDED = "sync_needed"
    INCOMPLETE = "incomplete"


@frozen
class QuarantinedName:
    """Name of a run, or of something in a run, that is never worked on, and why."""

    name: str  # escaped for display; may contain escapes for undecodable bytes
    why: str
    kind: str = "quarantined"  # kind of attention: quarantined, doubled, pooled, unreadable, …


@frozen
class Snapshot:
    """Everything known about one run at one moment. Rules need nothing else."""

    run: RunName
    path: Path
    has_pipeline: bool
    upstream: str | None = None  # text of pipeline/upstream
    upstream_problem: str = ""  # why the file, which is there, does not say it
    output: Path | None = None  # target of pipeline/output, if it is below the output root
    output_problem: str = ""  # why `output` is None, or why writing there is impossible
    output_foreign: bool = False  # pipeline/output leads to the directory of another run
    # Run-level flags: failed, aborted, stripped, sync.started, …
    flags: frozenset[str] = frozenset()
    flag_texts: Mapping[str, str] = field(default_factory=dict)  # flag → its text, if it has one
    cells: tuple[Cell, ...] = ()
    quarantined: tuple[QuarantinedName, ...] = ()  # the run's own name, or names in the run
    # Names left alone on purpose: configuration-test cells.
    ignored: tuple[QuarantinedName, ...] = ()
    report_digest: str | None = None  # digest in report.html; None: no report
    problem: str = ""  # why the run could not be observed in full
    historic: str = ""  # why the run is not taken up; its cells are not observed then
    pipeline_foreign: bool = False  # an account that is not trusted made pipeline/
    # Location of the upstream whose current listing contains this run, spelled as in
    # pipeline/upstream; "": no listing contains it.
    listed_at: str = ""
    sync: Attempt | None = None  # the last sync, or the one under way
    backup: Attempt | None = None  # the last copying of the run's own files to the backups
    type: str = ""  # type in pipeline/type.yaml; "": the file names none, the run's name decides
    type_problem: str = ""  # why an existing pipeline/type.yaml names no type
    outbox: Outbox | None = None  # None: no message has been written yet

    @property
    def adopted(self) -> bool:
        """Whether the run's upstream is known, so that work on it is allowed."""
        return self.has_pipeline and self.upstream is not None

    @property
    def workable(self) -> bool:
        """Whether the run is taken up and has its output directory."""
        return self.adopted and self.output is not None

    def stop_flags(self, kind: ActionKind) -> list[str]:
        """Flags of the run that prevent the start of an action, sorted."""
        return sorted(kind.stopped_by & self.flags)

    def may_start(self, kind: ActionKind) -> bool:
        return self.workable and not self.stop_flags(kind)

    def cell(self, cell: CellId) -> Cell | None:
        return next((candidate for candidate in self.cells if candidate.id == cell), None)


@frozen
class RunType:
    """Configured type of run, such as internal or visitor: its names and its special treatment."""

    name: str
    runs: str  # regular expression that the whole name of a run must match
    process: bool = True  # False: its cells are received and not processed
    notify: bool = True  # False: no messages are sent about its runs
    queue: str = ""  # queue of the tracker; "": the queue for all runs
    # Whether backups contain raw data; default: each backup's own setting decides.
    backup_raw: Literal["default", "true", "false"] = "default"


@frozen
class Action:
    """One piece of work to do now, with the reason that an operator will ask for at 3 a.m."""

    kind: ActionKind
    run: RunName
    reason: str
    cell: CellId | None = None
    epoch: int = 1  # epoch of the claim, for actions that need a claim
    upstream: str = LOCAL  # where the run comes from, for new-run and sync

    @property
    def name(self) -> str:
        return self.kind.name

    def __str__(self) -> str:
        return " ".join(part for part in (self.name, self.run, str(self.cell or "")) if part)


@frozen
class Policy:
    """Settings of the configuration that decide what is done when. Times are in seconds."""

    local: bool = True  # take up runs that a sequencer writes into the landing area itself
    # Grace period after a final_summary: an incomplete cell is reported when it is over.
    grace: float = 3600.0
    # Whether a cell is complete only if it agrees with MinKNOW's checksums, where there are any.
    require_checksums: bool = False
    # Time without a new file, and without a final_summary, after which a cell is reported.
    quiet: float = 86400.0
    attempts_per_day: int = 3  # claims of one cell in 24 hours before the cell fails
    # From the death of a worker to the next attempt at its cell, by the number of attempts in 24
    # hours; the last one counts for all later attempts.
    attempt_pauses: tuple[float, ...] = (60.0, 300.0, 1800.0)
    # Shortest time from one start of ingest to the next; None: no ingest.
    ingest_interval: float | None = 60.0
    sync_interval: float = 0.0  # shortest time from one sync of a run to the next
    backups: frozenset[str] = frozenset()  # names of the backups of each processed cell
    verify_every: float = 30 * 86400.0  # from one reading of a cell's copies to the next
    # Upstreams whose cells are marked as safe to delete → how long a mark is valid.
    marking: Mapping[str, float] = field(default_factory=dict)
    # From `.done` to the removal of raw data; None: never automatically.
    strip_after: float | None = None
    on_done: bool = False  # a command is configured that is run once for each processed cell
    types: tuple[RunType, ...] = ()  # the first type that matches a run's name counts
    # Channel → event → comment or reply.
    channels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@frozen
class Decision:
    """Plan for one run: actions to start now, and what the run waits for."""

    actions: tuple[Action, ...]
    waiting: tuple[str, ...] = ()  # sentences about what is not done yet, and why
    look_again: datetime | None = None  # time at which the plan changes without any event
