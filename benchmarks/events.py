"""Latency of a hint: time from close() of a final_summary to the call of `hint`.

It is measured on an idle system, and while another process writes files into the data directories
of the same cells as fast as it can (a `storm`). Two watchers are compared, one after the other, on
equal trees:

    watching   `hesiod_watch.service.watch.watcher.Watcher`, as the service uses it
    bare       the minimum: a loop of read() on one inotify instance, watching the same directories
               for IN_CLOSE_WRITE and IN_MOVED_TO, with ctypes

The time of `bare` is the share of the kernel and the interpreter; the rest is that of `Watcher`.
All times come from one clock in one process: it writes the summaries, another process writes the
storm.

    python benchmarks/events.py [--summaries 200] [--storm 50000] [--directory DIR]

Prints a table; asserts nothing. Latencies depend on the load of the machine: compare both rows.
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


OnHint = Callable[[Path], None]
"""Called with the run's directory."""


class Bare:
    """Loop of read() without anything else. Watches exactly the given directories."""

    def __init__(self, directories: dict[Path, Path], on_hint: OnHint) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._fd = libc.inotify_init1(os.O_CLOEXEC)
        mask = IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE
        runs = {
            libc.inotify_add_watch(self._fd, os.fsencode(directory), mask): run
            for directory, run in directories.items()
        }
        self._stopping = False
        self._wake = next(iter(directories)) / "final_summary_end"
        self._thread = threading.Thread(target=self._read, args=(runs, on_hint), daemon=True)
        self._thread.start()

    def _read(self, runs: dict[int, Path], on_hint: OnHint) -> None:
        while not self._stopping:
            data = os.read(self._fd, 65536)
            at = 0
            while at < len(data):
                watch, mask, _, length = HEADER.unpack_from(data, at)
                if mask & (IN_CLOSE_WRITE | IN_MOVED_TO) and data.startswith(
                    b"final_summary", at + HEADER.size
                ):
                    on_hint(runs[watch])
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
    cells: dict[Path, Path]  # directory of a cell → directory of its run

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


def watching(tree: Tree, on_hint: OnHint) -> EventSource:
    def hint(run: Path | None) -> None:
        if run is not None:
            on_hint(run)

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


def bare(tree: Tree, on_hint: OnHint) -> EventSource:
    return Bare(tree.cells, on_hint)


WATCHERS: dict[str, Callable[[Tree, OnHint], EventSource]] = {"watching": watching, "bare": bare}


class Arrivals:
    """Arrival times of hints."""

    def __init__(self) -> None:
        self._arrived = threading.Condition()
        self._first: dict[Path, float] = {}

    def __call__(self, run: Path) -> None:
        now = time.perf_counter()
        with self._arrived:
            self._first.setdefault(run, now)
            self._arrived.notify()

    def forget(self) -> None:
        with self._arrived:
            self._first.clear()

    def first(self, run: Path) -> float | None:
        """Time of the first hint for this run since `forget`; None after the deadline."""
        with self._arrived:
            self._arrived.wait_for(lambda: run in self._first, DEADLINE)
            return self._first.get(run)


def latencies(
    tree: Tree, start: Callable[[Tree, OnHint], EventSource], summaries: int, storm: int
) -> tuple[list[float], int]:
    """Milliseconds from close() to the hint for each summary, and the number of lost hints.

    With a storm, the summaries are written while it lasts; another storm starts when one ends.
    Creating a summary also makes a hint, so only hints after the begin of close() count.
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
        time.sleep(PAUSE)  # until the hint about its creation has come
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
    """Start a process that writes `files` files into all data directories in turn.

    It writes as fast as it can.
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
        "--directory", type=Path, help="parent of the landing area; default: a temporary directory"
    )
    parser.add_argument("--write", type=int, help=argparse.SUPPRESS)  # the other process
    arguments = parser.parse_args()
    if arguments.write is not None:
        write(arguments.directory, arguments.write)
        return
    print(
        f"{'watcher':10} {'meanwhile':18} {'summaries':>9} {'lost':>5}"
        f" {'median ms':>10} {'p99 ms':>8} {'max ms':>8}"
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
