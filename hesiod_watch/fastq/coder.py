"""Call the compiled FASTQ coder, `coder.c`, if it was compiled at installation.

Compiling needs only a C compiler: ctypes calls the library, so Python's headers are not needed.
Without the library `isal` does the work: half as fast, with outputs a twentieth larger and equal
content. Before first use the library packs a sample, which must inflate to itself. A library of
another version or for another processor fails this test and is not used.
"""

from __future__ import annotations

import ctypes
from importlib.machinery import EXTENSION_SUFFIXES
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from hesiod_watch.core.errors import PermanentError
from hesiod_watch.fastq.bgzf import BLOCK_BYTES
from hesiod_watch.fastq.blocks import BgzfBlocks

# without the suffix that setuptools adds to compiled modules
_PLACE: Final = Path(__file__).with_name("_coder")
_ROOM = 1 << 16  # bytes reserved for one BGZF block


class DeflateCoder:
    """The library at `path`.

    Raises `OSError` if it cannot be loaded, `AttributeError` if it is another library.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pack = ctypes.CDLL(str(path)).hesiod_pack
        self._pack.restype = ctypes.c_size_t
        self._pack.argtypes = (
            *(ctypes.c_void_p, ctypes.c_size_t),
            *(ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int),
            *(ctypes.c_void_p, ctypes.c_void_p),
        )

    def pack(self, data: memoryview, stops: NDArray[np.int64], *, plain: bool) -> memoryview:
        """Compress `data`, whole FASTQ records, to BGZF blocks without the end-of-file block.

        `stops` has the shape (records, 3): for each record the positions in `data` where its header
        line, its bases and its qualities end. Bytes after the last position belong to the last
        record. `plain`: all bases are A, C, G or T.
        """
        stops = np.ascontiguousarray(stops, np.int64).ravel()
        stops[-1] = len(data)
        crcs = np.array(
            [
                isal_zlib.crc32(data[start : start + BLOCK_BYTES])
                for start in range(0, len(data), BLOCK_BYTES)
            ],
            np.uint32,
        )
        packed = np.empty(len(crcs) * _ROOM, np.uint8)
        size = self._pack(
            *(_address(np.frombuffer(data, np.uint8)), len(data)),
            *(_address(stops), len(stops) // 3, plain),
            *(_address(crcs), _address(packed)),
        )
        return packed.data[:size]

    def works(self) -> bool:
        """Whether a sample of each way of coding inflates to itself."""
        for plain in (True, False):
            records = [
                b"@read %d ch=7\n%s\n+\n%s\n" % (n, b"GATTACA" * n, bytes(range(33, 40)) * n)
                for n in range(64)
            ]
            starts = np.cumsum([0, *map(len, records)])
            headers, bases = (
                starts[:-1] + [record.index(b"\n") + 1 for record in records],
                7 * np.arange(64),
            )
            stops = np.column_stack((headers, headers + bases, starts[1:] - 1))
            sample = b"".join(records)
            packed = BytesIO(self.pack(memoryview(sample), stops, plain=plain))
            try:
                found = b"".join(BgzfBlocks(packed.readinto, self._path, lambda part: None))
            except PermanentError:
                return False
            if found != sample:
                return False
        return True


def load(place: Path = _PLACE) -> DeflateCoder | None:
    """Load the coder compiled for this Python; None if there is none or it does not work."""
    for suffix in EXTENSION_SUFFIXES:
        try:
            coder = DeflateCoder(place.with_name(place.name + suffix))
        except (OSError, AttributeError):
            continue
        return coder if coder.works() else None
    return None


def _address(array: NDArray[np.generic]) -> int:
    address: int = array.__array_interface__["data"][0]
    return address


CODER: Final = load()
