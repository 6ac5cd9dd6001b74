"""Schedules: steps of a world, chosen at random, performed, written down and read again."""

from __future__ import annotations

import random
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.world import (
    clocks,
    disks,
    messages,
    old_runs,
    people,
    permissions,
    polls,
    product,
    retention,
    sequencing,
)
from tests.world.invariants import check_world, remember
from tests.world.liveness import end_well
from tests.world.trace import picture
from tests.world.world import World

Step = tuple[str, int]
"""Name of a step, and the number for its choices."""

STEPS = (
    sequencing.STEPS
    | people.STEPS
    | polls.STEPS
    | disks.STEPS
    | retention.STEPS
    | messages.STEPS
    | permissions.STEPS
    | clocks.STEPS
    | old_runs.STEPS
)
BY_PROGRAM = frozenset((*polls.STEPS, *retention.STEPS, "verify", "look_ahead", "look_behind"))
"""Steps in which nothing happens but what the program does."""
FREQUENT = (
    *("begin", "land", "land", "finish", "finish", "look", "look", "look", "look"),
    *("begin", "begin_there", "land", "land", "killed", "stopped", "go_on", "wait"),
)
"""Steps that are chosen more often than others."""
CHOICES = (*FREQUENT, *STEPS)
LENGTHS = (8, 22)
YEARS_LATER = (("wait", 0), ("look", 0), ("clean_there", 0), ("wait", 0), ("look", 0))
"""Steps after the end: with a backup, everything is deleted that has two other copies."""


@dataclass
class Figures:
    """What a number of schedules has done."""

    schedules: int = 0
    steps: int = 0
    by_name: Counter[str] = field(default_factory=Counter)

    def __add__(self, other: Figures) -> Figures:
        return Figures(
            self.schedules + other.schedules,
            self.steps + other.steps,
            self.by_name + other.by_name,
        )


class Violation(AssertionError):
    """A sentence that is not true of a world, with the schedule that shows it."""

    check = ""  # name of the function that has found it


def perform(
    steps: Sequence[Step], figures: Figures | None = None, trace: list[str] | None = None
) -> None:
    """Live through a schedule in a new world, and check it after every step.

    What is on the disk after each step is added to `trace`. Raises Violation.
    """
    product.load()
    with tempfile.TemporaryDirectory(prefix="world-", dir=_memory()) as directory:
        world = World(Path(directory))
        done = 0
        try:
            for step in steps:
                take(world, step)
                done += 1
                if trace is not None:
                    trace += (f"step {done}: {step[0]} {step[1]}", *picture(world))
            end_well(world)
            if world.old:
                take(world, ("take_up", 0))
                end_well(world)
            if world.backup:
                for step in YEARS_LATER:
                    take(world, step)
                end_well(world)
            check_world(world, remember(world), by_program=False)
        except AssertionError as error:
            where = f"step {done + 1} ({steps[done][0]})" if done < len(steps) else "the end"
            violation = Violation(f"{where}: {error}\n\n{script(steps)}")
            violation.check = _check_of(error)
            raise violation from error
        finally:
            if trace is not None:
                trace += ("the end", *picture(world))
            world.close()
            if figures is not None:
                figures.schedules += 1
                figures.steps += len(steps)
                figures.by_name.update(name for name, _ in steps)
                figures.by_name.update(world.seen)


def take(world: World, step: Step) -> None:
    """Take one step, and check the world."""
    name, argument = step
    before = remember(world)
    if not world.away or name in (*polls.STEPS, *disks.STEPS):
        STEPS[name](world, argument)
    check_world(world, before, by_program=name in BY_PROGRAM)


def _check_of(error: AssertionError) -> str:
    """Name of the check that raised an error."""
    called = [frame.f_code.co_name for frame, _ in traceback.walk_tb(error.__traceback__)]
    return next((name for name in reversed(called) if not name.startswith(("_", "<"))), "")


def schedule(number: int) -> list[Step]:
    """Schedule of a number; always the same one."""
    chance = random.Random(f"schedule {number}")
    length = chance.randint(*LENGTHS)
    return [("begin", chance.randrange(1000))] + [
        (chance.choice(CHOICES), chance.randrange(1000)) for _ in range(length - 1)
    ]


def shortest(steps: list[Step], found: Violation) -> Violation:
    """Leave out steps as long as something is violated; returns the last violation.

    First halves are left out, then smaller parts, and at last single steps.
    """
    part = max(1, len(steps) // 2)
    while True:
        position = 0
        while position < len(steps):
            fewer = steps[:position] + steps[position + part :]
            try:
                perform(fewer)
            except Violation as again:
                steps, found = fewer, again
            else:
                position += part
        if part == 1:
            return found
        part //= 2


# A schedule as text.


def script(steps: Iterable[Step]) -> str:
    """A schedule as a person reads it, and as `replay` takes it."""
    lines = []
    for name, argument in steps:
        words = (STEPS[name].__doc__ or "").splitlines()[0]
        lines.append(f"{name} {argument}  # {words}")
    return "\n".join(lines) + "\n"


def parse(text: str) -> list[Step]:
    """Steps of a script; everything after a `#` is for people."""
    lines = (line.partition("#")[0].split() for line in text.splitlines())
    return [(words[0], int(words[1])) for words in lines if words]


def _memory() -> str | None:
    """Directory in memory, if there is one: a world calls fsync very often."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None
