"""Explanations for people: the reason, the evidence, the next step, and what they can do."""

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
    DataKind,
    Flag,
    Liveness,
    Owner,
    Policy,
    Progress,
    QuarantinedName,
    RunName,
    Shortfall,
    Snapshot,
    Verdict,
)
from hesiod_watch.rules.explain import Explanation, ago, explain_cell, explain_run, owner_words
from hesiod_watch.rules.plan import plan

NOW = datetime(2026, 11, 22, 22, 0, tzinfo=UTC)
POLICY = Policy()
ID = CellId("lib", "cell")
HERE = Cell(ID, present=True)
RUN = Snapshot(
    RunName("run"),
    Path("/landing/run"),
    has_pipeline=True,
    upstream=LOCAL,
    output=Path("/output/run"),
    outbox=ALL_TOLD,
)
OWNER = Owner("token", action="process", host="elsewhere", pid=42)


def explained(cell: Cell, run: Snapshot = RUN) -> Explanation:
    snapshot = replace(run, cells=(cell,))
    return explain_cell(snapshot, ID, plan(snapshot, POLICY, NOW), POLICY, NOW)


@pytest.mark.parametrize(
    ("cell", "why", "happens", "can"),
    [
        (
            replace(
                HERE,
                completeness=Completeness(Verdict.RUNNING, "still running: no final_summary yet"),
            ),
            "still running",
            "processed when its final_summary",
            "cell.synced",
        ),
        (
            replace(
                HERE,
                completeness=Completeness(
                    Verdict.SHORT,
                    "3 of 69 FASTQ files missing",
                    (Shortfall(DataKind.FASTQ, 66, 69),),
                ),
                summary_since=NOW.timestamp() - 7200,
            ),
            "3 of 69",
            "counted again",
            "look for the missing FASTQ files",
        ),
        (replace(HERE, flags=CellFlags(synced=True)), "complete", "process lib/cell", "abort"),
        (
            replace(HERE, flags=CellFlags(failed=Flag("cell.failed", 0, text="x.fastq: cut"))),
            "x.fastq: cut",
            "until a person decides",
            "hesiod-watch retry run lib/cell",
        ),
        (
            replace(
                HERE,
                flags=CellFlags(
                    claims=(Claim(1, OWNER, None, False, Liveness.UNKNOWN, "another host"),)
                ),
            ),
            "cannot tell whether the owner is alive",
            "nothing, until its owner",
            "hesiod-watch release run lib/cell",
        ),
        (
            replace(
                HERE,
                flags=CellFlags(
                    claims=(Claim(1, OWNER, OWNER, False, Liveness.ALIVE, "process 42 lives"),)
                ),
                progress=Progress("compressing", 50, 100, updated=NOW.timestamp() - 1),
            ),
            "compressing 50%",
            "its worker finishes it",
            "abort",
        ),
        (
            replace(
                HERE,
                flags=CellFlags(aborted=Flag("cell.aborted", 0, text='{"why": "wrong sample"}')),
            ),
            "wrong sample",
            "disregarded",
            "cell.aborted",
        ),
        (
            replace(HERE, flags=CellFlags(done=Flag("cell.done", 0))),
            "processed",
            "finished",
            "hesiod-watch verify",
        ),
        (replace(HERE, present=False), "not here", "is back", "abort"),
    ],
    ids=[
        "running",
        "short",
        "ready",
        "failed",
        "unknown owner",
        "processing",
        "aborted",
        "done",
        "missing",
    ],
)
def test_a_cell_explains_itself(cell: Cell, why: str, happens: str, can: str) -> None:
    """Each stage has a reason, a next step, and the command that a person needs."""
    explanation = explained(cell)
    assert why in explanation.why
    assert happens in explanation.next
    assert any(can in line for line in explanation.you_can)
    assert explanation.evidence


def test_a_run_explains_itself_with_its_cells_and_quarantined_names() -> None:
    """The run's evidence lists its flags, its cells and its quarantined names, with reasons."""
    snapshot = replace(
        RUN,
        flags=frozenset({"failed"}),
        cells=(replace(HERE, flags=CellFlags(synced=True)),),
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
    explanation = explained(
        replace(HERE, flags=CellFlags(synced=True)), replace(RUN, flags=frozenset({"failed"}))
    )
    assert explanation.next == "nothing, because the run is flagged failed"


def test_an_unknown_cell_is_an_error() -> None:
    """An explanation of a cell that is not in the snapshot raises KeyError."""
    with pytest.raises(KeyError):
        explain_cell(RUN, ID, plan(RUN, POLICY, NOW), POLICY, NOW)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-3, "0 s"),
        (42, "42 s"),
        (119, "119 s"),
        (300, "5 min"),
        (3 * 3600, "3 h"),
        (50 * 3600, "2 days"),
    ],
)
def test_lengths_of_time(seconds: float, words: str) -> None:
    """Durations are in the unit that a person would use, and never negative."""
    assert ago(seconds) == words


def test_owner_words() -> None:
    """An owner is described by its action and host; an empty flag has an unknown owner."""
    assert owner_words(OWNER) == "process on elsewhere, process 42"
    assert "unknown owner" in owner_words(None)
