"""Turns: which work gets the next free worker, across runs."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from snapshots import attempt, cell, claim, flag, run

from hesiod_watch.core import action_kinds
from hesiod_watch.core.action_kinds import ActionKind
from hesiod_watch.core.model import Action, Cell, IngestState, Snapshot
from hesiod_watch.core.ownership import Attempt, Liveness, Owner
from hesiod_watch.rules.turns import LONG_AGO, Turn, in_turn, turn_of
from hesiod_watch.service.waiting_line import WaitingLine, workers_for

NOW = datetime(2026, 11, 22, 22, 0, tzinfo=UTC)
OLD = "20250101_2210_1A_PAW00001_0a1b2c3d"
LIVE = "20261122_0210_1A_PAW00001_0a1b2c3d"


def before(**length: float) -> datetime:
    return NOW - timedelta(**length)


def began(outcome: str = "done", **length: float) -> Attempt:
    """An attempt that began so long ago, and whose record names no end."""
    return attempt(outcome, owner=Owner("token", time=before(**length).isoformat()))


def ingested(changed: datetime, last: Attempt | None) -> IngestState:
    return IngestState(int(changed.timestamp() * 1e9), last_attempt=last)


def seconds(moment: datetime) -> float:
    return moment.timestamp()


PROCESS, INGEST = action_kinds.PROCESS, action_kinds.INGEST
BACKUP, VERIFY, SYNC = action_kinds.BACKUP, action_kinds.VERIFY, action_kinds.SYNC


@pytest.mark.parametrize(
    ("kind", "facts", "name", "expected"),
    [
        pytest.param(
            *(INGEST, {"arriving": ingested(before(seconds=9), None)}, OLD),
            Turn(False, LONG_AGO),
            id="data that came now make a cell live",
        ),
        pytest.param(
            *(INGEST, {"arriving": ingested(before(days=9), began(hours=5))}, OLD),
            Turn(True, before(hours=5)),
            id="an ingest waits since the last one",
        ),
        pytest.param(
            *(INGEST, {"arriving": ingested(before(days=9), began(hours=-5))}, LIVE),
            Turn(False, LONG_AGO),
            id="a time in the future counts as long ago",
        ),
        pytest.param(
            *(PROCESS, {"synced": True, "summary_since": seconds(before(minutes=5))}, OLD),
            Turn(False, before(minutes=5)),
            id="a cell is live when it has just ended",
        ),
        pytest.param(
            *(PROCESS, {"synced": True, "summary_since": seconds(before(days=4))}, OLD),
            Turn(True, before(days=4)),
            id="a cell that ended days ago is old",
        ),
        pytest.param(
            *(PROCESS, {"synced": True, "summary_since": seconds(before(days=-4))}, OLD),
            Turn(True, LONG_AGO),
            id="an end in the future makes nothing live",
        ),
        pytest.param(
            PROCESS,
            {
                "summary_since": seconds(before(hours=5)),
                "claims": (
                    claim(Liveness.DEAD, owner=Owner("token", time=before(minutes=2).isoformat())),
                ),
            },
            OLD,
            Turn(False, before(minutes=2)),
            id="a retry waits since the last attempt",
        ),
        pytest.param(
            *(BACKUP, {"done": flag(mtime=seconds(before(hours=2)))}, OLD),
            Turn(False, before(hours=2)),
            id="a first backup waits since the processing",
        ),
        pytest.param(
            *(
                BACKUP,
                {"done": flag(mtime=seconds(before(days=30))), "backup": began("failed", hours=1)},
            ),
            *(OLD, Turn(True, before(hours=1))),
            id="a backup that is retried waits since the last attempt",
        ),
        pytest.param(
            *(
                VERIFY,
                {"done": flag(mtime=seconds(before(days=90))), "verification": began(days=40)},
            ),
            *(OLD, Turn(True, before(days=40))),
            id="copies wait since they were read",
        ),
        pytest.param(PROCESS, {}, "named by hand", Turn(True, LONG_AGO), id="no time at all"),
    ],
)
def test_turn_of_a_cell(kind: ActionKind, facts: dict[str, Any], name: str, expected: Turn) -> None:
    """Work on live cells comes first, then the work that has waited longest."""
    one = cell(name, **facts)
    snapshot = run(one)
    assert turn_of(snapshot, Action(kind, snapshot.run, "", one.id), NOW) == expected


@pytest.mark.parametrize(
    ("names", "facts", "expected"),
    [
        pytest.param([OLD], {}, Turn(True, LONG_AGO), id="an old run that was never synced"),
        pytest.param(
            [OLD, LIVE], {"sync": began(hours=1)}, Turn(False, before(hours=1)), id="one live cell"
        ),
    ],
)
def test_turn_of_a_sync(names: list[str], facts: dict[str, Any], expected: Turn) -> None:
    """A sync waits since the last one; a run with a live cell comes before all old runs."""
    snapshot = run(*map(cell, names), **facts)
    assert turn_of(snapshot, Action(SYNC, snapshot.run, ""), NOW) == expected


def growing(name: str) -> Cell:
    return cell(name, arriving=IngestState(1))


def serve(snapshots: dict[str, Snapshot], rounds: int) -> Counter[str]:
    """Rounds that one worker gives to each cell while every cell always has new files.

    All runs are looked at in the order of their names, each time that the worker is free.
    """
    line, served = WaitingLine(), Counter[str]()
    for number in range(rounds):
        now = NOW + timedelta(seconds=number // 4)  # a record has whole seconds
        free = True
        looks = sorted(snapshots)
        while looks:
            snapshot = snapshots[looks.pop(0)]
            actions = in_turn(
                snapshot,
                [Action(INGEST, snapshot.run, "", each.id) for each in snapshot.cells],
                now,
            )
            started = False
            for action in actions:
                turn = turn_of(snapshot, action, now)
                workers = workers_for(action)
                ahead = line.before(snapshot.path, turn, workers)
                if not free or ahead:
                    line.wait(snapshot.path, turn, workers, anew=started)
                    if free and ahead:
                        looks.insert(0, ahead.name)
                    break
                free, started = False, True
                served[f"{snapshot.run} {action.cell}"] += 1
                last = attempt("done", owner=Owner("token", time=now.isoformat()))
                cells = tuple(
                    replace(each, arriving=IngestState(1, last_attempt=last))
                    if each.id == action.cell
                    else each
                    for each in snapshot.cells
                )
                snapshots[snapshot.run] = replace(snapshot, cells=cells)
    return served


@pytest.mark.parametrize(
    "sizes",
    [(24,), (12, 12), (22, 1, 1), (1,) * 24],
    ids=["one run", "two runs", "a large and two small runs", "24 runs"],
)
def test_no_cell_is_left_behind(sizes: tuple[int, ...]) -> None:
    """Too much work for one worker: at any time, two cells differ by two rounds at most."""
    for rounds in (24, 50, 97, 240):
        snapshots = {
            f"run{number:02}": run(
                *(growing(f"cell{each:02}") for each in range(size)), name=f"run{number:02}"
            )
            for number, size in enumerate(sizes)
        }
        served = serve(snapshots, rounds)
        assert served.total() == rounds
        assert len(served) == sum(sizes)
        assert max(served.values()) - min(served.values()) <= 2


def test_a_run_that_comes_again_does_not_overtake() -> None:
    """Among works of the same turn, a run whose work was started queues up behind the others."""
    line, turn = WaitingLine(), Turn(False, LONG_AGO)
    first, last = Path("/landing/a"), Path("/landing/z")
    assert line.before(first, turn, "report") is None
    line.wait(last, turn, "report")
    line.wait(first, turn, "report", anew=True)
    assert line.first("report") == last
    assert line.before(first, turn, "report") == last
    assert line.leave(last) == ["report"]
    assert line.before(first, turn, "report") is None
    assert line.first_runs() == [first]


def test_lines_are_separate() -> None:
    """Work for other workers, or from another upstream, does not wait behind a run."""
    line, turn = WaitingLine(), Turn(False, LONG_AGO)
    there = Action(SYNC, run().run, "", upstream="host:/data")
    line.wait(Path("/landing/a"), turn, workers_for(there))
    for other in (replace(there, upstream="other:/data"), Action(BACKUP, run().run, "")):
        assert line.before(Path("/landing/z"), turn, workers_for(other)) is None
    assert line.before(Path("/landing/z"), turn, workers_for(there)) == Path("/landing/a")
