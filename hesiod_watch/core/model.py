"""The words of hesiod-watch: frozen values with no behaviour beyond what follows from their fields.

A *run* is an experiment's directory, a *library* the level below, a *cell* one acquisition of one
flow cell. A *flag* is a file under `RUN/pipeline/` that records one fact; a *claim* is a `started`
flag that names its owner. Rules (`status`, `plan`, ...) take these values and give these values
back; nothing here touches the disk, the clock or the log.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Literal, NewType

from hesiod_watch.core.records import record_in

RunName = NewType("RunName", str)
"""Name of a run's directory in the landing area."""

LOCAL = "LOCAL"
"""Text of `pipeline/upstream` for a run whose sequencer writes into the landing area itself."""


@dataclass(frozen=True, order=True, slots=True)
class CellId:
    """`library/cell` within a run. Flags use the cell's directory name alone, its *stem*."""

    library: str
    name: str

    def __str__(self) -> str:
        return f"{self.library}/{self.name}"

    @property
    def stem(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class CellName:
    """The parts of a cell's directory name, `{date}_{time}_{position}_{flow_cell_id}_{8
    hex}[.suffix]`.
    """

    date: str  # YYYYMMDD; a label, local time or UTC depending on MinKNOW's version
    time: str  # HHMM
    position: str
    flow_cell_id: str  # may be empty: "…_X1__0123abcd"
    short_id: str  # first eight hex digits of the protocol run id
    suffix: str = ""  # data called again by Hesiod's own scripts; without the dot


class Liveness(StrEnum):
    """What is known about the owner of a claim. DEAD only with proof; doubt is UNKNOWN."""

    ALIVE = "alive"
    DEAD = "dead"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Owner:
    """Who holds a claim: the one JSON line in a `started` flag. Any field may be missing in a
    foreign one.
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
    """One file under `pipeline/`. `text` is None where nobody read the file."""

    name: str
    mtime: float  # seconds since the epoch, of the file system's clock; for people
    regular: bool = True  # False: a symlink, FIFO, device or directory in the flag's place
    text: str | None = None

    @property
    def record(self) -> Mapping[str, object]:
        """The JSON object in the flag; empty for a flag made by hand or by another program."""
        return record_in(self.text)

    @property
    def why(self) -> str:
        """What the flag says to a person: the record's `why`, or the whole text of a flag without a
        record.
        """
        return why_in(self.text)


def why_in(text: str | None) -> str:
    """The sentence for a person in a flag's text; "" where there is none."""
    record = record_in(text)
    return str(record.get("reason", "")) if record else (text or "").strip()


@dataclass(frozen=True, slots=True)
class Claim:
    """One epoch of a claim: who decided, who works, and whether they live."""

    epoch: int
    owner: Owner | None  # None: an empty or foreign flag, "held, owner unknown"
    worker: Owner | None
    yielded: bool  # whoever took this epoch found the earlier worker alive and stepped back
    liveness: Liveness
    evidence: str  # one sentence: why we think so
    # mtime of its flag, seconds since the epoch, of the file system's clock; 0.0: not known
    made: float = 0.0


@dataclass(frozen=True, slots=True)
class CellFlags:
    """The facts recorded about one cell."""

    synced: bool = False
    accepted: bool = False  # a person made `synced`; not read, so False, where the cell is done
    done: Flag | None = None
    failed: Flag | None = None
    aborted: Flag | None = None
    claims: tuple[Claim, ...] = ()  # by epoch, lowest first

    @property
    def claim(self) -> Claim | None:
        """The claim that counts: the highest epoch that has not stepped back."""
        return next((claim for claim in reversed(self.claims) if not claim.yielded), None)


class DataKind(StrEnum):
    """Kinds of data file that a final_summary counts."""

    FASTQ = "fastq"
    FAST5 = "fast5"
    POD5 = "pod5"
    BAM = "bam"


@dataclass(frozen=True, slots=True)
class FinalSummary:
    """One parsed final_summary file. `problem` says why it does not count as one (half-written,
    unreadable).
    """

    name: str  # file name, as on disk
    values: Mapping[str, str] = field(
        default_factory=dict
    )  # last value wins where a key is repeated
    problem: str = ""

    @property
    def acquisition(self) -> str:
        """Acquisition id, 40 hex digits, or "" where the file does not say."""
        return self.values.get("acquisition_run_id", "")


@dataclass(frozen=True, slots=True)
class CellContents:
    """What lies in a cell's directory, as far as completeness is concerned."""

    summaries: tuple[FinalSummary, ...] = ()
    files: Mapping[DataKind, int] = field(default_factory=dict)
    # Acquisition ids (as many hex digits as the file names carry) that data files name and no
    # summary does.
    unsummarised: tuple[str, ...] = ()
    readable: bool = True
    problem: str = ""  # e.g. "fastq_pass: permission denied"


class Verdict(StrEnum):
    """Whether a cell's data are proven to be here."""

    RUNNING = "running"  # no final_summary yet
    UNREADABLE = "unreadable"  # a final_summary that is half-written or no final_summary at all
    SHORT = "short"  # files announced and not here
    OVER = "over"  # more files here than announced
    FALLBACK = "fallback"  # MinKNOW could not move files here; they are on the sequencer
    PROVEN = "proven"
    BY_HAND = "by-hand"  # one of the others but proven, and a person accepted the cell as complete


@dataclass(frozen=True, slots=True)
class Shortfall:
    """One count that disagrees: `found` files of `kind` where the summary says `expected`."""

    kind: DataKind
    found: int
    expected: int


@dataclass(frozen=True, slots=True)
class Completeness:
    """The verdict on a cell's data with the sentence to tell a person."""

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
        """The sentence about a cell that a person accepted although its counts do not agree; else
        "".
        """
        return self.why if self.verdict is Verdict.BY_HAND else ""

    def record(self) -> dict[str, object]:
        """The verdict as qc.json, `.done` and `status --json` hold it."""
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
        """The verdict that `record` wrote; None for anything else."""
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
    """What a worker last said about itself; for people, never for decisions."""

    phase: str
    bytes_done: int = 0  # of source data, as on disk
    bytes_total: int = 0
    reads: int = 0
    bases: int = 0
    updated: float = 0.0  # seconds since the epoch
    note: str = ""  # e.g. "waiting: no space left on the output file system"


@dataclass(frozen=True, slots=True)
class Attempt:
    """The last round of repeated work on a cell or a run: under way, or how it ended."""

    ending: str  # "" while it is under way; done, failed
    owner: Owner | None
    liveness: Liveness
    evidence: str
    record: Mapping[str, object] = field(default_factory=dict)  # all that its flag says

    @property
    def why(self) -> str:
        """Why the round ended as it did, for a person.

        Backups, verifications and syncs record it as `trouble`, marks and strips as `why`. A record
        with `trouble` may have a `why` too: the reason for which the round was begun.
        """
        return str(self.record.get("reason") or self.evidence)


@dataclass(frozen=True, slots=True)
class OutboxMessage:
    """One message of a run's outbox."""

    number: int  # its order within the run, from 1
    key: str  # names what it tells of; the name of its file
    event: str = ""
    token: str = ""  # 32 hex digits
    channels: Mapping[str, str] = field(
        default_factory=dict
    )  # where it goes: name of a channel → comment or reply
    text: str = ""
    time: str = ""  # ISO 8601, UTC; when it was written
    problem: str = ""  # why it cannot be delivered as it lies there


@dataclass(frozen=True, slots=True)
class Outbox:
    """What people were told, or are to be told, about a run: `pipeline/messages/`."""

    reported: frozenset[str] = (
        frozenset()
    )  # keys of all messages, and of what happened before there were any
    unnumbered: tuple[
        str, ...
    ] = ()  # keys of messages whose writer was stopped before they had a number
    last: int = 0  # the highest number; 0: none
    newest: str = ""  # key of that message
    delivered: Mapping[str, int] = field(
        default_factory=dict
    )  # channel → number up to which it has them all
    channels: tuple[
        str, ...
    ] = ()  # those that this look asked about, as the configuration has them
    waiting: tuple[OutboxMessage, ...] = ()  # what at least one of these is still to get
    round: Attempt | None = None  # the last delivery, or the one under way
    ticket: int | None = None  # in the tracker
    problem: str = ""  # why nothing is known about the messages

    def waiting_for(self, channel: str) -> tuple[OutboxMessage, ...]:
        """What a channel is still to get, in order; what cannot be understood may be for any of
        them.
        """
        after = self.delivered.get(channel, 0)
        return tuple(
            letter
            for letter in self.waiting
            if letter.number > after and (letter.problem or channel in letter.channels)
        )


@dataclass(frozen=True, slots=True)
class ListedRun:
    """One run as a listing of its upstream shows it."""

    location: str  # as pipeline/upstream spells it
    cells: frozenset[CellId]


@dataclass(frozen=True, slots=True)
class IngestState:
    """What is known about the FASTQ of a cell that is still being written. Times are nanoseconds
    since the epoch.
    """

    changed: int  # when a data directory last changed, by the file system's clock; 0: there is none
    seen: int = 0  # the same, as the last round of ingest saw it before it listed files
    unfinished: int = 0  # files that the last round left because they may still grow
    round: Attempt | None = None


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell as observed: what is on disk, what is upstream, what is recorded."""

    id: CellId
    present: bool  # its directory is in the landing area
    upstream: bool = False  # the listing of its upstream shows it
    flags: CellFlags = CellFlags()
    # The count of this look, or the one that `done` or `failed` holds; None: a flag says enough.
    completeness: Completeness | None = None
    summary_since: float | None = (
        None  # when the newest final_summary was written, seconds since the epoch
    )
    progress: Progress | None = None
    arriving: IngestState | None = (
        None  # None: not looked at, because the cell is not being written
    )
    results: Mapping[str, object] = field(
        default_factory=dict
    )  # reads, bases, n50, mean_q; so far, while it runs
    backup: Attempt | None = (
        None  # the last round of copying it to second places, or the one under way
    )
    verification: Attempt | None = None  # the last reading of its copies, or the one under way
    deletable: Attempt | None = (
        None  # the last time it was marked on its upstream as safe to delete, or refused
    )
    strip: Attempt | None = (
        None  # the last removal of its raw data from the landing area, or the one under way
    )


class Stage(StrEnum):
    """How far a cell has come."""

    ABORTED = "aborted"
    PROCESSED = "processed"
    FAILED = "failed"
    PROCESSING = "processing"
    READY = "ready"
    PENDING = "pending"
    NEW = "new"
    INCOMPLETE = "incomplete"


class Status(StrEnum):
    """The word for a run, for people and for Hesiod's scripts; no code branches on it."""

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
    """A name in a run (or a run itself) that we will not touch, and why."""

    name: str  # escaped for display; may hold what was undecodable bytes
    why: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything known about one run at one look. Rules need nothing else."""

    run: RunName
    path: Path
    has_pipeline: bool
    upstream: str | None = None  # text of pipeline/upstream
    output: Path | None = None  # where pipeline/output leads, when that is below the output root
    output_problem: str = ""  # why `output` is None, or why nothing can be written there
    output_foreign: bool = False  # pipeline/output leads to a directory that is not this run's
    flags: frozenset[str] = (
        frozenset()
    )  # run-level flags: failed, aborted, stripped, sync.started, …
    flag_texts: Mapping[str, str] = field(
        default_factory=dict
    )  # what those flags say, where they say anything
    cells: tuple[Cell, ...] = ()
    quarantined: tuple[QuarantinedName, ...] = ()  # of this run, or in it
    ignored: tuple[
        QuarantinedName, ...
    ] = ()  # known and left alone on purpose: configuration-test cells
    report_digest: str | None = None  # digest that report.html carries; None: no report
    problem: str = ""  # why the run could not be observed in full
    # where a listing just shows this run, as pipeline/upstream spells it; "" where none does
    listed_at: str = ""
    sync: Attempt | None = None  # the last round of copying, or the one under way
    backup: Attempt | None = None  # the last round of copying the run's own files to second places
    type: str = ""  # what pipeline/type.yaml says; "": nothing, and the run's name decides
    type_problem: str = ""  # why that file says nothing although it is there
    outbox: Outbox | None = None  # None: none yet, so nobody was told anything

    @property
    def adopted(self) -> bool:
        """We know whose run this is and may work on it."""
        return self.has_pipeline and self.upstream is not None

    def cell(self, cell: CellId) -> Cell | None:
        return next((candidate for candidate in self.cells if candidate.id == cell), None)


@dataclass(frozen=True, slots=True)
class RunType:
    """A kind of run, such as internal or visitor, by the runs' names, and what is different about
    it.
    """

    name: str
    runs: str  # regular expression that the whole name of a run must match
    process: bool = True  # False: its cells are received, and left as they are
    notify: bool = True  # False: nobody is told about them
    queue: str = ""  # of the tracker; "": the one for all runs
    backup_raw: Literal["default", "true", "false"] = (
        "default"  # whether backups hold raw data; default: as each says
    )


@dataclass(frozen=True, slots=True)
class Action:
    """One thing to do now, with the reason somebody will ask for at 3 a.m."""

    name: str  # new-run, synced, process, ingest, sync, report, give-up
    run: RunName
    reason: str
    cell: CellId | None = None
    epoch: int = 1  # of the claim it needs, for actions that are claimed
    upstream: str = LOCAL  # where the run comes from, for new-run and sync
    listed_run: ListedRun | None = (
        None  # the run as its upstream was just seen to have it, for tell
    )
    completeness: Completeness | None = field(
        default=None, compare=False
    )  # what was just counted, for synced

    def __str__(self) -> str:
        return " ".join(part for part in (self.name, self.run, str(self.cell or "")) if part)


@dataclass(frozen=True, slots=True)
class Policy:
    """What the configuration says about deciding. Times are in seconds."""

    local: bool = True  # runs that appear in the landing area by themselves are ours
    grace: float = (
        3600.0  # after a final_summary: how long a cell may stay incomplete before a person is told
    )
    attempts_per_day: int = 3  # claims of one cell in 24 hours before it is given up as failed
    ingest_interval: float | None = (
        60.0  # shortest time from one round of ingest to the next; None: no ingest
    )
    sync_interval: float = 0.0  # shortest time from one sync of a run to the next
    backups: frozenset[str] = (
        frozenset()
    )  # names of the second places that each processed cell is copied to
    verify_every: float = 30 * 86400.0  # from one reading of a cell's copies to the next
    marking: Mapping[str, float] = field(
        default_factory=dict
    )  # upstreams whose cells are marked → how long that counts
    strip_after: float | None = (
        None  # from `.done` to the removal of raw data; None: never by itself
    )
    types: tuple[RunType, ...] = ()  # the first that matches a run's name counts
    channels: Mapping[str, Mapping[str, str]] = field(
        default_factory=dict
    )  # channel → event → comment or reply


@dataclass(frozen=True, slots=True)
class Decision:
    """A plan for one run: what to do, and what is waited for."""

    actions: tuple[Action, ...]
    waiting: tuple[str, ...] = ()  # sentences about what is not done yet, and why
    look_again: datetime | None = None  # when time alone will change the answer
