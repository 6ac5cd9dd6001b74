"""When a service writes its state."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
from site_states import EVIL, site_state

from hesiod_watch.cli.simulator import SimulatedCell
from hesiod_watch.config import Config
from hesiod_watch.core.watch_state import SERVICE
from hesiod_watch.runs.state_files import read_states, state_text
from hesiod_watch.service import state_writer
from hesiod_watch.service.engine import Engine
from hesiod_watch.service.state_writer import StateWriter

RUN, LIBRARY, CELL = "20261122_TEST_alpha", "sample_A", "20261122_2210_1A_PAW00001_0a1b2c3d"


def test_another_stage_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change is written before the next look at all runs; without one, nothing is written."""
    monkeypatch.setattr(state_writer, "LONGEST_TURN", 0.0)
    config = Config(tmp_path / "landing", tmp_path / "output")
    for area in (config.landing, config.output):
        area.mkdir()
    cell = SimulatedCell(config.landing, RUN, LIBRARY, CELL)
    cell.write()
    next(cell.path.glob("final_summary*")).unlink()
    engine = Engine(config)
    assert engine.output_problem() == ""
    writer = StateWriter(config, engine, SERVICE)
    (run_dir,) = engine.landing.runs()
    engine.look(run_dir)
    assert writer.turn(time.monotonic())
    (path,) = (config.output / ".hesiod-watch").glob("*-service.json")
    first = path.read_bytes()
    assert json.loads(first)["runs"][0]["cells"] == {"incomplete": 1}
    assert not writer.turn(None)
    assert path.read_bytes() == first
    (run_dir / "pipeline" / "aborted").touch()
    engine.look(run_dir)
    assert not writer.turn(None)
    assert json.loads(path.read_bytes())["runs"][0]["status"] == "aborted"
    writer.close()


@pytest.mark.parametrize("count", [0, 1, 30])
def test_state_is_read_with_and_without_its_runs(tmp_path: Path, count: int) -> None:
    """A state of this version, of an earlier one and of an editor is read, if wanted with runs."""
    place = tmp_path / ".hesiod-watch"
    place.mkdir()
    state = site_state(count, name=EVIL)
    text = state_text(state)
    assert json.loads(text) == state.record()
    for written in (
        text,
        json.dumps(state.record(), indent=1).encode(),
        json.dumps(state.record()).encode(),
    ):
        (place / state.file).write_bytes(written)
        (whole,) = read_states(tmp_path, runs=True)
        assert whole.runs == state.runs
        (head,) = read_states(tmp_path)
        assert replace(head, runs=()) == replace(whole, runs=())
        assert head.last_look == state.last_look
        assert read_states(tmp_path, leave_out=state.file) == ()
