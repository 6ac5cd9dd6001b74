"""Directories of a run that another account exchanges for links to another run, during work.

An account that may write in the landing area owns one run, and must neither read nor change
another. It may act at any moment, so it acts before each call of the operating system in turn.
"""

from __future__ import annotations

import gzip
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from growing import directory_in_memory
from younger_files import end_with_summaries

from hesiod_watch.cli import main
from hesiod_watch.cli.simulator import SimulatedCell
from hesiod_watch.core.model import CellId

VICTIM, OWN = "20261122_TEST_victim", "20261122_TEST_own"
CELL = CellId("sample_A", "20261122_2210_1A_PAW00001_0a1b2c3d")
CALLS = ("open", "stat", "lstat", "scandir", "listdir", "readlink", "link", "rename", "mkdir")
DIRECTORIES = {
    "run": ".",
    "library": CELL.library,
    "cell": str(CELL),
    "flags": "pipeline",
    "messages": "pipeline/messages",
    "data": f"{CELL}/fastq_pass",
    "barcode": f"{CELL}/fastq_pass/barcode01",
}
OF_THE_CELL, OF_THE_RUN = (
    ("run", "library", "cell", "flags", "data", "barcode"),
    ("run", "flags", "messages"),
)
ACTIONS = {
    "process": OF_THE_CELL,
    "ingest": OF_THE_CELL,
    "synced": ("run", "cell", "flags", "data"),
    "tell": OF_THE_RUN,
    "notify": OF_THE_RUN,
    "report": ("run", "flags"),
}


class World:
    """Two adopted runs, each with a complete cell of the same name."""

    def __init__(self, root: Path) -> None:
        self.landing, self.output = root / "landing", root / "output"
        self.config = root / "config.yaml"
        for directory in (self.landing, self.output):
            directory.mkdir(parents=True)
        (root / "url").write_text("json://127.0.0.1:9/")
        (root / "url").chmod(0o600)
        self.config.write_text(
            f"landing: {self.landing}\noutput: {self.output}\nlocks: {root}\n"
            f"notify: {{channels: {{chat: {{url_file: {root / 'url'}}}}}}}\n"
        )
        for run in (VICTIM, OWN):
            cell = SimulatedCell(
                *(self.landing, run, CELL.library, CELL.name),
                barcodes=("barcode01",),
                files_per_barcode=2,
                reads_per_file=2,
            )
            cell.write()
            self.perform("new-run", run)
        for path in (self.landing / VICTIM).rglob("*.fastq"):
            path.write_text(f"@secret-{path.stem}\nACGT\n+\nIIII\n")
        end_with_summaries(self.landing)

    def perform(self, action: str, run: str = OWN) -> int:
        cell = (str(CELL),) if action in ("process", "ingest", "synced") else ()
        command = ("--config", self.config, "perform", action, self.landing / run, *cell)
        return main([str(word) for word in command])

    def exchange(self, directory: str) -> None:
        """Exchange a directory of the own run for a link to that of the other run."""
        place = self.landing / OWN / directory
        place.rename(self.landing / "aside")
        place.symlink_to(self.landing / VICTIM / directory)

    def of_the_victim(self) -> dict[str, tuple[object, ...]]:
        """Everything of the other run, with the content of its files."""
        places = [*(self.landing / VICTIM).rglob("*"), *(self.output / VICTIM).rglob("*")]
        return {
            str(path): (path.lstat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
            for path in places
        }

    def own_results_with_secrets(self) -> list[Path]:
        found = []
        for path in (self.output / OWN).rglob("*"):
            if path.is_file() and not path.is_symlink():
                data = path.read_bytes()
                text = gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data
                found += [path] if b"secret" in text else []
        return found


@contextmanager
def acting(monkeypatch: pytest.MonkeyPatch, act: Callable[[int], None]) -> Iterator[None]:
    """Call `act` with a number before each call that reads or changes a directory."""
    count = 0

    def wrap(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            nonlocal count
            number, count = count, count + 1
            act(number)
            return real(*args, **options)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(time, "sleep", lambda seconds: None)
        for name in CALLS:
            patch.setattr(os, name, wrap(getattr(os, name)))
        yield


def prepared(root: Path, action: str) -> World:
    world = World(root)
    if action == "process":
        assert world.perform("synced") == 0
    return world


def calls_of(world: World, action: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """Number of calls of an undisturbed action."""
    numbers = [0]
    with acting(monkeypatch, numbers.append):
        assert world.perform(action) == 0
    return numbers[-1]


@pytest.mark.parametrize(
    "points", [20, pytest.param(10_000, marks=[pytest.mark.slow, pytest.mark.timeout(3000)])]
)
@pytest.mark.parametrize(
    ("action", "directory"),
    [(action, directory) for action, names in ACTIONS.items() for directory in names],
)
def test_a_directory_is_exchanged_for_a_link(
    action: str, directory: str, points: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of the other run is read or written, and that run is processed as usual.

    `points`: number of moments, evenly spread over the action.
    """
    with directory_in_memory(tmp_path) as root:
        total = calls_of(prepared(root / "undisturbed", action), action, monkeypatch)
        for moment in range(total // points, total, max(1, total // points)):
            world = prepared(root / str(moment), action)
            before = world.of_the_victim()

            def act(number: int, world: World = world, moment: int = moment) -> None:
                if number == moment:
                    world.exchange(DIRECTORIES[directory])

            with acting(monkeypatch, act):
                world.perform(action)
            assert (world.landing / "aside").is_dir()
            assert world.of_the_victim() == before, f"before call {moment} of {total}"
            assert world.own_results_with_secrets() == [], f"before call {moment} of {total}"
        assert [world.perform(step, VICTIM) for step in ("synced", "process")] == [0, 0]
        [done] = (world.output / VICTIM / str(CELL)).glob("*barcode01_pass.fastq.gz")
        assert b"secret" in gzip.decompress(done.read_bytes())
