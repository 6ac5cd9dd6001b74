"""Jobs that lost their node: when their processes have ended, and who says so."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from hesiod_watch.core.ownership import Liveness, Owner
from hesiod_watch.remote.slurm_answers import nodes_of
from hesiod_watch.rules.liveness import OwnerEvidence, judge
from hesiod_watch.rules.lost_nodes import RESPONDING, TIME_TO_KILL, LostNodes, NodeState
from hesiod_watch.rules.slurm_jobs import JobEvidence, JobRow, job_end, job_name

DEAD, UNKNOWN = Liveness.DEAD, Liveness.UNKNOWN
NAME = job_name("process", "0123456789abcdef" * 2)
WORKER = Owner("t", executor="slurm", host="node1", slurm_job="17", slurm_name=NAME)
END = datetime(2026, 11, 30, 8, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
WAIT = timedelta(seconds=30)
LONG_AGO = END - timedelta(days=9)
ASKED = END + timedelta(hours=1)
LAST_START = ASKED - WAIT - TIME_TO_KILL  # of a slurmd that has killed everything by now
IDLE = frozenset({"IDLE"})
LOST = JobRow("17", "NODE_FAIL", ended=True, end=END, nodes="node1")
REBOOTED = NodeState("node1", IDLE, booted=END + SECOND, slurmd_started=END + 2 * SECOND)
RESTARTED = NodeState("node1", IDLE, booted=LONG_AGO, slurmd_started=END + SECOND)


def evidence(*nodes: NodeState, kill_wait: timedelta | None = WAIT) -> LostNodes:
    return LostNodes(ASKED, kill_wait, {LOST.nodes: nodes})


TABLE = {
    # case: the nodes, and the verdict on the worker of a job that the controller has forgotten
    "rebooted after it": ((REBOOTED,), DEAD),
    "rebooted at its end": ((replace(REBOOTED, booted=END, slurmd_started=END),), UNKNOWN),
    "rebooted before it": ((replace(REBOOTED, booted=LONG_AGO, slurmd_started=END),), UNKNOWN),
    "boot in the future": (
        (NodeState("node1", IDLE, booted=ASKED + SECOND, slurmd_started=ASKED + SECOND),),
        UNKNOWN,
    ),
    "slurmd restarted after it": ((RESTARTED,), DEAD),
    "slurmd restarted at its end": ((replace(RESTARTED, slurmd_started=END),), UNKNOWN),
    "slurmd restarted before it": ((replace(RESTARTED, slurmd_started=LONG_AGO),), UNKNOWN),
    "slurmd has had time to kill": ((replace(RESTARTED, slurmd_started=LAST_START),), DEAD),
    "slurmd may still kill": (
        (replace(RESTARTED, slurmd_started=LAST_START + SECOND),),
        UNKNOWN,
    ),
    "rebooted just now": ((replace(REBOOTED, booted=ASKED, slurmd_started=ASKED),), DEAD),
    "no times": ((NodeState("node1", IDLE),), UNKNOWN),
    "no state": ((replace(REBOOTED, states=frozenset()),), UNKNOWN),
    "silent": ((replace(REBOOTED, states=frozenset({"DOWN", "NOT_RESPONDING"})),), UNKNOWN),
    "silent, slurmd restarted": (
        (replace(RESTARTED, states=frozenset({"IDLE", "NOT_RESPONDING"})),),
        UNKNOWN,
    ),
    "silent, in an earlier Slurm": ((replace(REBOOTED, states=frozenset({"DOWN*"})),), UNKNOWN),
    "without power": ((replace(REBOOTED, states=frozenset({"IDLE", "POWERED_DOWN"})),), UNKNOWN),
    "of a cloud": ((replace(REBOOTED, states=frozenset({"IDLE", "CLOUD"})),), UNKNOWN),
    "state of a later Slurm": ((replace(REBOOTED, states=frozenset({"DREAMING"})),), UNKNOWN),
    "drained": ((replace(RESTARTED, states=frozenset({"IDLE", "DRAIN"})),), DEAD),
    "drained, unkillable": (
        (replace(RESTARTED, reason="Kill task failed [root@2026-11-30T08:10:00]"),),
        UNKNOWN,
    ),
    "unkillable, then rebooted": ((replace(REBOOTED, reason="Kill task failed [root@x]"),), DEAD),
    "one of two": ((REBOOTED, replace(RESTARTED, slurmd_started=LONG_AGO)), UNKNOWN),
    "both": ((REBOOTED, RESTARTED), DEAD),
    "no node": ((), UNKNOWN),
}


@pytest.mark.parametrize(("nodes", "verdict"), TABLE.values(), ids=TABLE)
def test_node_of_a_lost_job(nodes: tuple[NodeState, ...], verdict: Liveness) -> None:
    """A lost job is dead after a boot of its node, or after a slurmd has had time to kill it."""
    about = JobEvidence(NAME, (), (LOST,), nodes=evidence(*nodes))
    liveness, why = judge(WORKER, OwnerEvidence(same_machine=False), about)
    assert liveness is verdict
    assert "NODE_FAIL on node1" in why
    if verdict is DEAD:
        assert not job_end(WORKER, about, "/output/a.log", worked=True).is_attempt


OTHER = replace(LOST, job_id="18")
EVIDENCE = {
    # case: the evidence, and the verdict on the worker; its node was rebooted
    "forgotten": (JobEvidence(NAME, (), (LOST,)), DEAD),
    "did not boot": (JobEvidence(NAME, (), (replace(LOST, state="BOOT_FAIL"),)), DEAD),
    "of another cluster": (JobEvidence(NAME, (), (replace(LOST, state="REVOKED"),)), UNKNOWN),
    "still shown": (JobEvidence(NAME, (LOST,), (LOST,)), UNKNOWN),
    "still shown, not recorded": (JobEvidence(NAME, (LOST,), ()), UNKNOWN),
    "controller silent": (JobEvidence(NAME, None, (LOST,)), UNKNOWN),
    "accounting silent": (JobEvidence(NAME, (), None), UNKNOWN),
    "without an end": (JobEvidence(NAME, (), (replace(LOST, end=None),)), UNKNOWN),
    "end that cannot be read": (JobEvidence(NAME, (), (replace(LOST, ended=False),)), UNKNOWN),
    "other job shown": (JobEvidence(NAME, (replace(OTHER, state="RUNNING"),), (LOST,)), DEAD),
    "other job lost": (JobEvidence(NAME, (), (OTHER,)), UNKNOWN),
    "on another node": (JobEvidence(NAME, (), (replace(LOST, nodes="node2"),)), UNKNOWN),
    "requeued, and ended": (
        JobEvidence(NAME, (), (LOST, replace(LOST, state="COMPLETED", nodes="node2"))),
        DEAD,
    ),
    "requeued, and lost again": (
        JobEvidence(NAME, (), (LOST, replace(LOST, nodes="node2"))),
        UNKNOWN,
    ),
    "requeued, and shown": (
        JobEvidence(NAME, (JobRow("17", "PENDING", restarts=1),), (LOST,)),
        Liveness.ALIVE,
    ),
}


@pytest.mark.parametrize(("about", "verdict"), EVIDENCE.values(), ids=EVIDENCE)
def test_lost_job_and_its_rebooted_node(about: JobEvidence, verdict: Liveness) -> None:
    """A boot of the node proves the end of every start that was lost there, and of no other."""
    about = replace(about, nodes=evidence(REBOOTED))
    assert judge(WORKER, OwnerEvidence(same_machine=False), about)[0] is verdict


def test_unanswered() -> None:
    """Without an answer about the node, or about `KillWait`, nothing is proven, and it says why."""
    for nodes, says in (
        (None, "the controller does not show its node"),
        (LostNodes(ASKED, WAIT, {}, "frozen\n"), "frozen\\n"),
        (evidence(RESTARTED, kill_wait=None), "KillWait"),
        (evidence(replace(RESTARTED, states=frozenset())), "does not respond (no state)"),
        (evidence(replace(RESTARTED, states=frozenset({"X", "B"}))), "does not respond (B+X)"),
    ):
        about = JobEvidence(NAME, (), (LOST,), nodes=nodes)
        liveness, why = judge(WORKER, OwnerEvidence(same_machine=False), about)
        assert liveness is UNKNOWN
        assert says in why


def test_every_doubt_about_a_state() -> None:
    """A node with any word in its state that is not known to be harmless proves nothing."""
    for word in (*RESPONDING, "UNKNOWN", "FUTURE", "INVALID_REG", "POWERING_UP", "IDLE~", "IDLE-"):
        node = replace(REBOOTED, states=frozenset({"IDLE", word}))
        about = JobEvidence(NAME, (), (LOST,), nodes=evidence(node))
        dead = judge(WORKER, OwnerEvidence(same_machine=False), about)[0] is DEAD
        assert dead is (word in RESPONDING), word


PRINTED = """NodeName=n1 Arch=x86_64 CoresPerSocket=1
   OS=Linux 6.1 State=UP
   State=DOWN+DRAIN+NOT_RESPONDING ThreadsPerCore=1 TmpDisk=0
   BootTime=2026-11-29T19:18:35 SlurmdStartTime=2026-11-30T11:31:19
   Comment=BootTime=2030-01-01T00:00:00 SlurmdStartTime=2030-01-01T00:00:00
   Reason=Kill task failed [root@2026-11-30T11:31:41]

NodeName=n2 Arch=x86_64
   State=IDLE
   BootTime=None SlurmdStartTime=Unknown
"""


def test_nodes_as_printed() -> None:
    """Each node is read by the begins of its lines; a list with an unknown node is no answer."""
    assert nodes_of(PRINTED) == (
        NodeState(
            "n1",
            frozenset({"DOWN", "DRAIN", "NOT_RESPONDING"}),
            datetime(2026, 11, 29, 19, 18, 35, tzinfo=UTC),
            datetime(2026, 11, 30, 11, 31, 19, tzinfo=UTC),
            "Kill task failed [root@2026-11-30T11:31:41]",
        ),
        NodeState("n2", IDLE),
    )
    assert nodes_of(f"{PRINTED}\nNode n3 not found\n") == ()
    assert nodes_of("") == ()
