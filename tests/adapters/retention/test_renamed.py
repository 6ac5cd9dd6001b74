"""A finished cell whose run or library is renamed keeps its results, its copies and its proofs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from facility_world import CELL, RUN, World, data_of, flip, said, some
from mounts import needs_mounts
from surveyed_copies import truth_of

from hesiod_watch import actions
from hesiod_watch.actions import Job
from hesiod_watch.core.errors import HesiodError
from hesiod_watch.core.model import CellId
from hesiod_watch.core.ownership import Progress
from hesiod_watch.rules.deletion_marks import LIST, read_marks

pytestmark = needs_mounts

OTHER_RUN = "20261122_PROM_other"
RENAMES = {
    "library": ["sample_B"],
    "library twice": ["sample_B", "sample_C"],
    "library and back": ["sample_B", CELL.library],
    "run": [f"{OTHER_RUN}/"],
    "run twice": [f"{OTHER_RUN}/", "20261122_PROM_third/"],
    "both": [f"{OTHER_RUN}/", "sample_B"],
}
"""New names, one after the other; that of a run ends in a slash."""


class Renamed:
    """A world whose run or library has another name."""

    def __init__(self, world: World, *names: str) -> None:
        self.world, self.run, self.library = world, RUN, CELL.library
        for name in names:
            self.rename(name)

    def rename(self, name: str) -> None:
        landing = self.world.root / "landing"
        if name.endswith("/"):
            (landing / self.run).rename(landing / name)
            self.run = name[:-1]
        else:
            (landing / self.run / self.library).rename(landing / self.run / name)
            self.library = name

    def job(self, action: str) -> Job:
        cell = CellId(self.library, CELL.name)
        return replace(self.world.job(action, cell), run_dir=self.world.root / "landing" / self.run)

    def perform(self, action: str) -> None:
        actions.perform(self.job(action))

    def flag(self, name: str) -> Path:
        return self.world.root / "landing" / self.run / "pipeline" / f"{CELL.name}.{name}"


@pytest.fixture(params=list(RENAMES.values()), ids=list(RENAMES))
def renamed(world: World, request: pytest.FixtureRequest) -> Renamed:
    return Renamed(world, *request.param)


def on_backups(world: World) -> dict[str, bytes]:
    """Every file of all backups."""
    return {
        f"{name}/{path}": content
        for name in world.names
        for path, content in truth_of(world.root / name).items()
    }


def test_every_copy_is_found_whole(renamed: Renamed) -> None:
    """A verification reads the results and all copies, and a backup copies nothing again."""
    before = on_backups(renamed.world)
    renamed.perform("verify")
    record = json.loads(renamed.flag("verify.done").read_text())
    assert [copy["backup"] for copy in record["copies"]] == renamed.world.names
    assert record["here"] is True
    assert {copy["run"] for copy in record["copies"]} == {RUN}
    renamed.flag("backup.done").unlink()
    renamed.perform("backup")
    assert on_backups(renamed.world) == before
    assert truth_of(renamed.world.results("output"))


def test_damage_is_still_found_and_repaired(renamed: Renamed) -> None:
    """Damage of a result at a backup is reported, and repaired in its place."""
    bad = renamed.world.results("backup2") / "report.html"
    whole = bad.read_bytes()
    flip(bad)
    with pytest.raises(HesiodError, match=f"backup2: {RUN}/results/{CELL}/report.html"):
        renamed.perform("verify")
    renamed.perform("backup")
    assert bad.read_bytes() == whole
    renamed.perform("verify")


def test_a_strip_proves_the_copies_where_they_are(renamed: Renamed) -> None:
    """A strip deletes the data with the copies under the former names as its proof."""
    renamed.perform("strip")
    record = json.loads(renamed.flag("strip.done").read_text())
    assert record["places"] == ["backup backup1", "backup backup2", "output"]
    left = truth_of(renamed.job("strip").cell_dir.path)
    assert not left.keys() & data_of(renamed.world, "upstream")
    renamed.perform("verify")


def test_without_copies_under_any_name_nothing_is_stripped(renamed: Renamed) -> None:
    """Where two backups have lost a file, it stays in the landing area."""
    name = some(renamed.world, ".pod5")
    for backup in renamed.world.names:
        (renamed.world.place(backup) / name).unlink()
    renamed.perform("strip")
    assert (renamed.job("strip").cell_dir.path / name).exists()


def test_a_mark_is_withdrawn(world: World) -> None:
    """The mark of a cell whose library was renamed since is withdrawn under its former name."""
    world.perform("deletable")
    assert world.marked() == "deletable"
    renamed = Renamed(world, "sample_B")
    renamed.flag("aborted").touch()
    with pytest.raises(HesiodError, match="flagged aborted"):
        renamed.perform("deletable")
    assert world.marked() == "revoked"
    assert json.loads(renamed.flag("deletable.failed").read_text())["marked"] is False
    listed = read_marks((world.root / "sequencer" / LIST).read_bytes())
    assert listed.keys() == {f"alpha/{CELL}"}
    world.clean()
    assert world.place("upstream").exists()


@pytest.mark.parametrize("action", ["backup", "verify"])
@pytest.mark.parametrize("name", ["sample_B", f"{OTHER_RUN}/"], ids=["library", "run"])
def test_renamed_while_copies_are_read(world: World, action: str, name: str) -> None:
    """A rename during the work damages nothing: the next attempt finds all where it was."""
    renamed, job = Renamed(world), world.job(action)
    before = on_backups(world)

    def rename(progress: Progress) -> None:
        if (
            progress.phase.startswith("reading at")
            and renamed.run == RUN
            and (renamed.library == CELL.library)
        ):
            renamed.rename(name)

    world.try_to(lambda: actions.perform(replace(job, on_progress=rename)))
    assert (renamed.run, renamed.library) != (RUN, CELL.library)
    for again in ("backup", "verify"):
        renamed.perform(again)
    assert not json.loads(renamed.flag("verify.done").read_text()).get("problems")
    assert on_backups(world) == before


def test_copies_of_an_earlier_version(world: World) -> None:
    """A copy that was made under the present names is found there, and is not made again."""
    renamed = Renamed(world, f"{OTHER_RUN}/", "sample_B")
    for name in world.names:
        (world.root / name / RUN).rename(world.root / name / OTHER_RUN)
        for kind in ("raw", "results"):
            place = world.root / name / OTHER_RUN / kind
            (place / CELL.library).rename(place / "sample_B")
    flag = renamed.flag("backup.done")
    record = json.loads(flag.read_text())
    for copy in record["copies"]:
        del copy["run"]
    flag.write_text(json.dumps(record))
    before = on_backups(world)
    renamed.perform("verify")
    flag.unlink()
    renamed.perform("backup")
    assert on_backups(world) == before
    renamed.perform("strip")


def test_results_that_a_person_moved_along(world: World) -> None:
    """Results that were moved to the present library are read there, as earlier advice said."""
    renamed = Renamed(world, "sample_B")
    output = world.root / "output" / RUN
    (output / CELL.library).rename(output / "sample_B")
    renamed.perform("backup")
    renamed.perform("verify")
    assert said(world, "verify.done")["here"] is True
    back = Renamed.__new__(Renamed)
    back.world, back.run, back.library = world, RUN, "sample_B"
    back.rename(CELL.library)
    back.perform("verify")
