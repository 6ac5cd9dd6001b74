"""First look at a place: which runs it had before hesiod-watch looked, and which are historic.

The record is `{output}/.hesiod-watch/first-look.json`. It has names and no times: `chown` and
copies change every time. A service or a poll makes it when a place is looked at with a new setting
of `take_up.since`. Without the record, the next look is a first one.

Never historic are runs that are taken up, and runs with a cell that still gets data.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from hesiod_watch.config import Config, UpstreamSettings
from hesiod_watch.core import pooled
from hesiod_watch.core.logfields import fields
from hesiod_watch.core.model import CellId, ListedRun
from hesiod_watch.core.records import loads
from hesiod_watch.core.take_up import NOW, FirstLook, TakeUpRule
from hesiod_watch.core.text import number_of
from hesiod_watch.host.files import OpenDirectory, directory, read_head, regular, replace_whole
from hesiod_watch.rules import historic
from hesiod_watch.runs import minknow
from hesiod_watch.runs.landing import PIPELINE, LandingArea
from hesiod_watch.runs.run_directories import find_cells
from hesiod_watch.runs.state_files import MARKER, state_directory

logger = logging.getLogger(__name__)

RECORD = "first-look.json"
LANDING = "landing"
"""Key of the landing area in the record; that of an upstream is `upstream NAME`."""
LONGEST_RUN = 5 * 86400.0
"""Seconds after which a cell has ended, by the day in its name, whatever else is known."""
_LARGEST = 256 << 20  # bytes of the record that are read

AskEnded = Callable[[], frozenset[tuple[str, CellId]]]
"""Asks an upstream for its cells with a final_summary, each with the location of its run.

Raises HesiodError.
"""


class FirstLooks:
    """First looks at the landing area and at the upstreams; used by several threads."""

    def __init__(self, config: Config, *, keep: bool = False) -> None:
        """Read the record; `keep`: write what this process finds out."""
        self._config = config
        self._landing = LandingArea(config.landing, config.batch)
        self._keep = keep
        self._lock = threading.Lock()
        self._looks = dict(_read(config.output))
        self._known: dict[str, frozenset[str]] = {}  # place → names of the cells that it had
        self._unsaved = False
        self._judged = False  # whether the landing area was looked at with the present setting

    def why_historic(self, run: OpenDirectory, cells: Collection[CellId]) -> str:
        """Return why a run of the landing area, without `pipeline/`, is not taken up; else ""."""
        if not self._config.local:
            return ""
        rule, names = self._config.landing_take_up, [cell.name for cell in cells]
        first = self.of_landing()
        if why := historic.why_left_out(rule, [run.path.name]):
            return why
        if historic.is_before(rule, run.path.name, names):
            live = any(self._is_live(run, cell) for cell in cells)
            return "" if live else f"it began before {rule.since} (`take_up.since`)"
        if rule.since in ("", NOW) and self._was_there(LANDING, first, self._name(run.path), names):
            return historic.why_before(first)
        return ""

    def of_landing(self) -> FirstLook:
        """Return the first look at the landing area, which may be this one."""
        rule = self._config.landing_take_up
        with self._lock:
            if not self._judged and self._is_new(LANDING, rule):
                finished = self._finished_runs() if rule.since in ("", NOW) else {}
                self._note(LANDING, rule, finished)
            self._judged = True
            return self._looks.get(LANDING, FirstLook(rule.since))

    def undecided(self) -> int:
        """Return the number of runs for which a person must decide whether they are taken up."""
        number = 0
        if self._config.local and not self._config.landing_take_up.since:
            runs = (self._landing.path / run for run in self.of_landing().runs)
            number = sum(self._is_unknown(run) for run in runs)
        for upstream in self._config.upstreams:
            rule, look = self._rule(upstream), self._looks.get(_key(upstream))
            if look and not upstream.place.is_local and not rule.since and not look.since:
                number += len(look.runs)
        return number

    def historic_upstream(
        self,
        upstream: UpstreamSettings,
        listed: Iterable[ListedRun],
        pinned: Collection[str],
        names: Mapping[str, str],
        ask_ended: AskEnded,
    ) -> dict[str, str]:
        """Return the runs in a listing that are not taken up, by location, and why.

        `pinned` are the locations of runs that are taken up; `names` has the names of runs here, by
        location. Raises HesiodError if the upstream does not answer.
        """
        rule, place = self._rule(upstream), _key(upstream)
        unknown = [run for run in listed if run.location not in pinned]
        ended = _Ended(ask_ended)
        with self._lock:
            former = self._looks.get(place)
            if former and not former.runs.keys().isdisjoint(pinned):
                left = {run: each for run, each in former.runs.items() if run not in pinned}
                self._looks[place] = replace(former, runs=left)
                self._write()
            if self._is_new(place, rule):
                candidates = [run for run in unknown if not _left_out(rule, run, names)]
                finished = {}
                if rule.since == NOW or len(candidates) > historic.MOST_UNDECIDED:
                    finished = {
                        run.location: tuple(sorted(cell.name for cell in run.cells))
                        for run in candidates
                        if all(ended.has(run, cell) for cell in run.cells)
                    }
                self._note(place, rule, finished if rule.since in ("", NOW) else {})
            first = self._looks.get(place, FirstLook(rule.since))
        found = {}
        for run in unknown:
            cells, name = [cell.name for cell in run.cells], names.get(run.location, "")
            if why := _left_out(rule, run, names):
                found[run.location] = why
            elif historic.is_before(rule, name, cells):
                if all(ended.has(run, cell) for cell in run.cells):
                    found[run.location] = f"it began before {rule.since} (`take_up.since`)"
            elif rule.since in ("", NOW) and self._was_there(place, first, run.location, cells):
                found[run.location] = historic.why_before(first)
        return found

    def _rule(self, upstream: UpstreamSettings) -> TakeUpRule:
        return upstream.take_up.over(self._config.take_up)

    def _is_new(self, place: str, rule: TakeUpRule) -> bool:
        """Whether a look at a place is the first one with this setting."""
        former = self._looks.get(place)
        return former.since != rule.since if former else rule.since in ("", NOW)

    def _note(self, place: str, rule: TakeUpRule, finished: Mapping[str, tuple[str, ...]]) -> None:
        """Record a first look; without a decision, few finished runs are not historic."""
        former = self._looks.get(place, FirstLook(rule.since))
        new = {
            run: cells
            for run, cells in finished.items()
            if not historic.was_there(former, run, cells)
        }
        if not rule.since and sum(map(bool, new.values())) <= historic.MOST_UNDECIDED:
            new = {}
        self._looks[place] = FirstLook(rule.since, {**former.runs, **new})
        self._known.pop(place, None)
        if new:
            runs = number_of(len(new), "run")
            logger.info("first look", extra=fields(place=place, why=f"{runs} left alone"))
        self._write()

    def _finished_runs(self) -> dict[str, tuple[str, ...]]:
        """Runs of the landing area that are not taken up and get no more data, with their cells."""
        rule, found = self._config.landing_take_up, {}
        for run in self._landing.runs():
            if self._is_unknown(run) and not historic.why_left_out(rule, [run.name]):
                opened, cells = OpenDirectory(run, self._landing.path), list[CellId]()
                with suppress(OSError):
                    cells = find_cells(opened).cells
                if not any(self._is_live(opened, cell) for cell in cells):
                    found[self._name(run)] = tuple(sorted(cell.name for cell in cells))
        return found

    def _is_live(self, run: OpenDirectory, cell: CellId) -> bool:
        """Whether a cell has no final_summary, and lately a new file."""
        directory = run.open_cell(cell)
        if minknow.newest_summary_time(directory) is not None:
            return False
        changed, _ = minknow.last_change(directory)
        return changed is None or changed > time.time() - self._config.processing.quiet

    def _was_there(self, place: str, first: FirstLook, run: str, cells: Collection[str]) -> bool:
        if not cells:
            return run in first.runs
        known = self._known.get(place)
        if known is None:
            known = self._known[place] = frozenset().union(*first.runs.values())
        return known.issuperset(cells)

    def _is_unknown(self, run: Path) -> bool:
        """Whether a run is here and is not taken up."""
        return os.path.lexists(run) and not os.path.lexists(run / PIPELINE)

    def _name(self, run: Path) -> str:
        return str(run.relative_to(self._landing.path))

    def save(self) -> None:
        """Write what is not written yet; without the marker of the output area a later call does.

        Before any run is here, the area has no marker.
        """
        with self._lock:
            if self._unsaved:
                self._write()

    def _write(self) -> None:
        self._unsaved = self._keep
        if not self._keep:
            return
        text = json.dumps({place: look.record() for place, look in self._looks.items()})
        try:
            with directory(state_directory(self._config.output)) as place, regular(MARKER, place):
                replace_whole(place, RECORD, text.encode())
            self._unsaved = False
        except FileNotFoundError:
            logger.debug("first look not recorded yet", extra=fields(why="no marker"))
        except OSError as error:
            logger.warning("first look not recorded", extra=fields(why=error.strerror))


class _Ended:
    """Cells of an upstream that have ended, asked for at most once, and only if it matters."""

    def __init__(self, ask: AskEnded) -> None:
        self._ask = ask
        self._answer: frozenset[tuple[str, CellId]] | None = None

    def has(self, run: ListedRun, cell: CellId) -> bool:
        day = time.strftime("%Y%m%d", time.gmtime(time.time() - LONGEST_RUN))
        started = historic.day_of(cell.name)
        # A pooled acquisition is listed because of its final_summary.
        if pooled.parse(cell.name) or (started and started < day):
            return True
        if self._answer is None:
            self._answer = self._ask()
        return (run.location, cell) in self._answer


def _left_out(rule: TakeUpRule, run: ListedRun, names: Mapping[str, str]) -> str:
    return historic.why_left_out(
        rule, [run.location.rpartition("/")[2], names.get(run.location, "")]
    )


def _key(upstream: UpstreamSettings) -> str:
    return f"upstream {upstream.name}"


def _read(output: Path) -> Mapping[str, FirstLook]:
    """First looks of an earlier process, by place; a useless record counts as missing."""
    with suppress(OSError, ValueError, AttributeError):
        record = loads(read_head(state_directory(output) / RECORD, _LARGEST))
        return {str(place): FirstLook.from_record(each) for place, each in record.items()}
    return {}
