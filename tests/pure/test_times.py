"""Waiting times counted from recorded times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hesiod_watch.core.times import due_at, rested, rests_until, time_at

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@given(
    then=st.none() | st.datetimes(timezones=st.just(UTC)),
    rest=st.timedeltas(timedelta(0), timedelta(days=366)),
)
def test_one_function_for_every_rule(then: datetime | None, rest: timedelta) -> None:
    """Work waits only after a time less than one waiting time ago; `due_at` agrees with that."""
    assert rested(then, NOW, rest) == (then is None or not timedelta(0) <= NOW - then < rest)
    assert (due_at(then, NOW, rest) <= NOW) == rested(then, NOW, rest)
    assert due_at(then, NOW, rest) <= NOW + rest


@pytest.mark.parametrize("seconds", [0.0, 1e12, 1e300, -1e300, float("inf"), float("nan")])
def test_impossible_file_times(seconds: float) -> None:
    """A file system may give any number as a time; a number without a date is not a time."""
    assert time_at(seconds) is None


@pytest.mark.parametrize(
    ("ahead", "rests"),
    [(-1, False), (0, False), (1, True), (3600, True), (3601, False)],
    ids=["past", "now", "in a second", "at the longest time", "after the longest time"],
)
def test_ends_of_waiting_times(ahead: int, rests: bool) -> None:
    """An end of a waiting time that is further away than the longest one does not count."""
    assert rests_until(NOW + timedelta(seconds=ahead), NOW, timedelta(hours=1)) is rests
    assert not rests_until(None, NOW, timedelta(hours=1))
