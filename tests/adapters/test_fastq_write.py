"""Outputs contain exactly the reads of their sources, in order, readable by every program."""

from __future__ import annotations

import gzip
import hashlib
import math
import random
import shutil
import subprocess
import zlib
from pathlib import Path

import pytest
from fastq_files import BASES, GOOD, QUALITIES, put, reads, record, write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from output_writing import write_outputs

from hesiod_watch.core.errors import BadSource, PermanentError
from hesiod_watch.fastq import bgzf, journal_state
from hesiod_watch.fastq.model import Level, Output, Settings
from hesiod_watch.fastq.qc import qc_groups
from hesiod_watch.fastq.sources import look


def blocks_of(data: bytes) -> list[bytes]:
    """The inflated blocks of a BGZF file; each is found by the length in the previous one."""
    blocks = []
    while data:
        assert bgzf.is_block(data[:18])
        size = int.from_bytes(data[16:18], "little") + 1
        blocks.append(gzip.decompress(data[:size]))
        data = data[size:]
    return blocks


# Sources of an output (plain, gzipped, or both), and its form.
MIXTURES = [
    (("a.fastq", "b.fastq"), Settings(), True),
    (("a.fastq", "b.fastq"), Settings(level="fast"), True),
    (("a.fastq", "b.fastq"), Settings(level="small"), True),
    (("a.fastq.gz", "b.fastq"), Settings(), True),
    (("a.fastq", "b.fastq.gz"), Settings(), True),
    (("a.fastq.gz", "b.fastq.gz"), Settings(), False),
    (("a.fastq.gz", "b.fastq.gz"), Settings(recompress=True), True),
]


@pytest.mark.parametrize(
    ("names", "how", "is_bgzf"),
    MIXTURES,
    ids=[
        "plain",
        "plain, fast",
        "plain, small",
        "gzipped and plain",
        "plain and gzipped",
        "gzipped",
        "gzipped, recompressed",
    ],
)
def test_reads_in_are_reads_out(
    names: tuple[str, ...], how: Settings, is_bgzf: bool, tmp_path: Path
) -> None:
    """The output inflates to its sources in order.

    Gzip-only outputs keep their members; all others are BGZF.
    """
    texts = [reads(300, seed) for seed in range(len(names))]
    sources = [put(tmp_path, name, text) for name, text in zip(names, texts, strict=True)]
    written = write(sources, tmp_path / "out", how)
    data = written.path.read_bytes()
    assert gzip.decompress(data) == b"".join(texts)
    assert written.path == tmp_path / "out" / "out.fastq.gz"
    assert (written.bytes, written.md5) == (
        len(data),
        hashlib.md5(data, usedforsecurity=False).hexdigest(),
    )
    assert (written.reads, written.notes) == (600, ())
    if is_bgzf:
        blocks = blocks_of(data)
        assert b"".join(blocks) == b"".join(texts)
        assert data.endswith(bgzf.END_OF_FILE)
        assert max(map(len, blocks)) <= 65536
    else:
        assert data == b"".join(source.path.read_bytes() for source in sources)


@pytest.mark.parametrize(
    "names",
    [("a.fastq", "b.fastq", "c.fastq"), ("a.fastq.gz", "b.fastq.gz", "c.fastq.gz")],
    ids=["plain", "gzipped"],
)
def test_a_piece_is_one_source(names: tuple[str, ...], tmp_path: Path) -> None:
    """Each source becomes whole members at its place, with their CRC, without gaps."""
    texts = [reads(20, 1), b"", reads(30, 2)]
    sources = [put(tmp_path, name, text) for name, text in zip(names, texts, strict=True)]
    written = write(sources, tmp_path / "out")
    data = written.path.read_bytes()
    end = 0
    for piece, source, text in zip(written.pieces, sources, texts, strict=True):
        members = data[piece.offset : piece.offset + piece.length]
        assert piece.offset == end
        assert piece.crc32 == zlib.crc32(members)
        assert gzip.decompress(members) == text
        assert (piece.source, piece.size, piece.mtime_ns) == (
            source.name,
            source.size,
            source.mtime_ns,
        )
        assert (piece.reads, piece.output) == (text.count(b"\n") // 4, "out.fastq.gz")
        assert journal_state.piece_of(journal_state.piece(0, piece), piece.output) == piece
        end += piece.length
    assert sum(piece.bases for piece in written.pieces) == written.bases
    assert written.notes == (f"{names[1]}: empty file",)


def test_the_bytes_do_not_depend_on_time_or_place(tmp_path: Path) -> None:
    """The same reads give the same output under other names and at another time."""
    text = reads(500)
    how = Settings(level="small")
    one = write([put(tmp_path, "a.fastq", text)], tmp_path / "one", how)
    two = write([put(tmp_path / "elsewhere", "b.fastq", text)], tmp_path / "two", how)
    assert one.path.read_bytes() == two.path.read_bytes()
    assert one.statistics == two.statistics


@pytest.mark.parametrize("program", ["gzip", "bgzip", "pigz"])
def test_other_programs_read_it(program: str, tmp_path: Path) -> None:
    """Common programs accept the output as whole."""
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed")
    text = reads(2000)
    written = write(
        [put(tmp_path, "a.fastq", text), put(tmp_path, "b.fastq.gz", text)], tmp_path / "out"
    )
    assert (
        subprocess.run([program, "-dc", str(written.path)], check=True, capture_output=True).stdout
        == 2 * text
    )
    subprocess.run([program, "-t", str(written.path)], check=True)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data(), level=st.sampled_from(["default", "fast"]))
def test_any_bytes_survive_any_split(data: st.DataObject, level: Level) -> None:
    """Compression restores its input block by block, for all splits and all bytes."""
    rng = random.Random(data.draw(st.integers(0, 1 << 30)))
    length = data.draw(st.integers(0, 300_000))
    noise = rng.randbytes(length)
    text = data.draw(
        st.sampled_from([noise, noise.translate(BASES), noise.translate(QUALITIES), bytes(length)])
    )
    splits = sorted(data.draw(st.sets(st.integers(0, length), max_size=20)))
    compressed = b"".join(bgzf.compress(memoryview(text), splits, level))
    blocks = blocks_of(compressed)
    assert b"".join(blocks) == text
    assert all(0 < len(block) <= 65536 for block in blocks)


# Text at the end of a file, the repaired text, and the note.
REPAIRED = [
    (GOOD + GOOD[:-1], GOOD + GOOD, "no newline at the end"),
    (GOOD + b"\n", GOOD, "blank line at the end"),
    (GOOD + b"\n\n", GOOD, "blank line at the end"),
    (GOOD + b"\n" * 4, GOOD, "blank line at the end"),
    (GOOD + b"\r\n" * 9, GOOD, "Windows line ends, blank line at the end"),
    (GOOD + b"\n" * (5 << 20), GOOD, "blank line at the end"),
    (GOOD.replace(b"\n", b"\r\n"), GOOD, "Windows line ends"),
    (GOOD + GOOD.replace(b"\n", b"\r\n"), GOOD + GOOD, "Windows line ends"),
    (GOOD.replace(b"\n", b"\r\n")[:-2], GOOD, "Windows line ends, no newline at the end"),
]


@pytest.mark.parametrize("name", ["a.fastq", "a.fastq.gz"])
@pytest.mark.parametrize(
    ("text", "right", "note"),
    REPAIRED,
    ids=[
        "no newline",
        "1 blank line",
        "2 blank lines",
        "4 blank lines",
        "9 Windows blank lines",
        "5 MiB of blank lines",
        "Windows",
        "the second record Windows",
        "Windows and no newline",
    ],
)
def test_line_faults_are_repaired(
    text: bytes, right: bytes, note: str, name: str, tmp_path: Path
) -> None:
    """Harmless line faults are repaired before the next source follows, and reported."""
    sources = [put(tmp_path, name, text), put(tmp_path, f"b{name[1:]}", GOOD)]
    written = write(sources, tmp_path / "out")
    assert gzip.decompress(written.path.read_bytes()) == right + GOOD
    assert written.notes == (f"{name}: {note}; repaired in the output",)


@pytest.mark.parametrize("blank", [1, 4, 5 << 20])
def test_blank_lines_between_records_are_refused(blank: int, tmp_path: Path) -> None:
    """Blank lines before more data are a fault at the record where they begin."""
    source = put(tmp_path, "a.fastq", GOOD + b"\n" * blank + GOOD)
    with pytest.raises(BadSource, match="begins with nothing") as refused:
        write([source], tmp_path / "out")
    assert "record 2, line 5" in str(refused.value)


@pytest.mark.parametrize("name", ["a.fastq", "a.fastq.gz"])
def test_an_output_without_any_data(name: str, tmp_path: Path) -> None:
    """Files of zero bytes are allowed under any name, and give a valid empty gzip file."""
    (tmp_path / name).write_bytes(b"")
    written = write([look(tmp_path / name, name)], tmp_path / "out")
    assert written.path.read_bytes() == bgzf.END_OF_FILE
    assert (written.reads, written.notes) == (0, (f"{name}: empty file",))


def test_reads_without_bases_and_of_odd_lengths(tmp_path: Path) -> None:
    """Reads of 0, 1, 59, 60, 61 bases have the right mean Q; skip60 is for longer ones."""
    text = b"".join(
        b"@r\n%s\n+\n%s\n" % (b"A" * length, b"+" * min(length, 60) + b"I" * (length - 60))
        for length in (0, 1, 59, 60, 61)
    )
    total = qc_groups(
        [(None, "pass", write([put(tmp_path, "a.fastq", text)], tmp_path / "out").statistics)]
    )["total"]
    assert (total["reads"], total["shortest"], total["longest"]) == (5, 0, 61)
    assert total["mean_q_skip60"] == pytest.approx((0 + 10 + 10 + 10 + 40) / 5, abs=1e-5)
    assert total["mean_q_whole"] == pytest.approx((30 - 10 * math.log10(6.0001 / 61)) / 5, abs=1e-5)


def test_statistics_do_not_depend_on_how_reads_are_cut(tmp_path: Path) -> None:
    """One source, the same reads as ten sources, and gzipped: equal statistics."""
    rng = random.Random(7)
    records = [
        record(
            f"r{number}",
            rng.randint(0, 30_000),
            rng,
            f"\tch:i:{number}\tst:Z:2024-05-01T10:{number % 60:02}:00+01:00",
        )
        for number in range(400)
    ]
    whole = write([put(tmp_path, "a.fastq", b"".join(records))], tmp_path / "one").statistics
    parts = [
        put(tmp_path, f"p{n}.fastq", b"".join(records[40 * n : 40 * n + 40])) for n in range(10)
    ]
    zipped = put(tmp_path, "a.fastq.gz", b"".join(records))
    assert write(parts, tmp_path / "two").statistics == whole
    assert write([zipped], tmp_path / "three").statistics == whole
    assert len(whole.channels) == 400
    assert whole.reads == 400


def test_an_ultra_long_read(tmp_path: Path) -> None:
    """A read of five million bases between short ones is accepted."""
    rng = random.Random(3)
    text = record("a", 100, rng) + record("b", 5_000_000, rng) + record("c", 100, rng)
    written = write([put(tmp_path, "a.fastq", text)], tmp_path / "out")
    assert written.statistics.lengths == {100: 2, 5_000_000: 1}
    assert gzip.decompress(written.path.read_bytes()) == text


@pytest.mark.parametrize("bgzf_first", [True, False], ids=["BGZF first", "gzip first"])
def test_bgzf_among_gzip_sources(bgzf_first: bool, tmp_path: Path) -> None:
    """If the first kept source is BGZF, the output is BGZF throughout.

    Then bgzip with threads can read it.
    """
    text = reads(100)
    made = write([put(tmp_path, "x.fastq", text)], tmp_path / "made").path
    shutil.copy(made, tmp_path / "bgzf.fastq.gz")
    sources = [
        look(tmp_path / "bgzf.fastq.gz", "bgzf.fastq.gz"),
        put(tmp_path, "plain.fastq.gz", text),
    ]
    written = write(sources if bgzf_first else sources[::-1], tmp_path / "out")
    data = written.path.read_bytes()
    assert gzip.decompress(data) == 2 * text
    assert bgzf.is_block(data[:18]) == bgzf_first
    if bgzf_first:
        assert b"".join(blocks_of(data)) == 2 * text
        assert data.startswith(made.read_bytes())


@pytest.mark.parametrize("name", ["", "..", "a/b", "/etc/passwd"])
def test_names_that_lead_elsewhere(name: str, tmp_path: Path) -> None:
    """An output's name is a name, not a path."""
    with pytest.raises(PermanentError, match="name of an output"):
        write_outputs([Output(name, None, "pass", ())], tmp_path, Settings())


def test_a_leftover_in_the_way(tmp_path: Path) -> None:
    """A file or link left by an earlier attempt is replaced, not written through."""
    (tmp_path / "precious").write_bytes(b"precious")
    out = tmp_path / "out"
    out.mkdir()
    (out / "out.fastq.gz").symlink_to(tmp_path / "precious")
    written = write([put(tmp_path, "a.fastq", GOOD)], out)
    assert gzip.decompress(written.path.read_bytes()) == GOOD
    assert (tmp_path / "precious").read_bytes() == b"precious"
