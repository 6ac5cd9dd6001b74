"""Several hosts on one tree: one result per cell, whatever is killed, stopped or overtaken.

Every host has its own host name, machine id, boot id, network adapter and processes.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import posed_hosts
import pytest
from backup_mount import BackupMount
from flag_witness import FlagWitness
from posed_hosts import WITHOUT, PosedHost, kill, runs_outside
from sites import Site

from hesiod_watch.cli.simulator import SimulatedCell

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(900),
    pytest.mark.skipif(bool(WITHOUT), reason=WITHOUT),
]

LIBRARY = "sample_A"
RUNS = ("20261122_HOSTS_alpha", "20261122_HOSTS_beta")
VERIFICATIONS = (["verify"], ["verify", "--backup"])
CALM = 120.0
"""Seconds until everything is done after the last fault."""


class Tree:
    """One tree, the hosts that work on it, and everything that runs on them."""

    def __init__(self, root: Path, hosts: list[PosedHost], cells: list[SimulatedCell]) -> None:
        self.site = Site(root)
        self.hosts = hosts
        self.cells = cells
        self.services: dict[tuple[str, int], subprocess.Popen[bytes]] = {}
        self.commands: list[tuple[str, subprocess.Popen[bytes], Path]] = []
        self.stopped: list[int] = []
        self.did = Counter[str]()
        self.environ = dict(self.site.environ)
        self.site.configure(
            watch="sweep_interval: 0.5s",
            processing=(
                "workers: 2, processes: 1, ingest_interval: 0.2s, ingest_workers: 2,"
                " attempts_per_day: 1000, attempt_pause: 0s"
            ),
            more=f"backups: {{second: {{location: {root / 'second'}, timeout: 10s}}}}\n",
        )
        self.site.run("backup-init", "second")

    def pipeline(self, run: str) -> Path:
        return self.site.landing / run / "pipeline"

    def output_of(self, cell: SimulatedCell) -> Path:
        return self.site.output / cell.run / cell.library / cell.cell

    def has(self, cell: SimulatedCell, fact: str) -> bool:
        return (self.pipeline(cell.run) / f"{cell.cell}.{fact}").exists()

    def lives(self, record: dict[str, Any]) -> bool:
        """Whether a recorded process exists, and no boot of its host has come after it."""
        namespace = record.get("pid_namespace", "")
        if any(namespace in host.lost for host in self.hosts):
            return False
        return runs_outside(namespace, record.get("pid", 0), record.get("pid_start", 0))

    # Commands.

    def start(
        self, host: PosedHost, *arguments: str, container: int = 0
    ) -> subprocess.Popen[bytes]:
        """Start a command on a host, with a configuration file that names the host in the log."""
        config = host.place / "hesiod-watch.yaml"
        config.write_text(self.site.config.read_text())
        log = host.place / f"{arguments[0]}-{len(self.commands)}.log"
        command = self.site.command(*arguments)
        command[command.index(str(self.site.config))] = str(config)
        process = host.start(command, self.environ, log, container=container)
        self.commands.append((f"{host.place.name}: {' '.join(arguments)}", process, log))
        return process

    def run(self, host: PosedHost, *arguments: str, container: int = 0) -> tuple[int, str]:
        code = self.start(host, *arguments, container=container).wait(120)
        return code, self.commands[-1][2].read_text()

    def serve(self, host: PosedHost) -> None:
        """Start the service in each container of a host."""
        for number in range(host.containers):
            key = host.place.name, number
            self.services[key] = self.start(host, "watch", container=number)

    def boot(self, host: PosedHost) -> None:
        host.boot()
        self.serve(host)

    def workers(self, host: PosedHost, *actions: str) -> list[int]:
        """Processes on a host that perform one of these actions, or any."""
        return [
            pid
            for pid, command in host.processes().items()
            if "perform" in command and (not actions or set(actions) & set(command))
        ]

    def end_services(self) -> None:
        """Stop each service as systemd does; each ends cleanly."""
        for host in self.hosts:
            for pid, command in host.processes().items():
                if "watch" in command:
                    kill(pid, signal.SIGTERM)
        for (name, number), service in self.services.items():
            code, said = service.wait(60), self.said(service)
            assert code == 0 or still_started(code, said), f"{name} {number}: {code} {said[-3000:]}"

    def resume(self) -> None:
        """Continue every stopped process."""
        for pid in self.stopped:
            kill(pid, signal.SIGCONT)
        self.stopped.clear()

    # Faults.

    def disturb(self, choice: random.Random, faults: int) -> None:
        """Do this number of faults at random moments: each kind in turn, in a random order."""
        kinds = [
            *(self._poll, self._verify, self._kill_service, self._kill_worker, self._crash),
            *(self._stop, self._stop_and_release, self._stop_and_release, self._stop_and_reboot),
        ]
        deck = [kind for _ in range(-(-faults // len(kinds))) for kind in kinds]
        choice.shuffle(deck)
        pause = threading.Event()
        for kind in deck[:faults]:
            pause.wait(choice.uniform(0.02, 0.5))
            for _ in range(20):  # some need a worker
                if kind(choice, choice.choice(self.hosts)):
                    self.did[kind.__name__] += 1
                    break
                pause.wait(choice.uniform(0.05, 0.3))
            if self.stopped and choice.random() < 0.4:
                kill(self.stopped.pop(choice.randrange(len(self.stopped))), signal.SIGCONT)

    def _poll(self, choice: random.Random, host: PosedHost) -> bool:
        self.start(host, "poll", container=choice.randrange(host.containers))
        return True

    def _verify(self, choice: random.Random, host: PosedHost) -> bool:
        self.start(host, "verify", "--backup", choice.choice(RUNS))
        return True

    def _kill_service(self, choice: random.Random, host: PosedHost) -> bool:
        services = [pid for pid, command in host.processes().items() if "watch" in command]
        for pid in services:
            kill(pid, signal.SIGKILL)
        for number in range(host.containers):
            self.services[host.place.name, number].wait()
        self.serve(host)
        return True

    def _kill_worker(self, choice: random.Random, host: PosedHost) -> bool:
        found = [pid for pid in self.workers(host) if pid not in self.stopped]
        return bool(found) and kill(choice.choice(found), signal.SIGKILL)

    def _crash(self, choice: random.Random, host: PosedHost) -> bool:
        gone = set(host.processes())
        host.crash()
        self.stopped = [pid for pid in self.stopped if pid not in gone]
        self.boot(host)
        return True

    def _stop(self, choice: random.Random, host: PosedHost) -> bool:
        return bool(self._stop_one(choice, host))

    def _stop_one(self, choice: random.Random, host: PosedHost, *actions: str) -> int:
        found = [pid for pid in self.workers(host, *actions) if pid not in self.stopped]
        if not found or not kill(pid := choice.choice(found), signal.SIGSTOP):
            return 0
        self.stopped.append(pid)
        return pid

    def _stop_and_release(self, choice: random.Random, host: PosedHost) -> bool:
        pid = self._stop_one(choice, host, "process")
        if not pid:
            return False
        try:
            run, cell = Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0").split("\0")[-2:]
        except (OSError, ValueError):
            return False
        other = choice.choice([one for one in self.hosts if one is not host])
        code, said = self.run(other, "release", Path(run).name, cell, "--why", "it hangs")
        assert code in (0, 1), said
        return code == 0

    def _stop_and_reboot(self, choice: random.Random, host: PosedHost) -> bool:
        pid = self._stop_one(choice, host)
        if not pid:
            return False
        gone = set(host.processes()) - {pid}
        host.forget(pid)
        self.stopped = [pid for pid in self.stopped if pid not in gone]
        self.boot(host)
        return True

    # The end.

    def calm_down(self) -> None:
        """Wait until every cell is done and has its copy, and no process works any more."""
        self.resume()

        def whole() -> bool:
            return all(self.has(cell, "done") for cell in self.cells)

        try:
            self.site.eventually(whole, "each cell is done", CALM)
        except AssertionError as error:
            flags = "\n".join(
                f"{flag.name}: {flag.read_text()[:400] if flag.is_file() else ''}"
                for run in RUNS
                for flag in sorted(self.pipeline(run).glob("*.*"))
            )
            raise AssertionError(f"{error}\n{flags}") from None
        self.site.eventually(
            lambda: not any(self.workers(host) for host in self.hosts), "no worker is left"
        )
        self.end_services()
        self._back_up()
        for what, process, log in self.commands:
            code = process.wait(120)
            said = log.read_text()
            assert "Traceback" not in said, f"{what}: {said}"
            # -9: killed; 1: at that moment, something was not as it should be
            ended = code in (0, 1, 75, -signal.SIGKILL) or still_started(code, said)
            assert ended, f"{what}: {code} {said}"

    def _back_up(self) -> None:
        """Back up what has no copy yet, on all hosts at once: one of them takes it over.

        The services wait before they retry.
        """
        for cell in self.cells:
            if not self.has(cell, "backup.done"):
                name = f"{cell.library}/{cell.cell}"
                started = [
                    self.start(host, "perform", "backup", cell.run, name, container=number)
                    for host in self.hosts
                    for number in range(host.containers)
                ]
                for process in started:
                    assert process.wait(120) == 0, self.said(process)
                assert self.has(cell, "backup.done")

    def said(self, process: subprocess.Popen[bytes]) -> str:
        """What a command printed."""
        return next(log.read_text() for _, one, log in self.commands if one is process)

    def assert_one_result_each(self) -> None:
        for host in self.hosts:
            assert self.run(host, "poll") == (0, "")
        for run in RUNS:
            for host, command in zip(
                self.hosts, (["verify"], ["verify", "--backup"]), strict=False
            ):
                code, said = self.run(host, *command, run)
                assert code == 0, said
        for cell in self.cells:
            self._assert_one_result(cell)
        assert not list(self.site.output.rglob(".staging*"))
        assert not list(self.site.output.rglob(".ingest*"))

    def _assert_one_result(self, cell: SimulatedCell) -> None:
        place, pipeline = self.output_of(cell), self.pipeline(cell.run)
        done = json.loads((pipeline / f"{cell.cell}.done").read_text())
        manifest = (place / "manifest.json").read_bytes()
        md5 = hashlib.md5(manifest, usedforsecurity=False).hexdigest()
        assert done["manifest_md5"] == md5, cell.cell
        published = reads_of(place.glob("*.fastq.gz"))
        assert published == reads_of(cell.path.rglob("*.fastq*")), cell.cell
        assert published.total() == done["results"]["reads"]
        assert not self.has(cell, "failed")
        lines = (self.site.output / cell.run / "pipeline.log").read_text().splitlines()
        assert sum(f"{cell.cell}: done: " in line for line in lines) <= 1, lines
        begun = sum(line.endswith(f"/{cell.cell}") and " process " in line for line in lines)
        workers = list(pipeline.rglob(f"{cell.cell}.started*.worker"))
        assert 1 <= len(workers) <= begun


def still_started(code: int, said: str) -> bool:
    """Whether a service ended by a signal that it had not taken over yet, on a busy machine."""
    return code == -signal.SIGTERM and not said


def reads_of(paths: Iterator[Path]) -> Counter[tuple[bytes, ...]]:
    """Name, bases and qualities of each read, with the number of its copies."""
    found = Counter[tuple[bytes, ...]]()
    for path in paths:
        data = path.read_bytes()
        lines = (gzip.decompress(data) if path.suffix == ".gz" else data).splitlines()
        for number in range(0, len(lines), 4):
            name, bases, _, qualities = lines[number : number + 4]
            found[name.split()[0], bases, qualities] += 1
    return found


def make_cells(landing: Path, count: int, files: int = 4, reads: int = 40) -> list[SimulatedCell]:
    """Cells in two runs; equal arguments give equal data."""
    return [
        SimulatedCell(
            landing,
            RUNS[number % 2],
            LIBRARY,
            f"20261122_22{number:02}_1A_PAW{number:05}_0a1b2c{number:02}",
            barcodes=("barcode01", "barcode02"),
            files_per_barcode=files,
            reads_per_file=reads,
            gz=number % 3 == 0,
            seed=number,
        )
        for number in range(count)
    ]


def land(writing: list[Iterator[Path]], choice: random.Random, pause: float) -> None:
    """Write the rest of the cells file by file, three cells at a time."""
    between = threading.Event()
    while writing:
        steps = choice.choice(writing[:3])
        if next(steps, None) is None:
            writing.remove(steps)
        between.wait(choice.uniform(0, pause))


@contextmanager
def tree(root: Path, hosts: list[PosedHost], cells: list[SimulatedCell]) -> Iterator[Tree]:
    """A tree with a backup; every host has been started."""
    mounted = BackupMount(root / "second")
    mounted.mount()
    made = Tree(root, hosts, cells)
    try:
        for host in hosts:
            host.boot()
        yield made
    finally:
        for host in hosts:
            host.stop()
        for _, process, _ in made.commands:
            process.wait()
        mounted.close()


def a_host(root: Path, number: int, **more: Any) -> PosedHost:
    facts = {"name": f"host{number}", "machine_id": f"{number:032x}"} | more
    return PosedHost(root / f"host{number}", adapter=f"02:00:00:00:00:0{number}", **facts)


def run_schedule(
    root: Path,
    hosts: list[PosedHost],
    seed: int,
    *,
    cells: int,
    faults: int,
    pause: float,
    environ: dict[str, str] | None = None,
) -> Counter[str]:
    """Let cells land while faults happen; check the whole tree at the end."""
    choice = random.Random(seed)
    with tree(root, hosts, make_cells(root / "landing", cells)) as world:
        world.environ |= environ or {}
        writing = [cell.steps() for cell in world.cells]
        for steps in writing:
            next(steps)
        for host in hosts:
            world.run(host, "poll")
        landing = threading.Thread(target=land, args=(writing, random.Random(seed + 1), pause))
        landing.start()
        with FlagWitness([world.pipeline(run) for run in RUNS], world.lives) as witness:
            try:
                for host in hosts:
                    world.serve(host)
                world.disturb(choice, faults)
            finally:
                landing.join()
            world.calm_down()
            world.assert_one_result_each()
        assert witness.wrong == []
        return world.did


SEED = int(os.environ.get("HESIOD_WATCH_TEST_SEED", "20261122"))


@pytest.mark.parametrize("seed", [SEED, SEED + 1])
def test_two_hosts_make_one_result_of_each_cell(tmp_path: Path, seed: int) -> None:
    """Two hosts and their faults leave one right result of each cell."""
    hosts = [a_host(tmp_path, 1), a_host(tmp_path, 2)]
    run_schedule(tmp_path, hosts, seed, cells=4, faults=9, pause=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [SEED])
@pytest.mark.parametrize("locks", ["shared locks", "own locks"])
def test_faults_of_hosts_containers_and_clones(tmp_path: Path, locks: str, seed: int) -> None:
    """More faults, with two containers of one host and a clone of it.

    With own locks, no host sees the locks of another one.
    """
    two = a_host(tmp_path, 2, containers=2)
    clone = a_host(tmp_path, 3, name=two.name, machine_id=two.machine_id)
    hosts = [a_host(tmp_path, 1), two, clone]
    environ = own_locks(tmp_path) if locks == "own locks" else {}
    did = run_schedule(tmp_path, hosts, seed, cells=10, faults=45, pause=0.2, environ=environ)
    assert {"_crash", "_stop_and_reboot"} <= did.keys()


def own_locks(root: Path) -> dict[str, str]:
    """Environment in which no host sees the locks of another host on the shared tree."""
    if not shutil.which("cc"):
        pytest.skip("needs cc")
    library = root / "own_locks.so"
    source = Path(posed_hosts.__file__).with_name("own_locks.c")
    command = ["cc", "-O1", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"]
    subprocess.run(command, check=True)
    return {"LD_PRELOAD": str(library), "SHARED": str(root / "output")}
