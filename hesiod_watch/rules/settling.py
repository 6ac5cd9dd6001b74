"""Settling of a cell: data that changed after the final_summary must rest before they count.

MinKNOW writes the final_summary last. If data are younger, the cell is being copied here in another
order, and a file may have its final name while it grows. All ages are by the clock of the file
system that has the data.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from hesiod_watch.core.model import Cell
from hesiod_watch.core.times import due_at, rested, time_at

QUIET = 60.0
"""Seconds without a change after which a file counts as finished."""


def settles_at(cell: Cell, now: datetime) -> datetime | None:
    """Return when data younger than the final_summary have rested; None if they have, or none are.

    `now` is by the clock of this host, which may be wrong. So the action that records the cell asks
    the file system again.
    """
    due = due_at(_changed(cell), now, timedelta(seconds=QUIET))
    return due if due > now else None


def has_settled(changed: float, now: float) -> bool:
    """Whether a file that changed at `changed` has rested; both by the file system's clock."""
    moment = time_at(now)
    return moment is None or rested(time_at(changed), moment, timedelta(seconds=QUIET))


def settling_words(cell: Cell) -> str:
    """Return why a complete cell is not recorded as complete yet; "" for every other cell."""
    if cell.unsettled_since is None or not (cell.completeness and cell.completeness.proven):
        return ""
    return (
        "files changed after its final_summary arrived; "
        f"it counts as complete when they are unchanged for {QUIET:.0f} s"
    )


def _changed(cell: Cell) -> datetime | None:
    return None if cell.unsettled_since is None else time_at(cell.unsettled_since)
