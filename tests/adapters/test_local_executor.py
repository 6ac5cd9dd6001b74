"""Workers of this host that end without a result, or cannot be started: what the flags say then."""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from open_runs import opened, pipeline_at

from hesiod_watch.config import Config
from hesiod_watch.config.values import ProcessingSettings
from hesiod_watch.core.action_kinds import PROCESS
from hesiod_watch.core.errors import TemporaryError
from hesiod_watch.core.model import LOCAL, Action, CellId, RunName
from hesiod_watch.core.ownership import Liveness, Owner, WorkerDeath
from hesiod_watch.core.results import AttemptEnd
from hesiod_watch.host import process
from hesiod_watch.runs import flags
from hesiod_watch.runs.observe import observe
from hesiod_watch.service.executors import EndedAction
from hesiod_watch.service.executors.local import Local

CELL = CellId("lib", "20190710_1723_2-A5-D5_PAD38578_c6ded78b")
STEM = CELL.stem


class Place:
    """A run with one claimed cell, and an executor of its workers."""

    def __init__(self, root: Path, disk: Any = "normal") -> None:
        self.run_dir = root / "landing" / "20190710_run"
        (self.run_dir / CELL.library / CELL.name).mkdir(parents=True)
        (root / "output" / self.run_dir.name).mkdir(parents=True)
        assert flags.adopt(opened(self.run_dir), LOCAL, root / "output" / self.run_dir.name)
        self.pipeline = self.run_dir / "pipeline"
        self.config = Config(
            self.run_dir.parent,
            root / "output",
            processing=ProcessingSettings(disk=disk),
            path=root / "missing.yaml",  # a worker that reads it ends with exit code 2
        )
        self.ended: queue.Queue[EndedAction] = queue.Queue()
        self.executor = Local(self.config, self.ended.put)
        self.owner = process.this_owner("process", "local")
        flags.claim_cell(pipeline_at(self.pipeline), STEM, self.owner, judge=process.judge_here)

    def start(self) -> None:
        action = Action(PROCESS, RunName(self.run_dir.name), "a test", CELL)
        reservation = self.executor.reserve(action)
        assert reservation is not None
        snapshot = observe(opened(self.run_dir), self.config.output, judge=process.judge_here)
        self.executor.start(action, snapshot, self.owner, reservation)

    def names(self) -> set[str]:
        found = {path.name for path in self.pipeline.iterdir()}
        return {name.removeprefix(f"{STEM}.") for name in found if name.startswith(STEM)}

    def kill(self) -> EndedAction:
        for children in Path("/proc/self/task").glob("*/children"):
            for pid in map(int, children.read_text().split()):
                with suppress(FileNotFoundError, ProcessLookupError):  # a child that has just ended
                    if os.fsencode(self.run_dir) in Path(f"/proc/{pid}/cmdline").read_bytes():
                        os.kill(pid, signal.SIGKILL)
        return self.ended.get(timeout=60)


def test_worker_that_ends_with_a_code(tmp_path: Path) -> None:
    """A worker that ends with an exit code and no result is recorded with that code."""
    place = Place(tmp_path)
    place.start()
    assert place.ended.get(timeout=60).code == 2
    assert place.names() == {"started", "started.died"}
    record = json.loads((place.pipeline / flags.died(STEM)).read_text())
    assert (record["token"], record["code"]) == (place.owner.token, 2)
    claim = flags.read_flags(pipeline_at(place.pipeline)).cell(STEM, process.judge_here).claim
    assert claim is not None
    assert claim.death == WorkerDeath("attempt 1 ended with exit code 2", record["time"])


def test_every_process_sees_the_death_of_a_worker(tmp_path: Path) -> None:
    """The claim of a dead worker counts as dead although the process that claimed it lives."""
    place = Place(tmp_path)
    assert process.judge_here(place.owner)[0] is Liveness.ALIVE
    place.start()
    place.ended.get(timeout=60)
    (cell,) = observe(opened(place.run_dir), place.config.output, judge=process.judge_here).cells
    claim = cell.flags.claim
    assert claim is not None
    assert (claim.liveness, claim.evidence) == (
        Liveness.DEAD,
        "attempt 1 ended with exit code 2",
    )


def test_killed_worker(tmp_path: Path) -> None:
    """A worker that is killed is recorded with the signal, and its claim says so."""
    place = Place(tmp_path)
    config = tmp_path / "missing.yaml"
    config.write_text(f"landing: {place.config.landing}\noutput: {place.config.output}\n")
    flags.begin_attempt(  # the worker waits for its end until it is killed
        pipeline_at(place.pipeline),
        flags.ingest(STEM),
        process.this_owner("ingest", "local"),
        lock=flags.attempt_lock(place.config.landing, place.run_dir, CELL),
        judge=process.judge_here,
    )
    place.start()
    assert place.kill().code == 137
    record = json.loads((place.pipeline / flags.died(STEM)).read_text())
    assert record["signal"] == 9
    assert record["reason"] == "attempt 1 was killed by signal 9 (out of memory?)"


@pytest.mark.parametrize(
    "flag", ["done", "failed", "aborted", pytest.param("started.2", id="a later claim")]
)
def test_end_that_a_flag_explains(tmp_path: Path, flag: str) -> None:
    """A worker whose cell has a result, was stopped or was overtaken has not died."""
    place = Place(tmp_path)
    (place.pipeline / f"{STEM}.{flag}").touch()
    place.start()
    place.kill()
    assert place.names() == {"started", flag}


@pytest.mark.parametrize(
    "disk", [pytest.param("normal", id="exec fails"), pytest.param("low", id="ionice fails")]
)
def test_worker_that_cannot_be_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disk: str
) -> None:
    """A worker that cannot be started is no attempt: its claim is released, with the reason."""
    place = Place(tmp_path, disk)
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    said = "the worker could not be started: "
    with pytest.raises(TemporaryError, match=said):
        place.start()
    assert place.names() == {"started", "started.yielded"}
    assert said in json.loads((place.pipeline / flags.yielded(STEM)).read_text())["reason"]
    assert (
        flags.read_flags(pipeline_at(place.pipeline)).cell(STEM, process.judge_here).claim is None
    )


def test_worker_that_cannot_begin(tmp_path: Path) -> None:
    """A worker whose output area has just disappeared is no attempt: its claim is released."""
    place = Place(tmp_path)
    config = tmp_path / "missing.yaml"
    config.write_text(f"landing: {place.config.landing}\noutput: {place.config.output}\n")
    shutil.rmtree(place.config.output)
    place.start()
    assert "could not begin" in place.ended.get(timeout=60).problem
    assert place.names() == {"started", "started.yielded"}
    assert (
        flags.read_flags(pipeline_at(place.pipeline)).cell(STEM, process.judge_here).claim is None
    )


def dead_child(pid: int) -> Owner:
    """Owner of an attempt whose process, a child of this one, does not exist any more."""
    return replace(process.this_owner("strip", "local"), pid=pid, pid_start=1)


def test_attempt_of_a_dead_child(tmp_path: Path) -> None:
    """The attempt of a dead child ends as failed; what must survive a kill stays recorded."""
    place, work = Place(tmp_path), flags.deletable(STEM)
    lock = flags.attempt_lock(place.config.landing, place.run_dir, CELL)
    child, reason = dead_child(2**22 + 1), "the worker was killed by signal 9 (out of memory?)"
    flags.begin_attempt(
        pipeline_at(place.pipeline),
        work,
        child,
        lock=lock,
        record={"marked": True},
        judge=process.judge_here,
    )
    assert not flags.end_dead_attempt(
        pipeline_at(place.pipeline),
        work,
        child.pid + 1,
        reason,
        lock=lock,
        judge=process.judge_here,
    )
    assert flags.end_dead_attempt(
        pipeline_at(place.pipeline), work, child.pid, reason, lock=lock, judge=process.judge_here
    )
    last = flags.read_flags(pipeline_at(place.pipeline)).attempt(work, process.judge_here)
    assert last is not None
    assert (last.outcome, last.why, last.record["marked"]) == ("failed", reason, True)
    assert (AttemptEnd.of(last).died, AttemptEnd.of(last).needs_person) == (True, False)


def test_attempt_of_a_living_process(tmp_path: Path) -> None:
    """An attempt whose owner lives is not ended, also if its process id is that of the child."""
    place, work = Place(tmp_path), flags.strip(STEM)
    lock = flags.attempt_lock(place.config.landing, place.run_dir, CELL)
    flags.begin_attempt(
        pipeline_at(place.pipeline),
        work,
        process.this_owner("strip", "local"),
        lock=lock,
        judge=process.judge_here,
    )
    assert not flags.end_dead_attempt(
        pipeline_at(place.pipeline), work, os.getpid(), "x", lock=lock, judge=process.judge_here
    )
    last = flags.read_flags(pipeline_at(place.pipeline)).attempt(work, process.judge_here)
    assert last is not None
    assert (last.outcome, last.liveness) == ("", Liveness.ALIVE)


@pytest.mark.parametrize(("load", "idle"), [(0.0, True), (1000.0, False)])
def test_idle_cpus_are_used(
    load: float, idle: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `workers: auto` a waiting cell gets an idle CPU; on a busy host it waits."""
    monkeypatch.setattr(os, "getloadavg", lambda: (load, load, load))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(2)))
    place = Place(tmp_path)
    action = Action(PROCESS, RunName(place.run_dir.name), "a test", CELL)
    taken = []
    while reservation := place.executor.reserve(action):
        taken.append(reservation)
    assert len(taken) == (2 if idle else 1)
    for reservation in taken:
        reservation.give_back()


def test_number_of_workers_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A number of workers that the configuration says is never exceeded."""
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0))
    config = replace(Place(tmp_path).config, processing=ProcessingSettings(workers=1))
    executor = Local(config, print)
    action = Action(PROCESS, RunName("20190710_run"), "a test", CELL)
    first = executor.reserve(action)
    assert first
    assert executor.reserve(action) is None
    first.give_back()
