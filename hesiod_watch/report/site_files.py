"""Render the metrics and the overview page of a site, as a process of its own.

The deciding process starts it, so that it never loads templates and the library for metrics. It
reads the state from standard input and writes the contents of both files to standard output. All
that it loads and makes stays until its end, so Python does not search it for garbage.
"""

from __future__ import annotations

import gc
import pickle
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from hesiod_watch.core.watch_state import SiteTotals, WatchState


def site_files(
    state: WatchState,
    totals: SiteTotals,
    others: tuple[WatchState, ...],
    title: str,
    made_at: datetime,
) -> tuple[bytes, bytes]:
    """Return the metrics and the page of a state that has the runs to list.

    `totals` are those of all runs; `others` are the states of the other processes.
    """
    from hesiod_watch.report.metrics import metrics_text
    from hesiod_watch.report.site import render_site

    page = render_site(state, totals, title=title, made_at=made_at)
    return metrics_text(state, totals, others), page.encode("utf-8", "backslashreplace")


if __name__ == "__main__":
    gc.disable()
    # Only the process that starts this one writes to its standard input.
    contents = site_files(*pickle.load(sys.stdin.buffer))  # noqa: S301
    sys.stdout.buffer.write(pickle.dumps(contents))
    gc.freeze()
