"""Steps of sequencers and of those who copy their files: what lands, how, and what is damaged."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tests.world.sequencer import SequencedCell, records
from tests.world.world import World

MOST_CELLS = 3
RUNS = ("20261122_TEST_alpha", "20261123_TEST_beta")
LIBRARIES = ("lib1", "lib2")


def begin(world: World, number: int) -> None:
    """A cell begins: its first file lands."""
    if len(world.cells) < MOST_CELLS:
        run, library = RUNS[number % 2], LIBRARIES[number // 2 % 2]
        if (world.output / run).exists() and not (world.landing / run).exists():
            return  # its results would be those of a run that was renamed: it is not taken up
        cell = SequencedCell(len(world.cells), run, library, world.landing / run)
        world.cells.append(cell)
        _land(world, cell, 0)


def land(world: World, number: int) -> None:
    """A file lands, in any order: data, the raw file or the final_summary."""
    if cell := world.some(number):
        _land(world, cell, number // 7)


def grow(world: World, number: int) -> None:
    """A file has its name already while it is being written."""
    if (cell := world.some(number)) and cell.exists and not cell.lost:
        cell.grow((50, 40, 90)[number % 3])
        world.rested = False


def finish(world: World, number: int) -> None:
    """All files of a cell land."""
    if (cell := world.some(number)) and not cell.lost:
        cell.finish()
        world.rested = False


def acquire_again(world: World, number: int) -> None:
    """A second acquisition begins in the directory of a cell."""
    if (cell := world.some(number)) and cell.exists and cell.acquisitions < 2 and not cell.lost:
        cell.begin()
        _land(world, cell, number // 7)


def crash(world: World, number: int) -> None:
    """MinKNOW crashes: what it has not written never comes."""
    if cell := world.some(number):
        cell.lost = True


def cut(world: World, number: int) -> None:
    """A file that has landed loses its end."""
    if path := _landed(world, number):
        os.truncate(path, path.stat().st_size * 2 // 3)


def lose(world: World, number: int) -> None:
    """A file that has landed is removed by mistake."""
    if path := _landed(world, number):
        path.unlink()


def double(world: World, number: int) -> None:
    """A file is here twice, under two names."""
    if path := _landed(world, number):
        shutil.copyfile(path, path.with_name(f"copy_{path.name}"))


def surplus(world: World, number: int) -> None:
    """A file that does not belong to the cell lands in it."""
    if (cell := world.some(number)) and (path := _landed(world, number)):
        name = path.name.replace("_0.fastq", "_9.fastq")
        path.with_name(name).write_bytes(records(cell.number, 9, 9))


def damage_summary(world: World, number: int) -> None:
    """A final_summary becomes empty."""
    if cell := world.some(number):
        for path in sorted(cell.path.glob("final_summary*"))[:1]:
            path.write_text("")
            world.rested = False


def _land(world: World, cell: SequencedCell, which: int) -> None:
    if not cell.lost:
        cell.land(which)
        world.rested = False


def _landed(world: World, number: int) -> Path | None:
    """A data file, here or on the sequencer, which is damaged next."""
    if cell := world.some(number):
        place = (cell.path, cell.here)[number // 50 % 2]
        found = [place / name for name in cell.data if (place / name).is_file()]
        if found:
            world.rested = False
            path = found[number // 7 % len(found)]
            world.damaged.add(str(path.relative_to(place)))
            return path
    return None


STEPS = {
    step.__name__: step
    for step in (
        *(begin, land, grow, finish, acquire_again, crash),
        *(cut, lose, double, surplus, damage_summary),
    )
}
