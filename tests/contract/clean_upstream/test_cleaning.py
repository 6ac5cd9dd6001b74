"""bin/hesiod-clean-upstream under every installed shell: moves, deletions and kills."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cells_to_clean import CELL, LIBRARY, OTHER, PROGRAM, RUN, TRASH, Sequencer, contents, flip
from sites import eventually

from hesiod_watch.rules.deletion_marks import EVIDENCE, LIST, read_marks


def test_a_dry_run_lists_and_touches_nothing(sequencer: Sequencer, cell: Path) -> None:
    """Without --yes the marked cells are shown with size, age and copies; nothing is written."""
    before = contents(sequencer.data)
    done = sequencer.call()
    assert (done.returncode, done.stderr) == (0, "")
    assert f"6.5 kB  {RUN}/{LIBRARY}/{CELL}  (3 files; marked " in done.stdout
    assert "copies: backup fluidfs, landing)" in done.stdout
    assert "Nothing was done." in done.stdout
    assert contents(sequencer.data) == before


def test_a_cell_is_moved_whole(sequencer: Sequencer, cell: Path) -> None:
    """With --yes and the number of cells, a cell is moved unchanged, and the log has it."""
    before, inode = contents(cell), cell.stat().st_ino
    done = sequencer.clean()
    assert (done.returncode, done.stderr) == (0, "")
    assert not cell.exists()
    (moved,) = (sequencer.data / TRASH).glob(f"*/{RUN}/{LIBRARY}/{CELL}")
    assert (contents(moved), moved.stat().st_ino) == (before, inode)
    assert [entry[0] for entry in sequencer.log()] == ["checking", "moving", "moved"]
    again = sequencer.clean()
    assert (again.returncode, again.stderr) == (0, "")
    assert "no cell here" in again.stdout


@pytest.mark.parametrize("answer", ["", "\n", "y\n", "yes\n", "2\n", "01\n"])
def test_only_the_number_of_cells_confirms(sequencer: Sequencer, cell: Path, answer: str) -> None:
    """Without the right number of cells nothing is moved."""
    assert sequencer.call("--yes", answer=answer).returncode == 1
    assert cell.is_dir()
    assert sequencer.trash() == []


def test_one_of_two(sequencer: Sequencer, cell: Path) -> None:
    """A named cell is moved, and the other stays."""
    other = sequencer.cell(OTHER)
    sequencer.mark(other)
    assert sequencer.clean(OTHER).returncode == 0
    assert (cell.is_dir(), other.exists()) == (True, False)


HOSTILE = [
    "new\nline",
    "-rf",
    "--help",
    "$(touch canary)",
    "`touch canary`",
    "; touch canary",
    "'\"",
    "back\\slash",
    "\\0057",
    "tab\there",
    " blank ",
    "*",
    "\udcff",
    "end\n",
    "carriage\rreturn",
    "ü",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names(sequencer: Sequencer, name: str, tmp_path: Path) -> None:
    """Files, runs and cells of any name are moved unchanged.

    No name is executed or taken for an option.
    """
    cell = sequencer.data / f"run{name}" / name / f"cell{name}"
    shutil.copytree(sequencer.cell(), cell)
    (cell / name).write_text("x")
    (cell / f"d{name}").mkdir()
    (cell / f"d{name}" / name).write_text("y")
    before = contents(cell)
    sequencer.mark(cell)
    done = sequencer.clean()
    assert (done.returncode, done.stderr) == (0, "")
    assert not cell.exists()
    (moved,) = (sequencer.data / TRASH).glob("*/run*/*/*")
    assert contents(moved) == before
    assert list(tmp_path.rglob("canary")) == []
    assert len(done.stdout.splitlines()) == 4


def test_evidence_is_for_md5sum(sequencer: Sequencer) -> None:
    """`md5sum -c` accepts the evidence file in the cell, also with hostile names."""
    cell = sequencer.cell()
    for name in HOSTILE:
        if "\r" not in name:  # old and new versions of md5sum write it differently
            (cell / f"f{name}").write_text(name, errors="surrogateescape")
    mark = sequencer.mark(cell)
    subprocess.run(
        ["md5sum", "--check", "--strict", "--quiet", sequencer.data / EVIDENCE / mark.evidence],
        cwd=cell,
        check=True,
    )


def test_only_one_call_at_a_time(sequencer: Sequencer, cell: Path) -> None:
    """While one call runs, another one reports this and does nothing."""
    with subprocess.Popen(
        [*sequencer.shell, PROGRAM, "--dir", sequencer.data, "--yes"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as first:
        assert first.stdin is not None
        assert first.stdout is not None
        while "1 cell," not in first.stdout.readline():
            assert first.poll() is None
        second = sequencer.clean()
        assert (second.returncode, second.stdout) == (75, "")
        assert cell.is_dir()
        first.communicate("1\n", timeout=60)
    assert first.returncode == 0
    assert not cell.exists()


def test_usage(sequencer: Sequencer) -> None:
    """Wrong usage is code 2 and does nothing; --help is code 0."""
    assert sequencer.call("--help").returncode == 0
    for wrong in (
        ["--nonsense"],
        ["--trash"],
        ["--empty-trash", "x"],
        ["--empty-trash", "3", CELL],
        ["--dir", "/"],
    ):
        assert sequencer.call(*wrong).returncode == 2


# The trash.


def age(sequencer: Sequencer, days: int) -> None:
    """Make the content of the trash so many days old."""
    for batch in (sequencer.data / TRASH).iterdir():
        stamp = (datetime.now(UTC) - timedelta(days=days)).strftime("%Y%m%dT%H%M%SZ")
        batch.rename(batch.with_name(f"{stamp}.{batch.name.partition('.')[2]}"))


@pytest.fixture
def in_trash(sequencer: Sequencer, cell: Path) -> Path:
    """Path in the trash of a cell that was moved ten days ago."""
    assert sequencer.clean().returncode == 0
    age(sequencer, 10)
    (path,) = (sequencer.data / TRASH).glob(f"*/{RUN}/{LIBRARY}/{CELL}")
    return path


def test_trash_is_emptied_on_request(sequencer: Sequencer, in_trash: Path) -> None:
    """Cells that are old enough are deleted with --empty-trash, and only after an answer."""
    assert "Nothing in the trash" in sequencer.clean("--empty-trash", "11").stdout
    assert "Nothing was done" in sequencer.call("--empty-trash", "9").stdout
    assert sequencer.clean("--empty-trash", "9", count=2).returncode == 1
    assert in_trash.is_dir()
    done = sequencer.clean("--empty-trash", "9")
    assert (done.returncode, done.stderr) == (0, "")
    assert os.listdir(sequencer.data / TRASH) == []
    assert [entry[0] for entry in sequencer.log()][-2:] == ["deleting", "deleted"]


@pytest.mark.parametrize("kind", ["withdrawn", "changed", "a link", "not listed"])
def test_trash_that_is_kept(sequencer: Sequencer, in_trash: Path, kind: str) -> None:
    """A withdrawn, changed or unlisted cell in the trash is not deleted."""
    if kind == "withdrawn":
        sequencer.revoke(sequencer.data / RUN / LIBRARY / CELL)
    elif kind == "changed":
        flip(in_trash)
    elif kind == "a link":
        (in_trash / "link").symlink_to("/etc/passwd")
    else:
        (sequencer.data / LIST).write_text("")
    before = contents(in_trash)
    done = sequencer.clean("--empty-trash", "0")
    assert done.returncode == 1
    assert contents(in_trash) == before


def test_half_deleted_trash_is_finished(sequencer: Sequencer, in_trash: Path) -> None:
    """The next call finishes the deletion that a killed call had begun."""
    in_trash.rename(sequencer.data / TRASH / ".deleting.1.1")
    (sequencer.data / TRASH / ".deleting.1.1" / "pod5" / "a_0.pod5").unlink()
    done = sequencer.clean("--empty-trash", "0", count=0)
    assert (done.returncode, done.stderr) == (0, "")
    assert not (sequencer.data / TRASH / ".deleting.1.1").exists()


# Killed.


KILLER = """\
#!/bin/sh
# Replaces a program that changes a disk. It kills the whole test process group before or after the
# Nth call.
count=$(($(cat "$COUNT") + 1))
echo "$count" >"$COUNT"
if [ "$count.$WHEN" = "$LAST.before" ]; then kill -KILL 0; fi
"$REAL/${0##*/}" "$@"
code=$?
if [ "$count.$WHEN" = "$LAST.after" ]; then kill -KILL 0; fi
exit "$code"
"""


@pytest.fixture
def killers(tmp_path: Path) -> dict[str, str]:
    """Environment in which KILLER replaces the programs that change a disk."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("mkdir", "mv", "rmdir", "find"):
        (programs / name).write_text(KILLER)
        (programs / name).chmod(0o755)
    real = str(Path(shutil.which("mv") or "").parent)
    return os.environ | {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "REAL": real,
        "COUNT": str(tmp_path / "count"),
    }


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("form", ["clean", "empty"])
def test_killed_at_every_change(
    sequencer: Sequencer, killers: dict[str, str], form: str, when: str
) -> None:
    """A kill before or after any program loses and splits nothing, and the next call continues."""
    arguments = ["--empty-trash", "0"] if form == "empty" else []
    for number in range(1, 60):
        shutil.rmtree(sequencer.data)
        cell = sequencer.cell()
        before = contents(cell)
        sequencer.mark(cell)
        if form == "empty":
            assert sequencer.clean().returncode == 0
        Path(killers["COUNT"]).write_text("0")
        killed = subprocess.run(
            [*sequencer.shell, PROGRAM, "--dir", sequencer.data, "--yes", *arguments],
            input="1\n",
            capture_output=True,
            text=True,
            env=killers | {"WHEN": when, "LAST": str(number)},
            start_new_session=True,
        )
        assert killed.returncode in (0, -signal.SIGKILL)
        places = [
            path for path in (cell, *(sequencer.data / TRASH).glob("*/*/*/*")) if path.exists()
        ]
        if form == "clean":
            assert [contents(path) for path in places] == [before], number
        again = sequencer.clean(
            *arguments, count=len([path for path in places if form == "empty" or path == cell])
        )
        assert (again.returncode, again.stderr) == (0, ""), number
        assert not cell.exists()
        left = [path for path in (sequencer.data / TRASH).rglob("*") if path.is_file()]
        assert bool(left) is (form == "clean"), number
        assert not list(sequencer.data.rglob(".hesiod-clean-probe.*")), number
        if killed.returncode == 0:
            assert number > 5
            return
    pytest.fail("it never finished")


def test_stopped_by_a_signal(sequencer: Sequencer, cell: Path) -> None:
    """Killed while it asks, it leaves no files and no lock."""
    with subprocess.Popen(
        [*sequencer.shell, PROGRAM, "--dir", sequencer.data, "--yes"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        while b"1 cell," not in process.stdout.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGKILL)
    eventually(lambda: sequencer.call().returncode == 0, "the lock is free")
    assert sequencer.clean().returncode == 0


def test_the_list_is_read_alike(sequencer: Sequencer, cell: Path) -> None:
    """The program and hesiod-watch use the same line of a list."""
    sequencer.revoke(cell)
    sequencer.mark(cell)
    text = (sequencer.data / LIST).read_bytes() + b"deletable\tcut"
    (sequencer.data / LIST).write_bytes(text)
    (mark,) = read_marks(text).values()
    assert mark.word == "deletable"
    assert sequencer.clean().returncode == 0
