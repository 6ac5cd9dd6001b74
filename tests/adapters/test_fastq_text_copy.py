"""A copied text is BGZF of exactly that text, and is described as it was read."""

from __future__ import annotations

import errno
import gzip
import hashlib
import os
from pathlib import Path

import pytest
from disks import Change, Disk, Platter, install
from fastq_files import put
from open_runs import opened

from hesiod_watch.core.errors import BadSource, PermanentError, TemporaryError
from hesiod_watch.fastq import bgzf, md5, text_copy
from hesiod_watch.fastq.sources import SourceFile, look
from hesiod_watch.fastq.text_copy import HEAD_BYTES, SLAB_BYTES, TextCopy, copy_text

HEADER = b"filename\tread_id\n"
ROWS = b"".join(b"a_%d.fastq\t%08d\n" % (number % 7, number) for number in range(200_000))
TABLE = HEADER + ROWS
assert len(TABLE) > 3 * SLAB_BYTES


@pytest.fixture(autouse=True)
def out(tmp_path: Path) -> None:
    """The directory of the copies, which has no other file."""
    (tmp_path / "out").mkdir()


def copied(
    directory: Path,
    text: bytes,
    name: str = "a.txt",
    *,
    threads: int = 2,
    with_sha256: bool = True,
) -> TextCopy:
    """Write a source and copy it."""
    source = put(directory, name, text)
    cell = opened(directory)
    return copy_text(
        source, cell, directory / "out" / "copy.gz", threads=threads, with_sha256=with_sha256
    )


def md5_of(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz"])
def test_a_copy_is_described_as_it_is(name: str, threads: int, tmp_path: Path) -> None:
    """Any number of threads keeps the order of the text; sizes and checksums are those on disk."""
    copy = copied(tmp_path, TABLE, name, threads=threads)
    data = copy.path.read_bytes()
    assert gzip.decompress(data) == TABLE
    assert bgzf.is_block(data[:18])
    assert data.endswith(bgzf.END_OF_FILE)
    assert (copy.path, copy.name) == (tmp_path / "out" / "copy.gz", "copy.gz")
    assert (copy.size, copy.md5) == (len(data), md5_of(data))
    assert (copy.head, copy.lines, copy.cut) == (HEADER[:-1], 200_001, False)
    read = (tmp_path / name).read_bytes()
    status = (tmp_path / name).stat()
    assert (copy.source.name, copy.source.size) == (name, len(read))
    assert (copy.source.md5, copy.source.sha256) == (md5_of(read), hashlib.sha256(read).hexdigest())
    assert (copy.source.mtime_ns, copy.source.ctime_ns, copy.source.inode) == (
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_ino,
    )
    assert (copy.entry.name, copy.entry.size, copy.entry.md5) == ("copy.gz", copy.size, copy.md5)


def test_a_sha256_is_computed_on_request_only(tmp_path: Path) -> None:
    """Without the request the source has its MD5, and no SHA-256."""
    copy = copied(tmp_path, TABLE, with_sha256=False)
    assert (copy.source.md5, copy.source.sha256) == (md5_of(TABLE), "")


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz"])
@pytest.mark.parametrize(
    ("text", "head", "lines", "cut"),
    [
        (b"", b"", 0, False),
        (b"\n", b"", 1, False),
        (b"x", b"x", 0, True),
        (b"x\ty\n1\t2\n", b"x\ty", 2, False),
        (b"x\ty\n1\t2", b"x\ty", 1, True),
        (b"h" * (HEAD_BYTES + 5) + b"\n", b"h" * HEAD_BYTES, 1, False),
        (b"h\n" * (SLAB_BYTES // 2), b"h", SLAB_BYTES // 2, False),
        (b"h\n" * (SLAB_BYTES // 2) + b"i", b"h", SLAB_BYTES // 2, True),
    ],
    ids=[
        "empty",
        "an empty line",
        "no line end",
        "two lines",
        "the second line cut",
        "a very long first line",
        "exactly one slab",
        "one byte more than a slab",
    ],
)
def test_lines_of_a_text(
    text: bytes, head: bytes, lines: int, cut: bool, name: str, tmp_path: Path
) -> None:
    """The first line, the number of line ends, and whether the last line has none."""
    copy = copied(tmp_path, text, name)
    assert gzip.decompress(copy.path.read_bytes()) == text
    assert (copy.head, copy.lines, copy.cut) == (head, lines, cut)


def test_an_empty_file_named_gz_is_an_empty_text(tmp_path: Path) -> None:
    """A file of zero bytes is no gzip, and is allowed under any name."""
    (tmp_path / "a.txt.gz").write_bytes(b"")
    source = look(tmp_path / "a.txt.gz", "a.txt.gz")
    copy = copy_text(
        source, opened(tmp_path), tmp_path / "out" / "copy.gz", threads=1, with_sha256=True
    )
    assert copy.path.read_bytes() == bgzf.END_OF_FILE
    assert (copy.head, copy.lines, copy.cut) == (b"", 0, False)


def test_a_host_without_saved_md5_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where an MD5 cannot be saved, the finished copy is read once more for it."""
    monkeypatch.setattr(md5, "EMPTY", None)
    copy = copied(tmp_path, TABLE)
    assert copy.md5 == md5_of(copy.path.read_bytes())


def test_damaged_gzip_is_refused(tmp_path: Path) -> None:
    """A table whose gzip is cut off gives no copy, and the error names it."""
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress(TABLE)[:-9])
    with pytest.raises(BadSource, match="truncated gzip") as caught:
        copy_text(
            look(path, path.name),
            opened(tmp_path),
            tmp_path / "out" / "copy.gz",
            threads=2,
            with_sha256=False,
        )
    assert caught.value.path == path


def test_a_text_that_changes_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table that changes after its last byte was read gives no copy."""
    source = put(tmp_path, "a.txt", TABLE)

    class TouchedAtItsEnd(SourceFile):
        def readinto(self, buffer: memoryview) -> int:
            count = super().readinto(buffer)
            if not count:
                os.utime(source.path, (1, 1))
            return count

    monkeypatch.setattr(text_copy, "SourceFile", TouchedAtItsEnd)
    with pytest.raises(BadSource, match="was changed after it was listed"):
        copy_text(
            source, opened(tmp_path), tmp_path / "out" / "copy.gz", threads=2, with_sha256=True
        )


@pytest.mark.parametrize("number", [0, 2])
def test_a_copy_is_read_back(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that returns other bytes than were written gives no copy."""

    class FaultyDisk(Disk):
        def write(self, descriptor: int, data: bytes | memoryview) -> int:
            spoilt = bytearray(data)
            spoilt[len(spoilt) // 2] ^= self.calls.count("write") == number
            return super().write(descriptor, bytes(spoilt))

    install(monkeypatch, FaultyDisk(tmp_path / "out"))
    with pytest.raises(PermanentError, match=r"copy\.gz: the gzip member at byte \d+"):
        copied(tmp_path, TABLE)


def test_a_copy_is_durable_before_it_is_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of a copy is fdatasynced, and no byte is written later."""
    disk = Disk(tmp_path / "out")
    install(monkeypatch, disk)
    copy = copied(tmp_path, TABLE)
    kinds = [change.kind for change in disk.changes]
    assert kinds[0] == "create"
    assert kinds[-1] == "sync"
    assert set(kinds[1:-1]) == {"write"}
    platter = Platter()
    for change in (*disk.changes, Change("syncdir")):
        platter.play(change)
    assert platter.certain()["copy.gz"] == copy.path.read_bytes()


def test_a_full_disk_is_a_temporary_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy that could not be made durable is not returned; its file is closed."""

    def no_room(kind: str, number: int) -> None:
        if kind == "sync":
            raise OSError(errno.ENOSPC, "No space left on device")

    before = set(os.listdir("/proc/self/fd"))
    install(monkeypatch, Disk(tmp_path / "out", no_room))
    with pytest.raises(TemporaryError, match="No space"):
        copied(tmp_path, TABLE)
    assert set(os.listdir("/proc/self/fd")) <= before
