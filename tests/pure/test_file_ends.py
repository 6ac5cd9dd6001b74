"""End markers of BAM, pod5 and fast5 tell whole files from cut ones, without false alarms."""

from __future__ import annotations

import pytest

from hesiod_watch.core.file_ends import HEAD_BYTES, TAIL_BYTES, FileEnds, find_damaged

POD5 = b"\x8bPOD\r\n\x1a\n"
POD5_FILE = POD5 + b"signal" * 100 + POD5
BAM_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
BAM_FILE = b"\x1f\x8b\x08\x04" + b"reads" * 100 + BAM_END
HDF5_HEAD = b"\x89HDF\r\n\x1a\n" + bytes([0, 0, 0, 0, 0, 8, 8, 0]) + bytes(24)
FAST5_FILE = HDF5_HEAD + (2000).to_bytes(8, "little") + b"x" * 1952
NEW_FAST5_FILE = (
    b"\x89HDF\r\n\x1a\n" + bytes([2, 8, 8, 0]) + bytes(16) + (500).to_bytes(8, "little")
).ljust(500, b"x")
WHOLE = {"a.pod5": POD5_FILE, "b.bam": BAM_FILE, "c.fast5": FAST5_FILE, "d.fast5": NEW_FAST5_FILE}


def damaged(files: dict[str, bytes]) -> dict[str, str]:
    return find_damaged(
        FileEnds(name, len(data), data[:HEAD_BYTES], data[-TAIL_BYTES:])
        for name, data in files.items()
    )


def test_whole_files() -> None:
    """Whole files of every kind, and files of other kinds, are no damage."""
    assert damaged(WHOLE | {"x.fastq": b"", "y.txt": bytes(50)}) == {}


@pytest.mark.parametrize("name", WHOLE)
def test_a_file_that_is_cut_off(name: str) -> None:
    """A file without its last byte, or with half of its bytes, is cut off."""
    for length in (len(WHOLE[name]) - 1, len(WHOLE[name]) // 2):
        assert "cut off" in damaged(WHOLE | {name: WHOLE[name][:length]})[name]


@pytest.mark.parametrize("name", WHOLE)
def test_a_file_with_a_wrong_head(name: str) -> None:
    """A file whose head was overwritten is no file of its format."""
    other = f"other_{name}"
    spoilt = b"#" * 20 + WHOLE[name][20:]
    assert "first bytes" in damaged(WHOLE | {other: spoilt})[other]


@pytest.mark.parametrize("name", WHOLE)
def test_zeros_and_empty_files_among_real_ones(name: str) -> None:
    """A power cut leaves zeros, or an empty file."""
    assert "zeros" in damaged({f"z{name}": bytes(1000)})[f"z{name}"]
    assert damaged(WHOLE | {f"z{name}": b""}) == {f"z{name}": "empty"}


def test_placeholders() -> None:
    """Files of a cell in which no file has the markers are not judged: they are placeholders."""
    assert damaged({"a.pod5": b"raw", "b.bam": b"", "c.fast5": b"12345", "d.pod5": b""}) == {}
