"""Requests to Request Tracker and what its answers mean, with answers in the form of RT 5.

The other tests of this channel need a real Request Tracker. These need none.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from hesiod_watch import __version__
from hesiod_watch.config import load
from hesiod_watch.core.errors import HesiodError, PermanentError, TemporaryError
from hesiod_watch.core.messages import Delivery, TicketRequest
from hesiod_watch.notify.registry import open_channels
from hesiod_watch.notify.rt_session import FoundTicket, RtSession, rest_url

Answer = tuple[int, object]


class AnsweringTracker(ThreadingHTTPServer):
    """Gives the chosen answer to each path of `answers`, and keeps the requests."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _AnswerHandler)
        self.answers: dict[str, Answer] = {}
        self.requests: list[tuple[str, dict[str, str], object]] = []
        self.headers: list[dict[str, str]] = []

    @property
    def place(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def session(self, **options: Any) -> RtSession:
        given = {"token": "1-2-3", "user": "", "password": "", "ca_bundle": None, "proxy": ""}
        return RtSession(self.place, timeout=10.0, **(given | options))


class _AnswerHandler(BaseHTTPRequestHandler):
    server: AnsweringTracker

    def _answer(self) -> None:
        asked = urlsplit(self.path)
        size = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(size)) if size else None
        what = f"{self.command} {asked.path.removeprefix('/REST/2.0/')}"
        self.server.requests.append((what, dict(parse_qsl(asked.query)), body))
        self.server.headers.append(dict(self.headers))
        status, content = self.server.answers.get(what, (404, {"message": "No match"}))
        said = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    do_GET = do_POST = do_PUT = _answer  # noqa: N815 -- names that the server looks up

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def tracker() -> Iterator[AnsweringTracker]:
    with AnsweringTracker() as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def page(*items: object) -> Answer:
    return 200, {"items": items, "count": len(items), "page": 1, "pages": 1, "per_page": 20}


def found(number: int, subject: str = "Run r", status: str = "open") -> dict[str, object]:
    return {"id": str(number), "Subject": subject, "Status": status, "Creator": {"id": "us"}}


TICKET = {
    **found(7),
    "id": 8,
    "Requestor": [{"id": "a"}],
    "Cc": [{"id": "b"}, {"id": "c"}],
    "_hyperlinks": [{"ref": "self"}, {"ref": "comment"}, {"ref": "correspond"}],
}
STEPS = [
    {"id": "9", "Type": "Status", "Creator": {"Name": "ann"}},
    {"id": "11", "Type": "Comment", "Creator": {"Name": "eve"}},
    {"id": "10", "Type": "Status", "Creator": {"Name": "bob"}},
]
MAY_CREATE = (200, {"_hyperlinks": [{"ref": "self"}, {"ref": "create"}]})

CASES: dict[str, tuple[Callable[[RtSession], object], dict[str, Answer], object]] = {
    "a merged ticket": (
        lambda rt: rt.ticket(7),
        {"GET ticket/7": (200, TICKET)},
        FoundTicket(8, "Run r", "open", 3, frozenset({"comment", "correspond"})),
    ),
    "only exact subjects, sorted": (
        lambda rt: rt.tickets("it's", "Run r"),
        {"GET tickets": page(found(9), found(3, status="new"), found(4, "run R"))},
        [(3, "new"), (9, "open")],
    ),
    "no tickets": (lambda rt: rt.tickets("q", "s"), {"GET tickets": page()}, []),
    "no tickets, without a number of pages": (
        lambda rt: rt.tickets("q", "s"),
        {"GET tickets": (200, {"items": [], "count": 0, "pages": None, "page": 1})},
        [],
    ),
    "merged subjects": (
        lambda rt: rt.merged_subjects(7),
        {"GET tickets": page(found(7), found(8, "Run s"))},
        ["Run r", "Run s"],
    ),
    "the newest": (
        lambda rt: rt.newest("q"),
        {"GET tickets": page(found(9), found(7))},
        9,
    ),
    "no newest": (lambda rt: rt.newest("q"), {"GET tickets": page()}, None),
    "authors": (
        lambda rt: rt.authors(7, "token"),
        {
            "POST ticket/7/attachments": page(
                {"id": "12", "Creator": {"id": "RT_System"}}, {"id": "5", "Creator": {"id": "us"}}
            )
        },
        ["us", "RT_System"],
    ),
    "no authors": (
        lambda rt: rt.authors(7, "token"),
        {"POST ticket/7/attachments": (200, {"items": [], "count": 0, "page": 1, "pages": None})},
        [],
    ),
    "our tickets": (lambda rt: rt.ours(2), {"GET tickets": page(*map(found, (9, 8, 7)))}, [9, 8]),
    "our name": (lambda rt: rt.me(), {"GET tickets": page(found(9))}, "us"),
    "no name": (lambda rt: rt.me(), {"GET tickets": page()}, None),
    "who closed it": (
        lambda rt: rt.closed_by(7),
        {"GET tickets": page(found(7)), "GET ticket/7/history": page(*STEPS)},
        "bob",
    ),
    "closed by nobody known": (
        lambda rt: rt.closed_by(7),
        {"GET tickets": page(found(7)), "GET ticket/7/history": page(STEPS[1])},
        "",
    ),
    "not closed": (lambda rt: rt.closed_by(7), {"GET tickets": page()}, None),
    "a new ticket": (
        lambda rt: rt.create("q", "Run r", "text", ("a@b.c",), ()),
        {"POST ticket": (201, {"id": "17"})},
        17,
    ),
    "a comment": (
        lambda rt: rt.send(7, "comment", "text"),
        {"POST ticket/7/comment": (201, ["Comments added"])},
        None,
    ),
    "a reply": (
        lambda rt: rt.send(7, "reply", "text"),
        {"POST ticket/7/correspond": (201, ["Correspondence added"])},
        None,
    ),
    "an edit": (
        lambda rt: rt.edit(7, Subject="s", Status="resolved"),
        {"PUT ticket/7": (200, ["Status changed"])},
        None,
    ),
    "a queue": (lambda rt: rt.may_create("my q"), {"GET queue/my%20q": MAY_CREATE}, True),
    "a queue without rights": (
        lambda rt: rt.may_create("q"),
        {"GET queue/q": (200, {"_hyperlinks": [{"ref": "self"}]})},
        False,
    ),
    "a queue with a slash": (
        lambda rt: rt.may_create("a/b"),
        {
            "POST queues/all": page({"id": "4", "Name": "a/c"}, {"id": "5", "Name": "a/b"}),
            "GET queues/all": page({"id": "4", "Name": "a/c"}, {"id": "5", "Name": "a/b"}),
            "GET queue/5": MAY_CREATE,
        },
        True,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_answers(case: str, tracker: AnsweringTracker) -> None:
    """Each answer of RT means what a reader of the channel needs to know."""
    call, tracker.answers, expected = CASES[case]
    with tracker.session() as rt:
        assert call(rt) == expected
        assert 0 < rt.longest < 60
    assert {what for what, _, _ in tracker.requests} <= tracker.answers.keys()


QUERIES: dict[str, tuple[str, str, str]] = {
    "only exact subjects, sorted": (
        "Queue = 'it\\'s' AND Subject = 'Run r'",
        "id",
        "Subject,Status",
    ),
    "merged subjects": ("EffectiveId = 7", "id", "Subject,Status"),
    "the newest": ("Queue = 'q'", "-id", "Subject,Status"),
    "our name": ("EffectiveId > 0 AND Creator = '__CurrentUser__'", "-id", "Creator"),
    "who closed it": ("id = 7 AND Status = '__Inactive__'", "id", "Subject,Status"),
}


@pytest.mark.parametrize("case", QUERIES)
def test_queries(case: str, tracker: AnsweringTracker) -> None:
    """A search asks for the tickets that count, in the order that the reader needs."""
    query, order, fields = QUERIES[case]
    call, tracker.answers, _ = CASES[case]
    with tracker.session() as rt:
        call(rt)
    what, asked, _ = tracker.requests[0]
    assert what == "GET tickets"
    assert asked["query"] == f"({query})"  # as the package `rt` writes it
    assert asked["orderby"] == order.removeprefix("-")
    assert asked.get("order") == ("DESC" if order.startswith("-") else None)
    assert asked["fields"] == fields


SENT: dict[str, object] = {
    "a new ticket": {
        "Queue": "q",
        "Subject": "Run r",
        "Content": "text",
        "ContentType": "text/plain",
        "Requestor": ["a@b.c"],
    },
    "a comment": {"Content": "text", "ContentType": "text/plain"},
    "a reply": {"Content": "text", "ContentType": "text/plain"},
    "an edit": {"Subject": "s", "Status": "resolved"},
    "authors": [{"field": "Content", "operator": "LIKE", "value": "%token%"}],
}


@pytest.mark.parametrize("case", SENT)
def test_sent(case: str, tracker: AnsweringTracker) -> None:
    """A request has the text as plain text, and the people that are given."""
    call, tracker.answers, _ = CASES[case]
    with tracker.session() as rt:
        call(rt)
    ((_, _, body),) = tracker.requests
    assert body == SENT[case]


def test_copies_of_a_new_ticket(tracker: AnsweringTracker) -> None:
    """Ccs are sent beside requestors."""
    tracker.answers = {"POST ticket": (201, {"id": 1})}
    with tracker.session() as rt:
        rt.create("q", "s", "t", (), ("a@b.c", "d@e.f"))
    sent = tracker.requests[0][2]
    assert isinstance(sent, dict)
    assert (sent.get("Requestor"), sent["Cc"]) == (None, ["a@b.c", "d@e.f"])


@pytest.mark.parametrize(
    ("options", "header"),
    [
        ({}, "token 1-2-3"),
        ({"token": "", "user": "me", "password": "pw"}, "Basic bWU6cHc="),
        ({"user": "me", "password": "pw"}, "token 1-2-3"),
    ],
    ids=["token", "password", "both"],
)
def test_credentials(
    options: dict[str, str], header: str, tracker: AnsweringTracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The token counts before user and password; nothing comes from the environment."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1/")
    tracker.answers = {"GET tickets": page()}
    with tracker.session(**options) as rt:
        assert rt.newest("q") is None
    assert tracker.headers[0]["Authorization"] == header
    assert tracker.headers[0]["User-Agent"] == f"hesiod-watch/{__version__}"


FAILURES: dict[str, tuple[Answer, type[HesiodError], str]] = {
    "credentials": (
        (401, {"message": "Unauthorized"}),
        PermanentError,
        "it refuses our credentials (401); check the token, or user and password",
    ),
    "missing": (
        (404, {"message": "No match"}),
        PermanentError,
        "nothing is there (404); check the url: https://host/REST/2.0/, with RT 5 behind it",
    ),
    "a bad request": ((400, {"message": "no  good"}), PermanentError, 'it refuses: "no good"'),
    "an error": ((500, {"message": "x"}), TemporaryError, "it fails (500); see its own log"),
    "a pause": ((429, {"message": "x"}), TemporaryError, "it fails (429); see its own log"),
    "a redirection": (
        (302, {"message": "x"}),
        PermanentError,
        "it redirects us (302); check the url, http or https, and any login before RT",
    ),
    "a proxy": (
        (407, {"message": "x"}),
        PermanentError,
        "the proxy wants to know who we are (407); put user and password into its url",
    ),
    "too long": (
        (413, {"message": "x"}),
        PermanentError,
        "the text is too long for the server before RT (413); allow requests of 2 MB",
    ),
}


@pytest.mark.parametrize("case", FAILURES)
def test_failures(case: str, tracker: AnsweringTracker) -> None:
    """A failure is one to wait for, or one that needs a person, and says what was asked."""
    answer, kind, why = FAILURES[case]
    tracker.answers = {"PUT ticket/7": answer}
    with tracker.session() as rt, pytest.raises(HesiodError) as raised:
        rt.edit(7, Subject="s")
    assert type(raised.value) is kind
    assert str(raised.value) == (
        f"asked Request Tracker at {tracker.place} to change ticket #7: {why}"
    )


NO_QUEUE = "the queue q is not there, or we lack the right SeeQueue on it"
NO_TICKET = (
    "there is no ticket #7, or we lack the right ShowTicket; give it, or remove the run's"
    " pipeline/rt_ticket, and a new one is opened"
)
FORBIDDEN: dict[str, tuple[Callable[[RtSession], object], str, int, str]] = {
    "a ticket, missing": (lambda rt: rt.ticket(7), "GET ticket/7", 404, NO_TICKET),
    "a ticket": (lambda rt: rt.ticket(7), "GET ticket/7", 403, f"{NO_TICKET} (403)"),
    "a queue, missing": (lambda rt: rt.may_create("q"), "GET queue/q", 404, NO_QUEUE),
    "a queue": (lambda rt: rt.may_create("q"), "GET queue/q", 403, f"{NO_QUEUE} (403)"),
    "a new ticket": (
        lambda rt: rt.create("q", "s", "t", (), ()),
        "POST ticket",
        403,
        "the queue q is not there, or we lack the right CreateTicket on it (403)",
    ),
    "a change": (lambda rt: rt.edit(7, a="b"), "PUT ticket/7", 403, 'it refuses (403): "No"'),
}


@pytest.mark.parametrize("case", FORBIDDEN)
def test_missing_rights_are_named(case: str, tracker: AnsweringTracker) -> None:
    """RT hides what we may not see; the error names the right that may be missing."""
    call, request, status, why = FORBIDDEN[case]
    tracker.answers = {request: (status, b"No")}
    with tracker.session() as rt, pytest.raises(PermanentError) as raised:
        call(rt)
    assert str(raised.value).endswith(f": {why}")


@pytest.mark.parametrize(
    "content", [b"<html>", {"x": 1}, []], ids=["no JSON", "another shape", "a list"]
)
def test_other_answers(content: object, tracker: AnsweringTracker) -> None:
    """An answer of another shape is temporary: a proxy or a login page may have given it."""
    tracker.answers = {"GET ticket/7": (200, content)}
    with tracker.session() as rt, pytest.raises(HesiodError, match="for ticket #7: "):
        rt.ticket(7)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://rt.example.org", "https://rt.example.org/REST/2.0/"),
        ("https://rt.example.org/", "https://rt.example.org/REST/2.0/"),
        ("https://x/rt/REST/2.0", "https://x/rt/REST/2.0/"),
        ("http://x:8080/REST/2.0//", "http://x:8080/REST/2.0/"),
    ],
)
def test_urls(url: str, expected: str) -> None:
    """The URL of RT and that of its REST 2 are the same."""
    assert rest_url(url) == expected


@pytest.mark.parametrize(
    "url", ["https://x:0/", "https://x/#a", "https://x/?a", "https://ü/", "https:///x", "x", "a:b"]
)
def test_no_urls(url: str) -> None:
    """Anything else is refused before a request is made."""
    with pytest.raises(PermanentError, match=r"^the url of Request Tracker should be like https:"):
        rest_url(url)


@pytest.mark.parametrize("url", ["https://a@x/", "https://a:b@x/", "https://:b@x/"])
def test_secrets_in_urls(url: str) -> None:
    """A URL with a user or a password is refused, and not repeated."""
    with pytest.raises(PermanentError) as raised:
        rest_url(url)
    assert str(raised.value) == (
        "the url of Request Tracker may not contain a user or password; put them into the"
        " credentials"
    )


CONFIG = """
landing: {0}/landing
output: {0}/output
notify:
  rt: {{url: 'http://rt.invalid', proxy: '{1}', credentials: {0}/secret, queue: runs, timeout: 10s}}
types:
  human: {{runs: human, queue: clinic}}
  silent: {{runs: test, queue: nowhere, notify: false}}
"""


def test_the_tracker_is_opened_as_configured(tracker: AnsweringTracker, tmp_path: Path) -> None:
    """Requests take the proxy, as the configured user, for all queues and the known ticket."""
    (tmp_path / "secret").touch(0o600)
    (tmp_path / "secret").write_text("user: us\npassword: it's: secret\n")
    (tmp_path / "config.yaml").write_text(CONFIG.format(tmp_path, tracker.place))
    channel = open_channels(load(tmp_path / "config.yaml", environ={}, cwd=tmp_path))["rt"]
    tracker.answers = {
        "GET queue/runs": MAY_CREATE,
        "GET queue/clinic": MAY_CREATE,
        "GET tickets": page(),
    }
    ok, sentence = channel.check()
    assert ok, sentence
    assert [what for what, _, _ in tracker.requests if "queue" in what] == [
        "GET queue/runs",
        "GET queue/clinic",
    ]
    basic = base64.b64encode(b"us:it's: secret").decode()
    assert {each["Authorization"] for each in tracker.headers} == {f"Basic {basic}"}
    tracker.requests.clear()
    message = Delivery(1, "0" * 32, "run-new", "comment", "some text")
    with pytest.raises(PermanentError, match="there is no ticket #7"):
        channel.deliver(TicketRequest("r", "runs", "Run r"), 7, message)
    assert [what for what, _, _ in tracker.requests] == ["GET ticket/7"]
