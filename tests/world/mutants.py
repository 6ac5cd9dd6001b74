"""Mutants: deliberate faults in the program, each of which the machine must find.

A mutant replaces one text in one file of a copy of the package. The copy comes first on the path of
a process of its own, which performs schedules until something is violated. The unchanged program
must then pass the schedule that has found it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import hesiod_watch
from tests.world.schedule import Step, Violation, parse, perform, schedule

CHECKOUT = Path(__file__).parents[2]
PACKAGE = Path(hesiod_watch.__file__).parent
FOUND = "found by "
LONGEST = 1800
"""Seconds after which a search is given up."""


@dataclass(frozen=True)
class Mutant:
    """A fault: in `file`, `old` becomes `new`. `schedules` are likely to find it."""

    name: str
    sentence: str
    file: str
    old: str
    new: str
    schedules: tuple[str, ...] = ()

    def apply(self, package: Path) -> None:
        """Make the replacement in a copy of the package. Raises ValueError."""
        path = package / self.file
        text = path.read_text()
        if text.count(self.old) != 1:
            times = text.count(self.old)
            raise ValueError(f"{self.name}: its text is {times} times in {self.file}")
        path.write_text(text.replace(self.old, self.new))


@dataclass(frozen=True)
class Finding:
    """What found a mutant: the check, the schedule, and how many schedules were performed."""

    check: str
    schedule: str
    count: int
    sentence: str


def search(mutant: Mutant, names: Sequence[str]) -> Finding | None:
    """Perform schedules of these names until one finds the mutant.

    Raises ValueError if the unchanged program violates that schedule, too.
    """
    with _mutated(mutant) as place:
        finding = _first_violated(place, names)
    if finding and _first_violated(CHECKOUT, [finding.schedule]):
        raise ValueError(f"{mutant.name}: {finding.schedule} is violated without it, too")
    return finding


def first_violated(names: Sequence[str]) -> str:
    """Perform schedules in this process until something is violated; "" if nothing is."""
    for count, name in enumerate(names, 1):
        try:
            perform(steps_of(name))
        except Violation as violation:
            sentence = str(violation).splitlines()[0]
            return f"{FOUND}{violation.check} in {name} after {count}: {sentence}"
    return ""


def steps_of(name: str) -> list[Step]:
    """Schedule of a number, of a file in `found/`, or as text on one line."""
    if name.isdigit():
        return schedule(int(name))
    if name.endswith(".txt"):
        return parse((Path(__file__).parent / "found" / name).read_text())
    return parse(name.replace(",", "\n"))


@contextmanager
def _mutated(mutant: Mutant) -> Iterator[Path]:
    """Directory with a mutated copy of the package, and with links to everything that uses it."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as directory:
        place = Path(directory)
        shutil.copytree(PACKAGE, place / PACKAGE.name)
        mutant.apply(place / PACKAGE.name)
        for name in ("tests", "bin"):
            (place / name).symlink_to(CHECKOUT / name)
        yield place


def _first_violated(place: Path, names: Sequence[str]) -> Finding | None:
    """Perform schedules with the package in `place`, in a process of its own."""
    if not names:
        return None
    command = [sys.executable, "-m", "tests.world", "try", *names]
    environ = {**os.environ, "PYTHONPATH": str(place)}
    ended = subprocess.run(
        command, cwd=place, env=environ, capture_output=True, text=True, timeout=LONGEST
    )
    pattern = rf"^{FOUND}(\S*) in (.*) after (\d+): (.*)$"
    if found := re.search(pattern, ended.stdout, re.MULTILINE):
        return Finding(found[1], found[2], int(found[3]), found[4])
    if ended.returncode:
        raise ValueError(f"the search has failed: {ended.stderr}")
    return None
