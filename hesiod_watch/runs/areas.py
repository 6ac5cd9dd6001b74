"""Check that the landing and output areas are mounted, not empty, and may be written.

The output area has a marker, `.hesiod-watch/output`. Without it nothing is written, because results
below a mount point disappear when the file system is mounted again. The marker is written if runs
that are linked to this area are found in it, or if no run is linked to it yet.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hesiod_watch.config import Config
from hesiod_watch.core.errors import PermanentError, TemporaryError
from hesiod_watch.core.logfields import fields
from hesiod_watch.core.model import CellId, Snapshot
from hesiod_watch.core.naming import display
from hesiod_watch.core.system_errors import FULL, WITHOUT_LINKS, LinksNotStored
from hesiod_watch.core.text import number_of, quoted
from hesiod_watch.host import process
from hesiod_watch.host.files import TEMPORARY, directory, make_link, write_new
from hesiod_watch.runs.landing import PIPELINE, LandingArea
from hesiod_watch.runs.observe import INGEST_DIRECTORY
from hesiod_watch.runs.state_files import MARKER, MARKER_DIRECTORY

logger = logging.getLogger(__name__)

_REPORTED_BY_WORK = FULL | {errno.EROFS}
"""Errors that stop every other write in the output area, too, and are reported there."""
_NO_LINK = {errno.ENOENT, errno.ENOTDIR, errno.EINVAL}
"""Errors that say that a run has no link to results."""
LINKLESS = "no-symlinks"
_LINKLESS_TEXT = b"This file system refused a symbolic link; the next poll tries again.\n"
_TEXT = b"This is the output area of hesiod-watch; without this file nothing is written here.\n"


def landing_problem(landing: LandingArea, output: Path) -> str:
    """Reason why the landing area cannot be the real one; "" if it can.

    An empty directory may be a mount point whose file system is missing. So it is compared with the
    runs that the output directory knows.
    """
    try:
        if (problem := landing.problem(0)) or any(landing.path.iterdir()):
            if not problem and landing.batch != "none":
                landing.paths()  # a batch directory may be unreadable
            return problem
    except TemporaryError as error:
        return str(error)
    except OSError as error:
        return f"{landing.path} cannot be read: {error.strerror}"
    try:
        known = sum(1 for entry in output.iterdir() if (entry / "rundata").is_symlink())
    except OSError:
        known = 0
    return landing.problem(known)


def require_writable(snapshot: Snapshot, cell: CellId, refusal: str = "not claimed") -> None:
    """Refuse a cell whose results this user may not write; another user may.

    Call this before a claim, because a claim would keep the cell from a service that may write. The
    growing outputs of an ingest count too: another user may have made them. Raises PermanentError.
    """
    if snapshot.output is None:
        return
    place = snapshot.output / cell.library / cell.name
    why = process.why_not_writable(place)
    if not why and os.path.lexists(place / INGEST_DIRECTORY):
        why = process.why_not_writable(place / INGEST_DIRECTORY)
    if why:
        raise PermanentError(
            f"{snapshot.run} {cell}: {refusal}, because its results cannot be written: {why}; "
            "after fixing the cause it is processed at the next look"
        )


def landing_owners(config: Config) -> frozenset[int]:
    """Users that may make `pipeline/` in the landing area: the configured ones, and its owner."""
    owners = frozenset(config.landing_owners)
    try:
        return owners | {config.landing.stat().st_uid}
    except OSError:
        return owners


@dataclass
class OutputArea:
    """Output area at `path`, for the runs of a landing area."""

    path: Path
    landing: LandingArea
    warn: bool = True  # log once that a marker cannot be written

    def __post_init__(self) -> None:
        self._verified: tuple[int, int] | None = (
            None  # device and inode of the last directory without a problem
        )

    def problem(self, *, mark: bool = False) -> str:
        """Reason why this cannot be the real output area; "" if it can.

        Costs one `stat` if the marker exists. With `mark` a missing marker is written if that is
        safe. If the write fails, work continues.
        """
        try:
            found = self.path.stat()
            if not stat.S_ISDIR(found.st_mode):
                return f"the output directory {self} is not a directory"
            identity = found.st_dev, found.st_ino
            if self.marked():
                self._verified = identity
                return ""
        except FileNotFoundError:
            return f"the output directory {self} does not exist: is its file system mounted?"
        except OSError as error:
            return f"the output directory {self} cannot be read: {error.strerror}"
        try:
            runs = self.landing.runs()
        except TemporaryError as error:
            return str(error)
        results, all_known = [], True
        for run in runs:
            try:
                results += self._results(run)
            except OSError:
                all_known = False
        proven = any(_is_directory(target) for target in results)
        if not proven:
            if results:
                links = number_of(len(results), "link")
                return self._not_mounted(
                    f"of {links} from runs to results there, none leads to a directory"
                )
            if self._verified not in (None, identity):
                return self._not_mounted("it is not the directory that was there before")
        self._verified = identity
        # Without runs there is nothing to write, and no evidence for this directory. A run that
        # cannot be read may have its results on a file system that is not mounted.
        if mark and runs and (proven or all_known):
            self._mark(identity)
        return f"the output directory {self} {WITHOUT_LINKS}" if self._linkless() else ""

    def __str__(self) -> str:
        return display(str(self.path))

    def _not_mounted(self, why: str) -> str:
        place = self.path / MARKER_DIRECTORY
        return (
            f"the output directory {self} has no marker {MARKER_DIRECTORY}/{MARKER}, and {why}: "
            "is its file system mounted? If it is, and empty on purpose: "
            f"mkdir -p {quoted(str(place))} && touch {quoted(str(place / MARKER))}"
        )

    def marked(self) -> bool:
        """Whether the area has its marker."""
        try:
            found = (self.path / MARKER_DIRECTORY / MARKER).lstat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        return stat.S_ISREG(found.st_mode)

    def _linkless(self) -> bool:
        """Whether the last process that tried could not make a symbolic link here."""
        return os.path.lexists(self.path / MARKER_DIRECTORY / LINKLESS)

    def _results(self, run_dir: Path) -> list[Path]:
        """Target of a run's link by its text, if that is in this area. Raises OSError."""
        link = run_dir / PIPELINE / "output"
        try:
            target = Path(os.path.normpath(link.parent / link.readlink()))
        except OSError as error:
            if error.errno in _NO_LINK:
                return []
            raise
        roots = (self.path, Path(os.path.realpath(self.path)))
        return [target] if any(root in target.parents for root in roots) else []

    def _mark(self, identity: tuple[int, int]) -> None:
        try:
            with directory(self.path, follow=True) as descriptor:
                found = os.fstat(descriptor)
                if (found.st_dev, found.st_ino) != identity:
                    return  # another directory replaced it meanwhile: the next pass checks again
                with suppress(FileExistsError):
                    os.mkdir(MARKER_DIRECTORY, dir_fd=descriptor)
                with directory(MARKER_DIRECTORY, descriptor) as place:
                    if _stores_links(place):
                        with suppress(FileExistsError):
                            write_new(place, MARKER, _TEXT)
        except OSError as error:
            if error.errno in _REPORTED_BY_WORK:
                return  # the next pass tries again
            if self.warn:
                marker = f"{MARKER_DIRECTORY}/{MARKER}"
                why = f"the marker {marker} cannot be written in {self}: {error.strerror}"
                logger.warning("no marker", extra=fields(why=why))
            self.warn = False


def _stores_links(place: int) -> bool:
    """Try to make a symbolic link in an open directory; a file there records that it failed."""
    name = TEMPORARY + os.urandom(16).hex()
    try:
        make_link(MARKER, name, place)
    except LinksNotStored:
        with suppress(FileExistsError):
            write_new(place, LINKLESS, _LINKLESS_TEXT)
        return False
    os.unlink(name, dir_fd=place)
    with suppress(FileNotFoundError):
        os.unlink(LINKLESS, dir_fd=place)
    return True


def _is_directory(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False
