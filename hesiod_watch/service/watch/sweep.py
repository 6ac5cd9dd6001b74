"""Sweep: find changes by reading modification times of directories again and again.

Creating, renaming or removing an entry changes the mtime of its directory and of no other. So a
`stat` of the landing area, the runs, their libraries, cells and `pipeline/` shows every new run,
library, cell, summary and flag. Data directories are not read. Some thousand calls take a few
milliseconds on a local disk. A settled run has no node here: the caller compares its signature.

An mtime may stay the same although an entry was added, if its clock ticks slowly (once a second on
Lustre). So a directory that changed is *hot*: it is listed at every sweep until its mtime has
stayed the same for two sweeps and two seconds of our own clock. The file system's clock is never
compared with ours. On file systems whose mtimes show nothing (stacked ones), every directory is
listed at every sweep.

Unreachable is not empty: an unreadable directory keeps its last known state.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from sys import intern

from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.naming import is_final_summary
from hesiod_watch.host.mtime import Modified, modified
from hesiod_watch.runs.landing import LandingArea, LandingLevel

STILL_SWEEPS = 2
STILL_SECONDS = 2.0


@frozen
class SweepFindings:
    """Result of one sweep.

    `runs` are worth a look. `added` are the directories and summaries that the sweep before did not
    see. New flags are in `runs` only: no event covers flags, so they prove nothing about events.
    """

    runs: tuple[Path, ...]
    added: tuple[Path, ...]


Stamp = tuple[int, int] | None
"""Size and mtime of a summary.

A summary may be created first and written later, which changes no directory's mtime.
"""


@dataclass(slots=True, eq=False)
class _Directory:
    path: Path
    level: LandingLevel
    run: Path | None  # the run that it belongs to; None above runs
    mtime: int | None = None  # None: unknown, so list it
    hot: bool = False
    still: int = 0  # sweeps since the mtime last moved
    moved_at: float = 0.0  # time when that move was seen
    readable: bool = True
    entries: dict[str, Stamp] = field(default_factory=dict)
    children: dict[str, _Directory] = field(default_factory=dict)


class Sweeper:
    """Remembers the state of every directory and reports the differences. For one thread.

    `settled` returns whether a run has no open work: then nothing below it is read. `moved(full)`
    returns the settled runs that have changed. With `trust_mtimes` False every directory is listed
    every time.
    """

    def __init__(
        self,
        landing: LandingArea,
        settled: Callable[[Path], bool],
        moved: Callable[[bool], Iterable[Path]] = lambda full: (),
        *,
        modified_at: Modified = modified,
        trust_mtimes: bool = True,
    ) -> None:
        self._landing = landing
        self._settled = settled
        self._moved = moved
        self._modified_at = modified_at
        self._trust_mtimes = trust_mtimes
        self._root = _Directory(landing.path, LandingLevel.LANDING, None)

    @property
    def runs(self) -> int:
        """Number of runs at the last sweep."""
        if self._landing.batch == "none":
            return len(self._root.entries)
        return sum(len(batch.entries) for batch in self._root.children.values())

    @property
    def readable(self) -> bool:
        """Whether the last attempt to list the landing area itself succeeded."""
        return self._root.readable

    def sweep(self, now: float, *, full: bool = False) -> SweepFindings:
        """Read every directory that is due; with `full`, list every directory whatever its mtime.

        `now` is in seconds of any clock that does not jump. The first sweep finds everything.
        """
        look = _Look(now, full)
        self._visit(self._root, look)
        look.runs.update(dict.fromkeys(self._moved(full)))
        return SweepFindings(tuple(look.runs), tuple(look.added))

    def begin(self, now: float) -> None:
        """Read everything for the first time; nothing is news, so no list of all runs is made.

        Settled runs are compared, too: the look at all runs that follows asks which have changed.
        """
        self._visit(self._root, _Look(now, full=True, first=True))
        self._moved(True)

    def follow(self, run: Path, now: float) -> None:
        """Read a run from now on.

        Its present content is not reported: the caller looks at the run afterwards.
        """
        place = self._place_of(run)
        if place is None or run.name not in place.entries or run.name in place.children:
            return  # a run that no sweep has met yet is read by the next one
        self._follow(place, run.name)
        if run.name in place.children:
            self._visit(place.children[run.name], _Look(now, full=False))

    def release(self, run: Path) -> None:
        """Forget what is below a settled run."""
        if place := self._place_of(run):
            place.children.pop(run.name, None)

    def _place_of(self, run: Path) -> _Directory | None:
        """Directory that contains a run: the landing area, or a batch."""
        if run.parent == self._root.path:
            return self._root
        return self._root.children.get(run.parent.name)

    def _visit(self, directory: _Directory, look: _Look) -> None:
        if self._stat(directory, look):
            self._list(directory, look)
        elif directory.level.has_summaries:
            self._look_at_summaries(directory, look)
        for child in tuple(directory.children.values()):
            self._visit(child, look)

    def _stat(self, directory: _Directory, look: _Look) -> bool:
        """Whether the directory has to be listed."""
        try:
            mtime = self._modified_at(self._root_resolved(directory))
        except OSError:
            # If it was removed, its parent's listing shows that. Otherwise it keeps its state.
            return False
        if mtime != directory.mtime:
            if (
                directory.mtime is not None
                and directory.level is LandingLevel.PIPELINE
                and directory.run is not None
            ):
                # A flag may have been replaced by another of the same name.
                look.runs[directory.run] = None
            directory.mtime, directory.moved_at, directory.still = mtime, look.now, 0
            directory.hot = True
            return True
        if directory.hot:
            directory.still += 1
            directory.hot = (
                directory.still < STILL_SWEEPS or look.now - directory.moved_at < STILL_SECONDS
            )
            return True
        return look.full or not self._trust_mtimes or not directory.readable

    def _root_resolved(self, directory: _Directory) -> Path:
        """Path of a directory, resolved if it is the landing area.

        The landing area may be given as a symbolic link, and `modified` follows none.
        """
        return Path(os.path.realpath(directory.path)) if directory is self._root else directory.path

    def _list(self, directory: _Directory, look: _Look) -> None:
        try:
            found = dict(self._entries(directory))
        except OSError:
            self._can_be_read(directory, False, look)
            return
        self._can_be_read(directory, True, look)
        before, directory.entries = directory.entries, found
        if look.first:
            for name in found:
                self._follow(directory, name)
            return
        for name in before.keys() - found.keys():
            directory.children.pop(name, None)
            self._changed(directory, name, look)
        for name, stamp in found.items():
            if name not in before:
                self._follow(directory, name)
                if directory.level is not LandingLevel.PIPELINE:
                    look.added.append(directory.path / name)
                self._changed(directory, name, look)
            elif stamp != before[name]:
                self._changed(directory, name, look)

    def _can_be_read(self, directory: _Directory, readable: bool, look: _Look) -> None:
        if readable is not directory.readable and directory.run is not None:
            look.runs[directory.run] = None
        directory.readable = readable

    def _entries(self, directory: _Directory) -> Iterator[tuple[str, Stamp]]:
        """Entries that count: flags in `pipeline/`, else directories, and summaries of cells."""
        with os.scandir(directory.path) as entries:
            for entry in entries:
                if directory.level is LandingLevel.PIPELINE:
                    if not entry.name.startswith("."):
                        yield entry.name, None
                elif entry.is_dir(follow_symlinks=False):
                    if self._landing.below(directory.level, entry.name) is not None:
                        yield intern(entry.name), None
                elif directory.level.has_summaries and is_final_summary(entry.name):
                    yield entry.name, _stamp(directory.path / entry.name)

    def _follow(self, parent: _Directory, name: str) -> None:
        level = self._landing.below(parent.level, name)
        if level is None or level is LandingLevel.OTHER:
            return
        path, is_run = parent.path / name, level is LandingLevel.RUN
        if not (is_run and self._settled(path)):
            parent.children[name] = _Directory(path, level, path if is_run else parent.run)

    def _look_at_summaries(self, cell: _Directory, look: _Look) -> None:
        for name, before in cell.entries.items():
            if is_final_summary(name) and (stamp := _stamp(cell.path / name)) != before:
                cell.entries[name] = stamp
                self._changed(cell, name, look)

    def _changed(self, directory: _Directory, name: str, look: _Look) -> None:
        run = directory.run or self._landing.run_of(directory.path / name)
        if run is not None:
            look.runs[run] = None


@dataclass(slots=True)
class _Look:
    """One sweep under way. `runs` is a set that keeps its order."""

    now: float
    full: bool
    first: bool = False
    runs: dict[Path, None] = field(default_factory=dict)
    added: list[Path] = field(default_factory=list)


def _stamp(path: Path) -> Stamp:
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns
