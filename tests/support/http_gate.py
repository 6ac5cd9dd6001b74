"""A gate in front of a web service that loses or replaces responses, or speaks TLS.

The gate first passes a complete request to the service and reads the complete response. Then it
simulates the fault. So a lost response belongs to a request that was executed.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "proxy-connection"}
Fate = Literal["cut", "silence", "trickle"]


class Gate(ThreadingHTTPServer):
    """Server in front of a service on a port of this host; also usable as a proxy.

    `requests` lists the received requests, such as `POST /REST/2.0/ticket`.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, target: int, certificate: Path | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = target
        self.port: int = self.server_address[1]
        self.requests: list[str] = []
        self.ended = threading.Event()
        self._fates: list[tuple[str, Fate | Callable[[], None]]] = []
        self._instead: tuple[str, int, bytes, dict[str, str]] | None = None
        self._lock = threading.Lock()
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            # The handshake runs in the thread of the connection.
            self.socket = context.wrap_socket(
                self.socket, server_side=True, do_handshake_on_connect=False
            )
        self.url = f"{'https' if certificate else 'http'}://127.0.0.1:{self.port}/REST/2.0/"

    def lose(self, request: str, how: Fate) -> None:
        """Lose the response to the next request that begins with `request`.

        `cut` ends the connection, `silence` sends nothing, `trickle` sends a response without end.
        """
        self._fates.append((request, how))

    def answer(self, status: int, body: bytes = b"", request: str = "", **headers: str) -> None:
        """Answer requests that begin with `request` without the service, from now on."""
        self._instead = (
            request,
            status,
            body,
            {name.replace("_", "-"): value for name, value in headers.items()},
        )

    def at(self, request: str, action: Callable[[], None]) -> None:
        """Call `action` after the next request that begins with `request` was sent to the service.

        The gate reads the response after that.
        """
        self._fates.append((request, action))

    def pass_on(self) -> None:
        """Simulate no more faults."""
        self._fates, self._instead = [], None

    def fate_of(self, request: str) -> Fate | Callable[[], None] | None:
        with self._lock:
            for each in self._fates:
                if request.startswith(each[0]):
                    self._fates.remove(each)
                    return each[1]
        return None

    def instead_of(self, request: str) -> tuple[int, bytes, dict[str, str]] | None:
        if self._instead and request.startswith(self._instead[0]):
            return self._instead[1:]
        return None

    def handle_error(self, *_: object) -> None:
        """Print nothing if a client disconnects or rejects the certificate."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Gate

    def log_message(self, *_: object) -> None:
        """Print nothing: tests report what they see."""

    def do_GET(self) -> None:
        path = (
            self.path
            if self.path.startswith("/")
            else self.path.removeprefix("http://").partition("/")[2]
        )
        path = "/" + path.lstrip("/")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        request = f"{self.command} {urlsplit(path).path}"
        self.server.requests.append(request)
        instead = self.server.instead_of(request)
        if instead:
            self._send(*instead)
            return
        headers = {
            name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP
        }
        with closing(
            http.client.HTTPConnection("127.0.0.1", self.server.target, timeout=60)
        ) as service:
            service.request(self.command, path, body, headers)
            fate = self.server.fate_of(request)
            if callable(fate):
                fate()
            answer = service.getresponse()
            content = answer.read()
        if fate == "cut":
            self.close_connection = True
        elif fate == "silence":
            self.server.ended.wait(60)
            self.close_connection = True
        else:
            kept = {
                name: value for name, value in answer.getheaders() if name.lower() not in HOP_BY_HOP
            }
            self._send(answer.status, content, kept, endless=fate == "trickle")

    def do_POST(self) -> None:
        self.do_GET()

    def do_PUT(self) -> None:
        self.do_GET()

    def do_CONNECT(self) -> None:
        """A tunnel, for TLS through a proxy."""
        self.server.requests.append(f"CONNECT {self.path}")
        host, _, port = self.path.partition(":")
        with socket.create_connection((host, int(port))) as there:
            self.send_response_only(200)
            self.end_headers()
            back = threading.Thread(target=_carry, args=(there, self.connection), daemon=True)
            back.start()
            _carry(self.connection, there)
            back.join()
        self.close_connection = True

    def _send(
        self, status: int, content: bytes, headers: dict[str, str], *, endless: bool = False
    ) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content) + (1_000_000 if endless else 0)))
        self.end_headers()
        self.wfile.write(content)
        while endless and not self.server.ended.wait(0.1):
            self.wfile.write(b" ")


def _carry(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


@contextmanager
def gate(target: int, certificate: Path | None = None) -> Iterator[Gate]:
    """A gate that is open inside the block."""
    with Gate(target, certificate) as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield made
        finally:
            made.ended.set()
            made.shutdown()
            thread.join()


def make_certificate(path: Path, *, days: int = 1) -> Path:
    """A certificate for 127.0.0.1 that is its own authority, with its key in the same file."""
    key = path.with_suffix(".key")
    wanted = (
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "
        "-addext subjectAltName=IP:127.0.0.1"
    )
    subprocess.run(
        [
            "openssl",
            *wanted.split(),
            "-subj",
            "/CN=test",
            "-days",
            str(days),
            "-keyout",
            key,
            "-out",
            path,
        ],
        check=True,
        capture_output=True,
        timeout=60,
    )
    path.write_bytes(path.read_bytes() + key.read_bytes())
    return path
