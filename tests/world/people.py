"""Steps of people: what the documentation allows them, and what they do all the same."""

from __future__ import annotations

import shutil

from tests.world.world import World


def accept(world: World, number: int) -> None:
    """A person accepts a cell as complete."""
    if (cell := world.some(number)) and world.pipeline(cell).is_dir():
        world.decided.add(cell.name)
        world.shell(f"hesiod-touch-atomic {world.flag(cell, 'synced')}")


def abort(world: World, number: int) -> None:
    """A person disregards a cell."""
    _decide(world, "abort", number)


def retry(world: World, number: int) -> None:
    """A person has a cell tried again."""
    _decide(world, "retry", number)


def release(world: World, number: int) -> None:
    """A person says that the owner of a claim is dead."""
    _decide(world, "release", number)


def remove_flag(world: World, number: int) -> None:
    """A person removes a flag, as the documentation allows."""
    ends = (".done", ".synced", ".failed", ".aborted", "/failed", "/aborted")
    allowed = [name for name in sorted(world.flags()) if name.endswith(ends)]
    if allowed:
        path = world.landing / allowed[number % len(allowed)]
        world.decided.add(path.name.partition(".")[0])
        path.unlink()


def hold(world: World, number: int) -> None:
    """A person holds a run by an empty flag."""
    if (cell := world.some(number)) and world.pipeline(cell).is_dir():
        (world.pipeline(cell) / "failed").touch()


def disregard(world: World, number: int) -> None:
    """A person disregards a run."""
    if cell := world.some(number):
        world.decided |= {each.name for each in world.cells if each.run == cell.run}
        world.checked(world.command("abort", cell.run, "--why", "a test"))


def rename_library(world: World, number: int) -> None:
    """A person renames a library."""
    if (cell := world.some(number)) and cell.exists and not cell.landing:
        old = cell.library
        new = (f"{old}x", old.rstrip("x"))[number // 5 % 2]
        if not (cell.place / new).exists():
            (cell.place / old).rename(cell.place / new)
            for each in world.cells:
                if (each.run, each.library) == (cell.run, old):
                    each.library = new


def copy_cell(world: World, number: int) -> None:
    """A person copies a cell into another library."""
    if (cell := world.some(number)) and cell.exists and not cell.landing:
        there = cell.place / "copies" / cell.name
        if not there.exists():
            shutil.copytree(cell.path, there)
            world.rested = False


def _decide(world: World, what: str, number: int) -> None:
    if cell := world.some(number):
        world.decided.add(cell.name)
        world.checked(world.command(what, cell.run, cell.id, "--why", "a test"))


def rename_run(world: World, number: int) -> None:
    """A person renames a run."""
    if (cell := world.some(number)) and cell.place.is_dir() and not cell.landing:
        old, new = cell.run, f"{cell.run}x"
        if not (world.landing / new).exists():
            cell.place.rename(world.landing / new)
            for each in world.cells:
                if each.run == old and not each.landing:
                    each.run, each.place = new, world.landing / new


def downgrade(world: World, number: int) -> None:
    """The flags are as an earlier version has written them."""
    for name, content in world.flags().items():
        older = content.replace(b'"reason":', b'"why":').replace(b'"needs_person":', b'"person":')
        if older != content:
            (world.landing / name).write_bytes(older)


STEPS = {
    step.__name__: step
    for step in (
        *(accept, abort, retry, release, remove_flag, hold, disregard),
        *(rename_library, rename_run, copy_cell),
        downgrade,
    )
}
