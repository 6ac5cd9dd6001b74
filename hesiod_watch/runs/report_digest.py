"""Digest in a report.html: it identifies the state of the run that the page shows.

The observer reads it from every run at every pass. So this module imports nothing heavy and never
raises. A report that is missing, half-written, or replaced by a link or a pipe has no digest, and
is made again.
"""

from __future__ import annotations

import re
from pathlib import Path

from hesiod_watch.host.files import read_head

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
        found = _META.search(read_head(path, HEAD))
    except (OSError, ValueError):  # ValueError: a NUL or a lone surrogate in the path
        return None
    return found.group(1).decode("ascii") if found else None
