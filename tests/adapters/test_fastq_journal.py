"""The journal is read back as written; a torn end is cut off, damage never."""

from __future__ import annotations

import errno
import json
import random
import re
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from disks import Disk, install

from hesiod_watch.core.errors import BadSource, PermanentError, TemporaryError
from hesiod_watch.fastq import journal_state
from hesiod_watch.fastq.journal import NAME, Fact, Journal, last_session, line_of, whole
from hesiod_watch.fastq.journal_state import JournalEntry, JournalState
from hesiod_watch.fastq.model import Output, Piece, Settings, SourceIdentity

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


class Replay:
    """Facts read from a journal, with their places."""

    def __init__(self) -> None:
        self.facts: list[dict[str, Any]] = []
        self.places: list[tuple[int, int]] = []

    def __call__(self, fact: Fact, length: int, crc32: int) -> None:
        self.facts.append({key: value for key, value in fact.items() if key not in ("n", "j", "~")})
        self.places.append((length, crc32))


def read(directory: Path) -> Replay:
    """Open the journal and return its facts."""
    replay = Replay()
    Journal(directory, FIRST, replay).close()
    return replay


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A journal with some batches in it."""
    journal = Journal(tmp_path, FIRST, Replay())
    for batch in BATCHES:
        journal.append(batch)
    journal.close()
    return tmp_path / NAME


ALL = [FIRST, *(fact for batch in BATCHES for fact in batch)]


def test_facts_are_read_back(path: Path) -> None:
    """Facts come back in order, each with place and checksum; more facts can be added."""
    replay = Replay()
    journal = Journal(path.parent, FIRST, replay)
    assert replay.facts == ALL
    assert replay.places[-1] == (path.stat().st_size, zlib.crc32(path.read_bytes()))
    assert replay.places[-1] == (journal.length, journal.crc32)
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
    """Number of bytes that the last line says were durable."""
    return int(json.loads(data.splitlines()[-1])["j"])


def test_a_torn_end_is_cut_off(path: Path) -> None:
    """All lines before the first bad one count, and the journal can be continued.

    This is true for every possible remainder of the last write.
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
    """A batch whose first line is lost does not count, although later lines are whole."""
    lines = path.read_bytes().splitlines(keepends=True)[:5]  # the last batch: three pieces
    lines[2] = bytes(len(lines[2]))
    path.write_bytes(b"".join(lines))
    assert read(path.parent).facts == ALL[:2]


def test_damage_is_never_cut_off(path: Path) -> None:
    """A changed byte in the durable part stops everything; the journal is not changed."""
    data = path.read_bytes()
    for place in range(durable_before(data)):
        damaged = data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :]
        path.write_bytes(damaged)
        with pytest.raises(
            PermanentError, match=r"journal\.jsonl: damaged: line \d+ is not as it was written"
        ):
            read(path.parent)
        assert path.read_bytes() == damaged


# Changes after which each line of a journal is whole, but the lines together cannot be true.
IMPOSSIBLE: list[tuple[str, Callable[[list[bytes]], list[bytes]]]] = [
    ("a line is missing", lambda lines: lines[:2] + lines[3:]),
    ("a line occurs twice", lambda lines: lines[:3] + lines[2:]),
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
    (journal_state.seen(0, 2, SourceIdentity(1, 2, "")), "does not exist"),
    (journal_state.seen(0, -1, SourceIdentity(1, 2, "")), "does not exist"),
    (journal_state.seen(7, 0, SourceIdentity(1, 2, "")), "7"),
    ({"k": "novelty"}, "'novelty' is of another version"),
    ({**FIRST, "format": 2}, "format 2 is of another version"),
    ({"k": "piece", "out": 0}, "source"),
]


@pytest.mark.parametrize(
    ("fact", "reason"),
    CONTRADICTIONS,
    ids=[
        "output number again",
        "output name again",
        "piece with a gap",
        "unknown output",
        "cut after the end",
        "cut before the start",
        "drop of an unknown output",
        "seen after the end",
        "seen before the start",
        "seen in an unknown output",
        "unknown fact",
        "format of another version",
        "fields missing",
    ],
)
def test_facts_that_contradict(fact: Fact, reason: str, path: Path) -> None:
    """A whole but impossible line is reported as damage or as another version."""
    journal = Journal(path.parent, FIRST, Replay())
    journal.append([fact])
    journal.close()
    entries = JournalState()
    with pytest.raises(PermanentError, match=f"line 9 contradicts.*{re.escape(reason)}"):
        Journal(path.parent, FIRST, lambda fact, length, crc32: entries(fact))


def sums(entry: JournalEntry) -> tuple[int, int, int, int, int, tuple[int, str] | None]:
    return len(entry.pieces), entry.end, entry.reads, entry.bases, entry.source_bytes, entry.ended


def test_sums_of_facts() -> None:
    """Pieces add up, cuts remove them, and void outputs are named.

    An end is valid until more pieces follow.
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


def stated(*facts: Fact) -> JournalState:
    """The state after these facts, as they are read back from a journal."""
    state = JournalState()
    for number, fact in enumerate(facts):
        state(json.loads(line_of(number, fact, 10 * number)))
    return state


OF_010 = Piece("a.fastq", 10, 20, "o.gz", 0, 30, 40, 1, 4)
PIECES = {
    "of 0.1.0": OF_010,
    "with a note": replace(OF_010, note="a note"),
    "with hints": replace(OF_010, ctime_ns=5, inode=6, text_bytes=7, text_crc32=8),
    "with a checksum": replace(OF_010, inode=6, sha256="ab"),
    "with a header": replace(OF_010, inode=6, sha256="ab", header=("@RG\tID:a", "@RG\tID:b")),
}


@pytest.mark.parametrize("what", PIECES)
def test_a_piece_comes_back(what: str) -> None:
    """Each field of a piece is recorded; a piece without a later field does not name it."""
    piece = PIECES[what]
    state = stated(FIRST, BATCHES[0][0], journal_state.piece(0, piece))
    assert state.entries[0].pieces == [piece]
    assert state.entries[0].header == piece.header
    fact = journal_state.piece(0, OF_010)
    assert not {"note", "inode", "sha256", "header"} & set(fact)


def test_an_output_comes_back() -> None:
    """Name, barcode, part and form of each output are recorded under its number."""
    outputs = [Output("o.gz", "barcode01", "pass", ()), Output("p.gz", None, "fail", ())]
    facts = [journal_state.output(n, one, bool(n)) for n, one in enumerate(outputs)]
    state = stated(FIRST, *facts)
    assert [
        (number, one.number, one.name, one.barcode, one.part, one.members)
        for number, one in state.entries.items()
    ] == [(0, 0, "o.gz", "barcode01", "pass", False), (1, 1, "p.gz", None, "fail", True)]
    assert state.next_number == 2


def test_a_source_that_was_seen_again() -> None:
    """Hints and checksum of one piece are replaced; everything else stays."""
    pieces = [replace(OF_010, offset=30 * n, source=f"{n}.fastq", inode=1) for n in range(3)]
    again = SourceIdentity(77, 88, "cd")
    state = stated(
        FIRST,
        BATCHES[0][0],
        *[journal_state.piece(0, piece) for piece in pieces],
        journal_state.seen(0, 1, again),
    )
    pieces[1] = replace(pieces[1], ctime_ns=77, inode=88, sha256="cd")
    assert state.entries[0].pieces == pieces
    assert state.entries[0].end == 90


def test_the_last_write_of_an_output_is_known() -> None:
    """Pieces of one write are recorded with the journal's length before it, and its first piece."""
    state = JournalState()
    state(FIRST)
    state(BATCHES[0][0])
    found = []
    for number, durable in enumerate((100, 100, 250, 250)):
        piece = journal_state.piece(0, replace(OF_010, offset=30 * number))
        state({**piece, "j": durable})
        entry = state.entries[0]
        found.append((state.commit, entry.commit, entry.commit_start))
    assert found == [(100, 100, 0), (100, 100, 0), (250, 250, 2), (250, 250, 2)]


@pytest.mark.parametrize(
    ("later", "void"),
    [
        (Settings(), set()),
        (Settings(processes=5), set()),
        (Settings(level="fast"), {"o.gz"}),
        (Settings(recompress=True), {"o.gz"}),
    ],
    ids=["equal", "more processes", "another level", "all compressed again"],
)
def test_settings_of_the_next_session(later: Settings, void: set[str]) -> None:
    """Outputs are void if the next session would write other bytes."""
    state = stated(FIRST, BATCHES[0][0], journal_state.session({"host": "b"}, later))
    assert state.void == void
    assert [entry.name for entry in state.entries.values()] == ([] if void else ["o.gz"])
    assert state.settings == (later.level, later.recompress)
    assert state.next_number == 1


def test_a_journal_is_made_with_its_first_line(tmp_path: Path) -> None:
    """A journal always has its first line, also where an earlier attempt left a temporary file."""
    (tmp_path / f"{NAME}.new").write_bytes(b"leftover")
    journal = Journal(tmp_path, FIRST, replay := Replay())
    assert (journal.made, replay.facts) == (True, [FIRST])
    assert last_session(tmp_path) == ({"host": "a"}, False)
    journal.close()
    assert [entry.name for entry in tmp_path.iterdir()] == [NAME]


def test_a_journal_whose_first_line_is_torn_has_no_owner(tmp_path: Path) -> None:
    """Without one whole line there is no owner, and no session was closed."""
    assert last_session(tmp_path) == (None, True)
    (tmp_path / NAME).write_bytes(line_of(0, FIRST, 0)[:-3])
    assert last_session(tmp_path) == (None, False)


def test_a_link_is_no_journal(tmp_path: Path) -> None:
    """A link in the place of the journal is not followed."""
    (tmp_path / NAME).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BadSource, match="symbolic link"):
        read(tmp_path)
    with pytest.raises(BadSource, match="symbolic link"):
        last_session(tmp_path)


def test_lines_that_are_not_durable_do_not_return(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A written batch that could not be synced never counts.

    This is also true if a shorter batch with the same lines follows.
    """
    room = False

    def no_room(kind: str, call: int) -> None:
        if kind == "sync" and not room:
            raise OSError(errno.ENOSPC, "No space left on device")

    disk = Disk(path.parent)
    install(monkeypatch, disk)
    journal = Journal(path.parent, FIRST, Replay())
    disk.fault = no_room
    with pytest.raises(TemporaryError, match="No space"):
        journal.append([journal_state.CLOSE, journal_state.CLOSE])
    room = True
    journal.append([journal_state.CLOSE])
    journal.close()
    assert read(path.parent).facts == [*ALL, journal_state.CLOSE]


@pytest.mark.parametrize(
    "line",
    [b"", b"\n", b'"}\n', b',"~":"00000000"}\n', line_of(0, {}, 0)[:-1]],
    ids=["empty", "blank line", "end of a text", "end of a line", "no line end"],
)
def test_lines_that_are_not_whole(line: bytes) -> None:
    """A part of a line is not accepted as a whole line."""
    assert not whole(line)
    assert whole(line_of(0, {}, 0))
