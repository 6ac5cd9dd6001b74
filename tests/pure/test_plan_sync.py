"""Rules for runs of an upstream: when a run is taken up, when it is copied, and what stops that."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any, Literal

import pytest
from outboxes import ALL_TOLD
from snapshots import attempt, cell, claim, flag, run

from hesiod_watch.core.model import LOCAL, Cell, Policy, Snapshot, Stage
from hesiod_watch.core.ownership import Attempt, Liveness, Owner
from hesiod_watch.rules.plan import plan
from hesiod_watch.rules.stages import digest_of_report, stage_of

NOW = datetime(2026, 11, 22, 22, 0, tzinfo=UTC)
POLICY = Policy(
    local=False, grace=3600, attempts_per_day=3, ingest_interval=None, sync_interval=300
)
THERE = "host:/data/My Exp"
CLAIM = claim(owner=Owner("token"), evidence="process 1 is alive")
NEW = cell("new", present=False, upstream=True)
PENDING = cell("pending", upstream=True)
DONE = cell("done", upstream=True, done=flag())
ABORTED = cell("aborted", present=False, upstream=True, aborted=flag())
FAILED = cell("failed", upstream=True, failed=flag())
READY = cell("ready", upstream=True, synced=True)
BUSY = cell("busy", upstream=True, claims=(CLAIM,))
HERE_ONLY = cell("here")


def listed(*cells: Cell, **facts: Any) -> Snapshot:
    """A run with these cells that its upstream lists; all its events are reported."""
    usual: dict[str, Any] = {"upstream": THERE, "listed_at": THERE, "outbox": ALL_TOLD}
    return run(*cells, **(usual | facts))


def last_sync(
    outcome: Literal["", "done", "failed"] = "", liveness: Liveness = Liveness.DEAD, ago: float = 0
) -> Attempt:
    owner = Owner("token", host="here", pid=1, time=(NOW - timedelta(seconds=ago)).isoformat())
    return attempt(outcome, liveness=liveness, owner=owner, evidence="process 1")


def actions(snapshot: Snapshot, policy: Policy = POLICY) -> list[str]:
    return [
        action.name for action in plan(snapshot, policy, NOW).actions if action.name != "report"
    ]


@pytest.mark.parametrize("listed_at", ["", THERE], ids=["not listed", "listed"])
@pytest.mark.parametrize("local", [False, True], ids=["upstreams only", "LOCAL"])
@pytest.mark.parametrize("present", [False, True], ids=["not here", "here"])
def test_new_runs(listed_at: str, local: bool, present: bool) -> None:
    """A listed run comes from the upstream that lists it.

    A run that is only in the landing area is LOCAL, if LOCAL is configured.
    """
    snapshot = run(
        cell(present=present, upstream=bool(listed_at)),
        has_pipeline=False,
        upstream=None,
        output=None,
        listed_at=listed_at,
        outbox=ALL_TOLD,
    )
    planned = plan(snapshot, replace(POLICY, local=local), NOW).actions
    expected = [("new-run", listed_at or LOCAL)] if listed_at or (local and present) else []
    assert [(action.name, action.upstream) for action in planned] == expected


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ([], []),
        ([NEW], ["sync"]),
        ([PENDING], ["sync"]),
        ([DONE], []),
        ([ABORTED], []),
        ([FAILED], []),
        ([BUSY], []),
        ([HERE_ONLY], []),
        ([DONE, ABORTED, FAILED, BUSY, HERE_ONLY], []),
        ([DONE, ABORTED, FAILED, BUSY, HERE_ONLY, NEW], ["sync"]),
        ([READY], ["process"]),
        ([READY, NEW], ["process"]),
    ],
    ids=lambda value: (
        "+".join(each.id.stem for each in value) if value and isinstance(value[0], Cell) else ""
    ),
)
def test_cells_that_need_a_sync(cells: list[Cell], expected: list[str]) -> None:
    """One cell that is upstream and incomplete here is enough; processing comes first."""
    assert actions(listed(*cells)) == expected


@pytest.mark.parametrize("name", ["failed", "aborted", "stripped"])
def test_flagged_runs_are_not_copied(name: str) -> None:
    """A run that a person has stopped is not copied."""
    assert actions(listed(NEW, flags=frozenset({name}))) == []


@pytest.mark.parametrize(
    "changed",
    [
        {"listed_at": ""},
        {"listed_at": "host:/data/Another"},
        {"upstream": None},
        {"upstream": LOCAL},
        {"output": None, "output_problem": "output: dangling"},
    ],
    ids=["not seen there now", "seen elsewhere", "unknown", "LOCAL", "no output"],
)
def test_only_what_was_just_seen_is_copied(changed: dict[str, Any]) -> None:
    """A run is copied from its upstream only if the upstream lists it now and it has an output."""
    assert "sync" not in actions(listed(NEW, **changed))


@pytest.mark.parametrize(
    ("outcome", "liveness", "ago"),
    list(product(["", "done", "failed"], Liveness, [0.0, 299.0, 300.0, 1e6])),
)
def test_one_sync_after_another(
    outcome: Literal["", "done", "failed"], liveness: Liveness, ago: float
) -> None:
    """The next sync waits for the end of the last one and for the interval.

    A proof that the owner is dead also ends the last sync.
    """
    over = bool(outcome) or liveness is Liveness.DEAD
    snapshot = listed(NEW, sync=last_sync(outcome, liveness, ago))
    assert actions(snapshot) == (["sync"] if over and ago >= 300 else [])
    assert actions(snapshot, replace(POLICY, sync_interval=0.0)) == (["sync"] if over else [])


def test_doubt_about_a_sync_is_reported() -> None:
    """The plan waits for a sync whose owner is unknown, and says what a person can do."""
    snapshot = listed(NEW, sync=last_sync("", Liveness.UNKNOWN, 1e6))
    (sentence,) = plan(snapshot, POLICY, NOW).waiting
    assert "/landing/run/pipeline/sync.started" in sentence


def test_a_time_that_cannot_be_read_delays_nothing() -> None:
    """A flag made by hand, without an owner, does not stop the next sync."""
    assert actions(listed(NEW, sync=attempt("failed"))) == ["sync"]


@pytest.mark.parametrize(
    "flags",
    [{"synced": True}, {"failed": flag()}, {"claims": (CLAIM,)}],
    ids=["synced", "failed", "started"],
)
def test_lost_data_are_not_copied_again_over_their_flags(flags: dict[str, Any]) -> None:
    """A cell whose data are missing despite its flags is not copied again; a person is asked.

    Its flags would make the first half of a new copy look complete.
    """
    lost = cell("new", present=False, upstream=True, **flags)
    assert stage_of(lost) is Stage.NEW
    decision = plan(listed(lost), POLICY, NOW)
    assert [action.name for action in decision.actions] == []
    assert "data are missing here" in decision.waiting[0]
    assert actions(listed(lost, PENDING)) == ["sync"]


def test_page_does_not_depend_on_what_is_upstream() -> None:
    """A page does not become out of date because of cells that exist only upstream.

    The process that writes the page does not query upstreams.
    """
    unseen = listed(cell("done", done=flag()), cell("pending"), listed_at="")
    assert digest_of_report(listed(DONE, PENDING, NEW)) == digest_of_report(unseen)
    assert digest_of_report(listed(DONE, PENDING)) != digest_of_report(listed(DONE))
