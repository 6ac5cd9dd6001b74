"""A sequencer's directory with marked cells, and calls of bin/hesiod-clean-upstream there."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hesiod_watch.core.file_entry import FileEntry
from hesiod_watch.rules.deletion_marks import (
    EVIDENCE,
    LIST,
    DeletionMark,
    evidence_name,
    evidence_text,
)
from hesiod_watch.rules.deletion_proof import digest_of

PROGRAM = Path(__file__).parents[2] / "bin" / "hesiod-clean-upstream"
SHELLS = {"dash": ["dash"], "bash": ["bash", "--posix"], "busybox": ["busybox", "sh"]}
RUN, LIBRARY = "My Exp", "lib"
CELL, OTHER = "20261122_1000_1A_PAD38578_c6ded78b", "20261122_1001_1B_PAD38579_d6ded78b"
TRASH = ".hesiod-trash"


def shell_called(name: str) -> list[str]:
    """Command of one of SHELLS; skips the test if it is not installed."""
    command = SHELLS[name]
    if shutil.which(command[0]) is None:
        pytest.skip(f"there is no {command[0]} here")
    return command


class Sequencer:
    """A directory of runs with some cells, and methods that call the program there."""

    def __init__(self, root: Path, shell: list[str]) -> None:
        self.data = root / "data of $(touch canary) 'x'"
        self.data.mkdir()
        self.shell = shell

    def cell(self, name: str = CELL, run: str = RUN) -> Path:
        path = self.data / run / LIBRARY / name
        (path / "fastq_pass").mkdir(parents=True)
        (path / "pod5").mkdir()
        (path / "fastq_pass" / "a_0.fastq.gz").write_bytes(b"reads" * 100)
        (path / "pod5" / "a_0.pod5").write_bytes(b"signal" * 1000)
        (path / "final_summary_a.txt").write_text("acquisition_run_id=a\n")
        return path

    def mark(self, cell: Path, **more: object) -> DeletionMark:
        """Mark a cell in its present state; `more` replaces fields of the mark."""
        found = {
            str(path.relative_to(cell)): seen(path) for path in cell.rglob("*") if path.is_file()
        }
        digest = digest_of(found)
        place = str(cell.relative_to(self.data))
        now = datetime.now(UTC)
        values: dict[str, object] = {
            "word": "deletable",
            "made": now,
            "place": place,
            "run": "20261122_PROM_My_Exp",
            "until": now + timedelta(days=7),
            "files": len(found),
            "bytes": sum(entry.size for entry in found.values()),
            "digest": digest,
            "evidence": evidence_name(cell.name, digest),
            "said": "backup fluidfs, landing",
        }
        mark = DeletionMark(**(values | more))  # type: ignore[arg-type]  # fields of a mark
        (self.data / EVIDENCE).mkdir(exist_ok=True)
        evidence = evidence_text({name: entry.md5 for name, entry in found.items()})
        (self.data / EVIDENCE / mark.evidence).write_bytes(evidence)
        self.write(mark.line())
        return mark

    def revoke(self, cell: Path) -> None:
        place = str(cell.relative_to(self.data))
        self.write(
            DeletionMark("revoked", datetime.now(UTC), place, "x", said="a copy has rotted").line()
        )

    def write(self, line: str) -> None:
        with (self.data / LIST).open("a", encoding="ascii") as file:
            file.write(line + "\n")

    def call(self, *arguments: str | Path, answer: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.shell, PROGRAM, "--dir", self.data, *arguments],
            input=answer,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def clean(self, *arguments: str | Path, count: int = 1) -> subprocess.CompletedProcess[str]:
        return self.call("--yes", *arguments, answer=f"{count}\n")

    def trash(self) -> list[str]:
        """Cells in the trash, `run/library/cell`."""
        return sorted("/".join(path.parts[-3:]) for path in (self.data / TRASH).glob("*/*/*/*"))

    def log(self) -> list[list[str]]:
        return [
            line.split("\t")[1:]
            for line in (self.data / "cells_cleaned.log").read_text().splitlines()
        ]


def seen(path: Path) -> FileEntry:
    data = path.read_bytes()
    return FileEntry(
        path.name, size=len(data), md5=hashlib.md5(data, usedforsecurity=False).hexdigest()
    )


def contents(cell: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(cell)): path.read_bytes() for path in cell.rglob("*") if path.is_file()
    }


def flip(cell: Path) -> None:
    """Change one byte of a cell and keep sizes and times."""
    path = cell / "pod5" / "a_0.pod5"
    status = path.stat()
    path.write_bytes(path.read_bytes().replace(b"signal", b"signaL", 1))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
