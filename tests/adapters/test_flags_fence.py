"""The fence of `done` and `failed`: an overtaken worker and its successor, in every order.

Both are threads that call the real functions on real files, and wait for their turn before each
step that matters to the other one. A listing by the second has two steps: a directory that changes
meanwhile may show an old state of one part and a new state of the other.
"""

from __future__ import annotations

import errno
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from open_runs import pipeline_at

from hesiod_watch.core.errors import FlagExists, HesiodError, TemporaryError
from hesiod_watch.core.ownership import Liveness, Owner
from hesiod_watch.runs import flags
from hesiod_watch.runs.flags import flag_files

STEM = "20190710_1723_2-A5-D5_PAD38578_c6ded78b"
FIRST = Owner("1" * 32, host="one", pid=1, epoch=1)
SECOND = Owner("2" * 32, host="two", pid=2, epoch=2)
SECONDS = 20.0
REAL = {
    name: getattr(os, name) for name in ("scandir", "listdir", "link", "unlink", "rename", "open")
}


def dead(owner: Owner | None) -> tuple[Liveness, str]:
    return Liveness.DEAD, "posed"


class Overtaken(HesiodError):
    pass


class Actor(threading.Thread):
    """Thread that stops before each step."""

    def __init__(self, body: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self.outcome: BaseException | None = None
        self.ended = False
        self.quiet = False
        self.halves = False
        self._body = body
        self._turn = threading.Semaphore(0)
        self._paused = threading.Semaphore(0)
        self.start()
        self.wait_for_it()

    def run(self) -> None:
        try:
            self._body()
        except BaseException as error:  # noqa: BLE001 -- the test judges it
            self.outcome = error
        self.ended = True
        self._paused.release()

    def pause(self) -> None:
        self._paused.release()
        assert self._turn.acquire(timeout=SECONDS)

    def wait_for_it(self) -> None:
        assert self._paused.acquire(timeout=SECONDS)

    def step(self) -> None:
        self._turn.release()
        self.wait_for_it()


def pause() -> None:
    if isinstance(actor := threading.current_thread(), Actor) and not actor.quiet:
        actor.pause()


@pytest.fixture(autouse=True)
def steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every step visible to the other actor a turn, and allow no delays."""
    monkeypatch.setattr(flag_files, "READ_BACK_DELAYS", (0.0,))
    for name in ("link", "unlink", "rename", "listdir"):
        monkeypatch.setattr(os, name, stepping(REAL[name]))

    def opening(name: Any, *arguments: Any, **options: Any) -> int:
        if str(name).startswith(".prepared."):
            pause()
        descriptor: int = REAL["open"](name, *arguments, **options)
        return descriptor

    monkeypatch.setattr(os, "open", opening)


def stepping(real: Callable[..., Any]) -> Callable[..., Any]:
    def step(name: Any, *arguments: Any, **options: Any) -> Any:
        if not str(name).startswith(".tmp.") or real is REAL["link"]:
            pause()
        return real(name, *arguments, **options)

    return step


def make_listings(monkeypatch: pytest.MonkeyPatch, *, hidden_first: bool) -> None:
    """Let the second worker's listings show hidden files and flags as of two moments."""

    def read(place: Any) -> list[Any]:
        with REAL["scandir"](place) as entries:
            return list(entries)

    @contextmanager
    def scandir(place: Any) -> Iterator[list[Any]]:
        pause()
        before = after = read(place)
        if getattr(threading.current_thread(), "halves", False):
            pause()
            after = read(place)
        yield [
            *(entry for entry in before if entry.name.startswith(".") is hidden_first),
            *(entry for entry in after if entry.name.startswith(".") is not hidden_first),
        ]

    monkeypatch.setattr(os, "scandir", scandir)


def check(pipeline: Path, owner: Owner) -> None:
    if why := flags.reason_to_stop(pipeline_at(pipeline), STEM, owner):
        raise Overtaken(why)


class World:
    """The first worker is about to end its attempt; the second one has a claim and begins."""

    def __init__(self, pipeline: Path, ending: str) -> None:
        pipeline.mkdir(parents=True)
        self.published = False
        flags.claim_cell(pipeline_at(pipeline), STEM, FIRST, judge=dead)
        flags.record_worker(pipeline_at(pipeline), STEM, FIRST)
        flags.claim_cell(pipeline_at(pipeline), STEM, SECOND, judge=dead)
        name = f"{STEM}.{ending}"

        def end() -> None:
            record = {"by": "first"}
            flags.create(pipeline_at(pipeline), name, record, fence=lambda: check(pipeline, FIRST))

        def succeed() -> None:
            actor = threading.current_thread()
            assert isinstance(actor, Actor)
            actor.halves = True
            flags.record_worker(pipeline_at(pipeline), STEM, SECOND)
            check(pipeline, SECOND)
            self.published = True
            actor.quiet = True
            record = {"by": "second"}
            flags.create(
                pipeline_at(pipeline),
                flags.done(STEM),
                record,
                fence=lambda: check(pipeline, SECOND),
            )

        self.actors = Actor(end), Actor(succeed)


def names_in(place: Path) -> list[str]:
    names: list[str] = REAL["listdir"](place)
    return names


def explore(root: Path, ending: str) -> Iterator[tuple[Path, World]]:
    """Every world, each at its end."""
    schedule: list[int] = []
    number = 0
    while True:
        number += 1
        pipeline = root / str(number) / "pipeline"
        world, taken = World(pipeline, ending), list[tuple[int, int]]()
        while movable := [actor for actor in world.actors if not actor.ended]:
            choice = schedule[len(taken)] if len(taken) < len(schedule) else 0
            taken.append((choice, len(movable)))
            movable[choice].step()
        yield pipeline, world
        shutil.rmtree(pipeline.parent)
        while taken and taken[-1][0] + 1 >= taken[-1][1]:
            taken.pop()
        if not taken:
            return
        schedule = [choice for choice, _ in taken[:-1]] + [taken[-1][0] + 1]


@pytest.mark.parametrize(
    "hidden_first",
    [
        pytest.param(False, id="flags first"),
        pytest.param(True, id="hidden files first", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("ending", ["done", "failed"])
@pytest.mark.parametrize("links", [True, False], ids=["links", "no links"])
def test_one_of_two_ends_the_cell(
    ending: str, links: bool, hidden_first: bool, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Either the first worker ends the cell and the second publishes nothing, or the reverse."""
    make_listings(monkeypatch, hidden_first=hidden_first)
    if not links:
        forbid_links_of_prepared_flags(monkeypatch)
    winners = {"first": 0, "second": 0}
    for pipeline, world in explore(root, ending):
        first, second = (actor.outcome for actor in world.actors)
        ended = {name for name in names_in(pipeline) if name.endswith((".done", ".failed"))}
        assert not [name for name in names_in(pipeline) if name.startswith(".")]
        assert len(ended) == 1
        text = (pipeline / ended.pop()).read_text()
        if first is None:
            winners["first"] += 1
            assert '"by": "first"' in text
            assert isinstance(second, FlagExists | Overtaken), second
            assert not world.published
        else:
            winners["second"] += 1
            assert isinstance(first, FlagExists | Overtaken | TemporaryError), first
            assert second is None
            assert '"by": "second"' in text
    assert min(winners.values()) > 10, winners


def forbid_links_of_prepared_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    link = os.link

    def refuse(old: Any, new: Any, **options: Any) -> None:
        if str(old).startswith(".prepared"):
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))
        link(old, new, **options)

    monkeypatch.setattr(os, "link", refuse)


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    path = tmp_path / "pipeline"
    path.mkdir()
    return path


@pytest.mark.parametrize("links", [True, False], ids=["links", "no links"])
@pytest.mark.parametrize("ending", ["done", "failed"])
def test_released_after_its_last_check(
    ending: str, links: bool, pipeline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker whose claim a person releases after its last check ends the cell no more."""
    if not links:
        forbid_links_of_prepared_flags(monkeypatch)
    flags.claim_cell(pipeline_at(pipeline), STEM, FIRST, judge=dead)
    flags.record_worker(pipeline_at(pipeline), STEM, FIRST)

    def released() -> None:
        check(pipeline, FIRST)
        flags.archive_flags(pipeline_at(pipeline), STEM, why="its host is dead, a person says")

    with pytest.raises(TemporaryError):
        flags.create(pipeline_at(pipeline), f"{STEM}.{ending}", {"by": "first"}, fence=released)
    assert names_in(pipeline) == ["attic"]


def test_a_flag_in_the_way_is_kept_without_links(
    pipeline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without hard links a flag that a person has made is not replaced."""
    forbid_links_of_prepared_flags(monkeypatch)
    (pipeline / flags.failed(STEM)).write_text("by hand")
    with pytest.raises(FlagExists):
        flags.create(pipeline_at(pipeline), flags.failed(STEM), {}, fence=lambda: None)
    assert (pipeline / flags.failed(STEM)).read_text() == "by hand"


def test_a_prepared_flag_of_another_cell_stays(pipeline: Path) -> None:
    """A worker removes the prepared flags of its own cell only."""
    for stem in (STEM, f"{STEM}.recalled"):
        (pipeline / f".prepared.{'a' * 32}.{stem}.done").touch()
    flags.claim_cell(pipeline_at(pipeline), STEM, FIRST, judge=dead)
    flags.record_worker(pipeline_at(pipeline), STEM, FIRST)
    left = [name for name in names_in(pipeline) if name.startswith(".")]
    assert left == [f".prepared.{'a' * 32}.{STEM}.recalled.done"]
