"""Cut a stream of FASTQ into units of whole records; locate exactly where it is not FASTQ.

A record is four lines: `@header`, sequence, `+…`, qualities of the same length. Anything else, and
a record that the end of the file cuts in two, is refused by name and line. Some faults are repaired
and reported: Windows line ends (CR LF, in files that were edited or came through git), a last line
without its newline, and blank lines at the very end. The repair is needed because many readers take
the CR for a base, and because the next source is written directly after this one.

A unit has about 2 MiB: large enough for numpy, small enough for the processor's cache. Every unit
begins at a record, because the stream does and every unit ends at the end of a record. A record
longer than a unit makes the buffer grow.

The compiled coder, where available, scans usual text. Everything else is judged here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hesiod_watch.core.errors import BadSource
from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.text import number_of
from hesiod_watch.fastq.coder import CODER, FastqCoder, Scan

UNIT_BYTES = 2 << 20
RECORD_LIMIT = 32 << 20
"""Bytes of the longest accepted record: a read of 16 Mb, four times the longest known.

A longer record is a file without newlines.
"""

_NEWLINE, _RETURN, _AT, _PLUS = b"\n\r@+"
_GZIP_MAGIC = b"\x1f\x8b"


@frozen
class RecordUnit:
    """Some whole records. The next unit overwrites `data`."""

    data: memoryview
    starts: NDArray[np.int64]  # (records, 4): where each line starts in `data`
    ends: NDArray[np.int64]  # (records, 4): where its newline is
    first: int  # number of the first record in its source, from 0
    scan: Scan | None = None  # figures of the records, if they were scanned

    @property
    def reads(self) -> int:
        return len(self.starts)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Bases of each read."""
        lengths: NDArray[np.int64] = self.ends[:, 1] - self.starts[:, 1]
        return lengths

    def lines(self, record: int) -> list[bytes]:
        """The four lines of a record of this unit (from 0), without their newlines."""
        return [
            bytes(self.data[start:end])
            for start, end in zip(self.starts[record], self.ends[record], strict=True)
        ]

    def first_records(self, count: int) -> RecordUnit:
        """The first `count` records, at least one."""
        if count == self.reads:
            return self
        end = int(self.ends[count - 1, 3]) + 1
        return RecordUnit(self.data[:end], self.starts[:count], self.ends[:count], self.first)


class RecordReader:
    """Iterator over the units of one stream.

    `readinto` fills a buffer, and returns fewer bytes only at the end of the stream; its errors
    pass through. `path` is used in messages. Raises `BadSource` at the first invalid record.
    """

    def __init__(
        self,
        readinto: Callable[[memoryview], int],
        path: Path,
        *,
        unit_bytes: int = UNIT_BYTES,
        record_limit: int = RECORD_LIMIT,
        coder: FastqCoder | None = CODER,
    ) -> None:
        self.path = path
        self.records = 0  # records returned so far
        self._repairs: dict[str, None] = {}  # distinct repairs, in order
        self._readinto = readinto
        self._unit_bytes = unit_bytes
        self._record_limit = record_limit
        self._coder = coder

    @property
    def repaired(self) -> str:
        """Repairs so far; "" if there were none."""
        return ", ".join(self._repairs)

    def __iter__(self) -> Iterator[RecordUnit]:
        buffer = bytearray(self._unit_bytes)
        unused = 0  # bytes at the start of the buffer that are in no unit yet
        while True:
            size = unused + self._readinto(memoryview(buffer)[unused:])
            ended = size < len(buffer)
            if scanned := self._scanned(memoryview(buffer)[:size]):
                rest = bytes(memoryview(buffer)[len(scanned.data) : size])
                yield scanned
                self.records += scanned.reads
            elif count := len(newlines := _newlines(buffer, size)) // 4:
                unit = self._unit(buffer, newlines[: 4 * count])
                rest = bytes(memoryview(buffer)[newlines[4 * count - 1] + 1 : size])
                valid = self._check(unit)
                if valid:
                    yield unit.first_records(valid)
                    self.records += valid
                if valid < count:
                    self._require_blank_end(unit, valid, rest)
                    return
            else:
                rest = bytes(memoryview(buffer)[:size])
            if ended:
                yield from self._tail(rest)
                return
            unused = len(rest)
            buffer = self._room_for(buffer, unused)
            buffer[:unused] = rest

    def _scanned(self, text: memoryview) -> RecordUnit | None:
        """The whole records at the start of `text`, if there are some and all are usual."""
        scan = self._coder.scan(text) if self._coder else None
        if scan is None or not len(scan.ends):
            return None
        size = int(scan.ends[-1, 3]) + 1
        return RecordUnit(text[:size], scan.starts, scan.ends, self.records, scan)

    def _room_for(self, buffer: bytearray, unused: int) -> bytearray:
        """A buffer with room after `unused` bytes: the same, a larger, or again a small one."""
        if unused == len(buffer):
            if unused >= self._record_limit:
                raise BadSource(
                    self.path,
                    f"not FASTQ: no end of the record within {self._record_limit} bytes",
                    where=_where(self.records, 0),
                )
            return bytearray(2 * unused)
        if unused < self._unit_bytes < len(buffer):
            return bytearray(self._unit_bytes)
        return buffer

    def _unit(self, buffer: bytearray, newlines: NDArray[np.int64]) -> RecordUnit:
        if (np.frombuffer(buffer, np.uint8)[newlines - 1] == _RETURN).any():
            self._repairs["Windows line ends"] = None
            buffer = bytearray(bytes(buffer[: newlines[-1] + 1]).replace(b"\r\n", b"\n"))
            newlines = _newlines(buffer, len(buffer))
        ends = newlines.reshape(-1, 4)
        starts = np.empty_like(newlines)
        starts[0] = 0
        starts[1:] = newlines[:-1] + 1
        return RecordUnit(
            memoryview(buffer)[: int(newlines[-1]) + 1], starts.reshape(-1, 4), ends, self.records
        )

    def _check(self, unit: RecordUnit) -> int:
        """Number of valid records; fewer than all if a blank line follows the last of them.

        Raises BadSource for any other fault.
        """
        data = np.frombuffer(unit.data, np.uint8)
        lengths = unit.ends - unit.starts
        bad = data[unit.starts[:, 0]] != _AT
        bad |= data[unit.starts[:, 2]] != _PLUS
        bad |= lengths[:, 1] != lengths[:, 3]
        if bad.any():
            record = int(np.argmax(bad))
            if unit.first + record and unit.lines(record)[0] in (b"", b"\r"):
                return record
            raise self._describe_fault(unit.lines(record), unit.first + record)
        return unit.reads

    def _require_blank_end(self, unit: RecordUnit, record: int, rest: bytes) -> None:
        """Read to the end of the stream, from a blank line on: only blank lines may follow.

        Raises BadSource if something else follows.
        """
        chunk = bytearray(self._unit_bytes)
        text = bytes(unit.data[unit.starts[record, 0] :]) + rest
        while not text.strip(b"\r\n"):
            size = self._readinto(memoryview(chunk))
            if not size:
                self._repairs["blank line at the end"] = None
                return
            text = bytes(memoryview(chunk)[:size])
        raise self._describe_fault(unit.lines(record), unit.first + record)

    def _tail(self, rest: bytes) -> Iterator[RecordUnit]:
        """The record, if any, after the last newline-terminated record at the end of the stream."""
        if not rest.strip(b"\r\n"):
            if rest:
                self._repairs["blank line at the end"] = None
            return
        lines = rest.split(b"\n")
        if rest[:1] != b"@":
            raise self._describe_fault(lines, self.records)
        if len(lines) != 4 or len(lines[1].rstrip(b"\r")) != len(lines[3].rstrip(b"\r")):
            raise BadSource(
                self.path,
                "the last record is cut off: the file ends in the middle of it",
                where=_where(self.records, len(lines) - 1),
            )
        buffer = bytearray(rest + b"\n")
        unit = self._unit(buffer, _newlines(buffer, len(buffer)))
        self._check(unit)
        self._repairs["no newline at the end"] = None
        yield unit
        self.records += 1

    def _describe_fault(self, lines: list[bytes], record: int) -> BadSource:
        """The first fault of this record, as an error."""
        header = lines[0]
        if header[:1] != b"@":
            if record == 0 and header.startswith(_GZIP_MAGIC):
                reason = (
                    "gzip data where FASTQ should be:"
                    " its name does not end in .gz, or it was gzipped twice"
                )
                return BadSource(self.path, reason, where=_where(record, 0))
            reason = (
                f'not FASTQ: a record must begin with "@", this one begins with {_excerpt(header)}'
            )
            return BadSource(self.path, reason, where=_where(record, 0))
        if lines[2][:1] != b"+":
            reason = (
                'not FASTQ: the third line of a record must begin with "+",'
                f" this one begins with {_excerpt(lines[2])}"
            )
            return BadSource(self.path, reason, where=_where(record, 2))
        return BadSource(
            self.path,
            "sequence and qualities differ in length:"
            f" {number_of(len(lines[1]), 'base')},"
            f" {number_of(len(lines[3]), 'quality', 'qualities')}",
            where=_where(record, 3),
        )


def _newlines(buffer: bytearray, size: int) -> NDArray[np.int64]:
    return np.flatnonzero(np.frombuffer(buffer, np.uint8, size) == _NEWLINE)


def _where(record: int, line: int) -> str:
    """Place of a line (0 to 3) of a record (from 0), numbered as in a text editor."""
    return f"record {record + 1}, line {4 * record + line + 1}"


def _excerpt(line: bytes) -> str:
    return ascii(line[:20].decode("latin-1")) if line else "nothing"
