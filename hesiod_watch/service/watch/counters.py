"""What happened since the start, in numbers: the service logs them when it stops."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class WatchCounters:
    """Counts since the start, except `watches` and `refused`, which are of now."""

    events: int = 0  # that the kernel delivered, wanted or not
    dropped: int = 0  # of these: files that are no final_summary
    overflows: int = 0  # times the kernel lost events and said so
    handler_errors: int = 0
    restarts: int = 0  # of the thread that reads events
    watches: int = 0
    refused: int = 0  # directories that could not be watched
    sweeps: int = 0
    found_by_sweep: int = 0  # entries that a sweep found and no event announced until the next
    missed: int = 0  # of these: where an event should have come
    vanished: int = 0  # times the landing area was not there any more
