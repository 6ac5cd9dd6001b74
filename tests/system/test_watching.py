"""Watches in difficult cases: FUSE, a full kernel queue, unmounts, and trees that change fast."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from watched_landing import CELL, DEADLINE, HOUR, Watched, add_run, wait_until

from hesiod_watch.runs.landing import LandingArea

pytestmark = [pytest.mark.system, pytest.mark.slow]


@pytest.fixture
def bound(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """A directory and its FUSE mount; writes to the directory cause no event in the mount."""
    if not shutil.which("bindfs") or not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("needs bindfs and /dev/fuse")
    beneath, mounted = tmp_path / "beneath", tmp_path / "mounted"
    beneath.mkdir()
    mounted.mkdir()
    mount(beneath, mounted)
    yield beneath, mounted
    subprocess.run(["fusermount", "-u", "-z", "-q", mounted], check=False)


def mount(beneath: Path, mounted: Path) -> None:
    # Without caches a test does not depend on their age.
    options = "attr_timeout=0,entry_timeout=0,negative_timeout=0"
    subprocess.run(["bindfs", "-o", options, beneath, mounted], check=True, timeout=DEADLINE)


def test_changes_underneath_a_fuse_mount_are_found_by_sweeps(bound: tuple[Path, Path]) -> None:
    """FUSE gives no events, so sweeps find all changes, at half the interval from the start."""
    beneath, mounted = bound
    with Watched(mounted) as watched:
        assert watched.state() == "polled"
        assert watched.watching.next_check() == 5.0
        cell = add_run(beneath, "run")
        watched.sweep()
        assert watched.hints.all == [None, mounted / "run"]
        (cell / "final_summary.txt").write_text("x")
        watched.hints.clear()
        watched.sweep()
        assert mounted / "run" in watched.hints.all
        # A write of this host through the mount needs no sweep.
        watched.hints.clear()
        (mounted / "own").mkdir()
        assert watched.hints.has(mounted / "own")


def test_a_change_without_an_event_is_evidence(bound: tuple[Path, Path]) -> None:
    """A file system that fails to give expected events is detected and swept faster.

    After 24 hours it is trusted again.
    """
    beneath, mounted = bound
    with Watched(mounted, "inotify") as watched:
        assert watched.state() == "events"
        (mounted / "own").mkdir()
        assert watched.hints.has(mounted / "own")
        watched.sweep(2)
        assert (watched.state(), watched.watching.counters.missed) == ("events", 0)

        add_run(beneath, "run")
        watched.sweep()
        assert watched.hints.has(mounted / "run")
        assert watched.state() == "events"  # the event may still be on its way
        watched.sweep()
        assert watched.state() == "polled"
        assert watched.watching.next_check() == 5.0
        counters = watched.watching.counters
        assert (counters.found_by_sweep, counters.missed) == (
            3,
            1,
        )  # the run; no event was expected below it
        assert counters.watches == 1 + 1 + 3

        watched.now += 23 * HOUR
        assert watched.state() == "polled"
        watched.now += 1 * HOUR
        assert watched.state() == "events"


def test_flags_written_elsewhere_are_found_and_prove_nothing(bound: tuple[Path, Path]) -> None:
    """A flag found by a sweep is a hint, but no evidence against events.

    Events do not cover `pipeline/`.
    """
    beneath, mounted = bound
    add_run(beneath, "run")
    (beneath / "run" / "pipeline").mkdir()
    with Watched(mounted, "inotify") as watched:
        watched.hints.clear()
        (beneath / "run" / "pipeline" / "aborted").touch()
        watched.sweep()
        assert watched.hints.all == [mounted / "run"]
        watched.sweep(3)
        assert (watched.state(), watched.watching.counters.found_by_sweep) == ("events", 0)


def test_an_unmounted_landing_area_is_gone_until_it_is_mounted_again(
    bound: tuple[Path, Path],
) -> None:
    """The empty mount point is not taken for a landing area without runs."""
    beneath, mounted = bound
    add_run(beneath, "run")
    with Watched(mounted) as watched:
        subprocess.run(["fusermount", "-u", mounted], check=True)
        watched.sweep()
        assert watched.state() == "gone"
        assert "is its file system mounted?" in watched.watching.describe()
        watched.hints.clear()
        watched.sweep(3)
        assert watched.hints.all == []
        mount(beneath, mounted)
        watched.sweep()
        assert watched.state() == "polled"
        assert watched.hints.all == [None]


def test_a_dead_fuse_server_is_not_an_empty_landing_area(bound: tuple[Path, Path]) -> None:
    """A landing area whose FUSE server was killed is reported as gone, not as empty."""
    beneath, mounted = bound
    add_run(beneath, "run")
    with Watched(mounted) as watched:
        line = f"bindfs -o attr_timeout=0,entry_timeout=0,negative_timeout=0 {beneath} {mounted}"
        servers = [
            int(process.name)
            for process in Path("/proc").iterdir()
            if process.name.isdigit() and command_of(process) == line.encode()
        ]
        assert len(servers) == 1
        os.kill(servers[0], 9)
        assert wait_until(lambda: unreachable(mounted))
        watched.hints.clear()
        watched.sweep(2)
        assert watched.state() == "gone"
        assert "not connected" in watched.watching.describe()
        assert watched.hints.all == []


def command_of(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes().replace(b"\0", b" ").strip()
    except (FileNotFoundError, ProcessLookupError):
        return b""  # it has just ended


def unreachable(path: Path) -> bool:
    try:
        path.stat()
    except OSError:
        return True
    return False


def test_nothing_is_lost_when_the_kernel_loses_events(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """After an overflow of the kernel's queue, all runs are examined and watched again.

    The test blocks the receiver of hints until the queue is full.
    """
    queue = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if queue > 100_000:
        pytest.skip(f"the kernel's queue is too long to fill ({queue} events)")
    landing, archive = tmp_path / "landing", tmp_path / "archive"
    landing.mkdir()
    archive.mkdir()
    cell = add_run(landing, "busy")
    for name in ("leaves", "renamed", "replaced", "deleted"):
        add_run(landing, name)
    with Watched(landing) as watched:
        assert watched.watching.counters.watches == 1 + 3 * 5
        watched.hints.clear()
        with watched.hints.held:
            (cell / "final_summary.txt").touch()  # the reader waits to deliver this hint
            for number in range(queue):  # two events each
                (cell / f"{number}.txt").touch()
            cells = [add_run(landing, f"run_{number}") for number in range(20)]
            (landing / "leaves").rename(archive / "leaves")
            (landing / "renamed").rename(landing / "another name")
            shutil.rmtree(landing / "deleted")
            (landing / "replaced").rename(archive / "replaced")
            cells += [landing / "another name" / "lib" / CELL, add_run(landing, "replaced"), cell]
        assert watched.hints.has(None)
        assert watched.watching.counters.overflows >= 1
        assert "the kernel lost events" in caplog.text
        assert wait_until(lambda: watched.watching.counters.watches == 1 + 3 * len(cells))
        watched.hints.clear()
        for left in archive.iterdir():
            (left / "lib" / CELL / "final_summary.txt").touch()
        for cell in cells:
            (cell / "final_summary_late.txt").touch()
        runs = {cell.parents[1] for cell in cells}
        assert watched.hints.has(*runs)
        assert set(watched.hints.all) == runs
        watched.sweep(3)
        assert watched.state() == "events"  # an overflow is reported, so it is no missing event


def test_a_tree_made_faster_than_watches_are_placed(tmp_path: Path) -> None:
    """All of 300 runs that are made without a pause are found, and every cell is watched."""
    with Watched(tmp_path) as watched:
        cells = []
        for number in range(300):
            cells.append(add_run(tmp_path, f"run_{number}"))
            (cells[-1] / "fastq_pass" / "barcode01").mkdir(parents=True)
            (cells[-1] / "final_summary.txt").touch()
        assert watched.hints.has(*(cell.parents[1] for cell in cells))
        assert wait_until(lambda: watched.watching.counters.watches == 1 + 3 * 300)
        watched.hints.clear()
        for cell in cells:
            (cell / "final_summary_2.txt").touch()
        assert watched.hints.has(*(cell.parents[1] for cell in cells))
        watched.sweep(3)
        assert (watched.state(), watched.watching.counters.found_by_sweep) == ("events", 0)


def test_trees_that_come_and_go_while_they_are_being_armed(tmp_path: Path) -> None:
    """Runs renamed or deleted at full speed leave no watch behind, and all others are found."""
    landing, archive = tmp_path / "landing", tmp_path / "archive"
    landing.mkdir()
    archive.mkdir()
    with Watched(landing) as watched:
        for number in range(300):
            run = add_run(landing, f"run_{number}").parents[1]
            run = run.rename(landing / f"renamed_{number}")
            if number % 3 == 0:
                run.rename(archive / run.name)
            elif number % 3 == 1:
                shutil.rmtree(run)
        stay = [landing / f"renamed_{number}" for number in range(2, 300, 3)]
        assert watched.hints.has(*stay)
        assert wait_until(lambda: watched.watching.counters.watches == 1 + 3 * len(stay))
        watched.hints.clear()
        for run in (*stay, *archive.iterdir()):
            (run / "lib" / CELL / "final_summary.txt").touch()
        assert watched.hints.has(*stay)
        assert set(watched.hints.all) == set(stay)
        assert watched.watching.counters.handler_errors == 0


@pytest.mark.parametrize("seed", range(3))
def test_all_present_runs_are_watched_after_random_changes(tmp_path: Path, seed: int) -> None:
    """After 1000 random arrivals, moves and deletions each present cell is watched by its name."""
    dice = random.Random(seed)
    landing, archive = tmp_path / "landing", tmp_path / "archive"
    landing.mkdir()
    archive.mkdir()

    def a_name(level: int) -> str:
        return (
            f"20190710_1723_2-A5-D5_PAD38578_{dice.randrange(16):08x}"
            if level == 3
            else f"d{dice.randrange(20)}"
        )

    def directories(level: int) -> list[Path]:
        return sorted(landing.glob("/".join("*" * level))) if level else [landing]

    def arrive() -> None:
        (landing / a_name(1) / a_name(2) / a_name(3)).mkdir(parents=True, exist_ok=True)

    def move(number: int) -> None:
        level = dice.choice((1, 2, 3))
        choices = directories(level)
        if not choices:
            return
        place = dice.choice(choices)
        target = dice.choice(
            (dice.choice(directories(level - 1)) / a_name(level), archive / str(number))
        )
        if not target.exists():
            place.rename(target)

    def bring_back() -> None:
        target = landing / a_name(1)
        if (away := sorted(archive.iterdir())) and not target.exists():
            dice.choice(away).rename(target)

    def delete() -> None:
        if choices := directories(dice.choice((1, 2, 3))):
            shutil.rmtree(dice.choice(choices))

    with Watched(landing) as watched:
        for number in range(1000):
            match dice.randrange(10):
                case 0 | 1 | 2 | 3 | 4:
                    arrive()
                case 5 | 6 | 7:
                    move(number)
                case 8:
                    bring_back()
                case _:
                    delete()
        marker = landing / "last"
        marker.mkdir()
        assert watched.hints.has(marker)
        runs, libraries = directories(1), directories(2)
        cells = [place for place in directories(3) if place.name.startswith("2019")]
        assert watched.watching.counters.watches == 1 + len(runs) + len(libraries) + len(cells)
        watched.hints.clear()
        for place in archive.glob("**/2019*"):
            (place / "final_summary.txt").touch()
        for place in cells:
            (place / "final_summary.txt").touch()
        expected = {LandingArea(landing).run_of(place) for place in cells}
        assert watched.hints.has(*expected)
        assert set(watched.hints.all) == expected
        assert watched.watching.counters.handler_errors == 0
