"""Moments as flags, logs and documents spell them: ISO 8601, in UTC."""

from __future__ import annotations

from datetime import UTC, datetime


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
