"""Channel to Request Tracker: one ticket per run, with every message in it once.

Messages are never duplicated. Each text ends in a line with the message's token, and the channel
searches the ticket for that token before it sends the text. RT may do what was asked although its
answer is lost; the token of a message sent a moment ago is therefore searched for, too. RT may
still be working on an earlier request, if an earlier attempt is known or if RT answers slowly. The
channel then searches again after a pause.

A ticket is found by its number once that is known. Until then it is found by its exact subject,
among the tickets of the queue that are neither deleted nor rejected; the first of several is used.
A new ticket is searched for in the same way, so that two processes that open one at the same time
agree on one. If no ticket has the subject, a message that was tried before is searched in the
newest tickets that we have opened: since then the run may have been renamed, or the ticket changed.

The channel respects what people do to a ticket:

- a ticket without the run's mark or subject is not changed, even if it is recorded as the run's;
- a deleted ticket is neither written to nor replaced, until a person says so;
- a closed ticket gets comments, and only a reply reopens it, as usual in RT;
- a merged ticket is followed to its new one, whose subject and status stay as they are.

The caller must ensure that a run has one deliverer at a time, because time passes between searching
and sending.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from hesiod_watch.core.errors import HesiodError, PermanentError
from hesiod_watch.core.messages import Delivery, DeliveryReceipt, TicketRequest
from hesiod_watch.core.naming import display
from hesiod_watch.rules.rt_text import (
    ANEW,
    run_mark,
    split_addresses,
    stored_subject,
    stored_text,
)

if TYPE_CHECKING:
    from hesiod_watch.notify.rt_session import FoundTicket, RtSession

PROMPT = 1.0
"""Seconds. A slower answer may have waited beside an earlier request whose answer was lost."""
PAUSE, LONGEST_PAUSE = 2.0, 10.0
"""Seconds between two searches for a text that may be about to appear.

RT needs less than a second for one request.
"""
SEARCHES = 3
"""Most searches for one text or ticket."""
RECENT = 20
"""Number of our newest tickets in which a text is searched whose ticket is not known."""

OUR_MARK = "[hesiod-watch "
"""Part of every text that hesiod-watch wrote."""
REJECTED, DELETED = "rejected", "deleted"
RIGHTS = {"comment": "CommentOnTicket", "correspond": "ReplyToTicket"}

T = TypeVar("T")


class RtChannel:
    """Tickets of Request Tracker 5.

    Each call opens a connection; no state is kept between calls. `check` examines the `queues`.
    Give either `token`, or `user` and `password`. Nothing is tried before the first call, so that a
    wrong value here is reported like any other problem that needs a person.
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

        Exception: requestors or Ccs would read a comment there. In that case one line opens the
        ticket, and the comment follows.
        """
        notes: list[str] = []
        with self._session() as rt:
            number = known
            if number is None:
                number = _search(rt, lambda: _find_ticket(rt, ticket, notes), tried=message.tried)
            if number is None and message.tried:
                number = _find_text(rt, message.token)
            if number is None:
                number, visible = _open_ticket(rt, ticket, message, notes)
                if not visible:
                    return DeliveryReceipt(number, "; ".join(notes))
            found = _read_ticket(rt, number)
            if found.number != number:
                notes.append(f"ticket #{number} was merged into #{found.number}")
            if not _search(
                rt, lambda: rt.authors(found.number, message.token), tried=message.tried
            ):
                _require_mark(rt, found, ticket)
                rt.send(found.number, message.kind, stored_text(message, ticket.run))
                if not rt.authors(found.number, message.token):
                    notes.append(
                        f"RT accepted the {message.kind}, but hesiod-watch cannot see it and would"
                        " duplicate it after a lost answer: give hesiod-watch the right"
                        " ShowTicketComments"
                    )
        return DeliveryReceipt(number, "; ".join(notes))

    def keep(self, ticket: TicketRequest, known: int) -> str:
        """See `Channel`."""
        with self._session() as rt:
            found = _read_ticket(rt, known)
            _require_mark(rt, found, ticket)
            if found.number != known:
                return (
                    f"ticket #{known} was merged into #{found.number},"
                    " whose subject and status are left alone"
                )
            wanted = {"Subject": stored_subject(ticket.subject)}
            notes = []
            status = ticket.status.lower()  # RT writes statuses in lower case
            if status not in ("", found.status):
                closer = rt.closed_by(known)
                if closer is None or closer in rt.authors(known, OUR_MARK)[:1]:
                    wanted["Status"] = status
                else:
                    who = display(closer) or "an unknown user"
                    notes.append(f"{who} has made it {display(found.status)}, which is left so")
            if not _other_values(found, wanted):
                return "; ".join(notes)
            rt.edit(known, **wanted)
            found = _read_ticket(rt, known)
            notes += [
                f"its {name.lower()} stays {display(current)}, and does not become"
                f" {display(wanted[name])}: does that {name.lower()} exist,"
                " and does hesiod-watch have the right ModifyTicket?"
                for name, current in _other_values(found, wanted).items()
            ]
            return "; ".join(notes)

    def check(self) -> tuple[bool | None, str]:
        """See `Channel`. Rights on tickets are known only if a queue already has a ticket."""
        try:
            began = time.monotonic()
            with self._session() as rt:
                missing = [
                    sentence for queue in self.queues for sentence in _missing_rights(rt, queue)
                ]
                if not self.queues:
                    rt.tickets("", "")
                took = time.monotonic() - began
                queues = "; ".join(missing) or "queues: " + (
                    ", ".join(map(display, self.queues)) or "none configured"
                )
                return (
                    not missing,
                    f"Request Tracker at {rt.place} answers in {took:.1f} s; {queues}",
                )
        except HesiodError as error:
            return False, str(error)

    def _session(self) -> RtSession:
        # Imported late: its imports take as long as all others, and few commands use RT.
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


def _open_ticket(
    rt: RtSession, ticket: TicketRequest, message: Delivery, notes: list[str]
) -> tuple[int, bool]:
    """Open the run's ticket.

    Returns its number, and whether we can see it. If we cannot, the message is already delivered.
    """
    if not rt.may_create(ticket.queue):
        raise PermanentError(
            f"cannot open a ticket at {rt.place}: {_missing_right('CreateTicket', ticket.queue)}"
        )
    requestors, bad = split_addresses(ticket.requestors)
    copies, bad_copies = split_addresses(ticket.cc)
    for address in bad + bad_copies:
        notes.append(
            f"the address {display(address)} is not valid for Request Tracker and was left out"
        )
    people = len(requestors) + len(copies)
    whole = message.kind == "reply" or not people
    text = stored_text(message, ticket.run) if whole else f"About the run {display(ticket.run)}."
    own = rt.create(ticket.queue, stored_subject(ticket.subject), text, requestors, copies)
    found = _find_ticket(rt, ticket, notes)
    if found is None:
        if not whole:
            rt.send(own, message.kind, stored_text(message, ticket.run))
        notes.append(
            f"ticket #{own} is opened, but hesiod-watch cannot find it and would open a second one"
            " after a lost answer: give hesiod-watch the right ShowTicket"
        )
        return own, False
    if found != own:
        rt.edit(own, Status=REJECTED)
        notes.append(f"ticket #{own} was opened at the same time as #{found}, and rejected")
    elif rt.ticket(own).people < people:
        notes.append(f"Request Tracker did not take all of: {', '.join(requestors + copies)}")
    return found, True


def _find_ticket(rt: RtSession, ticket: TicketRequest, notes: list[str]) -> int | None:
    """The first ticket with the run's subject that is not rejected."""
    numbers = [
        number
        for number, status in rt.tickets(ticket.queue, stored_subject(ticket.subject))
        if status != REJECTED
    ]
    if len(numbers) > 1:
        others = ", ".join(f"#{number}" for number in numbers[1:])
        notes.append(f"ticket #{numbers[0]} is used; others with the same subject: {others}")
    return numbers[0] if numbers else None


def _find_text(rt: RtSession, token: str) -> int | None:
    """The ticket that was opened with a message, although it has another subject now.

    The answer to that request was lost, and since then the run was renamed, or a person has merged
    the ticket or changed its subject. A search of RT by words may need an index, so the texts of
    the newest of our tickets are searched.
    """
    for number in rt.ours(RECENT):
        # One of them may have been merged into a ticket that we may not see.
        with suppress(PermanentError):
            if rt.authors(rt.ticket(number).number, token):
                return number
    return None


def _read_ticket(rt: RtSession, number: int) -> FoundTicket:
    """The ticket, or the one it was merged into. PermanentError if it is deleted."""
    found = rt.ticket(number)
    if found.status == DELETED:
        raise PermanentError(
            f"ticket #{found.number} at {rt.place} was deleted; restore it, or {ANEW}"
        )
    return found


def _require_mark(rt: RtSession, found: FoundTicket, ticket: TicketRequest) -> None:
    """Check that a ticket is the run's before anything is written to it.

    An account that may write in the landing area could put the number of any ticket into a run of
    its own. A ticket is the run's if one of our own texts in it has the run's mark, or if it or a
    ticket merged into it has the run's subject: as tickets of version 0.1.0, and those that a
    person gives to the run. Raises PermanentError.
    """
    subject = stored_subject(ticket.subject)
    if found.subject == subject:
        return
    authors = rt.authors(found.number, run_mark(ticket.run))
    if authors and rt.me() in authors:
        return
    if subject in rt.merged_subjects(found.number):
        return
    raise PermanentError(
        f"ticket #{found.number} at {rt.place} is not known as the ticket of the run"
        f" {display(ticket.run)}; nothing is written to it; if it is that run's ticket, change its"
        f" subject to `{subject}`; otherwise {ANEW}"
    )


def _other_values(found: FoundTicket, wanted: dict[str, str]) -> dict[str, str]:
    """Current values of the wanted fields that have another value."""
    current = {"Subject": found.subject, "Status": found.status}
    return {name: value for name, value in current.items() if wanted.get(name, value) != value}


def _missing_rights(rt: RtSession, queue: str) -> list[str]:
    """Sentences about the rights that we lack on a queue."""
    if not rt.may_create(queue):
        return [_missing_right("CreateTicket", queue)]
    newest = rt.newest(queue)
    may = rt.ticket(newest).may if newest is not None else set(RIGHTS)
    return [_missing_right(right, queue) for link, right in RIGHTS.items() if link not in may]


def _missing_right(right: str, queue: str) -> str:
    return f"we lack the right {right} on the queue {display(queue)}"


def _search(rt: RtSession, search: Callable[[], T], *, tried: bool) -> T:
    """Result of `search`, repeated after a pause if the text may be about to appear.

    RT executes a request even if its client no longer waits. When RT becomes responsive again, that
    request and our search wait side by side, and RT may answer the search first.
    """
    for _ in range(SEARCHES - 1):
        found = search()
        waited, rt.longest = rt.longest, 0.0
        if found or (waited < PROMPT and not tried):
            return found
        tried = False
        time.sleep(min(max(waited, PAUSE), LONGEST_PAUSE))
    return search()
