"""Steps of clocks: time passes, a clock is wrong, is set right, or differs between hosts."""

from __future__ import annotations

from datetime import timedelta

from tests.world import polls
from tests.world.world import World

WRONG_BY = (timedelta(minutes=2), timedelta(hours=5), timedelta(days=40), timedelta(days=4000))


def wait(world: World, number: int) -> None:
    """Minutes or a week pass."""
    world.pass_time(timedelta(minutes=2) if number % 2 else timedelta(days=7))


def set_clock_back(world: World, number: int) -> None:
    """The clock was wrong and is set back: what flags say is in the future."""
    world.pass_time(timedelta(hours=-3))


def clock_jumps(world: World, number: int) -> None:
    """The clock jumps, by minutes or by years, forwards or backwards."""
    _shift(world, WRONG_BY[number % 4] * (1, -1)[number // 4 % 2])


def look_ahead(world: World, number: int) -> None:
    """A poll on another host, whose clock is ahead."""
    _look(world, WRONG_BY[number % 4])


def look_behind(world: World, number: int) -> None:
    """A poll on another host, whose clock is behind."""
    _look(world, -WRONG_BY[number % 4])


def _look(world: World, by: timedelta) -> None:
    """To a host whose clock is ahead, everything that is here is older."""
    _shift(world, by)
    try:
        polls.look_elsewhere(world, 0)
    finally:
        _shift(world, -by)


def _shift(world: World, by: timedelta) -> None:
    """Have another time; files do not rest meanwhile, by the clock of their file system."""
    rested = world.rested
    world.pass_time(by)
    world.rested = rested


STEPS = {
    step.__name__: step for step in (wait, set_clock_back, clock_jumps, look_ahead, look_behind)
}
