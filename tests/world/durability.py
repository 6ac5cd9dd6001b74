"""What is certainly on the disk: each file that a flag announces was fsynced before the flag.

A process that is killed loses nothing that it has written, so it cannot show a missing fsync. So
each process of the program records its fsyncs, and the names that it makes. Before a flag gets its
name, the process records the files that the flag announces, with their sizes and times. The world
plays these records, in their order.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

Inode = tuple[int, int]
SEQUENCED = "_PROM_"
"""Part of the name of each run whose files the program itself copies here."""


class DiskRecord:
    """Records of all processes of a world; `missing` has a sentence for each missing fsync."""

    def __init__(self) -> None:
        self.missing: list[str] = []
        self._records = os.memfd_create("disk")
        self._played = 0
        self._synced: dict[Inode, list[int]] = {}  # size and time of each file when it was fsynced
        self._named: dict[Inode, set[str]] = {}  # names in each directory since its fsync

    def close(self) -> None:
        os.close(self._records)

    def play(self) -> None:
        """Take over what the processes have recorded since the last call."""
        data = os.pread(self._records, 1 << 30, self._played)
        whole = data[: data.rfind(b"\n") + 1]
        self._played += len(whole)
        for line in whole.splitlines():
            kind, *facts = json.loads(line)
            getattr(self, f"_play_{kind}")(*facts)

    def aged(self, before: os.stat_result, after: os.stat_result) -> None:
        """A file was made older by the world, and is as durable as before."""
        if self._synced.get(_inode(before)) == list(_state(before)[1]):
            self._synced[_inode(before)] = list(_state(after)[1])

    def _play_synced(self, inode: list[int], state: list[int]) -> None:
        self._synced[inode[0], inode[1]] = state
        self._named.pop((inode[0], inode[1]), None)

    def _play_named(self, parent: list[int], name: str) -> None:
        self._named.setdefault((parent[0], parent[1]), set()).add(name)

    def _play_announced(self, flag: str, files: list[list[Any]], names: list[list[Any]]) -> None:
        for path, inode, state in files:
            if self._synced.get((inode[0], inode[1])) != state:
                self.missing.append(f"{flag}: {path} was not fsynced before")
        for path, parent, name in names:
            if name in self._named.get((parent[0], parent[1]), ()):
                self.missing.append(f"{flag}: the directory of {path} was not fsynced before")

    # In a process of the program.

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Record the fsyncs, new names and flags of this process."""
        real = {name: getattr(os, name) for name in ("fsync", "fdatasync", "mkdir", *_MOVING)}
        write = os.write

        def record(*facts: object) -> None:
            write(self._records, json.dumps(facts).encode() + b"\n")

        def syncing(call: Callable[..., None]) -> Callable[..., None]:
            def sync(file: Any) -> None:
                call(file)
                record(
                    "synced", *_state(os.fstat(file if isinstance(file, int) else file.fileno()))
                )

            return sync

        def moving(call: Callable[..., None]) -> Callable[..., None]:
            def move(source: Any, target: Any, **named: Any) -> None:
                place = _directory(target, named.get("dst_dir_fd"))
                name = Path(target).name
                if place.name == "pipeline" and not name.startswith("."):
                    _announce(
                        record, _directory(source, named.get("src_dir_fd")), source, place, name
                    )
                call(source, target, **named)
                record("named", _inode(place.stat()), name)

            return move

        def mkdir(path: Any, *arguments: Any, **named: Any) -> None:
            real["mkdir"](path, *arguments, **named)
            place = _directory(path, named.get("dir_fd"))
            record("named", _inode(place.stat()), Path(path).name)

        patched = {"fsync": syncing, "fdatasync": syncing} | dict.fromkeys(_MOVING, moving)
        for name, wrapper in patched.items():
            setattr(os, name, wrapper(real[name]))
        os.mkdir = mkdir
        try:
            yield
        finally:
            for name, call in real.items():
                setattr(os, name, call)


_MOVING = ("rename", "replace", "link")


def _announce(
    record: Callable[..., None], source_place: Path, source: Any, pipeline: Path, flag: str
) -> None:
    """Record the content of a flag, and the files that it announces."""
    content = source_place / Path(source).name
    status = content.stat()
    files = [(flag, *_state(status))] if stat.S_ISREG(status.st_mode) else []
    names: list[tuple[str, Inode, str]] = []
    announced: set[Path] = set()
    stem, _, kind = flag.rpartition(".")
    with suppress(ValueError, OSError, KeyError):
        if kind == "done" and "." not in stem:
            cell = json.loads(content.read_text())["cell"]
            results = (pipeline / "output").resolve() / cell
            listed = json.loads((results / "manifest.json").read_text())["files"]
            announced |= {results / each["name"] for each in listed} | {results / "manifest.json"}
            announced |= {results, results.parent, results.parent.parent, pipeline}
        elif kind == "synced" and SEQUENCED in pipeline.parent.name:
            here = next(pipeline.parent.glob(f"*/{stem}"))
            announced |= {path for path in here.rglob("*") if not path.name.startswith(".")}
            announced |= {here, here.parent, here.parent.parent, pipeline}
    for path in sorted(announced):
        status = path.lstat()
        shown = f"{path.parent.name}/{path.name}"
        if stat.S_ISREG(status.st_mode):
            files.append((shown, *_state(status)))
        names.append((shown, _inode(path.parent.stat()), path.name))
    record("announced", flag, files, names)


def _directory(path: Any, descriptor: int | None) -> Path:
    """Directory in which a call makes a name."""
    parent = Path(path).parent
    if descriptor is None or parent.is_absolute():
        return Path.cwd() / parent
    return Path(f"/proc/self/fd/{descriptor}").readlink() / parent


def _state(status: os.stat_result) -> tuple[Inode, tuple[int, int]]:
    return _inode(status), (status.st_size, status.st_mtime_ns)


def _inode(status: os.stat_result) -> Inode:
    return status.st_dev, status.st_ino
