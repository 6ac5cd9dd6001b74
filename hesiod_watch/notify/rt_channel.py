"""Request Tracker as a channel: one ticket per run, every message in it once.

How a message is never doubled: each text ends in a line with the message's token, and before a text
is sent its ticket is searched for that token. An answer may be lost though what was asked for is
done, so the token of what was sent a moment ago is looked for like any other. Where RT may still be
at work on what it was sent before, because that is known to have been tried or because RT makes us
wait, it is looked for twice, with a pause.

How a ticket is found: by its number, once known. Until then by its subject, which must be the same
to the last letter, among the tickets of the queue that are neither deleted nor rejected; the first
of several. After a ticket was opened it is searched for in the same way, so that two who open one
at once agree on one.

What people do to a ticket stands: one that they have deleted is neither written to nor replaced
without their word; one that they have closed is commented on, and opened again by a reply only, as
RT does; one that they have merged into another is followed there, and that other's subject and
status are left alone.

That a run has one deliverer at a time is the caller's to see to: between looking and sending there
is a moment.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from hesiod_watch.core.errors import HesiodError, PermanentError
from hesiod_watch.core.messages import Delivery, DeliveryReceipt, TicketRequest
from hesiod_watch.core.naming import display
from hesiod_watch.rules.rt_text import ANEW, split_addresses, stored_subject, stored_text

if TYPE_CHECKING:
    from hesiod_watch.notify.rt_session import FoundTicket, RtSession

PROMPT = 1.0
"""Seconds; an answer that takes longer may have waited beside an order whose answer was lost."""
PAUSE, LONGEST_PAUSE = 2.0, 10.0
"""Seconds between two looks for what may be about to appear: RT needs less than one for an order.
"""
LOOKS = 3

OURS = "[hesiod-watch "
"""What stands in each text that we wrote."""
REJECTED, DELETED = "rejected", "deleted"
RIGHTS = {"comment": "CommentOnTicket", "correspond": "ReplyToTicket"}

T = TypeVar("T")


class RtChannel:
    """Tickets of Request Tracker 5. Opens a connection for each call, and keeps nothing between
    them.

    `queues` are those that `check` looks at. Give either `token`, or `user` and `password`. Nothing
    is tried before the first call, so that a mistake here is told like any other that needs a
    person.
    """

    name = "rt"

    def __init__(
        self,
        url: str,
        *,
        token: str = "",
        user: str = "",
        password: str = "",
        ca_bundle: Path | None = None,
        proxy: str = "",
        timeout: float = 20.0,
        queues: tuple[str, ...] = (),
    ) -> None:
        self.queues = queues
        self._url = url
        self._token = token
        self._user = user
        self._password = password
        self._ca_bundle = ca_bundle
        self._proxy = proxy
        self._timeout = timeout

    def deliver(
        self, ticket: TicketRequest, known: int | None, message: Delivery
    ) -> DeliveryReceipt:
        """See `Channel`. The first message is the text that opens the ticket.

        But a comment, where requestors or Ccs would read it: then a line opens the ticket, and the
        comment follows.
        """
        notes: list[str] = []
        with self._session() as rt:
            number = (
                known
                if known is not None
                else _settled(rt, lambda: _find(rt, ticket, notes), tried=message.tried)
            )
            if number is None:
                number, visible = _open(rt, ticket, message, notes)
                if not visible:
                    return DeliveryReceipt(number, "; ".join(notes))
            found = _living(rt, number)
            if found.number != number:
                notes.append(f"ticket #{number} was merged into #{found.number}")
            if not _settled(
                rt, lambda: rt.authors(found.number, message.token), tried=message.tried
            ):
                rt.send(found.number, message.kind, stored_text(message))
                if not rt.authors(found.number, message.token):
                    notes.append(
                        f"the {message.kind} is taken, but we cannot see it, so that it would be doubled if an answer"
                        " were lost: give us the right ShowTicketComments"
                    )
        return DeliveryReceipt(number, "; ".join(notes))

    def keep(self, ticket: TicketRequest, known: int) -> str:
        """See `Channel`."""
        with self._session() as rt:
            found = _living(rt, known)
            if found.number != known:
                return f"ticket #{known} was merged into #{found.number}, whose subject and status are left alone"
            wanted = {"Subject": stored_subject(ticket.subject)}
            notes = []
            status = ticket.status.lower()  # as RT writes them
            if status not in ("", found.status):
                closer = rt.closed_by(known)
                if closer is None or closer in rt.authors(known, OURS)[:1]:
                    wanted["Status"] = status
                else:
                    who = display(closer) or "somebody"
                    notes.append(f"{who} has made it {display(found.status)}, which is left so")
            if not _differing(found, wanted):
                return "; ".join(notes)
            rt.edit(known, **wanted)
            found = _living(rt, known)
            notes += [
                f"its {name.lower()} stays {display(is_now)}, and does not become {display(wanted[name])}:"
                " is there such a one, and have we the right ModifyTicket?"
                for name, is_now in _differing(found, wanted).items()
            ]
            return "; ".join(notes)

    def check(self) -> tuple[bool | None, str]:
        """See `Channel`. Rights on tickets are known only where a queue has a ticket already."""
        try:
            began = time.monotonic()
            with self._session() as rt:
                lacking = [sentence for queue in self.queues for sentence in _lacking(rt, queue)]
                if not self.queues:
                    rt.tickets("", "")
                took = time.monotonic() - began
                queues = "; ".join(lacking) or "queues: " + (
                    ", ".join(map(display, self.queues)) or "none configured"
                )
                return (
                    not lacking,
                    f"Request Tracker at {rt.place} answers in {took:.1f} s; {queues}",
                )
        except HesiodError as error:
            return False, str(error)

    def _session(self) -> RtSession:
        # Late: what it imports takes as long as all the rest, and few commands speak to RT.
        from hesiod_watch.notify.rt_session import RtSession

        return RtSession(
            self._url,
            token=self._token,
            user=self._user,
            password=self._password,
            ca_bundle=self._ca_bundle,
            proxy=self._proxy,
            timeout=self._timeout,
        )


def _open(
    rt: RtSession, ticket: TicketRequest, message: Delivery, notes: list[str]
) -> tuple[int, bool]:
    """Open the run's ticket. Its number, and whether we see it; where we do not, the message is
    delivered now.
    """
    if not rt.may_create(ticket.queue):
        raise PermanentError(
            f"cannot open a ticket at {rt.place}: {_missing_right('CreateTicket', ticket.queue)}"
        )
    requestors, bad = split_addresses(ticket.requestors)
    copies, bad_copies = split_addresses(ticket.cc)
    for address in bad + bad_copies:
        notes.append(
            f"the address {display(address)} is none that Request Tracker takes, and was left out"
        )
    people = len(requestors) + len(copies)
    whole = message.kind == "reply" or not people
    text = stored_text(message) if whole else f"About the run {display(ticket.run)}."
    own = rt.create(ticket.queue, stored_subject(ticket.subject), text, requestors, copies)
    found = _find(rt, ticket, notes)
    if found is None:
        if not whole:
            rt.send(own, message.kind, stored_text(message))
        notes.append(
            f"ticket #{own} is opened, but we cannot find it, so that it would be doubled if an answer were lost:"
            " give us the right ShowTicket"
        )
        return own, False
    if found != own:
        rt.edit(own, Status=REJECTED)
        notes.append(f"ticket #{own} was opened at the same time as #{found}, and rejected")
    elif rt.ticket(own).people < people:
        notes.append(f"Request Tracker did not take all of: {', '.join(requestors + copies)}")
    return found, True


def _find(rt: RtSession, ticket: TicketRequest, notes: list[str]) -> int | None:
    """The first ticket with the run's subject that nobody has rejected."""
    numbers = [
        number
        for number, status in rt.tickets(ticket.queue, stored_subject(ticket.subject))
        if status != REJECTED
    ]
    if len(numbers) > 1:
        others = ", ".join(f"#{number}" for number in numbers[1:])
        notes.append(f"ticket #{numbers[0]} is used; of the same subject are {others}")
    return numbers[0] if numbers else None


def _living(rt: RtSession, number: int) -> FoundTicket:
    """The ticket, or the one it was merged into. PermanentError where it is deleted."""
    found = rt.ticket(number)
    if found.status == DELETED:
        raise PermanentError(
            f"ticket #{found.number} at {rt.place} was deleted; restore it, or {ANEW}"
        )
    return found


def _differing(found: FoundTicket, wanted: dict[str, str]) -> dict[str, str]:
    """Of the wanted fields, those that are otherwise, with what they are."""
    there = {"Subject": found.subject, "Status": found.status}
    return {name: is_now for name, is_now in there.items() if wanted.get(name, is_now) != is_now}


def _lacking(rt: RtSession, queue: str) -> list[str]:
    """Sentences about what we may not do in a queue."""
    if not rt.may_create(queue):
        return [_missing_right("CreateTicket", queue)]
    newest = rt.newest(queue)
    may = rt.ticket(newest).may if newest is not None else set(RIGHTS)
    return [_missing_right(right, queue) for link, right in RIGHTS.items() if link not in may]


def _missing_right(right: str, queue: str) -> str:
    return f"we lack the right {right} on the queue {display(queue)}"


def _settled(rt: RtSession, look: Callable[[], T], *, tried: bool) -> T:
    """What `look` finds. It looks again after a while where nothing is found that may be about to
    appear.

    RT follows an order also when whoever gave it has gone, once it gets to it. When it wakes up, an
    order that was given up and our look stand side by side, and the look may be answered first.
    """
    for _ in range(LOOKS - 1):
        found = look()
        waited, rt.longest = rt.longest, 0.0
        if found or (waited < PROMPT and not tried):
            return found
        tried = False
        time.sleep(min(max(waited, PAUSE), LONGEST_PAUSE))
    return look()
