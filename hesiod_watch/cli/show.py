"""Commands that only read: `plan`, `flags`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Collection, Sequence
from dataclasses import asdict
from typing import Any

from hesiod_watch.cli.common import (
    add_run_argument,
    config_of,
    now,
    open_run,
    print_wrapped,
    run_path,
    run_paths,
    show_run,
    warn_about_site,
)
from hesiod_watch.cli.status_command import print_runs
from hesiod_watch.core.errors import UsageError
from hesiod_watch.core.model import Action, CellId, Decision, Snapshot
from hesiod_watch.core.naming import display
from hesiod_watch.core.ownership import Owner
from hesiod_watch.core.text import age_text
from hesiod_watch.rules.evidence import owner_words
from hesiod_watch.rules.plan import plan
from hesiod_watch.runs import flags
from hesiod_watch.runs.flags.listing import FlagLine


def plan_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Prints the plan that the service would make. Claims nothing and starts nothing."
    )
    add_run_argument(parser, many=True)
    parser.add_argument("--json", action="store_true", help="print a JSON document")
    parser.set_defaults(call=call_plan)


def flags_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Reads RUN/pipeline/. On hosts without Python, bin/hesiod-flags shows the same table."
    )
    add_run_argument(parser)
    parser.add_argument("--json", action="store_true", help="print a JSON document")
    parser.set_defaults(call=call_flags)


def call_plan(options: argparse.Namespace) -> int:
    config = config_of(options)
    warn_about_site(config)
    moment, policy = now(), config.policy()

    def document(snapshot: Snapshot) -> dict[str, Any]:
        decision = plan(snapshot, policy, moment)
        again = decision.look_again
        return {
            "run": display(snapshot.run),
            "actions": [_action_document(action) for action in decision.actions],
            "waiting": list(decision.waiting),
            "look_again": again.isoformat(timespec="seconds") if again else None,
        }

    def lines(snapshot: Snapshot) -> list[str]:
        return plan_lines(snapshot, plan(snapshot, policy, moment))

    paths = run_paths(config, options.runs, short=True)
    if options.json:
        print_runs(show_run(config, path, document) for path in paths)
    else:
        for path in paths:
            for line in show_run(config, path, lines):
                print_wrapped(line, "  ")
    return 0


def plan_lines(snapshot: Snapshot, decision: Decision) -> list[str]:
    """Lines about the due actions of a run, and about what it waits for."""
    run = display(snapshot.run)
    return [
        *(f"{display(str(action))}: {display(action.reason)}" for action in decision.actions),
        *(f"# {run}: waiting: {display(sentence)}" for sentence in decision.waiting),
    ]


def _action_document(action: Action) -> dict[str, Any]:
    cell: CellId | None = action.cell
    return {
        "action": action.name,
        "cell": str(cell) if cell else None,
        "epoch": action.epoch,
        "reason": action.reason,
    }


def _owner_document(owner: Owner) -> dict[str, object]:
    """Record of an owner with the key names of the documented JSON."""
    return {"why" if key == "reason" else key: value for key, value in asdict(owner).items()}


def call_flags(options: argparse.Namespace) -> int:
    config = config_of(options)
    run_dir = run_path(config, options.run, short=True)
    try:
        listing = flags.read_flags(flags.Pipeline(open_run(config, run_dir)))
    except FileNotFoundError:
        raise UsageError(
            f"{display(run_dir.name)} has no pipeline directory: it has not been taken up yet"
        ) from None
    lines = listing.all(config.judge)
    moment = now().timestamp()
    if options.json:
        documents = [
            {
                "flag": display(line.name),
                "age_seconds": round(moment - line.mtime, 3),
                "owner": _owner_document(line.owner) if line.owner else None,
                "liveness": str(line.liveness) if line.liveness else None,
                "evidence": line.evidence,
                "meaning": line.meaning,
            }
            for line in lines
        ]
        print(json.dumps({"run": display(run_dir.name), "flags": documents}, indent=1))
        return 0
    if sys.stdout.isatty():
        _print_flags(lines, listing.stems, moment)
        return 0
    from hesiod_watch.cli.terminal import print_table

    rows = [
        [
            display(line.name),
            age_text(moment - line.mtime),
            display(owner_words(line.owner)) if line.liveness else "",
            str(line.liveness or ""),
            display(line.meaning),
        ]
        for line in lines
    ]
    columns = [
        ("FLAG", False),
        ("AGE", True),
        ("OWNER", False),
        ("ALIVE", False),
        ("MEANING", False),
    ]
    print_table(columns, rows, sys.stdout)
    return 0


def _print_flags(lines: Sequence[FlagLine], stems: Collection[str], moment: float) -> None:
    """Print the flags for a terminal, those of the run first, then those of each cell.

    A name has its own line and is never folded, so that it can be copied. A dead owner is no news
    where the cell is done.
    """
    from hesiod_watch.cli.terminal import print_facts

    groups: dict[str, list[FlagLine]] = {"": []}
    for line in lines:
        of = (stem for stem in stems if line.name.startswith(f"{stem}."))
        groups.setdefault(max(of, key=len, default=""), []).append(line)
    names = {line.name for line in lines}
    for stem, found in groups.items():
        facts = []
        for line in found:
            news = line.liveness is not None and f"{stem}.done" not in names
            owner = f"{owner_words(line.owner)}: {line.liveness}; " if news else ""
            age = age_text(moment - line.mtime)
            facts.append((display(line.name), f"{age}: {display(owner + line.meaning)}"))
        print_facts(display(stem) if stem else "the run", facts, sys.stdout)
