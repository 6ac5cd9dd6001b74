"""Upstream listings, refreshed now and then: a source of hints and a basis for decisions.

Every upstream is queried at the same time, so that one without a response delays no other. From an
upstream that did not respond nothing is concluded: its runs are not listed until it responds again,
and work on them waits.

The directory of a run names its source and so pins the run's name. A new run is named once. Two
runs that would get the same name are reported.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import field
from functools import partial
from pathlib import Path

from hesiod_watch.config import Config
from hesiod_watch.core.errors import HesiodError
from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.location import run_in
from hesiod_watch.core.model import ListedRun, RunName
from hesiod_watch.core.naming import display
from hesiod_watch.host.files import OpenDirectory
from hesiod_watch.remote.sequencer.listing import UpstreamListing, list_ended, list_upstream
from hesiod_watch.rules.historic import why_left_out
from hesiod_watch.rules.run_layout import with_advice
from hesiod_watch.rules.run_names import FoundRun, name_runs
from hesiod_watch.runs import flags
from hesiod_watch.runs.areas import landing_owners
from hesiod_watch.runs.first_look import FirstLooks
from hesiod_watch.runs.landing import LandingArea


@frozen
class ListedRuns:
    """Result of querying all upstreams once."""

    # by the run's directory in the landing area, which need not exist
    listed_runs: Mapping[Path, ListedRun]
    # incomplete responses of upstreams, runs without a name, ignored names
    problems: tuple[str, ...]
    listings: tuple[UpstreamListing, ...]
    # sentence of `problems` → name of the upstream that did not answer
    silent: Mapping[str, str] = field(default_factory=dict)
    # run's directory → its upstream's name and the location, which is missing there
    missing: Mapping[Path, tuple[str, str]] = field(default_factory=dict)
    # runs that are not taken up, like `listed_runs`, and why
    historic: Mapping[Path, HistoricListing] = field(default_factory=dict)


@frozen
class HistoricListing:
    """Run of an upstream that is not taken up."""

    upstream: str  # its name in the configuration
    listed: ListedRun
    why: str


def query_upstreams(
    config: Config,
    *,
    stop: Callable[[], bool] = lambda: False,
    looks: FirstLooks | None = None,
) -> ListedRuns:
    """Query every configured upstream.

    `looks` are the first looks of this process; without them nothing is recorded. Raises
    TemporaryError if the landing area cannot be read.
    """
    remote = [upstream for upstream in config.upstreams if not upstream.place.is_local]
    if not remote:
        return ListedRuns({}, (), ())
    landing = LandingArea(config.landing, config.batch)
    runs = {RunName(run.name): run for run in landing.runs()}
    owners = landing_owners(config)
    pinned = {
        name: pin
        for name, run in runs.items()
        if (pin := _pin(OpenDirectory(run, config.landing), config.output, owners)) is not None
    }
    with ThreadPoolExecutor(len(remote), thread_name_prefix="ask") as pool:
        listings = tuple(pool.map(lambda upstream: list_upstream(upstream, stop=stop), remote))
    found: list[FoundRun] = []
    problems = []
    silent = {}
    for upstream, listing in zip(remote, listings, strict=True):
        if listing.problem:
            problems.append(f"upstream {upstream.name}: {listing.problem}")
            silent[problems[-1]] = upstream.name
        rule = upstream.take_up.over(config.take_up)
        problems += [
            f"upstream {upstream.name}: {with_advice(entry, str(upstream.place))}"
            for entry in listing.quarantined
            if not why_left_out(rule, [entry.name.partition("/")[0]])
        ]
        found += listing.found(upstream.instrument_name)
    named = name_runs(found, pinned)
    problems += [f"{fold.location}: {fold.why}; rename it, there or here" for fold in named.folds]
    looks, here = looks or FirstLooks(config), frozenset(pinned.values())
    listed_runs, historic = dict[Path, ListedRun](), dict[Path, HistoricListing]()
    for upstream, listing in zip(remote, listings, strict=True):
        listed = [ListedRun(run.location, frozenset(run.cells)) for run in listing.runs]
        try:
            left = looks.historic_upstream(
                upstream, listed, here, named.names, partial(list_ended, upstream, stop=stop)
            )
        except HesiodError as error:
            # It is not known which runs are historic: only those that are here are looked at.
            problems.append(f"upstream {upstream.name}: {error}")
            silent[problems[-1]] = upstream.name
            listed = [run for run in listed if run.location in here]
            left = {}
        for run in listed:
            if name := named.names.get(run.location):
                place = runs.get(name) or _new_place(config, name)
                if why := left.get(run.location):
                    historic[place] = HistoricListing(upstream.name, run, why)
                else:
                    listed_runs[place] = run
    by_name = {upstream.name: listing for upstream, listing in zip(remote, listings, strict=True)}
    missing = {
        runs[name]: (pinned_to.name, location)
        for name, location in pinned.items()
        if (pinned_to := config.upstream_of(location))
        and _lacks(by_name[pinned_to.name], str(run_in(pinned_to.place, location)))
    }
    return ListedRuns(listed_runs, tuple(problems), listings, silent, missing, historic)


def _lacks(listing: UpstreamListing, location: str) -> bool:
    """Whether an upstream answered in full, and has no run of this name, good or ignored."""
    ignored = {entry.name.partition("/")[0] for entry in listing.quarantined}
    return (
        not listing.problem
        and location not in {run.location for run in listing.runs}
        and display(location.rpartition("/")[2]) not in ignored
    )


def _pin(run: OpenDirectory, output: Path, owners: frozenset[int]) -> str | None:
    """Source that a run's directory names; "" if it names none.

    None for an empty directory: the run was created and not adopted yet. A `pipeline/` counts only
    if a trusted account made it: others must not take the name or the data of a run.
    """
    pipeline = flags.Pipeline(run)
    try:
        foreign = flags.find_foreign_maker(pipeline, output, owners)
        if not foreign and (text := flags.read_upstream(pipeline)):
            return text
        return "" if any(not name.startswith(".") for name in os.listdir(run.descriptor)) else None
    except OSError:
        return ""


def _new_place(config: Config, name: RunName) -> Path:
    """Path for the directory of a new run, whose name begins with a date, YYYYMMDD."""
    year, month = name[:4], name[4:6]
    batch = {"none": "", "year": year, "month": f"{year}-{month}"}[config.batch]
    return config.landing / batch / name
