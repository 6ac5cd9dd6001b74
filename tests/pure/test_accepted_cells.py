"""Verdict on a cell accepted by a person: in flags, in sentences and in a run of many cells."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from snapshots import cell, flag, run

from hesiod_watch.core.cell_contents import Completeness, DataKind, Shortfall, Verdict
from hesiod_watch.core.model import Policy
from hesiod_watch.report.run import render_run
from hesiod_watch.rules.completeness import accept, recorded
from hesiod_watch.rules.events import happened
from hesiod_watch.rules.message_text import MOST_CELLS, compose
from hesiod_watch.rules.stages import digest_of_report, status_of, why_stage

SHORT = Completeness(
    Verdict.SHORT,
    "1 of 2 FASTQ files missing",
    (Shortfall(DataKind.FASTQ, 1, 2),),
    {DataKind.POD5: 3},
)
PROVEN = Completeness(Verdict.PROVEN, "all files announced are here: 2 FASTQ files")
NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
DONE: dict[str, Any] = {"synced": True, "done": flag("{}")}


@pytest.mark.parametrize("verdict", [each for each in Verdict if each is not Verdict.PROVEN])
def test_accept(verdict: Verdict) -> None:
    """The sentence about an accepted cell contains what is wrong with the cell."""
    accepted = accept(Completeness(verdict, "something is wrong", SHORT.shortfalls))
    assert accepted.verdict is Verdict.BY_HAND
    assert accepted.by_hand == "accepted as complete by a person; something is wrong"
    assert accepted.shortfalls == SHORT.shortfalls
    assert not accepted.proven


def test_accept_what_is_proven() -> None:
    """Accepting a cell whose counts agree changes nothing."""
    assert accept(PROVEN) == PROVEN
    assert PROVEN.by_hand == ""


@pytest.mark.parametrize(
    "found", [SHORT, PROVEN, accept(SHORT)], ids=["short", "proven", "accepted"]
)
def test_read_back(found: Completeness) -> None:
    """A verdict is the same after it was written into a flag and read again."""
    assert recorded(json.loads(json.dumps({"completeness": found.record()}))) == found


@pytest.mark.parametrize(
    "record",
    [
        pytest.param({}, id="empty"),
        pytest.param({"completeness": None}, id="null"),
        pytest.param({"completeness": []}, id="a list"),
        pytest.param({"completeness": {"verdict": "short"}}, id="only a verdict"),
        pytest.param(
            {"completeness": {**SHORT.record(), "verdict": "new word"}}, id="unknown verdict"
        ),
        pytest.param(
            {"completeness": {**SHORT.record(), "shortfalls": [1]}}, id="a number as shortfall"
        ),
        pytest.param(
            {"completeness": {**SHORT.record(), "shortfalls": 7}}, id="a number as shortfalls"
        ),
        pytest.param({"completeness": {**SHORT.record(), "fallback": []}}, id="a list as fallback"),
        pytest.param({"counted": "all files announced are here"}, id="a proven cell of 0.1.0"),
        pytest.param({"counted": 7}, id="a number as sentence"),
    ],
)
def test_read_nothing(record: Mapping[str, object]) -> None:
    """A flag of another version, or one that a person wrote, gives no verdict and no error."""
    assert recorded(record) is None


def test_of_0_1_0() -> None:
    """The sentence that 0.1.0 wrote about an accepted cell still marks it as accepted."""
    sentence = "taken as complete by a person; 1 of 2 FASTQ files missing"
    found = recorded({"counted": sentence})
    assert found
    assert found.by_hand == sentence


def test_one_accepted_cell_among_others() -> None:
    """The run names the accepted cell and counts the others like it; aborted cells do not count."""
    proven = cell("a", completeness=PROVEN, **DONE)
    accepted = [cell(name, completeness=accept(SHORT), **DONE) for name in ("b", "c")]
    aborted = cell("d", completeness=accept(SHORT), aborted=flag(), **DONE)
    _, why = status_of(run(proven, *accepted, aborted))
    assert why == (
        "3 cells processed, 1 cell aborted; lib/b: accepted as complete by a person; "
        "1 of 2 FASTQ files missing; 1 more cell accepted like this"
    )
    assert status_of(run(proven, aborted))[1] == "1 cell processed, 1 cell aborted"


@pytest.mark.parametrize(
    "flags",
    [
        pytest.param({"synced": True}, id="ready"),
        pytest.param({"synced": True, "failed": flag("")}, id="failed"),
        pytest.param(DONE, id="processed"),
    ],
)
def test_every_stage_says_it(flags: dict[str, Any]) -> None:
    """An accepted cell says what is missing at every stage, and the page is made again for it."""
    accepted = cell(completeness=accept(SHORT), **flags)
    assert "accepted as complete by a person; 1 of 2 FASTQ files missing" in why_stage(accepted)
    assert "complete" not in status_of(run(accepted))[1].replace("accepted as complete", "")
    digest = digest_of_report(run(cell(completeness=PROVEN, **flags)))
    assert digest_of_report(run(accepted)) != digest
    assert digest == digest_of_report(run(cell(**flags)))


@pytest.mark.parametrize("event", ["all-cells-run", "run-complete"])
def test_a_long_list_does_not_hide_it(event: str) -> None:
    """In a message about very many cells the accepted one comes first."""
    many = [cell(f"c{number:03}", completeness=PROVEN, **DONE) for number in range(MOST_CELLS + 5)]
    snapshot = run(*many, cell("z", completeness=accept(SHORT), **DONE))
    (found,) = [each for each in happened(snapshot, Policy(), NOW) if each.name == event]
    text = compose(found, snapshot, "internal", "")
    assert "lib/z: " in text
    assert "1 of 2 FASTQ files missing" in text


def test_a_lost_file_is_not_all_data() -> None:
    """A cell that failed because it lost a file is not reported as complete."""
    snapshot = run(cell(synced=True, failed=flag("{}"), completeness=SHORT))
    texts = {
        each.name: compose(each, snapshot, "internal", "")
        for each in happened(snapshot, Policy(), NOW)
    }
    assert "data are here" not in texts["cell-ready"] + texts["all-cells-run"]
    assert "1 of 2 FASTQ files missing" in texts["cell-ready"]
    assert "person" not in texts["cell-ready"]


@pytest.mark.parametrize(
    ("stage", "tone"), [("processed", "warn"), ("ready", "warn"), ("failed", "bad")]
)
def test_colour_on_the_page(stage: str, tone: str) -> None:
    """On the page of the run an accepted cell is not green, and a failed one stays red."""
    shown = {
        "library": "lib",
        "cell": "a",
        "stage": stage,
        "why": "x",
        "by_hand": SHORT.why,
        "page": None,
        "qc": None,
    }
    page = render_run(
        {"run": "run", "status": "complete", "covers": "0123456789abcdef", "cells": [shown]}
    )
    assert f'class="chip {tone}"' in page
    assert '<section class="state warn"' in page
    green = render_run(
        {
            "run": "run",
            "status": "complete",
            "covers": "0123456789abcdef",
            "cells": [shown | {"by_hand": ""}],
        }
    )
    assert '<section class="state good"' in green
