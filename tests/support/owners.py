"""Owners of claims, and what this host sees of them."""

from __future__ import annotations

from hesiod_watch.core.ownership import Owner
from hesiod_watch.rules.liveness import OwnerEvidence

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
"""A worker that is a process of a host."""

HERE = OwnerEvidence(
    same_machine=True, same_boot=True, same_pid_namespace=True, running=True, pid_start=99
)
"""The process of `PROCESS` is seen on this host."""
