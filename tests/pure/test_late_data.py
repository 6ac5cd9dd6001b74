"""Sentences about data that came after a cell was processed, and what a person can do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from snapshots import attempt, cell, flag, run

from hesiod_watch.core.cell_contents import Completeness, LateData, Verdict
from hesiod_watch.core.model import Cell
from hesiod_watch.core.ownership import Attempt
from hesiod_watch.rules.late_data import late_step, late_words, raw_removed, said

PROVEN = Completeness(Verdict.PROVEN, "4 FASTQ files")
LATE = LateData({"fastq_pass": 1}, frozenset(), PROVEN)
CELL = "20261122_1000_1A_PAD38578_c6ded78b"
RETRY = f"hesiod-watch retry run lib/{CELL} --why …"


@pytest.mark.parametrize(
    ("files", "places"),
    [
        ({"fastq_pass": 1}, "1 file in fastq_pass"),
        ({"": 2}, "2 files in its directory"),
        ({"b": 1, "a": 2, "c": 3}, "2 files in a, 1 file in b, 3 files in c"),
        (
            {"b": 1, "a": 2, "c": 3, "d": 1},
            "2 files in a, 1 file in b, 3 files in c and in 1 more directory",
        ),
        (
            {"b": 1, "a": 2, "c": 3, "d": 1, "e": 1},
            "2 files in a, 1 file in b, 3 files in c and in 2 more directories",
        ),
        ({"a\nb": 1}, "1 file in a\\nb"),
    ],
    ids=["one", "in the cell itself", "three", "four", "five", "a hostile name"],
)
def test_where_the_data_are(files: dict[str, int], places: str) -> None:
    """The sentence names three directories and the number of the others."""
    assert said(replace(LATE, files=files)) == (
        f"new data came after it was processed: {places}; they are neither counted nor processed"
    )


def late_cell(**facts: Any) -> Cell:
    usual: dict[str, Any] = {"done": flag(""), "late_data": LATE}
    return cell(CELL, **(usual | facts))


@pytest.mark.parametrize(
    "found",
    [late_cell(late_data=None), late_cell(done=None), late_cell(aborted=flag(""))],
    ids=["no data", "not processed", "aborted"],
)
def test_other_cells(found: Cell) -> None:
    """Only a processed cell with new files has late data."""
    assert late_words(found) == ""
    assert late_step(run(found), found) == ""
    assert late_words(late_cell()) == said(LATE)


@pytest.mark.parametrize(
    ("last", "removed"),
    [
        (None, False),
        (attempt("failed", files=0), False),
        (attempt("failed"), True),
        (attempt("failed", files=2), True),
        (attempt("done", files=2), True),
        (attempt(), True),
    ],
    ids=["never", "refused", "interrupted", "in part", "done", "under way"],
)
def test_raw_data_may_be_missing(last: Attempt | None, removed: bool) -> None:
    """Raw data may be missing after a strip, unless it is certain that it deleted nothing."""
    found = late_cell(strip=last)
    assert raw_removed(run(found), found) is removed
    assert raw_removed(run(found, flags=frozenset({"stripped"})), found)


STEPS: dict[str, tuple[Cell, str]] = {
    "complete": (late_cell(), f"process the cell again, with the new data: {RETRY}"),
    "stripped": (
        late_cell(strip=attempt("done", files=3)),
        "process the new data: bring back the raw data that were removed from here, remove the"
        f" flags /landing/run/pipeline/stripped and {CELL}.strip.*, then {RETRY}",
    ),
    "all in other directories": (
        late_cell(late_data=replace(LATE, outside=frozenset({"fastq_pass"}))),
        "process the new data: move the FASTQ files into"
        f" /landing/run/lib/{CELL}/fastq_pass or fastq_fail, where they are counted, then {RETRY}",
    ),
    "some in other directories": (
        late_cell(
            late_data=replace(LATE, files={"fastq_pass": 1, "x": 1}, outside=frozenset({"x"}))
        ),
        f"process the cell again, with the new data: {RETRY}",
    ),
    "without a final_summary": (
        late_cell(
            late_data=replace(LATE, completeness=Completeness(Verdict.RUNNING, "still running"))
        ),
        f"process the new data when their final_summary is here (still running): {RETRY}",
    ),
    "too few": (
        late_cell(late_data=replace(LATE, completeness=Completeness(Verdict.SHORT, "1 missing"))),
        f"process the cell again, with the new data: {RETRY}; then, because its counts do not agree"
        " (1 missing), accept them: hesiod-touch-atomic"
        f" /landing/run/pipeline/{CELL}.synced",
    ),
}


@pytest.mark.parametrize("case", STEPS)
def test_what_a_person_can_do(case: str) -> None:
    """The step has the command that processes the new data, and what must be done before."""
    found, step = STEPS[case]
    assert late_step(run(found), found) == step
