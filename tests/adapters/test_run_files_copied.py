"""Files of a run that belong to no cell, copied from a mount with the real rsync."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from fake_programs import FakePrograms
from mounted_upstream import Place, meddling
from upstream_cells import CELL, make_cell

from hesiod_watch.core.errors import PermanentError, TemporaryError
from hesiod_watch.core.inventory import RUN_FILES
from hesiod_watch.host.files import OpenDirectory
from hesiod_watch.remote.sequencer.copy_run_files import copy_run_files

pytestmark = pytest.mark.skipif(shutil.which("rsync") is None, reason="rsync is not installed")

SHEET, NOTES = "SampleSheet.csv", f"{CELL.library}/notes/deep/result.txt"
FILES = {SHEET: b"sample\n", NOTES: b"x" * 5000, "notes/-rf": b""}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path)
    make_cell(place.there)
    for name, content in FILES.items():
        write(place.there / name, content)
    write(place.there / ".hidden", b"")
    return place


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def copied(place: Place, **options: object) -> list[str]:
    """Sentences about files that were not copied."""
    return copy_run_files(
        options.pop("upstream", place.upstream),  # type: ignore[arg-type]  # what a test wants
        str(place.there),
        [CELL],
        OpenDirectory(place.run, place.landing, make=True),
        landing=place.landing,
        log=place.log,
        **options,  # type: ignore[arg-type]  # what a test wants
    )


def landed(place: Place) -> dict[str, bytes]:
    return {
        str(path.relative_to(place.run)): path.read_bytes()
        for path in place.run.rglob("*")
        if path.is_file()
    }


def test_files_outside_of_cells(place: Place) -> None:
    """They arrive with content and time; files of cells and hidden ones are left out."""
    os.utime(place.there / SHEET, (1_700_000_000, 1_700_000_000))
    assert copied(place) == []
    assert landed(place) == FILES
    assert (place.run / SHEET).stat().st_mtime == 1_700_000_000
    assert place.sent() == [(3, 5007)]
    log = place.log.read_text()
    assert "3 files of the run, outside of its cells" in log
    assert "nice -n 10 rsync " in log
    assert "files of the run: exit code 0: " in log


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_bytes(b"longer than before\n"),
        lambda path: os.utime(path, (1_700_000_000, 1_700_000_000)),
        lambda path: path.unlink(),
    ],
    ids=["size", "time", "missing"],
)
def test_only_what_differs_is_copied(place: Place, change: Callable[[Path], object]) -> None:
    """A second copy sends nothing, unless a file differs here in size or time or is missing."""
    copied(place)
    assert copied(place) == []
    assert len(place.sent()) == 1
    change(place.run / SHEET)
    assert copied(place) == []
    assert landed(place) == FILES
    assert [files for files, _ in place.sent()[1:]] in ([0], [1])
    assert (place.run / SHEET).stat().st_mtime_ns == (place.there / SHEET).stat().st_mtime_ns


@pytest.mark.parametrize("what", ["link", "directory"])
def test_an_obstacle_here(place: Place, what: str, tmp_path: Path) -> None:
    """A link or directory in the place of a file is reported and stays; all others are copied."""
    place.run.mkdir()
    if what == "link":
        (place.run / SHEET).symlink_to(tmp_path / "elsewhere")
    else:
        (place.run / SHEET).mkdir()
    (tmp_path / "other").mkdir()
    (place.run / "notes").symlink_to(tmp_path / "other")
    sheet, notes = sorted(copied(place))
    assert sheet == f"{SHEET}: its place here: it is no file, or a link"
    assert notes.startswith("notes/-rf: its place here: ")
    assert landed(place) == {NOTES: FILES[NOTES]}
    assert not list((tmp_path / "other").iterdir())
    assert not (tmp_path / "elsewhere").exists()


def test_a_file_that_is_rewritten(place: Place) -> None:
    """A file that is rewritten while it is copied arrives with its new bytes, whatever its time."""
    status = (place.there / SHEET).stat()

    def rewrite() -> None:
        (place.there / SHEET).write_bytes(b"SAMPLE\n")
        os.utime(place.there / SHEET, ns=(status.st_atime_ns, status.st_mtime_ns))

    assert copied(place, runner=meddling("--files-from=-", rewrite)) == []
    assert landed(place) == FILES | {SHEET: b"SAMPLE\n"}
    assert [files for files, _ in place.sent()] == [3, 1]


def test_a_growing_file(place: Place) -> None:
    """A file that differs whenever it was copied is reported; the next sync copies it."""

    def grow() -> None:
        with (place.there / SHEET).open("ab") as file:
            file.write(b"more\n")

    growing = meddling("--files-from=-", grow, times=2)
    assert copied(place, runner=growing) == [
        f"{SHEET} differs from the upstream; it may be growing"
    ]
    assert copied(place) == []
    assert landed(place) == FILES | {SHEET: b"sample\nmore\nmore\n"}


def test_a_file_that_vanishes(place: Place) -> None:
    """A file that vanishes before it is copied is reported, and all others are copied."""
    vanishing = meddling(RUN_FILES, (place.there / SHEET).unlink)
    assert copied(place, runner=vanishing) == [f"{SHEET} was not copied: No such file or directory"]
    assert landed(place) == {name: FILES[name] for name in FILES if name != SHEET}


def test_copied_files_survive_a_power_cut(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each copied file is on its disk before it counts as copied."""
    synced = set()
    fsync = os.fsync

    def recorded(descriptor: int) -> None:
        synced.add(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", recorded)
    copied(place)
    assert {str(place.run / name) for name in FILES} <= synced


def test_what_the_upstream_reports(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Problems of the listing are reported, three at most, and what was listed is copied."""
    programs = FakePrograms(tmp_path / "bin", monkeypatch)
    find = shutil.which("find", path=os.environ["PATH"].partition(":")[2])
    noise = 'for each in 1 2 3 4; do echo "bad $each" >&2; done'
    programs.install("find", f'#!/bin/sh\n{noise}\nexec {find} "$@"\n')
    problems = copied(place)
    assert problems[:3] == ["bad 1", "bad 2", "bad 3"]
    assert len(problems) == 3
    assert landed(place) == FILES


def test_a_template(place: Place) -> None:
    """The command line of the configuration is used, with the niceness of the action."""
    marked = ("rsync", "{options}", "--contimeout=1", "{source}", "{destination}")
    with pytest.raises((PermanentError, TemporaryError)):
        copied(place, upstream=replace(place.upstream, rsync=marked), nice=3)
    assert "nice -n 3 rsync " in place.log.read_text()
    assert "--ignore-missing-args" in place.log.read_text()
    assert landed(place) == {}


def test_a_stopped_copy(place: Place) -> None:
    """A copy that has to stop copies nothing more, and is no permanent failure."""
    with pytest.raises(TemporaryError, match="stop"):
        copied(place, stop=lambda: True)
    assert landed(place) == {}


def test_a_missing_run(place: Place) -> None:
    """A run that is not there is an error, not a run without files."""
    shutil.rmtree(place.there)
    with pytest.raises((PermanentError, TemporaryError)):
        copied(place)
