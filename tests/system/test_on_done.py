"""The facility's own command, `on_done`: once per finished cell, whatever happens meanwhile."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from sites import Site, eventually

from hesiod_watch.cli.simulator import SimulatedCell

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(300)]

RUN, LIBRARY = "20261122_TEST_alpha", "sample_A"
CELLS = tuple(f"20261122_221{number}_1A_PAW0000{number}_0a1b2c3{number}" for number in range(3))
CELL = CELLS[0]
MINUTE = 60.0


def write_cell(site: Site, name: str = CELL) -> None:
    SimulatedCell(
        *(site.landing, RUN, LIBRARY, name),
        barcodes=("barcode01",),
        files_per_barcode=1,
        reads_per_file=5,
    ).write()


class Command:
    """A program of the facility. Each start adds a line with its arguments to a file."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.path = site.root / "next step"
        self.record = site.root / "started"
        self.body("")

    def body(self, script: str) -> None:
        """Let the program run this script of sh after it has made its record."""
        text = f'#!/bin/sh\nprintf "%s|" "$@" >>"{self.record}"\necho >>"{self.record}"\n{script}\n'
        fresh = self.site.root / ".next step"
        fresh.write_text(text)
        fresh.chmod(0o755)
        fresh.rename(self.path)

    def configure(self, *arguments: str, more: str = "") -> None:
        words = json.dumps([str(self.path), *arguments])
        self.site.configure(
            processing="workers: 2, ingest: false",
            more=f"on_done: {{command: {words}{more}}}\n",
        )

    @property
    def starts(self) -> list[str]:
        return self.record.read_text().splitlines() if self.record.exists() else []


@pytest.fixture
def command(site: Site) -> Command:
    """A program that is configured as `on_done.command`."""
    made = Command(site)
    made.configure()
    return made


def manifest(site: Site, cell: str = CELL) -> str:
    return str(site.output / RUN / LIBRARY / cell / "manifest.json")


def log(site: Site) -> str:
    return (site.output / RUN / "pipeline.log").read_text()


def hook_flags(site: Site) -> set[str]:
    return {name for name in site.flags(RUN) if ".hook." in name}


def flag(site: Site, name: str) -> Path:
    return site.landing / RUN / "pipeline" / f"{CELL}.{name}"


def test_once_for_each_cell(site: Site, command: Command) -> None:
    """Each finished cell starts the command once, with its manifest; later looks start nothing."""
    for name in CELLS:
        write_cell(site, name)
    for _ in range(3):
        site.run("poll")
    assert sorted(command.starts) == [f"{manifest(site, name)}|" for name in CELLS]
    assert hook_flags(site) == {f"{name}.hook.done" for name in CELLS}
    document = json.loads(Path(manifest(site)).read_text())
    assert document["run"] == RUN
    assert all((Path(manifest(site)).parent / each["name"]).is_file() for each in document["files"])


def test_words_are_words(site: Site, command: Command) -> None:
    """The words of the command reach it as they are: no shell reads them."""
    command.configure("a b;$(touch x)", "--in={manifest}", "*")
    write_cell(site)
    site.run("poll")
    assert command.starts == [f"a b;$(touch x)|--in={manifest(site)}|*|"]


def test_cells_that_were_finished_before(site: Site, command: Command) -> None:
    """A new command is not started for old cells; `perform hook` starts it for one, once."""
    site.configure(processing="workers: 2, ingest: false")
    write_cell(site)
    site.run("poll")
    command.configure()
    site.run("poll")
    assert command.starts == []
    assert site.run("plan", RUN).stdout.count("hook") == 0
    site.run("perform", "hook", RUN, CELL)
    done = site.run("perform", "hook", RUN, CELL)
    assert "nothing left to do" in done.stderr
    assert command.starts == [f"{manifest(site)}|"]


def test_processed_again(site: Site, command: Command) -> None:
    """A cell that is processed once more starts the command once more."""
    write_cell(site)
    site.run("poll")
    flag(site, "done").unlink()
    site.run("poll")
    site.run("poll")
    assert len(command.starts) == 2


def test_failure_needs_a_person(site: Site, command: Command) -> None:
    """A command that cannot start is reported with its cause; `retry` runs it, and nothing else."""
    command.path.chmod(0o644)
    write_cell(site)
    site.run("poll", check=1)
    assert site.stages() == {f"{RUN}/{LIBRARY}/{CELL}": "processed"}
    done = flag(site, "done").read_bytes()
    found = site.run("status", "--attention", "--json", check=1).stdout
    (entry,) = json.loads(found)["attention"]
    assert (entry["kind"], entry["run"]) == ("hook-failed", RUN)
    assert "may not execute it" in entry["sentence"]
    assert any("hesiod-watch retry" in step for step in entry["steps"])
    assert "on_done.command" in site.run("doctor", check=1).stdout
    assert "on_done" in site.run("explain", RUN, CELL).stdout
    command.body("")
    site.run("retry", RUN, CELL, "--why", "mended")
    site.run("poll")
    assert command.starts == [f"{manifest(site)}|"]
    assert hook_flags(site) == {f"{CELL}.hook.done"}
    assert flag(site, "done").read_bytes() == done
    refused = site.run("retry", RUN, CELL, "--why", "again", check=1)
    assert "nothing to retry" in refused.stderr


def test_failure_is_tried_again(site: Site, command: Command) -> None:
    """A failed command is run again after a pause; flag, log and `explain` have the cause."""
    command.body("echo preparing; echo the cluster is full >&2; exit 3")
    write_cell(site)
    site.run("poll", check=1)
    record = json.loads(flag(site, "hook.failed").read_text())
    assert record["code"] == 3
    assert record["needs_person"] is False
    assert "exit code 3; its last line: the cluster is full" in record["reason"]
    assert f"hook {LIBRARY}/{CELL}: preparing\n" in log(site)
    assert f"{command.path}' {manifest(site)}\n" in log(site)
    assert "its command of on_done is run in" in site.run("explain", RUN, CELL).stdout
    site.run("poll")  # the pause is not over
    assert len(command.starts) == 1


def test_last_step_does_without(site: Site, command: Command) -> None:
    """The last step of the entry ends the retries for this cell."""
    command.path.chmod(0o644)
    write_cell(site)
    site.run("poll", check=1)
    (entry,) = json.loads(site.run("status", "--attention", "--json", check=1).stdout)["attention"]
    last = entry["steps"][-1].partition(": mv ")[2]
    subprocess.run(["sh", "-c", f"mv {last}"], check=True)
    site.run("poll")
    site.run("status", "--attention")
    assert command.starts == []


def test_time_limit(site: Site, command: Command) -> None:
    """At the time limit the command ends with all its processes, also with those that refuse."""
    command.configure(more=", time_limit: 1s")
    children = site.root / "children"
    command.body(
        f'trap "echo asked" TERM\n'
        f'( trap "" TERM; echo child >>"{children}"; while :; do sleep 0.1; done ) &\n'
        "while :; do sleep 0.1; done"
    )
    write_cell(site)
    site.run("poll", check=1)
    record = json.loads(flag(site, "hook.failed").read_text())
    assert "time_limit" in record["reason"]
    assert record["needs_person"] is True
    assert children.exists()
    assert "asked" in log(site)
    eventually(lambda: not processes(command), "no process of the command is left")


def test_output_is_harmless(site: Site, command: Command) -> None:
    """Control characters and lines without an end neither reach the log nor stop the command."""
    command.body(r"printf '\033[2J\001\n\377\n'; head -c 3000000 /dev/zero | tr '\0' x")
    write_cell(site)
    site.run("poll")
    assert hook_flags(site) == {f"{CELL}.hook.done"}
    assert not set(map(chr, range(32))) - {"\n"} & set(log(site))
    assert max(map(len, log(site).splitlines())) < 2000


def test_environment(site: Site, command: Command) -> None:
    """The command does not get what systemd gives to the service, nor limits of our libraries."""
    command.body("env >&2")
    write_cell(site)
    for name in ("NOTIFY_SOCKET", "CREDENTIALS_DIRECTORY", "WATCHDOG_USEC"):
        site.environ[name] = "/nowhere"
    site.environ["SITE_NAME"] = "Berlin"
    site.run("poll")
    lines = log(site)
    assert "SITE_NAME=Berlin" in lines
    assert "NOTIFY_SOCKET" not in lines
    assert "CREDENTIALS_DIRECTORY" not in lines
    assert "OMP_NUM_THREADS" not in lines


def test_a_failing_command_blocks_nothing(site: Site, command: Command) -> None:
    """While the command of one cell hangs or fails, other cells are processed and verified."""
    wait = site.root / "wait"
    wait.touch()
    command.body(f'while [ -e "{wait}" ]; do sleep 0.1; done; exit 1')
    write_cell(site, CELLS[0])
    with site.service():
        site.eventually(lambda: len(command.starts) == 1, "the command is started")
        write_cell(site, CELLS[1])
        raw = site.output / RUN / LIBRARY / CELLS[1] / "raw.json"
        site.eventually(raw.exists, "the other cell is processed, and its raw data are read")
        assert flag(site, "hook.started").exists()
        assert "under way" in site.run("explain", RUN, CELL).stdout
        refused = site.run("retry", RUN, CELL, "--why", "impatient", check=1)
        assert "is running" in refused.stderr
        site.run("abort", RUN, CELL, "--why", "a wrong sample")
        site.eventually(flag(site, "hook.failed").exists, "the abort ends the command")
        assert "aborted" in json.loads(flag(site, "hook.failed").read_text())["reason"]
        wait.unlink()
        eventually(lambda: len(command.starts) == 2, "the command of the other cell is started")


# Kills.


def processes(command: Command) -> list[int]:
    """Processes of the command, and those that it has started."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                environment = (entry / "environ").read_bytes()
                stat = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it has ended, or it is not ours
            ours = b"HESIOD_WATCH_ATTEMPT=" in environment
            if (
                ours
                and os.fsencode(f"SITE={command.site.root}\0") in environment
                and stat[0] != "Z"
            ):
                found.append(int(entry.name))
    return found


def workers(site: Site) -> list[int]:
    """Processes that perform the hook."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else []
        except OSError:
            continue  # it has ended
        if os.fsencode(site.config) in words and b"perform" in words and b"hook" in words:
            found.append(int(entry.name))
    return found


def exists(pids: list[int]) -> bool:
    return any(Path(f"/proc/{pid}").exists() for pid in pids)


def kill(pids: list[int]) -> None:
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue  # it has ended


@pytest.fixture
def hanging(site: Site, command: Command) -> Iterator[Path]:
    """A command that waits, with a process of its own, until this file is removed."""
    wait = site.root / "wait"
    wait.touch()
    site.environ["SITE"] = str(site.root)
    loop = f'while [ -e "{wait}" ]; do sleep 0.05; done'
    command.body(f"({loop}) &\n{loop}\nwait")
    write_cell(site)
    yield wait
    wait.unlink(missing_ok=True)
    eventually(lambda: not processes(command), "every process of the command has ended")


def test_service_is_killed(site: Site, command: Command, hanging: Path) -> None:
    """A killed service takes no command along: it continues, and runs once."""
    service = site.start_service()
    try:
        site.eventually(lambda: len(command.starts) == 1, "the command is started")
    finally:
        service.kill()
        service.wait(MINUTE)
    site.run("poll")
    assert processes(command)
    assert flag(site, "hook.started").exists()
    hanging.unlink()
    site.eventually(flag(site, "hook.done").exists, "the command has ended")
    site.run("poll")
    assert len(command.starts) == 1


@pytest.mark.parametrize("victims", ["command", "worker", "worker and service"])
def test_killed_in_the_middle(site: Site, command: Command, hanging: Path, victims: str) -> None:
    """After a kill in the middle the command is run again, and no process of before works on."""
    service = site.start_service()
    try:
        site.eventually(lambda: len(command.starts) == 1, "the command is started")
        site.eventually(lambda: len(processes(command)) > 1, "it has a process of its own")
        first = set(processes(command))
        if "service" in victims:
            service.kill()
        worker = workers(site)
        kill(list(first) if victims == "command" else worker)
        # An orphan that init has not reaped yet still exists for the next process.
        eventually(lambda: not exists(worker), "the worker has ended")
        if "service" not in victims:
            failed = {f"{CELL}.hook.failed"}
            site.eventually(
                lambda: hook_flags(site) == failed, "the end of the attempt is recorded"
            )
            assert "killed by signal" in flag(site, "hook.failed").read_text()
    finally:
        service.kill()
        service.wait(MINUTE)
    again = subprocess.Popen(
        site.command("perform", "hook", RUN, CELL),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=site.environ,
    )
    try:
        site.eventually(lambda: len(command.starts) == 2, "the command is run again")
        assert not first & set(processes(command))
        hanging.unlink()
        assert again.wait(MINUTE) == 0
    finally:
        again.kill()
        again.wait()
    assert hook_flags(site) == {f"{CELL}.hook.done"}
    site.run("poll")
    assert len(command.starts) == 2


def test_withdrawn_attempt_ends(site: Site, command: Command, hanging: Path) -> None:
    """A command whose flag a person moves away is ended, and records nothing."""
    again = subprocess.Popen(site.command("poll"), env=site.environ)
    try:
        site.eventually(lambda: len(processes(command)) > 1, "the command is started")
        flag(site, "hook.started").unlink()
        eventually(lambda: not processes(command), "the command is ended")
        assert again.wait(MINUTE) == 0
    finally:
        again.kill()
        again.wait()
    assert f"{CELL}.hook.done" not in site.flags(RUN)


def test_many_processes_at_once(site: Site, command: Command) -> None:
    """Any number of processes that decide at the same time run the command once."""
    site.configure(processing="workers: 2, ingest: false")
    write_cell(site)
    site.run("poll")
    command.configure()
    racers = [
        subprocess.Popen(
            site.command("perform", "hook", RUN, CELL),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=site.environ,
        )
        for _ in range(6)
    ]
    assert [racer.wait(2 * MINUTE) for racer in racers] == [0] * 6
    assert len(command.starts) == 1
    assert hook_flags(site) == {f"{CELL}.hook.done"}
