"""`check`: one line for Nagios, Icinga and other monitoring, from the state files."""

from __future__ import annotations

import argparse
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hesiod_watch.cli import CommandParser
from hesiod_watch.config import Config, load, working_directory
from hesiod_watch.config.reading import duration
from hesiod_watch.core.errors import HesiodError
from hesiod_watch.core.naming import display
from hesiod_watch.rules.site_check import CheckCode, CheckResult, check_site
from hesiod_watch.runs.areas import OutputArea, landing_problem
from hesiod_watch.runs.landing import LandingArea
from hesiod_watch.runs.state_files import state_directory
from hesiod_watch.service.heartbeats import heartbeat, known_states

EXIT_STATUS = """\
exit status:
  0  nothing needs a person
  1  warning: something needs a person
  2  critical: no process looks, or nothing can be worked on
  3  unknown: no state yet, or a wrong command line or configuration
"""


def check_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "A plugin for Nagios, Icinga and other monitoring: one line, with performance data. Reads"
        " only the state files that the service and the poll write after each look at all runs."
    )
    parser.add_argument(
        "--max-age",
        type=_span,
        metavar="SPAN",
        help="greatest age of the last look at all runs, such as 30m; without it, the interval of"
        " the service, or the usual interval of the polls, decides",
    )
    if isinstance(parser, CommandParser):
        parser.usage_code = CheckCode.UNKNOWN
        parser.exit_status = EXIT_STATUS
    parser.set_defaults(call=call_check)


def call_check(options: argparse.Namespace) -> int:
    result = _check(options)
    print(result)
    return result.code


def _check(options: argparse.Namespace) -> CheckResult:
    now = datetime.now(UTC)
    try:
        explicit = Path(options.config) if options.config else None
        config = load(explicit, environ=os.environ, cwd=working_directory())
        states = known_states(config, runs=True)
    except HesiodError as error:
        return CheckResult(CheckCode.UNKNOWN, "; ".join(str(error).splitlines()))
    except OSError as error:
        return CheckResult(
            CheckCode.UNKNOWN,
            f"{display(str(state_directory(config.output)))} cannot be read: {error.strerror}",
        )
    watchers = [heartbeat(state, config, now)[0] for state in states]
    blocked = "" if states else _why_nothing_is_written(config)
    return check_site(states, watchers, now, options.max_age, blocked)


def _why_nothing_is_written(config: Config) -> str:
    """Why a process that looks writes no state; "" if it would."""
    landing = LandingArea(config.landing, config.batch)
    area = OutputArea(config.output, landing)
    if problem := landing_problem(landing, config.output) or area.problem():
        return problem
    if config.processing.executor == "dry-run":
        return "`processing.executor` is dry-run, so nothing is written"
    if not area.marked() and not landing.runs():
        return (
            f"there is no run in the landing area {display(str(landing.path))} yet; with the first"
            " one, the service or a poll marks the output area and writes its state"
        )
    return ""


def _span(text: str) -> timedelta:
    seconds = duration(text)
    if not seconds or seconds > timedelta.max.total_seconds() / 2:
        raise argparse.ArgumentTypeError(f"{text} is not a time such as 30m, 2h or 1 day")
    return timedelta(seconds=seconds)
