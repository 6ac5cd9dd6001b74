"""Attempts that are overtaken or killed while they publish: the results are the last attempt's."""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import itertools
import json
import os
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from open_runs import pipeline_at

from hesiod_watch import actions
from hesiod_watch.actions import Job, Outcome
from hesiod_watch.actions.outputs.check import verify_cell
from hesiod_watch.actions.outputs.ingest_dir import open_ingest
from hesiod_watch.actions.outputs.publication import STAGING, SUPERSEDED
from hesiod_watch.cli.simulator import SimulatedCell
from hesiod_watch.config import BackupPlaceSettings, Config
from hesiod_watch.core.errors import PermanentError
from hesiod_watch.core.model import CellId
from hesiod_watch.host import process
from hesiod_watch.report.cell import render_cell
from hesiod_watch.runs import flags
from hesiod_watch.runs.observe import INGEST_DIRECTORY, INGEST_FILE

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

    def ingest(self) -> Outcome:
        """Ingest the cell as if it was not complete, on a host that no process here can judge."""
        (self.pipeline / flags.synced(CELL.stem)).unlink()
        job = self.job("ingest")
        owner = replace(job.owner, host="elsewhere", machine_id="other", boot_id="other")
        return actions.perform(replace(job, owner=owner))

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

    def assert_no_strays(self) -> None:
        """Check that `.done` names the manifest, and that the manifest names every file."""
        text = (self.output / "manifest.json").read_bytes()
        done = json.loads((self.pipeline / flags.done(CELL.stem)).read_text())
        assert done["manifest_md5"] == hashlib.md5(text, usedforsecurity=False).hexdigest()
        named = {entry["name"] for entry in json.loads(text)["files"]} | {"manifest.json"}
        assert {name for name in self.published() if not name.startswith(SUPERSEDED)} == named
        assert not list(self.pipeline.glob(".*"))
        assert not list(self.output.glob(".ingest*"))


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
    world.output.mkdir(parents=True)
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
    monkeypatch.setattr("hesiod_watch.actions.outputs.unfinished.render_cell", render)
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


CHANGES = (
    *("open", "write", "pwrite", "fsync", "fdatasync", "ftruncate", "link", "symlink", "rename"),
    *("replace", "unlink", "remove", "mkdir", "rmdir"),
)
"""Functions of `os` that change a disk."""
OUTCOMES = {"nothing", "done", "FlagExists", "BadSource"}
"""Outcomes of a stopped worker. Its sources are written again while it reads them."""


class Recorder:
    """Counts the calls of one thread that change the disk, and calls `at_number` before one."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        number: int,
        at_number: Callable[[], None],
        kinds: tuple[str, ...],
    ) -> None:
        self.count = 0
        self.call = ""
        self._number = number
        self._at_number = at_number
        self._thread = 0
        for kind in kinds:
            monkeypatch.setattr(os, kind, self._recording(kind, getattr(os, kind)))
        flock = fcntl.flock

        def lock(*arguments: Any) -> None:
            if threading.get_ident() != self._thread:  # the other host has other locks
                flock(*arguments)

        monkeypatch.setattr(fcntl, "flock", lock)

    def for_this_thread(self) -> None:
        self._thread = threading.get_ident()

    def _recording(self, kind: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            reading = kind == "open" and not arguments[1] & (os.O_WRONLY | os.O_RDWR)
            if threading.get_ident() == self._thread and not reading:
                self.count += 1
                if self.count == self._number:
                    self.call = f"{kind} {arguments}"
                    self._at_number()
            return real(*arguments, **options)

        return call


class Overtaking:
    """A worker that is stopped at one call, a successor, and the end of the stopped worker."""

    def __init__(
        self, world: World, number: int, kinds: tuple[str, ...], work: Callable[[], Outcome]
    ) -> None:
        self.world = world
        self._work = work
        self.stopped, self.awake = threading.Event(), threading.Event()
        self.outcome: list[Outcome | BaseException] = []
        self._number = number
        self._kinds = kinds

    def run(self, *, finished: bool) -> Recorder:
        """Run both; `finished`: the successor ends before the stopped worker wakes up."""
        world = self.world
        with pytest.MonkeyPatch.context() as patch:
            recorder = Recorder(patch, self._number, self._stop, self._kinds)

            def work() -> None:
                recorder.for_this_thread()
                try:
                    self.outcome.append(self._work())
                except BaseException as error:  # noqa: BLE001 -- the test judges it
                    self.outcome.append(error)
                self.stopped.set()

            worker = threading.Thread(target=work)
            worker.start()
            assert self.stopped.wait(SECONDS)
            flags.archive_flags(
                pipeline_at(world.pipeline), CELL.stem, why="that host is dead, a person says"
            )
            done = world.pipeline / flags.done(CELL.stem)
            if not (world.pipeline / flags.synced(CELL.stem)).exists():
                actions.perform(world.job("synced"))
            if not done.exists():
                world.rewrite_source()
                if not finished:
                    self._wake_before_done(patch, worker)
                assert world.attempt() == "done", recorder.call
            flag = done.read_bytes()
            published = world.published()
            self.awake.set()
            worker.join(SECONDS)
            assert not worker.is_alive()
            assert done.read_bytes() == flag, recorder.call
            assert world.published() == published, recorder.call
        return recorder

    def _stop(self) -> None:
        self.stopped.set()
        assert self.awake.wait(SECONDS)

    def _wake_before_done(self, patch: pytest.MonkeyPatch, worker: threading.Thread) -> None:
        """Let the stopped worker end just before the successor makes `.done`."""
        link, this = os.link, threading.get_ident()

        def linking(old: Any, new: Any, **options: Any) -> None:
            if threading.get_ident() == this and new == flags.done(CELL.stem):
                self.awake.set()
                worker.join(SECONDS)
            link(old, new, **options)

        patch.setattr(os, "link", linking)


def overtake_anywhere(
    root: Path,
    before: str,
    kinds: tuple[str, ...],
    *,
    finished: bool,
    work: Callable[[World], Outcome] = lambda world: world.attempt(elsewhere=True),
) -> set[str]:
    """Stop a worker before each of its calls in turn; returns the outcomes."""
    outcomes: set[str] = set()
    for number in itertools.count(1):
        place = root / str(number)
        place.mkdir()
        world = World(place)
        BEFORE[before](world)
        former = world.kept_fastq()
        overtaking = Overtaking(world, number, kinds, partial(work, world))
        recorder = overtaking.run(finished=finished)
        if recorder.count < number:
            assert number > 8
            return outcomes
        (outcome,) = overtaking.outcome
        outcomes.add(outcome if isinstance(outcome, str) else type(outcome).__name__)
        world.assert_whole()
        world.assert_no_strays()
        assert former <= world.kept_fastq(), recorder.call
        shutil.rmtree(place)
    raise AssertionError


def test_overtaken_where_names_appear(root: Path) -> None:
    """A worker that wakes up at any link or mkdir, beside its successor, changes nothing."""
    outcomes = overtake_anywhere(root, "first", ("link", "mkdir"), finished=False)
    assert {"nothing"} <= outcomes <= OUTCOMES


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("finished", [True, False], ids=["after", "in the middle"])
def test_overtaken_anywhere(finished: bool, before: str, root: Path) -> None:
    """The same for every call that changes the disk, also after the end of the successor."""
    outcomes = overtake_anywhere(root, before, CHANGES, finished=finished)
    assert {"nothing", "done"} <= outcomes <= OUTCOMES


@pytest.mark.parametrize(
    "kinds",
    [
        pytest.param(("mkdir", "rename"), id="where names appear"),
        pytest.param(CHANGES, id="anywhere", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize(
    "finished",
    [
        pytest.param(True, id="after"),
        pytest.param(False, id="in the middle", marks=pytest.mark.slow),
    ],
)
def test_a_stopped_ingest(finished: bool, kinds: tuple[str, ...], root: Path) -> None:
    """An ingest that wakes up when its cell is being processed, or is done, changes no result."""
    outcomes = overtake_anywhere(root, "first", kinds, finished=finished, work=World.ingest)
    # FlagUnknown: stopped before it read its `started` back, which the successor has ended since.
    assert outcomes <= {"done", "nothing", "TemporaryError", "FlagUnknown"}


class Stopped(BaseException):
    """The process ends at this call."""


def publish_without_done(world: World) -> None:
    """Let an attempt publish all its results and end before it makes `.done`."""
    link = os.link

    def linking(old: Any, new: Any, **options: Any) -> None:
        if new == flags.done(CELL.stem):
            raise Stopped
        link(old, new, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "link", linking)
        with pytest.raises(Stopped):
            world.attempt()
    assert (world.output / "manifest.json").exists()


def with_a_backup(world: World) -> Config:
    backup = BackupPlaceSettings("second", str(world.config.output / "second"))
    return replace(world.config, backups=(backup,))


def test_results_without_done_do_not_count(tmp_path: Path) -> None:
    """Results are neither shown nor verified nor copied before `.done` names them."""
    world = World(tmp_path)
    publish_without_done(world)
    actions.perform(world.job("report"))
    page = world.output.parents[1] / "report.html"
    assert f"{CELL.name}/report.html" not in page.read_text()
    with pytest.raises(PermanentError, match="not processed"):
        actions.perform(world.job("verify"))
    with pytest.raises(PermanentError, match="not processed"):
        actions.perform(replace(world.job("backup"), config=with_a_backup(world)))
    assert not list(world.pipeline.glob("*.verify.*"))
    flags.archive_flags(pipeline_at(world.pipeline), CELL.stem, why="test")
    assert world.attempt() == "done"
    actions.perform(world.job("report"))
    assert f"{CELL.name}/report.html" in page.read_text()
    assert actions.perform(world.job("verify")) == "done"


def test_a_manifest_that_done_does_not_name(tmp_path: Path) -> None:
    """Results that `.done` does not name are damage for `verify`, and are not copied."""
    world = World(tmp_path)
    world.attempt()
    done = world.pipeline / flags.done(CELL.stem)
    record = done.read_bytes()
    done.unlink()
    flags.archive_flags(pipeline_at(world.pipeline), CELL.stem, why="test")
    world.rewrite_source()
    world.attempt()
    done.write_bytes(record)
    with pytest.raises(PermanentError, match="not the one that its flag done names"):
        actions.perform(world.job("verify"))
    with pytest.raises(PermanentError, match="not the one that its flag done names"):
        actions.perform(replace(world.job("backup"), config=with_a_backup(world)))


@pytest.mark.parametrize(
    "owner",
    [
        pytest.param({"pid": 1 << 30}, id="killed"),
        pytest.param({"host": "elsewhere", "machine_id": "other"}, id="not to be judged"),
    ],
)
def test_outputs_left_by_an_overtaken_worker(owner: dict[str, Any], tmp_path: Path) -> None:
    """Growing outputs and staging directories beside results go with the next verification."""
    world = World(tmp_path)
    world.output.mkdir(parents=True)
    job = world.job("ingest")
    open_ingest(replace(job, owner=replace(job.owner, **owner)), world.output)  # never closed
    left, growing = tmp_path / "left", world.output / INGEST_DIRECTORY
    growing.rename(left)
    world.attempt()
    shutil.copytree(left, growing)
    staging = world.output / f"{STAGING}0a1b2c3d4e5f"
    shutil.copytree(left, staging / growing.name)
    (staging / SUPERSEDED).mkdir()
    (staging / SUPERSEDED / "former.fastq.gz").write_bytes(b"results of an earlier attempt")
    assert actions.perform(world.job("verify")) == "done"
    assert not [*world.output.glob(".staging*"), *world.output.glob(".ingest*")]
    assert len(list((world.output / SUPERSEDED).glob("*/former.fastq.gz"))) == 1
