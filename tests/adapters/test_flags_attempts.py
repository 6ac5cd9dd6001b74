"""Attempts at repeatable work: one at a time, ended by its owner.

If the owner is proven dead, the next attempt ends it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from disk_calls import DISK_CALLS, Arm, at_disk_calls
from open_runs import pipeline_at

from hesiod_watch.core.errors import FlagExists
from hesiod_watch.core.ownership import Liveness, Owner
from hesiod_watch.host import process
from hesiod_watch.rules.liveness import Judge
from hesiod_watch.runs import flags

STEM = "20261122_2210_1A_PAW00001_0a1b2c3d"
STARTED, DONE, FAILED = (f"{STEM}.ingest.{end}" for end in ("started", "done", "failed"))


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    path = tmp_path / "pipeline"
    path.mkdir()
    return path


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
    flags.begin_attempt(
        pipeline_at(pipeline), flags.ingest(STEM), owner, lock=nullcontext, judge=process.judge_here
    )


def test_repeated_attempts_leave_one_flag(pipeline: Path) -> None:
    """Ten attempts leave one flag, which names the owner of the last."""
    for _ in range(10):
        owner = me()
        begin(pipeline, owner)
        assert names(pipeline) >= {STARTED}
        assert flags.end_attempt(pipeline_at(pipeline), flags.ingest(STEM), owner, "done")
    assert names(pipeline) == {DONE}
    last = flags.read_flags(pipeline_at(pipeline)).attempt(flags.ingest(STEM), process.judge_here)
    assert last is not None
    assert last.outcome == "done"
    assert last.owner is not None
    assert last.owner.token == owner.token


def test_the_end_of_an_attempt_has_its_result(pipeline: Path) -> None:
    """The result is read back beside the owner, whose token it cannot replace."""
    owner = me()
    begin(pipeline, owner)
    record = {"manifest": "0123abcd", "token": "of another owner"}
    assert flags.end_attempt(pipeline_at(pipeline), flags.ingest(STEM), owner, "done", record)
    assert set(os.listdir(pipeline)) == {DONE}
    last = flags.read_flags(pipeline_at(pipeline)).attempt(flags.ingest(STEM), process.judge_here)
    assert last is not None
    assert last.owner == owner
    assert last.record["manifest"] == "0123abcd"


def test_the_reason_at_the_end_replaces_that_at_the_beginning(pipeline: Path) -> None:
    """The reason at the end replaces the reason at the beginning; without one that is kept."""
    for record, why in (({"reason": "refused"}, "refused"), ({"files": 0}, "finished for 30 days")):
        owner = replace(me(), reason="finished for 30 days")
        begin(pipeline, owner)
        assert flags.end_attempt(pipeline_at(pipeline), flags.ingest(STEM), owner, "failed", record)
        last = flags.read_flags(pipeline_at(pipeline)).attempt(
            flags.ingest(STEM), process.judge_here
        )
        assert last is not None
        assert last.record["reason"] == why
        assert last.owner is not None
        assert last.owner.token == owner.token


def test_only_one_attempt_at_a_time(pipeline: Path) -> None:
    """While the owner of an attempt lives, or may live, no process begins another."""
    begin(pipeline, me())
    with pytest.raises(FlagExists, match="under way"):
        begin(pipeline, me())
    (pipeline / STARTED).write_text("")
    with pytest.raises(FlagExists, match="under way"):
        begin(pipeline, me())


def test_the_same_owner_may_begin_again(pipeline: Path) -> None:
    """An owner that does not know whether its attempt began asks again, and has it."""
    owner = me()
    begin(pipeline, owner)
    begin(pipeline, owner)
    assert names(pipeline) == {STARTED}


def test_the_next_attempt_ends_that_of_a_dead_owner(pipeline: Path) -> None:
    """Proof of death allows the next attempt, and there is again one flag."""
    begin(pipeline, dead())
    owner = me()
    begin(pipeline, owner)
    assert names(pipeline) == {STARTED}
    under_way = flags.read_flags(pipeline_at(pipeline)).attempt(
        flags.ingest(STEM), process.judge_here
    )
    assert under_way is not None
    assert (under_way.outcome, under_way.liveness) == ("", Liveness.ALIVE)
    assert flags.end_attempt(pipeline_at(pipeline), flags.ingest(STEM), owner, "failed")
    assert names(pipeline) == {FAILED}


def test_a_withdrawn_attempt_is_not_ended_by_its_owner(pipeline: Path) -> None:
    """An owner whose flag a person removed, or another process has now, changes nothing."""
    owner = me()
    begin(pipeline, owner)
    (pipeline / STARTED).unlink()
    assert not flags.end_attempt(pipeline_at(pipeline), flags.ingest(STEM), owner, "done")
    begin(pipeline, me())
    assert not flags.end_attempt(pipeline_at(pipeline), flags.ingest(STEM), owner, "done")
    assert names(pipeline) == {STARTED}


def test_ending_twice_is_ending_once(pipeline: Path) -> None:
    """A rename whose response was lost is recognised as done."""
    owner = me()
    begin(pipeline, owner)
    assert flags.end_attempt(pipeline_at(pipeline), flags.ingest(STEM), owner, "done")
    assert flags.end_attempt(pipeline_at(pipeline), flags.ingest(STEM), owner, "done")


A, B = Owner("a" * 32, host="a", boot_id="a"), Owner("b" * 32, host="b", boot_id="b")
DEAD = Owner("d" * 32, host="c", boot_id="c")


def other_host(*dead: Owner) -> Judge:
    """Judge of a host that has proof of these deaths; all other owners live."""

    def judge(owner: Owner | None) -> tuple[Liveness, str]:
        return (Liveness.DEAD, "gone") if owner in dead else (Liveness.ALIVE, "is there")

    return judge


def begins(pipeline: Path, owner: Owner, *dead: Owner) -> bool:
    """Whether the process of a host, which shares no lock with others, begins the next attempt."""
    with suppress(FlagExists):
        flags.begin_attempt(
            pipeline_at(pipeline),
            flags.ingest(STEM),
            owner,
            lock=nullcontext,
            judge=other_host(DEAD, *dead),
        )
        return True
    return False


@pytest.fixture
def at_disk_call(monkeypatch: pytest.MonkeyPatch) -> Iterator[Arm]:
    with at_disk_calls(monkeypatch) as arm:
        yield arm


def test_two_hosts_with_proof_of_one_death(tmp_path: Path, at_disk_call: Arm) -> None:
    """Whenever host A takes the attempt over while host B does, one of them has it afterwards."""
    for number in range(200):
        pipeline = tmp_path / str(number) / "pipeline"
        pipeline.mkdir(parents=True)
        flags.begin_attempt(
            pipeline_at(pipeline), flags.ingest(STEM), DEAD, lock=nullcontext, judge=other_host()
        )
        answers: list[bool] = []

        def act(pipeline: Path = pipeline, answers: list[bool] = answers) -> None:
            answers.append(begins(pipeline, A))

        at_disk_call(number, act)
        b_has_it = begins(pipeline, B)
        if not answers:
            break  # B makes fewer calls
        won = [A] * answers[0] + [B] * b_has_it
        under_way = flags.read_flags(pipeline_at(pipeline)).attempt(
            flags.ingest(STEM), other_host()
        )
        assert under_way is not None
        assert [under_way.owner] == won, f"A acts before the call {number} of B"
        assert names(pipeline) == {STARTED}
    assert number > 10


def test_two_hosts_and_a_living_owner(pipeline: Path) -> None:
    """A process that judged the attempt before does not rename the one that began meanwhile."""
    flags.begin_attempt(
        pipeline_at(pipeline), flags.ingest(STEM), DEAD, lock=nullcontext, judge=other_host()
    )

    def slow(owner: Owner | None) -> tuple[Liveness, str]:
        if owner == DEAD:
            assert begins(pipeline, A)
        return other_host(DEAD)(owner)

    with pytest.raises(FlagExists, match="another process has begun the next attempt"):
        flags.begin_attempt(
            pipeline_at(pipeline), flags.ingest(STEM), B, lock=nullcontext, judge=slow
        )
    under_way = flags.read_flags(pipeline_at(pipeline)).attempt(flags.ingest(STEM), other_host())
    assert under_way is not None
    assert under_way.owner == A
    assert names(pipeline) == {STARTED}


def killed_at(number: int, pipeline: Path, owner: Owner, *dead: Owner, after: bool) -> bool:
    """Begin an attempt in a process that is killed at the disk call of a number, if it has one."""
    child = os.fork()
    if child == 0:
        left = number

        def wrap(real: Callable[..., object]) -> Callable[..., object]:
            def call(*args: object, **options: object) -> object:
                nonlocal left
                left -= 1
                if left == -1 and not after:
                    os.kill(os.getpid(), signal.SIGKILL)
                last = left == -1
                try:
                    return real(*args, **options)
                finally:
                    if last:
                        os.kill(os.getpid(), signal.SIGKILL)

            return call

        for name in DISK_CALLS:
            setattr(os, name, wrap(getattr(os, name)))
        begins(pipeline, owner, *dead)
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_kill_at_any_step_blocks_no_other_host(tmp_path: Path, after: bool) -> None:
    """Two hosts in turn are killed while they take over; the third has the attempt, and one flag.

    A host without proof of the second death waits.
    """
    for number in range(200):
        pipeline = tmp_path / str(number) / "pipeline"
        pipeline.mkdir(parents=True)
        flags.begin_attempt(
            pipeline_at(pipeline), flags.ingest(STEM), DEAD, lock=nullcontext, judge=other_host()
        )
        if not killed_at(number, pipeline, A, after=after):
            break
        overs = [name for name in names(pipeline) if ".over." in name]
        if overs and (pipeline / STARTED).exists():
            assert not begins(pipeline, B)
            found = flags.read_flags(pipeline_at(pipeline)).attempt(
                flags.ingest(STEM), other_host(DEAD)
            )
            assert found is not None
            if not found.outcome:
                assert found.liveness is Liveness.ALIVE
                assert ".over." in found.evidence
        killed_at(number, pipeline, B, A, after=after)
        third = Owner("e" * 32, host="e")
        assert begins(pipeline, third, A, B)
        under_way = flags.read_flags(pipeline_at(pipeline)).attempt(
            flags.ingest(STEM), other_host()
        )
        assert under_way is not None
        assert under_way.owner == third
        assert len([name for name in names(pipeline) if ".over." in name]) <= 2
        assert names(pipeline) >= {STARTED}
    assert number > 10


RACER = """
import sys
from functools import partial
from pathlib import Path
from hesiod_watch.core.errors import FlagExists
from hesiod_watch.host import process
from hesiod_watch.host.files import OpenDirectory
from hesiod_watch.host.locks import alone_on_this_host
from hesiod_watch.runs import flags
pipeline, stem = flags.Pipeline(OpenDirectory(Path(sys.argv[1]).parent)), sys.argv[2]
sys.stdin.readline()
try:
    flags.begin_attempt(pipeline, flags.ingest(stem), process.this_owner("ingest", "test"),
                        lock=partial(alone_on_this_host, pipeline.path, stem),
                        judge=process.judge_here)
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


def begin_once(pipeline: Path, owner: Owner) -> None:
    """Begin an attempt at work that is not repeated after a success."""
    flags.begin_attempt(
        pipeline_at(pipeline),
        flags.ingest(STEM),
        owner,
        lock=nullcontext,
        judge=process.judge_here,
        unneeded=lambda listing: listing.has(DONE),
    )


def test_unneeded_attempt_is_withdrawn(pipeline: Path) -> None:
    """Work that another process has done meanwhile is not begun, and its end stays recorded."""
    first = me()
    begin_once(pipeline, first)
    assert flags.end_attempt(pipeline_at(pipeline), flags.ingest(STEM), first, "done")
    record = (pipeline / DONE).read_bytes()
    with pytest.raises(FlagExists, match="another process has done it"):
        begin_once(pipeline, me())
    assert names(pipeline) == {DONE}
    assert (pipeline / DONE).read_bytes() == record


def test_unneeded_attempt_is_killed(pipeline: Path) -> None:
    """A killed attempt at work that was done before leaves nothing that hides the success."""
    first = me()
    begin_once(pipeline, first)
    assert flags.end_attempt(pipeline_at(pipeline), flags.ingest(STEM), first, "done")
    flags.create(pipeline_at(pipeline), STARTED, dead())
    with pytest.raises(FlagExists):
        begin_once(pipeline, me())
    assert names(pipeline) == {DONE}
