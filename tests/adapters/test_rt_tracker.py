"""Tickets of a real Request Tracker: each message once, in the right ticket, whatever is lost on the way."""

from __future__ import annotations

import logging
import re
import secrets
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
from http_gate import Fate, Gate, gate, make_certificate
from rt_server import PASSWORD, QUEUES, RIGHTS, USER, RtServer
from sites import eventually

from hesiod_watch.channels import Delivered, Message, Ticket
from hesiod_watch.channels.rt_http import LARGEST
from hesiod_watch.channels.rt_tracker import PROMPT, RtChannel
from hesiod_watch.channels.rt_words import mark
from hesiod_watch.errors import PermanentError, TemporaryError

pytestmark = pytest.mark.system

RUN = "20261101_P2_lib"
TICKET = Ticket(RUN, "promrun_internal", f"Run {RUN}")
BRIEF = 2.0
"""Seconds until a lost answer is given up."""
KINDS: dict[Literal["comment", "reply"], str] = {"comment": "Comment", "reply": "Correspond"}


def message(number: int = 1, kind: Literal["comment", "reply"] = "reply", text: str = "") -> Message:
    return Message(number, secrets.token_hex(16), "cell-done", kind, text or f"text of message {number}")


def written(each: Message) -> str:
    """How a message whose text needs no change stands in its ticket."""
    return f"{each.text}\n\n{mark(each)}"


def channel(tracker: RtServer, url: str = "", **options: Any) -> RtChannel:
    given: dict[str, Any] = {"token": tracker.token, "timeout": 30.0} | options
    return RtChannel(url or tracker.url, **given)


@pytest.fixture
def before(tracker: RtServer) -> Iterator[Gate]:
    """A gate before the tracker."""
    with gate(tracker.port) as made:
        yield made


def test_life_of_a_ticket(tracker: RtServer) -> None:
    """The first message opens the ticket, the others follow in it in order, and its subject and status are kept."""
    rt = channel(tracker)
    ticket = replace(TICKET, requestors=("lab@x.invalid", "pi@x.invalid"), cc=("desk@x.invalid",))
    first, second, third = message(1), message(2, "comment"), message(3)
    opened = rt.deliver(ticket, None, first)
    assert opened == Delivered(opened.ticket)
    assert opened.ticket is not None
    assert [rt.deliver(ticket, opened.ticket, each) for each in (second, third)] == [opened, opened]
    assert rt.keep(replace(ticket, subject=f"Run {RUN}: complete", status="resolved"), opened.ticket) == ""
    (found,) = tracker.tickets()
    assert (found.number, found.queue) == (opened.ticket, "promrun_internal")
    assert (found.subject, found.status) == (f"Run {RUN}: complete", "resolved")
    assert found.texts == (("Create", written(first)), ("Comment", written(second)), ("Correspond", written(third)))
    assert tracker.people(found.number) == {
        "Requestor": {"lab@x.invalid", "pi@x.invalid"},
        "Cc": {"desk@x.invalid"},
    }


def test_again_adds_nothing(tracker: RtServer) -> None:
    """Delivering what is delivered, with the ticket's number or without, and keeping what is kept, changes nothing."""
    rt = channel(tracker)
    messages = [message(1), message(2, "comment"), message(3)]
    number = rt.deliver(TICKET, None, messages[0]).ticket
    assert number is not None
    for each in messages[1:]:
        rt.deliver(TICKET, number, each)
    kept = replace(TICKET, status="open")
    rt.keep(kept, number)
    was = tracker.tickets(), len(tracker.person.get_ticket_history(number)), tracker.mails()
    for known in (None, number):
        for each in messages:
            assert rt.deliver(TICKET, known, each).ticket == number
    assert rt.keep(kept, number) == ""
    assert (tracker.tickets(), len(tracker.person.get_ticket_history(number)), tracker.mails()) == was


def test_mail_goes_out_once(tracker: RtServer) -> None:
    """A reply goes to the requestors by mail; a comment, and a message given twice, do not."""
    rt = channel(tracker)
    ticket = replace(TICKET, requestors=("lab@x.invalid",))
    number = rt.deliver(ticket, None, message(1)).ticket
    comment, reply = message(2, "comment", "between us"), message(3, "reply", "for all")
    for each in (comment, reply, reply):
        rt.deliver(ticket, number, each)
    eventually(lambda: any("for all" in mail for mail in tracker.mails()), "the reply is mailed")
    to_lab = [mail for mail in tracker.mails() if "lab@x.invalid" in mail]
    assert [mail.count(reply.token) > 0 for mail in to_lab].count(True) == 1
    assert not any("between us" in mail for mail in to_lab)


def test_a_comment_opens_nothing_that_others_read(tracker: RtServer) -> None:
    """A comment that comes first stays a comment where the ticket has requestors, and opens the ticket where not."""
    comment = message(1, "comment", "the sample was bad")
    channel(tracker).deliver(replace(TICKET, requestors=("lab@x.invalid",)), None, comment)
    channel(tracker).deliver(replace(TICKET, subject="another"), None, comment)
    with_people, without = tracker.tickets()
    assert with_people.texts == (("Create", f"About the run {RUN}."), ("Comment", written(comment)))
    assert without.texts == (("Create", written(comment)),)
    assert not any("the sample was bad" in mail for mail in tracker.mails())


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("run_1", "run_10"),
        ("run", "run "),
        ("run", "xrun"),
        ("run_1", "runx1"),
        ("run%", "run-A"),
        ("run", "RUN"),
        ("it's", 'it"s'),
        ("back\\slash", "back\\\\slash"),
        ("zzz' OR Subject LIKE 'run", "run"),
        ("zzz\\' OR Subject LIKE \\'run", "run"),
        ("a\nb", "ab"),
        ("a\nb", "a b"),
        ("a\tb", "a b"),
        ("x" * 300, "x" * 301),
        ("ü" * 150, "ü" * 151),
        ("caf\u00e9", "cafe\u0301"),
        ("\u202egnip", "gnip"),
        ("Subject: x\r\nBcc: all@x.invalid", "Subject: x"),
        ("{$Ticket->id} <b>", "$x"),
        ("\ud800", "?"),
        ("", " "),
        ("[rt.test.invalid #1] run", "run"),
    ],
)
def test_subjects_never_meet(tracker: RtServer, first: str, second: str) -> None:
    """Two runs whose subjects are alike, or odd, have a ticket each, and each is found again by its subject."""
    rt = channel(tracker)
    messages = [message(1), message(1)]
    opened = [
        rt.deliver(replace(TICKET, subject=subject), None, each)
        for subject, each in zip((first, second), messages, strict=True)
    ]
    again = [
        rt.deliver(replace(TICKET, subject=subject), None, each)
        for subject, each in zip((first, second), messages, strict=True)
    ]
    assert again == opened == [Delivered(1), Delivered(2)]
    assert [found.texts for found in tracker.tickets()] == [(("Create", written(each)),) for each in messages]


def test_another_queue_is_another_ticket(tracker: RtServer) -> None:
    """A ticket of the same subject in another queue is not the run's."""
    for queue in ("promrun_internal", "promrun_visitor"):
        channel(tracker).deliver(replace(TICKET, queue=queue), None, message())
    assert [found.queue for found in tracker.tickets()] == ["promrun_internal", "promrun_visitor"]


@pytest.mark.parametrize("queue", [name for name in QUEUES if not name.isidentifier()])
def test_odd_names_of_queues(tracker: RtServer, queue: str) -> None:
    """A queue whose name would mean something in a URL is the queue of this name."""
    rt, each = channel(tracker, queues=(queue,)), message()
    assert rt.check()[0] is True
    assert [rt.deliver(replace(TICKET, queue=queue), None, each) for _ in range(2)] == [Delivered(1)] * 2
    assert [found.queue for found in tracker.tickets()] == [queue]
    assert rt.check()[0] is True


def test_first_of_several(tracker: RtServer) -> None:
    """Of several tickets with the subject the first counts that is neither deleted nor rejected; a note tells of it."""
    made = [tracker.person.create_ticket(TICKET.queue, subject=TICKET.subject, content=str(each)) for each in range(4)]
    tracker.person.delete_ticket(made[0])
    tracker.person.edit_ticket(made[1], Status="rejected")
    delivered = channel(tracker).deliver(TICKET, None, message())
    assert delivered == Delivered(made[2], f"ticket #{made[2]} is used; of the same subject are #{made[3]}")
    assert [len(tracker.ticket(number).texts) for number in made] == [1, 1, 2, 1]


@pytest.mark.parametrize(
    ("text", "stands"),
    [
        ("Grüße, 日本 🧬 e\u0301", "Grüße, 日本 🧬 e\u0301"),
        ("a\r\nb\rc", "a\nb\nc"),
        (".\nFrom me\n-- \n> quoted\n", ".\nFrom me\n-- \n> quoted"),
        ("<b>=1+1</b>,&amp;\t{$x}", "<b>=1+1</b>,&amp;\t{$x}"),
        ("a\0b\x1b[31mred\x7f\u202eback", "a\\x00b\\x1b[31mred\\x7f\\u202eback"),
        ("half \ud83e, no character \uffff", "half \\ud83e, no character \\uffff"),
        ("", ""),
        ("0", "0"),
        (" \n\n", ""),
        ("% _ \\ ' [hesiod-watch 1 x]", "% _ \\ ' [hesiod-watch 1 x]"),
    ],
)
@pytest.mark.parametrize("number", [1, 2])
def test_any_text(tracker: RtServer, text: str, stands: str, number: int) -> None:
    """What a message holds arrives as it is, but for what would steer a terminal, and is found again."""
    rt = channel(tracker)
    known = rt.deliver(TICKET, None, message()).ticket if number > 1 else None
    each = Message(number, secrets.token_hex(16), "cell-done", "reply", text)
    assert [rt.deliver(TICKET, known, each).note for _ in range(2)] == ["", ""]
    (found,) = tracker.tickets()
    assert len(found.texts) == number
    assert found.texts[-1][1] == (f"{stands}\n\n{mark(each)}" if stands else mark(each))


def test_a_very_long_text(tracker: RtServer) -> None:
    """A text of a million characters arrives whole; of a longer one both ends do, and it says what is missing."""
    rt = channel(tracker)
    whole, longer = message(1, text="ü" * 999_999 + "."), message(2, text="a" + "b" * 1_999_998 + "c")
    number = rt.deliver(TICKET, None, whole).ticket
    for _ in range(2):
        assert rt.deliver(TICKET, number, longer) == Delivered(number)
    (found,) = tracker.tickets()
    assert found.texts[0][1] == written(whole)
    shortened = found.texts[1][1]
    assert len(shortened) < 1_000_200
    assert shortened.startswith("ab")
    assert shortened.endswith(f"bc\n\n{mark(longer)}")
    assert "[… 1000000 characters left out …]" in shortened


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        *((kind, how) for kind in ("create", "comment", "reply") for how in ("cut", "silence")),
        pytest.param("create", "trickle", marks=pytest.mark.slow),
    ],
)
def test_a_lost_answer_doubles_nothing(tracker: RtServer, before: Gate, kind: str, how: Fate) -> None:
    """A message whose answer was lost is there once after it was tried again, and again."""
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
    assert delivered == [Delivered(found.number)] * 2
    assert [text for _, text in found.texts].count(written(each)) == 1
    assert len(found.texts) == (1 if kind == "create" else 2)


def deliver_and_thaw(
    tracker: RtServer, before: Gate, known: int | None, each: Message, waiting: float = 1.5 * PROMPT
) -> Delivered:
    """Deliver to a server that is frozen, and that wakes up when it has kept us waiting for so long."""
    asked, since = len(before.requests), time.monotonic()
    with ThreadPoolExecutor() as pool:
        again = pool.submit(channel(tracker, before.url).deliver, TICKET, known, each)
        eventually(lambda: len(before.requests) > asked, "it is asked")
        eventually(lambda: time.monotonic() > since + waiting, "it has kept us waiting")
        tracker.thaw()
        return again.result(60)


def test_frozen_before_anything(tracker: RtServer, before: Gate) -> None:
    """A server that answers nothing is temporary, and nothing is doubled when it wakes up."""
    each = message()
    tracker.freeze()
    with pytest.raises(TemporaryError, match="no answer in time"):
        channel(tracker, timeout=BRIEF).deliver(TICKET, None, each)
    assert deliver_and_thaw(tracker, before, None, each) == Delivered(1)
    assert [found.texts for found in tracker.tickets()] == [(("Create", written(each)),)]


@pytest.mark.slow
@pytest.mark.parametrize(("tried", "waiting"), [(True, 0.1), (False, 1.5 * PROMPT)])
@pytest.mark.parametrize("kind", ["create", "comment", "reply"])
def test_frozen_with_an_order(tracker: RtServer, before: Gate, kind: str, tried: bool, waiting: float) -> None:
    """An order that RT has taken before it froze, and follows when it wakes up while we ask again, is found then."""
    known = None if kind == "create" else channel(tracker).deliver(TICKET, None, message()).ticket
    each = message(2, "comment" if kind == "comment" else "reply")
    before.at("POST /REST/2.0/ticket" if kind == "create" else f"POST /REST/2.0/ticket/{known}/co", tracker.freeze)
    with pytest.raises(TemporaryError, match="no answer in time"):
        channel(tracker, before.url, timeout=BRIEF).deliver(TICKET, known, each)
    before.pass_on()
    assert deliver_and_thaw(tracker, before, known, replace(each, tried=tried), waiting) == Delivered(1)
    (found,) = tracker.tickets()
    assert [text for _, text in found.texts].count(written(each)) == 1


def test_addresses_that_rt_does_not_take(tracker: RtServer) -> None:
    """Where RT takes fewer people than it was given, such as two addresses of one user, a note says so."""
    tracker.person.create_user("lab@x.invalid", "pi@x.invalid")
    ticket = replace(TICKET, requestors=("lab@x.invalid", "pi@x.invalid"))
    delivered = channel(tracker).deliver(ticket, None, message())
    assert delivered == Delivered(1, "Request Tracker did not take all of: lab@x.invalid, pi@x.invalid")
    assert tracker.people(1)["Requestor"] == {"lab@x.invalid"}


def test_two_who_open_at_once(tracker: RtServer) -> None:
    """Without anybody who keeps them apart, several that open the same run's ticket at once agree on one ticket."""
    messages = [message(1, "comment") for _ in range(4)]
    start = threading.Barrier(len(messages))

    def deliver(each: Message) -> Delivered:
        start.wait(30)
        return channel(tracker).deliver(TICKET, None, each)

    with ThreadPoolExecutor() as pool:
        delivered = list(pool.map(deliver, messages))
    living = [found for found in tracker.tickets() if found.status != "rejected"]
    assert {each.ticket for each in delivered} == {found.number for found in living}
    assert len(living) == 1
    assert sorted(text for _, text in living[0].texts) == sorted(map(written, messages))


def test_stopped_and_started(tracker: RtServer) -> None:
    """While RT is down a message is refused as temporary; afterwards it is delivered, and once."""
    rt, each = channel(tracker), message()
    tracker.down()
    with pytest.raises(TemporaryError, match="Connection refused"):
        rt.deliver(TICKET, None, each)
    tracker.up()
    assert rt.deliver(TICKET, None, each) == Delivered(1)
    assert len(tracker.tickets()) == 1


def test_resolved_by_a_person(tracker: RtServer) -> None:
    """A ticket that a person closed is commented on and stays closed, whatever status is wanted; a reply opens it."""
    rt = channel(tracker)
    number = rt.deliver(TICKET, None, message()).ticket
    assert number is not None
    tracker.person.edit_ticket(number, Status="resolved")
    assert rt.deliver(TICKET, number, message(2, "comment")) == Delivered(number)
    assert rt.keep(replace(TICKET, status="open"), number) == "root has made it resolved, which is left so"
    assert tracker.ticket(number).status == "resolved"
    assert rt.deliver(TICKET, number, message(3, "reply")) == Delivered(number)
    assert tracker.ticket(number).status == "open"


def test_resolved_by_us(tracker: RtServer) -> None:
    """A ticket that we closed ourselves is opened again when that is wanted, but not once a person has closed it."""
    rt = channel(tracker)
    number = rt.deliver(TICKET, None, message()).ticket
    assert number is not None
    for status in ("resolved", "open", "Resolved"):
        assert rt.keep(replace(TICKET, status=status), number) == ""
        assert tracker.ticket(number).status == status.lower()
    for status in ("open", "resolved"):
        tracker.person.edit_ticket(number, Status=status)
    assert rt.keep(replace(TICKET, status="open"), number) == "root has made it resolved, which is left so"


def test_a_status_that_is_none(tracker: RtServer) -> None:
    """A status that RT does not know is told, though RT does not tell; the subject is kept nevertheless."""
    rt = channel(tracker)
    number = rt.deliver(TICKET, None, message()).ticket
    assert number is not None
    told = rt.keep(replace(TICKET, subject="new", status="nonsense"), number)
    assert "status stays new, and does not become nonsense" in told
    assert tracker.ticket(number).subject == "new"


@pytest.mark.parametrize("kind", ["comment", "reply"])
def test_deleted_by_a_person(tracker: RtServer, kind: Literal["comment", "reply"]) -> None:
    """A deleted ticket is neither written to nor replaced, until a person takes its number away."""
    rt = channel(tracker)
    number = rt.deliver(TICKET, None, message()).ticket
    assert number is not None
    tracker.person.delete_ticket(number)
    each = message(2, kind)
    for attempt in (lambda: rt.deliver(TICKET, number, each), lambda: rt.keep(TICKET, number)):
        with pytest.raises(
            PermanentError, match=r"#1 .* was deleted; restore it, or remove the run's pipeline/rt_ticket"
        ):
            attempt()
    assert [(found.status, len(found.texts)) for found in tracker.tickets()] == [("deleted", 1)]
    assert rt.deliver(TICKET, None, each) == Delivered(number + 1)
    assert [(found.status, len(found.texts)) for found in tracker.tickets()] == [("deleted", 1), ("new", 1)]


def test_a_number_that_is_none(tracker: RtServer) -> None:
    """A ticket that is not there is no reason to open another, and no other ticket's texts are taken for its own."""
    rt, each = channel(tracker), message()
    rt.deliver(TICKET, None, each)
    with pytest.raises(PermanentError, match="there is no ticket #77"):
        rt.deliver(TICKET, 77, each)
    assert len(tracker.tickets()) == 1


def test_merged_by_a_person(tracker: RtServer) -> None:
    """Messages follow a ticket that was merged into another, whose subject and status are left alone."""
    rt = channel(tracker)
    number = rt.deliver(TICKET, None, message()).ticket
    assert number is not None
    other = tracker.person.create_ticket("promrun_visitor", subject="all of May", content="hello")
    tracker.person.edit_ticket(number, MergeInto=other)
    each = message(2, "comment")
    note = f"ticket #{number} was merged into #{other}"
    assert [rt.deliver(TICKET, number, each) for _ in range(2)] == [Delivered(number, note)] * 2
    kept = rt.keep(replace(TICKET, subject="Run 1", status="resolved"), number)
    assert kept == f"{note}, whose subject and status are left alone"
    (found,) = tracker.tickets()
    assert (found.number, found.subject, found.status) == (other, "all of May", "new")
    assert [text for _, text in found.texts].count(written(each)) == 1


def test_addresses_that_are_none(tracker: RtServer) -> None:
    """An address that RT would drop is left out, and a note says which; the others are on the ticket, once."""
    ticket = replace(
        TICKET,
        requestors=(
            "müller@x.invalid",
            "good@x.invalid",
            "GOOD@x.invalid",
            "a@b, c@d.invalid",
            "x" * 120 + "@y.invalid",
        ),
        cc=("no address", "cc@x.invalid\nBcc: z@x.invalid", "<script>@x.invalid"),
    )
    delivered = channel(tracker).deliver(ticket, None, message())
    assert delivered.ticket == 1
    for wrong in ("müller@x.invalid", "a@b, c@d.invalid", "no address", "cc@x.invalid\\nBcc: z@x.invalid"):
        assert f"the address {wrong} is none that Request Tracker takes" in delivered.note
    assert "good@x.invalid is" not in delivered.note
    assert tracker.people(1) == {"Requestor": {"good@x.invalid"}, "Cc": set()}


@pytest.mark.parametrize(
    ("queue", "known", "kind", "sentence"),
    [
        ("nowhere", False, "reply", "the queue nowhere is not there, or we lack the right SeeQueue on it"),
        ("no_rights", False, "reply", "the queue no_rights is not there, or we lack the right SeeQueue on it"),
        ("no_opening", False, "reply", "we lack the right CreateTicket on the queue no_opening"),
        ("no_writing", True, "reply", 'to take a reply to ticket #1: it refuses: "Permission Denied"'),
        ("no_writing", True, "comment", 'to take a comment to ticket #1: it refuses: "Permission Denied"'),
        ("no_rights", True, "reply", "there is no ticket #1, or we lack the right ShowTicket"),
        ("a/../b?x#'", False, "reply", "is not there, or we lack the right SeeQueue on it"),
    ],
)
def test_what_we_may_not_do(
    tracker: RtServer, queue: str, known: bool, kind: Literal["comment", "reply"], sentence: str
) -> None:
    """A right that is missing needs a person, who is told which; nothing is opened or written."""
    number = tracker.person.create_ticket(queue, subject=TICKET.subject, content="x") if known else None
    was = tracker.tickets()
    with pytest.raises(PermanentError) as caught:
        channel(tracker).deliver(replace(TICKET, queue=queue), number, message(1, kind))
    assert sentence in str(caught.value)
    assert tracker.tickets() == was


def test_comments_that_we_cannot_see(tracker: RtServer) -> None:
    """Where we may not read comments, a note says that a lost answer would double one."""
    rt, ticket = channel(tracker), replace(TICKET, queue="no_comments")
    number = rt.deliver(ticket, None, message()).ticket
    assert "give us the right ShowTicketComments" in rt.deliver(ticket, number, message(2, "comment")).note
    assert rt.deliver(ticket, number, message(3, "reply")).note == ""


@pytest.mark.parametrize("people", [(), ("lab@x.invalid",)])
def test_tickets_that_we_cannot_see(tracker: RtServer, people: tuple[str, ...]) -> None:
    """Where we may open tickets but not see them, the message is in the one that we opened, and a note says why."""
    each = message(1, "comment")
    delivered = channel(tracker).deliver(replace(TICKET, queue="no_seeing", requestors=people), None, each)
    assert "give us the right ShowTicket" in delivered.note
    (found,) = tracker.tickets()
    assert found.number == delivered.ticket
    assert written(each) in [text for _, text in found.texts]


def test_an_edit_that_we_may_not_make(tracker: RtServer) -> None:
    """Without ModifyTicket the messages arrive, and keeping says what it could not do."""
    rt, ticket = channel(tracker), replace(TICKET, queue="no_modifying")
    number = rt.deliver(ticket, None, message()).ticket
    assert number is not None
    assert "have we the right ModifyTicket?" in rt.keep(replace(ticket, subject="new"), number)


@pytest.mark.parametrize(
    ("status", "body", "error", "sentence"),
    [
        (500, b"", TemporaryError, "it fails (500)"),
        (502, b"<html>bad gateway</html>", TemporaryError, "it fails (502)"),
        (503, b"", TemporaryError, "it fails (503)"),
        (429, b"", TemporaryError, "it fails (429)"),
        (200, b"<html>maintenance</html>", TemporaryError, "the answer is none of RT's"),
        (200, b"", TemporaryError, "the answer is none of RT's"),
        (200, b"\xff\xfe", TemporaryError, "the answer is"),
        (200, b"{}", TemporaryError, "the answer is none of RT's"),
        (200, b"[]", TemporaryError, "the answer is none of RT's"),
        (200, b"null", TemporaryError, "the answer is none of RT's"),
        (200, b'{"items": [7], "count": 1, "pages": 1, "page": 1}', TemporaryError, "the answer is none of RT's"),
        (301, b"", PermanentError, "it sends us elsewhere (301); check the url"),
        (401, b"", PermanentError, "it refuses our credentials (401)"),
        (404, b"", PermanentError, "nothing is there (404); check the url"),
        (403, b'{"message":"For\x1b[31mbidden"}', PermanentError, "it refuses (403)"),
        (407, b"", PermanentError, "the proxy wants to know who we are"),
        (400, b'{"message":"no"}', PermanentError, 'it refuses: "no"'),
    ],
)
def test_what_else_may_answer(
    tracker: RtServer, before: Gate, status: int, body: bytes, error: type[Exception], sentence: str
) -> None:
    """Whatever answers instead of RT is temporary or needs a person, in a sentence; nothing is lost or doubled."""
    before.answer(status, body)
    rt, each = channel(tracker, before.url), message()
    with pytest.raises(error) as caught:
        rt.deliver(TICKET, None, each)
    assert type(caught.value) is error
    assert sentence in str(caught.value)
    assert str(caught.value).isprintable()
    before.pass_on()
    assert rt.deliver(TICKET, None, each) == Delivered(1)
    assert len(tracker.tickets()) == 1


@pytest.mark.parametrize("request_", ["POST /REST/2.0/ticket/1/attachments", "GET /REST/2.0/tickets"])
def test_a_search_that_is_not_there(tracker: RtServer, before: Gate, request_: str) -> None:
    """That a search does not exist is not taken for finding nothing: nothing is sent for fear of sending it again."""
    each = message()
    channel(tracker).deliver(TICKET, None, each)
    before.answer(404, request=request_)
    with pytest.raises(PermanentError, match="nothing is there"):
        channel(tracker, before.url).deliver(TICKET, None, each)
    assert [len(found.texts) for found in tracker.tickets()] == [1]


def test_an_answer_without_an_end(before: Gate) -> None:
    """Of an answer that is larger than any of RT's only so much is read."""
    before.answer(200, b" " * (LARGEST + 1))
    with pytest.raises(TemporaryError, match="no answer in time"):
        RtChannel(before.url, token="x", timeout=60).deliver(TICKET, None, message())


def test_a_text_too_long_for_what_stands_before(tracker: RtServer, before: Gate) -> None:
    """A web server that refuses the size of a message needs a person, who is told so."""
    before.answer(413, request="POST /REST/2.0/ticket")
    with pytest.raises(PermanentError, match="too long for what stands before RT"):
        channel(tracker, before.url).deliver(TICKET, None, message())


@pytest.mark.parametrize("options", [{"token": "1-2-nonsense"}, {"token": "", "user": USER, "password": "wrong"}])
def test_wrong_credentials(tracker: RtServer, options: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    """Credentials that RT refuses need a person; they are in no error text and in no log, however much is logged."""
    caplog.set_level(logging.DEBUG)
    with pytest.raises(PermanentError, match="refuses our credentials"):
        channel(tracker, **options).deliver(TICKET, None, message())
    assert not any(secret in caplog.text for secret in options.values() if secret not in ("", USER))


def test_user_and_password(tracker: RtServer, caplog: pytest.LogCaptureFixture) -> None:
    """User and password do as well as a token, and neither is logged, however much is."""
    caplog.set_level(logging.DEBUG)
    rt = channel(tracker, token="", user=USER, password=PASSWORD)
    assert rt.deliver(TICKET, None, message()) == Delivered(1)
    assert channel(tracker).check()[0]
    assert "REST/2.0/ticket" in caplog.text
    assert PASSWORD not in caplog.text
    assert tracker.token not in caplog.text
    assert PASSWORD not in repr(rt)


def test_a_name_that_is_none() -> None:
    """A host that no name server knows is temporary: name servers fail like anything else."""
    with pytest.raises(TemporaryError, match="the connection fails"):
        RtChannel("https://rt.invalid/", token="x").deliver(TICKET, None, message())


@pytest.mark.parametrize(
    "url",
    ["", "rt.x.invalid", "ftp://x/", "http://", "http://x:99999/", "http://x y/", "http://x/?token=1", "http://[1/"],
)
def test_urls_that_are_none(url: str) -> None:
    """What is no URL of a web service needs a person, who is shown one."""
    with pytest.raises(PermanentError, match=r"should be like https://rt\.example\.org/REST/2\.0/"):
        RtChannel(url, token="x").deliver(TICKET, None, message())


def test_no_secrets_in_the_url() -> None:
    """A URL with a password in it is refused, and not repeated."""
    with pytest.raises(PermanentError, match="belong into the credentials") as caught:
        RtChannel("https://me:secret@x.invalid/", token="x").deliver(TICKET, None, message())
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["{root}/", "{root}", "{root}/REST/2.0", "{root}/REST/2.0/"])
def test_spellings_of_the_url(tracker: RtServer, url: str) -> None:
    """The URL may be RT's own or that of REST 2, with a slash at its end or without."""
    root = f"http://127.0.0.1:{tracker.port}"
    assert channel(tracker, url.format(root=root)).deliver(TICKET, None, message()) == Delivered(1)


def test_tls(tracker: RtServer, tmp_path: Path) -> None:
    """RT behind TLS is spoken to if its certificate is vouched for by the CA bundle, and by no other means."""
    good, wrong = (make_certificate(tmp_path / name) for name in ("good.pem", "wrong.pem"))
    with gate(tracker.port, good) as before:
        assert channel(tracker, before.url, ca_bundle=good).deliver(TICKET, None, message()) == Delivered(1)
        for bundle in (wrong, None):
            with pytest.raises(PermanentError, match=r"certificate is not trusted: .*; renew it, or set ca_bundle"):
                channel(tracker, before.url, ca_bundle=bundle).deliver(TICKET, None, message())
        elsewhere = before.url.replace("127.0.0.1", "localhost")
        with pytest.raises(PermanentError, match="certificate is not trusted: Hostname mismatch"):
            channel(tracker, elsewhere, ca_bundle=good).deliver(TICKET, None, message())
    assert len(tracker.tickets()) == 1


def test_certificates_from_the_environment(tracker: RtServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate is not trusted because a variable of the environment says so."""
    certificate = make_certificate(tmp_path / "good.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with (
        gate(tracker.port, certificate) as before,
        pytest.raises(PermanentError, match="certificate is not trusted"),
    ):
        channel(tracker, before.url).deliver(TICKET, None, message())


@pytest.mark.parametrize(("content", "reason"), [(None, "No such file"), (b"none", "holds no certificate")])
def test_ca_bundles_that_are_none(tracker: RtServer, tmp_path: Path, content: bytes | None, reason: str) -> None:
    """A CA bundle that cannot be used is named, with the reason."""
    bundle = tmp_path / "bundle.pem"
    if content is not None:
        bundle.write_bytes(content)
    with pytest.raises(PermanentError, match=rf"bundle\.pem: the CA bundle for Request Tracker .*{reason}"):
        channel(tracker, ca_bundle=bundle).deliver(TICKET, None, message())


def test_through_a_proxy(tracker: RtServer, before: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy that is configured is used, and one from the environment is not."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, before.url)
    assert channel(tracker).deliver(TICKET, None, message()) == Delivered(1)
    assert before.requests == []
    through = f"http://127.0.0.1:{before.port}"
    assert channel(tracker, proxy=through).deliver(TICKET, 1, message(2)) == Delivered(1)
    assert "POST /REST/2.0/ticket/1/correspond" in before.requests


def test_tls_through_a_proxy(tracker: RtServer, before: Gate, tmp_path: Path) -> None:
    """Through a proxy the certificate of RT itself is looked at, and the proxy sees no more than where it is."""
    good, wrong = (make_certificate(tmp_path / name) for name in ("good.pem", "wrong.pem"))
    through = f"http://127.0.0.1:{before.port}"
    with gate(tracker.port, good) as behind:
        assert channel(tracker, behind.url, ca_bundle=good, proxy=through).deliver(TICKET, None, message()).ticket == 1
        with pytest.raises(PermanentError, match="certificate is not trusted"):
            channel(tracker, behind.url, ca_bundle=wrong, proxy=through).deliver(TICKET, None, message())
        assert set(before.requests) == {f"CONNECT 127.0.0.1:{behind.port}"}


def test_a_proxy_that_is_none(tracker: RtServer) -> None:
    """A proxy that is not there is temporary; what is no proxy's URL needs a person, and is not repeated."""
    with pytest.raises(TemporaryError, match="the connection fails"):
        channel(tracker, proxy="http://127.0.0.1:1").deliver(TICKET, None, message())
    with pytest.raises(PermanentError, match="should be like http://host:port") as caught:
        channel(tracker, proxy="nothing://me:secret@x").deliver(TICKET, None, message())
    assert "secret" not in str(caught.value)


def test_documented_rights() -> None:
    """The rights with which these tests are done are those that people are told to give."""
    told = (Path(__file__).parents[2] / "docs" / "messages.md").read_text("utf-8")
    table = told.partition("| right | for |\n")[2].partition("\n\n")[0]
    assert set(re.findall("`([A-Za-z]+)`", table)) == set(RIGHTS)


def test_check(tracker: RtServer) -> None:
    """`check` says what works, and of what does not, which right is missing on which queue."""
    good = ("promrun_internal", "promrun_visitor")
    well, sentence = channel(tracker, queues=good).check()
    assert well
    assert sentence.endswith("queues: promrun_internal, promrun_visitor")
    for queue in QUEUES:
        tracker.person.create_ticket(queue, subject="x", content="y")
    assert channel(tracker, queues=good).check()[0] is True
    well, sentence = channel(tracker, queues=("no_opening", "no_writing")).check()
    assert well is False
    for right, queue in (
        ("CreateTicket", "no_opening"),
        ("CommentOnTicket", "no_writing"),
        ("ReplyToTicket", "no_writing"),
    ):
        assert f"we lack the right {right} on the queue {queue}" in sentence
    assert channel(tracker).check()[0] is True
    for wrong in (
        channel(tracker, queues=("nowhere",)),
        channel(tracker, token="1-2-x"),
        channel(tracker, "http://127.0.0.1:1"),
    ):
        assert wrong.check()[0] is False
    assert len(tracker.tickets()) == len(QUEUES)
