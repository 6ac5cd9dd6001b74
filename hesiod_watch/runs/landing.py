"""The landing area: where runs appear, and which of its directories mean something.

    {landing}/[batch/]{run}/{library}/{cell}/...
    {landing}/[batch/]{run}/pipeline/

`Landing.below` is the one place that says what a directory at some level is to us; events and
sweeps both follow it, so neither sees what the other is blind to. Data directories are never
followed.

Refused here: symbolic links, hidden names and `lost+found`, at any level. Whether a *name* may be
worked on is decided by `naming`; a quarantined run still gets its hints, so that people hear of it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Literal

from hesiod_watch.core.errors import TemporaryError
from hesiod_watch.core.naming import display, parse_cell
from hesiod_watch.core.text import number_of

Batch = Literal["none", "year", "month"]

PIPELINE = "pipeline"
SUMMARY_PREFIX = "final_summary"

_BATCHES: dict[Batch, re.Pattern[str] | None] = {
    "none": None,
    "year": re.compile(r"[0-9]{4}"),  # 2026
    "month": re.compile(r"[0-9]{4}-(?:0[1-9]|1[0-2])"),  # 2026-11
}
# Where data pooling or a careless copy puts data a level too high: there may be a million files in
# them.
_DATA = re.compile(r"(?:fastq|fast5|pod5|bam)(?:_(?:pass|fail|skip|recovered))?")


class LandingLevel(Enum):
    """What a directory below the landing area is to us."""

    LANDING = "landing area"
    BATCH = "batch"
    RUN = "run"
    LIBRARY = "library"
    CELL = "cell"
    PIPELINE = "pipeline"  # ours: flags
    OTHER = "other"  # its coming and going is of interest, what is in it is not

    @property
    def watched(self) -> bool:
        """Whether events are wanted from inside such a directory."""
        return self not in (LandingLevel.PIPELINE, LandingLevel.OTHER)


@dataclass(frozen=True)
class LandingArea:
    """The landing area at `path`, with runs directly in it or in directories named after years or
    months.
    """

    path: Path
    batch: Batch = "none"

    def runs(self) -> list[Path]:
        """Directories of all runs, sorted. Raises `TemporaryError` where the landing area cannot be
        read.

        A batch directory that cannot be read fails the whole: a short list would look like runs
        that went away.
        """
        level = LandingLevel.LANDING
        places = [self.path]
        if self.batch != "none":
            places = [
                place
                for place, below in self._followed(self.path, level)
                if below is LandingLevel.BATCH
            ]
            level = LandingLevel.BATCH
        return sorted(
            run
            for place in places
            for run, below in self._followed(place, level)
            if below is LandingLevel.RUN
        )

    def run_of(self, path: Path) -> Path | None:
        """The run that `path` is or lies in; None for the landing area, a batch directory and
        anything outside.

        Decided by the names alone: the path need not exist any more.
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
        """What a directory `name` in a directory at `level` is; None: nothing to us."""
        if name.startswith("."):
            return None
        if level is LandingLevel.LANDING and (pattern := _BATCHES[self.batch]) is not None:
            return LandingLevel.BATCH if pattern.fullmatch(name) else None
        if level in (LandingLevel.LANDING, LandingLevel.BATCH):
            return LandingLevel.RUN if name != "lost+found" else None
        if level is LandingLevel.RUN:
            if name == PIPELINE:
                return LandingLevel.PIPELINE
            return LandingLevel.OTHER if _DATA.fullmatch(name) else LandingLevel.LIBRARY
        if level is LandingLevel.LIBRARY:
            return LandingLevel.CELL if parse_cell(name) is not None else LandingLevel.OTHER
        return LandingLevel.OTHER if level is LandingLevel.CELL else None

    def identity(self) -> tuple[int, int]:
        """Device and inode of the directory: they change when something else takes its place.

        Raises `TemporaryError` where there is nothing to ask.
        """
        try:
            found = self.path.stat()
        except OSError as error:
            raise TemporaryError(_unreadable(self.path, error)) from error
        return found.st_dev, found.st_ino

    def problem(self, known_runs: int) -> str:
        """Why this cannot be the landing area, as a sentence; "" where nothing speaks against it.

        `known_runs` is how many runs are known from elsewhere. An empty directory is then not taken
        for a landing area without runs, but for the place where a file system is not mounted.
        """
        try:
            with os.scandir(self.path) as entries:
                # A lost+found counts: it is the mark of a mounted file system's own top directory.
                empty = not any(not entry.name.startswith(".") for entry in entries)
        except OSError as error:
            return _unreadable(self.path, error)
        if empty and known_runs > 0:
            known = f"{number_of(known_runs, 'run')} {'is' if known_runs == 1 else 'are'} known"
            return f"the landing area {display(str(self.path))} is empty although {known}: is its file system mounted?"
        return ""

    def _followed(self, place: Path, level: LandingLevel) -> Iterator[tuple[Path, LandingLevel]]:
        try:
            with os.scandir(place) as entries:
                names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        except OSError as error:
            raise TemporaryError(_unreadable(place, error)) from error
        for name in names:
            below = self.below(level, name)
            if below is not None:
                yield place / name, below


def is_summary(name: str) -> bool:
    """Whether a file of this name announces the end of an acquisition."""
    return name.startswith(SUMMARY_PREFIX)


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
