"""The journal is read back as it was written, loses a torn end silently, and damage never."""

from __future__ import annotations

import errno
import json
import random
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from disks import Disk

from hesiod_watch.core.errors import BadSource, PermanentError, TemporaryError
from hesiod_watch.fastq import durable, journal_state
from hesiod_watch.fastq.journal import NAME, Fact, Journal, last_session, line_of, whole
from hesiod_watch.fastq.journal_state import JournalEntry, JournalState
from hesiod_watch.fastq.model import Output, Piece, Settings

FIRST = journal_state.session({"host": "a"}, Settings())
BATCHES: list[list[Fact]] = [
    [journal_state.output(0, Output("o.gz", "barcode01", "pass", ()), True)],
    [
        journal_state.piece(0, Piece(f"{n}.fastq", 10, n, "o.gz", 100 * n, 100, 7 * n, 1, 4, ""))
        for n in range(3)
    ],
    [journal_state.cut(0, 1, "a reason")],
    [journal_state.piece(0, Piece("é\udcff", 10, 0, "o.gz", 100, 9, 5, 1, 4, "a note"))],
    [journal_state.CLOSE],
]


class Told:
    """Facts that were read from a journal, with their places."""

    def __init__(self) -> None:
        self.facts: list[dict[str, Any]] = []
        self.places: list[tuple[int, int]] = []

    def __call__(self, fact: Fact, length: int, crc32: int) -> None:
        self.facts.append({key: value for key, value in fact.items() if key not in ("n", "j", "~")})
        self.places.append((length, crc32))


def read(directory: Path) -> Told:
    """What opening the journal tells."""
    told = Told()
    Journal(directory, FIRST, told).close()
    return told


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A journal with some batches in it."""
    journal = Journal(tmp_path, FIRST, Told())
    for batch in BATCHES:
        journal.append(batch)
    journal.close()
    return tmp_path / NAME


ALL = [FIRST, *(fact for batch in BATCHES for fact in batch)]


def test_what_was_written_is_read(path: Path) -> None:
    """Facts come back in order, with the place and checksum of the journal up to each; and more can
    follow.
    """
    told = Told()
    journal = Journal(path.parent, FIRST, told)
    assert told.facts == ALL
    assert told.places[-1] == (path.stat().st_size, zlib.crc32(path.read_bytes()))
    assert told.places[-1] == (journal.length, journal.crc32)
    journal.append([{"k": "close"}])
    journal.close()
    again = read(path.parent)
    assert again.facts == [*ALL, {"k": "close"}]
    assert (
        again.places[-1]
        == (journal.length, journal.crc32)
        == (path.stat().st_size, zlib.crc32(path.read_bytes()))
    )
    for number, line in enumerate(path.read_bytes().splitlines()):
        assert json.loads(line)["n"] == number


def durable_before(data: bytes) -> int:
    """How much of a journal was known to be durable by its last line."""
    return int(json.loads(data.splitlines()[-1])["j"])


def test_a_torn_end_is_cut_off(path: Path) -> None:
    """Whatever the last write left of itself: all lines before the first bad one count, and it can
    be gone on with.
    """
    data = path.read_bytes()
    start = durable_before(data)
    rng = random.Random(3)
    for end in range(start, len(data) - 1):
        for tail in (
            data[start:end],
            bytes(end - start),
            rng.randbytes(end - start),
            data[start:end] + b"\n",
        ):
            path.write_bytes(data[:start] + tail)
            assert read(path.parent).facts == ALL[:-1]
            assert path.read_bytes() == data[:start]


def test_a_batch_torn_in_the_middle(path: Path) -> None:
    """Of a batch whose first line is lost nothing counts, although later lines are whole."""
    lines = path.read_bytes().splitlines(keepends=True)[:5]  # the last batch: three pieces
    lines[2] = bytes(len(lines[2]))
    path.write_bytes(b"".join(lines))
    assert read(path.parent).facts == ALL[:2]


def test_damage_is_never_cut_off(path: Path) -> None:
    """A changed byte in what was known to be durable stops everything, and the journal stays as it
    is.
    """
    data = path.read_bytes()
    for place in range(durable_before(data)):
        damaged = data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :]
        path.write_bytes(damaged)
        with pytest.raises(
            PermanentError, match=r"journal\.jsonl: damaged: line \d+ is not as it was written"
        ):
            read(path.parent)
        assert path.read_bytes() == damaged


# What is done to the lines of a journal so that each is whole and they still cannot be true.
IMPOSSIBLE: list[tuple[str, Callable[[list[bytes]], list[bytes]]]] = [
    ("a line is missing", lambda lines: lines[:2] + lines[3:]),
    ("a line is there twice", lambda lines: lines[:3] + lines[2:]),
    ("lines are swapped", lambda lines: [*lines[:2], lines[3], lines[2], *lines[4:]]),
]


@pytest.mark.parametrize(
    "change", [row[1] for row in IMPOSSIBLE], ids=[row[0] for row in IMPOSSIBLE]
)
def test_lines_that_moved(change: Callable[[list[bytes]], list[bytes]], path: Path) -> None:
    """Whole lines in the wrong place are damage."""
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))
    with pytest.raises(PermanentError, match="damaged"):
        read(path.parent)


# Facts after those of the batches, each impossible.
CONTRADICTIONS: list[tuple[Fact, str]] = [
    (journal_state.output(0, Output("p.gz", None, "pass", ()), True), "already exists"),
    (journal_state.output(1, Output("o.gz", None, "pass", ()), True), "already exists"),
    (journal_state.piece(0, Piece("x", 1, 1, "o.gz", 110, 9, 5, 1, 4)), "does not follow"),
    (journal_state.piece(5, Piece("x", 1, 1, "o.gz", 109, 9, 5, 1, 4)), "5"),
    (journal_state.cut(0, 3, ""), "after the end"),
    (journal_state.cut(0, -1, ""), "after the end"),
    (journal_state.drop(1, ""), "1"),
    ({"k": "novelty"}, "'novelty' is of another version"),
    ({**FIRST, "format": 2}, "format 2 is of another version"),
    ({"k": "piece", "out": 0}, "source"),
]


@pytest.mark.parametrize(("fact", "reason"), CONTRADICTIONS)
def test_facts_that_contradict(fact: Fact, reason: str, path: Path) -> None:
    """A line that is whole and cannot be true is damage, or of a later version, and says so."""
    journal = Journal(path.parent, FIRST, Told())
    journal.append([fact])
    journal.close()
    entries = JournalState()
    with pytest.raises(PermanentError, match=f"line 9 contradicts.*{re.escape(reason)}"):
        Journal(path.parent, FIRST, lambda fact, length, crc32: entries(fact))


def sums(entry: JournalEntry) -> tuple[int, int, int, int, int, tuple[int, str] | None]:
    return len(entry.pieces), entry.end, entry.reads, entry.bases, entry.source_bytes, entry.ended


def test_what_facts_add_up_to() -> None:
    """Pieces add up, cuts take back, an end holds until more comes, and what does not count is
    named.
    """
    entries = JournalState()
    for fact in ALL[:5]:
        entries(fact)
    entry = entries.entries[0]
    assert sums(entry) == (3, 300, 3, 12, 30, None)
    entries(journal_state.end(0, 328, "md5"))
    assert sums(entry) == (3, 300, 3, 12, 30, (328, "md5"))
    with pytest.raises(ValueError, match="does not follow"):
        entries(journal_state.piece(0, Piece("x", 1, 1, "o.gz", 300, 9, 5, 1, 4)))
    entries(journal_state.cut(0, 3, "more"))
    assert sums(entry) == (3, 300, 3, 12, 30, None)
    entries(ALL[5])  # only the first piece counts
    assert sums(entry) == (1, 100, 1, 4, 10, None)
    entries(ALL[6])
    assert entry.pieces[-1] == Piece("é\udcff", 10, 0, "o.gz", 100, 9, 5, 1, 4, "a note")
    entries(journal_state.session({}, Settings(level="fast")))
    assert (entries.entries, entries.void) == ({}, {"o.gz"})
    entries(journal_state.output(1, Output("o.gz", None, "pass", ()), True))
    assert entries.void == set()
    entries(journal_state.drop(1, ""))
    assert entries.void == {"o.gz"}


def test_a_journal_is_made_with_its_first_line(tmp_path: Path) -> None:
    """There is never a journal without a writer's name; the name of an earlier attempt's leftover
    is no hindrance.
    """
    (tmp_path / f"{NAME}.new").write_bytes(b"leftover")
    journal = Journal(tmp_path, FIRST, told := Told())
    assert (journal.made, told.facts) == (True, [FIRST])
    assert last_session(tmp_path) == ({"host": "a"}, False)
    journal.close()
    assert [entry.name for entry in tmp_path.iterdir()] == [NAME]


def test_a_link_is_no_journal(tmp_path: Path) -> None:
    """A link in the place of the journal is not followed."""
    (tmp_path / NAME).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BadSource, match="symbolic link"):
        read(tmp_path)
    with pytest.raises(BadSource, match="symbolic link"):
        last_session(tmp_path)


def test_lines_that_did_not_become_durable_do_not_come_back(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch that was written and could not be synced is gone, also where a shorter one of the
    same lines follows.
    """
    room = False

    def no_room(kind: str, call: int) -> None:
        if kind == "sync" and not room:
            raise OSError(errno.ENOSPC, "No space left on device")

    disk = Disk(path.parent)
    monkeypatch.setattr(durable, "os", disk)
    journal = Journal(path.parent, FIRST, Told())
    disk.fault = no_room
    with pytest.raises(TemporaryError, match="No space"):
        journal.append([journal_state.CLOSE, journal_state.CLOSE])
    room = True
    journal.append([journal_state.CLOSE])
    journal.close()
    assert read(path.parent).facts == [*ALL, journal_state.CLOSE]


@pytest.mark.parametrize(
    "line", [b"", b"\n", b'"}\n', b',"~":"00000000"}\n', line_of(0, {}, 0)[:-1]]
)
def test_lines_that_are_not_whole(line: bytes) -> None:
    """Nothing short of a whole line passes for one."""
    assert not whole(line)
    assert whole(line_of(0, {}, 0))
