"""Executors: places where an action is performed.

An executor starts an action as a process of this host, in this process, or nowhere (dry run). Every
executor starts the same command, `perform ACTION RUN [CELL]`. The deciding layer knows only the
protocol below.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from hesiod_watch.config import Config
from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.model import Action, Snapshot
from hesiod_watch.core.ownership import Owner


@frozen
class EndedAction:
    """The end of an action that an executor started. `code` is an exit code of docs/commands.md."""

    run_dir: Path
    action: Action
    code: int
    problem: str = ""  # why the action could not be started, which is no attempt


class Reservation(Protocol):
    """The right to start one piece of work; the owner uses it or gives it back."""

    def give_back(self) -> None: ...


class NoReservation:
    """The reservation of an executor that starts any number of actions."""

    def give_back(self) -> None:
        """Nothing was reserved."""


class Executor(Protocol):
    """Starts actions. `start` returns at once if another process does the work.

    `reserve` returns None if no more work can start now; try again when an action has ended.
    """

    name: str

    def reserve(self, action: Action) -> Reservation | None: ...

    def start(
        self, action: Action, snapshot: Snapshot, owner: Owner, reservation: Reservation
    ) -> None:
        """Start an action that was planned from `snapshot`.

        The reservation is used up in any case. Raises TemporaryError if the action cannot start.
        """

    def running(self) -> dict[str, Action]:
        """Actions under way, by the token of the owner that each was started for."""


OnEnd = Callable[[EndedAction], None]


def make(name: str, config: Config, on_end: OnEnd) -> Executor:
    """Executor of that name.

    Raises KeyError if there is none (the configuration has checked the name).
    """
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
