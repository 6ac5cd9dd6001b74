"""Listing of a cell's files in the landing area, at any depth."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from deep_trees import nest, remove
from open_runs import opened

from hesiod_watch.core.errors import PermanentError
from hesiod_watch.core.inventory import DEEPEST, HostileName, read_files
from hesiod_watch.core.model import CellId
from hesiod_watch.runs.cell_files import entries

CELL = CellId("library", "20261122_2210_1A_PAW00001_0a1b2c3d")


@pytest.fixture
def cell(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "run" / CELL.library / CELL.name
    place.mkdir(parents=True)
    yield place
    remove(tmp_path / "run")


def listed(cell: Path) -> set[str]:
    return set(entries(opened(cell.parent.parent), CELL))


def test_all_entries_are_listed(cell: Path) -> None:
    """Directories that begin with the name of another one are not confused with it."""
    names = {"a", "a/b", "a/b/file", "a/c", "a/c/file", "ab", "ab/c", "ab/c/file", "file"}
    for name in sorted(names):
        if name.endswith("file"):
            (cell / name).parent.mkdir(parents=True, exist_ok=True)
            (cell / name).write_text("x")
    (cell / "link").symlink_to("a")
    assert listed(cell) == names | {"link"}


def test_deepest_directories_are_listed(cell: Path) -> None:
    """A tree as deep as rsync can copy is listed, in a process with few open files."""
    nest(cell, DEEPEST)
    gc.collect()  # directories that errors of earlier tests refer to
    before = len(os.listdir("/proc/self/fd"))
    names = listed(cell)
    assert len(names) == DEEPEST + 1
    assert "/".join(["d"] * DEEPEST) + "/leaf" in names
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    ("name", "levels"), [("d", DEEPEST + 1), ("d" * 200, 20), ("\udcff" * 200, 20)]
)
def test_too_deep_directories_are_refused(cell: Path, name: str, levels: int) -> None:
    """The sentence names the top directory, in visible characters, and the limits."""
    nest(cell, levels, name)
    with pytest.raises(PermanentError, match=r"the directories `.*…` are too deep.* move `.*` out"):
        listed(cell)


def test_too_deep_directories_of_an_upstream() -> None:
    """A listing of another host with such a path is refused."""
    name = b"d/" * (DEEPEST + 1) + b"leaf"
    with pytest.raises(HostileName, match="are too deep"):
        read_files([b"0", b"f 1 1.0 1.0 " + name, b""])
