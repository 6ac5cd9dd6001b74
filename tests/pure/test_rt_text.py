"""Subjects, texts, addresses and searches in the form that Request Tracker stores."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hesiod_watch.core.messages import Delivery
from hesiod_watch.rules.rt_text import (
    SUBJECT_BYTES,
    TEXT_BYTES,
    mark,
    quoted,
    run_mark,
    split_addresses,
    stored_subject,
    stored_text,
    ticket_query,
)

ANY_TEXT = st.text(st.characters())  # lone surrogates, too: names on disk have them
TOKEN = "0123456789abcdef" * 2


def message(text: str) -> Delivery:
    return Delivery(7, TOKEN, "cell-done", "comment", text)


@pytest.mark.parametrize(
    ("subject", "stored"),
    [
        ("Run 20261101_P2_lib", "Run 20261101_P2_lib"),
        ('it\'s 100 % \\ "<b>" ümläut 🧬 e\u0301', 'it\'s 100 % \\ "<b>" ümläut 🧬 e\u0301'),
        ("x" * 200, "x" * 200),
        ("ü" * 100, "ü" * 100),
        ("a\r\nBcc: b", "a Bcc: b … c4c09579a97c"),
        ("", "e3b0c44298fc"),
        ("\u202e", "3b9e50315ad5"),
        ("a\udc80", "a … 74eaadc16dfe"),
    ],
    ids=[
        "usual",
        "special characters",
        "200 characters",
        "200 bytes",
        "line end",
        "empty",
        "invisible",
        "no valid character",
    ],
)
def test_subjects(subject: str, stored: str) -> None:
    """A valid subject stays unchanged; any other keeps its visible part and gets a digest."""
    assert stored_subject(subject) == stored


@given(ANY_TEXT | st.text(alphabet="ab \n\u202e", min_size=150, max_size=400))
@example("ü" * 101)
@example("🧬" * 60)
def test_any_subject_can_be_stored(subject: str) -> None:
    """A stored subject is one visible line that RT does not cut, and is its own stored form."""
    stored = stored_subject(subject)
    assert 0 < len(stored.encode()) <= SUBJECT_BYTES
    assert stored == " ".join(stored.split())
    assert stored.isprintable()
    assert stored_subject(stored) == stored


@given(
    st.text(alphabet="ab \n\t\u200b", max_size=12), st.text(alphabet="ab \n\t\u200b", max_size=12)
)
def test_subjects_stay_apart(one: str, other: str) -> None:
    """Different subjects have different stored forms."""
    assert (stored_subject(one) == stored_subject(other)) == (one == other)


@given(ANY_TEXT)
@example("a\0\x1b[31m\u202e\ud800\uffff")
@example("\r\n" * 5)
def test_any_text_can_be_stored(text: str) -> None:
    """A stored text can be encoded, controls no terminal and ends in its identifying line."""
    stored = stored_text(message(text), "run")
    stored.encode()
    assert stored.split("\n")[-1] == f"{mark(message(text))} {run_mark('run')}"
    assert mark(message(text)) == f"[hesiod-watch 7 {TOKEN}]"
    assert not set(stored) & {"\r", "\0", "\x1b", "\x7f", "\u202e", "\u2066"}
    assert stored_text(message(stored), "run").startswith(stored)


@pytest.mark.parametrize("letter", ["x", "ü", "\U0001f9ec", "\x1b"])
@pytest.mark.parametrize("extra", [0, 1, 1_000_000])
def test_long_texts(letter: str, extra: int) -> None:
    """A text longer than TEXT_BYTES, as it is stored, loses its middle, and says how much."""
    stored_letter = stored_text(message(letter), "run").split("\n")[0]
    count = (TEXT_BYTES - 2) // len(stored_letter.encode()) + extra
    stored = stored_text(message("a" + letter * count + "z"), "run")
    assert stored.startswith("a" + stored_letter)
    assert stored.endswith(f"{stored_letter}z\n\n{mark(message(''))} {run_mark('run')}")
    assert len(stored.encode()) < TEXT_BYTES + 200
    note = re.search(r"\n\n\[… (\d+) characters left out …\]\n\n", stored)
    assert bool(note) == (extra > 0)
    if note:
        kept = stored.rsplit("\n\n", 1)[0].replace(note[0], "")
        assert int(note[1]) == len("a" + stored_letter * count + "z") - len(kept)


@pytest.mark.parametrize(
    ("address", "good"),
    [
        ("lab@example.org", True),
        ("first.o'last+tag@sub.example.org", True),
        ("root@localhost", True),
        ("a" * 107 + "@example.org.", False),
        ("a" * 108 + "@example.org", True),
        ("a" * 109 + "@example.org", False),
        ("müller@example.org", False),
        ("lab@exämple.org", False),
        ("a..b@example.org", False),
        (".a@example.org", False),
        ("a.@example.org", False),
        ("a@example..org", False),
        ("a@-example.org", False),
        ("a@example.org\n", False),
        ("a@example.org, b@example.org", False),
        ("Lab <lab@example.org>", False),
        ("", False),
        ("@", False),
    ],
)
def test_addresses(address: str, good: bool) -> None:
    """Addresses that RT drops are detected beforehand."""
    assert split_addresses([address]) == (((address,), ()) if good else ((), (address,)))


def test_addresses_once() -> None:
    """An address given twice, in any letter case, counts once; the order is kept."""
    given = ["b@x.org", "a@x.org", "B@x.org", "bad", "bad"]
    assert split_addresses(given) == (("b@x.org", "a@x.org"), ("bad",))


@pytest.mark.parametrize(
    ("value", "spelled"),
    [
        ("run", "'run'"),
        ("it's", r"'it\'s'"),
        ("\\", r"'\\'"),
        ("x' OR id > 0 OR 'a", r"'x\' OR id > 0 OR \'a'"),
    ],
)
def test_quoting(value: str, spelled: str) -> None:
    """A value cannot end its own quotes."""
    assert quoted(value) == spelled
    assert ticket_query(value, "s") == f"Queue = {spelled} AND Subject = 's'"
