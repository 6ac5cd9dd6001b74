"""Write the state file, the metrics and the overview page after each look at all runs.

The service writes them when a look at all runs is over, and within a minute after something that
needs a person has begun or ended, or a cell has reached another stage. A poll writes them after its
first look at all runs, and at its end. A write that fails is logged and stops nothing. No decision
about data reads these files.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from hesiod_watch import __version__
from hesiod_watch.config import Config
from hesiod_watch.core.attention import Attention
from hesiod_watch.core.circumstances import UpstreamAnswer
from hesiod_watch.core.logfields import fields
from hesiod_watch.core.model import Snapshot
from hesiod_watch.core.naming import display
from hesiod_watch.core.records import whole_number
from hesiod_watch.core.watch_state import (
    POLL,
    SERVICE,
    RunSummary,
    WatchState,
    shared_counts,
    shared_text,
)
from hesiod_watch.host import process
from hesiod_watch.remote.sequencer.listing import UpstreamListing
from hesiod_watch.rules.attention import attention_of_site
from hesiod_watch.rules.heartbeat import looks_with, next_poll
from hesiod_watch.rules.stages import stage_of, status_of
from hesiod_watch.runs.state_files import (
    read_states,
    state_directory,
    state_text,
    write_state_files,
)
from hesiod_watch.service.ping import Pinger
from hesiod_watch.service.site_page import SitePageMaker, WriteProblem

if TYPE_CHECKING:
    from hesiod_watch.service.engine import Engine

logger = logging.getLogger(__name__)

LONGEST_TURN = 60.0
"""Seconds after which a look at all runs counts as over although new hints keep coming.

Also the shortest time between two writes because of a change.
"""
REPORT = "report.html"
SAID_BY_POLL = frozenset(
    {
        "landing-missing",
        "output-missing",
        "locks-unusable",
        "upstream-silent",
        "upstream-refusing",
    }
)
"""Kinds that a poll finds out itself, and says in its own words."""

LOGGED_HERE = frozenset({"watcher-stopped", "config-changed", "take-up-undecided"})
"""Kinds that the service logs when it writes its state."""


def summary_of(snapshot: Snapshot, output: Path) -> RunSummary:
    """Return what the page and the metrics show of a run."""
    status, why = status_of(snapshot)
    cells: dict[str, int] = {}
    for cell in snapshot.cells:
        stage = str(stage_of(cell))
        cells[stage] = cells.get(stage, 0) + 1
    page = ""
    if snapshot.output is not None and snapshot.report_digest is not None:
        page = os.path.relpath(snapshot.output / REPORT, state_directory(output))
    return RunSummary(
        run=display(snapshot.run),
        status=str(status),
        why=shared_text(display(why)),
        cells=shared_counts(tuple(cells.items())),
        page=page,
        reads=_sum(snapshot, "reads"),
        bases=_sum(snapshot, "bases"),
    )


def _sum(snapshot: Snapshot, key: str) -> int:
    return sum(whole_number(cell.results.get(key)) or 0 for cell in snapshot.cells)


def answers_of(
    config: Config,
    listings: Iterable[UpstreamListing],
    former: tuple[UpstreamAnswer, ...],
    now: datetime,
) -> tuple[UpstreamAnswer, ...]:
    """Return the last answer of each upstream; a failure keeps the time of the first in a row."""
    since = {each.name: each.since for each in former if each.problem}
    remote = [upstream for upstream in config.upstreams if not upstream.place.is_local]
    return tuple(
        UpstreamAnswer(
            upstream.name,
            upstream.location,
            listing.problem,
            listing.refused,
            since.get(upstream.name) or now if listing.problem else None,
        )
        for upstream, listing in zip(remote, listings, strict=False)
    )


class StateWriter:
    """Writer of the state of one service or poll; used by the deciding thread."""

    def __init__(self, config: Config, engine: Engine, kind: str) -> None:
        self._config = config
        self._engine = engine
        self._kind = kind
        self._owner = process.this_owner(kind, "inline")
        self._started = engine.reconciler.clock()
        # Polls that a person starts in a terminal say nothing about cron.
        self._unattended = kind == POLL and not any(map(_is_terminal, (sys.stdin, sys.stderr)))
        self._pinger = Pinger(config.notify.ping_url)
        self._problem = WriteProblem(config.output)
        self._page = SitePageMaker(config.output, config.reports.title)
        self._written = -LONGEST_TURN
        self._looks: tuple[datetime, ...] | None = None
        self._reported: tuple[Attention, ...] = ()  # of the whole site, in the last write
        self._known = 0

    def turn(self, pass_began: float | None) -> bool:
        """Write, in the service, if a look at all runs is over or something has changed.

        `pass_began` is when the look at all runs began; None: no look at all runs is under way.
        Returns whether that look is over.
        """
        now = time.monotonic()
        if pass_began is not None and (
            not self._engine.has_more() or now - pass_began > LONGEST_TURN
        ):
            self.write()
            self._pinger.ping()
            return True
        if pass_began is None and now - self._written > LONGEST_TURN:
            self._written = now
            if self._picture() != self._known:
                self.write()
        return False

    def write_without_runs(self) -> None:
        """Write, now and then, while the landing area cannot be looked at."""
        if time.monotonic() - self._written > LONGEST_TURN:
            self.write(areas_only=True)

    def first_look_over(self) -> None:
        """Write, in a poll, after the first look at all runs: its work may take hours."""
        if self._written < 0:
            self.write(working=True)

    def looked(self) -> None:
        """Write the state of a poll before it reports: other processes must see that it looks."""
        if self._written < 0:
            self.write(page=False)

    def end(self, *, done: bool) -> tuple[Attention, ...]:
        """Write at the end of a poll; returns what the whole site needs of a person.

        The poll itself says what it was refused: by an upstream, by the areas, by the locks.
        """
        self.write()
        if done:
            self._pinger.ping()
        self.close()
        return tuple(
            each for each in self._reported if each.needs_person and each.kind not in SAID_BY_POLL
        )

    def close(self) -> None:
        """Wait, in a poll, for the page and the ping that are under way."""
        self._page.close()
        self._pinger.close()

    def write(self, *, working: bool = False, areas_only: bool = False, page: bool = True) -> None:
        """Write all files; `areas_only`: the runs could not be looked at. Never raises.

        Without `page` only the state is written.
        """
        self._written = time.monotonic()
        if self._config.processing.executor == "dry-run":
            return
        try:
            if self._write(working=working, areas_only=areas_only, page=page):
                self._problem.over()
        except OSError as error:
            self._problem.report(error)
        except Exception as error:  # the files are for people only: work continues
            if self._problem.is_new(repr(error)):
                logger.exception("a bug while writing the state file")

    def _write(self, *, working: bool, areas_only: bool, page: bool) -> bool:
        config, engine = self._config, self._engine
        now = engine.reconciler.clock()
        look = now if self._kind == SERVICE else self._started
        state = WatchState(
            kind=self._kind,
            host=self._owner.host,
            landing=str(config.landing),
            last_look=look,
            working=working,
            owner=asdict(self._owner),
            version=__version__,
            config=str(config.path or ""),
            config_digest=config.digest,
            upstreams=engine.upstream_answers,
            refused=engine.reconciler.refused(),
        )
        # The runs are in memory, unless this process cannot look at them.
        states = read_states(config.output, runs=areas_only)
        former = next((each for each in states if each.file == state.file), None)
        others = tuple(each for each in states if each.file != state.file)
        if self._kind == SERVICE:
            due = look + timedelta(seconds=config.watch.full_sweep_interval)
            state = replace(state, next_due=due)
        else:
            looks = self._looks_of(former)
            state = replace(state, next_due=next_poll(looks), looks=looks)
        self._note(attention_of_site(engine.circumstances(), now))
        if former and state.last_look < former.last_look <= now and self._kind == POLL:
            return True  # a poll that began later knows more
        found = engine.reconciler.attention()
        self._known = self._picture()
        runs = tuple(engine.summaries[run] for run in sorted(engine.summaries))
        if areas_only and former:
            runs = former.runs
        state = replace(state, attention=(*self._reported, *found), runs=runs)
        written = write_state_files(config.output, {state.file: state_text(state)})
        if written and page:
            self._page.make(state, others, now.astimezone(UTC))
        return written

    def _looks_of(self, former: WatchState | None) -> tuple[datetime, ...]:
        """Starts of polls, with this one; the same for each write of this poll."""
        if self._looks is None:
            looks = former.looks if former else ()
            self._looks = looks_with(looks, self._started) if self._unattended else looks
        return self._looks

    def _note(self, found: tuple[Attention, ...]) -> None:
        """Remember what concerns the whole site; the service logs what no other log line says."""
        known = {(each.kind, each.facts.get("who")) for each in self._reported}
        for each in found:
            logged = each.kind in LOGGED_HERE
            new = (each.kind, each.facts.get("who")) not in known
            if self._kind == SERVICE and logged and new:
                logger.warning(each.kind, extra=fields(why=each.sentence))
        self._reported = found

    def _picture(self) -> int:
        """Hash of what is written soon after it changes: what needs a person, and cells' stages."""
        found = {(each.kind, each.run, each.cell) for each in self._engine.reconciler.attention()}
        runs = self._engine.summaries.values()
        shown = ((each.run, each.status, each.page, *each.cells.items()) for each in runs)
        return hash((frozenset(found), sum(map(hash, shown))))


def _is_terminal(stream: object) -> bool:
    isatty = getattr(stream, "isatty", None)
    return bool(isatty and isatty())
