"""`watch`: the service. `poll`: one pass over all runs, for cron."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import threading
from types import FrameType

from hesiod_watch.cli.common import add_run_argument, config_of, print_problem, run_paths
from hesiod_watch.core.logfields import fields
from hesiod_watch.host.sdnotify import SystemdNotifier

logger = logging.getLogger(__name__)


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
        " beside a running service and other polls. Prints nothing unless something needs a person."
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
    from hesiod_watch.service.daemon import poll

    config = config_of(options)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: stop.set())
    runs = run_paths(config, options.runs) if options.runs else None
    problems = poll(config, runs=runs, stop=stop)
    for problem in problems:
        print_problem(problem)
    if stop.is_set():
        return 143
    return 1 if problems else 0
