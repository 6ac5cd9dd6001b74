"""Listing of an upstream: its runs and their cells, by one short query.

An unreachable upstream is not an empty one. If the response is incomplete, `problem` says why, and
the caller must conclude nothing from missing entries. `run_layout` decides which names are runs,
libraries and cells. Links are not followed.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable
from dataclasses import replace

from hesiod_watch.config import UpstreamSettings
from hesiod_watch.core import naming
from hesiod_watch.core.errors import HesiodError, PermanentError
from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.inventory import CELLS, ENDED, decoded
from hesiod_watch.core.location import Location
from hesiod_watch.core.model import CellId, QuarantinedName
from hesiod_watch.core.pooled import PooledCell, acquisition_in
from hesiod_watch.host.command import CommandRunner, run
from hesiod_watch.remote.connection import connected
from hesiod_watch.remote.directory import RemoteDirectory
from hesiod_watch.rules.exit_codes import last_line
from hesiod_watch.rules.run_layout import (
    LINK,
    RunContents,
    in_run_itself,
    may_be_library,
    may_be_run,
    may_link_to_directory,
    too_deep,
)
from hesiod_watch.rules.run_names import FoundRun
from hesiod_watch.runs.minknow.layout import is_data_directory_name


@frozen
class UpstreamRun:
    """A run in the listing of an upstream; it has at least one cell."""

    experiment: str  # name of the run's directory
    location: str  # the text that pipeline/upstream gets
    cells: tuple[CellId, ...]

    @property
    def cell_dates(self) -> tuple[str, ...]:
        """The date, YYYYMMDD, in each cell's name, in the order of `cells`."""
        names = (naming.parse_cell(cell.name) for cell in self.cells)
        return tuple(name.date if name else "" for name in names)

    @property
    def first_cell_date(self) -> str:
        """The earliest date; "" if all cells are in pooled directories, whose names have none."""
        return min(filter(None, self.cell_dates), default="")


@frozen
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


def list_ended(
    upstream: UpstreamSettings,
    *,
    runner: CommandRunner = run,
    stop: Callable[[], bool] = lambda: False,
) -> frozenset[tuple[str, CellId]]:
    """List the cells of an upstream that have a final_summary, each with the location of its run.

    Raises HesiodError if the upstream does not answer.
    """
    place, found = upstream.place, set[tuple[str, CellId]]()
    with connected(upstream, runner, stop) as endpoint:
        response = RemoteDirectory(endpoint, place).query(ENDED)
    for record in response.records:
        name, library, cell, file = map(decoded, record.split(b"/"))
        if naming.is_final_summary(file):
            found.add((str(place.child(name)), CellId(library, cell)))
    return frozenset(found)


_POOLED_UNKNOWN = (
    "it holds data without a cell directory (MinKNOW data pooling), nothing came for four days, and"
    " no final_summary there names an acquisition, so nothing of it is copied; copy it into the"
    " landing area by hand, or write the final_summary that is missing"
)


def _has_cell(run: RunContents | None, library: str = "") -> bool:
    """Whether a run has a cell, in any library or in this one."""
    return run is not None and any(library in ("", cell.library) for cell in run.cells)


def _name_of(acquisition: PooledCell) -> str:
    return acquisition.name


def _leads_inside(place: Location, link: str, target: str) -> bool:
    """Whether the text of a link at the top of an upstream names a place in it."""
    path = posixpath.normpath(posixpath.join(place.path, posixpath.dirname(link), target))
    return path.startswith(posixpath.normpath(place.path) + "/")


def _classify(
    answer: Iterable[bytes], place: Location
) -> tuple[tuple[UpstreamRun, ...], tuple[QuarantinedName, ...]]:
    runs: dict[str, RunContents] = {}
    quarantined: dict[str, QuarantinedName] = {}
    pooled: dict[tuple[str, str], set[PooledCell]] = {}
    quiet: dict[tuple[str, str], bool] = {}
    deep: dict[tuple[str, str], list[str]] = {}
    bare: dict[str, str] = {}  # run → a final_summary in it
    link = ""
    for record in answer:
        kind, path = record[:1], decoded(record[1:])
        if kind == b"t" and link and not ("/" not in link and _leads_inside(place, link, path)):
            quarantined[link] = QuarantinedName(naming.display(link), LINK, "link")
        if kind == b"t":
            continue
        parts = tuple(path.split("/"))
        link = ""
        if not may_be_run(parts[0]) or not all(map(may_be_library, parts[1:2])):
            continue
        if any("/".join(parts[:length]) in quarantined for length in range(1, len(parts))):
            continue
        run, library, cell = (*parts, "", "")[:3]
        if kind == b"l":
            if may_link_to_directory(parts[-1]) and (not cell or naming.looks_like_cell(cell)):
                link = path
        elif len(parts) > 3:
            if naming.parse_cell(parts[-1]):
                deep.setdefault((run, library), []).append("/".join(parts[1:]))
        elif kind == b"s" and not cell:
            bare[run] = library
        elif cell and kind == b"s":
            if acquisition := acquisition_in(cell):
                pooled.setdefault((run, library), set()).add(acquisition)
        elif cell and is_data_directory_name(cell):
            quiet[run, library] = quiet.get((run, library), True) and kind == b"q"
        elif cell:
            runs.setdefault(run, RunContents()).add(library, cell)
        else:
            problem = naming.library_problem(library) if library else naming.run_problem(run)
            if why := problem or ("it cannot be read" if kind == b"u" else ""):
                unreadable = "" if problem else "unreadable"
                quarantined[path] = QuarantinedName(
                    naming.display(path), why, unreadable or "quarantined"
                )
    for (run, library), acquisitions in pooled.items():
        runs.setdefault(run, RunContents()).add_pooled(library, sorted(acquisitions, key=_name_of))
    for (run, library), is_quiet in quiet.items():
        if is_quiet and (run, library) not in pooled and not _has_cell(runs.get(run), library):
            name = f"{run}/{library}"
            quarantined[name] = QuarantinedName(naming.display(name), _POOLED_UNKNOWN, "pooled")
    for (run, library), paths in deep.items():
        if not _has_cell(runs.get(run), library):
            quarantined[run] = too_deep(naming.display(run), min(paths))
    for run, summary in bare.items():
        if not _has_cell(runs.get(run)):
            quarantined[run] = in_run_itself(naming.display(run), summary)
    listed = list(quarantined.values())
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
