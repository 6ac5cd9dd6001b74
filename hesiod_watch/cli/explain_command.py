"""`explain`: why a run or a cell is in its state."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from hesiod_watch.cli.common import (
    add_cell_argument,
    add_run_argument,
    cell_of,
    config_of,
    ending_command,
    now,
    print_list,
    print_wrapped,
    run_path,
    show_run,
    warn_about_site,
)
from hesiod_watch.core.errors import PermanentError, UsageError
from hesiod_watch.core.model import Snapshot
from hesiod_watch.core.naming import display
from hesiod_watch.rules.explain import (
    Explanation,
    explain_cell,
    explain_run,
    explain_unseen,
    is_hidden,
)
from hesiod_watch.rules.plan import plan
from hesiod_watch.service.circumstances import run_circumstances


def explain_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Prints the cause in one sentence, the evidence, the next step and its time, and what you"
        " can do. RUN may be the beginning of its name or a flow cell id; CELL may be a flow cell"
        " id, a position or the beginning of its name, if it is the only one."
    )
    add_run_argument(parser)
    add_cell_argument(parser, "explain the run")
    parser.add_argument("--json", action="store_true", help="print a JSON document")
    parser.set_defaults(call=call_explain)


def call_explain(options: argparse.Namespace) -> int:
    config = config_of(options)
    site = warn_about_site(config)
    moment, policy = now(), config.policy()

    def show(snapshot: Snapshot) -> Explanation:
        decision = plan(snapshot, policy, moment)
        around = run_circumstances(site, snapshot, config)
        if options.cell:
            name = options.cell.strip("/")
            try:
                cell = cell_of(snapshot, options.cell, short=True)
            except (UsageError, PermanentError):
                if not is_hidden(snapshot, options.cell):
                    raise
                return explain_run(snapshot, decision, policy, moment, around, name=name)
            return explain_cell(snapshot, cell, decision, policy, moment, around)
        return explain_run(snapshot, decision, policy, moment, around)

    code = 0
    if site.landing_problem:
        subject = " ".join(filter(None, (options.run, options.cell)))
        code, explanation = 75, explain_unseen(subject, site, moment)
    else:
        explanation = show_run(config, run_path(config, options.run, short=True), show)
    if options.json:
        print(json.dumps(asdict(explanation), indent=1))
    else:
        _print_explanation(explanation)
    return code


def _print_explanation(explanation: Explanation) -> None:
    why = display(explanation.why).rstrip(".")
    # A full stop after a command would be copied with it.
    stop = "" if ending_command(why) else "."
    print_wrapped(f"{display(explanation.subject)} is {explanation.state}: {why}{stop}")
    print("\nEvidence:")
    print_list(explanation.evidence)
    print()
    print_wrapped(f"Next: {display(explanation.next)}.")
    if explanation.you_can:
        print("\nYou can:")
        print_list(explanation.you_can)
