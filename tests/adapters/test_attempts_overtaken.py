"""An attempt that is overtaken while it ends: it ends itself, or nothing, in every order."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from pathlib import Path

import pytest
from disk_calls import Arm, at_disk_calls
from open_runs import pipeline_at

from hesiod_watch.core.errors import FlagExists, FlagUnknown, HesiodError
from hesiod_watch.core.ownership import Liveness, Owner
from hesiod_watch.core.results import WorkRecord
from hesiod_watch.runs import flags

STEM = "20261122_2210_1A_PAW00001_0a1b2c3d"
WORK = flags.verify(STEM)
STARTED, DONE, FAILED = (f"{WORK}.{end}" for end in ("started", "done", "failed"))
FIRST, NEXT = Owner("a" * 32, host="a", boot_id="a"), Owner("b" * 32, host="b", boot_id="b")


def judge(owner: Owner | None) -> tuple[Liveness, str]:
    """Judge of a host that takes the first owner for dead."""
    return (Liveness.DEAD, "gone") if owner == FIRST else (Liveness.ALIVE, "is there")


def begin(pipeline: Path, owner: Owner) -> None:
    flags.begin_attempt(pipeline_at(pipeline), WORK, owner, lock=nullcontext, judge=judge)


def end(pipeline: Path, owner: Owner, outcome: flags.AttemptOutcome) -> bool:
    record = {"by": owner.host, **WorkRecord().record()}
    return flags.end_attempt(pipeline_at(pipeline), WORK, owner, outcome, record)


def under_way(pipeline: Path) -> bool:
    """Whether the second owner's attempt is the one under way."""
    found = flags.read_flags(pipeline_at(pipeline)).attempt(WORK, judge)
    assert found is not None
    return found.owner == NEXT and not found.outcome


def names(pipeline: Path) -> set[str]:
    """Flags, and hidden files, of which none may be left."""
    return set(os.listdir(pipeline))


@pytest.fixture(params=["links", "no links"])
def at_disk_call(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Arm]:
    if request.param == "no links":
        monkeypatch.setattr(os, "link", refuse)
    with at_disk_calls(monkeypatch) as arm:
        yield arm


def refuse(*args: object, **options: object) -> None:
    raise OSError(errno.EPERM, os.strerror(errno.EPERM))


@pytest.mark.parametrize("outcome", ["done", "failed"])
@pytest.mark.parametrize("ends", [False, True], ids=["next under way", "next ended"])
def test_an_overtaken_attempt_ends_no_other(
    tmp_path: Path, at_disk_call: Arm, outcome: flags.AttemptOutcome, ends: bool
) -> None:
    """Wherever the first attempt stops while it ends, the next one stays what it is."""
    for number in range(200):
        pipeline = tmp_path / str(number) / "pipeline"
        pipeline.mkdir(parents=True)
        begin(pipeline, FIRST)
        acted: list[int] = []

        def act(pipeline: Path = pipeline, acted: list[int] = acted) -> None:
            acted.append(1)
            begin(pipeline, NEXT)
            if ends:
                assert end(pipeline, NEXT, "done")

        at_disk_call(number, act)
        end(pipeline, FIRST, outcome)
        at_disk_call(1000, act)
        if not acted:
            break
        if not ends:
            assert under_way(pipeline), f"the next one begins before the call {number}"
            assert names(pipeline) == {STARTED}
            assert end(pipeline, NEXT, "done")
        assert json.loads((pipeline / DONE).read_text())["by"] == "b"
        assert names(pipeline) == {DONE}
    assert number > 5


@pytest.mark.parametrize("outcome", ["done", "failed"])
def test_an_attempt_that_ends_while_the_next_begins(
    tmp_path: Path, at_disk_call: Arm, outcome: flags.AttemptOutcome
) -> None:
    """Wherever the next attempt stops while it begins, it is the one under way in the end."""
    for number in range(200):
        pipeline = tmp_path / str(number) / "pipeline"
        pipeline.mkdir(parents=True)
        begin(pipeline, FIRST)
        acted: list[int] = []

        def act(pipeline: Path = pipeline, acted: list[int] = acted) -> None:
            acted.append(1)
            end(pipeline, FIRST, outcome)

        at_disk_call(number, act)
        with suppress(FlagExists, FlagUnknown):
            begin(pipeline, NEXT)
        at_disk_call(1000, act)
        if not acted:
            break
        if not (pipeline / STARTED).exists():  # refused, and the first one had ended
            begin(pipeline, NEXT)
        assert under_way(pipeline), f"the first one ends before the call {number}"
        assert names(pipeline) == {STARTED}
        assert not end(pipeline, FIRST, outcome)
    assert number > 5


def test_a_power_loss_between_the_two_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An attempt whose `started` is left beside its end has ended, and the next one may begin."""
    pipeline = tmp_path / "pipeline"
    pipeline.mkdir()
    begin(pipeline, FIRST)
    with monkeypatch.context() as patch, suppress(HesiodError):
        real = os.rename

        def rename(source: str, target: str, **options: int) -> None:
            if source == STARTED:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            real(source, target, **options)

        patch.setattr(os, "rename", rename)
        end(pipeline, FIRST, "failed")
    assert names(pipeline) == {STARTED, FAILED}
    found = flags.read_flags(pipeline_at(pipeline)).attempt(WORK, judge)
    assert found is not None
    assert found.outcome == "failed"
    assert found.record["by"] == "a"
    begin(pipeline, NEXT)
    assert under_way(pipeline)
    assert names(pipeline) == {STARTED}
