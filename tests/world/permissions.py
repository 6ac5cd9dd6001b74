"""Steps by which permissions are taken and given: of runs, flags, results, sources and a backup."""

from __future__ import annotations

from pathlib import Path

from tests.world.world import World

CLOSED, READ_ONLY = 0o000, 0o555


def deny(world: World, number: int) -> None:
    """Somebody takes the permission to write, or also to read, from a directory or a file."""
    places = [path for path in _places(world, number) if path.exists() and path not in world.denied]
    if places and not world.away:
        place = places[number // 3 % len(places)]
        world.denied[place] = place.stat().st_mode & 0o7777
        place.chmod(CLOSED if number % 3 == 0 or place.is_file() else READ_ONLY)


def allow(world: World, number: int) -> None:
    """All permissions are given again."""
    for place, mode in world.denied.items():
        if place.exists():
            place.chmod(mode)
    world.denied.clear()
    for area in (world.landing, world.output, world.sequencer):
        # A directory or a file may have been renamed, or copied with its mode, meanwhile.
        for path in area.rglob("*"):
            needed = 0o700 if path.is_dir() else 0o600
            if not path.is_symlink() and path.stat().st_mode & needed != needed:
                path.chmod(0o755 if path.is_dir() else 0o644)


def _places(world: World, number: int) -> list[Path]:
    places = [world.output / ".hesiod-watch", world.backup or world.output]
    if cell := world.some(number):
        results = (world.pipeline(cell) / "output").resolve()
        sources = [path for name in cell.data for path in (cell.path / name, cell.here / name)]
        places += [
            *(cell.here.parents[1], cell.here.parent, cell.here, cell.here / "fastq_pass"),
            *(world.pipeline(cell), world.pipeline(cell) / "messages"),
            *(results, results / cell.library, results / cell.id, *sources),
        ]
        if cell.landing:
            places += [cell.place, cell.path]
    return places


STEPS = {step.__name__: step for step in (deny, allow)}
