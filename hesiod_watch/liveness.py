"""Does the owner of a claim still live? Three answers; DEAD needs a proof, and age is never one.

A claim taken from a living owner means two workers on one cell; a claim left with a dead one means a
cell that waits for a person. The first is the worse, so every doubt is UNKNOWN: another host, a
container, an empty flag, an accounting that does not answer. A process that is stopped or hangs on a
dead mount is alive: it may wake up and write.

Pure: the `Evidence` is gathered elsewhere (`machine.look_up` for processes, the Slurm executor for jobs).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias, TypeGuard

from hesiod_watch.model import Liveness, Owner, Round

Judge: TypeAlias = Callable[[Owner | None], tuple[Liveness, str]]
"""Looks an owner up and judges it: liveness and the sentence for people. None: a flag that names nobody."""


@dataclass(frozen=True, slots=True)
class JobRow:
    """One incarnation of a Slurm job as its accounting tells it; a requeued job has several."""

    state: str  # as printed: "RUNNING", "CANCELLED by 1000"
    ended: bool  # it has an end time


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the machine that asks knows about an owner. None is "cannot tell", never "no"."""

    same_machine: bool | None = None
    same_boot: bool | None = None
    same_pid_namespace: bool | None = None
    running: bool | None = None  # a process of that pid is there; means nothing unless the three above are True
    pid_start: int | None = None  # its start time, field 22 of /proc/PID/stat
    # Rows of the owner's job *and submit time* (ids are used again). None: nobody asked, or no usable answer.
    job_rows: tuple[JobRow, ...] | None = None


# Words of sacct(1), "JOB STATE CODES". A word in neither list is not guessed at.
# fmt: off
JOB_LIVES = frozenset({
    "PENDING", "RUNNING", "SUSPENDED", "COMPLETING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD",
    "RESIZING", "RESV_DEL_HOLD", "SIGNALING", "SPECIAL_EXIT", "STAGE_OUT", "STOPPED",
})
JOB_HAS_ENDED = frozenset({
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED",
    "REVOKED", "TIMEOUT",
})
# fmt: on


def under_way(last: Round | None) -> TypeGuard[Round]:
    """Somebody is at this round of work, or may be."""
    return last is not None and not last.ending and last.liveness is not Liveness.DEAD


def unclear(last: Round | None) -> TypeGuard[Round]:
    """This round was begun, and its owner can neither be seen alive nor proven dead."""
    return last is not None and not last.ending and last.liveness is Liveness.UNKNOWN


def same_process(one: Owner, other: Owner) -> bool:
    """Both records were made by one process. False where they do not say enough to know."""
    known = one.boot_id and one.pid and one.pid_start
    return bool(known) and _process(one) == _process(other)


def _process(owner: Owner) -> tuple[str, str, int, int]:
    return owner.boot_id, owner.pid_namespace, owner.pid, owner.pid_start


def judge(owner: Owner | None, evidence: Evidence | None) -> tuple[Liveness, str]:
    """The verdict on an owner, and a sentence for people that says whom it is about and why.

    A record may name a process and the Slurm job around it. If either is known to live the owner lives;
    otherwise the proof that either has ended is enough: a job that ends takes its processes with it, and a
    second incarnation of a requeued job finds the first one's record and does not start.
    """
    if owner is None:
        return Liveness.UNKNOWN, "the flag names no owner: made by hand or by an earlier Hesiod"
    if evidence is None:
        return Liveness.UNKNOWN, f"{describe(owner)}: nobody could look"
    verdicts = [_judge_process(owner, evidence)]
    if owner.slurm_job:
        verdicts.append(_judge_job(owner, evidence))
    for wanted in (Liveness.ALIVE, Liveness.DEAD):
        for liveness, why in verdicts:
            if liveness is wanted:
                return liveness, why
    return Liveness.UNKNOWN, "; ".join(why for _, why in verdicts)


def _judge_process(owner: Owner, evidence: Evidence) -> tuple[Liveness, str]:
    name = describe(owner)
    if not owner.host or not owner.boot_id:
        return Liveness.UNKNOWN, f"{name}: the record does not say enough about its machine"
    if evidence.same_machine is None:
        return Liveness.UNKNOWN, f"{name}: cannot tell whether that is this machine"
    if not evidence.same_machine:
        return Liveness.UNKNOWN, f"{name}: another host, only that one can tell"
    if evidence.same_boot is None:
        return Liveness.UNKNOWN, f"{name}: cannot tell whether this machine was restarted since"
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


def _judge_job(owner: Owner, evidence: Evidence) -> tuple[Liveness, str]:
    name = f"Slurm job {owner.slurm_job}" + (f" on {owner.slurm_cluster}" if owner.slurm_cluster else "")
    if not owner.slurm_submitted:
        return Liveness.UNKNOWN, f"{name}: the record does not say when it was submitted, and job ids are used again"
    if not evidence.job_rows:
        return Liveness.UNKNOWN, f"{name}: its accounting has no answer"
    words = [row.state.split()[0] if row.state.split() else "" for row in evidence.job_rows]
    if living := [word for word in words if word in JOB_LIVES]:
        return Liveness.ALIVE, f"{name}: {living[0]}"
    if strange := [word for word in words if word not in JOB_HAS_ENDED]:
        return Liveness.UNKNOWN, f"{name}: state {strange[0]!r} is not known to this program"
    if not all(row.ended for row in evidence.job_rows):
        return Liveness.UNKNOWN, f"{name}: {words[-1]}, but without an end time"
    return Liveness.DEAD, f"{name}: {words[-1]}"


def describe(owner: Owner) -> str:
    """E.g. "process (service) of hesiod, pid 4711 on promethion1"; says what the record says, no more."""
    what = owner.action or "somebody"
    if owner.executor:
        what += f" ({owner.executor})"
    if owner.user:
        what += f" of {owner.user}"
    if owner.pid:
        what += f", pid {owner.pid}"
    return f"{what} on {owner.host or 'an unnamed host'}"
