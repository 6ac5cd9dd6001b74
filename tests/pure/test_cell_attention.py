"""What is blocked in a cell that waits for its data: kind, beginning, and facts."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from blocked_cells import NOW, POLICY, ago, at, ended, failing
from snapshots import attempt, cell, claim, flag, run

from hesiod_watch.core.cell_contents import (
    Completeness,
    DataKind,
    FinalSummary,
    Shortfall,
    Verdict,
)
from hesiod_watch.core.circumstances import Circumstances
from hesiod_watch.core.model import Cell, IngestState, QuarantinedName
from hesiod_watch.rules.cell_attention import attention_of_cell, overdue_attention

THERE = "host:/data/Exp"
HERE = "/landing/run/lib/cell"
SYNCED = "/landing/run/pipeline/cell.synced"
RUNNING = Completeness(Verdict.RUNNING, "still running: no final_summary yet")
SHORT = Completeness(
    Verdict.SHORT, "1 of 2 FASTQ files missing", (Shortfall(DataKind.FASTQ, 1, 2),)
)


def overdue(found: Completeness, **facts: Any) -> Cell:
    """A cell whose final_summary arrived two hours ago."""
    return cell(completeness=found, summary_since=at(7200), **facts)


Row = tuple[Cell, dict[str, Any], dict[str, Any], list[tuple[str, datetime | None, dict[str, str]]]]
OVERDUE = {
    "why": SHORT.why,
    "arrived": "2026-11-23T10:00:00Z",
    "landing": HERE,
    "to": HERE,
    "missing_kinds": "FASTQ",
    "places": HERE,
    "synced": SYNCED,
    "lost": SHORT.why,
}
ALIVE = claim()

CASES: dict[str, Row] = {
    "nothing": (cell(), {}, {}, []),
    "aborted": (overdue(SHORT, aborted=flag()), {}, {}, []),
    "failed": (
        cell(failed=flag("no space", at(60))),
        {},
        {},
        [("failed", ago(60), {"why": "no space"})],
    ),
    "failed without a reason": (
        cell(failed=flag("", at(60))),
        {},
        {},
        [("failed", ago(60), {"why": "processing failed and needs a person"})],
    ),
    "failed in a stopped run": (
        cell(failed=flag("no space", at(60))),
        {"flags": frozenset({"failed"})},
        {},
        [("failed", ago(60), {"why": "no space"})],
    ),
    "overdue in a stopped run": (overdue(SHORT), {"flags": frozenset({"failed"})}, {}, []),
    "overdue in an unknown run": (overdue(SHORT), {"upstream": None}, {}, []),
    "overdue": (overdue(SHORT), {}, {}, [("overdue", ago(3600), OVERDUE)]),
    "not overdue yet": (cell(completeness=SHORT, summary_since=at(3599)), {}, {}, []),
    "overdue during a sync": (overdue(SHORT), {"upstream": THERE, "sync": attempt()}, {}, []),
    "overdue, from an upstream": (
        overdue(SHORT),
        {"upstream": THERE, "sync": ended("failed")},
        {},
        [
            (
                "overdue",
                ago(3600),
                {
                    **{key: value for key, value in OVERDUE.items() if key != "synced"},
                    "to": f"{THERE}/lib/cell; the next sync copies them",
                    "places": f"{THERE}/lib/cell and out of {HERE}",
                },
            )
        ],
    ),
    "overdue, and all is copied": (
        overdue(SHORT),
        {"upstream": THERE, "sync": ended("done")},
        {},
        [
            (
                "overdue",
                ago(3600),
                {
                    **OVERDUE,
                    "to": f"{THERE}/lib/cell; the next sync copies them",
                    "places": f"{THERE}/lib/cell and out of {HERE}",
                },
            )
        ],
    ),
    "surplus": (
        overdue(
            Completeness(Verdict.OVER, "1 more POD5 file", (Shortfall(DataKind.POD5, 3, 2),)),
        ),
        {},
        {},
        [
            (
                "surplus-files",
                ago(3600),
                {
                    **{k: v for k, v in OVERDUE.items() if k not in ("missing_kinds", "lost")},
                    "why": "1 more POD5 file",
                    "surplus_kinds": "POD5",
                    "surplus": "1 more POD5 file",
                },
            )
        ],
    ),
    "in the fallback folder": (
        overdue(
            Completeness(Verdict.FALLBACK, "1 file in the fallback folder", fallback={"fastq": 1})
        ),
        {"upstream": THERE},
        {},
        [
            (
                "fallback",
                ago(3600),
                {
                    "why": "1 file in the fallback folder",
                    "arrived": "2026-11-23T10:00:00Z",
                    "landing": HERE,
                    "fallback_to": f"{THERE}/lib/cell; the next sync copies them",
                    "to": f"{THERE}/lib/cell; the next sync copies them",
                    "places": f"{THERE}/lib/cell and out of {HERE}",
                    "synced": SYNCED,
                    "in_fallback": "1 file in the fallback folder",
                },
            )
        ],
    ),
    "damaged": (
        overdue(Completeness(Verdict.DAMAGED, "1 file differs")),
        {},
        {},
        [
            (
                "overdue",
                ago(3600),
                {
                    "why": "1 file differs",
                    "arrived": "2026-11-23T10:00:00Z",
                    "landing": HERE,
                    "damaged_in": HERE,
                    "to": HERE,
                    "places": HERE,
                    "synced": SYNCED,
                    "lost": "1 file differs",
                },
            )
        ],
    ),
    "a summary that cannot be read": (
        overdue(
            Completeness(
                Verdict.UNREADABLE,
                "half-written",
                summaries=(FinalSummary("a\n", problem="x"), FinalSummary("b", problem="y")),
            )
        ),
        {},
        {},
        [
            (
                "unreadable-summary",
                ago(3600),
                {
                    "why": "half-written",
                    "arrived": "2026-11-23T10:00:00Z",
                    "landing": HERE,
                    "bad_summaries": "a\\n and b",
                    "to": HERE,
                    "places": HERE,
                    "synced": SYNCED,
                    "unknown": "the program cannot tell which files would be missing",
                },
            )
        ],
    ),
    "a summary without numbers": (
        overdue(
            Completeness(Verdict.UNREADABLE, "no number", summaries=(FinalSummary("a"),)),
        ),
        {},
        {},
        [
            (
                "unreadable-summary",
                ago(3600),
                {
                    "why": "no number",
                    "arrived": "2026-11-23T10:00:00Z",
                    "landing": HERE,
                    "empty_in": HERE,
                    "to": HERE,
                    "places": HERE,
                    "synced": SYNCED,
                    "unknown": "the program cannot tell which files would be missing",
                },
            )
        ],
    ),
    "a directory that cannot be read": (
        overdue(Completeness(Verdict.UNREADABLE, "permission denied")),
        {},
        {},
        [
            (
                "unreadable-files",
                ago(3600),
                {
                    "why": "permission denied",
                    "arrived": "2026-11-23T10:00:00Z",
                    "landing": HERE,
                    "unreadable": HERE,
                    "to": HERE,
                    "places": HERE,
                    "synced": SYNCED,
                    "unknown": "the program cannot tell which files would be missing",
                },
            )
        ],
    ),
    "a cell without final_summary that cannot be read": (
        cell(completeness=Completeness(Verdict.UNREADABLE, "permission denied")),
        {},
        {},
        [("unreadable-data", None, {"why": "permission denied", "unreadable": HERE})],
    ),
    "links": (
        overdue(replace(SHORT, why="1 missing; links and special files are not followed")),
        {},
        {},
        [
            (
                "overdue",
                ago(3600),
                {
                    **{k: v for k, v in OVERDUE.items() if k != "missing_kinds"},
                    "why": "1 missing; links and special files are not followed",
                    "linked_in": HERE,
                    "lost": "1 missing; links and special files are not followed",
                },
            )
        ],
    ),
    "quiet": (
        cell(completeness=RUNNING, changed=at(90000)),
        {},
        {},
        [
            (
                "quiet",
                ago(3600),
                {
                    "last_file": "2026-11-22T11:00:00Z",
                    "why": RUNNING.why,
                    "to": HERE,
                    "synced": SYNCED,
                },
            )
        ],
    ),
    "quiet for a day": (
        cell(completeness=RUNNING, changed=at(86400), has_data=False),
        {},
        {},
        [
            (
                "never-started",
                NOW,
                {
                    "last_file": "2026-11-22T12:00:00Z",
                    "why": RUNNING.why,
                    "to": HERE,
                    "synced": SYNCED,
                },
            )
        ],
    ),
    "not quiet": (cell(completeness=RUNNING, changed=at(86399)), {}, {}, []),
    "quiet since an unknown time": (cell(completeness=RUNNING), {}, {}, []),
    "quiet, and not all is copied": (
        cell(completeness=RUNNING, changed=at(90000), upstream=True),
        {"upstream": THERE},
        {},
        [
            (
                "quiet",
                ago(3600),
                {
                    "last_file": "2026-11-22T11:00:00Z",
                    "why": RUNNING.why,
                    "to": f"{THERE}/lib/cell; the next sync copies them",
                },
            )
        ],
    ),
    "ingest failed": (
        cell(
            completeness=RUNNING,
            arriving=IngestState(1, last_attempt=ended("failed", needs_person=True, reason="rot")),
        ),
        {},
        {},
        [("ingest-failed", ago(60), {"why": "rot", "landing": HERE})],
    ),
    "ingest failed in a directory that cannot be read": (
        cell(
            completeness=Completeness(Verdict.UNREADABLE, "pod5: permission denied"),
            arriving=IngestState(1, last_attempt=ended("failed", needs_person=True, reason="rot")),
        ),
        {},
        {},
        [("ingest-failed", ago(60), {"why": "pod5: permission denied", "landing": HERE})],
    ),
    "ingest fails for an hour": (
        cell(completeness=RUNNING, arriving=IngestState(1, last_attempt=failing(3600))),
        {},
        {},
        [("ingest-failed", ago(3660), {"why": "rot", "landing": HERE})],
    ),
    "ingest failed for a moment": (
        cell(arriving=IngestState(1, last_attempt=ended("failed", needs_person=False))),
        {},
        {},
        [],
    ),
    "ingest done": (
        cell(arriving=IngestState(1, last_attempt=ended("done", needs_person=True))),
        {},
        {},
        [],
    ),
    "a second copy": (
        cell(present=False, upstream=True, copy_of="run/lib/a"),
        {"upstream": THERE},
        {},
        [
            (
                "second-copy",
                None,
                {"why": "run/lib/a", "wanted": "/landing/run/pipeline/cell.wanted"},
            )
        ],
    ),
    "new": (cell(present=False, upstream=True), {"upstream": THERE}, {}, []),
    "lost": (
        cell(present=False, synced=True),
        {},
        {},
        [
            (
                "data-lost",
                None,
                {
                    "listed": "no upstream lists it",
                    "landing": HERE,
                    "stem": "cell",
                    "aside": "/landing/run/pipeline/attic/by-hand",
                },
            )
        ],
    ),
    "lost here": (
        cell(present=False, upstream=True, failed=flag()),
        {"upstream": THERE, "listed_at": THERE},
        {},
        [
            (
                "data-lost",
                None,
                {
                    "listed": "its upstream lists it",
                    "landing": HERE,
                    "pipeline": "/landing/run/pipeline",
                    "stem": "cell",
                    "aside": "/landing/run/pipeline/attic/by-hand",
                },
            )
        ],
    ),
    "lost, and its upstream was not asked": (
        cell(library="?", present=False, claims=(ALIVE,)),
        {"upstream": THERE},
        {},
        [
            (
                "data-lost",
                None,
                {
                    "listed": "its upstream's listing is not known here",
                    "landing": "its library in /landing/run",
                    "pipeline": "/landing/run/pipeline",
                    "stem": "cell",
                    "aside": "/landing/run/pipeline/attic/by-hand",
                },
            )
        ],
    ),
    **{
        f"not seen: {name}": (
            cell(present=False, synced=True),
            {"quarantined": (QuarantinedName(name, "x", kind),)},
            {},
            [],
        )
        for name, kind in (("other", "unreadable"), ("lib", "link"), ("b/cell", "doubled"))
    },
    "not seen, for another reason": (
        cell(present=False, synced=True),
        {"quarantined": (QuarantinedName("cell/b", "x", "link"),)},
        {},
        [
            (
                "data-lost",
                None,
                {
                    "listed": "no upstream lists it",
                    "landing": HERE,
                    "stem": "cell",
                    "aside": "/landing/run/pipeline/attic/by-hand",
                },
            )
        ],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_blocked(case: str) -> None:
    """Each cause gives its entries, with the time of its beginning and its facts."""
    only, facts, around, expected = CASES[case]
    snapshot = run(only, **facts)
    found = list(attention_of_cell(snapshot, only, Circumstances(**around), POLICY, NOW))
    assert [(each.kind, each.since) for each in found] == [row[:2] for row in expected]
    for each, (_, _, known) in zip(found, expected, strict=True):
        assert (each.run, each.cell) == ("run", str(only.id))
        assert each.facts == {**known, "run": "run", "cell": str(only.id)}


def test_several_kinds_of_files() -> None:
    """Kinds of files that are missing, and those that are too many, are named together."""
    counts = tuple(
        Shortfall(kind, found, 2)
        for kind, found in (
            *((DataKind.FASTQ, 1), (DataKind.BAM, 0)),
            *((DataKind.POD5, 3), (DataKind.FAST5, 4)),
        )
    )
    several = overdue(Completeness(Verdict.SHORT, "2 kinds are short", counts))
    facts = overdue_attention(run(several), several).facts
    assert facts["missing_kinds"] == "FASTQ and BAM"
    assert facts["surplus_kinds"] == "POD5 and FAST5"


def test_an_overdue_cell_that_is_not_counted() -> None:
    """A message about a cell whose files are away by then says that they cannot be counted."""
    away = cell(present=False)
    assert overdue_attention(run(away), away).facts["why"] == "its files cannot be counted"
