"""Inflate gzip files member by member, check every member, and name each kind of damage.

A gzip file is one or more members. Each ends with the CRC and size of its data, which isal checks.
The compressed bytes can be passed on, for outputs that keep the members verbatim.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from isal import igzip_lib, isal_zlib

from hesiod_watch.core.errors import BadSource

CHUNK_BYTES = 128 << 10  # of compressed data read at a time
PART_BYTES = 256 << 10
MAGIC = b"\x1f\x8b"

ISAL_ERROR: type[Exception] = isal_zlib.error  # type: ignore[assignment]  # its stub takes the class for an instance


class GzipReader:
    """Inflated bytes of one gzip stream, as an iterator or as `readinto`.

    `readinto` returns the compressed bytes; `passed_on` is called with each chunk of them, before
    it is checked. Raises `BadSource` unless the data are whole and sound gzip from the first byte
    to the last. Padding is refused, too: a power cut leaves zeros after the end, and readers of a
    concatenated file would stop there.
    """

    def __init__(
        self,
        readinto: Callable[[memoryview], int],
        path: Path,
        passed_on: Callable[[memoryview], None] | None = None,
    ) -> None:
        self._readinto = readinto
        self._path = path
        self._passed_on = passed_on
        self._chunk = bytearray(CHUNK_BYTES)
        self._read = 0  # compressed bytes read
        self._members = 0  # finished members
        self._member: igzip_lib.IgzipDecompressor | None = None  # None: between members
        self._input = b""  # bytes read and not yet passed to a member

    def __iter__(self) -> Iterator[memoryview]:
        while (data := self._inflate(PART_BYTES)) is not None:
            yield memoryview(data)

    def readinto(self, buffer: memoryview) -> int:
        """Fill `buffer`; fewer bytes than asked for only at the end of the stream."""
        filled = 0
        while filled < len(buffer):
            data = self._inflate(len(buffer) - filled)
            if data is None:
                break
            buffer[filled : filled + len(data)] = data
            filled += len(data)
        return filled

    def _inflate(self, limit: int) -> bytes | None:
        """At most `limit` bytes, possibly none; None at the end of the stream."""
        if self._member is None:
            if not self._input and not self._refill():
                return None
            self._require_magic()
            self._member = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
        elif self._member.needs_input and not self._refill():
            raise BadSource(
                self._path,
                "truncated gzip: the file ends in the middle of a member",
                where=f"byte {self._read}",
            )
        compressed, self._input = self._input, b""
        try:
            data: bytes = self._member.decompress(compressed, limit)
        except ISAL_ERROR as error:
            raise BadSource(self._path, f"corrupt gzip: {error}", where=self._place()) from error
        if self._member.eof:
            self._input = self._member.unused_data
            self._member = None
            self._members += 1
        return data

    def _refill(self) -> bool:
        view = memoryview(self._chunk)
        count = self._readinto(view)
        if self._passed_on is not None and count:
            self._passed_on(view[:count])
        self._read += count
        self._input = bytes(view[:count])
        return count > 0

    def _require_magic(self) -> None:
        if len(self._input) < len(MAGIC):
            start = self._input
            self._refill()
            self._input = start + self._input
        if self._input.startswith(MAGIC):
            return
        offset = self._read - len(self._input)
        if self._members == 0:
            raise BadSource(self._path, "not gzip, though its name ends in .gz", where="byte 0")
        what = "zeros" if not self._input.strip(b"\0") else "garbage"
        raise BadSource(
            self._path, f"{what} after the end of the gzip data", where=f"byte {offset}"
        )

    def _place(self) -> str:
        return f"member {self._members + 1}, before byte {self._read}"
