"""`messages`: list the messages about a run, delivered and waiting."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import datetime
from typing import Any

from hesiod_watch.cli.common import (
    config_of,
    look_at,
    now,
    open_run,
    print_wrapped,
    require_observed,
    run_path,
)
from hesiod_watch.core.errors import UsageError
from hesiod_watch.core.naming import display
from hesiod_watch.core.queued_messages import Outbox, OutboxMessage
from hesiod_watch.core.text import span_text
from hesiod_watch.rules.delivery import sentences
from hesiod_watch.runs import flags
from hesiod_watch.runs.observe import observe_site


def messages_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Lists every message with its number and, for each channel, whether it is delivered. Works"
        " without a configured channel, too."
    )
    parser.add_argument(
        "run",
        nargs="?",
        metavar="RUN",
        help="name or path of a run; default: the messages of the whole site",
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--text", action="store_true", help="print the texts, too")
    how.add_argument("--json", action="store_true", help="print a JSON document")
    parser.set_defaults(call=call_messages)


def call_messages(options: argparse.Namespace) -> int:
    config = config_of(options)
    pipeline: flags.Pipeline
    if options.run is None:
        pipeline, kinds = flags.SitePipeline(config.output), config.notify.kinds()
        snapshot = observe_site(config.output, judge=config.judge, channels=kinds)
    else:
        run = open_run(config, run_path(config, options.run))
        pipeline, snapshot = flags.Pipeline(run), look_at(config, run)
        require_observed(snapshot)
    outbox = snapshot.outbox
    if outbox is None:
        raise UsageError(f"{display(snapshot.run)}: there is no message about this run yet")
    messages = flags.read_messages(pipeline)
    if options.json:
        documents = [_message_document(message, outbox) for message in messages]
        print(
            json.dumps(
                {"run": display(snapshot.run), "ticket": outbox.ticket, "messages": documents},
                indent=1,
            )
        )
        return 0
    if options.text:
        for message in messages:
            print(
                f"{message.number}  {display(message.key)}  {message.time}"
                f"  {display(_delivery(message, outbox))}\n"
            )
            for line in (message.problem or message.text).splitlines():
                print(f"    {display(line)}")
            print()
        return 0
    from hesiod_watch.cli.terminal import print_table

    columns = [("NO", True), ("MESSAGE", False), ("AGE", True), ("DELIVERED", False)]
    rows = [
        [
            str(message.number),
            display(message.key),
            _age(message),
            display(_delivery(message, outbox)),
        ]
        for message in messages
    ]
    print_table(columns, rows, sys.stdout)
    for sentence in sentences(outbox):
        print_wrapped(f"{display(snapshot.run)}: {display(sentence)}", "  ")
    return 0


def _message_document(message: OutboxMessage, outbox: Outbox) -> dict[str, Any]:
    return {
        "number": message.number,
        "key": display(message.key),
        "event": display(message.event),
        "time": message.time,
        "channels": {
            name: {"kind": kind, "delivered": _is_delivered(message, outbox, name)}
            for name, kind in message.channels.items()
        },
        "text": message.text,
        "problem": message.problem,
    }


def _is_delivered(message: OutboxMessage, outbox: Outbox, channel: str) -> bool:
    return message.number <= outbox.delivered.get(channel, 0)


def _delivery(message: OutboxMessage, outbox: Outbox) -> str:
    """Channels that have delivered a message, and those that have not; or why it is unreadable."""
    if message.problem:
        return message.problem
    channels = []
    for name in message.channels:
        if _is_delivered(message, outbox, name):
            channels.append(name)
        else:
            channels.append(
                f"not to {name}"
                + ("" if name in outbox.channels else ", which is no longer configured")
            )
    return "; ".join(channels) or "in the run's log only"


def _age(message: OutboxMessage) -> str:
    try:
        return span_text((now() - datetime.fromisoformat(message.time)).total_seconds())
    except (ValueError, TypeError):
        return "?"
