"""Each fault of a source is reported with file and place, and no part of the source is written."""

from __future__ import annotations

import errno
import gzip
import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from fastq_files import GOOD, put, reads, write
from hypothesis import given, settings
from hypothesis import strategies as st
from output_writing import write_outputs

from hesiod_watch.core.errors import BadSource, NoSpace, PermanentError, TemporaryError
from hesiod_watch.core.system_errors import translate
from hesiod_watch.fastq.model import Output, Settings, Tally
from hesiod_watch.fastq.records import RecordReader
from hesiod_watch.fastq.sources import look

lines = st.text("ACGTN", max_size=40)
names = st.text(st.characters(codec="ascii", exclude_characters="\n\r\0"), max_size=30)


@settings(max_examples=200, deadline=None)
@given(
    found=st.lists(st.tuples(names, lines, names), max_size=30),
    unit_bytes=st.integers(8, 300),
    ending=st.sampled_from(["\n", "", "\n\n", "\r\n"]),
)
def test_units_hold_whole_records(
    found: list[tuple[str, str, str]], unit_bytes: int, ending: str
) -> None:
    """For every way of cutting the stream, the joined units are the records with their lines."""
    records = [f"@{name}\n{bases}\n+{plus}\n{'I' * len(bases)}\n" for name, bases, plus in found]
    text = "".join(records).encode()
    stream = text
    if records and not (ending == "" and not found[-1][1]):
        stream = text[:-1] + ending.encode()
        if ending == "\r\n":
            stream = text.replace(b"\n", b"\r\n")
    position = 0

    def readinto(buffer: memoryview) -> int:
        nonlocal position
        part = stream[position : position + len(buffer)]
        buffer[: len(part)] = part
        position += len(part)
        return len(part)

    joined, count = b"", 0
    reader = RecordReader(readinto, Path("x"), unit_bytes=unit_bytes)
    for unit in reader:
        assert unit.first == count
        for (start, *_), (*_, end) in zip(unit.starts.tolist(), unit.ends.tolist(), strict=True):
            assert bytes(unit.data[start : end + 1]).decode() == records[count]
            count += 1
        joined += bytes(unit.data)
    assert joined == text
    assert reader.records == len(records)
    assert bool(reader.repaired) == (stream != text)


# Text of a source, what the error says, and where.
BROKEN = [
    (b"This is a placeholder.\n", "must begin with", "record 1, line 1"),
    (b"This is a placeholder", "must begin with", "record 1, line 1"),
    (b"\n" * 9, "begins with nothing", "record 1, line 1"),
    (bytes(5000), "must begin with", "record 1, line 1"),
    (gzip.compress(GOOD), "gzip data where FASTQ should be", "record 1, line 1"),
    (GOOD + b"r2\nACGT\n+\nIIII\n", "must begin with", "record 2, line 5"),
    (GOOD + b"@r2\nACGT\nIIII\n+\n" + GOOD, "third line", "record 2, line 7"),
    (GOOD + b"@r2\nACGT\n+\nIII\n" + GOOD, "4 bases, 3 qualities", "record 2, line 8"),
    (GOOD + b"\n \n", "begins with nothing", "record 2, line 5"),
    (GOOD + b"\n\n\n\t\n", "begins with nothing", "record 2, line 5"),
    (GOOD + b"@r2\nACGT\n+\nII", "cut off", "record 2, line 8"),
    (GOOD + b"@r2\nACGT\n+", "cut off", "record 2, line 7"),
    (GOOD + b"@r2\nAC", "cut off", "record 2, line 6"),
    (GOOD + b"@", "cut off", "record 2, line 5"),
    (GOOD + b"@r2\nAC>T\n+\nIIII\n", "byte 0x3e is not a base", "record 2, line 6"),
    (GOOD + b"@r2\nA\rGT\n+\nIIII\n", "byte 0x0d is not a base", "record 2, line 6"),
    (GOOD + b"@r2\nACGT\n+\nI\0II\n", "byte 0x00 is not a quality", "record 2, line 8"),
    (GOOD + b"@r2\nACGTA\n+\nIIII\x7f\n", "byte 0x7f is not a quality", "record 2, line 8"),
    (GOOD + b"@r2\nACGT\n+\nI II\n", "byte 0x20 is not a quality", "record 2, line 8"),
]


@pytest.mark.parametrize("name", ["a.fastq", "a.fastq.gz"])
@pytest.mark.parametrize(("text", "reason", "where"), BROKEN)
def test_invalid_fastq(text: bytes, reason: str, where: str, name: str, tmp_path: Path) -> None:
    """Each fault of a FASTQ file has its own message and place, and leaves no output behind."""
    source = put(tmp_path, name, text)
    with pytest.raises(BadSource) as caught:
        write([source], tmp_path / "out")
    assert (caught.value.path, caught.value.where) == (source.path, where)
    assert reason in caught.value.reason
    assert not list((tmp_path / "out").glob("*.gz"))


# Text of a source, and the whole sentence about it.
SENTENCES = [
    (
        gzip.compress(GOOD),
        "gzip data where FASTQ should be: its name does not end in .gz, or it was gzipped twice",
    ),
    (
        b"r1\nACGT\n+\nIIII\n",
        "not FASTQ: a record must begin with \"@\", this one begins with 'r1'",
    ),
    (
        b"@r1\nACGT\n\nIIII\n",
        'not FASTQ: the third line of a record must begin with "+", this one begins with nothing',
    ),
    (
        b"@r1\nACGT\n" + b"I" * 50 + b"\nIIII\n",
        'not FASTQ: the third line of a record must begin with "+",'
        f" this one begins with '{'I' * 20}'",
    ),
    (b"@r1\nAC\n+\nI\n", "sequence and qualities differ in length: 2 bases, 1 quality"),
    (b"@r1\nA\n+\nII\n", "sequence and qualities differ in length: 1 base, 2 qualities"),
]


@pytest.mark.parametrize(("text", "sentence"), SENTENCES, ids=[row[1][:40] for row in SENTENCES])
def test_the_sentence_about_a_fault(text: bytes, sentence: str) -> None:
    """A person reads what should be in the file and what is there."""
    with pytest.raises(BadSource) as caught:
        list(RecordReader(io.BytesIO(text).readinto, Path("a.fastq")))
    assert caught.value.reason == sentence


WHOLE = gzip.compress(reads(50), mtime=0)

# Bytes of a file named .gz, and what the error says.
BROKEN_GZIP = [
    (WHOLE[:-1], "truncated gzip"),
    (WHOLE[:-8], "truncated gzip"),
    (WHOLE[: len(WHOLE) // 2], "truncated gzip"),
    (WHOLE[:5], "truncated gzip"),
    (WHOLE + WHOLE[:20], "truncated gzip"),
    (WHOLE[:-8] + bytes([WHOLE[-8] ^ 1]) + WHOLE[-7:], "corrupt gzip.*checksum"),
    (WHOLE[:-1] + bytes([WHOLE[-1] ^ 1]), "corrupt gzip.*checksum"),
    (WHOLE[:2000] + bytes([WHOLE[2000] ^ 255]) + WHOLE[2001:], "corrupt gzip"),
    (WHOLE + b"garbage", "garbage after the end"),
    (WHOLE + b"g", "garbage after the end"),
    (WHOLE + bytes(512), "zeros after the end"),
    (GOOD, "not gzip, though"),
    (bytes(512), "not gzip, though"),
    (b"\x1f", "not gzip, though"),
]


@pytest.mark.parametrize("recompress", [False, True], ids=["members kept", "recompressed"])
@pytest.mark.parametrize(
    ("data", "reason"),
    BROKEN_GZIP,
    ids=[
        "last byte missing",
        "trailer missing",
        "second half missing",
        "part of the header",
        "second member cut",
        "wrong CRC",
        "wrong length",
        "wrong data",
        "garbage at the end",
        "one byte of garbage",
        "zeros at the end",
        "plain text",
        "only zeros",
        "one byte",
    ],
)
def test_broken_gzip(data: bytes, reason: str, recompress: bool, tmp_path: Path) -> None:
    """Each kind of broken gzip file has its own message, in both ways of writing."""
    path = tmp_path / "a.fastq.gz"
    path.write_bytes(data)
    with pytest.raises(BadSource, match=reason) as caught:
        write([look(path, path.name)], tmp_path / "out", Settings(recompress=recompress))
    assert caught.value.path == path
    assert caught.value.where


def test_every_cut_of_a_gzip_file_is_noticed(tmp_path: Path) -> None:
    """A gzip file without its end is refused, except an empty file."""
    data = gzip.compress(GOOD * 3, mtime=0)
    path = tmp_path / "a.fastq.gz"
    for size in range(1, len(data)):
        path.write_bytes(data[:size])
        with pytest.raises(BadSource):
            write([look(path, path.name)], tmp_path / "out")


def test_a_file_without_lines_does_not_fill_the_memory(tmp_path: Path) -> None:
    """A record without an end is refused at the limit."""
    path = tmp_path / "a.fastq"
    path.write_bytes(b"@")
    os.truncate(path, 100 << 20)
    with pytest.raises(BadSource, match="no end of the record"):
        write([look(path, path.name)], tmp_path / "out")


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_link(path: Path) -> None:
    path.symlink_to(path.parent / "elsewhere")
    (path.parent / "elsewhere").write_bytes(GOOD)


@pytest.mark.parametrize(
    ("make", "kind"), [(make_fifo, "FIFO"), (make_link, "symbolic link"), (Path.mkdir, "directory")]
)
def test_special_files_are_never_opened(
    make: Callable[[Path], None], kind: str, tmp_path: Path
) -> None:
    """A file that is not regular is refused at once, with its kind."""
    make(tmp_path / "a.fastq")
    with pytest.raises(BadSource, match=kind):
        write([look(tmp_path / "a.fastq", "a.fastq")], tmp_path / "out")


def test_a_source_that_grew_is_a_temporary_error(tmp_path: Path) -> None:
    """A file larger than listed is still being written: a temporary error that names it."""
    source = put(tmp_path, "a.fastq", GOOD)
    with source.path.open("ab") as file:
        file.write(GOOD)
    with pytest.raises(TemporaryError, match=r"a\.fastq: still being written"):
        write([source], tmp_path / "out")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda path: os.truncate(path, 3),
            "shrank after it was listed, from 16 to 3 bytes",
        ),
        (
            lambda path: os.truncate(path, 1),
            "shrank after it was listed, from 16 to 1 byte",
        ),
        (
            lambda path: os.utime(path, (1, 1)),
            "was changed after it was listed: same size, other modification time",
        ),
    ],
    ids=["shrank", "shrank to one byte", "new time"],
)
def test_a_source_that_changed_is_bad(
    change: Callable[[Path], None], reason: str, tmp_path: Path
) -> None:
    """A file that shrank or was rewritten since it was listed needs a person."""
    source = put(tmp_path, "a.fastq", GOOD)
    change(source.path)
    with pytest.raises(BadSource) as caught:
        write([source], tmp_path / "out")
    assert (caught.value.path, caught.value.reason) == (source.path, reason)


def test_a_source_that_changes_while_it_is_read(tmp_path: Path) -> None:
    """A change after the last byte was read is still detected."""
    source = put(tmp_path, "a.fastq", GOOD)

    def touch(tally: Tally) -> None:
        os.utime(source.path, (1, 1))

    with pytest.raises(BadSource, match="after it was listed"):
        write_outputs(
            [Output("o", None, "pass", (source,))], tmp_path, Settings(), on_progress=touch
        )


def test_a_source_that_vanished(tmp_path: Path) -> None:
    """A missing file is a temporary error that names it, because it may return."""
    source = put(tmp_path, "a.fastq", GOOD)
    source.path.unlink()
    with pytest.raises(TemporaryError, match=r"a\.fastq"):
        write([source], tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "kind"),
    [("ENOSPC", NoSpace), ("EDQUOT", NoSpace), ("EROFS", PermanentError),
     ("ESTALE", TemporaryError), ("EIO", PermanentError), ("EACCES", PermanentError)],
)  # fmt: skip
def test_errors_of_the_system(name: str, kind: type[Exception]) -> None:
    """An error that ends by itself is temporary; a failing disk is not."""
    number = getattr(errno, name)
    error = translate(OSError(number, os.strerror(number)), "x.gz: writing failed", own_output=True)
    assert type(error) is kind
    assert str(error) == f"x.gz: writing failed: {os.strerror(number)}"


@pytest.mark.parametrize(
    ("number", "soon"),
    [(errno.ENOSPC, True), (errno.EDQUOT, True), (errno.ESTALE, False)],
    ids=["ENOSPC", "EDQUOT", "ESTALE"],
)
def test_a_full_disk_is_checked_again_soon(number: int, soon: bool) -> None:
    """A full disk is always checked again within half a minute; a lost mount need not be."""
    error = translate(OSError(number, os.strerror(number)), "x.gz: writing failed", own_output=True)
    assert isinstance(error, TemporaryError)
    assert (error.retry_after is not None and error.retry_after <= 30) == soon
