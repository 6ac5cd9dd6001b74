"""Whole texts of the messages about runs and cells, with and without each part."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from snapshots import attempt, cell, flag, run

from hesiod_watch.core.attention_kinds import KINDS
from hesiod_watch.core.cell_contents import Completeness, Verdict
from hesiod_watch.core.events import Event
from hesiod_watch.core.model import Cell, CellId, Snapshot
from hesiod_watch.rules.message_text import (
    attention_ended_text,
    attention_text,
    compose,
    report_address,
)

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
FOUND = {"at": "2026-11-22T10:00:00Z", "said": "1 file differs", "set": "x"}
SHORT = Completeness(Verdict.SHORT, "1 file missing")
PROVEN = Completeness(Verdict.PROVEN, "3 files")
BY_HAND = Completeness(Verdict.BY_HAND, "accepted as complete by a person; 1 file missing")
UNVERIFIED = "1 BAM file not verified: MinKNOW states no number that can be compared"
NAMED = "Cell lib/a of the run run"
DAMAGED = (
    "1 file differs\nNothing of this cell is deleted anywhere while this is so. Copy the named"
    " files again from the sequencer. docs/backup.md says how to renew the copies. After fixing the"
    " cause:\n    hesiod-watch verify run lib/a --backup"
)
REPORT = "Report: /output/run/report.html"
OVERDUE = cell("a", completeness=SHORT, summary_since=1.0)
RESULTS = {"reads": 1000, "bases": 2_000_000, "n50": 1500, "mean_q": 12.25}


def done(name: str = "a", results: dict[str, Any] | None = None, **record: Any) -> Cell:
    return cell(name, done=flag(json.dumps(record)), results=results or {})


def text(name: str, *cells: Cell, of: str = "a", **facts: Any) -> str:
    """The message about an event of the cell `of` in a run with these cells."""
    snapshot = run(*cells, **facts)
    event = Event(name, snapshot.run, "key", CellId("lib", of) if of else None)
    return compose(event, snapshot, "internal", "")


def later(*arguments: Any, **facts: Any) -> Callable[[], str]:
    """The message, which is composed by the test and not when its cases are collected."""
    return lambda: text(*arguments, **facts)


MESSAGES: dict[str, tuple[Callable[[], str], list[str]]] = {
    "a new run": (
        later("run-new", cell("a"), cell("b\n", synced=True), of=""),
        [
            "A new run: run.",
            "It comes from: the sequencer writes it into the landing area\nIt is in: /landing/run",
            "Cells so far:\n  lib/a: incomplete\n  lib/b\\n: ready",
            "Type: internal",
        ],
    ),
    "a new run of an upstream": (
        later("run-new", of="", upstream="host:/data/x"),
        [
            "A new run: run.",
            "It comes from: host:/data/x\nIt is in: /landing/run",
            "Type: internal",
        ],
    ),
    "a new run of an unknown upstream": (
        later("run-new", of="", upstream=None),
        ["A new run: run.", "It comes from: \nIt is in: /landing/run", "Type: internal"],
    ),
    "an overdue cell that was removed": (
        later("cell-overdue"),
        [f"{NAMED} is overdue: its data are not complete."],
    ),
    "not overdue any more": (
        later("cell-overdue-ended", done()),
        [f"{NAMED} is not overdue any more: it is processed"],
    ),
    "not overdue any more, and removed": (
        later("cell-overdue-ended"),
        [f"{NAMED} is not overdue any more"],
    ),
    "ready": (
        later("cell-ready", cell("a", synced=True)),
        [f"{NAMED} has been sequenced, and all its data are here."],
    ),
    "ready by hand": (
        later("cell-ready", cell("a", synced=True, completeness=BY_HAND)),
        [f"{NAMED} was {BY_HAND.why}."],
    ),
    "ready, not proven": (
        later("cell-ready", cell("a", synced=True, completeness=SHORT)),
        [f"{NAMED} has been sequenced, but its data are not complete: 1 file missing."],
    ),
    "ready, not verified": (
        later("cell-ready", cell("a", synced=True, unverified={"bam": 1})),
        [f"{NAMED} has been sequenced. All files announced are here; {UNVERIFIED}."],
    ),
    "ready, with a finding": (
        later("cell-ready", done(minknow_checksums=FOUND)),
        [f"{NAMED} has been sequenced. 1 file differs"],
    ),
    "ready, and removed": (
        later("cell-ready"),
        [f"{NAMED} has been sequenced, and all its data are here."],
    ),
    "all cells": (
        later("all-cells-run", done("a"), cell("b", synced=True), cell("c", aborted=flag()), of=""),
        [
            "All 2 cells of the run run have been sequenced, and all data are here.",
            "  lib/a: processed\n  lib/b: ready",
        ],
    ),
    "the one cell": (
        later("all-cells-run", cell("a", synced=True, unverified={"bam": 1}), of=""),
        [
            "The one cell of the run run has been sequenced, and all files announced are here.",
            f"  lib/a: ready; {UNVERIFIED}",
        ],
    ),
    "all cells, one not proven": (
        later("all-cells-run", done("a"), cell("b", completeness=SHORT), of=""),
        [
            "All 2 cells of the run run have ended, but not all data are proven to be here.",
            "  lib/b: incomplete; 1 file missing\n  lib/a: processed",
        ],
    ),
    "all cells, one with a finding": (
        later("all-cells-run", done("a", minknow_checksums=FOUND), of=""),
        [
            "The one cell of the run run has been sequenced, but MinKNOW's checksums show damaged"
            " or missing files.",
            "  lib/a: processed",
        ],
    ),
    "done": (
        later("cell-done", done(compared="all agree", qc_verdict="PASS")),
        [
            f"{NAMED} is processed, checked and reported.",
            "all agree.",
            "Verdict by the limits of this site: PASS.",
            REPORT,
        ],
    ),
    "done, and removed": (
        later("cell-done"),
        [f"{NAMED} is processed, checked and reported.", REPORT],
    ),
    "done by hand, not verified, without a file": (
        later(
            "cell-done",
            replace(
                done(results={"removed_files": 1}),
                completeness=BY_HAND,
            ),
        ),
        [
            f"{NAMED} is processed, checked and reported. It was {BY_HAND.why}. The reads of 1 file"
            " that were damaged or removed are not in its numbers.",
            REPORT,
        ],
    ),
    "done, not verified": (
        later("cell-done", replace(done(), unverified={"bam": 1})),
        [f"{NAMED} is processed, checked and reported. {UNVERIFIED}.", REPORT],
    ),
    "done, with a finding": (
        later("cell-done", done(minknow_checksums=FOUND, compared="x")),
        [
            f"{NAMED} is processed and reported, but some of its files are damaged or missing.",
            DAMAGED,
            REPORT,
        ],
    ),
    "numbers": (
        later("cell-done", done(results={**RESULTS, "passed_reads": 400, "passed_bases": 500})),
        [
            f"{NAMED} is processed, checked and reported.",
            "Reads:   1,000; passed 400 (40.0% of the reads), failed 600\n"
            "Bases:   2.00 Mb; passed 500 b, failed 2.00 Mb\n"
            "N50:     1.50 kb\nMean Q:  12.2",
            REPORT,
        ],
    ),
    "failed": (
        later("cell-failed", cell("a", failed=flag("no space"))),
        [
            f"{NAMED} needs a person: no space",
            "After fixing the cause:\n    hesiod-watch retry run lib/a --why TEXT\nhesiod-watch has"
            " not changed its data; other cells are processed as usual.",
        ],
    ),
    "failed, and removed": (
        later("cell-failed"),
        [
            f"{NAMED} needs a person: no reason was given",
            "After fixing the cause:\n    hesiod-watch retry run lib/a --why TEXT\nhesiod-watch has"
            " not changed its data; other cells are processed as usual.",
        ],
    ),
    "aborted": (
        later("cell-aborted", cell("a", aborted=flag("a test"))),
        [f"{NAMED} is disregarded from now on: a test"],
    ),
    "aborted, and removed": (
        later("cell-aborted"),
        [f"{NAMED} is disregarded from now on: no reason was given"],
    ),
    "complete": (
        later(
            "run-complete",
            done("a", results={**RESULTS, "reads": 1}),
            done("b"),
            done("c", results={"reads": 0}, no_reads="off"),
            cell("d", aborted=flag()),
            of="",
        ),
        [
            "The run run is complete: 3 cells processed, 1 of them without reads, 1 aborted.",
            "  lib/a: 1 read, 2.00 Mb, N50 1.50 kb, mean Q 12.2\n"
            "  lib/b: processed\n"
            "  lib/c: no reads: off",
            "Together: 1 read, 2.00 Mb.",
            REPORT,
        ],
    ),
    "complete, one with a finding and one by hand": (
        later(
            "run-complete",
            done("a", minknow_checksums=FOUND, qc_verdict="PASS"),
            replace(done("b"), completeness=BY_HAND),
            replace(done("c"), completeness=PROVEN),
            of="",
        ),
        [
            "The run run is complete: 3 cells processed; MinKNOW's checksums show damaged or"
            " missing files in 1 cell. Not all its data are proven to be here.",
            f"  lib/b: processed; {BY_HAND.why}\n  lib/a: processed; 1 file differs; PASS\n"
            "  lib/c: processed",
            REPORT,
        ],
    ),
    "sync failed": (
        later("sync-failed", of="", sync=attempt("failed", reason="no right")),
        [
            "Copying the run run needs a person: no right",
            "hesiod-watch retries it automatically; the output of the copying is in sync.log.",
        ],
    ),
    "sync failed, without a reason": (
        later("sync-failed", of=""),
        [
            "Copying the run run needs a person: no reason was given",
            "hesiod-watch retries it automatically; the output of the copying is in sync.log.",
        ],
    ),
    "run failed": (
        later("run-failed", of="", flag_texts={"failed": "wrong library"}),
        [
            "The run run is flagged as failed: wrong library",
            "Nothing is started in it until that flag is removed: /landing/run/pipeline/failed",
        ],
    ),
    "run failed, without a reason": (
        later("run-failed", of=""),
        [
            "The run run is flagged as failed: no reason was given",
            "Nothing is started in it until that flag is removed: /landing/run/pipeline/failed",
        ],
    ),
    "backup failed": (
        later(
            "backup-failed",
            replace(done("a"), backup=attempt("failed", reason="no space")),
            replace(done("b"), backup=attempt("done")),
            done("c"),
            of="",
        ),
        [
            "Copying cells of the run run to a backup has failed several times.",
            "Not copied so far:\n  lib/a: no space",
            "hesiod-watch retries it automatically. Nothing of these cells is deleted anywhere"
            " until their copies are proven.",
        ],
    ),
    "damaged": (
        later(
            "verification-failed",
            replace(done(), verification=attempt("failed", problems=["one: rot", "b: rot"])),
        ),
        [
            f"{NAMED}: a copy was read again and is damaged.",
            "  one: rot\n  b: rot",
            "Only a person repairs it, and nothing of this cell is deleted anywhere.",
        ],
    ),
    "checksums": (
        later("checksums-failed", done(minknow_checksums=FOUND)),
        [f"{NAMED}: files are damaged or missing, although the cell is processed.", DAMAGED],
    ),
    "checksums, and removed": (
        later("checksums-failed"),
        [
            f"{NAMED}: files are damaged or missing, although the cell is processed.",
            DAMAGED.partition("\n")[2],
        ],
    ),
    "deletable": (
        later("cell-deletable"),
        [
            f"{NAMED} is marked on its upstream as safe to delete: two copies of every file are"
            " proven.",
            "Only a person who runs hesiod-clean-upstream there deletes it.",
        ],
    ),
    "another event of a cell": (
        later("cell-moved", cell("a", synced=True)),
        [f"{NAMED}: cell moved: its data are here and complete"],
    ),
    "another event of the run": (later("run-moved", of=""), ["The run run: run moved"]),
    "attention without its entry": (later("attention", of=""), ["The run run: attention"]),
}


@pytest.mark.parametrize("case", MESSAGES)
def test_message(case: str) -> None:
    """A message has exactly these paragraphs."""
    found, paragraphs = MESSAGES[case]
    assert found().split("\n\n") == paragraphs


def test_an_overdue_cell() -> None:
    """The message about an overdue cell has its steps, and how it continues by itself."""
    first, steps, last = text("cell-overdue", OVERDUE).split("\n\n")
    assert first.startswith(f"{NAMED} is ")
    assert "1 file missing" in first
    assert steps.startswith("What you can do:\n  ")
    assert "/landing/run/pipeline/a.synced" in steps
    assert last == "The cell continues by itself as soon as its files agree with its final_summary."


def test_attention() -> None:
    """The message about something blocked has its steps, and where to look in a run."""
    of_run = KINDS["run-failed"].about("run", why="no space", run_flag="/x/failed")
    steps = "\n".join(["What you can do:", *(f"  {step}" for step in of_run.steps)])
    expected = f"run: {of_run.sentence}.\n\n{steps}\n\nHow it is now: hesiod-watch explain run"
    assert attention_text(of_run) == expected
    event = Event("attention", of_run.run, "key", attention=of_run)  # type: ignore[arg-type]
    assert compose(event, run(), "unknown", "") == expected
    of_site = KINDS["backup-missing"].about(backup="one", why="not mounted")
    assert attention_text(of_site).startswith(f"this site: {of_site.sentence}.\n\nWhat you can do:")
    assert "How it is now" not in attention_text(of_site)


def test_attention_is_over() -> None:
    """The message about the end repeats the first line of the message about the beginning."""
    assert attention_ended_text("run: a\nb\nc") == "This is over: run: a"
    assert attention_ended_text("") == "Something that was reported is over."
    event = Event("attention-ended", run().run, "key", begun_text="run: a\nb")
    assert compose(event, run(), "unknown", "") == "This is over: run: a"


@pytest.mark.parametrize(
    ("snapshot", "pattern", "address"),
    [
        (run(name="a b"), "", "/output/a b/report.html"),
        (run(output=None), "", ""),
        (run(name="a/b c"), "https://x/{run}/{run}", "https://x/a%2Fb%20c/a%2Fb%20c"),
    ],
    ids=["a file", "no results", "a pattern"],
)
def test_address_of_the_report(snapshot: Snapshot, pattern: str, address: str) -> None:
    """The address is made of the pattern, where there is one, with the run's name."""
    assert report_address(snapshot, pattern) == address
