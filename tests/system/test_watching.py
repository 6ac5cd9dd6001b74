"""Watching where it is hard: FUSE, a full kernel queue, limits, mounts that go away, forbidden directories.

Tests that need a limit of the kernel lowered run their body in a user namespace of its own, so that nothing else
on the machine feels it: `inside` starts this file as a script there.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hesiod_watch.sources.landing import Landing
from hesiod_watch.sources.sweep import Sweeper
from hesiod_watch.sources.watching import Engine, Watching

pytestmark = [pytest.mark.system, pytest.mark.slow]

CELL = "20190710_1723_2-A5-D5_PAD38578_c6ded78b"
DEADLINE = 30.0
HOUR = 3600.0


class Hints:
    """Collects hints and waits for them. While `held`, whoever brings one has to wait."""

    def __init__(self) -> None:
        self._told = threading.Condition()
        self._all: list[Path | None] = []
        self.held = threading.Lock()

    def __call__(self, run: Path | None) -> None:
        with self.held, self._told:
            self._all.append(run)
            self._told.notify_all()

    @property
    def all(self) -> list[Path | None]:
        with self._told:
            return list(self._all)

    def clear(self) -> None:
        with self._told:
            self._all.clear()

    def has(self, *runs: Path | None) -> bool:
        """Whether all these hints come, at the latest at the deadline."""
        with self._told:
            return self._told.wait_for(lambda: set(runs) <= set(self._all), DEADLINE)


class Watched:
    """A landing area, watched inside a `with`, with a clock that `sweep` moves on."""

    def __init__(self, path: Path, engine: Engine = "auto") -> None:
        self.path = path
        self.hints = Hints()
        self.now = 1000.0
        self.watching = Watching(
            Landing(path),
            self.hints,
            engine=engine,
            sweep_interval=10.0,
            full_sweep_interval=1000 * HOUR,
            settled=lambda run: False,
            clock=lambda: self.now,
        )

    def __enter__(self) -> Watched:
        self.watching.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.watching.stop()

    def state(self) -> str:
        return self.watching.state

    def sweep(self, times: int = 1) -> None:
        for _ in range(times):
            self.now += self.watching.next_check()
            self.watching.check()


def wait_until(condition: Callable[[], bool]) -> bool:
    """Whether the condition comes true, at the latest at the deadline."""
    end = time.monotonic() + DEADLINE
    pause = threading.Event()
    while not condition():
        if time.monotonic() > end:
            return False
        pause.wait(0.01)
    return True


def add_run(landing: Path, name: str) -> Path:
    """A run with one cell; returns the cell."""
    cell = landing / name / "lib" / CELL
    cell.mkdir(parents=True)
    return cell


@pytest.fixture
def bound(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """A directory and a FUSE mount that shows it: what is written in the first is written behind the second's back."""
    if not shutil.which("bindfs") or not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("needs bindfs and /dev/fuse")
    beneath, mounted = tmp_path / "beneath", tmp_path / "mounted"
    beneath.mkdir()
    mounted.mkdir()
    mount(beneath, mounted)
    yield beneath, mounted
    subprocess.run(["fusermount", "-u", "-z", "-q", mounted], check=False)


def mount(beneath: Path, mounted: Path) -> None:
    # No caches, so that what a test sees does not depend on their age.
    options = "attr_timeout=0,entry_timeout=0,negative_timeout=0"
    subprocess.run(["bindfs", "-o", options, beneath, mounted], check=True, timeout=DEADLINE)


def test_changes_underneath_a_fuse_mount_are_found_by_sweeps(bound: tuple[Path, Path]) -> None:
    """FUSE is known to be deaf: swept at half the interval from the start, and what others write is found."""
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
        # What this host writes through the mount needs no sweep.
        watched.hints.clear()
        (mounted / "own").mkdir()
        assert watched.hints.has(mounted / "own")


def test_what_no_event_announced_is_evidence(bound: tuple[Path, Path]) -> None:
    """A file system that should give events and does not is found out, swept faster, and forgiven after 24 hours."""
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
        assert watched.state() == "events"  # the event might still be on its way
        watched.sweep()
        assert watched.state() == "polled"
        assert watched.watching.next_check() == 5.0
        counters = watched.watching.counters
        assert (counters.found_by_sweep, counters.missed) == (3, 1)  # the run; below it, no event was to be expected
        assert counters.watches == 1 + 1 + 3

        watched.now += 23 * HOUR
        assert watched.state() == "polled"
        watched.now += 1 * HOUR
        assert watched.state() == "events"


def test_flags_written_elsewhere_are_found_and_prove_nothing(bound: tuple[Path, Path]) -> None:
    """`pipeline/` is not covered by events: a flag found by a sweep is a hint, and no evidence against events."""
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


def test_an_unmounted_landing_area_is_gone_until_it_is_mounted_again(bound: tuple[Path, Path]) -> None:
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
    """When the process behind the mount is killed, the landing area cannot be reached: gone, not empty."""
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


def test_nothing_is_lost_when_the_kernel_loses_events(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """When hints are held up until the kernel's queue is full, everything is looked at and watched afterwards."""
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
            (cell / "final_summary.txt").touch()  # for this hint the reader has to wait
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
        assert watched.state() == "events"  # lost and said so is not deaf


def test_a_tree_made_faster_than_watches_are_placed(tmp_path: Path) -> None:
    """Of 300 runs made down to their summary without a pause, none is missed and every cell is watched."""
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
    """Runs renamed and deleted as fast as can be leave no watch behind and no run unannounced."""
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
def test_nothing_is_forgotten_whatever_people_do(tmp_path: Path, seed: int) -> None:
    """After a thousand random arrivals, moves and deletions, what is there is watched, and by its present name."""
    dice = random.Random(seed)
    landing, archive = tmp_path / "landing", tmp_path / "archive"
    landing.mkdir()
    archive.mkdir()

    def a_name(level: int) -> str:
        return f"20190710_1723_2-A5-D5_PAD38578_{dice.randrange(16):08x}" if level == 3 else f"d{dice.randrange(20)}"

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
        target = dice.choice((dice.choice(directories(level - 1)) / a_name(level), archive / str(number)))
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
        expected = {Landing(landing).run_of(place) for place in cells}
        assert watched.hints.has(*expected)
        assert set(watched.hints.all) == expected
        assert watched.watching.counters.handler_errors == 0


# What follows runs in a process of its own.

BODIES: dict[str, Callable[[Path], None]] = {}


def inside(body: Callable[[Path], None]) -> Callable[[Path], None]:
    """Register what `run_inside` runs by name."""
    BODIES[body.__name__] = body
    return body


def run_inside(body: Callable[[Path], None], directory: Path, *before: str) -> None:
    """Run `body(directory)` in a process of its own, after the command `before`, which ends by starting it."""
    command = (*before, sys.executable, __file__, body.__name__, str(directory))
    ended = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE * 2)
    assert ended.returncode == 0, ended.stderr


def with_limit(name: str, value: int) -> tuple[str, ...]:
    """In a user namespace where this limit of inotify is lowered; skip where that is not allowed."""
    command = ("unshare", "-Ur", "sh", "-ec", f'echo {value} > /proc/sys/user/{name}; exec "$@"', "sh")
    if not shutil.which("unshare") or subprocess.run([*command, "true"], capture_output=True).returncode != 0:
        pytest.skip("needs user namespaces")
    return command


@inside
def few_watches(landing: Path) -> None:
    cells = [add_run(landing, f"run_{number:02}") for number in range(20)]
    log = Log()
    with Watched(landing) as watched:
        # 1 + 3 x 20 are wanted; the upper levels come first: landing area, runs, 9 libraries.
        assert watched.state() == "partial", watched.watching.describe()
        counters = watched.watching.counters
        assert (counters.watches, counters.refused) == (30, 31), counters
        assert "raise fs.inotify.max_user_watches by 31 at least, 61 are wanted" in log.text
        assert "this is not a full disk" in log.text
        assert watched.watching.next_check() == 5.0
        watched.hints.clear()
        (landing / "run_07" / "another").mkdir()
        assert watched.hints.has(landing / "run_07")
        watched.hints.clear()
        (cells[3] / "final_summary.txt").touch()
        assert watched.hints.all == []
        watched.sweep()
        assert landing / "run_03" in watched.hints.all
        watched.sweep(3)
        assert watched.state() == "partial"  # no event was to be expected there, so this is no evidence
        assert watched.watching.counters.missed == 0
        # A run that comes in above them takes no watches from the others.
        watched.hints.clear()
        (landing / "run_99").mkdir()
        assert watched.hints.has(landing / "run_99")
        for _ in range(20):
            watched.sweep()
            assert watched.watching.counters.watches == 30
        (landing / "run_99").rmdir()
        # Watches that become free are taken.
        for cell in cells[:12]:
            shutil.rmtree(cell.parents[1])
        assert wait_until(lambda: watched.watching.counters.watches == 1 + 8 + 8)
        watched.sweep(20)
        assert watched.state() == "events", watched.watching.describe()
        assert watched.watching.counters.watches == 1 + 3 * 8


def test_watches_run_out(tmp_path: Path) -> None:
    """With too few watches the upper levels get them, the sysctl is named, sweeps do the rest, and it heals."""
    run_inside(few_watches, tmp_path, *with_limit("max_inotify_watches", 30))


@inside
def polling(landing: Path) -> None:
    with Watched(landing, "poll") as watched:
        (landing / "run").mkdir()
        watched.sweep()
        assert watched.hints.all == [None, landing / "run"]
    assert "watchdog" not in sys.modules


def test_polling_needs_no_watchdog(tmp_path: Path) -> None:
    """A process that only polls never loads the library for events."""
    run_inside(polling, tmp_path)


@inside
def no_watches(landing: Path) -> None:
    with Watched(landing) as watched:
        assert watched.state() == "partial"
        assert "1 of 1 directories are swept only" in watched.watching.describe()
        assert "fs.inotify.max_user_watches" in watched.watching.describe()
        (landing / "run").mkdir()
        watched.sweep()
        assert watched.hints.all == [None, landing / "run"]


def test_not_one_watch_is_left(tmp_path: Path) -> None:
    """Where not even the landing area can be watched, the reason that is given is the limit."""
    run_inside(no_watches, tmp_path, *with_limit("max_inotify_watches", 0))


@inside
def deaf(landing: Path) -> None:
    before = set(os.listdir("/proc/self/fd"))
    silent, noise = os.pipe()

    def deafen(event: str, arguments: tuple[object, ...]) -> None:
        """Just before the probe is made, what is read from is exchanged for something that never says a word."""
        if event == "open" and ".hesiod-watch-probe." in str(arguments[0]):
            for name in set(os.listdir("/proc/self/fd")) - before:
                with contextlib.suppress(FileNotFoundError):
                    if "inotify" in str(Path("/proc/self/fd", name).readlink()):
                        os.dup2(silent, int(name))

    sys.addaudithook(deafen)
    with Watched(landing) as watched:
        assert watched.state() == "polled", watched.watching.describe()
        assert "a file made in the landing area gave no event" in watched.watching.describe()
        (landing / "run").mkdir()
        watched.sweep()
        assert watched.hints.all == [None, landing / "run"]
        os.write(noise, b"!")  # so that the thread can end


def test_events_that_do_not_arrive_are_noticed_at_the_start(tmp_path: Path) -> None:
    """The self-test needs no list of file systems: what does not come back as an event is not believed in."""
    run_inside(deaf, tmp_path)


@inside
def no_instances(landing: Path) -> None:
    log = Log()
    libc = ctypes.CDLL(None, use_errno=True)
    taken = []
    while (descriptor := libc.inotify_init1(os.O_CLOEXEC)) >= 0:
        taken.append(descriptor)
    with Watched(landing) as watched:
        assert watched.state() == "polled"
        assert "raise fs.inotify.max_user_instances" in log.text
        assert watched.watching.next_check() == 5.0
        (landing / "run").mkdir()
        watched.sweep()
        assert watched.hints.all == [None, landing / "run"]
        for descriptor in taken:
            os.close(descriptor)
        watched.now += 1000 * HOUR
        watched.watching.check()
        assert watched.state() == "events", watched.watching.describe()


def test_no_instance_of_inotify_is_left(tmp_path: Path) -> None:
    """Without an inotify instance everything is found by sweeps, the limit is named, and a full sweep tries again."""
    run_inside(no_instances, tmp_path, *with_limit("max_inotify_instances", 3))


@inside
def overlaid(directory: Path) -> None:
    places = [directory / name for name in ("lower", "upper", "work", "merged")]
    for place in places:
        place.mkdir()
    lower, upper, work, merged = places
    add_run(upper, "run")
    options = f"lowerdir={lower},upperdir={upper},workdir={work},userxattr"
    subprocess.run(["mount", "-t", "overlay", "-o", options, "overlay", merged], check=True)
    with Watched(merged) as watched:
        assert watched.state() == "polled"
        watched.sweep(4)
        watched.hints.clear()
        before = (merged / "run" / "lib").stat().st_mtime_ns
        (upper / "run" / "lib" / CELL.replace("c6", "d7")).mkdir()
        os.utime(upper / "run" / "lib", ns=(before, before))
        watched.sweep()
        assert watched.hints.all == [merged / "run"]


def test_a_stacked_file_system_is_listed(tmp_path: Path) -> None:
    """Where the mtime of a merged directory need not move, every sweep lists."""
    if subprocess.run(["unshare", "-Urm", "true"], capture_output=True).returncode != 0:
        pytest.skip("needs user namespaces")
    run_inside(overlaid, tmp_path, "unshare", "-Urm")


@inside
def forbidden(landing: Path) -> None:
    log = Log()
    closed = landing / "closed"
    with Watched(landing) as watched:
        assert watched.state() == "partial", watched.watching.describe()
        assert f"1 directories are swept only, such as {closed}: Permission denied" in log.text
        (landing / "run").mkdir()
        assert watched.hints.has(landing / "run")
        watched.sweep(3)
        assert watched.watching.counters.handler_errors == 0
        watched.hints.clear()
        closed.chmod(0o755)
        watched.sweep()
        assert watched.hints.has(closed)
        watched.sweep(20)
        assert watched.state() == "events", watched.watching.describe()
        assert watched.watching.counters.watches == 1 + 3 + 1
        watched.hints.clear()
        (closed / "lib" / CELL / "final_summary.txt").touch()
        assert watched.hints.has(closed)
        # So is one that changed and cannot be read any more, once, and once more when it can.
        sweeper = Sweeper(Landing(landing), lambda run: False)
        for time_of_sweep in (0.0, 10.0, 20.0, 30.0):
            sweeper.sweep(time_of_sweep)
        (closed / "lib2").mkdir()
        closed.chmod(0o300)
        assert [sweeper.sweep(40.0).runs, sweeper.sweep(50.0).runs] == [(closed,), ()]
        closed.chmod(0o755)
        assert sweeper.sweep(60.0).runs == (closed,)
        # A landing area that nobody may read is not one without runs.
        landing.chmod(0o300)
        (landing / "unseen").mkdir()
        watched.sweep(2)
        assert watched.state() == "gone", watched.watching.describe()
        assert "permission denied" in watched.watching.describe()
        landing.chmod(0o755)
        watched.sweep()
        assert watched.state() == "events"


def test_directories_that_may_not_be_read(open_path: Path) -> None:
    """A run that may not be read is told of, hinders no other, and is watched as soon as it may be."""
    landing = open_path / "landing"
    add_run(landing, "closed")
    (landing / "closed").chmod(0)
    run_inside(forbidden, landing, *as_somebody_else(landing))


@inside
def read_only(landing: Path) -> None:
    with Watched(landing) as watched:
        assert watched.state() == "events"
        assert "events could not be tested, as no file can be made there" in watched.watching.describe()


def test_a_landing_area_that_we_may_not_write_to(open_path: Path) -> None:
    """The self-test needs to make a file; where it cannot, events get the benefit of the doubt and that is said."""
    landing = open_path / "landing"
    landing.mkdir()
    as_nobody = as_somebody_else(landing)
    landing.chmod(0o555)
    run_inside(read_only, landing, *as_nobody)


@pytest.fixture
def open_path() -> Iterator[Path]:
    """A directory that other users can reach; those of pytest are for its user only."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


def as_somebody_else(top: Path) -> tuple[str, ...]:
    """As a user whom permissions bind, and who owns all below `top`; for root that is another user."""
    if os.geteuid() != 0:
        return ()
    uid = 65534
    command = ("setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups")
    if not shutil.which("setpriv") or subprocess.run([*command, sys.executable, __file__]).returncode != 0:
        pytest.skip("needs setpriv, and a checkout that others than root can read")
    for path in (top, *top.rglob("*")):
        os.chown(path, uid, uid)
    return command


class Log(logging.Handler):
    """What the program logged in this process."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        logging.getLogger("hesiod_watch").addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.text += record.getMessage() + "\n"


if __name__ == "__main__":
    for name, argument in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
        BODIES[name](Path(argument))
