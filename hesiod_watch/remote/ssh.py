"""Commands for ssh, and the one connection that all of them share.

A login takes a third of a second, and a server drops some of forty logins that arrive at once. So
the first command opens a connection that stays open (ssh's ControlMaster). Later commands use it,
also those of other processes of this user on this host. If it cannot be opened, each command
connects by itself, which is slower but correct.

`ServerAlive…` detects a frozen host within the endpoint's timeout.
"""

from __future__ import annotations

import hashlib
import math
import os
import pwd
import re
import shlex
import socket
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from hesiod_watch.config import EndpointSettings
from hesiod_watch.host import process
from hesiod_watch.host.command import CommandRunner
from hesiod_watch.host.locks import RUNTIME, is_private, temporary_directory
from hesiod_watch.rules.ssh_advice import SshAttempt

PERSIST = 120
"""Seconds for which an idle connection stays open."""

RESOLVE = 10.0
"""Seconds for ssh to print its own settings."""

_LONGEST_SOCKET = 107 - 17  # bytes of a Unix socket's path, minus the suffix of ssh's temporary one


def options(endpoint: EndpointSettings, control: Path | None) -> tuple[str, ...]:
    """Arguments of ssh before the host; `control` is the shared connection's socket, if any."""
    interval = max(1, math.floor(endpoint.timeout / 4))
    return (
        # ssh uses the first value of each option. It must never ask a question, because no person
        # is there to answer.
        *("-o", "BatchMode=yes"),
        *("-o", "ControlMaster=no"),
        *("-o", f"ControlPath={str(control).replace('%', '%%') if control else 'none'}"),
        *endpoint.ssh_options,
        *("-T", "-x", "-a"),
        *("-o", f"ConnectTimeout={math.ceil(endpoint.connect_timeout)}"),
        *("-o", f"ServerAliveInterval={interval}"),
        *("-o", "ServerAliveCountMax=3"),
        *("-o", "LogLevel=ERROR"),
    )


def remote(
    endpoint: EndpointSettings, command: Sequence[str], control: Path | None
) -> tuple[str, ...]:
    """Local command that runs `command` on the endpoint's host.

    ssh joins its arguments with blanks, and the remote shell splits them again. So ssh gets one
    argument that is quoted once for a shell.
    """
    return ("ssh", *options(endpoint, control), "--", endpoint.place.ssh_host, shlex.join(command))


def opening(endpoint: EndpointSettings, control: Path) -> tuple[str, ...]:
    """Command that opens the shared connection; it ends when that succeeds or fails."""
    mine = ("-o", "ControlMaster=yes", "-o", f"ControlPersist={PERSIST}", "-f", "-N")
    # The first value of an option counts, so these come before the common options.
    return ("ssh", *mine, *options(endpoint, control), "--", endpoint.place.ssh_host)


def rsh(endpoint: EndpointSettings, control: Path | None) -> str:
    """Value of rsync's `--rsh`, quoted by rsync's own rules: blanks split it, quotes protect."""
    return " ".join(_for_rsync(word) for word in ("ssh", *options(endpoint, control)))


def attempt(endpoint: EndpointSettings, runner: CommandRunner) -> SshAttempt:
    """Describe an ssh to an endpoint, as ssh resolves its own settings; connects to nothing."""
    host = endpoint.place.ssh_host
    ended = runner(("ssh", "-G", *options(endpoint, None), "--", host), quiet=RESOLVE)
    settings: dict[str, str] = {}
    keys: list[str] = []
    for line in ended.output.decode("utf-8", "replace").splitlines():
        key, _, value = line.partition(" ")
        settings.setdefault(key, value)
        if key == "identityfile":
            keys.append(_expanded(value))
    known = [_expanded(each) for each in settings.get("userknownhostsfile", "").split()]
    readable = [key for key in keys if os.access(key, os.R_OK)]
    return SshAttempt(
        *(process.user_name(), host, endpoint.ssh_options, settings),
        *(readable, [key for key in keys if key not in readable]),
        next((each for each in known if Path(each).exists()), known[0] if known else "?"),
    )


def _expanded(path: str) -> str:
    """Path of a file in which `~` is the home of the account, as for ssh, not `$HOME`."""
    if not path.startswith("~/"):
        return path
    with suppress(KeyError):
        return f"{pwd.getpwuid(os.getuid()).pw_dir}{path[1:]}"
    return path


def _for_rsync(word: str) -> str:
    if word and not set(word) & set(" '\""):
        return word
    return "'" + word.replace("'", "''") + "'"  # a doubled quote within quotes is one quote


def control_path(endpoint: EndpointSettings) -> Path | None:
    """Path of the shared connection's socket; None if no suitable directory is available.

    Its directory is private to this user and is created if needed. Commands with other options use
    another connection.
    """
    key = "\0".join((endpoint.place.ssh_host, *options(endpoint, None)))
    name = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    for base in _bases():
        directory = Path(base) / f"hesiod-watch-ssh-{os.getuid()}"
        path = directory / name
        if len(os.fsencode(path)) <= _LONGEST_SOCKET and _private(directory):
            return path
    return None


def _bases() -> list[str]:
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    shared = str(RUNTIME) if is_private(RUNTIME) else ""
    candidates = (shared, runtime, str(temporary_directory()), "/tmp")  # noqa: S108 -- made private
    # ssh splits the values of its options at blanks and quotes.
    return [base for base in candidates if re.fullmatch(r"/[A-Za-z0-9_.%+@=,/-]*", base)]


def _private(directory: Path) -> bool:
    """Create `directory` if needed; whether only this user can use it.

    In a shared parent directory another user may have created it first.
    """
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
        found = directory.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077


def answers(control: Path) -> bool:
    """Whether a process serves the shared connection; removes the socket of a dead one."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(1)
        try:
            client.connect(str(control))
            return True
        except TimeoutError:
            return True  # frozen or busy: its own ServerAlive ends it
        except FileNotFoundError:
            return False
        except OSError:
            control.unlink(missing_ok=True)  # ssh opens no new connection while it exists
            return False
