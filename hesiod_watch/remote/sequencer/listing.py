"""Listing of an upstream: its runs and their cells, by one short query.

An unreachable upstream is not an empty one. If the response is incomplete, `problem` says why, and
the caller must conclude nothing from missing entries. Names outside the grammar are quarantined
together with everything below them. Hidden names and `lost+found` are ignored. Links are not
followed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from hesiod_watch.config import UpstreamSettings
from hesiod_watch.core import naming
from hesiod_watch.core.errors import HesiodError
from hesiod_watch.core.inventory import CELLS, decoded
from hesiod_watch.core.location import Location
from hesiod_watch.core.model import CellId, QuarantinedName
from hesiod_watch.host.command import CommandRunner, run
from hesiod_watch.remote.connection import connected
from hesiod_watch.remote.directory import RemoteDirectory
from hesiod_watch.rules.exit_codes import last_line
from hesiod_watch.rules.run_names import FoundRun

_NOT_RUNS = frozenset({"lost+found"})
_NOT_LIBRARIES = frozenset({"pipeline", "rundata"})


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
        return UpstreamListing(problem=str(error))
    runs, quarantined = _classify(response.records, place)
    problem = (
        f"{place} cannot be listed in full: {last_line(response.errors)}" if response.code else ""
    )
    return UpstreamListing(runs, quarantined, problem)


def _classify(
    answer: Iterable[bytes], place: Location
) -> tuple[tuple[UpstreamRun, ...], tuple[QuarantinedName, ...]]:
    cells: dict[str, list[CellId]] = {}
    quarantined: dict[str, str] = {}
    for record in answer:
        readable, parts = record[:1] == b"d", tuple(map(decoded, record[1:].split(b"/")))
        why = _problem(parts) or ("" if readable or len(parts) == 3 else "it cannot be read")
        if parts[0] in _NOT_RUNS or not _NOT_LIBRARIES.isdisjoint(parts[1:2]):
            continue
        if any("/".join(parts[:length]) in quarantined for length in range(1, len(parts))):
            continue
        if why:
            quarantined["/".join(parts)] = why
        elif len(parts) == 3:
            cell = naming.parse_cell(parts[2])
            if cell and not naming.is_configuration_test(cell):
                cells.setdefault(parts[0], []).append(CellId(parts[1], parts[2]))
    for name, found in cells.items():
        # Names of flags contain only the cell's directory name, so such cells would share flags.
        twins = {stem for stem, count in Counter(cell.stem for cell in found).items() if count > 1}
        quarantined |= {
            f"{name}/{cell}": "another library of this run has a cell of the same name; "
            "they would share their flags"
            for cell in found
            if cell.stem in twins
        }
        cells[name] = sorted(cell for cell in found if cell.stem not in twins)
    runs = [
        UpstreamRun(name, str(place.child(name)), tuple(found))
        for name, found in cells.items()
        if found
    ]
    return (
        tuple(sorted(runs, key=lambda each: naming.natural_key(each.experiment))),
        tuple(
            QuarantinedName(naming.display(name), why) for name, why in sorted(quarantined.items())
        ),
    )


def _problem(parts: tuple[str, ...]) -> str:
    """Reason to leave a directory alone; "" for a usable one.

    Also "" for a directory below a library that does not look like a cell.
    """
    if len(parts) == 1:
        return naming.run_problem(parts[0])
    if len(parts) == 2:
        return naming.library_problem(parts[1])
    return naming.cell_problem(parts[2]) if naming.looks_like_cell(parts[2]) else ""
