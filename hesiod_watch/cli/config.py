"""`config sample` prints a commented configuration, `config check` finds every mistake in yours at
once.
"""

from __future__ import annotations

import argparse
import sys

from hesiod_watch.cli.common import config_of
from hesiod_watch.config import sample


def config_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "`config sample > hesiod-watch.yaml` is a start; `config check` says all that is wrong."
    )
    verbs = parser.add_subparsers(title="what to do", metavar="sample|check", required=True)
    verbs.add_parser(
        "sample", help="print a commented sample with every key and its default"
    ).set_defaults(call=call_sample)
    verbs.add_parser("check", help="check the configuration and say which file it is").set_defaults(
        call=call_check
    )


def call_sample(options: argparse.Namespace) -> int:
    sys.stdout.write(sample())
    return 0


def call_check(options: argparse.Namespace) -> int:
    config = config_of(options)
    print(f"{config.path}: good; landing {config.landing}, output {config.output}")
    for what, path in (("landing", config.landing), ("output", config.output)):
        if not path.is_dir():
            print(f"note: {what}: {path} is not there just now", file=sys.stderr)
    return 0
