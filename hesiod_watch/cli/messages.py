"""`messages`: what people were told about a run, or are to be told, and which of it has arrived."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import datetime
from typing import Any

from hesiod_watch.cli.common import add_run_argument, config_of, look_at, now, run_path
from hesiod_watch.core.errors import UsageError
from hesiod_watch.core.model import Outbox, OutboxMessage, Snapshot
from hesiod_watch.core.naming import display
from hesiod_watch.rules.delivery import next_attempt, sentences
from hesiod_watch.rules.explain import ago
from hesiod_watch.runs import flags


def messages_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Every message with its number, and for each channel whether it has arrived. Works the same"
        " where no channel is configured."
    )
    add_run_argument(parser)
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--text", action="store_true", help="show the texts, too")
    how.add_argument("--json", action="store_true", help="print a JSON document")
    parser.set_defaults(call=call_messages)


def summary_document(snapshot: Snapshot) -> dict[str, Any]:
    """What `status --json` says of a run's messages; `why` and `next` are null where nothing is
    wrong.
    """
    outbox = snapshot.outbox or Outbox()
    then = next_attempt(outbox, now())
    return {
        "total": outbox.last,
        "undelivered": len(outbox.waiting),
        "why": "; ".join(display(sentence) for sentence in sentences(outbox)) or None,
        "next": then.isoformat(timespec="seconds") if then else None,
    }


def call_messages(options: argparse.Namespace) -> int:
    config = config_of(options)
    snapshot = look_at(config, run_path(config, options.run))
    outbox = snapshot.outbox
    if outbox is None:
        raise UsageError(f"{display(snapshot.run)}: nobody was told anything about this run so far")
    letters = flags.read_letters(snapshot.path / "pipeline")
    if options.json:
        documents = [_letter_document(letter, outbox) for letter in letters]
        print(
            json.dumps(
                {"run": display(snapshot.run), "ticket": outbox.ticket, "messages": documents},
                indent=1,
            )
        )
        return 0
    if options.text:
        for letter in letters:
            print(
                f"{letter.number}  {display(letter.key)}  {letter.time}  {display(_where(letter, outbox))}\n"
            )
            for line in (letter.problem or letter.text).splitlines():
                print(f"    {display(line)}")
            print()
        return 0
    from hesiod_watch.cli.terminal import print_table

    columns = [("NO", True), ("MESSAGE", False), ("AGE", True), ("DELIVERED", False)]
    rows = [
        [str(each.number), display(each.key), _age(each), display(_where(each, outbox))]
        for each in letters
    ]
    print_table(columns, rows, sys.stdout)
    for sentence in sentences(outbox):
        print(f"{display(snapshot.run)}: {display(sentence)}")
    return 0


def _letter_document(letter: OutboxMessage, outbox: Outbox) -> dict[str, Any]:
    return {
        "number": letter.number,
        "key": display(letter.key),
        "event": display(letter.event),
        "time": letter.time,
        "channels": {
            name: {"kind": kind, "delivered": _arrived(letter, outbox, name)}
            for name, kind in letter.channels.items()
        },
        "text": letter.text,
        "problem": letter.problem,
    }


def _arrived(letter: OutboxMessage, outbox: Outbox, channel: str) -> bool:
    return letter.number <= outbox.delivered.get(channel, 0)


def _where(letter: OutboxMessage, outbox: Outbox) -> str:
    """Where a message has gone and where it has not."""
    if letter.problem:
        return letter.problem
    found = []
    for name in letter.channels:
        if _arrived(letter, outbox, name):
            found.append(name)
        else:
            found.append(
                f"not to {name}"
                + ("" if name in outbox.channels else ", which is not configured any more")
            )
    return "; ".join(found) or "in the run's log only"


def _age(letter: OutboxMessage) -> str:
    try:
        return ago((now() - datetime.fromisoformat(letter.time)).total_seconds())
    except (ValueError, TypeError):
        return "?"
