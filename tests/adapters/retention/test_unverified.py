"""Files whose number nothing states: no data of their cell are deleted without a person."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from facility_world import CELL, World, kept_world, said
from minknow_cells import without_a_number
from mounts import needs_mounts
from output_hashes import write_output_hash
from surveyed_copies import truth_of

from hesiod_watch.runs import flags

pytestmark = needs_mounts

Worlds = Callable[[Callable[[Path], object]], World]


@pytest.fixture
def worlds(tmp_path: Path) -> Iterator[Worlds]:
    """Make a cell, changed by a function before it is processed and backed up to two places."""
    with ExitStack() as stack:
        yield lambda prepare: stack.enter_context(kept_world(tmp_path, prepare))


@pytest.mark.parametrize("action", ["strip", "deletable"])
def test_nothing_is_deleted_until_a_person_accepts(worlds: Worlds, action: str) -> None:
    """The reason names the files; a `synced` that a person makes lets the deletion happen."""
    world = worlds(without_a_number)
    before = truth_of(world.place("landing"))
    why = world.try_to(lambda: world.perform(action))
    assert "1 BAM file not verified" in why
    assert "not verified" in str(said(world, f"{action}.failed")["reason"])
    assert truth_of(world.place("landing")) == before
    synced = world.pipeline / flags.synced(CELL.stem)
    synced.unlink(missing_ok=True)
    synced.touch()
    world.perform(action)


def test_a_list_of_names_is_enough(worlds: Worlds) -> None:
    """A file that MinKNOW's checksums name and that agrees is verified."""

    def listed(cell: Path) -> None:
        without_a_number(cell)
        write_output_hash(cell)

    worlds(listed).perform("strip")
