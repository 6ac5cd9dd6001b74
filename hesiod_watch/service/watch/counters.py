"""Counts of events and sweeps since the start; the service logs them when it stops."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class WatchCounters:
    """Counts since the start; `watches` and `refused` are the present numbers."""

    events: int = 0  # events that the kernel delivered, wanted or not
    dropped: int = 0  # events of files that are no final_summary
    overflows: int = 0  # times the kernel reported lost events
    handler_errors: int = 0
    restarts: int = 0  # restarts of the thread that reads events
    watches: int = 0
    refused: int = 0  # directories that could not be watched
    sweeps: int = 0
    found_by_sweep: int = 0  # entries found by a sweep and not announced before the next one
    missed: int = 0  # entries found by a sweep although an event was expected
    vanished: int = 0  # times the landing area disappeared
