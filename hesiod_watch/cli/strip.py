"""`strip`: remove raw data from the landing area, or only show what would be removed."""

from __future__ import annotations

import argparse

from hesiod_watch.actions import Job, perform
from hesiod_watch.cli.common import (
    add_cell_argument,
    add_run_argument,
    cell_of,
    config_of,
    look_at,
    open_run,
    require_observed,
    run_path,
)
from hesiod_watch.core.action_kinds import STRIP
from hesiod_watch.core.errors import HesiodError, PermanentError
from hesiod_watch.core.model import CellId, Stage
from hesiod_watch.core.naming import display
from hesiod_watch.core.results import StripRecord
from hesiod_watch.core.text import number_of
from hesiod_watch.host import process
from hesiod_watch.rules.retention import stripped
from hesiod_watch.rules.stages import at


def strip_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Reads every copy of every file at its location, and prints what would be removed and what"
        " would stay, with the reason. Removes it with --yes. Results, flags and small files always"
        " stay. A stripped cell is never copied from its upstream again, and never processed again."
    )
    add_run_argument(parser)
    add_cell_argument(parser, "every processed cell of the run that is not stripped")
    parser.add_argument(
        "--yes", action="store_true", help="remove the data; without this option nothing is changed"
    )
    parser.set_defaults(call=call_strip)


def call_strip(options: argparse.Namespace) -> int:
    config = config_of(options)
    run_dir = run_path(config, options.run)
    snapshot = look_at(config, open_run(config, run_dir))
    require_observed(snapshot)
    if options.cell:
        cells = [cell_of(snapshot, options.cell)]
    else:
        cells = [
            cell.id for cell in at(snapshot, Stage.PROCESSED) if cell.present and not stripped(cell)
        ]
    if not cells:
        print(f"{display(snapshot.run)}: no processed cell that is not stripped")
    code = 0
    for cell in cells:
        owner = process.this_owner(STRIP.name, "inline", reason="asked for by a person")
        job = Job(STRIP.name, run_dir, config, owner, cell, owner.reason)
        try:
            if options.yes:
                _strip(job, cell)
            else:
                code = max(code, _show(job, cell))
        except HesiodError as error:
            if options.cell:
                raise
            print(f"{display(str(cell))}: {display(str(error))}")
            code = 1
    if not options.yes and cells:
        print("Nothing was changed; to remove the data, add --yes.")
    return code


def _show(job: Job, cell: CellId) -> int:
    from hesiod_watch.actions.strip import find_strippable, kept_words
    from hesiod_watch.rules.deletion_proof import DeletionRefused

    answer = find_strippable(job)
    if isinstance(answer, DeletionRefused):
        for reason in answer.reasons:
            print(f"{display(str(cell))}: {display(reason)}")
        return 1
    files, size = number_of(len(answer.files), "file"), number_of(answer.bytes, "byte")
    print(f"{display(str(cell))}: {files}, {size} would be removed")
    print(f"{display(str(cell))}: copies stay on: {', '.join(answer.places)}")
    for words in kept_words(answer.kept):
        print(f"{display(str(cell))}: {words}")
    return 0


def _strip(job: Job, cell: CellId) -> None:
    if perform(job) == "nothing":
        raise PermanentError(f"{cell} is being stripped by another process; see hesiod-watch flags")
    found = look_at(job.config, job.run).cell(cell)
    last = found.strip if found else None
    for words in (last.why, *StripRecord.of(last).kept) if last else ("stripped",):
        print(f"{display(str(cell))}: {display(words)}")
