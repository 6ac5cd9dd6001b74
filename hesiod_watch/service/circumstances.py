"""Circumstances of a run, as this process finds them: areas, locks, permissions, busy workers.

Looking commands and deciding ones make the same checks. Nothing is written or made.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from hesiod_watch.config import Config, TakeUpSettings
from hesiod_watch.core.action_kinds import PROCESS
from hesiod_watch.core.circumstances import Circumstances, ConfigEffects, DeniedPath
from hesiod_watch.core.errors import TemporaryError
from hesiod_watch.core.model import LOCAL, Snapshot, Stage
from hesiod_watch.core.ownership import Wait
from hesiod_watch.host import process
from hesiod_watch.host.locks import locks_missing
from hesiod_watch.host.slots import WorkerSlots
from hesiod_watch.remote.backup.local_files import marker_problem
from hesiod_watch.rules.attempt_pauses import is_orphan
from hesiod_watch.rules.run_types import type_of_name
from hesiod_watch.rules.stages import FINISHED, at, stage_of
from hesiod_watch.runs.areas import OutputArea, landing_problem
from hesiod_watch.runs.first_look import FirstLooks
from hesiod_watch.runs.landing import PIPELINE, LandingArea
from hesiod_watch.runs.observe import INGEST_DIRECTORY
from hesiod_watch.runs.state_files import MARKER, state_directory
from hesiod_watch.service.heartbeats import from_watchers


def site_circumstances(config: Config, *, own: str = "") -> Circumstances:
    """Look at everything that can block all runs.

    `own` is the name of this process's state file: it knows itself better.
    """
    landing = LandingArea(config.landing, config.batch)
    problem = OutputArea(config.output, landing).problem()
    worker = _worker(config)
    locks = locks_missing(config.landing, config.locks)
    place = state_directory(config.output)
    watchers, upstreams, refused = from_watchers(config, own)
    return Circumstances(
        landing=config.landing,
        landing_problem=landing_problem(landing, config.output),
        output=config.output,
        user=process.account(worker),
        output_denied=_output_denied(config, problem) if worker == os.geteuid() else "",
        output_problem=problem,
        # Only an existing directory can be empty on purpose.
        output_marker=place / MARKER if config.output.is_dir() else None,
        locks=(locks,) if locks else (),
        upstreams=upstreams,
        refused=refused,
        watchers=watchers,
        backups=dict(_missing_backups(config)),
        state_directory=place,
        effects=config_effects(config),
    )


def _worker(config: Config) -> int:
    """User that works here: the owner of the state files; this user if there are none."""
    try:
        return state_directory(config.output).stat().st_uid
    except OSError:
        return os.geteuid()


def _output_denied(config: Config, problem: str) -> str:
    """Why this user may not write in an output area that has no other problem; "" if it may."""
    denied = None if problem else _denied_in(config.output, "to write results")
    return denied.why if denied else ""


def _missing_backups(config: Config) -> Iterator[tuple[str, str]]:
    """Mounted backups without their marker. The work itself finds out about those behind ssh."""
    for backup in config.backups:
        if not backup.place.over_ssh and (why := marker_problem(Path(backup.place.path))):
            yield backup.name, why


def config_effects(config: Config) -> ConfigEffects:
    """Compare the configuration with the runs that are here."""
    landing = LandingArea(config.landing, config.batch)
    dry_run = config.processing.executor == "dry-run"
    try:
        runs = landing.paths()
        beside = landing.runs_beside()
        fitting = landing.fitting_batch(beside) if beside else None
        undecided = FirstLooks(config).undecided()
    except TemporaryError:  # reported as the problem of the landing area
        return ConfigEffects(dry_run)
    names = (run.rpartition("/")[2] for run in (runs if config.types else ()))
    kinds = {type_of_name(config.types, name).name for name in names}
    return ConfigEffects(
        dry_run,
        0 if config.upstreams else sum(not os.path.lexists(f"{run}/{PIPELINE}") for run in runs),
        tuple(beside),
        landing.batch,
        fitting or "",
        tuple(each.name for each in config.types if each.name not in kinds) if runs else (),
        undecided,
        take_up_given=config.take_up != TakeUpSettings(),
        config=str(config.path or ""),
    )


def run_circumstances(around: Circumstances, snapshot: Snapshot, config: Config) -> Circumstances:
    """Return the circumstances of the site with those of one run."""
    return replace(
        around,
        upstream_configured=is_configured(snapshot.upstream, config),
        lost_by=next(
            (each.name for each in around.upstreams if snapshot.upstream in each.missing), ""
        ),
        denied=tuple(_denied(snapshot, config)) if _may_work_here(config) else (),
        busy=_busy(snapshot, config),
    )


def is_configured(upstream: str | None, config: Config) -> bool:
    """Whether cells of a run can arrive: from its sequencer, or from a configured upstream."""
    return upstream in (None, LOCAL) or config.upstream_of(upstream) is not None


def _may_work_here(config: Config) -> bool:
    """Whether this user can be the one that works: a reader must not see its own rights as a fault.

    A user that may not write in the output area only looks.
    """
    return not process.why_not_writable(config.output)


def _denied(snapshot: Snapshot, config: Config) -> Iterator[DeniedPath]:
    """Directories that the next actions would write, and this user may not."""
    if snapshot.problem or not os.path.lexists(snapshot.path):
        return
    if not snapshot.has_pipeline:
        wanted = snapshot.listed_at or (config.local and any(c.present for c in snapshot.cells))
        if wanted and (denied := _denied_in(snapshot.path, "to take it up")):
            yield denied
        return
    unfinished = any(stage_of(cell) not in FINISHED for cell in snapshot.cells)
    if not unfinished or not snapshot.may_start(PROCESS):
        return
    if denied := _denied_in(snapshot.path / "pipeline", "to make a flag"):
        yield denied
        return
    for cell in snapshot.cells:
        proven = cell.completeness is not None and cell.completeness.proven
        due = cell in at(snapshot, Stage.READY) or is_orphan(cell)
        if snapshot.output and (due or (proven and stage_of(cell) is Stage.INCOMPLETE)):
            place = snapshot.output / cell.results_place
            for directory in (place, place / INGEST_DIRECTORY):
                if denied := _denied_in(directory, "to write its results"):
                    yield replace(denied, cell=cell.id)
                    break


def _denied_in(directory: Path, what: str) -> DeniedPath | None:
    why = process.why_not_writable(directory)
    if not why:
        return None
    place = directory
    while not os.path.lexists(place):
        place = place.parent
    return DeniedPath(place, f"{what} is not possible: {why}")


def _busy(snapshot: Snapshot, config: Config) -> dict[str, tuple[str, ...]]:
    """Who holds the workers of this host, if a cell waits for one and none is free."""
    queued = any(
        each.progress and each.progress.phase == Wait.FOR_WORKER for each in snapshot.cells
    )
    if config.processing.executor != "local" or not (queued or at(snapshot, Stage.READY)):
        return {}
    count = config.processing.workers
    most = config.processing.most_workers
    slots = WorkerSlots(config.landing, PROCESS.name, count, most=most, locks=config.locks)
    holders = slots.holders()
    return {PROCESS.name: holders} if len(holders) >= count else {}
