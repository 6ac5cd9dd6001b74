"""A source and its piece of an output have equal text, and one reading also gives the MD5."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from fastq_files import put, reads, write
from output_writing import write_outputs

from hesiod_watch.core.errors import BadSource, PermanentError
from hesiod_watch.fastq.content_equality import ContentReading, difference, read_piece, read_source
from hesiod_watch.fastq.model import Output, Settings

TEXT = reads(300, 1)
PACKED = gzip.compress(TEXT, mtime=0)


def reading_of(data: bytes, *, gzipped: bool, at_once: int = 1 << 20) -> ContentReading:
    """Read these bytes once; they arrive in parts, as from a network file system."""
    file = io.BytesIO(data)
    return read_source(lambda part: file.readinto(part[:at_once]), Path("x.fastq"), gzipped=gzipped)


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


@pytest.mark.parametrize("at_once", [1, 1000, 1 << 20])
@pytest.mark.parametrize("name", [".fastq", ".fastq.gz"])
def test_a_source_is_in_its_output(name: str, at_once: int, tmp_path: Path) -> None:
    """Each source, plain or gzipped, has the text of only its piece, and the MD5 of its bytes."""
    texts = [reads(30, 1), b"", reads(20, 2), reads(30, 3)]
    sources = [put(tmp_path, f"{number}{name}", text) for number, text in enumerate(texts)]
    written = write(sources, tmp_path / "out")
    pieces = [read_piece(written.path, piece.offset, piece.length) for piece in written.pieces]
    assert len(set(pieces)) == len(texts)
    for source, piece in zip(sources, pieces, strict=True):
        data = source.path.read_bytes()
        reading = reading_of(data, gzipped=source.gzipped, at_once=at_once)
        assert reading == ContentReading(md5(data), piece)


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda data: data[:-100],
    "of other content": lambda data: data[:1000] + bytes([data[1000] ^ 255]) + data[1001:],
    "with zeros behind": lambda data: data + bytes(300_000),
    "not gzip": lambda data: TEXT * 20,
}


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_source_has_no_text(how: str) -> None:
    """A damaged gzip file has an MD5 of all its bytes, and a reason instead of a text."""
    data = DAMAGE[how](PACKED)
    reading = reading_of(data, gzipped=True)
    assert (reading.md5, reading.text) == (md5(data), None)
    assert "x.fastq" in reading.why


def test_a_disk_that_cannot_be_read() -> None:
    """A disk error is raised, at the start and also after a damaged part."""
    parts = [b"not gzip"]

    def readinto(part: memoryview) -> int:
        if not parts:
            raise OSError(5, os.strerror(5))
        data = parts.pop()
        part[: len(data)] = data
        return len(data)

    for _ in range(2):
        with pytest.raises(OSError, match="Input/output"):
            read_source(readinto, Path("x.fastq.gz"), gzipped=True)


def test_a_damaged_piece(tmp_path: Path) -> None:
    """A piece that is damaged or in the wrong place has no text."""
    written = write([put(tmp_path, "a.fastq", TEXT)], tmp_path / "out")
    (piece,) = written.pieces
    with pytest.raises((BadSource, PermanentError)):
        read_piece(written.path, piece.offset + 1, piece.length - 1)
    data = bytearray(written.path.read_bytes())
    data[piece.length // 2] ^= 255
    written.path.write_bytes(data)
    with pytest.raises((BadSource, PermanentError)):
        read_piece(written.path, piece.offset, piece.length)


def test_each_difference_has_its_own_reason(tmp_path: Path) -> None:
    """A copy has no reason; another text and a source that cannot be read have one."""
    sources = [put(tmp_path, f"{number}.fastq", reads(20, number)) for number in range(2)]
    written = write(sources, tmp_path / "out")
    places = [(piece.offset, piece.length) for piece in written.pieces]
    texts = [reading_of(source.path.read_bytes(), gzipped=False) for source in sources]
    for number, place in enumerate(places):
        assert difference(texts[number], written.path, *place) == ""
        assert (
            difference(texts[1 - number], written.path, *place)
            == "does not contain the exact text of the file"
        )
    damaged = reading_of(PACKED[:-100], gzipped=True)
    assert (
        difference(damaged, written.path, *places[0])
        == f"cannot be compared with the file: {damaged.why}"
    )


def test_an_output_of_bam_must_have_the_header(tmp_path: Path) -> None:
    """Equal records are not enough where the source has a line in its header that is not there."""
    from bam_files import header, put_bam, read_group, records  # late: it loads pysam

    same = records(3, 1, group="one")
    sources = [
        put_bam(tmp_path, f"{number}.bam", header(*map(read_group, names)) + same)
        for number, names in enumerate([("one",), ("one", "two")])
    ]
    (tmp_path / "out").mkdir()
    [written] = write_outputs(
        [Output("o.bam", None, "pass", (sources[0],))], tmp_path / "out", Settings()
    )
    [piece] = written.pieces
    found = []
    for source in sources:
        with source.path.open("rb") as file:
            reading = read_source(file.readinto, source.path, gzipped=True)
        found.append(difference(reading, written.path, piece.offset, piece.length))
    assert found == ["", "does not contain the header of the file"]
