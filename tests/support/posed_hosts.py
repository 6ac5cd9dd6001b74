"""Posed hosts: namespaces with a host name, machine id, boot, adapter and processes of their own.

Each host sees the real directories of the test, as hosts on one network file system do. It has its
own directory for temporary files, so locks order the processes of one container only.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sites import eventually

_MISSING = [
    tool for tool in ("unshare", "nsenter", "mount", "hostname", "sleep") if not shutil.which(tool)
]
WITHOUT = (
    "needs root, to make namespaces"
    if os.geteuid() != 0
    else f"not installed: {', '.join(_MISSING)}"
    if _MISSING
    else ""
)
"""Why no host can be posed here; "" if it can."""

# Processes without a parent in a namespace become children of its first process. That one ignores
# SIGCHLD, so that none of them remains as a zombie.
_SETUP = """
set -e
hostname "$1"
mount --bind "$2/machine-id" /etc/machine-id
mount --bind "$2/boot_id" /proc/sys/kernel/random/boot_id
mount --bind "$2/stat" /proc/stat
mount -t tmpfs tmpfs /sys/class/net
mkdir -p /sys/class/net/eth0/device
echo 0 >/sys/class/net/eth0/addr_assign_type
echo "$3" >/sys/class/net/eth0/address
trap '' CHLD
echo ready >"$4"
exec sleep 1000  # longer than any test, and not for ever if the test is killed
"""


@dataclass
class _Container:
    """One pid namespace of a host; `first` is its first process, as seen from outside."""

    launcher: subprocess.Popen[bytes]
    first: int
    namespace: str
    temporary: Path

    def kill(self) -> None:
        kill(self.first, signal.SIGKILL)
        self.launcher.communicate()


@dataclass
class PosedHost:
    """A host with one or more containers; hosts with equal `machine_id` and `name` are clones."""

    place: Path
    name: str
    machine_id: str
    adapter: str
    containers: int = 1
    _running: list[_Container] = field(default_factory=list)
    _former: list[_Container] = field(default_factory=list)  # of earlier boots, not killed whole
    _boots: int = 0

    @property
    def lost(self) -> set[str]:
        """Pid namespaces of earlier boots: this host may take their processes for dead."""
        return {container.namespace for container in self._former}

    def boot(self) -> None:
        """Start the host with a new boot id. Call `crash` or `forget` before a second boot."""
        if WITHOUT:
            pytest.skip(WITHOUT)
        self._boots += 1
        facts = self.place / f"boot{self._boots}"
        facts.mkdir(parents=True)
        started = int(time.time()) + 1  # later than each record of the boot before
        stat = "".join(
            f"btime {started}\n" if line.startswith("btime ") else line
            for line in Path("/proc/stat").read_text().splitlines(keepends=True)
        )
        for name, text in (
            ("machine-id", f"{self.machine_id}\n"),
            ("boot_id", f"{uuid.uuid4()}\n"),
            ("stat", stat),
        ):
            (facts / name).write_text(text)
        for number in range(self.containers):
            self._running.append(self._start(facts, number))
        eventually(lambda: time.time() >= started, "the clock reaches the time of the boot")

    def _start(self, facts: Path, number: int) -> _Container:
        temporary, ready = facts / f"tmp{number}", facts / f"ready{number}"
        temporary.mkdir()
        namespaces = ("--uts", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
        script = ("sh", "-c", _SETUP, "sh", self.name, str(facts), self.adapter, str(ready))
        launcher = subprocess.Popen(
            ["unshare", *namespaces, *script], stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
        )
        eventually(lambda: ready.exists() or launcher.poll() is not None, "the host is ready")
        if launcher.poll() is not None and launcher.stderr:
            pytest.skip(f"cannot make namespaces here: {launcher.stderr.read().decode()}")
        (first,) = _children(launcher.pid)
        return _Container(launcher, first, _namespace(first), temporary)

    def crash(self) -> None:
        """Kill all processes of the present boot at once, as a power failure does."""
        for container in self._running:
            container.kill()
        self._running = []

    def forget(self, kept: int) -> None:
        """Kill all processes of the present boot except one, which a later boot takes for dead.

        A virtual machine is in this state if it is paused and another one is started as its
        replacement.
        """
        for pid in self.processes():
            if pid != kept:
                kill(pid, signal.SIGKILL)
        self._former += self._running
        self._running = []

    def stop(self) -> None:
        """Kill every process of this host, of earlier boots too."""
        self.crash()
        for container in self._former:
            container.kill()
        self._former = []

    def start(
        self, command: list[str], environ: Mapping[str, str], log: Path, *, container: int = 0
    ) -> subprocess.Popen[bytes]:
        """Start a command on this host; its output is appended to `log`."""
        inside = self._running[container]
        # Without --root and --wd the command would leave a chroot in which the tests run.
        spaces = ("--root", "--wd", "--uts", "--mount", "--pid")
        enter = ["nsenter", f"--target={inside.first}", *spaces]
        with log.open("ab") as output:
            return subprocess.Popen(
                [*enter, "--", *command],
                env={**environ, "TMPDIR": str(inside.temporary)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def processes(self) -> dict[int, list[str]]:
        """Processes of the present boot, by their pid outside: their command lines."""
        return processes_in({container.namespace for container in self._running})


def processes_in(namespaces: set[str]) -> dict[int, list[str]]:
    """Python processes in these pid namespaces: their command lines, by their pid outside."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_text(errors="replace").split("\0")
                if command[0] == sys.executable and _namespace(int(entry.name)) in namespaces:
                    found[int(entry.name)] = command
            except OSError:
                continue  # it ended after the listing
    return found


def runs_outside(namespace: str, pid: int, start: int) -> bool:
    """Whether the process exists that a flag names; asked from outside, so it is the truth."""
    for found in processes_in({namespace}):
        try:
            status = Path(f"/proc/{found}/status").read_text()
            stat = Path(f"/proc/{found}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        inside = next(line.split()[-1] for line in status.splitlines() if line.startswith("NSpid:"))
        if int(inside) == pid and int(stat[19]) == start and stat[0] not in "ZX":
            return True
    return False


def kill(pid: int, number: signal.Signals) -> bool:
    """Send a signal; False if the process has ended."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def _children(parent: int) -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == parent:
                yield int(entry.name)


def _namespace(pid: int) -> str:
    return str(Path(f"/proc/{pid}/ns/pid").readlink())
