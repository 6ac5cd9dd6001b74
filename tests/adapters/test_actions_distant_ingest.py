"""Process beside an ingest attempt of another host: it waits while that attempt makes progress."""

from __future__ import annotations

import os
import threading
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
from machine import needs_machine_id
from open_runs import pipeline_at

from hesiod_watch import actions
from hesiod_watch.actions import Job
from hesiod_watch.actions import process as process_action
from hesiod_watch.cli.simulator import SimulatedCell
from hesiod_watch.config import Config
from hesiod_watch.core.model import CellId
from hesiod_watch.core.ownership import Progress, Wait
from hesiod_watch.host import process
from hesiod_watch.runs import flags

RUN = "20261122_TEST_alpha"
CELL = CellId("sample_A", "20261122_2210_1A_PAW00001_0a1b2c3d")
WORK = flags.ingest(CELL.stem)


class Shared:
    """A complete cell that two hosts see; the other host has ingested it and ingests again."""

    def __init__(self, root: Path) -> None:
        self.config = Config(root / "landing", root / "output")
        self.config.landing.mkdir()
        self.config.output.mkdir()
        cell = SimulatedCell(
            self.config.landing, RUN, CELL.library, CELL.name, files_per_barcode=2, reads_per_file=4
        )
        cell.write()
        self.run_dir = self.config.landing / RUN
        self.pipeline = self.run_dir / "pipeline"
        self.output = self.config.output / RUN / CELL.library / CELL.name
        self.said: list[Progress] = []
        for action in ("new-run", "ingest", "synced"):
            actions.perform(self.job(action))
        owner = process.this_owner("ingest", "test")
        self.other = replace(owner, host="elsewhere", machine_id="other", boot_id="other")
        flags.begin_attempt(
            pipeline_at(self.pipeline), WORK, self.other, lock=nullcontext, judge=process.judge_here
        )

    def job(self, action: str) -> Job:
        owner = process.this_owner(action, "test")
        return Job(action, self.run_dir, self.config, owner, CELL, on_progress=self.say)

    def say(self, progress: Progress) -> None:
        self.said.append(progress)

    def process(self) -> None:
        job = self.job("process")
        flags.claim_cell(pipeline_at(self.pipeline), CELL.stem, job.owner, judge=process.judge_here)
        assert actions.perform(job) == "done"

    def is_done(self) -> bool:
        return (self.pipeline / flags.done(CELL.stem)).exists()

    def log(self) -> str:
        return (self.config.output / RUN / "pipeline.log").read_text()


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shared:
    """Two hosts, and limits short enough for a test."""
    monkeypatch.setattr(process_action, "DISTANT_CHECK_INTERVAL", 0.01)
    monkeypatch.setattr(process_action, "LONGEST_SILENCE", 1.5)
    return Shared(tmp_path)


@needs_machine_id
def test_progress_on_another_host_is_waited_for(shared: Shared) -> None:
    """While the journal of the other host grows, the cell is not processed; then it is."""
    (journal,) = shared.output.glob(".ingest/journal*")
    done_early: list[bool] = []

    def work() -> None:
        pace = threading.Event()
        for number in range(30):
            pace.wait(0.1)  # twice the longest silence in all
            os.utime(journal, ns=(number, number))
            done_early.append(shared.is_done())
        flags.end_attempt(pipeline_at(shared.pipeline), WORK, shared.other, "done")

    other = threading.Thread(target=work)
    other.start()
    shared.process()
    other.join()
    assert not any(done_early)
    assert shared.is_done()
    assert "not waiting any longer" not in shared.log()
    (note,) = {each.note for each in shared.said if each.phase == Wait.FOR_INGEST}
    assert "on elsewhere: another host" in note


@needs_machine_id
def test_silence_of_another_host_ends_the_wait(shared: Shared) -> None:
    """Without a change the cell is processed after the longest silence, and the log says why."""
    shared.process()
    assert shared.is_done()
    assert "not waiting any longer for an attempt to ingest" in shared.log()
    assert any("on elsewhere: another host" in each.note for each in shared.said)


def test_a_host_that_went_down_long_ago_causes_no_wait(
    shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files that have not changed for an hour need no second wait."""
    monkeypatch.setattr(process_action, "LONGEST_SILENCE", 600.0)
    started = shared.pipeline / f"{WORK}.started"
    for path in (started, *shared.output.glob(".ingest/*")):
        hour_ago = path.stat().st_mtime - 3600
        os.utime(path, (hour_ago, hour_ago))
    shared.process()
    assert shared.is_done()


def test_a_person_stops_the_wait(shared: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cell that a person aborts during the wait is given up at once."""
    monkeypatch.setattr(process_action, "LONGEST_SILENCE", 600.0)
    job = shared.job("process")

    def say(progress: Progress) -> None:
        (shared.pipeline / flags.aborted(CELL.stem)).touch()

    flags.claim_cell(pipeline_at(shared.pipeline), CELL.stem, job.owner, judge=process.judge_here)
    assert actions.perform(replace(job, on_progress=say)) == "nothing"
    assert not shared.is_done()
