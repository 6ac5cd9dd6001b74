"""Mail and chat through Apprise, with a local web server: deliveries, errors, no secrets."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from hesiod_watch.config import parse
from hesiod_watch.core.errors import PermanentError, TemporaryError
from hesiod_watch.core.messages import Delivery, DeliveryReceipt, TicketRequest
from hesiod_watch.notify.apprise_channel import AppriseChannel
from hesiod_watch.notify.registry import open_channels

pytest.importorskip("apprise", reason="the optional library Apprise is not installed")

# The library loads modules of all its services; their warnings are not ours.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

TICKET = TicketRequest("run", "", "Run run")
SECRET = "s3cr3t-Passw0rd"


class Server(ThreadingHTTPServer):
    """Accepts every POST request and answers `status`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.taken: list[dict[str, Any]] = []
        self.status = 200


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.taken.append(json.loads(body))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.fixture
def url_file(tmp_path: Path, server: Server) -> Path:
    path = tmp_path / "chat"
    path.touch(0o600)
    path.write_text(
        f"# the lab's room\njson://user:{SECRET}@127.0.0.1:{server.server_address[1]}/\n"
    )
    return path


def message(text: str = "text") -> Delivery:
    return Delivery(3, "0123456789abcdef" * 2, "cell-done", "comment", text)


def test_sent(url_file: Path, server: Server) -> None:
    """A message arrives with its title and its unchanged text; nothing in it is expanded."""
    text = "Cell a/b: 12 Gb\n<b>*not bold*</b> \\n :smile: @everyone äöü"
    assert AppriseChannel("chat", url_file).deliver(TICKET, None, message(text)) == DeliveryReceipt(
        None
    )
    (taken,) = server.taken
    assert taken["title"] == "Run run: cell-done"
    assert taken["message"] == text


@pytest.mark.parametrize("status", [500, 403, 404])
def test_refused(
    status: int, url_file: Path, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """A refusal is temporary; its error has the library's reason and no part of the address."""
    server.status = status
    with caplog.at_level(logging.WARNING), pytest.raises(TemporaryError) as caught:
        AppriseChannel("chat", url_file).deliver(TICKET, None, message())
    assert str(caught.value).startswith("chat: not sent: ")
    assert str(status) in str(caught.value)
    assert SECRET not in str(caught.value)


def test_refused_connection(tmp_path: Path) -> None:
    """A refused connection is temporary, and its error does not show the secret in its text."""
    path = tmp_path / "chat"
    path.touch(0o600)
    path.write_text(f"json://127.0.0.1:1/{SECRET}/hook\n")
    with pytest.raises(TemporaryError) as caught:
        AppriseChannel("chat", path).deliver(TICKET, None, message())
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "mode", "expected"),
    [
        ("json://127.0.0.1\n", 0o644, "chmod 600"),
        ("json://127.0.0.1\n", 0o660, "chmod 600"),
        ("", 0o600, "should hold one address"),
        ("# nothing\n", 0o600, "should hold one address"),
        ("json://a\njson://b\n", 0o600, "should hold one address"),
        (f"nosuch://{SECRET}\n", 0o600, "holds no address that Apprise understands"),
        (f"{SECRET}\n", 0o600, "holds no address that Apprise understands"),
    ],
)
def test_bad_files(text: str, mode: int, expected: str, tmp_path: Path) -> None:
    """An invalid file needs a person; the error names the file and shows nothing of its content."""
    path = tmp_path / "chat"
    path.write_text(text)
    path.chmod(mode)
    channel = AppriseChannel("chat", path)
    with pytest.raises(PermanentError, match=expected) as caught:
        channel.deliver(TICKET, None, message())
    assert str(path) in str(caught.value)
    assert SECRET not in str(caught.value)
    assert channel.check() == (False, str(caught.value))


def test_missing_file(tmp_path: Path) -> None:
    """A missing file is reported when it is needed, and by `doctor`."""
    ok, says = AppriseChannel("chat", tmp_path / "none").check()
    assert ok is False
    assert says == f"{tmp_path}/none: cannot be read: No such file or directory"


def test_check(url_file: Path, server: Server) -> None:
    """`doctor` parses the address, sends nothing, and says so."""
    ok, says = AppriseChannel("chat", url_file).check()
    assert ok is None
    assert "nothing was sent" in says
    assert server.taken == []


def test_opened_by_the_configuration(tmp_path: Path, url_file: Path, server: Server) -> None:
    """Configured channels are listed by name, the tracker first.

    Bad secrets of one channel affect only that channel.
    """
    text = (
        "landing: /a\noutput: /b\n"
        "notify:\n"
        "  rt: {url: 'https://rt.invalid/', credentials: none, queue: q}\n"
        f"  channels: {{room: {{url_file: {url_file}}}, other: {{url_file: none}}}}\n"
    )
    channels = open_channels(parse(text, tmp_path / "hesiod-watch.yaml"))
    assert list(channels) == ["rt", "room", "other"]
    assert channels["room"].deliver(TICKET, None, message()) == DeliveryReceipt(None)
    assert channels["room"].keep(TICKET, 1) == ""
    assert [channels[name].check()[0] for name in channels] == [False, None, False]
    with pytest.raises(PermanentError, match=str(tmp_path / "none")):
        channels["rt"].deliver(TICKET, None, message())
