"""The verdict on the owner of a claim: DEAD only with proof, doubt is UNKNOWN."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from hesiod_watch.liveness import JOB_HAS_ENDED, JOB_LIVES, Evidence, JobRow, judge, same_process
from hesiod_watch.model import Liveness, Owner

PROCESS = Owner(
    token="t",
    action="process",
    executor="local",
    host="prom",
    machine_id="m",
    boot_id="b",
    pid_namespace="pid:[1]",
    pid=4711,
    pid_start=99,
    user="hesiod",
)
JOB = Owner(token="t", action="process", executor="slurm", slurm_job="17", slurm_submitted="2026-01-01T00:00:00")
HERE = Evidence(same_machine=True, same_boot=True, same_pid_namespace=True, running=True, pid_start=99)
ALIVE, DEAD, UNKNOWN = Liveness.ALIVE, Liveness.DEAD, Liveness.UNKNOWN


@pytest.mark.parametrize(
    ("owner", "evidence", "verdict", "says"),
    [
        (None, None, UNKNOWN, "names no owner"),
        (None, HERE, UNKNOWN, "names no owner"),
        (PROCESS, None, UNKNOWN, "nobody could look"),
        (PROCESS, Evidence(), UNKNOWN, "cannot tell"),
        (Owner(token="t"), HERE, UNKNOWN, "does not say enough"),
        (replace(PROCESS, boot_id=""), HERE, UNKNOWN, "does not say enough"),
        (replace(PROCESS, host=""), HERE, UNKNOWN, "does not say enough"),
        (PROCESS, HERE, ALIVE, "is there"),
        (PROCESS, replace(HERE, same_machine=False), UNKNOWN, "another host"),
        (PROCESS, replace(HERE, same_machine=False, same_boot=False), UNKNOWN, "another host"),
        (PROCESS, replace(HERE, same_machine=None, same_boot=False), UNKNOWN, "cannot tell"),
        (PROCESS, replace(HERE, same_boot=False), DEAD, "restarted"),
        (PROCESS, replace(HERE, same_boot=None), UNKNOWN, "cannot tell"),
        (PROCESS, replace(HERE, same_pid_namespace=False), UNKNOWN, "container"),
        (PROCESS, replace(HERE, same_pid_namespace=False, running=False, pid_start=None), UNKNOWN, "container"),
        (PROCESS, replace(HERE, same_pid_namespace=None), UNKNOWN, "container"),
        (PROCESS, replace(HERE, running=False, pid_start=None), DEAD, "no such process"),
        (PROCESS, replace(HERE, running=None, pid_start=None), UNKNOWN, "cannot be looked at"),
        (PROCESS, replace(HERE, pid_start=None), UNKNOWN, "cannot be looked at"),
        (PROCESS, replace(HERE, pid_start=100), DEAD, "another process"),
        (replace(PROCESS, pid=0), replace(HERE, running=False, pid_start=None), UNKNOWN, "no process"),
        (replace(PROCESS, pid_start=0), replace(HERE, running=False, pid_start=None), UNKNOWN, "no process"),
    ],
)
def test_process(owner: Owner | None, evidence: Evidence | None, verdict: Liveness, says: str) -> None:
    """A process is dead when its machine was restarted, or its pid is gone or another's; doubt is unknown."""
    liveness, sentence = judge(owner, evidence)
    assert liveness is verdict
    assert says in sentence


@pytest.mark.parametrize(
    ("rows", "verdict", "says"),
    [
        (None, UNKNOWN, "no answer"),
        ((), UNKNOWN, "no answer"),
        ((JobRow("RUNNING", False),), ALIVE, "RUNNING"),
        ((JobRow("COMPLETED", True),), DEAD, "COMPLETED"),
        ((JobRow("COMPLETED", False),), UNKNOWN, "without an end time"),
        ((JobRow("CANCELLED by 1000", True),), DEAD, "CANCELLED"),
        ((JobRow("NODE_FAIL", True), JobRow("PENDING", False)), ALIVE, "PENDING"),
        ((JobRow("REQUEUED", True), JobRow("COMPLETED", True)), ALIVE, "REQUEUED"),
        ((JobRow("COMPLETED", True), JobRow("DREAMING", True)), UNKNOWN, "'DREAMING'"),
        ((JobRow("", True),), UNKNOWN, "not known"),
        *[((JobRow(word, False),), ALIVE, word) for word in sorted(JOB_LIVES)],
        *[((JobRow(word, True),), DEAD, word) for word in sorted(JOB_HAS_ENDED)],
    ],
)
def test_job(rows: tuple[JobRow, ...] | None, verdict: Liveness, says: str) -> None:
    """A Slurm job is dead when every row of its submission has ended, alive when any has not."""
    liveness, sentence = judge(JOB, Evidence(job_rows=rows))
    assert liveness is verdict
    assert says in sentence


def test_job_without_submit_time() -> None:
    """Job ids are used again, so a record without a submit time proves nothing."""
    owner = replace(JOB, slurm_submitted="")
    assert judge(owner, Evidence(job_rows=(JobRow("COMPLETED", True),)))[0] is UNKNOWN


@pytest.mark.parametrize(
    ("process", "rows", "verdict"),
    [
        (HERE, (JobRow("COMPLETED", True),), ALIVE),
        (replace(HERE, running=False, pid_start=None), (JobRow("RUNNING", False),), ALIVE),
        (replace(HERE, running=False, pid_start=None), None, DEAD),
        (replace(HERE, same_machine=False), (JobRow("TIMEOUT", True),), DEAD),
        (replace(HERE, same_machine=False), None, UNKNOWN),
    ],
)
def test_process_in_a_job(process: Evidence, rows: tuple[JobRow, ...] | None, verdict: Liveness) -> None:
    """Of a process in a job either sign of life counts, and without one either proof of death."""
    owner = replace(PROCESS, slurm_job="17", slurm_submitted="2026-01-01T00:00:00")
    assert judge(owner, replace(process, job_rows=rows))[0] is verdict


def test_dead_only_with_proof() -> None:
    """Over all evidence there can be, DEAD always rests on another boot, or on a pid that was really looked at."""
    three = (None, False, True)
    for same_machine, same_boot, namespace, running, start in product(three, three, three, three, (None, 99, 100)):
        evidence = Evidence(same_machine, same_boot, namespace, running, start)
        if judge(PROCESS, evidence)[0] is DEAD:
            assert same_machine
            if same_boot:
                assert namespace
                assert running is False or start == 100


def test_says_who() -> None:
    """The sentence names the action, the user, the pid and the host, so that a person can go and look."""
    sentence = judge(PROCESS, replace(HERE, same_machine=False))[1]
    assert sentence.startswith("process (local) of hesiod, pid 4711 on prom:")


@pytest.mark.parametrize("field", ["boot_id", "pid", "pid_start", "pid_namespace"])
def test_same_process(field: str) -> None:
    """Two records are of one process when boot, namespace, pid and start time agree, and say so at all."""
    other = replace(PROCESS, token="another", action="another", time="later", epoch=2)
    assert same_process(PROCESS, other)
    assert not same_process(PROCESS, replace(other, **{field: type(getattr(other, field))(7)}))
    assert not same_process(Owner(token="t"), Owner(token="t"))
