"""Flags of a person that end work under way: each kind of work reads them at its check points."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from facility_world import CELL, RUN, World, kept_world, said
from open_runs import opened, pipeline_at

from hesiod_watch import actions
from hesiod_watch.cli.simulator import SimulatedCell
from hesiod_watch.core.action_kinds import ACTIONS, INGEST, PROCESS, SYNC
from hesiod_watch.core.errors import TemporaryError
from hesiod_watch.core.model import LOCAL
from hesiod_watch.core.ownership import Progress
from hesiod_watch.runs import flags
from hesiod_watch.runs.observe import INGEST_FILE

OWN_STRIPPED = '{"action": "strip"}'


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    path = tmp_path / "pipeline"
    path.mkdir()
    return path


@pytest.mark.parametrize("name", ["failed", "aborted", "stripped"])
@pytest.mark.parametrize("action", ACTIONS)
def test_a_flag_stops_what_it_prevents(action: str, name: str, pipeline: Path) -> None:
    """One table decides about the start of work and about work under way; a cell that is being
    processed is finished although its run is flagged `failed`.
    """
    kind = ACTIONS[action]
    (pipeline / name).touch()
    listing = flags.read_flags(pipeline_at(pipeline))
    prevented = name if name in kind.stopped_by else ""
    assert listing.stop_flag(kind, CELL.stem, begun=False) == prevented
    finishes = kind is PROCESS and name == "failed"
    assert listing.stop_flag(kind, CELL.stem) == ("" if finishes else prevented)


@pytest.mark.parametrize("action", ACTIONS)
def test_an_aborted_cell(action: str, pipeline: Path) -> None:
    """The flag `aborted` of a cell stops all work on that cell and on no other one."""
    (pipeline / flags.aborted(CELL.stem)).touch()
    listing = flags.read_flags(pipeline_at(pipeline))
    assert listing.stop_flag(ACTIONS[action], CELL.stem) == flags.aborted(CELL.stem)
    assert listing.stop_flag(ACTIONS[action], "other") == ""


def test_our_own_stripped_flag(pipeline: Path) -> None:
    """The flag that `strip` made for the run stops no work on a cell that was added later."""
    (pipeline / "stripped").write_text(OWN_STRIPPED)
    (pipeline / f"{flags.strip('old')}.done").touch()
    listing = flags.read_flags(pipeline_at(pipeline))
    assert listing.stop_flag(SYNC, "old") == "stripped"
    assert listing.stop_flag(SYNC, "new") == ""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A cell that is processed and backed up to two places."""
    with kept_world(tmp_path) as made:
        yield made


def perform_and_flag(world: World, action: str, flag: str) -> None:
    """Perform an action; a person makes a flag of the run at its first sign of progress."""

    def progressed(progress: Progress) -> None:
        (world.pipeline / flag).touch()

    actions.perform(replace(world.job(action), on_progress=progressed))


@pytest.mark.parametrize("flag", ["failed", "aborted"])
@pytest.mark.parametrize("action", ["backup", "verify"])
def test_reading_copies_ends(world: World, action: str, flag: str) -> None:
    """A backup or a verification under way ends when the run is flagged, and is not done."""
    with pytest.raises(TemporaryError, match="stopped"):
        perform_and_flag(world, action, flag)
    assert "stopped" in str(said(world, f"{action}.failed")["reason"])
    (world.pipeline / flag).unlink()
    world.perform(action)


@pytest.mark.parametrize("flag", ["failed", "aborted"])
def test_a_sync_ends(world: World, flag: str) -> None:
    """A sync under way ends when the run is flagged: the next cell is not copied."""
    for letter in "ab":
        name = CELL.name.replace("0a1b2c3d", f"0a1b2c3{letter}")
        SimulatedCell(
            world.root / "sequencer", "alpha", CELL.library, name, reads_per_file=8
        ).write()
    with pytest.raises(TemporaryError, match="stopped"):
        perform_and_flag(world, "sync", flag)
    assert {"sync.failed", flag} <= world.flags()
    assert sum(name.endswith(".synced") for name in world.flags()) == 1
    (world.pipeline / flag).unlink()
    world.perform("sync", cell=None)
    assert sum(name.endswith(".synced") for name in world.flags()) == 3


@pytest.mark.parametrize("flag", ["failed", "aborted"])
def test_an_ingest_ends(tmp_path: Path, flag: str) -> None:
    """An ingest under way ends when the run is flagged, and the next one takes the other files."""
    world = World(tmp_path, backups=0)
    SimulatedCell(
        world.root / "landing", RUN, CELL.library, CELL.name, files_per_barcode=9, reads_per_file=8
    ).write()
    (world.root / "output" / RUN).mkdir()
    flags.adopt(opened(world.run_dir), LOCAL, world.root / "output" / RUN)
    perform_and_flag(world, INGEST.name, flag)
    assert ingested(world) == 1
    (world.pipeline / flag).unlink()
    world.perform(INGEST.name)
    assert ingested(world) == 48


def ingested(world: World) -> int:
    """Number of FASTQ files in the results of the last ingest."""
    state = json.loads((world.results("output") / INGEST_FILE).read_text())
    files: int = state["results"]["files"]
    return files
