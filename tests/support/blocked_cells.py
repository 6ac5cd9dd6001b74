"""Times and attempts of cells that are judged for what is blocked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from snapshots import attempt

from hesiod_watch.core.model import Policy
from hesiod_watch.core.ownership import Owner

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
POLICY = Policy(grace=3600.0, quiet=86400.0)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def at(seconds: float) -> float:
    """Time of a file that long ago."""
    return ago(seconds).timestamp()


def failing(seconds: float, **record: Any) -> Any:
    """An attempt that failed so long after the first of the failures in a row."""
    since = ago(60 + seconds).isoformat()
    return ended("failed", needs_person=False, reason="rot", failing_since=since, **record)


def ended(outcome: str, seconds: float = 60.0, **record: Any) -> Any:
    owner = Owner("t", time=ago(seconds).isoformat())
    return attempt(outcome, owner=owner, **{"ended": ago(seconds).isoformat(), **record})
