"""Landing area: the directory in which runs appear, and the meaning of its directories.

    {landing}/[batch/]{run}/{library}/{cell}/...
    {landing}/[batch/]{run}/pipeline/

`LandingArea.below` alone decides what a directory at some level means. Events and sweeps both use
it, so both see the same directories. Data directories are never entered.

Refused here: symbolic links, hidden names and `lost+found`, at any level. `naming` decides whether
a *name* may be processed. A quarantined run still gets its hints, so that people hear of it. So do
links in the place of a run.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import Literal

from hesiod_watch.core.errors import TemporaryError
from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.naming import display, parse_cell
from hesiod_watch.core.text import number_of
from hesiod_watch.rules.historic import day_of
from hesiod_watch.rules.run_layout import may_be_library, may_be_run, may_link_to_directory
from hesiod_watch.runs.minknow.layout import is_data_directory_name

Batch = Literal["none", "year", "month"]

PIPELINE = "pipeline"

_BATCHES: dict[Batch, re.Pattern[str] | None] = {
    "none": None,
    "year": re.compile(r"[0-9]{4}"),  # 2026
    "month": re.compile(r"[0-9]{4}-(?:0[1-9]|1[0-2])"),  # 2026-11
}
_ANY_BATCH = re.compile("|".join(each.pattern for each in _BATCHES.values() if each))


_NUMBERS = re.compile(r"[0-9]+(-[0-9]+)*")


class LandingLevel(Enum):
    """Meaning of a directory below the landing area."""

    LANDING = "landing area"
    BATCH = "batch"
    RUN = "run"
    LIBRARY = "library"
    CELL = "cell"
    PIPELINE = "pipeline"  # ours: flags
    OTHER = "other"  # its creation and removal matter, its content does not

    @property
    def watched(self) -> bool:
        """Whether events from inside such a directory are needed."""
        return self not in (LandingLevel.PIPELINE, LandingLevel.OTHER)

    @property
    def has_summaries(self) -> bool:
        """Whether final_summaries in such a directory matter: a library may be a pooled one."""
        return self in (LandingLevel.LIBRARY, LandingLevel.CELL)


@frozen
class LandingArea:
    """Landing area at `path`, with runs directly in it or in directories per year or month."""

    path: Path
    batch: Batch = "none"

    def runs(self) -> list[Path]:
        """Directories of all runs, sorted. Raises `TemporaryError` if the area is unreadable."""
        return list(map(Path, self.paths()))

    def paths(self) -> list[str]:
        """Paths of all runs as texts, which need less memory than `runs`; otherwise the same.

        An unreadable batch directory is an error for the whole area: with a short list it would
        look as if runs were deleted.
        """
        level = LandingLevel.LANDING
        places = [str(self.path)]
        if self.batch != "none":
            places = self._batch_directories()
            level = LandingLevel.BATCH
        return sorted(
            run
            for place in places
            for run, below in self._followed(place, level)
            if below is LandingLevel.RUN
        )

    def links(self) -> list[Path]:
        """Symbolic links in the place of a run or of a batch directory, sorted.

        They are reported and never followed. A link to a place in the landing area itself does not
        count: what it leads to is found there. Raises `TemporaryError`.
        """
        level, found = LandingLevel.LANDING, list[Path]()
        for place in [str(self.path), *self._batch_directories()]:
            found += (
                Path(place, name)
                for name, is_link in _names(place)
                if is_link
                and (self.below(level, name) is not None or _seems_run_or_batch(name))
                and may_link_to_directory(name)
                and not self._leads_inside(Path(place, name))
            )
            level = LandingLevel.BATCH
        return sorted(found)

    def _batch_directories(self) -> list[str]:
        if self.batch == "none":
            return []
        return [place for place, _ in self._followed(str(self.path), LandingLevel.LANDING)]

    def _leads_inside(self, link: Path) -> bool:
        """Whether the text of a link names a place in the landing area; it is not followed."""
        try:
            target = os.path.normpath(link.parent / link.readlink())
        except OSError:
            return True  # it is missing by now
        return Path(target).is_relative_to(self.path)

    def runs_beside(self) -> list[Path]:
        """Directories with cells where this `batch` expects no runs, at either level; sorted.

        They are not among `runs()`, so no work is done on them. Raises `TemporaryError`.
        """
        own, found = _BATCHES[self.batch], set[Path]()
        for place, level in LandingArea(self.path)._followed(str(self.path), LandingLevel.LANDING):
            name = place.rpartition("/")[2]
            if level is not LandingLevel.RUN or (own and own.fullmatch(name)):
                continue
            if own and _has_cells(Path(place)):
                found.add(Path(place))
            elif own or _is_batch(name):
                below = set(self._runs_below(place))
                # A day is in the name of a run: cells in it are too deep.
                found |= {Path(place)} if below and day_of(name) else below
        return sorted(found)

    def _runs_below(self, directory: str, *, again: bool = True) -> Iterator[Path]:
        """Yield the directories with cells in one that is no run, or in its months, as 2026/11."""
        for place, level in self._followed(directory, LandingLevel.BATCH):
            below = Path(place)
            if level is LandingLevel.RUN and _has_cells(below):
                yield below
            elif level is LandingLevel.RUN and again and _NUMBERS.fullmatch(below.name):
                yield from self._runs_below(place, again=False)

    def fitting_batch(self, beside: Iterable[Path]) -> Batch | None:
        """Setting of `batch` with which all of these are runs; None if they need several.

        None too if this area has a run with cells as it is. Raises `TemporaryError`.
        """
        if any(_has_cells(run) for run in self.runs()):
            return None
        for batch in _BATCHES:
            area = LandingArea(self.path, batch)
            if all(area.run_of(run) == run for run in beside):
                return batch
        return None

    def run_of(self, path: Path) -> Path | None:
        """Run that contains `path` or is `path`; None for any other path.

        None for the landing area, a batch directory and paths outside. Decided by the names alone:
        the path need not exist.
        """
        try:
            parts = path.relative_to(self.path).parts
        except ValueError:
            return None
        run, level = self.path, LandingLevel.LANDING
        for part in parts:
            below = self.below(level, part)
            if below not in (LandingLevel.BATCH, LandingLevel.RUN):
                return None
            run, level = run / part, below
            if level is LandingLevel.RUN:
                return run
        return None

    def below(self, level: LandingLevel, name: str) -> LandingLevel | None:
        """Meaning of a directory `name` in a directory at `level`; None if it has none."""
        if name.startswith("."):
            return None
        if level is LandingLevel.LANDING and (pattern := _BATCHES[self.batch]) is not None:
            return LandingLevel.BATCH if pattern.fullmatch(name) else None
        if level in (LandingLevel.LANDING, LandingLevel.BATCH):
            return LandingLevel.RUN if may_be_run(name) else None
        if level is LandingLevel.RUN:
            if name == PIPELINE:
                return LandingLevel.PIPELINE
            # Data pooling or a careless copy puts data directories a level too high. They may
            # contain a million files.
            data = is_data_directory_name(name.removesuffix("_recovered"))
            return LandingLevel.LIBRARY if may_be_library(name) and not data else LandingLevel.OTHER
        if level is LandingLevel.LIBRARY:
            return LandingLevel.CELL if parse_cell(name) is not None else LandingLevel.OTHER
        return LandingLevel.OTHER if level is LandingLevel.CELL else None

    def identity(self) -> tuple[int, int]:
        """Device and inode of the directory: they change when another directory replaces it.

        Raises `TemporaryError` if they cannot be read.
        """
        try:
            found = self.path.stat()
        except OSError as error:
            raise TemporaryError(_unreadable(self.path, error)) from error
        return found.st_dev, found.st_ino

    def problem(self, known_runs: int) -> str:
        """Reason why this cannot be the landing area, as a sentence; "" if there is none.

        `known_runs` is how many runs are known from elsewhere. If there are some, an empty
        directory is not a landing area without runs, but a mount point whose file system is not
        mounted.
        """
        try:
            with os.scandir(self.path) as entries:
                # A lost+found counts: it shows the top directory of a mounted file system.
                empty = not any(not entry.name.startswith(".") for entry in entries)
        except OSError as error:
            return _unreadable(self.path, error)
        if empty and known_runs > 0:
            known = f"{number_of(known_runs, 'run')} {'is' if known_runs == 1 else 'are'} known"
            shown = display(str(self.path))
            return (
                f"the landing area {shown} is empty although {known}: is its file system mounted?"
            )
        return ""

    def _followed(self, place: str, level: LandingLevel) -> Iterator[tuple[str, LandingLevel]]:
        for name, is_link in _names(place):
            below = self.below(level, name)
            if below is not None and not is_link:
                yield f"{place}/{name}", below


def _is_batch(name: str) -> bool:
    """Whether a name is that of a batch directory of any setting."""
    return _ANY_BATCH.fullmatch(name) is not None


def _seems_run_or_batch(name: str) -> bool:
    """Whether a name is one of a run or a batch where this setting of `batch` expects none."""
    return _is_batch(name) or (may_be_run(name) and day_of(name) != "")


def _names(place: str) -> list[tuple[str, bool]]:
    """Names of the directories and of the links in a directory; whether each is a link."""
    try:
        with os.scandir(place) as entries:
            return [
                (entry.name, entry.is_symlink())
                for entry in entries
                if entry.is_symlink() or entry.is_dir(follow_symlinks=False)
            ]
    except OSError as error:
        raise TemporaryError(_unreadable(Path(place), error)) from error


def _has_cells(run: Path) -> bool:
    """Whether a directory has a cell where a run has it, or in the place of a library."""
    with suppress(OSError):
        for library in run.iterdir():
            if (
                not library.is_symlink()
                and library.is_dir()
                and (parse_cell(library.name) or any(map(parse_cell, os.listdir(library))))
            ):
                return True
    return False


def _unreadable(path: Path, error: OSError) -> str:
    shown = display(str(path))
    match error:
        case FileNotFoundError():
            return f"the landing area {shown} does not exist"
        case NotADirectoryError():
            return f"the landing area {shown} is not a directory"
        case PermissionError():
            return f"the landing area {shown} cannot be read: permission denied"
        case _:
            return f"the landing area {shown} cannot be read: {error.strerror or error}"
