"""Slurm's answers about jobs, asked in one thread: the process that decides never waits for Slurm.

One squeue lists all jobs. Only about jobs that it does not show alive is more asked. What the
deciding thread wants to know is answered by the latest answer, and UNKNOWN until there is one. A
verdict DEAD stays, because a job of that name never comes back. Any other verdict may be as old as
`slurm.poll`, which only makes others wait.

The order within a pass: first what the deciding thread has ordered (submissions, cancellations),
then the questions.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hesiod_watch.config import Config
from hesiod_watch.core.circumstances import SlurmCondition, SlurmSilence
from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.logfields import fields
from hesiod_watch.core.ownership import Liveness, Owner
from hesiod_watch.core.times import BackOff
from hesiod_watch.remote.slurm_judge import Verdict, client_of, judge_without_slurm, verdicts
from hesiod_watch.rules.slurm_jobs import (
    JobEvidence,
    ListedJob,
    accounting_problem,
    waiting_jobs,
)

logger = logging.getLogger(__name__)

FORGET = 600.0
"""Seconds after which a question is dropped that is not asked again."""
SHORTEST = 0.5
"""Seconds between two passes at least, so that many questions share one answer."""


@dataclass
class _Question:
    """An owner that a look has met, and the last verdict on it."""

    owner: Owner
    asked: float  # monotonic time of the last look
    runs: set[Path] = field(default_factory=set)  # runs to look at when the verdict changes
    verdict: Verdict | None = None
    evidence: JobEvidence | None = None


@frozen
class JobListing:
    """Answer to one squeue. `asked` is the monotonic time before it was asked."""

    asked: float
    jobs: tuple[ListedJob, ...] | None  # None: no answer
    problem: str = ""


Listener = Callable[[JobListing], None]


class SlurmQueue:
    """Asks Slurm in a thread, which starts with the first question.

    `wake` is called in that thread when the deciding thread has something new to look at.
    """

    def __init__(self, config: Config, wake: Callable[[], None], listener: Listener) -> None:
        self.client = client_of(config)
        self._poll = config.slurm.poll
        self._wake_decider = wake
        self._listener = listener
        self._lock = threading.Lock()
        self._work = threading.Event()
        self._thread: threading.Thread | None = None
        self._orders: list[Callable[[], object]] = []
        self._questions: dict[Owner, _Question] = {}
        # Questions of the present look, with the answer that it got.
        self._new: list[tuple[_Question, Liveness]] = []
        self._changed: set[Path] = set()
        self._ordered = 0  # orders that are not carried out yet
        self._wanted = float("-inf")  # monotonic time at which a listing was last wanted
        self._unseen = False  # a listing came since the deciding thread took answers
        self.listing: JobListing | None = None
        self.failures = 0  # listings in a row without an answer
        self.silent_since: datetime | None = None  # time of the first of them
        self._accounting: SlurmSilence | None = None  # since it mattered

    # In the deciding thread.

    def judge(self, owner: Owner | None) -> Verdict:
        """Verdict of the latest answer; UNKNOWN for an owner that Slurm was not asked about yet."""
        if verdict := judge_without_slurm(owner):
            return verdict
        assert owner  # noqa: S101 -- no owner needs no answer
        with self._lock:
            question = self._questions.get(owner)
            if question is None:
                question = self._questions[owner] = _Question(owner, time.monotonic())
            question.asked = time.monotonic()
            unasked = Liveness.UNKNOWN, f"Slurm is being asked about the job {owner.slurm_name}"
            verdict = question.verdict or unasked
            self._new.append((question, verdict[0]))
        if question.verdict is None:
            self._start()
        return verdict

    def evidence(self, owner: Owner | None) -> JobEvidence | None:
        """Evidence for the verdict DEAD on an owner; None without one."""
        with self._lock:
            question = self._questions.get(owner) if owner else None
            if question and question.verdict and question.verdict[0] is Liveness.DEAD:
                return question.evidence
        return None

    def end_look(self, run_dir: Path) -> bool:
        """Note that the questions since the last call belong to a look at this run.

        Returns whether each of them had an answer. If not, the look decides nothing, and the answer
        causes the next one.
        """
        with self._lock:
            answered = all(question.verdict for question, _ in self._new)
            for question, liveness in self._new:
                question.runs.add(run_dir)
                if question.verdict and question.verdict[0] is not liveness:
                    self._changed.add(run_dir)  # answered during the look
                    answered = False
            self._new.clear()
        return answered

    def order(self, task: Callable[[], object]) -> None:
        """Have a task done in the thread, before its next question."""
        with self._lock:
            self._orders.append(task)
            self._ordered += 1
        self._start()

    def fresh(self) -> tuple[ListedJob, ...] | None:
        """Jobs by a recent answer; None if there is none, and then one is asked for."""
        now = time.monotonic()
        self._wanted = now
        listing = self.listing
        if listing and now - listing.asked <= 3 * self._poll:
            return listing.jobs
        self._start()
        return None

    def condition(self) -> SlurmCondition:
        """Condition of Slurm by the latest answers."""
        listing = self.listing
        if listing is None:
            return SlurmCondition()
        silent = listing.jobs is None
        return SlurmCondition(
            SlurmSilence(listing.problem, self.silent_since) if silent else None,
            None if silent else self._accounting,
            waiting_jobs(listing.jobs or ()),
        )

    def look_at(self, run_dir: Path) -> None:
        """Have the deciding thread look at this run; for the thread."""
        with self._lock:
            self._changed.add(run_dir)
        self._wake_decider()

    def take_changes(self) -> tuple[set[Path], bool]:
        """Runs to look at because of new verdicts, and whether there is a new listing."""
        with self._lock:
            changed, self._changed = self._changed, set()
            unseen, self._unseen = self._unseen, False
            return changed, unseen

    def open_orders(self) -> int:
        """Number of orders and questions without an answer, for a poll that must wait for them."""
        with self._lock:
            unanswered = sum(1 for each in self._questions.values() if each.verdict is None)
            first = self.listing is None and self._wanted > float("-inf")
            return self._ordered + unanswered + first + self._unseen + len(self._changed)

    # In the thread.

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="ask-slurm", daemon=True)
            self._thread.start()
        self._work.set()

    def _run(self) -> None:
        while True:
            self._work.wait(self._pause())
            self._work.clear()
            self._do_orders()
            self._ask()
            time.sleep(SHORTEST)

    def _pause(self) -> float | None:
        """Seconds to the next pass without an order; None: only an order makes one necessary."""
        now = time.monotonic()
        recent = now - self._wanted < FORGET
        with self._lock:
            recent = recent or any(now - each.asked < FORGET for each in self._questions.values())
        if not recent:
            return None
        longest = max(self._poll, 60.0)
        back_off = BackOff(timedelta(seconds=self._poll), timedelta(seconds=longest))
        return back_off.rest(max(1, self.failures)).total_seconds()

    def _do_orders(self) -> None:
        while True:
            with self._lock:
                if not self._orders:
                    return
                task = self._orders.pop(0)
            try:
                task()
            except Exception:
                logger.exception("a bug in work with Slurm")
            finally:
                with self._lock:
                    self._ordered -= 1

    def _ask(self) -> None:
        now = time.monotonic()
        with self._lock:
            self._questions = {
                owner: each
                for owner, each in self._questions.items()
                if now - each.asked < FORGET or each.verdict is None
            }
            open_questions = [
                each
                for each in self._questions.values()
                if not (each.verdict and each.verdict[0] is Liveness.DEAD)
            ]
        owners = [each.owner for each in open_questions]
        try:
            jobs, problem = self.client.listed(str(os.geteuid()))
            answers = verdicts(self.client, owners, jobs, problem)
        except Exception as error:  # the deciding thread waits for an answer in any case
            logger.exception("a bug while asking Slurm")
            jobs, problem = None, f"{type(error).__name__}: {error}"
            answers = verdicts(self.client, owners, None, problem)
        if jobs is None and not self.failures:
            self.silent_since = datetime.now(UTC)
            logger.warning("Slurm does not answer", extra=fields(why=problem))
        elif jobs is not None and self.failures:
            logger.info("Slurm answers again")
        self.failures = self.failures + 1 if jobs is None else 0
        missing = [accounting_problem(verdict[0], evidence) for verdict, evidence in answers]
        if why := next(filter(None, missing), ""):
            since = self._accounting.since if self._accounting else datetime.now(UTC)
            self._accounting = SlurmSilence(why, since)
        elif jobs is not None:
            self._accounting = None
        listing = JobListing(now, jobs, problem)
        with self._lock:
            for question, (verdict, evidence) in zip(open_questions, answers, strict=True):
                if jobs is None and question.verdict:
                    continue  # without an answer nothing has changed
                if question.verdict is None or question.verdict[0] is not verdict[0]:
                    self._changed |= question.runs
                    question.runs.clear()
                question.verdict, question.evidence = verdict, evidence
            self.listing, self._unseen = listing, True
        self._listener(listing)
        self._wake_decider()
