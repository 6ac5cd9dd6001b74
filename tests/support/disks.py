"""Stand-ins for the `os` of `fastq.durable` and `host.files`: record changes, fail, lose power.

`Disk` passes every call to the real `os`, so programs run normally. Its recorded changes can be
played to a `Platter`, which knows what a real disk may contain after a power loss. Data that were
not synced may be present, absent, partial or zeros. Names that were not synced are present up to
some point in time.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from hesiod_watch.fastq import durable
from hesiod_watch.host import files

SECTOR = 512


class Killed(BaseException):
    """The process ends at this call."""


@dataclass(frozen=True)
class Change:
    """One call that changes the disk.

    `file` is the number of an inode; names are relative to the directory.
    """

    kind: str  # create, write, truncate, sync, unlink, rename, mkdir, syncdir, promise
    file: int = -1
    name: str = ""
    new_name: str = ""
    offset: int = 0
    data: bytes = b""


Fault = Callable[[str, int], None]
"""Called before each change, and each opening for one, with its kind and number (from 0).

It raises to make the call fail.
"""


def no_fault(kind: str, number: int) -> None:
    pass


class Disk:
    """An `os` for one directory; `changes` lists completed calls, `calls` all attempted ones."""

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

    def promise(self, what: str, number: int) -> None:
        """Record a promise made to the program at this moment."""
        self.changes.append(Change("promise", name=what, offset=number))

    def die(self) -> None:
        """Close all files, as the kernel does when a process ends."""
        for descriptor in self._files:
            os.close(descriptor)
        self._files.clear()

    def inode_of(self, descriptor: int) -> int:
        return self._files[descriptor]

    def open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        name = Path(path).name
        if not flags & os.O_DIRECTORY and (
            Path(path).parent != self._directory if dir_fd is None else not self._is_open_as(dir_fd)
        ):
            return os.open(path, flags, mode, dir_fd=dir_fd)
        if flags & os.O_ACCMODE != os.O_RDONLY:
            self._try("create" if flags & os.O_CREAT else "open")
        descriptor = os.open(path, flags, mode, dir_fd=dir_fd)
        if flags & os.O_CREAT:
            self._inodes[name] = self._next
            self._next += 1
            self.changes.append(Change("create", self._inodes[name], name))
        self._files[descriptor] = -1 if flags & os.O_DIRECTORY else self._inodes[name]
        return descriptor

    def _is_open_as(self, descriptor: int) -> bool:
        return os.path.samestat(os.fstat(descriptor), self._directory.stat())

    def close(self, descriptor: int) -> None:
        self._files.pop(descriptor, None)
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

    def unlink(self, path: Path | str, *, dir_fd: int | None = None) -> None:
        name = Path(path).name
        if (self._directory / name).exists():
            self._try("unlink")
        os.unlink(path, dir_fd=dir_fd)
        del self._inodes[name]
        self.changes.append(Change("unlink", name=name))

    def rename(self, name: str, new_name: str, **directories: int) -> None:
        self._try("rename")
        os.rename(name, new_name, **directories)  # noqa: PTH104  stand-in for this call
        self._inodes[new_name] = self._inodes.pop(name)
        self.changes.append(Change("rename", name=name, new_name=new_name))

    def mkdir(self, path: Path) -> None:
        if not path.exists():
            self._try("mkdir")
        os.mkdir(path)  # noqa: PTH102  stand-in for this call
        self.changes.append(Change("mkdir"))

    def _try(self, kind: str) -> None:
        self.calls.append(kind)
        self.fault(kind, len(self.calls) - 1)


def install(monkeypatch: pytest.MonkeyPatch, disk: Any) -> None:
    """Let the data path work on `disk`: a `Disk`, or `os`."""
    for module in (durable, files):
        monkeypatch.setattr(module, "os", disk)


@dataclass
class _Inode:
    durable: bytearray = field(default_factory=bytearray)
    pending: list[Change] = field(default_factory=list)


class Platter:
    """Possible contents of a disk after some changes: the certain ones, and the possible ones."""

    def __init__(self, contents: dict[str, bytes] | None = None) -> None:
        self._inodes: dict[int, _Inode] = {}
        self._names: dict[str, int] = {}
        for number, name in enumerate(sorted(contents or {})):
            self._inodes[number] = _Inode(bytearray((contents or {})[name]))
            self._names[name] = number
        self._pending: list[Change] = []
        self.promises: dict[str, int] = {}

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
            case "promise":
                self.promises[change.name] = change.offset

    def contents(self) -> dict[str, bytes]:
        """The files as running programs see them."""
        return self._after(
            len(self._pending), lambda inode: [(change, None) for change in inode.pending]
        )

    def certain(self) -> dict[str, bytes]:
        """The files that survive any power loss."""
        return self._after(0, lambda inode: [])

    def after_power_loss(self, rng: random.Random) -> dict[str, bytes]:
        """The files as they may be found after a restart."""
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
    """A choice of unsynced changes: all, none, the first ones, or any."""
    how = rng.randrange(4)
    if how == 0:
        return list(pending)
    if how == 1:
        return []
    if how == 2:
        return pending[: rng.randint(0, len(pending))]
    return [change for change in pending if rng.random() < 0.5]


def _apply(data: bytearray, change: Change, rng: random.Random | None = None) -> None:
    """Apply a change; with `rng` possibly only in part, or with zeros or other data instead."""
    if change.kind == "truncate":
        del data[change.offset :]
        data.extend(bytes(change.offset - len(data)))
        return
    end = change.offset + len(change.data)
    data.extend(bytes(max(0, end - len(data))))
    how = rng.randrange(5) if rng else 0
    if rng is None or how < 2:
        data[change.offset : end] = change.data
    elif how == 2:  # the size was written, the data were not
        data[change.offset : end] = bytes(len(change.data))
    elif how == 3:
        data[change.offset : end] = rng.randbytes(len(change.data))
    else:
        for start in range(change.offset, end, SECTOR):
            if rng.random() < 0.5:
                stop = min(start + SECTOR, end)
                data[start:stop] = change.data[start - change.offset : stop - change.offset]
