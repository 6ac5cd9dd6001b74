"""Attempts at repeatable work: what the flag says at the beginning and after each kind of end."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
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
from hesiod_watch.core.results import MarkRecord, WorkRecord
from hesiod_watch.host import process
from hesiod_watch.runs import flags
from hesiod_watch.runs.flags import flag_files

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


def test_the_first_of_failures_in_a_row_is_known(job: Job) -> None:
    """Each failure names the first one since a success, also while it is tried again.

    An attempt that was killed meanwhile forgets nothing. A time in the future is not believed.
    """
    began = datetime(2026, 11, 23, 12, tzinfo=UTC)

    def fail(hours: int) -> object:
        """Fail at this time; what the flags said during the attempt and after it."""
        at = began + timedelta(hours=hours)
        own = replace(job, owner=process.this_owner("deletable", "inline"))
        with (
            suppress(TemporaryError),
            attempt_at(own, WORK, WorkRecord, clock=lambda: at),
        ):
            before = flag(job, "started").get("failing_since")
            raise TemporaryError("no network")
        return before, flag(job, "failed")["failing_since"]

    first, later = "2026-11-23T12:00:00Z", "2026-11-23T11:00:00Z"
    assert fail(0) == (None, first)
    assert fail(2) == (first, first)
    dead = replace(job.owner, token="dead", pid=1, pid_start=1, boot_id="earlier")
    (job.pipeline / f"{WORK}.failed").rename(job.pipeline / f"{WORK}.started")
    record = flag(job, "started") | json.loads(flag_files.line(dead))
    (job.pipeline / f"{WORK}.started").write_text(json.dumps(record))
    job = replace(job, config=replace(job.config, judge=lambda owner: (Liveness.DEAD, "proof")))
    assert fail(3) == (first, first)
    assert fail(-1) == (first, later)
    with attempt_at(job, WORK, WorkRecord):
        pass
    assert "failing_since" not in flag(job, "done")
    assert fail(5) == (None, "2026-11-23T17:00:00Z")


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
