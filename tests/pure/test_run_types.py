"""Type of a run, and its effect on the plan."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from outboxes import ALL_TOLD

from hesiod_watch.core.model import (
    LOCAL,
    Cell,
    CellFlags,
    CellId,
    Claim,
    Completeness,
    Flag,
    IngestState,
    Liveness,
    Policy,
    RunName,
    RunType,
    Snapshot,
    Verdict,
)
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
RUN = Snapshot(
    RunName("v_ada"),
    Path("/landing/v_ada"),
    has_pipeline=True,
    upstream=LOCAL,
    output=Path("/output"),
    outbox=ALL_TOLD,
)
READY = Cell(CellId("lib", "ready"), present=True, flags=CellFlags(synced=True))
WRITTEN = Cell(CellId("lib", "written"), present=True, arriving=IngestState(changed=2))
DEAD = Cell(
    CellId("lib", "dead"),
    present=True,
    flags=CellFlags(
        claims=(Claim(1, None, None, yielded=False, liveness=Liveness.DEAD, evidence="gone"),)
    ),
)


@pytest.mark.parametrize(
    ("name", "in_file", "expected", "problem"),
    [
        ("v_ada", "", VISITOR, ""),
        ("v_t", "", VISITOR, ""),
        ("20261122_t", "", TEST, ""),
        ("2026", "", INTERNAL, ""),
        ("2026 v_ada", "", INTERNAL, ""),
        (
            "other",
            "",
            RunType("unknown", ""),
            "no configured type matches the run's name; it is treated like any other",
        ),
        ("v_ada", "internal", INTERNAL, ""),
        ("2026", "visitor", VISITOR, ""),
        (
            "v_ada",
            "guest",
            RunType("guest", ""),
            "/r/pipeline/type.yaml says type guest, which is not configured; "
            "the run is treated like any other",
        ),
    ],
)
def test_which(name: str, in_file: str, expected: RunType, problem: str) -> None:
    """The file decides; without a type in it, the first pattern that matches the whole name."""
    snapshot = replace(RUN, run=RunName(name), path=Path("/r"), type=in_file)
    assert type_of(snapshot, POLICY) == expected
    assert type_problem(snapshot, POLICY) == problem


def test_without_types() -> None:
    """If no types are configured, an unknown type is not a problem."""
    assert type_of_name((), "run").process
    assert type_problem(RUN, Policy()) == ""


def test_unreadable() -> None:
    """An unreadable file is reported, and the name decides."""
    snapshot = replace(RUN, type_problem="is not YAML", cells=(READY,))
    expected = "/landing/v_ada/pipeline/type.yaml is not YAML, so the run's name decides: visitor"
    assert type_problem(snapshot, POLICY) == expected
    assert expected in plan(snapshot, POLICY, NOW).waiting


@pytest.mark.parametrize(
    "cell", [READY, WRITTEN, DEAD], ids=["ready", "being written", "its worker died"]
)
def test_not_processed(cell: Cell) -> None:
    """Only cells of a type that is processed are processed, ingested or given up."""
    snapshot = replace(RUN, cells=(cell,))
    assert plan(snapshot, POLICY, NOW).actions == ()
    assert [
        action.name for action in plan(replace(snapshot, type="internal"), POLICY, NOW).actions
    ][:1] in (
        ["process"],
        ["ingest"],
    )


def test_still_received() -> None:
    """Cells of such a type are recorded as complete, and ready cells of it delay no sync."""
    proven = replace(WRITTEN, completeness=Completeness(Verdict.PROVEN, "3 of 3"))
    assert [action.name for action in plan(replace(RUN, cells=(proven,)), POLICY, NOW).actions] == [
        "synced"
    ]
    there = Cell(CellId("lib", "there"), present=False, upstream=True)
    snapshot = replace(RUN, upstream="host:/x", listed_at="host:/x", cells=(READY, there))
    assert [action.name for action in plan(snapshot, POLICY, NOW).actions] == ["sync"]
    assert [action.name for action in plan(replace(snapshot, type="t"), POLICY, NOW).actions] == [
        "process"
    ]


def test_the_reason_is_explained() -> None:
    """The plan says why the cell is not processed, and `explain` says what a person can do."""
    snapshot = replace(RUN, cells=(READY,))
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


def test_settled_runs_are_not_complained_about() -> None:
    """A finished run of a type that is no longer configured is explained and waits for nothing."""
    done = replace(READY, flags=CellFlags(done=Flag("ready.done", 1.0)))
    snapshot = replace(RUN, type="guest", cells=(done,), report_digest=None)
    decision = plan(snapshot, POLICY, NOW)
    assert decision.waiting == ()
    assert any(
        "not configured" in line for line in explain_run(snapshot, decision, POLICY, NOW).evidence
    )
