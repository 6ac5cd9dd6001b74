"""tell: queue a message for each new event, exactly once under concurrency.

This is short, and runs in the process that decides. A message is a file of the run, so the tracker
may be away for any time. Each message is also a line in the run's log, for people without a
tracker.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import UTC, datetime

from hesiod_watch.actions import Job, Outcome
from hesiod_watch.core.errors import PermanentError
from hesiod_watch.core.events import Event
from hesiod_watch.core.logfields import fields
from hesiod_watch.core.model import Snapshot
from hesiod_watch.core.text import number_of
from hesiod_watch.host.process import iso_now
from hesiod_watch.rules.events import STANDING, addressed, due, happened
from hesiod_watch.rules.message_text import compose, subject
from hesiod_watch.rules.run_types import type_of
from hesiod_watch.runs import flags

logger = logging.getLogger(__name__)


def perform(job: Job) -> Outcome:
    """Queue the messages that are due.

    Raises TemporaryError or PermanentError if some message could not be written; those already
    written stay.
    """
    snapshot = job.snapshot or job.look()
    policy, now = job.config.policy(), datetime.now(UTC)
    if due(snapshot, policy, now):
        snapshot = _begin(job, snapshot)
    reported = 0
    for key in snapshot.outbox.unnumbered if snapshot.outbox else ():
        flags.number(job.pipeline, key)  # its writer was stopped before numbering it
        reported += 1
    refused: PermanentError | None = None
    for event in due(snapshot, policy, now):
        try:
            reported += _queue_message(job, snapshot, event)
        except PermanentError as error:
            # A message that can never be written must not block all later ones.
            refused = refused or error
    if refused:
        raise refused
    return "done" if reported else "nothing"


def _begin(job: Job, snapshot: Snapshot) -> Snapshot:
    """Make sure that the run has an outbox and a type.

    A run adopted by an earlier version, or by Hesiod, may have neither.
    """
    if not snapshot.type and not snapshot.type_problem:
        flags.write_type(job.pipeline, job.config.type_of(job.run_dir.name).name)
    if snapshot.outbox is not None:
        return snapshot
    events = happened(snapshot, job.config.policy(), datetime.now(UTC))
    past = [event.key for event in events if event.name not in STANDING]
    if flags.begin_outbox(job.pipeline, past):
        job.log().line(
            "messages about this run start now; "
            f"{number_of(len(past), 'earlier event')} will not be reported"
        )
    run_type, type_problem = flags.read_type(job.pipeline)
    outbox = flags.read_outbox(job.pipeline, flags.read_flags(job.pipeline), (), job.judge)
    return replace(snapshot, type=run_type, type_problem=type_problem, outbox=outbox)


def _queue_message(job: Job, snapshot: Snapshot, event: Event) -> bool:
    policy = job.config.policy()
    run_type = type_of(snapshot, policy)
    if event.begun:
        event = replace(event, begun_text=flags.read_text(job.pipeline, event.begun))
    text = compose(event, snapshot, run_type.name, job.config.notify.report_url)
    record = {
        "event": event.name,
        "cell": str(event.cell) if event.cell else "",
        "subject": subject(snapshot),
        "channels": addressed(event.name, snapshot, policy),
        "time": iso_now(),
        "host": job.owner.host,
        "version": job.owner.version,
        "text": text,
    }
    if not flags.put_message(job.pipeline, event.key, record):
        return False
    job.log().line(f"reported {event.name}: {text.splitlines()[0]}")
    logger.info("reported", extra=fields(run=job.run_dir.name, cell=event.cell, event=event.name))
    return True
