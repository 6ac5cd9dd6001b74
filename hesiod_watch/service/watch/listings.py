"""What the upstreams have, asked now and then: a source of hints, and of the listings that
decisions are made from.

Every upstream is asked at the same time, so that one that does not answer delays nobody. From one
that did not answer nothing is concluded: its runs are not offered until it answers again, and what
was begun of them waits. A run's name is pinned by the directory that says where it comes from; new
ones are named once, and two that would be one are told.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from hesiod_watch.config import Config
from hesiod_watch.core.model import ListedRun, RunName
from hesiod_watch.remote.sequencer.listing import UpstreamListing, list_upstream
from hesiod_watch.rules.run_names import FoundRun, name_runs
from hesiod_watch.runs import flags
from hesiod_watch.runs.landing import LandingArea


@dataclass(frozen=True)
class ListedRuns:
    """What a round of questions came to."""

    listed_runs: Mapping[
        Path, ListedRun
    ]  # by the run's directory in the landing area, whether or not that is there
    problems: tuple[
        str, ...
    ]  # upstreams that did not answer in full, runs that get no name, names left alone
    listings: tuple[UpstreamListing, ...]


def ask(config: Config, *, stop: Callable[[], bool] = lambda: False) -> ListedRuns:
    """Ask every upstream of the configuration. Raises TemporaryError when the landing area cannot
    be read.
    """
    remote = [upstream for upstream in config.upstreams if not upstream.place.is_local]
    if not remote:
        return ListedRuns({}, (), ())
    landing = LandingArea(config.landing, config.batch)
    runs = {RunName(run.name): run for run in landing.runs()}
    pinned = {name: pin for name, run in runs.items() if (pin := _pin(run)) is not None}
    with ThreadPoolExecutor(len(remote), thread_name_prefix="ask") as pool:
        listings = tuple(pool.map(lambda upstream: list_upstream(upstream, stop=stop), remote))
    found: list[FoundRun] = []
    problems = []
    for upstream, listing in zip(remote, listings, strict=True):
        if listing.problem:
            problems.append(f"upstream {upstream.name}: {listing.problem}")
        problems += [
            f"upstream {upstream.name}: {entry.name}: {entry.why}" for entry in listing.quarantined
        ]
        found += listing.found(upstream.instrument_name)
    named = name_runs(found, pinned)
    problems += [f"{fold.location}: {fold.why}; rename it, there or here" for fold in named.folds]
    listed_runs = {}
    for listing in listings:
        for run in listing.runs:
            if name := named.names.get(run.location):
                place = runs.get(name) or _new_place(config, name)
                listed_runs[place] = ListedRun(run.location, frozenset(run.cells))
    return ListedRuns(listed_runs, tuple(problems), listings)


def _pin(run: Path) -> str | None:
    """Where a run says that it comes from, "" where it does not; None if it is empty: made, and not
    taken up yet.
    """
    if text := flags.read_upstream(run / "pipeline"):
        return text
    try:
        return "" if any(not name.startswith(".") for name in os.listdir(run)) else None
    except OSError:
        return ""


def _new_place(config: Config, name: RunName) -> Path:
    """Where the directory of a new run is made; its name begins with a date, YYYYMMDD."""
    year, month = name[:4], name[4:6]
    batch = {"none": "", "year": year, "month": f"{year}-{month}"}[config.batch]
    return config.landing / batch / name
