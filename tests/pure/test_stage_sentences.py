"""Sentences about cells and runs at each stage and status."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from snapshots import attempt, cell, claim, flag, run

from hesiod_watch.core.cell_contents import Completeness, LateData, Verdict
from hesiod_watch.core.model import Cell, QuarantinedName, Snapshot, Status
from hesiod_watch.core.ownership import Liveness, Progress, WorkerDeath
from hesiod_watch.rules.stages import (
    backup_words,
    no_reads,
    status_of,
    why_stage,
)

PROVEN = Completeness(Verdict.PROVEN, "all files announced are here: 3 FASTQ files")
BY_HAND = Completeness(
    Verdict.BY_HAND, "accepted as complete by a person; 1 of 3 FASTQ files missing"
)
DEATH = WorkerDeath("killed by signal 9", "2026-11-22T10:00:00Z")
LATE = LateData({"fastq_pass": 1}, frozenset(), PROVEN)


def done(**record: Any) -> Any:
    return flag(json.dumps(record) if record else "")


def copied(*names: str) -> Any:
    """A backup with a verified copy on each of these backups."""
    copies = [
        {
            "backup": name,
            "identity": "id",
            "device": "device",
            "location": f"/{name}",
            "manifest_md5": "m",
            "raw_digest": "",
            "files": 3,
            "bytes": 5,
            "verified_at": "2026-11-22T10:00:00Z",
            "raw": False,
        }
        for name in names
    ]
    return attempt("done", manifest="m", copies=copies)


SENTENCES: dict[str, tuple[Cell, str]] = {
    "aborted": (cell(aborted=flag("")), "a person said to disregard it"),
    "aborted, with a reason": (cell(aborted=flag("wrong library")), "wrong library"),
    "aborted after it failed": (cell(aborted=flag("wrong"), failed=flag("full")), "wrong"),
    "failed": (cell(failed=flag("")), "processing failed and needs a person"),
    "failed, with a reason": (cell(failed=flag("no space")), "no space"),
    "failed, accepted": (
        cell(failed=flag("no space"), completeness=BY_HAND),
        f"no space; {BY_HAND.why}",
    ),
    "every claim released": (
        cell(claims=(claim(yielded=True),)),
        "no worker holds it; it is retried at the next look",
    ),
    "being processed": (cell(claims=(claim(),)), "being processed"),
    "being processed, a second time": (
        cell(claims=(claim(epoch=2, evidence="pid 7"),)),
        "being processed, attempt 2 (pid 7)",
    ),
    "half of it processed": (
        cell(claims=(claim(),), progress=Progress("reading", 50, 200)),
        "being processed: reading 25%",
    ),
    "its size is not known": (
        cell(claims=(claim(),), progress=Progress("waiting", 50, 0, note="no space left")),
        "being processed: waiting; no space left",
    ),
    "its worker died": (
        cell(claims=(claim(Liveness.DEAD),), progress=Progress("reading", 50, 200)),
        "its worker died; it is retried",
    ),
    "its worker was seen to die": (
        cell(claims=(claim(Liveness.DEAD, evidence="killed by signal 9", death=DEATH),)),
        "its worker died; it is retried (killed by signal 9)",
    ),
    "its worker is unknown": (
        cell(claims=(claim(Liveness.UNKNOWN, evidence="on another host"),), completeness=BY_HAND),
        "claimed for processing; this host cannot tell whether the owner is alive"
        f" (on another host); {BY_HAND.why}",
    ),
    "ready": (cell(synced=True), "its data are here and complete"),
    "ready, accepted": (cell(synced=True, completeness=BY_HAND), BY_HAND.why),
    "ready, with files that nothing counts": (
        cell(synced=True, unverified={"pod5": 1}),
        "all files announced are here; 1 POD5 file not verified: MinKNOW states no number that can"
        " be compared",
    ),
    "still written": (cell(), "still being written"),
    "short": (cell(completeness=replace(PROVEN, why="1 file missing")), "1 file missing"),
    "complete, and not at rest": (
        cell(completeness=PROVEN, unsettled_since=1.0),
        f"{PROVEN.why}; files changed after its final_summary arrived; it counts as complete when"
        " they are unchanged for 60 s",
    ),
    "copied to here": (
        cell(completeness=PROVEN, progress=Progress("copying", 500_000_000, 2_000_000_000)),
        "copying: 25% of 2.00 GB",
    ),
    "not here": (
        cell(present=False),
        "recorded in flags, but its directory is not here and no upstream lists it",
    ),
    "on its upstream": (cell(present=False, upstream=True), "on its upstream only"),
    "a second copy": (
        cell(present=False, upstream=True, copy_of="run/lib/a"),
        "not copied: a second copy of a cell: run/lib/a",
    ),
    "partly here": (
        cell(upstream=True),
        "partly here; its upstream lists it and no sync has proven it complete",
    ),
    "partly here, being copied": (
        cell(upstream=True, progress=Progress("copying", 1, 2)),
        "copying: 50% of 0.00 GB",
    ),
    "processed": (cell(done=done()), "processed, checked and reported"),
    "processed without reads": (
        cell(done=done(no_reads="basecalling was off"), results={"reads": 0}),
        "processed and reported, without reads: basecalling was off",
    ),
    "processed without reads, by an earlier version": (
        cell(done=done(), results={"reads": 0}),
        "processed and reported, without reads",
    ),
    "processed with a finding": (
        cell(
            done=done(
                minknow_checksums={"at": "2026-11-22T10:00:00Z", "said": "1 differs", "set": "1"}
            )
        ),
        "processed and reported, but 1 differs",
    ),
    "processed with a finding, and copied": (
        cell(
            done=done(
                minknow_checksums={"at": "2026-11-22T10:00:00Z", "said": "1 differs", "set": "1"}
            ),
            backup=copied("one"),
        ),
        "processed and reported, but 1 differs; copied as it is to one",
    ),
    "graded, accepted and late": (
        cell(done=done(qc_verdict="WARN: few reads"), completeness=BY_HAND, late_data=LATE),
        f"processed, checked and reported; WARN: few reads; {BY_HAND.why}; new data came after it"
        " was processed: 1 file in fastq_pass; they are neither counted nor processed",
    ),
    "processed with files that nothing counts": (
        cell(done=done(), unverified={"bam": 2}),
        "processed, checked and reported; 2 BAM files not verified: MinKNOW states no number that"
        " can be compared",
    ),
    "stripped": (
        cell(done=done(), strip=attempt("done"), present=False),
        "processed, checked and reported; its raw data were removed from here",
    ),
    "not stripped": (
        cell(done=done(), strip=attempt("failed")),
        "processed, checked and reported",
    ),
    "backed up": (
        cell(done=done(), backup=copied("one", "two")),
        "processed, checked and reported; backed up on one, two",
    ),
    "backed up somewhere": (
        cell(done=done(), backup=attempt("done", manifest="m")),
        "processed, checked and reported; backed up on ?",
    ),
    "being backed up": (
        cell(done=done(), backup=attempt()),
        "processed, checked and reported; being backed up",
    ),
    "its backup is under way": (
        cell(done=done(), backup=attempt(), progress=Progress("copying", 1, 4)),
        "processed, checked and reported; copying: 25% of 0.00 GB",
    ),
    "its backup died": (
        cell(done=done(), backup=attempt(liveness=Liveness.DEAD)),
        "processed, checked and reported",
    ),
    "not backed up": (
        cell(done=done(), backup=attempt("failed", reason="no space")),
        "processed, checked and reported; not backed up: no space",
    ),
    "damaged": (
        cell(done=done(), verification=attempt("failed", problems=["output: rot"])),
        "processed, checked and reported; damaged: output: rot",
    ),
    "damaged twice, being backed up": (
        cell(
            done=done(),
            backup=attempt(),
            verification=attempt("failed", problems=["output: rot", "one: rot"]),
        ),
        "processed, checked and reported; damaged: output: rot and 1 more",
    ),
    "command failed": (
        cell(done=done(), hook=attempt("failed", reason="exit code 3")),
        "processed, checked and reported; on_done failed: exit code 3",
    ),
    "command runs": (
        cell(done=done(), hook=attempt()),
        "processed, checked and reported; on_done is running",
    ),
    "command may run": (
        cell(done=done(), hook=attempt(liveness=Liveness.UNKNOWN)),
        "processed, checked and reported; on_done is running",
    ),
    "command died": (
        cell(done=done(), hook=attempt(liveness=Liveness.DEAD)),
        "processed, checked and reported",
    ),
    "command done": (
        cell(done=done(), hook=attempt("done")),
        "processed, checked and reported",
    ),
}


@pytest.mark.parametrize("case", SENTENCES)
def test_sentence_of_a_cell(case: str) -> None:
    """The sentence of a cell has every fact about it once, and no other."""
    found, sentence = SENTENCES[case]
    assert why_stage(found) == sentence


READY, WORKING = cell("r", synced=True), cell("w", claims=(claim(),))
NEW, PENDING = cell("n", present=False, upstream=True), cell("p", upstream=True)
DONE, ABORTED = cell("d", done=flag("")), cell("x", aborted=flag(""))
FAILED = cell("f", failed=flag("no space"))
COPY = cell("c", present=False, upstream=True, copy_of="run/lib/a")
SYNC = frozenset({"sync.started"})

STATUSES: dict[str, tuple[Snapshot, Status, str]] = {
    "historic": (run(historic="too old"), Status.HISTORIC, "not taken up: too old"),
    "new": (
        run(READY, has_pipeline=False),
        Status.NEW,
        "1 cell seen, not taken up yet",
    ),
    "new, with two cells": (
        run(READY, NEW, has_pipeline=False),
        Status.NEW,
        "2 cells seen, not taken up yet",
    ),
    "new and empty": (
        run(has_pipeline=False),
        Status.NEW,
        "no cell has been seen in this directory yet",
    ),
    "new, and its name is wrong": (
        run(has_pipeline=False, quarantined=(QuarantinedName("a", "its name has a blank"),)),
        Status.NEW,
        "its name has a blank",
    ),
    "new, and one name in it is wrong": (
        run(READY, has_pipeline=False, quarantined=(QuarantinedName("a", "a blank"),)),
        Status.NEW,
        "1 cell seen, not taken up yet",
    ),
    "new, with a problem": (
        run(READY, has_pipeline=False, problem="permission denied"),
        Status.NEW,
        "permission denied",
    ),
    "a problem": (
        run(READY, problem="permission denied", flags=frozenset({"aborted"})),
        Status.UNKNOWN,
        "permission denied",
    ),
    "aborted": (
        run(flags=frozenset({"aborted"})),
        Status.ABORTED,
        "the run is to be disregarded",
    ),
    "aborted, with a reason": (
        run(flags=frozenset({"aborted"}), flag_texts={"aborted": "a test"}),
        Status.ABORTED,
        "a test",
    ),
    "stripped": (
        run(flags=frozenset({"stripped"})),
        Status.STRIPPED,
        "its cell data were removed from the landing area on purpose",
    ),
    "failed": (
        run(flags=frozenset({"failed"})),
        Status.FAILED,
        "the whole run needs a person",
    ),
    "no upstream": (
        run(upstream=None),
        Status.UNKNOWN,
        "pipeline/upstream is missing, so the run's upstream is unknown; nothing is done to it",
    ),
    "complete": (run(DONE, ABORTED), Status.COMPLETE, "1 cell processed, 1 cell aborted"),
    "complete, all alike": (
        run(DONE, replace(DONE, id=NEW.id)),
        Status.COMPLETE,
        "2 cells processed",
    ),
    "complete, and syncing": (
        run(DONE, flags=SYNC),
        Status.SYNCING,
        "every cell known here is finished, and a sync is under way",
    ),
    "no output": (
        run(READY, output=None),
        Status.UNKNOWN,
        "the output directory is missing",
    ),
    "no output, with a reason": (
        run(READY, output=None, output_problem="permission denied"),
        Status.UNKNOWN,
        "permission denied",
    ),
    "processing": (run(WORKING, DONE), Status.PROCESSING, "lib/w being processed"),
    "processing two": (
        run(WORKING, replace(WORKING, id=NEW.id)),
        Status.PROCESSING,
        "2 cells being processed",
    ),
    "processing, and syncing": (
        run(WORKING, NEW, flags=SYNC),
        Status.PROCESSING_SYNCING,
        "lib/w being processed; a sync is under way",
    ),
    "processing, and more to fetch": (
        run(WORKING, NEW),
        Status.PROCESSING_SYNC_NEEDED,
        "lib/w being processed; lib/n to be fetched",
    ),
    "ready": (run(READY, DONE), Status.CELL_READY, "lib/r here and complete"),
    "ready, one of two not proven": (
        run(READY, replace(READY, completeness=BY_HAND)),
        Status.CELL_READY,
        f"2 cells ready; lib/r: {BY_HAND.why}",
    ),
    "ready, with files that nothing counts": (
        run(replace(READY, unverified={"bam": 1})),
        Status.CELL_READY,
        "lib/r ready",
    ),
    "two accepted cells": (
        run(replace(READY, completeness=BY_HAND), replace(DONE, completeness=BY_HAND)),
        Status.CELL_READY,
        f"lib/r ready; lib/r: {BY_HAND.why}; 1 more cell accepted like this",
    ),
    "three accepted cells": (
        run(*[replace(each, completeness=BY_HAND) for each in (DONE, DONE, DONE)]),
        Status.COMPLETE,
        f"3 cells processed; lib/d: {BY_HAND.why}; 2 more cells accepted like this",
    ),
    "syncing": (run(PENDING, DONE, flags=SYNC), Status.SYNCING, "a sync is under way"),
    "to be fetched": (run(NEW, PENDING), Status.SYNC_NEEDED, "2 cells to be fetched"),
    "a copy": (
        run(COPY),
        Status.SYNC_NEEDED,
        "lib/c: not copied: a second copy of a cell: run/lib/a",
    ),
    "a copy, and one more": (
        run(NEW, COPY),
        Status.SYNC_NEEDED,
        "lib/c: not copied: a second copy of a cell: run/lib/a; 1 more cell to be fetched",
    ),
    "a copy, and two more": (
        run(COPY, NEW, PENDING, DONE),
        Status.SYNC_NEEDED,
        "lib/c: not copied: a second copy of a cell: run/lib/a; 2 more cells to be fetched",
    ),
    "one failed": (run(DONE, FAILED), Status.FAILED, "lib/f failed: no space"),
    "two failed": (
        run(FAILED, replace(FAILED, id=NEW.id)),
        Status.FAILED,
        "2 cells failed: no space",
    ),
    "incomplete": (
        run(DONE, cell("i"), cell("j")),
        Status.INCOMPLETE,
        "lib/i: still being written",
    ),
    "no cell": (run(), Status.UNKNOWN, "no cell has been seen in this run"),
}


@pytest.mark.parametrize("case", STATUSES)
def test_status_and_sentence_of_a_run(case: str) -> None:
    """The status of a run has the sentence with its reason."""
    snapshot, status, sentence = STATUSES[case]
    assert status_of(snapshot) == (status, sentence)


def test_no_reads() -> None:
    """Only a processed cell with the number 0 has no reads."""
    assert no_reads(cell(done=done(), results={"reads": 0}), "empty") == "empty"
    assert no_reads(cell(done=done(), results={"reads": 1})) == ""
    assert no_reads(cell(done=done())) == ""
    assert no_reads(cell(results={"reads": 0})) == ""


@pytest.mark.parametrize("outcome", ["", "failed"])
def test_only_a_backup_that_ended_well_is_one(outcome: str) -> None:
    """A backup that runs or failed is no place of copies."""
    assert backup_words(cell(done=done(), backup=attempt(outcome))) == ""
