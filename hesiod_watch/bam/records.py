"""Cut a stream of inflated BAM into units of whole records; locate exactly where it is not BAM.

The fixed fields and lengths of every record are checked, so that a later program does not fail on
bytes that this one accepted. A unit has about 2 MiB; a longer record makes the buffer grow.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hesiod_watch.bam.header import MAGIC, BamHeader, decode
from hesiod_watch.core.errors import BadSource
from hesiod_watch.core.frozen import frozen

UNIT_BYTES = 2 << 20
RECORD_LIMIT = 128 << 20
"""Bytes of the longest accepted record: several times the longest known read with all its tags."""

SECONDARY, SUPPLEMENTARY, REVERSE, UNMAPPED = 0x100, 0x800, 0x10, 0x4

_CORE = struct.Struct("<iiiBBHHHiiii")
_SIZE = struct.Struct("<i")
_FIXED = _CORE.size - _SIZE.size


class BamRecord(NamedTuple):
    """The places of one record's parts in its unit, and its flag."""

    start: int  # its size field
    end: int
    name_bytes: int  # with the NUL at the end of the name
    cigar_operations: int
    flag: int
    bases: int
    reference: int  # number; -1: not aligned
    position: int

    @property
    def primary(self) -> bool:
        """Whether this is the record of a read, not a further alignment of it."""
        return not self.flag & (SECONDARY | SUPPLEMENTARY)

    @property
    def sequence(self) -> int:
        return self.start + _CORE.size + self.name_bytes + 4 * self.cigar_operations

    @property
    def qualities(self) -> int:
        return self.sequence + (self.bases + 1) // 2

    @property
    def tags(self) -> int:
        return self.qualities + self.bases


@frozen
class BamUnit:
    """Some whole records: their bytes, and the places of their parts. Or the header of a file."""

    data: memoryview
    records: list[BamRecord]
    first: int  # number of the first record in its source, from 0
    header: BamHeader | None = None

    @property
    def reads(self) -> int:
        """Number of reads; further alignments of a read do not count."""
        return sum(record.primary for record in self.records)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Bases of each read."""
        return np.array([one.bases for one in self.records if one.primary], np.int64)


class BamReader:
    """Iterator over the units of one stream of inflated BAM.

    `readinto` fills a buffer, and returns fewer bytes only at the end of the stream; its errors
    pass through. `headed`: the stream begins with a header, which is the first unit. Without one,
    references are not compared. `path` is used in messages. Raises `BadSource` at the first wrong
    byte.
    """

    def __init__(
        self,
        readinto: Callable[[memoryview], int],
        path: Path,
        *,
        headed: bool = True,
        unit_bytes: int = UNIT_BYTES,
    ) -> None:
        self.path = path
        self.records = 0  # records returned so far
        self.repaired = ""  # nothing is ever repaired in BAM
        self._readinto = readinto
        self._headed = headed
        self._references: int | None = None  # number of references in the header
        self._unit_bytes = unit_bytes

    def __iter__(self) -> Iterator[BamUnit]:
        buffer = bytearray(self._unit_bytes)
        rest = b""
        if self._headed:
            header, rest = self._read_header()
            yield header
        while True:
            while len(rest) >= len(buffer):
                buffer = bytearray(2 * len(buffer))
            unused = len(rest)
            buffer[:unused] = rest
            size = unused + self._readinto(memoryview(buffer)[unused:])
            unit, at = self._unit(bytes(memoryview(buffer)[:size]))
            if unit.records:
                yield unit
                self.records += len(unit.records)
            rest = bytes(memoryview(buffer)[at:size])
            if size < len(buffer):
                if rest:
                    joined = rest.startswith(MAGIC)
                    reason = "another BAM file begins here" if joined else "the last one is cut off"
                    raise self._bad(f"not BAM: {reason}", self.records)
                return
            if len(buffer) > self._unit_bytes > len(rest):
                buffer = bytearray(self._unit_bytes)

    def _read_header(self) -> tuple[BamUnit, bytes]:
        """The header, and the bytes after it that were read, too."""
        data = bytearray()
        chunk = memoryview(bytearray(1 << 16))
        while True:
            count = self._readinto(chunk)
            data += chunk[:count]
            try:
                found = decode(data)
            except ValueError as error:
                raise BadSource(self.path, f"not BAM: {error}", where="header") from error
            if found:
                header, size = found
                self._references = len(header.references)
                return BamUnit(memoryview(bytes(data[:size])), [], 0, header), bytes(data[size:])
            if count < len(chunk):
                raise BadSource(self.path, "not BAM: the file ends in its header", where="header")

    def _unit(self, data: bytes) -> tuple[BamUnit, int]:
        """The whole records at the beginning of `data`, and the number of their bytes."""
        references = self._references
        records: list[BamRecord] = []
        at, size = 0, len(data)
        while size - at >= _SIZE.size:
            (length,) = _SIZE.unpack_from(data, at)
            number = self.records + len(records)
            if not _FIXED <= length <= RECORD_LIMIT:
                raise self._bad(f"not BAM: a record claims {length} bytes", number)
            end = at + _SIZE.size + length
            if end > size:
                break
            _, target, position, name, _, _, cigar, flag, bases, mate, _, _ = _CORE.unpack_from(
                data, at
            )
            record = BamRecord(at, end, name, cigar, flag, bases, target, position)
            if bases < 0 or name < 1 or record.tags > end:
                raise self._bad("not BAM: the parts of a record are longer than it", number)
            if data[at + _CORE.size + name - 1]:
                raise self._bad("not BAM: the name of a read has no end", number)
            if min(target, mate) < -1 or (
                references is not None and max(target, mate) >= references
            ):
                raise self._bad("a record names a reference that the header lacks", number)
            records.append(record)
            at = end
        return BamUnit(memoryview(data)[:at], records, self.records), at

    def _bad(self, reason: str, record: int) -> BadSource:
        return BadSource(self.path, reason, where=f"record {record + 1}")


def foreign(head: bytes) -> str:
    """Words for a file that is not BGZF, by its first bytes; "" if it may be BGZF."""
    if not head:
        return "empty file: it has not even a header"
    if head.startswith(b"\x1f\x8b"):
        return "" if head[3:4] == b"\4" and head[12:14] == b"BC" else "not BAM: gzip, but not BGZF"
    if head.startswith(b"CRAM"):
        return "not BAM: CRAM"
    if head[:1] == b"@" and head[3:4] == b"\t":
        return "not BAM: SAM, which is text"
    if head.startswith((b"BAM\1",)):
        return "not BAM: it is not compressed"
    if not head.strip(b"\0"):
        return "not BAM: it begins with zeros"
    return f"not BAM: it begins with {head[:8].decode('latin-1')!a}"
