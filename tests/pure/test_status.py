"""Stage of a cell and status of a run: the tables of docs/flags.md, line by line."""

from __future__ import annotations

from itertools import compress, product
from typing import Any

import pytest
from snapshots import attempt, cell, claim, flag, run

from hesiod_watch.core.cell_contents import Completeness, Verdict
from hesiod_watch.core.model import Snapshot, Stage, Status
from hesiod_watch.rules.stages import digest_of_report, settled, stage_of, status_of, why_stage

FACTS: dict[Stage, dict[str, Any]] = {
    Stage.ABORTED: {"aborted": flag("")},
    Stage.PROCESSED: {"done": flag("")},
    Stage.FAILED: {"failed": flag("")},
    Stage.PROCESSING: {"claims": (claim(),)},
    Stage.READY: {"synced": True},
    Stage.PENDING: {"upstream": True},
    Stage.NEW: {"upstream": True, "present": False},
    Stage.INCOMPLETE: {},
}
"""The fewest facts that put a cell at each stage; the flags give no reason."""


def at(*stages: Stage, **facts: Any) -> Snapshot:
    """A run with a cell at each of these stages."""
    cells = (cell(f"cell{number}", **FACTS[stage]) for number, stage in enumerate(stages, 1))
    return run(*cells, **facts)


CONDITIONS = ("aborted", "done", "failed", "claimed", "synced", "upstream", "present")
COMBINATIONS = list(product([False, True], repeat=len(CONDITIONS)))


@pytest.mark.parametrize(
    CONDITIONS,
    COMBINATIONS,
    ids=[" ".join(compress(CONDITIONS, holds)) or "none" for holds in COMBINATIONS],
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
    found = cell(
        present=present,
        upstream=upstream,
        synced=synced,
        done=flag() if done else None,
        failed=flag() if failed else None,
        aborted=flag() if aborted else None,
        claims=(claim(),) if claimed else (),
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
    assert stage_of(found) == expected


@pytest.mark.parametrize("stage", list(Stage))
def test_every_stage_has_a_sentence(stage: Stage) -> None:
    """Every stage has a sentence with its reason."""
    assert why_stage(cell(**FACTS[stage]))


@pytest.mark.parametrize(
    ("snapshot", "expected"),
    [
        pytest.param(
            run(has_pipeline=False, upstream=None), Status.NEW, id="no pipeline directory"
        ),
        pytest.param(at(Stage.READY, flags=frozenset({"aborted"})), Status.ABORTED, id="aborted"),
        pytest.param(
            at(Stage.READY, flags=frozenset({"stripped"})), Status.STRIPPED, id="stripped"
        ),
        pytest.param(
            run(flags=frozenset({"aborted"}), upstream=None),
            Status.ABORTED,
            id="aborted before unknown",
        ),
        pytest.param(at(Stage.READY, upstream=None), Status.UNKNOWN, id="no upstream"),
        pytest.param(at(Stage.PROCESSED, flags=frozenset({"failed"})), Status.FAILED, id="failed"),
        pytest.param(
            at(Stage.PROCESSED, Stage.ABORTED), Status.COMPLETE, id="all processed or aborted"
        ),
        pytest.param(
            at(Stage.PROCESSED, output=None), Status.COMPLETE, id="complete without output"
        ),
        pytest.param(
            at(Stage.PROCESSED, flags=frozenset({"sync.started"})),
            Status.SYNCING,
            id="complete but a sync is under way",
        ),
        pytest.param(at(Stage.READY, output=None), Status.UNKNOWN, id="no output directory"),
        pytest.param(at(Stage.PROCESSING, Stage.READY), Status.PROCESSING, id="processing"),
        pytest.param(
            at(Stage.PROCESSING, Stage.NEW, flags=frozenset({"sync.started"})),
            Status.PROCESSING_SYNCING,
            id="processing, sync under way",
        ),
        pytest.param(
            at(Stage.PROCESSING, Stage.PENDING),
            Status.PROCESSING_SYNC_NEEDED,
            id="processing, sync needed",
        ),
        pytest.param(at(Stage.READY, Stage.NEW), Status.CELL_READY, id="ready before syncing"),
        pytest.param(
            at(Stage.PENDING, flags=frozenset({"sync.started"})), Status.SYNCING, id="syncing"
        ),
        pytest.param(
            at(Stage.PENDING, flags=frozenset({"sync.started", "sync.failed"})),
            Status.SYNC_NEEDED,
            id="a sync that ended is not under way",
        ),
        pytest.param(at(Stage.NEW, Stage.INCOMPLETE), Status.SYNC_NEEDED, id="sync needed"),
        pytest.param(at(Stage.FAILED, Stage.PROCESSED), Status.FAILED, id="some cell failed"),
        pytest.param(
            at(Stage.FAILED, Stage.INCOMPLETE), Status.FAILED, id="failed before incomplete"
        ),
        pytest.param(
            at(Stage.INCOMPLETE, Stage.ABORTED), Status.INCOMPLETE, id="still being written"
        ),
        pytest.param(run(), Status.UNKNOWN, id="no cell at all"),
    ],
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
        snapshot = run(flags=frozenset({"failed"}), flag_texts={"failed": text})
        assert status_of(snapshot)[1] == "basecaller crashed"


def test_report_is_out_of_date_when_a_cell_settles() -> None:
    """The digest of a report changes with every settled cell, and not with work under way."""
    running = at(Stage.INCOMPLETE, Stage.PROCESSED)
    started = at(Stage.PROCESSING, Stage.PROCESSED)
    done = at(Stage.PROCESSED, Stage.PROCESSED)
    assert digest_of_report(running) == digest_of_report(started) != digest_of_report(done)
    later = flag(mtime=2.0)
    again = run(cell("cell1", done=later), cell("cell2", done=later))
    assert digest_of_report(again) != digest_of_report(done)


def test_report_is_out_of_date_when_a_backup_ends() -> None:
    """The digest of a report changes with the end of a backup, and not with its beginning."""
    done = run(cell("cell1", done=flag()))
    states = [
        digest_of_report(run(cell("cell1", done=flag(), backup=backup)))
        for backup in (
            attempt(),
            attempt("failed", reason="no space"),
            attempt("done"),
        )
    ]
    assert states[0] == digest_of_report(done)
    assert len(set(states)) == 3


def test_settled_needs_every_cell_and_at_least_one() -> None:
    """A run is settled only if it has cells and all of them are settled."""
    assert not settled(run())
    assert settled(at(Stage.PROCESSED, Stage.FAILED))
    assert not settled(at(Stage.PROCESSED, Stage.INCOMPLETE))


def test_incomplete_says_what_is_missing() -> None:
    """The run's sentence names the cell and repeats what was counted."""
    short = Completeness(Verdict.SHORT, "3 of 69 FASTQ files missing")
    assert status_of(run(cell("cell1", completeness=short)))[1] == (
        "lib/cell1: 3 of 69 FASTQ files missing"
    )
