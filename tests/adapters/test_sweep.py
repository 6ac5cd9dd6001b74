"""Sweeps on a real file system; time is an argument, so no test waits."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from younger_files import next_tick

from hesiod_watch.host.mounts import Kind, Mount
from hesiod_watch.host.mtime import modified, modified_for, modified_on_server
from hesiod_watch.runs.landing import LandingArea
from hesiod_watch.service.watch.sweep import Sweeper

CELL = "20190710_1723_2-A5-D5_PAD38578_c6ded78b"
OTHER_CELL = "20190711_0900_2-A5-D5_PAD38579_0a1b2c3d"


class Sweeps:
    """Sweeper of `landing` with its own clock, which advances 10 s with each sweep."""

    def __init__(
        self,
        landing: LandingArea,
        settled: Callable[[Path], bool] = lambda run: False,
        *,
        trust_mtimes: bool = True,
    ) -> None:
        self._sweeper = Sweeper(landing, settled, trust_mtimes=trust_mtimes)
        self._now = 0.0

    def runs(self, *, full: bool = False, seconds: float = 10.0) -> list[str]:
        """Names of the runs that the next sweep reports."""
        self._now += seconds
        return sorted(run.name for run in self._sweeper.sweep(self._now, full=full).runs)

    def added(self) -> list[Path]:
        self._now += 10.0
        return sorted(self._sweeper.sweep(self._now).added)

    def cool(self) -> None:
        """Sweep until no directory is hot."""
        for _ in range(4):
            self.runs()


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with a library and a cell that contains data."""
    run = tmp_path / "run_a"
    (run / "lib" / CELL / "fastq_pass").mkdir(parents=True)
    (run / "pipeline").mkdir()
    return run


def restoring_mtime(directory: Path, change: Callable[[], object]) -> None:
    """Make a change and restore the directory's mtime, as a slow clock would."""
    before = directory.stat()
    change()
    os.utime(directory, ns=(before.st_atime_ns, before.st_mtime_ns))


CHANGES: dict[str, Callable[[Path], object]] = {
    "new library": lambda run: (run / "lib2").mkdir(),
    "new cell": lambda run: (run / "lib" / OTHER_CELL).mkdir(),
    "new directory in a cell": lambda run: (run / "lib" / CELL / "pod5").mkdir(),
    "final summary": lambda run: (run / "lib" / CELL / "final_summary.txt").write_text("x"),
    "final summary, versioned": lambda run: (
        run / "lib" / CELL / "final_summary_PAD_1_2.txt"
    ).touch(),
    "flag made": lambda run: (run / "pipeline" / f"{CELL}.synced").touch(),
    "cell gone": lambda run: shutil.rmtree(run / "lib" / CELL),
    "cell renamed": lambda run: (run / "lib" / CELL).rename(run / "lib" / OTHER_CELL),
    "run gone": shutil.rmtree,
    "pipeline gone": lambda run: (run / "pipeline").rmdir(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changes_are_found_once(tmp_path: Path, run: Path, change: str) -> None:
    """The next sweep finds every relevant change once, in its own run only."""
    (tmp_path / "run_b" / "lib").mkdir(parents=True)
    sweeps = Sweeps(LandingArea(tmp_path))
    assert sweeps.runs() == ["run_a", "run_b"]
    sweeps.cool()
    next_tick(tmp_path)
    CHANGES[change](run)
    assert sweeps.runs() == ["run_a"]
    assert sweeps.runs() == []


def test_a_flag_that_is_removed_or_replaced_is_found(tmp_path: Path, run: Path) -> None:
    """A flag that a person removes, or writes again under the same name, is found."""
    flag = run / "pipeline" / "failed"
    flag.touch()
    sweeps = Sweeps(LandingArea(tmp_path))
    sweeps.cool()
    next_tick(tmp_path)
    flag.unlink()
    assert sweeps.runs() == ["run_a"]
    flag.touch()
    sweeps.cool()
    (run / "pipeline" / ".new").write_text("LOCAL")
    (run / "pipeline" / ".new").rename(flag)
    assert sweeps.runs() == ["run_a"]


def test_files_that_do_not_matter(tmp_path: Path, run: Path) -> None:
    """Data files, reports, hidden names and links are no reason to look, and no addition."""
    sweeps = Sweeps(LandingArea(tmp_path))
    sweeps.cool()
    cell = run / "lib" / CELL
    for number in range(100):
        (cell / "fastq_pass" / f"{number}.fastq").touch()
    (cell / "report.html").touch()
    (cell / ".final_summary.txt.Xa3").touch()
    (run / "notes.txt").touch()
    (run / ".hidden").mkdir()
    (run / "link").symlink_to(cell)
    (tmp_path / "link").symlink_to(run)
    (tmp_path / "lost+found").mkdir()
    assert sweeps.runs() == []


def test_a_new_tree_is_found_whole(tmp_path: Path, run: Path) -> None:
    """A new tree is reported in one sweep, down to the summary."""
    sweeps = Sweeps(LandingArea(tmp_path, "year"))
    sweeps.cool()
    cell = tmp_path / "2026" / "new" / "lib" / CELL
    cell.mkdir(parents=True)
    (cell / "final_summary.txt").touch()
    expected = [cell.parents[2], cell.parents[1], cell.parent, cell, cell / "final_summary.txt"]
    assert sweeps.added() == expected


def test_a_summary_that_is_written_later_is_found(tmp_path: Path, run: Path) -> None:
    """A later write into a summary is found, although it changes no directory's mtime."""
    summary = run / "lib" / CELL / "final_summary.txt"
    summary.touch()
    sweeps = Sweeps(LandingArea(tmp_path))
    sweeps.cool()
    summary.write_text("fastq_files_in_final_dest=3\n")
    assert sweeps.runs() == ["run_a"]
    assert sweeps.runs() == []


def test_hot_directories_are_listed_although_their_mtime_is_unchanged(
    tmp_path: Path, run: Path
) -> None:
    """A second change within one tick of the clock is found while the directory is hot."""
    library = run / "lib"
    sweeps = Sweeps(LandingArea(tmp_path))
    sweeps.cool()
    (library / OTHER_CELL).mkdir()
    assert sweeps.runs() == ["run_a"]
    restoring_mtime(library, (library / "another").mkdir)
    assert sweeps.runs() == ["run_a"]
    restoring_mtime(library, (library / "one more").mkdir)
    assert sweeps.runs() == ["run_a"]


def test_a_directory_stays_hot_for_two_seconds_of_our_clock(tmp_path: Path, run: Path) -> None:
    """A changed directory is listed until two seconds have passed, however often we sweep."""
    library = run / "lib"
    sweeps = Sweeps(LandingArea(tmp_path))
    sweeps.cool()
    (library / OTHER_CELL).mkdir()
    sweeps.runs()
    for _ in range(15):
        sweeps.runs(seconds=0.1)
    restoring_mtime(library, (library / "another").mkdir)
    assert sweeps.runs(seconds=0.1) == ["run_a"]


def test_full_sweeps_need_no_mtime(tmp_path: Path, run: Path) -> None:
    """A full sweep finds a change that moved no mtime; an ordinary one cannot."""
    sweeps = Sweeps(LandingArea(tmp_path))
    sweeps.cool()
    restoring_mtime(run / "lib", (run / "lib" / OTHER_CELL).mkdir)
    assert sweeps.runs() == []
    assert sweeps.runs(full=True) == ["run_a"]


def test_every_sweep_lists_directories_without_useful_mtimes(tmp_path: Path, run: Path) -> None:
    """On stacked file systems, where mtimes do not change, each sweep lists the directory."""
    sweeps = Sweeps(LandingArea(tmp_path), trust_mtimes=False)
    sweeps.cool()
    restoring_mtime(run / "lib", (run / "lib" / OTHER_CELL).mkdir)
    assert sweeps.runs() == ["run_a"]


def test_nothing_below_a_settled_run_is_read(tmp_path: Path, run: Path) -> None:
    """Of a settled run only the creation and the removal are found, and what the caller reports."""
    settled, moved = {run}, list[Path]()
    sweeper = Sweeper(LandingArea(tmp_path), settled.__contains__, lambda full: moved)
    assert sweeper.sweep(0).runs == (run,)
    (run / "lib2").mkdir()
    assert sweeper.sweep(10, full=True).runs == ()
    moved.append(run)
    assert sweeper.sweep(20).runs == (run,)
    shutil.rmtree(run)
    moved.clear()
    assert sweeper.sweep(30).runs == (run,)
    assert sweeper.runs == 0


def test_a_run_with_work_is_followed(tmp_path: Path, run: Path) -> None:
    """A run is read as soon as it has work, without a report of what it has contained before."""
    settled = {run}
    sweeper = Sweeper(LandingArea(tmp_path), settled.__contains__)
    sweeper.sweep(0)
    settled.clear()
    sweeper.follow(run, 5)
    assert sweeper.sweep(10).added == ()
    (run / "lib" / OTHER_CELL).mkdir()
    assert sweeper.sweep(20).runs == (run,)
    settled.add(run)
    sweeper.release(run)
    (run / "lib2").mkdir()
    assert sweeper.sweep(30).runs == ()


def test_landing_given_as_a_link(tmp_path: Path, run: Path) -> None:
    """New runs are found through a landing area that is a symbolic link, under its own name."""
    link = tmp_path.parent / f"{tmp_path.name}_link"
    link.symlink_to(tmp_path)
    sweeps = Sweeps(LandingArea(link))
    sweeps.cool()
    (tmp_path / "run_b").mkdir()
    assert sweeps.added() == [link / "run_b"]


def test_unreachable_is_not_empty(tmp_path: Path, run: Path) -> None:
    """Runs of a landing area that disappears are not reported as new when it returns."""
    sweeper = Sweeper(LandingArea(tmp_path), lambda run: False)
    sweeper.sweep(0)
    away = tmp_path.parent / f"{tmp_path.name}_away"
    tmp_path.rename(away)
    assert sweeper.sweep(10).runs == ()
    assert sweeper.runs == 1
    away.rename(tmp_path)
    assert sweeper.sweep(20).runs == ()
    assert sweeper.readable


@pytest.mark.parametrize("ask", [modified, modified_on_server])
def test_modification_times(tmp_path: Path, ask: Callable[[Path], int]) -> None:
    """Both queries return nanoseconds, follow no link and report a missing path."""
    moment = 1_568_714_513_123_456_789
    os.utime(tmp_path, ns=(0, moment))
    link = tmp_path.parent / f"{tmp_path.name}_link"
    link.symlink_to(tmp_path)
    assert ask(tmp_path) == moment
    assert ask(link) == link.lstat().st_mtime_ns != moment
    with pytest.raises(FileNotFoundError, match="missing"):
        ask(tmp_path / "missing")
    os.utime(tmp_path, ns=(0, -1_500_000_000))
    assert ask(tmp_path) == tmp_path.stat().st_mtime_ns == -1_500_000_000


@pytest.mark.parametrize(
    ("kind", "fstype", "expected"),
    [
        ("local", "xfs", modified),
        ("unknown", "newfs", modified),
        ("stacked", "overlay", modified),
        ("network", "lustre", modified),
        ("network", "nfs4", modified_on_server),
        ("network", "fuse.sshfs", modified_on_server),
    ],
)
def test_the_server_is_queried_if_caches_may_be_stale(
    kind: Kind, fstype: str, expected: object
) -> None:
    """Only file systems whose clients may be stale cost a round trip."""
    assert modified_for(Mount(fstype, kind)) is expected


def test_the_present_is_no_news(tmp_path: Path, run: Path) -> None:
    """The beginning reports nothing, reads what is open, and has the settled runs compared."""
    compared: list[bool] = []

    def moved(full: bool) -> tuple[Path, ...]:
        compared.append(full)
        return ()

    (tmp_path / "run_b").mkdir()
    sweeper = Sweeper(LandingArea(tmp_path), {tmp_path / "run_b"}.__contains__, moved)
    sweeper.begin(0)
    assert compared == [True]
    assert sweeper.runs == 2
    found = sweeper.sweep(10)
    assert (found.runs, found.added) == ((), ())
    (run / "lib" / OTHER_CELL).mkdir()
    found = sweeper.sweep(20)
    assert (found.runs, found.added) == ((run,), (run / "lib" / OTHER_CELL,))
