"""A backup on a separate file system that can be full, or unmounted."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

from mounts import mount_memory, move_mount, unmount

from hesiod_watch.core.file_entry import Entries, FileEntry


def facts_of(place: Path) -> Entries:
    """Size and MD5 of every file in a directory, as a backup expects them."""
    found = {}
    for path in sorted(place.rglob("*")):
        if path.is_file():
            name, data = str(path.relative_to(place)), path.read_bytes()
            md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
            found[name] = FileEntry(name, size=len(data), md5=md5)
    return found


class BackupMount:
    """A separate file system, mounted at the backup directory of a site."""

    def __init__(self, place: Path) -> None:
        self.place = place
        place.mkdir()

    def mount(self, size: str = "64m") -> None:
        mount_memory(self.place, size)

    def resize(self, size: str) -> None:
        subprocess.run(["mount", "-o", f"remount,size={size}", self.place], check=True)

    def hide(self) -> None:
        """Leave an empty directory in its place, as after an unmount; the files are kept."""
        self.kept = self.place.with_name("kept")
        self.kept.mkdir(exist_ok=True)
        move_mount(self.place, self.kept)

    def show(self) -> None:
        move_mount(self.kept, self.place)

    def close(self) -> None:
        unmount(self.place)
        unmount(self.place.with_name("kept"))
