"""Local names of runs from an upstream: `{date of the first cell}_{instrument}_{name}`.

The name is decided once, when the run is first seen. From then on the run has the name of the
directory in the landing area whose `pipeline/upstream` names its source, whatever happens to its
cells upstream. Two upstream names that would give the same local name (`My Exp`, `My_Exp`) are
reported and never merged.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.model import RunName
from hesiod_watch.core.naming import display, natural_key, run_problem


@frozen
class FoundRun:
    """A run in an upstream's listing."""

    location: str  # content of pipeline/upstream
    experiment: str  # name of its directory upstream
    instrument: str
    first_cell_date: str  # YYYYMMDD


@frozen
class NameCollision:
    """A run without a local name, because another run has that name or it is invalid."""

    location: str
    name: RunName
    why: str


@frozen
class NamedRuns:
    """Local names of upstream runs by location, and the runs without one."""

    names: Mapping[str, RunName]
    folds: tuple[NameCollision, ...]


def run_name(first_cell_date: str, instrument: str, experiment: str) -> RunName:
    """The local name of a run.

    Date and instrument are not repeated, and consecutive blanks become one `_`. `first_cell_date`
    is YYYYMMDD. The result may be invalid (`naming.run_problem`): too long.
    """
    rest = re.sub(" +", "_", experiment)
    for part in (first_cell_date, instrument):
        rest = "" if rest == part else rest.removeprefix(f"{part}_")
    return RunName("_".join(part for part in (first_cell_date, instrument, rest) if part))


def name_runs(found: Iterable[FoundRun], pinned: Mapping[RunName, str]) -> NamedRuns:
    """Name every run: a run in the landing area keeps its name, a new one is named by the rule.

    `pinned` contains all runs in the landing area, each with the text of its `pipeline/upstream`
    ("" if it has none). If several new runs would get one name, the run with the earliest first
    cell gets it.
    """
    names: dict[str, RunName] = {}
    folds = []
    taken = dict(pinned)
    # If two landing directories name the same source, only a fixed order can choose one.
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
