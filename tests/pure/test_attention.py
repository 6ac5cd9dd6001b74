"""Overdue cells: when a cell is overdue, the messages about it, and when it is resolved."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from snapshots import attempt, cell, claim, flag, run

from hesiod_watch.core.attention import Attention
from hesiod_watch.core.cell_contents import Completeness, DataKind, FinalSummary, Shortfall, Verdict
from hesiod_watch.core.circumstances import NOTHING_KNOWN
from hesiod_watch.core.model import LOCAL, Cell, Policy, Snapshot
from hesiod_watch.core.queued_messages import Outbox
from hesiod_watch.rules.attention import attention
from hesiod_watch.rules.completeness import accept
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
from hesiod_watch.rules.overdue import grace_end, overdue, resolved_words
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

THERE = "prom@host:/data/run"
SINCE = (NOW - 2 * HOUR).timestamp()
FIRST = "cell-overdue.cell.1"
FIRST_ENDED = "cell-overdue-ended.cell.1"


def late(
    name: str = "cell",
    completeness: Completeness | None = SHORT,
    summary_since: float | None = SINCE,
    **facts: Any,
) -> Cell:
    """A cell whose final_summary arrived two hours ago, and whose files are missing."""
    return cell(name, completeness=completeness, summary_since=summary_since, **facts)


def reported_run(*cells: Cell, reported: Iterable[str] = (), **facts: Any) -> Snapshot:
    """A run whose events `run-new` and `reported` are reported."""
    return run(*cells, outbox=Outbox(reported=frozenset({"run-new", *reported})), **facts)


def keys(snapshot: Snapshot, now: datetime = NOW) -> list[str]:
    """Return the keys of the messages about overdue cells that are due now."""
    names = (CELL_OVERDUE, CELL_OVERDUE_ENDED)
    return [event.key for event in due(snapshot, POLICY, now) if event.name in names]


OVERDUE = {"overdue", "fallback", "surplus-files", "unreadable-summary", "unreadable-files"}


def overdue_entries(snapshot: Snapshot) -> list[Attention]:
    """Return what the rule says about overdue cells."""
    found = attention(snapshot, NOTHING_KNOWN, POLICY, NOW)
    return [each for each in found if each.kind in OVERDUE]


def steps(snapshot: Snapshot) -> list[str]:
    """Return the steps for the only overdue cell."""
    (found,) = overdue_entries(snapshot)
    return [str(step) for step in found.steps]


ALL_CAUSES = [SHORT, OVER, FALLBACK, UNREADABLE, NO_COUNTS, CLOSED]
CAUSE_IDS = ["short", "over", "fallback", "half-written", "no counts", "not readable"]


@pytest.mark.parametrize("found", ALL_CAUSES, ids=CAUSE_IDS)
def test_each_cause_is_reported(found: Completeness) -> None:
    """Every cause of an incomplete ended cell is reported, and is a problem of every poll."""
    snapshot = reported_run(late(completeness=found))
    assert keys(snapshot) == [FIRST]
    (sentence,) = map(str, overdue_entries(snapshot))
    assert sentence.startswith(f"run lib/cell: overdue: {found.why}; ")
    assert "2026-11-22T20:00:00Z" in sentence
    assert sentence.endswith("; hesiod-watch explain run lib/cell")
    assert keys(snapshot, NOW - HOUR - timedelta(seconds=1)) == []


@pytest.mark.parametrize(
    "snapshot",
    [
        pytest.param(reported_run(late(completeness=RUNNING)), id="running"),
        pytest.param(reported_run(late(completeness=PROVEN)), id="proven"),
        pytest.param(reported_run(late(completeness=None, present=False)), id="missing"),
        pytest.param(reported_run(late(summary_since=None)), id="no summary"),
        pytest.param(reported_run(late(synced=True)), id="synced"),
        pytest.param(reported_run(late(claims=(claim(),))), id="claimed"),
        pytest.param(reported_run(late(failed=flag())), id="failed"),
        pytest.param(reported_run(late(aborted=flag())), id="aborted"),
        pytest.param(reported_run(late(done=flag())), id="done"),
        *(
            pytest.param(reported_run(late(), flags=frozenset({name})), id=f"run {name}")
            for name in ("failed", "aborted", "stripped")
        ),
        pytest.param(reported_run(late(), upstream=None), id="without upstream"),
        pytest.param(reported_run(late(), upstream=THERE, sync=attempt()), id="being copied"),
    ],
)
def test_what_is_not_overdue(snapshot: Snapshot) -> None:
    """A cell that runs, is complete, is decided or is stopped by a flag is not overdue."""
    assert keys(snapshot) == []
    assert not overdue_entries(snapshot)


@pytest.mark.parametrize("listed", [True, False], ids=["upstream asked", "upstream silent"])
def test_cells_of_upstream_runs(listed: bool) -> None:
    """A copied cell with missing files is reported, also if its upstream was not just queried."""
    copied = late(upstream=listed)
    snapshot = reported_run(copied, upstream=THERE, listed_at=THERE if listed else "")
    assert keys(snapshot) == [FIRST]
    assert [each.cell for each in overdue_entries(snapshot)] == [str(copied.id)]


def test_one_message_until_it_ends() -> None:
    """Other counts do not repeat the report; a cell that is overdue again is reported again."""
    fewer = replace(SHORT, why="2 of 2 FASTQ files missing", shortfalls=(Shortfall(FASTQ, 0, 2),))
    short, other, complete = late(), late(completeness=fewer), late(completeness=PROVEN)
    reported = [FIRST]
    assert (
        keys(reported_run(short, reported=reported))
        == keys(reported_run(other, reported=reported))
        == []
    )
    assert keys(reported_run(complete, reported=reported)) == [FIRST_ENDED]
    reported.append(FIRST_ENDED)
    assert keys(reported_run(complete, reported=reported)) == []
    assert keys(reported_run(other, reported=reported)) == ["cell-overdue.cell.2"]
    reported.append("cell-overdue.cell.2")
    assert keys(reported_run(other, reported=reported)) == []
    assert keys(reported_run(complete, reported=reported)) == ["cell-overdue-ended.cell.2"]


@pytest.mark.parametrize(
    ("after", "words"),
    [
        pytest.param(
            late(completeness=PROVEN), "all files announced are here: 2 FASTQ files", id="complete"
        ),
        pytest.param(cell(synced=True), "recorded as complete", id="synced"),
        pytest.param(cell(synced=True, claims=(claim(),)), "recorded as complete", id="claimed"),
        pytest.param(late(synced=True), "accepted it as complete: 1 of 2 FASTQ", id="accepted"),
        pytest.param(cell(done=flag()), "it is processed", id="done"),
        pytest.param(cell(failed=flag("cut off")), "has failed: cut off", id="failed"),
        pytest.param(
            cell(aborted=flag("wrong sample")), "disregard it: wrong sample", id="aborted"
        ),
        pytest.param(cell(present=False, done=flag()), "it is processed", id="done and missing"),
        pytest.param(
            late(completeness=replace(RUNNING, why="still running: abc")),
            "still running: abc",
            id="another acquisition",
        ),
        pytest.param(
            late(summary_since=NOW.timestamp()),
            "begins again: 1 of 2 FASTQ files missing",
            id="another summary",
        ),
    ],
)
def test_the_end_says_what_ended_it(after: Cell, words: str) -> None:
    """The end is reported once, whatever the cause, and only if the beginning was reported."""
    snapshot = reported_run(after, reported=[FIRST])
    (event,) = [event for event in due(snapshot, POLICY, NOW) if event.name == CELL_OVERDUE_ENDED]
    text = compose(event, snapshot, "internal", "")
    assert text.startswith("Cell lib/cell of the run run is not overdue any more: ")
    assert words in text
    assert keys(reported_run(after)) == []


@pytest.mark.parametrize(
    ("cells", "facts"),
    [
        pytest.param([], {}, id="not seen"),
        pytest.param([late(completeness=None, present=False)], {}, id="missing"),
        pytest.param(
            [late(completeness=None, present=False, upstream=True)], {}, id="upstream only"
        ),
        pytest.param([late()], {"upstream": THERE, "sync": attempt()}, id="being copied"),
        pytest.param([late()], {"flags": frozenset({"failed"})}, id="run failed"),
        pytest.param([late()], {"problem": "cannot be read"}, id="not readable"),
    ],
)
def test_no_end_is_reported_without_evidence(cells: list[Cell], facts: dict[str, Any]) -> None:
    """A snapshot that does not show the cell is no evidence that the problem ended."""
    assert keys(reported_run(*cells, reported=[FIRST], **facts)) == []


def test_long_stems_and_stems_that_end_in_numbers() -> None:
    """Every beginning and end of every cell has its own key, short enough for a file name."""
    stems = ["x" * 249 + "a", "x" * 249 + "b", "cell", "cell.1", "cell.1.1"]
    reported: set[str] = set()
    for _ in range(3):
        for found in (SHORT, PROVEN):
            cells = [late(stem, found) for stem in stems]
            new = keys(reported_run(*cells, reported=reported))
            assert len(new) == len(stems)
            assert reported.isdisjoint(new)
            reported.update(new)
    assert all(len(key) <= 240 for key in reported)


def test_a_run_from_before_its_outbox() -> None:
    """A lasting problem is not past: it is reported even if the run gets its outbox only now."""
    snapshot = run(late(), outbox=None)
    assert [event.name for event in due(snapshot, POLICY, NOW)] == ["run-new"]
    assert CELL_OVERDUE in [event.name for event in happened(snapshot, POLICY, NOW)]


def test_default_channel() -> None:
    """Both events are comments in the tracker unless the configuration says otherwise."""
    policy = replace(POLICY, channels={"rt": default_kinds()})
    for name in (CELL_OVERDUE, CELL_OVERDUE_ENDED):
        assert addressed(name, reported_run(late()), policy) == {"rt": "comment"}


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
    overdue_cell = late(completeness=found)
    snapshot = reported_run(overdue_cell)
    lines = steps(snapshot)
    assert lines[0].startswith(first)
    assert last in lines[-1]
    assert lines[-1].endswith(ACCEPT)
    assert [ACCEPT in line for line in lines[:-1]] == [False] * (len(lines) - 1)
    can = explain_cell(snapshot, overdue_cell.id, plan(snapshot, POLICY, NOW), POLICY, NOW).you_can
    assert list(can[: len(lines)]) == lines
    (event,) = [event for event in due(snapshot, POLICY, NOW) if event.name == CELL_OVERDUE]
    text = compose(event, snapshot, "internal", "")
    assert text.startswith(f"Cell lib/cell of the run run is overdue: {found.why}; ")
    assert all(f"  {line}" in text for line in lines)
    assert ("by itself" in text) is (found is not FALLBACK)


def test_steps_of_an_upstream_run() -> None:
    """Missing files are copied to the upstream; no step accepts a cell that is being copied."""
    lines = steps(reported_run(late(), upstream=THERE))
    assert lines == [
        "look for the missing FASTQ files on the sequencer, "
        f"and copy them into {THERE}/lib/cell; the next sync copies them"
    ]


@pytest.mark.parametrize(
    "found", [SHORT, OVER, UNREADABLE], ids=["missing files", "surplus files", "no summary"]
)
def test_lost_files_of_an_upstream_run(found: Completeness) -> None:
    """Once a sync has copied all that the upstream has, the last step accepts the cell."""
    cell_ = late(completeness=found)
    copied = reported_run(cell_, upstream=THERE, sync=attempt("done"))
    assert steps(copied)[-1].endswith(ACCEPT)
    for last in (None, attempt("failed")):
        waiting = reported_run(cell_, upstream=THERE, sync=last)
        assert not any(ACCEPT in line for line in steps(waiting))


def test_a_crash_at_an_upstream() -> None:
    """A cell whose final_summary never comes can be accepted when all its files were copied."""
    quiet = cell(completeness=RUNNING, changed=1.0, has_data=True)
    policy = replace(POLICY, quiet=60.0)
    for last, acceptable in ((attempt("done"), True), (attempt("failed"), False)):
        snapshot = reported_run(quiet, upstream=THERE, sync=last)
        (found,) = (
            each for each in attention(snapshot, NOTHING_KNOWN, policy, NOW) if each.kind == "quiet"
        )
        assert (ACCEPT in str(found.steps[-1])) is acceptable


def test_several_causes_at_once() -> None:
    """Each of several causes has its own step."""
    counts = (Shortfall(FASTQ, 1, 2), Shortfall(DataKind.POD5, 3, 2))
    found = replace(FALLBACK, shortfalls=counts)
    several = late(completeness=found)
    lines = steps(reported_run(several))
    words = ["fallback folder", "missing FASTQ files", "find the POD5 files", "accept the cell"]
    assert len(lines) == len(words)
    assert all(word in line for word, line in zip(words, lines, strict=True))


@pytest.mark.parametrize(
    ("upstream", "listed_at"), [(LOCAL, False), (THERE, True)], ids=["local", "upstream"]
)
def test_the_end_of_the_grace_period_is_looked_for(upstream: str, listed_at: bool) -> None:
    """A look is planned for the time when the cell becomes overdue, and it finds it overdue."""
    soon = late(summary_since=(NOW - HOUR).timestamp() + 20, upstream=listed_at)
    snapshot = reported_run(soon, upstream=upstream)
    again = look_again(snapshot, POLICY, NOW)
    assert again is not None
    assert timedelta(seconds=20) < again - NOW < timedelta(seconds=21)
    assert not overdue(soon, POLICY, NOW)
    assert overdue(soon, POLICY, again)
    assert keys(snapshot, again) == [FIRST]


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (SHORT, "The cell continues by itself as soon as its files agree with its final_summary."),
        (
            FALLBACK,
            "The final_summary will always name the fallback folder. "
            "So the cell is processed only after a person has accepted it as complete.",
        ),
    ],
    ids=["files are missing", "fallback"],
)
def test_how_an_overdue_cell_continues(found: Completeness, words: str) -> None:
    """The message ends with what happens without a person."""
    snapshot = reported_run(late(completeness=found))
    (event,) = [event for event in due(snapshot, POLICY, NOW) if event.name == CELL_OVERDUE]
    assert compose(event, snapshot, "internal", "").split("\n\n")[-1] == words


@pytest.mark.parametrize(
    ("after", "words"),
    [
        (
            cell(),
            "a new final_summary is here, and the grace period begins again",
        ),
        (cell(aborted=flag("")), "a person has said to disregard it: no reason was given"),
        (cell(failed=flag("")), "its processing was started and has failed"),
        (late(synced=True), f"a person has accepted it as complete: {SHORT.why}"),
        (late(completeness=accept(SHORT), synced=True), accept(SHORT).why),
    ],
    ids=["not counted", "aborted", "failed", "accepted", "accepted, by its verdict"],
)
def test_words_about_the_end(after: Cell, words: str) -> None:
    """The reason of an end is whole, also where a flag has no text or nothing is counted."""
    assert resolved_words(after) == words


@pytest.mark.parametrize(
    ("arrived", "end"),
    [(-3600, 0), (-20, 3580), (0, 3600), (30, 3600), (60, 3600), (61, 0)],
    ids=["long ago", "just now", "at this moment", "a clock is ahead", "a minute", "impossible"],
)
def test_the_end_of_the_grace_period(arrived: float, end: float) -> None:
    """A final_summary of a clock that is a little ahead has its whole grace period."""
    found = late(summary_since=NOW.timestamp() + arrived)
    assert grace_end(found, POLICY, NOW) == NOW + timedelta(seconds=end)
    assert overdue(found, POLICY, NOW) is (end == 0)
