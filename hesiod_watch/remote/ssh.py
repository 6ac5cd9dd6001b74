"""Commands for ssh, and the one connection that all of them share.

Logging in takes a third of a second, and a server that is asked forty times at once drops some of
them. So the first command opens a connection that stays (ssh's ControlMaster), and those that
follow go through it, also those of other processes of this user on this host. Where it cannot be
had each command connects by itself: slower, never wrong.

A frozen host is noticed by `ServerAlive…`, in no more than the upstream's timeout.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import shlex
import socket
import stat
import tempfile
from collections.abc import Sequence
from pathlib import Path

from hesiod_watch.config import UpstreamSettings

PERSIST = 120
"""Seconds for which an idle connection stays open."""

_LONGEST_SOCKET = 107 - 17  # of a Unix socket's path, less what ssh appends while it makes one


def options(upstream: UpstreamSettings, control: Path | None) -> tuple[str, ...]:
    """ssh's arguments before the host; through the shared connection `control` where there is one."""
    interval = max(1, math.floor(upstream.timeout / 4))
    return (
        # ssh keeps to what it is told first. No question may ever be asked, for nobody is there to
        # answer it.
        *("-o", "BatchMode=yes"),
        *("-o", "ControlMaster=no"),
        *("-o", f"ControlPath={str(control).replace('%', '%%') if control else 'none'}"),
        *upstream.ssh_options,
        *("-T", "-x", "-a"),
        *("-o", f"ConnectTimeout={math.ceil(upstream.connect_timeout)}"),
        *("-o", f"ServerAliveInterval={interval}"),
        *("-o", "ServerAliveCountMax=3"),
        *("-o", "LogLevel=ERROR"),
    )


def remote(
    upstream: UpstreamSettings, command: Sequence[str], control: Path | None
) -> tuple[str, ...]:
    """The local command that runs `command` on the upstream's host.

    ssh joins its arguments with blanks and the shell there takes them apart again; so it is given
    one that is quoted for a shell, once.
    """
    return ("ssh", *options(upstream, control), "--", upstream.place.ssh_host, shlex.join(command))


def opening(upstream: UpstreamSettings, control: Path) -> tuple[str, ...]:
    """The command that opens the shared connection: it ends when the connection is there, or cannot
    be had.
    """
    mine = ("-o", "ControlMaster=yes", "-o", f"ControlPersist={PERSIST}", "-f", "-N")
    # What is said first counts, so these come before the options of all commands.
    return ("ssh", *mine, *options(upstream, control), "--", upstream.place.ssh_host)


def closing(upstream: UpstreamSettings, control: Path) -> tuple[str, ...]:
    """The command that ends the shared connection."""
    return ("ssh", *options(upstream, control), "-O", "exit", "--", upstream.place.ssh_host)


def rsh(upstream: UpstreamSettings, control: Path | None) -> str:
    """The value of rsync's `--rsh`, which rsync takes apart by its own rules: blanks divide, quotes
    hold together.
    """
    return " ".join(_for_rsync(word) for word in ("ssh", *options(upstream, control)))


def _for_rsync(word: str) -> str:
    if word and not set(word) & set(" '\""):
        return word
    return "'" + word.replace("'", "''") + "'"  # within quotes a doubled one stands for itself


def control_path(upstream: UpstreamSettings) -> Path | None:
    """Where the shared connection to the upstream's host is to be found; None where no place for it
    can be had.

    Its directory is private to this user and made if need be. Commands with other options use
    another connection.
    """
    what = "\0".join((upstream.place.ssh_host, *options(upstream, None)))
    name = hashlib.sha256(what.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    for base in _bases():
        directory = Path(base) / f"hesiod-watch-ssh-{os.getuid()}"
        path = directory / name
        if len(os.fsencode(path)) <= _LONGEST_SOCKET and _private(directory):
            return path
    return None


def _bases() -> list[str]:
    given = (os.environ.get("XDG_RUNTIME_DIR", ""), tempfile.gettempdir(), "/tmp")  # noqa: S108 -- made private
    # ssh takes the values of its options apart at blanks and quotes.
    return [base for base in given if re.fullmatch(r"/[A-Za-z0-9_.%+@=,/-]*", base)]


def _private(directory: Path) -> bool:
    """Whether `directory` is ours alone; in a shared directory somebody else may have made it
    first.
    """
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
        found = directory.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077


def answers(control: Path) -> bool:
    """Whether a process serves the shared connection. What is left of one that has died is removed."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(1)
        try:
            client.connect(str(control))
            return True
        except TimeoutError:
            return True  # frozen, or busy: its own ServerAlive will end it
        except FileNotFoundError:
            return False
        except OSError:
            control.unlink(missing_ok=True)  # with it ssh would not open another
            return False
