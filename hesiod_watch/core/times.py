"""Moments as flags, logs and documents spell them (ISO 8601, in UTC), and how long a recorded
moment counts.

Clocks are wrong at times, and a record outlives the clock that dated it. So a recorded time decides
at most one rest: every rule that waits asks `rested` or `due_at`, for which a time in the future is
over.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def iso(moment: datetime) -> str:
    """A moment to the second, such as `2026-11-22T10:00:00Z`. `moment` is aware of its time zone."""
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def time_of(text: object) -> datetime | None:
    """The moment that an ISO text says, in UTC where it names no zone; None where it says none."""
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def time_at(seconds: float) -> datetime | None:
    """The moment of a file's time, in seconds since the epoch; None for 0.0 and for what no
    calendar holds.
    """
    try:
        moment = datetime.fromtimestamp(seconds, UTC) if seconds else None
    except (OverflowError, ValueError, OSError):
        return None
    return (
        moment if moment and 1 < moment.year < 9999 else None
    )  # the other two do not exist in every time zone


def rested(then: datetime | None, now: datetime, rest: timedelta) -> bool:
    """Whether `rest` is over that began at `then`. A time that is not known or is in the future
    holds nothing up.
    """
    return then is None or not timedelta(0) <= now - then < rest


def due_at(then: datetime | None, now: datetime, rest: timedelta) -> datetime:
    """When `rest` is over that began at `then`: at most one rest from now, and in the past where it
    is over.
    """
    return now if then is None or then > now else then + rest


def rests_until(until: datetime | None, now: datetime, longest: timedelta) -> bool:
    """Whether a recorded end of a rest is still to come; one further away than the longest rest is
    not believed.
    """
    return until is not None and timedelta(0) < until - now <= longest
