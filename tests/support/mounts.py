"""File systems mounted for a test. Without root the test is skipped."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

WITHOUT = "" if os.geteuid() == 0 and shutil.which("mount") else "needs root, to mount file systems"
needs_mounts = pytest.mark.skipif(bool(WITHOUT), reason=WITHOUT)


def mount(place: Path, *arguments: str) -> None:
    """Run mount(8) on a directory that is created if needed; skip the test if it fails."""
    if WITHOUT:
        pytest.skip(WITHOUT)
    place.mkdir(exist_ok=True)
    mounted = subprocess.run(["mount", *arguments, place], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"cannot mount here: {mounted.stderr.strip()}")


def mount_memory(place: Path, size: str = "64m") -> None:
    """Mount a new, empty file system in memory; `size` as for tmpfs."""
    mount(place, "-t", "tmpfs", "-o", f"size={size}", "tmpfs")


def move_mount(place: Path, to: Path) -> None:
    """Move a file system to another directory; under systemd `mount --move` is refused."""
    subprocess.run(["mount", "--bind", place, to], check=True)
    subprocess.run(["umount", place], check=True)


def unmount(place: Path) -> None:
    """Unmount everything at a directory, also file systems in use."""
    while os.path.ismount(place):
        if subprocess.run(["umount", "--lazy", place], check=False).returncode:
            break


@contextmanager
def in_memory(place: Path, size: str = "64m") -> Iterator[Path]:
    """A separate file system in memory at a directory, inside the block."""
    mount_memory(place, size)
    try:
        yield place
    finally:
        unmount(place)
