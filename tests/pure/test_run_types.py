"""Type of a run, and its effect on the plan."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from outboxes import ALL_TOLD
from snapshots import cell, claim, flag, run

from hesiod_watch.core.cell_contents import Completeness, Verdict
from hesiod_watch.core.model import Cell, IngestState, Policy, RunType, Snapshot
from hesiod_watch.core.ownership import Liveness
from hesiod_watch.rules.explain import explain_cell, explain_run
from hesiod_watch.rules.plan import plan
from hesiod_watch.rules.run_types import type_of, type_of_name, type_problem

NOW = datetime(2026, 11, 22, 22, 0, tzinfo=UTC)
INTERNAL, VISITOR, TEST = (
    RunType("internal", "[0-9].*"),
    RunType("visitor", "v_.*", process=False),
    RunType("t", ".*t"),
)
POLICY = Policy(types=(VISITOR, TEST, INTERNAL), ingest_interval=60.0)
READY = cell("ready", synced=True)
ARRIVING = IngestState(changed=2)


def reported_run(*cells: Cell, name: str = "v_ada", **facts: Any) -> Snapshot:
    """A visitor's run whose events are all reported, so that no message is planned."""
    return run(*cells, name=name, outbox=ALL_TOLD, **facts)


def planned(snapshot: Snapshot) -> list[str]:
    return [action.name for action in plan(snapshot, POLICY, NOW).actions]


@pytest.mark.parametrize(
    ("name", "in_file", "expected", "problem"),
    [
        pytest.param("v_ada", "", VISITOR, "", id="visitor by name"),
        pytest.param("v_t", "", VISITOR, "", id="visitor before test"),
        pytest.param("20261122_t", "", TEST, "", id="test before internal"),
        pytest.param("2026", "", INTERNAL, "", id="internal by name"),
        pytest.param("2026 v_ada", "", INTERNAL, "", id="a pattern matches from the start"),
        pytest.param(
            "other",
            "",
            RunType("unknown", ""),
            "no configured type matches the run's name; it is treated like any other",
            id="no pattern",
        ),
        pytest.param("v_ada", "internal", INTERNAL, "", id="the file before the name"),
        pytest.param("2026", "visitor", VISITOR, "", id="the file makes a visitor"),
        pytest.param(
            "v_ada",
            "guest",
            RunType("guest", ""),
            "/landing/v_ada/pipeline/type.yaml says type guest, which is not configured; "
            "the run is treated like any other",
            id="the file names an unknown type",
        ),
    ],
)
def test_type_of_a_run(name: str, in_file: str, expected: RunType, problem: str) -> None:
    """The file decides; without a type in it, the first pattern that matches the whole name."""
    snapshot = reported_run(name=name, type=in_file)
    assert type_of(snapshot, POLICY) == expected
    assert type_problem(snapshot, POLICY) == problem


def test_without_types() -> None:
    """If no types are configured, an unknown type is not a problem."""
    assert type_of_name((), "run").process
    assert type_problem(reported_run(), Policy()) == ""


def test_unreadable() -> None:
    """An unreadable file is reported, and the name decides."""
    snapshot = reported_run(READY, type_problem="is not YAML")
    expected = "/landing/v_ada/pipeline/type.yaml is not YAML, so the run's name decides: visitor"
    assert type_problem(snapshot, POLICY) == expected
    assert expected in plan(snapshot, POLICY, NOW).waiting


@pytest.mark.parametrize(
    "only",
    [
        pytest.param(READY, id="ready"),
        pytest.param(cell(arriving=ARRIVING), id="being written"),
        pytest.param(cell(claims=(claim(Liveness.DEAD),)), id="its worker died"),
    ],
)
def test_not_processed(only: Cell) -> None:
    """Only cells of a type that is processed are processed, ingested or given up."""
    assert plan(reported_run(only), POLICY, NOW).actions == ()
    assert planned(reported_run(only, type="internal"))[:1] in (["process"], ["ingest"])


def test_still_received() -> None:
    """Cells of such a type are recorded as complete, and ready cells of it delay no sync."""
    proven = cell(completeness=Completeness(Verdict.PROVEN, "3 of 3"), arriving=ARRIVING)
    assert planned(reported_run(proven)) == ["synced"]
    there = cell("there", present=False, upstream=True)
    snapshot = reported_run(READY, there, upstream="host:/x", listed_at="host:/x")
    assert planned(snapshot) == ["sync"]
    assert planned(replace(snapshot, type="t")) == ["process"]


def test_the_reason_is_explained() -> None:
    """The plan says why the cell is not processed, and `explain` says what a person can do."""
    snapshot = reported_run(READY)
    decision = plan(snapshot, POLICY, NOW)
    assert decision.waiting == ("its type is visitor, and runs of that type are not processed",)
    explained = explain_cell(snapshot, READY.id, decision, POLICY, NOW)
    assert (
        explained.next == "nothing: its run is of the type visitor, and such runs are not processed"
    )
    assert (
        explained.you_can[0]
        == "have it processed: write another type into /landing/v_ada/pipeline/type.yaml"
    )
    assert (
        "type: visitor: runs of this type are not processed"
        in explain_run(snapshot, decision, POLICY, NOW).evidence
    )


def test_settled_runs_are_not_reported() -> None:
    """A finished run of a type that is no longer configured is explained and waits for nothing."""
    snapshot = reported_run(cell(done=flag()), type="guest", report_digest=None)
    decision = plan(snapshot, POLICY, NOW)
    assert decision.waiting == ()
    assert any(
        "not configured" in line for line in explain_run(snapshot, decision, POLICY, NOW).evidence
    )
