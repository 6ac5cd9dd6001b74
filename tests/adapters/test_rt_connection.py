"""Connections to Request Tracker: URL, credentials, certificates, proxies; no leaked secret."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from http_gate import Gate, gate, make_certificate
from rt_messages import TICKET, channel, message
from rt_server import PASSWORD, USER, RtServer

from hesiod_watch.core.errors import PermanentError, TemporaryError
from hesiod_watch.core.messages import DeliveryReceipt
from hesiod_watch.notify.rt_channel import RtChannel

pytestmark = pytest.mark.system


@pytest.fixture
def before(tracker: RtServer) -> Iterator[Gate]:
    """An HTTP gate before the tracker."""
    with gate(tracker.port) as made:
        yield made


@pytest.mark.parametrize(
    "options",
    [{"token": "1-2-nonsense"}, {"token": "", "user": USER, "password": "wrong"}],
    ids=["token", "password"],
)
def test_wrong_credentials(
    tracker: RtServer, options: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    """Refused credentials need a person and are in no error text and in no log at any level."""
    caplog.set_level(logging.DEBUG)
    with pytest.raises(PermanentError, match="refuses our credentials"):
        channel(tracker, **options).deliver(TICKET, None, message())
    assert not any(secret in caplog.text for secret in options.values() if secret not in ("", USER))


def test_user_and_password(tracker: RtServer, caplog: pytest.LogCaptureFixture) -> None:
    """User and password work like a token, and neither is logged at any level."""
    caplog.set_level(logging.DEBUG)
    rt = channel(tracker, token="", user=USER, password=PASSWORD)
    assert rt.deliver(TICKET, None, message()) == DeliveryReceipt(1)
    assert channel(tracker).check()[0]
    assert "REST/2.0/ticket" in caplog.text
    assert PASSWORD not in caplog.text
    assert tracker.token not in caplog.text
    assert PASSWORD not in repr(rt)


def test_unknown_host() -> None:
    """An unknown host is a temporary failure, because name servers fail, too."""
    with pytest.raises(TemporaryError, match="the connection fails"):
        RtChannel("https://rt.invalid/", token="x").deliver(TICKET, None, message())


@pytest.mark.parametrize(
    "url",
    [
        "",
        "rt.x.invalid",
        "ftp://x/",
        "http://",
        "http://x:99999/",
        "http://x y/",
        "http://x/?token=1",
        "http://[1/",
    ],
)
def test_invalid_urls(url: str) -> None:
    """An invalid URL needs a person; the error shows a valid one."""
    with pytest.raises(PermanentError, match=r"should be like https://rt\.example\.org/REST/2\.0/"):
        RtChannel(url, token="x").deliver(TICKET, None, message())


def test_no_secrets_in_the_url() -> None:
    """A URL with a password is refused, and the error does not repeat it."""
    with pytest.raises(PermanentError, match="put them into the credentials") as caught:
        RtChannel("https://me:secret@x.invalid/", token="x").deliver(TICKET, None, message())
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["{root}/", "{root}", "{root}/REST/2.0", "{root}/REST/2.0/"])
def test_spellings_of_the_url(tracker: RtServer, url: str) -> None:
    """The URL may be that of RT or of REST 2, with or without a slash at its end."""
    root = f"http://127.0.0.1:{tracker.port}"
    assert channel(tracker, url.format(root=root)).deliver(
        TICKET, None, message()
    ) == DeliveryReceipt(1)


def test_tls(tracker: RtServer, tmp_path: Path) -> None:
    """RT behind TLS is trusted only if the CA bundle confirms its certificate."""
    good, wrong = (make_certificate(tmp_path / name) for name in ("good.pem", "wrong.pem"))
    with gate(tracker.port, good) as before:
        assert channel(tracker, before.url, ca_bundle=good).deliver(
            TICKET, None, message()
        ) == DeliveryReceipt(1)
        for bundle in (wrong, None):
            with pytest.raises(
                PermanentError, match=r"certificate is not trusted: .*; renew it, or set ca_bundle"
            ):
                channel(tracker, before.url, ca_bundle=bundle).deliver(TICKET, None, message())
        elsewhere = before.url.replace("127.0.0.1", "localhost")
        with pytest.raises(PermanentError, match="certificate is not trusted: Hostname mismatch"):
            channel(tracker, elsewhere, ca_bundle=good).deliver(TICKET, None, message())
    assert len(tracker.tickets()) == 1


def test_certificates_from_the_environment(
    tracker: RtServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An environment variable cannot make a certificate trusted."""
    certificate = make_certificate(tmp_path / "good.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with (
        gate(tracker.port, certificate) as before,
        pytest.raises(PermanentError, match="certificate is not trusted"),
    ):
        channel(tracker, before.url).deliver(TICKET, None, message())


@pytest.mark.parametrize(
    ("content", "reason"), [(None, "No such file"), (b"none", "holds no certificate")]
)
def test_unusable_ca_bundles(
    tracker: RtServer, tmp_path: Path, content: bytes | None, reason: str
) -> None:
    """An unusable CA bundle is named, with the reason."""
    bundle = tmp_path / "bundle.pem"
    if content is not None:
        bundle.write_bytes(content)
    with pytest.raises(
        PermanentError, match=rf"bundle\.pem: the CA bundle for Request Tracker .*{reason}"
    ):
        channel(tracker, ca_bundle=bundle).deliver(TICKET, None, message())


def test_through_a_proxy(tracker: RtServer, before: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """The configured proxy is used, and a proxy from the environment is not."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, before.url)
    assert channel(tracker).deliver(TICKET, None, message()) == DeliveryReceipt(1)
    assert before.requests == []
    through = f"http://127.0.0.1:{before.port}"
    assert channel(tracker, proxy=through).deliver(TICKET, 1, message(2)) == DeliveryReceipt(1)
    assert "POST /REST/2.0/ticket/1/correspond" in before.requests


def test_tls_through_a_proxy(tracker: RtServer, before: Gate, tmp_path: Path) -> None:
    """Through a proxy, RT's own certificate is checked, and the proxy sees only RT's address."""
    good, wrong = (make_certificate(tmp_path / name) for name in ("good.pem", "wrong.pem"))
    through = f"http://127.0.0.1:{before.port}"
    with gate(tracker.port, good) as behind:
        assert (
            channel(tracker, behind.url, ca_bundle=good, proxy=through)
            .deliver(TICKET, None, message())
            .ticket
            == 1
        )
        with pytest.raises(PermanentError, match="certificate is not trusted"):
            channel(tracker, behind.url, ca_bundle=wrong, proxy=through).deliver(
                TICKET, None, message()
            )
        assert set(before.requests) == {f"CONNECT 127.0.0.1:{behind.port}"}


def test_unusable_proxies(tracker: RtServer) -> None:
    """A missing proxy is a temporary failure; an invalid proxy URL needs a person.

    The error does not repeat the URL.
    """
    with pytest.raises(TemporaryError, match="the connection fails"):
        channel(tracker, proxy="http://127.0.0.1:1").deliver(TICKET, None, message())
    with pytest.raises(PermanentError, match="should be like http://host:port") as caught:
        channel(tracker, proxy="nothing://me:secret@x").deliver(TICKET, None, message())
    assert "secret" not in str(caught.value)
