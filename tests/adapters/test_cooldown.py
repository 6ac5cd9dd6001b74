"""Outage cache: processes of a host share for a short time that a service does not respond.

The cache never causes an error.
"""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path

import pytest

from hesiod_watch.host import locks
from hesiod_watch.host.cooldown import first_today, known_outage, note_outage, outage_over
from hesiod_watch.host.locks import lock_directory

LANDING = Path("/landing")
MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use a test's own directory instead of the machine's temporary directory."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(locks, "FALLBACK", tmp_path / "missing")


def files() -> list[Path]:
    return list(lock_directory(LANDING).glob("outage-*"))


def test_noted_and_cleared() -> None:
    """An outage noted by one process is known to others, for that service, until it is over."""
    assert known_outage(LANDING, "rt") == ""
    note_outage(LANDING, "rt", "no answer", MINUTE)
    assert known_outage(LANDING, "rt") == "no answer"
    assert known_outage(LANDING, "chat") == ""
    assert known_outage(Path("/other"), "rt") == ""
    outage_over(LANDING, "rt")
    outage_over(LANDING, "rt")
    assert known_outage(LANDING, "rt") == ""


def test_an_outage_expires() -> None:
    """An outage is believed for at most a minute, or less if its writer says so."""
    note_outage(LANDING, "rt", "no answer", timedelta(0))
    assert known_outage(LANDING, "rt") == ""
    note_outage(LANDING, "rt", "no answer", timedelta(days=1))
    (path,) = files()
    path.write_text(
        path.read_text()
        .replace(str(int(time.time())), "9" * 10, 1)
        .replace('"until": ', '"until": 9')
    )
    assert known_outage(LANDING, "rt") == ""


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"until": "x"}', b'{"until": null, "why": 1}', b"\xff"],
    ids=["empty", "cut", "a list", "text as time", "wrong types", "not UTF-8"],
)
def test_damaged(content: bytes) -> None:
    """An unreadable record is no outage."""
    note_outage(LANDING, "rt", "no answer", MINUTE)
    (path,) = files()
    path.write_bytes(content)
    assert known_outage(LANDING, "rt") == ""


def test_nowhere_to_write(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a directory to write, each process tries itself and repeats daily messages."""
    monkeypatch.setenv("TMPDIR", "/dev/null")
    monkeypatch.setattr(locks, "TEMPORARY", Path("/dev/null"))
    note_outage(LANDING, "rt", "no answer", MINUTE)
    outage_over(LANDING, "rt")
    assert known_outage(LANDING, "rt") == ""
    assert first_today(LANDING, "undelivered")
    assert first_today(LANDING, "undelivered")


def test_first_today() -> None:
    """A daily message is due once, and again after a day, also if a clock was set back."""
    assert [first_today(LANDING, "undelivered") for _ in range(3)] == [True, False, False]
    assert first_today(LANDING, "another")
    for shift in (-timedelta(days=1).total_seconds() - 5, 3600):
        for path in files():
            os.utime(path, (time.time() + shift,) * 2)
        assert first_today(LANDING, "undelivered")


@pytest.mark.parametrize("until", ["1" + "0" * 400, "NaN", "Infinity", "[]", "true"])
def test_an_invalid_time_is_no_outage(until: str) -> None:
    """A file with an impossible time is ignored, whatever process wrote it."""
    note_outage(LANDING, "rt", "away", MINUTE)
    (path,) = files()
    path.write_text(f'{{"until": {until}, "why": "away"}}')
    assert known_outage(LANDING, "rt") == ""
