"""kill -9 of services, fork servers and workers while cells arrive.

No read is lost, doubled or changed.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import random
import signal
import subprocess
import threading
from pathlib import Path

import pytest
from sites import Site

from hesiod_watch.cli.simulator import SimulatedCell

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(900)]

LIBRARY = "sample_A"
RUNS = ("20261122_KILL_alpha", "20261122_KILL_beta")
KILLS = 50


def cells_for(landing: Path) -> list[SimulatedCell]:
    """Twenty cells in two runs; every call makes the same data."""
    return [
        SimulatedCell(
            landing,
            RUNS[number % 2],
            LIBRARY,
            f"20261122_22{number:02}_1A_PAW{number:05}_0a1b2c{number:02}",
            barcodes=("barcode01", "barcode02"),
            files_per_barcode=6,
            reads_per_file=120,
            gz=number % 4 == 0,
            seed=number,
        )
        for number in range(20)
    ]


FORK_SERVER = b"hesiod_watch.cli.fork_server"


def processes_of(site: Site) -> dict[int, list[bytes]]:
    """Command lines of all processes of a site: service, fork servers, workers, their children."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue  # it ended after the listing
            if os.fsencode(site.config) in command and int(entry.name) != os.getpid():
                found[int(entry.name)] = command
    return found


def contents(output: Path) -> dict[str, str]:
    """Checksum of the inflated content of every FASTQ of every cell, by its path."""
    return {
        str(path.relative_to(output)): hashlib.sha256(
            gzip.decompress(path.read_bytes())
        ).hexdigest()
        for run in RUNS
        for path in sorted((output / run / LIBRARY).glob("*/*.fastq.gz"))
    }


def test_fifty_kills_change_nothing(site: Site, tmp_path_factory: pytest.TempPathFactory) -> None:
    """After 50 kills every cell is done once, and its outputs are those of an undisturbed poll."""
    site.configure(
        watch="sweep_interval: 1s",
        processing="workers: 3, attempts_per_day: 1000, attempt_pause: 0s",
    )
    seed = int(os.environ.get("HESIOD_WATCH_TEST_SEED", "20261122"))
    choice = random.Random(seed)
    cells = cells_for(site.landing)
    names = [cell.cell for cell in cells]

    def land() -> None:
        for cell in cells:
            for _ in cell.steps():
                pass

    def done() -> int:
        return sum(f"{cell.cell}.done" in site.flags(cell.run) for cell in cells)

    def workers() -> list[int]:
        """Processes of the site without the service.

        If all cells are done, one is first released for processing again, as a user would do.
        """
        if done() == len(cells):
            cell = choice.choice(cells)
            (site.landing / cell.run / "pipeline" / f"{cell.cell}.done").unlink()
        return [
            pid
            for pid, command in processes_of(site).items()
            if pid != services[-1].pid and FORK_SERVER not in command
        ]

    def fork_servers() -> list[int]:
        return [pid for pid, command in processes_of(site).items() if FORK_SERVER in command]

    landing = threading.Thread(target=land)
    services: list[subprocess.Popen[bytes]] = [site.start_service()]
    landing.start()
    killed = {"service": 0, "worker": 0, "fork server": 0, "worker and fork server": 0}
    ready = 0  # number of times that a service had logged "ready" when the last one was started
    pause = threading.Event()
    while sum(killed.values()) < KILLS:
        if choice.random() < 0.6:
            # A worker is killed only after the service has started work, even on a slow machine.
            site.eventually(lambda: bool(workers()), "something works")
            pause.wait(choice.uniform(0.0, 0.3))
            victim = choice.choice([each for each in killed if each != "service"])
            try:
                if "fork server" in victim:
                    os.kill(choice.choice(fork_servers()), signal.SIGKILL)
                if "worker" in victim:
                    os.kill(choice.choice(workers()), signal.SIGKILL)
            except (IndexError, ProcessLookupError):
                continue  # it ended by itself meanwhile
            killed[victim] += 1
        else:
            pause.wait(choice.uniform(0.02, 0.5))
            services[-1].kill()
            services[-1].wait()
            killed["service"] += 1
            ready = site.logged("INFO ready")
            services.append(site.start_service())
    landing.join()
    site.eventually(lambda: done() == len(cells), "every cell is done", 300)
    # The last service may have been started a moment ago. Before it handles signals, SIGTERM just
    # ends it.
    site.eventually(lambda: site.logged("INFO ready") > ready, "the last service is ready")
    services[-1].terminate()
    assert services[-1].wait(30) == 0
    assert min(killed.values()) > 0, killed

    undisturbed = Site(tmp_path_factory.mktemp("undisturbed"))
    for cell in cells_for(undisturbed.landing):
        cell.write()
    undisturbed.run("poll")
    assert contents(site.output) == contents(undisturbed.output)
    assert len(contents(site.output)) == len(contents(undisturbed.output)) > len(names)
    for run in RUNS:
        site.run("verify", run)
        assert not [cell.cell for cell in cells if f"{cell.cell}.failed" in site.flags(run)]
    assert not list(site.output.rglob(".work.*"))
