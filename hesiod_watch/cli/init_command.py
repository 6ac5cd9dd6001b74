"""`init`: write the first configuration, and show what would be done with the runs that are here.

Asks for what the command line does not say, if a person is there to answer. Never replaces a file,
and changes nothing but the configuration.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from hesiod_watch.cli.common import all_runs, now, print_problem, show_run, warn_about_site
from hesiod_watch.cli.show import plan_lines
from hesiod_watch.config import Config, parse
from hesiod_watch.config.loading import (
    FILE_NAME,
    SYSTEM_FILE,
    VARIABLE,
    text_of,
    working_directory,
)
from hesiod_watch.core.errors import ConfigError, UsageError
from hesiod_watch.core.model import Snapshot
from hesiod_watch.core.naming import display
from hesiod_watch.core.system_errors import translated
from hesiod_watch.core.take_up import ALWAYS, NOW
from hesiod_watch.core.text import number_of, quoted
from hesiod_watch.host.files import directory, write_new
from hesiod_watch.rules.plan import plan
from hesiod_watch.runs.first_look import FirstLooks
from hesiod_watch.runs.landing import LandingArea

SHOWN = 10
"""Most due actions that are printed."""
HEAD = "# Every key: hesiod-watch config sample, or man hesiod-watch.yaml\n"
SINCE = f"{NOW}, {ALWAYS} or a day such as 2026-11-30"


def init_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Writes a configuration of two or three lines, and prints what the service would do with"
        " the runs that are in the landing area. In a terminal it asks for what is not given. The"
        " file is that of --config or $HESIOD_WATCH_CONFIG; else /etc/hesiod-watch.yaml for root,"
        " and ./hesiod-watch.yaml for other users. A file that exists is not replaced."
    )
    parser.add_argument("--landing", metavar="DIR", help="directory in which MinKNOW writes runs")
    parser.add_argument("--output", metavar="DIR", help="directory of the results")
    parser.add_argument(
        "--since",
        metavar="WHEN",
        help="which of the finished runs that are there are taken up: now (none of them), always"
        " (all), or a day such as 2026-11-30 (those that began on it or later)",
    )
    parser.set_defaults(call=call_init)


def call_init(options: argparse.Namespace) -> int:
    path = _path(options.config)
    if os.path.lexists(path):
        shown = display(str(path))
        raise UsageError(
            f"{shown} exists already; check it: hesiod-watch --config {quoted(str(path))} config"
            " check"
        )
    landing = _directory(options.landing, "--landing", "Directory in which MinKNOW writes runs")
    output = _directory(options.output, "--output", "Directory of the results, an empty one")
    settings: dict[str, object] = {"landing": str(landing), "output": str(output)}
    area = LandingArea(landing)
    if batch := area.fitting_batch(area.runs_beside()):
        settings |= {"batch": batch} if batch != "none" else {}
    if since := _since(parse(text_of(settings), path), options.since):
        settings["take_up"] = {"since": since}
    config = parse(text_of(settings), path)
    text = HEAD + text_of(settings)
    with translated(f"{display(str(path))} cannot be written"), directory(path.parent) as place:
        write_new(place, path.name, text.encode())
        # The service reads it as another user. It has no secrets.
        os.chmod(path.name, 0o644, dir_fd=place)
    print(f"{display(str(path))} is written:\n\n{text}")
    _print_prospect(config)
    return 0


def _path(named: str | None) -> Path:
    """File to write, absolute."""
    if named := named or os.environ.get(VARIABLE):
        return working_directory() / named
    return SYSTEM_FILE if os.geteuid() == 0 else working_directory() / FILE_NAME


def _ask(question: str) -> str:
    """Answer of the person at the terminal. Raises UsageError at the end of the input."""
    print(f"{question}: ", end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline()
    if not answer:
        raise UsageError("no answer; nothing is written")
    return answer.strip()


def _answered(question: str, check: Callable[[str], object]) -> str:
    """First answer that is right; says what is wrong with the others."""
    while True:
        answer = _ask(question)
        try:
            check(answer)
        except (UsageError, ConfigError) as error:
            print_problem(str(error))
        else:
            return answer


def _directory(given: str | None, option: str, question: str) -> Path:
    if given is None and not sys.stdin.isatty():
        raise UsageError(f"{option} is missing, and no person is here to answer")
    text = given if given is not None else _answered(question, _existing)
    return _existing(text)


def _existing(text: str) -> Path:
    path = working_directory() / Path(text).expanduser()
    if not text or not path.is_dir():
        shown = display(str(path)) if text else "this"
        raise UsageError(
            f"{shown} is not a directory; make it, or mount its file system, and try again"
        )
    return Path(os.path.normpath(path))


def _since(config: Config, given: str | None) -> str:
    """Setting of `take_up.since`; asks only if finished runs are here.

    Without any it is "", not decided: many old runs that appear later, because the file system was
    not mounted, are then left alone, and a person is asked.
    """
    if given is not None:
        return given
    with_now = replace(config, take_up=replace(config.take_up, since=NOW))
    finished = FirstLooks(with_now).of_landing().runs
    if not finished:
        return ""
    are_here = f"{number_of(len(finished), 'finished run', form=',')} in {config.landing}"
    if not sys.stdin.isatty():
        raise UsageError(f"{display(are_here)}: say with --since which are taken up: {SINCE}")

    def check(answer: str) -> None:
        parse(text_of({"landing": "/a", "output": "/b", "take_up": {"since": answer or NOW}}), None)

    question = f"{are_here}. Take up those since when ({SINCE}) [{NOW}]"
    return _answered(question, check) or NOW


def _print_prospect(config: Config) -> None:
    """Print what a look at the runs would find and start."""
    warn_about_site(config)
    moment, policy = now(), config.policy()
    historic, due, number = 0, list[str](), 0

    def look(snapshot: Snapshot) -> tuple[bool, list[str]]:
        return bool(snapshot.historic), plan_lines(snapshot, plan(snapshot, policy, moment))

    for path in all_runs(config):
        left_alone, lines = show_run(config, path, look)
        number, historic = number + 1, historic + left_alone
        due += lines
    runs = number_of(number, "run", form=",") if number else "no runs"
    left = f"; {historic:,} of them historic, and left alone" if historic else ""
    print(f"{runs} in {display(str(config.landing))}{left}.")
    if due:
        print("The service would begin with:")
        print("\n".join(f"  {line}" for line in due[:SHOWN]))
        if len(due) > SHOWN:
            print(f"  and {len(due) - SHOWN:,} more; all of them: hesiod-watch plan")
    print("Next, as the user of the service: hesiod-watch doctor")
