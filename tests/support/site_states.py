"""States of a site with any number of runs, for its page and its metrics; aged state files."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hesiod_watch.core.attention_kinds import KINDS
from hesiod_watch.core.circumstances import UpstreamAnswer
from hesiod_watch.core.naming import display
from hesiod_watch.core.watch_state import SERVICE, RunSummary, WatchState

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
EVIL = (
    "\u202e\"'><script>alert(1)</script></style></title><img src=x onerror=alert(1)>"
    "<svg onload=alert(1)>javascript:alert(1)\x1b\u2028"
)


def site_state(count: int, *, host: str = "host1", name: str = "") -> WatchState:
    """A site with `count` runs: every seventh is blocked, every third is being processed."""
    runs, attention = [], []
    for number in range(count):
        run = f"2026{1 + number % 12:02d}01_PROM_{name or 'project'}_{number:03d}"
        unfinished = number % 3 == 0
        cells = {"processed": 3, "incomplete": 1} if unfinished else {"processed": 4}
        runs.append(
            RunSummary(
                run=display(run),
                status="incomplete" if unfinished else "complete",
                why=f"{name or 'sample_A'}: still being written",
                cells=cells,
                page=f"../{run}/report.html",
                reads=12_345_678 + number,
                bases=98_765_432_100,
            )
        )
        if number % 7 == 0:
            cell = "sample_A/20261122_2210_1A_PAW00001_0a1b2c3d"
            since = NOW - timedelta(days=1)
            attention.append(
                KINDS["overdue"].about(
                    *(run, cell, since),
                    why=name or "2 files are missing",
                    arrived="29 Nov, 11:00",
                    landing="/landing",
                    bad_summaries="final_summary.txt",
                )
            )
    return WatchState(
        kind=SERVICE,
        host=host,
        landing="/landing",
        last_look=NOW,
        next_due=NOW + timedelta(minutes=10),
        version="1.2.3",
        upstreams=(UpstreamAnswer("up1", "a:/b"), UpstreamAnswer("up2", "a:/c", "no route")),
        attention=tuple(attention),
        runs=tuple(runs),
    )


def state_path(output: Path, kind: str) -> Path:
    """State file of the service or the poll on this host."""
    return output / ".hesiod-watch" / f"{os.uname().nodename}-{kind}.json"


def make_older(path: Path, days: float = 2) -> None:
    """Make a state older, as if its process had stopped then; polls as if cron had made them."""
    document = json.loads(path.read_text())
    last = datetime.now(UTC) - timedelta(days=days)
    times = [(last - timedelta(minutes=5 * number)).isoformat() for number in reversed(range(8))]
    looks = times if document["kind"] == "poll" else []
    document |= {"last_look": last.isoformat(), "looks": looks}
    document["next_due"] = (last + timedelta(minutes=10)).isoformat()
    path.write_text(json.dumps(document))
