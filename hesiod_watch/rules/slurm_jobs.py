"""Death of Slurm jobs: the controller and the accounting prove it together, neither does alone.

The accounting alone proves nothing. It shows the end of a job at once, but the processes of a
cancelled job may live for the whole `KillWait` (COMPLETING), and for seconds after a requeue it
shows only the end of the first start. A controller that does not know a job proves nothing either:
it forgets ended jobs after `MinJobAge`, and jobs of the last seconds when it is killed. No state of
a lost job is a proof, because its processes may live on (`rules.lost_nodes`).

A caller asks the accounting first and the controller second, so that the later answer counts.

This module only computes; `remote.slurm` collects the `JobEvidence`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from datetime import datetime

from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.naming import display
from hesiod_watch.core.ownership import Liveness, Owner
from hesiod_watch.rules.lost_nodes import LostNodes, why_it_may_live

ENDED = frozenset(
    ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY", "PREEMPTED", "DEADLINE")
)
"""States of a job without processes, if the controller shows them."""
LOST = frozenset(("NODE_FAIL", "BOOT_FAIL", "REVOKED"))
"""States of a job that ended for Slurm, while its processes may live on a node without contact."""
LIVING = frozenset(
    (
        *("PENDING", "CONFIGURING", "RUNNING", "SUSPENDED", "STOPPED", "SIGNALING", "RESIZING"),
        *("STAGE_OUT", "COMPLETING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "RESV_DEL_HOLD"),
        "SPECIAL_EXIT",
    )
)
"""States of a job that runs, will run, may run again, or still has processes."""
WAITING = frozenset(("PENDING", "REQUEUED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT"))
"""States of a job that has not begun, or not again after a requeue."""
JOB_NAME = re.compile(r"hw-[a-z]+-[0-9a-f]{16}")


@frozen
class JobRow:
    """One row about a job, as the controller or the accounting shows it."""

    job_id: str
    state: str  # one word, such as "RUNNING"
    ended: bool = False  # only of the accounting: the row has an end time
    end: datetime | None = None  # that time, in UTC; None: it cannot be read
    nodes: str = ""
    restarts: int = 0  # only of the controller: number of requeues
    reason: str = ""  # only of the controller: why a pending job waits


@frozen
class JobEvidence:
    """Rows about the jobs of one name; None if there was no answer, () if it has no such job."""

    name: str
    controller: tuple[JobRow, ...] | None = None
    accounting: tuple[JobRow, ...] | None = None
    problem: str = ""  # why the controller or the accounting gave no answer
    nodes: LostNodes | None = None  # None: not asked, because no job of the name was lost


def job_name(action: str, token: str) -> str:
    """Name of the job of a claim: it is chosen before the job is submitted, and never used again.

    So the job can be found after any loss of an answer. `token` is that of the claim, in hex.
    """
    return f"hw-{action}-{token[:16]}"


@frozen
class JobMark:
    """Purpose of a job, as its comment in Slurm says: digests, because names are not trusted.

    The digest of the cell is that of the run for work on a run.
    """

    installation: str
    run: str
    cell: str

    def __str__(self) -> str:
        return f"hesiod-watch:{self.installation}:{self.run}:{self.cell}"


_MARK = re.compile(r"hesiod-watch:([0-9a-f]{12}):([0-9a-f]{12}):([0-9a-f]{12})")


def job_mark(output: str, run: str, cell: object) -> JobMark:
    """Mark of a job; `output` is the output area, which no two installations share."""
    return JobMark(_digest(output), _digest(output, run), _digest(output, run, str(cell or "")))


def mark_in(comment: str) -> JobMark | None:
    """Mark in the comment of a job; None if hesiod-watch did not submit it."""
    match = _MARK.fullmatch(comment)
    return JobMark(*match.groups()) if match else None


def _digest(*words: str) -> str:
    text = "\0".join(word for word in words if word)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:12]


@frozen
class ListedJob:
    """A job of an installation, as the controller lists it."""

    name: str
    row: JobRow
    mark: JobMark

    @property
    def lives(self) -> bool:
        return self.row.state in LIVING

    def does(self, action: str) -> bool:
        """Whether the job performs this action."""
        return self.name.startswith(f"hw-{action}-")


def waiting_jobs(jobs: Iterable[ListedJob]) -> frozenset[str]:
    """Names of the jobs that have not begun, or not again after a requeue."""
    return frozenset(job.name for job in jobs if job.row.state in WAITING)


def accounting_problem(liveness: Liveness, evidence: JobEvidence) -> str:
    """Why the accounting gives no answer, if the liveness of an owner depends on it; else ""."""
    missing = evidence.controller is not None and evidence.accounting is None
    return evidence.problem if missing and liveness is Liveness.UNKNOWN else ""


@frozen
class JobEnd:
    """How the job of a dead owner ended."""

    is_attempt: bool  # False: the work is started again without counting it
    words: str  # end of a sentence that begins with the attempt


_ENDS = {
    "FAILED": "failed",
    "OUT_OF_MEMORY": "used more memory than slurm.memory allows",
    "TIMEOUT": "reached its time limit slurm.time",
    "COMPLETED": "ended without a result",
    "CANCELLED": "was cancelled",
    "PREEMPTED": "was preempted by another job",
    "DEADLINE": "could not end before its deadline",
    "NODE_FAIL": "lost its node",
    "BOOT_FAIL": "could not start: its node did not boot",
}
_NO_ATTEMPT = frozenset(("PREEMPTED", "DEADLINE", *LOST))


def job_end(owner: Owner, evidence: JobEvidence, log: str, *, worked: bool) -> JobEnd:
    """How a job ended that is proven dead; `log` is the file with its output.

    `worked` says whether a worker has recorded itself. A job that was cancelled before, or that
    Slurm has lost, was no attempt.
    """
    rows = [
        row
        for row in _rows_of(owner, (*(evidence.accounting or ()), *(evidence.controller or ())))
        if row.state in ENDED | LOST
    ]
    if not rows:
        return JobEnd(False, f"has not begun: Slurm has no job {evidence.name}")
    row = rows[-1]
    where = f" on {display(row.nodes)}" if row.nodes else ""
    words = (
        f"ended with its Slurm job {display(row.job_id)} ({evidence.name}){where}, which "
        f"{_ENDS.get(row.state, 'ended')} ({display(row.state)})"
    )
    is_attempt = row.state not in _NO_ATTEMPT and (worked or row.state != "CANCELLED")
    return JobEnd(is_attempt, f"{words}; its output: {display(log)}" if is_attempt else words)


def is_submission(owner: Owner) -> bool:
    """Whether a record names a job from outside: its process submits the job, and is no worker."""
    return bool(owner.slurm_name) and not owner.slurm_job


def judge_job(owner: Owner, evidence: JobEvidence) -> tuple[Liveness, str]:
    """Liveness of a worker's job, and a sentence with its id, its state and what proves it.

    Other jobs of the same name do not count if the record names the job's id.
    """
    who = _job(owner, evidence)
    if evidence.controller is None:
        return _unknown(f"{who}: {_no_answer('controller', evidence)}")
    shown = _rows_of(owner, evidence.controller)
    recorded = _rows_of(owner, evidence.accounting or ())
    if living := _first(shown, LIVING):
        return Liveness.ALIVE, f"{who}: the controller shows {_words(living)}"
    if strange := [row for row in shown if row.state not in ENDED | LOST]:
        return _unknown(f"{who}: the controller shows {_words(strange[0])}, an unknown state")
    lost = _first((*shown, *recorded), LOST)
    if lost and (why := _why_lost_may_live(shown, recorded, evidence.nodes)):
        return _unknown(f"{who}: {_words(lost)}: its processes may live there, because {why}")
    if shown:
        restarts = max(row.restarts for row in shown)
        if restarts and len(recorded) <= restarts:
            return _unknown(f"{who}: it was requeued, and the accounting does not show every start")
        return Liveness.DEAD, f"{who}: the controller shows {_words(shown[-1])}"
    if evidence.accounting is None:
        return _unknown(
            f"{who}: the controller does not know it any more, and "
            f"{_no_answer('accounting', evidence)}"
        )
    if not recorded:
        return _unknown(f"{who}: neither the controller nor the accounting knows it")
    for row in recorded:
        if not row.ended or row.state not in ENDED | LOST | {"REQUEUED"}:
            return _unknown(
                f"{who}: the accounting shows {_words(row)} without an end, but the controller "
                "does not know the job"
            )
    ends = [row for row in recorded if row.state in ENDED | LOST]
    if not ends:
        return _unknown(f"{who}: it was requeued, and the accounting does not show every start")
    return Liveness.DEAD, (
        f"{who}: the accounting shows {_words(ends[-1])}, and the controller does not know it "
        "any more"
    )


def judge_submission(
    owner: Owner, process: tuple[Liveness, str], evidence: JobEvidence
) -> tuple[Liveness, str]:
    """Liveness of a claim whose job may be submitted, and whose worker has made no record.

    `process` is the verdict on the process that submits. If it is dead and the controller has no
    job of this name, none comes. If one comes nevertheless, for example from a controller that was
    frozen, its worker meets the next claim and yields.
    """
    if evidence.controller == () and not evidence.accounting:
        liveness, why = process
        return liveness, f"{why}; the controller has no job {evidence.name}"
    return judge_job(owner, evidence)


def _why_lost_may_live(shown: list[JobRow], recorded: list[JobRow], nodes: LostNodes | None) -> str:
    """Why processes of a job may live that was lost at least once; "" if none can."""
    if shown:
        return "the controller has not forgotten the job yet"
    for row in recorded:
        if row.state == "REVOKED":
            return "another cluster may have started it"
        if row.state in LOST and (why := why_it_may_live(row.nodes, row.end, nodes)):
            return why
    return ""


def _unknown(why: str) -> tuple[Liveness, str]:
    return Liveness.UNKNOWN, why


def _rows_of(owner: Owner, rows: Iterable[JobRow]) -> list[JobRow]:
    return [row for row in rows if owner.slurm_job in ("", row.job_id)]


def _first(rows: Iterable[JobRow], states: frozenset[str]) -> JobRow | None:
    return next((row for row in rows if row.state in states), None)


def _job(owner: Owner, evidence: JobEvidence) -> str:
    rows = (*(evidence.controller or ()), *(evidence.accounting or ()))
    number = owner.slurm_job or next((row.job_id for row in rows), "")
    where = f" on {display(owner.slurm_cluster)}" if owner.slurm_cluster else ""
    return (
        f"Slurm job {display(number)} ({evidence.name}){where}"
        if number
        else (f"Slurm job {evidence.name}{where}")
    )


def _words(row: JobRow) -> str:
    where = f" on {display(row.nodes)}" if row.nodes else ""
    why = f" ({display(row.reason)})" if row.reason else ""
    return f"{display(row.state)}{where}{why}"


def _no_answer(which: str, evidence: JobEvidence) -> str:
    why = f" ({display(evidence.problem)})" if evidence.problem else ""
    return f"the {which} does not answer{why}"
