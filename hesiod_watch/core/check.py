"""Result of one check by `hesiod-watch doctor`: on this host, an upstream or a backup."""

from __future__ import annotations

from hesiod_watch.core.frozen import frozen


@frozen
class Check:
    """Result of one check."""

    name: str
    ok: bool | None  # None: neither good nor bad, or the check was not possible
    # A sentence without a full stop: the finding, and for a bad one what to do about it.
    says: str
