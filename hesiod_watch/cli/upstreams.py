"""`list-upstream`: print the cells on the upstreams, in the lines that `status -I` reads."""

from __future__ import annotations

import argparse
from dataclasses import replace

from hesiod_watch.cli.common import config_of, print_problem
from hesiod_watch.core.errors import UsageError
from hesiod_watch.core.naming import display
from hesiod_watch.core.text import quoted

AGAIN = 75


def list_upstream_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Asks each upstream once. RUN is the name that the run has, or would get, in the landing"
        " area. An upstream that cannot be reached, and a name that is ignored or not allowed, is"
        " reported on standard error. Exit code 75 if an upstream did not answer."
    )
    parser.add_argument(
        "upstream",
        nargs="?",
        metavar="NAME",
        help="name of an upstream in the configuration; default: all",
    )
    parser.set_defaults(call=call_list_upstream)


def call_list_upstream(options: argparse.Namespace) -> int:
    from hesiod_watch.service.watch.listings import query_upstreams

    config = config_of(options)
    if options.upstream is not None:
        chosen = tuple(
            upstream for upstream in config.upstreams if upstream.name == options.upstream
        )
        if not chosen:
            names = ", ".join(upstream.name for upstream in config.upstreams)
            raise UsageError(f"{display(options.upstream)}: no such upstream; there are: {names}")
        config = replace(config, upstreams=chosen)
    seen = query_upstreams(config)
    historic = {place: each.listed for place, each in seen.historic.items()}
    for place, listed_run in sorted({**seen.listed_runs, **historic}.items()):
        for cell in sorted(listed_run.cells):
            print(f"{place.name}\t{listed_run.location}\t{cell}")
    for place, each in sorted(seen.historic.items()):
        name = display(place.name)
        print_problem(
            f"upstream {each.upstream}: {name}: historic, not copied: {each.why};"
            f" hesiod-watch take-up {quoted(place.name)}"
        )
    for problem in seen.problems:
        print_problem(problem)
    return AGAIN if any(listing.problem for listing in seen.listings) else 0
