"""Publication of a cell's files: by renames out of a staging directory of this attempt.

An attempt that was overtaken may wake up between any two renames. Three rules keep its files out of
the results:

1. Every rename that publishes comes from the attempt's own staging directory, reads included.
2. When the directory is there, and before the first rename, the attempt checks once that it still
   owns the cell.
3. An attempt that begins records itself as worker, and then withdraws the staging directories of
   all others.

If the earlier attempt made its directory before the later one withdrew, its renames find no source
any more. Otherwise it made its directory after the later one had recorded itself, so its check
fails. Its renames before the withdrawal are not lost: the later attempt replaces these files, or
moves them to `superseded/` if its own results have no file of that name.

Results count only from `.done` on, which names the manifest. Its fence is a different one
(`runs.flags.flag_files`). As a last defence an attempt compares, before `.done`, what is published
with what it renamed.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from hesiod_watch.actions import Job
from hesiod_watch.actions.outputs.documents import reads_checksums
from hesiod_watch.actions.outputs.ingest_dir import give_back, growing_outputs
from hesiod_watch.actions.outputs.results import CellResults
from hesiod_watch.core.errors import HesiodError, TemporaryError
from hesiod_watch.core.file_entry import Entries, FileEntry
from hesiod_watch.core.ownership import Owner
from hesiod_watch.core.system_errors import translate, translated
from hesiod_watch.fastq import readback
from hesiod_watch.host.files import sync_directory
from hesiod_watch.remote.backup.manifests import MANIFEST, PARTIAL
from hesiod_watch.rules.liveness import Judge
from hesiod_watch.runs import flags
from hesiod_watch.runs.observe import INGEST_FILE, RAW_MANIFEST

SUPERSEDED = "superseded"
STAGING = ".staging."
"""Prefix of directories where result files wait to be published."""


@contextmanager
def staging_directory(cell_output: Path, owner: Owner, judge: Judge) -> Iterator[Path]:
    """Make a new directory of our own beside the results, and remove it at the end.

    The directories of all other attempts are withdrawn: our claim proves that those attempts have
    ended.

    Raises TemporaryError, PermanentError.
    """
    place = _staging_of(cell_output, owner)
    with translated(cell_output, own_output=True):
        cell_output.mkdir(parents=True, exist_ok=True)
        _withdraw(cell_output, owner, judge, cell_output.glob(f"{STAGING}*"))
        place.mkdir()
    try:
        yield place
    finally:
        with suppress(OSError, HesiodError):  # the next attempt clears what is left
            _clear(place, cell_output, owner, judge)


@contextmanager
def own_directory(cell_output: Path, owner: Owner) -> Iterator[Path]:
    """Make a directory that the next `staging_directory` withdraws, and remove it at the end.

    Raises TemporaryError, PermanentError.
    """
    place = _staging_of(cell_output, owner)
    with translated(cell_output, own_output=True):
        place.mkdir()
        try:
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)


def withdraw_others(cell_output: Path, owner: Owner, judge: Judge) -> None:
    """Withdraw the staging directories of all other attempts, so that none of them can publish.

    Only the owner of the cell may call this. Raises TemporaryError, PermanentError.
    """
    ours = _staging_of(cell_output, owner)
    with translated(cell_output, own_output=True):
        others = [place for place in cell_output.glob(f"{STAGING}*") if place != ours]
        _withdraw(cell_output, owner, judge, others)


def remove_leftovers(job: Job) -> None:
    """Remove growing outputs and staging directories, if the cell was processed.

    Nothing reads them any more. Every attempt and `verify` call this at their end, because an
    attempt that was overtaken may have made them again and may have been killed. One that still
    writes them was overtaken, too: it ends with an error that is not recorded.
    """
    cell = job.the_cell
    with suppress(HesiodError, OSError):
        if not job.pipeline.has(flags.done(cell.stem)):
            return
        cell_output = job.cell_output
        _withdraw(cell_output, job.owner, job.judge, cell_output.glob(f"{STAGING}*"))
        for directory in growing_outputs(cell_output):
            shutil.rmtree(directory, ignore_errors=True)


def _staging_of(cell_output: Path, owner: Owner) -> Path:
    return cell_output / f"{STAGING}{owner.token[:12]}"


def _withdraw(cell_output: Path, owner: Owner, judge: Judge, places: Iterable[Path]) -> None:
    for place in list(places):
        if place.is_dir() and not place.is_symlink():
            # Rename first to a name unknown to the attempt: from now on it can publish nothing.
            hidden = cell_output / f"{STAGING}{os.urandom(6).hex()}"
            with suppress(FileNotFoundError):  # the attempt has just ended
                place.rename(hidden)
                _clear(hidden, cell_output, owner, judge)


def _clear(place: Path, cell_output: Path, owner: Owner, judge: Judge) -> None:
    """Remove a staging directory, after saving former results and an ingest to continue."""
    if (place / SUPERSEDED).is_dir():
        _move_to_superseded(place / SUPERSEDED, cell_output)
    give_back(place, cell_output, owner, judge)
    shutil.rmtree(place, ignore_errors=True)


def publish_results(
    files: Mapping[str, Path],
    cell_output: Path,
    is_result: Callable[[str], bool] = lambda name: False,
) -> dict[str, FileEntry]:
    """Move finished files to their final place, the manifest last.

    Returns each moved file, as it was before the rename. If an earlier processing of the cell left
    other results, those are kept under `superseded/`. So are files whose names satisfy `is_result`
    and that this attempt does not replace: an attempt that was overtaken or killed left them. Safe
    to repeat after a crash in the middle.

    The caller has checked that this attempt may publish. Raises TemporaryError, PermanentError.
    """
    place = files[MANIFEST].parent
    with translated(cell_output, own_output=True):
        published = {name: FileEntry.of_status(name, path.lstat()) for name, path in files.items()}
        superseded = {
            name for name in os.listdir(cell_output) if is_result(name) and name not in files
        }
        former = reads_checksums(cell_output)
        if former is not None and former != reads_checksums(place):
            # The cell has other files now, so its raw data are read again.
            superseded |= {*former, *files, RAW_MANIFEST, PARTIAL}
        if superseded:
            _supersede(cell_output, place, superseded)
        for name in sorted(files, key=lambda name: name == MANIFEST):
            files[name].rename(cell_output / name)
        (cell_output / INGEST_FILE).unlink(missing_ok=True)
        for directory in (cell_output, *cell_output.parents[:2]):  # up to the run's directory
            sync_directory(directory)
    return published


def require_published(results: CellResults, published: Entries, cell_output: Path) -> None:
    """Check that each published file is the one that this attempt renamed.

    An overtaken attempt may have renamed a file of its own over ours. A file whose identity differs
    is read, because not every file system keeps inode numbers and times.

    Raises TemporaryError if a file was replaced or removed.
    """
    for name, before in published.items():
        path = cell_output / name
        try:
            now = FileEntry.of_status(name, path.lstat())
        except FileNotFoundError:
            raise TemporaryError(
                f"{path}: removed while it was published; it is made again"
            ) from None
        except OSError as error:
            raise translate(error, str(path), own_output=True) from error
        # A rename changes the change time.
        same = now.looks_like(before) and now.inode_name == before.inode_name
        if not same and readback.md5_of(path) != results.md5s[name]:
            raise TemporaryError(
                f"{path}: replaced by an attempt that was overtaken; it is made again"
            )


def _supersede(cell_output: Path, place: Path, names: Collection[str]) -> None:
    """Move former results into `place`, and then all of them at once to `superseded/`.

    The manifest is moved last: while it is there, the next attempt after a crash keeps the
    remaining files.
    """
    former = place / SUPERSEDED
    former.mkdir()
    for name in sorted(names, key=lambda name: (name == MANIFEST, name)):
        if Path(name).name == name and (cell_output / name).is_file():
            (cell_output / name).rename(former / name)
    sync_directory(former)
    _move_to_superseded(former, cell_output)


def _move_to_superseded(former: Path, cell_output: Path) -> None:
    (cell_output / SUPERSEDED).mkdir(exist_ok=True)
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    former.rename(cell_output / SUPERSEDED / moment)
    sync_directory(cell_output / SUPERSEDED)
