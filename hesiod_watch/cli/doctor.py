"""Checks of this host: does it do what hesiod-watch needs?

The checks use the configured directories, in temporary files that are removed again. Each check
reports one finding, good or bad, with the remedy. The checks repair nothing and touch no files of
other owners. A check that cannot be made is a finding too.
"""

from __future__ import annotations

import itertools
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from hesiod_watch.cli.common import all_runs, show_run
from hesiod_watch.cli.slurm_checks import check_slurm
from hesiod_watch.config import Config
from hesiod_watch.core.action_kinds import PROCESS
from hesiod_watch.core.check import Check
from hesiod_watch.core.circumstances import Circumstances
from hesiod_watch.core.errors import FlagExists, HesiodError
from hesiod_watch.core.model import Snapshot
from hesiod_watch.core.naming import display
from hesiod_watch.core.ownership import Liveness
from hesiod_watch.core.system_errors import WITHOUT_LINKS, LinksNotStored
from hesiod_watch.core.text import number_of, span_text
from hesiod_watch.host import process
from hesiod_watch.host.files import OpenDirectory, directory, make_link
from hesiod_watch.host.locks import lock_problems, locks_missing
from hesiod_watch.host.mounts import mount_of
from hesiod_watch.host.slots import WorkerSlots
from hesiod_watch.notify.registry import open_channels
from hesiod_watch.remote.backup.checks import check_backup
from hesiod_watch.remote.sequencer.checks import check_upstream
from hesiod_watch.rules.attention import attention_of_site
from hesiod_watch.rules.heartbeat import attention_of_watchers
from hesiod_watch.rules.liveness import SLURM
from hesiod_watch.rules.run_attention import quarantined_names
from hesiod_watch.rules.run_layout import LAYOUT
from hesiod_watch.rules.stages import settled
from hesiod_watch.runs import flags
from hesiod_watch.runs.areas import OutputArea, landing_owners, landing_problem
from hesiod_watch.runs.landing import PIPELINE, LandingArea
from hesiod_watch.runs.orphans import find_orphans
from hesiod_watch.runs.state_files import state_directory
from hesiod_watch.service.capacity import growth, spaces
from hesiod_watch.service.circumstances import config_effects
from hesiod_watch.service.heartbeats import heartbeat, known_states
from hesiod_watch.service.watch.watcher import Watcher

SCRATCH = ".hesiod-watch-doctor-"
LARGEST_CLOCK_DIFFERENCE = 5.0
"""Largest difference, in seconds, of the file system's clock that does not mislead readers."""
ORPHANS_SHOWN = 50
"""Number of orphaned directories of results that are named."""
NEWEST_RUNS = 5
"""Number of runs whose directories are tried."""
NAMES_TRIED, MOST_NAMED = 200, 5
"""Number of runs not taken up whose names are tried, and of names that are shown."""
DIRECTORIES_READ = 200
"""Most directories of a cell that are tried."""
CODER_MISSING = (
    "FASTQ is compressed without the compiled coder: correctly, at half of the speed; install a C "
    "compiler (Debian: gcc, libc6-dev), then this program again, or a wheel that contains the coder"
)


def run_checks(config: Config) -> Iterator[Check]:
    """Make every check, one after another, in some seconds.

    A problem of the host is a finding, never an exception.
    """
    for name, check in CHECKS:
        try:
            yield from check(name, config)
        except (HesiodError, OSError) as error:
            yield Check(name, False, str(error))


def _landing(name: str, config: Config) -> Iterator[Check]:
    landing = LandingArea(config.landing, config.batch)
    problem = landing_problem(landing, config.output)
    if problem:
        yield Check(name, False, problem)
        return
    mount = mount_of(config.landing)
    runs = number_of(len(landing.runs()), "run")
    yield Check(name, True, f"{config.landing}: {runs}, on {mount}")


def _events(name: str, config: Config) -> Iterator[Check]:
    watching = Watcher(
        LandingArea(config.landing, config.batch),
        lambda run: None,
        engine=config.watch.engine,
        sweep_interval=config.watch.sweep_interval,
        full_sweep_interval=config.watch.full_sweep_interval,
        settled=lambda run: True,
    )
    try:
        watching.start()
        # Sweeps alone are enough, but slower.
        yield Check(name, True if watching.state == "events" else None, watching.describe())
    finally:
        watching.stop()


def _flags(name: str, config: Config) -> Iterator[Check]:
    with _scratch(config.landing) as place:
        owner = process.this_owner("doctor", "inline")
        opened = OpenDirectory(place, config.landing)
        flags.create(opened, "flag", owner)
        try:
            flags.create(opened, "flag", process.this_owner("doctor", "inline"))
        except FlagExists:
            yield Check(name, True, "a flag can be made once, and a second one is refused")
        else:
            yield Check(
                name,
                False,
                f"two claims of one flag both succeeded in {config.landing}: do not use it",
            )
        try:
            os.link(place / "flag", place / "linked")
            yield Check(name, True, "hard links work")
        except OSError as error:
            yield Check(
                name,
                None,
                f"no hard links here ({error.strerror}): flags are made by exclusive"
                " creation, which is as safe as this file system makes it",
            )
        difference = (place / "flag").lstat().st_mtime - time.time()
        close = abs(difference) <= LARGEST_CLOCK_DIFFERENCE
        yield Check(
            "clock",
            close,
            f"the landing area's clock differs from this host's by {difference:.1f} s",
        )


def _owners(name: str, config: Config) -> Iterator[Check]:
    liveness, evidence = config.judge(process.this_owner("doctor", "inline"))
    says = "this host can tell whether the owner of a claim lives"
    yield Check(
        name,
        liveness is Liveness.ALIVE,
        says if liveness is Liveness.ALIVE else f"it cannot: {evidence}",
    )


def _makers(name: str, config: Config) -> Iterator[Check]:
    for run in sorted(LandingArea(config.landing, config.batch).runs()):
        with suppress(OSError):  # `status` shows a run that cannot be read
            foreign = flags.find_foreign_maker(
                flags.Pipeline(OpenDirectory(run, config.landing)),
                config.output,
                landing_owners(config),
            )
            if foreign:
                yield Check(name, False, f"{display(run.name)}: {foreign}")


def _configuration(name: str, config: Config) -> Iterator[Check]:
    """Keys with no effect, or a total one, on the runs that are here."""
    found = attention_of_site(Circumstances(effects=config_effects(config)), datetime.now(UTC))
    for each in found:
        ok = False if each.needs_person else None
        yield Check(name, ok, f"{each.sentence}; {each.steps[0]}")
    if not found:
        yield Check(name, True, "each key has an effect on the runs that are here")


def _newest_runs(name: str, config: Config) -> Iterator[Check]:
    """Try what the work on the newest runs needs: directories differ in owner and mode."""
    newest = sorted(LandingArea(config.landing, config.batch).runs(), key=_changed)[-NEWEST_RUNS:]
    wrong = 0
    for run in newest:
        finished, problems = show_run(
            config, run, lambda each: (settled(each), tuple(itertools.islice(_denied(each), 3)))
        )
        for problem in problems:
            wrong += 1
            # What has been done needs no permission any more; the next run may need it.
            yield Check(name, None if finished else False, f"{display(run.name)}: {problem}")
    if newest and not wrong:
        runs = number_of(len(newest), "newest run")
        yield Check(name, True, f"{runs}: cells can be read, flags and results can be written")


def _misplaced(name: str, config: Config) -> Iterator[Check]:
    """Report what is not worked on in the newest runs, and in the newest that are not taken up."""
    landing = LandingArea(config.landing, config.batch)
    if landing_problem(landing, config.output):
        return  # the check of the landing area reports it
    runs = sorted(all_runs(config), key=_changed)
    new = [run for run in runs if not os.path.lexists(run / PIPELINE)]
    beside = landing.runs_beside()
    found = [
        each
        for run in sorted({*runs[-NEWEST_RUNS:], *new[-NAMES_TRIED:]})
        for each in show_run(config, run, lambda snapshot: [*quarantined_names(snapshot, beside)])
    ]
    for each in found[:MOST_NAMED]:
        sentence = f"{each.subject}: {each.sentence}"
        ok = False if each.kind in LAYOUT else None
        yield Check(name, ok, "; ".join((sentence, *map(str, each.steps))))
    if len(found) > MOST_NAMED:
        more = number_of(len(found) - MOST_NAMED, "more name")
        yield Check(name, None, f"{more}: hesiod-watch status --attention")


def _changed(run: Path) -> float:
    with suppress(OSError):
        return run.lstat().st_mtime
    return 0.0


def _denied(snapshot: Snapshot) -> Iterator[str]:
    """Reasons why this user cannot work on a run; those in other words than `explain` has."""
    if snapshot.problem:
        yield display(snapshot.problem)
        return
    flags_in = snapshot.path / "pipeline" if snapshot.has_pipeline else snapshot.path
    for place in (flags_in, snapshot.output):
        if place and (why := process.why_not_writable(place)):
            yield display(why)
    for cell in snapshot.cells:
        place = snapshot.path / cell.id.place
        if cell.present and (path := _unreadable(place)):
            yield f"{display(str(path))} may not be read by the user {process.this_user()}"


def _unreadable(cell: Path) -> Path | None:
    """First directory of a cell that this user may not read, or whose first file it may not."""
    refused: list[Path] = []

    def refuse(error: OSError) -> None:
        if isinstance(error, PermissionError):
            refused.append(Path(error.filename))

    for place, _, names in itertools.islice(os.walk(cell, onerror=refuse), DIRECTORIES_READ):
        for name in sorted(names)[:1]:
            path = Path(place, name)
            if path.is_file() and not path.is_symlink() and not os.access(path, os.R_OK):
                return path
    return refused[0] if refused else None


def _output(name: str, config: Config) -> Iterator[Check]:
    if problem := OutputArea(config.output, LandingArea(config.landing, config.batch)).problem():
        yield Check(name, False, problem)
        return
    with _scratch(config.output) as place:
        with directory(place) as descriptor:
            try:
                make_link(place, "link", descriptor)
            except LinksNotStored:
                yield Check(name, False, f"{config.output} {WITHOUT_LINKS}")
                return
        (place / "file").write_bytes(b"x")
        (place / "file").rename(place / "renamed")
    free = shutil.disk_usage(config.output)
    mount = mount_of(config.output)
    share = free.free / free.total if free.total else 0.0
    says = (
        f"{config.output}: writable, {free.free / 1e9:.1f} GB free of {free.total / 1e9:.1f},"
        f" on {mount.fstype or mount}"
    )
    yield Check(name, share > 0.05, says)


def _orphans(name: str, config: Config) -> Iterator[Check]:
    found = find_orphans(LandingArea(config.landing, config.batch), config.output)
    for sentence in itertools.islice(found, ORPHANS_SHOWN):
        yield Check(name, None, sentence)
    if more := sum(1 for _ in found):
        yield Check(name, None, f"{more} more like these")


def _workers(name: str, config: Config) -> Iterator[Check]:
    processing = config.processing
    if locks_missing(config.landing, config.locks) == "":
        for problem in lock_problems(config.landing, config.locks):
            yield Check(name, None, problem)
    slot = WorkerSlots(config.landing, PROCESS.name, processing.workers, locks=config.locks).take()
    at_once = f"{processing.workers} may be at work at once"
    if processing.most_workers > processing.workers:
        at_once += f", or {processing.most_workers} while CPUs are idle"
    if slot is None:
        yield Check(name, None, f"no worker is free just now; {at_once}")
        return
    os.close(slot)
    yield Check(name, True, f"a worker could start now; {at_once}")


def _tools(name: str, config: Config) -> Iterator[Check]:
    plain = config.processing.disk != "normal" and shutil.which("ionice") is None
    command = next(iter(config.on_done.command), "")
    missing = bool(command) and shutil.which(command) is None
    if plain:
        yield Check(name, None, "ionice is not installed: work has normal priority at the disk")
    if missing:
        problem = f"missing, or the user {process.this_user()} may not execute it"
        yield Check(name, False, f"on_done.command: {display(command)} is {problem}")
    if not (plain or missing):
        yield Check(name, True, "the programs that are needed are installed")


def _coder(name: str, config: Config) -> Iterator[Check]:
    from hesiod_watch.fastq.coder import CODER  # late: numpy is slow to load

    if CODER is None:
        yield Check(name, None, CODER_MISSING)
        return
    yield Check(name, True, "FASTQ is compressed by the coder compiled for this host")


def _watchers(name: str, config: Config) -> Iterator[Check]:
    """Say of each service and poll when it looked, and whether it is overdue."""
    now, states = datetime.now(UTC), known_states(config)
    watchers = [heartbeat(state, config, now)[0] for state in states]
    if not watchers:
        yield Check(name, None, "neither a service nor a poll has looked at all runs yet")
    for watcher in watchers:
        overdue = watcher.due is not None and watcher.due < now
        says = f"{watcher.who} looked {span_text((now - watcher.last_look).total_seconds())} ago"
        yield Check(name, not overdue, f"{says} and is overdue" if overdue else says)
    for each in attention_of_watchers(watchers, now, state_directory(config.output)):
        steps = "; ".join(map(str, each.steps))
        yield Check(name, False, f"{each.sentence}; {steps}")


def _upstreams(name: str, config: Config) -> Iterator[Check]:
    for upstream in config.upstreams:
        for check in check_upstream(upstream, config.landing):
            yield Check(name, check.ok, f"{upstream.name} {check.name}: {check.says}")


def _backups(name: str, config: Config) -> Iterator[Check]:
    for backup in config.backups:
        for check in check_backup(backup, config):
            yield Check(name, check.ok, f"{backup.name} {check.name}: {check.says}")


def _growth_of(config: Config, run: Path) -> Mapping[str, int]:
    return show_run(config, run, lambda snapshot: growth(snapshot, time.time()))


def _space(name: str, config: Config) -> Iterator[Check]:
    runs = LandingArea(config.landing, config.batch).runs()
    for space in spaces(config, (_growth_of(config, run) for run in runs)):
        yield Check(name, space.ok, str(space))


def _slurm(name: str, config: Config) -> Iterator[Check]:
    if config.processing.executor == SLURM:
        with _scratch(config.landing) as landing, _scratch(config.output) as output:
            yield from check_slurm(name, config, landing, output)


def _channels(name: str, config: Config) -> Iterator[Check]:
    for channel in open_channels(config).values():
        ok, says = channel.check()
        yield Check(name, ok, says)


@contextmanager
def _scratch(parent: Path) -> Iterator[Path]:
    """A hidden temporary directory, which is never taken for a run."""
    place = parent / f"{SCRATCH}{os.urandom(4).hex()}"
    place.mkdir()
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


CHECKS: tuple[tuple[str, Callable[[str, Config], Iterator[Check]]], ...] = (
    ("landing", _landing),
    ("events", _events),
    ("flags", _flags),
    ("owners", _owners),
    ("owners", _makers),
    ("output", _output),
    ("config", _configuration),
    ("runs", _newest_runs),
    ("runs", _misplaced),
    ("results", _orphans),
    ("workers", _workers),
    ("tools", _tools),
    ("slurm", _slurm),
    ("coder", _coder),
    ("watchers", _watchers),
    ("upstream", _upstreams),
    ("messages", _channels),
    ("backup", _backups),
    ("space", _space),
)
