"""Circumstances of a run: what is known about everything outside it that can block its work.

Each process states what it knows. A field that a process cannot know keeps its default, and then
`rules.attention` reports nothing about it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from pathlib import Path

from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.model import CellId, RunName


@frozen
class UpstreamAnswer:
    """Last answer of an upstream."""

    name: str  # in the configuration
    location: str  # spelled as in pipeline/upstream
    problem: str = ""  # why it could not be listed; "": it answered
    refused: bool = False  # it was reached, and a person must correct something
    since: datetime | None = None  # first failure in a row; None: unknown
    missing: tuple[str, ...] = ()  # locations of unfinished runs that it does not list any more


@frozen
class RefusedAction:
    """Last refusal or failure of an action that left no flag."""

    action: str
    run: RunName
    cell: CellId | None
    why: str
    attempts: int = 1
    since: datetime | None = None  # first failure in a row; None: unknown
    again: datetime | None = None  # next attempt; None: at the next look
    over: bool = False  # the process that tried it has ended; a flag of the attempt says more


@frozen
class SlurmSilence:
    """A part of Slurm that does not answer."""

    why: str
    since: datetime | None = None  # first failure in a row; None: unknown


@frozen
class SlurmCondition:
    """Condition of Slurm, where jobs do the work."""

    # Then no job is submitted and no end of one is known.
    controller: SlurmSilence | None = None
    # Only if something depends on it: then some ends are not known.
    accounting: SlurmSilence | None = None
    waiting_jobs: frozenset[str] = frozenset()  # names of jobs that have not begun, or not again

    @property
    def is_silent(self) -> bool:
        """Whether ends of jobs are not known."""
        return self.controller is not None or self.accounting is not None


@frozen
class DeniedPath:
    """Directory in which this user must write for the run's work, and may not."""

    path: Path
    why: str
    cell: CellId | None = None


@frozen
class Heartbeat:
    """Last look at the landing area of a process that watches it."""

    who: str  # such as "the service on host1"
    last_look: datetime
    due: datetime | None  # after this time it counts as stopped; None: not known
    config_changed: bool = False  # it works with another configuration than the present one
    kind: str = "service"  # "service" or "poll"
    state_file: str = ""  # name of the file that has its heartbeat


@frozen
class ConfigEffects:
    """Keys of the configuration that have no effect, or a total one, on the present runs."""

    dry_run: bool = False
    ignored_runs: int = 0  # runs that no upstream has, where no upstream is configured
    beside_batch: tuple[Path, ...] = ()  # runs with cells where `batch` expects none
    batch: str = ""
    fitting_batch: str = ""  # setting of `batch` with which all of them are runs; "": none
    types_without_runs: tuple[str, ...] = ()
    undecided_runs: int = 0  # finished runs that wait for a decision whether they are taken up
    take_up_given: bool = False  # the configuration has a section `take_up`
    config: str = ""  # path of the configuration


@frozen
class Circumstances:
    """Everything outside a run that can block it, as far as this process knows it."""

    landing: Path | None = None
    landing_problem: str = ""  # why it cannot be the landing area
    output: Path | None = None
    output_denied: str = ""  # why the user that works here may not write there
    user: str = ""  # user that works here: its rights count
    output_problem: str = ""  # why it cannot be the output area
    output_marker: Path | None = None  # marker to make if an empty output area is meant
    locks: tuple[str, ...] = ()  # why no lock can be taken
    upstreams: tuple[UpstreamAnswer, ...] = ()
    refused: tuple[RefusedAction, ...] = ()
    # Action → who holds the slots of this host; an action with a free slot is not in it.
    busy: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    backups: Mapping[str, str] = field(default_factory=dict)  # name → why it is missing
    slurm: SlurmCondition = field(default_factory=SlurmCondition)
    watchers: tuple[Heartbeat, ...] = ()
    state_directory: Path | None = None  # directory of the state files of the watchers
    effects: ConfigEffects = field(default_factory=ConfigEffects)
    # Of the run that is explained:
    upstream_configured: bool = True
    lost_by: str = ""  # upstream that answered and has the run no more; "": not known
    denied: tuple[DeniedPath, ...] = ()


NOTHING_KNOWN = Circumstances()
"""Circumstances of a process that knows none."""
