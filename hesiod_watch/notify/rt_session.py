"""Requests to Request Tracker over REST 2, with the package `rt`.

Import this module late: importing `rt` is slow.

The package and RT mislead in ways that this module and `rt_errors` handle:

- a search without results may be reported as "not found" (RT 5.0.5 and later give no number of
  pages);
- a query for the texts of a missing ticket returns the texts of all tickets;
- RT confirms changes that it did not make; only reading again shows the result.

RT may have executed a request whose answer is lost. TemporaryError does not say whether it has:
search before repeating the request.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, urlsplit

import rt.exceptions
import rt.rest2

from hesiod_watch.core.errors import PermanentError
from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.naming import display
from hesiod_watch.notify.rt_errors import translated
from hesiod_watch.notify.rt_http import client
from hesiod_watch.rules.rt_text import ANEW, quoted, ticket_query

REST = "/REST/2.0/"
OURS = "EffectiveId > 0 AND Creator = '__CurrentUser__'"
"""TicketSQL for our own tickets. RT hides merged ones from a search without EffectiveId."""


@frozen
class FoundTicket:
    """A ticket in Request Tracker."""

    number: int
    """Differs from the number asked for if that ticket was merged into this one."""
    subject: str
    status: str
    people: int
    """Number of its requestors and Ccs."""
    may: frozenset[str]
    """Our rights on it: `comment`, `correspond`, both or neither."""


class RtSession:
    """A connection to RT for one delivery. Raises only TemporaryError and PermanentError."""

    def __init__(
        self,
        url: str,
        *,
        token: str,
        user: str,
        password: str,
        ca_bundle: Path | None,
        proxy: str,
        timeout: float,
    ) -> None:
        url = rest_url(url)
        self.place = url.removesuffix(REST)
        self.longest = 0.0
        """Seconds that the slowest answer has taken; the reader may reset it."""
        self._rt = rt.rest2.Rt(url)
        self._rt.session.close()  # its own session would use proxies from the environment
        self._rt.session = client(
            token=token,
            user=user,
            password=password,
            ca_bundle=ca_bundle,
            proxy=proxy,
            timeout=timeout,
        )

    def __enter__(self) -> RtSession:
        return self

    def __exit__(self, *_: object) -> None:
        self._rt.session.close()

    def ticket(self, number: int) -> FoundTicket:
        """A ticket, or the one that it was merged into. PermanentError if there is none."""
        missing = (
            f"there is no ticket #{number}, or we lack the right ShowTicket; give it, or {ANEW}"
        )
        with self._request(f"for ticket #{number}", forbidden=missing, missing=missing):
            answer = self._rt.get_ticket(number)
            return FoundTicket(
                int(answer["id"]),
                str(answer["Subject"]),
                str(answer["Status"]),
                len(answer["Requestor"]) + len(answer["Cc"]),
                frozenset(
                    {"comment", "correspond"} & {link["ref"] for link in answer["_hyperlinks"]}
                ),
            )

    def tickets(self, queue: str, subject: str) -> list[tuple[int, str]]:
        """Number and status of the tickets with exactly this subject, in ascending order.

        Deleted tickets are not found. A missing queue has no tickets.
        """
        with self._request(f"for tickets of {queue}"):
            found = self._search(ticket_query(queue, subject))
            return sorted(
                (int(each["id"]), str(each["Status"]))
                for each in found
                if each["Subject"] == subject
            )

    def merged_subjects(self, number: int) -> list[str]:
        """Subjects of the tickets that were merged into this one, and its own subject."""
        with self._request(f"for tickets merged into #{number}"):
            return [str(each["Subject"]) for each in self._search(f"EffectiveId = {number}")]

    def newest(self, queue: str) -> int | None:
        """Number of the newest ticket of a queue; None if we see none."""
        with self._request(f"for tickets of {queue}"):
            return next(
                (
                    int(each["id"])
                    for each in self._search(f"Queue = {quoted(queue)}", "-id", most=1)
                ),
                None,
            )

    def authors(self, number: int, words: str) -> list[str]:
        """Authors of all texts of a ticket that contain `words`, the oldest text first.

        The ticket must exist. `words` has no `%` or `_`, and case is ignored. If RT sends a text by
        mail, that mail is another text, written by RT. Comments are found only if we may see them.
        """
        query = [{"field": "Content", "operator": "LIKE", "value": f"%{words}%"}]
        with self._request(f"for the texts of ticket #{number}"):
            texts: list[Any] = []
            try:
                texts.extend(self._rt.get_attachments(number, query, ["Creator"]))
            except rt.exceptions.NotFoundError as error:
                if error.args:
                    raise
            return [
                str(each["Creator"]["id"])
                for each in sorted(texts, key=lambda each: int(each["id"]))
            ]

    def me(self) -> str | None:
        """Our own name in `authors`; None if we have opened no ticket that we can see."""
        with self._request("for our own tickets"):
            found = self._search(OURS, "-id", most=1, fields=["Creator"])
            return str(found[0]["Creator"]["id"]) if found else None

    def ours(self, most: int) -> list[int]:
        """Numbers of the tickets that we have opened, also of merged ones, the newest first."""
        with self._request("for our own tickets"):
            return [int(each["id"]) for each in self._search(OURS, "-id", most=most)]

    def closed_by(self, number: int) -> str | None:
        """Name of the user who closed a ticket; None if it is not closed, "" if unknown.

        This is the user who set its status last.
        """
        with self._request(f"for the history of ticket #{number}"):
            if not self._search(f"id = {number} AND Status = '__Inactive__'"):
                return None
            history = self._rt.get_ticket_history(number)
            steps = {
                int(each["id"]): str(each["Creator"]["Name"])
                for each in history
                if each["Type"] == "Status"
            }
            return steps[max(steps)] if steps else ""

    def create(
        self, queue: str, subject: str, text: str, requestors: tuple[str, ...], cc: tuple[str, ...]
    ) -> int:
        """Open a ticket. PermanentError if we may not, or if the queue is missing.

        RT reports these two cases in the same way.
        """
        people: dict[str, Any] = {
            name: list(who) for name, who in (("Requestor", requestors), ("Cc", cc)) if who
        }
        refused = (
            f"the queue {display(queue)} is not there, or we lack the right CreateTicket on it"
        )
        with self._request(f"to open a ticket in {queue}", forbidden=refused):
            return self._rt.create_ticket(queue, "text/plain", subject, text, **people)

    def send(self, number: int, kind: Literal["comment", "reply"], text: str) -> None:
        """Write a comment or a reply to an existing ticket."""
        with self._request(f"to take a {kind} to ticket #{number}"):
            (self._rt.comment if kind == "comment" else self._rt.reply)(number, text, "text/plain")

    def edit(self, number: int, **fields: str) -> None:
        """Request other values of fields of a ticket. Read it again to see whether it has them."""
        with self._request(f"to change ticket #{number}"):
            self._rt.edit_ticket(number, **fields)

    def may_create(self, queue: str) -> bool:
        """Whether we may open tickets in a queue. PermanentError if we do not see such a queue."""
        refused = f"the queue {display(queue)} is not there, or we lack the right SeeQueue on it"
        with self._request(f"for the queue {queue}", forbidden=refused, missing=refused):
            where: Any = quote(queue, safe="")
            if "/" in queue:  # RT finds such a queue only by its number
                numbers = [
                    int(each["id"]) for each in self._rt.get_all_queues() if each["Name"] == queue
                ]
                if not numbers:
                    raise rt.exceptions.NotFoundError(queue)
                where = numbers[0]
            return any(link["ref"] == "create" for link in self._rt.get_queue(where)["_hyperlinks"])

    def _search(
        self,
        query: str,
        order: str = "id",
        most: int | None = None,
        fields: Sequence[str] = ("Subject", "Status"),
    ) -> list[dict[str, Any]]:
        found = self._rt.search(raw_query=query, query_format=list(fields), order=order)
        try:
            return list(islice(found, most))
        except rt.exceptions.NotFoundError as error:
            if error.args:
                raise
            return []

    @contextmanager
    def _request(self, what: str, **sentences: str) -> Iterator[None]:
        began = time.monotonic()
        with translated(f"asked Request Tracker at {self.place} {display(what)}", **sentences):
            yield
        self.longest = max(self.longest, time.monotonic() - began)


def rest_url(url: str) -> str:
    """The URL in the form that `rt` needs. PermanentError if it is not a URL.

    `/REST/2.0` may be left out of `url`.
    """
    try:
        parts = urlsplit(url)
        usable = (
            parts.scheme in ("http", "https")
            and parts.hostname
            and parts.port != 0
            and " " not in url
        )
    except ValueError:
        usable = False
    if not usable or not url.isascii() or not url.isprintable() or parts.query or parts.fragment:
        raise PermanentError(
            "the url of Request Tracker should be like https://rt.example.org/REST/2.0/"
        )
    if parts.username is not None or parts.password is not None:
        raise PermanentError(
            "the url of Request Tracker may not contain a user or password;"
            " put them into the credentials"
        )
    return url.rstrip("/").removesuffix(REST.rstrip("/")) + REST
