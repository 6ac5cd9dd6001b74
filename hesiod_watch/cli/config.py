"""`config sample`: print a commented configuration. `config check`: report every mistake."""

from __future__ import annotations

import argparse
import sys

from hesiod_watch.cli.common import config_of
from hesiod_watch.config import sample


def config_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "To begin: `config sample > hesiod-watch.yaml`. `config check` reports every mistake at"
        " once."
    )
    verbs = parser.add_subparsers(title="what to do", metavar="sample|check", required=True)
    for verb, call, text in (
        ("sample", call_sample, "print a commented sample with every key and its default"),
        ("check", call_check, "check the configuration and print the path of its file"),
    ):
        described = f"{text[0].upper()}{text[1:]}."
        verbs.add_parser(verb, help=text, description=described).set_defaults(call=call)


def call_sample(options: argparse.Namespace) -> int:
    sys.stdout.write(sample())
    return 0


def call_check(options: argparse.Namespace) -> int:
    config = config_of(options)
    print(f"{config.path}: good; landing {config.landing}, output {config.output}")
    for what, path in (("landing", config.landing), ("output", config.output)):
        if not path.is_dir():
            print(f"note: {what}: {path} does not exist at the moment", file=sys.stderr)
    return 0
