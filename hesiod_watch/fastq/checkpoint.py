"""Checkpoint file: statistics and MD5 of each output at one position of the journal.

With it, opening a directory reads no outputs. It is a cache, never the authority. It names the
bytes of the journal that it belongs to (length and CRC-32), and is ignored if the journal has other
bytes. It is written whole or not at all. Without it outputs are read and measured again.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path

from isal import isal_zlib

from hesiod_watch.core.frozen import frozen
from hesiod_watch.fastq.durable import read_whole, replace_whole

NAME = "checkpoint.bin"

_MAGIC = b"hesiod-watch checkpoint 1\n"
_CRC32 = struct.Struct("<I")  # CRC-32 of all following bytes
_SIZE = struct.Struct("<I")  # bytes of the index


@frozen
class OutputCheckpoint:
    """Checkpoint of one output: number of pieces, packed statistics and the MD5 state."""

    pieces: int
    statistics: bytes
    md5: bytes | None


@frozen
class Checkpoint:
    """All outputs by number, as of the first `length` bytes of the journal with their `crc32`."""

    length: int
    crc32: int
    outputs: Mapping[int, OutputCheckpoint]


def save(directory: Path, checkpoint: Checkpoint) -> None:
    """Replace the checkpoint.

    Raises `TemporaryError` or `PermanentError`; then the previous checkpoint is still there.
    """
    index = {
        "journal": (checkpoint.length, checkpoint.crc32),
        "outputs": [
            (number, kept.pieces, len(kept.statistics), kept.md5.hex() if kept.md5 else None)
            for number, kept in checkpoint.outputs.items()
        ],
    }
    head = json.dumps(index, separators=(",", ":")).encode()
    body = (
        _SIZE.pack(len(head))
        + head
        + b"".join(kept.statistics for kept in checkpoint.outputs.values())
    )
    replace_whole(directory / NAME, _MAGIC + _CRC32.pack(isal_zlib.crc32(body)) + body)


def load(directory: Path) -> Checkpoint | None:
    """Load the checkpoint; None if there is none or it is not whole."""
    data = read_whole(directory / NAME)
    start = len(_MAGIC) + _CRC32.size
    if data is None or not data.startswith(_MAGIC) or len(data) < start + _SIZE.size:
        return None
    (crc32,) = _CRC32.unpack_from(data, len(_MAGIC))
    if isal_zlib.crc32(memoryview(data)[start:]) != crc32:
        return None
    (size,) = _SIZE.unpack_from(data, start)
    at = start + _SIZE.size + size
    index = json.loads(data[at - size : at])
    outputs: dict[int, OutputCheckpoint] = {}
    for number, pieces, length, md5 in index["outputs"]:
        outputs[number] = OutputCheckpoint(
            pieces, data[at : at + length], bytes.fromhex(md5) if md5 else None
        )
        at += length
    length, crc32 = index["journal"]
    return Checkpoint(length, crc32, outputs)
