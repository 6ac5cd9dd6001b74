"""HTTP client for Request Tracker. Import this module late.

It takes nothing from the environment: no proxy, no `.netrc`, no certificates. Otherwise messages
could take another route than the configuration says, and this would be noticed too late.

The client gives up an answer in three cases: no data arrive for `timeout` seconds, the answer has
not ended after TOTAL times as many seconds, or it becomes too large. The answer may come from any
server between us and RT.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2

from hesiod_watch import __version__
from hesiod_watch.core.errors import PermanentError
from hesiod_watch.core.naming import display

TOTAL = 5
"""Longest time from the first byte of an answer to its last, in timeouts."""
LARGEST = 64 * 1024 * 1024
"""Most bytes of one answer; a page of a hundred tickets has about ten thousand."""


def client(
    *, token: str, user: str, password: str, ca_bundle: Path | None, proxy: str, timeout: float
) -> httpx2.Client:
    """A client that authenticates with the token or, without one, with user and password.

    `ca_bundle` replaces the certificates that the system trusts. Raises PermanentError if it or the
    URL of the proxy cannot be used.
    """
    try:
        transport = httpx2.HTTPTransport(
            verify=_trusted(ca_bundle), proxy=proxy or None, trust_env=False
        )
    except (ValueError, httpx2.InvalidURL):
        # The text of the error would repeat the URL, which may contain a password.
        raise PermanentError(
            "the proxy for Request Tracker should be like http://host:port"
        ) from None
    headers = {"User-Agent": f"hesiod-watch/{__version__}"}
    if token:
        headers["Authorization"] = f"token {token}"
    return httpx2.Client(
        transport=_BoundedTransport(transport, TOTAL * timeout),
        headers=headers,
        auth=None if token else httpx2.BasicAuth(user, password),
        timeout=timeout,
        trust_env=False,
    )


def _trusted(ca_bundle: Path | None) -> ssl.SSLContext | bool:
    if ca_bundle is None:
        return True
    try:
        return ssl.create_default_context(cafile=ca_bundle)
    except OSError as error:  # SSLError, raised if the file has no certificate, is an OSError
        reason = (
            "holds no certificate"
            if isinstance(error, ssl.SSLError)
            else f"cannot be read: {error.strerror}"
        )
        raise PermanentError(
            f"{display(str(ca_bundle))}: the CA bundle for Request Tracker {reason}"
        ) from error


class _BoundedTransport(httpx2.BaseTransport):
    """A transport that gives up answers that do not end."""

    def __init__(self, transport: httpx2.BaseTransport, seconds: float) -> None:
        self._transport = transport
        self._seconds = seconds

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        response = self._transport.handle_request(request)
        # Always true: this transport is not asynchronous.
        if isinstance(response.stream, httpx2.SyncByteStream):
            response.stream = _BoundedStream(response.stream, self._seconds)
        return response

    def close(self) -> None:
        self._transport.close()


class _BoundedStream(httpx2.SyncByteStream):
    def __init__(self, stream: httpx2.SyncByteStream, seconds: float) -> None:
        self._stream = stream
        self._deadline = time.monotonic() + seconds

    def __iter__(self) -> Iterator[bytes]:
        size = 0
        for part in self._stream:
            size += len(part)
            if size > LARGEST or time.monotonic() > self._deadline:
                raise httpx2.ReadTimeout("the answer does not end")
            yield part

    def close(self) -> None:
        self._stream.close()
