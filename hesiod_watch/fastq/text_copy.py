"""Copy a text file of MinKNOW to BGZF: read once, made durable, and read back before it counts.

A sequencing summary of a large cell has tens of gigabytes. So the text is read in small slabs that
several threads compress, and a copy needs a few megabytes of memory whatever its size is. The
guarantees are those of the reads (`append`): the copy inflates to the text of the source, and the
source did not change while it was read.
"""

from __future__ import annotations

import hashlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from hesiod_watch.core.file_entry import FileEntry
from hesiod_watch.core.frozen import frozen
from hesiod_watch.fastq import bgzf, md5, readback
from hesiod_watch.fastq.append import AppendedSource, OnUnit, OutputAppender
from hesiod_watch.fastq.formats import is_compressed
from hesiod_watch.fastq.gunzip import GzipReader
from hesiod_watch.fastq.readback import TextChecksum
from hesiod_watch.fastq.sources import SourceFile
from hesiod_watch.fastq.statistics import ReadStatistics
from hesiod_watch.fastq.tasks import OutputPart
from hesiod_watch.host.files import OpenDirectory

SLAB_BYTES = 16 * bgzf.BLOCK_BYTES
"""Bytes of text that one thread compresses at a time."""
HEAD_BYTES = 1 << 16
"""Longest first line that is kept."""


@frozen
class TextCopy:
    """A copy, whole and fsynced at `path`, and what its text looks like."""

    source: FileEntry  # as it was read, with its checksums
    path: Path
    size: int  # of the copy, in bytes
    md5: str  # of the copy
    head: bytes  # the first line
    lines: int  # number of line ends
    cut: bool  # the last line has no end

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def entry(self) -> FileEntry:
        """The copy itself, for a manifest."""
        return FileEntry(self.name, size=self.size, md5=self.md5)


def copy_text(
    source: FileEntry, cell: OpenDirectory, path: Path, *, threads: int, with_sha256: bool
) -> TextCopy:
    """Copy a source of `cell` to the new file `path`; one whose name ends in `.gz` is inflated.

    `with_sha256`: also compute the SHA-256 of the source. Raises `BadSource` if the source is
    damaged or changes, `TemporaryError`, `PermanentError`.
    """
    writer = _TextAppender(path, threads, with_sha256=with_sha256)
    try:
        piece = writer.append(source, cell)
        writer.sync()
        writer.confirm()
    finally:
        writer.close()
    state = writer.md5
    return TextCopy(
        replace(piece.entry, md5=writer.source_md5.hexdigest()),
        path,
        piece.length,
        readback.md5_of(path) if state is None else md5.Md5(state).hexdigest(),
        writer.head,
        writer.lines,
        writer.last not in (b"", b"\n"),
    )


class _TextAppender(OutputAppender):
    """Writer of one text, with `threads` threads that compress."""

    def __init__(self, path: Path, threads: int, *, with_sha256: bool) -> None:
        super().__init__(
            OutputPart(path.name, members=False, at=0, md5=md5.EMPTY, sources=()), path
        )
        self._threads = threads
        self._with_sha256 = with_sha256
        self.source_md5 = hashlib.md5(usedforsecurity=False)
        self.head = self.last = b""
        self.lines = 0

    def _copy(
        self, source: FileEntry, cell: OpenDirectory, on_unit: OnUnit | None
    ) -> AppendedSource:
        text = TextChecksum(0, 0)
        compressed: deque[Future[bytes]] = deque()
        with SourceFile(source, cell) as file, ThreadPoolExecutor(self._threads) as pool:

            def readinto(buffer: memoryview) -> int:
                count = (file.readinto_hashed if self._with_sha256 else file.readinto)(buffer)
                self.source_md5.update(buffer[:count])
                return count

            read = readinto
            if is_compressed(source.name) and source.size:
                read = GzipReader(readinto, source.path).readinto
            while count := read(memoryview(slab := bytearray(SLAB_BYTES))):
                if not text.size:
                    self.head = bytes(slab[: min(count, HEAD_BYTES)]).partition(b"\n")[0]
                self.lines += slab.count(b"\n", 0, count)
                self.last = bytes(slab[count - 1 : count])
                view = memoryview(slab)[:count]
                text = text.followed_by(view)
                compressed.append(pool.submit(_compress, view))
                if len(compressed) > 2 * self._threads:
                    self._write(compressed.popleft().result())
            while compressed:
                self._write(compressed.popleft().result())
            file.check_unchanged()
            sha256 = file.sha256 if self._with_sha256 else ""
        self._write(bgzf.END_OF_FILE)
        return AppendedSource(ReadStatistics(), text, text, file.ctime_ns, file.inode, sha256)


def _compress(slab: memoryview) -> bytes:
    return b"".join(bgzf.compress(slab, (), "default"))
