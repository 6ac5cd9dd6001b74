"""Times in flags, logs and documents (ISO 8601, UTC), and waiting times counted from them.

A clock is sometimes wrong, and a record outlives the clock that dated it. So a recorded time never
delays work by more than one waiting time. Every rule that waits uses `rested` or `due_at`: for
them, a waiting time that began in the future is over.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def iso(moment: datetime) -> str:
    """Format a time to the second, such as `2026-11-22T10:00:00Z`. It must have a time zone."""
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def time_of(text: object) -> datetime | None:
    """Parse an ISO time; a text without a zone is in UTC. None if the text is not a time."""
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def time_at(seconds: float) -> datetime | None:
    """Convert a file's time, in seconds since the epoch; None for 0.0 or an impossible time."""
    try:
        moment = datetime.fromtimestamp(seconds, UTC) if seconds else None
    except (OverflowError, ValueError, OSError):
        return None
    # Times in the years 1 and 9999 do not exist in every time zone.
    return moment if moment and 1 < moment.year < 9999 else None


def rested(then: datetime | None, now: datetime, rest: timedelta) -> bool:
    """Whether a waiting time `rest` that began at `then` is over.

    It is over too if `then` is unknown or in the future.
    """
    return then is None or not timedelta(0) <= now - then < rest


def due_at(then: datetime | None, now: datetime, rest: timedelta) -> datetime:
    """Return when a waiting time `rest` that began at `then` ends.

    The result is at most one `rest` from now. It is in the past if the waiting time is over.
    """
    return now if then is None or then > now else then + rest


def rests_until(until: datetime | None, now: datetime, longest: timedelta) -> bool:
    """Whether a recorded end of a waiting time is in the future.

    An end that is further away than the longest waiting time does not count.
    """
    return until is not None and timedelta(0) < until - now <= longest
