"""Watching the landing area: events for speed, sweeps for truth, and the judgement which of them to
trust.

    events    events work here; sweeps look for what they may have lost
    partial   some directories could not be watched; sweeps come at half the interval
    polled    events cannot be believed here; sweeps come at half the interval
    gone      the landing area is not there; looked for until it is back

Whether events can be believed is judged by the type of file system, by a file of our own that has
to come back as an event, and by evidence: when a sweep finds what no event had announced by the
next sweep, the landing area is `polled` until 24 hours have passed without such a find. Events are
used all the same, whenever they come.

The order at the start, after the landing area came back and after the reading thread died: arm the
watches, sweep, announce everything. `check` does all of this and is called by the owner's loop; it
may take as long as the file system takes to answer. `start`, `check`, `next_check` and `stop`
belong to one thread.
"""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from hesiod_watch.core.errors import TemporaryError
from hesiod_watch.core.logfields import fields
from hesiod_watch.core.naming import display
from hesiod_watch.core.text import number_of
from hesiod_watch.host.mounts import Mount, mount_of
from hesiod_watch.host.mtime import modified_for
from hesiod_watch.runs.landing import LandingArea
from hesiod_watch.service.watch.counters import WatchCounters
from hesiod_watch.service.watch.sweep import Sweeper, SweepFindings

if TYPE_CHECKING:
    from hesiod_watch.service.watch.inotify import InotifyEvents

logger = logging.getLogger(__name__)

Engine = Literal["auto", "inotify", "poll"]
State = Literal["events", "partial", "polled", "gone"]

DISTRUST_SECONDS = 24 * 3600.0
SELF_TEST_SECONDS = 2.0
SHORTEST_INTERVAL = (
    1.0  # seconds; sweeps are not hurried beyond this, unless the configuration says so
)
RETRY_REFUSED_SECONDS = 60.0


class Watcher:
    """Hints about one landing area. `hint(run)` says "look at this run", `hint(None)` "look at
    everything".

    `hint` is called from the thread that calls `check` and from the one that reads events; it must
    be cheap and must not block. `settled` says of a run that nothing in it is open any more.
    Intervals are in seconds.
    """

    def __init__(
        self,
        landing: LandingArea,
        hint: Callable[[Path | None], None],
        *,
        engine: Engine,
        sweep_interval: float,
        full_sweep_interval: float,
        settled: Callable[[Path], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._landing = landing
        self._hint = hint
        self._engine = engine
        self._sweep_interval = sweep_interval
        self._full_sweep_interval = full_sweep_interval
        self._settled = settled
        self._clock = clock
        self._counters = WatchCounters()
        self._mount = Mount("", "unknown")
        self._identity: tuple[int, int] | None = None  # of the directory that is being watched
        self._known_runs = 0
        self._gone = "watching has not started"  # why there is nothing to watch; "" when there is
        self._events: InotifyEvents | None = None
        self._no_events = ""  # why there are none, although there should be
        self._self_test = ""  # what came of it, where it was not passed
        self._heard_nothing = False
        self._distrusted_until: float | None = None
        self._unannounced: tuple[Path, ...] = ()  # found by the last sweep
        self._sweeper = Sweeper(landing, settled)
        self._next_sweep = self._next_full = self._next_retry = 0.0
        self._told: tuple[str, ...] = ()

    @property
    def state(self) -> State:
        events = self._events
        if self._gone or (events is not None and events.root_gone):
            return "gone"
        if self._deaf():
            return "polled"
        return "partial" if events is not None and events.refused else "events"

    @property
    def counters(self) -> WatchCounters:
        """A copy, as of now."""
        events = self._events
        return replace(
            self._counters,
            watches=events.watches if events is not None else 0,
            refused=len(events.refused) if events is not None else 0,
        )

    def start(self) -> None:
        """Begin. Hints "everything" when the landing area is there, and whenever it comes back
        later.
        """
        self._gone = ""
        self._next_sweep = self._clock()
        self.check()

    def stop(self) -> None:
        """End, and remove all watches. May be called again."""
        if self._events is not None:
            self._events.close()
            self._events = None
        self._gone = "watching has stopped"

    def next_check(self) -> float:
        """In how many seconds `check` has something to do."""
        return 0.0 if self._urgent() else max(0.0, self._next_sweep - self._clock())

    def check(self) -> None:
        """Do what is due: a sweep, a new reading thread, a look for the landing area. Cheap when
        nothing is.
        """
        now = self._clock()
        if now < self._next_sweep and not self._urgent():
            return
        if self._landing_is_here():
            self._mend_events(now)
            if now >= self._next_sweep:
                self._sweep(now)
        if now >= self._next_sweep:
            self._next_sweep = self._clock() + self._interval()
        self._tell()

    def describe(self) -> str:
        """One sentence for people: how runs are noticed here, and why not in a better way."""
        place = display(str(self._landing.path))
        if self.state == "gone":
            return f"{self._gone or 'the landing area went away'}; looked for every {self._interval():g} s"
        watches = 0 if self._events is None else self._events.watches
        every = f"every {self._interval():g} s"
        deaf = self._deaf()
        if deaf:
            return f"{place} is swept {every}: {deaf}"
        told = f"{place} is watched by events ({watches} watches) and swept {every}"
        return told + "".join(
            f"; {remark}" for remark in (self._refusal(), self._self_test) if remark
        )

    # Where the landing area is

    def _landing_is_here(self) -> bool:
        """Whether it is there and is watched; begins anew when another directory took its place, or
        it came back.
        """
        try:
            identity = self._landing.identity()
        except TemporaryError as error:
            return self._lost(str(error))
        same = identity == self._identity and not (
            self._events is not None and self._events.root_gone
        )
        if same:
            return True
        problem = self._landing.problem(self._known_runs)
        if problem:
            return self._lost(problem)
        self._begin(identity)
        return True

    def _lost(self, reason: str) -> bool:
        if self._identity is not None:
            self._counters.vanished += 1
        self._identity = None  # whatever comes next is looked at as new
        self._gone = reason
        if self._events is not None:
            self._events.close()  # or it would go on talking about what was moved away
            self._events = None
        return False

    def _begin(self, identity: tuple[int, int]) -> None:
        now = self._clock()
        self._identity = identity
        self._gone = ""
        self._mount = mount_of(self._landing.path)
        self._open_events()
        self._sweeper = Sweeper(
            self._landing,
            self._settled,
            modified_at=modified_for(self._mount),
            trust_mtimes=self._mount.kind != "stacked",
        )
        self._unannounced = ()
        self._counted_sweep(now, full=True)  # what there is; nothing of it is news
        self._next_full = now + self._full_sweep_interval
        self._next_sweep = self._clock() + self._interval()
        self._hint(None)

    # Events

    def _open_events(self) -> None:
        if self._events is not None:
            self._events.close()
        self._events = None
        self._no_events = self._self_test = ""
        self._heard_nothing = False
        if self._engine == "poll":
            return
        try:
            from hesiod_watch.service.watch.inotify import (
                INSTANCES_SYSCTL,
                InotifyEvents,
            )  # polling needs no watchdog
        except (ImportError, AttributeError, OSError) as error:
            self._no_events = f"watchdog's inotify cannot be used here ({error})"
            return
        try:
            self._events = InotifyEvents(self._landing, self._hint, self._counters)
        except OSError as error:
            self._no_events = f"inotify cannot be used ({error.strerror})"
            if error.errno == errno.EMFILE:
                self._no_events += (
                    f": too many programs of this user use it, raise {INSTANCES_SYSCTL}"
                )
            return
        self._events.arm()
        self._next_retry = self._clock() + RETRY_REFUSED_SECONDS
        if self._events.covers(self._landing.path) and not self._distrusted_type():
            self._test(self._events)

    def _test(self, events: InotifyEvents) -> None:
        try:
            if not events.probe(SELF_TEST_SECONDS):
                self._heard_nothing = True
                self._self_test = (
                    f"a file made in the landing area gave no event within {SELF_TEST_SECONDS:g} s"
                )
        except OSError as error:
            self._self_test = (
                f"events could not be tested, as no file can be made there ({error.strerror})"
            )

    def _mend_events(self, now: float) -> None:
        events = self._events
        if events is None:
            return
        if not events.alive:
            self._counters.restarts += 1
            logger.error("the thread that reads events died and is started again")
            self._open_events()
            self._hint(None)
        elif events.rearm_wanted or (events.refused and now >= self._next_retry):
            wanted = events.rearm_wanted
            events.arm()
            self._next_retry = now + RETRY_REFUSED_SECONDS
            if wanted:
                self._hint(None)

    def _urgent(self) -> bool:
        events = self._events
        return events is not None and (events.root_gone or events.rearm_wanted or not events.alive)

    # Sweeps

    def _sweep(self, now: float) -> None:
        full = now >= self._next_full
        if full:
            self._next_full = now + self._full_sweep_interval
            if self._events is None:
                self._open_events()  # perhaps there is an instance to be had by now
        findings = self._counted_sweep(now, full=full)
        for run in findings.runs:
            self._hint(run)
        self._judge(findings, now)
        if full:
            self._hint(None)
        if not self._sweeper.readable:
            self._lost(self._landing.problem(0) or "the landing area could not be read")

    def _counted_sweep(self, now: float, *, full: bool) -> SweepFindings:
        findings = self._sweeper.sweep(now, full=full)
        self._counters.sweeps += 1
        self._known_runs = self._sweeper.runs
        return findings

    def _judge(self, findings: SweepFindings, now: float) -> None:
        """Compare with what events told. They get until the next sweep to arrive."""
        events = self._events
        if events is None:
            self._counters.found_by_sweep += len(findings.added)
            return
        silent = [path for path in self._unannounced if not events.announced(path)]
        self._unannounced = tuple(path for path in findings.added if not events.announced(path))
        missed = [path for path in silent if events.covers(path.parent)]
        for path in silent:
            events.follow(path)
        self._counters.found_by_sweep += len(silent)
        self._counters.missed += len(missed)
        if missed:
            self._distrusted_until = now + DISTRUST_SECONDS
            logger.warning(
                "a sweep found what no event had announced",
                extra=fields(path=missed[0], of=len(missed)),
            )

    def _interval(self) -> float:
        if self._engine == "poll" or self.state in ("events", "gone"):
            return self._sweep_interval
        return min(self._sweep_interval, max(SHORTEST_INTERVAL, self._sweep_interval / 2))

    # Judgement, in words

    def _distrusted_type(self) -> bool:
        return self._engine == "auto" and self._mount.kind in ("network", "stacked")

    def _deaf(self) -> str:
        """Why events cannot be believed here; "" when they can."""
        if self._engine == "poll":
            return "events are switched off in the configuration"
        if self._no_events:
            return self._no_events
        if self._distrusted_type():
            return f"on {display(self._mount.fstype)} events do not tell what is written by others"
        if self._heard_nothing:
            return self._self_test
        if self._distrusted_until is not None and self._clock() < self._distrusted_until:
            return "within the last 24 hours a sweep found what no event had announced"
        return ""

    def _refusal(self) -> str:
        """What to do about directories that could not be watched."""
        refused = {} if self._events is None else self._events.refused
        if not refused or self._events is None:
            return ""
        from hesiod_watch.service.watch.inotify import NO_WATCHES, WATCHES_SYSCTL  # as above

        if NO_WATCHES in refused.values():
            wanted = self._events.watches + len(refused)
            return (
                f"{len(refused)} of {number_of(wanted, 'directory', 'directories')} can only be swept: this user has no"
                f" inotify watches left, and this is not a full disk: raise {WATCHES_SYSCTL} by {len(refused)} at"
                f" least, {wanted} are wanted here"
            )
        path, reason = next(iter(refused.items()))
        directories = number_of(len(refused), "directory", "directories")
        return f"{directories} can only be swept, such as {display(str(path))}: {reason}"

    def _tell(self) -> None:
        """Log what changed about how we watch; quiet when nothing did."""
        state = self.state
        about = (state, self._gone, self._deaf(), "refused" if state == "partial" else "")
        if about == self._told:
            return
        expected = state == "events" or (
            state == "polled" and (self._engine == "poll" or self._distrusted_type())
        )
        level = logging.INFO if expected else logging.WARNING
        logger.log(level, self.describe(), extra=fields(landing=self._landing.path, state=state))
        self._told = about
