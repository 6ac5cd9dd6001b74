"""Outboxes for tests of other things."""

from __future__ import annotations

from hesiod_watch.core.model import Outbox


class _Everything(frozenset[str]):
    """Holds every key."""

    def __contains__(self, key: object) -> bool:
        return True


ALL_TOLD = Outbox(reported=_Everything())
"""Of a run about which nothing is left to be told."""
