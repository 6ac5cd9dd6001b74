"""Directories nested deeper than any path may be long."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

CONTENT = b"x"


def nest(place: Path, levels: int, name: str = "d") -> None:
    """Make `levels` directories in each other below `place`, and a file `leaf` in the last."""
    descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(levels):
        os.mkdir(name, dir_fd=descriptor)
        inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = inner
    leaf = os.open("leaf", os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=descriptor)
    os.write(leaf, CONTENT)
    os.close(leaf)
    os.close(descriptor)


def remove(place: Path) -> None:
    """Remove a tree of any depth: `shutil.rmtree` cannot."""
    subprocess.run(["rm", "-rf", "--", str(place)], check=True)
