"""Steps by which data are deleted: marks on the sequencer, its clean-up, its trash, and strips."""

from __future__ import annotations

import re
import subprocess

from tests.world import disks
from tests.world.world import BIN, World

LIST = "cells_processed.txt"
CLEAN = BIN / "hesiod-clean-upstream"


def mark_there(world: World, number: int) -> None:
    """The sequencer is mounted, and its cells with two other copies are marked there."""
    disks.add_backup(world, number)
    disks.connect(world, number)
    unmarked = "instrument: PROM}"
    if unmarked in world.more:
        world.more = world.more.replace(unmarked, "instrument: PROM, mark_deletable: true}")
        world.configure()


def unmark_there(world: World, number: int) -> None:
    """The configuration asks for marks on the sequencer no more."""
    if "mark_deletable: true" in world.more:
        world.more = world.more.replace(", mark_deletable: true", "")
        world.configure()


def clean_there(world: World, number: int) -> None:
    """A person moves the marked cells on the sequencer to its trash."""
    if world.sequencer.exists() and world.sequencer not in world.away and marks(world):
        _clean(world)
        for cell in world.cells:
            if cell.landing and cell.arrived and not cell.exists:
                cell.cleaned = True
                cell.pending.clear()


def empty_trash(world: World, number: int) -> None:
    """A person deletes what is in the trash of the sequencer."""
    if (world.sequencer / ".hesiod-trash").is_dir() and world.sequencer not in world.away:
        _clean(world, "--empty-trash", "0")


def strip(world: World, number: int) -> None:
    """A person has the raw data of a cell removed from the landing area."""
    if cell := world.some(number):
        world.checked(world.command("strip", cell.run, cell.id, "--yes"))


def marks(world: World) -> dict[str, str]:
    """The last line about each cell in the list on the sequencer."""
    path = world.sequencer / LIST
    lines = path.read_text().splitlines() if path.exists() else []
    return {line.split("\t")[3]: line for line in lines if line.count("\t") == 9}


def _clean(world: World, *more: str) -> None:
    """Call the script as a person does, who types the number of cells that it has shown."""
    command = ["sh", str(CLEAN), "--dir", str(world.sequencer), *more]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if count := re.search(r"^(\d+) cells?[,.]", shown.stdout, re.MULTILINE):
        given = f"{count[1]}\n"
        subprocess.run([*command, "--yes"], input=given, capture_output=True, text=True, timeout=60)


STEPS = {
    step.__name__: step for step in (mark_there, unmark_there, clean_there, empty_trash, strip)
}
