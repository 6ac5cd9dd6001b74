"""MinKNOW's own checksums: `output_hash_*.csv` at the top of a cell, where a recent MinKNOW was told to write it.

Columns `file_hash` (SHA-256) and `file_path`, relative to the run's folder as it was on the sequencer. Not every file
has a line. It is somebody else's file about names that nobody controls: what makes no sense is told and left aside.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from hesiod_watch.model import CellId
from hesiod_watch.naming import display
from hesiod_watch.upstreams import landed

LARGEST = 256 << 20
_NAME = re.compile(r"output_hash_.*\.csv", re.DOTALL)
_SHA256 = re.compile(r"[0-9A-Fa-f]{64}")


class Hashed(Protocol):
    """A file that was read, with its SHA-256 where that was wanted."""

    @property
    def sha256(self) -> str: ...


@dataclass(frozen=True)
class Hashes:
    """SHA-256 by name relative to the cell, as MinKNOW has written them, and the names of the files it did so in."""

    files: tuple[str, ...] = ()
    sha256: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""

    def judge(self, found: Mapping[str, Hashed], tell: Callable[[str], None]) -> dict[str, object]:
        """What to record of their agreement with what was read; empty where there are none. Differences are told."""
        if not self.files:
            return {}
        compared = {name: found[name].sha256 for name in self.sha256 if name in found and found[name].sha256}
        differing = sorted(name for name, sha256 in compared.items() if sha256 != self.sha256[name])
        for name in differing:
            tell(f"{display(name)} is not what MinKNOW wrote: its SHA-256 differs from {display(self.files[0])}")
        if self.problem:
            tell(self.problem)
        said: dict[str, object] = {"files": list(self.files), "agreeing": len(compared) - len(differing)}
        said |= {"differing": differing} if differing else {}
        return said | ({"problem": self.problem} if self.problem else {})


def read_output_hashes(directory: int, cell: CellId, names: Iterable[str]) -> Hashes:
    """All that MinKNOW says of the files `names` of a cell, below the open directory of its run. Raises nothing."""
    names = set(names)
    files = sorted(name for name in names if "/" not in name and _NAME.fullmatch(name))
    sha256: dict[str, str] = {}
    problem = ""
    for name in files:
        try:
            with landed.opened(directory, cell, name) as descriptor, os.fdopen(os.dup(descriptor), "rb") as file:
                text = file.read(LARGEST).decode("utf-8", "surrogateescape")
            sha256 |= parse(text, cell, names)
        except (OSError, csv.Error) as error:
            problem = f"{display(name)} cannot be read: {error}"
    return Hashes(tuple(files), sha256, problem)


def parse(text: str, cell: CellId, names: set[str]) -> dict[str, str]:
    """SHA-256 by name relative to the cell. Paths may begin with the run, the library and the cell, or not."""
    found = {}
    for row in csv.DictReader(io.StringIO(text)):
        path, digest = (row.get("file_path") or "").replace("\\", "/"), (row.get("file_hash") or "").lower()
        if not _SHA256.fullmatch(digest):
            continue
        relative = path.partition(f"{cell.name}/")[2] or path.removeprefix("./")
        if relative in names:
            found[relative] = digest
    return found
