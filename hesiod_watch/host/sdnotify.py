"""Status messages to systemd: the sd_notify(3) protocol, one datagram per message.

Without NOTIFY_SOCKET nothing is sent.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping


class SystemdNotifier:
    """Send `READY=1` and other states to the service manager, if there is one."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        try:
            interval = int(environ.get("WATCHDOG_USEC", "0")) / 1_000_000
        except ValueError:
            interval = 0.0
        if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
            interval = 0.0
        self.watchdog_interval = interval
        """Seconds within which systemd expects a message; 0: it expects none."""

    def send(self, **states: str) -> None:
        """`send(READY="1", STATUS="…")`. Ignores a manager that does not listen."""
        if not self._address:
            return
        # An address that begins with @ is in the abstract namespace; for the kernel it begins with
        # a NUL.
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        message = "\n".join(f"{key}={value}" for key, value in states.items())
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
                channel.sendto(message.encode("utf-8", "replace"), address)
        except OSError:
            pass
