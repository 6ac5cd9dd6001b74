"""Random operations and faults: every deleted file has two intact copies elsewhere.

The operations are the program's own, on real file systems; a person, a bad disk and a kill come
between them. Hypothesis chooses them. The short form is part of every run of the tests;
`HESIOD_WATCH_STEPS=10000` makes it longer.

Two rules are checked. When a strip deletes a file, two places from which the program never deletes
contain its bytes at that moment. When a clean-up moves a cell to the trash or deletes it there, two
devices other than the upstream contained every file of the cell when its mark was made. They still
contain every file, unless a copy was damaged since (a mark states the past; the trash exists for
this case).
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from facility_world import CELL, DATA, Killed, World, flip, kept_world, killed_at
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from mounts import needs_mounts
from open_runs import pipeline_at
from surveyed_copies import truth_of

from hesiod_watch.runs import flags

STEPS = int(os.environ.get("HESIOD_WATCH_STEPS", "60"))
"""Steps in all."""
LENGTH = 25
"""Steps of one world."""

pytestmark = [
    needs_mounts,
    pytest.mark.slow,
    pytest.mark.timeout(max(300, STEPS * 5)),
]

# Damage to files to be deleted keeps all of them; damage to other copies keeps a part of them. So
# mistakes show there.
PLACES = st.sampled_from(["backup1", "backup2", "backup1", "backup2", "landing", "upstream"])
NUMBERS = st.integers(0, 1000)


class Facility(RuleBasedStateMachine):
    """One cell, and everything that may happen to it."""

    world: World
    saved: Path  # a copy of the world as it is after the backup
    seen: Counter[str]  # number of each event, in all worlds

    def __init__(self) -> None:
        super().__init__()
        self.devices_when_marked: dict[str, set[str]] = {}
        self.damaged_since = False
        self.epoch = 1

    @initialize()
    def begin(self) -> None:
        """Process the cell and back it up."""
        for name in ("sequencer", "landing", "output"):
            shutil.rmtree(self.world.root / name)
            shutil.copytree(self.saved / name, self.world.root / name, symlinks=True)
        for name in self.world.names:
            if name not in self.world.mounted:
                self.world.remount(name)
            for entry in (self.world.root / name).iterdir():
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
            shutil.copytree(
                self.saved / name, self.world.root / name, symlinks=True, dirs_exist_ok=True
            )

    # Operations of the program and of people.

    def backup(self, number: int) -> None:
        self.world.try_to(lambda: self.world.perform("backup"))

    def verify(self, number: int) -> None:
        self.world.try_to(lambda: self.world.perform("verify"))

    def mark(self, number: int) -> None:
        self._marking(lambda: self.world.perform("deletable"))

    def strip(self, number: int) -> None:
        before = truth_of(self.world.place("landing"))
        self.world.try_to(lambda: self.world.perform("strip"))
        self._stripped(before)

    def strip_killed(self, number: int) -> None:
        before = truth_of(self.world.place("landing"))
        try:
            with killed_at(number % 60):
                self.world.try_to(lambda: self.world.perform("strip"))
        except Killed:
            pass
        self._stripped(before)

    def mark_killed(self, number: int) -> None:
        def killed() -> None:
            try:
                with killed_at(number % 60):
                    self.world.perform("deletable")
            except Killed:
                pass

        self._marking(killed)

    def clean(self, number: int) -> None:
        before = truth_of(self.world.place("upstream"))
        done = self.world.clean()
        if before and not self.world.place("upstream").exists():
            assert done.returncode == 0
            self._dropped_upstream(before)

    def empty_trash(self, number: int) -> None:
        trash = self.world.root / "sequencer" / ".hesiod-trash"
        found = [truth_of(cell) for cell in trash.glob("*/*/*/*")]
        self.world.clean("--empty-trash", "0", count=len(found))
        if found and not list(trash.glob("*/*/*/*")):
            self._dropped_upstream(found[0])

    def interfere(self, number: int) -> None:
        (self._process_again, self._land_again, self._sync_again)[number % 3]()

    def _process_again(self) -> None:
        """Remove `.done`, as a person does."""
        (self.world.pipeline / f"{CELL.stem}.done").unlink(missing_ok=True)
        self.epoch += 1
        self.world.try_to(lambda: self.world.process(self.epoch))

    def _land_again(self) -> None:
        """Copy the cell from the sequencer by hand, over the present files."""
        if self.world.place("upstream").is_dir():
            shutil.copytree(
                self.world.place("upstream"), self.world.place("landing"), dirs_exist_ok=True
            )

    def _sync_again(self) -> None:
        before = truth_of(self.world.place("landing"))
        stripped = flags.read_flags(pipeline_at(self.world.pipeline)).stripped(CELL.stem)
        self.world.try_to(lambda: self.world.perform("sync", cell=None))
        assert not stripped or truth_of(self.world.place("landing")) == before

    def another_cell(self, number: int) -> None:
        """Start again with another cell, in any state of this one."""
        self.begin()

    # Faults.

    def nothing(self, place: str, number: int) -> None:
        """Cause no fault."""

    def flipped(self, place: str, number: int) -> None:
        """Flip a bit of a data file, without a change of size or time."""
        if (path := self._some(place, number)) and path.stat().st_size:
            flip(path, number)

    def cut(self, place: str, number: int) -> None:
        if path := self._some(place, number):
            os.truncate(path, path.stat().st_size // 2)

    def removed(self, place: str, number: int) -> None:
        if path := self._some(place, number):
            path.unlink()

    def more(self, place: str, number: int) -> None:
        """Add a file."""
        if self.world.place(place).is_dir():
            (self.world.place(place) / f"new{number}").write_bytes(b"x" * number)

    def results_flipped(self, place: str, number: int) -> None:
        place = {"landing": "output", "upstream": "output"}.get(place, place)
        files = sorted(
            path
            for path in self.world.results(place).glob("*")
            if path.is_file() and path.stat().st_size
        )
        if files:
            flip(files[number % len(files)], number)

    def mounted(self, place: str, number: int) -> None:
        """Unmount a backup, which leaves an empty directory, or mount it again."""
        name = self.world.names[number % 2]
        if name in self.world.mounted:
            self.world.unmount(name)
        else:
            self.world.remount(name)

    @rule(
        fault=st.sampled_from(
            [
                *["nothing"] * 6,
                *["flipped", "cut", "removed"] * 2,
                "more",
                "results_flipped",
                "mounted",
            ]
        ),
        operation=st.sampled_from(
            [
                *["strip", "mark", "clean", "another_cell"] * 3,
                *["strip_killed", "mark_killed", "backup", "verify", "empty_trash", "interfere"],
            ]
        ),
        place=PLACES,
        number=NUMBERS,
    )
    def step(self, fault: str, operation: str, place: str, number: int) -> None:
        """Cause a fault or none, then perform an operation.

        This is one rule, so that each run has all of them.
        """
        if fault != "nothing":
            getattr(self, fault)(place, number)
            self.damaged_since = True
        getattr(self, operation)(number)

    # Invariants.

    @invariant()
    def no_more_than_one_mark_counts(self) -> None:
        assert self.world.marked() in ("", "deletable", "revoked")

    def _marking(self, mark: Callable[[], object]) -> None:
        listed = self.world.root / "sequencer" / "cells_processed.txt"
        before = listed.read_bytes() if listed.exists() else b""
        upstream = truth_of(self.world.place("upstream"))
        self.world.try_to(mark)
        after = listed.read_bytes() if listed.exists() else b""
        assert after.startswith(before)
        if after != before and self.world.marked() == "deletable":
            self.devices_when_marked = self._holding(upstream, but=["upstream"])
            self.damaged_since = False
            self.seen["marks"] += 1
            assert upstream
            for name, places in self.devices_when_marked.items():
                assert _devices(places) >= 2, f"marked: {name}: {places}"

    def _stripped(self, before: dict[str, bytes]) -> None:
        after = truth_of(self.world.place("landing"))
        removed = {name: content for name, content in before.items() if name not in after}
        self.seen["files stripped"] += len(removed)
        for name, places in self._holding(removed, but=["landing", "upstream"]).items():
            assert len(places) >= 2, f"stripped: {name}: {places}"
        assert all(after[name] == before[name] for name in after)

    def _dropped_upstream(self, before: dict[str, bytes]) -> None:
        self.seen["cells dropped upstream"] += 1
        assert self.devices_when_marked.keys() == before.keys()
        if not self.damaged_since:
            for name, places in self._holding(before, but=["upstream"]).items():
                assert _devices(places) >= 2, f"cleaned: {name}: {places}"

    def _holding(self, truth: dict[str, bytes], but: list[str]) -> dict[str, set[str]]:
        return self.world.places().holding(
            {name: content for name, content in truth.items() if content}, but=but
        ) | {name: {"output", "backup1"} for name, content in truth.items() if not content}

    def _data_of(self, place: str) -> list[str]:
        """Names of the data files at a place."""
        root = self.world.place(place)
        return sorted(
            str(path.relative_to(root))
            for path in root.rglob("*")
            if path.is_file() and path.name.endswith(DATA)
        )

    def _some(self, place: str, number: int) -> Path | None:
        names = self._data_of(place)
        return self.world.place(place) / names[number % len(names)] if names else None


def _devices(places: set[str]) -> int:
    """Devices of the places; landing and output are one device here."""
    return len({"here" if place in ("landing", "output") else place for place in places})


@pytest.fixture(scope="module")
def begun() -> Iterator[tuple[World, Path]]:
    """A world after the backup, and a copy of all its files."""
    with tempfile.TemporaryDirectory(prefix="letting-go-") as directory:
        root = Path(directory)
        (root / "world").mkdir()
        with kept_world(root / "world") as world:
            for name in ("sequencer", "landing", "output", *world.names):
                shutil.copytree(world.root / name, root / "saved" / name, symlinks=True)
            yield world, root / "saved"


def test_never_fewer_than_two(begun: tuple[World, Path]) -> None:
    """Every deleted file has two intact copies elsewhere, after any operations and faults."""
    world, saved = begun
    seen: Counter[str] = Counter()
    machine = type("Facility", (Facility,), {"world": world, "saved": saved, "seen": seen})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=max(1, STEPS // LENGTH),
            stateful_step_count=LENGTH,
            deadline=None,
            phases=[Phase.generate],  # shortening a failure takes longer than reading it
            suppress_health_check=list(HealthCheck),
        ),
    )
    if STEPS >= 500:  # fewer steps may by chance never get so far
        assert (
            min(seen[what] for what in ("files stripped", "marks", "cells dropped upstream")) > 0
        ), seen


def test_the_count_is_right(begun: tuple[World, Path]) -> None:
    """The measure itself counts exactly the copies with the same bytes, or text in an output."""
    world, saved = begun
    type("Facility", (Facility,), {"world": world, "saved": saved, "seen": Counter()})().begin()
    reads = next(name for name in world.truth if name.startswith("fastq_pass"))
    assert world.places().holding(world.truth)[reads] == {
        "upstream",
        "landing",
        "output",
        "backup1",
        "backup2",
    }
    assert world.places().holding({reads: world.truth[reads] + b"x"})[reads] == set()
