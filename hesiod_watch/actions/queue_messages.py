"""tell: write down what people are to be told, each thing once, whoever else does the same at the
same moment.

Short, and done where it is decided: what is written is a file of the run, so that the tracker may
be away for as long as it likes. Each message is a line in the run's log, too, which is where people
read it who have no tracker.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from hesiod_watch.actions import Job, Outcome
from hesiod_watch.core.errors import PermanentError
from hesiod_watch.core.logfields import fields
from hesiod_watch.core.model import Snapshot
from hesiod_watch.core.text import number_of
from hesiod_watch.host.process import iso_now
from hesiod_watch.rules.events import STANDING, Event, addressed, due, happened
from hesiod_watch.rules.message_text import compose, subject
from hesiod_watch.rules.run_types import type_of
from hesiod_watch.runs import flags
from hesiod_watch.runs.observe import observe

logger = logging.getLogger(__name__)


def perform(job: Job) -> Outcome:
    """Raises TemporaryError or PermanentError when something could not be written; what was written
    stays.
    """
    snapshot = _look(job)
    policy, now = job.config.policy(), datetime.now(UTC)
    if due(snapshot, policy, now):
        snapshot = _begin(job, snapshot)
    told = 0
    for key in snapshot.outbox.unnumbered if snapshot.outbox else ():
        flags.number(job.pipeline, key)  # somebody was stopped between writing it and this
        told += 1
    refused: PermanentError | None = None
    for event in due(snapshot, policy, now):
        try:
            told += _tell(job, snapshot, event)
        except (
            PermanentError
        ) as error:  # one that can never be written must not silence all that follow
            refused = refused or error
    if refused:
        raise refused
    return "done" if told else "nothing"


def _look(job: Job) -> Snapshot:
    return observe(job.run_dir, job.config.output, listed_run=job.listed_run)


def _begin(job: Job, snapshot: Snapshot) -> Snapshot:
    """See that the run has an outbox and a type: one taken up by an earlier version, or by Hesiod,
    may have neither.
    """
    if not snapshot.type and not snapshot.type_problem:
        flags.write_type(job.pipeline, job.config.type_of(job.run_dir.name).name)
    if snapshot.outbox is not None:
        return snapshot
    events = happened(snapshot, job.config.policy(), datetime.now(UTC))
    past = [event.key for event in events if event.name not in STANDING]
    if flags.begin_outbox(job.pipeline, past):
        job.log().line(
            f"people are told about this run from now on, not of {number_of(len(past), 'thing')} that happened before"
        )
    return _look(job)


def _tell(job: Job, snapshot: Snapshot, event: Event) -> bool:
    policy = job.config.policy()
    run_type = type_of(snapshot, policy)
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
    job.log().line(f"told {event.name}: {text.splitlines()[0]}")
    logger.info("told", extra=fields(run=job.run_dir.name, cell=event.cell, event=event.name))
    return True
