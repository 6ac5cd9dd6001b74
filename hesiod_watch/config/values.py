"""Values that can be configured: one frozen class per section, one documented field per key.

The annotation of a field decides how its key is read (`reading`), and the default is the field's
own. There is no second list of keys. Fields that do not come from the file are marked `NotAKey`.
"""

from __future__ import annotations

import os
from dataclasses import field
from pathlib import Path
from typing import Annotated, Literal

from hesiod_watch.config.notify import NotifySettings
from hesiod_watch.config.on_done import OnDoneSettings
from hesiod_watch.config.qc import QcSettings
from hesiod_watch.config.reading import (
    DirectoryValue,
    DurationValue,
    IntegerValue,
    NotAKey,
    PatternValue,
    TextValue,
    UserListValue,
    WordListValue,
)
from hesiod_watch.config.slurm import SlurmSettings
from hesiod_watch.config.take_up_settings import TakeUpSettings
from hesiod_watch.core import model
from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.location import Location, parse_location, run_in
from hesiod_watch.core.model import LOCAL, Policy
from hesiod_watch.core.take_up import TakeUpRule
from hesiod_watch.host import process
from hesiod_watch.rules.liveness import Judge
from hesiod_watch.rules.run_types import type_of_name


class AutomaticCount(int):
    """Number that `auto` stands for."""


def default_workers() -> AutomaticCount:
    """Half of the CPUs of this process, at least 1; the sequencer's software needs the rest."""
    return AutomaticCount(max(1, len(os.sched_getaffinity(0)) // 2))


def default_ingest_workers() -> int:
    """A quarter of the CPUs, at least 1: finished cells must not wait for unfinished ones."""
    return max(1, len(os.sched_getaffinity(0)) // 4)


@frozen
class WatchSettings:
    """How the service notices changes."""

    engine: Literal["auto", "inotify", "poll"] = "auto"
    """`poll` only sweeps. `auto` uses events, but does not rely on them on file systems that other
    hosts write to. `inotify` relies on them everywhere. Sweeps are made in any case.
    """

    sweep_interval: Annotated[float, DurationValue(at_least=0.1)] = 10.0
    """Time between checks of the unfinished runs, independent of events."""

    full_sweep_interval: Annotated[float, DurationValue(at_least=0.1)] = 600.0
    """Time between checks of all runs, also finished ones; not less than `sweep_interval`."""

    upstream_interval: Annotated[float, DurationValue(at_least=0.1)] = 300.0
    """Time between two listings of the upstreams, and between two syncs of a run."""


@frozen
class EndpointSettings:
    """Directory that is mounted here or reached over ssh, and the limits of the connection."""

    name: Annotated[str, NotAKey]
    """Key under `upstreams` or `backups`: letters, digits, `_`, `-` and `.`."""

    location: Annotated[str, TextValue()]
    """`/directory`: mounted here. `[user@]host:/directory`: reached over ssh. For an upstream also
    `LOCAL`: the sequencer writes into the landing area itself. An upstream's directory contains
    runs, and runs contain libraries with their cells. `hesiod-watch backup-init` prepares the
    directory of a backup.
    """

    bandwidth_limit: Annotated[str, TextValue()] = ""
    """Most bytes per second that rsync sends, such as `50M` (units of 1024); empty: no limit."""

    timeout: Annotated[float, DurationValue(at_least=1)] = 60.0
    """Time without data after which a connection is given up."""

    connect_timeout: Annotated[float, DurationValue(at_least=1)] = 10.0
    """Longest time for connecting."""

    ssh_options: Annotated[tuple[str, ...], WordListValue()] = ()
    """More arguments of ssh, such as `[-i, /etc/hesiod-watch/key]`. They come before our own,
    except `BatchMode`.
    """

    @property
    def place(self) -> Location:
        """Location, parsed; it is valid."""
        return parse_location(self.location)


@frozen
class UpstreamSettings(EndpointSettings):
    """Upstream: the source of runs."""

    mode: Literal["pull", "push"] = "pull"
    """`pull`: this host starts rsync. `push`: rsync is started on the sequencer over ssh, where the
    landing area is mounted as `landing_there`.
    """

    landing_there: Annotated[str, TextValue()] = ""
    """For `push`: mount point of the landing area on the sequencer, an absolute path."""

    instrument: Annotated[str, TextValue()] = ""
    """Name of the instrument in the names of runs; empty: the upstream's name."""

    rsync: Annotated[tuple[str, ...], WordListValue()] = ()
    """Command line of rsync if the usual one is not suitable. `{options}`, `{source}` and
    `{destination}` stand for the usual arguments. Empty: `[rsync, "{options}", "{source}",
    "{destination}"]`.
    """

    mark_deletable: bool = False
    """Whether cells with two proven, verified copies elsewhere are marked there as safe to delete.
    """

    mark_lasts: Annotated[float, DurationValue(at_least=1)] = 7 * 86400.0
    """How long such a mark counts. After that all copies are read again for a new one."""

    take_up: TakeUpSettings = TakeUpSettings()
    """Which of its runs are taken up; a key that is not given here is as in `take_up`."""

    @property
    def instrument_name(self) -> str:
        """Name of the instrument in names of runs, without `_`, which separates their parts."""
        return self.instrument or self.name.replace("_", "-")


@frozen
class RunTypeSettings(model.RunType):
    """Type of run, and the settings of such runs."""

    name: Annotated[str, NotAKey]
    """Key under `types`: letters, digits, `_`, `-` and `.`."""

    runs: Annotated[str, PatternValue()]
    """Regular expression that must match the whole name of a run."""

    process: bool = True
    """Whether cells are processed. If not, they are received and not changed."""

    notify: bool = True
    """Whether messages are sent about such runs."""

    queue: Annotated[str, TextValue()] = ""
    """Queue of the tracker for such runs; empty: `notify.rt.queue`."""

    backup_raw: Literal["default", "true", "false"] = "default"
    """Whether backups contain their raw data; `default`: `raw` of each backup decides."""


@frozen
class BackupPlaceSettings(EndpointSettings):
    """Backup of results and raw data, on its own file system."""

    raw: bool = True
    """Whether raw data are copied, too, and not only results: everything in a cell's directory."""

    fastq: bool = False
    """Whether raw data include the FASTQ and BAM files that the results can restore."""


@frozen
class BackupSettings:
    """When backups are read again."""

    verify_every: Annotated[float, DurationValue(at_least=1)] = 30 * 86400.0
    """Time between two verifications of a cell's copies, here and on backups."""

    fresh: Annotated[float, DurationValue(at_least=1)] = 86400.0
    """Greatest age of a copy's verification for which a deletion may rely on that copy."""


@frozen
class StripSettings:
    """When raw data are removed from the landing area."""

    after: Annotated[float | None, DurationValue(at_least=1, never=True)] = None
    """Time from a cell's `.done` to the removal of its raw data that have two verified copies
    elsewhere.
    """


@frozen
class ProcessingSettings:
    """How cells are processed."""

    executor: Literal["local", "inline", "dry-run", "slurm"] = "local"
    """`local` starts a process per action, `inline` works in the deciding process, `dry-run` only
    prints the actions, `slurm` submits those of `slurm.actions` as jobs.
    """

    workers: Annotated[int, IntegerValue(1, 1024, auto=default_workers)] = field(
        default_factory=default_workers
    )
    """Actions of each kind that run at the same time on this host; `auto`: half of the CPUs, at
    least 1, and for processing also the others while they are idle and cells wait.
    """

    processes: Annotated[int, IntegerValue(1, 1024, auto=default_workers)] = field(
        default_factory=default_workers
    )
    """Processes that write the outputs of one cell together; `auto` is half of the CPUs, at least
    1. A cell with little data has fewer.
    """

    nice: Annotated[int, IntegerValue(0, 19)] = 10
    """CPU priority of the work: 0 normal, 19 lowest."""

    disk: Literal["normal", "low", "idle"] = "low"
    """Disk priority of the work (ionice): `normal`, `low`, or `idle`, which waits for all other
    programs.
    """

    ingest: bool = True
    """Whether cells are processed while they are still being written, so that little work remains
    when they are complete.
    """

    ingest_interval: Annotated[float, DurationValue(at_least=0.1)] = 60.0
    """Shortest time between two attempts at ingest of a cell."""

    ingest_workers: Annotated[int, IntegerValue(1, 1024, auto=default_ingest_workers)] = field(
        default_factory=default_ingest_workers
    )
    """Cells ingested at the same time on this host, in addition to `workers`; `auto`: a quarter of
    the CPUs, at least 1.
    """

    compression: Literal["default", "fast", "small"] = "default"
    """Time spent on small outputs: `fast` the least, `small` the most."""

    recompress: bool = False
    """Whether data that MinKNOW compressed are compressed again, instead of copied as they are."""

    grace: Annotated[float, DurationValue(at_least=0)] = 3600.0
    """How long announced files may be missing after a cell's final summary before a person gets a
    message.
    """

    quiet: Annotated[float, DurationValue(at_least=0)] = 86400.0
    """How long a cell without a final summary may get no new file before it is reported."""

    attempts_per_day: Annotated[int, IntegerValue(1, 1000)] = 3
    """How often a cell is started within 24 hours before it counts as failed."""

    attempt_pause: Annotated[float, DurationValue(at_least=0)] = 60.0
    """Pause before the second attempt at a cell whose worker died; 5 times as long before the
    third, 30 times before each later one.
    """

    checksums: Literal["report", "require"] = "report"
    """What MinKNOW's own checksums (`output_hash_*.csv`) decide. `report`: a file that differs or
    is absent is reported, and no data of its cell are deleted. `require`: in addition, such a cell
    is not complete until it is mended or a person accepts it. Every named file is then read once
    more.
    """

    @property
    def most_workers(self) -> int:
        """Highest number of cells that are processed at the same time on this host."""
        automatic = isinstance(self.workers, AutomaticCount)
        return max(self.workers, len(os.sched_getaffinity(0))) if automatic else self.workers


@frozen
class ReportSettings:
    """Settings of the report pages."""

    title: Annotated[str, TextValue()] = ""
    """Name of the facility, shown at the top of each run's page; empty for none."""


@frozen
class Config:
    """Whole configuration, checked."""

    landing: Annotated[Path, DirectoryValue()]
    """Directory where runs arrive: MinKNOW writes to it."""

    output: Annotated[Path, DirectoryValue()]
    """Directory of the results; neither inside `landing` nor around it."""

    batch: Literal["none", "year", "month"] = "none"
    """Whether runs are directly in `landing`, or in directories such as `2026` or `2026-11`."""

    landing_owners: Annotated[tuple[int, ...], UserListValue()] = ()
    """Users whose `pipeline/` directories in `landing` are trusted, by name or number. Always
    trusted: root, the service's user, and the owners of `landing` and `output`. A run with the
    `pipeline/` of another user is left alone. Groups are not possible: the group of the landing
    area often contains the sequencer's account.
    """

    watch: WatchSettings = field(default_factory=WatchSettings)
    """How the service notices changes."""

    upstreams: tuple[UpstreamSettings, ...] = (UpstreamSettings("local", LOCAL),)
    """Sources of runs, by name; `{}`: no run is registered automatically."""

    take_up: TakeUpSettings = field(default_factory=TakeUpSettings)
    """Which of the runs that were there before are taken up."""

    types: tuple[RunTypeSettings, ...] = (RunTypeSettings("internal", ".*"),)
    """Types of run. The first whose pattern matches the run's name counts, unless
    `pipeline/type.yaml` names another.
    """

    processing: ProcessingSettings = field(default_factory=ProcessingSettings)
    """How cells are processed."""

    slurm: SlurmSettings = field(default_factory=SlurmSettings)
    """Work on a Slurm cluster, for `processing.executor: slurm`."""

    backups: tuple[BackupPlaceSettings, ...] = ()
    """Backups of results and raw data, by name; `{}`: none, and then nothing is ever deletable."""

    backup: BackupSettings = field(default_factory=BackupSettings)
    """When backups are read again."""

    strip: StripSettings = field(default_factory=StripSettings)
    """When raw data are removed from the landing area."""

    notify: NotifySettings = field(default_factory=NotifySettings)
    """Messages to people about runs."""

    reports: ReportSettings = field(default_factory=ReportSettings)
    """Settings of the report pages."""

    qc: tuple[QcSettings, ...] = ()
    """Limits for the numbers of finished cells, by type of run; `{}`: no verdicts."""

    on_done: OnDoneSettings = field(default_factory=OnDoneSettings)
    """Command that is run once for each finished cell."""

    locks: Annotated[Path | None, DirectoryValue(optional=True)] = None
    """Directory on a local disk for the locks of this host's processes; empty: chosen by itself."""

    judge: Annotated[Judge, NotAKey] = field(default=process.judge_here, compare=False, repr=False)
    """Judge of the owners of claims, as this host sees them. No other place chooses one."""

    path: Annotated[Path | None, NotAKey] = None
    """File from which this was read; None for a configuration made in code."""

    digest: Annotated[str, NotAKey] = field(default="", compare=False)
    """Digest of the file's lines, except comments; tells whether a process has the present ones."""

    @property
    def local(self) -> bool:
        """Whether runs that appear in the landing area by themselves are ours."""
        return any(upstream.location == LOCAL for upstream in self.upstreams)

    @property
    def landing_take_up(self) -> TakeUpRule:
        """Which runs of the landing area itself are taken up."""
        own = (each.take_up for each in self.upstreams if each.location == LOCAL)
        return next(own, self.take_up).over(self.take_up)

    def upstream_of(self, location: str) -> UpstreamSettings | None:
        """Upstream of a run, given the text of its `pipeline/upstream`; None if it is in none."""
        for upstream in self.upstreams:
            try:
                run_in(upstream.place, location)
            except ValueError:
                continue
            return upstream
        return None

    def type_of(self, run: str) -> model.RunType:
        """Type of a run by its name; `run_types.type_of` also uses the type that a person set."""
        return type_of_name(self.types, run)

    def policy(self) -> Policy:
        """Settings that the rules need."""
        processing = self.processing
        return Policy(
            local=self.local,
            grace=processing.grace,
            require_checksums=processing.checksums == "require",
            quiet=processing.quiet,
            attempts_per_day=processing.attempts_per_day,
            attempt_pauses=tuple(processing.attempt_pause * factor for factor in (1, 5, 30)),
            ingest_interval=processing.ingest_interval if processing.ingest else None,
            sync_interval=self.watch.upstream_interval,
            backups=frozenset(backup.name for backup in self.backups),
            verify_every=self.backup.verify_every,
            marking={
                each.location: each.mark_lasts for each in self.upstreams if each.mark_deletable
            },
            strip_after=self.strip.after,
            on_done=bool(self.on_done.command),
            types=self.types,
            channels=self.notify.kinds(),
        )
