"""Engine of the service and of the poll: a queue of runs, and what happens to each run in it.

`reconcile` decides what to do with a run. One thread decides. Other threads only say "look at this
run": the reader of inotify, and one for each worker, which waits for the worker's end.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from hesiod_watch.config import Config
from hesiod_watch.core.action_kinds import SYNC, ActionMode
from hesiod_watch.core.circumstances import Circumstances, Heartbeat, UpstreamAnswer
from hesiod_watch.core.errors import TemporaryError
from hesiod_watch.core.logfields import fields
from hesiod_watch.core.model import ListedRun
from hesiod_watch.core.naming import display
from hesiod_watch.core.queued_messages import Outbox
from hesiod_watch.core.text import quoted
from hesiod_watch.core.watch_state import POLL, SERVICE, RunSummary, state_file, watcher_name
from hesiod_watch.host import process
from hesiod_watch.host.locks import lock_problems
from hesiod_watch.rules import delivery
from hesiod_watch.rules.attention import attention_of_site
from hesiod_watch.rules.stages import is_finished
from hesiod_watch.rules.turns import Turn
from hesiod_watch.runs.areas import OutputArea, landing_problem
from hesiod_watch.runs.first_look import FirstLooks
from hesiod_watch.runs.flags import SitePipeline
from hesiod_watch.runs.landing import LandingArea
from hesiod_watch.runs.observe import observe_site
from hesiod_watch.runs.settled_runs import SettledRuns
from hesiod_watch.service.circumstances import site_circumstances
from hesiod_watch.service.executors import EndedAction
from hesiod_watch.service.poll_problems import Problem
from hesiod_watch.service.reconcile import LookResult, Reconciler
from hesiod_watch.service.site_messages import queue_site_messages
from hesiod_watch.service.state_writer import answers_of, summary_of
from hesiod_watch.service.waiting_line import workers_for
from hesiod_watch.service.watch.listings import query_upstreams
from hesiod_watch.service.workqueue import WorkQueue

logger = logging.getLogger(__name__)

HELD = frozenset({SYNC.name})
"""Actions held back while there is anything else to start."""
NOT_IN_POLL = frozenset({"undelivered", "run-failed"})
"""Kinds of attention that a poll does not print each time.

Undelivered messages are printed for all runs together, when they are late. The flag `failed` of a
run is made by a person, who knows the problem.
"""
SLOT_RETRY = 5.0
"""Seconds between two looks at the runs that found every worker busy.

The end of another process's worker causes no event.
"""
LOOKS_IN_SERVICE = 256
LOOKS_IN_POLL = 4
"""Number of settled runs that one pass looks at although their directories are unchanged.

So many of those that changed last, and at least so many of the others in turn. These looks find
what the directories do not show, such as data that came into an old cell.
"""


@dataclass
class Engine:
    """A queue, a reconciler and the loop between them; `Service` and `poll` share it."""

    config: Config
    repeat: bool = True

    def __post_init__(self) -> None:
        self.landing = LandingArea(self.config.landing, self.config.batch)
        self.output_area = OutputArea(self.config.output, self.landing)
        self.queue = WorkQueue()
        self._endings: deque[EndedAction] = deque()
        keep = self.config.processing.executor != "dry-run"
        self.first_looks = FirstLooks(self.config, keep=keep)
        self.reconciler = Reconciler(
            self.config,
            self._on_end,
            repeat=self.repeat,
            why_historic=self.first_looks.why_historic,
            on_answer=self.queue.wake,
        )
        self.settled_runs = SettledRuns(self.config, self.landing)
        self._open: set[Path] = set()  # runs whose last look found open work, or met a bug
        # runs in the latest listings of their upstreams
        self._listed_runs: Mapping[Path, ListedRun] = {}
        # runs that wait until there is no processing to start, with their turns
        self._to_sync: dict[Path, Mapping[str, Turn]] = {}
        self._syncing: set[Path] = set()  # runs that may sync now
        # Sentence about an upstream → its name, if it did not answer.
        self._upstreams: Mapping[str, str] = {}
        self._late: dict[str, Outbox] = {}  # outboxes whose messages have waited too long, by run
        self.site = SitePipeline(self.config.output).path
        # Whether each upstream was asked since the start.
        self.asked = all(upstream.place.is_local for upstream in self.config.upstreams)
        self.failed: dict[str, str] = {}  # run and cell → sentence
        self._broken: dict[Path, str] = {}  # runs whose last look met a bug, with a sentence
        self.summaries: dict[str, RunSummary] = {}  # runs at their last look, by path
        self._answers: tuple[UpstreamAnswer, ...] = ()
        self.pass_began: float | None = None  # monotonic time of the last hint at all runs

    def landing_problem(self) -> str:
        """Why the landing area cannot be the real one; "" if it can."""
        return landing_problem(self.landing, self.config.output)

    def output_problem(self) -> str:
        """Why the output area cannot be the real one; "" if it can.

        A usable output area also gets its marker.
        """
        return self.output_area.problem(mark=self.config.processing.executor != "dry-run")

    def hint(self, run_dir: Path | None) -> None:
        """Look at this run, or with None at all runs. May be called from any thread."""
        if run_dir is not None:
            self.queue.add(run_dir)
            return
        self.pass_began = time.monotonic()
        try:
            rest = self.config.watch.full_sweep_interval / 2  # a hint may follow another at once
            self.queue_runs(LOOKS_IN_SERVICE, rest)
        except TemporaryError as error:
            logger.warning("landing area not readable", extra=fields(why=error))

    def queue_runs(self, least: int, rest: float = 0.0) -> None:
        """Look at every run that is not settled, at a share of the others, and at links.

        Raises TemporaryError if the landing area cannot be read.
        """
        now = self.reconciler.clock().timestamp()
        for run in self.settled_runs.due(self.landing.paths(), now, least=least, rest=rest):
            self.queue.add(Path(run))
        for link in self.landing.links():
            self.queue.add(link)

    def load_settled_runs(self) -> None:
        """Take over what an earlier process has recorded about runs that are unchanged."""
        self.settled_runs.load()
        self.settled_runs.moved(full=True)
        self.summaries.update(self.settled_runs.summaries())

    def settled(self, run_dir: Path) -> bool:
        """Whether this run needs no watch: the last look found no open work, or none was made."""
        return run_dir not in self._open

    def look(self, run_dir: Path) -> LookResult | None:
        """Reconcile one run from the queue; a run that no longer exists is forgotten."""
        try:
            if run_dir == self.site:
                return self._look_at_site()
            listed_run = self._listed_runs.get(run_dir)
            if not listed_run and not run_dir.is_symlink() and not run_dir.is_dir():
                self.settled_runs.forget(run_dir)
                self._open.discard(run_dir)
                self.reconciler.forget(run_dir)
                self._broken.pop(run_dir, None)
                self.summaries.pop(str(run_dir), None)
                return None
            hold = frozenset() if run_dir in self._syncing else HELD
            signature, now = self.settled_runs.signature(run_dir), self.reconciler.clock()
            looked = self.reconciler.look(run_dir, listed_run, hold)
            if looked.held:
                self._to_sync[run_dir] = looked.held
            elif not looked.full:
                self._syncing.discard(run_dir)
            summary = summary_of(looked.snapshot, self.config.output)
            self.summaries[str(run_dir)] = summary
            if is_finished(looked.snapshot):
                wait = looked.look_again
                due = 0.0 if wait is None else now.timestamp() + wait
                self.settled_runs.note(
                    *(run_dir, signature, now.timestamp()),
                    quiet=looked.quiet,
                    due=due,
                    listed=listed_run,
                    summary=summary,
                )
                self._open.discard(run_dir)
            else:
                self.settled_runs.forget(run_dir)
                self._open.add(run_dir)
            self._late.pop(run_dir.name, None)
            if looked.snapshot.outbox and delivery.overdue(
                looked.snapshot.outbox, self.reconciler.clock()
            ):
                self._late[run_dir.name] = looked.snapshot.outbox
            for next_run in looked.next_runs:
                self.queue.add(next_run, first=True)
            self._broken.pop(run_dir, None)
        except Exception as error:
            # An error in one run must not stop the others; the next sweep looks at it again.
            sentence = unforeseen(run_dir.name, error)
            if self._broken.get(run_dir) != sentence:  # logged once, not at each sweep
                logger.exception("a bug while looking at a run", extra=fields(run=run_dir.name))
            self._broken[run_dir] = sentence
            self.settled_runs.forget(run_dir)
            self._open.add(run_dir)
            self.reconciler.line.leave(run_dir)
            return None
        finally:
            self.queue.done(run_dir)
        return looked

    def circumstances(self) -> Circumstances:
        """Return everything that can block all runs, with what this process knows itself.

        It is looking now, whatever its state file says about an earlier look.
        """
        host = process.this_owner("watch", "inline").host
        kind = SERVICE if self.repeat else POLL
        myself = Heartbeat(watcher_name(host, kind), self.reconciler.clock(), due=None, kind=kind)
        around = site_circumstances(self.config, own=state_file(host, kind))
        watchers = (*around.watchers, myself)
        slurm = self.reconciler.slurm_condition()
        return replace(around, upstreams=self.upstream_answers, watchers=watchers, slurm=slurm)

    @property
    def upstream_answers(self) -> tuple[UpstreamAnswer, ...]:
        """Last answer of each upstream. A finished run may be missing there."""
        missing = self.reconciler.needs_person.missing
        found = [missing[run] for run in sorted(self._open & missing.keys())]
        return tuple(
            replace(each, missing=tuple(where for name, where in found if name == each.name))
            for each in self._answers
        )

    def report_site(self, *, judged: bool) -> None:
        """Queue the messages about what no run's outbox can take, and have them delivered.

        Nothing is over if not everything was `judged`.
        """
        if self.config.processing.executor == "dry-run":
            return
        found = attention_of_site(self.circumstances(), self.reconciler.clock())
        queue_site_messages(
            self.config,
            (*found, *self.reconciler.needs_person.for_site()),
            judged=judged and self.asked,
            unjudged_runs=self.unjudged_runs(),
        )
        self.queue.add(self.site)

    def _look_at_site(self) -> LookResult:
        channels = self.config.notify.kinds()
        snapshot = observe_site(self.config.output, judge=self.config.judge, channels=channels)
        self._late.pop("this site", None)
        if snapshot.outbox and delivery.overdue(snapshot.outbox, self.reconciler.clock()):
            self._late["this site"] = snapshot.outbox
        looked = self.reconciler.deliver_site_messages(snapshot)
        for next_run in looked.next_runs:
            self.queue.add(next_run, first=True)
        return looked

    def take_endings(self) -> bool:
        """Handle the workers that ended since the last call; returns whether there were any.

        Only the deciding thread may call this.
        """
        any_ended = False
        runs, room = self.reconciler.take_answers()
        for run_dir in runs:
            self.queue.add(run_dir)
        if room:
            self.retry_full()
        while self._endings:
            any_ended = True
            ended = self._endings.popleft()
            logger.info(
                "ended",
                extra=fields(
                    run=ended.run_dir.name,
                    cell=ended.action.cell,
                    action=ended.action.name,
                    code=ended.code,
                ),
            )
            # Failures of other actions are among the reconciler's problems.
            if ended.code != 0 and ended.action.kind.mode is ActionMode.CLAIMED:
                where = f"{ended.action.run} {ended.action.cell}"
                names = f"{quoted(ended.action.run)} {quoted(str(ended.action.cell))}"
                self.failed[where] = (
                    f"{where}: processing ended with code {ended.code}; "
                    f"hesiod-watch explain {names}"
                )
            self.reconciler.ended(ended)
            # The run that waits for this worker is looked at first. The looks at the next runs in
            # the line follow from that, as long as workers are free.
            if first := self.reconciler.line.first(workers_for(ended.action)):
                self.queue.add(first, first=True)
            self.queue.add(ended.run_dir)
        return any_ended

    def ask_upstreams(self, stop: Callable[[], bool] = lambda: False) -> None:
        """Query every upstream and look at all listed runs.

        May run in a thread of its own. Raises TemporaryError if the landing area cannot be read.
        """
        seen = query_upstreams(self.config, stop=stop, looks=self.first_looks)
        self._listed_runs = seen.listed_runs
        self._answers = answers_of(
            self.config, seen.listings, self._answers, self.reconciler.clock()
        )
        self.reconciler.needs_person.missing = seen.missing
        for problem in seen.problems:
            if self.repeat and problem not in self._upstreams:  # a poll prints them at its end
                logger.warning("upstream", extra=fields(why=problem))
        self.asked = True
        self._upstreams = {why: seen.silent.get(why, "") for why in seen.problems}
        now = self.reconciler.clock().timestamp()
        for run_dir, listed_run in seen.listed_runs.items():
            if not self.settled_runs.is_quiet(run_dir, now, listed_run):
                self.queue.add(run_dir)

    def problems(self) -> list[Problem]:
        """Everything that needs a person, for the end of a poll."""
        found = self.reconciler.attention()
        flagged = {each.subject for each in found}
        of_host = lock_problems(self.config.landing, self.config.locks)
        return [
            *(Problem(f"upstream {name or why}", why) for why, name in self._upstreams.items()),
            *(Problem(why, why) for why in of_host),
            *(Problem("", why) for where, why in self.failed.items() if where not in flagged),
            *(Problem(f"bug {run}", self._broken[run]) for run in sorted(self._broken)),
            *(Problem.of(each) for each in found if each.kind not in NOT_IN_POLL),
            # Cron is the last way to report these.
            *(Problem(f"undelivered {name}", why) for name, why in delivery.in_all(self._late)),
        ]

    def unjudged_runs(self) -> frozenset[str]:
        """Runs of which the last look could not find out what needs a person."""
        broken = {display(run_dir.name) for run_dir in self._broken}
        return self.reconciler.needs_person.unjudged_runs() | broken

    def commence_syncs(self) -> bool:
        """Start copying the runs that wait for it; returns whether there are any.

        Call this only if there is nothing else to start.
        """
        if not self._to_sync:
            return False
        names = ", ".join(run_dir.name for run_dir in self._to_sync)
        logger.info(f"Commencing sync of runs: {names}")
        for run_dir, turns in self._to_sync.items():
            for workers, turn in turns.items():
                self.reconciler.line.wait(run_dir, turn, workers)
            self._syncing.add(run_dir)
            self.queue.add(run_dir)
        self._to_sync.clear()
        return True

    def retry_full(self) -> bool:
        """Look again at each run that gets the next free worker; returns whether there are any."""
        runs = self.reconciler.line.first_runs()
        for run_dir in runs:
            self.queue.add(run_dir)
        return bool(runs)

    def has_more(self) -> bool:
        """Whether a run is due for a look now, or the end of a worker is not handled yet."""
        return bool(self._endings) or len(self.queue) > 0

    def _on_end(self, ended: EndedAction) -> None:
        self._endings.append(ended)
        self.queue.wake()


def unforeseen(run: str, error: Exception) -> str:
    """Sentence about a run that the program cannot work on because of a bug."""
    why = display(f"{type(error).__name__}: {error}")
    return (
        f"{display(run)}: nothing is done, because of a bug in hesiod-watch: {why}; the log has"
        f" more; look for an odd file in {display(run)}/pipeline, and report the bug"
    )
