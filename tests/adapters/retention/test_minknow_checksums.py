"""MinKNOW's checksums: proven damage or loss stops every strip and every mark."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from facility_world import CELL, RUN, World, kept_world, said, some
from mounts import needs_mounts
from open_runs import pipeline_at
from output_hashes import NAME, spoil, write_output_hash
from surveyed_copies import truth_of

from hesiod_watch import cli
from hesiod_watch.runs import flags

pytestmark = needs_mounts

GONE = "bam_pass/gone_0.bam"
Worlds = Callable[[Callable[[Path], object]], World]


@pytest.fixture
def worlds(tmp_path: Path) -> Iterator[Worlds]:
    """Make a cell, changed by a function before it is processed and backed up to two places."""
    with ExitStack() as stack:
        yield lambda prepare: stack.enter_context(kept_world(tmp_path, prepare))


def differs(cell: Path) -> None:
    write_output_hash(cell)
    spoil(min(cell.glob("pod5/*.pod5")))


def is_absent(cell: Path) -> None:
    write_output_hash(cell, {GONE: "0" * 64})


@pytest.mark.parametrize("action", ["strip", "deletable"])
@pytest.mark.parametrize("prepare", [differs, is_absent])
def test_nothing_is_deleted(worlds: Worlds, prepare: Callable[[Path], None], action: str) -> None:
    """A strip and a mark are refused with the file's name as reason, whatever the flags say."""
    world = worlds(prepare)
    name = some(world, ".pod5") if prepare is differs else GONE
    before = truth_of(world.place("landing"))
    why = world.try_to(lambda: world.perform(action))
    assert f"MinKNOW's checksums ({NAME}): 1 file" in why
    assert name in why
    assert name in str(said(world, f"{action}.failed")["reason"])
    # Flags of 0.1.0 record no checksums; then the present files are compared.
    for flag in world.pipeline.glob(f"{CELL.stem}.*"):
        if flag.is_file() and "minknow_checksums" in (text := flag.read_text()):
            record = json.loads(text)
            del record["minknow_checksums"]
            flag.write_text(json.dumps(record))
    raw = world.results("output") / "raw.json"
    document = json.loads(raw.read_text())
    document["output_hash"] = {"files": [NAME], "agreeing": 1}
    raw.write_text(json.dumps(document))
    assert name in world.try_to(lambda: world.perform(action))
    assert truth_of(world.place("landing")) == before
    assert world.marked() == ""


@pytest.mark.parametrize(
    ("prepare", "planned"),
    [(write_output_hash, True), (is_absent, False)],
    ids=["checksums agree", "absent file"],
)
def test_no_strip_is_planned(
    worlds: Worlds,
    prepare: Callable[[Path], object],
    planned: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """No strip is planned for a cell whose flags record damage or loss."""
    world = worlds(prepare)
    world.text += "strip: {after: 1s}\n"
    os.utime(world.pipeline / f"{CELL.stem}.done", (0, 0))  # it was finished long ago
    assert (f"strip {RUN}" in plan(world, capsys)) is planned


def test_a_mark_is_withdrawn(worlds: Worlds, capsys: pytest.CaptureFixture[str]) -> None:
    """If a backup finds the damage after the mark, a message is due and the mark is revoked."""
    world = worlds(lambda cell: None)
    world.perform("deletable")
    assert world.marked() == "deletable"
    write_output_hash(world.place("landing"), {GONE: "0" * 64})  # written late
    world.perform("backup")
    planned = plan(world, capsys)
    assert "its mark is to be withdrawn: MinKNOW's checksums" in planned
    assert "tell" in planned
    assert GONE in world.try_to(lambda: world.perform("deletable"))
    assert world.marked() == "revoked"
    assert "its mark is to be withdrawn" not in plan(world, capsys)


def test_a_mark_does_not_outlive_its_renewal(worlds: Worlds) -> None:
    """A mark made before the loss was known is revoked when its evidence is gathered again."""
    world = worlds(lambda cell: None)
    world.perform("deletable")
    write_output_hash(world.place("landing"), {GONE: "0" * 64})
    assert GONE in world.try_to(lambda: world.perform("deletable"))
    assert world.marked() == "revoked"


def test_a_damaged_file_that_was_removed_since(worlds: Worlds) -> None:
    """A damaged file that version 0.1.0 deleted from the landing area stays on record."""
    world = worlds(differs)
    name = some(world, ".pod5")
    (world.place("landing") / name).unlink()
    flags.create(pipeline_at(world.pipeline), f"{flags.strip(CELL.stem)}.done", {"files": 1})
    assert f"1 file differs: {name}" in world.try_to(lambda: world.perform("verify"))
    assert name in world.try_to(lambda: world.perform("deletable"))
    assert world.marked() == ""


def test_repaired(worlds: Worlds) -> None:
    """A strip is possible again with the right bytes, a new raw.json and copies read again."""
    good: list[bytes] = []

    def prepare(cell: Path) -> None:
        good.append(min(cell.glob("pod5/*.pod5")).read_bytes())
        differs(cell)

    world = worlds(prepare)
    name = some(world, ".pod5")
    assert name in world.try_to(lambda: world.perform("strip"))
    (world.place("landing") / name).write_bytes(good[0])
    (world.results("output") / "raw.json").unlink()
    world.perform("backup")
    assert world.try_to(lambda: world.perform("verify")) == ""
    world.perform("strip")
    assert not (world.place("landing") / name).exists()
    # A file that was removed on purpose is not called absent.
    assert world.try_to(lambda: world.perform("verify")) == ""


def plan(world: World, capsys: pytest.CaptureFixture[str]) -> str:
    """Sentences of the present plan, without those about what the run waits for."""
    world.write_config()
    capsys.readouterr()
    assert cli.main(["--config", str(world.root / "hesiod-watch.yaml"), "plan", RUN]) == 0
    return "\n".join(
        line for line in capsys.readouterr().out.splitlines() if not line.startswith("#")
    )
