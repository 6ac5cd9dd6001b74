"""However a unit is compressed, every block inflates alone to exactly its part of the unit."""

from __future__ import annotations

import random
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from isal import isal_zlib

from hesiod_watch.fastq import bgzf
from hesiod_watch.fastq.bgzf import BLOCK_BYTES
from hesiod_watch.fastq.coder import CODER, FastqCoder
from hesiod_watch.fastq.compress import CODED_BASES, compress
from hesiod_watch.fastq.model import Level
from hesiod_watch.fastq.records import RecordReader, RecordUnit

# Translation tables from random bytes to bases, in different shares, and to qualities.
SHARES = [b"ACGT", b"AACGTT", b"AAAC", b"GGGT", b"A", b"T", b"ACGTTTTTTTTTTTTT"]
BASES = {share: bytes(share[byte % len(share)] for byte in range(256)) for share in SHARES}
QUALITIES = bytes(35 + byte % 38 for byte in range(256))


def inflated(blocks: bytes | memoryview) -> list[bytes]:
    """The data of each BGZF block, checked and inflated by zlib and by isal."""
    found = []
    blocks = bytes(blocks)
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


CODERS = [
    pytest.param(
        CODER, id="coder", marks=pytest.mark.skipif(CODER is None, reason="no C compiler was there")
    )
]
BOTH = [*CODERS, pytest.param(None, id="isal")]


def unit_of(lengths: list[int], bases: bytes, seed: int) -> RecordUnit:
    """A unit of reads of these lengths."""
    rng = random.Random(seed)
    return cut(
        b"".join(
            b"@%d\n%s\n+\n%s\n"
            % (
                n,
                rng.randbytes(length).translate(bases),
                rng.randbytes(length).translate(QUALITIES),
            )
            for n, length in enumerate(lengths)
        )
    )


def cut(text: bytes) -> RecordUnit:
    """A unit of these records, as made by a reader."""
    rest = memoryview(text)

    def readinto(buffer: memoryview) -> int:
        nonlocal rest
        part, rest = rest[: len(buffer)], rest[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)

    return next(iter(RecordReader(readinto, Path("x"), unit_bytes=len(text) + 1)))


@pytest.mark.parametrize("coder", BOTH)
@settings(max_examples=80, deadline=None)
@given(
    lengths=st.lists(
        st.one_of(st.integers(0, 40), st.integers(CODED_BASES, 200_000)),
        min_size=1,
        max_size=8,
    ),
    share=st.sampled_from(SHARES),
    level=st.sampled_from(["default", "fast"]),
    plain=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_units_come_back(
    coder: FastqCoder | None,
    lengths: list[int],
    share: bytes,
    level: Level,
    plain: bool,
    seed: int,
) -> None:
    """Units inflate to their reads, for any lengths and shares of bases.

    It does not matter whether the unit is known to have no other letters.
    """
    unit = unit_of(lengths, BASES[share], seed)
    assert b"".join(inflated(compress(unit, level, plain=plain, coder=coder))) == bytes(unit.data)


LINES = st.one_of(
    st.binary(max_size=200),
    st.builds(
        lambda seed, size: random.Random(seed).randbytes(size),
        st.integers(0, 99),
        st.integers(0, 150_000),
    ),
    st.builds(
        lambda part, times: part * times, st.binary(min_size=1, max_size=300), st.integers(1, 600)
    ),
).map(lambda line: line.replace(b"\n", b"\r"))


@pytest.mark.parametrize("coder", CODERS)
@settings(max_examples=150, deadline=None)
@given(records=st.lists(st.tuples(LINES, LINES, LINES, LINES), min_size=1, max_size=12))
def test_lines_of_anything_come_back(
    coder: FastqCoder, records: list[tuple[bytes, bytes, bytes, bytes]]
) -> None:
    """Any bytes in lines of any length: the coder does not rely on valid FASTQ."""
    text, stops = b"", []
    for header, bases, plus, qualities in records:
        starts = [len(text) + len(header) + 1]
        starts += [starts[0] + len(bases), starts[0] + len(bases) + len(plus) + len(qualities) + 2]
        stops.append(starts)
        text += b"\n".join((header, bases, plus, qualities)) + b"\n"
    packed = coder.pack(memoryview(text), np.array(stops), plain=False)
    assert b"".join(inflated(bytes(packed))) == text


@pytest.mark.parametrize("coder", CODERS)
@pytest.mark.parametrize("blocks", [1, 2])
@pytest.mark.parametrize("beyond", [-2, -1, 0, 1, 2])
@pytest.mark.parametrize("line", ["header", "bases", "qualities", "record"])
def test_lines_that_end_where_a_block_does(
    coder: FastqCoder, blocks: int, beyond: int, line: str
) -> None:
    """A line that ends exactly at the end of a BGZF block, or a byte or two from it."""
    end = blocks * BLOCK_BYTES + beyond
    length = {
        "header": 2000,
        "bases": end - 1000,
        "qualities": (end - 1003) // 2,
        "record": (end - 1004) // 2,
    }[line]
    header = {
        "header": end,
        "bases": 1000,
        "qualities": end - 3 - 2 * length,
        "record": end - 4 - 2 * length,
    }[line]
    first = b"@" + b"h" * (header - 2) + b"\n" + b"A" * length + b"\n+\n" + b"5" * length + b"\n"
    assert end in (header, header + length, header + 2 * length + 3, len(first))
    unit = cut(first + bytes(unit_of([3000], BASES[b"ACGT"], 1).data))
    assert b"".join(inflated(compress(unit, "default", plain=True, coder=coder))) == bytes(
        unit.data
    )


@pytest.mark.parametrize("coder", CODERS)
def test_frequencies_that_want_very_long_codes(coder: FastqCoder) -> None:
    """Fibonacci numbers give the deepest tree; codes stay within the limit of the format."""
    numbers = [1, 1]
    while sum(numbers) < BLOCK_BYTES - 30_000:
        numbers.append(numbers[-1] + numbers[-2])
    assert len(numbers) > 20  # so that an unlimited code would take more than 15 bits
    symbols = b"".join(bytes([40 + symbol]) * count for symbol, count in enumerate(numbers))
    for text in (symbols, bytes(random.Random(1).sample(symbols, len(symbols)))):
        for header in (b"@r", b"@" + text):
            unit = cut(b"%s\n%s\n+\n%s\n" % (header, b"A" * len(text), text))
            packed = compress(unit, "default", plain=True, coder=coder)
            assert b"".join(inflated(packed)) == bytes(unit.data)
        deflater = zlib.compressobj(6, zlib.DEFLATED, -15, 9, zlib.Z_HUFFMAN_ONLY)
        packed = compress(
            cut(b"@\n%s\n+\n%s\n" % (b"A" * len(text), text)), "default", plain=True, coder=coder
        )
        # Two bits per base, and qualities as small as from zlib with Huffman codes alone.
        assert (
            len(packed)
            < 1.01 * len(deflater.compress(text) + deflater.flush()) + len(text) / 4 + 200
        )


@pytest.mark.parametrize("coder", CODERS)
@pytest.mark.parametrize("fields", [5, 200, 900])
def test_headers_that_repeat_each_other(coder: FastqCoder, fields: int) -> None:
    """Text that a header shares with the previous one costs almost nothing.

    This is true for headers of up to many kilobytes.
    """
    rng = random.Random(2)
    same = " ".join(f"key{n}={rng.getrandbits(64):x}" for n in range(fields)).encode()
    reads = [b"@%016x %s\nACGT\n+\n5555\n" % (rng.getrandbits(64), same) for _ in range(64)]
    text = b"".join(reads)
    ends = np.cumsum([len(read) for read in reads])
    packed = coder.pack(
        memoryview(text), np.column_stack((ends - 12, ends - 8, ends - 1)), plain=True
    )
    assert b"".join(inflated(bytes(packed))) == text
    # Each block of 64 KiB contains it once, in hexadecimal digits of at least four bits; the rest
    # is names and repeats.
    once = len(same) * (len(text) // BLOCK_BYTES + 1)
    assert len(packed) < 0.75 * once + len(reads) * 50 + len(text) / 60


@pytest.mark.parametrize("coder", CODERS)
def test_what_cannot_be_compressed_is_stored(coder: FastqCoder) -> None:
    """Noise takes only its own size and the frames around it."""
    noise = random.Random(4).randbytes(200_000).replace(b"\n", b"-")
    text = b"@" + noise + b"\nA\n+\n" + noise + b"\n"
    stops = np.array([[len(noise) + 2, len(noise) + 3, len(text) - 1]])
    packed = coder.pack(memoryview(text), stops, plain=True)
    assert b"".join(inflated(bytes(packed))) == text
    assert len(packed) <= len(text) + 31 * (len(text) // BLOCK_BYTES + 1)


@pytest.mark.parametrize("coder", BOTH)
def test_the_small_level(coder: FastqCoder | None) -> None:
    """The slow level restores its input, and is smaller for reads that repeat each other."""
    unit = unit_of([3000] * 40, BASES[b"ACGT"], 1)
    assert b"".join(inflated(compress(unit, "small", plain=True, coder=coder))) == bytes(unit.data)
    amplicon = cut(bytes(unit_of([3000], BASES[b"ACGT"], 1).data) * 10)
    assert len(compress(amplicon, "small", plain=True, coder=coder)) < len(amplicon.data) / 4


@pytest.mark.parametrize("coder", CODERS)
def test_bases_take_two_and_a_quarter_bits(coder: FastqCoder) -> None:
    """Bases of equal shares take 2.25 bits, fewer than with isal; known to be plain or not."""
    bases = random.Random(1).randbytes(1 << 20).translate(BASES[b"ACGT"])
    text = b"@\n" + bases + b"\n+\n\n"
    stops = np.array([[2, 2 + len(bases), len(text) - 1]])
    for plain in (True, False):
        packed = coder.pack(memoryview(text), stops, plain=plain)
        assert 8 * len(packed) / len(bases) == pytest.approx(2.25, abs=0.02)
        assert len(packed) < len(isal_zlib.compress(bases, 2, -15))


# Compressed size of reads of a length, as a share of the size by gzip -6. Short reads are
# compressed for speed.
SIZES = [(8000, 0.93), (CODED_BASES, 0.95), (CODED_BASES - 1, 1.06), (600, 1.04)]


@pytest.mark.parametrize("coder", CODERS)
@pytest.mark.parametrize(("length", "share"), SIZES)
def test_sizes_compared_with_gzip(coder: FastqCoder, length: int, share: float) -> None:
    """The default is smaller than zlib's level 6 for long reads, and little larger for short."""
    unit = unit_of([length] * (500_000 // length), BASES[b"ACGT"], 3)
    assert len(compress(unit, "default", plain=True, coder=coder)) < share * len(
        zlib.compress(unit.data, 6)
    )


@pytest.mark.parametrize("coder", CODERS)
@pytest.mark.parametrize(("length", "coded"), [(CODED_BASES, True), (CODED_BASES - 1, False)])
@pytest.mark.parametrize("level", ["default", "fast"])
def test_short_reads_have_few_tables(
    coder: FastqCoder, length: int, coded: bool, level: Level
) -> None:
    """The coder, which writes three tables per read, compresses long reads only."""
    unit = unit_of([length] * 100, BASES[b"ACGT"], 4)
    stops = np.column_stack((unit.starts[:, 1], unit.ends[:, 1], unit.ends[:, 3]))
    by_coder = bytes(coder.pack(unit.data, stops, plain=True))
    assert (bytes(compress(unit, level, plain=True, coder=coder)) == by_coder) is coded


@pytest.mark.parametrize("every", [100, BLOCK_BYTES // 3, BLOCK_BYTES, 1 << 20])
@pytest.mark.parametrize("level", ["default", "fast", "small"])
def test_any_data_come_back_in_full_blocks(level: Level, every: int) -> None:
    """Data that do not compress are stored where many splits would make a block too large."""
    data = random.Random(every).randbytes(BLOCK_BYTES * 2 + 700)
    splits = range(0, len(data), every)
    blocks = b"".join(bgzf.compress(memoryview(data), splits, level))
    found = inflated(blocks)
    assert [len(block) for block in found] == [BLOCK_BYTES, BLOCK_BYTES, 700]
    assert b"".join(found) == data
    assert len(blocks) <= len(data) + 3 * 300
