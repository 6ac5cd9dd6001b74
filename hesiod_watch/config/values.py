"""What can be configured: one frozen value per section of the file, one field per key, a sentence
under each.

The annotation of a field says how its key is read (`reading`), the default is the field's own:
there is no second list of keys anywhere. Fields that do not come from the file are marked
`NotAKey`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from hesiod_watch.config.notify import NotifySettings
from hesiod_watch.config.reading import (
    DirectoryValue,
    DurationValue,
    IntegerValue,
    NotAKey,
    PatternValue,
    TextValue,
    WordListValue,
)
from hesiod_watch.core import model
from hesiod_watch.core.location import Location, parse_location, run_in
from hesiod_watch.core.model import LOCAL, Policy
from hesiod_watch.rules.run_types import type_of_name


def default_workers() -> int:
    """Half of the CPUs this process may use, at least one: the other half is for the sequencer's
    own software.
    """
    return max(1, len(os.sched_getaffinity(0)) // 2)


def default_ingest_workers() -> int:
    """A quarter of the CPUs, at least one: cells that are finished must not wait for those that are
    not.
    """
    return max(1, len(os.sched_getaffinity(0)) // 4)


@dataclass(frozen=True, slots=True)
class WatchSettings:
    """How the service learns that there is something to look at."""

    engine: Literal["auto", "inotify", "poll"] = "auto"
    """`poll` only sweeps; `auto` uses events, but does not believe them on file systems that others
    write to; `inotify` believes them everywhere. Sweeps are made in any case.
    """

    sweep_interval: Annotated[float, DurationValue(at_least=0.1)] = 10.0
    """Time between looks at the runs that are not finished, whatever events say."""

    full_sweep_interval: Annotated[float, DurationValue(at_least=0.1)] = 600.0
    """Time between looks at every run, the finished ones too; not less than `sweep_interval`."""

    upstream_interval: Annotated[float, DurationValue(at_least=0.1)] = 300.0
    """Time between the service's questions to upstreams, and from one sync of a run to the next."""


@dataclass(frozen=True, slots=True)
class UpstreamSettings:
    """Where runs come from."""

    name: Annotated[str, NotAKey]
    """The key under `upstreams`: letters, digits, `_`, `-` and `.`."""

    location: Annotated[str, TextValue()]
    """`LOCAL`: the sequencer writes into the landing area itself. `/directory`: mounted here.
    `[user@]host:/directory`: reached over ssh. In such a directory lie runs, and in these libraries
    with their cells.
    """

    mode: Literal["pull", "push"] = "pull"
    """`pull`: rsync is called here. `push`: over ssh rsync is called there, where the landing area
    is mounted as `landing_there`.
    """

    landing_there: Annotated[str, TextValue()] = ""
    """For `push`: the landing area as it is mounted on the sequencer, an absolute path."""

    instrument: Annotated[str, TextValue()] = ""
    """The instrument's name in the names of runs; empty: the upstream's own name."""

    bandwidth_limit: Annotated[str, TextValue()] = ""
    """The most that rsync sends in a second, such as `50M` (bytes, in units of 1024); empty: no
    limit.
    """

    timeout: Annotated[float, DurationValue(at_least=1)] = 60.0
    """How long nothing may come from the other side until a connection is given up."""

    connect_timeout: Annotated[float, DurationValue(at_least=1)] = 10.0
    """How long connecting may take."""

    ssh_options: Annotated[tuple[str, ...], WordListValue()] = ()
    """More arguments of ssh, such as `[-i, /etc/hesiod-watch/key]`; they come before our own but
    for `BatchMode`.
    """

    rsync: Annotated[tuple[str, ...], WordListValue()] = ()
    """rsync's command line, where the usual one will not do; `{options}`, `{source}` and
    `{destination}` stand for what is usual. Empty: `[rsync, "{options}", "{source}",
    "{destination}"]`.
    """

    mark_deletable: bool = False
    """Whether cells that are proven to have two verified copies elsewhere are marked there as safe
    to delete.
    """

    mark_lasts: Annotated[float, DurationValue(at_least=1)] = 7 * 86400.0
    """How long such a mark counts; when it has run out, all copies are read again for a new one."""

    @property
    def place(self) -> Location:
        """The location, parsed; it has been checked."""
        return parse_location(self.location)

    @property
    def instrument_name(self) -> str:
        """What stands for the instrument in names of runs. It has no `_`, which is what divides
        them.
        """
        return self.instrument or self.name.replace("_", "-")


@dataclass(frozen=True, slots=True)
class RunTypeSettings(model.RunType):
    """Runs of a kind, and what is different about them."""

    name: Annotated[str, NotAKey]
    """The key under `types`: letters, digits, `_`, `-` and `.`."""

    runs: Annotated[str, PatternValue()]
    """Regular expression that the whole name of a run must match."""

    process: bool = True
    """Whether cells are processed; if not, they are received and left as they are."""

    notify: bool = True
    """Whether people are told about such runs."""

    queue: Annotated[str, TextValue()] = ""
    """The tracker's queue for them; empty: `notify.rt.queue`."""

    backup_raw: Literal["default", "true", "false"] = "default"
    """Whether backups hold their raw data; `default`: as `raw` of each backup says."""


@dataclass(frozen=True, slots=True)
class BackupPlaceSettings:
    """A second place for results and raw data, on a file system of its own."""

    name: Annotated[str, NotAKey]
    """The key under `backups`: letters, digits, `_`, `-` and `.`."""

    location: Annotated[str, TextValue()]
    """`/directory`: mounted here. `[user@]host:/directory`: reached over ssh. `hesiod-watch
    backup-init` marks it.
    """

    raw: bool = True
    """Whether raw data are copied too, and not only results: all that lies in a cell's directory.
    """

    fastq: bool = False
    """Whether these include the FASTQ files whose reads are in the results already."""

    bandwidth_limit: Annotated[str, TextValue()] = ""
    """The most that rsync sends in a second, such as `50M` (bytes, in units of 1024); empty: no
    limit.
    """

    timeout: Annotated[float, DurationValue(at_least=1)] = 60.0
    """How long nothing may come from the other side until a connection is given up."""

    connect_timeout: Annotated[float, DurationValue(at_least=1)] = 10.0
    """How long connecting may take."""

    ssh_options: Annotated[tuple[str, ...], WordListValue()] = ()
    """More arguments of ssh, such as `[-i, /etc/hesiod-watch/key]`; they come before our own but
    for `BatchMode`.
    """

    @property
    def place(self) -> Location:
        """The location, parsed; it has been checked."""
        return parse_location(self.location)

    @property
    def reached(self) -> UpstreamSettings:
        """The same host and limits as ssh and rsync are told them."""
        return UpstreamSettings(
            self.name,
            self.location,
            bandwidth_limit=self.bandwidth_limit,
            timeout=self.timeout,
            connect_timeout=self.connect_timeout,
            ssh_options=self.ssh_options,
        )


@dataclass(frozen=True, slots=True)
class BackupSettings:
    """When backups are read again."""

    verify_every: Annotated[float, DurationValue(at_least=1)] = 30 * 86400.0
    """Time from one reading of a cell's copies, here and there, to the next."""

    fresh: Annotated[float, DurationValue(at_least=1)] = 86400.0
    """How old the reading of a copy may be when something is deleted because that copy exists."""


@dataclass(frozen=True, slots=True)
class StripSettings:
    """When raw data are removed from the landing area."""

    after: Annotated[float | None, DurationValue(at_least=1, never=True)] = None
    """Time from a cell's `.done` to the removal of those of its raw data that have two verified
    copies elsewhere.
    """


@dataclass(frozen=True, slots=True)
class ProcessingSettings:
    """How cells are processed."""

    executor: Literal["local", "inline", "dry-run"] = "local"
    """`local` starts a process per action, `inline` works in the deciding process, `dry-run` says
    what it would do.
    """

    workers: Annotated[int, IntegerValue(1, 1024, auto=default_workers)] = field(
        default_factory=default_workers
    )
    """Actions at work at the same time on this host; `auto` is half of the CPUs, at least 1."""

    processes: Annotated[int, IntegerValue(1, 1024)] = 1
    """Processes that share the outputs of one cell."""

    nice: Annotated[int, IntegerValue(0, 19)] = 10
    """How far the work stands back for other programs on this host: 0 not at all, 19 entirely."""

    disk: Literal["normal", "low", "idle"] = "low"
    """How far it stands back at the disk (ionice): `normal` not at all, `idle` whenever anybody
    else wants it.
    """

    ingest: bool = True
    """Whether cells are worked on while they are still being written, so that little is left when
    they are complete.
    """

    ingest_interval: Annotated[float, DurationValue(at_least=0.1)] = 60.0
    """Shortest time from one round of ingest on a cell to the next."""

    ingest_workers: Annotated[int, IntegerValue(1, 1024, auto=default_ingest_workers)] = field(
        default_factory=default_ingest_workers
    )
    """Cells ingested at the same time on this host, beside `workers`; `auto` is a quarter of the
    CPUs, at least 1.
    """

    compression: Literal["default", "fast", "small"] = "default"
    """How much time to spend on making outputs small: `fast` the least, `small` the most."""

    recompress: bool = False
    """Compress anew also what MinKNOW has compressed already, instead of keeping its compressed
    data as they are.
    """

    grace: Annotated[float, DurationValue(at_least=0)] = 3600.0
    """How long announced files may be missing after a cell's final summary before a person is told.
    """

    attempts_per_day: Annotated[int, IntegerValue(1, 1000)] = 3
    """How often within 24 hours a cell is started before it is given up as failed."""


@dataclass(frozen=True, slots=True)
class ReportSettings:
    """What the report pages say about the facility."""

    title: Annotated[str, TextValue()] = ""
    """The facility's name, shown at the head of each run's page; empty for none."""


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration, checked."""

    landing: Annotated[Path, DirectoryValue()]
    """Where runs land: the directory that MinKNOW writes to."""

    output: Annotated[Path, DirectoryValue()]
    """Where results go; neither inside `landing` nor around it."""

    batch: Literal["none", "year", "month"] = "none"
    """Whether runs lie in `landing` itself, or below directories such as `2026` or `2026-11`."""

    watch: WatchSettings = field(default_factory=WatchSettings)
    """How the service learns that there is something to look at."""

    upstreams: tuple[UpstreamSettings, ...] = (UpstreamSettings("local", LOCAL),)
    """Where runs come from, by name; `{}` means that no run is taken up by itself."""

    types: tuple[RunTypeSettings, ...] = (RunTypeSettings("internal", ".*"),)
    """Kinds of run; the first whose pattern matches the run's name counts, unless
    `pipeline/type.yaml` says another.
    """

    processing: ProcessingSettings = field(default_factory=ProcessingSettings)
    """How cells are processed."""

    backups: tuple[BackupPlaceSettings, ...] = ()
    """Second places for results and raw data, by name; `{}`: none, and then nothing is ever
    deletable.
    """

    backup: BackupSettings = field(default_factory=BackupSettings)
    """When backups are read again."""

    strip: StripSettings = field(default_factory=StripSettings)
    """When raw data are removed from the landing area."""

    notify: NotifySettings = field(default_factory=NotifySettings)
    """Telling people what happens to runs."""

    reports: ReportSettings = field(default_factory=ReportSettings)
    """What the report pages say about the facility."""

    path: Annotated[Path | None, NotAKey] = None
    """The file this was read from; None for a configuration made in code."""

    @property
    def local(self) -> bool:
        """Whether runs that appear in the landing area by themselves are ours."""
        return any(upstream.location == LOCAL for upstream in self.upstreams)

    def upstream_of(self, location: str) -> UpstreamSettings | None:
        """The upstream in which a run lies, given the text of its `pipeline/upstream`; None: in
        none of them.
        """
        for upstream in self.upstreams:
            try:
                run_in(upstream.place, location)
            except ValueError:
                continue
            return upstream
        return None

    def type_of(self, run: str) -> model.RunType:
        """The type that a run's name makes it; `run_types.type_of` also heeds what a person has
        said of the run.
        """
        return type_of_name(self.types, run)

    def policy(self) -> Policy:
        """What the rules need to know of it."""
        processing = self.processing
        return Policy(
            local=self.local,
            grace=processing.grace,
            attempts_per_day=processing.attempts_per_day,
            ingest_interval=processing.ingest_interval if processing.ingest else None,
            sync_interval=self.watch.upstream_interval,
            backups=frozenset(backup.name for backup in self.backups),
            verify_every=self.backup.verify_every,
            marking={
                each.location: each.mark_lasts for each in self.upstreams if each.mark_deletable
            },
            strip_after=self.strip.after,
            types=self.types,
            channels=self.notify.kinds(),
        )
