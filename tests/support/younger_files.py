"""Files that are younger than another one, by the change times of a file system that ticks."""

from __future__ import annotations

import os
from pathlib import Path


def make_younger(path: Path, older: Path) -> None:
    """Change `path` until its change time is after that of `older`; its mtime stays old."""
    while path.stat().st_ctime_ns <= older.stat().st_ctime_ns:
        os.utime(path, (1, 1))


def next_tick(place: Path) -> None:
    """Wait for the next tick of the clock of `place`'s file system; its parent gets a file.

    Two changes within one tick look like one, on tmpfs for some milliseconds.
    """
    probe = place.parent / ".tick"
    probe.touch()
    before = probe.stat().st_ctime_ns
    while probe.stat().st_ctime_ns <= before:
        os.utime(probe, (1, 1))


def end_with_summaries(root: Path) -> None:
    """Make the summaries below `root` the last files that changed, as in MinKNOW's order."""
    for summary in root.rglob("final_summary*.txt"):
        summary.touch()
