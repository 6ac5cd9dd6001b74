"""Claim protocol, in every order of deciders, their workers and kills.

Deciders and workers are threads that call the real functions on real files. Before each listing and
each link they wait for their turn. So exactly one moves at a time, every order can be tried, and a
kill can be put anywhere. The judge calls a process dead if it was killed or has ended in the test.
"""

from __future__ import annotations

import itertools
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from open_runs import pipeline_at

from hesiod_watch.core.errors import FlagExists
from hesiod_watch.core.ownership import Liveness, Owner
from hesiod_watch.runs import flags

STEM = "20190710_1723_2-A5-D5_PAD38578_c6ded78b"
Claimer = Callable[[Path, Owner, Callable[[Owner | None], tuple[Liveness, str]]], None]
Worker = Callable[[Path, Owner], None]


class Killed(BaseException):
    """Raised in a thread instead of its turn; not an Exception, so that no code handles it."""


class Actor:
    """Simulated process: a thread that stops before each step that others can see."""

    current = threading.local()

    def __init__(self, role: str, owner: Owner, body: Callable[[], None]) -> None:
        self.role = role
        self.owner = owner
        self.ended = False
        self.succeeded = False
        self.killed = False
        self.unforeseen: BaseException | None = None
        self._body = body
        self._turn = threading.Semaphore(0)
        self._paused = threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._paused.acquire()

    def _run(self) -> None:
        Actor.current.actor = self
        try:
            self._body()
            self.succeeded = True
        except (FlagExists, Killed):
            pass
        except BaseException as error:  # noqa: BLE001 -- raised again in the thread of the test
            self.unforeseen = error
        finally:
            self.ended = True
            self._paused.release()

    def wait_for_turn(self) -> None:
        self._paused.release()
        self._turn.acquire()
        if self.killed:
            raise Killed

    def step(self, kill: bool = False) -> None:
        """Run it to its next step, or kill it at this one."""
        self.killed = kill
        self._turn.release()
        self._paused.acquire()
        if self.ended:
            self._thread.join()

    @classmethod
    def pause(cls) -> None:
        actor = getattr(cls.current, "actor", None)
        if actor is not None:
            actor.wait_for_turn()


@pytest.fixture(autouse=True)
def steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every listing and every link a step."""
    for name in ("scandir", "link"):
        monkeypatch.setattr(os, name, stepping(getattr(os, name)))


def stepping(real: Callable[..., Any]) -> Callable[..., Any]:
    def step(*arguments: Any, **options: Any) -> Any:
        Actor.pause()
        return real(*arguments, **options)

    return step


def claim(
    pipeline: Path, owner: Owner, judge: Callable[[Owner | None], tuple[Liveness, str]]
) -> None:
    flags.claim_cell(pipeline_at(pipeline), STEM, owner, judge=judge)


def work(pipeline: Path, owner: Owner) -> None:
    flags.record_worker(pipeline_at(pipeline), STEM, owner)


class World:
    """A cell, deciders that all want it under epochs 1, 2, …, and the workers of their claims."""

    def __init__(
        self, pipeline: Path, deciders: int, claimer: Claimer = claim, worker: Worker = work
    ) -> None:
        self.pipeline = pipeline
        self._claimer = claimer
        self._worker = worker
        self._pids = itertools.count(100)
        pipeline.mkdir(parents=True)
        self.actors = [self._decider(epoch) for epoch in range(1, deciders + 1)]
        self._waited_for: set[Actor] = set()

    def _owner(self, epoch: int) -> Owner:
        pid = next(self._pids)
        return Owner(
            f"token {pid}",
            host="h",
            boot_id="b",
            pid_namespace="n",
            pid=pid,
            pid_start=pid,
            epoch=epoch,
            action="x",
        )

    def _decider(self, epoch: int) -> Actor:
        owner = self._owner(epoch)
        return Actor("decider", owner, lambda: self._claimer(self.pipeline, owner, self.judge))

    def judge(self, owner: Owner | None) -> tuple[Liveness, str]:
        """True liveness: an actor that has not ended is alive."""
        assert owner is not None
        living = [actor for actor in self.actors if not actor.ended or self.works(actor)]
        alive = owner.pid in {actor.owner.pid for actor in living}
        return (Liveness.ALIVE if alive else Liveness.DEAD), f"pid {owner.pid}"

    @staticmethod
    def works(actor: Actor) -> bool:
        return actor.role == "worker" and actor.succeeded

    def movable(self) -> list[Actor]:
        return [actor for actor in self.actors if not actor.ended]

    def step(self, actor: Actor, kill: bool = False) -> None:
        actor.step(kill)
        if actor.unforeseen:
            raise actor.unforeseen
        if actor.role == "decider" and actor.succeeded:
            owner = self._owner(actor.owner.epoch)
            self.actors.append(Actor("worker", owner, lambda: self._worker(self.pipeline, owner)))

    def close(self) -> None:
        for actor in self.movable():
            actor.step(kill=True)

    def check(self) -> int:
        """Check the end: at most one works, and an idle cell can be claimed.

        Returns how many work.
        """
        working = [actor for actor in self.actors if self.works(actor)]
        assert len(working) <= 1, [actor.owner for actor in working]
        cell = flags.read_flags(pipeline_at(self.pipeline)).cell(STEM, self.judge)
        if working:
            assert cell.claim is not None
            assert cell.claim.liveness is Liveness.ALIVE, cell
            assert flags.reason_to_stop(pipeline_at(self.pipeline), STEM, working[0].owner) == ""
            return 1
        assert cell.claim is None or cell.claim.liveness is Liveness.DEAD, cell
        epoch = max((claim.epoch for claim in cell.claims), default=0) + 1  # as the plan counts
        flags.claim_cell(pipeline_at(self.pipeline), STEM, self._owner(epoch), judge=self.judge)
        flags.record_worker(pipeline_at(self.pipeline), STEM, self._owner(epoch))
        return 0


Choice = tuple[int, bool]  # index of a movable actor, and whether it is killed


def run(world: World, schedule: list[Choice], kills: int) -> list[list[Choice]]:
    """Follow a schedule, then always the first choice; returns the choices at each step."""
    available: list[list[Choice]] = []
    for step in itertools.count():
        movable = world.movable()
        if not movable:
            return available
        choices = [(index, False) for index in range(len(movable))]
        if kills:
            choices += [(index, True) for index in range(len(movable))]
        available.append(choices)
        index, kill = schedule[step] if step < len(schedule) else choices[0]
        kills -= kill
        world.step(movable[index], kill)
    raise AssertionError


def explore(root: Path, kills: int, **options: Any) -> Iterator[World]:
    """Run every world of two deciders and up to `kills` kills; yields each at its end."""
    schedule: list[Choice] | None = []
    for number in itertools.count():
        if schedule is None:
            return
        world = World(root / str(number) / "pipeline", deciders=2, **options)
        available = run(world, schedule, kills)
        yield world
        shutil.rmtree(world.pipeline.parent)
        schedule = following(
            schedule + [choices[0] for choices in available[len(schedule) :]], available
        )


def following(schedule: list[Choice], available: list[list[Choice]]) -> list[Choice] | None:
    """Next schedule in order; None after the last."""
    for step in range(len(schedule) - 1, -1, -1):
        position = available[step].index(schedule[step])
        if position + 1 < len(available[step]):
            return [*schedule[:step], available[step][position + 1]]
    return None


def test_every_order(root: Path) -> None:
    """Two deciders and workers, in every order: one works, or none does and the next can."""
    outcomes = [world.check() for world in explore(root, kills=0)]
    assert len(outcomes) > 300
    assert set(outcomes) == {0, 1}


@pytest.mark.slow
def test_every_order_with_a_kill(root: Path) -> None:
    """The same with one of them killed before any of its steps, also in the middle of a flag."""
    outcomes = [world.check() for world in explore(root, kills=1)]
    assert len(outcomes) > 1000
    assert set(outcomes) == {0, 1}


@settings(max_examples=80)
@given(schedule=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=40))
def test_any_order(
    tmp_path_factory: pytest.TempPathFactory, schedule: list[tuple[int, int]]
) -> None:
    """Three deciders, their workers and any number of kills, in arbitrary orders."""
    world = World(tmp_path_factory.mktemp("world") / "pipeline", deciders=3)
    for number, kill in itertools.chain(schedule, itertools.repeat((0, 9))):
        movable = world.movable()
        if not movable:
            break
        world.step(movable[number % len(movable)], kill == 0)
    world.check()


def claim_without_looking(
    pipeline: Path, owner: Owner, judge: Callable[[Owner | None], tuple[Liveness, str]]
) -> None:
    """Decider without its second listing."""
    os.scandir(pipeline).close()
    flags.create(pipeline_at(pipeline), flags.started(STEM, owner.epoch), owner)


def work_without_looking(pipeline: Path, owner: Owner) -> None:
    """Worker without its second listing."""
    os.scandir(pipeline).close()
    flags.create(pipeline_at(pipeline), flags.worker(STEM, owner.epoch), owner)


@pytest.mark.parametrize(
    "left_out",
    [{"claimer": claim_without_looking}, {"worker": work_without_looking}],
    ids=["decider", "worker"],
)
def test_both_looks_are_needed(root: Path, left_out: dict[str, Any]) -> None:
    """Without the second listing of either side two workers work at a time."""
    for world in explore(root, kills=0, **left_out):
        if sum(map(world.works, world.actors)) > 1:
            world.close()
            return
    pytest.fail("no order was found in which two work")
