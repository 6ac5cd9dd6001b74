"""The machine finds deliberate faults in the program, and their texts are still in it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.world.faults import MUTANTS
from tests.world.mutants import PACKAGE, Mutant, search, steps_of
from tests.world.schedule import STEPS

PROOF = ("report-dropped", "unmounted-output")


def named(name: str) -> Mutant:
    (found,) = (mutant for mutant in MUTANTS if mutant.name == name)
    return found


def test_names_are_unique() -> None:
    """Each fault has a name of its own, by which it is chosen."""
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_its_text_is_in_the_program(mutant: Mutant, tmp_path: Path) -> None:
    """Each fault can be made, its result is a program, and its schedules have known steps."""
    (tmp_path / mutant.file).parent.mkdir(parents=True)
    shutil.copyfile(PACKAGE / mutant.file, tmp_path / mutant.file)
    mutant.apply(tmp_path)
    compile((tmp_path / mutant.file).read_text(), mutant.file, "exec")
    assert {name for text in mutant.schedules for name, _ in steps_of(text)} <= STEPS.keys()


@pytest.mark.parametrize("name", PROOF)
def test_a_fault_is_found(name: str) -> None:
    """Schedules that the unchanged program passes show a fault."""
    mutant = named(name)
    assert search(mutant, mutant.schedules)


def test_no_fault_is_found_in_the_same_text() -> None:
    """A mutant that changes nothing is not found, so it is the fault that is found."""
    same = named(PROOF[0])
    same = replace(same, name="same", new=same.old)
    assert not search(same, same.schedules)
