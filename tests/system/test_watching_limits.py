"""Watches within limits of the kernel or of permissions: each body runs in a separate process.

If a test lowers a limit of the kernel, that process is in its own user namespace, so that the rest
of the machine is not affected. `run_inside` starts this file as a script there.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from watched_landing import CELL, DEADLINE, HOUR, Watched, add_run, wait_until

from hesiod_watch.runs.landing import LandingArea
from hesiod_watch.service.watch.sweep import Sweeper

pytestmark = [pytest.mark.system, pytest.mark.slow]

BODIES: dict[str, Callable[[Path], None]] = {}


def inside(body: Callable[[Path], None]) -> Callable[[Path], None]:
    """Register a function that `run_inside` can run by name."""
    BODIES[body.__name__] = body
    return body


def run_inside(body: Callable[[Path], None], directory: Path, *before: str) -> None:
    """Run `body(directory)` in a separate process.

    The command `before` must start that process at its end.
    """
    command = (*before, sys.executable, __file__, body.__name__, str(directory))
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=DEADLINE * 2, env=environment()
    )
    assert ended.returncode == 0, ended.stderr


def environment() -> dict[str, str]:
    """Environment in which this file works as a script, with the modules that pytest finds."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


def with_limit(name: str, value: int) -> tuple[str, ...]:
    """Prefix for a user namespace with a lower limit of inotify; skip if that is not allowed."""
    command = (
        "unshare",
        "-Ur",
        "sh",
        "-ec",
        f'echo {value} > /proc/sys/user/{name}; exec "$@"',
        "sh",
    )
    if (
        not shutil.which("unshare")
        or subprocess.run([*command, "true"], capture_output=True).returncode != 0
    ):
        pytest.skip("needs user namespaces")
    return command


@inside
def few_watches(landing: Path) -> None:
    cells = [add_run(landing, f"run_{number:02}") for number in range(20)]
    log = Log()
    with Watched(landing) as watched:
        # 1 + 3 x 20 are needed. Newer runs come first, each down to its cell.
        assert watched.state() == "partial", watched.watching.describe()
        counters = watched.watching.counters
        assert (counters.watches, counters.refused) == (30, 31), counters
        assert "raise fs.inotify.max_user_watches by 31 at least, 61 are wanted" in log.text
        assert "this is not a full disk" in log.text
        assert watched.watching.next_check() == 5.0
        watched.hints.clear()
        (cells[11] / "final_summary.txt").touch()
        assert watched.hints.has(landing / "run_11")
        watched.hints.clear()
        (cells[3] / "final_summary.txt").touch()
        assert watched.hints.all == []
        watched.sweep()
        assert landing / "run_03" in watched.hints.all
        watched.sweep(3)
        assert watched.state() == "partial"  # no event was expected there, so this is no evidence
        assert watched.watching.counters.missed == 0
        # A new run takes no watches from the others.
        watched.hints.clear()
        (landing / "run_99").mkdir()
        assert watched.hints.has(landing / "run_99")
        for _ in range(20):
            watched.sweep()
            assert watched.watching.counters.watches == 30
        (landing / "run_99").rmdir()
        # Free watches are used.
        for cell in cells[8:]:
            shutil.rmtree(cell.parents[1])
        assert wait_until(lambda: watched.watching.counters.watches == 1)
        watched.sweep(20)
        assert watched.state() == "events", watched.watching.describe()
        assert watched.watching.counters.watches == 1 + 3 * 8


def test_watches_run_out(tmp_path: Path) -> None:
    """Too few watches are used for whole runs down to their cells, and sweeps do the rest.

    The log names the sysctl. With fewer runs the state is normal again.
    """
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
        assert "1 of 1 directory can only be swept" in watched.watching.describe()
        assert "fs.inotify.max_user_watches" in watched.watching.describe()
        (landing / "run").mkdir()
        watched.sweep()
        assert watched.hints.all == [None, landing / "run"]


def test_no_watch_is_available(tmp_path: Path) -> None:
    """If not even the landing area can be watched, the reported reason is the limit."""
    run_inside(no_watches, tmp_path, *with_limit("max_inotify_watches", 0))


@inside
def without_events(landing: Path) -> None:
    before = set(os.listdir("/proc/self/fd"))
    silent, noise = os.pipe()

    def silence_inotify(event: str, arguments: tuple[object, ...]) -> None:
        """Replace the inotify descriptor by a silent pipe just before the probe is made."""
        if event == "open" and ".hesiod-watch-probe." in str(arguments[0]):
            for name in set(os.listdir("/proc/self/fd")) - before:
                with contextlib.suppress(FileNotFoundError):
                    if "inotify" in str(Path("/proc/self/fd", name).readlink()):
                        os.dup2(silent, int(name))

    sys.addaudithook(silence_inotify)
    with Watched(landing) as watched:
        assert watched.state() == "polled", watched.watching.describe()
        assert "a file made in the landing area gave no event" in watched.watching.describe()
        (landing / "run").mkdir()
        watched.sweep()
        assert watched.hints.all == [None, landing / "run"]
        os.write(noise, b"!")  # so that the thread can end


def test_events_that_do_not_arrive_are_noticed_at_the_start(tmp_path: Path) -> None:
    """The self-test trusts events only if its own one arrives, without a list of file systems."""
    run_inside(without_events, tmp_path)


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


def test_no_inotify_instance_is_available(tmp_path: Path) -> None:
    """Without an inotify instance, sweeps find everything, and a full sweep tries again.

    The log names the limit.
    """
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
    """Every sweep lists a merged directory, whose mtime may not change."""
    if subprocess.run(["unshare", "-Urm", "true"], capture_output=True).returncode != 0:
        pytest.skip("needs user namespaces")
    run_inside(overlaid, tmp_path, "unshare", "-Urm")


@inside
def forbidden(landing: Path) -> None:
    log = Log()
    closed = landing / "closed"
    with Watched(landing) as watched:
        assert watched.state() == "partial", watched.watching.describe()
        assert f"1 directory can only be swept, such as {closed}: Permission denied" in log.text
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
        # A run that changed and became unreadable is a hint once, and once more when it is
        # readable.
        sweeper = Sweeper(LandingArea(landing), lambda run: False)
        for time_of_sweep in (0.0, 10.0, 20.0, 30.0):
            sweeper.sweep(time_of_sweep)
        (closed / "lib2").mkdir()
        closed.chmod(0o300)
        assert [sweeper.sweep(40.0).runs, sweeper.sweep(50.0).runs] == [(closed,), ()]
        closed.chmod(0o755)
        assert sweeper.sweep(60.0).runs == (closed,)
        # An unreadable landing area is not one without runs.
        landing.chmod(0o300)
        (landing / "unseen").mkdir()
        watched.sweep(2)
        assert watched.state() == "gone", watched.watching.describe()
        assert "permission denied" in watched.watching.describe()
        landing.chmod(0o755)
        watched.sweep()
        assert watched.state() == "events"


def test_directories_that_may_not_be_read(open_path: Path) -> None:
    """An unreadable run is reported, blocks no other, and is watched once it is readable."""
    landing = open_path / "landing"
    add_run(landing, "closed")
    (landing / "closed").chmod(0)
    run_inside(forbidden, landing, *as_another_user(landing))


@inside
def read_only(landing: Path) -> None:
    with Watched(landing) as watched:
        assert watched.state() == "events"
        assert (
            "events could not be tested, as no file can be made there"
            in watched.watching.describe()
        )


def test_a_landing_area_that_may_not_be_written(open_path: Path) -> None:
    """The self-test must make a file; if it cannot, events are trusted and this is reported."""
    landing = open_path / "landing"
    landing.mkdir()
    before = as_another_user(landing)
    landing.chmod(0o555)
    run_inside(read_only, landing, *before)


@pytest.fixture
def open_path() -> Iterator[Path]:
    """A directory that other users can reach; pytest's directories are only for its own user."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


def as_another_user(top: Path) -> tuple[str, ...]:
    """Prefix for a process of a user without root's rights who owns everything below `top`."""
    if os.geteuid() != 0:
        return ()
    uid = 65534
    command = ("setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups")
    here = [sys.executable, __file__]
    if (
        not shutil.which("setpriv")
        or subprocess.run([*command, *here], env=environment()).returncode != 0
    ):
        pytest.skip("needs setpriv, and a checkout that others than root can read")
    for path in (top, *top.rglob("*")):
        os.chown(path, uid, uid)
    return command


class Log(logging.Handler):
    """Collects the messages that the program logs in this process."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        logging.getLogger("hesiod_watch").addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.text += record.getMessage() + "\n"


if __name__ == "__main__":
    for name, argument in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
        BODIES[name](Path(argument))
