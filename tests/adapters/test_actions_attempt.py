"""Attempts at repeatable work: what the flag says at the beginning and after each kind of end."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from machine import needs_machine_id

from hesiod_watch.actions import Job
from hesiod_watch.actions.attempt import attempt_at
from hesiod_watch.config import Config
from hesiod_watch.core.errors import FlagExists, PermanentError, TemporaryError
from hesiod_watch.core.model import CellId
from hesiod_watch.core.ownership import Liveness
from hesiod_watch.core.results import MarkRecord
from hesiod_watch.host import process
from hesiod_watch.runs import flags

CELL = CellId("lib", "20190710_1723_2-A5-D5_PAD38578_c6ded78b")
WORK = flags.deletable(CELL.stem)


@pytest.fixture
def job(tmp_path: Path) -> Job:
    run_dir = tmp_path / "landing" / "20190710_run"
    (run_dir / "pipeline").mkdir(parents=True)
    owner = process.this_owner("deletable", "inline", reason="still on its upstream")
    return Job("deletable", run_dir, Config(run_dir.parent, tmp_path / "output"), owner, CELL)


def maybe_marked(before: MarkRecord) -> MarkRecord:
    return MarkRecord(marked=True)


def flag(job: Job, end: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((job.pipeline / f"{WORK}.{end}").read_text())
    return found


@pytest.mark.parametrize(
    ("error", "end", "reason", "needs_person"),
    [
        pytest.param(None, "done", "still on its upstream", None, id="no error"),
        pytest.param(TemporaryError("no network"), "failed", "no network", False, id="temporary"),
        pytest.param(PermanentError("no right"), "failed", "no right", True, id="permanent"),
        pytest.param(ValueError("x"), "failed", "it ended early", None, id="a bug"),
    ],
)
def test_ends(
    job: Job, error: Exception | None, end: str, reason: str, needs_person: bool | None
) -> None:
    """Each end is recorded with its reason, time and cell, and with the last result."""
    expected: AbstractContextManager[object] = (
        pytest.raises(type(error)) if error else nullcontext()
    )
    with expected, attempt_at(job, WORK, MarkRecord, maybe_marked) as attempt:
        assert flag(job, "started")["marked"] is True
        attempt.result = MarkRecord(marked=False)
        if error:
            raise error
    record = flag(job, end)
    assert (record["reason"], record.get("needs_person")) == (reason, needs_person)
    assert (record["marked"], record["cell"]) == (False, str(CELL))
    assert record["ended"].endswith("Z")
    assert len(list(job.pipeline.path.iterdir())) == 1


def test_one_at_a_time(job: Job) -> None:
    """A second attempt is refused while the first is under way, and its body is not entered."""
    with attempt_at(job, WORK, MarkRecord, maybe_marked):
        other = replace(job, owner=process.this_owner("deletable", "inline"))
        second = attempt_at(other, WORK, MarkRecord, maybe_marked)
        with pytest.raises(FlagExists, match="under way"), second:
            pytest.fail("entered")
        assert flag(job, "started")["token"] == job.owner.token


@needs_machine_id
def test_the_judge_of_the_configuration_decides(job: Job) -> None:
    """An attempt is taken over if the configured judge has proof of death, and only then."""
    other = replace(job.owner, token="other", host="elsewhere", boot_id="other", machine_id="other")
    flags.create(job.pipeline, f"{WORK}.started", other)
    with pytest.raises(FlagExists, match="another host"), attempt_at(job, WORK, MarkRecord):
        pass
    elsewhere = replace(job.config, judge=lambda owner: (Liveness.DEAD, "its host has proof"))
    with attempt_at(replace(job, config=elsewhere), WORK, MarkRecord):
        assert flag(job, "started")["token"] == job.owner.token
