"""`doctor`: check that this host does what hesiod-watch needs."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from hesiod_watch.cli.common import config_of, print_wrapped
from hesiod_watch.core.naming import display

MARKS = {True: "good", False: "BAD", None: "note"}


def doctor_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Checks the configured directories and services, with temporary files that are removed"
        " again. Exit code 1 if any check is bad."
    )
    parser.add_argument("--json", action="store_true", help="print a JSON document")
    parser.set_defaults(call=call_doctor)


def call_doctor(options: argparse.Namespace) -> int:
    from hesiod_watch.cli.doctor import run_checks

    config = config_of(options)
    checks = []
    for check in run_checks(config):
        checks.append(check)
        if not options.json:
            print_wrapped(f"{MARKS[check.ok]:5} {check.name:8} {display(check.says)}", " " * 15)
    if options.json:
        print(json.dumps({"checks": [asdict(check) for check in checks]}, indent=1))
    return 1 if any(check.ok is False for check in checks) else 0
