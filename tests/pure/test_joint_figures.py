"""N50 and mean Q over time, and length against quality: exact counts in coarse classes."""

from __future__ import annotations

import base64
from collections import Counter
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hesiod_watch.fastq import packed_statistics
from hesiod_watch.fastq.joint_figures import class_n50
from hesiod_watch.fastq.measure import ReadMeasurer
from hesiod_watch.fastq.qc import n50, qc_groups
from hesiod_watch.fastq.records import RecordReader
from hesiod_watch.fastq.statistics import LENGTH_EDGES, ReadStatistics

BEGIN = datetime(2024, 5, 1, 10, 0, tzinfo=UTC)

# Made by the version before these figures: three reads of 100, 200 and 300 bases.
PACKED_BEFORE = base64.b64decode(
    "qAEAAHsiYWNndCI6NjAwLCJiYXNlcyI6NjAwLCJiYXNlc19xMjAiOjMwMCwiYmFzZXNfcTMwIjoxMDAsImZpcnN0X3N0"
    "YXJ0IjoxNzQwMDAwMDAwMDAwMDAwLCJnYyI6MjUwLCJtb2RlbHMiOlsiZG5hX3IxMC40LjFfZTguMl80MDBicHNfaGFj"
    "QHY0LjMuMCJdLCJyZWFkcyI6MywidGFibGVzIjpbWzMsInx1MSIsInx1MSJdLFsyLCJ8dTEiLCJ8dTEiXSxbMiwiPHU0"
    "IiwifHUxIl0sWzIsIjx1NCIsIjx1MiJdLFswLCJ8dTEiLCJ8dTEiXSxbMCwifHUxIiwifHUxIl0sWzAsInx1MSIsInx1"
    "MSJdLFswLCJ8dTEiLCJ8dTEiXSxbMCwifHUxIiwifHUxIl0sWzAsInx1MSIsInx1MSJdLFsxLCI8dTIiLCJ8dTEiXSxb"
    "MSwifHUxIiwiPHUyIl0sWzEsIjx1MiIsInx1MSJdLFsxLCJ8dTEiLCI8dTIiXV0sInRvdGFscyI6WzAsMCwwLDM2MDAw"
    "MDAwLDM5MDAwMDAwXX14XktJSWFkZGRnYmJUcNBhYGZgYECwdBh1GB/oMUtEMJ0wYpaKYAIAcGoFqw=="
)


def measured(*reads: tuple[int, float, float | None], tag: float | None = None) -> ReadStatistics:
    """Measure reads: of each its length, its Q, and its start in hours (None: not known)."""
    text = b""
    for length, quality, hours in reads:
        header = "@r"
        if hours is not None:
            header += f" start_time={(BEGIN + timedelta(hours=hours)).isoformat()}"
        if tag is not None:
            header += f"\tqs:f:{quality + tag}"
        symbols = chr(33 + int(quality)) * length
        text += f"{header}\n{'A' * length}\n+\n{symbols}\n".encode()
    measurer = ReadMeasurer(Path("x.fastq"))
    for unit in RecordReader(BytesIO(text).readinto, Path("x.fastq")):
        measurer.add(unit)
    return measurer.result()


def merged(*several: ReadStatistics) -> ReadStatistics:
    total = ReadStatistics()
    for statistics in several:
        total.merge(statistics)
    return total


def total_of(statistics: ReadStatistics) -> dict[str, Any]:
    found: dict[str, Any] = qc_groups([(None, "pass", statistics)])["total"]
    return found


def test_quality_and_n50_by_half_hour() -> None:
    """Each half hour has its reads, the mean of their Q, and an N50 within its length class."""
    total = total_of(
        measured((1000, 10, 0.1), (3000, 20, 0.2), (500, 12, 0.9), (8000, 30, 1.6), (10, 8, None))
    )
    over_time = total["over_time"]
    assert over_time["start"] == "2024-05-01T10:00:00Z"
    assert over_time["bin_seconds"] == 1800
    assert over_time["reads"] == [2, 1, 0, 1]
    assert over_time["mean_q"] == [15.0, 12.0, None, 30.0]
    assert over_time["n50"][2] is None
    for found, exact in zip(over_time["n50"], (3000, 500, None, 8000), strict=True):
        assert exact is None or found == pytest.approx(exact, rel=0.06)


def test_mean_q_over_time_is_by_the_rule_of_the_cell() -> None:
    """Where reads carry the basecaller's own Q, that counts, as in the mean over the cell."""
    total = total_of(measured((100, 10, 0.1), (100, 20, 0.7), tag=3.25))
    assert total["mean_q"] == 18.25
    assert total["over_time"]["mean_q"] == [13.25, 23.25]
    mixed = total_of(merged(measured((100, 10, 0.1), tag=2.0), measured((200, 20, 0.2))))
    assert mixed["over_time"]["mean_q"] == [16.0]


def test_length_against_quality() -> None:
    """Every read is in the row of its length class and the column of its whole Q."""
    statistics = measured((150, 7, 0.1), (150, 7, 30), (151, 9, None), (4000, 12, 0.1))
    table = total_of(statistics)["length_quality"]
    assert (table["start"], table["width"]) == (7, 1)
    assert len(table["edges"]) == len(table["reads"]) + 1
    assert all(len(row) == 6 for row in table["reads"])
    found = {
        (low, table["start"] + column): count
        for low, row in zip(table["edges"], table["reads"], strict=False)
        for column, count in enumerate(row)
        if count
    }
    assert found == {(141, 7): 2, (141, 9): 1, (3981, 12): 1}


lengths = st.lists(st.integers(0, 3_000_000), min_size=1, max_size=40)


@given(lengths)
def test_n50_of_classes_is_in_the_class_of_the_exact_one(found: list[int]) -> None:
    """The N50 from length classes is never in another class than the exact N50."""

    def class_of(length: int) -> int:
        return max(number for number, edge in enumerate(LENGTH_EDGES) if edge <= length)

    bases: Counter[int] = Counter()
    for length in found:
        bases[class_of(length)] += length
    exact, coarse = n50(Counter(found)), class_n50(bases)
    assert exact is not None
    assert coarse is not None
    assert class_of(coarse) == class_of(exact)


reads = st.tuples(st.integers(1, 400), st.integers(0, 93), st.none() | st.floats(0, 50))


@given(st.lists(st.lists(reads, max_size=4), min_size=1, max_size=4))
def test_any_division_gives_the_same_figures(
    parts: list[list[tuple[int, float, float | None]]],
) -> None:
    """Reads measured together, or apart and merged or added to packed ones, have equal figures."""
    together = measured(*(read for part in parts for read in part))
    apart = [measured(*part) for part in parts]
    packed = packed_statistics.pack(ReadStatistics())
    for statistics in apart:
        packed = packed_statistics.add(packed, statistics)
    assert merged(*apart[::-1]) == together == packed_statistics.unpack(packed)
    joint = together.joint["bare.whole"]
    assert joint.by_length.total() == together.reads
    assert together.period_bases.total() == together.yield_bases.total()


def test_statistics_of_an_earlier_version() -> None:
    """Those packed by an earlier version count as before; figures that need more are left out."""
    before = packed_statistics.unpack(PACKED_BEFORE)
    assert (before.reads, before.bases, before.lengths[300]) == (3, 600, 1)
    total = total_of(before)
    assert (total["n50"], total["yield"]["bases"]) == (300, [300, 0, 0, 300])
    assert (total["over_time"], total["length_quality"]) == (None, None)
    more = measured((400, 20, 0.1))
    for sum_of_both in (
        packed_statistics.unpack(packed_statistics.add(PACKED_BEFORE, more)),
        merged(before, more),
    ):
        total = total_of(sum_of_both)
        assert total["reads"] == 4
        assert (total["over_time"], total["length_quality"]) == (None, None)


@pytest.mark.parametrize(
    ("statistics", "over_time", "length_quality"),
    [
        (ReadStatistics(), False, False),
        (measured((100, 10, None)), False, True),
        (measured((100, 10, 0.1), (100, 10, 24 * 100)), False, True),
        (measured((0, 10, 0.1)), True, True),
    ],
    ids=["no reads", "no times", "a wrong clock", "an empty read"],
)
def test_figures_without_a_basis_are_none(
    statistics: ReadStatistics, over_time: bool, length_quality: bool
) -> None:
    """Without reads or usable times there is no figure, instead of an empty one."""
    total = total_of(statistics)
    assert (total["over_time"] is not None) is over_time
    assert (total["length_quality"] is not None) is length_quality


def test_barcodes_have_no_figures_of_the_cell() -> None:
    """The figures are those of the cell and its parts, so that the document stays small."""
    qc = qc_groups([("barcode01", "pass", measured((100, 10, 0.1)))])
    assert qc["pass"]["over_time"] == qc["total"]["over_time"]
    assert "over_time" not in qc["barcodes"][0]["total"]
