"""Overview page: the runs of a site, those with problems first.

Of the finished runs it lists the latest; a page of all runs of many years would be large and slow.
The service and the poll write it beside their state file. It loads itself again each minute,
without a script, and says when it should have been made again: a page that is not made any more
must not look like a quiet site.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from hesiod_watch.core.attention import Attention
from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.model import Stage
from hesiod_watch.core.naming import display
from hesiod_watch.core.times import iso
from hesiod_watch.core.watch_state import RunSummary, SiteTotals, WatchState
from hesiod_watch.report.page import render
from hesiod_watch.report.run import TONES

REFRESH = 60
"""Seconds after which the page loads itself again."""
_ORDER = {"bad": 0, "warn": 1, "busy": 2, "good": 3, "none": 4}


@frozen
class SitePageRow:
    """Row of a run."""

    summary: RunSummary
    tone: str
    blocked: int  # number of things in it that need a person; the page lists them above
    why: str  # why it has its status; "" if nothing is to be said

    @property
    def cells(self) -> str:
        """Number of cells at each stage, in words."""
        counts = self.summary.cells
        return ", ".join(f"{counts[stage]:,} {stage}" for stage in Stage if counts.get(stage))


def render_site(
    state: WatchState, totals: SiteTotals, *, title: str = "", made_at: datetime
) -> str:
    """Render the page as one HTML document, with a row for each run of `state`.

    `totals` are those of all runs; `made_at` has a time zone.
    """
    person = sorted(
        (each for each in state.attention if each.needs_person),
        # Trouble of the whole site often explains that of its runs.
        key=lambda each: (bool(each.run), each.since is None, each.since or made_at, each.subject),
    )
    rows = _rows(state, person)
    pages = {run.run: run.page for run in state.runs}
    return render(
        "site.html",
        refresh=REFRESH,
        title=title,
        tone="bad" if person else "good",
        person=[
            (each, iso(each.since) if each.since else "", pages.get(display(each.run), ""))
            for each in person
        ],
        rows=rows,
        runs=totals.runs,
        cells=sum(totals.cells.values()),
        processed=totals.cells.get(Stage.PROCESSED, 0),
        reads=totals.reads,
        bases=totals.bases,
        made_at=iso(made_at),
        last_look=iso(state.last_look),
        due=iso(state.next_due) if state.next_due else "",
        who=state.who,
        program=f"hesiod-watch {state.version}",
    )


def _rows(state: WatchState, person: list[Attention]) -> list[SitePageRow]:
    """Rows of the runs: by tone, the latest name first, because names begin with a date."""
    blocked = Counter(display(each.run) for each in person)
    rows = []
    for run in sorted(state.runs, key=lambda run: run.run, reverse=True):
        number = blocked[run.run]
        tone = "bad" if number else TONES.get(run.status, "warn")
        why = "" if number or run.status == "complete" else run.why
        rows.append(SitePageRow(run, tone, number, why))
    return sorted(rows, key=lambda row: _ORDER[row.tone])
