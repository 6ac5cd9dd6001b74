"""When the world is calm, every cell is settled, or reported with a step that moves it.

The world takes the steps that the program offers until every cell is settled. It reads only what a
person reads, `status --json`, and does what the words of a step say.
"""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from tests.world import disks, messages, permissions, polls
from tests.world.commands import Slowness
from tests.world.sequencer import SequencedCell
from tests.world.world import World

NOT_HERE: dict[str, Any] = {"cells": {}, "attention": [], "messages": {"undelivered": 0}}
"""Entry of a run that is not in the landing area yet."""
UNKNOWN = "not shown"
"""Stage of a cell of which the program does not know yet."""
SETTLED = ("processed", "aborted")
CALM = 8
"""Polls after which the world must be calm, if nothing else happens."""
ROUNDS = 12
"""Steps of a person after which every cell must be settled."""


def end_well(world: World) -> None:
    """Let the world become calm, and then take the offered steps until all is settled."""
    while world.processes.stopped:
        polls.go_on(world, 0)
    if world.away:
        missing_places_are_reported(world)
        disks.bring_back(world, 0)
    if world.slowness and world.slowness.for_ever:
        silence_is_reported(world)
        disks.answer_again(world, 0)
    if world.tracker.read()["away"]:
        waiting_messages_are_reported(world)
        messages.tracker_back(world, 0)
    if world.denied:
        _check_reported(world, calm(world))
        permissions.allow(world, 0)
    taken: Counter[str] = Counter()
    for _ in range(ROUNDS):
        state = calm(world)
        open_cells = _check_reported(world, state)
        if not open_cells:
            if world.old:
                old_runs_are_quiet(world)
            finished_cells_are_announced(world, state)
            return
        for entry in open_cells.values():
            step = min(steps_for(entry), key=lambda step: taken[step])  # the first of them
            taken[step] += 1
            take(world, entry, step)
    raise AssertionError(
        f"not settled after {ROUNDS} steps:\n"
        + "\n".join([*map(_shown, open_cells.values()), *world.said[-3:]])
    )


def _check_reported(world: World, state: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Entries of the cells that are not settled, each of which has steps."""
    open_cells = {name: entry for name, entry in state.items() if not _is_settled(entry)}
    for name, entry in sorted(open_cells.items()):
        assert steps_for(entry) or (entry["stage"] == UNKNOWN and _sequencer_is_refused(world)), (
            f"{name}: not settled, and nothing is reported:\n{_shown(entry)}"
        )
    return open_cells


def _sequencer_is_refused(world: World) -> bool:
    """Whether the last poll says that it may not list the sequencer's runs.

    `status` has this from the poll's state file, which polls of a world do not write.
    """
    return any(each.startswith("upstream ") for each in world.problems) and bool(world.denied)


def finished_cells_are_announced(world: World, state: Mapping[str, Mapping[str, Any]]) -> None:
    """Each cell that is processed has its message, unless a person has decided about it."""
    for entry in state.values():
        cell: SequencedCell = entry["cell"]
        pipeline = world.pipeline(cell)
        stopped = any((pipeline / flag).exists() for flag in ("failed", "aborted"))
        if entry["stage"] == "processed" and not stopped and cell.name not in world.decided:
            found = list((pipeline / "messages").glob(f"cell-done.{cell.name}.*"))
            assert found, f"{cell.id}: processed, and no message says so"


def missing_places_are_reported(world: World) -> None:
    """A file system that is not mounted is reported, whatever else happens.

    The directory of a sequencer that is not mounted looks like a sequencer without runs. So it is
    reported with the runs that wait for files from it.
    """
    answer = world.poll()
    world.checked(answer)
    found, of_runs = world.read("status --attention --json", "status --json")
    said = " ".join(each["sentence"] for each in found["attention"])
    waiting = {
        run["run"]
        for run in of_runs["runs"]
        if any(cell["stage"] in ("pending", "incomplete") for cell in run["cells"].values())
    }
    for place in world.away:
        if place != world.sequencer:
            assert str(place) in said, f"{place.name} is away, and only this is reported: {said}"
        elif answer and any(cell.landing and cell.run in waiting for cell in world.cells):
            lost = " ".join(answer.problems)
            assert str(place) in lost, f"{place.name} is away, and the poll reports only: {lost}"


def silence_is_reported(world: World) -> None:
    """A sequencer that does not answer from the first command on is reported by each poll."""
    world.slowness = Slowness(str(world.sequencer), 0, for_ever=True)
    answer = world.poll()
    world.checked(answer)
    said = " ".join(answer.problems) if answer else ""
    # Without a permission the poll may end before it asks the sequencer.
    assert "does not answer" in said or world.denied, (
        f"the sequencer is silent, and the poll reports only: {said}"
    )


def old_runs_are_quiet(world: World) -> None:
    """Nothing is reported about an old run."""
    of_runs, of_site = world.read("status --json", "status --attention --json")
    statuses = {run["run"]: run["status"] for run in of_runs["runs"]}
    for cell in world.old:
        assert cell.landing or statuses[cell.run] == "historic", f"{cell.run}: {statuses[cell.run]}"
        said = [each["sentence"] for each in of_site["attention"] if cell.run in str(each)]
        assert not said, f"reported about an old run: {said}"


def waiting_messages_are_reported(world: World) -> None:
    """Messages that a tracker does not take for hours are reported."""
    for _ in range(2):
        world.pass_time(timedelta(hours=2))
        polls.look(world, 0)
    (found,) = world.read("status --json")
    for run in found["runs"]:
        said = " ".join(each["sentence"] for each in run["attention"])
        # That a flag cannot be made, or another process delivers, is reported as such.
        reported = "tracker" in said.lower() or "messages are" in said or world.denied
        assert not run["messages"]["undelivered"] or reported, (
            f"{run['run']}: messages wait, and only this is reported: {said}"
        )


def calm(world: World) -> dict[str, dict[str, Any]]:
    """Let time pass until two polls change nothing; returns the entries of all cells."""
    before: object = None
    for _ in range(CALM):
        world.pass_time(timedelta(hours=2))
        polls.look(world, 0)
        state = entries(world)
        now = (sorted(world.flags()), {name: _gist(entry) for name, entry in state.items()})
        if now == before:
            return state
        before = now
    raise AssertionError(f"not calm after {CALM} polls: {before}")


def entries(world: World) -> dict[str, dict[str, Any]]:
    """What `status` says of each cell of the world, with everything that concerns it."""
    of_runs, of_site = world.read("status --json", "status --attention --json")
    runs = {run["run"]: run for run in of_runs["runs"]}
    found = {}
    for cell in world.cells:
        if not cell.exists and not cell.arrived:
            continue
        run = runs.get(cell.run, NOT_HERE)
        entry = dict(run["cells"].get(cell.id, {"stage": UNKNOWN}))
        attention = [*run["attention"], *of_site["attention"]]
        entry["attention"] = [each for each in attention if _concerns(each, cell)]
        entry["undelivered"] = run["messages"]["undelivered"]
        entry["cell"] = cell
        found[f"{cell.run} {cell.id}"] = entry
    return found


def _concerns(each: Mapping[str, Any], cell: SequencedCell) -> bool:
    if each["run"] not in (None, cell.run):
        return False
    return not each["cell"] or cell.name in each["cell"] or cell.name in each["sentence"]


def _is_settled(entry: Mapping[str, Any]) -> bool:
    """Whether a cell is at its end, without anything that needs a person."""
    person = any(each["severity"] == "person" for each in entry["attention"])
    return entry["stage"] in SETTLED and not person and not entry["undelivered"]


def steps_for(entry: Mapping[str, Any]) -> list[str]:
    """Steps that the program offers for a cell, in order."""
    steps = [step for each in entry["attention"] for step in each["steps"]]
    return list(dict.fromkeys(steps))


# Taking a step.

REPAIRS = (
    "copy {",
    "copy ",
    "compare the final_summary",
    "look for the missing",
    "find the ",
    "find its directory",
    "find the files in MinKNOW",
    "mend or replace",
    "after copying",
)
OWN_DIRECTORY = re.compile(r"to give this run a directory of its own: (mkdir .*?)(?:; |$)")
COMMAND = re.compile(r"(?:^|: )((?:hesiod-|rm |mv |mkdir |echo ).*)$")


def take(world: World, entry: Mapping[str, Any], step: str) -> None:
    """Do what a step says."""
    cell: SequencedCell = entry["cell"]
    world.decided.add(cell.name)
    world.seen[f"step: {re.sub(r'[^a-z ].*', '', step)[:40].strip()}"] += 1
    stripped = world.flag(cell, "strip.done").exists()
    if step.startswith(("after fixing", *REPAIRS)):
        cell.repair(stripped=stripped)
    if step.startswith("after copying") and not stripped:
        cell.copy_here()
    if any(
        "remove the run's pipeline/rt_ticket" in each["sentence"] for each in entry["attention"]
    ):
        (world.pipeline(cell) / "rt_ticket").unlink(missing_ok=True)
    if step.startswith(("look in MinKNOW", "if it has ended")) and not cell.lost:
        cell.finish()
    renamed = step.startswith("if it was renamed or moved there") or "was renamed or copied" in step
    if renamed or any("has no run" in each for each in world.problems):  # as the last poll says
        disks.rename_back(world, 0)
    if step.startswith("compare the copies"):
        shutil.rmtree(cell.place / "copies" / cell.name, ignore_errors=True)
    for each in entry["attention"]:
        if found := OWN_DIRECTORY.search(each["sentence"]):
            world.shell(found[1])
    for part in re.split("; then,? |; (?=hesiod-)", step):
        found = COMMAND.search(part)
        if not found:
            continue
        answer = world.shell(found[1])
        assert answer
        assert not answer.bug, answer.bug
        world.said.append(f"{found[1]}\n  {answer.code} {answer.out} {answer.err}")
    world.rested = False


def _gist(entry: Mapping[str, Any]) -> object:
    return entry["stage"], sorted((each["kind"], each["cell"]) for each in entry["attention"])


def _shown(entry: Mapping[str, Any]) -> str:
    lines = [f"{entry['cell'].run} {entry['cell'].id}: {entry['stage']}: {entry.get('why')}"]
    for each in entry["attention"]:
        lines += [f"  {each['kind']}: {each['sentence']}", *(f"    - {s}" for s in each["steps"])]
    return "\n".join(lines)
