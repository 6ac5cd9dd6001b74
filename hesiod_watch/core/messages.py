"""Interface of message channels: a delivery, the state of a ticket, and the channel's duties.

A message is first written as a file of its run (`pipeline/messages/`). It is pending until each of
its channels has delivered it. So a channel stores nothing, may be killed at any moment, and is
called again until it succeeds. In return, a channel searches for the token of a message before it
sends a message that an earlier attempt may have sent.

This module only defines the interface. Each channel has its own module, which imports its client
library only when it is needed.
"""

from __future__ import annotations

from typing import Literal, Protocol

from hesiod_watch.core.frozen import frozen


@frozen
class Delivery:
    """One message for a channel to deliver."""

    number: int
    """Position of the message within the run, from 1."""
    token: str
    """Permanent unique identifier of the message: 32 characters of [0-9a-f]."""
    event: str
    """Name of the reported event, such as `cell-done`."""
    kind: Literal["comment", "reply"]
    """A comment is only for the staff of the facility; a reply also reaches the requestors."""
    text: str
    """Plain text; it may contain any character."""
    tried: bool = False
    """Whether an earlier delivery is known to have ended without an answer.

    The channel searches for the message in any case. If this is True it searches longer, because
    the receiving service may still be working on the message.
    """


@frozen
class TicketRequest:
    """Wanted state of a run's ticket, independent of its messages."""

    run: str
    """Name of the run."""
    queue: str
    subject: str
    """One line, unique to the run; the channel checks again that it is one line."""
    requestors: tuple[str, ...] = ()
    """Mail addresses of the requestors, for a ticket that the channel opens."""
    cc: tuple[str, ...] = ()
    status: str = ""
    """Status in the channel's own words; "" leaves the status as it is."""


@frozen
class DeliveryReceipt:
    """Confirmation that a message was delivered exactly once."""

    ticket: int | None
    """Number that identifies the ticket from now on; None if the channel has no tickets."""
    note: str = ""
    """Hint for a person despite the delivery, such as an omitted address."""


class Channel(Protocol):
    """Channel that delivers messages to people, such as a ticket tracker.

    `TemporaryError` means: retry later, without limit. `PermanentError` means: a person must first
    do what the error says; a retry does no harm. The caller ensures that each run has only one
    caller at a time.
    """

    name: str

    def deliver(
        self, ticket: TicketRequest, known: int | None, message: Delivery
    ) -> DeliveryReceipt:
        """Find or open the run's ticket, and send the message unless the ticket contains it.

        `known` is the ticket number that an earlier delivery returned, if any. The caller passes
        messages in order, and each one again until it is delivered.
        """
        ...

    def keep(self, ticket: TicketRequest, known: int) -> str:
        """Update subject and status of ticket `known`. Returns a hint for a person, or ""."""
        ...

    def check(self) -> tuple[bool | None, str]:
        """Check for `doctor` whether the channel works now.

        Returns the result and a sentence; None if the check was not possible. A channel that does
        not work is a result, not an exception.
        """
        ...
