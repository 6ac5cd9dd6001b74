"""Removing raw data from the landing area: the one place where this program deletes what a
sequencer has made.

It takes a `DeletionProof` and nothing else says what goes. Each file is reached through descriptors
of its directories, no link followed, is looked at once more, and goes only if it is to the last
nanosecond the file that was proven. There is no recursion and no pattern; directories stay. A proof
that has run out stops it, with what is left untouched: whoever comes next proves again.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from hesiod_watch.actions import Job
from hesiod_watch.actions.copies.survey import identity_of
from hesiod_watch.core.errors import HesiodError, PermanentError, TemporaryError
from hesiod_watch.core.naming import display
from hesiod_watch.rules.deletion_proof import DeletionProof, DeletionTarget
from hesiod_watch.runs import cell_files

LOOKS = 64
"""Files that go between two looks at whether anybody has said stop."""


@dataclass
class DeletedFiles:
    """What has been removed so far."""

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
    """Remove the files that a proof names from landing, and count them in `gone`. Done and durable
    when it returns.

    `still` raises when the work is to end. Raises TemporaryError where the proof runs out or a file
    is not the one that was proven, PermanentError for a proof of anything else.
    """
    if not isinstance(proof, DeletionProof) or not proof.about(
        job.run_dir.name, job.the_cell, "landing"
    ):
        raise PermanentError(
            f"{job.run_dir.name} {job.the_cell}: there is no proof that this may be dropped"
        )
    with cell_files.opened_run(job.config.landing, job.run_dir) as directory:
        try:
            for number, target in enumerate(proof.files):
                if number % LOOKS == 0:
                    still()
                if not proof.holds(clock()):
                    raise TemporaryError("the proof has run out; what is left is proven again")
                if _drop_one(directory, job, target):
                    gone.files += 1
                    gone.bytes += target.size
        except OSError as error:
            raise TemporaryError(f"{job.run_dir.name} {job.the_cell}: {error.strerror}") from error
        finally:
            _make_durable(directory, job, proof)


def _drop_one(directory: int, job: Job, target: DeletionTarget) -> bool:
    """Remove one file; False when it has gone already. Raises TemporaryError where it is another,
    OSError.
    """
    try:
        with cell_files.holder(directory, job.the_cell, target.name) as (parent, name):
            found = identity_of(os.stat(name, dir_fd=parent, follow_symlinks=False))
            if found != target.identity:
                raise TemporaryError(
                    f"{display(target.name)} is not the file any more that was proven; nothing more goes"
                )
            os.unlink(name, dir_fd=parent)
    except FileNotFoundError:
        return False
    return True


def _make_durable(directory: int, job: Job, proof: DeletionProof) -> None:
    parents = {target.name.rpartition("/")[0] for target in proof.files}
    for parent in sorted(parents):
        # Not to be durable harms nobody: a file that comes back is proven and dropped again.
        with (
            suppress(OSError, HesiodError),
            cell_files.holder(directory, job.the_cell, f"{parent}/x".lstrip("/")) as (inner, _),
        ):
            os.fsync(inner)
