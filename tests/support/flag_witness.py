"""Witness of all flags of a test: records each flag when it appears, and who really lives then."""

from __future__ import annotations

import ctypes
import json
import os
import re
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_CREATED, _MOVED_HERE, _ONLY_DIRECTORIES = 0x100, 0x80, 0x01000000
_HEADER = struct.Struct("iIII")
_CLAIM = re.compile(r"(?P<cell>.*)\.started(\.(?P<epoch>[0-9]+))?(?P<worker>\.worker)?")
_ATTEMPT = re.compile(r"(.*\.)?(ingest|backup|verify|sync|notify)\.failed")
_libc = ctypes.CDLL(None, use_errno=True)

Lives = Callable[[dict[str, Any]], bool]
"""Whether the process that a record names exists and was not given up by the test."""


@dataclass(frozen=True)
class SeenFlag:
    """A flag that appeared under a name, and its record at that moment; {} if it was gone."""

    name: str
    record: dict[str, Any]


class FlagWitness:
    """Watches `pipeline/` directories in a `with` block; `wrong` lists what must never happen."""

    def __init__(self, pipelines: list[Path], lives: Lives) -> None:
        self.seen: list[tuple[Path, SeenFlag]] = []
        self.wrong: list[str] = []
        self._lives = lives
        self._watched: dict[int, Path] = {}
        self._descriptor = _libc.inotify_init1(os.O_CLOEXEC)
        for pipeline in pipelines:
            mask = _CREATED | _MOVED_HERE | _ONLY_DIRECTORIES
            watch = _libc.inotify_add_watch(self._descriptor, os.fsencode(pipeline), mask)
            assert watch >= 0, os.strerror(ctypes.get_errno())
            self._watched[watch] = pipeline
        self._last = pipelines[-1] / ".end of the test"
        self._thread = threading.Thread(target=self._read)

    def __enter__(self) -> FlagWitness:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End the thread after all events so far."""
        self._last.touch()
        self._thread.join()
        os.close(self._descriptor)
        self._last.unlink()

    def records(self, pipeline: Path, pattern: str) -> dict[str, SeenFlag]:
        """Flags of a run whose whole name matches, by their token and name."""
        return {
            f"{flag.record['token']} {flag.name}": flag
            for where, flag in self.seen
            if where == pipeline and "token" in flag.record and re.fullmatch(pattern, flag.name)
        }

    def _read(self) -> None:
        while True:
            events = os.read(self._descriptor, 1 << 16)
            while events:
                watch, _, _, length = _HEADER.unpack_from(events)
                name = events[_HEADER.size : _HEADER.size + length].rstrip(b"\0").decode()
                events = events[_HEADER.size + length :]
                pipeline = self._watched.get(watch)
                if pipeline is None:  # more events than the kernel stores
                    self.wrong.append("events were lost")
                elif pipeline / name == self._last:
                    return
                elif not name.startswith("."):
                    self._note(pipeline, name)

    def _note(self, pipeline: Path, name: str) -> None:
        try:
            record = json.loads((pipeline / name).read_text())
        except (OSError, ValueError):
            record = {}  # it is gone already, or it is a person's flag
        flag = SeenFlag(name, record)
        self.seen.append((pipeline, flag))
        where = f"{pipeline.parent.name} {name}"
        taken_over = "pid" in record and ("ended" not in record or record.get("died"))
        if _ATTEMPT.fullmatch(name) and taken_over and self._lives(record):
            self.wrong.append(f"{where}: ended by another process while its owner lived: {record}")
        claim = _CLAIM.fullmatch(name)
        if claim and claim["worker"] and claim["epoch"]:
            self._note_successor(pipeline, claim["cell"], int(claim["epoch"]))

    def _note_successor(self, pipeline: Path, cell: str, epoch: int) -> None:
        for number in range(1, epoch):
            former = f"{cell}.started" + (f".{number}" if number > 1 else "")
            if (pipeline / f"{former}.yielded").exists():
                continue
            try:
                record = json.loads((pipeline / f"{former}.worker").read_text())
            except (OSError, ValueError):
                continue  # no worker began, or a person released the claim
            if self._lives(record):
                self.wrong.append(
                    f"{pipeline.parent.name} {cell}: attempt {epoch} began while the worker of"
                    f" attempt {number} lived: {record}"
                )
