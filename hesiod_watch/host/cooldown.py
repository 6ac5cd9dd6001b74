"""Host-wide one-minute cache of services that do not answer.

Hundreds of runs may have messages for a tracker that is down, and each attempt may last a full
timeout. So the first process records the failure here, and the others use its record for a minute.
A lost file costs one attempt; a file that cannot be parsed is ignored. The flags are independent of
this cache.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hesiod_watch.core.errors import HesiodError
from hesiod_watch.core.records import loads
from hesiod_watch.core.times import due_until, rested, time_at
from hesiod_watch.host.files import directory, replace_whole
from hesiod_watch.host.locks import lock_directory

LONGEST = timedelta(seconds=60)
"""Longest time for which a record is used; short, so that a repaired service is soon noticed."""


def known_outage(landing: Path, what: str, locks: Path | None = None) -> str:
    """Reason why a service recently did not answer; "" if no failure is recorded."""
    try:
        record = loads(_file(landing, what, locks).read_bytes())
        until, why = time_at(float(record["until"])), str(record["why"])
    except (OSError, ValueError, KeyError, TypeError, HesiodError):
        return ""
    now = datetime.now(UTC)
    return why if due_until(until, now, LONGEST) > now else ""


def note_outage(
    landing: Path, what: str, why: str, last: timedelta, locks: Path | None = None
) -> None:
    """Record for all processes of this host that a service does not answer. Never raises.

    The record is used for `last`, but never longer than LONGEST.
    """
    until = time.time() + min(last, LONGEST).total_seconds()
    with suppress(OSError, HesiodError):
        path = _file(landing, what, locks)
        content = json.dumps({"until": until, "why": why}).encode()
        with directory(path.parent) as parent:
            replace_whole(parent, path.name, content, durable=False)


def outage_over(landing: Path, what: str, locks: Path | None = None) -> None:
    """Record that the service answers. Never raises."""
    with suppress(OSError, HesiodError):
        _file(landing, what, locks).unlink(missing_ok=True)


def first_today(landing: Path, what: str, locks: Path | None = None) -> bool:
    """Whether this is the first report within a day on this host; True if unknown."""
    try:
        path = _file(landing, what, locks)
        if not rested(time_at(path.stat().st_mtime), datetime.now(UTC), timedelta(days=1)):
            return False
    except (OSError, HesiodError):
        pass
    with suppress(OSError, HesiodError):
        _file(landing, what, locks).write_text("")
    return True


def _file(landing: Path, what: str, locks: Path | None) -> Path:
    name = hashlib.sha256(os.fsencode(what)).hexdigest()[:16]
    return lock_directory(landing, locks) / f"outage-{name}"
