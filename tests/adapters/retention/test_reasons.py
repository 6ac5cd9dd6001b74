"""Reasons shown to people for a cell that is not marked, stripped, backed up or verified."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from facility_world import CELL, RUN, World, flip, some
from mounts import needs_mounts

from hesiod_watch import cli

pytestmark = needs_mounts

SAYS_NOTHING = ("it has ended", "planned by the service")


def shown(world: World, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Output of a command."""
    world.write_config()
    capsys.readouterr()
    assert cli.main(["--config", str(world.root / "hesiod-watch.yaml"), *arguments]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("action", ["strip", "deletable"])
def test_a_refusal_is_explained(
    world: World, action: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """`explain` and `plan` name the file that prevents a strip or a mark."""
    place = "landing" if action == "strip" else "upstream"
    name = some(world, ".pod5")
    flip(world.place(place) / name)
    owner = replace(world.owner(action), reason="planned by the service")
    assert world.try_to(lambda: world.perform(action, owner=owner))
    explained = shown(world, capsys, "explain", RUN, str(CELL))
    planned = shown(world, capsys, "plan", RUN)
    for text in (explained, planned):
        (line,) = [line for line in text.splitlines() if f"{name}: is not what it was" in line]
        assert not any(words in line for words in SAYS_NOTHING)
    assert not any(words in explained for words in SAYS_NOTHING)


def test_what_was_removed_is_explained(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """After a strip, `explain` shows the deleted amount and the places of the copies.

    It does not show why the strip was begun.
    """
    world.perform("strip", owner=replace(world.owner("strip"), reason="planned by the service"))
    explained = shown(world, capsys, "explain", RUN, str(CELL))
    assert "removed from landing; copies: backup backup1, backup backup2" in explained
    assert not any(words in explained for words in SAYS_NOTHING)


def test_a_failed_backup_and_verification_are_explained(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """`explain`, `status` and `plan` name the missing place, not the reason of the attempt."""
    world.unmount("backup2")
    (world.pipeline / f"{CELL.stem}.backup.done").unlink()
    for action in ("verify", "backup"):
        owner = replace(world.owner(action), reason="planned by the service")
        world.try_to(lambda action=action, owner=owner: world.perform(action, owner=owner))  # type: ignore[misc]
    document = json.loads(shown(world, capsys, "status", RUN, "--json"))
    explained = shown(world, capsys, "explain", RUN, str(CELL))
    planned = shown(world, capsys, "plan", RUN)
    for text in (explained, planned, document["runs"][0]["cells"][str(CELL)]["why"]):
        assert "backup2: " in text
        assert "is it mounted?" in text
        assert not any(words in text for words in SAYS_NOTHING)
