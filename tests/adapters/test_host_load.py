"""Load of this host and its free memory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hesiod_watch.host.load import free_memory, host_load

GIGABYTE = 1 << 30


def test_this_host() -> None:
    """This host has a CPU for this process, a load and free memory."""
    found = host_load()
    assert found.cpus == len(os.sched_getaffinity(0))
    assert found.load >= 0
    assert found.memory > 0


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        pytest.param({}, 8, id="no cgroups"),
        pytest.param({"a": "max"}, 8, id="no limit"),
        pytest.param({"a/b": f"{5 * GIGABYTE}"}, 3, id="a limit: without its cache"),
        pytest.param({"a": f"{4 * GIGABYTE}", "a/b": "max"}, 2, id="a limit around it"),
        pytest.param({"a": f"{20 * GIGABYTE}"}, 8, id="a limit above the memory of the host"),
        pytest.param({"a/b": f"{GIGABYTE}"}, 0, id="a limit that was lowered"),
        pytest.param({"a/b": "?"}, 8, id="a limit that cannot be read"),
    ],
)
def test_free_memory(limits: dict[str, str], expected: int, tmp_path: Path) -> None:
    """Memory is free up to the limit of each cgroup; what the kernel can drop counts as free."""
    memory = tmp_path / "meminfo"
    memory.write_text(f"MemTotal: 16777216 kB\nMemAvailable: {8 << 20} kB\n")
    cgroup = tmp_path / "cgroup"
    cgroup.write_text("0::/a/b\n")
    for name, limit in limits.items():
        place = tmp_path / "groups" / name
        place.mkdir(parents=True, exist_ok=True)
        (place / "memory.max").write_text(f"{limit}\n")
        (place / "memory.current").write_text(f"{3 * GIGABYTE}\n")
        (place / "memory.stat").write_text(f"anon {2 * GIGABYTE}\ninactive_file {GIGABYTE}\n")
    assert free_memory(memory, cgroup, tmp_path / "groups") == expected * GIGABYTE


def test_memory_that_cannot_be_read(tmp_path: Path) -> None:
    """Without /proc no memory counts as free, so `auto` means the share of the CPUs."""
    assert free_memory(tmp_path / "missing") == 0
