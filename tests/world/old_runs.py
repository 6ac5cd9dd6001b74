"""Steps of old runs: they are left alone until a person has one taken up."""

from __future__ import annotations

from tests.world.disks import connect
from tests.world.sequencer import SequencedCell
from tests.world.world import World

MOST = 2
DAY = "20210304"


def old_run(world: World, number: int) -> None:
    """A finished run is here from before the day at which the site begins."""
    _add(world, there=False)


def old_run_there(world: World, number: int) -> None:
    """A finished run is on the sequencer from before the day at which the site begins."""
    connect(world, number)
    if world.sequencer.exists():
        _add(world, there=True)


def take_up(world: World, number: int) -> None:
    """A person has an old run taken up."""
    if not world.old:
        return
    cell = world.old[0]
    answer = world.command("take-up", cell.run)
    world.checked(answer)
    if answer and answer.code == 0:
        world.cells.append(world.old.pop(0))


def _add(world: World, *, there: bool) -> None:
    if len(world.old) == MOST or any(cell.day == DAY for cell in world.cells):
        return
    if world.processes.stopped:
        return  # it would not know the configuration that leaves old runs alone
    if "take_up:" not in world.more:
        world.more += "take_up: {since: 2026-01-01}\n"
        world.configure()
    number = 8 + len(world.old)
    run = f"{DAY}_PROM_old{number}" if there else f"{DAY}_TEST_old{number}"
    place = world.sequencer / f"old{number}" if there else world.landing / run
    cell = SequencedCell(number, run, "lib", place, world.landing / run if there else None, day=DAY)
    cell.finish()
    world.old.append(cell)


STEPS = {step.__name__: step for step in (old_run, old_run_there, take_up)}
