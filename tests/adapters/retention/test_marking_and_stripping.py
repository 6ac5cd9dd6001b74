"""Marks and strips on real file systems: files deleted, files kept, state after a kill.

Backups are mounted for the test, which needs root: copies on one device count once.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from facility_world import CELL, DATA, Killed, World, data_of, flip, killed_at, said, some, why_kept
from mounts import needs_mounts
from open_runs import pipeline_at
from surveyed_copies import truth_of

from hesiod_watch.actions import strip
from hesiod_watch.actions.copies.evidence import gather_evidence
from hesiod_watch.core.errors import FlagExists, PermanentError, TemporaryError
from hesiod_watch.host import process
from hesiod_watch.rules.deletion_marks import EVIDENCE, LIST
from hesiod_watch.runs import flags
from hesiod_watch.runs.cell_directories import DIRECTORIES

pytestmark = needs_mounts


# Undisturbed.


def test_strip_leaves_a_stub(world: World) -> None:
    """A strip deletes data only; the flag names the remaining small files, summary and results.

    Directories stay too.
    """
    directories = {path for path in world.place("landing").rglob("*") if path.is_dir()}
    results = truth_of(world.results("output"))
    del results[DIRECTORIES]
    world.perform("strip")
    assert data_of(world, "landing") == set()
    remaining = {name for name in world.truth if not name.endswith(DATA)}
    assert truth_of(world.place("landing")) == {name: world.truth[name] for name in remaining}
    assert {path for path in world.place("landing").rglob("*") if path.is_dir()} == directories
    after = truth_of(world.results("output"))
    del after[DIRECTORIES]  # it describes the landing area
    assert after == results
    record = said(world, "strip.done")
    removed = [name for name in world.truth if name.endswith(DATA)]
    assert (record["files"], record["bytes"]) == (
        len(removed),
        sum(len(world.truth[name]) for name in removed),
    )
    assert record["places"] == ["backup backup1", "backup backup2", "output"]


def test_strip_again_changes_nothing(world: World) -> None:
    """A second strip does not change the files and places that the flag records."""
    world.perform("strip")
    before, record = truth_of(world.place("landing")), said(world, "strip.done")
    world.perform("strip")
    assert truth_of(world.place("landing")) == before
    keys = ("reason", "files", "bytes", "inventory", "places", "kept")
    assert {key: said(world, "strip.done")[key] for key in keys} == {
        key: record[key] for key in keys
    }


def test_one_backup_is_enough_for_reads_only(tmp_path: Path) -> None:
    """With one backup, reads are deleted, because outputs contain them; pod5 files stay.

    The reason is reported.
    """
    world = World(tmp_path, backups=1)
    try:
        world.mount("backup1")
        world.begin()
        world.perform("strip")
        assert data_of(world, "landing") == {
            name for name in world.truth if name.endswith(DATA[1:])
        }
        (sentence,) = [
            each
            for each in why_kept(world)
            if "only one other verified copy, on backup backup1" in each
        ]
        assert some(world, ".pod5") in sentence
    finally:
        world.close()


def test_marked_once(world: World) -> None:
    """A mark is one line with its evidence; while it is valid, marking again writes nothing."""
    world.perform("deletable")
    assert world.marked() == "deletable"
    listed = (world.root / "sequencer" / LIST).read_bytes()
    evidence = {
        path.name: path.read_bytes() for path in (world.root / "sequencer" / EVIDENCE).iterdir()
    }
    assert len(evidence) == 1
    world.perform("deletable")
    assert (world.root / "sequencer" / LIST).read_bytes() == listed
    assert {
        path.name: path.read_bytes() for path in (world.root / "sequencer" / EVIDENCE).iterdir()
    } == evidence
    assert said(world, "deletable.done")["marked"] is True
    assert world.clean().returncode == 0
    assert not world.place("upstream").exists()


def test_a_mark_is_made_anew(world: World) -> None:
    """A mark with less than half of its time left gets a new line and keeps its old evidence."""
    world.perform("deletable")
    listed = world.root / "sequencer" / LIST
    text = listed.read_text()
    until = text.splitlines()[-1].split("\t")[2]
    earlier = (datetime.fromisoformat(until) - timedelta(days=4)).strftime("%Y-%m-%dT%H:%M:%SZ")
    listed.write_text(text.replace(until, earlier))
    world.perform("deletable")
    assert len(listed.read_text().splitlines()) == 3  # the head and two marks
    assert listed.read_text().splitlines()[-1].split("\t")[2] > earlier


def test_a_changed_cell_is_revoked(world: World) -> None:
    """A cell that changes upstream after its mark loses the mark, and a clean-up leaves it."""
    world.perform("deletable")
    (world.place("upstream") / "new.pod5").write_bytes(b"late")
    with pytest.raises(PermanentError, match=r"new.pod5: was not there when"):
        world.perform("deletable")
    assert world.marked() == "revoked"
    assert said(world, "deletable.failed")["marked"] is False
    assert world.clean().returncode == 1
    assert world.place("upstream").is_dir()


@pytest.mark.parametrize("flag", [f"{CELL.stem}.aborted", f"{CELL.stem}.failed", "failed"])
def test_a_flag_of_a_person_revokes_a_mark(world: World, flag: str) -> None:
    """A person's flag revokes a mark, even if the cell is already in the trash."""
    world.perform("deletable")
    assert world.clean().returncode == 0
    (world.pipeline / flag).touch()
    with pytest.raises(PermanentError):
        world.perform("deletable")
    assert world.marked() == "revoked"
    assert world.clean("--empty-trash", "0").returncode == 1


def test_mark_and_strip_exclude_each_other(world: World) -> None:
    """A cell is not stripped while a living process marks it, nor marked while one strips it."""
    alive = process.this_owner("other", "inline")
    for mine, other in (
        ("strip", flags.deletable(CELL.stem)),
        ("deletable", flags.strip(CELL.stem)),
    ):
        flags.create(pipeline_at(world.pipeline), f"{other}.started", alive)
        with pytest.raises(TemporaryError, match="under way"):
            world.perform(mine)
        (world.pipeline / f"{other}.started").unlink()
    assert data_of(world, "landing") == data_of(world, "upstream")
    assert world.marked() == ""


def test_two_strips(world: World) -> None:
    """Two strips of one cell never run at the same time."""
    owner = process.this_owner("strip", "inline")
    flags.create(pipeline_at(world.pipeline), f"{flags.strip(CELL.stem)}.started", owner)
    with pytest.raises(FlagExists):
        strip.perform(world.job("strip"))


def test_a_stripped_cell_is_not_copied_or_processed_again(world: World) -> None:
    """A stripped cell is neither copied nor processed again.

    This holds although its upstream has it and a person removes `.done`.
    """
    world.perform("strip")
    before = truth_of(world.place("landing"))
    world.perform("sync", cell=None)
    assert truth_of(world.place("landing")) == before
    for flag in ("done", "synced", "started", "started.worker"):
        (world.pipeline / f"{CELL.stem}.{flag}").unlink()
    world.perform("sync", cell=None)
    assert truth_of(world.place("landing")) == before
    with pytest.raises(FlagExists, match="stripped"):
        world.process()


def test_a_strip_after_a_mark_leaves_two_copies(world: World) -> None:
    """A strip after a mark may delete files that the mark counted: two copies remain.

    These are in the outputs and on backups.
    """
    world.perform("deletable")
    world.perform("strip")
    assert world.clean().returncode == 0
    shutil.rmtree(world.root / "sequencer" / ".hesiod-trash")
    places = world.places().holding(world.truth)
    assert min(len(each) for each in places.values()) >= 2


def test_a_mark_after_a_strip_counts_no_landing_files(world: World) -> None:
    """After a strip, landing files are no copies for a mark.

    Outputs cannot be compared with them either.
    """
    world.perform("strip")
    evidence = gather_evidence(world.job("deletable"))
    assert all(copy.place != "landing" for copy in evidence.copies[some(world, ".pod5")])
    assert "which is not in landing" in world.try_to(lambda: world.perform("deletable"))
    assert world.marked() == ""


# Kills.


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("first", range(4))  # a quarter each, so that they run side by side
@pytest.mark.parametrize("action", ["strip", "deletable"])
def test_killed_at_every_change(world: World, action: str, first: int) -> None:
    """After a kill at any change every deleted file has two copies; the next call finishes."""
    state = world.root / "state"
    keep(world, state)
    for number in range(first, 200, 4):
        restore(world, state)
        killed = False
        try:
            with killed_at(number):
                world.perform(action)
        except Killed:
            killed = True
        removed = data_of(world, "upstream") - data_of(world, "landing")
        places = world.places().holding(world.truth, but=["landing", "upstream"])
        assert all(len(places[name]) >= 2 for name in removed), number
        world.perform(action)
        assert data_of(world, "landing") == (
            set() if action == "strip" else data_of(world, "upstream")
        )
        if action == "deletable":
            listed = (world.root / "sequencer" / LIST).read_text()
            assert listed.count("\n") == 2, listed
            assert world.marked() == "deletable"
        if not killed:
            assert number > 8
            return
    pytest.fail("it never came to its end")


def keep(world: World, state: Path) -> None:
    for name in ("sequencer", "landing", "output"):
        shutil.copytree(world.root / name, state / name, symlinks=True)


def restore(world: World, state: Path) -> None:
    for name in ("sequencer", "landing", "output"):
        shutil.rmtree(world.root / name)
        shutil.copytree(state / name, world.root / name, symlinks=True)


def test_a_run_of_two_cells(world: World) -> None:
    """A run is flagged stripped only when all its cells are; a new cell is still processed."""
    other = replace(CELL, name="20261122_2211_1B_PAW00002_1a2b3c4d")
    (world.run_dir / str(other)).mkdir()
    world.perform("strip")
    assert "stripped" not in world.flags()
    (world.pipeline / f"{other.stem}.aborted").touch()
    world.perform("strip")
    assert "stripped" in world.flags()
    (world.pipeline / f"{other.stem}.aborted").unlink()
    owner = world.owner("process")
    flags.claim_cell(pipeline_at(world.pipeline), other.stem, owner, judge=process.judge_here)
    assert f"{other.stem}.started" in world.flags()


def test_a_mark_of_the_future_is_made_anew(world: World) -> None:
    """A mark dated in the future by a wrong clock is replaced.

    A clean-up would refuse it for years.
    """
    world.perform("deletable")
    listed = world.root / "sequencer" / LIST
    head, line = listed.read_text().splitlines()
    word, _, _, *rest = line.split("\t")
    listed.write_text(
        "\n".join(
            (head, "\t".join((word, "2036-01-01T00:00:00Z", "2036-01-08T00:00:00Z", *rest)), "")
        )
    )
    assert world.clean().returncode == 1
    world.perform("deletable")
    assert len(listed.read_text().splitlines()) == 3  # the head and two marks
    assert world.clean().returncode == 0
    assert not world.place("upstream").exists()


@pytest.mark.parametrize("year", ["2036", "2001"])
def test_a_copy_verified_in_the_future_is_read_again(world: World, year: str) -> None:
    """A copy verified by a failed backup counts for one day, and not if dated in the future."""
    record = said(world, "backup.done")
    copies = record["copies"]
    assert isinstance(copies, list)
    record |= {
        "trouble": "away",
        "copies": [{**each, "verified_at": f"{year}-01-01T00:00:00Z"} for each in copies],
    }
    (world.pipeline / f"{CELL.stem}.backup.done").unlink()
    (world.pipeline / f"{CELL.stem}.backup.failed").write_text(json.dumps(record))
    rotten = world.place("backup1") / some(world, ".pod5")
    flip(rotten)
    world.try_to(lambda: world.perform("backup", owner=world.owner("backup", 2)))
    assert rotten.read_bytes() == world.truth[some(world, ".pod5")]
