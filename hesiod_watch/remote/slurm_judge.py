"""Judge of owners that asks Slurm about those whose work is a job.

It asks at once, and may wait for an answer of Slurm. Commands and workers use it. The process that
decides asks in a thread instead (`service.slurm_queue`).
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, TypeGuard

from hesiod_watch.config import Config
from hesiod_watch.core.ownership import Liveness, Owner
from hesiod_watch.core.times import time_of
from hesiod_watch.host.process import judge_here, look_up
from hesiod_watch.rules.liveness import judge
from hesiod_watch.rules.slurm_jobs import (
    JOB_NAME,
    JobEvidence,
    ListedJob,
    accounting_problem,
    is_submission,
)

if TYPE_CHECKING:
    from hesiod_watch.remote.slurm import SlurmClient

FRESH = 5.0
"""Seconds for which an answer counts that shows a living job."""
Verdict = tuple[Liveness, str]


def client_of(config: Config) -> SlurmClient:
    """Client of the configured cluster. Its module, which runs commands, is loaded only here."""
    from hesiod_watch.remote.slurm import SlurmClient

    return SlurmClient(config.slurm.cluster, config.slurm.answer_within)


def is_job(owner: Owner | None) -> TypeGuard[Owner]:
    """Whether the work of an owner is a Slurm job of a known name."""
    return owner is not None and JOB_NAME.fullmatch(owner.slurm_name) is not None


def judge_without_slurm(owner: Owner | None) -> Verdict | None:
    """Verdict that needs no answer of Slurm; None if it needs one."""
    verdict = judge_here(owner)
    if is_job(owner) and (verdict[0] is not Liveness.ALIVE or is_submission(owner)):
        return None
    return verdict


def since(owner: Owner, now: datetime) -> datetime:
    """Time since which the accounting is asked about an owner's job.

    A year ago if the owner's time cannot be true.
    """
    then = time_of(owner.time)
    return then if then and then <= now + timedelta(days=1) else now - timedelta(days=365)


def verdicts(
    client: SlurmClient,
    owners: Collection[Owner],
    listed: Collection[ListedJob] | None,
    problem: str = "",
) -> list[tuple[Verdict, JobEvidence]]:
    """Verdicts on owners whose work is a job, in their order, and the evidence for each.

    `listed` are jobs that the controller has just shown, to ask about fewer; None: it does not
    answer because of `problem`, so nothing more is asked. The processes are looked at first,
    because only a later answer of Slurm counts.
    """
    here = [look_up(owner) for owner in owners]
    living = {job.name: job.row for job in listed or () if job.lives}
    evidence = {name: JobEvidence(name, (row,)) for name, row in living.items()}
    rest = [owner for owner in owners if owner.slurm_name not in living]
    if rest and listed is not None:
        now = datetime.now(UTC)
        first = min(since(owner, now) for owner in rest)
        evidence |= client.evidence([owner.slurm_name for owner in rest], first)
    found = []
    for owner, there in zip(owners, here, strict=True):
        about = evidence.get(owner.slurm_name) or JobEvidence(owner.slurm_name, problem=problem)
        found.append((judge(owner, there, about), about))
    return found


class AskingJudge:
    """Judge that asks Slurm, and lists its jobs once for many owners."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._listed: tuple[ListedJob, ...] | None = ()
        self._problem = ""
        self.problem = ""  # of the accounting: why the last verdict that depends on it is UNKNOWN
        self._asked = float("-inf")

    @cached_property
    def _client(self) -> SlurmClient:
        return client_of(self._config)

    def __call__(self, owner: Owner | None) -> Verdict:
        if verdict := judge_without_slurm(owner):
            return verdict
        assert owner  # noqa: S101 -- no owner needs no answer
        if time.monotonic() - self._asked > FRESH:
            self._listed, self._problem = self._client.listed()
            self._asked = time.monotonic()
        ((verdict, evidence),) = verdicts(self._client, [owner], self._listed, self._problem)
        self.problem = accounting_problem(verdict[0], evidence) or self.problem
        return verdict


def with_asking_judge(config: Config) -> Config:
    """The same configuration, whose judge asks Slurm about owners whose work is a job."""
    return replace(config, judge=AskingJudge(config))
