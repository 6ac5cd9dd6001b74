"""Liveness of Slurm jobs: each state that a real Slurm shows, and what it proves."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
from owners import HERE, PROCESS
from snapshots import cell, claim, flag, run

from hesiod_watch.core.model import Snapshot
from hesiod_watch.core.ownership import Liveness
from hesiod_watch.rules.liveness import OwnerEvidence, judge
from hesiod_watch.rules.slurm_jobs import (
    ENDED,
    JOB_NAME,
    LIVING,
    LOST,
    JobEvidence,
    JobRow,
    ListedJob,
    accounting_problem,
    job_end,
    job_mark,
    job_name,
    mark_in,
    waiting_jobs,
)
from hesiod_watch.rules.unwanted_jobs import unwanted_jobs

ALIVE, DEAD, UNKNOWN = Liveness.ALIVE, Liveness.DEAD, Liveness.UNKNOWN
NAME = job_name("process", "0123456789abcdef" * 2)
DECIDER = replace(PROCESS, executor="slurm", slurm_name=NAME)
WORKER = replace(DECIDER, host="node1", machine_id="n", boot_id="c", slurm_job="17")
GONE = replace(HERE, running=False, pid_start=None)
ELSEWHERE = OwnerEvidence(same_machine=False)


def shown(*states: str, restarts: int = 0) -> tuple[JobRow, ...]:
    return tuple(JobRow("17", state, nodes="node1", restarts=restarts) for state in states)


def ended(*states: str) -> tuple[JobRow, ...]:
    return tuple(JobRow("17", state, ended=True, nodes="node1") for state in states)


TABLE = {
    # case: what the controller shows, what the accounting shows, the verdict on a worker
    "held or just submitted": (shown("PENDING"), (), ALIVE),
    "running": (shown("RUNNING"), shown("PENDING"), ALIVE),
    "running, recorded": (shown("RUNNING"), shown("RUNNING"), ALIVE),
    "completed": (shown("COMPLETED"), ended("COMPLETED"), DEAD),
    "failed": (shown("FAILED"), ended("FAILED"), DEAD),
    "out of memory": (shown("OUT_OF_MEMORY"), ended("OUT_OF_MEMORY"), DEAD),
    "ended, not recorded yet": (shown("FAILED"), shown("RUNNING"), DEAD),
    "cancelled, ignores TERM": (shown("COMPLETING"), ended("CANCELLED"), ALIVE),
    "cancelled, after KillWait": (shown("CANCELLED"), ended("CANCELLED"), DEAD),
    "timeout, ignores TERM": (shown("COMPLETING"), ended("TIMEOUT"), ALIVE),
    "timeout, after KillWait": (shown("TIMEOUT"), ended("TIMEOUT"), DEAD),
    "preempted, first seconds": (shown("PENDING", restarts=1), ended("PREEMPTED"), ALIVE),
    "preempted, requeued": (
        shown("PENDING", restarts=1),
        (*ended("PREEMPTED"), *shown("PENDING")),
        ALIVE,
    ),
    "preempted without requeue": (shown("PREEMPTED"), ended("PREEMPTED"), DEAD),
    "requeued by hand": (shown("PENDING", restarts=1), ended("REQUEUED"), ALIVE),
    "requeued, and ended": (
        shown("COMPLETED", restarts=1),
        ended("REQUEUED", "COMPLETED"),
        DEAD,
    ),
    "requeued, one start not recorded": (
        shown("COMPLETED", restarts=1),
        ended("COMPLETED"),
        UNKNOWN,
    ),
    "requeued, accounting silent": (shown("COMPLETED", restarts=1), None, UNKNOWN),
    "requeued, last start not recorded": ((), ended("REQUEUED", "REQUEUED"), UNKNOWN),
    "requeued after a lost node": (
        shown("COMPLETED", restarts=1),
        ended("NODE_FAIL", "COMPLETED"),
        UNKNOWN,
    ),
    "node lost": (shown("NODE_FAIL"), ended("NODE_FAIL"), UNKNOWN),
    "node lost, purged": ((), ended("NODE_FAIL"), UNKNOWN),
    "node lost, accounting silent": (shown("NODE_FAIL"), None, UNKNOWN),
    "node came back": (shown("PENDING", restarts=1), ended("NODE_FAIL"), ALIVE),
    "node did not start it": (shown("BOOT_FAIL"), ended("BOOT_FAIL"), UNKNOWN),
    "revoked": (shown("REVOKED"), ended("REVOKED"), UNKNOWN),
    "purged": ((), ended("COMPLETED"), DEAD),
    "purged, requeued before": ((), ended("REQUEUED", "FAILED"), DEAD),
    "purged, accounting silent": ((), None, UNKNOWN),
    "forgotten by the controller": ((), shown("RUNNING"), UNKNOWN),
    "end without an end time": ((), shown("COMPLETED"), UNKNOWN),
    "unknown job": ((), (), UNKNOWN),
    "controller silent, running before": (None, shown("RUNNING"), UNKNOWN),
    "controller silent, ended": (None, ended("COMPLETED"), UNKNOWN),
    "both silent": (None, None, UNKNOWN),
    "accounting silent, running": (shown("RUNNING"), None, ALIVE),
    "accounting silent, in memory": (shown("FAILED"), None, DEAD),
    "state of a later Slurm": (shown("DREAMING"), ended("COMPLETED"), UNKNOWN),
    "recorded state of a later Slurm": ((), ended("DREAMING"), UNKNOWN),
    "ended and living rows": (shown("FAILED", "RUNNING"), ended("FAILED"), ALIVE),
}


@pytest.mark.parametrize(("controller", "accounting", "verdict"), TABLE.values(), ids=TABLE)
def test_job_of_a_worker(
    controller: tuple[JobRow, ...] | None,
    accounting: tuple[JobRow, ...] | None,
    verdict: Liveness,
) -> None:
    """A job is dead if the controller shows its end, or has forgotten an end on record."""
    liveness, why = judge(WORKER, ELSEWHERE, JobEvidence(NAME, controller, accounting))
    assert liveness is verdict
    assert f"Slurm job 17 ({NAME})" in why


@pytest.mark.parametrize(("controller", "accounting", "verdict"), TABLE.values(), ids=TABLE)
@pytest.mark.parametrize("process", [HERE, GONE, ELSEWHERE], ids=["runs", "gone", "elsewhere"])
def test_job_of_a_claim_without_a_worker(
    controller: tuple[JobRow, ...] | None,
    accounting: tuple[JobRow, ...] | None,
    verdict: Liveness,
    process: OwnerEvidence,
) -> None:
    """A job that Slurm knows decides; the process that submitted it counts only without one."""
    if controller == () and not accounting:
        verdict = judge(replace(DECIDER, executor="local"), process)[0]
    liveness, why = judge(DECIDER, process, JobEvidence(NAME, controller, accounting))
    assert liveness is verdict
    assert NAME in why


def test_no_job_and_a_dead_submitter() -> None:
    """A claim without a job is free after the end of its submitter, if the controller answers."""
    assert judge(DECIDER, GONE, JobEvidence(NAME, (), ()))[0] is DEAD
    assert judge(DECIDER, HERE, JobEvidence(NAME, (), ()))[0] is ALIVE
    assert judge(DECIDER, ELSEWHERE, JobEvidence(NAME, (), ()))[0] is UNKNOWN
    assert judge(DECIDER, GONE, JobEvidence(NAME, None, ()))[0] is UNKNOWN
    assert judge(DECIDER, GONE)[0] is UNKNOWN


def test_dead_only_with_proof() -> None:
    """For all evidence, DEAD needs a controller that answers, without a living or lost row."""
    words = [*sorted(LIVING | LOST | ENDED), "NEW_WORD"]
    rows = [(), *(shown(word) for word in words)]
    recorded = [*rows, *(ended(word) for word in words)]
    for controller, accounting in product([None, *rows], [None, *recorded]):
        liveness, _ = judge(WORKER, ELSEWHERE, JobEvidence(NAME, controller, accounting))
        states = {row.state for row in (*(controller or ()), *(accounting or ()))}
        if liveness is DEAD:
            assert controller is not None
            assert not states & LOST
            assert {row.state for row in controller} <= ENDED
            assert controller or (accounting and all(row.ended for row in accounting))
        if controller and controller[0].state in LIVING:
            assert liveness is ALIVE


def test_another_job_proves_nothing() -> None:
    """Rows of another id, or evidence about another name, are no evidence about a worker."""
    other = (JobRow("18", "COMPLETED", ended=True),)
    assert judge(WORKER, ELSEWHERE, JobEvidence(NAME, other, other))[0] is UNKNOWN
    running = (*shown("FAILED"), JobRow("18", "RUNNING"))
    assert judge(WORKER, ELSEWHERE, JobEvidence(NAME, running, ()))[0] is DEAD
    assert judge(DECIDER, ELSEWHERE, JobEvidence(NAME, running, ()))[0] is ALIVE
    named = JobEvidence("hw-process-" + "0" * 16, shown("FAILED"), ended("FAILED"))
    assert judge(WORKER, ELSEWHERE, named)[0] is UNKNOWN


def test_a_process_that_is_seen_lives() -> None:
    """A worker whose process is seen here is alive, whatever Slurm shows."""
    here = replace(DECIDER, slurm_job="17")
    purged = JobEvidence(NAME, (), ended("COMPLETED"))
    assert judge(here, HERE, purged)[0] is ALIVE
    assert judge(here, GONE, purged)[0] is DEAD
    assert judge(here, GONE, JobEvidence(NAME, shown("COMPLETING"), ()))[0] is ALIVE


@pytest.mark.parametrize(
    ("evidence", "says"),
    [
        (JobEvidence(NAME, shown("COMPLETING"), ()), "the controller shows COMPLETING on node1"),
        (JobEvidence(NAME, (), ended("FAILED")), "the accounting shows FAILED on node1"),
        (JobEvidence(NAME, shown("NODE_FAIL"), ()), "NODE_FAIL on node1: its processes may live"),
        (JobEvidence(NAME, None, (), "frozen\n"), "controller does not answer (frozen\\n)"),
        (JobEvidence(NAME, (), None), "the accounting does not answer"),
        (JobEvidence(NAME, (), ()), "neither the controller nor the accounting"),
        (JobEvidence(NAME, shown("BAD\x1b")), "BAD\\x1b on node1, an unknown state"),
    ],
)
def test_sentences(evidence: JobEvidence, says: str) -> None:
    """The sentence names the job, its state and node, and the part of Slurm that shows it."""
    assert says in judge(WORKER, ELSEWHERE, evidence)[1]


JOB = f"process (slurm) of hesiod, pid 4711 on node1: Slurm job 17 ({NAME})"


@pytest.mark.parametrize(
    ("evidence", "sentence"),
    [
        (
            JobEvidence(NAME, (), ended("FAILED")),
            f"{JOB}: the accounting shows FAILED on node1, and the controller does not know it any"
            " more",
        ),
        (
            JobEvidence(NAME, (), None, "frozen"),
            f"{JOB}: the controller does not know it any more, and the accounting does not answer"
            " (frozen)",
        ),
        (
            JobEvidence(NAME, (), ended("REVOKED")),
            f"{JOB}: REVOKED on node1: its processes may live there, because another cluster may"
            " have started it",
        ),
        (
            JobEvidence(NAME, (), shown("RUNNING")),
            f"{JOB}: the accounting shows RUNNING on node1 without an end, but the controller does"
            " not know the job",
        ),
        (
            JobEvidence(NAME, shown("COMPLETED", restarts=1), ()),
            f"{JOB}: it was requeued, and the accounting does not show every start",
        ),
    ],
    ids=["ended", "no answer", "elsewhere", "without an end", "requeued"],
)
def test_whole_sentences(evidence: JobEvidence, sentence: str) -> None:
    """A sentence names the owner, its job, and what is known or missing."""
    assert judge(WORKER, ELSEWHERE, evidence)[1] == sentence


def test_a_job_without_a_number() -> None:
    """A job of which no row is known is named by its name alone."""
    why = judge(replace(DECIDER, slurm_cluster="c1"), GONE, JobEvidence(NAME, None, None))[1]
    assert f"Slurm job {NAME} on c1: the controller does not answer" in why


def test_an_end_that_slurm_names_otherwise() -> None:
    """An end without words of its own is still a sentence."""
    end = job_end(DECIDER, JobEvidence(NAME, ended("REVOKED")), "/output/a.log", worked=True)
    assert end.words == f"ended with its Slurm job 17 ({NAME}) on node1, which ended (REVOKED)"


def test_marks_of_all_versions() -> None:
    """A mark is the same in every version, or an upgrade would lose the jobs that run."""
    assert str(job_mark("/output", "run", "lib/c")) == (
        "hesiod-watch:a04d92cb3d56:bfeb10f6bc51:984894b1eb9e"
    )
    assert mark_in(str(job_mark("/out\udcff", "run", None)))


def test_names() -> None:
    """The name of a job contains the action and half of the claim's token."""
    assert NAME == "hw-process-0123456789abcdef"
    assert JOB_NAME.fullmatch(NAME)
    assert not JOB_NAME.fullmatch(f"{NAME},other")
    assert not JOB_NAME.fullmatch(f"{NAME}\n")


@pytest.mark.parametrize("worked", [False, True], ids=["pending", "worked"])
@pytest.mark.parametrize("state", sorted(ENDED | LOST))
def test_ends_that_are_attempts(state: str, worked: bool) -> None:
    """A failure and a limit are attempts; preemption and loss are not; cancellation of work is."""
    end = job_end(DECIDER, JobEvidence(NAME, ended(state)), "/output/a.log", worked=worked)
    counts = {"CANCELLED": worked, "PREEMPTED": False, "DEADLINE": False}
    assert end.is_attempt is (state not in LOST and counts.get(state, True))
    assert f"17 ({NAME}) on node1" in end.words
    assert state in end.words
    assert ("/output/a.log" in end.words) is end.is_attempt


def test_problem_of_the_accounting() -> None:
    """A silent accounting is a problem only for a verdict that depends on it."""
    silent = JobEvidence(NAME, (), None, "refused")
    assert accounting_problem(UNKNOWN, silent) == "refused"
    assert accounting_problem(DEAD, replace(silent, controller=shown("FAILED"))) == ""
    assert accounting_problem(ALIVE, JobEvidence(NAME, shown("RUNNING"))) == ""
    assert accounting_problem(UNKNOWN, replace(silent, controller=None)) == ""
    assert accounting_problem(UNKNOWN, JobEvidence(NAME, (), ())) == ""


def test_jobs_that_wait() -> None:
    """A job waits until it begins, and again after a requeue."""
    mark = job_mark("/output", "run", None)
    jobs = [ListedJob(f"of {state}", JobRow("1", state), mark) for state in LIVING | ENDED]
    assert {"of PENDING", "of REQUEUE_HOLD"} <= waiting_jobs(jobs) < {job.name for job in jobs}
    assert not waiting_jobs(jobs) & {"of RUNNING", "of COMPLETING", "of COMPLETED"}


def test_end_of_no_job() -> None:
    """A job that Slurm does not have was no attempt."""
    end = job_end(DECIDER, JobEvidence(NAME, (), ()), "/output/a.log", worked=False)
    assert not end.is_attempt
    assert NAME in end.words


def test_marks() -> None:
    """A mark tells cells, runs and installations apart, and is read from a comment."""
    marks = [
        job_mark(output, run, cell)
        for output, run, cell in product(("/a", "/b"), ("r", "s"), (None, "l/c", "l/d"))
    ]
    assert len(set(marks)) == len(marks)
    assert len({mark.installation for mark in marks}) == 2
    assert len({mark.run for mark in marks}) == 4
    assert len({mark.cell for mark in marks}) == len(marks)
    assert [mark_in(str(mark)) for mark in marks] == marks
    assert mark_in("hesiod-watch:x") is None
    assert mark_in(f"{marks[0]}\n") is None


def test_unwanted() -> None:
    """A job without a claim is unwanted, and one of an aborted run or cell; doubt means wanted."""
    here, there = cell("c1"), cell("c2")
    owned = replace(here.flags, claims=(claim(owner=DECIDER),))

    def job(name: str, of: object) -> ListedJob:
        return ListedJob(name, JobRow("1", "RUNNING"), job_mark("/output", "run", of))

    mine, other = job(NAME, here.id), job(job_name("process", "f" * 32), here.id)
    backup = job(job_name("backup", "e" * 32), there.id)
    jobs = (mine, other, backup)

    def unwanted(snapshot: Snapshot) -> list[ListedJob]:
        return list(unwanted_jobs(snapshot, jobs, Path("/output")))

    working = run(replace(here, flags=owned), there)
    assert unwanted(working) == [other]
    assert unwanted(replace(working, problem="it cannot be read")) == []
    assert unwanted(replace(working, flags=frozenset({"aborted"}))) == list(jobs)
    done = replace(owned, done=flag())
    assert unwanted(run(replace(here, flags=done), there)) == [mine, other]
    aborted = replace(there.flags, aborted=flag())
    assert unwanted(run(replace(here, flags=owned), replace(there, flags=aborted))) == [
        other,
        backup,
    ]
    yielded = replace(owned, claims=(claim(owner=DECIDER, yielded=True),))
    assert unwanted(run(replace(here, flags=yielded), there)) == [mine, other]
