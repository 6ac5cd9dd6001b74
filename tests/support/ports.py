"""Ports for the servers of tests."""

from __future__ import annotations

import secrets
import socket
from contextlib import suppress


def free_port() -> int:
    """A port that no outgoing connection takes before the server does."""
    while True:
        # Below the range that Linux gives to outgoing connections.
        port = 16000 + secrets.randbelow(16000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
