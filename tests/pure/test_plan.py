"""Rules of the plan: actions with their reasons, and reasons to wait."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from outboxes import ALL_TOLD
from snapshots import attempt, cell, claim, flag, run

from hesiod_watch.core.cell_contents import Completeness, Verdict
from hesiod_watch.core.model import Cell, IngestState, Policy, Snapshot
from hesiod_watch.core.ownership import Attempt, Claim, Liveness, Owner, WorkerDeath
from hesiod_watch.core.times import iso
from hesiod_watch.rules.overdue import overdue
from hesiod_watch.rules.plan import look_again, plan
from hesiod_watch.rules.stages import digest_of_report

NOW = datetime(2026, 11, 22, 22, 0, tzinfo=UTC)
POLICY = Policy(local=True, grace=3600, attempts_per_day=3, ingest_interval=None)
PROVEN = Completeness(Verdict.PROVEN, "3 of 3 FASTQ files")
SHORT = Completeness(Verdict.SHORT, "1 of 3 FASTQ files missing")
RUNNING = Completeness(Verdict.RUNNING, "still running: no final_summary yet")


def reported_run(*cells: Cell, **facts: Any) -> Snapshot:
    """A run whose events are all reported, so that no message is planned."""
    return run(*cells, outbox=ALL_TOLD, **facts)


def ago(**length: float) -> str:
    return (NOW - timedelta(**length)).isoformat()


def dead(epoch: int = 1, time: str = ago(hours=1), *, yielded: bool = False) -> Claim:
    """A claim of that time whose owner died."""
    return claim(Liveness.DEAD, epoch, owner=Owner("token", time=time), yielded=yielded)


def killed(epoch: int = 1, time: str = ago(hours=1), **then: float) -> Claim:
    """A claim whose worker was killed under a living service, then."""
    reason = f"attempt {epoch} was killed by signal 9 (out of memory?)"
    death = WorkerDeath(reason, ago(**then))
    owner = Owner("token", time=time)
    return claim(Liveness.DEAD, epoch, owner=owner, evidence=reason, death=death)


def planned(snapshot: Snapshot, policy: Policy = POLICY) -> list[tuple[str, int]]:
    return [(action.name, action.epoch) for action in plan(snapshot, policy, NOW).actions]


@pytest.mark.parametrize(
    ("snapshot", "expected"),
    [
        pytest.param(
            reported_run(cell(), has_pipeline=False, upstream=None),
            [("new-run", 1)],
            id="a run with a cell is taken up",
        ),
        pytest.param(
            reported_run(has_pipeline=False, upstream=None),
            [],
            id="a directory without a cell is not",
        ),
        pytest.param(
            reported_run(cell(completeness=PROVEN)),
            [("synced", 1)],
            id="proven data are recorded as synced",
        ),
        pytest.param(reported_run(cell(completeness=SHORT)), [], id="missing files are waited for"),
        pytest.param(
            reported_run(cell(completeness=RUNNING)), [], id="a running cell is waited for"
        ),
        pytest.param(
            reported_run(cell(completeness=PROVEN), upstream="host:/data"),
            [],
            id="only a sync proves what comes from an upstream",
        ),
        pytest.param(
            reported_run(cell(synced=True)), [("process", 1)], id="a synced cell is processed"
        ),
        pytest.param(
            reported_run(cell(claims=(claim(Liveness.ALIVE),))),
            [],
            id="a living owner is left alone",
        ),
        pytest.param(
            reported_run(cell(claims=(claim(Liveness.UNKNOWN),))),
            [],
            id="doubt about an owner is no proof",
        ),
        pytest.param(
            reported_run(cell(claims=(dead(),))),
            [("process", 2)],
            id="a dead owner is replaced under the next epoch",
        ),
        pytest.param(
            reported_run(cell(claims=(dead(1), dead(2)))), [("process", 3)], id="and again"
        ),
        pytest.param(
            reported_run(cell(claims=(dead(1), dead(2), dead(3)))),
            [("give-up", 1)],
            id="until a person must look",
        ),
    ],
)
def test_rules(snapshot: Snapshot, expected: list[tuple[str, int]]) -> None:
    """Each rule plans its one action."""
    assert planned(snapshot) == expected


def test_data_younger_than_the_summary_rest_for_a_minute() -> None:
    """A complete cell whose data changed after its summary waits, and says so and until when."""
    changed = NOW - timedelta(seconds=10)
    moving = cell(completeness=PROVEN, unsettled_since=changed.timestamp())
    decision = plan(reported_run(moving), POLICY, NOW)
    assert decision.actions == ()
    assert "files changed after its final_summary arrived" in decision.waiting[0]
    assert decision.look_again == changed + timedelta(seconds=60)
    later = plan(reported_run(moving), POLICY, NOW + timedelta(seconds=50))
    assert [action.name for action in later.actions] == ["synced"]


def test_runs_are_taken_up_only_where_sequencers_write_here() -> None:
    """Without a LOCAL upstream a new directory belongs to another program."""
    snapshot = reported_run(cell(), has_pipeline=False, upstream=None)
    assert planned(snapshot, replace(POLICY, local=False)) == []


@pytest.mark.parametrize("name", ["failed", "aborted", "stripped"])
def test_nothing_is_started_in_a_flagged_run(name: str) -> None:
    """The run's own flags stop every rule, and the plan says so."""
    cells = (cell("a", synced=True), cell("b", completeness=PROVEN))
    decision = plan(reported_run(*cells, flags=frozenset({name})), POLICY, NOW)
    assert decision.actions == ()
    assert name in decision.waiting[0]


@pytest.mark.parametrize(
    "facts",
    [{"output": None, "output_problem": "output: dangling"}, {"upstream": None}],
    ids=["output", "upstream"],
)
def test_nothing_is_started_without_output_or_upstream(facts: dict[str, Any]) -> None:
    """No work starts before the upstream and the output directory of a run are known."""
    assert planned(reported_run(cell(synced=True), **facts)) == []


def test_one_failed_cell_never_stops_another() -> None:
    """A ready cell is processed whatever another cell is doing."""
    snapshot = reported_run(
        cell("a", failed=flag()),
        cell("b", claims=(claim(Liveness.UNKNOWN),)),
        cell("c", synced=True),
        cell("d", aborted=flag()),
        cell("e", synced=True),
    )
    actions = plan(snapshot, POLICY, NOW).actions
    assert [action.cell.name for action in actions if action.cell and action.name == "process"] == [
        "c",
        "e",
    ]


def test_attempts_are_counted_over_a_day_only() -> None:
    """Old and released claims do not count as today's attempts; a claim without a time does."""
    old = (
        dead(1, ago(hours=30)),
        dead(2, ago(hours=25)),
        dead(3, yielded=True),
        dead(4),
        dead(5),
    )
    assert planned(reported_run(cell(claims=old))) == [("process", 6)]
    unreadable = tuple(dead(epoch, "once upon a time") for epoch in (1, 2, 3))
    assert planned(reported_run(cell(claims=unreadable))) == [("give-up", 1)]


def test_a_cell_with_only_released_claims_is_retried() -> None:
    """If every claim was released, the cell is processed again and not forgotten."""
    assert planned(reported_run(cell(claims=(claim(yielded=True),)))) == [("process", 2)]


def test_report_follows_the_cells() -> None:
    """The run's page is written if it does not show the present cells, and only once."""
    done = reported_run(cell(done=flag()))
    assert planned(done) == [("report", 1)]
    assert planned(replace(done, report_digest="another")) == [("report", 1)]
    assert planned(replace(done, report_digest=digest_of_report(done))) == []


def test_priority_is_data_before_pages() -> None:
    """Processing comes before the report about it."""
    snapshot = reported_run(cell("a", done=flag()), cell("b", synced=True))
    assert [name for name, _ in planned(snapshot)] == ["process", "report"]


def test_missing_files_need_a_person_after_the_grace_period() -> None:
    """Missing files are first waited for quietly; after the grace period a person is asked."""
    short = cell(completeness=SHORT, summary_since=NOW.timestamp() - 1800)
    assert not overdue(short, POLICY, NOW)
    assert overdue(short, POLICY, NOW + timedelta(hours=1))
    assert plan(reported_run(short), POLICY, NOW).waiting == (
        "lib/cell: 1 of 3 FASTQ files missing",
    )
    (late,) = plan(reported_run(short), POLICY, NOW + timedelta(hours=1)).waiting
    assert "a person should look" in late


def test_looks_again_without_an_event() -> None:
    """Missing files are counted often at first and less often later.

    A running or settled cell needs no look of its own.
    """

    def wait(only: Cell) -> float | None:
        again = look_again(reported_run(only), POLICY, NOW)
        return (again - NOW).total_seconds() if again else None

    def missing(age: float) -> Cell:
        return cell(completeness=SHORT, summary_since=NOW.timestamp() - age)

    assert [wait(missing(age)) for age in (0, 1, 40, 100_000)] == [1, 1, 10, 60]
    assert wait(cell(completeness=RUNNING)) is None
    assert wait(cell(done=flag())) is None
    assert wait(cell(claims=(claim(Liveness.ALIVE),))) == 5


def test_unknown_owner_asks_for_a_decision() -> None:
    """A claim of unknown liveness is left alone, and the plan says what a person can do."""
    snapshot = reported_run(cell(claims=(claim(Liveness.UNKNOWN),)))
    (sentence,) = plan(snapshot, POLICY, NOW).waiting
    assert "hesiod-watch release" in sentence


INGESTING = replace(POLICY, ingest_interval=60)


def arriving(
    last: Attempt | None = None,
    *,
    changed: int = 2,
    seen: int = 0,
    unfinished: int = 0,
    name: str = "cell",
    completeness: Completeness = RUNNING,
) -> Cell:
    """A running cell after its last ingest, or before the first one."""
    state = IngestState(changed, seen, unfinished, last)
    return cell(name, completeness=completeness, arriving=state)


def ingest(outcome: str = "", *, seconds_ago: float) -> Attempt:
    """An ingest that began then."""
    return attempt(outcome, owner=Owner("token", time=ago(seconds=seconds_ago)))


@pytest.mark.parametrize(
    ("running", "ingested"),
    [
        pytest.param(arriving(), True, id="files have landed"),
        pytest.param(arriving(changed=0), False, id="no FASTQ yet"),
        pytest.param(
            arriving(ingest("done", seconds_ago=600), changed=2, seen=2), False, id="nothing new"
        ),
        pytest.param(
            arriving(ingest("done", seconds_ago=600), changed=2, seen=2, unfinished=1),
            True,
            id="a file was left that may have ended",
        ),
        pytest.param(
            arriving(ingest("done", seconds_ago=59), changed=3, seen=2),
            False,
            id="not more often than the interval",
        ),
        pytest.param(
            arriving(ingest("done", seconds_ago=60), changed=3, seen=2),
            True,
            id="after the interval",
        ),
        pytest.param(arriving(ingest(seconds_ago=600)), False, id="an attempt is under way"),
        pytest.param(arriving(attempt(liveness=Liveness.DEAD)), True, id="its owner died"),
        pytest.param(
            arriving(attempt(liveness=Liveness.UNKNOWN)),
            False,
            id="the liveness of its owner is unknown",
        ),
        pytest.param(
            arriving(ingest("failed", seconds_ago=599), changed=3, seen=2),
            False,
            id="a failed attempt waits longer",
        ),
        pytest.param(
            arriving(ingest("failed", seconds_ago=600), changed=3, seen=2),
            True,
            id="and is retried",
        ),
    ],
)
def test_running_cells_are_ingested(running: Cell, ingested: bool) -> None:
    """Ingest is planned if finished FASTQ may wait, and not more often than the interval."""
    assert planned(reported_run(running), INGESTING) == ([("ingest", 1)] if ingested else [])
    assert planned(reported_run(running)) == []


def test_a_complete_cell_is_not_ingested_any_more() -> None:
    """A cell whose data are proven complete is processed, not ingested."""
    assert planned(reported_run(arriving(completeness=PROVEN)), INGESTING) == [("synced", 1)]


def test_ingest_is_looked_for_by_time() -> None:
    """A running cell is looked at again when its next ingest is due.

    No event reports a file in a data directory.
    """

    def wait(running: Cell) -> float:
        again = look_again(reported_run(running), INGESTING, NOW)
        assert again is not None
        return (again - NOW).total_seconds()

    last = ingest("done", seconds_ago=20)
    assert wait(arriving(last, changed=3, seen=2)) == 40
    assert wait(arriving(last, changed=2, seen=2)) == 60
    often = replace(INGESTING, ingest_interval=5)
    quiet = reported_run(arriving(last, changed=2, seen=2, unfinished=1))
    assert look_again(quiet, often, NOW) == NOW + timedelta(seconds=5)


def test_processing_comes_before_ingest() -> None:
    """A complete cell does not wait for a cell that is still being written."""
    snapshot = reported_run(arriving(name="a"), cell("b", synced=True))
    assert [name for name, _ in planned(snapshot, INGESTING)] == [
        "process",
        "ingest",
    ]


def test_every_action_has_a_reason() -> None:
    """Every planned action gives its reason."""
    snapshot = reported_run(
        cell("a", claims=(dead(),)), cell("b", completeness=PROVEN), cell("c", done=flag())
    )
    actions = plan(snapshot, POLICY, NOW).actions
    assert {action.name for action in actions} == {"process", "synced", "report"}
    assert all(action.reason for action in actions)


@pytest.mark.parametrize(
    ("others", "age", "wait"),
    [
        pytest.param([cell("b", claims=(claim(),))], 0.5, 1.5, id="another cell is processed"),
        pytest.param([cell("b", synced=True)], 1.9, 0.1, id="another cell is ready"),
        pytest.param([cell("b", claims=(claim(),))], 2, None, id="it takes longer"),
        pytest.param([cell("b", claims=(claim(),))], -9, None, id="a time in the future"),
        pytest.param([cell("b", completeness=RUNNING)], 0.5, None, id="another cell is written"),
        pytest.param([cell("b", failed=flag())], 0.5, None, id="the other cells are settled"),
    ],
)
def test_one_page_for_a_batch(others: list[Cell], age: float, wait: float | None) -> None:
    """Cells that finish together get one page, which a longer cell does not delay."""
    first = cell("a", done=flag(mtime=(NOW - timedelta(seconds=age)).timestamp()))
    snapshot = reported_run(first, *others)
    assert ("report" in dict(planned(snapshot))) is (wait is None)
    if wait is not None:
        assert look_again(snapshot, POLICY, NOW) == NOW + timedelta(seconds=wait)


def test_the_cell_that_waited_longest_is_ingested_first() -> None:
    """Cells are ingested in the order of the start of their last ingest.

    No ingest, or a start in the future, counts as long ago.
    """
    cells = (
        arriving(ingest("done", seconds_ago=100), changed=3, seen=2, name="a"),
        arriving(ingest("done", seconds_ago=300), changed=3, seen=2, name="b"),
        arriving(name="c"),
        arriving(ingest("failed", seconds_ago=900), changed=3, seen=2, name="d"),
        arriving(ingest("done", seconds_ago=300), changed=3, seen=2, name="e"),
        arriving(name="f"),
        arriving(ingest("done", seconds_ago=-86400), changed=3, seen=2, name="g"),
    )
    for order in (cells, cells[::-1]):
        actions = plan(reported_run(*order), INGESTING, NOW).actions
        assert [action.cell.name for action in actions if action.cell] == list("cfgdbea")


@pytest.mark.parametrize(
    ("claims", "due"),
    [
        pytest.param((killed(seconds=59),), timedelta(seconds=1), id="the first waits 1 minute"),
        pytest.param((killed(seconds=60),), None, id="then it is due"),
        pytest.param(
            (dead(1), killed(2, seconds=200)), timedelta(seconds=100), id="the second 5 minutes"
        ),
        pytest.param(
            (dead(1), dead(2), killed(3, minutes=29)),
            timedelta(minutes=1),
            id="the third 30 minutes",
        ),
        pytest.param(
            (dead(1, ago(hours=25)), dead(2, ago(hours=25)), killed(3, seconds=30)),
            timedelta(seconds=30),
            id="attempts of another day do not count",
        ),
        pytest.param(
            (killed(seconds=30), dead(2, yielded=True)),
            timedelta(seconds=30),
            id="a released claim does not shorten it",
        ),
        pytest.param((killed(seconds=-30),), None, id="a time in the future is over"),
        pytest.param((dead(),), None, id="a worker that died with its service"),
    ],
)
def test_pause_after_a_death(claims: tuple[Claim, ...], due: timedelta | None) -> None:
    """After a death that its starter saw, the next attempt waits, and the plan says until when."""
    snapshot, policy = reported_run(cell(claims=claims)), replace(POLICY, attempts_per_day=10)
    decision = plan(snapshot, policy, NOW)
    assert bool(decision.actions) is (due is None)
    if due is not None:
        start = NOW + due
        assert decision.look_again == max(start, NOW + timedelta(seconds=5))
        sentence = "was killed by signal 9 (out of memory?); attempt"
        assert [each for each in decision.waiting if sentence in each and iso(start) in each]


def test_no_pause_before_giving_up() -> None:
    """A cell whose attempts are used up is given up at once, with the last worker's end."""
    claims = (dead(1), dead(2), killed(3, seconds=1))
    (action,) = plan(reported_run(cell(claims=claims)), POLICY, NOW).actions
    assert action.name == "give-up"
    assert action.reason.endswith("attempt 3 was killed by signal 9 (out of memory?)")


def test_reason_after_a_death() -> None:
    """The reason of the next attempt says how the worker ended."""
    (action,) = plan(reported_run(cell(claims=(killed(hours=1),))), POLICY, NOW).actions
    assert action.reason == "attempt 1 was killed by signal 9 (out of memory?)"
