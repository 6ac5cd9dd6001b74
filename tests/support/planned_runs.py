"""Runs and cells that the plan is tested with, and times before a fixed moment."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from outboxes import ALL_TOLD
from snapshots import attempt, cell, claim, run

from hesiod_watch.core.cell_contents import Completeness, Verdict
from hesiod_watch.core.model import Cell, IngestState, Policy, RunType, Snapshot
from hesiod_watch.core.ownership import Attempt, Liveness, Owner
from hesiod_watch.rules.stages import digest_of_report

NOW = datetime(2026, 11, 22, 22, 0, tzinfo=UTC)
THERE = "host:/data/My Exp"
POLICY = Policy(ingest_interval=60.0)
PROVEN = Completeness(Verdict.PROVEN, "3 of 3 FASTQ files", output_hashes=True)
SHORT = Completeness(Verdict.SHORT, "1 of 3 FASTQ files missing")
RUNNING = Completeness(Verdict.RUNNING, "still running: no final_summary yet")
NOT_PROCESSED = replace(POLICY, types=(RunType("visitor", ".*", process=False),))


def reported(*cells: Cell, **facts: Any) -> Snapshot:
    """A run whose events are all reported, and whose page is up to date."""
    found = run(*cells, **({"outbox": ALL_TOLD} | facts))
    return replace(found, report_digest=facts.get("report_digest", digest_of_report(found)))


def listed(*cells: Cell, **facts: Any) -> Snapshot:
    return reported(*cells, **({"upstream": THERE, "listed_at": THERE} | facts))


def ago(seconds: float) -> str:
    return (NOW - timedelta(seconds=seconds)).isoformat()


def at(seconds: float) -> float:
    """Time of a file that long ago."""
    return NOW.timestamp() - seconds


def ended(outcome: str, seconds: float, **record: Any) -> Attempt:
    """An attempt that began and ended that long ago."""
    return attempt(outcome, owner=Owner("t", time=ago(seconds)), ended=ago(seconds), **record)


def dead(epoch: int, seconds: float, **facts: Any) -> Any:
    owner = Owner("token", time=ago(seconds))
    return claim(Liveness.DEAD, epoch, owner=owner, evidence="no such process", **facts)


def written(last: Attempt | None = None, *, changed: int = 2, name: str = "cell") -> Cell:
    """A cell that is being written, with files of reads."""
    return cell(name, completeness=RUNNING, arriving=IngestState(changed, 0, 0, last))
