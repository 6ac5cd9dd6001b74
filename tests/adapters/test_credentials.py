"""Secrets: read from files that only their owner can read, and never shown."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hesiod_watch.core.errors import PermanentError
from hesiod_watch.host.credentials import Credentials, read_credentials


def written(tmp_path: Path, content: str | bytes, mode: int = 0o600) -> Path:
    path = tmp_path / "rt credentials"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    ("content", "credentials"),
    [
        pytest.param("token: 1-27-abc\n", Credentials(token="1-27-abc"), id="token"),
        pytest.param(
            "---\n# of the service\n\ntoken: 1-27-abc",
            Credentials(token="1-27-abc"),
            id="comment and no line end",
        ),
        pytest.param(
            "user: hesiod\npassword: x\n",
            Credentials(user="hesiod", password="x"),
            id="user and password",
        ),
        pytest.param(
            "user: hesiod\r\npassword: a: b #c '\r\n",
            Credentials(user="hesiod", password="a: b #c '"),
            id="CRLF and special characters",
        ),
        pytest.param(
            "user: 'hesiod'\npassword: \" a \"\n",
            Credentials(user="hesiod", password=" a "),
            id="quoted values",
        ),
        pytest.param(
            "password: '\nuser: 0123\n", Credentials(user="0123", password="'"), id="one quote"
        ),
        pytest.param("\ufefftoken: yes", Credentials(token="yes"), id="byte order mark"),
    ],
)
@pytest.mark.parametrize("mode", [0o600, 0o400], ids=["0600", "0400"])
def test_good_files(tmp_path: Path, content: str, credentials: Credentials, mode: int) -> None:
    """A token, or user and password, are read unchanged, with any characters."""
    assert read_credentials(written(tmp_path, content, mode)) == credentials


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "either a token, or a user and a password"),
        ("user: hesiod\n", "either a token, or a user and a password"),
        ("token: sEcret\nuser: a\npassword: sEcret\n", "either a token, or a user and a password"),
        ("sEcret\n", "line 1: should be one of token, user, password, a colon and the value"),
        ("user: x\npass: sEcret\n", "line 2: should be one of token, user, password"),
        ("token: sEcret\ntoken: sEcret\n", "line 2: a second token"),
        ("token:\n", "line 1: token is empty or holds control characters"),
        ("token: sEcret\x1b[31m\n", "line 1: token is empty or holds control characters"),
        ("token: sEcretö\n", "the token should be ASCII"),
        ("user: a:b\npassword: sEcret\n", "the user may not hold a colon"),
        (b"token: sEcret\xff\n", "is no UTF-8 text"),
        ("token: sEcret" + "x" * 20_000, "is too large for credentials"),
    ],
)
def test_bad_contents(tmp_path: Path, content: str | bytes, reason: str) -> None:
    """An error about a bad file names the file and repeats nothing of its content."""
    path = written(tmp_path, content)
    with pytest.raises(PermanentError) as caught:
        read_credentials(path)
    name, colon, reported = str(caught.value).partition(": ")
    assert (name, colon) == (str(path), ": ")
    assert reason in reported
    assert "sEcret" not in reported
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o601, 0o666, 0o644])
def test_open_to_others(tmp_path: Path, mode: int) -> None:
    """A file that others may read, change or run is refused, with the command that fixes it."""
    path = written(tmp_path, "token: sEcret\n", mode)
    with pytest.raises(PermanentError, match=rf"mode {mode:04o}\); run: chmod 600 {path}$"):
        read_credentials(path)
    path.chmod(0o600)
    assert read_credentials(path).token == "sEcret"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
def test_of_another_user(tmp_path: Path) -> None:
    """A file of another user is refused, because that user may change it."""
    path = written(tmp_path, "token: sEcret\n")
    os.chown(path, 12345, -1)
    with pytest.raises(PermanentError, match="belongs to another user"):
        read_credentials(path)


def test_missing_and_special_files(tmp_path: Path) -> None:
    """A missing file, a directory or a FIFO (never opened) is reported; a link is followed."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo, 0o600)
    for path, reason in (
        (tmp_path / "none", "No such file"),
        (tmp_path, "no regular file"),
        (fifo, "no regular file"),
    ):
        with pytest.raises(PermanentError, match=reason):
            read_credentials(path)
    link = tmp_path / "link"
    link.symlink_to(written(tmp_path, "token: x\n"))
    assert read_credentials(link).token == "x"


def test_secrets_are_not_shown() -> None:
    """The repr contains neither token nor password."""
    assert (
        repr(Credentials(token="sEcret", user="me", password="sEcret")) == "Credentials(user='me')"
    )
