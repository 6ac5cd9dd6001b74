"""notify: deliver a run's messages, in order, each channel for itself, and write down what each has
got.

In a process of its own, because a tracker may take its time or stop half-way; nothing but later
messages of the same run and channel waits for it. One process at a time delivers for a run, by its
flag; the channels are asked not to send what they have already. Killed anywhere, the next round
goes on with the message that has no mark yet.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Literal

from hesiod_watch.actions import Job, Outcome, command_of
from hesiod_watch.config import TRACKER
from hesiod_watch.core.errors import HesiodError, PermanentError, TemporaryError
from hesiod_watch.core.logfields import fields
from hesiod_watch.core.messages import Channel, Delivery, TicketRequest
from hesiod_watch.core.model import Outbox, OutboxMessage, Snapshot, Status
from hesiod_watch.host.cooldown import known_outage, note_outage, outage_over
from hesiod_watch.host.locks import alone_on_this_host
from hesiod_watch.host.process import iso_now
from hesiod_watch.notify.registry import open_channels
from hesiod_watch.rules import delivery
from hesiod_watch.rules.delivery import DeliveryFailure
from hesiod_watch.rules.events import is_told_complete
from hesiod_watch.rules.message_text import subject
from hesiod_watch.rules.run_types import type_of
from hesiod_watch.rules.stages import status_of
from hesiod_watch.runs import flags
from hesiod_watch.runs.observe import observe

logger = logging.getLogger(__name__)


def perform(job: Job) -> Outcome:
    """Raises FlagExists while somebody delivers, HesiodError where the flags cannot be written.

    That a channel takes nothing is no error of this action: it is written down, and tried again
    when the plan says.
    """
    snapshot = _look(job)
    if snapshot.outbox is None or not delivery.due_channels(snapshot.outbox, datetime.now(UTC)):
        return "nothing"
    former = delivery.delivery_failures(snapshot.outbox)
    died = snapshot.outbox.round is not None and not snapshot.outbox.round.ending
    alone = partial(alone_on_this_host, job.config.landing, job.run_dir.name)
    flags.begin_attempt(
        job.pipeline, flags.NOTIFY, job.owner, alone=alone, record=delivery.record_of(former)
    )
    found = former
    try:
        job.log().command(command_of(job))
        found = _deliver(job, former, died=died)
    finally:
        ending: flags.AttemptOutcome = "failed" if found else "done"
        flags.end_attempt(job.pipeline, flags.NOTIFY, job.owner, ending, delivery.record_of(found))
    return "done"


def _channels(job: Job) -> tuple[str, ...]:
    return tuple(job.config.notify.kinds())


def _look(job: Job) -> Snapshot:
    return observe(job.run_dir, job.config.output, channels=_channels(job))


def _deliver(
    job: Job, former: Mapping[str, DeliveryFailure], *, died: bool
) -> dict[str, DeliveryFailure]:
    """What is wrong with which channel when all that can be delivered is. `died`: so did the last
    one who tried.
    """
    snapshot = _look(job)  # again: somebody may have delivered until the round was ours
    outbox = snapshot.outbox or Outbox()
    now = datetime.now(UTC)
    channels = open_channels(job.config)
    troubles = {}
    for name in _channels(job):
        letters = outbox.waiting_for(name)
        before = former.get(name)
        if letters and before and delivery.rests(before, now):
            troubles[name] = before
        elif letters:
            recipient = _Recipient(job, name, channels[name], _ticket(job, snapshot))
            if trouble := recipient.take(letters, before, tried=died or before is not None):
                troubles[name] = trouble
    return troubles


@dataclass(frozen=True)
class _Recipient:
    """One channel that gets a run's messages."""

    job: Job
    name: str
    channel: Channel
    ticket: TicketRequest

    def take(
        self, letters: tuple[OutboxMessage, ...], before: DeliveryFailure | None, *, tried: bool
    ) -> DeliveryFailure | None:
        """Deliver them in order. Why that came to an end before the last one; None: it did not.

        `before` is what was wrong the last time, `tried` says that the first of them may be there
        already.
        """
        landing = self.job.config.landing
        shortest = timedelta(seconds=self.job.config.notify.retry)
        person = False
        try:
            if why := known_outage(landing, self.name):
                raise TemporaryError(why)
            for letter in letters:
                self._hand_over(
                    letter, tried=tried and letter is letters[0], last=letter is letters[-1]
                )
                outage_over(landing, self.name)
            return None
        except TemporaryError as error:
            why = str(error)
            note_outage(landing, self.name, why, shortest)
        except HesiodError as error:
            why, person = str(error), True
        except Exception as error:
            # A bug, or a library that raises what it does not announce: other channels and other
            # runs go on.
            logger.exception(
                "a bug while delivering", extra=fields(run=self.job.run_dir.name, channel=self.name)
            )
            why, person = f"a bug in hesiod-watch: {type(error).__name__}: {error}", True
        self.job.log().line(f"not delivered to {self.name}: {why}")
        return delivery.after(before, why, datetime.now(UTC), shortest, needs_person=person)

    def _hand_over(self, letter: OutboxMessage, *, tried: bool, last: bool) -> None:
        """Deliver one message and write that down. Raises what the channel raises."""
        pipeline = self.job.pipeline
        if letter.problem:
            mark = f"{letter.number:04d}.{self.name}.delivered"
            raise PermanentError(
                f"{letter.problem}; or pass it over: touch {pipeline}/messages/{mark}"
            )
        known, problem = flags.read_ticket(pipeline) if self.name == TRACKER else (None, "")
        if problem:
            raise PermanentError(problem)
        kind: Literal["comment", "reply"] = (
            "reply" if letter.channels[self.name] == "reply" else "comment"
        )
        message = Delivery(
            letter.number, letter.token, letter.event, kind, letter.text, tried=tried
        )
        delivered = self.channel.deliver(self.ticket, known, message)
        if self.name == TRACKER and known is None and delivered.ticket is not None:
            flags.write_ticket(pipeline, delivered.ticket)
        if last and delivered.ticket is not None:
            # Before the mark: should the answer be lost, this is done again, and the message is not
            # sent again.
            self._keep(delivered.ticket)
        record = {
            "time": iso_now(),
            "host": self.job.owner.host,
            "ticket": delivered.ticket,
            "note": delivered.note,
        }
        flags.mark_delivered(pipeline, letter, self.name, record)
        where = f" ticket {delivered.ticket}" if delivered.ticket is not None else ""
        note = f"; {delivered.note}" if delivered.note else ""
        self.job.log().line(
            f"delivered {letter.number:04d} {letter.event} to {self.name}{where}{note}"
        )

    def _keep(self, number: int) -> None:
        try:
            note = self.channel.keep(self.ticket, number)
        except PermanentError as error:  # the message has arrived all the same
            note = str(error)
        if note:
            self.job.log().line(f"{self.name} ticket {number}: {note}")


def _ticket(job: Job, snapshot: Snapshot) -> TicketRequest:
    """How the run's ticket should look now."""
    settings = job.config.notify.rt
    status, _ = status_of(snapshot)
    known = status is not Status.COMPLETE or is_told_complete(snapshot)
    return TicketRequest(
        snapshot.run,
        type_of(snapshot, job.config.policy()).queue or settings.queue,
        subject(snapshot),
        settings.requestors,
        settings.cc,
        settings.statuses.get(status, "") if known else "",
    )
