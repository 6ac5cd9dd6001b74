"""The HTTP that Request Tracker is spoken to with. To be imported late.

Nothing is taken from the environment: neither a proxy, nor `.netrc`, nor certificates. A service
whose messages go another way than its configuration says is found out too late.

An answer is given up when nothing comes for `timeout` seconds, when it has not ended after TOTAL
times as many, or when it grows too large: what answers may be anything between us and RT.
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
"""How many times the timeout an answer may take from its first byte to its last."""
LARGEST = 64 * 1024 * 1024
"""Bytes of one answer; a page of a hundred tickets has some ten thousand."""


def client(
    *, token: str, user: str, password: str, ca_bundle: Path | None, proxy: str, timeout: float
) -> httpx2.Client:
    """A client that proves itself with the token, or with user and password where there is none.

    `ca_bundle` replaces what the system trusts. Raises PermanentError where it or the proxy's URL
    cannot be used.
    """
    try:
        transport = httpx2.HTTPTransport(
            verify=_trusted(ca_bundle), proxy=proxy or None, trust_env=False
        )
    except (ValueError, httpx2.InvalidURL):
        # Its own words would repeat the URL, which may hold a password.
        raise PermanentError(
            "the proxy for Request Tracker should be like http://host:port"
        ) from None
    headers = {"User-Agent": f"hesiod-watch/{__version__}"}
    if token:
        headers["Authorization"] = f"token {token}"
    return httpx2.Client(
        transport=_Bounded(transport, TOTAL * timeout),
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
    except OSError as error:  # no such file, or no certificate in it: SSLError is one
        reason = (
            "holds no certificate"
            if isinstance(error, ssl.SSLError)
            else f"cannot be read: {error.strerror}"
        )
        raise PermanentError(
            f"{display(str(ca_bundle))}: the CA bundle for Request Tracker {reason}"
        ) from error


class _Bounded(httpx2.BaseTransport):
    """Gives up answers that do not end."""

    def __init__(self, transport: httpx2.BaseTransport, seconds: float) -> None:
        self._transport = transport
        self._seconds = seconds

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        response = self._transport.handle_request(request)
        if isinstance(
            response.stream, httpx2.SyncByteStream
        ):  # always, of a transport that is not asynchronous
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
