"""Listing of an upstream: its runs and their cells, by one short query.

An unreachable upstream is not an empty one. If the response is incomplete, `problem` says why, and
the caller must conclude nothing from missing entries. `run_layout` decides which names are runs,
libraries and cells. Links are not followed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from hesiod_watch.config import UpstreamSettings
from hesiod_watch.core import naming
from hesiod_watch.core.errors import HesiodError, PermanentError
from hesiod_watch.core.inventory import CELLS, decoded
from hesiod_watch.core.location import Location
from hesiod_watch.core.model import CellId, QuarantinedName
from hesiod_watch.host.command import CommandRunner, run
from hesiod_watch.remote.connection import connected
from hesiod_watch.remote.directory import RemoteDirectory
from hesiod_watch.rules.exit_codes import last_line
from hesiod_watch.rules.run_layout import RunContents, may_be_library, may_be_run
from hesiod_watch.rules.run_names import FoundRun


@dataclass(frozen=True, slots=True)
class UpstreamRun:
    """A run in the listing of an upstream; it has at least one cell."""

    experiment: str  # name of the run's directory
    location: str  # the text that pipeline/upstream gets
    cells: tuple[CellId, ...]

    @property
    def cell_dates(self) -> tuple[str, ...]:
        """The date, YYYYMMDD, in each cell's name, in the order of `cells`."""
        return tuple(cell.name[:8] for cell in self.cells)

    @property
    def first_cell_date(self) -> str:
        return min(self.cell_dates)


@dataclass(frozen=True, slots=True)
class UpstreamListing:
    """Runs of an upstream. With a `problem`, the listed runs exist, and there may be more."""

    runs: tuple[UpstreamRun, ...] = ()
    quarantined: tuple[QuarantinedName, ...] = ()
    problem: str = ""
    refused: bool = False  # it was reached, and a person must correct something

    def found(self, instrument: str) -> tuple[FoundRun, ...]:
        """Runs in the form that `run_names.name_runs` takes."""
        return tuple(
            FoundRun(run.location, run.experiment, instrument, run.first_cell_date)
            for run in self.runs
        )


def list_upstream(
    upstream: UpstreamSettings,
    *,
    runner: CommandRunner = run,
    stop: Callable[[], bool] = lambda: False,
) -> UpstreamListing:
    """List the runs of an upstream; empty for LOCAL. Never raises for errors of the remote side."""
    place = upstream.place
    if place.is_local:
        return UpstreamListing()
    try:
        with connected(upstream, runner, stop) as endpoint:
            response = RemoteDirectory(endpoint, place).query(CELLS)
    except HesiodError as error:
        return UpstreamListing(problem=str(error), refused=isinstance(error, PermanentError))
    runs, quarantined = _classify(response.records, place)
    problem = (
        f"{place} cannot be listed in full: {last_line(response.errors)}" if response.code else ""
    )
    return UpstreamListing(runs, quarantined, problem, refused=bool(problem))


def _classify(
    answer: Iterable[bytes], place: Location
) -> tuple[tuple[UpstreamRun, ...], tuple[QuarantinedName, ...]]:
    runs: dict[str, RunContents] = {}
    quarantined: dict[str, str] = {}
    for record in answer:
        readable, parts = record[:1] == b"d", tuple(map(decoded, record[1:].split(b"/")))
        if not may_be_run(parts[0]) or not all(map(may_be_library, parts[1:2])):
            continue
        if any("/".join(parts[:length]) in quarantined for length in range(1, len(parts))):
            continue
        run, library, cell = (*parts, "", "")[:3]
        if cell:
            runs.setdefault(run, RunContents()).add(library, cell)
            continue
        problem = naming.library_problem(library) if library else naming.run_problem(run)
        if why := problem or ("" if readable else "it cannot be read"):
            quarantined["/".join(parts)] = why
    listed = [QuarantinedName(naming.display(name), why) for name, why in quarantined.items()]
    for run, found in runs.items():
        found.quarantine_twins()
        listed += [replace(each, name=f"{run}/{each.name}") for each in found.quarantined]
    return (
        tuple(
            UpstreamRun(run, str(place.child(run)), tuple(runs[run].cells))
            for run in sorted(runs, key=naming.natural_key)
            if runs[run].cells
        ),
        tuple(sorted(listed, key=lambda each: each.name)),
    )
