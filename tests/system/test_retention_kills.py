"""Real processes that the kernel kills at every call that changes a disk.

They lose no data, and the next process continues.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from facility_world import CELL, DATA, World, kept_world
from mounts import needs_mounts
from surveyed_copies import truth_of
from traced import changing_calls, killing_at, needs_strace

pytestmark = [
    pytest.mark.system,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    needs_mounts,
    needs_strace,
]

CALLS = {
    "link": ("link", "linkat"),
    "unlink": ("unlink", "unlinkat"),
    "rename": ("rename", "renameat", "renameat2"),
    "mkdir": ("mkdir", "mkdirat"),
    "fsync": ("fsync", "copy_file_range"),
}
WORKER_CALLS = ("link", "unlink", "rename", "fsync")
"""Calls of the worker itself, which makes no directory."""
CHILD_CALLS = ("rename", "mkdir", "fsync")
"""Calls that programs on the sequencer also make when a mark is written there."""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A processed cell with two backups, and a configuration file for separate processes."""
    with kept_world(tmp_path) as made:
        made.write_config()
        yield made


def command(world: World, action: str) -> list[str]:
    program = [
        sys.executable,
        "-m",
        "hesiod_watch",
        "--config",
        str(world.root / "hesiod-watch.yaml"),
    ]
    return [*program, "perform", action, str(world.run_dir), str(CELL)]


def perform(world: World, action: str, *before: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "TMPDIR": str(world.root)}
    return subprocess.run(
        [*before, *command(world, action)], capture_output=True, text=True, timeout=60, env=environ
    )


@pytest.mark.parametrize("action", ["strip", "deletable"])
def test_no_other_call_changes_a_disk(world: World, action: str) -> None:
    """CALLS contains every call that changes a disk."""
    made = changing_calls(command(world, action))
    assert made
    assert made <= {call for calls in CALLS.values() for call in calls}


@pytest.mark.parametrize(
    ("action", "victim", "calls"),
    [
        *((action, "worker", calls) for action in ("strip", "deletable") for calls in WORKER_CALLS),
        *(("deletable", "child", calls) for calls in CHILD_CALLS),
    ],
)
def test_killed_by_the_kernel(
    world: World, action: str, victim: str, calls: str, tmp_path: Path
) -> None:
    """Each deleted file has two copies after a kill at any call; the next process ends the work.

    The same is true if a program that the process started is killed.
    """
    state = tmp_path / "state"
    for name in ("sequencer", "landing", "output"):
        shutil.copytree(world.root / name, state / name, symlinks=True)
    points = 0
    for call in CALLS[calls]:
        for number in range(1, 40):
            for name in ("sequencer", "landing", "output"):
                shutil.rmtree(world.root / name)
                shutil.copytree(state / name, world.root / name, symlinks=True)
            killed = perform(world, action, *killing_at(call, number, children=victim == "child"))
            left = truth_of(world.place("landing"))
            deleted = [name for name in world.truth if name not in left]
            copies = world.places().holding(world.truth, but=["landing", "upstream"])
            assert all(len(copies[name]) >= 2 for name in deleted), (call, number)
            if killed.returncode == 0:
                break
            points += 1
            again = perform(world, action)
            assert again.returncode == 0, (call, number, again.stderr)
            if action == "strip":
                assert not [
                    name for name in truth_of(world.place("landing")) if name.endswith(DATA)
                ]
            else:
                assert world.marked() == "deletable"
                assert world.clean().returncode == 0
        else:
            pytest.fail(f"there is no end of {call}")
    assert points > 0
