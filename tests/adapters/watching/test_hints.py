"""Hints from the real kernel and from sweeps, through the interface of the service."""

from __future__ import annotations

import logging
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from watched_landing import CELL, LONG, Hints, Watched, add_run, wait_until

from hesiod_watch.runs.landing import Batch, LandingArea
from hesiod_watch.service.watch.watcher import Watcher


def inotify_fds() -> set[int]:
    """Descriptors of this process that are inotify instances."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            if "inotify" in str(entry.readlink()):
                found.add(int(entry.name))
        except FileNotFoundError:
            continue  # the one that listed the directory
    return found


def test_the_start_announces_every_run(watched: Watched) -> None:
    """Everything that exists at the start is looked at."""
    assert watched.hints.all == [None]
    assert watched.state() == "events"
    assert "watched by events" in watched.watching.describe()


WAYS: dict[str, Callable[[Path, Path], object]] = {
    "written": lambda cell, aside: (cell / "final_summary_x.txt").write_text("x"),
    "old name": lambda cell, aside: (cell / "final_summary.txt").write_text("x"),
    "renamed": lambda cell, aside: aside.rename(cell / "final_summary_x.txt"),
    "hard link": lambda cell, aside: (cell / "final_summary_x.txt").hardlink_to(aside),
    "new directory": lambda cell, aside: (cell / "pod5").mkdir(),
    "new cell": lambda cell, aside: (cell.parent / CELL.replace("c6", "d7")).mkdir(),
    "new library": lambda cell, aside: (cell.parents[1] / "lib2").mkdir(),
    "cell deleted": lambda cell, aside: shutil.rmtree(cell),
    "cell moved away": lambda cell, aside: cell.rename(aside.parent / "cell"),
    "library moved away": lambda cell, aside: cell.parent.rename(aside.parent / "library"),
    "run moved away": lambda cell, aside: cell.parents[1].rename(aside.parent / "run"),
}


@pytest.mark.parametrize("way", WAYS)
def test_events_announce_the_run(tmp_path: Path, watched: Watched, cell: Path, way: str) -> None:
    """Every relevant change in a run is announced without a sweep, however it was made."""
    aside = tmp_path / "aside"
    aside.write_text("x")
    WAYS[way](cell, aside)
    assert watched.hints.has(watched.path / "run")
    assert watched.watching.counters.sweeps == 1


def test_the_end_of_writing_is_announced(watched: Watched, cell: Path) -> None:
    """A summary is announced when its writer closes it, not while it is empty."""
    watched.hints.clear()
    with (cell / "final_summary.txt").open("w") as summary:
        watched.settle()
        summary.write("x")
        summary.flush()
        watched.settle()
        assert cell.parents[1] not in watched.hints.all
    assert watched.hints.has(cell.parents[1])


def test_data_directories_are_not_watched(watched: Watched, cell: Path) -> None:
    """A thousand files in fastq_pass cost no event, and there is no watch inside a cell."""
    before = watched.watching.counters
    assert before.watches == 1 + 3 + 1  # landing area; run, library, cell; the marker's run
    for number in range(1000):
        (cell / "fastq_pass" / f"{number}.fastq").write_text("@")
    for name in ("fast5_pass", "pod5", "bam_pass"):
        (cell.parents[1] / name).mkdir()  # a level or two too high, as data pooling does
        (cell.parent / name).mkdir()
        (cell.parents[1] / name / "data").touch()
        (cell.parent / name / "data").touch()
    watched.settle()
    after = watched.watching.counters
    assert after.events - before.events == 6 + 1  # the directories above and the marker
    assert after.watches == before.watches + 1


def test_other_files_are_dropped(watched: Watched, cell: Path) -> None:
    """Files other than summaries cause no hint, and an event only if unavoidable."""
    (cell / "report.html").touch()
    (cell / ".final_summary.txt.a3X").touch()
    (cell.parent / "notes.txt").touch()
    (watched.path / "notes.txt").touch()
    (watched.path / ".hidden").mkdir()
    (watched.path / "link").symlink_to(cell)
    watched.settle()
    assert len(watched.hints.all) == 1  # the marker
    assert watched.watching.counters.dropped > 0
    watched.sweep(3)
    assert watched.watching.counters.found_by_sweep == 0
    assert watched.state() == "events"


def test_a_tree_moved_in_is_watched(tmp_path: Path, watched: Watched) -> None:
    """A run moved in whole is announced and watched down to its cells."""
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "lib" / CELL).mkdir(parents=True)
    run = watched.path / "moved_in"
    elsewhere.rename(run)
    assert watched.hints.has(run)
    watched.hints.clear()
    (run / "lib" / CELL / "final_summary.txt").touch()
    assert watched.hints.has(run)


def test_a_run_moved_out_is_not_announced(tmp_path: Path, watched: Watched, cell: Path) -> None:
    """Changes in a run moved to an archive are not announced under its old name."""
    archive = tmp_path / "archive"
    cell.parents[1].rename(archive)
    assert watched.hints.has(watched.path / "run")
    watched.settle()
    watched.hints.clear()
    before = watched.watching.counters
    assert before.watches == 1 + 2
    (archive / "lib" / CELL / "final_summary.txt").touch()
    (archive / "lib2").mkdir()
    watched.settle()
    assert watched.path / "run" not in watched.hints.all
    assert watched.watching.counters.events == before.events + 1


def test_a_renamed_run_is_announced_under_its_new_name(watched: Watched, cell: Path) -> None:
    """Watches follow a run that is renamed within the landing area."""
    renamed = watched.path / "renamed"
    cell.parents[1].rename(renamed)
    assert watched.hints.has(renamed)
    watched.settle()
    watched.hints.clear()
    (renamed / "lib" / CELL / "final_summary.txt").touch()
    assert watched.hints.has(renamed)
    assert watched.path / "run" not in watched.hints.all


def test_a_run_that_takes_the_name_of_another(tmp_path: Path, watched: Watched, cell: Path) -> None:
    """A directory that is replaced by another of the same name is watched in its stead."""
    run = cell.parents[1]
    other = tmp_path / "other"
    (other / "lib" / CELL).mkdir(parents=True)
    run.rename(tmp_path / "away")
    other.rename(run)
    watched.settle()
    watched.hints.clear()
    (tmp_path / "away" / "lib" / CELL / "final_summary.txt").touch()
    watched.settle()
    assert run not in watched.hints.all
    (cell / "final_summary.txt").touch()
    assert watched.hints.has(run)


@pytest.mark.parametrize("batch", ["year", "month"])
def test_batches(tmp_path: Path, batch: Batch) -> None:
    """With batch directories, runs are noticed one level deeper, also in a new batch."""
    place = tmp_path / ("2026" if batch == "year" else "2026-11")
    with Watched(tmp_path, batch=batch) as watched:
        cell = place / "run" / "lib" / CELL
        cell.mkdir(parents=True)
        assert watched.hints.has(place / "run")
        watched.hints.clear()
        (cell / "final_summary.txt").touch()
        assert watched.hints.has(place / "run")
        (tmp_path / "not_a_batch" / "run").mkdir(parents=True)
        place.rename(tmp_path / "put_away")
        assert wait_until(lambda: watched.watching.counters.watches == 1)
        watched.sweep()
        assert set(watched.hints.all) == {place / "run"}


def test_landing_given_as_a_link(tmp_path: Path) -> None:
    """Hints through a linked landing area use its own name, as `LandingArea.runs` does."""
    (tmp_path / "real").mkdir()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "real")
    with Watched(link) as watched:
        (tmp_path / "real" / "run").mkdir()
        assert watched.hints.has(link / "run")


def test_everything_is_found_without_events(tmp_path: Path) -> None:
    """With the engine `poll` there is no inotify instance, and sweeps find it all."""
    before = inotify_fds()
    with Watched(tmp_path, engine="poll") as watched:
        assert inotify_fds() == before
        assert watched.state() == "polled"
        assert watched.watching.next_check() == 10.0
        cell = tmp_path / "run" / "lib" / CELL
        cell.mkdir(parents=True)
        watched.sweep()
        assert watched.hints.all == [None, tmp_path / "run"]
        assert watched.watching.counters.found_by_sweep == 3
        (cell / "final_summary.txt").touch()
        watched.sweep()
        assert watched.hints.all == [None, tmp_path / "run", tmp_path / "run"]
        watched.sweep()
        assert len(watched.hints.all) == 3


def test_full_sweeps_announce_every_run(tmp_path: Path) -> None:
    """Periodic full sweeps announce every run, in case a change was missed."""
    with Watched(tmp_path, engine="poll") as watched:
        watched.sweep(3)
        assert watched.hints.all == [None]
        watched.now += LONG
        watched.sweep()
        assert watched.hints.all == [None, None]


def test_checks_are_cheap_until_something_is_due(watched: Watched) -> None:
    """`check` does nothing before its time."""
    assert watched.watching.next_check() == 10.0
    for _ in range(100):
        watched.watching.check()
    assert watched.watching.counters.sweeps == 1
    watched.now += 10.0
    assert watched.watching.next_check() == 0.0


def test_a_failing_handler_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """After a failed hint the thread lives on, logs the failure and looks at everything."""
    hints = Hints()
    failing = True

    def hint(run: Path | None) -> None:
        if failing and run is not None:
            raise RuntimeError("no room for hints")
        hints(run)

    watching = Watcher(
        LandingArea(tmp_path),
        hint,
        engine="auto",
        sweep_interval=LONG,
        full_sweep_interval=LONG,
        settled=lambda run: False,
    )
    watching.start()
    hints.clear()
    (tmp_path / "run").mkdir()
    assert wait_until(lambda: watching.counters.handler_errors == 1)
    assert wait_until(lambda: "no room for hints" in caplog.text)  # logged a moment later
    failing = False
    assert wait_until(lambda: watching.next_check() == 0.0)
    watching.check()
    assert hints.all == [None]
    (tmp_path / "run" / "lib").mkdir()
    assert hints.has(tmp_path / "run")
    watching.stop()


def test_a_dead_reader_is_replaced(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """After the event thread died, `check` starts another and everything is looked at."""
    before = inotify_fds()
    descriptors = len(os.listdir("/proc/self/fd"))
    with Watched(tmp_path) as watched:
        (descriptor,) = inotify_fds() - before
        directory = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
        os.dup2(directory, descriptor)  # its next read fails: a directory cannot be read
        os.close(directory)
        (tmp_path / "run").mkdir()  # wakes the reader
        assert wait_until(lambda: watched.watching.next_check() == 0.0)
        assert "the thread that reads events failed" in caplog.text
        watched.hints.clear()
        watched.watching.check()
        assert watched.hints.all == [None]
        assert watched.watching.counters.restarts == 1
        assert len(inotify_fds() - before) == 1
        (tmp_path / "run" / "lib").mkdir()
        assert watched.hints.has(tmp_path / "run")
    assert len(os.listdir("/proc/self/fd")) == descriptors


def test_stop_leaves_nothing_behind(watched: Watched, cell: Path) -> None:
    """`stop` leaves no instance, thread or probe file; a second `stop` is harmless."""
    threads = threading.active_count()
    instances = inotify_fds()
    watched.hints.clear()
    watched.watching.stop()
    assert watched.hints.all == []
    assert threading.active_count() == threads - 1
    assert len(inotify_fds()) == len(instances) - 1
    assert not list(watched.path.glob(".*"))
    watched.watching.stop()
    assert watched.state() == "gone"


def test_nothing_is_logged_without_changes(
    watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    """The way of watching is logged at the start and not again."""
    caplog.set_level(logging.INFO)
    watched.sweep(20)
    assert [record for record in caplog.records if record.name.startswith("hesiod_watch")] == []


def test_a_settled_run_has_no_watch(tmp_path: Path) -> None:
    """A run has watches while it has work: they come with `update`, and so they go."""
    cell = add_run(tmp_path, "run")
    run = tmp_path / "run"
    with Watched(tmp_path) as watched:
        assert watched.watching.counters.watches == 4
        watched.settled.add(run)
        watched.watching.update(run)
        assert watched.watching.counters.watches == 1
        watched.sweep()
        watched.hints.clear()
        (cell / "final_summary.txt").touch()
        watched.settle()
        assert run not in watched.hints.all
        # What came before the watch is found by another look.
        watched.settled.clear()
        watched.watching.update(run)
        assert watched.hints.has(run)
        assert watched.watching.counters.watches == 4 + 1  # and the marker
        watched.hints.clear()
        (cell / "final_summary_2.txt").touch()
        assert watched.hints.has(run)
        watched.hints.clear()
        watched.watching.update(run)
        assert watched.hints.all == []  # it is watched already


def test_a_settled_run_that_is_renamed_or_removed(tmp_path: Path) -> None:
    """Events of the landing area show a settled run's removal and new name, and no other run."""
    for name in ("old", "other"):
        add_run(tmp_path, name)
    with Watched(tmp_path) as watched:
        for run in (tmp_path / "old", tmp_path / "other"):
            watched.settled.add(run)
            watched.watching.update(run)
        watched.hints.clear()
        (tmp_path / "old").rename(tmp_path / "new")
        assert watched.hints.has(tmp_path / "old", tmp_path / "new")
        watched.settle()
        assert tmp_path / "other" not in watched.hints.all
