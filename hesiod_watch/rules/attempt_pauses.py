"""Pauses between attempts at a cell: a worker that dies again and again is not started at once.

Only a death that the worker's starter saw causes a pause. A worker that died together with its
service or its host is replaced at once: the pause protects against a crash loop, not against a
reboot.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from hesiod_watch.core.model import Cell, Policy, Stage
from hesiod_watch.core.ownership import Claim, Liveness
from hesiod_watch.core.times import due_at, iso, rested, time_at, time_of
from hesiod_watch.rules.stages import stage_of

DAY = timedelta(days=1)


def is_orphan(cell: Cell) -> bool:
    """Whether a claimed cell has no worker: its owner is proven dead, or every claim released."""
    claim = cell.flags.claim
    return stage_of(cell) is Stage.PROCESSING and (claim is None or claim.liveness is Liveness.DEAD)


def attempts_today(cell: Cell, now: datetime) -> int:
    """Count the claims of the last 24 hours that were not released.

    A claim without a usable time counts as recent.
    """
    return sum(1 for claim in cell.flags.claims if not claim.yielded and _within_a_day(claim, now))


def attempt_due(cell: Cell, policy: Policy, now: datetime) -> datetime | None:
    """When the next attempt at a cell may begin; None if it has a worker or no attempt is left."""
    attempts = attempts_today(cell, now)
    if not is_orphan(cell) or attempts >= policy.attempts_per_day:
        return None
    claim = cell.flags.claim
    if claim is None or claim.death is None or not policy.attempt_pauses:
        return now
    pause = policy.attempt_pauses[:attempts][-1:] or policy.attempt_pauses[:1]
    return due_at(time_of(claim.death.time), now, timedelta(seconds=pause[0]))


def pause_words(cell: Cell, policy: Policy, now: datetime) -> str:
    """Sentence about a cell that waits for its next attempt; "" for any other cell."""
    due, claim = attempt_due(cell, policy, now), cell.flags.claim
    if due is None or due <= now or claim is None:
        return ""
    return f"{claim.evidence}; attempt {next_epoch(cell)} starts at {iso(due)}"


def next_epoch(cell: Cell) -> int:
    return max((claim.epoch for claim in cell.flags.claims), default=0) + 1


def _within_a_day(claim: Claim, now: datetime) -> bool:
    """Whether a claim is less than a day old.

    The time of the owner's clock counts. If it is unknown or in the future, the time of the file
    system counts.
    """
    time = time_of(claim.owner.time) if claim.owner else None
    if time is None or time > now:
        time = time_at(claim.made) or time
    return time is None or not rested(time, now, DAY)
