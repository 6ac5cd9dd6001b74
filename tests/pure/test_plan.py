"""Rules of the plan: actions with their reasons, and reasons to wait."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from outboxes import ALL_TOLD

from hesiod_watch.core.model import (
    LOCAL,
    Attempt,
    Cell,
    CellFlags,
    CellId,
    Claim,
    Completeness,
    Flag,
    IngestState,
    Liveness,
    Owner,
    Policy,
    RunName,
    Snapshot,
    Verdict,
)
from hesiod_watch.rules.attention import overdue
from hesiod_watch.rules.plan import look_again, plan
from hesiod_watch.rules.stages import digest_of_report

NOW = datetime(2026, 11, 22, 22, 0, tzinfo=UTC)
POLICY = Policy(local=True, grace=3600, attempts_per_day=3, ingest_interval=None)
ID = CellId("lib", "cell")
FLAG = Flag("flag", mtime=1.0, text="because")
RUN = Snapshot(
    RunName("run"),
    Path("/landing/run"),
    has_pipeline=True,
    upstream=LOCAL,
    output=Path("/output/run"),
    outbox=ALL_TOLD,
)
HERE = Cell(ID, present=True)
PROVEN = Completeness(Verdict.PROVEN, "3 of 3 FASTQ files")
SHORT = Completeness(Verdict.SHORT, "1 of 3 FASTQ files missing")
RUNNING = Completeness(Verdict.RUNNING, "still running: no final_summary yet")


def claim(
    epoch: int = 1,
    liveness: Liveness = Liveness.DEAD,
    *,
    hours_ago: float = 1,
    yielded: bool = False,
    time: str | None = None,
) -> Claim:
    when = (NOW - timedelta(hours=hours_ago)).isoformat() if time is None else time
    owner = Owner(f"token{epoch}", host="here", pid=1, time=when, epoch=epoch)
    return Claim(
        epoch, owner, None, yielded=yielded, liveness=liveness, evidence="process 1 is gone"
    )


def planned(snapshot: Snapshot, policy: Policy = POLICY) -> list[tuple[str, int]]:
    return [(action.name, action.epoch) for action in plan(snapshot, policy, NOW).actions]


@pytest.mark.parametrize(
    ("snapshot", "expected"),
    [
        (replace(RUN, has_pipeline=False, upstream=None, cells=(HERE,)), [("new-run", 1)]),
        (replace(RUN, has_pipeline=False, upstream=None), []),
        (replace(RUN, cells=(replace(HERE, completeness=PROVEN),)), [("synced", 1)]),
        (replace(RUN, cells=(replace(HERE, completeness=SHORT),)), []),
        (replace(RUN, cells=(replace(HERE, completeness=RUNNING),)), []),
        (replace(RUN, upstream="host:/data", cells=(replace(HERE, completeness=PROVEN),)), []),
        (replace(RUN, cells=(replace(HERE, flags=CellFlags(synced=True)),)), [("process", 1)]),
        (
            replace(
                RUN,
                cells=(replace(HERE, flags=CellFlags(claims=(claim(liveness=Liveness.ALIVE),))),),
            ),
            [],
        ),
        (
            replace(
                RUN,
                cells=(replace(HERE, flags=CellFlags(claims=(claim(liveness=Liveness.UNKNOWN),))),),
            ),
            [],
        ),
        (
            replace(RUN, cells=(replace(HERE, flags=CellFlags(claims=(claim(),))),)),
            [("process", 2)],
        ),
        (
            replace(RUN, cells=(replace(HERE, flags=CellFlags(claims=(claim(1), claim(2)))),)),
            [("process", 3)],
        ),
        (
            replace(
                RUN, cells=(replace(HERE, flags=CellFlags(claims=(claim(1), claim(2), claim(3)))),)
            ),
            [("give-up", 1)],
        ),
    ],
    ids=[
        "a run with a cell is taken up",
        "a directory without a cell is not",
        "proven data are recorded as synced",
        "missing files are waited for",
        "a running cell is waited for",
        "only a sync proves what comes from an upstream",
        "a synced cell is processed",
        "a living owner is left alone",
        "doubt about an owner is no proof",
        "a dead owner is replaced under the next epoch",
        "and again",
        "until a person must look",
    ],
)
def test_rules(snapshot: Snapshot, expected: list[tuple[str, int]]) -> None:
    """Each rule plans its one action."""
    assert planned(snapshot) == expected


def test_runs_are_taken_up_only_where_sequencers_write_here() -> None:
    """Without a LOCAL upstream a new directory belongs to another program."""
    snapshot = replace(RUN, has_pipeline=False, upstream=None, cells=(HERE,))
    assert planned(snapshot, replace(POLICY, local=False)) == []


@pytest.mark.parametrize("flag", ["failed", "aborted", "stripped"])
def test_nothing_is_started_in_a_flagged_run(flag: str) -> None:
    """The run's own flags stop every rule, and the plan says so."""
    cells = (
        replace(HERE, flags=CellFlags(synced=True)),
        Cell(CellId("lib", "b"), True, completeness=PROVEN),
    )
    decision = plan(replace(RUN, flags=frozenset({flag}), cells=cells), POLICY, NOW)
    assert decision.actions == ()
    assert flag in decision.waiting[0]


@pytest.mark.parametrize(
    "run",
    [replace(RUN, output=None, output_problem="output: dangling"), replace(RUN, upstream=None)],
    ids=["output", "upstream"],
)
def test_nothing_is_started_without_output_or_upstream(run: Snapshot) -> None:
    """No work starts before the upstream and the output directory of a run are known."""
    assert planned(replace(run, cells=(replace(HERE, flags=CellFlags(synced=True)),))) == []


def test_one_failed_cell_never_stops_another() -> None:
    """A ready cell is processed whatever another cell is doing."""
    stuck = claim(liveness=Liveness.UNKNOWN)
    cells = tuple(
        Cell(CellId("lib", name), present=True, flags=flags)
        for name, flags in {
            "a": CellFlags(failed=FLAG),
            "b": CellFlags(claims=(stuck,)),
            "c": CellFlags(synced=True),
            "d": CellFlags(aborted=FLAG),
            "e": CellFlags(synced=True),
        }.items()
    )
    actions = plan(replace(RUN, cells=cells), POLICY, NOW).actions
    assert [action.cell.name for action in actions if action.cell and action.name == "process"] == [
        "c",
        "e",
    ]


def test_attempts_are_counted_over_a_day_only() -> None:
    """Old and released claims do not count as today's attempts; a claim without a time does."""
    old = (
        claim(1, hours_ago=30),
        claim(2, hours_ago=25),
        claim(3, yielded=True),
        claim(4),
        claim(5),
    )
    assert planned(replace(RUN, cells=(replace(HERE, flags=CellFlags(claims=old)),))) == [
        ("process", 6)
    ]
    unreadable = tuple(claim(epoch, time="once upon a time") for epoch in (1, 2, 3))
    assert planned(replace(RUN, cells=(replace(HERE, flags=CellFlags(claims=unreadable)),))) == [
        ("give-up", 1)
    ]


def test_a_cell_with_only_released_claims_is_retried() -> None:
    """If every claim was released, the cell is processed again and not forgotten."""
    yielded = CellFlags(claims=(claim(1, Liveness.ALIVE, yielded=True),))
    assert planned(replace(RUN, cells=(replace(HERE, flags=yielded),))) == [("process", 2)]


def test_report_follows_the_cells() -> None:
    """The run's page is written if it does not show the present cells, and only once."""
    done = replace(RUN, cells=(replace(HERE, flags=CellFlags(done=FLAG)),))
    assert planned(done) == [("report", 1)]
    assert planned(replace(done, report_digest="another")) == [("report", 1)]
    assert planned(replace(done, report_digest=digest_of_report(done))) == []


def test_priority_is_data_before_pages() -> None:
    """Processing comes before the report about it."""
    cells = (
        replace(HERE, flags=CellFlags(done=FLAG)),
        Cell(CellId("lib", "b"), True, flags=CellFlags(synced=True)),
    )
    assert [name for name, _ in planned(replace(RUN, cells=cells))] == ["process", "report"]


def test_missing_files_are_a_persons_business_after_the_grace_period() -> None:
    """Missing files are first waited for quietly; after the grace period a person is asked."""
    since = NOW.timestamp() - 1800
    short = replace(HERE, completeness=SHORT, summary_since=since)
    assert not overdue(short, POLICY, NOW)
    assert overdue(short, POLICY, NOW + timedelta(hours=1))
    assert plan(replace(RUN, cells=(short,)), POLICY, NOW).waiting == (
        "lib/cell: 1 of 3 FASTQ files missing",
    )
    (late,) = plan(replace(RUN, cells=(short,)), POLICY, NOW + timedelta(hours=1)).waiting
    assert "a person should look" in late


def test_looks_again_by_itself_where_nothing_announces_a_change() -> None:
    """Missing files are counted often at first and less often later.

    A running or settled cell needs no look of its own.
    """

    def wait(cell: Cell) -> float | None:
        again = look_again(replace(RUN, cells=(cell,)), POLICY, NOW)
        return (again - NOW).total_seconds() if again else None

    def missing(age: float) -> Cell:
        return replace(HERE, completeness=SHORT, summary_since=NOW.timestamp() - age)

    assert [wait(missing(age)) for age in (0, 1, 40, 100_000)] == [1, 1, 10, 60]
    assert wait(replace(HERE, completeness=RUNNING)) is None
    assert wait(replace(HERE, flags=CellFlags(done=FLAG))) is None
    assert wait(replace(HERE, flags=CellFlags(claims=(claim(liveness=Liveness.ALIVE),)))) == 5


def test_unknown_owner_asks_for_a_decision() -> None:
    """A claim of unknown liveness is left alone, and the plan says what a person can do."""
    flags = CellFlags(claims=(claim(liveness=Liveness.UNKNOWN),))
    (sentence,) = plan(replace(RUN, cells=(replace(HERE, flags=flags),)), POLICY, NOW).waiting
    assert "hesiod-watch release" in sentence


INGESTING = replace(POLICY, ingest_interval=60)


def arriving(
    changed: int = 2,
    seen: int = 0,
    unfinished: int = 0,
    *,
    ended: str | None = None,
    seconds_ago: float = 0,
) -> Cell:
    """Return a running cell; its last ingest began `seconds_ago` and ended with `ended`.

    `ended` is "" for an ingest under way, and None for no ingest.
    """
    owner = Owner("token", time=(NOW - timedelta(seconds=seconds_ago)).isoformat())
    last = (
        None
        if ended is None
        else Attempt(ended, owner, Liveness.ALIVE if ended == "" else Liveness.DEAD, "")
    )
    return replace(
        HERE, completeness=RUNNING, arriving=IngestState(changed, seen, unfinished, last)
    )


@pytest.mark.parametrize(
    ("cell", "ingested"),
    [
        (arriving(), True),
        (arriving(changed=0), False),
        (arriving(changed=2, seen=2, ended="done", seconds_ago=600), False),
        (arriving(changed=2, seen=2, unfinished=1, ended="done", seconds_ago=600), True),
        (arriving(changed=3, seen=2, ended="done", seconds_ago=59), False),
        (arriving(changed=3, seen=2, ended="done", seconds_ago=60), True),
        (arriving(ended="", seconds_ago=600), False),
        (
            replace(
                HERE,
                completeness=RUNNING,
                arriving=IngestState(2, round=Attempt("", None, Liveness.DEAD, "")),
            ),
            True,
        ),
        (
            replace(
                HERE,
                completeness=RUNNING,
                arriving=IngestState(2, round=Attempt("", None, Liveness.UNKNOWN, "")),
            ),
            False,
        ),
        (arriving(changed=3, seen=2, ended="failed", seconds_ago=599), False),
        (arriving(changed=3, seen=2, ended="failed", seconds_ago=600), True),
    ],
    ids=[
        "files have landed",
        "no FASTQ yet",
        "nothing new",
        "a file was left that may have ended",
        "not more often than the interval",
        "after the interval",
        "an attempt is under way",
        "its owner died",
        "the liveness of its owner is unknown",
        "a failed attempt waits longer",
        "and is retried",
    ],
)
def test_running_cells_are_ingested(cell: Cell, ingested: bool) -> None:
    """Ingest is planned if finished FASTQ may wait, and not more often than the interval."""
    assert planned(replace(RUN, cells=(cell,)), INGESTING) == ([("ingest", 1)] if ingested else [])
    assert planned(replace(RUN, cells=(cell,))) == []


def test_a_complete_cell_is_not_ingested_any_more() -> None:
    """A cell whose data are proven complete is processed, not ingested."""
    cell = replace(arriving(), completeness=PROVEN)
    assert planned(replace(RUN, cells=(cell,)), INGESTING) == [("synced", 1)]


def test_ingest_is_looked_for_by_time() -> None:
    """A running cell is looked at again when its next ingest is due.

    No event reports a file in a data directory.
    """

    def wait(cell: Cell) -> float:
        again = look_again(replace(RUN, cells=(cell,)), INGESTING, NOW)
        assert again is not None
        return (again - NOW).total_seconds()

    assert wait(arriving(changed=3, seen=2, ended="done", seconds_ago=20)) == 40
    assert wait(arriving(changed=2, seen=2, ended="done", seconds_ago=20)) == 60
    often = replace(INGESTING, ingest_interval=5)
    quiet = replace(
        RUN, cells=(arriving(changed=2, seen=2, unfinished=1, ended="done", seconds_ago=20),)
    )
    assert look_again(quiet, often, NOW) == NOW + timedelta(seconds=5)


def test_processing_comes_before_ingest() -> None:
    """A complete cell does not wait for a cell that is still being written."""
    cells = (arriving(), Cell(CellId("lib", "b"), True, flags=CellFlags(synced=True)))
    assert [name for name, _ in planned(replace(RUN, cells=cells), INGESTING)] == [
        "process",
        "ingest",
    ]


def test_every_action_has_a_reason() -> None:
    """Every planned action gives its reason."""
    cells = (
        replace(HERE, flags=CellFlags(claims=(claim(),))),
        Cell(CellId("lib", "b"), True, completeness=PROVEN),
        Cell(CellId("lib", "c"), True, flags=CellFlags(done=FLAG)),
    )
    actions = plan(replace(RUN, cells=cells), POLICY, NOW).actions
    assert {action.name for action in actions} == {"process", "synced", "report"}
    assert all(action.reason for action in actions)


def test_the_cell_that_waited_longest_is_ingested_first() -> None:
    """Cells are ingested in the order of the start of their last ingest.

    No ingest, or a start in the future, counts as long ago.
    """
    cells = {
        "a": arriving(changed=3, seen=2, ended="done", seconds_ago=100),
        "b": arriving(changed=3, seen=2, ended="done", seconds_ago=300),
        "c": arriving(),
        "d": arriving(changed=3, seen=2, ended="failed", seconds_ago=900),
        "e": arriving(changed=3, seen=2, ended="done", seconds_ago=300),
        "f": arriving(),
        "g": arriving(changed=3, seen=2, ended="done", seconds_ago=-86400),
    }
    named = tuple(replace(cell, id=CellId("lib", name)) for name, cell in cells.items())
    for order in (named, named[::-1]):
        actions = plan(replace(RUN, cells=order), INGESTING, NOW).actions
        assert [action.cell.name for action in actions if action.cell] == list("cfgdbea")
