"""Failed actions of a poll that has ended: listed unless a flag or another entry says more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from blocked_cells import NOW, POLICY, ago, ended, failing
from snapshots import attempt, cell, flag, run

from hesiod_watch.core.circumstances import Circumstances, DeniedPath, RefusedAction
from hesiod_watch.core.model import CellId, RunName
from hesiod_watch.core.ownership import Liveness
from hesiod_watch.rules.run_attention import attention_of_run

DONE = cell(done=flag())
OTHER = CellId("lib", "other")


def refused(action: str, cell: CellId | None = None, **facts: Any) -> RefusedAction:
    usual: dict[str, Any] = {"since": ago(60), "over": True}
    return RefusedAction(action, RunName("run"), cell, "no right", **(usual | facts))


@pytest.mark.parametrize(
    ("snapshot", "action", "listed"),
    [
        pytest.param(run(DONE), refused("report"), True, id="it makes no flag"),
        pytest.param(run(DONE), refused("sync"), True, id="no flag was made"),
        pytest.param(run(DONE, sync=failing(0)), refused("sync"), False, id="its flag"),
        pytest.param(
            run(DONE, sync=failing(0)), refused("sync", over=False), True, id="a process that lives"
        ),
        pytest.param(
            run(DONE, sync=ended("failed", 100)), refused("sync"), False, id="its flag, a bit older"
        ),
        pytest.param(
            run(DONE, sync=ended("failed", 900)), refused("sync"), True, id="an earlier flag"
        ),
        pytest.param(
            run(DONE, sync=ended("done", 5)), refused("sync"), False, id="done since by a person"
        ),
        pytest.param(
            run(DONE, sync=attempt("", liveness=Liveness.ALIVE)),
            refused("sync"),
            False,
            id="tried again now",
        ),
        pytest.param(
            run(DONE, sync=failing(0)), refused("backup"), True, id="the flag of another action"
        ),
        pytest.param(
            run(cell(done=flag(), verification=failing(0))),
            refused("verify", DONE.id),
            False,
            id="the flag of a cell",
        ),
        pytest.param(run(DONE), refused("verify", DONE.id), True, id="no flag of a cell"),
        pytest.param(run(DONE), refused("verify", OTHER), False, id="a cell that is gone"),
        pytest.param(run(DONE), refused("no-such-action"), False, id="of another version"),
    ],
)
def test_flags_say_more(snapshot: Any, action: RefusedAction, listed: bool) -> None:
    """A failure is listed if the action has left no flag since."""
    assert kinds(snapshot, refused=(action,)) == ["action-refused"] * listed


@pytest.mark.parametrize(
    ("denied", "listed"), [(None, False), (DONE.id, False), (OTHER, True)], ids=str
)
def test_a_missing_right_says_more(denied: CellId | None, listed: bool) -> None:
    """A failure is not listed beside the right that is missing still, in the run or the cell."""
    path = DeniedPath(Path("/a"), "no right", denied)
    found = kinds(run(DONE), refused=(refused("process", DONE.id),), denied=(path,))
    assert found == ["not-permitted", *["action-refused"] * listed]


def kinds(snapshot: Any, **around: Any) -> list[str]:
    found = attention_of_run(snapshot, Circumstances(**around), POLICY, NOW)
    return [each.kind for each in found]
