"""Work as Slurm jobs: each job has a name before it exists, and is never submitted twice.

1. The deciding process claims the work with the name of the job: a cell by its claim, repeated work
   by an attempt of its own (`flags.job_of`). So a second process finds the claim, and asks Slurm
   about the name.
2. A thread submits the job (`service.slurm_queue`). A refusal gives the claim up. After a lost
   answer the claim stays: the job is found by its name, or is missing for a minute while the
   controller answers, and then the claim is given up. A job that starts nevertheless finds that its
   claim is not there any more, and ends.
3. The job records itself, as any worker. Its end is seen in the list of jobs.
4. The claim of a dead owner gets a flag that says how its job ended. What was no attempt, such as a
   preemption, is given up and started again; what was one counts, and pauses follow.

After a restart nothing is restored: the claims name their jobs.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from hesiod_watch.config import Config
from hesiod_watch.core.action_kinds import ActionMode
from hesiod_watch.core.circumstances import SlurmCondition
from hesiod_watch.core.errors import HesiodError
from hesiod_watch.core.logfields import fields
from hesiod_watch.core.model import Action, Snapshot
from hesiod_watch.core.naming import display
from hesiod_watch.core.ownership import Claim, Liveness, Owner
from hesiod_watch.core.times import BackOff
from hesiod_watch.host.files import OpenDirectory
from hesiod_watch.remote.slurm_answers import Submission, SubmissionOutcome
from hesiod_watch.remote.slurm_judge import Verdict, is_job
from hesiod_watch.rules.liveness import SLURM
from hesiod_watch.rules.slurm_jobs import (
    JobEnd,
    JobMark,
    ListedJob,
    job_end,
    job_mark,
    job_name,
)
from hesiod_watch.rules.unwanted_jobs import unwanted_jobs
from hesiod_watch.runs import flags
from hesiod_watch.runs.state_files import state_directory
from hesiod_watch.service.executors import EndedAction, NoReservation, OnEnd, Reservation
from hesiod_watch.service.slurm_queue import JobListing, SlurmQueue

logger = logging.getLogger(__name__)

ABSENT = 60.0
"""Seconds for which the controller must not know a job before it counts as never submitted."""
TIME_TO_END = 60.0
"""Seconds that the worker of an unwanted job has to end by itself."""
FULL = BackOff(timedelta(seconds=30), timedelta(minutes=10))
"""Pauses while an account or a QOS has as many jobs as it may have."""


@dataclass
class _SubmittedJob:
    """A job that this process submits or has submitted, until it ends."""

    action: Action
    run_dir: Path
    owner: Owner
    mark: JobMark
    submission: Submission | None = None  # None: not answered yet
    answered: float = 0.0  # monotonic time
    seen: bool = False  # the controller has listed it
    absent_since: float | None = None  # monotonic time


class SlurmJobs:
    """Submits `hesiod-watch perform …` as jobs, and follows those that this process submitted."""

    name = SLURM

    def __init__(self, config: Config, on_end: OnEnd, on_answer: Callable[[], None]) -> None:
        self._config = config
        self._on_end = on_end
        self._queue = SlurmQueue(config, on_answer, self._follow)
        self._lock = threading.Lock()
        self._submitted: dict[str, _SubmittedJob] = {}
        self._unwanted: dict[str, float] = {}  # jobs by name: monotonic time of the first look
        self._full_until = float("-inf")  # monotonic time
        self._times_full = 0
        # By the deciding thread.
        self.judge = self._queue.judge
        self.take_changes = self._queue.take_changes
        self.open_orders = self._queue.open_orders

    def takes(self, action: Action) -> bool:
        """Whether an action is a job."""
        return action.name in self._config.slurm.actions

    def with_name(self, owner: Owner) -> Owner:
        """The same owner for a claim, with the name that its job will have."""
        name = job_name(owner.action, owner.token)
        return replace(owner, slurm_name=name, slurm_job="", slurm_cluster="")

    def judge_own(self, owner: Owner) -> Verdict:
        """Verdict on an owner whose job this process submits or has submitted."""
        verdict = self.judge(owner)
        if owner.token in self.running() and verdict[0] is not Liveness.ALIVE:
            return Liveness.ALIVE, f"this process submits the job {owner.slurm_name}"
        return verdict

    def look(self, run: OpenDirectory, observe: Callable[[], Snapshot]) -> tuple[Snapshot, bool]:
        """Observe a run, record how its jobs ended, and cancel those that are unwanted.

        Returns also whether Slurm has answered about every job that the run's flags name.
        """
        mark = job_mark(str(self._config.output), run.path.name, None)
        # Listed before the flags are read, because a claim is older than its job.
        jobs = [job for job in self._jobs() if job.lives and job.mark.run == mark.run]
        snapshot = observe()
        if snapshot.adopted and self._record_ends(flags.Pipeline(run), snapshot):
            snapshot = observe()
        self._cancel_unwanted(snapshot, jobs)
        return snapshot, self._queue.end_look(run.path)

    def may_start(self, action: Action) -> bool:
        """Whether there is no job for this repeated work, and its run has not too many jobs."""
        mark, jobs = self._mark(action), self._jobs()
        if action.kind.mode is not ActionMode.CLAIMED and any(
            job.lives and job.does(action.name) and job.mark == mark for job in jobs
        ):
            return False
        return self._count(jobs, lambda other: other.run == mark.run) < (
            self._config.slurm.most_jobs_of_a_run
        )

    def reserve(self, action: Action) -> Reservation | None:
        jobs = self._queue.fresh()
        if jobs is None or time.monotonic() < self._full_until:
            return None
        ours = self._mark(action).installation
        if self._count(jobs, lambda mark: mark.installation == ours) >= (
            self._config.slurm.most_jobs
        ):
            return None
        return NoReservation()

    def claim(self, pipeline: flags.Pipeline, action: Action, owner: Owner) -> None:
        """Claim repeated work for a job.

        Raises FlagExists while an earlier job of that work is not proven dead; HesiodError.
        """
        run_dir, config = pipeline.run.path, self._config
        lock = flags.attempt_lock(config.landing, run_dir, action.cell, config.locks)
        work = flags.job_of(flags.work_of(action.name, action.cell))
        flags.begin_attempt(pipeline, work, owner, lock=lock, judge=self.judge)

    def start(
        self, action: Action, snapshot: Snapshot, owner: Owner, reservation: Reservation
    ) -> None:
        job = _SubmittedJob(action, snapshot.path, owner, self._mark(action))
        with self._lock:
            self._submitted[owner.token] = job
        self._queue.order(partial(self._submit, job))

    def condition(self, *, dated: bool) -> SlurmCondition:
        """Which part of Slurm does not answer, if `dated` since when, and which jobs wait."""
        found = self._queue.condition()
        if dated:
            return found
        return replace(
            found,
            controller=replace(found.controller, since=None) if found.controller else None,
            accounting=replace(found.accounting, since=None) if found.accounting else None,
        )

    def running(self) -> dict[str, Action]:
        with self._lock:
            return {token: job.action for token, job in self._submitted.items()}

    def _cancel_unwanted(self, snapshot: Snapshot, jobs: list[ListedJob]) -> None:
        """Cancel those of a run's jobs whose result would not count.

        A pending job at once, a running one after a minute: its worker may be about to end.
        """
        now = time.monotonic()
        unwanted = {job.name: job for job in unwanted_jobs(snapshot, jobs, self._config.output)}
        for name in {*self._unwanted} - {job.name for job in self._jobs() if job.lives}:
            del self._unwanted[name]
        for name, job in unwanted.items():
            since = self._unwanted.setdefault(name, now)
            # `since` is now at the first look.
            if now - since >= TIME_TO_END or (since == now and job.row.state == "PENDING"):
                self._unwanted[name] = now
                extra = fields(run=snapshot.run, job=job.row.job_id, name=name)
                logger.info("cancelling a job without a claim", extra=extra)
                self._queue.order(partial(self._queue.client.cancel, [name]))

    def _record_ends(self, pipeline: flags.Pipeline, snapshot: Snapshot) -> bool:
        """Record how the jobs of dead owners ended; returns whether a flag was made."""
        made = False
        for cell in snapshot.cells:
            claim = cell.flags.claim
            if claim is None or cell.flags.done or cell.flags.failed or cell.flags.aborted:
                continue
            for end in self._ends(claim):
                try:
                    made = self._record_end(pipeline, cell.id.stem, claim, end) or made
                except (HesiodError, OSError) as error:
                    extra = fields(run=snapshot.run, cell=cell.id, why=error)
                    logger.warning("the end of a job is not recorded", extra=extra)
        return made

    def _ends(self, claim: Claim) -> Iterator[JobEnd]:
        owner = claim.worker or claim.owner
        if claim.liveness is not Liveness.DEAD or claim.death or not is_job(owner):
            return
        if evidence := self._queue.evidence(owner):
            log = self._log(owner.slurm_name)
            yield job_end(owner, evidence, str(log), worked=claim.worker is not None)

    def _record_end(self, pipeline: flags.Pipeline, stem: str, claim: Claim, end: JobEnd) -> bool:
        owner = claim.worker or claim.owner
        if owner is None or claim.owner is None:
            return False
        logger.info("a job has ended", extra=fields(cell=stem, why=end.words))
        if end.is_attempt:
            return bool(flags.record_death(pipeline, stem, claim.owner, end.words))
        flags.release_claim(pipeline, stem, replace(owner, epoch=claim.epoch), why=end.words)
        return True

    # In the thread.

    def _submit(self, job: _SubmittedJob) -> None:
        """Submit a job; a lost answer changes nothing, because the claim names the job."""
        log = self._log(job.owner.slurm_name)
        with suppress(OSError):
            log.parent.mkdir(exist_ok=True)
        slurm, action = self._config.slurm, job.action
        submission = self._queue.client.submit(
            job.owner.slurm_name,
            self._command(job),
            str(log).replace("%", "%%"),
            slurm.sbatch_words(action.name, self._config.processing.processes),
            job.mark,
        )
        job.submission, job.answered = submission, time.monotonic()
        extra = fields(run=action.run, cell=action.cell, action=action.name, job=submission.job_id)
        if submission.outcome is SubmissionOutcome.ACCEPTED:
            self._times_full = 0
            logger.info("submitted", extra=extra)
        elif submission.outcome is SubmissionOutcome.LOST:
            logger.warning("submitted without an answer", extra={**extra, "why": submission.why})
        elif submission.outcome is SubmissionOutcome.FULL:
            self._times_full += 1
            self._full_until = time.monotonic() + FULL.rest(self._times_full).total_seconds()
            self._give_up(job, submission.why)
            self._queue.look_at(job.run_dir)
        else:
            self._give_up(job, submission.why)
            self._say_end(job, 1, f"Slurm refuses the job: {submission.why}")

    def _follow(self, listing: JobListing) -> None:
        """Find out which of the submitted jobs have ended, and which do not exist."""
        if listing.jobs is None:
            return
        found = {job.name: job for job in listing.jobs}
        with self._lock:
            followed = [job for job in self._submitted.values() if job.submission]
        for job in followed:
            row = found.get(job.owner.slurm_name)
            if row:
                job.seen, job.absent_since = True, None
                if not row.lives:
                    self._say_end(job, 0 if row.row.state == "COMPLETED" else 1)
            elif job.answered < listing.asked:
                self._follow_absent(job)

    def _follow_absent(self, job: _SubmittedJob) -> None:
        name, now = job.owner.slurm_name, time.monotonic()
        since = datetime.now(UTC) - timedelta(days=1)
        if job.seen or (self._queue.client.ended([name], since)[0] or {}).get(name):
            self._say_end(job, 0)
        elif job.absent_since is None:
            job.absent_since = now
        elif now - job.absent_since >= ABSENT:
            said = job.submission.why if job.submission else ""
            why = f"Slurm has no job {name}" + (f" ({said})" if said else "")
            self._give_up(job, why)
            self._say_end(job, 1, why)

    def _give_up(self, job: _SubmittedJob, why: str) -> None:
        """Give up the claim of a job that does not exist, so that it is no attempt."""
        action, owner = job.action, job.owner
        with self._lock:
            self._submitted.pop(owner.token, None)
        try:
            pipeline = flags.Pipeline(OpenDirectory(job.run_dir, self._config.landing))
            if action.kind.mode is ActionMode.CLAIMED and action.cell:
                flags.release_claim(pipeline, action.cell.stem, owner, why=why)
            else:
                work = flags.job_of(flags.work_of(action.name, action.cell))
                flags.end_attempt(pipeline, work, owner, "failed", {"reason": why})
        except (HesiodError, OSError) as error:
            extra = fields(run=action.run, cell=action.cell, action=action.name, why=error)
            logger.warning("cannot release the claim", extra=extra)

    def _say_end(self, job: _SubmittedJob, code: int, problem: str = "") -> None:
        with self._lock:
            self._submitted.pop(job.owner.token, None)
        if problem:
            where = " ".join(map(str, filter(None, (job.action.run, job.action.cell))))
            problem = f"{display(where)}: {job.action.name} is not started: {problem}"
        self._on_end(EndedAction(job.run_dir, job.action, code, problem))

    # Helpers.

    def _jobs(self) -> tuple[ListedJob, ...]:
        listing = self._queue.listing
        return (listing.jobs if listing else None) or ()

    def _count(self, jobs: tuple[ListedJob, ...], counts: Callable[[JobMark], bool]) -> int:
        """Count living jobs: those listed, and those submitted here that no list shows yet."""
        with self._lock:
            submitted = list(self._submitted.values())
        listed = {job.name for job in jobs}
        new = [job for job in submitted if job.owner.slurm_name not in listed]
        return sum(1 for job in jobs if job.lives and counts(job.mark)) + sum(
            1 for job in new if counts(job.mark)
        )

    def _mark(self, action: Action) -> JobMark:
        return job_mark(str(self._config.output), action.run, action.cell)

    def _log(self, name: str) -> Path:
        """File with the output of a job."""
        return state_directory(self._config.output) / "slurm" / f"{name}.log"

    def _command(self, job: _SubmittedJob) -> tuple[str, ...]:
        config, action, owner = self._config, job.action, job.owner
        place = ("--config", str(config.path.absolute())) if config.path else ()
        return (
            *(str(config.slurm.python or sys.executable), "-m", "hesiod_watch", *place),
            *("perform", "--claimed", f"{owner.epoch}:{owner.token}"),
            *("--reason", action.reason, "--", action.name, str(job.run_dir)),
            *((str(action.cell),) if action.cell else ()),
        )
