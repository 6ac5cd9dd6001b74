"""Outbox of a run: messages that are queued, and those that were delivered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.ownership import Attempt


@frozen
class OutboxMessage:
    """One message of a run's outbox."""

    number: int  # position within the run, from 1
    key: str  # identifies the event of the message; the name of its file
    event: str = ""
    token: str = ""  # 32 hex digits
    # Channels that deliver it: name of a channel → comment or reply.
    channels: Mapping[str, str] = field(default_factory=dict)
    text: str = ""
    time: str = ""  # time of writing, ISO 8601, UTC
    problem: str = ""  # why the file cannot be delivered in its present form


@frozen
class Outbox:
    """Outbox of a run, `pipeline/messages/`: its queued and its delivered messages."""

    # Keys of all messages, and of events older than the first message.
    reported: frozenset[str] = frozenset()
    # Keys of messages whose writer was stopped before it gave them a number.
    unnumbered: tuple[str, ...] = ()
    last: int = 0  # highest number of a message; 0: there is no message
    newest: str = ""  # key of the message with the highest number
    # Channel → number up to which it has delivered all messages.
    delivered: Mapping[str, int] = field(default_factory=dict)
    channels: tuple[str, ...] = ()  # channels of the configuration, as examined for this snapshot
    waiting: tuple[OutboxMessage, ...] = ()  # messages that at least one channel must still deliver
    last_attempt: Attempt | None = None  # the last delivery, or the one under way
    ticket: int | None = None  # number of the run's ticket in the tracker
    problem: str = ""  # why nothing is known about the messages

    def waiting_for(self, channel: str) -> tuple[OutboxMessage, ...]:
        """Return the messages that a channel must still deliver, in order.

        A message that cannot be read may be for any channel, so every channel includes it.
        """
        after = self.delivered.get(channel, 0)
        return tuple(
            message
            for message in self.waiting
            if message.number > after and (message.problem or channel in message.channels)
        )
