"""The service and its host: it reports its state, needs little memory, and handles no data."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from inotify_watches import watched_inodes
from sites import Site

from hesiod_watch.cli.simulator import SimulatedCell

pytestmark = pytest.mark.system

RUN, LIBRARY = "20261122_TEST_alpha", "sample_A"
CELLS = [
    f"20261122_221{number}_{number + 1}A_PAW0000{number}_0a1b2c3{number}" for number in range(4)
]
WATCHDOG = 3.0  # seconds within which a message must come
HEAVY = ("numpy", "isal", "jinja2", "markupsafe", "prometheus_client", "rich")


class Manager:
    """A service manager's end of sd_notify(3)."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)

    def message(self, seconds: float = 60.0) -> dict[str, str]:
        """Assignments of the next message, which must come in time."""
        self._socket.settimeout(seconds)
        lines = self._socket.recv(65536).decode().split("\n")
        return dict(line.split("=", 1) for line in lines)

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    """A manager that listens on a socket with a path, or on a name outside all file systems."""
    # A socket name can have at most 108 bytes, which tmp_path alone may exceed.
    directory = Path(os.path.relpath(tmp_path))
    manager = Manager(
        f"@hesiod-watch-test-{os.getpid()}"
        if request.param == "abstract"
        else f"{directory}/notify"
    )
    yield manager
    manager.close()


@contextmanager
def watching(site: Site) -> Iterator[subprocess.Popen[bytes]]:
    """A service that has just started; the end of the block kills it if it still runs."""
    service = site.start_service()
    try:
        yield service
    finally:
        if service.poll() is None:
            service.kill()
        service.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_systemd_gets_the_state_of_the_service(
    site: Site, manager: Manager, number: signal.Signals
) -> None:
    """systemd gets READY after the watch is set, WATCHDOG during work, then STOPPING and code 0.

    The log has the same facts.
    """
    site.environ |= {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": str(int(WATCHDOG * 1e6))}
    with watching(site) as service:
        ready = manager.message()
        assert ready["READY"] == "1"
        assert site.landing.stat().st_ino in watched_inodes(service.pid)
        assert str(site.landing) in ready["STATUS"]
        SimulatedCell(site.landing, RUN, LIBRARY, CELLS[0], files_per_barcode=1).write()
        done = site.landing / RUN / "pipeline" / f"{CELLS[0]}.done"
        deadline = time.monotonic() + 60
        beats = 0
        while beats < 5 or not done.exists():
            assert time.monotonic() < deadline, site.log.read_text()
            assert manager.message(WATCHDOG)["WATCHDOG"] == "1"
            beats += 1
        service.send_signal(number)
        while "STOPPING" not in (last := manager.message()):
            assert last["WATCHDOG"] == "1"
        assert last["STOPPING"] == "1"
        assert service.wait(30) == 0
    log = site.log.read_text()
    assert f"stopped by signal signal={int(number)}" in log
    assert re.search(r" stopped workers_left_running=\d+ events=[1-9]\d* .* missed=0 ", log)


def test_no_service_manager_is_needed(site: Site) -> None:
    """A missing service manager, or one that disappears, does not disturb the service."""
    site.environ |= {"NOTIFY_SOCKET": str(site.root / "missing"), "WATCHDOG_USEC": "100000"}
    with site.service():
        SimulatedCell(site.landing, RUN, LIBRARY, CELLS[0], files_per_barcode=1).write()
        site.eventually(
            (site.landing / RUN / "pipeline" / f"{CELLS[0]}.done").exists, "the cell is done"
        )
    assert "WARNING" not in site.log.read_text()
    assert "ERROR" not in site.log.read_text()


def imported(text: str) -> set[str]:
    """Names of imported modules, from Python's report of import times."""
    return set(re.findall(r"^import time:[\s\d|]+\| +([\w.]+)$", text, re.M))


def test_deciding_process_loads_no_data_modules(site: Site) -> None:
    """The service processes and reports cells without loading any module for data or pages."""
    site.environ["PYTHONPROFILEIMPORTTIME"] = "1"
    with site.service() as service:
        for cell in CELLS[:2]:
            SimulatedCell(site.landing, RUN, LIBRARY, cell, files_per_barcode=1).write()
            site.eventually(
                (site.landing / RUN / "pipeline" / f"{cell}.done").exists, f"{cell} is done"
            )
        site.eventually((site.output / RUN / "report.html").exists, "the run is reported")
        libraries = Path(f"/proc/{service.pid}/maps").read_text()
    deciding = imported(site.log.read_text())
    working = imported((site.output / RUN / "pipeline.log").read_text())
    assert "hesiod_watch.service.reconcile" in deciding
    assert {"numpy", "isal", "jinja2"} <= working  # so the check would see these modules
    assert {name for name in deciding if name.split(".")[0] in HEAVY} == set()
    assert {
        name
        for name in deciding
        if name.startswith(("hesiod_watch.fastq", "hesiod_watch.cli.terminal"))
    } == set()
    assert [
        line for line in libraries.splitlines() if re.search(rf"/({'|'.join(HEAVY)})[./]", line)
    ] == []


def link_again(site: Site, run: str) -> None:
    """Make the first run again under another name; its files are hard links to the first one's."""
    landed, results = site.landing / run, site.output / run
    shutil.copytree(site.landing / RUN, site.root / run, symlinks=True, copy_function=os.link)
    shutil.copytree(site.output / RUN, results, symlinks=True, copy_function=os.link)
    for link, target in (
        (site.root / run / "pipeline" / "output", results),
        (results / "rundata", landed),
    ):
        link.unlink()
        link.symlink_to(target)
    (site.root / run).rename(landed)


def memory(pid: int, key: str) -> float:
    """Megabytes of a process: VmRSS now, VmHWM at most."""
    found = re.search(rf"^{key}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.M)
    assert found
    return int(found[1]) * 1024 / 1e6


@pytest.mark.slow
def test_memory_on_a_large_tree(site: Site) -> None:
    """With 300 finished runs of four cells the service needs less than 80 MB and starts no work."""
    for number, cell in enumerate(CELLS):
        SimulatedCell(
            site.landing,
            RUN,
            LIBRARY,
            cell,
            barcodes=(),
            files_per_barcode=1,
            reads_per_file=5,
            pod5=False,
            seed=number,
        ).write()
    site.run("poll")
    assert {f"{cell}.done" for cell in CELLS} <= site.flags(RUN)
    for number in range(1, 300):
        link_again(site, f"{RUN}_{number:03}")
    site.configure(watch="sweep_interval: 0.5s, full_sweep_interval: 1s")
    with site.service() as service:
        # The service examines runs in turn: when a new run is done, all others were examined.
        new = f"{RUN}_new"
        SimulatedCell(site.landing, new, LIBRARY, CELLS[0], files_per_barcode=1).write()
        site.eventually(
            (site.output / new / "report.html").exists, "a new run is processed and reported"
        )
        assert len(watched_inodes(service.pid)) < 10  # finished runs have no watches
        now, most = memory(service.pid, "VmRSS"), memory(service.pid, "VmHWM")
    sys.stdout.write(
        f"300 runs of {len(CELLS)} cells: {now:.1f} MB resident, {most:.1f} MB at most\n"
    )
    assert most < 80
    assert site.logged("INFO claimed") == 1
    assert [
        path.name
        for path in site.output.iterdir()
        if path.name != ".hesiod-watch" and not (path / "report.html").exists()
    ] == []
