"""Times in flags, logs and documents (ISO 8601, UTC), and waiting times counted from them.

A clock is sometimes wrong, and a record outlives the clock that dated it. So a recorded time never
delays work by more than one waiting time. Every rule that waits uses `rested` or `due_at`: for
them, a waiting time that began in the future, or at an unknown time, is over. `BackOff` says how
long work rests after a failure.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hesiod_watch.core.frozen import frozen


def iso(moment: datetime) -> str:
    """Format a time to the second, such as `2026-11-22T10:00:00Z`. It must have a time zone."""
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def time_of(text: object) -> datetime | None:
    """Parse an ISO time; a text without a zone is in UTC. None if the text is not a time."""
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    if moment.year == 1:
        return None  # no waiting time can be subtracted from it
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


def due_until(until: datetime | None, now: datetime, longest: timedelta) -> datetime:
    """Return a recorded end of a waiting time; `now` if it is past or more than `longest` ahead."""
    return now if until is None or rested(until - longest, now, longest) else until


@frozen
class BackOff:
    """Waiting times after failures: the first one, multiplied each time, up to the longest."""

    first: timedelta
    longest: timedelta
    factor: int = 2

    def rest(self, attempts: int, *, needs_person: bool = False) -> timedelta:
        """Return the waiting time after so many failures; the longest if only a person helps."""
        if needs_person:
            return self.longest
        times: int = self.factor ** min(max(attempts - 1, 0), 20)
        return min(self.first * times, self.longest)
