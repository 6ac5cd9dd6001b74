"""`watch`: the service. `poll`: one pass over all runs, for cron."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from datetime import UTC, datetime
from types import FrameType

from hesiod_watch.cli.common import add_run_argument, config_of, print_problem, run_paths
from hesiod_watch.core.errors import TemporaryError
from hesiod_watch.core.logfields import fields
from hesiod_watch.host.sdnotify import SystemdNotifier

logger = logging.getLogger(__name__)

AGAIN = 75
"""Exit code of a pass that was not possible and is tried again."""


def watch_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Runs in the foreground until SIGTERM or SIGINT. Workers are separate processes: they"
        " continue when the service stops, and a new service finds them. Under systemd use"
        " Type=notify."
    )
    parser.set_defaults(call=call_watch, verbosity=0)


def poll_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Checks every run once, starts the work that it needs, waits for that work, and ends. Safe"
        " beside a running service and other polls. Prints a problem that needs a person when it is"
        " new, once a day, and when it is solved; ends with code 1 while one exists. At a terminal,"
        " and for named runs, prints all of them."
    )
    add_run_argument(parser, many=True)
    parser.set_defaults(call=call_poll)


def call_watch(options: argparse.Namespace) -> int:
    from hesiod_watch.service.daemon import Service

    service = Service(config_of(options), SystemdNotifier(os.environ))
    stopping: list[int] = []

    def on_signal(number: int, frame: FrameType | None) -> None:
        stopping.append(number)
        service.stop()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    service.run()
    logger.info("stopped by signal", extra=fields(signal=stopping[0] if stopping else "none"))
    return 0  # a service that stops because of a signal has not failed


def call_poll(options: argparse.Namespace) -> int:
    from hesiod_watch.service.poll import PollResult, poll
    from hesiod_watch.service.poll_problems import AREA, Problem, news

    config = config_of(options)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: stop.set())
    runs = list(run_paths(config, options.runs)) if options.runs else None
    now, code, missing = datetime.now(UTC), 0, ""
    try:
        result = poll(config, runs=runs, stop=stop)
    except TemporaryError as error:  # an area is missing
        missing, code = str(error), AGAIN
        result = PollResult([Problem(AREA, missing)], frozenset())
    # A person at a terminal, or one who names runs, gets an answer each time.
    if options.runs or sys.stderr.isatty():
        lines = list(map(str, result.problems))
    else:
        lines = news(
            *(result.problems, config, now),
            judged=not missing and not stop.is_set(),
            unjudged_runs=result.unjudged_runs,
        )
    for line in lines:
        print_problem(line)
    if stop.is_set():
        return 143
    return code or (1 if result.problems else 0)
