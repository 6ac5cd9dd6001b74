"""Call the compiled FASTQ coder, `scan.c` and `coder.c`, if it was compiled at installation.

It finds and measures records, and compresses them. Compiling needs only a C compiler: ctypes calls
the library, so Python's headers are not needed. Without the library numpy and `isal` do the work:
half as fast, with outputs a twentieth larger and equal content. Before first use the library scans
and packs a sample, which must have its known figures and inflate to itself. A library of another
version or for another processor fails this test and is not used.
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
from hesiod_watch.core.frozen import frozen
from hesiod_watch.fastq.bgzf import BLOCK_BYTES
from hesiod_watch.fastq.blocks import BgzfBlocks

# without the suffix that setuptools adds to compiled modules
_PLACE: Final = Path(__file__).with_name("_coder")
_ROOM = 1 << 16  # bytes reserved for one BGZF block
_RECORD_BYTES = 128
"""Mean size of a record below which there is no room for the results of a scan."""

ABSENT = -1
"""Instead of a number that a header lacks."""
UNUSUAL = -2
"""Instead of a number whose text the scan does not read."""
ERROR_UNIT = 2.0**-36
"""Unit of the errors that a scan sums."""


def _error_units() -> NDArray[np.uint64]:
    """The error probability of each quality symbol, in units; 0 for other symbols."""
    errors = np.zeros(256, np.uint64)
    errors[33:127] = np.rint(10.0 ** (-np.arange(94) / 10) / ERROR_UNIT).astype(np.uint64)
    return errors


ERROR_UNITS: Final = _error_units()


@frozen
class Scan:
    """Places and figures of the whole records at the start of some text."""

    starts: NDArray[np.int64]  # (records, 4): where each line starts
    ends: NDArray[np.int64]  # (records, 4): where its newline is
    errors: NDArray[np.uint64]  # (records, 2): of the first 60 bases and of the rest, in units
    # (records, 3): channel, start in microseconds since 1970, score in millionths
    numbers: NDArray[np.int64]
    # (records, 4, 2): where the text of each field starts and ends. The start of a model is also
    # ABSENT where the record before has the same model.
    places: NDArray[np.int64]
    gc: int
    acgt: int
    bases_q20: int
    bases_q30: int
    plain: bool  # all bases are A, C, G or T


class FastqCoder:
    """The library at `path`.

    Raises `OSError` if it cannot be loaded, `AttributeError` if it is another library.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        library = ctypes.CDLL(str(path))
        self._pack, self._scan = library.hesiod_pack, library.hesiod_scan
        self._pack.restype = ctypes.c_size_t
        self._pack.argtypes = (
            *(ctypes.c_void_p, ctypes.c_size_t),
            *(ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int),
            *(ctypes.c_void_p, ctypes.c_void_p),
        )
        self._scan.restype = ctypes.c_int64
        self._scan.argtypes = (
            *(ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t),
            *[ctypes.c_void_p] * 7,
        )

    def scan(self, data: memoryview) -> Scan | None:
        """Find and measure the whole records at the start of `data`.

        None for text that is not usual: faulty or to be repaired, or with very short records.
        """
        limit = len(data) // _RECORD_BYTES + 16
        starts, ends = np.empty((limit, 4), np.int64), np.empty((limit, 4), np.int64)
        errors, totals = np.empty((limit, 2), np.uint64), np.empty(5, np.int64)
        numbers, places = np.empty((limit, 3), np.int64), np.empty((limit, 4, 2), np.int64)
        count = self._scan(
            *(_address(np.frombuffer(data, np.uint8)), len(data), limit, _address(ERROR_UNITS)),
            *map(_address, (starts, ends, errors, numbers, places, totals)),
        )
        if count < 0:
            return None
        tables = starts[:count], ends[:count], errors[:count], numbers[:count], places[:count]
        gc, acgt, q20, q30, plain = totals.tolist()
        return Scan(*tables, gc, acgt, q20, q30, bool(plain))

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
        """Whether the library measures a sample, and packs one in each way, without mistakes."""
        return self._scans() and self._packs()

    def _scans(self) -> bool:
        header = b"@read\tch:i:7\tst:Z:2024-02-29T12:30:00.5+01:00\tqs:f:12.345678\tRG:Z:%s\n"
        bases, symbols = b"GATTACA" * 11, bytes(range(33, 110))
        text = b"".join(
            header % model + bases[:length] + b"\n+\n" + symbols[:length] + b"\n"
            for model, length in ((b"one", 77), (b"one", 60), (b"two", 7))
        )
        scan = self.scan(memoryview(text + b"@rest\nGATTACA\n"))
        if scan is None:
            return False
        units = ERROR_UNITS[np.frombuffer(symbols, np.uint8)]
        errors = [[units[:60].sum(), units[60:].sum()], [units[:60].sum(), 0], [units[:7].sum(), 0]]
        newlines = np.flatnonzero(np.frombuffer(text, np.uint8) == ord("\n"))
        models = scan.places[:, 3].tolist()
        return (
            np.array_equal(scan.ends.ravel(), newlines)
            and np.array_equal(scan.starts.ravel()[1:], newlines[:-1] + 1)
            and np.array_equal(scan.errors, np.array(errors))
            and scan.numbers.tolist() == [[7, 1_709_206_200_500_000, 12_345_678]] * 3
            and [text[start:end] for start, end in models if start >= 0] == [b"one", b"two"]
            and (scan.gc, scan.acgt, scan.plain) == (22 + 17 + 2, 144, True)
            and (scan.bases_q20, scan.bases_q30) == (57 + 40, 47 + 30)
        )

    def _packs(self) -> bool:
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


def load(place: Path = _PLACE) -> FastqCoder | None:
    """Load the coder compiled for this Python; None if there is none or it does not work."""
    for suffix in EXTENSION_SUFFIXES:
        try:
            coder = FastqCoder(place.with_name(place.name + suffix))
        except (OSError, AttributeError):
            continue
        return coder if coder.works() else None
    return None


def _address(array: NDArray[np.generic]) -> int:
    address: int = array.__array_interface__["data"][0]
    return address


CODER: Final = load()
