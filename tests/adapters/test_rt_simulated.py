"""Ticket of a run in a simulated Request Tracker: what is written, and what people did to it."""

from __future__ import annotations

import secrets
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest

from hesiod_watch.core.errors import PermanentError, TemporaryError
from hesiod_watch.core.messages import Delivery, DeliveryReceipt, TicketRequest
from hesiod_watch.notify.rt_channel import RtChannel
from hesiod_watch.notify.rt_session import FoundTicket
from hesiod_watch.rules.rt_text import run_mark, stored_text
from tests.world.tracker import Tracker

REQUEST = TicketRequest("run", "queue", "Run run")


class ScriptedTracker(Tracker):
    """Simulated tracker with chosen rights, people and times of its answers."""

    may_open = True
    sees_comments = True
    sees_tickets = True
    rights = frozenset({"comment", "correspond"})
    people: int | None = None
    asked_for: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    takes: str = ""  # field that is never changed

    def may_create(self, queue: str) -> bool:
        return self.may_open

    def newest(self, queue: str) -> int | None:
        return len(self.read()["tickets"]) or None

    def ticket(self, number: int) -> FoundTicket:
        people = sum(map(len, self.asked_for)) if self.people is None else self.people
        return replace(super().ticket(number), people=people, may=self.rights)

    def tickets(self, queue: str, subject: str) -> list[tuple[int, str]]:
        return super().tickets(queue, subject) if self.sees_tickets else []

    def authors(self, number: int, words: str) -> list[str]:
        return super().authors(number, words) if self.sees_comments else []

    def create(self, queue: str, subject: str, text: str, requestors: Any, cc: Any) -> int:
        self.asked_for = requestors, cc
        return super().create(queue, subject, text, requestors, cc)

    def edit(self, number: int, **fields: str) -> None:
        super().edit(number, **{name: fields[name] for name in fields if name != self.takes})

    def change(self, number: int, **fields: object) -> None:
        """A person changes a ticket."""
        state = self.read()
        state["tickets"][number - 1].update(fields)
        self.write(state)

    def texts(self, number: int) -> list[str]:
        return [text for _, text in self.read()["tickets"][number - 1]["texts"]]

    def of(self, number: int, field: str) -> object:
        return self.read()["tickets"][number - 1][field]


@pytest.fixture
def tracker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ScriptedTracker:
    made = ScriptedTracker(tmp_path / "tickets.json")
    monkeypatch.setattr(RtChannel, "_session", lambda _: made)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    return made


def channel(*queues: str) -> RtChannel:
    return RtChannel("https://rt.invalid", token="t", queues=queues)


def message(kind: Literal["comment", "reply"] = "comment", *, tried: bool = False) -> Delivery:
    return Delivery(1, secrets.token_hex(16), "cell-done", kind, "some text", tried=tried)


def test_the_first_message_opens_the_ticket(tracker: ScriptedTracker) -> None:
    """Without people the first message is the text of the ticket; the next ones follow in it."""
    first, second = message(), message()
    assert channel().deliver(REQUEST, None, first) == DeliveryReceipt(1, "")
    assert channel().deliver(REQUEST, 1, second) == DeliveryReceipt(1, "")
    assert channel().deliver(REQUEST, None, second) == DeliveryReceipt(1, "")
    assert tracker.of(1, "subject") == "Run run"
    assert tracker.texts(1) == [stored_text(first, "run"), stored_text(second, "run")]


@pytest.mark.parametrize("kind", ["comment", "reply"])
def test_people_get_no_comment(kind: Literal["comment", "reply"], tracker: ScriptedTracker) -> None:
    """A comment is not the text that opens a ticket with people, who would get it by mail."""
    request = replace(REQUEST, requestors=("a@b.c", "not an address"), cc=("d@e.f", "@"))
    first = message(kind)
    receipt = channel().deliver(request, None, first)
    assert tracker.asked_for == (("a@b.c",), ("d@e.f",))
    left_out = "is not valid for Request Tracker and was left out"
    assert receipt.note == f"the address not an address {left_out}; the address @ {left_out}"
    whole = [stored_text(first, "run")]
    assert tracker.texts(1) == (whole if kind == "reply" else ["About the run run.", *whole])


def test_people_that_are_not_taken(tracker: ScriptedTracker) -> None:
    """People whom Request Tracker did not take are named."""
    tracker.people = 1
    request = replace(REQUEST, requestors=("a@b.c",), cc=("d@e.f",))
    receipt = channel().deliver(request, None, message("reply"))
    assert receipt.note == "Request Tracker did not take all of: a@b.c, d@e.f"


def test_a_ticket_that_is_not_visible(tracker: ScriptedTracker) -> None:
    """A ticket that we cannot find has its message, and the missing right is named."""
    tracker.sees_tickets = False
    first = message()
    receipt = channel().deliver(replace(REQUEST, cc=("a@b.c",)), None, first)
    assert receipt == DeliveryReceipt(
        1,
        "ticket #1 is opened, but hesiod-watch cannot find it and would open a second one after a"
        " lost answer: give hesiod-watch the right ShowTicket",
    )
    assert tracker.texts(1) == ["About the run run.", stored_text(first, "run")]


def test_comments_that_are_not_visible(tracker: ScriptedTracker) -> None:
    """A text that we cannot see is sent, and the missing right is named."""
    channel().deliver(REQUEST, None, message())
    tracker.sees_comments = False
    receipt = channel().deliver(REQUEST, 1, message())
    assert len(tracker.texts(1)) == 2
    assert receipt.note == (
        "RT accepted the comment, but hesiod-watch cannot see it and would duplicate it after a"
        " lost answer: give hesiod-watch the right ShowTicketComments"
    )


def test_no_right_to_open(tracker: ScriptedTracker) -> None:
    """Without the right to open tickets nothing is tried, and a person is needed."""
    tracker.may_open = False
    with pytest.raises(PermanentError) as raised:
        channel().deliver(REQUEST, None, message())
    assert str(raised.value) == (
        "cannot open a ticket at https://rt.invalid:"
        " we lack the right CreateTicket on the queue queue"
    )
    assert tracker.read()["tickets"] == []


def test_the_first_of_several(tracker: ScriptedTracker) -> None:
    """The first ticket with the subject is used; rejected ones do not count, others are named."""
    for _ in range(4):
        tracker.create("queue", "Run run", "by a person", (), ())
    tracker.change(1, status="rejected")
    tracker.change(2, status="deleted")
    receipt = channel().deliver(REQUEST, None, message())
    note = "ticket #3 is used; others with the same subject: #4"
    assert receipt == DeliveryReceipt(3, note)


def test_opened_at_the_same_time(tracker: ScriptedTracker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two tickets that are opened at once the first is used, and the other is rejected."""
    real = tracker.may_create

    def while_another_opens(queue: str) -> bool:
        tracker.create("queue", "Run run", "by another process", (), ())
        return real(queue)

    monkeypatch.setattr(tracker, "may_create", while_another_opens)
    first = message()
    receipt = channel().deliver(REQUEST, None, first)
    assert receipt.ticket == 1
    assert "ticket #2 was opened at the same time as #1, and rejected" in receipt.note
    assert tracker.of(2, "status") == "rejected"
    assert stored_text(first, "run") in tracker.texts(1)


def test_a_merged_ticket(tracker: ScriptedTracker) -> None:
    """Messages follow a ticket to the one it was merged into, which keeps subject and status."""
    channel().deliver(REQUEST, None, message())
    tracker.create("queue", "Other", "by a person", (), ())
    tracker.change(1, into=2)
    receipt = channel().deliver(REQUEST, 1, message())
    assert receipt == DeliveryReceipt(1, "ticket #1 was merged into #2")
    assert len(tracker.texts(2)) == 2
    assert channel().keep(replace(REQUEST, status="resolved"), 1) == (
        "ticket #1 was merged into #2, whose subject and status are left alone"
    )
    assert (tracker.of(2, "subject"), tracker.of(2, "status")) == ("Other", "new")


def test_a_deleted_ticket(tracker: ScriptedTracker) -> None:
    """A deleted ticket is not written to, until a person says what is wanted."""
    channel().deliver(REQUEST, None, message())
    tracker.change(1, status="deleted")
    for call in (
        lambda: channel().deliver(REQUEST, 1, message()),
        lambda: channel().keep(REQUEST, 1),
    ):
        with pytest.raises(PermanentError) as raised:
            call()
        assert str(raised.value) == (
            "ticket #1 at https://rt.invalid was deleted; restore it, or remove the run's"
            " pipeline/rt_ticket, and a new one is opened"
        )
    assert len(tracker.texts(1)) == 1


@pytest.mark.parametrize(
    ("subject", "texts", "ours"),
    [
        ("Run run", [["eve", "x"]], True),
        ("Other", [["hesiod", f"x {run_mark('run')}"]], True),
        ("Other", [["eve", f"x {run_mark('run')}"]], False),
        ("Other", [["hesiod", f"x {run_mark('run 2')}"]], False),
        ("Other", [], False),
    ],
    ids=["subject", "our mark", "a person's mark", "another run's mark", "nothing"],
)
def test_only_the_runs_ticket(
    subject: str, texts: list[list[str]], ours: bool, tracker: ScriptedTracker
) -> None:
    """A ticket without the run's subject and without our mark of the run is not changed."""
    tracker.create("queue", "Other", "", (), ())
    tracker.change(1, subject=subject, texts=texts)
    before = tracker.read()
    if ours:
        assert channel().deliver(REQUEST, 1, message()) == DeliveryReceipt(1, "")
        return
    for call in (
        lambda: channel().deliver(REQUEST, 1, message()),
        lambda: channel().keep(replace(REQUEST, status="resolved"), 1),
    ):
        with pytest.raises(PermanentError) as raised:
            call()
        assert str(raised.value) == (
            "ticket #1 at https://rt.invalid is not known as the ticket of the run run; nothing is"
            " written to it; if it is that run's ticket, change its subject to `Run run`;"
            " otherwise remove the run's pipeline/rt_ticket, and a new one is opened"
        )
    assert tracker.read() == before


def test_subject_and_status_are_kept(tracker: ScriptedTracker) -> None:
    """Subject and status become those of the run; a status in capital letters is the same."""
    channel().deliver(REQUEST, None, message())
    tracker.change(1, subject="Other")
    assert channel().keep(REQUEST, 1) == ""
    assert (tracker.of(1, "subject"), tracker.of(1, "status")) == ("Run run", "new")
    assert channel().keep(replace(REQUEST, status="Resolved"), 1) == ""
    assert tracker.of(1, "status") == "resolved"
    assert channel().keep(replace(REQUEST, status="open"), 1) == ""
    assert tracker.of(1, "status") == "open"


@pytest.mark.parametrize(("closer", "who"), [("eve", "eve"), ("", "an unknown user")])
def test_a_person_closed_it(closer: str, who: str, tracker: ScriptedTracker) -> None:
    """A status that a person set stays, and the note says whose it is.

    A copy of our text does not make that person ours.
    """
    first = message()
    channel().deliver(REQUEST, None, first)
    texts = [["hesiod", stored_text(first, "run")], [closer, stored_text(first, "run")]]
    tracker.change(1, status="resolved", closed_by=closer, texts=texts)
    note = channel().keep(replace(REQUEST, status="open"), 1)
    assert note == f"{who} has made it resolved, which is left so"
    assert tracker.of(1, "status") == "resolved"


@pytest.mark.parametrize(
    ("field", "note"),
    [
        (
            "Status",
            "its status stays new, and does not become odd: does that status exist,"
            " and does hesiod-watch have the right ModifyTicket?",
        ),
        (
            "Subject",
            "its subject stays Other, and does not become Run run: does that subject exist,"
            " and does hesiod-watch have the right ModifyTicket?",
        ),
    ],
)
def test_a_change_that_is_not_made(field: str, note: str, tracker: ScriptedTracker) -> None:
    """RT confirms changes that it did not make; the ticket is read again."""
    channel().deliver(REQUEST, None, message())
    tracker.change(1, subject="Other")
    tracker.takes = field
    assert channel().keep(replace(REQUEST, status="odd"), 1) == note


@pytest.mark.parametrize(
    ("longest", "tried", "pauses"),
    [
        (0.0, False, []),
        (0.9, False, []),
        (1.0, False, [2.0]),
        (5.0, False, [5.0]),
        (99.0, False, [10.0]),
        (0.0, True, [2.0]),
        (3.0, True, [3.0]),
    ],
)
def test_pauses_before_a_text_is_sent(
    longest: float,
    tried: bool,
    pauses: list[float],
    tracker: ScriptedTracker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After a slow answer or an earlier attempt the text may be about to appear: search again."""
    channel().deliver(REQUEST, None, message())
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    tracker.longest = longest
    channel().deliver(REQUEST, 1, message(tried=tried))
    assert slept == pauses
    assert len(tracker.texts(1)) == 2


def test_a_text_that_appears_meanwhile(
    tracker: ScriptedTracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A text that appears during the pause is not sent again."""
    channel().deliver(REQUEST, None, message())
    late = message(tried=True)
    monkeypatch.setattr(
        time, "sleep", lambda _: tracker.send(1, "comment", stored_text(late, "run"))
    )
    assert channel().deliver(REQUEST, 1, late) == DeliveryReceipt(1, "")
    assert tracker.texts(1).count(stored_text(late, "run")) == 1


def test_a_tracker_that_never_answers_promptly(
    tracker: ScriptedTracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The searches end after three, whatever RT does."""
    channel().deliver(REQUEST, None, message())
    slept: list[float] = []

    def slow(seconds: float) -> None:
        slept.append(seconds)
        tracker.longest = 4.0

    monkeypatch.setattr(time, "sleep", slow)
    channel().deliver(REQUEST, 1, message(tried=True))
    assert slept == [2.0, 4.0]


def test_a_lost_answer(tracker: ScriptedTracker) -> None:
    """After a lost answer the same message is found and not sent again."""
    first, second = message(), message()
    tracker.write({"tickets": [], "away": False, "lose": 1})
    with pytest.raises(TemporaryError):
        channel().deliver(REQUEST, None, first)
    assert channel().deliver(REQUEST, None, replace(first, tried=True)) == DeliveryReceipt(1, "")
    tracker.write({**tracker.read(), "lose": 1})
    with pytest.raises(TemporaryError):
        channel().deliver(REQUEST, 1, second)
    assert channel().deliver(REQUEST, 1, replace(second, tried=True)) == DeliveryReceipt(1, "")
    assert tracker.texts(1) == [stored_text(first, "run"), stored_text(second, "run")]


def test_a_ticket_that_we_may_not_see_hides_no_other(tracker: ScriptedTracker) -> None:
    """A text is found although a newer ticket of ours was merged into one that we may not see."""
    first = message()
    channel().deliver(REQUEST, None, first)
    channel().deliver(TicketRequest("other", "queue", "Run other"), None, message())
    tracker.change(1, subject="all of May")
    tracker.change(2, into=99)
    found = channel().deliver(REQUEST, None, replace(first, tried=True))
    assert found == DeliveryReceipt(1, "")
    assert tracker.texts(1) == [stored_text(first, "run")]


CHECKS: dict[str, tuple[tuple[str, ...], dict[str, Any], bool, str]] = {
    "no queue": ((), {}, True, "queues: none configured"),
    "two queues": (("a", "b"), {}, True, "queues: a, b"),
    "no right to open": (
        ("a", "b"),
        {"may_open": False},
        False,
        "we lack the right CreateTicket on the queue a;"
        " we lack the right CreateTicket on the queue b",
    ),
    "no right to comment": (
        ("a",),
        {"rights": frozenset({"correspond"})},
        False,
        "we lack the right CommentOnTicket on the queue a",
    ),
    "no right to reply": (
        ("a",),
        {"rights": frozenset({"comment"})},
        False,
        "we lack the right ReplyToTicket on the queue a",
    ),
}


@pytest.mark.parametrize("case", CHECKS)
def test_check(case: str, tracker: ScriptedTracker) -> None:
    """`doctor` names each right that is missing on a queue."""
    queues, options, ok, says = CHECKS[case]
    tracker.create("a", "x", "x", (), ())
    for name, value in options.items():
        setattr(tracker, name, value)
    found, sentence = channel(*queues).check()
    assert found is ok
    start, _, end = sentence.partition(" s; ")
    assert start.removesuffix("0.0") == "Request Tracker at https://rt.invalid answers in "
    assert end == says


def test_check_of_a_queue_without_tickets(tracker: ScriptedTracker) -> None:
    """Rights on tickets are unknown while a queue has none, and are not reported."""
    tracker.rights = frozenset()
    assert channel("a").check()[0] is True


def test_check_of_a_tracker_that_is_away(tracker: ScriptedTracker) -> None:
    """An error is the answer of `doctor`."""
    tracker.write({"tickets": [], "away": True, "lose": 0})
    assert channel().check() == (False, "asked Request Tracker: no connection")
