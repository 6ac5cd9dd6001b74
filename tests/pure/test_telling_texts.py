"""Texts of messages: the event, then the numbers and the page; no control characters."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hesiod_watch.core.model import (
    LOCAL,
    Attempt,
    Cell,
    CellFlags,
    CellId,
    Flag,
    Liveness,
    Owner,
    Policy,
    RunName,
    Snapshot,
)
from hesiod_watch.rules.events import EVENTS, Event, happened
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
DONE = Cell(
    CellId("lib", "20261122_1000_1A_PAD38578_c6ded78b"),
    present=True,
    flags=CellFlags(synced=True, done=Flag("done", 1.0, text="x")),
    results=RESULTS,
)
RUN = Snapshot(
    RunName("20261122_my run"),
    Path("/landing/20261122_my run"),
    has_pipeline=True,
    upstream=LOCAL,
    output=Path("/out/run"),
    cells=(DONE,),
)
PATTERN = "https://reports.invalid/{run}/report.html"


def text(name: str, snapshot: Snapshot = RUN, pattern: str = PATTERN) -> str:
    (event,) = [event for event in happened(snapshot, Policy(), NOW) if event.name == name]
    return compose(event, snapshot, "internal", pattern)


def test_cell_done() -> None:
    """The message has the cell's numbers, passed and failed separately, and the page's address."""
    assert text("cell-done") == (
        "Cell lib/20261122_1000_1A_PAD38578_c6ded78b of the run 20261122_my run"
        " is processed, checked and reported.\n\n"
        "Reads:   1,234,567; passed 1,000,000 (81.0% of the reads), failed 234,567\n"
        "Bases:   4.50 Gb; passed 4.00 Gb, failed 500.00 Mb\n"
        "N50:     12.35 kb\n"
        "Mean Q:  18.2\n\n"
        "Report: https://reports.invalid/20261122_my%20run/report.html"
    )


@pytest.mark.parametrize(
    "results", [{}, {"reads": 0, "bases": 0}, {"reads": "many", "mean_q": "x"}]
)
def test_numbers_that_are_not_there(results: dict[str, object]) -> None:
    """The message has no numbers for a cell without reads or with a flag made by hand."""
    message = text("cell-done", replace(RUN, cells=(replace(DONE, results=results),)))
    assert message.startswith("Cell lib/")
    assert "%" not in message.split("Report:")[0]
    assert text("run-complete", replace(RUN, cells=(replace(DONE, results=results),)))


def test_run_complete() -> None:
    """The message about a complete run has one line for each cell, and the totals."""
    second = replace(DONE, id=CellId("lib", "20261122_1100_1B_PAD38579_c6ded78c"))
    aborted = replace(
        DONE, id=CellId("lib", "x"), flags=CellFlags(aborted=Flag("aborted", 1.0, text=""))
    )
    message = text("run-complete", replace(RUN, cells=(DONE, second, aborted)))
    assert (
        message.splitlines()[0]
        == "The run 20261122_my run is complete: 2 cells processed, 1 aborted."
    )
    line = "1,234,567 reads, 4.50 Gb, N50 12.35 kb, mean Q 18.2"
    assert f"  lib/20261122_1000_1A_PAD38578_c6ded78b: {line}" in message
    assert "Together: 2,469,134 reads, 9.00 Gb." in message


def test_many_cells() -> None:
    """A long list of cells is cut and says how many are left out."""
    cells = tuple(replace(DONE, id=CellId("lib", f"c{number}")) for number in range(MOST_CELLS + 5))
    message = text("run-complete", replace(RUN, cells=cells))
    assert "… and 5 more" in message
    assert len(message.splitlines()) < MOST_CELLS + 10


def test_run_new() -> None:
    """The message about a new run has its source, its directory and its type."""
    message = compose(
        Event("run-new", RUN.run, "run-new"),
        replace(RUN, upstream="prom@host:/data/x"),
        "visitor",
        "",
    )
    assert "It comes from: prom@host:/data/x" in message
    assert "It is in: /landing/20261122_my run" in message
    assert message.endswith("Type: visitor")


@pytest.mark.parametrize("name", list(EVENTS))
def test_hostile_words(name: str) -> None:
    """Every message spells out control, bidirectional and undecodable characters."""
    evil = "\x1b[2J\r\n\u202eevil\udcff\x00"
    flags = CellFlags(
        done=Flag("d", 1.0, text=evil),
        failed=Flag("f", 1.0, text=evil),
        aborted=Flag("a", 1.0, text=evil),
    )
    cell = Cell(CellId(evil, evil), present=True, flags=flags, results={"reads": 1})
    bad = Attempt(
        "failed",
        Owner("t", epoch=9),
        Liveness.DEAD,
        evil,
        {"reason": evil, "needs_person": True, "problems": [evil]},
    )
    snapshot = replace(
        RUN,
        run=RunName(evil),
        path=Path("/landing") / evil,
        upstream=evil,
        cells=(replace(cell, backup=bad, verification=bad),),
        flags=frozenset({"failed"}),
        flag_texts={"failed": evil},
        sync=bad,
    )
    event = Event(name, RunName(evil), name, cell.id)
    for each in (snapshot, replace(snapshot, cells=())):
        message = compose(event, each, evil, "")
        assert message
        assert all(letter == "\n" or letter.isprintable() for letter in message)
        message.encode()
    assert subject(snapshot).isprintable()


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("https://r.invalid/{run}", "https://r.invalid/a%2Fb%20%3F%23"),
        ("", "/out/run/report.html"),
    ],
)
def test_report_address(pattern: str, expected: str) -> None:
    """The run's name cannot change the address; without a pattern the file is named."""
    assert report_address(replace(RUN, run=RunName("a/b ?#")), pattern) == expected
    assert report_address(replace(RUN, output=None), "") == ""


def test_subjects_differ() -> None:
    """Runs with different names have different subjects, even if only the escaping differs."""
    names = ["run", "run ", "run\n", r"run\n", "run\u202e", "Run"]
    assert len({subject(replace(RUN, run=RunName(name))) for name in names}) == len(names)
