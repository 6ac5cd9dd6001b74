"""Number of cells that are processed at the same time where the configuration says `auto`."""

from __future__ import annotations

import pytest

from hesiod_watch.rules.worker_counts import WORKER_MEMORY, HostLoad, workers_now

PLENTY = 100 * WORKER_MEMORY


@pytest.mark.parametrize(
    ("share", "running", "cpus", "load", "memory", "expected"),
    [
        pytest.param(1, 1, 2, 0.0, PLENTY, 2, id="an idle host: every CPU"),
        pytest.param(1, 1, 2, 0.4, PLENTY, 2, id="the noise of an idle host"),
        pytest.param(1, 1, 2, 1.0, PLENTY, 2, id="the load is the worker's own"),
        pytest.param(1, 1, 2, 2.0, PLENTY, 1, id="another program uses a CPU"),
        pytest.param(1, 2, 2, 2.0, PLENTY, 2, id="both workers are the load"),
        pytest.param(1, 0, 2, 50.0, PLENTY, 1, id="a busy host: the share all the same"),
        pytest.param(4, 4, 8, 4.0, PLENTY, 8, id="half is at work, the rest is idle"),
        pytest.param(4, 4, 8, 6.0, PLENTY, 6, id="two CPUs are used by others"),
        pytest.param(4, 7, 8, 7.0, PLENTY, 8, id="one more"),
        pytest.param(4, 8, 8, 8.0, PLENTY, 8, id="never more than CPUs"),
        pytest.param(4, 8, 8, 0.0, PLENTY, 8, id="the load follows with a delay"),
        pytest.param(4, 4, 8, 4.0, 0, 4, id="unknown memory"),
        pytest.param(4, 4, 8, 4.0, WORKER_MEMORY - 1, 4, id="too little memory"),
        pytest.param(4, 4, 8, 4.0, WORKER_MEMORY, 5, id="memory for one"),
        pytest.param(4, 5, 8, 5.0, WORKER_MEMORY, 6, id="memory for one more"),
        pytest.param(1, 0, 1, 0.0, PLENTY, 1, id="one CPU"),
        pytest.param(4, 0, 2, 0.0, PLENTY, 4, id="fewer CPUs than at the start"),
    ],
)
def test_workers_now(
    share: int, running: int, cpus: int, load: float, memory: int, expected: int
) -> None:
    """The share may always work, and more while CPUs are idle and memory is free."""
    assert workers_now(share, running, HostLoad(cpus, load, memory)) == expected
