"""The protocol of claims, in every order in which deciders, their workers and kills can meet.

Deciders and workers are threads that call the real functions on real files. Before each listing and
each link they wait for their turn, so that exactly one moves at a time and every order can be
tried, or a kill put anywhere. Whom a judge calls dead is who was killed or has ended here.
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

from hesiod_watch.core.errors import FlagExists
from hesiod_watch.core.model import Liveness, Owner
from hesiod_watch.runs import flags

STEM = "20190710_1723_2-A5-D5_PAD38578_c6ded78b"
Claimer = Callable[[Path, Owner, Callable[[Owner | None], tuple[Liveness, str]]], None]
Worker = Callable[[Path, Owner], None]


class Killed(BaseException):
    """What a thread gets instead of its turn. Not an Exception: nothing may handle it, like
    SIGKILL.
    """


class Actor:
    """One process: a thread that goes on when it is told to, and stops before each step that others
    can see.
    """

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
        """Let it go on to its next step, or kill it where it stands."""
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


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A directory in memory where there is one: thousands of worlds are made, each with several
    fsyncs.
    """
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    path = memory / f"hesiod-watch-test-{os.getpid()}"
    path.mkdir()
    yield path
    shutil.rmtree(path)


def claim(
    pipeline: Path, owner: Owner, judge: Callable[[Owner | None], tuple[Liveness, str]]
) -> None:
    flags.claim_cell(pipeline, STEM, owner, judge=judge)


def work(pipeline: Path, owner: Owner) -> None:
    flags.record_worker(pipeline, STEM, owner)


class World:
    """A cell, deciders that all want it under epochs 1, 2, …, and the workers of those that got it."""

    def __init__(
        self, pipeline: Path, deciders: int, claimer: Claimer = claim, worker: Worker = work
    ) -> None:
        self.pipeline = pipeline
        self._claimer = claimer
        self._worker = worker
        self._pids = itertools.count(100)
        pipeline.mkdir()
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
        """The truth: alive is who has not ended, and of workers who got the cell."""
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
        """At the end: at most one works; who works is seen to; where nobody works somebody can. The
        number working.
        """
        working = [actor for actor in self.actors if self.works(actor)]
        assert len(working) <= 1, [actor.owner for actor in working]
        cell = flags.read_flags(self.pipeline).cell(STEM, self.judge)
        if working:
            assert cell.claim is not None
            assert cell.claim.liveness is Liveness.ALIVE, cell
            assert flags.overtaken(self.pipeline, STEM, working[0].owner) == 0
            return 1
        assert cell.claim is None or cell.claim.liveness is Liveness.DEAD, cell
        epoch = max((claim.epoch for claim in cell.claims), default=0) + 1  # as the plan counts
        flags.claim_cell(self.pipeline, STEM, self._owner(epoch), judge=self.judge)
        flags.record_worker(self.pipeline, STEM, self._owner(epoch))
        return 0


Choice = tuple[int, bool]  # which of the movable actors, and whether it is killed


def run(world: World, schedule: list[Choice], kills: int) -> list[list[Choice]]:
    """Follow a schedule, then always the first choice; the choices that there were at each step."""
    there_were: list[list[Choice]] = []
    for step in itertools.count():
        movable = world.movable()
        if not movable:
            return there_were
        choices = [(index, False) for index in range(len(movable))]
        if kills:
            choices += [(index, True) for index in range(len(movable))]
        there_were.append(choices)
        index, kill = schedule[step] if step < len(schedule) else choices[0]
        kills -= kill
        world.step(movable[index], kill)
    raise AssertionError


def explore(root: Path, kills: int, **options: Any) -> Iterator[World]:
    """Every world that two deciders and up to `kills` kills can make, each at its end."""
    schedule: list[Choice] | None = []
    for number in itertools.count():
        if schedule is None:
            return
        world = World(root / str(number), deciders=2, **options)
        there_were = run(world, schedule, kills)
        yield world
        shutil.rmtree(world.pipeline)
        schedule = following(
            schedule + [choices[0] for choices in there_were[len(schedule) :]], there_were
        )


def following(schedule: list[Choice], there_were: list[list[Choice]]) -> list[Choice] | None:
    """The next schedule in order; None after the last."""
    for step in range(len(schedule) - 1, -1, -1):
        position = there_were[step].index(schedule[step])
        if position + 1 < len(there_were[step]):
            return [*schedule[:step], there_were[step][position + 1]]
    return None


def test_every_order(root: Path) -> None:
    """Two deciders and their workers, in every order: one works, or nobody does and the next can."""
    outcomes = [world.check() for world in explore(root, kills=0)]
    assert len(outcomes) > 300
    assert set(outcomes) == {0, 1}


@pytest.mark.slow
def test_every_order_with_a_kill(root: Path) -> None:
    """The same with one of them killed before any of its steps, be it in the middle of a flag."""
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
    """A decider that leaves out its second look."""
    os.scandir(pipeline).close()
    flags.create(pipeline, flags.started(STEM, owner.epoch), owner)


def work_without_looking(pipeline: Path, owner: Owner) -> None:
    """A worker that leaves out its second look."""
    os.scandir(pipeline).close()
    flags.create(pipeline, flags.worker(STEM, owner.epoch), owner)


@pytest.mark.parametrize(
    "left_out", [{"claimer": claim_without_looking}, {"worker": work_without_looking}]
)
def test_both_looks_are_needed(root: Path, left_out: dict[str, Any]) -> None:
    """Without the second look of either side these tests find two workers at a time."""
    for world in explore(root, kills=0, **left_out):
        if sum(map(world.works, world.actors)) > 1:
            world.close()
            return
    pytest.fail("no order was found in which two work")
