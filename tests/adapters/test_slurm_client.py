"""Jobs of a real Slurm: what its commands answer, and the verdict about the job's worker."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from sites import eventually
from slurm_cluster import OLD_AGE, SlurmCluster

from hesiod_watch.core.ownership import Liveness, Owner
from hesiod_watch.host.process import judge_here, this_owner
from hesiod_watch.remote.slurm import SlurmClient
from hesiod_watch.remote.slurm_answers import Submission, SubmissionOutcome
from hesiod_watch.rules.liveness import OwnerEvidence, judge
from hesiod_watch.rules.slurm_jobs import JobEvidence, job_name

pytestmark = pytest.mark.system

ALIVE, DEAD, UNKNOWN = Liveness.ALIVE, Liveness.DEAD, Liveness.UNKNOWN
SINCE = datetime.now(UTC)
SLEEP = ("sleep", "600")
STUBBORN = ("sh", "-c", "trap '' TERM; while :; do sleep 0.2; done")
GREEDY = ("python3", "-c", "x = bytearray(400_000_000); x[::4096] = b'x' * len(x[::4096])")


@dataclass
class Job:
    """A job of the cluster, and its worker as a record names it."""

    slurm: SlurmCluster
    name: str
    job_id: str

    def evidence(self, within: float = 12) -> JobEvidence:
        return SlurmClient(answer_within=within).evidence([self.name], SINCE)[self.name]

    def verdict(self, within: float = 12) -> Liveness:
        """Verdict about the worker, seen from another host; DEAD only without a process."""
        worker = Owner("t", executor="slurm", slurm_job=self.job_id, slurm_name=self.name)
        liveness, why = judge(worker, OwnerEvidence(same_machine=False), self.evidence(within))
        assert self.name in why
        if liveness is DEAD:
            assert not self.slurm.processes_of(self.job_id)
        return liveness

    def becomes(self, *states: str) -> None:
        """Wait until the controller shows one of these states."""
        eventually(lambda: self.slurm.shown(self.job_id) in states, f"the job is {states}")

    def name_is_recorded(self) -> bool:
        """Whether the accounting finds the job by its name, which it learns after some seconds."""
        return self.name in (SlurmClient().ended([self.name], SINCE)[0] or {})

    def is_recorded(self, state: str) -> bool:
        """Whether the accounting shows that the job ended with this state."""
        last = self.slurm.recorded(self.job_id).rpartition("\n")[2]
        return last.startswith(state) and not last.endswith(("|Unknown", "|"))


def new_name() -> str:
    return job_name("process", secrets.token_hex(16))


def try_submit(
    slurm: SlurmCluster, name: str, *options: str, command: Sequence[str] = SLEEP
) -> Submission:
    log = str(slurm.directory / "jobs" / "%j.log")
    return SlurmClient(answer_within=12).submit(name, command, log, options)


def submit(slurm: SlurmCluster, *options: str, command: Sequence[str] = SLEEP) -> Job:
    name = new_name()
    submission = try_submit(slurm, name, *options, command=command)
    assert submission.outcome is SubmissionOutcome.ACCEPTED, submission.why
    return Job(slurm, name, submission.job_id)


def test_held_and_running(slurm: SlurmCluster) -> None:
    """A job is alive while it is held, without a row in the accounting, and while it runs."""
    job = submit(slurm, "--hold")
    assert job.verdict() is ALIVE
    assert slurm.recorded(job.job_id) == ""
    assert "JobHeldUser" in str(job.evidence().controller)
    slurm.run("scontrol", "release", job.job_id)
    job.becomes("RUNNING")
    assert job.verdict() is ALIVE


def test_ended(slurm: SlurmCluster) -> None:
    """A job that has ended is dead, also when only the accounting remembers it."""
    jobs = {
        "COMPLETED": submit(slurm, command=("true",)),
        "FAILED": submit(slurm, command=("sh", "-c", "exit 3")),
        "OUT_OF_MEMORY": submit(slurm, "--mem=50M", command=GREEDY),
    }
    for state, job in jobs.items():
        job.becomes(state)
        assert job.verdict() is DEAD
    slurm.forget_after(2)
    for state, job in jobs.items():
        job.becomes("")
        eventually(partial(job.is_recorded, state), "the end is recorded")
        eventually(job.name_is_recorded, "the name is recorded")
        assert job.evidence().controller == ()
        assert job.verdict() is DEAD


def test_cancelled_without_ending(slurm: SlurmCluster) -> None:
    """A cancelled job that ignores TERM is alive, although the accounting shows its end."""
    job = submit(slurm, command=STUBBORN)
    eventually(lambda: len(slurm.processes_of(job.job_id)) > 0, "the job runs")
    job.becomes("RUNNING")
    assert SlurmClient().cancel([job.name]) == ""
    eventually(lambda: job.is_recorded("CANCELLED"), "the accounting shows the end")
    assert job.verdict() is ALIVE
    assert slurm.processes_of(job.job_id)
    eventually(lambda: job.verdict() is DEAD, "it is dead after KillWait")


@pytest.mark.slow
def test_time_limit_without_ending(slurm: SlurmCluster) -> None:
    """A job at its time limit that ignores TERM is alive, although the accounting shows its end."""
    job = submit(slurm, command=STUBBORN)
    job.becomes("RUNNING")
    slurm.run("scontrol", "update", f"JobId={job.job_id}", "EndTime=now+2")
    job.becomes("COMPLETING")
    eventually(lambda: job.is_recorded("TIMEOUT"), "the accounting shows the end")
    assert job.verdict() is ALIVE
    eventually(lambda: job.verdict() is DEAD, "it is dead after KillWait")
    assert slurm.shown(job.job_id) == "TIMEOUT"


def test_cancelled_while_pending(slurm: SlurmCluster) -> None:
    """A job that is cancelled before it starts is dead; it may be cancelled twice."""
    job = submit(slurm, "--hold")
    assert SlurmClient().cancel([job.name]) == ""
    assert SlurmClient().cancel([job.name, "not ours", new_name()]) == ""
    job.becomes("CANCELLED")
    assert job.verdict() is DEAD


@pytest.mark.slow
def test_preempted(slurm: SlurmCluster) -> None:
    """A preempted job is dead; one that is requeued is alive at every moment."""
    ours = submit(slurm, "--exclusive", f"--nodelist={slurm.nodes[0]}")
    name = new_name()
    requeued = Job(
        slurm,
        name,
        slurm.run(
            *("sbatch", "--parsable", "--requeue", "--exclusive", f"--job-name={name}"),
            *(f"--nodelist={slurm.nodes[1]}", "--output=/dev/null", "--wrap=sleep 600"),
        ),
    )
    for job in (ours, requeued):
        job.becomes("RUNNING")
        eventually(job.name_is_recorded, "the job is recorded")
    for node in slurm.nodes:
        submit(slurm, "--partition=high", "--exclusive", f"--nodelist={node}", command=("true",))
    ours.becomes("PREEMPTED")
    assert ours.verdict() is DEAD
    seen: list[Liveness] = []

    def runs_again() -> bool:
        seen.append(requeued.verdict())
        return slurm.shown(requeued.job_id) == "RUNNING"

    eventually(runs_again, "the job runs again")
    assert set(seen) == {ALIVE}
    assert "PREEMPTED" in slurm.run("sacct", "-X", "-D", "-n", "-o", "State", "-j", requeued.job_id)
    evidence = requeued.evidence()
    assert evidence.controller
    assert evidence.controller[0].restarts == 1


@pytest.mark.slow
def test_lost_node(slurm: SlurmCluster) -> None:
    """The worker on a node without contact is never dead: its processes live on."""
    job = submit(slurm, f"--nodelist={slurm.nodes[0]}")
    job.becomes("RUNNING")
    eventually(lambda: len(slurm.processes_of(job.job_id)) > 0, "the job runs")
    slurm.kill(slurm.nodes[0])
    job.becomes("NODE_FAIL")
    assert slurm.processes_of(job.job_id)
    assert job.verdict() is UNKNOWN
    slurm.forget_after(2)
    job.becomes("")
    assert job.verdict() is UNKNOWN


def is_before_now(job: Job) -> bool:
    """Whether the accounting shows an end before the present second."""
    rows = SlurmClient().ended([job.name], SINCE)[0] or {}
    ends = [row.end for row in rows.get(job.name, ()) if row.end]
    return bool(ends) and max(ends) + timedelta(seconds=1) < datetime.now(UTC)


@pytest.mark.parametrize("known", [True, False], ids=["known", "forgotten"])
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_lost_node_comes_back(slurm: SlurmCluster, known: bool) -> None:
    """A worker on a lost node is dead when Slurm has killed it, after the restart of its slurmd."""
    job = submit(slurm, f"--nodelist={slurm.nodes[0]}", command=STUBBORN)
    job.becomes("RUNNING")
    eventually(lambda: len(slurm.processes_of(job.job_id)) > 0, "the job runs")
    eventually(job.name_is_recorded, "the accounting shows the name")
    slurm.kill(slurm.nodes[0])
    job.becomes("NODE_FAIL")
    eventually(lambda: job.is_recorded("NODE_FAIL"), "the accounting shows the end")
    eventually(lambda: is_before_now(job), "the node starts later than in the second of the end")
    if not known:
        slurm.forget_after(2)
        job.becomes("")
        assert job.verdict() is UNKNOWN
    slurm.up(slurm.nodes[0])
    slurm.forget_after(2)
    # Each verdict is compared with the processes.
    eventually(lambda: job.verdict() is DEAD, "its death is proven", 150)


def test_number_used_again(slurm: SlurmCluster) -> None:
    """A job is found by its name: a later one with its number proves nothing about it."""
    # With two numbers, the controller knows three jobs at most, also those of earlier tests.
    slurm.forget_after(2)
    eventually(lambda: not slurm.run("squeue", "-h", "-t", "all"), "the controller knows no job")
    slurm.forget_after(OLD_AGE)
    slurm.number_jobs(500_000, 500_002)
    first = submit(slurm, command=("true",))
    first.becomes("COMPLETED")
    eventually(lambda: first.is_recorded("COMPLETED"), "the end is recorded")
    eventually(first.name_is_recorded, "the name is recorded")
    slurm.forget_after(2)
    first.becomes("")
    later = [submit(slurm) for _ in range(2)]
    (again,) = [job for job in later if job.job_id == first.job_id]
    again.becomes("RUNNING")
    eventually(again.name_is_recorded, "the name is recorded")
    verdicts = [
        judge(
            Owner("t", executor="slurm", slurm_job=job.job_id, slurm_name=job.name),
            OwnerEvidence(),
            job.evidence(),
        )[0]
        for job in (first, again)
    ]
    assert verdicts == [DEAD, ALIVE]


def test_no_such_job(slurm: SlurmCluster) -> None:
    """A job that Slurm does not know proves no death of a worker, only that of a submission."""
    job = Job(slurm, new_name(), "99999")
    assert job.verdict() is UNKNOWN
    decider = replace(this_owner("process", "slurm"), slurm_name=job.name)
    assert judge_here(decider)[0] is ALIVE
    gone = OwnerEvidence(same_machine=True, same_boot=False, before_boot=True)
    assert judge(decider, gone, job.evidence())[0] is DEAD
    slurm.freeze("slurmctld")
    assert judge(decider, gone, job.evidence(within=5))[0] is UNKNOWN


@pytest.mark.parametrize("frozen", [False, True], ids=["stopped", "frozen"])
def test_silent_controller(slurm: SlurmCluster, frozen: bool) -> None:
    """Without the controller nothing is known, and a submitted job may exist later, once."""
    job = submit(slurm, command=("true",))
    job.becomes("COMPLETED")
    (slurm.freeze if frozen else slurm.down)("slurmctld")
    assert job.verdict(within=5) is UNKNOWN
    assert job.evidence(within=5).problem
    name = new_name()
    assert try_submit(slurm, name).outcome is SubmissionOutcome.LOST
    assert SlurmClient(answer_within=5).cancel([job.name])
    (slurm.thaw if frozen else slurm.up)("slurmctld")
    eventually(lambda: job.verdict() is DEAD, "the controller answers again")
    if frozen:
        eventually(lambda: bool(SlurmClient().known([name])[0]), "the lost job is there")
    rows = SlurmClient().known([name])[0]
    assert rows is not None
    assert len(rows.get(name, ())) == int(frozen)


@pytest.mark.parametrize("frozen", [False, True], ids=["stopped", "frozen"])
def test_silent_accounting(slurm: SlurmCluster, frozen: bool) -> None:
    """The controller alone decides while it remembers a job; after that nothing is known."""
    ended, running = submit(slurm, command=("true",)), submit(slurm)
    ended.becomes("COMPLETED")
    running.becomes("RUNNING")
    (slurm.freeze if frozen else slurm.down)("slurmdbd")
    client = SlurmClient(answer_within=5)
    names = [ended.name, running.name]
    evidence = client.evidence(names, SINCE)
    assert evidence[ended.name].accounting is None
    assert evidence[ended.name].problem
    verdicts = [
        judge(
            Owner("t", executor="slurm", slurm_job=job.job_id, slurm_name=job.name),
            OwnerEvidence(),
            evidence[job.name],
        )[0]
        for job in (ended, running)
    ]
    assert verdicts == [DEAD, ALIVE]
    slurm.forget_after(2)
    ended.becomes("")
    assert ended.verdict(within=5) is UNKNOWN
    (slurm.thaw if frozen else slurm.up)("slurmdbd")
    eventually(lambda: ended.verdict() is DEAD, "the accounting answers again")


@pytest.mark.parametrize(
    "option", ["--partition=nowhere", "--account=nobody", "--qos=none", "--time=soon", "--nonsense"]
)
def test_refusals(slurm: SlurmCluster, option: str) -> None:
    """A refusal is no lost answer: there is no job, and the sentence says why."""
    name = new_name()
    submission = try_submit(slurm, name, option)
    assert submission.outcome is SubmissionOutcome.REFUSED, submission
    assert submission.why.startswith("sbatch: ")
    assert SlurmClient().known([name]) == ({}, "")


def test_full_account(slurm: SlurmCluster) -> None:
    """A limit on the number of jobs is no refusal for ever."""
    job = submit(slurm, "--qos=narrow", "--hold")
    assert try_submit(slurm, new_name(), "--qos=narrow").outcome is SubmissionOutcome.FULL
    SlurmClient().cancel([job.name])
    submit(slurm, "--qos=narrow")


def test_missing_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Slurm's commands nothing is submitted, and nothing is known."""
    monkeypatch.setenv("PATH", "/nonexistent:/usr/sbin")
    name = new_name()
    client = SlurmClient()
    assert client.submit(name, SLEEP, "/dev/null").outcome is SubmissionOutcome.REFUSED
    assert client.known([name])[0] is None
    assert client.evidence([name], SINCE)[name].controller is None


def test_environment(slurm: SlurmCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables of a person's shell neither hide jobs nor reach them; words arrive unchanged."""
    for variable, value in (
        ("SQUEUE_PARTITION", "high"),
        ("SQUEUE_STATES", "SUSPENDED"),
        ("SQUEUE_FORMAT", "%j"),
        ("SACCT_FORMAT", "JobName"),
        ("SLURM_TIME_FORMAT", "relative"),
        ("SBATCH_PARTITION", "nowhere"),
        ("SCANCEL_STATE", "SUSPENDED"),
        ("HW_SECRET", "secret"),
    ):
        monkeypatch.setenv(variable, value)
    words = ("two words", "$HOME", "'\"\\", "", "--x")
    job = submit(slurm, command=("sh", "-c", 'printf "<%s>" "$@" "$HW_SECRET"; pwd', "sh", *words))
    assert job.evidence().controller
    job.becomes("COMPLETED")
    assert job.verdict() is DEAD
    log = slurm.directory / "jobs" / f"{job.job_id}.log"
    assert log.read_text() == "".join(f"<{word}>" for word in (*words, "")) + "/\n"
    eventually(lambda: job.is_recorded("COMPLETED"), "the accounting shows the end")
    eventually(job.name_is_recorded, "the accounting shows the name")
    assert SlurmClient(cluster="hwtest").known([job.name])[0]
    held = submit(slurm, "--hold")
    assert SlurmClient().cancel([held.name]) == ""
    held.becomes("CANCELLED")


def test_one_question_for_many(slurm: SlurmCluster) -> None:
    """One look finds any number of names, also more than fit into one command."""
    jobs = [submit(slurm, "--hold") for _ in range(3)]
    names = [*(job.name for job in jobs), *(new_name() for _ in range(2500)), "a,b", "--help"]
    rows, problem = SlurmClient().known(names)
    assert problem == ""
    assert rows is not None
    assert rows.keys() == {job.name for job in jobs}


def test_a_request_to_stop(slurm: SlurmCluster) -> None:
    """A question to a frozen controller ends when its caller has to stop."""
    slurm.freeze("slurmctld")
    stop = threading.Event()
    stop.set()
    rows, problem = SlurmClient(stop=stop.is_set).known([new_name()])
    assert rows is None
    assert "stopped" in problem
