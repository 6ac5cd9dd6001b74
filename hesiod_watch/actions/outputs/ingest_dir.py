"""The growing outputs of a cell, in `.ingest` beside its results: who may go on with them, and who
must start anew.

The journal in there names its last writer. Whoever opens it goes on with what is there if that
writer ended cleanly or is proven dead. If neither, somebody may still be writing: then the files
are left to him, and the work begins again from the sources in a directory of our own. So a writer
who was taken for dead by a person (`release`) can only spoil files that nobody reads any more.
"""

from __future__ import annotations

import errno
import secrets
import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

from hesiod_watch.actions import Job, output_error
from hesiod_watch.core.model import Liveness, Owner
from hesiod_watch.fastq.ingest import Ingest
from hesiod_watch.fastq.model import Settings, Written
from hesiod_watch.host import process
from hesiod_watch.host.locks import alone_on_this_host
from hesiod_watch.runs import flags

DIRECTORY = ".ingest"


def open_ingest(job: Job, cell_output: Path) -> Ingest:
    """Raises PermanentError when the journal is damaged, TemporaryError when files cannot be
    written just now.
    """
    processing = job.config.processing
    settings = Settings(processing.compression, processing.recompress, processing.processes)
    directory, check_all = _place(cell_output, job.owner)
    return Ingest.open(directory, settings, owner=asdict(job.owner), check_all=check_all)


def begin_ingest(job: Job) -> None:
    """Be the only one who writes the cell's outputs. Raises FlagExists while somebody else may be."""
    flags.begin_attempt(
        job.pipeline, flags.ingest(job.the_cell.stem), job.owner, alone=hold_ingest_dir(job)
    )


def end_ingest(job: Job, ending: flags.AttemptOutcome) -> None:
    flags.end_attempt(job.pipeline, flags.ingest(job.the_cell.stem), job.owner, ending)


def remove_ingest_dir(cell_output: Path, owner: Owner) -> None:
    """Remove every directory of growing outputs that nobody writes to any more."""
    for directory in cell_output.glob(f"{DIRECTORY}*"):
        if directory.is_dir() and not directory.is_symlink() and _left(directory, owner)[0]:
            shutil.rmtree(directory, ignore_errors=True)


def forget(cell_output: Path) -> None:
    """Have the next attempt read every source again: nothing that was taken counts any more.

    Raises as `output_error`; then nothing has changed.
    """
    moved = []
    for directory in cell_output.glob(f"{DIRECTORY}*"):
        if directory.is_dir() and not directory.is_symlink():
            # First another name, in one step: what cannot be removed is not continued either.
            hidden = cell_output / f"{DIRECTORY}.{secrets.token_hex(6)}"
            try:
                directory.rename(hidden)
            except OSError as error:
                raise output_error(error, str(directory)) from error
            moved.append(hidden)
    for hidden in moved:
        shutil.rmtree(hidden, ignore_errors=True)


def hand_over(written: Sequence[Written], place: Path) -> list[Written]:
    """Move finished outputs, with their journal, into the staging directory `place`; their new
    paths.

    Raises as `output_error`.
    """
    if not written:
        return []
    directory = written[0].path.parent
    try:
        directory.rename(place / directory.name)
    except OSError as error:
        raise output_error(error, str(directory)) from error
    place /= directory.name
    return [replace(output, path=place / output.path.name) for output in written]


def give_back(place: Path, cell_output: Path, owner: Owner) -> None:
    """Move outputs that were handed over to `place` back to where `open_ingest` finds them.

    Outputs whose last writer may still live stay in `place`. Raises OSError, HesiodError.
    """
    for directory in place.glob(f"{DIRECTORY}*"):
        if _left(directory, owner)[0]:
            try:
                directory.rename(cell_output / directory.name)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):  # there is another ingest
                    raise


def hold_ingest_dir(job: Job) -> Callable[[], AbstractContextManager[None]]:
    return partial(alone_on_this_host, job.config.landing, f"{job.run_dir.name}/{job.the_cell}")


def _place(cell_output: Path, owner: Owner) -> tuple[Path, bool]:
    """The directory to go on in, and whether all that is in it has to be checked."""
    directory = cell_output / DIRECTORY
    left, check_all = _left(directory, owner)
    return (
        (directory, check_all) if left else (cell_output / f"{DIRECTORY}.{owner.token[:12]}", False)
    )


def _left(directory: Path, owner: Owner) -> tuple[bool, bool]:
    """Whether the last writer has left a directory for good, and whether the machine may have lost
    its last words.
    """
    record, clean = Ingest.last_owner(directory)
    if record is None or clean or record.get("token") == owner.token:
        return True, False
    last = flags.owner_of(record)
    liveness, _ = process.judge_here(last)
    # A process that was killed loses nothing it had written; a machine that stopped may have.
    return liveness is Liveness.DEAD, last is None or last.boot_id != owner.boot_id
