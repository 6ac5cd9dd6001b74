"""Delete raw data from the landing area: the only code here that deletes sequencer files.

Deletes exactly the files that a `DeletionProof` names. Each file is opened through descriptors of
its directories, without following links, and is checked once more. It is deleted only if its
identity equals the proven one, times to the nanosecond. There is no recursion and no pattern, and
directories stay.

An expired proof stops the work and leaves the remaining files untouched; the next attempt proves
again.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from hesiod_watch.actions import Job
from hesiod_watch.core.errors import HesiodError, PermanentError, TemporaryError
from hesiod_watch.core.file_entry import FileEntry
from hesiod_watch.core.naming import display
from hesiod_watch.host.files import OpenDirectory, sync_directory
from hesiod_watch.rules.deletion_proof import DeletionProof
from hesiod_watch.runs import cell_files

FILES_PER_CHECK = 64
"""Number of files deleted between two checks for a request to stop."""


@dataclass
class DeletedFiles:
    """Number and bytes of the files deleted so far."""

    files: int = 0
    bytes: int = 0


def delete_files(
    proof: DeletionProof,
    job: Job,
    gone: DeletedFiles,
    *,
    still: Callable[[], None] = lambda: None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> None:
    """Delete the files that a proof names from landing, and count them in `gone`.

    The deletions are complete and durable when it returns. `still` raises when the work must end.

    Raises TemporaryError if the proof expires or a file is not the one that was proven,
    PermanentError for a proof of anything else.
    """
    if not isinstance(proof, DeletionProof) or not proof.about(
        job.run_dir.name, job.the_cell, "landing"
    ):
        raise PermanentError(
            f"{job.run_dir.name} {job.the_cell}: there is no proof that this may be deleted"
        )
    directory = job.run.opened()
    try:
        for number, target in enumerate(proof.files):
            if number % FILES_PER_CHECK == 0:
                still()
            if not proof.holds(clock()):
                raise TemporaryError("the proof has expired; what is left is proven again")
            if _delete_one(directory, job, target):
                gone.files += 1
                gone.bytes += target.size
    except OSError as error:
        raise TemporaryError(f"{job.run_dir.name} {job.the_cell}: {error.strerror}") from error
    finally:
        _make_durable(directory, job, proof)


def _delete_one(directory: OpenDirectory, job: Job, target: FileEntry) -> bool:
    """Delete one file; False if it is already absent.

    Raises TemporaryError if it is another file, OSError.
    """
    try:
        with cell_files.holder(directory, job.the_cell, target.name) as (parent, name):
            status = os.stat(name, dir_fd=parent, follow_symlinks=False)
            if not target.same_file(FileEntry.of_status(target.name, status)):
                raise TemporaryError(
                    f"{display(target.name)} is not the file any more that was proven; "
                    "no further file is deleted"
                )
            os.unlink(name, dir_fd=parent)
    except FileNotFoundError:
        return False
    return True


def _make_durable(directory: OpenDirectory, job: Job, proof: DeletionProof) -> None:
    parents = {target.name.rpartition("/")[0] for target in proof.files}
    for parent in sorted(parents):
        # An error here does no harm: a file that reappears is proven and deleted again.
        with (
            suppress(OSError, HesiodError),
            cell_files.holder(directory, job.the_cell, f"{parent}/x".lstrip("/")) as (inner, _),
        ):
            sync_directory(inner)
