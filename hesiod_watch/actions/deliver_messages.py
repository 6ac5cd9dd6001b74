"""notify: deliver a run's messages in order, per channel, and record each delivery.

Delivery runs in its own process, because a tracker may be slow or stop half-way. Only later
messages of the same run and channel wait for it. One process at a time delivers for a run, held by
its flag. Each channel is asked not to send a message that it has already sent. If the process is
killed, the next attempt continues with the first message without a delivery mark.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Literal

from hesiod_watch.actions import Job, Outcome, SiteJob
from hesiod_watch.actions.attempt import attempt_at
from hesiod_watch.config import TRACKER
from hesiod_watch.core.errors import HesiodError, PermanentError, TemporaryError
from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.logfields import fields
from hesiod_watch.core.messages import Channel, Delivery, TicketRequest
from hesiod_watch.core.model import Snapshot, Status
from hesiod_watch.core.queued_messages import Outbox, OutboxMessage
from hesiod_watch.core.results import AttemptEnd, DeliveryFailure, DeliveryRecord
from hesiod_watch.core.text import quoted
from hesiod_watch.host.cooldown import known_outage, note_outage, outage_over
from hesiod_watch.host.process import iso_now
from hesiod_watch.notify.registry import open_channels
from hesiod_watch.rules import delivery
from hesiod_watch.rules.events import is_reported_complete
from hesiod_watch.rules.message_text import subject
from hesiod_watch.rules.run_types import type_of
from hesiod_watch.rules.stages import status_of
from hesiod_watch.runs import flags

logger = logging.getLogger(__name__)


def perform(job: Job) -> Outcome:
    """Deliver the messages that are due.

    Raises FlagExists while another process delivers, HesiodError if the flags cannot be written. A
    channel that accepts nothing is no error of this action: it is recorded, and retried when the
    plan says.
    """
    snapshot = _look(job)
    if snapshot.outbox is None or not delivery.due_channels(snapshot.outbox, datetime.now(UTC)):
        return "nothing"
    with attempt_at(job, flags.NOTIFY, DeliveryRecord, log=job.log()) as attempt:
        former = attempt.former
        died = bool(former and (not former.outcome or AttemptEnd.of(former).died))
        attempt.result = DeliveryRecord(_deliver(job, attempt.result.failures, died=died))
        failures = attempt.result.failures
        attempt.failed = bool(failures)
        attempt.reason = "; ".join(f"{name}: {each.reason}" for name, each in failures.items())
        attempt.needs_person = any(each.needs_person for each in failures.values()) or None
    return "done"


def _channels(job: Job) -> tuple[str, ...]:
    return tuple(job.config.notify.kinds())


def _look(job: Job) -> Snapshot:
    return job.look(_channels(job))


def _deliver(
    job: Job, former: Mapping[str, DeliveryFailure], *, died: bool
) -> dict[str, DeliveryFailure]:
    """Deliver what can be delivered; returns the failure of each channel that has one.

    `died`: the last attempt ended without a record.
    """
    snapshot = _look(job)  # again: another process may have delivered before our attempt began
    outbox = snapshot.outbox or Outbox()
    now = datetime.now(UTC)
    channels = open_channels(job.config)
    failures = {}
    for name in _channels(job):
        messages = outbox.waiting_for(name)
        before = former.get(name)
        if messages and before and delivery.rests(before, now):
            failures[name] = before
        elif messages:
            recipient = _Recipient(job, name, channels[name], _ticket(job, snapshot))
            if failure := recipient.take(messages, before, tried=died or before is not None):
                failures[name] = failure
    return failures


@frozen
class _Recipient:
    """One channel that receives a run's messages."""

    job: Job
    name: str
    channel: Channel
    ticket: TicketRequest

    def take(
        self, messages: tuple[OutboxMessage, ...], before: DeliveryFailure | None, *, tried: bool
    ) -> DeliveryFailure | None:
        """Deliver messages in order; returns the failure that stopped it, or None.

        `before` is the failure of the last attempt. `tried`: the first message may have been sent
        already.
        """
        config = self.job.config
        landing, locks = config.landing, config.locks
        shortest = timedelta(seconds=config.notify.retry)
        needs_person = False
        try:
            if why := known_outage(landing, self.name, locks):
                raise TemporaryError(why)
            for message in messages:
                self._hand_over(
                    message, tried=tried and message is messages[0], last=message is messages[-1]
                )
                outage_over(landing, self.name, locks)
            return None
        except TemporaryError as error:
            why = str(error)
            note_outage(landing, self.name, why, shortest, locks)
        except HesiodError as error:
            why, needs_person = str(error), True
        except Exception as error:
            # A bug, or an undocumented error of a library: other channels and runs continue.
            logger.exception(
                "a bug while delivering", extra=fields(run=self.job.run_dir.name, channel=self.name)
            )
            why, needs_person = f"a bug in hesiod-watch: {type(error).__name__}: {error}", True
        self.job.log().line(f"not delivered to {self.name}: {why}")
        return delivery.after(before, why, datetime.now(UTC), shortest, needs_person=needs_person)

    def _hand_over(self, message: OutboxMessage, *, tried: bool, last: bool) -> None:
        """Deliver one message and record that. Raises the errors of the channel."""
        pipeline = self.job.pipeline
        if message.problem:
            mark = pipeline / f"messages/{message.number:04d}.{self.name}.delivered"
            raise PermanentError(f"{message.problem}; or pass it over: touch {quoted(str(mark))}")
        known, problem = flags.read_ticket(pipeline) if self.name == TRACKER else (None, "")
        if problem:
            raise PermanentError(problem)
        kind: Literal["comment", "reply"] = (
            "reply" if message.channels[self.name] == "reply" else "comment"
        )
        content = Delivery(
            message.number, message.token, message.event, kind, message.text, tried=tried
        )
        delivered = self.channel.deliver(self.ticket, known, content)
        if self.name == TRACKER and known is None and delivered.ticket is not None:
            flags.write_ticket(pipeline, delivered.ticket)
        if last and delivered.ticket is not None:
            # Before the mark: if the response is lost, this is repeated, and the message is not
            # sent again.
            self._keep(delivered.ticket)
        record = {
            "time": iso_now(),
            "host": self.job.owner.host,
            "ticket": delivered.ticket,
            "note": delivered.note,
        }
        flags.mark_delivered(pipeline, message, self.name, record)
        where = f" ticket {delivered.ticket}" if delivered.ticket is not None else ""
        note = f"; {delivered.note}" if delivered.note else ""
        self.job.log().line(
            f"delivered {message.number:04d} {message.event} to {self.name}{where}{note}"
        )

    def _keep(self, number: int) -> None:
        try:
            note = self.channel.keep(self.ticket, number)
        except PermanentError as error:  # the message has arrived all the same
            note = str(error)
        if note:
            self.job.log().line(f"{self.name} ticket {number}: {note}")


def _ticket(job: Job, snapshot: Snapshot) -> TicketRequest:
    """The form that the ticket of the run, or of the site, must have now."""
    settings = job.config.notify.rt
    if isinstance(job, SiteJob):
        name = f"hesiod-watch on {job.owner.host}: {job.config.landing}"
        name = flags.site_subject(job.pipeline, name)
        return TicketRequest(name, settings.queue, name)
    status, _ = status_of(snapshot)
    known = status is not Status.COMPLETE or is_reported_complete(snapshot)
    return TicketRequest(
        snapshot.run,
        type_of(snapshot, job.config.policy()).queue or settings.queue,
        subject(snapshot),
        settings.requestors,
        settings.cc,
        settings.statuses.get(status, "") if known else "",
    )
