"""Start times of reads: their bins and the earliest, whichever of them are parsed fully."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import permutations

import pytest

from hesiod_watch.fastq.start_times import StartTimes
from hesiod_watch.fastq.statistics import YIELD_SECONDS


def _microseconds(text: str) -> int:
    moment = datetime.fromisoformat(text)
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1_000_000)


@pytest.mark.parametrize(
    "texts",
    [
        pytest.param(
            ("2024-05-01T12:00:00Z", "2024-05-01T12:00:59Z", "2024-05-01T12:03:10Z"),
            id="whole seconds",
        ),
        pytest.param(
            ("2024-05-01T12:00:07.25Z", "2024-05-01T12:00:07Z", "2024-05-01T12:00:07.5Z"),
            id="parts of one second",
        ),
        pytest.param(
            ("2024-05-01T12:00:30+01:00", "2024-05-01T11:00:29Z", "2024-05-01T10:59:59.9+00:00"),
            id="zones",
        ),
        pytest.param(
            ("2024-05-01T12:09:00Z", "2024-05-01T12:01:00Z", "2024-05-01T11:30:00Z"),
            id="an earlier bin",
        ),
    ],
)
def test_the_first_start_does_not_depend_on_the_order(texts: tuple[str, ...]) -> None:
    """In any order of reads the earliest start is found, and each read is in its own bin."""
    for order in permutations(texts):
        clock = StartTimes()
        bins = clock.bins([text.encode() for text in order], len(order))
        assert clock.first == min(map(_microseconds, texts))
        assert bins.tolist() == [
            _microseconds(text) // (YIELD_SECONDS * 1_000_000) for text in order
        ]
