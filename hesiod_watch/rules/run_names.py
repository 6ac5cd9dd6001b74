"""What a run that comes from an upstream is called here: `{date of its first
cell}_{instrument}_{name}`.

The name is decided once, when the run is first seen; from then on the directory in the landing area
whose `pipeline/upstream` says where it comes from is the run's name, whatever happens to its cells
upstream. Two upstream names that would become one (`My Exp`, `My_Exp`) are reported and never
merged.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hesiod_watch.core.model import RunName
from hesiod_watch.core.naming import display, natural_key, run_problem


@dataclass(frozen=True, slots=True)
class FoundRun:
    """A run as an upstream shows it."""

    location: str  # as it is written into pipeline/upstream
    experiment: str  # the name of its directory there
    instrument: str
    first_cell_date: str  # YYYYMMDD


@dataclass(frozen=True, slots=True)
class NameCollision:
    """A run that gets no name, because the one it would get is another's."""

    location: str
    name: RunName
    why: str


@dataclass(frozen=True, slots=True)
class NamedRuns:
    """The names of the runs of upstreams, by location, and those that have none."""

    names: Mapping[str, RunName]
    folds: tuple[NameCollision, ...]


def run_name(first_cell_date: str, instrument: str, experiment: str) -> RunName:
    """The name of a run here. Date and instrument are not repeated, and each run of blanks becomes
    one `_`.

    `first_cell_date` is YYYYMMDD. The result may be outside the grammar (`naming.run_problem`): too
    long.
    """
    rest = re.sub(" +", "_", experiment)
    for part in (first_cell_date, instrument):
        rest = "" if rest == part else rest.removeprefix(f"{part}_")
    return RunName("_".join(part for part in (first_cell_date, instrument, rest) if part))


def name_runs(found: Iterable[FoundRun], pinned: Mapping[RunName, str]) -> NamedRuns:
    """Name every run: by its pin where it has one, by the rule otherwise.

    `pinned` are all runs in the landing area, each with the text of its `pipeline/upstream` (""
    where it has none). Of new runs that fold to one name the one with the earliest first cell gets
    it.
    """
    names: dict[str, RunName] = {}
    folds = []
    taken = dict(pinned)
    # What two landing directories say of one place has no better answer than an order that does not
    # change.
    names_by_place = {place: name for name, place in sorted(pinned.items(), reverse=True)}
    for run in sorted(
        found, key=lambda run: (run.first_cell_date, natural_key(run.experiment), run.location)
    ):
        pin = names_by_place.get(run.location)
        name = pin or run_name(run.first_cell_date, run.instrument, run.experiment)
        if pin is None and (why := run_problem(name)):
            folds.append(
                NameCollision(run.location, name, f"it would be called {display(name)}: {why}")
            )
        elif pin is None and name in taken:
            owner = (
                taken[name] or "a run directory of this name that does not say where it comes from"
            )
            folds.append(
                NameCollision(
                    run.location, name, f"it would be called {name}, which is {display(owner)}"
                )
            )
        else:
            names[run.location] = taken_name = name
            taken[taken_name] = run.location
    return NamedRuns(names, tuple(folds))
