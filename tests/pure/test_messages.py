"""Explanations for people: the reason, the evidence, the next step, and what they can do."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from outboxes import ALL_TOLD
from snapshots import cell, claim, flag, run

from hesiod_watch.core.cell_contents import Completeness, DataKind, Shortfall, Verdict
from hesiod_watch.core.model import Cell, CellId, Policy, QuarantinedName
from hesiod_watch.core.ownership import Liveness, Owner, Progress
from hesiod_watch.rules.evidence import owner_words
from hesiod_watch.rules.explain import Explanation, explain_cell, explain_run
from hesiod_watch.rules.plan import plan

NOW = datetime(2026, 11, 22, 22, 0, tzinfo=UTC)
POLICY = Policy()
OWNER = Owner("token", action="process", host="elsewhere", pid=42)
RUNNING = Completeness(Verdict.RUNNING, "still running: no final_summary yet")
SHORT = Completeness(
    Verdict.SHORT, "3 of 69 FASTQ files missing", (Shortfall(DataKind.FASTQ, 66, 69),)
)


def explained(only: Cell, **facts: Any) -> Explanation:
    """The explanation of this cell in a run whose events are all reported."""
    snapshot = run(only, outbox=ALL_TOLD, **facts)
    return explain_cell(snapshot, only.id, plan(snapshot, POLICY, NOW), POLICY, NOW)


@pytest.mark.parametrize(
    ("only", "why", "happens", "can"),
    [
        pytest.param(
            cell(completeness=RUNNING),
            "still running",
            "processed when its final_summary",
            "abort",
            id="running",
        ),
        pytest.param(
            cell(completeness=SHORT, summary_since=NOW.timestamp() - 7200),
            "3 of 69",
            "counted again",
            "look for the missing FASTQ files",
            id="short",
        ),
        pytest.param(cell(synced=True), "complete", "process lib/cell", "abort", id="ready"),
        pytest.param(
            cell(failed=flag("x.fastq: cut")),
            "x.fastq: cut",
            "until a person decides",
            "hesiod-watch retry run lib/cell",
            id="failed",
        ),
        pytest.param(
            cell(claims=(claim(Liveness.UNKNOWN, owner=OWNER, evidence="another host"),)),
            "cannot tell whether the owner is alive",
            "nothing, until its owner",
            "hesiod-watch release run lib/cell",
            id="unknown owner",
        ),
        pytest.param(
            cell(
                claims=(claim(owner=OWNER, worker=OWNER, evidence="process 42 lives"),),
                progress=Progress("compressing", 50, 100, updated=NOW.timestamp() - 1),
            ),
            "compressing 50%",
            "its worker finishes it",
            "abort",
            id="processing",
        ),
        pytest.param(
            cell(aborted=flag('{"why": "wrong sample"}')),
            "wrong sample",
            "disregarded",
            "cell.aborted",
            id="aborted",
        ),
        pytest.param(
            cell(done=flag("")), "processed", "finished", "hesiod-watch verify", id="done"
        ),
        pytest.param(cell(present=False), "not here", "is back", "abort", id="missing"),
    ],
)
def test_a_cell_explains_itself(only: Cell, why: str, happens: str, can: str) -> None:
    """Each stage has a reason, a next step, and the command that a person needs."""
    explanation = explained(only)
    assert why in explanation.why
    assert happens in explanation.next
    assert any(can in line for line in explanation.you_can)
    assert explanation.evidence


def test_a_run_explains_itself_with_its_cells_and_quarantined_names() -> None:
    """The run's evidence lists its flags, its cells and its quarantined names, with reasons."""
    snapshot = run(
        cell(synced=True),
        flags=frozenset({"failed"}),
        outbox=ALL_TOLD,
        quarantined=(QuarantinedName("b;d", 'the name contains ";"'),),
    )
    explanation = explain_run(snapshot, plan(snapshot, POLICY, NOW), POLICY, NOW)
    text = "\n".join(explanation.evidence)
    assert "run flag: failed" in text
    assert "lib/cell: ready" in text
    assert 'quarantined: b;d: the name contains ";"' in text
    assert explanation.next == "nothing, until a person removes the run's flag"
    assert any("/landing/run/pipeline/failed" in line for line in explanation.you_can)


def test_flagged_run_stops_its_cells_and_says_so() -> None:
    """The explanation of a ready cell in a failed run does not promise a worker."""
    explanation = explained(cell(synced=True), flags=frozenset({"failed"}))
    assert explanation.next == "nothing, because the run is flagged failed"


def test_an_unknown_cell_is_an_error() -> None:
    """An explanation of a cell that is not in the snapshot raises KeyError."""
    snapshot = run(outbox=ALL_TOLD)
    decision = plan(snapshot, POLICY, NOW)
    with pytest.raises(KeyError):
        explain_cell(snapshot, CellId("lib", "cell"), decision, POLICY, NOW)


def test_owner_words() -> None:
    """An owner is described by its action and host; an empty flag has an unknown owner."""
    assert owner_words(OWNER) == "process on elsewhere, process 42"
    assert "unknown owner" in owner_words(None)
