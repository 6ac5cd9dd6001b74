"""Attempt at repeatable work: begin it, log its command, and record how it ended.

Every action that may be repeated works inside `attempt_at`. Its steps:

1. Begin the attempt, or raise FlagExists while another one is under way. The new flag contains the
   part of the former result that must survive if this attempt is killed, and since when the work
   has been failing.
2. Write the command into the log.
3. Perform the work. It replaces `result` as soon as it knows more.
4. End the attempt as done or failed, with the last `result` and with `AttemptEnd`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Generic

from hesiod_watch.actions import Job, command_of
from hesiod_watch.core.errors import HesiodError, TemporaryError
from hesiod_watch.core.logfields import fields
from hesiod_watch.core.naming import display
from hesiod_watch.core.ownership import Attempt
from hesiod_watch.core.results import AttemptEnd, R
from hesiod_watch.core.system_errors import translated
from hesiod_watch.core.times import iso, time_of
from hesiod_watch.host.runlog import RunLog
from hesiod_watch.runs import flags

logger = logging.getLogger(__name__)

Clock = Callable[[], datetime]
LONGEST = 4000
"""Longest reason in a flag, in characters; the log has all of it."""


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass
class OpenAttempt(Generic[R]):
    """An attempt under way. The work sets these fields; the last values are recorded."""

    former: Attempt | None  # the attempt before
    before: R  # result of the attempt before; empty without one
    result: R
    require_current: Callable[[], None]  # raises TemporaryError if it was overtaken
    reason: str = ""  # how the attempt ended; "": the text of the error, if there is one
    failed: bool = False  # the work failed without raising an error
    needs_person: bool | None = None


@contextmanager
def attempt_at(
    job: Job,
    work: str,
    kind: type[R],
    carry: Callable[[R], R] = lambda before: before,
    *,
    log: RunLog | None = None,
    clock: Clock = utc_now,
    must_end: bool = True,
    unneeded: Callable[[flags.FlagListing], bool] | None = None,
) -> Iterator[OpenAttempt[R]]:
    """Perform an attempt at `work` in the body of a `with` statement.

    The attempt begins with what `carry` keeps of the result before it. Without `must_end`, an end
    that cannot be recorded is only logged: the end of this process shows it. `unneeded`: see
    `flags.begin_attempt`.

    Raises FlagExists while another attempt is under way, and what `flags.begin_attempt` raises.
    """
    former: Attempt | None = None
    with suppress(FileNotFoundError):  # `begin_attempt` raises an error that says more
        former = flags.read_flags(job.pipeline).attempt(work, job.judge)
    before, failing_since = kind.of(former), _failing_since(former)
    require_current = partial(flags.require_attempt, job.pipeline, work, job.owner)
    attempt = OpenAttempt(former, before, carry(before), require_current)
    lock = flags.attempt_lock(job.config.landing, job.run_dir, job.cell, job.config.locks)
    flags.begin_attempt(
        job.pipeline,
        work,
        job.owner,
        lock=lock,
        judge=job.judge,
        record=attempt.result.record() | AttemptEnd(failing_since=failing_since).record(),
        unneeded=unneeded,
    )
    outcome: flags.AttemptOutcome = "failed"
    unforeseen = "it ended early"
    try:
        if log:
            log.command(command_of(job))
        with translated(f"{job.action} of {display(job.run_dir.name)}"):
            yield attempt
        unforeseen = ""
        outcome = "failed" if attempt.failed else "done"
    except HesiodError as error:
        attempt.reason = attempt.reason or str(error)
        attempt.needs_person = not isinstance(error, TemporaryError)
        raise
    finally:
        ended = clock()
        end = AttemptEnd(
            (attempt.reason or unforeseen)[:LONGEST],
            attempt.needs_person,
            iso(ended),
            str(job.cell or ""),
            failing_since=_first_failure(failing_since, ended) if outcome == "failed" else "",
        )
        record = attempt.result.record() | end.record()
        try:
            flags.end_attempt(job.pipeline, work, job.owner, outcome, record)
        except HesiodError as error:
            if must_end:
                raise
            logger.info(
                "attempt not ended", extra=fields(run=job.run_dir.name, cell=job.cell, why=error)
            )


def _failing_since(former: Attempt | None) -> str:
    """When the work began to fail, by the record of the attempt before; "" if it does not."""
    end = AttemptEnd.of(former)
    failed = former is not None and former.outcome == "failed"
    return end.failing_since or (end.ended if failed else "")


def _first_failure(since: str, ended: datetime) -> str:
    """The end of the first failure in a row; a time in the future is the mistake of a clock."""
    known = time_of(since)
    return since if known and known <= ended else iso(ended)
