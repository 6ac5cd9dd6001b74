"""`perform`: one action in this process. `verify`: compare results with their manifest."""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hesiod_watch.actions import Job, SiteJob, perform
from hesiod_watch.cli.common import (
    add_cell_argument,
    add_run_argument,
    cell_of,
    config_of,
    look_at,
    now,
    open_run,
    require_observed,
    run_path,
)
from hesiod_watch.config import Config
from hesiod_watch.core import naming
from hesiod_watch.core.action_kinds import ACTIONS, NEW_RUN, NOTIFY, VERIFY, ActionMode
from hesiod_watch.core.errors import PermanentError, UsageError
from hesiod_watch.core.model import LOCAL, CellId, Snapshot, Stage
from hesiod_watch.core.naming import display
from hesiod_watch.core.ownership import Owner
from hesiod_watch.core.text import number_of
from hesiod_watch.host import process
from hesiod_watch.host.files import OpenDirectory
from hesiod_watch.rules.liveness import SLURM
from hesiod_watch.rules.plan import plan
from hesiod_watch.rules.stages import at, stage_of, why_stage
from hesiod_watch.runs import flags
from hesiod_watch.runs.areas import require_writable
from hesiod_watch.runs.landing import LandingArea

if TYPE_CHECKING:
    from hesiod_watch.actions.copies.verification import VerificationResult

AGAIN = 75


def perform_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Does by hand what the service does. Processes a cell only if `hesiod-watch plan` lists it."
        f" Actions: {', '.join(ACTIONS)}."
    )
    parser.add_argument("action", choices=list(ACTIONS), metavar="ACTION", help=", ".join(ACTIONS))
    add_run_argument(parser)
    add_cell_argument(parser, "the action is for the whole run")
    parser.add_argument("--reason", default="", help="the reason, for the run's log")
    parser.add_argument(
        "--nice", type=int, default=0, metavar="N", help="lower this process's priority by N"
    )
    parser.add_argument(
        "--claimed",
        metavar="EPOCH:TOKEN",
        help="the claim with which the service started this worker",
    )
    parser.add_argument(
        "--upstream",
        default=LOCAL,
        metavar="LOCATION",
        help="new-run: the location that the run comes from",
    )
    parser.set_defaults(call=call_perform, verbosity=0)


def verify_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Reads every file of the manifest from disk and compares its size and MD5; for FASTQ also"
        " every checksum inside the gzip stream and the number of reads and bases. Compares raw"
        " data with raw.json, if it exists."
    )
    add_run_argument(parser)
    add_cell_argument(parser, "every processed cell of the run")
    parser.add_argument(
        "--backup",
        action="store_true",
        help="also read every copy, on its backup, and record the result",
    )
    parser.add_argument(
        "--json", action="store_true", help="print a JSON document instead of lines"
    )
    parser.set_defaults(call=call_verify)


def call_perform(options: argparse.Namespace) -> int:
    kind = ACTIONS[options.action]
    config = config_of(options)
    if options.nice:
        os.nice(options.nice)
    if kind is NOTIFY and Path(options.run) == (site := flags.SitePipeline(config.output)).path:
        owner = process.this_owner(options.action, "inline", reason=options.reason)
        perform(SiteJob(options.action, site.path, config, owner, reason=options.reason))
        return 0
    run_dir = _new_run_path(config, options) or run_path(config, options.run)
    if kind.needs_cell and options.cell is None:
        raise UsageError(f"the action {options.action} needs a cell: LIBRARY/CELL")
    library, _, name = (options.cell or "").strip("/").rpartition("/")
    # The service names the cell in full: then the run need not be observed to find it.
    run = open_run(config, run_dir)
    snapshot = look_at(config, run) if name and not (options.claimed and library) else None
    cell = cell_of(snapshot, options.cell) if snapshot else CellId(library, name) if name else None
    owner = process.this_owner(options.action, "inline", reason=options.reason)
    Job(options.action, run_dir, config, owner).check_output_area()  # before any claim is made
    if options.claimed:
        epoch, _, token = options.claimed.partition(":")
        executor = SLURM if owner.slurm_name else "local"
        owner = replace(owner, executor=executor, epoch=int(epoch))
        if owner.slurm_name:
            return perform_job(
                Job(options.action, run_dir, config, owner, cell, options.reason), token
            )
    elif kind.mode is ActionMode.CLAIMED and cell and snapshot:
        owner = _claim(config, run, snapshot, cell, owner)
    job = Job(options.action, run_dir, config, owner, cell, options.reason, options.upstream)
    if sys.stderr.isatty():
        from hesiod_watch.cli.terminal import progress_bar

        with progress_bar() as listener:
            outcome = perform(replace(job, on_progress=listener))
    else:
        outcome = perform(job)
    if outcome == "nothing":
        print(f"hesiod-watch: {options.action}: there was nothing left to do", file=sys.stderr)
    return 0


def perform_job(job: Job, token: str) -> int:
    """Perform an action as a Slurm job, if the claim that names this job is still there."""
    work = flags.work_of(job.action, job.cell)
    submission = flags.job_of(work)
    claimed = ACTIONS[job.action].mode is ActionMode.CLAIMED
    name = flags.started(job.the_cell.stem, job.owner.epoch) if claimed else f"{submission}.started"
    submitter = flags.read_flags(job.pipeline).owner(name)
    if submitter is None or submitter.token != token:
        print(f"hesiod-watch: {job.action}: the claim of this job is gone", file=sys.stderr)
        return 0
    try:
        perform(job)
    finally:
        if not claimed:
            submitted = replace(job.owner, token=token)
            flags.end_attempt(job.pipeline, submission, submitted, "done")
    return 0


def _new_run_path(config: Config, options: argparse.Namespace) -> Path | None:
    """Future directory of a run that is only on an upstream so far; None for any other run.

    Raises UsageError if the run's name is not allowed.
    """
    if options.action != NEW_RUN.name or options.upstream == LOCAL:
        return None
    path = Path(options.run) if "/" in options.run else config.landing / options.run
    landing = config.landing.resolve()
    place = path.parent.resolve() / path.name
    if os.path.lexists(place) or LandingArea(landing, config.batch).run_of(place) != place:
        return None
    if why := naming.run_problem(place.name):
        raise UsageError(f"{display(options.run)}: {why}")
    return config.landing / place.relative_to(landing)


def _claim(
    config: Config, run: OpenDirectory, snapshot: Snapshot, cell: CellId, owner: Owner
) -> Owner:
    """Claim a cell for this process. Raises PermanentError if the plan does not process it now."""
    for action in plan(snapshot, config.policy(), now()).actions:
        if action.name == owner.action and action.cell == cell:
            owner = replace(owner, epoch=action.epoch)
            require_writable(snapshot, cell)
            flags.claim_cell(flags.Pipeline(run), cell.stem, owner, judge=config.judge)
            return process.this_owner(
                owner.action, owner.executor, epoch=owner.epoch, reason=owner.reason
            )
    found = snapshot.cell(cell)
    where = f"it is {stage_of(found)}: {why_stage(found)}" if found else "it does not exist"
    raise PermanentError(
        f"{display(str(cell))} of {display(snapshot.run)} is not to be processed now;"
        f" {display(where)}. `hesiod-watch explain` says what you can do."
    )


def call_verify(options: argparse.Namespace) -> int:
    from hesiod_watch.actions.copies.verification import verify_copies
    from hesiod_watch.actions.verify import verify_and_record

    config = config_of(options)
    run_dir = run_path(config, options.run)
    run = open_run(config, run_dir)
    snapshot = look_at(config, run)
    require_observed(snapshot)
    output = snapshot.output
    if output is None:
        raise PermanentError(f"{display(snapshot.run)}: {snapshot.output_problem}")
    if options.cell:
        cells = [cell_of(snapshot, options.cell)]
    else:
        cells = [cell.id for cell in at(snapshot, Stage.PROCESSED)]
    results: dict[str, VerificationResult] = {}
    for cell in cells:
        if options.backup:
            owner = process.this_owner(VERIFY.name, "inline", reason="a person asked for it")
            results[str(cell)] = found = verify_and_record(
                Job(VERIFY.name, run_dir, config, owner, cell)
            )
        else:
            results[str(cell)] = found = verify_copies(config, run, output, cell, backups=False)
        if not options.json:
            _print_verification(str(cell), found)
    if options.json:
        documents = {cell: _verification_document(found) for cell, found in results.items()}
        print(json.dumps({"run": snapshot.run, "cells": documents}, indent=1))
    elif not cells:
        print(f"{display(snapshot.run)}: no processed cell to verify")
    if any(found.problems for found in results.values()):
        return 1
    return AGAIN if any(found.unread for found in results.values()) else 0


def _print_verification(cell: str, found: VerificationResult) -> None:
    for sentence in [*found.problems, *(f"not read: {why}" for why in found.unread)]:
        print(f"{display(cell)}: {display(sentence)}")
    if found.new_data:
        print(f"{display(cell)}: {display(found.new_data)}")
    if found.local_read and not found.problems:
        print(f"{display(cell)}: every file agrees with the manifest")
    for copy in found.copies:
        what = "results and raw data" if copy.raw else "results"
        print(
            f"{display(cell)}: {copy.backup}: copy verified:"
            f" {number_of(copy.files, 'file')} ({what})"
        )


def _verification_document(found: VerificationResult) -> dict[str, Any]:
    return {
        "problems": found.problems,
        "unread": found.unread,
        "new_data": found.new_data,
        "copies": [
            {"backup": copy.backup, "files": copy.files, "bytes": copy.bytes}
            for copy in found.copies
        ],
    }
