"""A mounted upstream with one run, and a runner that changes it while it is copied."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from upstream_cells import CELL, tree

from hesiod_watch.config import UpstreamSettings
from hesiod_watch.core.model import CellId
from hesiod_watch.host.command import CommandResult, run
from hesiod_watch.host.files import OpenDirectory
from hesiod_watch.remote.sequencer.copy_cell import CopyResult, copy_cell

READS = "fastq_pass/PAD38578_pass_c6ded78b_1.fastq"


class Place:
    """A mounted upstream with one run, and the landing area of its copy."""

    def __init__(self, root: Path) -> None:
        self.there = root / "there" / "My Exp"
        self.landing = root / "landing"
        self.run = self.landing / "20190710_EGS1_My_Exp"
        self.log = root / "sync.log"
        self.landing.mkdir()
        self.upstream = UpstreamSettings("EGS1", str(self.there.parent))

    @property
    def source(self) -> Path:
        return self.there / CELL.library / CELL.name

    @property
    def landed(self) -> Path:
        return self.run / CELL.library / CELL.name

    def copy(
        self, upstream: UpstreamSettings | None = None, cell: CellId = CELL, **options: object
    ) -> CopyResult:
        copied: CopyResult = copy_cell(
            reached := upstream or self.upstream,
            f"{reached.location}/{self.there.name}",
            cell,
            OpenDirectory(self.run, self.landing, make=True),
            landing=self.landing,
            log=self.log,
            **options,  # type: ignore[arg-type]  # what a test wants
        )
        return copied

    def same(self) -> bool:
        return tree(self.there) == tree(self.run)

    def sent(self) -> list[tuple[int, int]]:
        """Files and bytes that each rsync sent, according to the log."""
        found = re.findall(
            r": exit code 0: (\d+) files?, (\d+) bytes?$", self.log.read_text(), re.MULTILINE
        )
        return [(int(files), int(size)) for files, size in found]


def meddling(at: str, do: Callable[[], object], *, times: int = 1) -> Callable[..., CommandResult]:
    """Command runner that calls `do` after each command with `at` in an argument."""
    left = [times]

    def runner(command: Sequence[str], **options: object) -> CommandResult:
        ended = run(command, **options)  # type: ignore[arg-type]  # passed on as they are
        if left[0] and any(at in word for word in command):
            left[0] -= 1
            do()
        return ended

    return runner
