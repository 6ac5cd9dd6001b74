"""Liveness of a claim's owner: DEAD only with proof, doubt is UNKNOWN."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
from owners import HERE, PROCESS

from hesiod_watch.core.ownership import Liveness, Owner
from hesiod_watch.rules.liveness import OwnerEvidence, judge, same_process

JOB = Owner(
    token="t",
    action="process",
    executor="slurm",
    slurm_job="17",
    slurm_submitted="2026-01-01T00:00:00",
)
ALIVE, DEAD, UNKNOWN = Liveness.ALIVE, Liveness.DEAD, Liveness.UNKNOWN


@pytest.mark.parametrize(
    ("owner", "evidence", "verdict", "says"),
    [
        pytest.param(None, None, UNKNOWN, "names no owner", id="no owner, no evidence"),
        pytest.param(None, HERE, UNKNOWN, "names no owner", id="no owner"),
        pytest.param(PROCESS, None, UNKNOWN, "it could not be examined", id="no evidence"),
        pytest.param(PROCESS, OwnerEvidence(), UNKNOWN, "cannot tell", id="empty evidence"),
        pytest.param(
            Owner(token="t"), HERE, UNKNOWN, "does not say enough", id="owner with a token only"
        ),
        pytest.param(
            replace(PROCESS, boot_id=""),
            HERE,
            UNKNOWN,
            "does not say enough",
            id="owner without a boot id",
        ),
        pytest.param(
            replace(PROCESS, host=""),
            HERE,
            UNKNOWN,
            "does not say enough",
            id="owner without a host",
        ),
        pytest.param(PROCESS, HERE, ALIVE, "is there", id="running here"),
        pytest.param(
            PROCESS,
            replace(HERE, same_machine=False),
            UNKNOWN,
            "another host",
            id="another machine",
        ),
        pytest.param(
            PROCESS,
            replace(HERE, same_machine=False, same_boot=False),
            UNKNOWN,
            "another host",
            id="another machine and boot",
        ),
        pytest.param(
            PROCESS,
            replace(HERE, same_machine=None, same_boot=False),
            UNKNOWN,
            "cannot tell",
            id="unknown machine, another boot",
        ),
        pytest.param(
            PROCESS,
            replace(HERE, same_boot=False, before_boot=True),
            DEAD,
            "restarted",
            id="restarted",
        ),
        pytest.param(
            PROCESS,
            replace(HERE, same_boot=False, before_boot=False),
            UNKNOWN,
            "a clone of this machine",
            id="another boot, but a record made after this boot",
        ),
        pytest.param(
            PROCESS,
            replace(HERE, same_boot=False, before_boot=None),
            UNKNOWN,
            "cannot tell",
            id="another boot, and a record without a time",
        ),
        pytest.param(
            PROCESS,
            replace(HERE, same_machine=False, same_boot=False, before_boot=True),
            UNKNOWN,
            "another host",
            id="a clone's record made before this boot",
        ),
        pytest.param(
            PROCESS, replace(HERE, same_boot=None), UNKNOWN, "cannot tell", id="unknown boot"
        ),
        pytest.param(
            PROCESS,
            replace(HERE, same_pid_namespace=False),
            UNKNOWN,
            "container",
            id="another namespace",
        ),
        pytest.param(
            PROCESS,
            replace(HERE, same_pid_namespace=False, running=False, pid_start=None),
            UNKNOWN,
            "container",
            id="another namespace, not running",
        ),
        pytest.param(
            PROCESS,
            replace(HERE, same_pid_namespace=None),
            UNKNOWN,
            "container",
            id="unknown namespace",
        ),
        pytest.param(
            PROCESS,
            replace(HERE, running=False, pid_start=None),
            DEAD,
            "no such process",
            id="not running",
        ),
        pytest.param(
            PROCESS,
            replace(HERE, running=None, pid_start=None),
            UNKNOWN,
            "cannot be looked at",
            id="unknown whether it runs",
        ),
        pytest.param(
            PROCESS,
            replace(HERE, pid_start=None),
            UNKNOWN,
            "cannot be looked at",
            id="unknown start",
        ),
        pytest.param(
            PROCESS, replace(HERE, pid_start=100), DEAD, "another process", id="another start"
        ),
        pytest.param(
            replace(PROCESS, pid=0),
            replace(HERE, running=False, pid_start=None),
            UNKNOWN,
            "no process",
            id="owner without a pid",
        ),
        pytest.param(
            replace(PROCESS, pid_start=0),
            replace(HERE, running=False, pid_start=None),
            UNKNOWN,
            "no process",
            id="owner without a start",
        ),
    ],
)
def test_process(
    owner: Owner | None, evidence: OwnerEvidence | None, verdict: Liveness, says: str
) -> None:
    """A process is dead after a restart of its machine, or if its pid is unused or reused."""
    liveness, sentence = judge(owner, evidence)
    assert liveness is verdict
    assert says in sentence


GONE = replace(HERE, running=False, pid_start=None)
REBOOTED = replace(HERE, same_boot=False, before_boot=True)
ELSEWHERE = replace(HERE, same_machine=False)
IN_A_JOB = replace(PROCESS, slurm_job="17", slurm_cluster="crop")


@pytest.mark.parametrize(
    ("owner", "evidence", "verdict"),
    [
        pytest.param(JOB, OwnerEvidence(), UNKNOWN, id="a record of a job alone"),
        pytest.param(
            replace(JOB, slurm_submitted=""), OwnerEvidence(), UNKNOWN, id="without its submit time"
        ),
        pytest.param(
            replace(PROCESS, executor="slurm"), GONE, UNKNOWN, id="a submitter that has ended"
        ),
        pytest.param(
            replace(IN_A_JOB, executor="slurm"), GONE, UNKNOWN, id="a job's process that has ended"
        ),
        pytest.param(
            replace(IN_A_JOB, executor="slurm"), REBOOTED, UNKNOWN, id="a job, machine restarted"
        ),
        pytest.param(
            replace(IN_A_JOB, executor="slurm"), ELSEWHERE, UNKNOWN, id="a job on another host"
        ),
        pytest.param(
            replace(IN_A_JOB, executor="slurm"), HERE, ALIVE, id="a job's process that is seen"
        ),
        pytest.param(IN_A_JOB, ELSEWHERE, UNKNOWN, id="our own worker in a job on another host"),
        pytest.param(IN_A_JOB, GONE, DEAD, id="our own worker in a job, which has ended"),
        pytest.param(
            IN_A_JOB, REBOOTED, DEAD, id="our own worker in a job, whose machine was restarted"
        ),
        pytest.param(IN_A_JOB, HERE, ALIVE, id="our own worker in a job, which is seen"),
    ],
)
def test_slurm_jobs_are_not_judged(
    owner: Owner, evidence: OwnerEvidence, verdict: Liveness
) -> None:
    """The owner in a Slurm job is dead only if this machine proves that the worker ended.

    In doubt, the sentence gives the reason.
    """
    liveness, sentence = judge(owner, evidence)
    assert liveness is verdict
    assert ("this version cannot tell whether a Slurm job lives" in sentence) == (
        verdict is UNKNOWN
    )


def test_dead_only_with_proof() -> None:
    """For all possible evidence, DEAD needs another boot or an examined pid."""
    three = (None, False, True)
    for same_machine, same_boot, before_boot, namespace, running, start in product(
        three, three, three, three, three, (None, 99, 100)
    ):
        evidence = OwnerEvidence(same_machine, same_boot, before_boot, namespace, running, start)
        if judge(PROCESS, evidence)[0] is DEAD:
            assert same_machine
            if not same_boot:
                assert before_boot
            if same_boot:
                assert namespace
                assert running is False or start == 100


def test_verdict_names_the_owner() -> None:
    """The sentence names action, user, pid and host, so that a person can check the process."""
    sentence = judge(PROCESS, replace(HERE, same_machine=False))[1]
    assert sentence.startswith("process (local) of hesiod, pid 4711 on prom:")


@pytest.mark.parametrize("field", ["boot_id", "pid", "pid_start", "pid_namespace"])
def test_same_process(field: str) -> None:
    """Two records are of one process if boot, namespace, pid and start time are known and agree."""
    other = replace(PROCESS, token="another", action="another", time="later", epoch=2)
    assert same_process(PROCESS, other)
    assert not same_process(PROCESS, replace(other, **{field: type(getattr(other, field))(7)}))
    assert not same_process(Owner(token="t"), Owner(token="t"))
