"""Outboxes for tests of other subjects."""

from __future__ import annotations

from hesiod_watch.core.queued_messages import Outbox


class _Everything(frozenset[str]):
    """A set that contains every key."""

    def __contains__(self, key: object) -> bool:
        return True


ALL_TOLD = Outbox(reported=_Everything())
"""Outbox of a run whose events are all reported."""
