"""Texts of messages: the event, then the numbers and the page; no control characters."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from snapshots import attempt, cell, flag, run

from hesiod_watch.core.events import Event
from hesiod_watch.core.model import Cell, Policy
from hesiod_watch.core.ownership import Owner
from hesiod_watch.rules.events import EVENTS, happened
from hesiod_watch.rules.message_text import MOST_CELLS, compose, report_address, subject

NOW = datetime(2026, 11, 22, 22, 0, tzinfo=UTC)
RESULTS = {
    "reads": 1_234_567,
    "bases": 4_500_000_000,
    "n50": 12_345,
    "mean_q": 18.25,
    "passed_reads": 1_000_000,
    "passed_bases": 4_000_000_000,
}
CELL = "20261122_1000_1A_PAD38578_c6ded78b"
RUN = "20261122_my run"
PATTERN = "https://reports.invalid/{run}/report.html"


def done(name: str = CELL, results: Mapping[str, object] = RESULTS) -> Cell:
    """A processed cell with these results."""
    return cell(name, synced=True, done=flag(), results=results)


def text(name: str, *cells: Cell) -> str:
    """The text of the message about that event of a run with these cells."""
    snapshot = run(*cells, name=RUN)
    (event,) = [event for event in happened(snapshot, Policy(), NOW) if event.name == name]
    return compose(event, snapshot, "internal", PATTERN)


def test_cell_done() -> None:
    """The message has the cell's numbers, passed and failed separately, and the page's address."""
    assert text("cell-done", done()) == (
        "Cell lib/20261122_1000_1A_PAD38578_c6ded78b of the run 20261122_my run"
        " is processed, checked and reported.\n\n"
        "Reads:   1,234,567; passed 1,000,000 (81.0% of the reads), failed 234,567\n"
        "Bases:   4.50 Gb; passed 4.00 Gb, failed 500.00 Mb\n"
        "N50:     12.35 kb\n"
        "Mean Q:  18.2\n\n"
        "Report: https://reports.invalid/20261122_my%20run/report.html"
    )


def test_cell_with_bam() -> None:
    """The message of a cell with BAM has one line more."""
    counts = {"bam_reads": 1000, "aligned_reads": 750, "duplex_reads": 0, "modified_reads": 1000}
    assert (
        "BAM:     1,000 reads; aligned 750 (75.0%), duplex 0 (0.0%),"
        " with modified bases 1,000 (100.0%)\n"
    ) in text("cell-done", done(results={**RESULTS, **counts}))


def test_cell_with_duplex_reads() -> None:
    """Duplex reads have a line of their own, and the other numbers are without them."""
    message = text(
        "cell-done", done(results={**RESULTS, "duplex_part_reads": 1, "duplex_part_bases": 2_500})
    )
    assert "Duplex:  1 read, 2.50 kb; not in the numbers above\n" in message
    assert "passed 1,000,000 (81.0% of the reads)" in message


def test_a_cell_without_reads() -> None:
    """The messages say why there are no reads, and have no table of zeros."""
    why = "basecalling was off, and it has raw data only (3 POD5 files)"
    empty = replace(
        done(results={**RESULTS, "reads": 0, "bases": 0}),
        flags=replace(done().flags, done=flag(json.dumps({"no_reads": why}))),
    )
    message = text("cell-done", empty)
    assert f"is processed and reported, without reads: {why}.\n" in message
    assert "Reads:" not in message
    assert f"{CELL}: no reads: {why}\n" in text("run-complete", empty)


@pytest.mark.parametrize(
    "results",
    [{}, {"reads": 0, "bases": 0}, {"reads": "many", "mean_q": "x"}],
    ids=["none", "no reads", "words"],
)
def test_missing_numbers(results: dict[str, object]) -> None:
    """The message has no numbers for a cell without reads or with a flag made by hand."""
    message = text("cell-done", done(results=results))
    assert message.startswith("Cell lib/")
    assert "%" not in message.split("Report:")[0]
    assert text("run-complete", done(results=results))


def test_an_unknown_quality() -> None:
    """A cell whose quality is not known has its other numbers."""
    results = {name: value for name, value in RESULTS.items() if name != "mean_q"}
    assert "Mean Q:  unknown\n" in text("cell-done", done(results=results))
    assert "N50 12.35 kb, mean Q unknown\n" in text("run-complete", done(results=results))


def test_no_reads_are_not_called_checked() -> None:
    """The messages about a cell without reads say so in their first sentence."""
    empty = done(results=RESULTS | {"reads": 0, "bases": 0, "passed_reads": 0, "passed_bases": 0})
    assert (
        text("cell-done", empty)
        .partition("\n")[0]
        .endswith(" is processed and reported, without reads.")
    )
    other = done("20261122_1100_1B_PAD38579_c6ded78c")
    whole = text("run-complete", empty, other)
    assert whole.startswith(
        f"The run {RUN} is complete: 2 cells processed, 1 of them without reads."
    )
    assert f"lib/{CELL}: no reads" in whole


def test_verdict_is_in_the_messages() -> None:
    """The messages about a cell and its run have the verdict by the facility's limits."""
    graded = replace(done(), flags=replace(done().flags, done=flag('{"qc_verdict": "FAIL: x"}')))
    assert "Verdict by the limits of this site: FAIL: x." in text("cell-done", graded)
    assert "; FAIL: x" in text("run-complete", graded)
    assert "FAIL" not in text("cell-done", done())


def test_lost_files_are_in_the_message() -> None:
    """The message about a cell without some of its files says that their reads are missing."""
    message = text("cell-done", done(results=RESULTS | {"removed_files": 2}))
    assert "The reads of 2 files that were damaged or removed are not in its numbers." in message


def test_run_complete() -> None:
    """The message about a complete run has one line for each cell, and the totals."""
    second = done("20261122_1100_1B_PAD38579_c6ded78c")
    aborted = cell("x", aborted=flag(""), results=RESULTS)
    message = text("run-complete", done(), second, aborted)
    assert (
        message.splitlines()[0]
        == "The run 20261122_my run is complete: 2 cells processed, 1 aborted."
    )
    line = "1,234,567 reads, 4.50 Gb, N50 12.35 kb, mean Q 18.2"
    assert f"  lib/20261122_1000_1A_PAD38578_c6ded78b: {line}" in message
    assert "Together: 2,469,134 reads, 9.00 Gb." in message


def test_many_cells() -> None:
    """A long list of cells is cut and says how many are left out."""
    message = text("run-complete", *(done(f"c{number}") for number in range(MOST_CELLS + 5)))
    assert "… and 5 more" in message
    assert len(message.splitlines()) < MOST_CELLS + 10


def test_run_new() -> None:
    """The message about a new run has its source, its directory and its type."""
    new = run(done(), name=RUN, upstream="prom@host:/data/x")
    message = compose(Event("run-new", new.run, "run-new"), new, "visitor", "")
    assert "It comes from: prom@host:/data/x" in message
    assert "It is in: /landing/20261122_my run" in message
    assert message.endswith("Type: visitor")


@pytest.mark.parametrize("name", list(EVENTS))
def test_hostile_words(name: str) -> None:
    """Every message spells out control, bidirectional and undecodable characters."""
    evil = "\x1b[2J\r\n\u202eevil\udcff\x00"
    owner = Owner("t", epoch=9)
    bad = attempt(
        "failed", owner=owner, evidence=evil, reason=evil, needs_person=True, problems=[evil]
    )
    one = cell(
        evil,
        library=evil,
        done=flag(evil),
        failed=flag(evil),
        aborted=flag(evil),
        results={"reads": 1},
        backup=bad,
        verification=bad,
    )
    snapshot = run(
        one,
        name=evil,
        upstream=evil,
        flags=frozenset({"failed"}),
        flag_texts={"failed": evil},
        sync=bad,
    )
    event = Event(name, snapshot.run, name, one.id)
    for each in (snapshot, replace(snapshot, cells=())):
        message = compose(event, each, evil, "")
        assert message
        assert all(character == "\n" or character.isprintable() for character in message)
        message.encode()
    assert subject(snapshot).isprintable()


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("https://r.invalid/{run}", "https://r.invalid/a%2Fb%20%3F%23"),
        ("", "/out/run/report.html"),
    ],
    ids=["pattern", "no pattern"],
)
def test_report_address(pattern: str, expected: str) -> None:
    """The run's name cannot change the address; without a pattern the file is named."""
    snapshot = run(name="a/b ?#", output=Path("/out/run"))
    assert report_address(snapshot, pattern) == expected
    assert report_address(run(output=None), "") == ""


def test_subjects_differ() -> None:
    """Runs with different names have different subjects, even if only the escaping differs."""
    names = ["run", "run ", "run\n", r"run\n", "run\u202e", "Run"]
    assert len({subject(run(name=name)) for name in names}) == len(names)
