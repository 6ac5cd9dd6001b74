"""A cell on a mounted sequencer that is landed, processed and backed up by the real code.

The code runs in this process. The backups are separate file systems (tmpfs, which needs root). Each
fault of a facility is a method or a function: a flipped bit, an unmounted disk, a kill at a change
of the disk. A kill is simulated: from the chosen call on nothing can be changed, and the owner of
the work is a process that is proven dead.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

from mounts import mount_memory, move_mount, unmount
from open_runs import opened, pipeline_at
from surveyed_copies import Places, truth_of
from younger_files import end_with_summaries

from hesiod_watch import actions, config
from hesiod_watch.actions import Job
from hesiod_watch.cli.simulator import SimulatedCell
from hesiod_watch.core.errors import FlagExists, HesiodError
from hesiod_watch.core.model import LOCAL, CellId
from hesiod_watch.core.ownership import Owner
from hesiod_watch.host import process
from hesiod_watch.rules.deletion_marks import LIST, read_marks
from hesiod_watch.runs import flags

CELL = CellId("sample_A", "20261122_2210_1A_PAW00001_0a1b2c3d")
RUN = "20261122_PROM_alpha"
CLEAN = Path(__file__).parents[2] / "bin" / "hesiod-clean-upstream"
MUTATING = (
    "unlink",
    "rename",
    "replace",
    "link",
    "symlink",
    "mkdir",
    "rmdir",
    "truncate",
    "ftruncate",
)
DATA = (".fastq", ".pod5", "summary_x.txt")
"""Suffixes of the large files, which a strip removes."""


class Killed(BaseException):
    """Simulated end of the process."""


class World:
    """A whole facility in one directory. `truth` is the content that the sequencer wrote."""

    def __init__(self, root: Path, *, backups: int = 2) -> None:
        self.root = root
        self.names = [f"backup{number}" for number in range(1, backups + 1)]
        self.mounted: set[str] = set()
        for name in ("sequencer", "landing", "output", *self.names):
            (root / name).mkdir(exist_ok=True)
        lines = "".join(f"  {name}: {{location: {root / name}}}\n" for name in self.names)
        self.text = (
            f"landing: {root / 'landing'}\noutput: {root / 'output'}\nprocessing: {{nice: 0}}\n"
            f"upstreams:\n  prom: {{location: {root / 'sequencer'}, instrument: PROM, "
            "mark_deletable: true}\n"
            f"backups:\n{lines}"
        )
        self.config = config.parse(self.text, None)
        self.truth: dict[str, bytes] = {}

    # The life of the cell.

    def mount(self, name: str) -> None:
        """Mount a new, empty file system at a backup's directory."""
        mount_memory(self.root / name, "32m")
        self.mounted.add(name)

    def close(self) -> None:
        for name in (*self.names, *(f"{name}.away" for name in self.names)):
            unmount(self.root / name)

    def begin(self, prepare: Callable[[Path], object] = lambda cell: None) -> None:
        """Write, copy, process and back up the cell.

        `prepare` is called with the cell's directory after the write and before the copy.
        """
        SimulatedCell(
            self.root / "sequencer",
            "alpha",
            CELL.library,
            CELL.name,
            barcodes=(),
            files_per_barcode=2,
            reads_per_file=8,
        ).write()
        cell = self.root / "sequencer" / "alpha" / str(CELL)
        (cell / "sequencing_summary_x.txt").write_bytes(os.urandom(1_200_000))
        (cell / "notes.txt").write_text("small\n")
        prepare(cell)
        end_with_summaries(cell)
        self.truth = truth_of(cell)
        self.run_dir.mkdir()
        (self.root / "output" / RUN).mkdir()
        flags.adopt(
            opened(self.run_dir), f"{self.root / 'sequencer'}/alpha", self.root / "output" / RUN
        )
        self.perform("sync", cell=None)
        self.process()
        for name in self.names:
            self.mark_backup(name)
        self.perform("backup")

    def write_config(self) -> None:
        """Write `hesiod-watch.yaml` into the world's directory, for separate processes."""
        (self.root / "hesiod-watch.yaml").write_text(self.text)

    @property
    def run_dir(self) -> Path:
        return self.root / "landing" / RUN

    @property
    def pipeline(self) -> Path:
        return self.run_dir / "pipeline"

    def mark_backup(self, name: str) -> None:
        from hesiod_watch.remote.backup.init import initialise_backup

        backup = next(each for each in self.config.backups if each.name == name)
        initialise_backup(backup, self.config)

    def process(self, epoch: int = 1) -> None:
        owner = self.owner("process", epoch)
        flags.claim_cell(pipeline_at(self.pipeline), CELL.stem, owner, judge=process.judge_here)
        self.perform("process", owner=self.owner("process", epoch))

    def owner(self, action: str, epoch: int = 1) -> Owner:
        """A dead owner, so that this live process never holds up an attempt."""
        return replace(
            process.this_owner(action, "inline", epoch=epoch), pid=_dead_pid(), pid_start=1
        )

    def job(self, action: str, cell: CellId | None = CELL, owner: Owner | None = None) -> Job:
        return Job(
            action, self.run_dir, self.config, owner or self.owner(action), cell, "a test", LOCAL
        )

    def perform(self, action: str, cell: CellId | None = CELL, owner: Owner | None = None) -> None:
        actions.perform(self.job(action, cell, owner))

    def try_to(self, work: Callable[[], object]) -> str:
        """Call a function that may be refused; the reason, or "" for success."""
        try:
            work()
        except (HesiodError, FlagExists) as error:
            return str(error)
        return ""

    def clean(
        self, *arguments: str, count: int = 1, check: bool = False
    ) -> subprocess.CompletedProcess[str]:
        command = [str(CLEAN), "--dir", str(self.root / "sequencer"), "--yes", *arguments]
        return subprocess.run(
            command, input=f"{count}\n", capture_output=True, text=True, timeout=60, check=check
        )

    # Present state.

    def place(self, name: str) -> Path:
        """Directory of the cell's raw files in a place."""
        if name == "upstream":
            return self.root / "sequencer" / "alpha" / str(CELL)
        if name == "landing":
            return self.run_dir / str(CELL)
        return self.root / name / RUN / "raw" / str(CELL)

    def results(self, name: str) -> Path:
        """Directory of the cell's results in the output or a backup."""
        root = self.root / name / RUN
        return root / str(CELL) if name == "output" else root / "results" / str(CELL)

    def places(self) -> Places:
        raw = {name: self.place(name) for name in ("upstream", "landing", *self.names)}
        return Places(raw, {name: self.results(name) for name in ("output", *self.names)})

    def flags(self) -> set[str]:
        return {name for name in os.listdir(self.pipeline) if not name.startswith(".")}

    def marked(self) -> str:
        """Kind of the cell's last mark in the list on the sequencer; "" without one."""
        listed = self.root / "sequencer" / LIST
        mark = read_marks(listed.read_bytes()).get(f"alpha/{CELL}") if listed.exists() else None
        return mark.word if mark else ""

    # Faults.

    def unmount(self, name: str) -> None:
        """Unmount a backup; its directory remains and is empty."""
        (self.root / f"{name}.away").mkdir(exist_ok=True)
        move_mount(self.root / name, self.root / f"{name}.away")
        self.mounted.discard(name)

    def remount(self, name: str) -> None:
        move_mount(self.root / f"{name}.away", self.root / name)
        self.mounted.add(name)


@contextmanager
def kept_world(
    root: Path, prepare: Callable[[Path], object] = lambda cell: None
) -> Iterator[World]:
    """A processed cell with two backups; skips the test if mounting is not allowed."""
    made = World(root)
    try:
        for name in made.names:
            made.mount(name)
        made.begin(prepare)
        yield made
    finally:
        made.close()


def data_of(world: World, place: str) -> set[str]:
    """Names of the large files in a place."""
    return {name for name in truth_of(world.place(place)) if name.endswith(DATA)}


def some(world: World, suffix: str) -> str:
    """First file of the cell with this suffix."""
    return next(name for name in world.truth if name.endswith(suffix))


def said(world: World, flag: str) -> dict[str, object]:
    """Content of a flag of the cell."""
    found: dict[str, object] = json.loads((world.pipeline / f"{CELL.stem}.{flag}").read_text())
    return found


def why_kept(world: World) -> list[str]:
    """Reasons of the last strip for keeping files, as sentences."""
    kept = said(world, "strip.done")["kept"]
    assert isinstance(kept, list)
    return kept


@contextmanager
def killed_at(number: int) -> Iterator[list[int]]:
    """Raise Killed at the `number`th change through Python's `os`, and at later ones.

    A child process counts as one change, because its standard input is a temporary file.
    """
    count = [0]
    lock = threading.Lock()

    def before() -> None:
        with lock:
            count[0] += 1
        if count[0] > number:
            raise Killed

    def wrapped(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*arguments: Any, **named: Any) -> Any:
            before()
            return call(*arguments, **named)

        return wrapper

    def opening(call: Callable[..., int]) -> Callable[..., int]:
        def wrapper(path: Any, how: int, *arguments: Any, **named: Any) -> int:
            if how & (os.O_CREAT | os.O_TRUNC | os.O_TMPFILE):
                before()
            return call(path, how, *arguments, **named)

        return wrapper

    changed: dict[str, Any] = {name: wrapped(getattr(os, name)) for name in MUTATING} | {
        "open": opening(os.open)
    }
    with mock.patch.multiple(os, **changed):
        yield count


def _dead_pid() -> int:
    with subprocess.Popen(["true"]) as child:
        return child.pid


def flip(path: Path, offset: int = 0) -> None:
    """Change one bit of a file and keep its size and time."""
    status = path.stat()
    data = bytearray(path.read_bytes())
    data[offset % len(data)] ^= 1
    with path.open("r+b") as file:
        file.write(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
