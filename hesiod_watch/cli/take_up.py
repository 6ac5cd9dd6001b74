"""`take-up`: take up runs that the setting of `take_up` leaves alone."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

from hesiod_watch.actions import Job, perform
from hesiod_watch.cli.common import config_of, open_run, run_path
from hesiod_watch.config import Config
from hesiod_watch.core.action_kinds import NEW_RUN
from hesiod_watch.core.errors import PermanentError, UsageError
from hesiod_watch.core.model import LOCAL, ListedRun
from hesiod_watch.core.naming import display, run_problem
from hesiod_watch.host import process
from hesiod_watch.runs.landing import PIPELINE

TAKEN_UP = "taken up by a person"


def take_up_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Takes up historic runs, whatever `take_up` in the configuration says. The next look copies"
        " and processes their cells, and reports them, like those of any other run. RUN may also be"
        " on an upstream only."
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="name or path of a run")
    parser.set_defaults(call=call_take_up)


def call_take_up(options: argparse.Namespace) -> int:
    config = config_of(options)

    @cache
    def on_upstreams() -> dict[Path, ListedRun]:
        from hesiod_watch.service.watch.listings import query_upstreams

        seen = query_upstreams(config)
        historic = {place: each.listed for place, each in seen.historic.items()}
        return {**seen.listed_runs, **historic}

    # Every name is checked before the first run is taken up.
    found = [_find(config, text, on_upstreams) for text in options.runs]
    for run_dir, upstream in found:
        _take_up(config, run_dir, upstream)
    return 0


def _find(
    config: Config, text: str, on_upstreams: Callable[[], dict[Path, ListedRun]]
) -> tuple[Path, str]:
    """Return the directory of a run and where it comes from. Raises UsageError."""
    try:
        return run_path(config, text), LOCAL
    except UsageError:
        listed = {
            place: run.location
            for place, run in on_upstreams().items()
            if text in (place.name, run.location, run.location.rpartition("/")[2])
        }
        if len(listed) > 1:
            names = ", ".join(sorted(display(place.name) for place in listed))
            raise UsageError(f"{display(text)}: several runs have this name: {names}") from None
        for place, location in listed.items():
            return place, location
        raise


def _take_up(config: Config, run_dir: Path, upstream: str) -> None:
    name = display(run_dir.name)
    if why := run_problem(run_dir.name):
        raise PermanentError(f"{name}: not taken up: {why}; rename it first")
    if os.path.lexists(run_dir / PIPELINE):
        print(f"{name}: it is taken up already")
        return
    if upstream == LOCAL and not config.local:
        raise PermanentError(
            f"{name}: not taken up: no upstream in the configuration is LOCAL, so runs that are"
            " only in the landing area are not worked on"
        )
    if upstream == LOCAL:
        open_run(config, run_dir).status()
    owner = process.this_owner(NEW_RUN.name, "inline", reason=TAKEN_UP)
    job = Job(NEW_RUN.name, run_dir, config, owner, reason=TAKEN_UP, upstream=upstream)
    perform(job)
    print(f"{name}: taken up; the next look starts the work that it needs")
