"""Responses of an upstream's shell: their contents, and the rejected ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hesiod_watch.core.file_entry import FileEntry
from hesiod_watch.core.inventory import (
    Inventory,
    MalformedResponse,
    names_given,
    read_checksums,
    read_files,
    records,
)
from hesiod_watch.remote.rsync import RsyncProgress

BEGIN, END = b"hesiod-watch answers\0", b"hesiod-watch ends 0\0"
FILES = (
    BEGIN
    + b"1700000000\0"
    + b"d 4096 1700000001.5000000000 1700000002.0000000000 fastq_pass\0\0"
    + b"f 12 1700000001.1234567890 1700000002.0000000001 fastq_pass/a b\nc\0\0"
    + b"f 3 1700000001 1700000002 final_summary_x.txt\0\0"
    + b"l 5 1700000001.0 1700000002.0 link\0to/it\0"
    + b"p 0 1700000001.0 1700000002.0 fifo\0\0"
    + END
)


def test_files_are_read() -> None:
    """Each entry gives kind, size, exact times, name and target, also for names with newlines."""
    answer, code = records(FILES)
    there = read_files(answer)
    assert code == 0
    assert there.now == 1700000000
    assert dict(there.entries) == {
        "fastq_pass": FileEntry(
            "fastq_pass", "d", 4096, 1700000001_500000000, 1700000002_000000000
        ),
        "fastq_pass/a b\nc": FileEntry(
            "fastq_pass/a b\nc", "f", 12, 1700000001_123456789, 1700000002_000000000
        ),
        "final_summary_x.txt": FileEntry(
            "final_summary_x.txt", "f", 3, 1700000001_000000000, 1700000002_000000000
        ),
        "link": FileEntry(
            "link", "l", 5, 1700000001_000000000, 1700000002_000000000, target="to/it"
        ),
        "fifo": FileEntry("fifo", "o", 0, 1700000001_000000000, 1700000002_000000000),
    }
    assert there.summaries == ("final_summary_x.txt",)


@pytest.mark.parametrize("length", range(len(FILES)))
def test_cut_anywhere(length: int) -> None:
    """A response that is cut short at any byte is rejected."""
    with pytest.raises(MalformedResponse):
        read_files(records(FILES[:length])[0])


def test_noise_before_the_answer() -> None:
    """Output of a login shell before the response is skipped."""
    assert records(b"Welcome!\r\nhesiod-watch\0" + BEGIN + b"x\0" + END) == ([b"x"], 0)


@pytest.mark.parametrize(
    "output",
    [b"", b"x\0", BEGIN, BEGIN + b"x\0", BEGIN + END[:-1], END, BEGIN + END + b"x\0"],
    ids=["empty", "no marks", "begin only", "no end", "end cut", "end only", "text after the end"],
)
def test_invalid_responses(output: bytes) -> None:
    """Output without both marks in their places is rejected."""
    with pytest.raises(MalformedResponse):
        records(output)


def test_names_are_not_taken_for_marks() -> None:
    """A directory named like the end mark does not end a response: its record has a prefix."""
    assert records(BEGIN + b"dhesiod-watch ends 0\0" + END) == ([b"dhesiod-watch ends 0"], 0)


@given(st.binary(max_size=60))
def test_any_bytes(output: bytes) -> None:
    """Any output is either a response or rejected; no other error occurs."""
    answer: list[bytes] = []
    try:
        answer, _ = records(BEGIN + output + END)
        read_files(answer)
        read_checksums(answer)
    except MalformedResponse:
        pass
    assert b"".join(answer).count(b"\0") == 0


def test_checksums_are_read() -> None:
    """Checksums are read for names of any bytes; an invalid record is rejected."""
    md5 = b"d41d8cd98f00b204e9800998ecf8427e"
    assert read_checksums([md5 + b"  ./a\nb  ./c", md5 + b"  ./\xff"]) == {
        "a\nb  ./c": md5.decode(),
        "\udcff": md5.decode(),
    }
    with pytest.raises(MalformedResponse):
        read_checksums([b"md5sum: broken"])


def test_names_are_given_with_dots() -> None:
    """Every name gets `./`, so that it is neither an rsync comment (`#`) nor an option."""
    assert names_given(["#a", "-rf", "\udcff"]) == b"./#a\0./-rf\0./\xff\0"


def entry(size: int = 1, mtime: int = 2, changed: int = 3) -> Inventory:
    return Inventory({"a": FileEntry("a", "f", size, mtime, changed)}, 0)


@pytest.mark.parametrize(
    "other",
    [entry(size=2), entry(mtime=3), entry(changed=4), Inventory({}, 0)],
    ids=["size", "time", "change time", "missing"],
)
def test_changes_show(other: Inventory) -> None:
    """A file rewritten with its old size and mtime differs by its change time.

    A new file is a difference too.
    """
    assert entry().same(entry())
    assert not entry().same(other)
    assert not other.same(entry())


def test_only_files_at_the_top_are_summaries() -> None:
    """A directory named final_summary, or a file below a directory, is data."""
    names = {
        "final_summary": "d",
        "final_summary/final_summary_a.txt": "f",
        "x/final_summary_b.txt": "f",
    }
    there = Inventory(
        {name: FileEntry(name, "d" if kind == "d" else "f") for name, kind in names.items()}, 0
    )
    assert there.summaries == ()


# What rsync 3.5.0 writes with --info=progress2 --no-human-readable.
PROGRESS = (
    b"\r              0   0%    0.00kB/s    0:00:00 (xfr#1, to-chk=9/14)"
    b"\r              2   0%    0.00kB/s    0:00:00  "
    b"\r        3327682  36%    3.03MB/s    0:00:01  "
    b"\r        9000002 100%    3.04MB/s    0:00:02 (xfr#7, to-chk=0/14)\n"
)


@pytest.mark.parametrize("piece", [1, 7, 1000])
def test_progress(piece: int) -> None:
    """Bytes and files are read from rsync's progress, in whatever pieces it arrives."""
    progress = RsyncProgress()
    seen = [
        progress.bytes
        for at in range(0, len(PROGRESS), piece)
        if progress.feed(PROGRESS[at : at + piece])
    ]
    assert (progress.bytes, progress.files) == (9000002, 7)
    assert seen == sorted(seen)


def test_progress_of_something_else() -> None:
    """Other output does not count as progress and is not stored."""
    progress = RsyncProgress()
    assert not progress.feed(b"1 2 3\n100% of nothing\n" + b"x" * 1_000_000)
    assert (progress.bytes, progress.files) == (0, 0)


@pytest.mark.parametrize(
    "size",
    [b"1" + b"0" * 400, b"9" * 5000, b"%d" % 2**64],
    ids=["401 digits", "5000 digits", "65 bits"],
)
def test_impossible_sizes(size: bytes) -> None:
    """A response with a number that no file system has is rejected as a whole."""
    head = b"f " + size + b" 1795000000.0 1795000000.0 x"
    with pytest.raises(MalformedResponse):
        read_files([b"1795000000", head, b""])
    with pytest.raises(MalformedResponse):
        read_files([size])
