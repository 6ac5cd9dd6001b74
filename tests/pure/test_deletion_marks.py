"""List of marked cells on an upstream: one line for each mark, which a shell can read back."""

from __future__ import annotations

import hashlib
import subprocess
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from hesiod_watch.rules.deletion_marks import (
    DeletionMark,
    decoded_name,
    encoded_name,
    evidence_name,
    evidence_text,
    read_marks,
)

MADE = datetime(2026, 11, 22, 10, 0, 0, tzinfo=UTC)
MARK = DeletionMark(
    "deletable",
    MADE,
    "My Exp/lib/cell",
    "20261122_PROM_My_Exp",
    MADE + timedelta(days=7),
    3,
    14_000_300,
    "0123456789abcdef0123456789abcdef",
    "cell.0123456789abcdef.md5",
    "backup one, landing",
)
REVOKED = DeletionMark("revoked", MADE, "My Exp/lib/cell", "run", said="it has no backup")
LINE = (
    "deletable\t2026-11-22T10:00:00Z\t2026-11-29T10:00:00Z\tMy\\0040Exp/lib/cell"
    "\t20261122_PROM_My_Exp\t3\t14000300\t0123456789abcdef0123456789abcdef"
    "\tcell.0123456789abcdef.md5\tbackup one, landing"
)
REVOKED_LINE = (
    "revoked\t2026-11-22T10:00:00Z\t-\tMy\\0040Exp/lib/cell\trun\t0\t0\t-\t-\tit has no backup"
)
NAMES = [
    "plain",
    "a b",
    "tab\there",
    "line\nbreak",
    "back\\slash",
    "é",
    "\udcff",
    "'$(x)'",
    "0",
]


def test_the_two_lines() -> None:
    """A mark and its withdrawal have the ten columns that the clean-up script expects."""
    assert (MARK.line(), REVOKED.line()) == (LINE, REVOKED_LINE)
    assert read_marks(f"{LINE}\n".encode()) == {MARK.place: MARK}
    assert read_marks(f"{REVOKED_LINE}\n".encode()) == {MARK.place: REVOKED}


def test_times_are_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    """A time of another zone is written in UTC, wherever the host is."""
    mark = replace(MARK, made=MADE.astimezone(timezone(timedelta(hours=2))))
    with monkeypatch.context() as changed:
        changed.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        line = mark.line()
    time.tzset()
    assert line == LINE


def test_a_reason_is_never_empty() -> None:
    """Without a sentence the last column is a dash, so that the line keeps its columns."""
    line = replace(REVOKED, said="").line()
    assert line.endswith("\t-\t-\t-")
    assert read_marks(line.encode())[REVOKED.place].said == "-"


@pytest.mark.parametrize("name", NAMES)
def test_a_name_survives_the_list(name: str) -> None:
    """Every name is one word of safe characters, which gives the name back, also in a shell."""
    word = encoded_name(name)
    assert decoded_name(word) == name
    assert set(word) <= set("abcdefghijklmnopqrstuvwxyz0123456789._+@=,:/-\\")
    printed = subprocess.run(["printf", "%b", word], capture_output=True, check=True).stdout
    assert printed == name.encode("utf-8", "surrogateescape")
    mark = replace(MARK, place=name, run=name, evidence=name, said=name)
    line = mark.line()
    assert line.count("\t") == 9
    assert "\n" not in line
    assert read_marks(line.encode()) == {name: mark}


def test_the_last_line_of_a_place_counts() -> None:
    """A later line replaces an earlier one of the same place, and of no other."""
    other = replace(MARK, place="other/lib/cell")
    lines = [MARK.line(), other.line(), REVOKED.line()]
    assert read_marks("\n".join(lines).encode()) == {MARK.place: REVOKED, other.place: other}


NO_MARKS = {
    "a comment": "# cells that hesiod-watch has found safe to delete here",
    "cut off": LINE.rpartition("\t")[0],
    "cut off in the last column": LINE.rpartition("\t")[0] + "\t",
    "a column more": LINE + "\tmore",
    "another word": LINE.replace("deletable", "Deletable"),
    "something before it": "x" + LINE,
    "something after it": LINE + "\r",
    "a time that does not exist": LINE.replace("2026-11-22", "2026-02-31"),
    "an end that does not exist": LINE.replace("2026-11-29", "2026-02-31"),
    "without an end": LINE.replace("2026-11-29T10:00:00Z", "-"),
    "a short digest": LINE.replace("0123456789abcdef0123456789abcdef", "0123"),
    "no digest": LINE.replace("0123456789abcdef0123456789abcdef", "-"),
    "a negative number": LINE.replace("\t3\t", "\t-3\t"),
    "a bare backslash": LINE.replace("\\0040", "\\040"),
    "not ASCII": LINE.replace("cell", "é"),
    "revoked, with files": REVOKED_LINE.replace("\t0\t0\t", "\t1\t0\t"),
    "revoked, with an end": REVOKED_LINE.replace("\t-\tMy", "\t2026-11-29T10:00:00Z\tMy"),
}


@pytest.mark.parametrize("case", NO_MARKS)
def test_other_lines_are_ignored(case: str) -> None:
    """A line that is cut off or changed marks nothing; the lines around it are read."""
    text = "\n".join([REVOKED.line(), NO_MARKS[case], replace(MARK, place="b").line()])
    assert read_marks(text.encode("utf-8", "surrogateescape")) == {
        REVOKED.place: REVOKED,
        "b": replace(MARK, place="b"),
    }


def test_bytes_that_are_no_text_are_ignored() -> None:
    """Bytes that are not UTF-8 in the list hide no other line."""
    assert read_marks(b"\xff\xfe\n" + LINE.encode() + b"\n\xff") == {MARK.place: MARK}


def test_md5sum_checks_the_evidence(tmp_path: Path) -> None:
    """`md5sum -c` accepts the evidence, whatever the names are, and refuses a changed file."""
    names = ["b", "a", "back\\slash", "line\nbreak", "both\\n\n", "return\rhere", "\udcff"]
    for name in names:
        (tmp_path / name).write_bytes(name.encode("utf-8", "surrogateescape"))
    sums = {
        name: hashlib.md5((tmp_path / name).read_bytes(), usedforsecurity=False).hexdigest()
        for name in names
    }
    text = evidence_text(sums)
    assert text.splitlines(keepends=True)[0] == f"{sums['a']}  ./a\n".encode()
    assert text.count(b"\n") == len(names)
    assert b"\r" not in text
    command = ["md5sum", "--strict", "-c", "-"]
    assert subprocess.run(command, cwd=tmp_path, input=text, check=False).returncode == 0
    (tmp_path / "b").write_bytes(b"changed")
    assert subprocess.run(command, cwd=tmp_path, input=text, check=False).returncode == 1


def test_equal_files_have_one_evidence() -> None:
    """The name of the evidence depends on the cell and on the digest of its files only."""
    assert evidence_name("cell", MARK.digest) == MARK.evidence
    assert evidence_name("cell", MARK.digest[::-1]) != MARK.evidence
