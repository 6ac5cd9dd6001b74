"""A file system of its own where a test keeps second copies: it can fill, and be away with an empty directory left."""

from __future__ import annotations

import subprocess
from pathlib import Path

from mounts import mount_memory, unmount


class Second:
    """A file system of its own, mounted where the site keeps a second copy."""

    def __init__(self, place: Path) -> None:
        self.place = place
        place.mkdir()

    def mount(self, size: str = "64m") -> None:
        mount_memory(self.place, size)

    def resize(self, size: str) -> None:
        subprocess.run(["mount", "-o", f"remount,size={size}", self.place], check=True)

    def hide(self) -> None:
        """An empty directory is in its place, as after an unmount, and what it held is kept."""
        self.kept = self.place.with_name("kept")
        self.kept.mkdir(exist_ok=True)
        subprocess.run(["mount", "--bind", self.place, self.kept], check=True)
        subprocess.run(["umount", self.place], check=True)

    def show(self) -> None:
        subprocess.run(["mount", "--bind", self.kept, self.place], check=True)
        subprocess.run(["umount", self.kept], check=True)

    def close(self) -> None:
        unmount(self.place)
        unmount(self.place.with_name("kept"))
