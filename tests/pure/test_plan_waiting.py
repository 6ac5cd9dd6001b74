"""Plan: sentences about what a run waits for, and the time of the next look."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from planned_runs import (
    NOT_PROCESSED,
    NOW,
    POLICY,
    PROVEN,
    RUNNING,
    SHORT,
    ago,
    at,
    dead,
    ended,
    listed,
    reported,
    written,
)
from snapshots import attempt, cell, claim, flag

from hesiod_watch.core.model import Policy, Snapshot
from hesiod_watch.core.ownership import Attempt, Liveness, WorkerDeath
from hesiod_watch.rules.plan import comparison_due, look_again, plan

SENTENCES: dict[str, tuple[Snapshot, Policy, list[str]]] = {
    "a problem": (
        reported(problem="permission denied", has_pipeline=False),
        POLICY,
        ["permission denied"],
    ),
    "flags": (
        reported(flags=frozenset({"stripped", "failed"})),
        POLICY,
        [
            "the run is flagged failed: nothing is started until a person removes the flag",
            "the run is flagged stripped: nothing is started until a person removes the flag",
        ],
    ),
    "no output": (
        reported(output=None),
        POLICY,
        ["the output directory is missing: nothing is started without it"],
    ),
    "no output, with a reason": (
        reported(output=None, output_problem="permission denied"),
        POLICY,
        ["permission denied: nothing is started without it"],
    ),
    "a sync in doubt": (
        listed(sync=attempt(liveness=Liveness.UNKNOWN, evidence="on another host")),
        POLICY,
        [
            "a sync was begun, and its owner can neither be seen alive nor proven dead (on another"
            " host); if you have checked that it is dead, remove /landing/run/pipeline/sync.started"
        ],
    ),
    "a type that is not processed": (
        reported(cell(synced=True)),
        NOT_PROCESSED,
        ["its type is visitor, and runs of that type are not processed"],
    ),
    "a type that is not processed, all settled": (
        reported(cell(done=flag()), cell("b", failed=flag(""))),
        NOT_PROCESSED,
        ["lib/b: failed"],
    ),
    "an unknown type": (
        reported(cell(), type="guest"),
        NOT_PROCESSED,
        [
            "/landing/run/pipeline/type.yaml says type guest, which is not configured; the run is"
            " treated like any other"
        ],
    ),
    "an owner in doubt": (
        reported(cell(claims=(claim(Liveness.UNKNOWN, evidence="on another host"),))),
        POLICY,
        [
            "lib/cell: claimed, and its owner can neither be seen alive nor proven dead (on another"
            " host); if you have checked that it is dead, say so with `hesiod-watch release`"
        ],
    ),
    "an owner that lives": (reported(cell(claims=(claim(),))), POLICY, []),
    "a pause": (
        reported(cell(claims=(dead(1, 600, death=WorkerDeath("killed", ago(20))),))),
        POLICY,
        ["lib/cell: no such process; attempt 2 starts at 2026-11-22T22:00:40Z"],
    ),
    "a second copy": (
        listed(cell(present=False, upstream=True, copy_of="run/lib/a")),
        POLICY,
        ["lib/cell: not copied: a second copy of a cell: run/lib/a; a person decides"],
    ),
    "lost": (
        listed(cell(present=False, upstream=True, synced=True)),
        POLICY,
        [
            "lib/cell: its data are missing here, and its flags prevent another copy; to have it"
            " copied again, remove its flags"
        ],
    ),
    "new": (listed(cell(present=False, upstream=True)), POLICY, []),
    "failed": (reported(cell(failed=flag("no space"))), POLICY, ["lib/cell: failed: no space"]),
    "not at rest": (
        reported(cell(completeness=PROVEN, unsettled_since=at(59))),
        POLICY,
        [
            "lib/cell: files changed after its final_summary arrived; it counts as complete when"
            " they are unchanged for 60 s"
        ],
    ),
    "short": (
        reported(cell(completeness=SHORT, summary_since=at(3599))),
        POLICY,
        ["lib/cell: 1 of 3 FASTQ files missing"],
    ),
    "short for long": (
        reported(cell(completeness=SHORT, summary_since=at(3600))),
        POLICY,
        [
            "lib/cell: 1 of 3 FASTQ files missing; the grace period is over, a person should look",
        ],
    ),
    "short, and partly here": (
        listed(cell(upstream=True, completeness=SHORT, summary_since=at(3599))),
        POLICY,
        [],
    ),
    "short for long, and partly here": (
        listed(cell(upstream=True, completeness=SHORT, summary_since=at(3600))),
        POLICY,
        [
            "lib/cell: 1 of 3 FASTQ files missing; the grace period is over, a person should look",
        ],
    ),
    "running": (reported(cell(completeness=RUNNING, summary_since=at(9999))), POLICY, []),
}


@pytest.mark.parametrize("case", SENTENCES)
def test_what_is_waited_for(case: str) -> None:
    """A run has one sentence for each unusual thing that it waits for, and no other."""
    snapshot, policy, expected = SENTENCES[case]
    assert list(plan(snapshot, policy, NOW).waiting) == expected


LOOKS: dict[str, tuple[Snapshot, float | None]] = {
    "settled": (reported(cell(done=flag())), None),
    "flagged": (reported(cell(claims=(claim(),)), flags=frozenset({"aborted"})), None),
    "not taken up": (reported(cell(claims=(claim(),)), upstream=None), None),
    "being processed": (reported(cell(claims=(claim(),))), 5.0),
    "a pause": (
        reported(cell(claims=(dead(1, 600, death=WorkerDeath("killed", ago(20))),))),
        40.0,
    ),
    "a pause that is nearly over": (
        reported(cell(claims=(dead(1, 600, death=WorkerDeath("killed", ago(58))),))),
        5.0,
    ),
    "short since a moment": (reported(cell(completeness=SHORT, summary_since=at(0))), 1.0),
    "short for 40 seconds": (reported(cell(completeness=SHORT, summary_since=at(40))), 10.0),
    "short for 10 minutes": (reported(cell(completeness=SHORT, summary_since=at(600))), 60.0),
    "short, by a clock ahead": (reported(cell(completeness=SHORT, summary_since=at(-9))), 1.0),
    "short, and the grace period ends": (
        reported(cell(completeness=SHORT, summary_since=at(3590))),
        10.001,
    ),
    "partly here, and the grace period ends": (
        listed(cell(upstream=True, completeness=SHORT, summary_since=at(3590))),
        10.001,
    ),
    "compared in vain": (
        reported(cell(done=flag(), checksums=ended("failed", 3000))),
        600.0,
    ),
    "compared in vain long ago": (
        reported(cell(done=flag(), checksums=ended("failed", 3600))),
        None,
    ),
    "not at rest": (
        reported(cell(completeness=PROVEN, unsettled_since=at(50))),
        10.0,
    ),
    "written": (reported(written(changed=0)), 60.0),
    "ingested": (reported(written(ended("done", 20))), 40.0),
    "ingested in vain": (reported(written(ended("failed", 20))), 60.0),
    "to be ingested": (reported(written()), 60.0),
    "two cells": (reported(written(), cell("b", claims=(claim(),))), 5.0),
    "two cells in the other order": (reported(cell("b", claims=(claim(),)), written()), 5.0),
    "a batch": (
        reported(cell("a", done=flag("", at(0.5))), cell("b", synced=True), report_digest="x"),
        1.5,
    ),
}


@pytest.mark.parametrize("case", LOOKS)
def test_when_to_look_again(case: str) -> None:
    """The next look is at the first time at which the plan may change without an event."""
    snapshot, seconds = LOOKS[case]
    due = look_again(snapshot, POLICY, NOW)
    assert due == (None if seconds is None else NOW + timedelta(seconds=seconds))
    assert plan(snapshot, POLICY, NOW).look_again == due


def test_cells_are_looked_at_without_ingest() -> None:
    """Without ingest a cell that is being written is looked at by events only."""
    policy = replace(POLICY, ingest_interval=None)
    assert look_again(reported(written()), policy, NOW) is None


@pytest.mark.parametrize(
    ("last", "seconds"),
    [
        (None, 0.0),
        (attempt(), 0.0),
        (ended("done", 10), 0.0),
        (ended("failed", 10), 3590.0),
        (ended("failed", 3600), 0.0),
        (ended("failed", -10), 0.0),
    ],
    ids=["never", "under way", "agreed", "differs", "differs for an hour", "by a clock ahead"],
)
def test_when_to_compare_again(last: Attempt | None, seconds: float) -> None:
    """A comparison that failed is repeated after an hour, because it reads the whole cell."""
    assert comparison_due(last, NOW) == NOW + timedelta(seconds=seconds)
