"""bin/hesiod-clean-upstream: everything that it refuses, under every installed shell."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cells_to_clean import CELL, LIBRARY, OTHER, RUN, TRASH, Sequencer, contents, flip

from hesiod_watch.rules.deletion_marks import LIST, encoded_name


def _link_above(cell: Path) -> None:
    library = cell.parent
    library.rename(library.with_name("elsewhere"))
    library.symlink_to("elsewhere")


CHANGES = {
    "a flipped byte": (flip, "names or contents differ"),
    "a file more": (lambda cell: (cell / "new").write_text(""), "4 files"),
    "a file fewer": (lambda cell: (cell / "pod5" / "a_0.pod5").unlink(), "2 files"),
    "a truncated file": (lambda cell: os.truncate(cell / "pod5" / "a_0.pod5", 0), "bytes"),
    "another name": (
        lambda cell: (cell / "pod5").rename(cell / "pod6"),
        "names or contents differ",
    ),
    "a link in it": (
        lambda cell: (cell / "link").symlink_to("/etc/passwd"),
        "no file and no directory",
    ),
    "a FIFO in it": (lambda cell: os.mkfifo(cell / "fifo"), "no file and no directory"),
    "a link above it": (_link_above, "symbolic link"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_cell_stays(sequencer: Sequencer, cell: Path, change: str) -> None:
    """A cell that differs from its mark is refused with the reason, and stays unchanged."""
    spoil, why = CHANGES[change]
    spoil(cell)
    before = sorted(os.walk(sequencer.data / RUN))
    done = sequencer.clean()
    assert done.returncode == 1
    assert why in done.stderr
    assert sorted(os.walk(sequencer.data / RUN)) == before
    assert sequencer.trash() == []


def now(**ahead: float) -> datetime:
    return datetime.now(UTC) + timedelta(**ahead)


MARKS: dict[str, tuple[dict[str, object], str]] = {
    "out of date": ({"until": now(days=-1)}, "was valid until"),
    "of the future": ({"made": now(days=1), "until": now(days=8)}, "in the future"),
    "of other files": ({"digest": "0" * 32}, "names or contents differ"),
    "of other sizes": ({"bytes": 1}, "the mark has 3 files, 1 byte\n"),
}


@pytest.mark.parametrize("kind", MARKS)
def test_a_mark_that_does_not_count(sequencer: Sequencer, kind: str) -> None:
    """A mark that is out of date, or describes another content, moves nothing."""
    more, why = MARKS[kind]
    cell = sequencer.cell()
    sequencer.mark(cell, **more)
    done = sequencer.clean()
    assert done.returncode == 1
    assert why in done.stderr
    assert cell.is_dir()


def test_a_withdrawn_mark(sequencer: Sequencer, cell: Path) -> None:
    """A cell with a revoked mark stays until it has a later mark."""
    sequencer.revoke(cell)
    done = sequencer.clean()
    assert done.returncode == 1
    assert "withdrawn: a copy has rotted" in done.stderr
    assert cell.is_dir()
    sequencer.mark(cell)
    assert sequencer.clean().returncode == 0
    assert not cell.exists()


@pytest.mark.parametrize(
    "place",
    [
        "../outside/x",
        "a/../b",
        "/etc/x/y",
        "run/library",
        "a//b",
        ".git/b/c",
        "a/b/c/d",
        "a/b/",
        "./b/c",
    ],
)
def test_invalid_paths(sequencer: Sequencer, place: str) -> None:
    """A path outside the data, or one that is not run/library/cell, is refused."""
    (sequencer.data.parent / "outside" / "x").mkdir(parents=True)
    shutil.copytree(sequencer.cell(), sequencer.data / "a" / "b" / "c")
    mark = sequencer.mark(sequencer.data / "a" / "b" / "c")
    (sequencer.data / LIST).write_text(
        mark.line().replace("\ta/b/c\t", f"\t{encoded_name(place)}\t") + "\n"
    )
    before = contents(sequencer.data.parent)
    done = sequencer.clean()
    assert "moved" not in done.stdout
    assert contents(sequencer.data.parent) == before


LINES: dict[str, str] = {
    "a path alone": f"{RUN}/{LIBRARY}/{CELL}",
    "cut short": "",
    "a command": "deletable\t$(touch canary)\t`touch canary`;touch canary",
    "a column more": "",
}


@pytest.mark.parametrize("kind", LINES)
def test_invalid_lines(sequencer: Sequencer, kind: str) -> None:
    """An incomplete or foreign line is ignored."""
    cell = sequencer.cell()
    line = sequencer.mark(cell).line()
    (sequencer.data / LIST).write_text(
        {"cut short": line[:-70], "a column more": line + "\tx"}.get(kind) or LINES[kind]
    )
    done = sequencer.clean()
    assert (done.returncode, done.stderr) == (0, "")
    assert cell.is_dir()


def test_unlisted_cells_are_refused(sequencer: Sequencer, cell: Path) -> None:
    """A named cell without a mark is refused and not touched."""
    other = sequencer.cell(OTHER)
    done = sequencer.clean(OTHER)
    assert done.returncode == 1
    assert "is not in cells_processed.txt" in done.stderr
    assert (cell.is_dir(), other.is_dir()) == (True, True)


@pytest.mark.parametrize("name", [LIST, "cells_cleaned.log", TRASH])
def test_links_among_its_own_files(
    sequencer: Sequencer, cell: Path, tmp_path: Path, name: str
) -> None:
    """A link in the place of the list, the log or the trash is an error and not followed."""
    aim = tmp_path / "aim"
    if name == LIST:
        (sequencer.data / LIST).rename(aim)
    elif name == TRASH:
        aim.mkdir()
    else:
        aim.write_text("")
    (sequencer.data / name).symlink_to(aim)
    before = aim.read_bytes() if aim.is_file() else os.listdir(aim)
    assert sequencer.clean().returncode == 1
    assert cell.is_dir()
    assert (aim.read_bytes() if aim.is_file() else os.listdir(aim)) == before


@pytest.mark.parametrize("trash", ["/tmp/elsewhere", "../up", "a/../b"])
def test_trash_outside_the_data(sequencer: Sequencer, cell: Path, trash: str) -> None:
    """A trash outside the data is refused, because nothing is ever copied."""
    assert sequencer.clean("--trash", trash).returncode == 2
    assert cell.is_dir()
