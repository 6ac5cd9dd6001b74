"""Whatever way a unit is compressed, every block inflates alone to exactly its part of the unit."""

from __future__ import annotations

import random
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from isal import isal_zlib

from hesiod_watch.fastq import basepack, bgzf
from hesiod_watch.fastq.compress import LONG, compress
from hesiod_watch.fastq.model import Level
from hesiod_watch.fastq.records import RecordReader, Unit

# Of random bytes make bases, of different shares, and qualities.
SHARES = [b"ACGT", b"AACGTT", b"AAAC", b"GGGT", b"A", b"T", b"ACGTTTTTTTTTTTTT"]
BASES = {share: bytes(share[byte % len(share)] for byte in range(256)) for share in SHARES}
QUALITIES = bytes(35 + byte % 38 for byte in range(256))


def inflated(blocks: bytes) -> list[bytes]:
    """The data of each BGZF block, its lengths and CRC checked, inflated by zlib and by isal."""
    found = []
    while blocks:
        assert bgzf.is_block(blocks[:18])
        size = int.from_bytes(blocks[16:18], "little") + 1
        inflater = zlib.decompressobj(-15)
        data = inflater.decompress(blocks[18 : size - 8])
        assert inflater.eof
        assert not inflater.unused_data
        assert isal_zlib.decompress(blocks[18 : size - 8], -15) == data
        assert int.from_bytes(blocks[size - 8 : size - 4], "little") == zlib.crc32(data)
        assert int.from_bytes(blocks[size - 4 : size], "little") == len(data) <= 1 << 16
        found.append(data)
        blocks = blocks[size:]
    return found


def unit_of(lengths: list[int], bases: bytes, seed: int) -> Unit:
    """Reads of these lengths, as the unit that a reader makes of them."""
    rng = random.Random(seed)
    text = b"".join(
        b"@%d\n%s\n+\n%s\n" % (n, rng.randbytes(length).translate(bases), rng.randbytes(length).translate(QUALITIES))
        for n, length in enumerate(lengths)
    )
    rest = memoryview(text)

    def readinto(buffer: memoryview) -> int:
        nonlocal rest
        part, rest = rest[: len(buffer)], rest[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)

    return next(iter(RecordReader(readinto, Path("x"), unit_bytes=len(text) + 1)))


@settings(max_examples=80, deadline=None)
@given(
    lengths=st.lists(st.one_of(st.integers(0, 40), st.integers(LONG["default"] - 2, 200_000)), min_size=1, max_size=8),
    share=st.sampled_from(SHARES),
    level=st.sampled_from(["default", "fast"]),
    plain=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_units_come_back(lengths: list[int], share: bytes, level: Level, plain: bool, seed: int) -> None:
    """Reads of any lengths and any shares of bases, with and without leave to pack them."""
    unit = unit_of(lengths, BASES[share], seed)
    assert b"".join(inflated(compress(unit, level, plain=plain))) == bytes(unit.data)


def test_the_small_level(tmp_path: Path) -> None:
    """The slow level gives back its input, and is smaller for reads that repeat each other."""
    unit = unit_of([3000] * 40, BASES[b"ACGT"], 1)
    assert b"".join(inflated(compress(unit, "small", plain=True))) == bytes(unit.data)
    amplicon = unit_of([3000], BASES[b"ACGT"], 1)
    records = bytes(amplicon.data) * 10
    assert len(b"".join(bgzf.compress(memoryview(records), (), "small"))) < len(records) / 4


@settings(max_examples=150, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 200), min_size=1, max_size=20),
    share=st.sampled_from(SHARES),
    seed=st.integers(0, 1000),
)
def test_packed_bases(lengths: list[int], share: bytes, seed: int) -> None:
    """Each chunk is a deflate block of its own between byte boundaries, for every choice of the rarest base."""
    rng = random.Random(seed)
    chunks = [rng.randbytes(length).translate(BASES[share]) for length in lengths]
    for chunk, packed in zip(chunks, basepack.pack([memoryview(chunk) for chunk in chunks]), strict=True):
        inflater = zlib.decompressobj(-15)
        assert inflater.decompress(bytes(packed) + b"\x03\x00") == chunk
        assert inflater.eof


def test_packed_bases_take_two_and_a_quarter_bits() -> None:
    """Bases of equal shares take 2.25 bits, which isal does not reach."""
    chunk = memoryview(random.Random(1).randbytes(1 << 20).translate(BASES[b"ACGT"]))
    [packed] = basepack.pack([chunk])
    assert 8 * len(packed) / len(chunk) == pytest.approx(2.25, abs=0.01)
    assert len(packed) < len(isal_zlib.compress(chunk, 2, -15))


def test_long_reads_are_smaller_than_gzip_makes_them() -> None:
    """The default is smaller than zlib's level 6 for long reads."""
    unit = unit_of([8000] * 60, BASES[b"ACGT"], 3)
    assert len(compress(unit, "default", plain=True)) < 0.97 * len(zlib.compress(unit.data, 6))
