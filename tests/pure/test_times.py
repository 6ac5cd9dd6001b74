"""Waiting times counted from recorded times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hesiod_watch.core.times import BackOff, due_at, due_until, rested, time_at

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
    until = NOW + timedelta(seconds=ahead)
    assert due_until(until, NOW, timedelta(hours=1)) == (until if rests else NOW)
    assert due_until(None, NOW, timedelta(hours=1)) == NOW


@given(attempts=st.integers(), first=st.timedeltas(timedelta(0), timedelta(days=366)))
def test_back_off(attempts: int, first: timedelta) -> None:
    """Rests after failures never become shorter, and none is longer than the longest."""
    back_off = BackOff(first, timedelta(days=366))
    assert back_off.rest(1) == first
    assert first <= back_off.rest(attempts) <= back_off.rest(attempts + 1) <= back_off.longest
    assert back_off.rest(attempts, needs_person=True) == back_off.longest
