"""Reading back detects every difference, and names the file."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from hesiod_watch.core.errors import PermanentError, TemporaryError
from hesiod_watch.fastq import bgzf
from hesiod_watch.fastq.model import Tally
from hesiod_watch.fastq.verify import verify

RECORD = b"@read\nACGTACGT\n+\nIIIIHHHH\n"
TEXT = RECORD * 20_000


def as_bgzf(text: bytes) -> bytes:
    return b"".join(bgzf.compress(memoryview(text), [], "default")) + bgzf.END_OF_FILE


def as_members(text: bytes) -> bytes:
    half = len(text) // 2
    return gzip.compress(text[:half], 1, mtime=0) + gzip.compress(text[half:], 1, mtime=0)


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


@pytest.mark.parametrize("make", [as_bgzf, as_members])
def test_a_sound_file_passes(make: Callable[[bytes], bytes], tmp_path: Path) -> None:
    """An unchanged file passes, and progress is reported to the end."""
    path = tmp_path / "x.fastq.gz"
    path.write_bytes(data := make(TEXT))
    seen: list[Tally] = []
    verify(path, md5=md5(data), reads=20_000, bases=160_000, on_progress=seen.append)
    assert seen[-1].reads == 20_000
    assert seen[-1].bytes_done == len(data)
    assert seen[-1].phase == "verifying"


@pytest.mark.parametrize("make", [as_bgzf, as_members])
def test_every_flipped_byte_is_noticed(make: Callable[[bytes], bytes], tmp_path: Path) -> None:
    """Any changed byte fails, mostly before the MD5 is compared."""
    data = make(RECORD * 40)
    path = tmp_path / "x.fastq.gz"
    for place in range(len(data)):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1 :])
        with pytest.raises(PermanentError, match=r"x\.fastq\.gz"):
            verify(path, md5=md5(data), reads=40, bases=320)


@pytest.mark.parametrize("make", [as_bgzf, as_members])
def test_every_cut_is_noticed(make: Callable[[bytes], bytes], tmp_path: Path) -> None:
    """A file without its end fails, even if the MD5 was computed from the remainder."""
    data = make(RECORD * 40)
    path = tmp_path / "x.fastq.gz"
    for size in range(len(data)):
        path.write_bytes(data[:size])
        with pytest.raises(PermanentError, match=r"x\.fastq\.gz"):
            verify(path, md5=md5(data[:size]), reads=40, bases=320)


SOUND = as_bgzf(TEXT)
FIRST = int.from_bytes(SOUND[16:18], "little") + 1  # bytes of the first block

# Bytes on disk, and part of the error; the MD5 agrees with the disk.
DAMAGED = [
    (SOUND[: -len(bgzf.END_OF_FILE)], "end-of-file block is missing"),
    (SOUND[:-1], "is cut off"),
    (SOUND[:FIRST] + SOUND[FIRST + 1 :], f"member at byte {FIRST} is not a BGZF block"),
    (SOUND + as_members(TEXT), "is not a BGZF block"),
    (SOUND[: FIRST - 8] + bytes(4) + SOUND[FIRST - 4 :], "inflates to other data"),
    (SOUND[:FIRST] + SOUND, "reads differ on re-reading|record"),
    (as_bgzf(TEXT[:-1]), "no newline at the end"),
    (as_bgzf(TEXT + RECORD), "reads differ on re-reading: 20001 on disk, 20000 written"),
    (
        as_bgzf(TEXT[: -len(RECORD)] + RECORD.replace(b"ACGTA", b"CGTA").replace(b"IH", b"H")),
        "bases differ.*159999",
    ),
    (as_members(TEXT)[:-3], "truncated gzip"),
    (as_members(TEXT) + bytes(9), "zeros after the end"),
    (b"", "reads differ"),
]


@pytest.mark.parametrize(("data", "reason"), DAMAGED)
def test_each_damage_has_its_own_message(data: bytes, reason: str, tmp_path: Path) -> None:
    """Each kind of damage has its own message."""
    path = tmp_path / "x.fastq.gz"
    path.write_bytes(data)
    with pytest.raises(PermanentError, match=reason):
        verify(path, md5=md5(data), reads=20_000, bases=160_000)


def test_another_md5(tmp_path: Path) -> None:
    """Sound data that differ from the written data fail by their MD5."""
    path = tmp_path / "x.fastq.gz"
    path.write_bytes(SOUND)
    with pytest.raises(PermanentError, match="MD5 differ on re-reading"):
        verify(path, md5=md5(b""), reads=20_000, bases=160_000)


def test_a_missing_file(tmp_path: Path) -> None:
    """A missing file is a temporary error: it may exist later."""
    with pytest.raises(TemporaryError, match="No such file"):
        verify(tmp_path / "x", md5="", reads=0, bases=0)
