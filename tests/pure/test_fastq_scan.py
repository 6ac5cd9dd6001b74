"""The compiled scan and the Python code find the same records, figures, repairs and faults."""

from __future__ import annotations

import random
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hesiod_watch.core.errors import BadSource
from hesiod_watch.fastq.coder import CODER, FastqCoder
from hesiod_watch.fastq.measure import ReadMeasurer
from hesiod_watch.fastq.records import RecordReader
from hesiod_watch.fastq.statistics import ReadStatistics

pytestmark = pytest.mark.skipif(CODER is None, reason="no C compiler was there")

Result = tuple[ReadStatistics | str, list[tuple[bytes, list[int], bool]], str]

NUMBERS = st.one_of(
    st.integers(-3, 10**8).map(str),
    st.floats(-3, 120).map(str),
    st.decimals(0, 101, places=7).map(str),
    st.sampled_from(["", "0", "100", "100.0", "1.", ".5", "1e1", "nan", "12.5.0", "7a", "0000012"]),
)
ZONES = st.sampled_from(["Z", "+00:00", "-05:30", "+01:00", "+0100", "", "+24:00", "Zz"])
TIMES = st.one_of(
    st.builds(lambda moment, zone: moment.isoformat() + zone, st.datetimes(), ZONES),
    st.builds(
        lambda moment, zone: moment.isoformat(timespec="milliseconds") + zone,
        st.datetimes(),
        ZONES,
    ),
    st.sampled_from(["", "2024-02-30T10:00:00Z", "2023-02-29T10:00:00Z", "2024-05-01"]),
    st.sampled_from(
        ["2024-12-31T23:59:60Z", "2024-05-01T24:00:00Z", "2024-05-01T10:00:00.1234567Z"]
    ),
)
FIELDS = st.one_of(
    st.builds("ch={}".format, NUMBERS),
    st.builds("ch:i:{}".format, NUMBERS),
    st.builds("qs:f:{}".format, NUMBERS),
    st.builds("start_time={}".format, TIMES),
    st.builds("st:Z:{}".format, TIMES),
    st.builds("basecall_model_version_id={}".format, st.sampled_from(["", "a@v1", "b@v4.3.0"])),
    st.builds("RG:Z:{}".format, st.sampled_from(["", "unknown", "dna_r10@v4.3.0_barcode01"])),
    st.sampled_from(["runid=ch=3", "xch=5", "du:f:1", "c", "model_version_id=other@v2", "é"]),
)
HEADERS = st.builds(
    lambda name, fields, blank: blank.join([name, *fields]),
    st.sampled_from(["", "id", "ch=9"]),
    st.lists(FIELDS, max_size=5),
    st.sampled_from([" ", "\t", "  ", " \t"]),
)
LENGTHS = st.one_of(st.integers(0, 130), st.integers(0, 9_000))
LETTERS = st.sampled_from([b"ACGT"] * 6 + [b"ACGU", b"ACGTN", b"acgtACGT", b"RYKMSWBDHVNUTn.-*"])


def record(header: str, length: int, letters: bytes, seed: int) -> bytes:
    """A valid record."""
    rng = random.Random(seed)
    bases = bytes(letters[byte % len(letters)] for byte in rng.randbytes(length))
    symbols = bytes(33 + byte % 94 for byte in rng.randbytes(length))
    return b"@%s\n%s\n+%s\n%s\n" % (header.encode(), bases, b"x" * (seed % 3), symbols)


RECORDS = st.builds(record, HEADERS, LENGTHS, LETTERS, st.integers(0, 10**6))


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Text of records with one fault, or what may be one."""
    text = b"".join(draw(st.lists(RECORDS, min_size=1, max_size=6)))
    place = draw(st.integers(0, len(text)))
    other = draw(
        st.one_of(
            st.sampled_from([b"", b"\n", b"\r", b"\r\n", b"@", b"+", b"N", b" ", b"\0", b"\x0b"]),
            st.binary(min_size=1, max_size=3),
        )
    )
    kind = draw(
        st.sampled_from(["insert", "replace", "cut", "windows", "end", "newline", "return"])
    )
    if kind == "cut":
        return text[:place]
    if kind == "windows":
        return text.replace(b"\n", b"\r\n", draw(st.integers(1, 30)))
    if kind == "end":
        return text + draw(st.sampled_from([b"\n", b"\n\n\r\n", b"\n" * 9, b"x", b"@x\nA\n+\nI"]))
    if kind in ("newline", "return"):
        line = draw(st.integers(0, text.count(b"\n") - 1))
        place = [number for number, byte in enumerate(text) if byte == 10][line]
        if kind == "return":  # of one line only
            return text[:place] + b"\r" + text[place:]
        place += 1
    return text[:place] + other + text[place + (kind != "insert") :]


def read(text: bytes, unit_bytes: int, coder: FastqCoder | None) -> Result:
    """Statistics or fault, units and repairs of a text."""
    stream = BytesIO(text)
    readinto: Callable[[memoryview], int] = stream.readinto
    reader = RecordReader(
        readinto, Path("x"), unit_bytes=unit_bytes, record_limit=1 << 16, coder=coder
    )
    measurer = ReadMeasurer(Path("x"))
    units = []
    try:
        for unit in reader:
            places = [unit.first, *unit.starts.ravel().tolist(), *unit.ends.ravel().tolist()]
            units.append((bytes(unit.data), places, measurer.add(unit)))
        return measurer.result(), units, reader.repaired
    except BadSource as error:
        return str(error), units, reader.repaired


UNITS = st.sampled_from([300, 4_000, 1 << 20])


@settings(max_examples=300, deadline=None)
@given(records=st.lists(RECORDS, max_size=12), unit_bytes=UNITS)
def test_good_text(records: list[bytes], unit_bytes: int) -> None:
    """Valid records have the same units and the same statistics."""
    text = b"".join(records)
    assert read(text, unit_bytes, CODER) == read(text, unit_bytes, None)


@settings(max_examples=500, deadline=None)
@given(text=damaged(), unit_bytes=UNITS)
def test_damaged_text(text: bytes, unit_bytes: int) -> None:
    """Faults have the same sentences, and what is repaired the same statistics."""
    assert read(text, unit_bytes, CODER) == read(text, unit_bytes, None)


def test_usual_text_is_scanned() -> None:
    """The scan takes usual text; without this test the others could compare Python with Python."""
    header = "id runid=1 ch=7 start_time=2024-05-01T00:00:00.25+01:00"
    text = b"".join(record(header, length, b"ACGTN", length) for length in range(60, 900))
    reader = RecordReader(BytesIO(text).readinto, Path("x"))
    assert sum(unit.reads for unit in reader if unit.scan is not None) == 840
