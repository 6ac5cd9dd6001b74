"""Where messages about runs go: what is told, how the run's ticket should look, and what every
channel must do.

A message is a file of the run before any channel sees it (`pipeline/messages/`), and stays one
until a channel has delivered it. So a channel keeps nothing, may be killed anywhere, and is asked
again until it answers. What it promises in return: a message whose delivery may have been tried
before is looked for by its token before it is sent.

These are words only; each member has a module of its own, which loads its client library late.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True)
class Delivery:
    """One thing to tell."""

    number: int
    """Its order within the run, from 1."""
    token: str
    """Tells it from every other message for ever: 32 of [0-9a-f]."""
    event: str
    """What it tells of, such as `cell-done`."""
    kind: Literal["comment", "reply"]
    """A comment is for the facility's people only; a reply goes to the requestors too."""
    text: str
    """Plain text, which may hold anything."""
    tried: bool = False
    """Whether an earlier delivery is known to have ended without an answer. The message is looked
    for in any case, but then with more patience: what took it may still be at work on it.
    """


@dataclass(frozen=True, slots=True)
class TicketRequest:
    """How the run's ticket should look, whatever messages there are."""

    run: str
    """Name of the run."""
    queue: str
    subject: str
    """One line; the channel makes sure of that again. Two runs never have the same one."""
    requestors: tuple[str, ...] = ()
    """Mail addresses, for a ticket that has to be opened."""
    cc: tuple[str, ...] = ()
    status: str = ""
    """In the channel's words; "" leaves it alone."""


@dataclass(frozen=True, slots=True)
class DeliveryReceipt:
    """The message is there, once."""

    ticket: int | None
    """The number by which the ticket is found from now on; None where the channel has no such
    thing.
    """
    note: str = ""
    """What a person should know though it was delivered, such as an address that was left out."""


class Channel(Protocol):
    """One way to tell people.

    `TemporaryError` means: again later, as often as it takes. `PermanentError` means: a person must
    do what it says first; asking again does no harm. Whoever calls sees to it that a run has one
    caller at a time.
    """

    name: str

    def deliver(
        self, ticket: TicketRequest, known: int | None, message: Delivery
    ) -> DeliveryReceipt:
        """Find or open the run's ticket, and send the message, unless it is there already.

        `known` is what an earlier delivery returned, if any. Messages are given in order, each
        until it is delivered.
        """
        ...

    def keep(self, ticket: TicketRequest, known: int) -> str:
        """Bring subject and status of ticket `known` into step. Returns a note, "" where all is
        well.
        """
        ...

    def check(self) -> tuple[bool | None, str]:
        """Whether it would work now, for `doctor`; None: it could not be tried. Never raises for
        what is wrong.
        """
        ...
