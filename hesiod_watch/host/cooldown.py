"""What the processes of this host remember together for a minute, beside the flags: that somebody
does not answer.

Hundreds of runs may have something for a tracker that is away, and each attempt may take as long as
a timeout. So the first one says so here, and the others of that minute take its word. A file that
is lost costs one attempt; one that is not understood is none.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from hesiod_watch.core.errors import HesiodError
from hesiod_watch.core.records import loads
from hesiod_watch.host.locks import lock_directory

LONGEST = timedelta(seconds=60)
"""For which others' word is taken; not so long that what works again is missed."""


def known_outage(landing: Path, what: str) -> str:
    """Why something was found not to answer a moment ago; "" when nothing is known."""
    try:
        record = loads(_file(landing, what).read_bytes())
        until, why = float(record["until"]), str(record["why"])
    except (OSError, ValueError, KeyError, TypeError, HesiodError):
        return ""
    now = time.time()
    return why if now < until <= now + LONGEST.total_seconds() else ""


def note_outage(landing: Path, what: str, why: str, last: timedelta) -> None:
    """Say to the others that something does not answer, for as long as `last`, but not for long.
    Never raises.
    """
    until = time.time() + min(last, LONGEST).total_seconds()
    with suppress(OSError, HesiodError):
        path = _file(landing, what)
        temporary = path.with_name(f"{path.name}.{os.getpid()}")
        temporary.write_text(json.dumps({"until": until, "why": why}))
        temporary.replace(path)


def outage_over(landing: Path, what: str) -> None:
    """Say that it answers. Never raises."""
    with suppress(OSError, HesiodError):
        _file(landing, what).unlink(missing_ok=True)


def first_today(landing: Path, what: str) -> bool:
    """Whether this is said for the first time within a day on this host; where that cannot be
    known, it is.
    """
    try:
        path = _file(landing, what)
        if 0 <= time.time() - path.stat().st_mtime < timedelta(days=1).total_seconds():
            return False
    except (OSError, HesiodError):
        pass
    with suppress(OSError, HesiodError):
        _file(landing, what).write_text("")
    return True


def _file(landing: Path, what: str) -> Path:
    name = hashlib.sha256(os.fsencode(what)).hexdigest()[:16]
    return lock_directory(landing) / f"outage-{name}"
