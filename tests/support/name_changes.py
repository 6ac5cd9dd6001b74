"""Recorder of the calls that make names, and of fsync: what a power loss could undo."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from typing import Any

import pytest


@dataclass(frozen=True)
class NameChange:
    """A call that gave a name in a directory to something; or, without a name, an fsync."""

    place: int  # inode of the directory, or of what was synced
    name: str = ""
    target: int = 0  # inode of what has the name
    regular: bool = False  # whether that is a file, which then must be synced first
    new: bool = False  # whether the call made that file, so that it is synced later


class NameChanges:
    """Calls of this process, in their order."""

    def __init__(self) -> None:
        self.calls: list[NameChange] = []

    def not_durable(self) -> list[str]:
        """Sentences about visible names that a power loss could remove, or leave without content.

        A hidden name is the program's own until it becomes a visible one.
        """
        return [
            f"{call.name}: {why}"
            for number, call in enumerate(self.calls)
            if call.name and not call.name.startswith(".")
            for why in self._problems(number, call)
        ]

    def _problems(self, number: int, call: NameChange) -> Iterator[str]:
        before, after = self.calls[:number], self.calls[number:]
        if NameChange(call.place) not in after:
            yield "its directory is not synced afterwards"
        if call.regular and NameChange(call.target) not in (after if call.new else before):
            yield "its content is not synced"
        inside = [each for each in before if each.place == call.target]
        if inside and inside[-1].name:
            yield "the names in it are not synced before"


@contextmanager
def recorded_names(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameChanges]:
    """Record the names that this process makes and moves, and what it syncs."""
    changes = NameChanges()
    real_open, real_fsync = os.open, os.fsync

    def place_of(path: Any, parent: int | None) -> int:
        return (os.fstat(parent) if parent is not None else Path(path).parent.stat()).st_ino

    def record(path: Any, parent: int | None, *, new: bool = False) -> None:
        found = os.stat(path, dir_fd=parent, follow_symlinks=False)
        place, regular = place_of(path, parent), S_ISREG(found.st_mode)
        changes.calls.append(NameChange(place, Path(path).name, found.st_ino, regular, new))

    def wrapped(call: str, target: int, option: str) -> Callable[..., None]:
        real = getattr(os, call)

        def wrapper(*arguments: Any, **options: Any) -> None:
            real(*arguments, **options)
            record(arguments[target], options.get(option))
            # The former name could come back. A name that is moved aside is not needed any more.
            if call == "rename" and not Path(arguments[target]).name.startswith("."):
                place = place_of(arguments[0], options.get("src_dir_fd"))
                changes.calls.append(NameChange(place, Path(arguments[0]).name))

        return wrapper

    def open_(path: Any, access: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        descriptor = real_open(path, access, mode, dir_fd=dir_fd)
        if access & os.O_EXCL:
            record(path, dir_fd, new=True)
        return descriptor

    def fsync(descriptor: int) -> None:
        real_fsync(descriptor)
        changes.calls.append(NameChange(os.fstat(descriptor).st_ino))

    with monkeypatch.context() as patch:
        for call, target, option in (
            ("link", 1, "dst_dir_fd"),
            ("rename", 1, "dst_dir_fd"),
            ("symlink", 1, "dir_fd"),
            ("mkdir", 0, "dir_fd"),
        ):
            patch.setattr(os, call, wrapped(call, target, option))
        patch.setattr(os, "open", open_)
        patch.setattr(os, "fsync", fsync)
        yield changes
