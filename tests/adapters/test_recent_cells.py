"""The numbers of the cells that were finished last."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from hesiod_watch.runs.recent_cells import KEPT, RECENT, RecentCell, recent_cells, remember_cell

KIND = ("SQK-LSK114", "PCA100290", "FLO-PRO114M")


def cell(number: int, name: str = "", bases: float = 1) -> RecentCell:
    moment = f"2026-11-22T22:{number // 60:02}:{number % 60:02}Z"
    return RecentCell(name or f"run{number}/lib/cell", moment, {"gigabases": bases, "pores": None})


@pytest.fixture
def output(tmp_path: Path) -> Path:
    (tmp_path / ".hesiod-watch").mkdir()
    return tmp_path


def files(output: Path) -> list[Path]:
    return list(output.glob(f".hesiod-watch/{RECENT}/*/*"))


def test_the_newest_cells_are_kept(output: Path) -> None:
    """The newest cells stay, in whatever order they are added, newest first."""
    cells = [cell(number) for number in range(30)]
    for each in [*cells[::2], *cells[1::2]]:
        remember_cell(output, KIND, each)
    assert recent_cells(output, KIND) == cells[: -KEPT - 1 : -1]
    assert len(files(output)) == KEPT


def test_each_kind_has_its_own_cells(output: Path) -> None:
    """Cells of another kit are not among them, and names of kits may contain anything."""
    odd = ("../../x\n\udcff", "PCA100290", "")
    remember_cell(output, KIND, cell(1))
    remember_cell(output, odd, cell(2))
    assert recent_cells(output, KIND) == [cell(1)]
    assert recent_cells(output, odd) == [cell(2)]


def test_a_cell_counts_once(output: Path) -> None:
    """A cell that is processed again replaces its former numbers; repeating changes nothing."""
    remember_cell(output, KIND, cell(1, "run/lib/cell", 1))
    remember_cell(output, KIND, cell(2, "run/lib/cell", 5))
    [path] = files(output)
    before = path.stat()
    remember_cell(output, KIND, cell(2, "run/lib/cell", 5))
    assert [each.figures["gigabases"] for each in recent_cells(output, KIND)] == [5]
    assert path.stat() == before


def test_nothing_is_written_without_the_state_directory(tmp_path: Path) -> None:
    """An output area that may not be mounted stays empty."""
    remember_cell(tmp_path, KIND, cell(1))
    assert os.listdir(tmp_path) == []
    assert recent_cells(tmp_path, KIND) == []


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"figures": 3}', b"\xff"])
def test_what_is_not_understood_is_left_out(output: Path, content: bytes) -> None:
    """Damaged and foreign files, links and directories are no cells, and stop nothing."""
    for number in range(4):
        remember_cell(output, KIND, cell(number))
    first, second, third, _ = sorted(files(output))
    first.write_bytes(content)
    second.unlink()
    second.symlink_to("/etc/passwd")
    third.unlink()
    third.mkdir()
    (third.parent / "notes.txt").write_text("mine")
    assert recent_cells(output, KIND) == [cell(3)]
    remember_cell(output, KIND, cell(4))
    assert recent_cells(output, KIND) == [cell(4), cell(3)]


def test_processes_at_the_same_time(output: Path) -> None:
    """Cells that are added at the same moment are all kept."""
    cells = [cell(number) for number in range(KEPT)]
    threads = [threading.Thread(target=remember_cell, args=(output, KIND, each)) for each in cells]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert recent_cells(output, KIND) == cells[::-1]
