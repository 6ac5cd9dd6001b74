"""Attempts at repeatable work: one at a time, ended by its owner.

If the owner is proven dead, the next attempt ends it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from hesiod_watch.core.errors import FlagExists
from hesiod_watch.core.ownership import Liveness, Owner
from hesiod_watch.host import process
from hesiod_watch.runs import flags

STEM = "20261122_2210_1A_PAW00001_0a1b2c3d"
STARTED, DONE, FAILED = (f"{STEM}.ingest.{end}" for end in ("started", "done", "failed"))


def names(pipeline: Path) -> set[str]:
    return {name for name in os.listdir(pipeline) if not name.startswith(".")}


def me() -> Owner:
    return process.this_owner("ingest", "test")


def dead() -> Owner:
    """Owner of a process of this host that has ended."""
    done = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True
    )
    return replace(me(), token="dead", pid=int(done.stdout), pid_start=1)


def begin(pipeline: Path, owner: Owner) -> None:
    flags.begin_attempt(pipeline, flags.ingest(STEM), owner, lock=nullcontext)


def test_repeated_attempts_leave_one_flag(tmp_path: Path) -> None:
    """Ten attempts leave one flag, which names the owner of the last."""
    for _ in range(10):
        owner = me()
        begin(tmp_path, owner)
        assert names(tmp_path) >= {STARTED}
        assert flags.end_attempt(tmp_path, flags.ingest(STEM), owner, "done")
    assert names(tmp_path) == {DONE}
    last = flags.read_flags(tmp_path).attempt(flags.ingest(STEM), process.judge_here)
    assert last is not None
    assert last.outcome == "done"
    assert last.owner is not None
    assert last.owner.token == owner.token


def test_the_end_of_an_attempt_has_its_result(tmp_path: Path) -> None:
    """The result is read back beside the owner, whose token it cannot replace."""
    owner = me()
    begin(tmp_path, owner)
    record = {"manifest": "0123abcd", "token": "of another owner"}
    assert flags.end_attempt(tmp_path, flags.ingest(STEM), owner, "done", record)
    assert set(os.listdir(tmp_path)) == {DONE}
    last = flags.read_flags(tmp_path).attempt(flags.ingest(STEM), process.judge_here)
    assert last is not None
    assert last.owner == owner
    assert last.record["manifest"] == "0123abcd"


def test_the_reason_at_the_end_replaces_that_at_the_beginning(tmp_path: Path) -> None:
    """The reason at the end replaces the reason at the beginning; without one that is kept."""
    for record, why in (({"reason": "refused"}, "refused"), ({"files": 0}, "finished for 30 days")):
        owner = replace(me(), reason="finished for 30 days")
        begin(tmp_path, owner)
        assert flags.end_attempt(tmp_path, flags.ingest(STEM), owner, "failed", record)
        last = flags.read_flags(tmp_path).attempt(flags.ingest(STEM), process.judge_here)
        assert last is not None
        assert last.record["reason"] == why
        assert last.owner is not None
        assert last.owner.token == owner.token


def test_only_one_attempt_at_a_time(tmp_path: Path) -> None:
    """While the owner of an attempt lives, or may live, no process begins another."""
    begin(tmp_path, me())
    with pytest.raises(FlagExists, match="under way"):
        begin(tmp_path, me())
    (tmp_path / STARTED).write_text("")
    with pytest.raises(FlagExists, match="under way"):
        begin(tmp_path, me())


def test_the_same_owner_may_begin_again(tmp_path: Path) -> None:
    """An owner that does not know whether its attempt began asks again, and has it."""
    owner = me()
    begin(tmp_path, owner)
    begin(tmp_path, owner)
    assert names(tmp_path) == {STARTED}


def test_the_next_attempt_ends_that_of_a_dead_owner(tmp_path: Path) -> None:
    """Proof of death allows the next attempt, and there is again one flag."""
    begin(tmp_path, dead())
    owner = me()
    begin(tmp_path, owner)
    assert names(tmp_path) == {STARTED}
    under_way = flags.read_flags(tmp_path).attempt(flags.ingest(STEM), process.judge_here)
    assert under_way is not None
    assert (under_way.outcome, under_way.liveness) == ("", Liveness.ALIVE)
    assert flags.end_attempt(tmp_path, flags.ingest(STEM), owner, "failed")
    assert names(tmp_path) == {FAILED}


def test_a_withdrawn_attempt_is_not_ended_by_its_owner(tmp_path: Path) -> None:
    """An owner whose flag a person removed, or another process has now, changes nothing."""
    owner = me()
    begin(tmp_path, owner)
    (tmp_path / STARTED).unlink()
    assert not flags.end_attempt(tmp_path, flags.ingest(STEM), owner, "done")
    begin(tmp_path, me())
    assert not flags.end_attempt(tmp_path, flags.ingest(STEM), owner, "done")
    assert names(tmp_path) == {STARTED}


def test_ending_twice_is_ending_once(tmp_path: Path) -> None:
    """A rename whose response was lost is recognised as done."""
    owner = me()
    begin(tmp_path, owner)
    assert flags.end_attempt(tmp_path, flags.ingest(STEM), owner, "done")
    assert flags.end_attempt(tmp_path, flags.ingest(STEM), owner, "done")


RACER = """
import sys
from functools import partial
from pathlib import Path
from hesiod_watch.core.errors import FlagExists
from hesiod_watch.host import process
from hesiod_watch.host.locks import alone_on_this_host
from hesiod_watch.runs import flags
pipeline, stem = Path(sys.argv[1]), sys.argv[2]
sys.stdin.readline()
try:
    flags.begin_attempt(pipeline, flags.ingest(stem), process.this_owner("ingest", "test"),
                        lock=partial(alone_on_this_host, pipeline, stem))
    print("won", flush=True)
except FlagExists:
    print("lost", flush=True)
sys.stdin.readline()
"""


@pytest.mark.slow
def test_one_of_many_processes_replaces_a_dead_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sixteen processes find the same dead attempt at once: one begins the next, and keeps it."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    pipeline = tmp_path / "pipeline"
    pipeline.mkdir()
    for _ in range(5):
        begin(pipeline, dead())
        racers = [
            subprocess.Popen(
                [sys.executable, "-c", RACER, pipeline, STEM],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(16)
        ]
        for racer in racers:
            assert racer.stdin is not None
            racer.stdin.write("go\n")
            racer.stdin.flush()
        answers = [racer.stdout.readline().strip() for racer in racers if racer.stdout]
        for racer in racers:
            racer.communicate("end\n")
        assert sorted(answers) == ["lost"] * 15 + ["won"]
        (pipeline / STARTED).unlink()


def test_one_at_a_time_on_this_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second process waits until the first has left, or is killed."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    program = (
        "import sys; from pathlib import Path\n"
        "from hesiod_watch.host.locks import alone_on_this_host\n"
        "with alone_on_this_host(Path('/landing'), 'cell'):\n"
        "    print('inside', flush=True); sys.stdin.readline()"
    )
    command = [sys.executable, "-c", program]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "inside\n"
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as second:
            with pytest.raises(subprocess.TimeoutExpired):
                second.wait(0.3)
            first.kill()
            assert second.stdout is not None
            assert second.stdout.readline() == "inside\n"
            second.communicate("end\n")
