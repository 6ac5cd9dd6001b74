"""Errors of the disk name the file and what failed; a proof reads the disk, not a copy of it."""

from __future__ import annotations

import errno
import gzip
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from disks import install
from fastq_files import put, reads, write
from open_runs import opened

from hesiod_watch.core.errors import HesiodError, PermanentError
from hesiod_watch.fastq import content_equality, durable, readback, sources
from hesiod_watch.fastq.model import Written
from hesiod_watch.fastq.readback import TextChecksum
from hesiod_watch.fastq.verify import verify

CALLS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "open a new output": ("removing", durable.OutputFile),
    "continue an output": ("opening for writing", lambda path: durable.OutputFile(path, 1)),
    "read an output": ("opening", durable.OutputReader),
    "open the log": ("opening", durable.LogFile),
    "read a small file": ("reading", durable.read_whole),
    "replace a small file": ("writing", lambda path: durable.replace_whole(path, b"x")),
    "size": ("reading its status", durable.size_of),
    "cut": ("reading its status", lambda path: durable.cut(path, 1)),
    "cut to nothing": ("removing", lambda path: durable.cut(path, 0)),
    "remove": ("removing", durable.remove),
    "make a directory": ("creating it", durable.make_directory),
    "sync a directory": ("fsync", durable.sync_directory),
}


@pytest.mark.parametrize("what", CALLS)
def test_an_error_names_the_file(what: str, tmp_path: Path) -> None:
    """Where a file is in place of the directory, each call says so about its own path."""
    (tmp_path / "file").write_bytes(b"")
    path = tmp_path / "file" / "name"
    doing, call = CALLS[what]
    with pytest.raises(HesiodError) as caught:
        call(path)
    assert str(caught.value) == f"{path}: {doing} failed: {os.strerror(errno.ENOTDIR)}"


def test_giving_back_never_fails(tmp_path: Path) -> None:
    """Each file is cut to its size if that is possible, also after an error of another one."""
    (tmp_path / "directory").mkdir()
    for name in "abc":
        (tmp_path / name).write_bytes(b"0123456789")
    durable.give_back(tmp_path, [("a", 4), ("directory", 3), ("missing", 3), ("b", 0), ("c", 20)])
    assert (tmp_path / "a").read_bytes() == b"0123"
    assert not (tmp_path / "b").exists()
    assert (tmp_path / "c").read_bytes() == b"0123456789"


def test_an_output_is_continued_where_it_ended(tmp_path: Path) -> None:
    """A longer output is cut, a shorter one is refused, and a new one replaces the file."""
    path = tmp_path / "o"
    path.write_bytes(b"0123456789")
    os.link(path, tmp_path / "other")
    file = durable.OutputFile(path, 4)
    file.write(b"ab")
    file.rewind(5)
    file.write(b"c")
    file.close()
    assert path.read_bytes() == b"0123ac"
    with pytest.raises(PermanentError, match=r"o: has 6 bytes, but 7 were made durable"):
        durable.OutputFile(path, 7)
    file = durable.OutputFile(path)
    file.write(b"new")
    file.close()
    assert (path.read_bytes(), (tmp_path / "other").read_bytes()) == (b"new", b"0123ac")


class ReadingRecorder:
    """An `os` that records from where files are read, and what the kernel was told to forget."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int, int]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def posix_fadvise(self, descriptor: int, offset: int, length: int, advice: int) -> None:
        if advice == os.POSIX_FADV_DONTNEED:
            self.calls.append(("forget", offset, length))
        os.posix_fadvise(descriptor, offset, length, advice)

    def preadv(self, descriptor: int, buffers: list[memoryview], offset: int) -> int:
        count = os.preadv(descriptor, buffers, offset)
        self.calls.append(("read", offset, count))
        return count

    def readv(self, descriptor: int, buffers: list[memoryview]) -> int:
        offset = os.lseek(descriptor, 0, os.SEEK_CUR)
        count = os.readv(descriptor, buffers)
        self.calls.append(("read", offset, count))
        return count


def text_of(written: Written, number: int) -> TextChecksum:
    piece = written.pieces[number]
    return TextChecksum(piece.text_bytes, piece.text_crc32)


PROOFS: dict[str, Callable[[Written], object]] = {
    "confirm": lambda written: readback.confirm(
        written.path, written.pieces[1:], [text_of(written, 1)], blocks=True
    ),
    "sound": lambda written: readback.sound(written.path, written.pieces[1:]),
    "crc32_of": lambda written: readback.crc32_of(
        written.path, written.pieces[1].offset, written.pieces[1].length
    ),
    "read": lambda written: readback.read(
        written.path, written.pieces[1].offset, written.pieces[1].length
    ),
    "read_piece": lambda written: content_equality.read_piece(
        written.path, written.pieces[1].offset, written.pieces[1].length
    ),
}


@pytest.mark.parametrize("what", PROOFS)
def test_a_proof_reads_the_disk(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel is told to forget a piece before it is read, and nothing else is read."""
    written = write([put(tmp_path, f"{n}.fastq", reads(20, n)) for n in range(2)], tmp_path / "out")
    piece = written.pieces[1]
    install(monkeypatch, recorder := ReadingRecorder())
    PROOFS[what](written)
    assert recorder.calls[0] == ("forget", piece.offset, piece.length)
    read = [call for call in recorder.calls if call[0] == "read" and call[2]]
    assert read[0][1] == piece.offset
    assert sum(count for _, _, count in read) == piece.length


def test_verifying_reads_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel is told to forget the whole file before it is verified."""
    written = write([put(tmp_path, "a.fastq", reads(20))], tmp_path / "out")
    monkeypatch.setattr(sources, "os", recorder := ReadingRecorder())
    verify(written.path, md5=written.md5, reads=written.reads, bases=written.bases)
    assert recorder.calls[0] == ("forget", 0, 0)
    assert sum(count for what, _, count in recorder.calls if what == "read") == written.bytes


def test_the_values_that_proofs_return(tmp_path: Path) -> None:
    """Bytes, checksums and counts are those of the range; a damaged piece ends the sound ones."""
    written = write([put(tmp_path, f"{n}.fastq", reads(20, n)) for n in range(3)], tmp_path / "out")
    data, path = bytearray(written.path.read_bytes()), written.path
    first, second, third = written.pieces
    assert readback.crc32_of(path, second.offset, second.length) == second.crc32
    assert readback.read(path, second.offset, 9) == data[second.offset : second.offset + 9]
    assert readback.read(path, len(data) - 3, 9) == data[-3:]
    assert readback.md5_of(path) == written.md5
    assert readback.sound(path, written.pieces) == 3
    assert gzip.decompress(readback.read(path, 0, first.length)) == reads(20, 0)
    data[second.offset + second.length - 1] ^= 1
    path.write_bytes(data)
    assert readback.sound(path, written.pieces) == 1
    path.write_bytes(data[: third.offset + 5])
    assert readback.sound(path, (first, third)) == 1


def test_a_source_is_read_again(tmp_path: Path) -> None:
    """A source with the text of its piece is identified as it is now; any other one is not."""
    source = put(tmp_path, "a.fastq.gz", reads(20), level=6)
    piece = write([source], tmp_path / "out").pieces[0]
    cell = opened(tmp_path)
    for level in (1, 9):
        again = put(tmp_path, "a.fastq.gz", reads(20), level=level)
        found = readback.reread(again, cell, piece)
        assert found is not None
        assert (found.inode, found.ctime_ns) == (again.inode, again.ctime_ns)
        assert found.sha256 == hashlib.sha256(again.path.read_bytes()).hexdigest()
    assert readback.reread(put(tmp_path, "a.fastq.gz", reads(20, 1)), cell, piece) is None
    source.path.write_bytes(b"not gzip")
    assert readback.reread(sources.look(source.path, source.name), cell, piece) is None
