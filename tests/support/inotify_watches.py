"""The inotify watches of a running process, as the kernel reports them."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path


def watched_inodes(pid: int) -> list[int]:
    """Inode of each watched directory, once for each watch."""
    found = []
    for path in Path(f"/proc/{pid}/fdinfo").iterdir():
        with suppress(FileNotFoundError):  # the process opens and closes files meanwhile
            lines = re.findall(r"^inotify wd:\w+ ino:(\w+)", path.read_text(), re.M)
            found += [int(inode, 16) for inode in lines]
    return found
