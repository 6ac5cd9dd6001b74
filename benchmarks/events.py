"""How long from the end of a run to the hint: close() of a final_summary to the call of `hint`.

Measured with nothing else going on, and while another process writes files into the data
directories of the same cells, as fast as it can (a `storm`). Two watchers are compared, one after
the other and on equal trees:

    watching   `hesiod_watch.service.watch.watcher.Watching`, as the service uses it bare       the
    least that can be done: a loop of read() on one inotify instance, watching the same directories
    for IN_CLOSE_WRITE and IN_MOVED_TO, with ctypes

What `bare` takes is the kernel's and the interpreter's share; the rest is ours. Times are of one
clock in one process: the summaries are written here, the storm is written by another process.

    python benchmarks/events.py [--summaries 200] [--storm 50000] [--directory DIR]

Prints a table; asserts nothing. Latencies depend on how busy the machine is: look at both rows.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hesiod_watch.runs.landing import LandingArea
from hesiod_watch.service.watch.watcher import Watcher

RUNS = 20
CELLS = 4
BARCODES = 24
CELL = "20190710_1723_2-A5-D{}_PAD38578_c6ded78b"
PAUSE = 0.01  # seconds between summaries
DEADLINE = 5.0

IN_CLOSE_WRITE, IN_MOVED_TO, IN_CREATE = 0x8, 0x80, 0x100
HEADER = struct.Struct("iIII")


class EventSource(Protocol):
    def stop(self) -> None: ...


Heard = Callable[[Path], None]
"""Called with the run's directory."""


class Bare:
    """read() in a loop, and nothing else. Watches exactly the directories it is given."""

    def __init__(self, directories: dict[Path, Path], heard: Heard) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._fd = libc.inotify_init1(os.O_CLOEXEC)
        mask = IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE
        runs = {
            libc.inotify_add_watch(self._fd, os.fsencode(directory), mask): run
            for directory, run in directories.items()
        }
        self._stopping = False
        self._wake = next(iter(directories)) / "final_summary_end"
        self._thread = threading.Thread(target=self._read, args=(runs, heard), daemon=True)
        self._thread.start()

    def _read(self, runs: dict[int, Path], heard: Heard) -> None:
        while not self._stopping:
            data = os.read(self._fd, 65536)
            at = 0
            while at < len(data):
                watch, mask, _, length = HEADER.unpack_from(data, at)
                if mask & (IN_CLOSE_WRITE | IN_MOVED_TO) and data.startswith(
                    b"final_summary", at + HEADER.size
                ):
                    heard(runs[watch])
                at += HEADER.size + length

    def stop(self) -> None:
        self._stopping = True
        self._wake.touch()
        self._thread.join(DEADLINE)
        os.close(self._fd)


@dataclass
class Tree:
    """A landing area with `RUNS` runs of `CELLS` cells."""

    landing: Path
    cells: dict[Path, Path]  # directory of a cell → that of its run

    @classmethod
    def make(cls, landing: Path) -> Tree:
        cells = {}
        for run_number in range(RUNS):
            run = landing / f"20190710_run{run_number}"
            for cell_number in range(CELLS):
                cell = run / "library" / CELL.format(cell_number)
                for barcode in range(BARCODES):
                    (cell / "fastq_pass" / f"barcode{barcode:02}").mkdir(parents=True)
                cells[cell] = run
        return cls(landing, cells)


def watching(tree: Tree, heard: Heard) -> EventSource:
    def hint(run: Path | None) -> None:
        if run is not None:
            heard(run)

    watching = Watcher(
        LandingArea(tree.landing),
        hint,
        engine="auto",
        sweep_interval=10.0,
        full_sweep_interval=3600.0,
        settled=lambda run: False,
    )
    watching.start()
    return watching


def bare(tree: Tree, heard: Heard) -> EventSource:
    return Bare(tree.cells, heard)


WATCHERS: dict[str, Callable[[Tree, Heard], EventSource]] = {"watching": watching, "bare": bare}


class Arrivals:
    """Hints, with the time at which each came."""

    def __init__(self) -> None:
        self._told = threading.Condition()
        self._first: dict[Path, float] = {}

    def __call__(self, run: Path) -> None:
        now = time.perf_counter()
        with self._told:
            self._first.setdefault(run, now)
            self._told.notify()

    def forget(self) -> None:
        with self._told:
            self._first.clear()

    def first(self, run: Path) -> float | None:
        """When the first hint for this run came since `forget`; None if none does until the
        deadline.
        """
        with self._told:
            self._told.wait_for(lambda: run in self._first, DEADLINE)
            return self._first.get(run)


def latencies(
    tree: Tree, start: Callable[[Tree, Heard], EventSource], summaries: int, storm: int
) -> tuple[list[float], int]:
    """Milliseconds from close() to the hint for that many summaries, and how many never came.

    With a storm, they are written while it lasts; when it is over too early there is another. A
    summary makes a hint when it is created as well: only what comes after close() began counts.
    """
    arrivals = Arrivals()
    watcher = start(tree, arrivals)
    writer: subprocess.Popen[bytes] | None = None
    taken, lost = [], 0
    cells = list(tree.cells.items())
    for number in range(summaries):
        if storm and (writer is None or writer.poll() is not None):
            writer = storming(tree, storm)
        cell, run = cells[number % len(cells)]
        descriptor = os.open(
            cell / f"final_summary_{number}.txt", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644
        )
        os.write(descriptor, b"acquisition_run_id=0\n")
        time.sleep(PAUSE)  # whatever was told of its creation has been told
        arrivals.forget()
        begun = time.perf_counter()
        os.close(descriptor)
        came = arrivals.first(run)
        if came is None:
            lost += 1
        else:
            taken.append(1000 * (came - begun))
    if writer is not None:
        writer.wait()
    watcher.stop()
    return taken, lost


def storming(tree: Tree, files: int) -> subprocess.Popen[bytes]:
    """Another process that writes so many files into all data directories in turn, as fast as it
    can.
    """
    return subprocess.Popen(
        [sys.executable, __file__, "--write", str(files), "--directory", str(tree.landing)]
    )


def write(landing: Path, files: int) -> None:
    places = [os.fsencode(place) for place in landing.glob("*/*/*/fastq_pass/*")]
    for number in range(files):
        path = b"%s/reads_%d_%d.fastq" % (places[number % len(places)], os.getpid(), number)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
        os.write(descriptor, b"@read\nACGT\n+\n!!!!\n")
        os.close(descriptor)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--summaries", type=int, default=200)
    parser.add_argument("--storm", type=int, default=50_000, help="files written meanwhile")
    parser.add_argument(
        "--directory", type=Path, help="where to make the landing area; default: a temporary one"
    )
    parser.add_argument("--write", type=int, help=argparse.SUPPRESS)  # the other process
    arguments = parser.parse_args()
    if arguments.write is not None:
        write(arguments.directory, arguments.write)
        return
    print(
        f"{'watcher':10} {'meanwhile':18} {'summaries':>9} {'lost':>5} {'median ms':>10} {'p99 ms':>8} {'max ms':>8}"
    )
    for meanwhile, storm in (("nothing", 0), (f"{arguments.storm} files", arguments.storm)):
        for name, start in WATCHERS.items():
            with tempfile.TemporaryDirectory(dir=arguments.directory) as directory:
                taken, lost = latencies(
                    Tree.make(Path(directory)), start, arguments.summaries, storm
                )
            p99 = statistics.quantiles(taken, n=100)[98]
            print(
                f"{name:10} {meanwhile:18} {len(taken) + lost:9} {lost:5}"
                f" {statistics.median(taken):10.3f} {p99:8.3f} {max(taken):8.3f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
