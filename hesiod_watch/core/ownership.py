"""Owners of work: who claimed or attempted it, whether that process lives, and what it recorded.

A *flag* is a file under `RUN/pipeline/` that records one fact. A *claim* is a `started` flag that
names its owner. An *attempt* is repeatable work on a cell or a run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from functools import cached_property
from typing import Any

from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.records import record_in, why_in


class Liveness(StrEnum):
    """Whether the owner of a claim is alive. DEAD needs a proof; every doubt is UNKNOWN."""

    ALIVE = "alive"
    DEAD = "dead"
    UNKNOWN = "unknown"


@frozen
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
    mac_addresses: str = ""  # permanent addresses of network adapters, separated by blanks
    pid_namespace: str = ""
    pid: int = 0
    pid_start: int = 0  # field 22 of /proc/PID/stat: clock ticks since boot
    slurm_job: str = ""
    slurm_submitted: str = ""
    slurm_cluster: str = ""
    slurm_name: str = ""  # chosen before the job is submitted, see `rules.slurm_jobs`
    user: str = ""
    version: str = ""
    time: str = ""  # ISO 8601, UTC; never a proof of death, but a reason to doubt one
    epoch: int = 1
    reason: str = ""


class Recorded:
    """Base of what a flag records; without slots, which would leave no place for what was read."""

    @cached_property
    def results(self) -> dict[type, Any]:
        """Results that `core.results` has read from the record, by their class."""
        return {}


@frozen
class Flag(Recorded):
    """One file under `pipeline/`. `text` is None if the file was not read."""

    name: str
    mtime: float  # seconds since the epoch, by the file system's clock; for people
    regular: bool = True  # False: a symlink, FIFO, device or directory in the flag's place
    text: str | None = None

    @cached_property
    def record(self) -> Mapping[str, object]:
        """JSON object in the flag; empty for a flag made by hand or by another program.

        Parsed once: the rules ask for it dozens of times in each look.
        """
        return record_in(self.text)

    @property
    def why(self) -> str:
        """Reason in the flag, for a person: the record's `reason`, or the text of a plain flag."""
        return why_in(self.text)


@frozen
class WorkerDeath:
    """End of a worker without a result, as the process that started it saw and recorded it."""

    reason: str  # such as "attempt 1 was killed by signal 9 (out of memory?)"
    time: str  # ISO 8601, UTC


@frozen
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
    asked: bool = True  # False: its flags were not read, because it cannot matter any more


@frozen
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


class Wait(StrEnum):
    """Phases of a worker that waits. Values of the file of progress."""

    FOR_SPACE = "waiting"
    FOR_INGEST = "waiting for the ingest of its cell"
    FOR_WORKER = "waiting for a free worker"  # it gave its slot to another cell
    TO_RETRY = "waiting to try again"


@frozen
class Progress:
    """Last progress report of a worker; for people, never for decisions."""

    phase: str  # one of `Wait`, or a word about its work
    bytes_done: int = 0  # bytes of source data, as on disk
    bytes_total: int = 0  # bytes of source data, as on disk
    reads: int = 0
    bases: int = 0
    updated: float = 0.0  # seconds since the epoch
    note: str = ""  # e.g. "waiting: no space left on the output file system"


@frozen
class Attempt(Recorded):
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
