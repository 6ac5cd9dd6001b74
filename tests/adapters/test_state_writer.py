"""When a service writes its state."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from hesiod_watch.cli.simulator import SimulatedCell
from hesiod_watch.config import Config
from hesiod_watch.core.watch_state import SERVICE
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
