"""Child processes that run this program, and their logs. No shell is used."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from hesiod_watch.host.files import open_or_create


def own_command(*arguments: str) -> tuple[str, ...]:
    """Command line that runs this program, independent of PATH."""
    return (sys.executable, "-m", "hesiod_watch", *arguments)


def own_module(name: str) -> tuple[str, ...]:
    """Command line that runs one module of this program."""
    return (sys.executable, "-m", f"hesiod_watch.{name}")


def open_log(log: Path | None) -> int:
    """Open a log for the output of a process; without one, or on an error, it is discarded."""
    if log is not None:
        try:
            return open_or_create(log, os.O_WRONLY | os.O_APPEND)
        except OSError:
            pass  # The work matters more than its log. The worker's own lines say what failed.
    return os.open(os.devnull, os.O_WRONLY)
