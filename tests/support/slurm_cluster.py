"""A real Slurm with several nodes on this host, its accounting, and nothing of the machine's own.

Each node is a slurmd with its own name and port. The accounting is a slurmdbd with a MariaDB in the
cluster's directory. As root with cgroups of version 1, a job takes all its processes with it and
cannot use more memory than it asked for, as on a production cluster.

Times are short: `KillWait` is 6 seconds and `MinJobAge`, after which the controller forgets an
ended job, is 5 seconds or `OLD_AGE`.

Needed: the Debian packages slurmctld, slurmd, slurm-client, slurmdbd, munge and mariadb-server.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mounts import mount_memory, unmount
from ports import free_port
from sites import eventually

# A node poses as another host: a process there proves nothing here. File systems that a test mounts
# appear there too.
_POSE = """
set -e
hostname "$1"
mount --bind "$2/machine-id" /etc/machine-id
mount --bind "$2/boot_id" /proc/sys/kernel/random/boot_id
exec slurmd -D -N "$1"
"""
PROGRAMS = {
    "munged": "munge",
    "slurmctld": "slurmctld",
    "slurmd": "slurmd",
    "sbatch": "slurm-client",
    "slurmdbd": "slurmdbd",
    "mariadbd": "mariadb-server",
}
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
CGROUPS = Path("/sys/fs/cgroup")
OLD_AGE = 3600
"""`MinJobAge` in seconds, unless a test makes the controller forget jobs."""


def missing() -> str:
    """What is missing on this host for a Slurm; "" if nothing is."""
    packages = [package for name, package in PROGRAMS.items() if not shutil.which(name, path=PATH)]
    if packages:
        return f"not installed: {', '.join(packages)}"
    if os.geteuid() != 0:
        return "a Slurm with several nodes on one host needs root"
    if not (CGROUPS / "freezer").is_dir() or not (CGROUPS / "memory").is_dir():
        return "no cgroups of version 1, which these tests use for Slurm's jobs"
    return ""


class SlurmCluster:
    """One Slurm in a directory. Daemons: munged, mariadbd, slurmdbd, slurmctld, and the nodes."""

    def __init__(self, directory: Path, nodes: int = 2) -> None:
        self.directory = directory
        self.conf = directory / "slurm.conf"
        self.shared = directory / "shared"
        self._ports = {
            name: free_port() for name in ("slurmctld", "slurmdbd", "mariadbd", "a", "b", "c")
        }
        # Names of nodes become names of cgroups of this host.
        self.nodes = [f"hw{self._ports['slurmctld']}{letter}" for letter in "abc"[:nodes]]
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        self.environ = {**os.environ, "SLURM_CONF": str(self.conf), "PATH": PATH, "LC_ALL": "C"}
        for name in ("run", "log", "save", "spool", "jobs"):
            (directory / name).mkdir(mode=0o755)
        directory.chmod(0o755)

    def start(self) -> None:
        """Start all daemons, and wait until every node can take a job."""
        # What is mounted below it appears on every node.
        mount_memory(self.shared, "512m")
        subprocess.run(["mount", "--make-shared", self.shared], check=True)
        self._configure()
        install = subprocess.Popen(
            [
                *("mariadb-install-db", "--no-defaults", "--user=root", "--skip-test-db"),
                *("--auth-root-authentication-method=socket", "--skip-name-resolve"),
                f"--datadir={self.directory}/db",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=self.environ,
        )
        self.up("munged")
        assert install.wait(60) == 0
        self.up("mariadbd")
        eventually(self._make_database, "MariaDB answers")
        self.up("slurmdbd")
        eventually(lambda: self._ok("sacctmgr", "-n", "list", "cluster"), "slurmdbd answers")
        for words in (
            ("add", "cluster", "hwtest"),
            ("add", "account", "lab"),
            ("add", "qos", "narrow", "set", "MaxSubmitJobsPerUser=1"),
            ("add", "user", "root", "account=lab"),
            ("modify", "user", "root", "set", "qos=normal,narrow"),
        ):
            self.run("sacctmgr", "-i", *words)
        for name in ("slurmctld", *self.nodes):
            self.up(name)
        eventually(self._all_idle, "every node can take a job")

    def stop(self) -> None:
        """Stop everything that was started here, jobs first."""
        for name in self._daemons:
            self.thaw(name)
        for pid in self.job_processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for name in (*self.nodes, "slurmctld", "slurmdbd", "mariadbd", "munged"):
            self.down(name)
        for pid in self.job_processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        eventually(lambda: not self.job_processes(), "the processes of jobs have ended")
        unmount(self.shared)
        for name in self.nodes:
            for top in CGROUPS.glob(f"*/slurm_{name}"):
                for directory, _, _ in os.walk(top, topdown=False):
                    with suppress(OSError):
                        Path(directory).rmdir()

    def up(self, name: str) -> None:
        """Start a daemon, if it is not running."""
        if self.is_up(name):
            return
        with (self.directory / "log" / f"{name}.out").open("ab") as log:
            self._daemons[name] = subprocess.Popen(
                self._command(name),
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        if name == "munged":
            eventually((self.directory / "run" / "munge").exists, "munged listens")

    def down(self, name: str) -> None:
        """Stop a daemon in order; kill it if it does not stop."""
        if not self.is_up(name):
            return
        daemon = self._daemons.pop(name)
        daemon.terminate()
        with suppress(subprocess.TimeoutExpired):
            daemon.wait(10)
        daemon.kill()
        daemon.wait()

    def kill(self, name: str) -> None:
        """Kill a daemon."""
        daemon = self._daemons.pop(name)
        daemon.kill()
        daemon.wait()

    def freeze(self, name: str) -> None:
        """Suspend a daemon; connections are accepted and get no answer."""
        self._daemons[name].send_signal(signal.SIGSTOP)

    def pid(self, name: str) -> int:
        return self._daemons[name].pid

    def thaw(self, name: str) -> None:
        """Continue a suspended daemon."""
        self._daemons[name].send_signal(signal.SIGCONT)

    def is_up(self, name: str) -> bool:
        """Whether a daemon is running, or suspended."""
        return name in self._daemons and self._daemons[name].poll() is None

    def mend(self) -> None:
        """Start and continue all daemons, cancel all jobs, and make every node usable again."""
        for name in ("munged", "mariadbd", "slurmdbd", "slurmctld", *self.nodes):
            if self.is_up(name):
                self.thaw(name)
            else:
                self.up(name)
        self.forget_after(OLD_AGE)
        self.number_jobs()
        self.run("scancel", "--user=root")
        self.run("scancel", "--user=root", "--signal=KILL", check=False)
        eventually(lambda: not self.run("squeue", "-h"), "no job is left")
        if not self._all_idle():
            names = ",".join(self.nodes)
            self.run("scontrol", "update", f"NodeName={names}", "State=RESUME", check=False)
        eventually(self._all_idle, "every node can take a job")
        eventually(lambda: self._ok("sacctmgr", "-n", "list", "cluster"), "slurmdbd answers")

    def forget_after(self, seconds: int) -> None:
        """Set `MinJobAge`: how long the controller remembers ended jobs."""
        self._set(MinJobAge=seconds)

    def number_jobs(self, first: int = 1, after: int = 67043328) -> None:
        """Give new jobs the numbers from `first` to before `after`, then again from `first`."""
        self._set(FirstJobId=first, MaxJobId=after)

    def _set(self, **values: int) -> None:
        """Set values of the configuration while Slurm runs."""
        text = self.conf.read_text()
        keys = tuple(f"{key}=" for key in values)
        lines = [line for line in text.splitlines() if not line.startswith(keys)]
        lines += [f"{key}={value}" for key, value in values.items()]
        if sorted(lines) != sorted(text.splitlines()):
            self.conf.write_text("\n".join((*lines, "")))
            self.run("scontrol", "reconfigure")

    def run(self, *command: str, check: bool = True) -> str:
        """Output of a command of Slurm's own, which can talk to this cluster."""
        done = subprocess.run(
            command,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0 or not check, (command, done.stdout, done.stderr)
        return done.stdout.strip()

    def shown(self, job: str) -> str:
        """State of a job that the controller shows; "" if it has no such job."""
        return self.run("squeue", "-h", "-t", "all", "-o", "%T", "-j", job, check=False)

    def recorded(self, job: str) -> str:
        """State of a job in the accounting, with its end time; "" if it has no such job."""
        return self.run("sacct", "-X", "-n", "-P", "-o", "State,End", "-j", job)

    def processes_of(self, job: str) -> list[int]:
        """Processes of a job on this host."""
        return [pid for pid in self.job_processes() if _has(pid, f"SLURM_JOB_ID={job}")]

    def job_processes(self) -> list[int]:
        """Processes of all jobs, and the slurmstepd of each."""
        own = {daemon.pid for daemon in self._daemons.values()}
        pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
        return [
            pid
            for pid in pids
            if pid not in own
            and _has(pid, f"SLURM_CONF={self.conf}")
            and (_name(pid) == "slurmstepd" or _has(pid, "SLURM_JOB_ID="))
        ]

    def _ok(self, *command: str) -> bool:
        return (
            subprocess.run(
                command, env=self.environ, stdin=subprocess.DEVNULL, capture_output=True, timeout=60
            ).returncode
            == 0
        )

    def _make_database(self) -> bool:
        for name, daemon in self._daemons.items():
            assert daemon.poll() is None, f"{name} has ended, see {self.directory}/log"
        return self._ok(
            *("mariadb", "--no-defaults", "-S", f"{self.directory}/run/mariadb", "-e"),
            "create database if not exists slurm_acct;"
            "create user if not exists slurm@'127.0.0.1' identified by 'slurm';"
            "grant all on slurm_acct.* to slurm@'127.0.0.1'",
        )

    def _all_idle(self) -> bool:
        for name, daemon in self._daemons.items():
            log = self.directory / "log" / f"{name}.out"
            assert daemon.poll() is None, f"{name} has ended\n{log.read_text()[-2000:]}"
        states = self.run("sinfo", "-h", "-N", "-p", "test", "-o", "%T", check=False).split()
        return len(states) == len(self.nodes) and set(states) == {"idle"}

    def _command(self, name: str) -> list[str]:
        run, log = self.directory / "run", self.directory / "log"
        return {
            "munged": [
                *("munged", "--foreground", "--force", f"--key-file={self.directory}/munge.key"),
                *(f"--socket={run}/munge", f"--pid-file={run}/munged.pid"),
                *(f"--log-file={log}/munged", f"--seed-file={run}/seed"),
            ],
            "mariadbd": [
                *("mariadbd", "--no-defaults", "--user=root", f"--datadir={self.directory}/db"),
                *(f"--socket={run}/mariadb", f"--pid-file={run}/mariadbd.pid"),
                *("--bind-address=127.0.0.1", f"--port={self._ports['mariadbd']}"),
                *("--skip-name-resolve", "--innodb-lock-wait-timeout=900"),
                *("--innodb-buffer-pool-size=32M", "--innodb-flush-log-at-trx-commit=0"),
            ],
            "slurmdbd": ["slurmdbd", "-D"],
            "slurmctld": ["slurmctld", "-D"],
        }.get(name) or self._posed(name)

    def _posed(self, node: str) -> list[str]:
        facts = self.directory / "run" / f"host-{node}"
        if not facts.is_dir():
            facts.mkdir()
            (facts / "machine-id").write_text(f"{uuid.uuid4().hex}\n")
            (facts / "boot_id").write_text(f"{uuid.uuid4()}\n")
        pose = ("unshare", "--uts", "--mount", "--propagation", "slave", "sh", "-c", _POSE, "sh")
        return [*pose, node, str(facts)]

    def _configure(self) -> None:
        host = os.uname().nodename.partition(".")[0]
        key = self.directory / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(os.urandom(1024))
        values = {
            "ClusterName": "hwtest",
            "SlurmctldHost": f"{host}(127.0.0.1)",
            "SlurmctldPort": self._ports["slurmctld"],
            "SlurmUser": "root",
            "AuthInfo": f"socket={self.directory}/run/munge,cred_expire=10",
            "StateSaveLocation": self.directory / "save",
            "SlurmdSpoolDir": f"{self.directory}/spool/%n",
            "SlurmctldPidFile": self.directory / "run" / "slurmctld.pid",
            "SlurmdPidFile": f"{self.directory}/run/%n.pid",
            "SlurmctldLogFile": self.directory / "log" / "slurmctld",
            "SlurmdLogFile": f"{self.directory}/log/%n",
            "ProctrackType": "proctrack/cgroup",
            "TaskPlugin": "task/cgroup",
            "MailProg": "/bin/true",
            "JobAcctGatherType": "jobacct_gather/linux",
            "SelectType": "select/cons_tres",
            "SelectTypeParameters": "CR_Core_Memory",
            "SchedulerParameters": "sched_interval=1,bf_interval=1,batch_sched_delay=0",
            "DefMemPerCPU": 100,
            "ReturnToService": 2,
            "SlurmdParameters": "config_overrides",
            "PreemptType": "preempt/partition_prio",
            "PreemptMode": "REQUEUE",
            "OverTimeLimit": 0,
            "KillWait": 6,
            "MessageTimeout": 5,
            "SlurmctldTimeout": 10,
            "SlurmdTimeout": 10,
            "MinJobAge": OLD_AGE,
            "FirstJobId": 1,
            "MaxJobId": 67043328,
            "AccountingStorageType": "accounting_storage/slurmdbd",
            "AccountingStorageHost": "127.0.0.1",
            "AccountingStoragePort": self._ports["slurmdbd"],
            "AccountingStoragePass": self.directory / "run" / "munge",
            "AccountingStorageEnforce": "associations,limits,qos",
        }
        lines = [f"{key}={value}" for key, value in values.items()]
        for letter, node in zip("abc", self.nodes, strict=False):
            lines.append(
                f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 "
                f"Port={self._ports[letter]} CPUs=4 RealMemory=1000"
            )
        for partition, more in (("test", "Default=YES PriorityTier=1"), ("high", "PriorityTier=9")):
            lines.append(f"PartitionName={partition} Nodes={','.join(self.nodes)} {more}")
        self.conf.write_text("\n".join((*lines, "")))
        (self.directory / "cgroup.conf").write_text(
            "CgroupPlugin=cgroup/v1\nConstrainRAMSpace=yes\nConstrainSwapSpace=no\n"
        )
        database = self.directory / "slurmdbd.conf"
        database.touch(mode=0o600)
        database.write_text(
            f"AuthType=auth/munge\nAuthInfo=socket={self.directory}/run/munge\n"
            f"DbdHost=localhost\nDbdAddr=127.0.0.1\nDbdPort={self._ports['slurmdbd']}\n"
            f"SlurmUser=root\nPidFile={self.directory}/run/slurmdbd.pid\n"
            f"LogFile={self.directory}/log/slurmdbd\n"
            "StorageType=accounting_storage/mysql\nStorageHost=127.0.0.1\n"
            f"StoragePort={self._ports['mariadbd']}\nStorageUser=slurm\nStoragePass=slurm\n"
            "StorageLoc=slurm_acct\n"
        )


def _has(pid: int, variable: str) -> bool:
    try:
        environ = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False
    return f"\0{variable}".encode() in b"\0" + environ


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


@contextmanager
def slurm_cluster() -> Iterator[SlurmCluster]:
    """A cluster that runs inside the block."""
    memory = Path("/dev/shm")
    place = memory if os.access(memory, os.W_OK) else Path("/tmp")
    with tempfile.TemporaryDirectory(prefix="hw-slurm-", dir=place) as directory:
        cluster = SlurmCluster(Path(directory))
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()
