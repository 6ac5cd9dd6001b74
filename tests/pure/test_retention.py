"""When to try a mark or a strip, by flags and time; the proof decides about the deletion."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from snapshots import attempt, cell, flag, run

from hesiod_watch.core.model import Cell, Policy, Snapshot
from hesiod_watch.core.ownership import Attempt, Liveness, Owner
from hesiod_watch.rules.retention import want_deletable, want_strip

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
CELL = "20190710_1723_2-A5-D5_PAD38578_c6ded78b"
HERE = "prom:/data/alpha"
POLICY = Policy(marking={"prom:/data": 7 * 86400.0}, strip_after=30 * 86400.0)


def ended(
    outcome: str,
    age: timedelta = timedelta(days=2),
    liveness: Liveness = Liveness.DEAD,
    **record: Any,
) -> Attempt:
    """An attempt that began, and perhaps ended, some time ago."""
    time = (NOW - age).isoformat()
    owner = Owner("t", time=time)
    return attempt(outcome, liveness=liveness, owner=owner, **{"ended": time, **record})


def processed_cell(days: float = 40, **facts: Any) -> Cell:
    """A cell that was processed some days ago, is backed up and is still upstream."""
    processed = NOW - timedelta(days=days)
    usual: dict[str, Any] = {
        "upstream": True,
        "done": flag(json.dumps({"manifest_md5": "m"}), processed.timestamp()),
        "backup": ended("done", manifest="m"),
    }
    return cell(CELL, **(usual | facts))


def listed(*cells: Cell, **facts: Any) -> Snapshot:
    """A run with these cells that its upstream lists."""
    return run(*cells, **({"upstream": HERE, "listed_at": HERE} | facts))


def planned(snapshot: Snapshot, policy: Policy = POLICY) -> list[str]:
    return [
        action.name
        for rule in (want_deletable, want_strip)
        for action in rule(snapshot, policy, NOW)
    ]


MARKED = ended("done", timedelta(days=1), marked=True)


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
    # The strip waits for the mark.
    "backed up, and still upstream": (listed(processed_cell()), ["deletable"]),
    "marked": (listed(processed_cell(deletable=MARKED)), ["strip"]),
    "marked, and young": (listed(processed_cell(3, deletable=MARKED)), []),
    "its mark runs out": (
        listed(processed_cell(3, deletable=ended("done", timedelta(days=7), marked=True))),
        ["deletable"],
    ),
    "refused an hour ago": (
        listed(processed_cell(3, deletable=ended("failed", timedelta(hours=1), marked=False))),
        [],
    ),
    "refused yesterday": (
        listed(processed_cell(3, deletable=ended("failed", timedelta(days=1), marked=False))),
        ["deletable"],
    ),
    "away for a moment": (
        listed(
            processed_cell(
                3,
                deletable=ended("failed", timedelta(minutes=11), marked=False, needs_person=False),
            )
        ),
        ["deletable"],
    ),
    "being marked": (listed(processed_cell(deletable=ended("", liveness=Liveness.ALIVE))), []),
    "its marker was killed": (
        listed(processed_cell(3, deletable=ended("", marked=True))),
        ["deletable"],
    ),
    "not upstream any more": (listed(processed_cell(upstream=False)), ["strip"]),
    "upstream does not answer": (listed(processed_cell(3), listed_at=""), []),
    "no backup": (listed(processed_cell(backup=None)), []),
    "a failed backup": (listed(processed_cell(backup=ended("failed", manifest="m"))), []),
    "a backup of earlier results": (listed(processed_cell(backup=ended("done", manifest="x"))), []),
    "damaged": (listed(processed_cell(verification=ended("failed", problems=["rot"]))), []),
    "damaged, and marked": (
        listed(processed_cell(deletable=MARKED, verification=ended("failed", problems=["rot"]))),
        ["deletable"],
    ),
    "a file is missing, says MinKNOW": (
        listed(processed_cell(backup=ended("done", manifest="m", **found("1 file is missing", 3)))),
        [],
    ),
    "the same, and marked": (
        listed(
            processed_cell(
                deletable=MARKED,
                backup=ended("done", manifest="m", **found("1 file is missing", 3)),
            )
        ),
        ["deletable"],
    ),
    "a file was missing, and was found since": (
        listed(
            processed_cell(
                backup=ended("done", manifest="m", **found("1 file is missing", 3)),
                verification=ended("done", **found("", 2)),
            )
        ),
        ["deletable"],
    ),
    "a strip has found that a file is missing": (
        listed(
            processed_cell(upstream=False, strip=ended("failed", **found("1 file is missing", 2)))
        ),
        [],
    ),
    "aborted, and marked": (
        listed(processed_cell(deletable=MARKED, done=None, aborted=flag())),
        ["deletable"],
    ),
    "run failed": (listed(processed_cell(), flags=frozenset({"failed"})), []),
    "run failed, and marked": (
        listed(processed_cell(deletable=MARKED), flags=frozenset({"failed"})),
        ["deletable"],
    ),
    "stripped": (listed(processed_cell(deletable=MARKED, strip=ended("done"))), []),
    "being stripped": (
        listed(processed_cell(deletable=MARKED, strip=ended("", liveness=Liveness.UNKNOWN))),
        [],
    ),
    "its stripper was killed": (listed(processed_cell(upstream=False, strip=ended(""))), ["strip"]),
    "not stripped, yesterday": (
        listed(processed_cell(upstream=False, strip=ended("failed"))),
        ["strip"],
    ),
    "a local run": (
        listed(processed_cell(upstream=False), upstream="LOCAL", listed_at=""),
        ["strip"],
    ),
    "no pipeline": (listed(processed_cell(), has_pipeline=False), []),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_planned(case: str) -> None:
    """A mark comes first, is renewed in time and withdrawn at once; a strip comes at its time."""
    snapshot, expected = CASES[case]
    assert planned(snapshot) == expected


def test_only_where_it_is_configured() -> None:
    """Without configuration, no cell is marked and no cell is stripped automatically."""
    assert planned(listed(processed_cell()), Policy()) == []
    elsewhere = replace(POLICY, marking={"other:/data": 1.0}, strip_after=None)
    assert planned(listed(processed_cell()), elsewhere) == []
