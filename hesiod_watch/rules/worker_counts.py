"""Number of cells that are processed at the same time where `processing.workers` is `auto`. Pure.

The share of the CPUs that `auto` stands for may always work. More cells are processed while CPUs
are idle, so a burst of finished cells uses all of them. Only the start of a worker depends on this:
a worker that has begun finishes its cell.
"""

from __future__ import annotations

from hesiod_watch.core.frozen import frozen

WORKER_MEMORY = 1 << 30
"""Bytes that must be free for a worker beyond the share. A cell of 500,000 files takes 0.4 GB."""


@frozen
class HostLoad:
    """Free CPUs and memory of this host."""

    cpus: int  # that this process may use
    load: float  # mean number of threads that run or wait for a CPU or a disk, in the last minute
    memory: int  # bytes that new processes may use; 0: unknown


def workers_now(share: int, running: int, host: HostLoad) -> int:
    """Number of workers that may work now; `running` of them do, and are part of the load.

    The load follows with a delay. While it does not contain a worker that has just begun, the work
    of others seems less by one, for a minute at most; never are there more workers than CPUs.
    """
    others = max(0.0, host.load - running)
    idle = int(host.cpus - others + 0.5)
    affordable = running + host.memory // WORKER_MEMORY
    return max(share, min(host.cpus, idle, affordable))
