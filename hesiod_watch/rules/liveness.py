"""Liveness of a claim's owner: ALIVE, UNKNOWN, or DEAD with a proof. Age is never a proof.

If a claim is taken from a living owner, two workers write one cell. If it stays with a dead owner,
the cell waits for a person. The first is worse, so every doubt is UNKNOWN: another host, a
container, an empty flag, a Slurm that does not answer. A process that is stopped, or that hangs on
a dead mount, is alive: it may wake up and write.

A restart is the proof that needs most care, because a machine and its clone (a copied image of a
virtual machine) have one host name and one machine id, and different boots. Two facts show that an
owner with another boot id is no earlier boot of this machine: it shares no network adapter with
this machine, or it made its record between this machine's boot and now.

This module only computes; `host.process` collects the `OwnerEvidence`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import TypeAlias, TypeGuard

from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.ownership import Attempt, Liveness, Owner
from hesiod_watch.core.times import rested
from hesiod_watch.rules.slurm_jobs import JobEvidence, is_submission, judge_job, judge_submission

Judge: TypeAlias = Callable[[Owner | None], tuple[Liveness, str]]
"""Function that looks up an owner and returns its liveness and a sentence for people.

An owner is None for a flag that names no owner.
"""


SILENCE = timedelta(hours=1)
"""Time without a sign of work, after which a person is asked to check an unknown owner."""
SKEW = timedelta(minutes=1)
"""Difference between the clocks of two hosts that is no reason to doubt a sign."""
SLURM = "slurm"
"""Name of the executor whose workers are Slurm jobs."""


@frozen
class OwnerEvidence:
    """Facts about an owner, as seen from this machine. None means "cannot tell", never "no"."""

    same_machine: bool | None = None
    same_boot: bool | None = None  # by boot id, or because the very process is there
    # By this machine's clock, the owner's record may be older than this machine's boot.
    before_boot: bool | None = None
    same_pid_namespace: bool | None = None
    # A process with the owner's pid exists; only meaningful if the other three are True.
    running: bool | None = None
    pid_start: int | None = None  # start time of that process, field 22 of /proc/PID/stat


def under_way(last: Attempt | None) -> TypeGuard[Attempt]:
    """Whether a process works on this attempt, or may work on it."""
    return last is not None and not last.outcome and last.liveness is not Liveness.DEAD


def unclear(last: Attempt | None) -> TypeGuard[Attempt]:
    """Whether the owner of an unfinished attempt can neither be seen alive nor proven dead."""
    return last is not None and not last.outcome and last.liveness is Liveness.UNKNOWN


def same_process(one: Owner, other: Owner) -> bool:
    """Whether one process made both records; False if they do not contain enough to know."""
    known = one.boot_id and one.pid and one.pid_start
    return bool(known) and _process(one) == _process(other)


def _process(owner: Owner) -> tuple[str, str, int, int]:
    return owner.boot_id, owner.pid_namespace, owner.pid, owner.pid_start


def judge(
    owner: Owner | None, evidence: OwnerEvidence | None, job: JobEvidence | None = None
) -> tuple[Liveness, str]:
    """Return the liveness of an owner, and a sentence for people that names it and the reason.

    `job` is what Slurm answered about the owner's job; None if Slurm was not asked. A process that
    was seen alive is alive, also within a job. A process that is proven dead proves a dead owner
    only if the process was the worker. If Slurm starts the worker, the record may name the process
    that submitted the job. That job may start later or be requeued, so only Slurm can tell.
    """
    if owner is None:
        return Liveness.UNKNOWN, "the flag names no owner: made by hand or by an earlier Hesiod"
    if evidence is None:
        liveness, why = Liveness.UNKNOWN, f"{describe(owner)}: it could not be examined"
    else:
        liveness, why = _judge_process(owner, evidence)
    if job is not None and job.name != owner.slurm_name:
        job = None
    if job and is_submission(owner):
        return judge_submission(owner, (liveness, why), job)
    by_slurm = owner.executor == SLURM
    if liveness is Liveness.ALIVE or not (by_slurm or owner.slurm_job):
        return liveness, why
    if liveness is Liveness.DEAD and not by_slurm:
        return liveness, why
    if job:
        liveness, said = judge_job(owner, job)
        return liveness, f"{describe(owner)}: {said}"
    if evidence is None:
        return liveness, why
    return (
        Liveness.UNKNOWN,
        f"{why}; {_job(owner)}: this version cannot tell whether a Slurm job lives",
    )


def _judge_process(owner: Owner, evidence: OwnerEvidence) -> tuple[Liveness, str]:
    name = describe(owner)
    if not owner.host or not owner.boot_id:
        return Liveness.UNKNOWN, f"{name}: the record does not say enough about its machine"
    if evidence.same_machine is None:
        return Liveness.UNKNOWN, f"{name}: cannot tell whether that is this machine"
    if not evidence.same_machine:
        return Liveness.UNKNOWN, f"{name}: another host, and only that host can tell"
    if evidence.same_boot is None:
        return Liveness.UNKNOWN, f"{name}: cannot tell whether this machine was restarted since"
    if not evidence.same_boot and evidence.before_boot is None:
        return Liveness.UNKNOWN, f"{name}: cannot tell whether this machine was restarted since"
    if not evidence.same_boot and not evidence.before_boot:
        return Liveness.UNKNOWN, (
            f"{name}: its record is later than the start of this machine: a clone of this machine,"
            " or a container that shows it another boot id?"
        )
    if not evidence.same_boot:
        return Liveness.DEAD, f"{name}: the machine was restarted since"
    if not owner.pid or not owner.pid_start:
        return Liveness.UNKNOWN, f"{name}: the record names no process by pid and start time"
    if not evidence.same_pid_namespace:
        return Liveness.UNKNOWN, f"{name}: in another container, its pids cannot be seen from here"
    if evidence.running is False:
        return Liveness.DEAD, f"{name}: no such process any more"
    if evidence.running is None or evidence.pid_start is None:
        return Liveness.UNKNOWN, f"{name}: the process cannot be looked at from here"
    if evidence.pid_start != owner.pid_start:
        return Liveness.DEAD, f"{name}: that pid belongs to another process now"
    return Liveness.ALIVE, f"{name}: the process is there"


def _job(owner: Owner) -> str:
    name = f"Slurm job {owner.slurm_job}" if owner.slurm_job else "its Slurm job"
    return f"{name} on {owner.slurm_cluster}" if owner.slurm_cluster else name


def describe(owner: Owner) -> str:
    """Describe an owner, such as "process (service) of hesiod, pid 4711 on promethion1".

    The text contains only what the record says.
    """
    what = owner.action or "a process"
    if owner.executor:
        what += f" ({owner.executor})"
    if owner.user:
        what += f" of {owner.user}"
    if owner.pid:
        what += f", pid {owner.pid}"
    return f"{what} on {owner.host or 'an unnamed host'}"


def is_silent(signs: Iterable[datetime | None], now: datetime) -> bool:
    """Whether none of the last signs of an owner's work is less than an hour old.

    This proves no death. It only decides when a person is asked to check. A sign may be a minute
    ahead, because it is by the clock of another host.
    """
    return all(rested(sign, now + SKEW, SILENCE + SKEW) for sign in signs)
