"""Waiting line: the runs whose work found every worker busy, in the order of their turns.

A run enters the line when a look finds no free worker for its work, and leaves it when a look finds
nothing left to start. A run whose work has just been started enters it anew, behind other runs of
the same turn. So no run waits for ever, whatever its name. Used by one thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from pathlib import Path

from hesiod_watch.core.model import Action
from hesiod_watch.rules.turns import Turn

Place = tuple[Turn, int]
"""Turn of the work that a run waits with, and the order in which runs of one turn came."""


def workers_for(action: Action) -> str:
    """Name of the workers that an action needs: one line waits for each of them."""
    by_upstream = action.kind.slots == "per upstream"
    return f"{action.name} {action.upstream}" if by_upstream else action.name


class WaitingLine:
    """Runs that wait, by the workers that they need."""

    def __init__(self) -> None:
        self._lines: dict[str, dict[Path, Place]] = {}
        self._arrivals = count()

    def first(self, workers: str) -> Path | None:
        """Run that gets the next free worker; None if no run waits."""
        line = self._lines.get(workers)
        return min(line, key=line.__getitem__) if line else None

    def first_runs(self) -> list[Path]:
        """First run of each line."""
        found = (self.first(workers) for workers in list(self._lines))
        return list(dict.fromkeys(run_dir for run_dir in found if run_dir))

    def before(self, run_dir: Path, turn: Turn, workers: str) -> Path | None:
        """First of the other runs that come before a run with this turn; None if it is next."""
        line = self._lines.get(workers, {})
        own = (turn, line[run_dir][1] if run_dir in line else next(self._arrivals))
        others = [run for run, place in line.items() if run != run_dir and place < own]
        return min(others, key=line.__getitem__, default=None)

    def wait(self, run_dir: Path, turn: Turn, workers: str, *, anew: bool = False) -> None:
        """Let a run wait, or go on waiting; `anew`: as if it came only now."""
        line = self._lines.setdefault(workers, {})
        came = line[run_dir][1] if run_dir in line and not anew else next(self._arrivals)
        line[run_dir] = (turn, came)

    def leave(self, run_dir: Path, still: Mapping[str, Turn] | None = None) -> list[str]:
        """Let a run leave every line except those for the workers in `still`; returns which."""
        left = [
            workers
            for workers, line in self._lines.items()
            if run_dir in line and workers not in (still or ())
        ]
        for workers in left:
            del self._lines[workers][run_dir]
            if not self._lines[workers]:
                del self._lines[workers]
        return left
