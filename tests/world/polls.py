"""Steps of the program: polls on two hosts, and what interrupts them."""

from __future__ import annotations

import errno
import signal

from tests.world.product import Interruption
from tests.world.world import ELSEWHERE, HERE, World

CHANGES = 400
"""A poll is interrupted at one of so many changes; where it makes fewer, it is not interrupted."""


def look(world: World, number: int) -> None:
    """A poll."""
    world.checked(world.poll())


def look_elsewhere(world: World, number: int) -> None:
    """A poll on another host."""
    world.checked(world.poll(host=ELSEWHERE))


def killed(world: World, number: int) -> None:
    """A poll is killed at one of its changes of the disk."""
    world.checked(world.poll(Interruption(1 + number % CHANGES, signal.SIGKILL)))


def killed_elsewhere(world: World, number: int) -> None:
    """A poll on another host is killed at one of its changes of the disk."""
    world.checked(world.poll(Interruption(1 + number % CHANGES, signal.SIGKILL), ELSEWHERE))


def stopped(world: World, number: int) -> None:
    """A poll is stopped at one of its changes of the disk."""
    if not world.processes.stopped:
        host = (HERE, ELSEWHERE)[number % 2]
        world.checked(world.poll(Interruption(1 + number % CHANGES, signal.SIGSTOP), host))


def go_on(world: World, number: int) -> None:
    """A poll that was stopped continues."""
    world.checked(world.processes.go_on())


def full(world: World, number: int) -> None:
    """The disk is full during a part of a poll."""
    errors = Interruption(1 + number % CHANGES, error=errno.ENOSPC, times=1 + number // 7 % 20)
    world.checked(world.poll(errors))


def disk_error(world: World, number: int) -> None:
    """A change of the disk fails once during a poll."""
    kinds = (errno.EIO, errno.EACCES, errno.ESTALE, errno.EINTR, errno.EDQUOT)
    world.checked(world.poll(Interruption(1 + number % CHANGES, error=kinds[number // 7 % 5])))


STEPS = {
    step.__name__: step
    for step in (
        *(look, look_elsewhere, killed, killed_elsewhere, stopped, go_on),
        *(full, disk_error),
    )
}
