"""Domain model of hesiod-watch: runs, cells, flags, claims, messages, actions and policy.

A *run* is an experiment's directory. A *library* is the level below. A *cell* is one acquisition
of one flow cell. A *flag* is a file under `RUN/pipeline/` that records one fact. A *claim* is a
`started` flag that names its owner.

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

from hesiod_watch.core.action_kinds import ActionKind
from hesiod_watch.core.records import record_in

RunName = NewType("RunName", str)
"""Name of a run's directory in the landing area."""

LOCAL = "LOCAL"
"""Text of `pipeline/upstream` for a run whose sequencer writes into the landing area itself."""


@dataclass(frozen=True, order=True, slots=True)
class CellId:
    """Identity of a cell within a run: `library/cell`.

    The names of flags use only the cell's directory name, its *stem*.
    """

    library: str
    name: str

    def __str__(self) -> str:
        return f"{self.library}/{self.name}"

    @property
    def stem(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class CellName:
    """Parts of a cell's directory name.

    The name has the form `{date}_{time}_{position}_{flow_cell_id}_{8 hex digits}[.suffix]`.
    """

    date: str  # YYYYMMDD; a label: local time or UTC, depending on MinKNOW's version
    time: str  # HHMM
    position: str
    flow_cell_id: str  # may be empty: "…_X1__0123abcd"
    short_id: str  # first eight hex digits of the protocol run id
    suffix: str = ""  # of data basecalled again by Hesiod's scripts; without the dot


class Liveness(StrEnum):
    """Whether the owner of a claim is alive. DEAD needs a proof; every doubt is UNKNOWN."""

    ALIVE = "alive"
    DEAD = "dead"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Owner:
    """Owner of a claim: the one JSON line in a `started` flag.

    A flag of another program may lack any field.
    """

    token: str
    action: str = ""
    executor: str = ""
    host: str = ""
    machine_id: str = ""
    boot_id: str = ""
    pid_namespace: str = ""
    pid: int = 0
    pid_start: int = 0  # field 22 of /proc/PID/stat: clock ticks since boot
    slurm_job: str = ""
    slurm_submitted: str = ""
    slurm_cluster: str = ""
    user: str = ""
    version: str = ""
    time: str = ""  # ISO 8601, UTC; for people, never for decisions about death
    epoch: int = 1
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Flag:
    """One file under `pipeline/`. `text` is None if the file was not read."""

    name: str
    mtime: float  # seconds since the epoch, by the file system's clock; for people
    regular: bool = True  # False: a symlink, FIFO, device or directory in the flag's place
    text: str | None = None

    @property
    def record(self) -> Mapping[str, object]:
        """JSON object in the flag; empty for a flag made by hand or by another program."""
        return record_in(self.text)

    @property
    def why(self) -> str:
        """Reason in the flag, for a person: the record's `reason`, or the text of a plain flag."""
        return why_in(self.text)


def why_in(text: str | None) -> str:
    """Return the reason in a flag's text: its record's `reason`, or the whole plain text, or ""."""
    record = record_in(text)
    return str(record.get("reason", "")) if record else (text or "").strip()


@dataclass(frozen=True, slots=True)
class WorkerDeath:
    """End of a worker without a result, as the process that started it saw and recorded it."""

    reason: str  # such as "attempt 1 was killed by signal 9 (out of memory?)"
    time: str  # ISO 8601, UTC


@dataclass(frozen=True, slots=True)
class Claim:
    """One epoch of a claim: its decider, its worker, and whether they are alive."""

    epoch: int
    owner: Owner | None  # the decider; None: an empty or foreign flag, "held, owner unknown"
    worker: Owner | None
    yielded: bool  # the owner released the claim, for example because an earlier worker is alive
    liveness: Liveness
    evidence: str  # one sentence: the reason for `liveness`
    # mtime of the claim's flag: seconds since the epoch, by the file system's clock; 0.0: unknown
    made: float = 0.0
    death: WorkerDeath | None = None


@dataclass(frozen=True, slots=True)
class CellFlags:
    """Facts that flags record about one cell."""

    synced: bool = False
    accepted: bool = False  # a person made `synced`; not read if the cell is done, then False
    done: Flag | None = None
    failed: Flag | None = None
    aborted: Flag | None = None
    claims: tuple[Claim, ...] = ()  # by epoch, lowest first

    @property
    def claim(self) -> Claim | None:
        """Claim that counts: the one with the highest epoch among those not released."""
        return next((claim for claim in reversed(self.claims) if not claim.yielded), None)


class DataKind(StrEnum):
    """Kinds of data file that a final_summary counts."""

    FASTQ = "fastq"
    FAST5 = "fast5"
    POD5 = "pod5"
    BAM = "bam"


@dataclass(frozen=True, slots=True)
class FinalSummary:
    """One parsed final_summary file."""

    name: str  # file name, as on disk
    # Values by key; if a key is repeated, its last value.
    values: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""  # why the file is not valid: half-written or unreadable

    @property
    def acquisition(self) -> str:
        """Acquisition id, 40 hex digits; "" if the file states none."""
        return self.values.get("acquisition_run_id", "")


@dataclass(frozen=True, slots=True)
class CellContents:
    """Content of a cell's directory, as far as it matters for completeness."""

    summaries: tuple[FinalSummary, ...] = ()
    files: Mapping[DataKind, int] = field(default_factory=dict)  # number of files by kind
    # Acquisition ids that data files name and no final_summary names. An id has as many hex digits
    # as the file names contain.
    unsummarised: tuple[str, ...] = ()
    readable: bool = True
    problem: str = ""  # e.g. "fastq_pass: permission denied"


class Verdict(StrEnum):
    """Result of checking whether all data of a cell have arrived."""

    RUNNING = "running"  # no final_summary yet
    UNREADABLE = "unreadable"  # the final_summary is half-written, or the file is not one at all
    SHORT = "short"  # fewer files in the landing area than announced
    OVER = "over"  # more files in the landing area than announced
    FALLBACK = "fallback"  # MinKNOW could not deliver some files; they are on the sequencer
    PROVEN = "proven"
    BY_HAND = "by-hand"  # not proven, but accepted as complete by a person


@dataclass(frozen=True, slots=True)
class Shortfall:
    """One wrong count: `found` files of `kind` where the final_summary says `expected`."""

    kind: DataKind
    found: int
    expected: int


@dataclass(frozen=True, slots=True)
class Completeness:
    """Verdict on a cell's data, with a sentence for people."""

    verdict: Verdict
    why: str
    shortfalls: tuple[Shortfall, ...] = ()
    fallback: Mapping[DataKind, int] = field(default_factory=dict)
    summaries: tuple[FinalSummary, ...] = ()

    @property
    def proven(self) -> bool:
        return self.verdict is Verdict.PROVEN

    @property
    def by_hand(self) -> str:
        """Sentence about a cell that a person accepted despite wrong counts; "" for other cells."""
        return self.why if self.verdict is Verdict.BY_HAND else ""

    def record(self) -> dict[str, object]:
        """Return the verdict as a JSON object for qc.json, `.done` and `status --json`."""
        shortfalls = [
            {"kind": str(each.kind), "found": each.found, "expected": each.expected}
            for each in self.shortfalls
        ]
        fallback = {str(kind): count for kind, count in self.fallback.items()}
        return {
            "verdict": str(self.verdict),
            "why": self.why,
            "shortfalls": shortfalls,
            "fallback": fallback,
        }

    @classmethod
    def from_record(cls, record: object) -> Completeness | None:
        """Read what the method `record` wrote; None for anything else."""
        if not isinstance(record, dict):
            return None
        try:
            shortfalls = tuple(
                Shortfall(DataKind(each["kind"]), int(each["found"]), int(each["expected"]))
                for each in record["shortfalls"]
            )
            fallback = {DataKind(kind): int(count) for kind, count in record["fallback"].items()}
            verdict = Verdict(record["verdict"])
            return cls(verdict, str(record["why"]), shortfalls, fallback)
        except (KeyError, TypeError, ValueError, AttributeError):
            return None


@dataclass(frozen=True, slots=True)
class Progress:
    """Last progress report of a worker; for people, never for decisions."""

    phase: str
    bytes_done: int = 0  # bytes of source data, as on disk
    bytes_total: int = 0  # bytes of source data, as on disk
    reads: int = 0
    bases: int = 0
    updated: float = 0.0  # seconds since the epoch
    note: str = ""  # e.g. "waiting: no space left on the output file system"


@dataclass(frozen=True, slots=True)
class Attempt:
    """Last attempt at repeatable work on a cell or a run, under way or ended."""

    outcome: str  # "" while it is under way; then "done" or "failed"
    owner: Owner | None
    liveness: Liveness
    evidence: str  # one sentence: the reason for `liveness`
    record: Mapping[str, object] = field(default_factory=dict)  # the whole content of its flag

    @property
    def why(self) -> str:
        """Reason for the outcome of the attempt, for a person.

        It is the `reason` of the record. `records.current` translates the keys of version 0.1.0.
        """
        return str(self.record.get("reason") or self.evidence)


@dataclass(frozen=True, slots=True)
class OutboxMessage:
    """One message of a run's outbox."""

    number: int  # position within the run, from 1
    key: str  # identifies the event of the message; the name of its file
    event: str = ""
    token: str = ""  # 32 hex digits
    # Channels that deliver it: name of a channel → comment or reply.
    channels: Mapping[str, str] = field(default_factory=dict)
    text: str = ""
    time: str = ""  # time of writing, ISO 8601, UTC
    problem: str = ""  # why the file cannot be delivered in its present form


@dataclass(frozen=True, slots=True)
class Outbox:
    """Outbox of a run, `pipeline/messages/`: its queued and its delivered messages."""

    # Keys of all messages, and of events older than the first message.
    reported: frozenset[str] = frozenset()
    # Keys of messages whose writer was stopped before it gave them a number.
    unnumbered: tuple[str, ...] = ()
    last: int = 0  # highest number of a message; 0: there is no message
    newest: str = ""  # key of the message with the highest number
    # Channel → number up to which it has delivered all messages.
    delivered: Mapping[str, int] = field(default_factory=dict)
    channels: tuple[str, ...] = ()  # channels of the configuration, as examined for this snapshot
    waiting: tuple[OutboxMessage, ...] = ()  # messages that at least one channel must still deliver
    last_attempt: Attempt | None = None  # the last delivery, or the one under way
    ticket: int | None = None  # number of the run's ticket in the tracker
    problem: str = ""  # why nothing is known about the messages

    def waiting_for(self, channel: str) -> tuple[OutboxMessage, ...]:
        """Return the messages that a channel must still deliver, in order.

        A message that cannot be read may be for any channel, so every channel includes it.
        """
        after = self.delivered.get(channel, 0)
        return tuple(
            message
            for message in self.waiting
            if message.number > after and (message.problem or channel in message.channels)
        )


@dataclass(frozen=True, slots=True)
class ListedRun:
    """One run in the listing of its upstream."""

    location: str  # spelled as in pipeline/upstream
    cells: frozenset[CellId]


@dataclass(frozen=True, slots=True)
class IngestState:
    """FASTQ ingest state of a cell that is still being written.

    Times are nanoseconds since the epoch, by the file system's clock.
    """

    changed: int  # last change of a data directory; 0: there is no data directory
    seen: int = 0  # value of `changed` that the last attempt read before it listed files
    unfinished: int = 0  # files that the last attempt skipped because they may still grow
    last_attempt: Attempt | None = None


@dataclass(frozen=True, slots=True)
class Cell:
    """One observed cell: its state on disk, on its upstream and in flags."""

    id: CellId
    present: bool  # its directory is in the landing area
    upstream: bool = False  # its upstream's listing contains it
    flags: CellFlags = CellFlags()
    # Counted for this snapshot, or read from `done` or `failed`; None: a flag already decides.
    completeness: Completeness | None = None
    # Arrival of the newest final_summary here, seconds since the epoch.
    summary_since: float | None = None
    progress: Progress | None = None
    arriving: IngestState | None = None  # None: not examined, because the cell is not being written
    # reads, bases, n50, mean_q; preliminary while the cell runs
    results: Mapping[str, object] = field(default_factory=dict)
    # For each kind of work: the last attempt, or the one under way.
    backup: Attempt | None = None  # copying it to the backups
    verification: Attempt | None = None  # reading its copies
    deletable: Attempt | None = None  # marking it on its upstream as safe to delete
    strip: Attempt | None = None  # removing its raw data from the landing area


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


@dataclass(frozen=True, slots=True)
class QuarantinedName:
    """Name of a run, or of something in a run, that is never worked on, and why."""

    name: str  # escaped for display; may contain escapes for undecodable bytes
    why: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything known about one run at one moment. Rules need nothing else."""

    run: RunName
    path: Path
    has_pipeline: bool
    upstream: str | None = None  # text of pipeline/upstream
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


@dataclass(frozen=True, slots=True)
class RunType:
    """Configured type of run, such as internal or visitor: its names and its special treatment."""

    name: str
    runs: str  # regular expression that the whole name of a run must match
    process: bool = True  # False: its cells are received and not processed
    notify: bool = True  # False: no messages are sent about its runs
    queue: str = ""  # queue of the tracker; "": the queue for all runs
    # Whether backups contain raw data; default: each backup's own setting decides.
    backup_raw: Literal["default", "true", "false"] = "default"


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class Policy:
    """Settings of the configuration that decide what is done when. Times are in seconds."""

    local: bool = True  # take up runs that a sequencer writes into the landing area itself
    # Grace period after a final_summary: an incomplete cell is reported when it is over.
    grace: float = 3600.0
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
    types: tuple[RunType, ...] = ()  # the first type that matches a run's name counts
    # Channel → event → comment or reply.
    channels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Decision:
    """Plan for one run: actions to start now, and what the run waits for."""

    actions: tuple[Action, ...]
    waiting: tuple[str, ...] = ()  # sentences about what is not done yet, and why
    look_again: datetime | None = None  # time at which the plan changes without any event
