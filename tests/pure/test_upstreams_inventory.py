"""Answers of an upstream's shell: what is read from them, and what is no answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hesiod_watch.core.inventory import (
    Inventory,
    InventoryEntry,
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
    """Kind, size, exact times, name and target of every entry are read, also of names with
    newlines.
    """
    answer, code = records(FILES)
    there = read_files(answer)
    assert code == 0
    assert there.now == 1700000000
    assert dict(there.entries) == {
        "fastq_pass": InventoryEntry("d", 4096, 1700000001_500000000, 1700000002_000000000),
        "fastq_pass/a b\nc": InventoryEntry("f", 12, 1700000001_123456789, 1700000002_000000000),
        "final_summary_x.txt": InventoryEntry("f", 3, 1700000001_000000000, 1700000002_000000000),
        "link": InventoryEntry("l", 5, 1700000001_000000000, 1700000002_000000000, "to/it"),
        "fifo": InventoryEntry("o", 0, 1700000001_000000000, 1700000002_000000000),
    }
    assert there.summaries == ("final_summary_x.txt",)


@pytest.mark.parametrize("length", range(len(FILES)))
def test_cut_anywhere(length: int) -> None:
    """An answer that is cut short at any byte is no answer."""
    with pytest.raises(MalformedResponse):
        read_files(records(FILES[:length])[0])


def test_noise_before_the_answer() -> None:
    """What a login shell prints before the answer is passed over."""
    assert records(b"Welcome!\r\nhesiod-watch\0" + BEGIN + b"x\0" + END) == ([b"x"], 0)


@pytest.mark.parametrize(
    "output", [b"", b"x\0", BEGIN, BEGIN + b"x\0", BEGIN + END[:-1], END, BEGIN + END + b"x\0"]
)
def test_no_answers(output: bytes) -> None:
    """Without both marks in their places there is no answer."""
    with pytest.raises(MalformedResponse):
        records(output)


def test_names_cannot_be_marks() -> None:
    """A directory called like the end of an answer does not end it: its record has a letter before
    it.
    """
    assert records(BEGIN + b"dhesiod-watch ends 0\0" + END) == ([b"dhesiod-watch ends 0"], 0)


@given(st.binary(max_size=60))
def test_any_bytes(output: bytes) -> None:
    """Whatever comes is an answer or is not; nothing else happens."""
    answer: list[bytes] = []
    try:
        answer, _ = records(BEGIN + output + END)
        read_files(answer)
        read_checksums(answer)
    except MalformedResponse:
        pass
    assert b"".join(answer).count(b"\0") == 0


def test_checksums_are_read() -> None:
    """Checksums are read for names of any bytes; a record that is none is no answer."""
    md5 = b"d41d8cd98f00b204e9800998ecf8427e"
    assert read_checksums([md5 + b"  ./a\nb  ./c", md5 + b"  ./\xff"]) == {
        "a\nb  ./c": md5.decode(),
        "\udcff": md5.decode(),
    }
    with pytest.raises(MalformedResponse):
        read_checksums([b"md5sum: broken"])


def test_names_are_given_with_dots() -> None:
    """Every name gets `./`, without which rsync drops those that begin with `#` and options are
    options.
    """
    assert names_given(["#a", "-rf", "\udcff"]) == b"./#a\0./-rf\0./\xff\0"


def entry(size: int = 1, mtime: int = 2, changed: int = 3) -> Inventory:
    return Inventory({"a": InventoryEntry("f", size, mtime, changed)}, 0)


@pytest.mark.parametrize(
    "other", [entry(size=2), entry(mtime=3), entry(changed=4), Inventory({}, 0)]
)
def test_changes_show(other: Inventory) -> None:
    """A file that was rewritten under its old size and time shows by its change time, and so does
    one that came.
    """
    assert entry().same(entry())
    assert not entry().same(other)
    assert not other.same(entry())


def test_only_files_at_the_top_are_summaries() -> None:
    """A directory of that name, or a file below one, is data."""
    names = {
        "final_summary": "d",
        "final_summary/final_summary_a.txt": "f",
        "x/final_summary_b.txt": "f",
    }
    there = Inventory(
        {name: InventoryEntry("d" if kind == "d" else "f") for name, kind in names.items()}, 0
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
    """Bytes and files are read from rsync's progress however its output is cut into pieces."""
    progress = RsyncProgress()
    seen = [
        progress.bytes
        for at in range(0, len(PROGRESS), piece)
        if progress.feed(PROGRESS[at : at + piece])
    ]
    assert (progress.bytes, progress.files) == (9000002, 7)
    assert seen == sorted(seen)


def test_progress_of_something_else() -> None:
    """Output that is no progress counts as none, and is not kept."""
    progress = RsyncProgress()
    assert not progress.feed(b"1 2 3\n100% of nothing\n" + b"x" * 1_000_000)
    assert (progress.bytes, progress.files) == (0, 0)


@pytest.mark.parametrize("size", [b"1" + b"0" * 400, b"9" * 5000, b"%d" % 2**64])
def test_sizes_that_no_file_has(size: bytes) -> None:
    """An answer with a number that no file system holds is refused as a whole."""
    head = b"f " + size + b" 1795000000.0 1795000000.0 x"
    with pytest.raises(MalformedResponse):
        read_files([b"1795000000", head, b""])
    with pytest.raises(MalformedResponse):
        read_files([size])
