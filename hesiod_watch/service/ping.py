"""Fetch an address after each look at all runs, so that another host notices if they stop.

A ping runs in a thread of its own: an address that does not answer delays nothing. A failure is
logged once, until the address answers again.
"""

from __future__ import annotations

import logging
import threading
import urllib.error
import urllib.request
from urllib.parse import urlsplit

from hesiod_watch.core.logfields import fields

logger = logging.getLogger(__name__)

TIMEOUT = 10.0
"""Seconds after which a ping is given up."""


class Pinger:
    """Pings one address, one request at a time; an empty address is never pinged."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._thread: threading.Thread | None = None
        self._failed = False

    def ping(self) -> None:
        """Begin a request, unless the last one is still waiting."""
        if not self._url or (self._thread and self._thread.is_alive()):
            return
        self._thread = threading.Thread(target=self._get, name="ping", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Wait until the request under way has ended."""
        if self._thread:
            self._thread.join(TIMEOUT)

    def _get(self) -> None:
        try:
            # The configuration allows http and https only.
            with urllib.request.urlopen(self._url, timeout=TIMEOUT) as answer:  # noqa: S310
                answer.read(1)
            self._failed = False
        except (OSError, ValueError, urllib.error.URLError) as error:
            if not self._failed:  # the path of the address is a secret
                host = urlsplit(self._url).hostname
                logger.warning("ping failed", extra=fields(host=host, why=error))
            self._failed = True
