"""Attempts that are overtaken or killed while they publish: the results are the last attempt's."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from open_runs import pipeline_at

from hesiod_watch import actions
from hesiod_watch.actions import Job, Outcome
from hesiod_watch.actions.outputs.check import verify_cell
from hesiod_watch.actions.outputs.publication import SUPERSEDED
from hesiod_watch.cli.simulator import SimulatedCell
from hesiod_watch.config import Config
from hesiod_watch.core.model import CellId
from hesiod_watch.host import process
from hesiod_watch.report.cell import render_cell
from hesiod_watch.runs import flags
from hesiod_watch.runs.observe import INGEST_FILE

RUN = "20261122_TEST_alpha"
CELL = CellId("sample_A", "20261122_2210_1A_PAW00001_0a1b2c3d")
SECONDS = 60.0
REAL_RENAME = os.rename


class World:
    """A complete cell, and attempts to process it."""

    def __init__(self, root: Path) -> None:
        self.config = Config(root / "landing", root / "output")
        for directory in (self.config.landing, self.config.output):
            directory.mkdir()
        self.simulated = SimulatedCell(
            self.config.landing, RUN, CELL.library, CELL.name, files_per_barcode=2, reads_per_file=4
        )
        self.simulated.write()
        self.run_dir = self.config.landing / RUN
        self.pipeline = self.run_dir / "pipeline"
        self.output = self.config.output / RUN / CELL.library / CELL.name
        for action in ("new-run", "synced"):
            actions.perform(self.job(action))

    def job(self, action: str, epoch: int = 1) -> Job:
        owner = process.this_owner(action, "test", epoch=epoch)
        return Job(action, self.run_dir, self.config, owner, CELL)

    def attempt(self, epoch: int = 1, *, elsewhere: bool = False) -> Outcome:
        """Claim the cell and process it; `elsewhere`: on a host that no process here can judge."""
        job = self.job("process", epoch)
        if elsewhere:
            owner = replace(job.owner, host="elsewhere", machine_id="other", boot_id="other")
            job = replace(job, owner=owner)
        flags.claim_cell(pipeline_at(self.pipeline), CELL.stem, job.owner, judge=process.judge_here)
        return actions.perform(job)

    def rewrite_source(self, text: str = "@mended\nACGT\n+\nIIII\n") -> None:
        """Write one source again with another text."""
        source = sorted(self.simulated.path.glob("fastq_pass/*/*.fastq"))[0]
        source.write_text(text)
        source.touch()

    def process_before(self) -> None:
        """Make results of an earlier processing, which a person wants to be made again."""
        self.rewrite_source("@former\nACGTA\n+\nIIIII\n")
        self.attempt()
        flags.archive_flags(pipeline_at(self.pipeline), CELL.stem, why="test")
        (self.pipeline / flags.done(CELL.stem)).unlink()

    def kept_fastq(self) -> set[bytes]:
        """All FASTQ, published or superseded."""
        paths = [*self.output.glob("*.fastq.gz"), *self.output.glob(f"{SUPERSEDED}/*/*.fastq.gz")]
        return {gzip.decompress(path.read_bytes()) for path in paths}

    def published(self) -> dict[str, bytes]:
        """Every file that is not hidden, by its path."""
        return {
            str(path.relative_to(self.output)): path.read_bytes()
            for path in sorted(self.output.rglob("*"))
            if path.is_file() and not str(path.relative_to(self.output)).startswith(".")
        }

    def names(self) -> set[bytes]:
        """First lines of the reads in the results, without the text after the name."""
        found: set[bytes] = set()
        for path in self.output.glob("*.fastq.gz"):
            found |= {
                line.split()[0] for line in gzip.decompress(path.read_bytes()).splitlines()[::4]
            }
        return found

    def wanted(self) -> set[bytes]:
        """First lines of the reads in the sources, in the same form."""
        found: set[bytes] = set()
        for path in self.simulated.path.rglob("*.fastq"):
            found |= {line.split()[0] for line in path.read_bytes().splitlines()[::4]}
        return found

    def assert_whole(self) -> None:
        """Check that the results come from the sources and agree with the manifest and `.done`.

        No leftovers may remain.
        """
        assert verify_cell(self.output) == []
        assert self.names() == self.wanted()
        done = json.loads((self.pipeline / flags.done(CELL.stem)).read_text())
        assert (
            done["results"]["reads"]
            == json.loads((self.output / "qc.json").read_text())["total"]["reads"]
        )
        assert not list(self.output.glob(".staging*"))
        assert not (self.pipeline / flags.failed(CELL.stem)).exists()


class Gate:
    """Calls `at_number` before one rename in the output of a cell that is not done.

    Renames are counted from 1.
    """

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        world: World,
        number: int,
        at_number: Callable[[], None],
    ):
        self.count = 0
        self._within = str(world.output)
        self._done = world.pipeline / flags.done(CELL.stem)
        self._number = number
        self._at_number = at_number
        self._thread = threading.get_ident()
        monkeypatch.setattr(os, "rename", self._rename)

    def for_this_thread(self) -> None:
        self._thread = threading.get_ident()

    def _rename(self, old: Any, new: Any, **options: Any) -> None:
        ours = threading.get_ident() == self._thread and str(new).startswith(self._within)
        if ours and not self._done.exists():
            self.count += 1
            if self.count == self._number:
                self._at_number()
        REAL_RENAME(old, new, **options)


FIRST, AGAIN = "first", pytest.param("once more", marks=pytest.mark.slow)
BEFORE: dict[str, Callable[[World], None]] = {
    "first": lambda world: None,
    "once more": World.process_before,
}


def renames(root: Path, before: str) -> int:
    """Number of renames in an undisturbed attempt."""
    root.mkdir()
    world = World(root)
    BEFORE[before](world)
    with pytest.MonkeyPatch.context() as patch:
        gate = Gate(patch, world, 0, lambda: None)
        world.attempt()
    return gate.count


@pytest.mark.parametrize("before", [FIRST, AGAIN])
def test_overtaken_at_any_rename(before: str, tmp_path: Path) -> None:
    """An attempt that wakes up before any rename, after another has finished, changes nothing."""
    count = renames(tmp_path / "undisturbed", before)
    assert count > 10
    for number in range(1, count + 1):
        root = tmp_path / str(number)
        root.mkdir()
        world = World(root)
        BEFORE[before](world)
        former = world.kept_fastq()
        stopped, awake = threading.Event(), threading.Event()
        outcomes: list[Outcome] = []
        with pytest.MonkeyPatch.context() as patch:

            def stop(stopped: threading.Event = stopped, awake: threading.Event = awake) -> None:
                stopped.set()
                assert awake.wait(SECONDS)

            gate = Gate(patch, world, number, stop)

            def overtaken(
                world: World = world, gate: Gate = gate, outcomes: list[Outcome] = outcomes
            ) -> None:
                gate.for_this_thread()
                outcomes.append(world.attempt(elsewhere=True))

            attempt = threading.Thread(target=overtaken)
            attempt.start()
            assert stopped.wait(SECONDS)
            flags.archive_flags(
                pipeline_at(world.pipeline), CELL.stem, why="that host is dead, a person says"
            )
            world.rewrite_source()
            assert world.attempt() == "done"
            published, flagged = world.published(), sorted(os.listdir(world.pipeline))
            awake.set()
            attempt.join(SECONDS)
        assert outcomes == ["nothing"], number
        assert world.published() == published, number
        assert sorted(os.listdir(world.pipeline)) == flagged, number
        world.assert_whole()
        assert former <= world.kept_fastq()
        shutil.rmtree(root)


@pytest.mark.parametrize("name", ["qc.json", "report.html", ".ingest.json", "taken"])
def test_an_overtaken_ingest_changes_no_result(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An ingest that wakes up after its cell was processed publishes no state of a running cell.

    It is stopped before it renames a file to this name, or when it has taken the sources.
    """
    world = World(tmp_path)
    (world.pipeline / flags.synced(CELL.stem)).unlink()
    job = world.job("ingest")
    job = replace(job, owner=replace(job.owner, host="a", machine_id="other", boot_id="other"))
    stopped, awake = threading.Event(), threading.Event()
    attempt = threading.Thread(target=actions.perform, args=(job,), daemon=True)

    def stop() -> None:
        if threading.current_thread() is attempt and not stopped.is_set():
            stopped.set()
            assert awake.wait(SECONDS)

    def rename(old: Any, new: Any, **options: Any) -> None:
        if Path(new).name == name:
            stop()
        REAL_RENAME(old, new, **options)

    def render(document: dict[str, Any]) -> str:
        if name == "taken":
            stop()
        return render_cell(document)

    monkeypatch.setattr(os, "rename", rename)
    monkeypatch.setattr("hesiod_watch.actions.ingest.render_cell", render)
    attempt.start()
    assert stopped.wait(SECONDS)
    actions.perform(world.job("synced"))
    pipeline = pipeline_at(world.pipeline)
    flags.archive_flags(pipeline, CELL.stem, why="that host is dead, a person says")
    assert world.attempt() == "done"
    published = world.published()
    awake.set()
    attempt.join(SECONDS)
    assert world.published() == published
    assert not (world.output / INGEST_FILE).exists()
    world.assert_whole()


@pytest.mark.parametrize("name", ["manifest.json", "qc.json", "fastq.gz"])
def test_a_late_rename_is_repaired(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A published file that an overtaken attempt replaced is made again before `.done`."""
    world = World(tmp_path)
    put: list[Path] = []

    def rename(old: Any, new: Any, **options: Any) -> None:
        REAL_RENAME(old, new, **options)
        if Path(new).parent == world.output and str(new).endswith(name) and not put:
            put.append(Path(new))
            late = world.output.with_name("late")
            late.write_bytes(b"of another attempt")
            REAL_RENAME(late, new)

    monkeypatch.setattr(os, "rename", rename)
    assert world.attempt() == "done"
    assert put
    world.assert_whole()


@pytest.mark.slow
@pytest.mark.parametrize("before", BEFORE)
def test_killed_at_any_rename(before: str, tmp_path: Path) -> None:
    """After a kill the next attempt keeps former results and reads only published files again."""
    for number in range(1, renames(tmp_path / "undisturbed", before) + 1):
        root = tmp_path / str(number)
        root.mkdir()
        world = World(root)
        BEFORE[before](world)
        world.rewrite_source()
        former = world.kept_fastq()
        if (child := os.fork()) == 0:
            with pytest.MonkeyPatch.context() as patch:
                Gate(patch, world, number, lambda: os._exit(9))
                world.attempt()
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
        ready = {path.name for path in world.output.glob(".*/**/*.fastq.gz")}
        assert world.attempt(epoch=2) == "done"
        world.assert_whole()
        assert former <= world.kept_fastq()
        notes = json.loads((world.output / "qc.json").read_text())["notes"]
        assert not [note for note in notes for name in ready if note.startswith(name)]
        shutil.rmtree(root)
