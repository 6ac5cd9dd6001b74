"""Two hosts behind a real ssh: servers of this user on high ports, with separate keys.

The ssh configuration of the machine is neither used nor changed. Each host is behind a link, a
small proxy. A link can be cut silently, broken or slowed down, and it counts connections. The
server itself can be frozen, stopped, or get another key. Needed: sshd, ssh, ssh-keygen, rsync.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from ports import free_port
from sites import eventually

SSHD = shutil.which("sshd", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
MISSING = [name for name in ("ssh", "ssh-keygen", "rsync") if not shutil.which(name)] + (
    [] if SSHD else ["sshd"]
)
needs_sshd = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")


class Link:
    """A proxy in front of a server, on a separate port."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._open = threading.Event()
        self._open.set()
        self._closing = threading.Event()
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.port: int = self._listener.getsockname()[1]
        self.connections = 0
        """Number of connections so far."""
        self.carried = 0
        """Bytes transferred in both directions."""
        self.rate: float | None = None
        """Bytes per second in each direction; None: no limit."""
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def cut(self) -> None:
        """Stop both directions silently, without closing connections."""
        self._open.clear()

    def join(self) -> None:
        self._open.set()

    def snap(self) -> None:
        """End all connections, like a router that is switched off."""
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End all connections and threads.

        A socket that the garbage collector closes would fail a later test.
        """
        self._closing.set()
        self._open.set()
        # shutdown() wakes the thread that accepts; close() does not.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        self.snap()
        for thread in self._threads:
            thread.join()
        for each in (self._listener, *self._sockets):
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            try:
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                client.close()
                continue
            self._sockets += [client, server]
            for source, sink in ((client, server), (server, client)):
                self._threads.append(
                    threading.Thread(target=self._carry, args=(source, sink), daemon=True)
                )
                self._threads[-1].start()

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 15):
                if self.rate:
                    # A slow link delays the data until it is closed.
                    self._closing.wait(len(data) / self.rate)
                self._open.wait()
                sink.sendall(data)
                self.carried += len(data)
        for each in (source, sink):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


class Host:
    """One server with its link. `data` is the directory for its files."""

    def __init__(self, pair: Pair, name: str) -> None:
        self.name = name
        self.directory = pair.directory / name
        self.data = self.directory / "data"
        self.data.mkdir(parents=True)
        self._pair = pair
        self._server: subprocess.Popen[bytes] | None = None
        self._port = free_port()
        self.link = Link(self._port)
        make_key(self.directory / "host_key")

    @property
    def known(self) -> str:
        """Line of this host in known_hosts."""
        return f"{self.name} {(self.directory / 'host_key.pub').read_text()}"

    def up(self) -> None:
        config = self.directory / "sshd_config"
        config.write_text(
            f"""\
ListenAddress 127.0.0.1:{self._port}
HostKey {self.directory}/host_key
PidFile none
AuthorizedKeysFile {self._pair.directory}/authorized_keys
AuthenticationMethods publickey
PermitRootLogin prohibit-password
StrictModes no
UsePAM no
UseDNS no
PrintMotd no
PrintLastLog no
ClientAliveInterval 2
ClientAliveCountMax 3
SetEnv SHLVL=1
"""  # SHLVL keeps bash from reading the user's .bashrc
        )
        command = [str(SSHD), "-e", "-f", str(config)]
        # From OpenSSH 9.8 on, the server refuses the address of failed logins for a while.
        penalties = ["-o", "PerSourcePenalties=no"]
        if subprocess.run([*command, *penalties, "-t"], capture_output=True).returncode == 0:
            command += penalties
        with (self.directory / "sshd.log").open("ab") as log:
            self._server = subprocess.Popen([*command, "-D"], stderr=log, stdout=log)
        eventually(self._greets, f"{self.name} greets")

    def down(self) -> None:
        """End the server and all its sessions; connections are refused."""
        self.kill_sessions()
        if self._server:
            self._server.send_signal(signal.SIGCONT)
            self._server.kill()
            self._server.wait()
        self._server = None

    def freeze(self) -> None:
        """Stop all processes of the server and its sessions; connections stay open."""
        for pid in self._pids():
            signal_to(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        for pid in self._pids():
            signal_to(pid, signal.SIGCONT)

    def kill_sessions(self) -> None:
        """Send SIGKILL to every session and its processes."""
        for pid in self.sessions():
            signal_to(pid, signal.SIGKILL)

    def sessions(self) -> list[int]:
        return descendants(self._server.pid) if self._server else []

    def rekey(self) -> None:
        """Restart with a new host key that the clients do not know."""
        self.down()
        for name in ("host_key", "host_key.pub"):
            (self.directory / name).unlink()
        make_key(self.directory / "host_key")
        self.up()

    def _pids(self) -> list[int]:
        return [self._server.pid, *self.sessions()] if self._server else []

    def _greets(self) -> bool:
        assert self._server is not None
        assert self._server.poll() is None, (self.directory / "sshd.log").read_text()
        try:
            with socket.create_connection(("127.0.0.1", self._port), timeout=5) as client:
                return client.recv(4) == b"SSH-"
        except OSError:
            return False


class Pair:
    """`hosta` and `hostb`, and the arguments with which ssh reaches them.

    `noisy-hosta` is `hosta` with a login shell that prints a greeting.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        if os.geteuid() == 0:
            # Empty chroot of sshd, which systemd usually creates.
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        for key in ("key", "noisy"):
            make_key(directory / key)
        plain, noisy = ((directory / f"{key}.pub").read_text() for key in ("key", "noisy"))
        forced = r"echo Welcome to your sequencer; exec sh -c \"$SSH_ORIGINAL_COMMAND\""
        (directory / "authorized_keys").write_text(f'{plain}command="{forced}" {noisy}')
        self.hosta, self.hostb = Host(self, "hosta"), Host(self, "hostb")
        (directory / "known_hosts").write_text(self.hosta.known + self.hostb.known)
        (directory / "ssh_config").write_text(
            "".join(
                self._client(host, alias)
                for host in (self.hosta, self.hostb)
                for alias in ("", "noisy-")
            )
            + f"""\
Host *
  HostName 127.0.0.1
  User {pwd.getpwuid(os.geteuid()).pw_name}
  IdentitiesOnly yes
  IdentityAgent none
  UserKnownHostsFile {directory}/known_hosts
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking yes
  UpdateHostKeys no
  PreferredAuthentications publickey
"""
        )

    def _client(self, host: Host, alias: str) -> str:
        key = self.directory / ("noisy" if alias else "key")
        return (
            f"Host {alias}{host.name}\n  Port {host.link.port}\n"
            f"  HostKeyAlias {host.name}\n  IdentityFile {key}\n"
        )

    @property
    def options(self) -> tuple[str, ...]:
        """Arguments of ssh."""
        return ("-F", str(self.directory / "ssh_config"))


@contextmanager
def sshd_pair() -> Iterator[Pair]:
    """Both running hosts, inside the block.

    Their directory has a short name, because paths of sockets must be short.
    """
    with tempfile.TemporaryDirectory(prefix="pair-", dir="/tmp") as directory:
        pair = Pair(Path(directory))
        hosts = (pair.hosta, pair.hostb)
        try:
            for host in hosts:
                host.up()
            yield pair
        finally:
            for host in hosts:
                host.thaw()
                host.down()
                host.link.close()


def make_key(path: Path) -> None:
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", path.name, "-f", path], check=True
    )


def signal_to(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def descendants(pid: int) -> list[int]:
    """All child processes of a process, at any depth."""
    found = []
    for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in map(int, tasks.read_text().split()):
                found += [child, *descendants(child)]
    return found
