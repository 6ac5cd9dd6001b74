"""How long from the close() of a final_summary until the service has claimed the cell?

    python -m benchmarks.latency [--idle N] [--storm N] [--directory DIR]

A real `hesiod-watch watch` watches a site of its own. Each sample is a small cell whose data are
all there; its final_summary is written and closed, and the clock runs until `{cell}.started` has
its name in `pipeline/`. By then the service has heard the event, counted the cell's files, and made
two flags, `.synced` and `.started`, that outlive a power cut. Beside it, in a process of its own,
the least that can be done at all: a loop around inotify on the cell's directory, which takes the
time of the event and does nothing. Its times and ours belong to the same close().

In the storm a third process writes files into the barcode directories of another cell that is
running, as fast as it can from shortly before each close() until the claim is there, 1,000 files a
sample at least. A last row says how much of our time the disk may take: making two files durable
with their directory, as two flags are.
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
DEADLINE = 120.0  # seconds that anything may take

IN_CREATE, IN_CLOSE_WRITE = 0x100, 0x8
_EVENT = struct.Struct("iIII")  # wd, mask, cookie, length of the name that follows


class Inotify:
    """The kernel's inotify with nothing around it."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = self._libc.inotify_init1(os.O_CLOEXEC)
        if self._descriptor < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1")

    def add(self, directory: Path, mask: int) -> None:
        if self._libc.inotify_add_watch(self._descriptor, os.fsencode(directory), mask) < 0:
            raise OSError(ctypes.get_errno(), "inotify_add_watch", str(directory))

    def wait_for(self, wanted: Callable[[str], bool]) -> int:
        """The monotonic time in nanoseconds at which an event about a wanted name was read."""
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
    """Process: for each directory sent here, watch it, say so, and send the time at which its
    summary was closed.
    """
    inotify = Inotify()
    while (directory := orders.recv()) is not None:
        inotify.add(directory, IN_CLOSE_WRITE)
        orders.send("watching")
        orders.send(inotify.wait_for(lambda name: name.startswith("final_summary")))


def storm(orders: Connection) -> None:
    """Process: write a burst of files into a cell at each order until told to stop; answers count
    and seconds.
    """
    number = 0
    while (cell := orders.recv()) is not None:
        places = [cell / "fastq_pass" / f"barcode{barcode + 1:02}" for barcode in range(BARCODES)]
        for place in places:
            place.mkdir(parents=True, exist_ok=True)
        before, started = number, time.monotonic()
        orders.send("blowing")
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
        here, there = context.Pipe()
        process = context.Process(target=body, args=(there,), daemon=True)
        process.start()
        return cls(here, process)

    def ask(self, order: object) -> object:
        """Send an order and wait for the answer."""
        self.orders.send(order)
        return self.answer()

    def answer(self) -> object:
        if not self.orders.poll(DEADLINE):
            raise SystemExit("latency: a helper does not answer")
        return self.orders.recv()

    def stop(self) -> None:
        self.orders.send(None)
        self.process.join(10)


@dataclass(frozen=True)
class Sample:
    """Milliseconds from one close()."""

    bare: float  # until the bare loop had the event
    claimed: float  # until the claim had its name
    disk: float  # not from the close(): what two durable files took right afterwards


class Site:
    """An installation in a directory, and the cells that are fed to it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.landing, self.output, self.made = root / "landing", root / "output", root / "made"
        for directory in (self.landing, self.output, self.made):
            directory.mkdir()
        self.config = root / "hesiod-watch.yaml"
        # What is measured is one cell's way; rounds of ingest on the other would measure how busy
        # the machine is.
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
        """A new run with one cell that lacks nothing but its summary: the cell, the summary's path
        and content.
        """
        self._number += 1
        name = f"20261122_{self._number // 60:02}{self._number % 60:02}_1A_PAW{self._number:05}_{self._number:08x}"
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
        """Wait until all that the claim led to has been done, so that no worker is about at the
        next sample.
        """
        done = self.landing / cell.run / "pipeline" / f"{cell.cell}.done"
        report = self.output / cell.run / "report.html"
        wait_until(
            lambda: done.exists() and report.exists() and not children(service.pid),
            "the cell is done",
        )


def children(pid: int) -> str:
    """Children of a process, whichever of its threads started them."""
    return "".join(path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children"))


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"latency: waited in vain until {what}")
        time.sleep(0.02)


def two_durable_files(directory: Path) -> float:
    """Milliseconds for two small files, each fsynced and then its directory, as a flag is."""
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
    blow: Callable[[], Callable[[], None]],
) -> Sample:
    """One cell from its last file to its claim; `blow` lets the storm begin and gives what ends it."""
    cell, summary, content = site.land()
    bare.ask(summary.parent)
    site.claims.add(site.landing / cell.run / "pipeline", IN_CREATE)
    time.sleep(random.uniform(0.1, 0.4))  # no beat with anything that is periodic in the service
    calm = blow()
    with summary.open("wb", buffering=0) as file:
        file.write(content)
        closed = time.monotonic_ns()
    claimed = site.claims.wait_for(lambda name: name == f"{cell.cell}.started")
    calm()
    heard = bare.answer()
    assert isinstance(heard, int)
    site.finish(service, cell)
    scratch = site.root / f"durable-{cell.run}"
    scratch.mkdir()
    return Sample((heard - closed) / 1e6, (claimed - closed) / 1e6, two_durable_files(scratch))


class Storm:
    """The third process, and how much it wrote."""

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

    def blow(self) -> Callable[[], None]:
        self._helper.ask(self._cell)
        time.sleep(0.05)  # until it is at full speed

        def calm() -> None:
            answer = self._helper.ask("stop")
            assert isinstance(answer, tuple)
            self.files += answer[0]
            self.seconds += answer[1]

        return calm

    def stop(self) -> None:
        self._helper.stop()


def percentile(values: list[float], percent: float) -> float:
    """The smallest value that at least so many per cent do not exceed."""
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
    row("two durable files on this disk, calm", [one.disk for one in samples])
    print()
    return result


def measure(site: Site, idle: int, stormy: int) -> None:
    bare = Helper.start(bare_loop)
    with site.service() as service:
        first = sample(site, service, bare, lambda: lambda: None)  # imports and caches
        calm = [sample(site, service, bare, lambda: lambda: None) for _ in range(idle)]
        wind = Storm(site)
        wild = [sample(site, service, bare, wind.blow) for _ in range(stormy)]
        wind.stop()
    bare.stop()
    print(
        f"milliseconds from close() of final_summary; of the first cell after the start: {first.claimed:.2f}\n"
    )
    quiet = table(f"idle, {idle} samples", calm)
    loud = table(f"storm, {stormy} samples", wild)
    print(f"storm: {wind.files} files, {wind.files / wind.seconds:.0f} a second")
    print(f"storm to idle: median {loud[0] / quiet[0]:.2f}x, p99 {loud[1] / quiet[1]:.2f}x")


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
        help="where to make the site; its file system is part of the result",
    )
    arguments = parser.parse_args()
    root = Path(tempfile.mkdtemp(dir=arguments.directory, prefix="latency-"))
    try:
        print(
            f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}, Python {sys.version.split()[0]}, in {root}\n",
            flush=True,
        )
        measure(Site(root), arguments.idle, arguments.storm)
    finally:
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main()
