"""When to try a mark or a strip, by flags and time; the proof decides about the deletion."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from snapshots import attempt, cell, flag, run

from hesiod_watch.core.cell_contents import Completeness, LateData, Verdict
from hesiod_watch.core.model import Cell, Policy, Snapshot
from hesiod_watch.core.ownership import Attempt, Liveness, Owner
from hesiod_watch.rules import retention
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


def processed_cell(days: float = 40, *, name: str = CELL, **facts: Any) -> Cell:
    """A cell that was processed some days ago, is backed up and is still upstream."""
    processed = NOW - timedelta(days=days)
    usual: dict[str, Any] = {
        "upstream": True,
        "done": flag(json.dumps({"manifest_md5": "m"}), processed.timestamp()),
        "backup": ended("done", manifest="m"),
    }
    return cell(name, **(usual | facts))


def listed(*cells: Cell, **facts: Any) -> Snapshot:
    """A run with these cells that its upstream lists."""
    return run(*cells, **({"upstream": HERE, "listed_at": HERE} | facts))


def planned(snapshot: Snapshot, policy: Policy = POLICY, now: datetime = NOW) -> list[str]:
    return [
        action.name
        for rule in (want_deletable, want_strip)
        for action in rule(snapshot, policy, now)
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


LATE = LateData({"fastq_pass": 1}, frozenset(), Completeness(Verdict.PROVEN, "1 file"))

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
    "being marked, and not upstream any more": (
        listed(processed_cell(upstream=False, deletable=ended("", liveness=Liveness.UNKNOWN))),
        [],
    ),
    "part of a pooled directory": (
        listed(processed_cell(name="PAD38578_c6ded78b_0123abcd.pooled")),
        ["strip"],
    ),
    "not here any more": (listed(processed_cell(present=False, deletable=MARKED)), []),
    "made by hand, long ago": (
        listed(processed_cell(upstream=False, done=flag("", 1.0), backup=ended("done"))),
        [],
    ),
    "failed after it was processed": (listed(processed_cell(failed=flag())), []),
    "new data came": (listed(processed_cell(late_data=LATE)), []),
    "new data came, and marked": (
        listed(processed_cell(deletable=MARKED, late_data=LATE)),
        ["deletable"],
    ),
    "a backup is being made again": (listed(processed_cell(backup=ended(""))), []),
    "a verification did not begin to read": (
        listed(processed_cell(verification=ended("failed"))),
        [],
    ),
    "withdrawing it failed an hour ago": (
        listed(
            processed_cell(deletable=ended("failed", timedelta(hours=1), marked=True), backup=None)
        ),
        ["deletable"],
    ),
    "withdrawing it failed a minute ago": (
        listed(
            processed_cell(
                deletable=ended("failed", timedelta(minutes=1), marked=True), backup=None
            )
        ),
        [],
    ),
    "withdrawn": (
        listed(processed_cell(deletable=ended("done", marked=False), backup=None)),
        [],
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


@pytest.mark.parametrize("case", CASES)
def test_each_cell_is_judged_by_itself(case: str) -> None:
    """The cells after a cell are marked and stripped, whatever is wrong with that cell."""
    first = CASES[case][0]
    others = [
        processed_cell(name=CELL.replace("A5", "B1")),
        processed_cell(name=CELL.replace("A5", "C2"), deletable=MARKED),
    ]
    cells = (*first.cells, *others)
    alone = [name for each in cells for name in planned(replace(first, cells=(each,)))]
    assert sorted(planned(replace(first, cells=cells))) == sorted(alone)


DUE: dict[str, tuple[Snapshot, list[timedelta]]] = {
    "a mark that is renewed": (
        listed(processed_cell(3, deletable=ended("done", timedelta(days=5), marked=True))),
        [timedelta(days=2), timedelta(days=27)],
    ),
    "a mark that was refused": (
        listed(processed_cell(3, deletable=ended("failed", timedelta(hours=3)))),
        [timedelta(hours=21)],
    ),
    "a mark that met an error": (
        listed(
            processed_cell(3, deletable=ended("failed", timedelta(minutes=4), needs_person=False))
        ),
        [timedelta(minutes=6)],
    ),
    "a mark that is to be withdrawn": (
        listed(
            processed_cell(
                3, deletable=ended("failed", timedelta(minutes=4), marked=True), backup=None
            )
        ),
        [timedelta(minutes=6)],
    ),
    "a strip": (listed(processed_cell(3, upstream=False)), [timedelta(days=27)]),
    "a strip that was refused": (
        listed(processed_cell(upstream=False, strip=ended("failed", timedelta(hours=3)))),
        [timedelta(hours=21)],
    ),
    "two cells": (
        listed(
            processed_cell(3, upstream=False),
            processed_cell(4, upstream=False, name=CELL.replace("A5", "B1")),
        ),
        [timedelta(days=27), timedelta(days=26)],
    ),
}


@pytest.mark.parametrize("case", DUE)
def test_when_it_becomes_due(case: str) -> None:
    """The program looks again exactly when a mark or a strip becomes due, and then plans it."""
    snapshot, expected = DUE[case]
    times = list(retention.look_again(snapshot, POLICY, NOW))
    assert times == [NOW + wait for wait in expected]
    for due in times:
        before = planned(snapshot, now=due - timedelta(seconds=1))
        assert len(planned(snapshot, now=due)) > len(before)
        assert due not in retention.look_again(snapshot, POLICY, due)


REASONS: dict[str, tuple[Cell, str]] = {
    "first mark": (processed_cell(), "backed up, and still on its upstream"),
    "killed": (
        processed_cell(3, deletable=attempt("", liveness=Liveness.DEAD, evidence="pid 7 ended")),
        "marking it was begun and not finished: pid 7 ended",
    ),
    "renewal": (
        processed_cell(3, deletable=ended("done", timedelta(days=8), marked=True)),
        "its mark expires",
    ),
    "after a refusal": (processed_cell(deletable=ended("failed")), "it could not be marked before"),
    "no backup": (
        processed_cell(deletable=MARKED, backup=None),
        "its mark is to be withdrawn: it has no verified backup",
    ),
    "backup failed": (
        processed_cell(deletable=MARKED, backup=ended("failed", manifest="m")),
        "its mark is to be withdrawn: it has no verified backup",
    ),
    "processed again": (
        processed_cell(deletable=MARKED, backup=ended("done", manifest="other")),
        "its mark is to be withdrawn: it was processed again since its backup",
    ),
    "done by hand": (
        processed_cell(deletable=MARKED, done=flag("", 1.0)),
        "its mark is to be withdrawn: it was processed again since its backup",
    ),
    "failed": (
        processed_cell(deletable=MARKED, failed=flag()),
        "its mark is to be withdrawn: it is flagged failed",
    ),
    "aborted": (
        processed_cell(deletable=MARKED, aborted=flag()),
        "its mark is to be withdrawn: it is not processed any more",
    ),
    "damaged": (
        processed_cell(deletable=MARKED, verification=ended("failed")),
        "its mark is to be withdrawn: a verification found something wrong with its copies",
    ),
    "damaged before": (
        processed_cell(deletable=MARKED, verification=ended("done", problems=["output: rot"])),
        "its mark is to be withdrawn: a verification found something wrong with its copies",
    ),
    "finding": (
        processed_cell(deletable=MARKED, backup=ended("done", manifest="m", **found("1 file", 3))),
        "its mark is to be withdrawn: 1 file",
    ),
    "strip": (processed_cell(upstream=False), "finished for 30 days"),
}


@pytest.mark.parametrize("case", REASONS)
def test_the_reason_of_the_plan(case: str) -> None:
    """A mark, a withdrawal and a strip say why they happen, and to which cell of which run."""
    one, reason = REASONS[case]
    snapshot = listed(one)
    (action,) = [
        action for rule in (want_deletable, want_strip) for action in rule(snapshot, POLICY, NOW)
    ]
    assert (action.run, action.cell, action.reason) == (snapshot.run, one.id, reason)


def test_a_cell_that_is_not_done_is_never_stripped() -> None:
    """Without `done` no time says when the raw data were processed."""
    assert retention.strip_due(processed_cell(done=None), 86400.0, NOW) is None


def test_a_stop_flag_of_the_run_is_the_reason() -> None:
    """A flag of the run withdraws each mark, and the reason names the flag."""
    snapshot = listed(processed_cell(deletable=MARKED), flags=frozenset({"failed"}))
    (action,) = want_deletable(snapshot, POLICY, NOW)
    assert action.reason == "its mark is to be withdrawn: the run is flagged failed"


def test_how_long_a_mark_is_valid() -> None:
    """The upstream that contains the run decides; a local run and an unknown one have no mark."""
    policy = Policy(marking={"other:/data": 1.0, "no location": 2.0, "prom:/data": 3.0})
    lasts = [
        retention.mark_lifetime(run(upstream=upstream), policy)
        for upstream in (HERE, "other:/data/alpha", "third:/data/alpha", "LOCAL", None)
    ]
    assert lasts == [3.0, 1.0, 0.0, 0.0, 0.0]


def test_what_waits() -> None:
    """A refused mark or strip is a sentence, and so is one whose owner is not known to live."""
    cells = (
        processed_cell(
            name="a", deletable=attempt("failed", reason="no backup"), strip=ended("done")
        ),
        processed_cell(
            name="b",
            deletable=attempt("", liveness=Liveness.UNKNOWN, evidence="on another host"),
            strip=attempt("failed", reason="1 copy"),
        ),
        processed_cell(name="c", deletable=attempt("", liveness=Liveness.ALIVE)),
    )
    assert list(retention.waiting(listed(*cells))) == [
        "lib/a: not marked as deletable: no backup",
        "lib/b: not marked as deletable: it was begun, and it is unknown whether its owner lives"
        " (on another host)",
        "lib/b: not stripped: 1 copy",
    ]


@pytest.mark.parametrize(
    ("last", "expected"),
    [(None, False), (ended(""), False), (ended("failed"), False), (ended("done"), True)],
    ids=["never tried", "begun", "failed", "done"],
)
def test_stripped(last: Attempt | None, expected: bool) -> None:
    """Raw data are removed only if a strip ended well."""
    assert retention.stripped(processed_cell(strip=last)) is expected
