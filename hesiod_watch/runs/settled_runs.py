"""Settled runs: runs without open work, each as a few bytes instead of watches and nodes.

A settled run is looked at again when its *signature* moves. The signature is of the inode, the
modification time and the change time of the run, of `pipeline/` and of every library. So it shows
each new library, cell and flag, and each that was removed, renamed or replaced.

It does not show data that come into a directory of a cell, a flag that is edited in place, or a
change in the output area. So some settled runs are looked at in each pass in any case (`due`):
those that changed last, where data are late most often, and a share of the others, the run with the
oldest look first. A look counts for two days at most.

The signatures of the runs that changed last are compared at every sweep, all others at every full
one: a person who removes a flag to have a cell processed again does so soon after its end.

The record in the output area saves a poll, or a service that starts, the looks at settled runs.
Nothing else is decided from it. It counts only for the same configuration and program version; a
record that is missing, damaged or old costs looks.

A change within the same tick of the clock as the last one would not move the signature. So a run
is settled only if nothing in its signature is younger than `STILL_SECONDS` at its look.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from heapq import nlargest, nsmallest
from io import BytesIO
from operator import itemgetter
from pathlib import Path
from sys import intern

from hesiod_watch import __version__
from hesiod_watch.config import Config
from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.logfields import fields
from hesiod_watch.core.model import ListedRun
from hesiod_watch.core.records import loads
from hesiod_watch.core.watch_state import RunSummary
from hesiod_watch.host.files import directory, read_head, replace_whole
from hesiod_watch.host.mounts import mount_of
from hesiod_watch.host.mtime import modified, modified_for
from hesiod_watch.runs.landing import PIPELINE, LandingArea, LandingLevel
from hesiod_watch.runs.state_files import MARKER_DIRECTORY

logger = logging.getLogger(__name__)

RECORD = "settled-runs.json"
STILL_SECONDS = 3.0
"""Seconds for which a run must be unchanged; the clocks of some file systems tick every 2 s."""
LONGEST = 2 * 86400.0
"""Seconds for which a look at a settled run counts."""
RECENT = 64
"""Number of settled runs, those that changed last, whose signatures every sweep compares."""
SHARE = 256
"""Part of the settled runs that is looked at in each pass: one of so many."""
_LARGEST = 256 << 20  # bytes of the record that are read
_END = b"}}"
"""End of the record, a JSON object. Each run is a line, so that only one is parsed at a time."""


@frozen
class Signature:
    """State of a run's upper directories; `libraries` are their names, with `/` between them."""

    value: int
    libraries: str
    newest: float  # seconds since the epoch: the youngest of the times


@dataclass(slots=True)
class _SettledRun:
    value: int  # of its signature
    libraries: str
    looked: float  # seconds since the epoch
    due: float  # time of the next planned look; 0.0 if only a change matters
    listed: str  # digest of its listing on an upstream; "" without one
    summary: RunSummary
    quiet: bool  # no look is needed; False: it is finished, and needs a person or more looks
    newest: float = 0.0  # of its signature
    moved: bool = False


class SettledRuns:
    """Runs whose last look found no unfinished cell, by the path of the run. For one thread."""

    def __init__(self, config: Config, landing: LandingArea) -> None:
        self._landing = landing
        self._place = config.output / MARKER_DIRECTORY
        self._origin = _origin(config)
        mount = mount_of(landing.path)
        ask = modified_for(mount)
        # A network file system may answer from a cache; asking its server refreshes that.
        self._refresh = None if ask is modified else ask
        self._trusted = mount.kind != "stacked"  # there, times show nothing
        self._runs: dict[str, _SettledRun] = {}
        self._changed = False
        self._recent = 0.0  # runs that changed since then are compared at each sweep

    def __len__(self) -> int:
        return len(self._runs)

    def __contains__(self, run_dir: Path) -> bool:
        return str(run_dir) in self._runs

    def signature(self, run_dir: Path) -> Signature | None:
        """Read the signature of a run, before it is observed; None if it cannot be read."""
        run = str(run_dir)
        try:
            with os.scandir(run) as entries:
                names = sorted(
                    entry.name
                    for entry in entries
                    if entry.is_dir(follow_symlinks=False)
                    and self._landing.below(LandingLevel.RUN, entry.name) is LandingLevel.LIBRARY
                )
            libraries = "/".join(names)
            status = self._status(run, libraries)
        except OSError:
            return None
        return Signature(_value(status), intern(libraries), _newest(status))

    def note(
        self,
        run_dir: Path,
        signature: Signature | None,
        now: float,
        *,
        quiet: bool,
        due: float = 0.0,
        listed: ListedRun | None = None,
        summary: RunSummary,
    ) -> None:
        """Record the result of a look at a run without unfinished cells.

        `signature` was read before the look, at `now`.
        """
        if signature is None:
            self.forget(run_dir)
            return
        still = self._trusted and signature.newest + STILL_SECONDS < now
        self._runs[str(run_dir)] = _SettledRun(
            signature.value,
            signature.libraries,
            now,
            due,
            _digest(listed),
            summary,
            quiet and still,
            signature.newest,
        )
        self._changed = True

    def forget(self, run_dir: Path) -> None:
        """Forget a run that has an unfinished cell, or does not exist any more."""
        if self._runs.pop(str(run_dir), None):
            self._changed = True

    def moved(self, *, full: bool) -> list[Path]:
        """Runs whose signature has moved since their last look.

        Only with `full` are all quiet ones compared, which costs one stat of each directory;
        otherwise only those that changed last.
        """
        if full:
            times = (settled.newest for settled in self._runs.values())
            self._recent = min(nlargest(RECENT, times), default=0.0)
        found = []
        for run, settled in self._runs.items():
            recent = settled.newest >= self._recent
            if full or recent or not settled.quiet or settled.moved:
                try:
                    status = self._status(run, settled.libraries)
                    settled.moved = _value(status) != settled.value
                    settled.newest = _newest(status)
                except OSError:
                    settled.moved = True
                if settled.moved:
                    found.append(Path(run))
        return found

    def is_quiet(self, run_dir: Path, now: float, listed: ListedRun | None = None) -> bool:
        """Whether a run needs no look, according to the last `moved`."""
        settled = self._runs.get(str(run_dir))
        if settled is None or not _counts(settled, now):
            return False
        return listed is None or settled.listed == _digest(listed)

    def due(
        self, runs: Iterable[str], now: float, *, least: int, rest: float = 0.0
    ) -> Iterator[str]:
        """Those of these runs that need a look, the last changed ones, and a share of the others.

        `least` is the number of the last changed ones, and of the share at least. Runs that were
        looked at within the last `rest` seconds are left out.
        """
        quiet = []
        for run in runs:
            settled = self._runs.get(run)
            if settled is None or not _counts(settled, now):
                yield run
            elif settled.looked <= now - rest:
                quiet.append((settled.looked, settled.newest, run))
        share = max(least, len(self._runs) // SHARE)
        in_turn = [run for _, _, run in nsmallest(share, quiet)]
        latest = [run for _, _, run in nlargest(least, quiet, key=itemgetter(1))]
        yield from dict.fromkeys([*latest, *in_turn])

    def summaries(self) -> dict[str, RunSummary]:
        """Return the summaries, for the pages, of the runs that need no look, by path."""
        return {
            run: each.summary for run, each in self._runs.items() if each.quiet and not each.moved
        }

    def load(self) -> None:
        """Read the record of an earlier process; a useless one counts as missing."""
        with suppress(OSError, ValueError, TypeError, KeyError):
            lines = iter(BytesIO(read_head(self._place / RECORD, _LARGEST)))
            if loads(next(lines, b"") + _END)["origin"] != self._origin:
                return
            for line in lines:
                if line == _END:
                    break
                ((name, values),) = loads(b"{%b}" % line.rstrip(b",\n")).items()
                value, libraries, looked, due, listed, summary = values
                self._runs[f"{self._landing.path}/{name}"] = _SettledRun(
                    *(int(value), intern(str(libraries)), float(looked)),
                    *(float(due) or 0.0, str(listed)),
                    RunSummary.from_record(summary),
                    quiet=True,
                )

    def save(self) -> None:
        """Write the record for the next process, if it has changed; it may fail."""
        if not self._changed:
            return
        start = len(str(self._landing.path)) + 1
        runs = ",\n".join(
            _line(
                run[start:],
                *(each.value, each.libraries, each.looked, each.due, each.listed),
                each.summary.record(),
            )
            for run, each in self._runs.items()
            if each.quiet and not each.moved
        )
        head = json.dumps({"origin": self._origin, "runs": {}}).removesuffix("}}")
        content = b"%b\n%b\n%b" % (head.encode(), runs.encode(), _END)
        try:
            with directory(self._place) as place:
                replace_whole(place, RECORD, content, durable=False)
            self._changed = False
        except OSError as error:  # it is only for speed
            logger.debug("settled runs not recorded", extra=fields(why=error.strerror))

    def _status(self, run: str, libraries: str) -> list[os.stat_result]:
        places = [run]
        if libraries:
            places += [f"{run}/{name}" for name in libraries.split("/")]
        status = [self._status_of(place) for place in places]
        with suppress(OSError):  # a historic run has none
            status.append(self._status_of(f"{run}/{PIPELINE}"))
        return status

    def _status_of(self, place: str) -> os.stat_result:
        if self._refresh:
            self._refresh(Path(place))
        return os.lstat(place)


def _line(name: str, *values: object) -> str:
    """Line of a run in the record."""
    return f"{json.dumps(name)}:{json.dumps(values, separators=(',', ':'))}"


def _counts(settled: _SettledRun, now: float) -> bool:
    """Whether a look counts: a time in the future, by a clock that was set back, does not."""
    return (
        settled.quiet
        and not settled.moved
        and now - LONGEST < settled.looked <= now
        and not (settled.due and settled.due <= now)
    )


def _value(status: Iterable[os.stat_result]) -> int:
    """Hash of the times and inodes: hashes of numbers are the same in every process."""
    return hash(tuple((each.st_ino, each.st_mtime_ns, each.st_ctime_ns) for each in status))


def _newest(status: Iterable[os.stat_result]) -> float:
    return max(max(each.st_mtime, each.st_ctime) for each in status)


def _digest(listed: ListedRun | None) -> str:
    if listed is None:
        return ""
    names = "\n".join([listed.location, *sorted(map(str, listed.cells))])
    return hashlib.sha256(names.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _origin(config: Config) -> str:
    """Digest of what decides, besides the disk: the configuration and the program."""
    text = f"{__version__}\n{config!r}"
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
