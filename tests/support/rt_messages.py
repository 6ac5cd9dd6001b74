"""Messages for a Request Tracker, and their form in a ticket."""

from __future__ import annotations

import secrets
from typing import Any, Literal

from rt_server import RtServer

from hesiod_watch.core.messages import Delivery, TicketRequest
from hesiod_watch.notify.rt_channel import RtChannel
from hesiod_watch.rules.rt_text import mark, run_mark

RUN = "20261101_P2_lib"
TICKET = TicketRequest(RUN, "promrun_internal", f"Run {RUN}")


def message(
    number: int = 1, kind: Literal["comment", "reply"] = "reply", text: str = ""
) -> Delivery:
    return Delivery(
        number, secrets.token_hex(16), "cell-done", kind, text or f"text of message {number}"
    )


def written(each: Delivery) -> str:
    """Text in the ticket of a message that needs no change."""
    return f"{each.text}\n\n{last_line(each)}"


def last_line(each: Delivery, run: str = RUN) -> str:
    """Line at the end of a message's text in a ticket."""
    return f"{mark(each)} {run_mark(run)}"


def channel(tracker: RtServer, url: str = "", **options: Any) -> RtChannel:
    given: dict[str, Any] = {"token": tracker.token, "timeout": 30.0} | options
    return RtChannel(url or tracker.url, **given)
