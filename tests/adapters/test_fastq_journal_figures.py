"""A checkpoint (statistics and MD5 state) comes back exactly, or not at all."""

from __future__ import annotations

import ctypes
import hashlib
import random
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hesiod_watch.core.errors import BadSource
from hesiod_watch.fastq import checkpoint, md5, packed_statistics
from hesiod_watch.fastq.checkpoint import Checkpoint, OutputCheckpoint
from hesiod_watch.fastq.md5 import Md5
from hesiod_watch.fastq.statistics import KINDS, LengthDistribution, ReadStatistics

counts = st.dictionaries(st.integers(0, 1 << 33), st.integers(1, 1 << 40), max_size=6).map(Counter)
distributions = st.builds(LengthDistribution, counts, counts, st.integers(0, 1 << 60))
many_statistics = st.builds(
    ReadStatistics,
    reads=st.integers(0, 1 << 40),
    bases=st.integers(0, 1 << 60),
    acgt=st.integers(0, 1 << 60),
    gc=st.integers(0, 1 << 60),
    bases_q20=st.integers(0, 1 << 60),
    bases_q30=st.integers(0, 1 << 60),
    lengths=counts,
    qualities=st.fixed_dictionaries(dict.fromkeys(KINDS, distributions)),
    channels=counts,
    yield_reads=counts,
    yield_bases=counts,
    first_start=st.none() | st.integers(0, 1 << 60),
    models=st.sets(st.text(max_size=9), max_size=4),
)


@given(one=many_statistics, two=many_statistics)
def test_statistics_survive_packing(one: ReadStatistics, two: ReadStatistics) -> None:
    """Packing and unpacking gives equal statistics; adding to packed ones merges them."""
    packed = packed_statistics.pack(one)
    assert packed_statistics.unpack(packed) == one
    assert packed_statistics.unpack(packed_statistics.add(packed, two)) == merged(one, two)
    assert packed_statistics.add(packed, ReadStatistics()) == packed
    assert packed_statistics.add(packed_statistics.pack(two), one) == packed_statistics.add(
        packed, two
    )


def merged(*several: ReadStatistics) -> ReadStatistics:
    total = ReadStatistics()
    for statistics in several:
        total.merge(statistics)
    return total


def test_packed_statistics_are_small() -> None:
    """Two bytes per read; dictionaries would take a hundred times as much."""
    rng = random.Random(1)
    lengths = Counter(int(rng.lognormvariate(8.3, 0.8)) for _ in range(20_000))
    assert len(packed_statistics.pack(ReadStatistics(reads=20_000, lengths=lengths))) < 40_000


needs_md5 = pytest.mark.skipif(md5.EMPTY is None, reason="no OpenSSL here whose MD5 can be saved")
START = md5.EMPTY or b""


def digest_of(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


@needs_md5
@given(data=st.binary(max_size=400), cuts=st.lists(st.integers(0, 400), max_size=6))
def test_an_md5_can_be_interrupted(data: bytes, cuts: list[int]) -> None:
    """Saved and restored at any place, it is the MD5 of all bytes, in any kind of buffer."""
    state = START
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    for start, end in pairwise(edges):
        digest = Md5(state)
        part = data[start:end]
        digest.update(bytearray(part) if start % 3 else memoryview(part) if start else part)
        state = digest.save()
        assert digest.hexdigest() == Md5(state).hexdigest() == digest_of(data[:end])


@needs_md5
def test_reading_the_digest_does_not_end_an_md5() -> None:
    """The digest so far can be read while more data follow."""
    digest = Md5(START)
    assert digest.hexdigest() == digest_of(b"")
    digest.update(b"a" * 100)
    assert digest.hexdigest() == digest_of(b"a" * 100)
    digest.update(b"b")
    assert digest.hexdigest() == digest_of(b"a" * 100 + b"b")


@needs_md5
@pytest.mark.parametrize(
    "state", [b"", START[:-1], START + b"\0"], ids=["empty", "too short", "too long"]
)
def test_invalid_md5_states(state: bytes) -> None:
    """Bytes of another length are refused."""
    with pytest.raises(ValueError, match="not a saved MD5"):
        Md5(state)


class Broken:
    """A library whose MD5 differs a little from OpenSSL's."""

    def __init__(self, wrong: Callable[[bytearray], None]) -> None:
        self._wrong = wrong
        self._seen = b""

    def MD5_Update(self, context: ctypes.Array[ctypes.c_char], data: bytes, size: int) -> None:  # noqa: N802  its name
        self._seen += bytes(data[:size])
        if size == 70:
            state = bytearray(context.raw)
            state[:92] = (
                bytes.fromhex("cad94491c9e401d9385bfc721ef55f623002000000000000")
                + data[64:70]
                + bytes(62)
            )
            state[88] = 6
            self._wrong(state)
            context.raw = bytes(state)

    def MD5_Final(self, digest: ctypes.Array[ctypes.c_char], context: object) -> None:  # noqa: N802  its name
        found = bytearray(hashlib.md5(self._seen, usedforsecurity=False).digest())
        digest.raw = bytes(found)


def nothing(state: bytearray) -> None:
    pass


@pytest.mark.parametrize(
    ("wrong", "passes"),
    [
        (nothing, True),
        (lambda state: state.__setitem__(0, 1), False),
        (lambda state: state.__setitem__(25, 9), False),
        (lambda state: state.__setitem__(88, 7), False),
        (lambda state: state.__setitem__(100, 7), False),
    ],
    ids=["right", "other digest", "other buffer", "other length", "more state"],
)
def test_libraries_with_another_md5_are_not_used(
    wrong: Callable[[bytearray], None], passes: bool
) -> None:
    """A library that keeps its state elsewhere, or in another form, is not used."""
    assert md5.works(Broken(wrong)) is passes  # type: ignore[arg-type]  # it has the two functions


SAVED = Checkpoint(
    1234,
    99,
    {
        0: OutputCheckpoint(3, packed_statistics.pack(ReadStatistics(reads=3)), START or None),
        7: OutputCheckpoint(0, b"", None),
        5: OutputCheckpoint(1, b"x", None),
    },
)


def test_a_checkpoint_comes_back(tmp_path: Path) -> None:
    """A saved checkpoint is loaded, and replaces the previous one."""
    checkpoint.save(tmp_path, Checkpoint(0, 0, {}))
    checkpoint.save(tmp_path, SAVED)
    assert checkpoint.load(tmp_path) == SAVED
    assert [path.name for path in tmp_path.iterdir()] == [checkpoint.NAME]


def test_cut_and_damaged_checkpoints(tmp_path: Path) -> None:
    """Every cut and every changed byte is detected; a missing checkpoint is no error."""
    assert checkpoint.load(tmp_path) is None
    checkpoint.save(tmp_path, SAVED)
    path = tmp_path / checkpoint.NAME
    data = path.read_bytes()
    for place in range(len(data)):
        path.write_bytes(data[:place])
        assert checkpoint.load(tmp_path) is None
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        assert checkpoint.load(tmp_path) is None
    path.write_bytes(data + b"\0")
    assert checkpoint.load(tmp_path) is None


def test_a_directory_is_no_checkpoint(tmp_path: Path) -> None:
    """Another kind of file in its place is not opened."""
    (tmp_path / checkpoint.NAME).mkdir()
    with pytest.raises(BadSource, match="directory"):
        checkpoint.load(tmp_path)
