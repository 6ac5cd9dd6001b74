"""Random schedules of everything that happens to a facility: nothing lost, doubled or stuck."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.world import messages, old_runs, polls, product, sequencing
from tests.world.invariants import check_world, remember
from tests.world.liveness import end_well
from tests.world.product import Answer
from tests.world.schedule import STEPS, Violation, parse, perform, schedule, script
from tests.world.world import World

FOUND = Path(__file__).parent / "found"
SCHEDULES, PART = 300, 10
"""Schedules in each test run, and in each test."""


@pytest.mark.parametrize("name", sorted(path.name for path in FOUND.glob("*.txt")))
def test_found(name: str) -> None:
    """What the machine has found once is not violated again."""
    perform(parse((FOUND / name).read_text()))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("first", range(0, SCHEDULES, PART))
def test_random_schedules(first: int) -> None:
    """The first schedules of `make nightly` end well."""
    for number in range(first, first + PART):
        perform(schedule(number))


def test_a_script_is_its_schedule() -> None:
    """The printed form of a schedule gives the same steps again, and each step has a sentence."""
    steps = [(name, number) for number, name in enumerate(STEPS)]
    assert parse(script(steps)) == steps
    assert all(line.split("# ")[1].endswith(".") for line in script(steps).splitlines())


def finished(root: Path) -> World:
    product.load()
    world = World(root)
    messages.track(world, 0)
    sequencing.begin(world, 0)
    sequencing.finish(world, 0)
    polls.look(world, 0)
    polls.look(world, 0)
    assert world.flag(world.cells[0], "done").exists()
    return world


def lose_reads(world: World) -> None:
    for name in world.cells[0].data:
        (world.cells[0].path / name).unlink()
    (output,) = world.results(world.cells[0]).glob("*_pass.fastq.gz")
    output.write_bytes(gzip.compress(b""))


def double_reads(world: World) -> None:
    passed, failed = sorted(world.results(world.cells[0]).glob("*.fastq.gz"))
    passed.write_bytes(failed.read_bytes())


def change_results(world: World) -> None:
    (world.results(world.cells[0]) / "qc.json").write_text("{}\n")


def write_elsewhere(world: World) -> None:
    (world.root / "outside" / "results").touch()


def remove_source(world: World) -> None:
    (world.cells[0].path / world.cells[0].data[0]).unlink()


def mark_without_copies(world: World) -> None:
    cell = world.cells[0]
    there = world.sequencer / "alpha" / cell.id
    shutil.copytree(cell.path, there)
    place = there.relative_to(world.sequencer)
    (world.sequencer / "cells_processed.txt").write_text(f"deletable\t\t\t{place}" + "\t" * 6)


def write_into_old_run(world: World) -> None:
    old_runs.old_run(world, 0)
    (world.landing / world.old[0].run / "pipeline").mkdir()


def deliver_twice(world: World) -> None:
    state = world.tracker.read()
    state["tickets"][0]["texts"] *= 2
    world.tracker.write(state)


def lose_message(world: World) -> None:
    state = world.tracker.read()
    state["tickets"][0]["texts"].pop()
    world.tracker.write(state)


def swap_messages(world: World) -> None:
    state = world.tracker.read()
    state["tickets"][0]["texts"].reverse()
    world.tracker.write(state)


def change_flag(world: World) -> None:
    world.flag(world.cells[0], "started").write_text("{}\n")


def remove_flag(world: World) -> None:
    world.flag(world.cells[0], "synced").unlink()


def number_again(world: World) -> None:
    messages = world.pipeline(world.cells[0]) / "messages"
    (messages / "0099").symlink_to((messages / "0001").readlink())


def announce_unsynced(world: World) -> None:
    pipeline = world.pipeline(world.cells[0])

    def rename() -> Answer:
        (pipeline / ".new").write_text("{}\n")
        (pipeline / ".new").rename(pipeline / "new")
        return Answer()

    world.checked(world.perform(rename))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lose_reads, "neither in an output nor in a source"),
        (double_reads, "doubled"),
        (change_results, "qc.json differs"),
        (write_elsewhere, "outside/results"),
        (remove_source, "removed by the program"),
        (mark_without_copies, "marked, with copies on"),
        (write_into_old_run, "taken up without a person"),
        (deliver_twice, "delivered twice"),
        (lose_message, "not delivered"),
        (swap_messages, "order"),
        (change_flag, "changed by the program"),
        (remove_flag, "removed by the program"),
        (number_again, "queued twice"),
        (announce_unsynced, "new was not fsynced before"),
    ],
)
def test_each_invariant_notices(root: Path, change: Callable[[World], None], said: str) -> None:
    """The checks are quiet about a healthy world, and find each fault."""
    world = finished(root)
    before = remember(world)
    check_world(world, before, by_program=True)
    change(world)
    with pytest.raises(AssertionError, match=said):
        check_world(world, before, by_program=True)


def test_a_silent_cell_is_noticed(root: Path) -> None:
    """A cell that is not settled, and that `status` does not report, is a violation."""
    world = finished(root)
    (world.root / "hosts" / "here" / "hesiod-watch.yaml").write_text(
        world.hosts[0].config.read_text() + "take_up: {exclude: ['.*beta.*']}\n"
    )
    sequencing.begin(world, 1)
    with pytest.raises(AssertionError, match="nothing is reported"):
        end_well(world)


def test_a_violation_names_its_schedule(tmp_path: Path) -> None:
    """The text of a violation can be replayed."""
    steps = [("begin", 0), ("look", 0)]
    violation = Violation(f"step 1: why\n\n{script(steps)}")
    assert parse(str(violation).partition("\n\n")[2]) == steps
