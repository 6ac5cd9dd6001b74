"""Failing Request Tracker: no message is lost or sent twice; errors say what to do."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
from http_gate import Fate, Gate, gate
from rt_messages import TICKET, channel, message, written
from rt_server import RIGHTS, RtServer
from sites import eventually

from hesiod_watch.core.errors import PermanentError, TemporaryError
from hesiod_watch.core.messages import Delivery, DeliveryReceipt
from hesiod_watch.notify.rt_channel import PROMPT, RtChannel
from hesiod_watch.notify.rt_http import LARGEST

pytestmark = pytest.mark.system

BRIEF = 2.0
"""Seconds until the channel gives up a lost answer."""


@pytest.fixture
def before(tracker: RtServer) -> Iterator[Gate]:
    """An HTTP gate before the tracker."""
    with gate(tracker.port) as made:
        yield made


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        *((kind, how) for kind in ("create", "comment", "reply") for how in ("cut", "silence")),
        pytest.param("create", "trickle", marks=pytest.mark.slow),
    ],
)
def test_a_lost_response_duplicates_nothing(
    tracker: RtServer, before: Gate, kind: str, how: Fate
) -> None:
    """A message whose answer was lost is in the ticket once, after one retry and after two."""
    rt = channel(tracker, before.url)
    known = None if kind == "create" else rt.deliver(TICKET, None, message()).ticket
    each = message(2, "comment" if kind == "comment" else "reply")
    path = {"create": "", "comment": f"/{known}/comment", "reply": f"/{known}/correspond"}[kind]
    before.lose(f"POST /REST/2.0/ticket{path}", how)
    with pytest.raises(TemporaryError):
        channel(tracker, before.url, timeout=BRIEF).deliver(TICKET, known, each)
    assert before.requests[-1] == f"POST /REST/2.0/ticket{path}"
    delivered = [rt.deliver(TICKET, known, each) for _ in range(2)]
    (found,) = tracker.tickets()
    assert delivered == [DeliveryReceipt(found.number)] * 2
    assert [text for _, text in found.texts].count(written(each)) == 1
    assert len(found.texts) == (1 if kind == "create" else 2)


def deliver_and_thaw(
    tracker: RtServer,
    before: Gate,
    known: int | None,
    each: Delivery,
    waiting: float = 1.5 * PROMPT,
) -> DeliveryReceipt:
    """Deliver to a frozen server that wakes up after the given number of seconds."""
    asked, since = len(before.requests), time.monotonic()
    with ThreadPoolExecutor() as pool:
        again = pool.submit(channel(tracker, before.url).deliver, TICKET, known, each)
        eventually(lambda: len(before.requests) > asked, "it is asked")
        eventually(lambda: time.monotonic() > since + waiting, "it has kept us waiting")
        tracker.thaw()
        return again.result(60)


def test_frozen_before_the_first_request(tracker: RtServer, before: Gate) -> None:
    """A silent server is a temporary failure; nothing is duplicated when it wakes up."""
    each = message()
    tracker.freeze()
    with pytest.raises(TemporaryError, match="no answer in time"):
        channel(tracker, timeout=BRIEF).deliver(TICKET, None, each)
    assert deliver_and_thaw(tracker, before, None, each) == DeliveryReceipt(1)
    assert [found.texts for found in tracker.tickets()] == [(("Create", written(each)),)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tried", "waiting"),
    [(True, 0.1), (False, 1.5 * PROMPT)],
    ids=["marked as tried, wakes at once", "not marked, wakes later"],
)
@pytest.mark.parametrize("kind", ["create", "comment", "reply"])
def test_frozen_after_accepting_a_request(
    tracker: RtServer, before: Gate, kind: str, tried: bool, waiting: float
) -> None:
    """A request that RT accepted before it froze is found during the retry.

    RT executes it when it wakes up, while the channel is already trying again.
    """
    known = None if kind == "create" else channel(tracker).deliver(TICKET, None, message()).ticket
    each = message(2, "comment" if kind == "comment" else "reply")
    before.at(
        "POST /REST/2.0/ticket" if kind == "create" else f"POST /REST/2.0/ticket/{known}/co",
        tracker.freeze,
    )
    with pytest.raises(TemporaryError, match="no answer in time"):
        channel(tracker, before.url, timeout=BRIEF).deliver(TICKET, known, each)
    before.pass_on()
    assert deliver_and_thaw(
        tracker, before, known, replace(each, tried=tried), waiting
    ) == DeliveryReceipt(1)
    (found,) = tracker.tickets()
    assert [text for _, text in found.texts].count(written(each)) == 1


def test_stopped_and_started(tracker: RtServer) -> None:
    """While RT is down, delivery fails temporarily; afterwards the message arrives once."""
    rt, each = channel(tracker), message()
    tracker.down()
    with pytest.raises(TemporaryError, match="Connection refused"):
        rt.deliver(TICKET, None, each)
    tracker.up()
    assert rt.deliver(TICKET, None, each) == DeliveryReceipt(1)
    assert len(tracker.tickets()) == 1


@pytest.mark.parametrize(
    ("queue", "known", "kind", "sentence"),
    [
        (
            "nowhere",
            False,
            "reply",
            "the queue nowhere is not there, or we lack the right SeeQueue on it",
        ),
        (
            "no_rights",
            False,
            "reply",
            "the queue no_rights is not there, or we lack the right SeeQueue on it",
        ),
        ("no_opening", False, "reply", "we lack the right CreateTicket on the queue no_opening"),
        (
            "no_writing",
            True,
            "reply",
            'to take a reply to ticket #1: it refuses: "Permission Denied"',
        ),
        (
            "no_writing",
            True,
            "comment",
            'to take a comment to ticket #1: it refuses: "Permission Denied"',
        ),
        ("no_rights", True, "reply", "there is no ticket #1, or we lack the right ShowTicket"),
        ("a/../b?x#'", False, "reply", "is not there, or we lack the right SeeQueue on it"),
    ],
    ids=[
        "missing queue",
        "no right on the queue",
        "no new tickets",
        "no replies",
        "no comments",
        "no right on the ticket",
        "odd queue name",
    ],
)
def test_missing_rights(
    tracker: RtServer, queue: str, known: bool, kind: Literal["comment", "reply"], sentence: str
) -> None:
    """A missing right needs a person and is named; nothing is opened or written."""
    number = (
        tracker.person.create_ticket(queue, subject=TICKET.subject, content="x") if known else None
    )
    was = tracker.tickets()
    with pytest.raises(PermanentError) as caught:
        channel(tracker).deliver(replace(TICKET, queue=queue), number, message(1, kind))
    assert sentence in str(caught.value)
    assert tracker.tickets() == was


def test_comments_that_we_cannot_see(tracker: RtServer) -> None:
    """If comments cannot be read, a note says that a lost answer would duplicate one."""
    rt, ticket = channel(tracker), replace(TICKET, queue="no_comments")
    number = rt.deliver(ticket, None, message()).ticket
    assert (
        "give hesiod-watch the right ShowTicketComments"
        in rt.deliver(ticket, number, message(2, "comment")).note
    )
    assert rt.deliver(ticket, number, message(3, "reply")).note == ""


@pytest.mark.parametrize("people", [(), ("lab@x.invalid",)], ids=["no requestor", "a requestor"])
def test_tickets_that_we_cannot_see(tracker: RtServer, people: tuple[str, ...]) -> None:
    """Without the right to see tickets, the message is in the new ticket, and a note says why."""
    each = message(1, "comment")
    delivered = channel(tracker).deliver(
        replace(TICKET, queue="no_seeing", requestors=people), None, each
    )
    assert "give hesiod-watch the right ShowTicket" in delivered.note
    (found,) = tracker.tickets()
    assert found.number == delivered.ticket
    assert written(each) in [text for _, text in found.texts]


def test_an_edit_that_we_may_not_make(tracker: RtServer) -> None:
    """Without ModifyTicket the messages arrive, and `keep` reports what it could not change."""
    rt, ticket = channel(tracker), replace(TICKET, queue="no_modifying")
    number = rt.deliver(ticket, None, message()).ticket
    assert number is not None
    assert "does hesiod-watch have the right ModifyTicket?" in rt.keep(
        replace(ticket, subject="new"), number
    )


@pytest.mark.parametrize(
    ("status", "body", "error", "sentence"),
    [
        (500, b"", TemporaryError, "it fails (500)"),
        (502, b"<html>bad gateway</html>", TemporaryError, "it fails (502)"),
        (503, b"", TemporaryError, "it fails (503)"),
        (429, b"", TemporaryError, "it fails (429)"),
        pytest.param(
            200,
            b"<html>maintenance</html>",
            TemporaryError,
            "not an RT response (proxy or maintenance page?)",
            id="200, page",
        ),
        pytest.param(
            200,
            b"",
            TemporaryError,
            "not an RT response (proxy or maintenance page?)",
            id="200, empty",
        ),
        pytest.param(200, b"\xff\xfe", TemporaryError, "not an RT response", id="200, not UTF-8"),
        pytest.param(
            200,
            b"{}",
            TemporaryError,
            "not an RT response (proxy or maintenance page?)",
            id="200, no fields",
        ),
        pytest.param(
            200,
            b"[]",
            TemporaryError,
            "not an RT response (proxy or maintenance page?)",
            id="200, list",
        ),
        pytest.param(
            200,
            b"null",
            TemporaryError,
            "not an RT response (proxy or maintenance page?)",
            id="200, null",
        ),
        pytest.param(
            200,
            b'{"items": [7], "count": 1, "pages": 1, "page": 1}',
            TemporaryError,
            "not an RT response (proxy or maintenance page?)",
            id="200, number as item",
        ),
        (301, b"", PermanentError, "it redirects us (301); check the url"),
        (401, b"", PermanentError, "it refuses our credentials (401)"),
        (404, b"", PermanentError, "nothing is there (404); check the url"),
        pytest.param(
            403,
            b'{"message":"For\x1b[31mbidden"}',
            PermanentError,
            "it refuses (403)",
            id="403, control characters",
        ),
        (407, b"", PermanentError, "the proxy wants to know who we are"),
        (400, b'{"message":"no"}', PermanentError, 'it refuses: "no"'),
    ],
)
def test_answers_that_are_not_from_rt(
    tracker: RtServer, before: Gate, status: int, body: bytes, error: type[Exception], sentence: str
) -> None:
    """Every answer that is not from RT becomes an error with a sentence.

    The error is temporary or needs a person; no message is lost or sent twice.
    """
    before.answer(status, body)
    rt, each = channel(tracker, before.url), message()
    with pytest.raises(error) as caught:
        rt.deliver(TICKET, None, each)
    assert type(caught.value) is error
    assert sentence in str(caught.value)
    assert str(caught.value).isprintable()
    before.pass_on()
    assert rt.deliver(TICKET, None, each) == DeliveryReceipt(1)
    assert len(tracker.tickets()) == 1


@pytest.mark.parametrize(
    "request_", ["POST /REST/2.0/ticket/1/attachments", "GET /REST/2.0/tickets"]
)
def test_a_search_that_is_not_there(tracker: RtServer, before: Gate, request_: str) -> None:
    """A search that does not exist is not an empty result: the message is not sent.

    Otherwise it might be sent twice.
    """
    each = message()
    channel(tracker).deliver(TICKET, None, each)
    before.answer(404, request=request_)
    with pytest.raises(PermanentError, match="nothing is there"):
        channel(tracker, before.url).deliver(TICKET, None, each)
    assert [len(found.texts) for found in tracker.tickets()] == [1]


def test_an_answer_without_an_end(before: Gate) -> None:
    """Reading stops at the largest size that an answer of RT can have."""
    before.answer(200, b" " * (LARGEST + 1))
    with pytest.raises(TemporaryError, match="no answer in time"):
        RtChannel(before.url, token="x", timeout=60).deliver(TICKET, None, message())


def test_a_text_too_long_for_the_web_server(tracker: RtServer, before: Gate) -> None:
    """A web server that refuses the size of a message needs a person; the error says so."""
    before.answer(413, request="POST /REST/2.0/ticket")
    with pytest.raises(PermanentError, match="too long for the server before RT"):
        channel(tracker, before.url).deliver(TICKET, None, message())


def test_documented_rights() -> None:
    """The documentation asks for exactly the rights that these tests use."""
    text = (Path(__file__).parents[2] / "docs" / "messages.md").read_text("utf-8")
    table = text.partition("| right | for |\n")[2].partition("\n\n")[0]
    assert set(re.findall("`([A-Za-z]+)`", table)) == set(RIGHTS)
