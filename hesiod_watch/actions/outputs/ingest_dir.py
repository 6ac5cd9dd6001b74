"""Directory `.ingest` with a cell's growing outputs: who may continue them, who starts anew.

The journal in the directory names its last writer. Another process continues the files if that
writer ended cleanly or is proven dead. Otherwise the writer may still be working: its files are
left alone, and the new process starts again from the sources in a directory of its own. All of
them are removed when the cell is done.

So a writer that a person declared dead (`release`) can only damage files that no process reads any
more.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

from hesiod_watch.actions import Job
from hesiod_watch.bam.complete import complete
from hesiod_watch.core.ownership import Liveness, Owner
from hesiod_watch.core.system_errors import translated
from hesiod_watch.fastq.formats import is_bam
from hesiod_watch.fastq.ingest import Ingest
from hesiod_watch.fastq.model import Settings, Written
from hesiod_watch.rules.liveness import Judge
from hesiod_watch.runs import flags
from hesiod_watch.runs.observe import INGEST_DIRECTORY


def open_ingest(job: Job, cell_output: Path) -> Ingest:
    """Open the growing outputs of a cell.

    Raises PermanentError if the journal is damaged, TemporaryError if files cannot be written now.
    """
    processing = job.config.processing
    settings = Settings(processing.compression, processing.recompress, processing.processes)
    directory, check_all = _directory_of(cell_output, job.owner, job.judge)
    return Ingest.open(
        directory, job.cell_dir, settings, owner=asdict(job.owner), check_all=check_all
    )


def follow_renamed_library(job: Job, cell_output: Path) -> None:
    """Move a cell's outputs to the present name of its library, if the library was renamed.

    Only the owner of the cell's work may call this. Raises TemporaryError, PermanentError.
    """
    with translated(str(cell_output), own_output=True):
        if os.path.lexists(cell_output) or not job.cell_dir.is_in_place():
            return
        former = [
            place
            for place in job.output.glob(f"*/{cell_output.name}")
            if place.is_dir()
            and not place.is_symlink()
            and not os.path.lexists(job.run_dir / place.parent.name / cell_output.name)
        ]
        if len(former) == 1:
            cell_output.parent.mkdir(exist_ok=True)
            former[0].rename(cell_output)
            with suppress(OSError):  # other cells may be there
                former[0].parent.rmdir()


def ingest_files(cell_output: Path) -> dict[str, tuple[int, int]]:
    """Sizes and modification times (ns) of all growing outputs and journals, by path."""
    found = {}
    for path in cell_output.glob(f"{INGEST_DIRECTORY}*/*"):
        with suppress(OSError):
            status = path.lstat()
            found[str(path)] = status.st_size, status.st_mtime_ns
    return found


def forget(cell_output: Path) -> None:
    """Discard the growing outputs, so that the next attempt reads every source again.

    Raises TemporaryError, PermanentError; then nothing has changed.
    """
    moved = []
    for directory in growing_outputs(cell_output):
        # Rename first, in one step: a directory that cannot be removed is not continued either.
        hidden = cell_output / f"{INGEST_DIRECTORY}.{os.urandom(6).hex()}"
        with translated(str(directory), own_output=True):
            directory.rename(hidden)
        moved.append(hidden)
    for hidden in moved:
        shutil.rmtree(hidden, ignore_errors=True)


def complete_outputs(
    job: Job, written: Sequence[Written], place: Path, on_output: Callable[[Written], None]
) -> list[Written]:
    """Complete outputs of BAM in the staging directory `place`; others need nothing more.

    `on_output` is called before each. Raises TemporaryError, PermanentError.
    """
    processing = job.config.processing
    done = []
    for output in written:
        if is_bam(output.output.name):
            on_output(output)
            output = complete(output, place, processing.compression, processing.processes)
        done.append(output)
    return done


def hand_over(written: Sequence[Written], directory: Path, place: Path) -> list[Written]:
    """Move the growing outputs and their journal in `directory` into the staging one, `place`.

    Returns the outputs with their new paths. Raises TemporaryError, PermanentError.
    """
    if not written:
        return []
    with translated(str(directory), own_output=True):
        directory.rename(place / directory.name)
    return [
        replace(output, path=place / directory.name / output.path.name)
        if output.path.parent == directory
        else output
        for output in written
    ]


def give_back(place: Path, cell_output: Path, owner: Owner, judge: Judge) -> None:
    """Move outputs from the staging directory `place` back to where `open_ingest` finds them.

    Outputs whose last writer may still live stay in `place`. Raises OSError, HesiodError.
    """
    for directory in growing_outputs(place):
        if _is_abandoned(directory, owner, judge)[0]:
            try:
                directory.rename(cell_output / directory.name)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):  # another ingest exists
                    raise


def growing_outputs(place: Path) -> list[Path]:
    """Every directory of growing outputs in `place`; links and files are left alone."""
    found = place.glob(f"{INGEST_DIRECTORY}*")
    return [path for path in found if path.is_dir() and not path.is_symlink()]


def _directory_of(cell_output: Path, owner: Owner, judge: Judge) -> tuple[Path, bool]:
    """Directory to continue in, and whether all of its content must be checked."""
    directory = cell_output / INGEST_DIRECTORY
    abandoned, check_all = _is_abandoned(directory, owner, judge)
    return (
        (directory, check_all)
        if abandoned
        else (cell_output / f"{INGEST_DIRECTORY}.{owner.token[:12]}", False)
    )


def _is_abandoned(directory: Path, owner: Owner, judge: Judge) -> tuple[bool, bool]:
    """Whether the last writer has ended for good, and whether its last writes may be lost."""
    record, clean = Ingest.last_owner(directory)
    if record is None or clean or record.get("token") == owner.token:
        return True, False
    last = flags.owner_of(record)
    liveness, _ = judge(last)
    # A killed process loses nothing that it had written; a stopped machine may lose writes.
    return liveness is Liveness.DEAD, last is None or last.boot_id != owner.boot_id
