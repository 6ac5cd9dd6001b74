"""`status`: a table of runs and cells, and the list of what needs a person."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

from hesiod_watch.cli import hesiod_format
from hesiod_watch.cli.common import (
    add_run_argument,
    config_of,
    now,
    print_list,
    print_wrapped,
    run_paths,
    show_run,
    warn_about_site,
    with_accounting,
)
from hesiod_watch.core.attention import Attention
from hesiod_watch.core.model import Cell, QuarantinedName, Snapshot, Stage
from hesiod_watch.core.naming import display
from hesiod_watch.core.queued_messages import Outbox
from hesiod_watch.core.text import span_text
from hesiod_watch.rules.attention import attention, attention_of_site, oldest_first
from hesiod_watch.rules.backup_schedule import copy_locations
from hesiod_watch.rules.delivery import next_attempt, sentences
from hesiod_watch.rules.late_data import late_words
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
        print_runs(
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


def show_attention(found: Sequence[Attention], *, as_json: bool) -> int:
    """Print what needs a person, and return the exit code."""
    if as_json:
        print(json.dumps({"attention": [each.record() for each in found]}, indent=1))
    else:
        moment = now()
        for each in found:
            age = f", {span_text((moment - each.since).total_seconds())}" if each.since else ""
            print_wrapped(f"{each.subject}: {each.sentence} ({each.kind}{age})")
            print_list(map(str, each.steps))
    return 1 if found else 0


def print_runs(
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
        "messages": _messages_document(snapshot),
    }


def _messages_document(snapshot: Snapshot) -> dict[str, Any]:
    """Messages of a run in `status --json`; `why` and `next` are null if nothing is wrong."""
    outbox = snapshot.outbox or Outbox()
    then = next_attempt(outbox, now())
    return {
        "total": outbox.last,
        "undelivered": len(outbox.waiting),
        "why": "; ".join(display(sentence) for sentence in sentences(outbox)) or None,
        "next": then.isoformat(timespec="seconds") if then else None,
    }


def _name_document(entry: QuarantinedName) -> dict[str, str]:
    return {"name": entry.name, "why": entry.why}


def _cell_document(snapshot: Snapshot, cell: Cell) -> dict[str, Any]:
    state: dict[str, Any] = {
        "stage": str(stage_of(cell)),
        "why": why_stage(cell),
        "present": cell.present,
    }
    document = {**state, **_numbers(cell), **state}
    document["completeness"] = cell.completeness.record() if cell.completeness else None
    if verdict := qc_verdict(cell):
        document["qc_verdict"] = verdict
    document["new_data"] = late_words(cell)
    document["copies"] = [asdict(copy) for copy in copy_locations(snapshot, cell)]
    if cell.progress:
        document["progress"] = asdict(cell.progress)
    return document


def _numbers(cell: Cell) -> dict[str, Any]:
    """Results of a cell, or of the worker that counts more reads at present."""
    numbers: dict[str, Any] = {
        "reads": None,
        "bases": None,
        "n50": None,
        "mean_q": None,
        **cell.results,
    }
    worker = cell.progress if stage_of(cell) is Stage.PROCESSING else None
    # A worker that begins has counted fewer reads than the ingest before it.
    if worker and worker.reads >= (numbers["reads"] or 0):
        numbers.update(reads=worker.reads, bases=worker.bases)
    return numbers


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
        stage, found = stage_of(cell), _numbers(cell)
        reads, mean_q = found["reads"], found["mean_q"]
        numbers = (
            f"{reads:,}" if isinstance(reads, int) else "",
            human_bases(found["bases"]),
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
