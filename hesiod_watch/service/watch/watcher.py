"""Watch the landing area: events for speed, sweeps for certainty, and which ones to trust.

    events    events work here; sweeps find what they may have lost
    partial   some directories could not be watched; sweeps come at half the interval
    polled    events cannot be trusted here; sweeps come at half the interval
    gone      the landing area is missing; checked again until it is back

Three things decide whether events can be trusted: the type of file system; a test file of our own,
which must cause an event; and evidence. If a sweep finds an entry that no event announced by the
next sweep, the landing area is `polled` until 24 hours have passed without such a find. Events are
still used whenever they arrive.

The order at the start, after the landing area came back and after the reading thread died: arm the
watches, sweep, announce everything. `check` does all of this and is called by the owner's loop; it
may take as long as the file system takes to respond. `start`, `check`, `next_check` and `stop`
belong to one thread.
"""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable, Iterable
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
SHORTEST_INTERVAL = 1.0  # seconds; shortest sweep interval that is not configured
RETRY_REFUSED_SECONDS = 60.0


class Watcher:
    """Hints about one landing area: "look at this run" or "look at everything".

    `hint(run)` is the first, `hint(None)` the second. `hint` is called from the thread that calls
    `check` and from the thread that reads events; it must be cheap and must not block. `settled`
    returns whether a run has no open work, and `moved(full)` the settled runs that have changed.
    Call `update` when the first of these may be different. Intervals are in seconds.
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
        moved: Callable[[bool], Iterable[Path]] = lambda full: (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._landing = landing
        self._hint = hint
        self._engine = engine
        self._sweep_interval = sweep_interval
        self._full_sweep_interval = full_sweep_interval
        self._settled = settled
        self._moved = moved
        self._clock = clock
        self._counters = WatchCounters()
        self._mount = Mount("", "unknown")
        self._identity: tuple[int, int] | None = None  # identity of the watched directory
        self._known_runs = 0
        self._landing_problem = (
            "watching has not started"  # why nothing can be watched; "" if it can
        )
        self._events: InotifyEvents | None = None
        self._no_events = ""  # why there are no events, although there should be
        self._self_test = ""  # why the test of events failed
        self._test_failed = False
        self._distrusted_until: float | None = None
        self._unannounced: tuple[Path, ...] = ()  # entries found by the last sweep
        self._sweeper = Sweeper(landing, settled, moved)
        self._followed: set[Path] = set()  # runs that `update` began to watch
        self._next_sweep = self._next_full = self._next_retry = 0.0
        self._logged: tuple[str, ...] = ()

    @property
    def state(self) -> State:
        events = self._events
        if self._landing_problem or (events is not None and events.root_gone):
            return "gone"
        if self._distrust():
            return "polled"
        return "partial" if events is not None and events.refused else "events"

    @property
    def counters(self) -> WatchCounters:
        """A copy of the present counts."""
        events = self._events
        return replace(
            self._counters,
            watches=events.watches if events is not None else 0,
            refused=len(events.refused) if events is not None else 0,
        )

    def start(self) -> None:
        """Begin to watch.

        Hints "everything" if the landing area is there, and whenever it comes back later.
        """
        self._landing_problem = ""
        self._next_sweep = self._clock()
        self.check()

    def stop(self) -> None:
        """Stop and remove all watches. Safe to repeat."""
        if self._events is not None:
            self._events.close()
            self._events = None
        self._landing_problem = "watching has stopped"

    def next_check(self) -> float:
        """Seconds until `check` has something to do."""
        return 0.0 if self._urgent() else max(0.0, self._next_sweep - self._clock())

    def check(self) -> None:
        """Do what is due: a sweep, a new reading thread, a search for the landing area.

        Cheap if nothing is due.
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
        self._log_changes()

    def update(self, run: Path) -> None:
        """Watch a run that has open work now, and no longer watch a settled one.

        What happened before the watch is not reported, so the run is hinted at once more.
        """
        if self._settled(run):
            self._followed.discard(run)
            self._sweeper.release(run)
            if self._events is not None:
                self._events.release(run)
        elif run not in self._followed:
            self._followed.add(run)
            if self._events is not None:
                self._events.follow(run)
            self._sweeper.follow(run, self._clock())
            self._hint(run)

    def describe(self) -> str:
        """Sentence for people: how runs are noticed here, and why not in a better way."""
        place = display(str(self._landing.path))
        if self.state == "gone":
            problem = self._landing_problem or "the landing area disappeared"
            return f"{problem}; checked again every {self._interval():g} s"
        watches = 0 if self._events is None else self._events.watches
        every = f"every {self._interval():g} s"
        distrust = self._distrust()
        if distrust:
            return f"{place} is swept {every}: {distrust}"
        sentence = f"{place} is watched by events ({watches} watches) and swept {every}"
        return sentence + "".join(
            f"; {remark}" for remark in (self._refusal(), self._self_test) if remark
        )

    # Where the landing area is

    def _landing_is_here(self) -> bool:
        """Whether the landing area is there and watched.

        Starts anew if another directory took its place or it came back.
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
        self._identity = None  # the next directory is treated as new
        self._landing_problem = reason
        if self._events is not None:
            self._events.close()  # otherwise a directory that moved away would still send events
            self._events = None
        return False

    def _begin(self, identity: tuple[int, int]) -> None:
        now = self._clock()
        self._identity = identity
        self._landing_problem = ""
        self._mount = mount_of(self._landing.path)
        self._open_events()
        self._sweeper = Sweeper(
            self._landing,
            self._settled,
            self._moved,
            modified_at=modified_for(self._mount),
            trust_mtimes=self._mount.kind != "stacked",
        )
        self._unannounced = ()
        self._sweeper.begin(now)
        self._count_sweep()
        self._next_full = now + self._full_sweep_interval
        self._next_sweep = self._clock() + self._interval()
        self._hint(None)

    # Events

    def _open_events(self) -> None:
        if self._events is not None:
            self._events.close()
        self._events = None
        self._no_events = self._self_test = ""
        self._test_failed = False
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
            self._events = InotifyEvents(self._landing, self._hint, self._counters, self._settled)
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
                self._test_failed = True
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
                self._open_events()  # an inotify instance may be available by now
        findings = self._sweeper.sweep(now, full=full)
        self._count_sweep()
        for run in findings.runs:
            self._hint(run)
        self._judge(findings, now)
        if full:
            self._hint(None)
        if not self._sweeper.readable:
            self._lost(self._landing.problem(0) or "the landing area could not be read")

    def _count_sweep(self) -> None:
        self._counters.sweeps += 1
        self._known_runs = self._sweeper.runs

    def _judge(self, findings: SweepFindings, now: float) -> None:
        """Compare the findings with events, which have until the next sweep to arrive."""
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

    def _distrust(self) -> str:
        """Why events cannot be trusted here; "" if they can."""
        if self._engine == "poll":
            return "events are switched off in the configuration"
        if self._no_events:
            return self._no_events
        if self._distrusted_type():
            return f"on {display(self._mount.fstype)} writing by other hosts causes no events"
        if self._test_failed:
            return self._self_test
        if self._distrusted_until is not None and self._clock() < self._distrusted_until:
            return "within the last 24 hours a sweep found what no event had announced"
        return ""

    def _refusal(self) -> str:
        """Advice about directories that could not be watched."""
        refused = {} if self._events is None else self._events.refused
        if not refused or self._events is None:
            return ""
        from hesiod_watch.service.watch.inotify import (
            NO_WATCHES,
            WATCHES_SYSCTL,
        )  # polling needs no watchdog

        if NO_WATCHES in refused.values():
            wanted = self._events.watches + len(refused)
            directories = number_of(wanted, "directory", "directories")
            return (
                f"{len(refused)} of {directories} can only be swept: "
                "this user has no inotify watches left, and this is not a full disk: "
                f"raise {WATCHES_SYSCTL} by {len(refused)} at least, {wanted} are wanted here"
            )
        path, reason = next(iter(refused.items()))
        directories = number_of(len(refused), "directory", "directories")
        return f"{directories} can only be swept, such as {display(str(path))}: {reason}"

    def _log_changes(self) -> None:
        """Log changes in how we watch; quiet if nothing changed."""
        state = self.state
        state_key = (
            state,
            self._landing_problem,
            self._distrust(),
            "refused" if state == "partial" else "",
        )
        if state_key == self._logged:
            return
        expected = state == "events" or (
            state == "polled" and (self._engine == "poll" or self._distrusted_type())
        )
        level = logging.INFO if expected else logging.WARNING
        logger.log(level, self.describe(), extra=fields(landing=self._landing.path, state=state))
        self._logged = state_key
