"""When to try a mark or a strip, by flags and time; the proof decides about the deletion."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hesiod_watch.core.model import (
    Attempt,
    Cell,
    CellFlags,
    CellId,
    Flag,
    Liveness,
    Owner,
    Policy,
    RunName,
    Snapshot,
)
from hesiod_watch.rules.retention import want_deletable, want_strip

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
CELL = CellId("lib", "20190710_1723_2-A5-D5_PAD38578_c6ded78b")
HERE = "prom:/data/alpha"
POLICY = Policy(marking={"prom:/data": 7 * 86400.0}, strip_after=30 * 86400.0)


def a_round(
    ending: str,
    age: timedelta = timedelta(days=2),
    liveness: Liveness = Liveness.DEAD,
    **record: Any,
) -> Attempt:
    ended = (NOW - age).isoformat()
    return Attempt(
        ending, Owner("t", time=ended), liveness, "it has ended", {"ended": ended, **record}
    )


def a_cell(days: float = 40, **more: Any) -> Cell:
    done = Flag(
        f"{CELL.stem}.done",
        (NOW - timedelta(days=days)).timestamp(),
        text=json.dumps({"manifest_md5": "m"}),
    )
    values: dict[str, Any] = {
        "upstream": True,
        "flags": CellFlags(done=done),
        "backup": a_round("done", manifest="m"),
    }
    return Cell(CELL, present=True, **(values | more))


def a_run(cell: Cell, **more: Any) -> Snapshot:
    values: dict[str, Any] = {
        "upstream": HERE,
        "listed_at": HERE,
        "output": Path("/output/run"),
        "cells": (cell,),
    }
    return Snapshot(
        RunName("20190710_PROM_alpha"), Path("/landing/run"), has_pipeline=True, **(values | more)
    )


def planned(snapshot: Snapshot, policy: Policy = POLICY) -> list[str]:
    return [
        action.name
        for rule in (want_deletable, want_strip)
        for action in rule(snapshot, policy, NOW)
    ]


MARKED = a_round("done", timedelta(days=1), marked=True)


def found(said: str, days: float) -> dict[str, Any]:
    """A flag's record of MinKNOW's checksums from some days ago."""
    return {
        "minknow_checksums": {
            "at": (NOW - timedelta(days=days)).isoformat(),
            "said": said,
            "set": said,
        }
    }


CASES: dict[str, tuple[Snapshot, list[str]]] = {
    "backed up, and still upstream": (
        a_run(a_cell()),
        ["deletable"],
    ),  # and the strip waits for the mark
    "marked": (a_run(a_cell(deletable=MARKED)), ["strip"]),
    "marked, and young": (a_run(a_cell(days=3, deletable=MARKED)), []),
    "its mark runs out": (
        a_run(a_cell(3, deletable=a_round("done", timedelta(days=7), marked=True))),
        ["deletable"],
    ),
    "refused an hour ago": (
        a_run(a_cell(3, deletable=a_round("failed", timedelta(hours=1), marked=False))),
        [],
    ),
    "refused yesterday": (
        a_run(a_cell(3, deletable=a_round("failed", timedelta(days=1), marked=False))),
        ["deletable"],
    ),
    "away for a moment": (
        a_run(
            a_cell(
                3,
                deletable=a_round(
                    "failed", timedelta(minutes=11), marked=False, needs_person=False
                ),
            )
        ),
        ["deletable"],
    ),
    "being marked": (a_run(a_cell(deletable=a_round("", liveness=Liveness.ALIVE))), []),
    "its marker was killed": (a_run(a_cell(3, deletable=a_round("", marked=True))), ["deletable"]),
    "not upstream any more": (a_run(a_cell(upstream=False)), ["strip"]),
    "upstream does not answer": (a_run(a_cell(3), listed_at=""), []),
    "no backup": (a_run(a_cell(backup=None)), []),
    "a failed backup": (a_run(a_cell(backup=a_round("failed", manifest="m"))), []),
    "a backup of earlier results": (a_run(a_cell(backup=a_round("done", manifest="x"))), []),
    "damaged": (a_run(a_cell(verification=a_round("failed", problems=["rot"]))), []),
    "damaged, and marked": (
        a_run(a_cell(deletable=MARKED, verification=a_round("failed", problems=["rot"]))),
        ["deletable"],
    ),
    "a file is missing, says MinKNOW": (
        a_run(a_cell(backup=a_round("done", manifest="m", **found("1 file is missing", 3)))),
        [],
    ),
    "the same, and marked": (
        a_run(
            a_cell(
                deletable=MARKED,
                backup=a_round("done", manifest="m", **found("1 file is missing", 3)),
            )
        ),
        ["deletable"],
    ),
    "a file was missing, and was found since": (
        a_run(
            a_cell(
                backup=a_round("done", manifest="m", **found("1 file is missing", 3)),
                verification=a_round("done", **found("", 2)),
            )
        ),
        ["deletable"],
    ),
    "a strip has found that a file is missing": (
        a_run(a_cell(upstream=False, strip=a_round("failed", **found("1 file is missing", 2)))),
        [],
    ),
    "aborted, and marked": (
        a_run(a_cell(deletable=MARKED, flags=CellFlags(aborted=Flag("x", 0.0)))),
        ["deletable"],
    ),
    "run failed": (a_run(a_cell(), flags=frozenset({"failed"})), []),
    "run failed, and marked": (
        a_run(a_cell(deletable=MARKED), flags=frozenset({"failed"})),
        ["deletable"],
    ),
    "stripped": (a_run(a_cell(deletable=MARKED, strip=a_round("done"))), []),
    "being stripped": (
        a_run(a_cell(deletable=MARKED, strip=a_round("", liveness=Liveness.UNKNOWN))),
        [],
    ),
    "its stripper was killed": (a_run(a_cell(upstream=False, strip=a_round(""))), ["strip"]),
    "not stripped, yesterday": (a_run(a_cell(upstream=False, strip=a_round("failed"))), ["strip"]),
    "a local run": (a_run(a_cell(upstream=False), upstream="LOCAL", listed_at=""), ["strip"]),
    "no pipeline": (replace(a_run(a_cell()), has_pipeline=False), []),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_planned(case: str) -> None:
    """A mark comes first, is renewed in time and withdrawn at once; a strip comes at its time."""
    snapshot, expected = CASES[case]
    assert planned(snapshot) == expected


def test_only_where_it_is_wanted() -> None:
    """Without configuration, no cell is marked and no cell is stripped automatically."""
    assert planned(a_run(a_cell()), Policy()) == []
    assert (
        planned(a_run(a_cell()), replace(POLICY, marking={"other:/data": 1.0}, strip_after=None))
        == []
    )
