"""Stage of a cell and status of a run: the tables of docs/flags.md, line by line."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from hesiod_watch.core.model import (
    LOCAL,
    Cell,
    CellFlags,
    CellId,
    Claim,
    Completeness,
    Flag,
    Liveness,
    RunName,
    Snapshot,
    Stage,
    Status,
    Verdict,
)
from hesiod_watch.rules.stages import digest_of_report, settled, stage_of, status_of, why_stage

FLAG = Flag("made by a test", mtime=1.0)
ALIVE = Claim(1, None, None, yielded=False, liveness=Liveness.ALIVE, evidence="")
CELL = CellId("lib", "20261122_2200_1A_PAW00001_0a1b2c3d")

RUN = Snapshot(
    RunName("run"),
    Path("/landing/run"),
    has_pipeline=True,
    upstream=LOCAL,
    output=Path("/output/run"),
)


def a_cell(stage: Stage, number: int = 1) -> Cell:
    """Return a cell at this stage, with the fewest facts that put it there."""
    cell = Cell(CellId("lib", f"cell{number}"), present=True)
    match stage:
        case Stage.ABORTED:
            return replace(cell, flags=CellFlags(aborted=FLAG))
        case Stage.PROCESSED:
            return replace(cell, flags=CellFlags(done=FLAG))
        case Stage.FAILED:
            return replace(cell, flags=CellFlags(failed=FLAG))
        case Stage.PROCESSING:
            return replace(cell, flags=CellFlags(claims=(ALIVE,)))
        case Stage.READY:
            return replace(cell, flags=CellFlags(synced=True))
        case Stage.PENDING:
            return replace(cell, upstream=True)
        case Stage.NEW:
            return replace(cell, present=False, upstream=True)
        case Stage.INCOMPLETE:
            return cell


@pytest.mark.parametrize(
    ("aborted", "done", "failed", "claimed", "synced", "upstream", "present"),
    list(product([False, True], repeat=7)),
)
def test_first_line_that_holds_is_the_stage(
    aborted: bool,
    done: bool,
    failed: bool,
    claimed: bool,
    synced: bool,
    upstream: bool,
    present: bool,
) -> None:
    """For every combination of facts, the stage is the first of the documented list."""
    flags = CellFlags(
        synced=synced,
        done=FLAG if done else None,
        failed=FLAG if failed else None,
        aborted=FLAG if aborted else None,
        claims=(ALIVE,) if claimed else (),
    )
    documented = [
        (aborted, Stage.ABORTED),
        (done, Stage.PROCESSED),
        (not present and upstream, Stage.NEW),
        (not present, Stage.INCOMPLETE),
        (failed, Stage.FAILED),
        (claimed, Stage.PROCESSING),
        (synced, Stage.READY),
        (upstream, Stage.PENDING),
        (True, Stage.INCOMPLETE),
    ]
    expected = next(stage for holds, stage in documented if holds)
    assert stage_of(Cell(CELL, present=present, upstream=upstream, flags=flags)) == expected


@pytest.mark.parametrize("stage", list(Stage))
def test_every_stage_has_a_sentence(stage: Stage) -> None:
    """Every stage has a sentence with its reason."""
    assert why_stage(a_cell(stage))


CASES: list[tuple[str, Snapshot, Status]] = [
    ("no pipeline directory", replace(RUN, has_pipeline=False, upstream=None), Status.NEW),
    (
        "aborted",
        replace(RUN, flags=frozenset({"aborted"}), cells=(a_cell(Stage.READY),)),
        Status.ABORTED,
    ),
    (
        "stripped",
        replace(RUN, flags=frozenset({"stripped"}), cells=(a_cell(Stage.READY),)),
        Status.STRIPPED,
    ),
    (
        "aborted before unknown",
        replace(RUN, flags=frozenset({"aborted"}), upstream=None),
        Status.ABORTED,
    ),
    ("no upstream", replace(RUN, upstream=None, cells=(a_cell(Stage.READY),)), Status.UNKNOWN),
    (
        "failed",
        replace(RUN, flags=frozenset({"failed"}), cells=(a_cell(Stage.PROCESSED),)),
        Status.FAILED,
    ),
    (
        "all processed or aborted",
        replace(RUN, cells=(a_cell(Stage.PROCESSED), a_cell(Stage.ABORTED, 2))),
        Status.COMPLETE,
    ),
    (
        "complete without output",
        replace(RUN, output=None, cells=(a_cell(Stage.PROCESSED),)),
        Status.COMPLETE,
    ),
    (
        "complete but a sync is under way",
        replace(RUN, flags=frozenset({"sync.started"}), cells=(a_cell(Stage.PROCESSED),)),
        Status.SYNCING,
    ),
    (
        "no output directory",
        replace(RUN, output=None, cells=(a_cell(Stage.READY),)),
        Status.UNKNOWN,
    ),
    (
        "processing",
        replace(RUN, cells=(a_cell(Stage.PROCESSING), a_cell(Stage.READY, 2))),
        Status.PROCESSING,
    ),
    (
        "processing, sync under way",
        replace(
            RUN,
            flags=frozenset({"sync.started"}),
            cells=(a_cell(Stage.PROCESSING), a_cell(Stage.NEW, 2)),
        ),
        Status.PROCESSING_SYNCING,
    ),
    (
        "processing, sync needed",
        replace(RUN, cells=(a_cell(Stage.PROCESSING), a_cell(Stage.PENDING, 2))),
        Status.PROCESSING_SYNC_NEEDED,
    ),
    (
        "ready before syncing",
        replace(RUN, cells=(a_cell(Stage.READY), a_cell(Stage.NEW, 2))),
        Status.CELL_READY,
    ),
    (
        "syncing",
        replace(RUN, flags=frozenset({"sync.started"}), cells=(a_cell(Stage.PENDING),)),
        Status.SYNCING,
    ),
    (
        "a sync that ended is not under way",
        replace(
            RUN, flags=frozenset({"sync.started", "sync.failed"}), cells=(a_cell(Stage.PENDING),)
        ),
        Status.SYNC_NEEDED,
    ),
    (
        "sync needed",
        replace(RUN, cells=(a_cell(Stage.NEW), a_cell(Stage.INCOMPLETE, 2))),
        Status.SYNC_NEEDED,
    ),
    (
        "some cell failed",
        replace(RUN, cells=(a_cell(Stage.FAILED), a_cell(Stage.PROCESSED, 2))),
        Status.FAILED,
    ),
    (
        "failed before incomplete",
        replace(RUN, cells=(a_cell(Stage.FAILED), a_cell(Stage.INCOMPLETE, 2))),
        Status.FAILED,
    ),
    (
        "still being written",
        replace(RUN, cells=(a_cell(Stage.INCOMPLETE), a_cell(Stage.ABORTED, 2))),
        Status.INCOMPLETE,
    ),
    ("no cell at all", RUN, Status.UNKNOWN),
]


@pytest.mark.parametrize(
    ("snapshot", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_status_is_the_first_line_of_the_table_that_holds(
    snapshot: Snapshot, expected: Status
) -> None:
    """Each line of the table of statuses matches in its order and has a sentence."""
    status, why = status_of(snapshot)
    assert status == expected
    assert why


def test_a_flag_says_its_reason() -> None:
    """The reason of a run is the text that a person wrote into its flag, plain or as a record."""
    for text in ("basecaller crashed", '{"why": "basecaller crashed", "user": "ada"}'):
        snapshot = replace(RUN, flags=frozenset({"failed"}), flag_texts={"failed": text})
        assert status_of(snapshot)[1] == "basecaller crashed"


def test_report_is_out_of_date_when_a_cell_settles() -> None:
    """The digest of a report changes with every settled cell, and not with work under way."""
    running = replace(RUN, cells=(a_cell(Stage.INCOMPLETE), a_cell(Stage.PROCESSED, 2)))
    started = replace(RUN, cells=(a_cell(Stage.PROCESSING), a_cell(Stage.PROCESSED, 2)))
    done = replace(RUN, cells=(a_cell(Stage.PROCESSED), a_cell(Stage.PROCESSED, 2)))
    assert digest_of_report(running) == digest_of_report(started) != digest_of_report(done)
    again = replace(
        done,
        cells=tuple(replace(c, flags=CellFlags(done=replace(FLAG, mtime=2.0))) for c in done.cells),
    )
    assert digest_of_report(again) != digest_of_report(done)


def test_settled_needs_every_cell_and_at_least_one() -> None:
    """A run is settled only if it has cells and all of them are settled."""
    assert not settled(RUN)
    assert settled(replace(RUN, cells=(a_cell(Stage.PROCESSED), a_cell(Stage.FAILED, 2))))
    assert not settled(replace(RUN, cells=(a_cell(Stage.PROCESSED), a_cell(Stage.INCOMPLETE, 2))))


def test_incomplete_says_what_is_missing() -> None:
    """The run's sentence names the cell and repeats what was counted."""
    short = Completeness(Verdict.SHORT, "3 of 69 FASTQ files missing")
    cell = replace(a_cell(Stage.INCOMPLETE), completeness=short)
    assert status_of(replace(RUN, cells=(cell,)))[1] == "lib/cell1: 3 of 69 FASTQ files missing"
