"""Stand-ins for the `os` that `fastq.durable` writes with: they note every change, fail when told
to, and lose power.

`Disk` passes everything on to the real `os`, so programs run as they do; the changes it has noted
can be played to a `Platter`, which knows what a real disk may hold after the power has gone:
anything that was not synced is there or not, or in part, or zeros, and names that were not synced
are there up to some point in time.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SECTOR = 512


class Killed(BaseException):
    """The process has ended here."""


@dataclass(frozen=True)
class Change:
    """One call that changes the disk. `file` is the number of an inode, names are relative to the
    directory.
    """

    kind: str  # create, write, truncate, sync, unlink, rename, mkdir, syncdir, told
    file: int = -1
    name: str = ""
    new_name: str = ""
    offset: int = 0
    data: bytes = b""


Fault = Callable[[str, int], None]
"""Called before each change, and each opening for one, with its kind and number, from 0; raises to
let it fail.
"""


def no_fault(kind: str, number: int) -> None:
    pass


class Disk:
    """An `os` for one directory. `changes` are what was done to it; `calls` all that was tried."""

    def __init__(
        self, directory: Path, fault: Fault = no_fault, *, longest_write: int = 1 << 30
    ) -> None:
        self.changes: list[Change] = []
        self.calls: list[str] = []
        self.fault = fault
        self._directory = directory
        self._longest_write = longest_write
        self._inodes: dict[str, int] = {}
        self._files: dict[int, int] = {}  # inode by descriptor; -1: the directory
        if directory.is_dir():
            for number, path in enumerate(sorted(directory.iterdir())):
                self._inodes[path.name] = number
        self._next = len(self._inodes)

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def tell(self, what: str, number: int) -> None:
        """Note what the program was told to be so, at this moment."""
        self.changes.append(Change("told", name=what, offset=number))

    def die(self) -> None:
        """What the kernel does for a process that has ended."""
        for descriptor in self._files:
            os.close(descriptor)
        self._files.clear()

    def inode_of(self, descriptor: int) -> int:
        return self._files[descriptor]

    def open(self, path: Any, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_ACCMODE != os.O_RDONLY:
            self._try("create" if flags & os.O_CREAT else "open")
        descriptor = os.open(path, flags, mode)
        name = Path(path).name
        if flags & os.O_CREAT:
            self._inodes[name] = self._next
            self._next += 1
            self.changes.append(Change("create", self._inodes[name], name))
        self._files[descriptor] = -1 if flags & os.O_DIRECTORY else self._inodes[name]
        return descriptor

    def close(self, descriptor: int) -> None:
        del self._files[descriptor]
        os.close(descriptor)

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        offset = os.lseek(descriptor, 0, os.SEEK_CUR)
        self._try("write")
        return self._wrote(
            descriptor, offset, data, os.write(descriptor, data[: self._longest_write])
        )

    def pwrite(self, descriptor: int, data: bytes | memoryview, offset: int) -> int:
        self._try("write")
        return self._wrote(
            descriptor, offset, data, os.pwrite(descriptor, data[: self._longest_write], offset)
        )

    def _wrote(self, descriptor: int, offset: int, data: bytes | memoryview, count: int) -> int:
        self.changes.append(
            Change("write", self._files[descriptor], offset=offset, data=bytes(data[:count]))
        )
        return count

    def ftruncate(self, descriptor: int, size: int) -> None:
        self._try("truncate")
        os.ftruncate(descriptor, size)
        self.changes.append(Change("truncate", self._files[descriptor], offset=size))

    def fsync(self, descriptor: int) -> None:
        directory = self._files[descriptor] < 0
        self._try("syncdir" if directory else "sync")
        self.changes.append(
            Change("syncdir") if directory else Change("sync", self._files[descriptor])
        )

    fdatasync = fsync

    def unlink(self, path: Path) -> None:
        if path.exists():
            self._try("unlink")
        os.unlink(path)  # noqa: PTH108  it stands for this very call
        del self._inodes[path.name]
        self.changes.append(Change("unlink", name=path.name))

    def rename(self, path: Path, new_path: Path) -> None:
        self._try("rename")
        os.rename(path, new_path)  # noqa: PTH104  as above
        self._inodes[new_path.name] = self._inodes.pop(path.name)
        self.changes.append(Change("rename", name=path.name, new_name=new_path.name))

    def mkdir(self, path: Path) -> None:
        if not path.exists():
            self._try("mkdir")
        os.mkdir(path)  # noqa: PTH102  as above
        self.changes.append(Change("mkdir"))

    def _try(self, kind: str) -> None:
        self.calls.append(kind)
        self.fault(kind, len(self.calls) - 1)


@dataclass
class _Inode:
    durable: bytearray = field(default_factory=bytearray)
    pending: list[Change] = field(default_factory=list)


class Platter:
    """What of some changes is on the disk for certain, and what may be."""

    def __init__(self, contents: dict[str, bytes] | None = None) -> None:
        self._inodes: dict[int, _Inode] = {}
        self._names: dict[str, int] = {}
        for number, name in enumerate(sorted(contents or {})):
            self._inodes[number] = _Inode(bytearray((contents or {})[name]))
            self._names[name] = number
        self._pending: list[Change] = []
        self.told: dict[str, int] = {}

    def play(self, change: Change) -> None:
        match change.kind:
            case "create":
                self._inodes[change.file] = _Inode()
                self._pending.append(change)
            case "unlink" | "rename":
                self._pending.append(change)
            case "write" | "truncate":
                self._inodes[change.file].pending.append(change)
            case "sync":
                inode = self._inodes[change.file]
                for done in inode.pending:
                    _apply(inode.durable, done)
                inode.pending.clear()
            case "syncdir":
                for done in self._pending:
                    _rename(self._names, done)
                self._pending.clear()
            case "told":
                self.told[change.name] = change.offset

    def contents(self) -> dict[str, bytes]:
        """The files as running programs see them."""
        return self._after(
            len(self._pending), lambda inode: [(change, None) for change in inode.pending]
        )

    def certain(self) -> dict[str, bytes]:
        """The files that are there whatever happens."""
        return self._after(0, lambda inode: [])

    def after_power_loss(self, rng: random.Random) -> dict[str, bytes]:
        """The files as they may be found when the machine is started again."""
        names = rng.choice((0, len(self._pending), rng.randint(0, len(self._pending))))
        return self._after(
            names, lambda inode: [(change, rng) for change in _survivors(inode.pending, rng)]
        )

    def _after(
        self, names: int, choose: Callable[[_Inode], list[tuple[Change, random.Random | None]]]
    ) -> dict[str, bytes]:
        found = dict(self._names)
        for change in self._pending[:names]:
            _rename(found, change)
        contents = {}
        for name, number in found.items():
            data = bytearray(self._inodes[number].durable)
            for change, rng in choose(self._inodes[number]):
                _apply(data, change, rng)
            contents[name] = bytes(data)
        return contents


def _rename(names: dict[str, int], change: Change) -> None:
    if change.kind == "create":
        names[change.name] = change.file
    elif change.kind == "unlink":
        names.pop(change.name, None)
    elif change.name in names:
        names[change.new_name] = names.pop(change.name)


def _survivors(pending: list[Change], rng: random.Random) -> list[Change]:
    """All that was not synced, none of it, what came first, or any of it."""
    how = rng.randrange(4)
    if how == 0:
        return list(pending)
    if how == 1:
        return []
    if how == 2:
        return pending[: rng.randint(0, len(pending))]
    return [change for change in pending if rng.random() < 0.5]


def _apply(data: bytearray, change: Change, rng: random.Random | None = None) -> None:
    """Do a change; with `rng` perhaps only in part: some sectors, zeros for the rest, or something
    else altogether.
    """
    if change.kind == "truncate":
        del data[change.offset :]
        data.extend(bytes(change.offset - len(data)))
        return
    end = change.offset + len(change.data)
    data.extend(bytes(max(0, end - len(data))))
    how = rng.randrange(5) if rng else 0
    if rng is None or how < 2:
        data[change.offset : end] = change.data
    elif how == 2:  # the size came first, the data never
        data[change.offset : end] = bytes(len(change.data))
    elif how == 3:
        data[change.offset : end] = rng.randbytes(len(change.data))
    else:
        for start in range(change.offset, end, SECTOR):
            if rng.random() < 0.5:
                stop = min(start + SECTOR, end)
                data[start:stop] = change.data[start - change.offset : stop - change.offset]
