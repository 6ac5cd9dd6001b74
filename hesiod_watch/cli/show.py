"""Commands that only read: `status`, `plan`, `flags`."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

from hesiod_watch.cli import hesiod_format
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
    with_accounting,
)
from hesiod_watch.cli.explain_command import show_attention
from hesiod_watch.cli.messages import summary_document
from hesiod_watch.core.attention import Attention
from hesiod_watch.core.errors import UsageError
from hesiod_watch.core.model import Action, Cell, CellId, Decision, QuarantinedName, Snapshot, Stage
from hesiod_watch.core.naming import display
from hesiod_watch.core.ownership import Owner
from hesiod_watch.core.text import age_text
from hesiod_watch.rules.attention import attention, attention_of_site, oldest_first
from hesiod_watch.rules.backup_schedule import copy_locations
from hesiod_watch.rules.evidence import owner_words
from hesiod_watch.rules.late_data import late_words
from hesiod_watch.rules.plan import plan
from hesiod_watch.rules.qc_judgement import qc_verdict
from hesiod_watch.rules.run_types import type_of
from hesiod_watch.rules.stages import (
    by_hand,
    copy_problem,
    stage_of,
    status_of,
    unverified,
    why_stage,
)
from hesiod_watch.runs import flags
from hesiod_watch.runs.flags.listing import FlagLine
from hesiod_watch.service.capacity import DiskSpace, growth, spaces
from hesiod_watch.service.circumstances import run_circumstances

if TYPE_CHECKING:
    from hesiod_watch.cli.terminal import StatusRow

T = TypeVar("T")


def status_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Reads the disk, as every decision does. Needs no running service."
    add_run_argument(parser, many=True)
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--json", action="store_true", help="print a JSON document")
    how.add_argument("--hesiod", action="store_true", help="print what Hesiod's scripts parse")
    parser.add_argument(
        "--attention",
        action="store_true",
        help="list only what needs a person, oldest first; exit code 1 if there is anything",
    )
    parser.add_argument(
        "-I",
        dest="listing",
        action="store_true",
        help="read a listing of the upstreams from standard input: RUN TAB LOCATION TAB"
        " LIBRARY/CELL",
    )
    parser.set_defaults(call=call_status)


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


def call_status(options: argparse.Namespace) -> int:
    config = config_of(options)
    around = warn_about_site(config)
    listing = hesiod_format.read_listing(sys.stdin) if options.listing else {}
    moment, policy = now().timestamp(), config.policy()
    # A list of what is blocked must not fail because of the first thing in it.
    unseen = options.attention and not options.runs and around.landing_problem
    paths = () if unseen else run_paths(config, options.runs, short=True)
    known, added = set[str](), Counter[str]()

    def blocked(snapshot: Snapshot) -> tuple[Attention, ...]:
        return attention(snapshot, run_circumstances(around, snapshot, config), policy, now())

    def describe(snapshot: Snapshot) -> str:
        listed = listing.get(snapshot.run)
        location = listed.location if listed else None
        return hesiod_format.describe(snapshot, location, type_of(snapshot, policy).name)

    def show(show_one: Callable[[Snapshot], T]) -> Iterator[T]:
        for path in paths:
            listed = listing.get(path.name)
            if listed:
                known.add(path.name)
            yield show_run(config, path, show_one, listed)

    def document(snapshot: Snapshot) -> dict[str, Any]:
        added.update(growth(snapshot, moment))
        shown = [each.record() for each in blocked(snapshot)]
        return {**run_document(snapshot), "attention": shown}

    if options.attention:
        found = [each for of_run in show(blocked) for each in of_run]
        if not options.runs:
            found += attention_of_site(with_accounting(around, config), now())
        return show_attention(oldest_first(found), as_json=options.json)
    if options.hesiod:
        print("\n---\n".join(show(describe)))
    elif options.json:
        _print_runs(
            show(document),
            lambda: {"space": [_space_document(each) for each in spaces(config, [added])]},
        )
    else:
        rows = show(
            lambda snapshot: (_status_rows(snapshot, blocked(snapshot)), growth(snapshot, moment))
        )
        lines: list[StatusRow] = []
        for of_run, of_disk in rows:
            lines += of_run
            added.update(of_disk)
        _print_status(lines)
        for run in sorted(set(listing) - known) if not options.runs else ():
            print_wrapped(
                f"{display(run)}: on {display(listing[run].location)}, not here yet", "  "
            )
        for disk in spaces(config, [added]) if not options.runs else ():
            print_wrapped(display(str(disk)), "  ")
    return 0


def _print_runs(
    documents: Iterable[dict[str, Any]], more: Callable[[], dict[str, Any]] = dict
) -> None:
    """Print a JSON document with a list of runs, each as soon as it is known.

    Only one run is in memory. `more` returns what follows the list.
    """
    print('{\n "runs": [', end="")
    separator, end = "", "]"
    for document in documents:
        print(f"{separator}\n  {_indented(document, 2)}", end="")
        separator, end = ",", "\n ]"
    for key, value in more().items():
        end += f",\n {json.dumps(key)}: {_indented(value, 1)}"
    print(f"{end}\n}}")


def _indented(value: object, levels: int) -> str:
    return json.dumps(value, indent=1).replace("\n", "\n" + " " * levels)


def _space_document(space: DiskSpace) -> dict[str, Any]:
    return {**asdict(space), "full_in_days": space.full_in}


def run_document(snapshot: Snapshot) -> dict[str, Any]:
    """One run of `status --json`."""
    status, why = status_of(snapshot)
    return {
        "run": display(snapshot.run),
        "path": display(str(snapshot.path)),
        "status": str(status),
        "why": why,
        "upstream": snapshot.upstream,
        "output": str(snapshot.output) if snapshot.output else None,
        "cells": {str(cell.id): _cell_document(snapshot, cell) for cell in snapshot.cells},
        "quarantined": [_name_document(entry) for entry in snapshot.quarantined],
        "ignored": [_name_document(entry) for entry in snapshot.ignored],
        "messages": summary_document(snapshot),
    }


def _name_document(entry: QuarantinedName) -> dict[str, str]:
    return {"name": entry.name, "why": entry.why}


def _cell_document(snapshot: Snapshot, cell: Cell) -> dict[str, Any]:
    state: dict[str, Any] = {
        "stage": str(stage_of(cell)),
        "why": why_stage(cell),
        "present": cell.present,
    }
    document = {
        **state,
        "reads": None,
        "bases": None,
        "n50": None,
        "mean_q": None,
        **cell.results,
        **state,
    }
    document["completeness"] = cell.completeness.record() if cell.completeness else None
    if verdict := qc_verdict(cell):
        document["qc_verdict"] = verdict
    document["new_data"] = late_words(cell)
    document["copies"] = [asdict(copy) for copy in copy_locations(snapshot, cell)]
    if cell.progress:
        document["progress"] = asdict(cell.progress)
        if stage_of(cell) is Stage.PROCESSING and cell.progress.reads >= (document["reads"] or 0):
            # A worker that begins has counted fewer reads than the ingest before it.
            document["reads"], document["bases"] = cell.progress.reads, cell.progress.bases
    return document


def _status_rows(snapshot: Snapshot, blocked: Sequence[Attention]) -> list[StatusRow]:
    """Row of a run, and those of its cells and of its quarantined names."""
    from hesiod_watch.cli.terminal import StatusRow, human_bases

    status, why = status_of(snapshot)
    name = display(snapshot.run)
    refused = any(entry.name == name for entry in snapshot.quarantined)
    # Quarantined names have their own lines, and the lines of the cells say the rest.
    of_run = [each.sentence for each in blocked if not each.cell and "name" not in each.facts]
    reasons = "; ".join(dict.fromkeys([*of_run, *([] if snapshot.cells or of_run else [why])]))
    state = "quarantined" if refused else str(status)
    lines = [StatusRow(name, state, why=display(reasons))]
    for cell in snapshot.cells:
        stage, document = stage_of(cell), _cell_document(snapshot, cell)
        reads, mean_q = document["reads"], document["mean_q"]
        numbers = (
            f"{reads:,}" if isinstance(reads, int) else "",
            human_bases(document["bases"]),
            f"Q{mean_q:.1f}" if isinstance(mean_q, float) else "",
        )
        sentences = [each.sentence for each in blocked if each.cell == str(cell.id)]
        # For a processed cell the numbers are enough, unless something is wrong with its files.
        doubts = (
            [by_hand(cell) or unverified(cell), *(sentences or [copy_problem(cell)])]
            if stage is Stage.PROCESSED
            else sentences or [why_stage(cell)]
        )
        why = display("; ".join(filter(None, doubts)))
        lines.append(StatusRow(f"  {display(str(cell.id))}", str(stage), numbers, why))
    others = (entry for entry in snapshot.quarantined if entry.name != name)
    return lines + [
        StatusRow(f"  {entry.name}", "quarantined", why=display(entry.why)) for entry in others
    ]


def _print_status(rows: Sequence[StatusRow]) -> None:
    from hesiod_watch.cli.terminal import print_lines

    if not rows:
        print("no runs in the landing area", file=sys.stderr)
    print_lines(("RUN / CELL", "STATE", "READS", "BASES", "MEAN Q"), rows, sys.stdout)


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
        _print_runs(show_run(config, path, document) for path in paths)
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
