"""The pause of a cell whose worker has died, and of a file that has just changed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from snapshots import cell, claim

from hesiod_watch.core.model import Cell, Policy
from hesiod_watch.core.ownership import Liveness, Owner, WorkerDeath
from hesiod_watch.rules.attempt_pauses import pause_words
from hesiod_watch.rules.settling import has_settled

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
POLICY = Policy(attempt_pauses=(60.0, 300.0), attempts_per_day=3)


def died(seconds: float, *, epoch: int = 1, yielded: bool = False) -> Cell:
    """A cell whose last worker was seen to die so long ago."""
    time = (NOW - timedelta(seconds=seconds)).isoformat()
    claims = tuple(
        claim(
            Liveness.DEAD,
            number,
            owner=Owner("t", time=time),
            evidence="was killed",
            death=WorkerDeath("", time),
            yielded=yielded,
        )
        for number in range(1, epoch + 1)
    )
    return cell(synced=True, claims=claims)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (cell(synced=True), ""),
        (died(59), "was killed; attempt 2 starts at 2026-11-23T12:00:01Z"),
        (died(60), ""),
        (died(61), ""),
        (died(61, epoch=2), "was killed; attempt 3 starts at 2026-11-23T12:03:59Z"),
        (died(61, epoch=3), ""),
        (died(1, yielded=True), ""),
    ],
    ids=["no claim", "in the pause", "at its end", "after it", "longer", "none left", "released"],
)
def test_words_about_a_pause(found: Cell, words: str) -> None:
    """Only a cell in the pause after a death has a sentence: when the next attempt starts."""
    assert pause_words(found, POLICY, NOW) == words


@pytest.mark.parametrize(
    ("age", "settled"), [(0, False), (59.5, False), (60, True), (7e6, True), (-1, True)]
)
def test_a_file_has_settled(age: float, settled: bool) -> None:
    """A file counts as finished after a minute without a change, and if its time is wrong."""
    now = NOW.timestamp()
    assert has_settled(now - age, now) is settled
    assert has_settled(now - age, 0.0)
