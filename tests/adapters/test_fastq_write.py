"""Outputs hold exactly the reads of their sources, in order, readable by everything; and bad sources are named."""

from __future__ import annotations

import errno
import gzip
import hashlib
import math
import os
import random
import shutil
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hesiod_watch.errors import BadSource, PermanentError, TemporaryError
from hesiod_watch.fastq import backlog, bgzf, ingest
from hesiod_watch.fastq.files import look, translate
from hesiod_watch.fastq.model import Level, Output, Piece, Settings, Source, Tally, Written
from hesiod_watch.fastq.qc import qc_groups
from hesiod_watch.fastq.records import RecordReader
from hesiod_watch.fastq.verify import verify
from hesiod_watch.fastq.write import write_outputs

# Of random bytes make bases, and qualities.
BASES = bytes(b"ACGT"[byte % 4] for byte in range(256))
QUALITIES = bytes(35 + byte % 38 for byte in range(256))


def record(name: str, length: int, rng: random.Random, fields: str = " ch=5 start_time=2024-05-01T10:00:00Z") -> bytes:
    """One record whose bases and qualities compress about as real ones do."""
    bases, qualities = rng.randbytes(length).translate(BASES), rng.randbytes(length).translate(QUALITIES)
    return b"@%s%s\n%s\n+\n%s\n" % (name.encode(), fields.encode(), bases, qualities)


def reads(count: int, seed: int = 0, longest: int = 6000) -> bytes:
    rng = random.Random(seed)
    return b"".join(record(f"read{number}", rng.randint(1, longest), rng) for number in range(count))


def put(directory: Path, name: str, text: bytes, level: int = 6) -> Source:
    """A source holding `text`, gzipped if its name says so."""
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text, level, mtime=0) if name.endswith(".gz") else text)
    return look(path, name)


def write(sources: list[Source], directory: Path, how: Settings | None = None) -> Written:
    """Write one output and read it back."""
    directory.mkdir(exist_ok=True)
    [written] = write_outputs(
        [Output("out.fastq.gz", "barcode01", "pass", tuple(sources))], directory, how or Settings()
    )
    verify(written.path, md5=written.md5, reads=written.reads, bases=written.bases)
    return written


def blocks_of(data: bytes) -> list[bytes]:
    """The inflated blocks of a BGZF file, each found by the length that the one before claims."""
    blocks = []
    while data:
        assert bgzf.is_block(data[:18])
        size = int.from_bytes(data[16:18], "little") + 1
        blocks.append(gzip.decompress(data[:size]))
        data = data[size:]
    return blocks


# What an output is made of: plain, gzipped, or both; and what it becomes.
MIXTURES = [
    (("a.fastq", "b.fastq"), Settings(), True),
    (("a.fastq", "b.fastq"), Settings(level="fast"), True),
    (("a.fastq", "b.fastq"), Settings(level="small"), True),
    (("a.fastq.gz", "b.fastq"), Settings(), True),
    (("a.fastq", "b.fastq.gz"), Settings(), True),
    (("a.fastq.gz", "b.fastq.gz"), Settings(), False),
    (("a.fastq.gz", "b.fastq.gz"), Settings(recompress=True), True),
]


@pytest.mark.parametrize(("names", "how", "is_bgzf"), MIXTURES)
def test_reads_in_are_reads_out(names: tuple[str, ...], how: Settings, is_bgzf: bool, tmp_path: Path) -> None:
    """The output inflates to its sources in order; members of gzip-only outputs are kept; anything else is BGZF."""
    texts = [reads(300, seed) for seed in range(len(names))]
    sources = [put(tmp_path, name, text) for name, text in zip(names, texts, strict=True)]
    written = write(sources, tmp_path / "out", how)
    data = written.path.read_bytes()
    assert gzip.decompress(data) == b"".join(texts)
    assert written.path == tmp_path / "out" / "out.fastq.gz"
    assert (written.bytes, written.md5) == (len(data), hashlib.md5(data, usedforsecurity=False).hexdigest())
    assert (written.reads, written.notes) == (600, ())
    if is_bgzf:
        blocks = blocks_of(data)
        assert b"".join(blocks) == b"".join(texts)
        assert data.endswith(bgzf.END_OF_FILE)
        assert max(map(len, blocks)) <= 65536
    else:
        assert data == b"".join(source.path.read_bytes() for source in sources)


@pytest.mark.parametrize("names", [("a.fastq", "b.fastq", "c.fastq"), ("a.fastq.gz", "b.fastq.gz", "c.fastq.gz")])
def test_a_piece_is_one_source(names: tuple[str, ...], tmp_path: Path) -> None:
    """Each source becomes whole members at its own place, with their CRC; pieces follow each other without a gap."""
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
        assert (piece.source, piece.size, piece.mtime_ns) == (source.name, source.size, source.mtime_ns)
        assert (piece.reads, piece.output) == (text.count(b"\n") // 4, "out.fastq.gz")
        assert Piece.from_json(piece.to_json()) == piece
        end += piece.length
    assert sum(piece.bases for piece in written.pieces) == written.bases
    assert written.notes == (f"{names[1]}: empty file",)


def test_the_bytes_do_not_depend_on_time_or_place(tmp_path: Path) -> None:
    """The same reads give the same output under other names and at another time."""
    text = reads(500)
    one = write([put(tmp_path, "a.fastq", text)], tmp_path / "one")
    two = write([put(tmp_path / "elsewhere", "b.fastq", text)], tmp_path / "two")
    assert one.path.read_bytes() == two.path.read_bytes()
    assert one.statistics == two.statistics


@pytest.mark.parametrize("program", ["gzip", "bgzip", "pigz"])
def test_other_programs_read_it(program: str, tmp_path: Path) -> None:
    """Programs that people use find the output whole."""
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed")
    text = reads(2000)
    written = write([put(tmp_path, "a.fastq", text), put(tmp_path, "b.fastq.gz", text)], tmp_path / "out")
    assert subprocess.run([program, "-dc", str(written.path)], check=True, capture_output=True).stdout == 2 * text
    subprocess.run([program, "-t", str(written.path)], check=True)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), level=st.sampled_from(["default", "fast"]))
def test_any_bytes_survive_any_split(data: st.DataObject, level: Level) -> None:
    """Compression gives back its input, block by block, wherever the splits are and whatever the bytes."""
    rng = random.Random(data.draw(st.integers(0, 1 << 30)))
    length = data.draw(st.integers(0, 300_000))
    noise = rng.randbytes(length)
    text = data.draw(st.sampled_from([noise, noise.translate(BASES), noise.translate(QUALITIES), bytes(length)]))
    splits = sorted(data.draw(st.sets(st.integers(0, length), max_size=20)))
    compressed = b"".join(bgzf.compress(memoryview(text), splits, level))
    blocks = blocks_of(compressed)
    assert b"".join(blocks) == text
    assert all(0 < len(block) <= 65536 for block in blocks)


lines = st.text("ACGTN", max_size=40)
names = st.text(st.characters(codec="ascii", exclude_characters="\n\r\0"), max_size=30)


@settings(max_examples=200, deadline=None)
@given(
    found=st.lists(st.tuples(names, lines, names), max_size=30),
    unit_bytes=st.integers(8, 300),
    ending=st.sampled_from(["\n", "", "\n\n", "\r\n"]),
)
def test_units_hold_whole_records(found: list[tuple[str, str, str]], unit_bytes: int, ending: str) -> None:
    """However the stream is cut, units joined are the records, and every unit knows its lines."""
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


GOOD = b"@r1\nACGT\n+\nIIII\n"

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
    (GOOD + b"@r2\nACGT\n+\nII", "cut off", "record 2, line 8"),
    (GOOD + b"@r2\nACGT\n+", "cut off", "record 2, line 7"),
    (GOOD + b"@r2\nAC", "cut off", "record 2, line 6"),
    (GOOD + b"@", "cut off", "record 2, line 5"),
    (GOOD + b"@r2\nAC>T\n+\nIIII\n", "byte 0x3e is no base", "record 2, line 6"),
    (GOOD + b"@r2\nA\rGT\n+\nIIII\n", "byte 0x0d is no base", "record 2, line 6"),
    (GOOD + b"@r2\nACGT\n+\nI\0II\n", "byte 0x00 is no quality", "record 2, line 8"),
    (GOOD + b"@r2\nACGTA\n+\nIIII\x7f\n", "byte 0x7f is no quality", "record 2, line 8"),
    (GOOD + b"@r2\nACGT\n+\nI II\n", "byte 0x20 is no quality", "record 2, line 8"),
]


@pytest.mark.parametrize("name", ["a.fastq", "a.fastq.gz"])
@pytest.mark.parametrize(("text", "reason", "where"), BROKEN)
def test_what_is_no_fastq(text: bytes, reason: str, where: str, name: str, tmp_path: Path) -> None:
    """Each way a file is not FASTQ has its own words and the place, and no output is left behind."""
    source = put(tmp_path, name, text)
    with pytest.raises(BadSource) as caught:
        write([source], tmp_path / "out")
    assert (caught.value.path, caught.value.where) == (source.path, where)
    assert reason in caught.value.reason
    assert not list((tmp_path / "out").glob("*.gz"))


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
    (WHOLE + b"garbage", "garbage behind the end"),
    (WHOLE + b"g", "garbage behind the end"),
    (WHOLE + bytes(512), "zeros behind the end"),
    (GOOD, "not gzip, though"),
    (bytes(512), "not gzip, though"),
    (b"\x1f", "not gzip, though"),
]


@pytest.mark.parametrize("recompress", [False, True])
@pytest.mark.parametrize(("data", "reason"), BROKEN_GZIP)
def test_what_is_no_gzip(data: bytes, reason: str, recompress: bool, tmp_path: Path) -> None:
    """Each way a gzip file is broken has its own words; neither way of writing lets it through."""
    path = tmp_path / "a.fastq.gz"
    path.write_bytes(data)
    with pytest.raises(BadSource, match=reason) as caught:
        write([look(path, path.name)], tmp_path / "out", Settings(recompress=recompress))
    assert caught.value.path == path
    assert caught.value.where


def test_every_cut_of_a_gzip_file_is_noticed(tmp_path: Path) -> None:
    """No prefix of a gzip file but the empty one passes for a whole."""
    data = gzip.compress(GOOD * 3, mtime=0)
    path = tmp_path / "a.fastq.gz"
    for size in range(1, len(data)):
        path.write_bytes(data[:size])
        with pytest.raises(BadSource):
            write([look(path, path.name)], tmp_path / "out")


# Text at the end of a file that is put right, and what is said.
REPAIRED = [
    (GOOD + GOOD[:-1], GOOD + GOOD, "no newline at the end"),
    (GOOD + b"\n", GOOD, "blank line at the end"),
    (GOOD + b"\n\n", GOOD, "blank line at the end"),
    (GOOD.replace(b"\n", b"\r\n"), GOOD, "Windows line ends"),
    (GOOD + GOOD.replace(b"\n", b"\r\n"), GOOD + GOOD, "Windows line ends"),
    (GOOD.replace(b"\n", b"\r\n")[:-2], GOOD, "Windows line ends, no newline at the end"),
]


@pytest.mark.parametrize("name", ["a.fastq", "a.fastq.gz"])
@pytest.mark.parametrize(("text", "right", "said"), REPAIRED)
def test_line_ends_are_put_right(text: bytes, right: bytes, said: str, name: str, tmp_path: Path) -> None:
    """Harmless oddities of lines do not reach the output, where the next source follows; and they are said."""
    sources = [put(tmp_path, name, text), put(tmp_path, f"b{name[1:]}", GOOD)]
    written = write(sources, tmp_path / "out")
    assert gzip.decompress(written.path.read_bytes()) == right + GOOD
    assert written.notes == (f"{name}: {said}; put right in the output",)


@pytest.mark.parametrize("name", ["a.fastq", "a.fastq.gz"])
def test_an_output_without_any_data(name: str, tmp_path: Path) -> None:
    """Files of zero bytes are legal, whatever their name, and give a valid empty gzip file."""
    (tmp_path / name).write_bytes(b"")
    written = write([look(tmp_path / name, name)], tmp_path / "out")
    assert written.path.read_bytes() == bgzf.END_OF_FILE
    assert (written.reads, written.notes) == (0, (f"{name}: empty file",))


def test_reads_without_bases_and_of_odd_lengths(tmp_path: Path) -> None:
    """Reads of 0, 1, 59, 60, 61 bases have the right mean Q; the first 60 are left out of longer ones only."""
    text = b"".join(
        b"@r\n%s\n+\n%s\n" % (b"A" * length, b"+" * min(length, 60) + b"I" * (length - 60))
        for length in (0, 1, 59, 60, 61)
    )
    total = qc_groups([(None, "pass", write([put(tmp_path, "a.fastq", text)], tmp_path / "out").statistics)])["total"]
    assert (total["reads"], total["shortest"], total["longest"]) == (5, 0, 61)
    assert total["mean_q_skip60"] == pytest.approx((0 + 10 + 10 + 10 + 40) / 5, abs=1e-5)
    assert total["mean_q_whole"] == pytest.approx((30 - 10 * math.log10(6.0001 / 61)) / 5, abs=1e-5)


def test_statistics_do_not_depend_on_how_reads_are_cut(tmp_path: Path) -> None:
    """One source, the same reads as ten sources, and gzipped: equal statistics."""
    rng = random.Random(7)
    records = [
        record(
            f"r{number}", rng.randint(0, 30_000), rng, f"\tch:i:{number}\tst:Z:2024-05-01T10:{number % 60:02}:00+01:00"
        )
        for number in range(400)
    ]
    whole = write([put(tmp_path, "a.fastq", b"".join(records))], tmp_path / "one").statistics
    parts = [put(tmp_path, f"p{n}.fastq", b"".join(records[40 * n : 40 * n + 40])) for n in range(10)]
    zipped = put(tmp_path, "a.fastq.gz", b"".join(records))
    assert write(parts, tmp_path / "two").statistics == whole
    assert write([zipped], tmp_path / "three").statistics == whole
    assert len(whole.channels) == 400
    assert whole.reads == 400


def test_an_ultra_long_read(tmp_path: Path) -> None:
    """A read of five million bases between short ones is as good as any."""
    rng = random.Random(3)
    text = record("a", 100, rng) + record("b", 5_000_000, rng) + record("c", 100, rng)
    written = write([put(tmp_path, "a.fastq", text)], tmp_path / "out")
    assert written.statistics.lengths == {100: 2, 5_000_000: 1}
    assert gzip.decompress(written.path.read_bytes()) == text


def test_a_file_without_lines_does_not_fill_the_memory(tmp_path: Path) -> None:
    """A record without end is refused at the limit."""
    path = tmp_path / "a.fastq"
    path.write_bytes(b"@")
    os.truncate(path, 100 << 20)
    with pytest.raises(BadSource, match="no end of the record"):
        write([look(path, path.name)], tmp_path / "out")


@pytest.mark.parametrize("bgzf_first", [True, False])
def test_bgzf_among_gzip_sources(bgzf_first: bool, tmp_path: Path) -> None:
    """Where the first kept source is BGZF the output is BGZF throughout, so that bgzip with threads reads it."""
    text = reads(100)
    made = write([put(tmp_path, "x.fastq", text)], tmp_path / "made").path
    shutil.copy(made, tmp_path / "bgzf.fastq.gz")
    sources = [look(tmp_path / "bgzf.fastq.gz", "bgzf.fastq.gz"), put(tmp_path, "plain.fastq.gz", text)]
    written = write(sources if bgzf_first else sources[::-1], tmp_path / "out")
    data = written.path.read_bytes()
    assert gzip.decompress(data) == 2 * text
    assert bgzf.is_block(data[:18]) == bgzf_first
    if bgzf_first:
        assert b"".join(blocks_of(data)) == 2 * text
        assert data.startswith(made.read_bytes())


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_link(path: Path) -> None:
    path.symlink_to(path.parent / "elsewhere")
    (path.parent / "elsewhere").write_bytes(GOOD)


@pytest.mark.parametrize(
    ("make", "kind"), [(make_fifo, "FIFO"), (make_link, "symbolic link"), (Path.mkdir, "directory")]
)
def test_special_files_are_never_opened(make: Callable[[Path], None], kind: str, tmp_path: Path) -> None:
    """What is no regular file is refused by its kind, at once."""
    make(tmp_path / "a.fastq")
    with pytest.raises(BadSource, match=kind):
        write([look(tmp_path / "a.fastq", "a.fastq")], tmp_path / "out")


def test_a_source_that_grew_is_tried_again_later(tmp_path: Path) -> None:
    """A file larger than listed is still being written: a temporary error that names it."""
    source = put(tmp_path, "a.fastq", GOOD)
    with source.path.open("ab") as file:
        file.write(GOOD)
    with pytest.raises(TemporaryError, match=r"a\.fastq: still being written"):
        write([source], tmp_path / "out")


@pytest.mark.parametrize("change", [lambda path: os.truncate(path, 3), lambda path: os.utime(path, (1, 1))])
def test_a_source_that_changed_is_bad(change: Callable[[Path], None], tmp_path: Path) -> None:
    """A file that shrank or was rewritten since it was listed needs a person."""
    source = put(tmp_path, "a.fastq", GOOD)
    change(source.path)
    with pytest.raises(BadSource, match="after it was listed"):
        write([source], tmp_path / "out")


def test_a_source_that_changes_while_it_is_read(tmp_path: Path) -> None:
    """A change behind the reader's back, after the last byte was read, is still noticed."""
    source = put(tmp_path, "a.fastq", GOOD)

    def touch(tally: Tally) -> None:
        os.utime(source.path, (1, 1))

    with pytest.raises(BadSource, match="after it was listed"):
        write_outputs([Output("o", None, "pass", (source,))], tmp_path, Settings(), on_progress=touch)


def test_a_source_that_vanished(tmp_path: Path) -> None:
    """A file that is not there any more may come back: a temporary error that names it."""
    source = put(tmp_path, "a.fastq", GOOD)
    source.path.unlink()
    with pytest.raises(TemporaryError, match=r"a\.fastq"):
        write([source], tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "kind"),
    [("ENOSPC", TemporaryError), ("EDQUOT", TemporaryError), ("EROFS", TemporaryError), ("ESTALE", TemporaryError),
     ("EIO", PermanentError), ("EACCES", PermanentError)],
)  # fmt: skip
def test_errors_of_the_system(name: str, kind: type[Exception]) -> None:
    """What goes away by itself is temporary; a disk that fails is not."""
    number = getattr(errno, name)
    error = translate(OSError(number, os.strerror(number)), Path("x.gz"), "writing")
    assert type(error) is kind
    assert str(error) == f"x.gz: writing failed: {os.strerror(number)}"


@pytest.mark.parametrize("name", ["", "..", "a/b", "/etc/passwd"])
def test_names_that_lead_elsewhere(name: str, tmp_path: Path) -> None:
    """An output's name is a name, not a path."""
    with pytest.raises(PermanentError, match="name of an output"):
        write_outputs([Output(name, None, "pass", ())], tmp_path, Settings())


def test_a_leftover_in_the_way(tmp_path: Path) -> None:
    """What an earlier attempt left, even as a link, is replaced and not written through."""
    (tmp_path / "precious").write_bytes(b"precious")
    out = tmp_path / "out"
    out.mkdir()
    (out / "out.fastq.gz").symlink_to(tmp_path / "precious")
    written = write([put(tmp_path, "a.fastq", GOOD)], out)
    assert gzip.decompress(written.path.read_bytes()) == GOOD
    assert (tmp_path / "precious").read_bytes() == b"precious"


def several(directory: Path, count: int = 5) -> list[Output]:
    """Outputs of different sizes, plain and gzipped."""
    outputs = []
    for number in range(count):
        ending = ".gz" if number % 2 else ""
        sources = tuple(
            put(directory, f"{number}_{part}.fastq{ending}", reads(40 * (number + 1), 10 * number + part))
            for part in range(3)
        )
        outputs.append(Output(f"o{number}.fastq.gz", f"barcode{number:02}", "pass" if number else "fail", sources))
    return outputs


@pytest.fixture
def many_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers are started for little work, too."""
    monkeypatch.setattr(ingest, "BYTES_PER_WORKER", 1)
    monkeypatch.setattr(backlog, "SMALLEST_SHARE", 1)


@pytest.mark.usefixtures("many_workers")
def test_processes_give_the_same(tmp_path: Path) -> None:
    """Four processes write the same bytes and give the same QC as one, and tell their progress."""
    outputs = several(tmp_path)
    results, tallies = [], []
    for processes in (1, 4):
        directory = tmp_path / str(processes)
        directory.mkdir()
        told: list[Tally] = []
        results.append(write_outputs(outputs, directory, Settings(processes=processes), on_progress=told.append))
        tallies.append(told[-1])
    one, four = results
    assert [written.output for written in four] == outputs
    assert [written.md5 for written in one] == [written.md5 for written in four]
    assert [written.pieces for written in one] == [written.pieces for written in four]
    groups = [qc_groups((w.output.barcode, w.output.part, w.statistics) for w in results_) for results_ in results]
    assert groups[0] == groups[1]
    assert tallies[0] == tallies[1]
    assert tallies[0].bytes_done == sum(output.size for output in outputs)
    assert tallies[0].bases == groups[0]["total"]["bases"]


@pytest.mark.usefixtures("many_workers")
def test_an_error_in_one_process_ends_all(tmp_path: Path) -> None:
    """The error comes back as it is, with its place; no process is left."""
    outputs = several(tmp_path)
    bad = put(tmp_path, "bad.fastq", GOOD + b"@r\nACGT\n+\nIII\n")
    outputs.insert(2, Output("bad.fastq.gz", None, "pass", (bad,)))
    (tmp_path / "out").mkdir()
    with pytest.raises(BadSource, match="4 bases, 3 qualities") as caught:
        write_outputs(outputs, tmp_path / "out", Settings(processes=3))
    assert (caught.value.path, caught.value.where) == (bad.path, "record 2, line 8")
    assert not workers_of(os.getpid())


@pytest.mark.usefixtures("many_workers")
def test_a_killed_worker_is_a_temporary_error(tmp_path: Path) -> None:
    """A worker that the system kills (memory) is told as that, naming the output."""
    outputs = several(tmp_path)
    (tmp_path / "out").mkdir()

    def kill_one(tally: Tally) -> None:
        for worker in workers_of(os.getpid())[:1]:
            os.kill(worker, 9)

    with pytest.raises(TemporaryError, match=r"writing o\d\.fastq\.gz was killed by signal 9"):
        write_outputs(outputs, tmp_path / "out", Settings(processes=2), on_progress=kill_one)
    assert not workers_of(os.getpid())


PARENT = """
import sys
from pathlib import Path
from hesiod_watch.fastq.files import look
from hesiod_watch.fastq.model import Output, Settings
from hesiod_watch.fastq.write import write_outputs
path = Path(sys.argv[1])
sources = tuple(look(path, str(number)) for number in range(1000))
outputs = [Output(f"o{n}", None, "pass", sources) for n in range(2)]
def progress(tally): print("working", flush=True)
write_outputs(outputs, path.parent, Settings(processes=2), on_progress=progress)
"""


def test_workers_die_with_their_parent(tmp_path: Path) -> None:
    """When the parent is killed nobody goes on writing."""
    source = put(tmp_path, "a.fastq", reads(1000))
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(source.path)], stdout=subprocess.PIPE)
    assert parent.stdout
    parent.stdout.readline()
    workers = workers_of(parent.pid)
    assert len(workers) == 2
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 10
    while any(alive(worker) for worker in workers):
        assert time.monotonic() < deadline, "a worker outlived its parent"


def workers_of(parent: int) -> list[int]:
    """Worker processes started by `parent`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                status = (entry / "stat").read_text()
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if int(status.rpartition(")")[2].split()[1]) == parent and b"hesiod_watch.fastq.worker" in command:
                found.append(int(entry.name))
    return found


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
