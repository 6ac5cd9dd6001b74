"""Damaged outputs, checkpoints and disks are detected, reported and repaired."""

from __future__ import annotations

import errno
import gzip
import json
import os
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from disks import Disk, install
from growing import CELLS, expected, in_one_go, opened, put, reads, some, written

from hesiod_watch.core.errors import BadSource, PermanentError, TemporaryError
from hesiod_watch.fastq import bgzf, checkpoint, readback
from hesiod_watch.fastq.model import Output
from hesiod_watch.fastq.qc import qc_groups
from hesiod_watch.fastq.sources import look
from hesiod_watch.fastq.tasks import TaskLimits


def test_a_full_journal_disk_frees_the_new_bytes(
    outputs: list[Output], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the journal has no room, the new bytes of outputs are cut off at once to free space."""

    class Full(Disk):
        """Has no room for a longer journal."""

        full = False

        def pwrite(self, descriptor: int, data: bytes | memoryview, offset: int) -> int:
            if self.full:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().pwrite(descriptor, data, offset)

    disk = Full(tmp_path / "out")
    install(monkeypatch, disk)
    with opened(tmp_path / "out", limits=TaskLimits(files=1)) as one:
        one.take([some(outputs[0], 0, 1)])
        before = (tmp_path / "out" / outputs[0].name).stat().st_size
        disk.full = True
        with pytest.raises(TemporaryError, match="journal"):
            one.take(outputs[:1])
        assert (tmp_path / "out" / outputs[0].name).stat().st_size == before
        disk.full = False


def append(path: Path, data: bytes) -> None:
    path.write_bytes(path.read_bytes() + data)


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 0x40
    path.write_bytes(data)


_DAMAGED = "a.fastq.gz: the output is not as it was written"
# What is reported, by the number of pieces that are left of four.
TAKEN_AGAIN = {
    0: (f"{_DAMAGED}; 4 of 4 files are taken again",),
    3: (f"{_DAMAGED}; 1 of 4 files is taken again",),
    4: (),
}

# Damage to a finished output of four pieces, and the first piece that is taken again.
DAMAGE: list[tuple[str, Callable[[Path], None], int]] = [
    ("first byte", lambda path: flip(path, 0), 0),
    ("last piece", lambda path: flip(path, path.stat().st_size - 40), 3),
    ("cut in the last piece", lambda path: os.truncate(path, path.stat().st_size - 40), 3),
    ("cut at its end", lambda path: os.truncate(path, path.stat().st_size - 4), 4),
    ("other end", lambda path: flip(path, path.stat().st_size - 1), 4),
    ("nothing left", lambda path: os.truncate(path, 0), 0),
    ("missing", lambda path: path.unlink(), 0),
    ("longer", lambda path: append(path, b"more"), 4),
]


@pytest.mark.parametrize(
    ("damage", "valid"), [row[1:] for row in DAMAGE], ids=[row[0] for row in DAMAGE]
)
def test_damaged_outputs(
    damage: Callable[[Path], None], valid: int, outputs: list[Output], tmp_path: Path
) -> None:
    """With `check_all`, damage is found, reported, and repaired from the sources."""
    with opened(tmp_path / "out") as one:
        one.finish(outputs)
    damage(tmp_path / "out" / "a.fastq.gz")
    with opened(tmp_path / "out") as one:
        assert one.sources == 5 + valid
        assert one.notes == TAKEN_AGAIN[valid]
        results = one.finish(outputs)
    assert written(tmp_path / "out", outputs) == expected(tmp_path / "expected", outputs)
    alone = in_one_go(tmp_path / "alone", outputs)
    assert [w.statistics for w in results] == [w.statistics for w in alone]
    assert [w.md5 for w in results] == [w.md5 for w in alone]


def test_without_checking_all_the_last_batch_is_checked(
    outputs: list[Output], tmp_path: Path
) -> None:
    """The cheap opening checks the last written batch, which a crash may have damaged."""
    with opened(tmp_path / "out") as one:
        one.take(outputs[:1])
    flip(tmp_path / "out" / "a.fastq.gz", (tmp_path / "out" / "a.fastq.gz").stat().st_size - 40)
    with opened(tmp_path / "out", check_all=False) as one:
        assert one.sources == 3
        one.finish(outputs)
    assert written(tmp_path / "out", outputs) == expected(tmp_path / "expected", outputs)


def test_a_link_in_place_of_an_output(outputs: list[Output], tmp_path: Path) -> None:
    """A file that is not regular is not written through, and needs a person."""
    with opened(tmp_path / "out") as one:
        one.take(outputs)
    path = tmp_path / "out" / "a.fastq.gz"
    path.rename(tmp_path / "precious")
    path.symlink_to(tmp_path / "precious")
    before = (tmp_path / "precious").read_bytes()
    with pytest.raises(BadSource, match="symbolic link"):
        opened(tmp_path / "out")
    assert (tmp_path / "precious").read_bytes() == before


# Changes to the checkpoint between two sessions.
CHECKPOINTS: list[Callable[[Path, bytes], object]] = [
    lambda path, older: path.unlink(),
    lambda path, older: path.write_bytes(b""),
    lambda path, older: path.write_bytes(path.read_bytes()[:-1]),
    lambda path, older: flip(path, path.stat().st_size // 2),
    lambda path, older: path.write_bytes(older),
]


def test_the_checkpoint_of_another_history(tmp_path: Path) -> None:
    """A checkpoint of another journal of the same length is not used."""
    histories: dict[int, tuple[Path, Output]] = {}
    for seed in range(100):
        output = Output(
            "o.gz",
            None,
            "pass",
            (put(tmp_path / f"s{seed:02}", "a.fastq", reads(1, seed % 10 + 40)),),
        )
        with opened(tmp_path / f"{seed:02}") as one:
            one.take([output])
            alike = histories.setdefault(
                (tmp_path / f"{seed:02}" / "journal.jsonl").stat().st_size,
                (tmp_path / f"{seed:02}", output),
            )
        if alike[1].sources[0].path.read_bytes() != output.sources[0].path.read_bytes():
            break
    directory = tmp_path / f"{seed:02}"
    (directory / checkpoint.NAME).write_bytes((alike[0] / checkpoint.NAME).read_bytes())
    with opened(directory) as one:
        [result] = one.finish([output])
    [alone] = in_one_go(tmp_path / "alone", [output])
    assert (result.md5, result.statistics) == (alone.md5, alone.statistics)


@pytest.mark.parametrize(
    "lose", CHECKPOINTS, ids=["missing", "empty", "cut", "changed byte", "older"]
)
def test_the_checkpoint_is_only_a_cache(
    lose: Callable[[Path, bytes], object], outputs: list[Output], tmp_path: Path
) -> None:
    """If it is lost, damaged or older, statistics and checksums are computed from the outputs."""
    path = tmp_path / "out" / checkpoint.NAME
    with opened(tmp_path / "out") as one:
        one.take([some(outputs[0], 0, 1)])
        older = path.read_bytes()
        one.take(outputs)
        groups = one.groups
    lose(path, older)
    with opened(tmp_path / "out", check_all=False) as one:
        assert one.groups == groups
        assert one.notes == ()
        results = one.finish(outputs)
    alone = in_one_go(tmp_path / "alone", outputs)
    assert [(w.md5, w.statistics) for w in results] == [(w.md5, w.statistics) for w in alone]


def without_joint(packed: bytes) -> bytes:
    """Packed statistics as a version without joint counts wrote them."""
    size = int.from_bytes(packed[:4], "little")
    facts = json.loads(packed[4 : 4 + size])
    del facts["joint"]
    head = json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()
    return len(head).to_bytes(4, "little") + head + packed[4 + size :]


@pytest.mark.parametrize("form", CELLS)
def test_the_checkpoint_of_an_earlier_version(form: str, tmp_path: Path) -> None:
    """It is used, and the figures that it lacks are missing, for the cell and for each part."""
    outputs = CELLS[form](tmp_path / "sources")
    with opened(tmp_path / "out") as one:
        one.take([some(outputs[0], 0, 1)])
    saved = checkpoint.load(tmp_path / "out")
    assert saved is not None
    earlier = {
        number: replace(kept, statistics=without_joint(kept.statistics))
        for number, kept in saved.outputs.items()
    }
    checkpoint.save(tmp_path / "out", replace(saved, outputs=earlier))
    with opened(tmp_path / "out", check_all=False) as one:
        found = qc_groups(
            (w.output.barcode, w.output.part, w.statistics) for w in one.finish(outputs)
        )
    alone = qc_groups(
        (w.output.barcode, w.output.part, w.statistics)
        for w in in_one_go(tmp_path / "alone", outputs)
    )
    assert alone["total"]["over_time"]["reads"]
    unknown = {"over_time": None, "length_quality": None}
    for key in ("total", "pass"):
        assert found[key] == alone[key] | unknown
    assert found["fail"] == alone["fail"]


@pytest.mark.parametrize(
    ("name", "place"), [("a.fastq.gz", 1000), ("a.fastq.gz", 4), ("b.fastq.gz", 4)]
)
def test_damage_is_found_while_measuring(
    name: str, place: int, outputs: list[Output], tmp_path: Path
) -> None:
    """Without a checkpoint outputs are read anyway, and damage is found.

    This is also true without `check_all`.
    """
    with opened(tmp_path / "out") as one:
        one.take(outputs)
    (tmp_path / "out" / checkpoint.NAME).unlink()
    flip(
        tmp_path / "out" / name, place
    )  # 4: the time in the head of a member, which changes no text
    with opened(tmp_path / "out", check_all=False) as one:
        assert one.sources < 9
        results = one.finish(outputs)
    alone = in_one_go(tmp_path / "alone", outputs)
    assert [(w.md5, w.statistics) for w in results] == [(w.md5, w.statistics) for w in alone]


@pytest.mark.parametrize("form", CELLS)
@pytest.mark.parametrize("place", [5, 200], ids=["front", "middle"])
def test_damage_during_a_session(form: str, place: int, tmp_path: Path) -> None:
    """A piece that is damaged when it is measured again is taken again, with those after it."""
    outputs = CELLS[form](tmp_path / "sources")
    first = outputs[0]
    with opened(tmp_path / "out") as one:
        one.take([some(first, 0, 1, 3)])
        flip(tmp_path / "out" / first.name, place)
        one.take([first])
        assert "is not as it was written" in " ".join(one.notes)
        one.finish(outputs)
    assert written(tmp_path / "out", outputs) == expected(tmp_path / "expected", outputs)


def test_a_disk_that_returns_other_data(
    outputs: list[Output], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Data that are read back differently never count; on a better disk the work continues."""

    class FaultyDisk(Disk):
        def write(self, descriptor: int, data: bytes | memoryview) -> int:
            spoilt = bytearray(data)
            if len(self.changes) > 20:
                spoilt[len(spoilt) // 2] ^= 1
            return super().write(descriptor, bytes(spoilt))

    install(monkeypatch, FaultyDisk(tmp_path / "out"))
    with opened(tmp_path / "out") as one:
        with pytest.raises(PermanentError, match="just written"):
            one.finish(outputs)
        with pytest.raises(PermanentError, match="opened anew"):
            one.take(outputs)
    install(monkeypatch, os)
    with opened(tmp_path / "out") as one:
        one.finish(outputs)
        assert one.notes == ()
    assert written(tmp_path / "out", outputs) == expected(tmp_path / "expected", outputs)


# These bits, added to any bytes, leave their CRC-32 as it is: they are its polynomial.
UNSEEN = bytes(
    sum(
        (0x104C11DB7 >> (32 - bit) & 1) << bit % 8 for bit in range(8 * byte, min(8 * byte + 8, 33))
    )
    for byte in range(5)
)
# The start of a gzip file with an extra field of five bytes, and the same with other bits in it.
FRONT = bytes.fromhex("1f8b0804 00000000 00ff 0500") + b"extra"
SPOILT = FRONT[:-5] + bytes(a ^ b for a, b in zip(FRONT[-5:], UNSEEN, strict=True))


def test_kept_members_have_every_byte_of_their_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kept source counts only with all of its bytes, even where size, CRC and text agree."""

    class FaultyDisk(Disk):
        def write(self, descriptor: int, data: bytes | memoryview) -> int:
            return super().write(descriptor, bytes(data).replace(FRONT, SPOILT))

    plain = gzip.compress(reads(3))
    source = put(tmp_path / "sources", "a.fastq.gz", b"")
    source.path.write_bytes(FRONT + plain[10:])
    spoilt = SPOILT + plain[10:]
    assert zlib.crc32(spoilt) == zlib.crc32(source.path.read_bytes())
    assert gzip.decompress(spoilt) == gzip.decompress(source.path.read_bytes()) == reads(3)
    outputs = [Output("o.gz", None, "pass", (look(source.path, source.name),))]

    install(monkeypatch, FaultyDisk(tmp_path / "out"))
    with (
        opened(tmp_path / "out") as one,
        pytest.raises(PermanentError, match=r"written for a\.fastq\.gz gives other bytes"),
    ):
        one.take(outputs)
    install(monkeypatch, os)
    with opened(tmp_path / "out") as one:
        one.finish(outputs)
    assert (tmp_path / "out" / "o.gz").read_bytes() == source.path.read_bytes()


def test_a_damaged_end_of_file_block(
    outputs: list[Output], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end-of-file block is read back, too."""

    class FaultyDisk(Disk):
        def write(self, descriptor: int, data: bytes | memoryview) -> int:
            return super().write(
                descriptor, bytes(data).replace(bgzf.END_OF_FILE, bytes(len(bgzf.END_OF_FILE)))
            )

    install(monkeypatch, FaultyDisk(tmp_path / "out"))
    with (
        opened(tmp_path / "out") as one,
        pytest.raises(PermanentError, match="reading back its end"),
    ):
        one.finish(outputs)


def test_gzip_of_another_text_is_refused(outputs: list[Output], tmp_path: Path) -> None:
    """Sound gzip of another text, as from a wrong compressor, is refused."""
    [result, *_] = in_one_go(tmp_path / "out", outputs)
    piece = result.pieces[0]
    text = outputs[0].sources[0].path.read_bytes()
    right = readback.TextChecksum(0, 0).followed_by(memoryview(text))
    readback.confirm(result.path, [piece], [right], blocks=True)
    with pytest.raises(PermanentError, match="gives other bytes"):
        readback.confirm(result.path, [replace(piece, crc32=piece.crc32 ^ 1)], [right], blocks=True)
    for wrong in (text[:-1], text[:-2] + b"A\n", b""):
        with pytest.raises(PermanentError, match="does not inflate to its text"):
            readback.confirm(
                result.path,
                [piece],
                [readback.TextChecksum(0, 0).followed_by(memoryview(wrong))],
                blocks=True,
            )
