"""Overdue cells: when a cell is overdue, the messages about it, and when it is resolved."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hesiod_watch.core.model import (
    LOCAL,
    Attempt,
    Cell,
    CellFlags,
    CellId,
    Claim,
    Completeness,
    DataKind,
    FinalSummary,
    Flag,
    Liveness,
    Outbox,
    Policy,
    RunName,
    Shortfall,
    Snapshot,
    Verdict,
)
from hesiod_watch.rules.attention import overdue, problems, steps
from hesiod_watch.rules.events import (
    CELL_OVERDUE,
    CELL_OVERDUE_ENDED,
    addressed,
    default_kinds,
    due,
    happened,
)
from hesiod_watch.rules.explain import explain_cell
from hesiod_watch.rules.message_text import compose
from hesiod_watch.rules.plan import look_again, plan

NOW = datetime(2026, 11, 22, 22, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
POLICY = Policy(grace=3600.0, ingest_interval=None)
SUMMARY = FinalSummary("final_summary_x.txt", {"fastq_files_in_final_dest": "2"})
FASTQ = DataKind.FASTQ


def incomplete(verdict: Verdict, why: str, *counts: Shortfall, **more: object) -> Completeness:
    found = Completeness(verdict, why, tuple(counts), summaries=(SUMMARY,))
    return replace(found, **more)  # type: ignore[arg-type]  # what a test wants


SHORT = incomplete(Verdict.SHORT, "1 of 2 FASTQ files missing", Shortfall(FASTQ, 1, 2))
OVER = incomplete(Verdict.OVER, "1 more FASTQ file here than announced", Shortfall(FASTQ, 3, 2))
FALLBACK = incomplete(
    Verdict.FALLBACK, "1 FASTQ file is in the fallback folder", fallback={FASTQ: 1}
)
CUT = replace(SUMMARY, problem="final_summary_x.txt is half-written")
UNREADABLE = incomplete(Verdict.UNREADABLE, CUT.problem, summaries=(CUT,))
NO_COUNTS = incomplete(Verdict.UNREADABLE, "no number of files", summaries=(FinalSummary("f"),))
CLOSED = incomplete(Verdict.UNREADABLE, "fastq_pass cannot be read: Permission denied")
RUNNING = Completeness(Verdict.RUNNING, "still running: no final_summary yet")
PROVEN = Completeness(Verdict.PROVEN, "all files announced are here: 2 FASTQ files")

SINCE = (NOW - 2 * HOUR).timestamp()
LATE = Cell(CellId("lib", "cell"), present=True, completeness=SHORT, summary_since=SINCE)
RUN = Snapshot(
    *(RunName("run"), Path("/landing/run")),
    has_pipeline=True,
    upstream=LOCAL,
    output=Path("/out/run"),
    cells=(LATE,),
    outbox=Outbox(reported=frozenset({"run-new"})),
)
THERE = "prom@host:/data/run"
SYNCING = Attempt("", None, Liveness.ALIVE, "")
CLAIM = Claim(1, None, None, yielded=False, liveness=Liveness.ALIVE, evidence="")


def flagged(flags: CellFlags) -> Cell:
    """Return the cell as observed with a deciding flag: its files are not counted."""
    return replace(LATE, flags=flags, completeness=None, summary_since=None)


def flag(why: str = "because") -> Flag:
    return Flag("flag", 1.0, text=why)


def keys(snapshot: Snapshot, now: datetime = NOW) -> list[str]:
    """Return the keys of the messages about overdue cells that are due now."""
    names = (CELL_OVERDUE, CELL_OVERDUE_ENDED)
    return [event.key for event in due(snapshot, POLICY, now) if event.name in names]


def with_reported(snapshot: Snapshot, *reported_keys: str) -> Snapshot:
    return replace(snapshot, outbox=Outbox(reported=frozenset({"run-new", *reported_keys})))


ALL_CAUSES = [SHORT, OVER, FALLBACK, UNREADABLE, NO_COUNTS, CLOSED]
CAUSE_IDS = ["short", "over", "fallback", "half-written", "no counts", "not readable"]


@pytest.mark.parametrize("found", ALL_CAUSES, ids=CAUSE_IDS)
def test_each_cause_is_reported(found: Completeness) -> None:
    """Every cause of an incomplete ended cell is reported, and is a problem of every poll."""
    run = replace(RUN, cells=(replace(LATE, completeness=found),))
    assert keys(run) == ["cell-overdue.cell.1"]
    (sentence,) = problems(run, POLICY, NOW).values()
    assert sentence.startswith(f"run lib/cell: overdue: {found.why}; ")
    assert "2026-11-22T20:00:00Z" in sentence
    assert sentence.endswith("; hesiod-watch explain run lib/cell")
    assert keys(run, NOW - HOUR - timedelta(seconds=1)) == []


@pytest.mark.parametrize(
    "run",
    [
        replace(RUN, cells=(replace(LATE, completeness=RUNNING),)),
        replace(RUN, cells=(replace(LATE, completeness=PROVEN),)),
        replace(RUN, cells=(replace(LATE, present=False, completeness=None),)),
        replace(RUN, cells=(replace(LATE, summary_since=None),)),
        replace(RUN, cells=(replace(LATE, flags=CellFlags(synced=True)),)),
        replace(RUN, cells=(replace(LATE, flags=CellFlags(claims=(CLAIM,))),)),
        replace(RUN, cells=(replace(LATE, flags=CellFlags(failed=flag())),)),
        replace(RUN, cells=(replace(LATE, flags=CellFlags(aborted=flag())),)),
        replace(RUN, cells=(replace(LATE, flags=CellFlags(done=flag())),)),
        *(replace(RUN, flags=frozenset({name})) for name in ("failed", "aborted", "stripped")),
        replace(RUN, upstream=None),
        replace(RUN, upstream=THERE, sync=SYNCING),
    ],
    ids=[
        *("running", "proven", "missing", "no summary", "synced", "claimed", "failed", "aborted"),
        *("done", "run failed", "run aborted", "run stripped", "without upstream", "being copied"),
    ],
)
def test_what_is_not_overdue(run: Snapshot) -> None:
    """A cell that runs, is complete, is decided or is stopped by a flag is not overdue."""
    assert keys(run) == []
    assert not problems(run, POLICY, NOW)


@pytest.mark.parametrize("listed", [True, False], ids=["upstream asked", "upstream silent"])
def test_cells_of_upstream_runs(listed: bool) -> None:
    """A copied cell with missing files is reported, also if its upstream was not just queried."""
    run = replace(RUN, upstream=THERE, cells=(replace(LATE, upstream=listed),))
    run = replace(run, listed_at=THERE if listed else "")
    assert keys(run) == ["cell-overdue.cell.1"]
    assert list(problems(run, POLICY, NOW)) == [LATE.id]


def test_once_until_it_ends() -> None:
    """Other counts do not repeat the report; a cell that is overdue again is reported again."""
    fewer = replace(SHORT, why="2 of 2 FASTQ files missing", shortfalls=(Shortfall(FASTQ, 0, 2),))
    other = replace(RUN, cells=(replace(LATE, completeness=fewer),))
    complete = replace(RUN, cells=(replace(LATE, completeness=PROVEN),))
    reported = ["cell-overdue.cell.1"]
    assert keys(with_reported(RUN, *reported)) == keys(with_reported(other, *reported)) == []
    assert keys(with_reported(complete, *reported)) == ["cell-overdue-ended.cell.1"]
    reported.append("cell-overdue-ended.cell.1")
    assert keys(with_reported(complete, *reported)) == []
    assert keys(with_reported(other, *reported)) == ["cell-overdue.cell.2"]
    reported.append("cell-overdue.cell.2")
    assert keys(with_reported(other, *reported)) == []
    assert keys(with_reported(complete, *reported)) == ["cell-overdue-ended.cell.2"]


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        (replace(LATE, completeness=PROVEN), "all files announced are here: 2 FASTQ files"),
        (flagged(CellFlags(synced=True)), "recorded as complete"),
        (flagged(CellFlags(synced=True, claims=(CLAIM,))), "recorded as complete"),
        (replace(LATE, flags=CellFlags(synced=True)), "accepted it as complete: 1 of 2 FASTQ"),
        (flagged(CellFlags(done=flag())), "it is processed"),
        (flagged(CellFlags(failed=flag("cut off"))), "has failed: cut off"),
        (flagged(CellFlags(aborted=flag("wrong sample"))), "disregard it: wrong sample"),
        (replace(flagged(CellFlags(done=flag())), present=False), "it is processed"),
        (
            replace(LATE, completeness=replace(RUNNING, why="still running: abc")),
            "still running: abc",
        ),
        (replace(LATE, summary_since=NOW.timestamp()), "begins again: 1 of 2 FASTQ files missing"),
    ],
    ids=[
        *(
            "complete",
            "synced",
            "claimed",
            "accepted",
            "done",
            "failed",
            "aborted",
            "done and missing",
        ),
        *("another acquisition", "another summary"),
    ],
)
def test_the_end_says_what_ended_it(cell: Cell, words: str) -> None:
    """The end is reported once, whatever the cause, and only if the beginning was reported."""
    run = with_reported(replace(RUN, cells=(cell,)), "cell-overdue.cell.1")
    (event,) = [event for event in due(run, POLICY, NOW) if event.name == CELL_OVERDUE_ENDED]
    text = compose(event, run, "internal", "")
    assert text.startswith("Cell lib/cell of the run run is not overdue any more: ")
    assert words in text
    assert keys(with_reported(run)) == []


@pytest.mark.parametrize(
    "run",
    [
        replace(RUN, cells=()),
        replace(RUN, cells=(replace(LATE, present=False, completeness=None),)),
        replace(RUN, cells=(replace(LATE, present=False, upstream=True, completeness=None),)),
        replace(RUN, upstream=THERE, sync=SYNCING),
        replace(RUN, flags=frozenset({"failed"})),
        replace(RUN, problem="cannot be read"),
    ],
    ids=["not seen", "missing", "upstream only", "being copied", "run failed", "not readable"],
)
def test_no_end_is_reported_without_evidence(run: Snapshot) -> None:
    """A snapshot that does not show the cell is no evidence that the problem ended."""
    assert keys(with_reported(run, "cell-overdue.cell.1")) == []


def test_long_stems_and_stems_that_end_in_numbers() -> None:
    """Every beginning and end of every cell has its own key, short enough for a file name."""
    stems = ["x" * 249 + "a", "x" * 249 + "b", "cell", "cell.1", "cell.1.1"]
    reported: set[str] = {"run-new"}
    for _ in range(3):
        for found in (SHORT, PROVEN):
            cells = [replace(LATE, id=CellId("l", stem), completeness=found) for stem in stems]
            outbox = Outbox(reported=frozenset(reported))
            new = keys(replace(RUN, cells=tuple(cells), outbox=outbox))
            assert len(new) == len(stems)
            assert reported.isdisjoint(new)
            reported.update(new)
    assert all(len(key) <= 240 for key in reported)


def test_a_run_from_before_its_outbox() -> None:
    """A lasting problem is not past: it is reported even if the run gets its outbox only now."""
    run = replace(RUN, outbox=None)
    assert [event.name for event in due(run, POLICY, NOW)] == ["run-new"]
    assert CELL_OVERDUE in [event.name for event in happened(run, POLICY, NOW)]


def test_default_channel() -> None:
    """Both events are comments in the tracker unless the configuration says otherwise."""
    policy = replace(POLICY, channels={"rt": default_kinds()})
    for name in (CELL_OVERDUE, CELL_OVERDUE_ENDED):
        assert addressed(name, RUN, policy) == {"rt": "comment"}


ACCEPT = "hesiod-touch-atomic /landing/run/pipeline/cell.synced"


@pytest.mark.parametrize(
    ("found", "first", "last"),
    [
        (SHORT, "look for the missing FASTQ files on the sequencer", "without them (1 of 2 FASTQ"),
        (OVER, "find the FASTQ files that do not belong to this cell", "if all files belong"),
        (
            FALLBACK,
            "find the files in MinKNOW's fallback folder",
            "(1 FASTQ file is in the fallback",
        ),
        (
            UNREADABLE,
            "copy final_summary_x.txt again from the sequencer",
            "cannot tell which files",
        ),
        (
            NO_COUNTS,
            "compare the final_summary in /landing/run/lib/cell",
            "cannot tell which files",
        ),
        (CLOSED, "make sure that the user of hesiod-watch can read", "cannot tell which files"),
    ],
    ids=CAUSE_IDS,
)
def test_steps_follow_the_cause(found: Completeness, first: str, last: str) -> None:
    """Message and explain give the same steps, the step for the cause first.

    The step that accepts the cell names what would be missing.
    """
    cell = replace(LATE, completeness=found)
    run = replace(RUN, cells=(cell,))
    lines = list(steps(run, cell))
    assert lines[0].startswith(first)
    assert last in lines[-1]
    assert lines[-1].endswith(ACCEPT)
    assert [ACCEPT in line for line in lines[:-1]] == [False] * (len(lines) - 1)
    can = explain_cell(run, cell.id, plan(run, POLICY, NOW), POLICY, NOW).you_can
    assert list(can[: len(lines)]) == lines
    (event,) = [event for event in due(run, POLICY, NOW) if event.name == CELL_OVERDUE]
    text = compose(event, run, "internal", "")
    assert text.startswith(f"Cell lib/cell of the run run is overdue: {found.why}. ")
    assert all(f"  {line}" in text for line in lines)
    assert ("by itself" in text) is (found is not FALLBACK)


def test_steps_of_an_upstream_run() -> None:
    """Missing files are copied to the upstream; no step accepts a cell that is being copied."""
    run = replace(RUN, upstream=THERE)
    lines = list(steps(run, LATE))
    assert lines == [
        "look for the missing FASTQ files on the sequencer, "
        f"and copy them into {THERE}/lib/cell; the next sync copies them"
    ]


def test_several_causes_at_once() -> None:
    """Each of several causes has its own step."""
    counts = (Shortfall(FASTQ, 1, 2), Shortfall(DataKind.POD5, 3, 2))
    found = replace(FALLBACK, shortfalls=counts)
    lines = list(steps(RUN, replace(LATE, completeness=found)))
    words = ["fallback folder", "missing FASTQ files", "find the POD5 files", "accept the cell"]
    assert len(lines) == len(words)
    assert all(word in line for word, line in zip(words, lines, strict=True))


@pytest.mark.parametrize(
    ("upstream", "listed_at"), [(LOCAL, False), (THERE, True)], ids=["local", "upstream"]
)
def test_the_end_of_the_grace_period_is_looked_for(upstream: str, listed_at: bool) -> None:
    """A look is planned for the time when the cell becomes overdue, and it finds it overdue."""
    cell = replace(LATE, summary_since=(NOW - HOUR).timestamp() + 20, upstream=listed_at)
    run = replace(RUN, upstream=upstream, cells=(cell,))
    again = look_again(run, POLICY, NOW)
    assert again is not None
    assert timedelta(seconds=20) < again - NOW < timedelta(seconds=21)
    assert not overdue(cell, POLICY, NOW)
    assert overdue(cell, POLICY, again)
    assert keys(run, again) == ["cell-overdue.cell.1"]
