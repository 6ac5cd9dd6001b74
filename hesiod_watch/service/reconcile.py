"""Reconcile one run: observe, plan, claim, start. The service and the poll both call this.

Any number of reconcilers may work on the same tree at once, in any number of processes. None of
them trusts its observation: work on a cell starts only after the file system granted a claim, and
the loser of a race looks again later. The memory between two looks (our own workers, times to retry
after an error) costs time if it is lost, never correctness.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from hesiod_watch.config import Config
from hesiod_watch.core.action_kinds import INGEST, TELL, ActionMode
from hesiod_watch.core.attention import Attention
from hesiod_watch.core.circumstances import RefusedAction, SlurmCondition
from hesiod_watch.core.errors import FlagExists, HesiodError
from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.logfields import fields
from hesiod_watch.core.model import Action, Decision, ListedRun, Snapshot
from hesiod_watch.core.ownership import Liveness, Owner
from hesiod_watch.host import process
from hesiod_watch.host.files import OpenDirectory
from hesiod_watch.host.locks import lock_problems
from hesiod_watch.remote.slurm_judge import is_job
from hesiod_watch.rules import delivery
from hesiod_watch.rules.liveness import SLURM
from hesiod_watch.rules.plan import plan
from hesiod_watch.rules.run_attention import refused_action
from hesiod_watch.rules.stages import is_at_rest
from hesiod_watch.rules.turns import Turn, turn_of
from hesiod_watch.runs import flags
from hesiod_watch.runs.areas import landing_owners, require_writable
from hesiod_watch.runs.observe import WhyHistoric, observe
from hesiod_watch.service.executors import EndedAction, Executor, make
from hesiod_watch.service.executors.slurm import SlurmJobs
from hesiod_watch.service.failed_actions import ActionKey, FailedActions
from hesiod_watch.service.needs_person import RunsThatNeedPerson
from hesiod_watch.service.waiting_line import WaitingLine, workers_for

logger = logging.getLogger(__name__)

ROUNDS = 6
"""Number of looks at one run in a row, while its short actions change its state."""

Clock = Callable[[], datetime]


@frozen
class LookResult:
    """Result of reconciling one run."""

    snapshot: Snapshot
    full: frozenset[str] = frozenset()  # actions that wait for a worker
    next_runs: tuple[Path, ...] = ()  # runs to look at now: they may have a free worker first
    held: Mapping[str, Turn] = field(default_factory=dict)  # by workers: work that was held back
    look_again: float | None = None  # seconds from now
    quiet: bool = False  # only a change, a person or time makes another look necessary


@dataclass
class Reconciler:
    """Decides for any number of runs, one after another; used by one thread."""

    config: Config
    on_end: Callable[[EndedAction], None]
    clock: Clock = field(default=lambda: datetime.now(UTC))
    # False: repeated actions run once for each cell, as in a poll, which must end
    repeat: bool = True
    why_historic: WhyHistoric = lambda run, cells: ""
    on_answer: Callable[[], None] = lambda: None  # Slurm has answered; called in its thread

    def __post_init__(self) -> None:
        policy = self.config.policy()
        self._policy = policy if self.repeat else replace(policy, sync_interval=0.0)
        executor = self.config.processing.executor
        self._jobs: SlurmJobs | None = None
        if executor == SLURM:
            self._jobs = SlurmJobs(self.config, self.on_end, self.on_answer)
            self.config, executor = replace(self.config, judge=self._jobs.judge), "local"
        self._heavy: Executor = make(executor, self.config, self.on_end)
        self._short: Executor = (
            self._heavy
            if self._heavy.name == "dry-run"
            else make("inline", self.config, self._ended)
        )
        # A poll prints them at its end.
        self._failed = FailedActions(log=self.repeat)
        self._made: set[ActionKey] = set()
        self._short_codes: list[int] = []
        self.line = WaitingLine()
        self._logged: dict[Path, tuple[str, ...]] = {}
        # A poll prints at its end what needs a person.
        self.needs_person = RunsThatNeedPerson(self.config, self._policy, log=self.repeat)
        self._me = process.this_owner("decide", self.config.processing.executor)
        for sentence in lock_problems(self.config.landing, self.config.locks):
            if self.repeat:  # a poll prints them at its end
                logger.warning("locks", extra=fields(why=sentence))

    def look(
        self, run_dir: Path, listed_run: ListedRun | None = None, hold: frozenset[str] = frozenset()
    ) -> LookResult:
        """Look at one run and start the planned actions, except those in `hold`.

        `listed_run` is the run in its upstream's latest listing. Never raises for an error of the
        run.
        """
        started, next_runs = set[str](), set[Path]()
        for _ in range(ROUNDS):
            # by workers: the first turn among the work that waits for them, or that is held back
            waiting, held = dict[str, Turn](), dict[str, Turn]()
            full = set[str]()
            run = OpenDirectory(run_dir, self.config.landing)
            look = partial(self._observe, run, listed_run)
            snapshot, known = self._jobs.look(run, look) if self._jobs else (look(), True)
            if not known:  # Slurm is being asked; its answer causes the next look
                return LookResult(snapshot)
            # Read after observing, so that no observed flag of this host is in the future.
            now = self.clock()
            decision = plan(snapshot, self._policy, now)
            changed = False
            for action in decision.actions:
                if self._resting(run_dir, action, now):
                    continue
                workers, turn = workers_for(action), turn_of(snapshot, action, now)
                if action.name in hold:
                    held.setdefault(workers, turn)
                    continue
                begun = self._begin(run, snapshot, action, turn)
                if begun is None or isinstance(begun, Path):
                    full.add(action.name)
                    waiting.setdefault(workers, turn)
                if isinstance(begun, Path):
                    next_runs.add(begun)
                elif begun:
                    started.add(workers)
                    changed = changed or self._changes(action)
            if not changed or self._heavy.name == "dry-run":
                break
        self._log_waiting(snapshot, decision)
        self.needs_person.slurm = self.slurm_condition()
        self.needs_person.note(snapshot, now)
        look_again = self._next_look(run_dir, decision, now)
        next_runs.update(self._move_in_line(run_dir, waiting, started))
        quiet = is_at_rest(snapshot) and not decision.actions and not self._has_problem(run_dir)
        return LookResult(snapshot, frozenset(full), tuple(next_runs), held, look_again, quiet)

    def _observe(self, run: OpenDirectory, listed_run: ListedRun | None) -> Snapshot:
        return observe(
            run,
            self.config.output,
            listed_run=listed_run,
            judge=self._judge,
            channels=self._policy.channels,
            owners=landing_owners(self.config),
            why_historic=self.why_historic,
        )

    def _has_problem(self, run_dir: Path) -> bool:
        """Whether something in a run needs a person, or an action has failed."""
        return run_dir in self.needs_person or self._failed.in_run(run_dir)

    def _move_in_line(
        self, run_dir: Path, waiting: Mapping[str, Turn], started: Collection[str]
    ) -> Iterator[Path]:
        """Note what a run waits for; yields the runs that are next where it waits no more."""
        for workers, turn in waiting.items():
            self.line.wait(run_dir, turn, workers, anew=workers in started)
        for workers in {*self.line.leave(run_dir, waiting), *started}:
            first = self.line.first(workers)
            if first and first != run_dir:
                yield first

    def _changes(self, action: Action) -> bool:
        """Whether other actions of the run may be due after an action that has just been done.

        After `tell`, only a delivery may be due, where the configuration has a channel.
        """
        if action.kind is TELL and not self._policy.channels:
            return False
        return action.kind.mode is ActionMode.SHORT

    def running(self) -> int:
        """Number of workers that were started here and have not ended.

        Slurm jobs are on their own once they are submitted. What Slurm is still asked counts.
        """
        return len(self._heavy.running()) + (self._jobs.open_orders() if self._jobs else 0)

    def slurm_condition(self) -> SlurmCondition:
        """Condition of Slurm, where it is used. A poll asks once: it does not know since when."""
        return self._jobs.condition(dated=self.repeat) if self._jobs else SlurmCondition()

    def take_answers(self) -> tuple[Collection[Path], bool]:
        """Runs to look at because of Slurm's answers, and whether there may be room for jobs."""
        return self._jobs.take_changes() if self._jobs else ((), False)

    def forget(self, run_dir: Path) -> None:
        """Forget a run that no longer exists."""
        self.line.leave(run_dir)
        self._logged.pop(run_dir, None)
        self.needs_person.forget(run_dir)
        self._failed.forget(run_dir)

    def ended(self, ended: EndedAction) -> None:
        """Handle the end of a worker; a failure without a flag rests for a while.

        Only the deciding thread may call this.
        """
        key = (ended.run_dir, ended.action.name, ended.action.cell)
        mode = ended.action.kind.mode
        if mode is ActionMode.REPEATED:
            self._made.add(key)
        if ended.problem:
            self._failed.note(key, ended.problem, self.clock(), unstarted=True)
        elif ended.code == 0 or mode is ActionMode.CLAIMED:  # claims and flags decide about those
            self._failed.succeeded(key)
        else:
            self._failed.note(
                key,
                f"{ended.action.name} ended with code {ended.code}; "
                "the run's pipeline.log has more",
                self.clock(),
                flagged=True,
            )

    # Starting.

    def _begin(
        self, run: OpenDirectory, snapshot: Snapshot, action: Action, turn: Turn
    ) -> bool | Path | None:
        """Start one action if a worker is free and no other run is before it.

        Returns True if it was started, False if it is not needed or not possible now, None if all
        workers are busy, and the other run if that run has the next free worker.
        """
        run_dir = snapshot.path
        jobs = self._jobs if self._jobs and self._jobs.takes(action) else None
        executor = self._short if action.kind.mode is ActionMode.SHORT else jobs or self._heavy
        if any(_same(action, other) for other in executor.running().values()):
            return False
        if jobs and not jobs.may_start(action):
            return False
        owner = process.this_owner(
            action.name, executor.name, epoch=action.epoch, reason=action.reason
        )
        key = (run_dir, action.name, action.cell)
        try:
            reservation = executor.reserve(action)
            if reservation is None:
                return None
            if other := self.line.before(run_dir, turn, workers_for(action)):
                reservation.give_back()
                return other
            try:
                if jobs:
                    owner = jobs.with_name(owner)
                self._claim(run, snapshot, action, owner)
                if jobs and action.kind.mode is not ActionMode.CLAIMED:
                    jobs.claim(flags.Pipeline(run), action, owner)
            except BaseException:
                reservation.give_back()
                raise
            self._short_codes.clear()
            executor.start(action, snapshot, owner, reservation)
        except FlagExists as error:
            logger.info(
                "another process was first",
                extra=fields(run=snapshot.run, cell=action.cell, why=error),
            )
            return False
        except (HesiodError, OSError) as error:
            self._failed.note(key, str(error), self.clock())
            return False
        if self._short_codes and self._short_codes[-1] != 0:
            problem = getattr(executor, "last_error", "") or f"{action.name} failed"
            self._failed.note(key, problem, self.clock())
            return False
        self._failed.started(key)
        return True

    def _claim(self, run: OpenDirectory, snapshot: Snapshot, action: Action, owner: Owner) -> None:
        """Claim work that must happen only once.

        Raises FlagExists if another process has the claim.
        """
        if not action.cell or self._heavy.name == "dry-run":
            return
        if action.kind is INGEST:
            # A failed attempt of this user would delay those of a user who may write.
            require_writable(snapshot, action.cell, "not ingested")
        if action.kind.mode is ActionMode.CLAIMED:
            require_writable(snapshot, action.cell)
            flags.claim_cell(flags.Pipeline(run), action.cell.stem, owner, judge=self.config.judge)
            logger.info(
                "claimed", extra=fields(run=snapshot.run, cell=action.cell, epoch=action.epoch)
            )

    def _ended(self, ended: EndedAction) -> None:
        self._short_codes.append(ended.code)

    def _judge(self, owner: Owner | None) -> tuple[Liveness, str]:
        """Judge as any process of this host, and also detect our own claims without a worker."""
        if owner and (owner.pid, owner.pid_start, owner.boot_id, owner.pid_namespace) == (
            self._me.pid,
            self._me.pid_start,
            self._me.boot_id,
            self._me.pid_namespace,
        ):
            if owner.token in self._heavy.running():
                return Liveness.ALIVE, f"its worker was started by this process ({owner.pid})"
            if self._jobs and is_job(owner):
                return self._jobs.judge_own(owner)
            return (
                Liveness.DEAD,
                f"this process ({owner.pid}) claimed it, and its worker has ended without a record",
            )
        return self.config.judge(owner)

    # Trying again.

    def _resting(self, run_dir: Path, action: Action, now: datetime) -> bool:
        key = (run_dir, action.name, action.cell)
        if not self.repeat and key in self._made:
            return True
        return self._failed.rests(key, now)

    def _next_look(self, run_dir: Path, decision: Decision, now: datetime) -> float | None:
        # `now` is older than some of the failures.
        times = list(self._failed.due(run_dir, self.clock()))
        if decision.look_again:
            times.append(decision.look_again)
        return max(0.0, (min(times) - now).total_seconds()) if times else None

    def attention(self) -> list[Attention]:
        """Everything that needs a person in the runs that were looked at, also failed actions."""
        return [*self.needs_person.in_runs(), *map(refused_action, self.refused())]

    def refused(self) -> tuple[RefusedAction, ...]:
        """Failed actions that are tried again, except those of which something else says more."""
        known = {(each.run, each.cell) for each in self.needs_person.in_runs()}
        of_host = lock_problems(self.config.landing, self.config.locks)  # every action has these
        return self._failed.refused(known, of_host, self.clock())

    def deliver_site_messages(self, snapshot: Snapshot) -> LookResult:
        """Start the delivery of the site's messages, which waits in line like that of a run."""
        now, place = self.clock(), snapshot.path
        waiting, started, next_runs = dict[str, Turn](), set[str](), set[Path]()
        for action in delivery.want_notify(snapshot, self._policy, now):
            if self._resting(place, action, now):
                continue
            workers, turn = workers_for(action), turn_of(snapshot, action, now)
            begun = self._begin(OpenDirectory(place), snapshot, action, turn)
            if begun is None or isinstance(begun, Path):
                waiting[workers] = turn
            if isinstance(begun, Path):
                next_runs.add(begun)
            elif begun:
                started.add(workers)
        next_runs.update(self._move_in_line(place, waiting, started))
        times = list(delivery.look_again(snapshot, self._policy, now))
        look_again = max(0.0, (min(times) - now).total_seconds()) if times else None
        return LookResult(snapshot, next_runs=tuple(next_runs), look_again=look_again)

    def _log_waiting(self, snapshot: Snapshot, decision: Decision) -> None:
        """Log what a run waits for, once per change."""
        names = tuple(f"{entry.name}: {entry.why}" for entry in snapshot.quarantined)
        sentences = (*decision.waiting, *names)
        if self._logged.get(snapshot.path, ()) != sentences:
            for sentence in sentences:
                if sentence not in self._logged.get(snapshot.path, ()):
                    logger.info("waiting", extra=fields(run=snapshot.run, why=sentence))
            self._logged[snapshot.path] = sentences
        if not sentences:
            self._logged.pop(snapshot.path, None)  # a settled run takes no memory here


def _same(action: Action, other: Action) -> bool:
    return (action.name, action.run, action.cell) == (other.name, other.run, other.cell)
