"""Which state of the run a report.html shows: the digest it carries in its first kilobyte.

The observer asks this of every run at every look, so nothing heavy is imported and nothing can
raise: a report that is missing, half-written, replaced by a link or by a pipe simply covers
nothing, and is made again.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

HEAD = 1024
"""Bytes at the start of the page within which the digest stands."""

META_NAME = "hesiod-watch:covers"

DIGEST = re.compile(r"[0-9a-f]{8,128}")
"""What a digest looks like; anything else is refused when it is written and ignored when it is
read.
"""

_META = re.compile(rb'<meta name="' + META_NAME.encode() + rb'" content="([0-9a-f]{8,128})">')


def read_report_digest(path: Path) -> str | None:
    """The digest that the page at `path` carries, or None where there is no page of ours. Never
    raises.

    Symlinks are not followed and special files are not opened.
    """
    try:
        found = _META.search(_head(path))
    except (OSError, ValueError):  # ValueError: a NUL or a lone surrogate in the path
        return None
    return found.group(1).decode("ascii") if found else None


def _head(path: Path) -> bytes:
    """The first bytes of a regular file; nothing for anything else. OSError and ValueError pass
    through.
    """
    if not stat.S_ISREG(os.lstat(path).st_mode):
        return b""
    # Between lstat and open somebody may put a link or a FIFO there: the flags refuse the one and
    # do not wait for the other, and fstat looks at what was really opened.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb", buffering=0) as page:
        return page.read(HEAD) if stat.S_ISREG(os.fstat(descriptor).st_mode) else b""
