"""Latency of a claim: from close() of a final_summary until the service claims the cell.

    python -m benchmarks.latency [--idle N] [--storm N] [--directory DIR]

A real `hesiod-watch watch` watches a separate installation. Each sample is a small cell whose data
are complete. Its final_summary is written and closed, and the clock runs until `{cell}.started` has
its name in `pipeline/`. By then the service has received the event, counted the cell's files, and
made two flags that survive a power cut, `.synced` and `.started`.

A separate process measures the possible minimum: a loop around inotify on the cell's directory,
which takes the time of the event and does nothing else. Both times begin at the same close().

In the storm a third process writes files into the barcode directories of another running cell. It
writes as fast as it can, from shortly before each close() until the claim, at least 1,000 files per
sample. The last row shows the share of the disk: the time to make two files and their directory
durable, as for two flags.
"""

from __future__ import annotations

import argparse
import ctypes
import math
import multiprocessing
import os
import random
import select
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from hesiod_watch.cli.simulator import SimulatedCell

LIBRARY = "sample"
BURST = 1000  # files written around one sample, at least
BARCODES = 24
DEADLINE = 120.0  # seconds; longest wait for any event

IN_CREATE, IN_CLOSE_WRITE = 0x100, 0x8
_EVENT = struct.Struct("iIII")  # wd, mask, cookie, length of the following name


class Inotify:
    """The kernel's inotify without a wrapper."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = self._libc.inotify_init1(os.O_CLOEXEC)
        if self._descriptor < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1")

    def add(self, directory: Path, mask: int) -> None:
        if self._libc.inotify_add_watch(self._descriptor, os.fsencode(directory), mask) < 0:
            raise OSError(ctypes.get_errno(), "inotify_add_watch", str(directory))

    def wait_for(self, wanted: Callable[[str], bool]) -> int:
        """Monotonic time, in nanoseconds, when an event about a wanted name was read."""
        while True:
            if not select.select([self._descriptor], [], [], DEADLINE)[0]:
                raise SystemExit("latency: waited in vain for an event")
            events = os.read(self._descriptor, 1 << 16)
            now = time.monotonic_ns()
            if any(wanted(name) for name in _names(events)):
                return now


def _names(events: bytes) -> Iterator[str]:
    place = 0
    while place < len(events):
        length = _EVENT.unpack_from(events, place)[3]
        place += _EVENT.size
        yield os.fsdecode(events[place : place + length].rstrip(b"\0"))
        place += length


def bare_loop(orders: Connection) -> None:
    """Process: report the time at which the summary of each directory was closed.

    It receives a directory, watches it, confirms this, and later sends the time.
    """
    inotify = Inotify()
    while (directory := orders.recv()) is not None:
        inotify.add(directory, IN_CLOSE_WRITE)
        orders.send("watching")
        orders.send(inotify.wait_for(lambda name: name.startswith("final_summary")))


def storm(orders: Connection) -> None:
    """Process: at each order, write a burst of files into a cell until stopped.

    It then sends the number of files and the seconds.
    """
    number = 0
    while (cell := orders.recv()) is not None:
        places = [cell / "fastq_pass" / f"barcode{barcode + 1:02}" for barcode in range(BARCODES)]
        for place in places:
            place.mkdir(parents=True, exist_ok=True)
        before, started = number, time.monotonic()
        orders.send("writing")
        while not orders.poll() or number - before < BURST:
            with (places[number % BARCODES] / f"PAW99999_pass_0a1b2c3d_{number}.fastq").open(
                "wb"
            ) as file:
                file.write(b"@read\nACGTACGT\n+\n55555555\n")
            number += 1
        orders.recv()
        orders.send((number - before, time.monotonic() - started))


@dataclass
class Helper:
    """A process that takes orders."""

    orders: Connection
    process: multiprocessing.process.BaseProcess

    @classmethod
    def start(cls, body: Callable[[Connection], None]) -> Helper:
        context = multiprocessing.get_context("spawn")
        parent_end, child_end = context.Pipe()
        process = context.Process(target=body, args=(child_end,), daemon=True)
        process.start()
        return cls(parent_end, process)

    def ask(self, order: object) -> object:
        """Send an order and wait for the response."""
        self.orders.send(order)
        return self.response()

    def response(self) -> object:
        if not self.orders.poll(DEADLINE):
            raise SystemExit("latency: a helper does not respond")
        return self.orders.recv()

    def stop(self) -> None:
        self.orders.send(None)
        self.process.join(10)


@dataclass(frozen=True)
class Sample:
    """Milliseconds from one close()."""

    bare: float  # until the bare loop read the event
    claimed: float  # until the claim had its name
    disk: float  # not from close(): time to write two durable files directly afterwards


class Site:
    """An installation in a directory, and the cells that are put into it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.landing, self.output, self.made = root / "landing", root / "output", root / "made"
        for directory in (self.landing, self.output, self.made):
            directory.mkdir()
        self.config = root / "hesiod-watch.yaml"
        # The benchmark measures one cell. Ingest of the storm's cell would measure the load of the
        # machine.
        settings = "processing: {workers: 2, ingest: false}"
        self.config.write_text(f"landing: {self.landing}\noutput: {self.output}\n{settings}\n")
        self.log = root / "service.log"
        self.claims = Inotify()  # one for all cells: the number of instances is limited
        self._number = 0

    @contextmanager
    def service(self) -> Iterator[subprocess.Popen[bytes]]:
        command = (sys.executable, "-m", "hesiod_watch", "--config", str(self.config), "watch")
        with self.log.open("wb") as log:
            service = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            wait_until(lambda: "INFO ready" in self.log.read_text(), "the service is ready")
            yield service
        finally:
            service.terminate()
            service.wait(30)

    def land(self) -> tuple[SimulatedCell, Path, bytes]:
        """Land a new run with one cell that lacks only its summary.

        Returns the cell, and the path and content of the summary.
        """
        self._number += 1
        clock = f"{self._number // 60:02}{self._number % 60:02}"
        name = f"20261122_{clock}_1A_PAW{self._number:05}_{self._number:08x}"
        run = f"20261122_BENCH_{self._number:05}"
        cell = SimulatedCell(
            self.made, run, LIBRARY, name, files_per_barcode=1, reads_per_file=4, seed=self._number
        )
        (summary,) = cell.write().glob("final_summary*")
        content = summary.read_bytes()
        summary.unlink()
        (self.made / run).rename(self.landing / run)
        pipeline = self.landing / run / "pipeline"
        wait_until((pipeline / "output").is_symlink, "the run is taken up")
        return cell, self.landing / summary.relative_to(self.made), content

    def finish(self, service: subprocess.Popen[bytes], cell: SimulatedCell) -> None:
        """Wait until all work after the claim has ended; it would disturb the next sample."""
        done = self.landing / cell.run / "pipeline" / f"{cell.cell}.done"
        report = self.output / cell.run / "report.html"
        wait_until(
            lambda: done.exists() and report.exists() and not children(service.pid),
            "the cell is done",
        )


def children(pid: int) -> str:
    """Children of a process, started by any of its threads."""
    return "".join(path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children"))


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"latency: waited in vain until {what}")
        time.sleep(0.02)


def two_durable_files(directory: Path) -> float:
    """Milliseconds to write two small files durably, as for flags: fsync of file and directory."""
    parent = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    started = time.monotonic_ns()
    for name in ("one", "two"):
        descriptor = os.open(name, os.O_WRONLY | os.O_CREAT, 0o600, dir_fd=parent)
        os.write(descriptor, b"x" * 500)
        os.fsync(descriptor)
        os.close(descriptor)
        os.fsync(parent)
    taken = (time.monotonic_ns() - started) / 1e6
    os.close(parent)
    return taken


def sample(
    site: Site,
    service: subprocess.Popen[bytes],
    bare: Helper,
    start_storm: Callable[[], Callable[[], None]],
) -> Sample:
    """Measure one cell from its last file to its claim.

    `start_storm` starts the storm and returns a function that ends it.
    """
    cell, summary, content = site.land()
    bare.ask(summary.parent)
    site.claims.add(site.landing / cell.run / "pipeline", IN_CREATE)
    time.sleep(random.uniform(0.1, 0.4))  # avoids a beat with periodic work of the service
    end_storm = start_storm()
    with summary.open("wb", buffering=0) as file:
        file.write(content)
        closed = time.monotonic_ns()
    claimed = site.claims.wait_for(lambda name: name == f"{cell.cell}.started")
    end_storm()
    bare_time = bare.response()
    assert isinstance(bare_time, int)
    site.finish(service, cell)
    scratch = site.root / f"durable-{cell.run}"
    scratch.mkdir()
    return Sample((bare_time - closed) / 1e6, (claimed - closed) / 1e6, two_durable_files(scratch))


class Storm:
    """The third process, and the number of files it wrote."""

    def __init__(self, site: Site) -> None:
        self._helper = Helper.start(storm)
        self._cell = (
            site.landing / "20261122_STORM" / LIBRARY / "20261122_0000_1A_PAW99999_0a1b2c3d"
        )
        self._cell.mkdir(parents=True)
        wait_until(
            (self._cell.parents[1] / "pipeline" / "output").is_symlink,
            "the storm's run is taken up",
        )
        self.files, self.seconds = 0, 0.0

    def begin(self) -> Callable[[], None]:
        self._helper.ask(self._cell)
        time.sleep(0.05)  # until it is at full speed

        def end_storm() -> None:
            response = self._helper.ask("stop")
            assert isinstance(response, tuple)
            self.files += response[0]
            self.seconds += response[1]

        return end_storm

    def stop(self) -> None:
        self._helper.stop()


def percentile(values: list[float], percent: float) -> float:
    """The smallest value that is not exceeded by the given per cent of the values."""
    return sorted(values)[math.ceil(len(values) * percent / 100) - 1]


def row(name: str, values: list[float], bare: list[float] | None = None) -> tuple[float, float]:
    median, p99 = statistics.median(values), percentile(values, 99)
    ratio = f"{median / statistics.median(bare):9.0f}x" if bare else ""
    print(f"  {name:42} {median:8.2f} {p99:8.2f} {max(values):8.2f} {ratio:>10}")
    return median, p99


def table(title: str, samples: list[Sample]) -> tuple[float, float]:
    print(f"{title:44} {'median':>8} {'p99':>8} {'worst':>8} {'to bare':>10}")
    bare = [one.bare for one in samples]
    row("bare inotify loop: event read", bare)
    result = row("hesiod-watch: cell claimed", [one.claimed for one in samples], bare)
    row("two durable files on this disk, no storm", [one.disk for one in samples])
    print()
    return result


def measure(site: Site, idle: int, in_storm: int) -> None:
    bare = Helper.start(bare_loop)
    with site.service() as service:
        first = sample(site, service, bare, lambda: lambda: None)  # imports and caches
        idle_samples = [sample(site, service, bare, lambda: lambda: None) for _ in range(idle)]
        writer = Storm(site)
        storm_samples = [sample(site, service, bare, writer.begin) for _ in range(in_storm)]
        writer.stop()
    bare.stop()
    print(
        "milliseconds from close() of final_summary;"
        f" for the first cell after the start: {first.claimed:.2f}\n"
    )
    idle_result = table(f"idle, {idle} samples", idle_samples)
    storm_result = table(f"storm, {in_storm} samples", storm_samples)
    print(f"storm: {writer.files} files, {writer.files / writer.seconds:.0f} a second")
    print(
        f"storm to idle: median {storm_result[0] / idle_result[0]:.2f}x,"
        f" p99 {storm_result[1] / idle_result[1]:.2f}x"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--idle", type=int, default=100, metavar="N", help="samples without a storm (100)"
    )
    parser.add_argument(
        "--storm", type=int, default=50, metavar="N", help="samples in the storm (50)"
    )
    parser.add_argument(
        "--directory",
        type=Path,
        help="parent of the installation; its file system is part of the result",
    )
    arguments = parser.parse_args()
    root = Path(tempfile.mkdtemp(dir=arguments.directory, prefix="latency-"))
    try:
        print(
            f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f},"
            f" Python {sys.version.split()[0]}, in {root}\n",
            flush=True,
        )
        measure(Site(root), arguments.idle, arguments.storm)
    finally:
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main()
