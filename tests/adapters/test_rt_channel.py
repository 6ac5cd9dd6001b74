"""Tickets of a real Request Tracker: each message once and in the right ticket."""

from __future__ import annotations

import secrets
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Literal

import pytest
from http_gate import gate
from rt_messages import RUN, TICKET, channel, last_line, message, written
from rt_server import QUEUES, RtServer
from sites import eventually

from hesiod_watch.core.errors import PermanentError
from hesiod_watch.core.messages import Delivery, DeliveryReceipt
from hesiod_watch.rules.rt_text import TEXT_BYTES, mark, run_mark

pytestmark = pytest.mark.system


def test_life_of_a_ticket(tracker: RtServer) -> None:
    """The first message opens the ticket and the others follow in order.

    Its subject and status stay as wanted.
    """
    rt = channel(tracker)
    ticket = replace(TICKET, requestors=("lab@x.invalid", "pi@x.invalid"), cc=("desk@x.invalid",))
    first, second, third = message(1), message(2, "comment"), message(3)
    opened = rt.deliver(ticket, None, first)
    assert opened == DeliveryReceipt(opened.ticket)
    assert opened.ticket is not None
    assert [rt.deliver(ticket, opened.ticket, each) for each in (second, third)] == [opened, opened]
    assert (
        rt.keep(replace(ticket, subject=f"Run {RUN}: complete", status="resolved"), opened.ticket)
        == ""
    )
    (found,) = tracker.tickets()
    assert (found.number, found.queue) == (opened.ticket, "promrun_internal")
    assert (found.subject, found.status) == (f"Run {RUN}: complete", "resolved")
    assert found.texts == (
        ("Create", written(first)),
        ("Comment", written(second)),
        ("Correspond", written(third)),
    )
    assert tracker.people(found.number) == {
        "Requestor": {"lab@x.invalid", "pi@x.invalid"},
        "Cc": {"desk@x.invalid"},
    }


def test_repeating_adds_nothing(tracker: RtServer) -> None:
    """Repeating `deliver`, with the ticket's number or without, or `keep` changes nothing."""
    rt = channel(tracker)
    messages = [message(1), message(2, "comment"), message(3)]
    number = rt.deliver(TICKET, None, messages[0]).ticket
    assert number is not None
    for each in messages[1:]:
        rt.deliver(TICKET, number, each)
    wanted = replace(TICKET, status="open")
    rt.keep(wanted, number)
    was = tracker.tickets(), len(tracker.person.get_ticket_history(number)), tracker.mails()
    for known in (None, number):
        for each in messages:
            assert rt.deliver(TICKET, known, each).ticket == number
    assert rt.keep(wanted, number) == ""
    assert (
        tracker.tickets(),
        len(tracker.person.get_ticket_history(number)),
        tracker.mails(),
    ) == was


def test_mail_goes_out_once(tracker: RtServer) -> None:
    """RT mails a reply to the requestors, but no comment and no repeated message."""
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


def test_a_first_comment_is_not_mailed(tracker: RtServer) -> None:
    """A first comment stays a comment if the ticket has requestors; else it opens the ticket."""
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
        pytest.param("x" * 300, "x" * 301, id="300 and 301 characters"),
        pytest.param("ü" * 150, "ü" * 151, id="300 and 302 bytes"),
        ("caf\u00e9", "cafe\u0301"),
        ("\u202egnip", "gnip"),
        ("Subject: x\r\nBcc: all@x.invalid", "Subject: x"),
        ("{$Ticket->id} <b>", "$x"),
        pytest.param("\ud800", "?", id="lone surrogate"),
        pytest.param("", " ", id="empty and blank"),
        ("[rt.test.invalid #1] run", "run"),
    ],
)
def test_similar_subjects_have_separate_tickets(tracker: RtServer, first: str, second: str) -> None:
    """Two runs with similar or odd subjects have one ticket each, found again by its subject."""
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
    assert again == opened == [DeliveryReceipt(1), DeliveryReceipt(2)]
    assert [found.texts for found in tracker.tickets()] == [
        (("Create", written(each)),) for each in messages
    ]


def test_another_queue_is_another_ticket(tracker: RtServer) -> None:
    """A ticket with the same subject in another queue is not the ticket of the run."""
    for queue in ("promrun_internal", "promrun_visitor"):
        channel(tracker).deliver(replace(TICKET, queue=queue), None, message())
    assert [found.queue for found in tracker.tickets()] == ["promrun_internal", "promrun_visitor"]


@pytest.mark.parametrize("queue", [name for name in QUEUES if not name.isidentifier()])
def test_odd_names_of_queues(tracker: RtServer, queue: str) -> None:
    """A queue is found although its name contains characters that are special in a URL."""
    rt, each = channel(tracker, queues=(queue,)), message()
    assert rt.check()[0] is True
    assert [rt.deliver(replace(TICKET, queue=queue), None, each) for _ in range(2)] == [
        DeliveryReceipt(1)
    ] * 2
    assert [found.queue for found in tracker.tickets()] == [queue]
    assert rt.check()[0] is True


def test_first_of_several(tracker: RtServer) -> None:
    """The first ticket with the subject that is neither deleted nor rejected is used.

    A note names the others.
    """
    made = [
        tracker.person.create_ticket(TICKET.queue, subject=TICKET.subject, content=str(each))
        for each in range(4)
    ]
    tracker.person.delete_ticket(made[0])
    tracker.person.edit_ticket(made[1], Status="rejected")
    delivered = channel(tracker).deliver(TICKET, None, message())
    assert delivered == DeliveryReceipt(
        made[2], f"ticket #{made[2]} is used; others with the same subject: #{made[3]}"
    )
    assert [len(tracker.ticket(number).texts) for number in made] == [1, 1, 2, 1]


@pytest.mark.parametrize(
    ("text", "stored"),
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
def test_any_text_arrives(tracker: RtServer, text: str, stored: str, number: int) -> None:
    """A text arrives unchanged except for terminal control characters, and is found again."""
    rt = channel(tracker)
    known = rt.deliver(TICKET, None, message()).ticket if number > 1 else None
    each = Delivery(number, secrets.token_hex(16), "cell-done", "reply", text)
    assert [rt.deliver(TICKET, known, each).note for _ in range(2)] == ["", ""]
    (found,) = tracker.tickets()
    assert len(found.texts) == number
    assert found.texts[-1][1] == (f"{stored}\n\n{last_line(each)}" if stored else last_line(each))


def test_a_very_long_text(tracker: RtServer) -> None:
    """The longest text arrives complete, and is found again.

    A longer text arrives with both ends and a note about the missing part.
    """
    rt = channel(tracker)
    whole, longer = (
        message(1, text="ü" * (TEXT_BYTES // 2 - 1) + "."),
        message(2, text="a" + "b" * 1_999_998 + "c"),
    )
    number = rt.deliver(TICKET, None, whole).ticket
    for _ in range(2):
        assert rt.deliver(TICKET, number, longer) == DeliveryReceipt(number)
    (found,) = tracker.tickets()
    assert found.texts[0][1] == written(whole)
    shortened = found.texts[1][1]
    assert len(shortened) < TEXT_BYTES + 200
    assert shortened.startswith("ab")
    assert shortened.endswith(f"bc\n\n{last_line(longer)}")
    assert f"[… {2_000_000 - TEXT_BYTES} characters left out …]" in shortened


def test_addresses_that_rt_rejects(tracker: RtServer) -> None:
    """A note says so if RT accepts fewer people than given, such as two addresses of one user."""
    tracker.person.create_user("lab@x.invalid", "pi@x.invalid")
    ticket = replace(TICKET, requestors=("lab@x.invalid", "pi@x.invalid"))
    delivered = channel(tracker).deliver(ticket, None, message())
    assert delivered == DeliveryReceipt(
        1, "Request Tracker did not take all of: lab@x.invalid, pi@x.invalid"
    )
    assert tracker.people(1)["Requestor"] == {"lab@x.invalid"}


def test_concurrent_opening_makes_one_ticket(tracker: RtServer) -> None:
    """Processes that open the same run's ticket at once, without a lock, agree on one ticket."""
    messages = [message(1, "comment") for _ in range(4)]
    start = threading.Barrier(len(messages))

    def deliver(each: Delivery) -> DeliveryReceipt:
        start.wait(30)
        return channel(tracker).deliver(TICKET, None, each)

    with ThreadPoolExecutor() as pool:
        delivered = list(pool.map(deliver, messages))
    living = [found for found in tracker.tickets() if found.status != "rejected"]
    assert {each.ticket for each in delivered} == {found.number for found in living}
    assert len(living) == 1
    assert sorted(text for _, text in living[0].texts) == sorted(map(written, messages))


def test_resolved_by_a_person(tracker: RtServer) -> None:
    """A ticket that a person closed gets comments and stays closed, whatever status is wanted.

    A reply reopens it.
    """
    rt = channel(tracker)
    number = rt.deliver(TICKET, None, message()).ticket
    assert number is not None
    tracker.person.edit_ticket(number, Status="resolved")
    assert rt.deliver(TICKET, number, message(2, "comment")) == DeliveryReceipt(number)
    assert (
        rt.keep(replace(TICKET, status="open"), number)
        == "root has made it resolved, which is left so"
    )
    assert tracker.ticket(number).status == "resolved"
    assert rt.deliver(TICKET, number, message(3, "reply")) == DeliveryReceipt(number)
    assert tracker.ticket(number).status == "open"


def test_resolved_by_hesiod_watch(tracker: RtServer) -> None:
    """`keep` reopens a ticket that hesiod-watch closed, but not one that a person closed."""
    rt = channel(tracker)
    number = rt.deliver(TICKET, None, message()).ticket
    assert number is not None
    for status in ("resolved", "open", "Resolved"):
        assert rt.keep(replace(TICKET, status=status), number) == ""
        assert tracker.ticket(number).status == status.lower()
    for status in ("open", "resolved"):
        tracker.person.edit_ticket(number, Status=status)
    assert (
        rt.keep(replace(TICKET, status="open"), number)
        == "root has made it resolved, which is left so"
    )


def test_unknown_status(tracker: RtServer) -> None:
    """A status that RT does not know is reported, although RT does not report it.

    The subject is set nevertheless.
    """
    rt = channel(tracker)
    number = rt.deliver(TICKET, None, message()).ticket
    assert number is not None
    note = rt.keep(replace(TICKET, subject="new", status="nonsense"), number)
    assert "status stays new, and does not become nonsense" in note
    assert tracker.ticket(number).subject == "new"


@pytest.mark.parametrize("kind", ["comment", "reply"])
def test_deleted_by_a_person(tracker: RtServer, kind: Literal["comment", "reply"]) -> None:
    """A deleted ticket is neither written to nor replaced until a person removes its number."""
    rt = channel(tracker)
    number = rt.deliver(TICKET, None, message()).ticket
    assert number is not None
    tracker.person.delete_ticket(number)
    each = message(2, kind)
    for attempt in (lambda: rt.deliver(TICKET, number, each), lambda: rt.keep(TICKET, number)):
        with pytest.raises(
            PermanentError,
            match=r"#1 .* was deleted; restore it, or remove the run's pipeline/rt_ticket",
        ):
            attempt()
    assert [(found.status, len(found.texts)) for found in tracker.tickets()] == [("deleted", 1)]
    assert rt.deliver(TICKET, None, each) == DeliveryReceipt(number + 1)
    assert [(found.status, len(found.texts)) for found in tracker.tickets()] == [
        ("deleted", 1),
        ("new", 1),
    ]


def test_missing_ticket(tracker: RtServer) -> None:
    """A missing ticket is not replaced, and texts of other tickets are not taken for its own."""
    rt, each = channel(tracker), message()
    rt.deliver(TICKET, None, each)
    with pytest.raises(PermanentError, match="there is no ticket #77"):
        rt.deliver(TICKET, 77, each)
    assert len(tracker.tickets()) == 1


def test_merged_by_a_person(tracker: RtServer) -> None:
    """Messages follow a merged ticket; subject and status of its new ticket stay as they are."""
    rt = channel(tracker)
    number = rt.deliver(TICKET, None, message()).ticket
    assert number is not None
    other = tracker.person.create_ticket("promrun_visitor", subject="all of May", content="hello")
    tracker.person.edit_ticket(number, MergeInto=other)
    each = message(2, "comment")
    note = f"ticket #{number} was merged into #{other}"
    assert [rt.deliver(TICKET, number, each) for _ in range(2)] == [
        DeliveryReceipt(number, note)
    ] * 2
    note_of_keep = rt.keep(replace(TICKET, subject="Run 1", status="resolved"), number)
    assert note_of_keep == f"{note}, whose subject and status are left alone"
    (found,) = tracker.tickets()
    assert (found.number, found.subject, found.status) == (other, "all of May", "new")
    assert [text for _, text in found.texts].count(written(each)) == 1


@pytest.mark.parametrize("change", ["the run is renamed", "its subject is changed", "merged"])
def test_a_lost_answer_and_then_a_change(tracker: RtServer, change: str) -> None:
    """The ticket of a message whose answer was lost is found by its text, whatever became of it."""
    rt, first = channel(tracker), message()
    number = rt.deliver(TICKET, None, first).ticket
    assert number is not None
    ticket, notes = TICKET, ""
    if change == "the run is renamed":
        ticket = replace(TICKET, run="renamed", subject="Run renamed")
    elif change == "its subject is changed":
        tracker.person.edit_ticket(number, Subject="all of May")
    else:
        other = tracker.person.create_ticket("promrun_visitor", subject="May", content="hello")
        tracker.person.edit_ticket(number, MergeInto=other)
        notes = f"ticket #{number} was merged into #{other}"
    found = rt.deliver(ticket, None, replace(first, tried=True))
    assert found == DeliveryReceipt(number, notes)
    (only,) = tracker.tickets()
    assert [text for _, text in only.texts].count(written(first)) == 1


def test_a_ticket_without_the_runs_mark_is_not_changed(tracker: RtServer) -> None:
    """A ticket of another run or of people is neither written to, renamed nor closed.

    A mark that another account wrote into it does not count.
    """
    rt, other = channel(tracker), "20261101_P2_other"
    theirs = rt.deliver(replace(TICKET, run=other, subject=f"Run {other}"), None, message()).ticket
    people = tracker.person.create_ticket("promrun_internal", subject="printer", content="hello")
    copied = f"[hesiod-watch 1 {secrets.token_hex(16)}] {run_mark(RUN)}"
    tracker.person.comment(people, copied)
    before = tracker.tickets()
    with gate(tracker.port) as passed:
        rt = channel(tracker, passed.url)
        for number in (theirs, people):
            assert number is not None
            for attempt in (
                lambda number=number: rt.deliver(TICKET, number, message(2)),
                lambda number=number: rt.keep(replace(TICKET, status="resolved"), number),
            ):
                with pytest.raises(
                    PermanentError,
                    match=rf"ticket #{number} .* is not known as the ticket of the run {RUN};"
                    rf" .* change its subject to `Run {RUN}`; otherwise remove .*rt_ticket",
                ):
                    attempt()
        assert not [
            request
            for request in passed.requests
            if request.startswith("PUT ") or request.endswith(("/comment", "/correspond"))
        ]
    assert tracker.tickets() == before
    tracker.person.edit_ticket(people, Subject=TICKET.subject)
    assert channel(tracker).deliver(TICKET, people, message(2)) == DeliveryReceipt(people)


def test_a_ticket_of_version_0_1_0_is_recognized(tracker: RtServer) -> None:
    """A ticket without marks of runs is the run's by its subject, and has the mark from then on."""
    rt, old, new = channel(tracker), message(1), message(2)
    with rt._session() as session:
        number = session.create(TICKET.queue, TICKET.subject, f"old\n\n{mark(old)}", (), ())
    assert rt.deliver(TICKET, number, old) == DeliveryReceipt(number)
    assert rt.deliver(TICKET, number, new) == DeliveryReceipt(number)
    tracker.person.edit_ticket(number, Subject="another")
    assert rt.deliver(TICKET, number, message(3)) == DeliveryReceipt(number)
    assert rt.keep(TICKET, number) == ""
    found = tracker.ticket(number)
    assert (found.subject, len(found.texts)) == (TICKET.subject, 3)


def test_invalid_addresses(tracker: RtServer) -> None:
    """An address that RT would drop is left out and noted; the others are on the ticket once."""
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
    for wrong in (
        "müller@x.invalid",
        "a@b, c@d.invalid",
        "no address",
        "cc@x.invalid\\nBcc: z@x.invalid",
    ):
        assert (
            f"the address {wrong} is not valid for Request Tracker and was left out"
            in delivered.note
        )
    assert "good@x.invalid is" not in delivered.note
    assert tracker.people(1) == {"Requestor": {"good@x.invalid"}, "Cc": set()}


def test_check(tracker: RtServer) -> None:
    """`check` reports success, and each missing right with its queue."""
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
