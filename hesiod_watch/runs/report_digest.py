"""Digest in a report.html: it identifies the state of the run that the page shows.

The observer reads it from every run at every pass. So this module imports nothing heavy and never
raises. A report that is missing, half-written, or replaced by a link or a pipe has no digest, and
is made again.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

HEAD = 1024
"""Bytes at the start of the page that contain the digest."""

META_NAME = "hesiod-watch:covers"

DIGEST = re.compile(r"[0-9a-f]{8,128}")
"""Form of a digest; anything else is refused on writing and ignored on reading."""

_META = re.compile(rb'<meta name="' + META_NAME.encode() + rb'" content="([0-9a-f]{8,128})">')


def read_report_digest(path: Path) -> str | None:
    """Digest of the page at `path`; None if there is no page of ours. Never raises.

    Symlinks are not followed and special files are not opened.
    """
    try:
        found = _META.search(_head(path))
    except (OSError, ValueError):  # ValueError: a NUL or a lone surrogate in the path
        return None
    return found.group(1).decode("ascii") if found else None


def _head(path: Path) -> bytes:
    """First bytes of a regular file; empty for anything else. Raises OSError, ValueError."""
    if not stat.S_ISREG(os.lstat(path).st_mode):
        return b""
    # Between lstat and open another process may put a link or a FIFO there. The open flags refuse
    # a link and do not wait for a FIFO, and fstat checks the file that was really opened.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb", buffering=0) as page:
        return page.read(HEAD) if stat.S_ISREG(os.fstat(descriptor).st_mode) else b""
