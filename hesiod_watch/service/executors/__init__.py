"""Where an action is performed: in a process of its own on this host, in this process, or nowhere
(dry run).

Every executor starts the same thing, `perform ACTION RUN [CELL]`; what differs is where. The
deciding layer knows only the protocol below.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hesiod_watch.config import Config
from hesiod_watch.core.model import Action, Owner


@dataclass(frozen=True)
class EndedAction:
    """The end of something an executor started. `code` is an exit code of docs/commands.md."""

    run_dir: Path
    action: Action
    code: int


class Reservation(Protocol):
    """The right to start one piece of work; to be used or given back."""

    def give_back(self) -> None: ...


class NoReservation:
    """The reservation of an executor that starts any number of actions."""

    def give_back(self) -> None:
        """Nothing was reserved."""


class Executor(Protocol):
    """Starts actions. `start` returns at once where the work is done elsewhere.

    `reserve` answers None when nothing more can be started now: ask again when something has ended.
    """

    name: str

    def reserve(self, action: Action) -> Reservation | None: ...

    def start(self, action: Action, run_dir: Path, owner: Owner, reservation: Reservation) -> None:
        """Raises TemporaryError when it cannot be started; the reservation is used up in any case."""

    def running(self) -> dict[str, Action]:
        """What this executor has under way, by the token of the owner it was started for."""


OnEnd = Callable[[EndedAction], None]


def make(name: str, config: Config, on_end: OnEnd) -> Executor:
    """The executor of that name; KeyError where there is none (the configuration has checked it)."""
    # Imported here so that a table of executors does not load them all.
    from hesiod_watch.service.executors.dry_run import DryRun
    from hesiod_watch.service.executors.inline import Inline
    from hesiod_watch.service.executors.local import Local

    executors: dict[str, Callable[[Config, OnEnd], Executor]] = {
        "local": Local,
        "inline": Inline,
        "dry-run": DryRun,
    }
    return executors[name](config, on_end)
