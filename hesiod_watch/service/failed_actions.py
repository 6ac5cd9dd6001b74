"""Failed actions that left no flag: when each is tried again, and what a person reads about it.

Only the deciding thread uses them. Their loss costs time, never correctness.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeAlias

from hesiod_watch.core.circumstances import RefusedAction
from hesiod_watch.core.logfields import fields
from hesiod_watch.core.model import CellId, RunName
from hesiod_watch.core.times import BackOff, due_at

logger = logging.getLogger(__name__)

RETRY = BackOff(timedelta(seconds=1), timedelta(minutes=5))

ActionKey: TypeAlias = tuple[Path, str, CellId | None]
"""An action: directory of its run, name, and cell."""


@dataclass
class FailedAction:
    """A failed action, and the time before it is retried."""

    error: str
    attempts: int
    since: datetime
    unstarted: bool = False  # its worker could not be started
    flagged: bool = False  # the action records its failure in a flag

    def due(self, now: datetime) -> datetime:
        """Time of the retry; a clock that was set back meanwhile delays nothing."""
        return due_at(self.since, now, RETRY.rest(self.attempts))


class FailedActions:
    """Failed actions of all runs; with `log`, each new error is logged once."""

    def __init__(self, *, log: bool) -> None:
        self._log = log
        self._failures: dict[ActionKey, FailedAction] = {}

    def note(
        self,
        key: ActionKey,
        error: str,
        now: datetime,
        *,
        unstarted: bool = False,
        flagged: bool = False,
    ) -> None:
        """Note a failure: the action rests for a while."""
        former = self._failures.get(key)
        attempts = former.attempts + 1 if former else 1
        self._failures[key] = FailedAction(error, attempts, now, unstarted, flagged)
        if self._log and (former is None or former.error != error):
            run_dir, action, cell = key
            logger.warning(
                "not done", extra=fields(run=run_dir.name, cell=cell, action=action, why=error)
            )

    def rests(self, key: ActionKey, now: datetime) -> bool:
        """Whether an action has failed and may not be tried again yet."""
        failure = self._failures.get(key)
        return failure is not None and now < failure.due(now)

    def started(self, key: ActionKey) -> None:
        """Forget the failure of an action that was started, unless it was a failure to start."""
        if key in self._failures and not self._failures[key].unstarted:
            del self._failures[key]

    def succeeded(self, key: ActionKey) -> None:
        self._failures.pop(key, None)

    def forget(self, run_dir: Path) -> None:
        """Forget the failures of a run that no longer exists."""
        for key in [key for key in self._failures if key[0] == run_dir]:
            del self._failures[key]

    def due(self, run_dir: Path, now: datetime) -> Iterator[datetime]:
        """Times of the retries in a run."""
        return (failure.due(now) for key, failure in self._failures.items() if key[0] == run_dir)

    def in_run(self, run_dir: Path) -> bool:
        """Whether an action of a run has failed."""
        return any(key[0] == run_dir for key in self._failures)

    def refused(
        self,
        known: Collection[tuple[str, str]],
        of_host: Collection[str],
        now: datetime,
    ) -> tuple[RefusedAction, ...]:
        """Failed actions that are tried again, except those of which something else says more.

        `known` are runs and cells that need a person because of a flag; `of_host` are errors of
        every action of this host.
        """
        return tuple(
            RefusedAction(
                *(action, RunName(run_dir.name), cell, failure.error, failure.attempts),
                since=failure.since,
                again=failure.due(now),
            )
            for (run_dir, action, cell), failure in self._failures.items()
            if failure.error not in of_host
            and not (failure.flagged and (run_dir.name, str(cell or "")) in known)
        )
