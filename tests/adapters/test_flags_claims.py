"""Claim a cell, work under the claim and release it, seen from one side at a time."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from open_runs import pipeline_at

from hesiod_watch.core.errors import FlagExists, FlagUnknown, TemporaryError
from hesiod_watch.core.ownership import Claim, Liveness, Owner
from hesiod_watch.host import process
from hesiod_watch.runs import flags
from hesiod_watch.runs.flags import flag_files

STEM = "20190710_1723_2-A5-D5_PAD38578_c6ded78b"
ME = process.this_owner("process", "local")
WITHDRAWN = "a person has withdrawn this attempt's claim"


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    path = tmp_path / "pipeline"
    path.mkdir()
    return path


@pytest.fixture(scope="module")
def dead() -> Owner:
    """Owner of a process of this host that has ended."""
    code = "import dataclasses as d, json; from hesiod_watch.host.process import *; "
    code += "print(json.dumps(d.asdict(this_owner('process', 'local'))))"
    root = Path(process.__file__).parents[2]
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root
    )
    owner = flag_files.parse_owner(shown.stdout)
    assert owner
    return owner


ELSEWHERE = replace(ME, host="another", boot_id="another", machine_id="another")


def claims(pipeline: Path) -> tuple[Claim, ...]:
    return flags.read_flags(pipeline_at(pipeline)).cell(STEM, process.judge_here).claims


def only(pipeline: Path) -> Claim:
    [claim] = claims(pipeline)
    return claim


def names(pipeline: Path) -> set[str]:
    return {name.removeprefix(f"{STEM}.") for name in os.listdir(pipeline)}


def test_claim_and_work(pipeline: Path) -> None:
    """After a claim and the worker's record a living worker holds the cell."""
    flags.claim_cell(pipeline_at(pipeline), STEM, ME, judge=process.judge_here)
    assert flags.reason_to_stop(pipeline_at(pipeline), STEM, ME) == WITHDRAWN
    flags.record_worker(pipeline_at(pipeline), STEM, ME)
    assert flags.reason_to_stop(pipeline_at(pipeline), STEM, ME) == ""
    assert only(pipeline).liveness is Liveness.ALIVE
    assert names(pipeline) == {"started", "started.worker"}


def test_second_claim(pipeline: Path) -> None:
    """The same epoch cannot be claimed twice, and the loser leaves no flag."""
    flags.claim_cell(pipeline_at(pipeline), STEM, ME, judge=process.judge_here)
    with pytest.raises(FlagExists, match="already there"):
        flags.claim_cell(
            pipeline_at(pipeline),
            STEM,
            process.this_owner("process", "local"),
            judge=process.judge_here,
        )
    assert names(pipeline) == {"started"}


@pytest.mark.parametrize(
    "flag", ["aborted", "failed", "stripped", f"{STEM}.done", f"{STEM}.failed", f"{STEM}.aborted"]
)
def test_cells_that_are_not_claimed(flag: str, pipeline: Path) -> None:
    """A cell that is finished, failed or stopped by a person is neither claimed nor processed."""
    flags.claim_cell(pipeline_at(pipeline), STEM, ME, judge=process.judge_here)
    (pipeline / flag).touch()
    with pytest.raises(FlagExists, match="not to be processed"):
        flags.record_worker(pipeline_at(pipeline), STEM, ME)
    with pytest.raises(FlagExists, match="not to be processed"):
        flags.claim_cell(
            pipeline_at(pipeline), STEM, replace(ME, epoch=2), judge=process.judge_here
        )
    assert not names(pipeline) & {"started.worker", "started.2"}


def test_flags_of_others_do_not_matter(pipeline: Path) -> None:
    """Flags of another cell, and of a sync, do not prevent a claim."""
    for name in (
        "other.failed",
        "other.done",
        "sync.started",
        "sync.failed",
        f"{STEM}.backup.failed",
    ):
        (pipeline / name).touch()
    flags.claim_cell(pipeline_at(pipeline), STEM, ME, judge=process.judge_here)
    flags.record_worker(pipeline_at(pipeline), STEM, ME)


def before_the_listing(
    number: int, act: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Call `act` just before the n-th listing that follows."""
    real: Callable[..., Any] = os.scandir
    left = [number]

    def scandir(*arguments: Any) -> Any:
        left[0] -= 1
        if left[0] == 0:
            act()
        return real(*arguments)

    monkeypatch.setattr(os, "scandir", scandir)


@pytest.mark.parametrize(
    "flag", ["aborted", f"{STEM}.done", f"{STEM}.aborted", f"{STEM}.started.2"]
)
def test_something_appears_while_claiming(
    flag: str, pipeline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flag that appears before the claim is made makes the decider release it."""
    before_the_listing(2, (pipeline / flag).touch, monkeypatch)
    with pytest.raises(FlagExists):
        flags.claim_cell(pipeline_at(pipeline), STEM, ME, judge=process.judge_here)
    assert {"started", "started.yielded"} <= names(pipeline)


@pytest.mark.parametrize(
    "flag", ["aborted", f"{STEM}.done", f"{STEM}.aborted", f"{STEM}.started.2"]
)
def test_something_appears_while_beginning(
    flag: str, pipeline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flag that appears before the worker has recorded itself makes it release the claim."""
    flags.claim_cell(pipeline_at(pipeline), STEM, ME, judge=process.judge_here)
    before_the_listing(2, (pipeline / flag).touch, monkeypatch)
    with pytest.raises(FlagExists):
        flags.record_worker(pipeline_at(pipeline), STEM, ME)
    assert {"started", "started.worker", "started.yielded"} <= names(pipeline)


def test_take_over_from_the_dead(pipeline: Path, dead: Owner) -> None:
    """The next epoch can be claimed when decider and worker are dead.

    The late worker of the old epoch finds it taken.
    """
    flags.claim_cell(pipeline_at(pipeline), STEM, dead, judge=process.judge_here)
    flags.claim_cell(pipeline_at(pipeline), STEM, replace(ME, epoch=2), judge=process.judge_here)
    with pytest.raises(FlagExists, match="attempt 2 has been claimed"):
        flags.record_worker(pipeline_at(pipeline), STEM, dead)
    flags.record_worker(pipeline_at(pipeline), STEM, replace(ME, epoch=2))
    assert [claim.liveness for claim in claims(pipeline)] == [Liveness.DEAD, Liveness.ALIVE]


@pytest.mark.parametrize(
    "worker", [ME, ELSEWHERE, None], ids=["alive", "on another host", "unknown"]
)
def test_no_take_over_beside_a_worker(worker: Owner | None, pipeline: Path, dead: Owner) -> None:
    """A worker that is not proven dead keeps its claim, even if its decider is dead.

    It is alive, on another host, or unknown.
    """
    flags.claim_cell(pipeline_at(pipeline), STEM, dead, judge=process.judge_here)
    if worker:
        flags.create(pipeline_at(pipeline), flags.worker(STEM), worker)
    else:
        (pipeline / flags.worker(STEM)).touch()
    with pytest.raises(FlagExists, match="attempt 1 has a worker"):
        flags.claim_cell(
            pipeline_at(pipeline), STEM, replace(ME, epoch=2), judge=process.judge_here
        )
    assert names(pipeline) == {"started", "started.worker"}


def test_worker_appears_while_taking_over(
    pipeline: Path, dead: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A decider that finds the earlier worker after its own claim releases the claim.

    The earlier worker's claim then counts again.
    """
    worker = replace(ME, token="worker")
    flags.claim_cell(pipeline_at(pipeline), STEM, dead, judge=process.judge_here)
    before_the_listing(
        2, lambda: flags.create(pipeline_at(pipeline), flags.worker(STEM), worker), monkeypatch
    )
    with pytest.raises(FlagExists, match="attempt 1 has a worker"):
        flags.claim_cell(
            pipeline_at(pipeline), STEM, replace(ME, epoch=2), judge=process.judge_here
        )
    cell = flags.read_flags(pipeline_at(pipeline)).cell(STEM, process.judge_here)
    assert [claim.yielded for claim in cell.claims] == [False, True]
    assert cell.claim
    assert cell.claim.liveness is Liveness.ALIVE
    assert flags.reason_to_stop(pipeline_at(pipeline), STEM, worker) == ""


def test_another_judge(pipeline: Path) -> None:
    """A caller that can ask elsewhere, for example Slurm, passes its own judge."""
    flags.claim_cell(pipeline_at(pipeline), STEM, ELSEWHERE, judge=process.judge_here)
    flags.record_worker(pipeline_at(pipeline), STEM, ELSEWHERE)
    flags.claim_cell(
        pipeline_at(pipeline),
        STEM,
        replace(ME, epoch=2),
        judge=lambda owner: (Liveness.DEAD, "Slurm says so"),
    )
    assert flags.read_flags(pipeline_at(pipeline)).epoch_numbers(STEM) == [1, 2]


def test_started_twice(pipeline: Path) -> None:
    """A job that is started twice works once, also if both processes have the same token."""
    flags.claim_cell(pipeline_at(pipeline), STEM, ME, judge=process.judge_here)
    flags.record_worker(pipeline_at(pipeline), STEM, ME)
    with pytest.raises(FlagExists):
        flags.record_worker(pipeline_at(pipeline), STEM, replace(ME, pid=ME.pid + 1))
    assert names(pipeline) == {"started", "started.worker"}


def test_a_leftover_record(pipeline: Path, dead: Owner) -> None:
    """An epoch with a dead worker's record is not claimed, although its claim is missing."""
    flags.create(pipeline_at(pipeline), flags.worker(STEM), dead)
    with pytest.raises(FlagExists, match="attempt 1 has a worker"):
        flags.claim_cell(pipeline_at(pipeline), STEM, ME, judge=process.judge_here)
    flags.claim_cell(pipeline_at(pipeline), STEM, replace(ME, epoch=2), judge=process.judge_here)


def test_no_worker_beside_a_later_released_claim(pipeline: Path, dead: Owner) -> None:
    """A worker does not begin beside a later claim, not even beside a released one.

    The later claim's own worker may be starting.
    """
    flags.claim_cell(pipeline_at(pipeline), STEM, ME, judge=process.judge_here)
    later = replace(dead, epoch=2)
    flags.create(pipeline_at(pipeline), flags.started(STEM, 2), later)
    flags.release_claim(pipeline_at(pipeline), STEM, later)
    with pytest.raises(FlagExists, match="attempt 2 has been claimed"):
        flags.record_worker(pipeline_at(pipeline), STEM, ME)


def test_withdrawn(pipeline: Path) -> None:
    """A worker does not begin after a person has archived its claim."""
    with pytest.raises(FlagExists, match="withdrawn"):
        flags.record_worker(pipeline_at(pipeline), STEM, ME)
    assert names(pipeline) == set()


def test_released_claims(pipeline: Path) -> None:
    """A decider whose worker never began, or a worker that stops, frees the cell.

    It is safe to repeat.
    """
    flags.claim_cell(pipeline_at(pipeline), STEM, ME, judge=process.judge_here)
    flags.release_claim(pipeline_at(pipeline), STEM, ME, why="its worker could not be started")
    flags.release_claim(pipeline_at(pipeline), STEM, ME)
    assert flags.read_flags(pipeline_at(pipeline)).cell(STEM, process.judge_here).claim is None
    assert flag_files.parse_owner((pipeline / flags.yielded(STEM)).read_text()) == replace(
        ME, reason="its worker could not be started"
    )
    with pytest.raises(FlagExists, match="given up"):
        flags.record_worker(pipeline_at(pipeline), STEM, ME)
    later = replace(ME, epoch=2)
    flags.claim_cell(pipeline_at(pipeline), STEM, later, judge=process.judge_here)
    flags.record_worker(pipeline_at(pipeline), STEM, later)
    flags.release_claim(pipeline_at(pipeline), STEM, later)
    assert flags.read_flags(pipeline_at(pipeline)).cell(STEM, process.judge_here).claim is None
    flags.claim_cell(pipeline_at(pipeline), STEM, replace(ME, epoch=3), judge=process.judge_here)


def test_overtaken(pipeline: Path) -> None:
    """A later epoch with a worker overtakes a worker; a later claim alone does not."""
    flags.claim_cell(pipeline_at(pipeline), STEM, ME, judge=process.judge_here)
    flags.record_worker(pipeline_at(pipeline), STEM, ME)
    flags.create(pipeline_at(pipeline), flags.started(STEM, 2), ME)
    assert flags.reason_to_stop(pipeline_at(pipeline), STEM, ME) == ""
    flags.create(pipeline_at(pipeline), flags.worker(STEM, 2), ELSEWHERE)
    assert (
        flags.reason_to_stop(pipeline_at(pipeline), STEM, ME)
        == "attempt 2 has taken this cell over"
    )
    assert flags.reason_to_stop(pipeline_at(pipeline), STEM, replace(ELSEWHERE, epoch=2)) == ""


def test_worker_record_is_ours(pipeline: Path) -> None:
    """The record is ours only with our token, process and host, and only while it exists."""
    flags.claim_cell(pipeline_at(pipeline), STEM, ME, judge=process.judge_here)
    flags.record_worker(pipeline_at(pipeline), STEM, ME)
    assert flags.reason_to_stop(pipeline_at(pipeline), STEM, ME) == ""
    for other in (
        replace(ME, token="x"),
        replace(ME, pid=1),
        replace(ME, host="x"),
        replace(ME, epoch=2),
    ):
        assert flags.reason_to_stop(pipeline_at(pipeline), STEM, other) == WITHDRAWN
    flags.archive_flags(pipeline_at(pipeline), STEM, why="test")
    assert flags.reason_to_stop(pipeline_at(pipeline), STEM, ME) == WITHDRAWN


@pytest.mark.parametrize(
    ("name", "stopped"),
    [
        pytest.param("aborted", True, id="run aborted"),
        pytest.param("stripped", True, id="run stripped"),
        pytest.param(f"{STEM}.aborted", True, id="cell aborted"),
        pytest.param("failed", False, id="run failed"),
        pytest.param("other.aborted", False, id="another cell aborted"),
    ],
)
def test_stopped(name: str, stopped: bool, pipeline: Path) -> None:
    """A person stops a worker by aborting its cell or run, or by stripping the run."""
    flags.claim_cell(pipeline_at(pipeline), STEM, ME, judge=process.judge_here)
    flags.record_worker(pipeline_at(pipeline), STEM, ME)
    (pipeline / name).touch()
    why = f"a person has flagged it {name}" if stopped else ""
    assert flags.reason_to_stop(pipeline_at(pipeline), STEM, ME) == why


def test_unknown_claim_is_given_up(pipeline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A claim with an unknown outcome is released, so that it blocks no process."""
    real: Callable[..., Any] = os.link
    delayed = pipeline.parent / "delayed"
    targets: list[str] = []

    def link(source: str, target: str, **options: Any) -> None:
        targets.append(target)
        if len(targets) > 1:
            real(source, target, **options)
        else:
            real(pipeline / source, delayed)
            raise OSError(errno.EIO, "lost")

    monkeypatch.setattr(os, "link", link)
    monkeypatch.setattr(flag_files, "READ_BACK_DELAYS", (0.0, 0.0))
    with pytest.raises(FlagUnknown):
        flags.claim_cell(pipeline_at(pipeline), STEM, ME, judge=process.judge_here)
    delayed.rename(pipeline / flags.started(STEM))  # the claim succeeds late
    claim = only(pipeline)
    assert claim.owner == ME
    assert claim.yielded
    flags.claim_cell(pipeline_at(pipeline), STEM, replace(ME, epoch=2), judge=process.judge_here)


def test_full_disk(pipeline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A claim that was refused leaves no flag."""

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "link", full)
    with pytest.raises(TemporaryError, match="No space"):
        flags.claim_cell(pipeline_at(pipeline), STEM, ME, judge=process.judge_here)
    assert names(pipeline) == set()


def test_stale_listing(pipeline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A listing without our own new claim proves nothing, and the claim is given up."""
    before_the_listing(
        2, lambda: (pipeline / flags.started(STEM)).rename(pipeline.parent / "hidden"), monkeypatch
    )
    with pytest.raises(FlagUnknown, match="listing"):
        flags.claim_cell(pipeline_at(pipeline), STEM, ME, judge=process.judge_here)
    assert names(pipeline) == {"started.yielded"}
