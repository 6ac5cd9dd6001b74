"""Lost nodes: what proves that the processes of a job ended, if Slurm has lost contact to its node.

The processes of such a job live on. They have ended after a boot of the node. After a restart of
its slurmd alone, the controller learns of them and has them killed: at once, or after `KillWait` if
it still knew the job. Until then the node already counts as usable.

A node of a cloud may have another machine under the same name, so it proves nothing.

This module only computes; `remote.slurm` asks.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.naming import display
from hesiod_watch.core.times import iso

RESPONDING = frozenset(
    (
        *("IDLE", "ALLOCATED", "MIXED", "DOWN", "DRAIN", "COMPLETING", "PLANNED", "RESERVED"),
        *("MAINTENANCE", "FAIL", "BLOCKED", "REBOOT_REQUESTED"),
    )
)
"""Words in the state of a node that responds, or was set down; every other word is a doubt."""
TIME_TO_KILL = timedelta(seconds=30)
"""Time after `KillWait` in which the controller hears of a slurmd and its processes are killed."""
UNKILLABLE = "kill task failed"
"""Reason of a node on which Slurm could not kill a process, in lower case."""


@frozen
class NodeState:
    """One node, as the controller shows it. Times are in UTC."""

    name: str
    states: frozenset[str]  # words of its state, such as {"DOWN", "NOT_RESPONDING"}
    booted: datetime | None = None
    slurmd_started: datetime | None = None
    reason: str = ""  # why it is down or drained


@frozen
class LostNodes:
    """Answer of the controller about the nodes of lost jobs."""

    asked: datetime  # time before it was asked
    kill_wait: timedelta | None = None  # Slurm's setting `KillWait`; None: not known
    nodes: Mapping[str, tuple[NodeState, ...]] | None = None  # by a job's list of nodes
    problem: str = ""  # why there is no answer


def why_it_may_live(nodes: str, end: datetime | None, lost: LostNodes | None) -> str:
    """Why processes of a job may live that lost one of these nodes at `end`; "" if none can."""
    if end is None:
        return "the accounting does not show when it was lost"
    found = lost.nodes.get(nodes) if lost and lost.nodes else None
    if lost is None or not found:
        why = f" ({display(lost.problem)})" if lost and lost.problem else ""
        return f"the controller does not show its node{why}"
    for node in found:
        if why := _why_on(node, end, lost):
            return f"{display(node.name)} {why}"
    return ""


def _why_on(node: NodeState, end: datetime, lost: LostNodes) -> str:
    if not node.states or node.states - RESPONDING:
        return f"does not respond ({display('+'.join(sorted(node.states)) or 'no state')})"
    if node.booted and end < node.booted <= lost.asked:
        return ""
    started = node.slurmd_started
    if started is None or started <= end:
        return f"responds, but neither it nor its slurmd was restarted after {iso(end)}"
    if UNKILLABLE in node.reason.lower():
        return f"could not kill a process ({display(node.reason)})"
    if lost.kill_wait is None:
        return f"responds, but Slurm does not show its KillWait ({display(lost.problem)})"
    if lost.asked - started < lost.kill_wait + TIME_TO_KILL:
        return f"has its slurmd since {iso(started)}, which may still kill them"
    return ""
