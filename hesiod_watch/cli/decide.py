"""Decisions of a person: `abort`, `retry`, `release`; recorded with user, time and reason."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from hesiod_watch.cli.common import (
    add_cell_argument,
    add_run_argument,
    cell_of,
    config_of,
    look_at,
    open_run,
    print_problem,
    require_observed,
    run_path,
)
from hesiod_watch.config import Config
from hesiod_watch.core.errors import HesiodError, PermanentError
from hesiod_watch.core.model import Cell, CellId, Snapshot, Stage
from hesiod_watch.core.naming import display
from hesiod_watch.core.ownership import Liveness, Owner
from hesiod_watch.host import process
from hesiod_watch.host.process import iso_now
from hesiod_watch.host.runlog import RunLog
from hesiod_watch.remote.slurm_judge import client_of
from hesiod_watch.rules.evidence import owner_words
from hesiod_watch.rules.hook_schedule import current_hook, hook_failed, is_hook_over
from hesiod_watch.rules.late_data import late_step, late_words, raw_removed
from hesiod_watch.rules.liveness import SLURM
from hesiod_watch.rules.slurm_jobs import job_mark
from hesiod_watch.rules.stages import at, stage_of
from hesiod_watch.runs import flags


def abort_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Adds the flag `aborted`. Work in progress stops before it publishes. To undo, remove the"
        " flag."
    )
    _add_decision(parser, call_abort, "the whole run")


def retry_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Moves the flags of failed cells to pipeline/attic/. The next pass counts their files again"
        " and processes them from the beginning; it reads every file again. A flag `synced` that a"
        " person made is kept. Refused while a worker is alive or may be alive. A processed cell is"
        " processed again if new data came after that: former results are kept in superseded/. To"
        " process another processed cell again, remove its flag `done`. Where only the command of"
        " `on_done` failed, the command is run again, and the cell stays as it is."
    )
    _add_decision(
        parser,
        call_retry,
        "every failed cell, every cell whose command of on_done failed, and the run's own flag"
        " `failed`",
    )


def release_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "For a claim whose owner cannot be proven alive or dead (another host, an empty flag), or"
        " whose worker died and whose next attempt waits."
        " Moves the claim to pipeline/attic/. If the owner is alive after all, it will not publish."
    )
    _add_decision(parser, call_release, "every cell with such a claim")


def _add_decision(
    parser: argparse.ArgumentParser,
    call: Callable[[argparse.Namespace], int],
    without_cell: str,
) -> None:
    add_run_argument(parser)
    add_cell_argument(parser, without_cell)
    parser.add_argument("--why", required=True, metavar="TEXT", help="the reason, for the record")
    parser.set_defaults(call=call)


def call_abort(options: argparse.Namespace) -> int:
    pipeline, snapshot, cell = _subject(options)
    record = _record(options.why, cell)
    name = flags.aborted(cell.stem) if cell else "aborted"
    flags.create(pipeline, name, record)
    _cancel_jobs(config_of(options), snapshot, cell)
    _log(snapshot, cell, f"aborted by {record['user']}: {options.why}")
    print(f"{_label(snapshot, cell)}: aborted; no more work is started")
    return 0


def call_retry(options: argparse.Namespace) -> int:
    pipeline, snapshot, cell = _subject(options)
    chosen = [_require_cell(snapshot, cell)] if cell else list(snapshot.cells)
    hooks = [each for each in chosen if _is_only_hook(each) and (cell or hook_failed(each))]
    cells = [each for each in chosen if each not in hooks] if cell else at(snapshot, Stage.FAILED)
    for candidate in cells:
        stage = stage_of(candidate)
        if stage is Stage.PROCESSED and late_words(candidate):
            _refuse_if_stripped(snapshot, candidate)
        elif stage not in (Stage.FAILED, Stage.PROCESSING):
            raise PermanentError(f"{candidate.id} is {stage}: there is nothing to retry")
        _refuse_if_owned(candidate)
    for candidate in hooks:
        _refuse_if_hook_runs(snapshot, candidate)
    _forget_sources(config_of(options), snapshot, cells)
    moved = [
        candidate
        for candidate in cells
        if flags.archive_flags(
            pipeline,
            candidate.id.stem,
            why=options.why,
            recount=True,
            done=stage_of(candidate) is Stage.PROCESSED,
        )
    ]
    run_flag = not cell and "failed" in snapshot.flags
    if run_flag:
        flags.archive_flags(pipeline, None, why=options.why)
    for candidate in hooks:
        _retry_hook(pipeline, snapshot, candidate, options.why)
    if not moved and not run_flag and not hooks:
        raise PermanentError(f"{_label(snapshot, cell)}: nothing has failed")
    for candidate in moved:
        _cancel_jobs(config_of(options), snapshot, candidate.id)
        _log(snapshot, candidate.id, f"retry requested by {_this_user().user}: {options.why}")
        print(
            f"{_label(snapshot, candidate.id)}: its flags are in pipeline/attic/; it is started at"
            " the next pass"
        )
    if run_flag:
        print(f"{_label(snapshot, None)}: its flag `failed` is in pipeline/attic/")
    return 0


def _is_only_hook(cell: Cell) -> bool:
    """Whether nothing but the command of `on_done` is to be tried again."""
    last = current_hook(cell)
    return (
        stage_of(cell) is Stage.PROCESSED
        and not late_words(cell)
        and not is_hook_over(cell)
        and last is not None
    )


def _refuse_if_hook_runs(snapshot: Snapshot, cell: Cell) -> None:
    if cell.hook and not cell.hook.outcome and cell.hook.liveness is Liveness.ALIVE:
        raise PermanentError(
            f"{_label(snapshot, cell.id)}: the command of on_done is running"
            f" ({display(cell.hook.evidence)}); wait for its end"
        )


def _retry_hook(pipeline: flags.Pipeline, snapshot: Snapshot, cell: Cell, why: str) -> None:
    flags.archive_attempt(pipeline, flags.hook(cell.id.stem), why=why)
    _log(snapshot, cell.id, f"retry of on_done requested by {_this_user().user}: {why}")
    print(
        f"{_label(snapshot, cell.id)}: the flags of its command of on_done are in pipeline/attic/;"
        " it is run at the next pass"
    )


def _forget_sources(config: Config, snapshot: Snapshot, cells: Sequence[Cell]) -> None:
    """Have every source file read again: a repaired file may look unchanged.

    Raises HesiodError; then no flag has moved.
    """
    # Late: they load the data path.
    from hesiod_watch.actions.outputs import ingest_dir, publication

    if cells and snapshot.output is None:
        raise PermanentError(
            f"{display(snapshot.run)}: {display(snapshot.output_problem)}; nothing was changed,"
            " because the data read from the cells before are recorded there; after fixing the"
            " cause, retry"
        )
    for cell in cells:
        if snapshot.output:
            cell_output = snapshot.output / cell.results_place
            try:
                publication.withdraw_others(cell_output, _this_user(), config.judge)
                ingest_dir.forget(cell_output)
            except HesiodError as error:
                raise PermanentError(
                    f"{_label(snapshot, cell.id)}: no retry, nothing was changed:"
                    f" {_this_user().user} cannot remove the data read from the cell before:"
                    f" {display(str(error))}; after fixing the cause, retry"
                ) from error


def call_release(options: argparse.Namespace) -> int:
    pipeline, snapshot, cell = _subject(options)
    candidates = [_require_cell(snapshot, cell)] if cell else list(snapshot.cells)
    processing = [candidate for candidate in candidates if stage_of(candidate) is Stage.PROCESSING]
    waiting = [candidate for candidate in processing if _waits(candidate)]
    if cell and not waiting:
        candidate = candidates[0]
        claim = candidate.flags.claim
        state = (
            f"its owner is {claim.liveness}: {claim.evidence}"
            if claim
            else "no worker has a claim on it"
        )
        raise PermanentError(
            f"{_label(snapshot, cell)} is {stage_of(candidate)}; {state}; there is nothing to"
            " release"
        )
    if not waiting:
        raise PermanentError(
            f"{_label(snapshot, cell)}: no claim has an owner whose state is unknown"
        )
    for candidate in waiting:
        _cancel_jobs(config_of(options), snapshot, candidate.id)
        flags.archive_flags(pipeline, candidate.id.stem, why=options.why)
        claim = candidate.flags.claim
        owner = owner_words(claim.owner if claim else None)
        unproven = (
            f"; only you say that its owner is dead: {display(claim.evidence)}"
            if claim and claim.liveness is Liveness.UNKNOWN
            else ""
        )
        _log(
            snapshot,
            candidate.id,
            f"claim of {owner} released by {_this_user().user}: {options.why}{unproven}",
        )
        print(
            f"{_label(snapshot, candidate.id)}: released; it is started at the next pass{unproven}"
        )
    return 0


def _cancel_jobs(config: Config, snapshot: Snapshot, cell: CellId | None) -> None:
    """Cancel the Slurm jobs of a cell, or of a whole run; what fails is only printed.

    A job that starts nevertheless finds that its claim is missing, and ends.
    """
    if config.processing.executor != SLURM:
        return
    client, mark = client_of(config), job_mark(str(config.output), snapshot.run, cell)
    jobs, problem = client.listed()
    names = [
        job.name
        for job in jobs or ()
        if job.lives and job.mark.run == mark.run and (cell is None or job.mark.cell == mark.cell)
    ]
    if problem := problem or client.cancel(names):
        print_problem(
            f"{_label(snapshot, cell)}: its Slurm jobs may not be cancelled: {problem}; the next"
            " pass cancels them"
        )


def _subject(options: argparse.Namespace) -> tuple[flags.Pipeline, Snapshot, CellId | None]:
    config = config_of(options)
    run = open_run(config, run_path(config, options.run))
    snapshot = look_at(config, run)
    if not snapshot.has_pipeline:
        raise PermanentError(
            f"{display(snapshot.run)} has no pipeline directory: it has not been taken up yet"
        )
    require_observed(snapshot)
    cell = cell_of(snapshot, options.cell) if options.cell else None
    return flags.Pipeline(run), snapshot, cell


def _require_cell(snapshot: Snapshot, cell: CellId) -> Cell:
    found = snapshot.cell(cell)
    if found is None:
        raise PermanentError(f"{_label(snapshot, cell)}: no such cell")
    return found


def _waits(cell: Cell) -> bool:
    """Whether a claim waits: for a person, or for the pause after the death of its worker."""
    claim = cell.flags.claim
    return claim is not None and (
        claim.liveness is Liveness.UNKNOWN
        or (claim.liveness is Liveness.DEAD and claim.death is not None)
    )


def _refuse_if_owned(cell: Cell) -> None:
    """Refuse a cell whose worker is or may be alive: its flags must not move while it works.

    A finished or failed attempt has no owner.
    """
    if stage_of(cell) is not Stage.PROCESSING:
        return
    claim = cell.flags.claim
    if claim and claim.liveness is Liveness.ALIVE:
        raise PermanentError(f"{cell.id} is being worked on ({claim.evidence}); abort it, or wait")
    if claim and claim.liveness is Liveness.UNKNOWN:
        raise PermanentError(
            f"{cell.id} is claimed by {owner_words(claim.owner)}, which cannot be proven alive or"
            f" dead ({claim.evidence}); if you have checked that it is dead: hesiod-watch release"
        )


def _refuse_if_stripped(snapshot: Snapshot, cell: Cell) -> None:
    if raw_removed(snapshot, cell):
        raise PermanentError(
            f"{_label(snapshot, cell.id)}: raw data were removed from here, so the cell cannot be"
            f" processed again; {late_step(snapshot, cell)}"
        )


def _record(why: str, cell: CellId | None) -> dict[str, object]:
    record: dict[str, object] = {
        "reason": why,
        "user": _this_user().user,
        "host": _this_user().host,
        "time": iso_now(),
    }
    return record | ({"cell": str(cell)} if cell else {})


def _this_user() -> Owner:
    return process.this_owner("decide", "inline")


def _log(snapshot: Snapshot, cell: CellId | None, sentence: str) -> None:
    if snapshot.output:
        RunLog(Path(snapshot.output) / "pipeline.log").line(
            f"{cell}: {sentence}" if cell else sentence
        )


def _label(snapshot: Snapshot, cell: CellId | None) -> str:
    return display(f"{snapshot.run} {cell}" if cell else snapshot.run)
