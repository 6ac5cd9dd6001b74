"""Complete an output of BAM whose sources have all been appended.

- A later source may have added lines to the header, for example a read group. Then the file is
  copied behind a header that has them all.
- Aligned reads are sorted by coordinate, and get an index. Reads that are not aligned come last.

Both write new files. The appended file stays as it is, and after a kill the work begins again from
there. Each new file is read back from the disk. A copy must have every piece with its CRC-32. A
sorted file must have every record of the appended file as often as it is there, in order.
"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import hesiod_watch
from hesiod_watch.bam.front import read_header
from hesiod_watch.bam.header import BamHeader, header_of, lost_lines
from hesiod_watch.bam.records import BamReader, BamRecord, BamUnit
from hesiod_watch.core.errors import BadSource, NoSpace, PermanentError, TemporaryError
from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.system_errors import translated
from hesiod_watch.fastq import bgzf, readback
from hesiod_watch.fastq.blocks import BgzfBlocks
from hesiod_watch.fastq.durable import OutputFile, OutputReader, make_directory, remove, size_of
from hesiod_watch.fastq.model import IndexFile, Level, Written
from hesiod_watch.host.files import sync_directory

SORT_BYTES = 512 << 20
"""Memory for records while they are sorted; more of them are kept in temporary files."""

LONGEST_BAI = 1 << 29
"""Bases of the longest reference that an index of the form `.bai` can describe."""

_NO_SPACE = ("No space left on device", "Disk quota exceeded")
_COPY_BYTES = 1 << 20
_BIN = slice(14, 16)  # of a record: a value that programs compute again


def complete(written: Written, place: Path, level: Level, threads: int) -> Written:
    """Complete one output; new files are made in the directory `place`, durable.

    Returns `written` itself if there is nothing to do. Raises TemporaryError, PermanentError.
    """
    front, size = read_header(written.path)
    added = [line for piece in written.pieces for line in piece.header]
    header = header_of((*front.lines, *added))
    if added:
        written = _with_header(written, header, size, place, level)
    return _sorted(written, header, place, threads) if header.references else written


def _with_header(
    written: Written, header: BamHeader, size: int, place: Path, level: Level
) -> Written:
    """Copy an output behind another header; `size`: bytes of the blocks of its present one."""
    path = place / f"united.{written.output.name}"
    data = b"".join(bgzf.compress(memoryview(header.encode()), (), level))
    output = OutputFile(path)
    try:
        output.write(data)
        with OutputReader(written.path) as reader:
            reader.seek(size, written.bytes - size)
            buffer = memoryview(bytearray(_COPY_BYTES))
            while count := reader.readinto(buffer):
                output.write(buffer[:count])
        output.sync()
    finally:
        output.close()
    _sync_directory_of(path)
    more = len(data) - size
    first, *others = written.pieces
    length = first.length + more
    # The first piece has other bytes now; its records are those of the journal.
    records = readback.crc32_of(written.path, size, first.length - size)
    if records != readback.crc32_of(path, len(data), first.length - size):
        raise _differs(path)
    if not readback.sound(written.path, (first,)):
        raise _differs(written.path)
    first = replace(first, length=length, crc32=readback.crc32_of(path, 0, length))
    pieces = (first, *(replace(piece, offset=piece.offset + more) for piece in others))
    expected = written.bytes + more
    end = len(bgzf.END_OF_FILE)
    if (
        readback.sound(path, pieces) < len(pieces)
        or size_of(path) != expected
        or readback.read(path, expected - end, end) != bgzf.END_OF_FILE
    ):
        raise _differs(path)
    return replace(written, path=path, bytes=expected, md5=readback.md5_of(path), pieces=pieces)


def _sorted(written: Written, header: BamHeader, place: Path, threads: int) -> Written:
    """Sort an output by coordinate, index it, and compare every record."""
    name = written.output.name
    path = place / f"sorted.{name}"
    longest = max(length for _, length in header.references)
    ending = ".csi" if longest > LONGEST_BAI else ".bai"
    index = place / f"sorted.{name}{ending}"
    temporary = place / f"sorting.{name}"
    for former in (path, index):
        remove(former)
    make_directory(temporary)
    _sort(written.path, path, index, temporary / "part", threads)
    for file in (path, index):
        made = OutputFile(file, size_of(file) or 0)
        try:
            made.sync()
        finally:
            made.close()
    _sync_directory_of(path)
    before, after = _read(written.path, ordered=False), _read(path, ordered=True)
    if before.records != after.records or before.digest != after.digest:
        raise PermanentError(
            f"{path}: {after.records} records after sorting do not agree with the"
            f" {before.records} before: they are not the same"
        )
    if lost := lost_lines(after.header.lines, header.lines):
        raise PermanentError(f"{path}: its header has lost {lost[0]!a}")
    size = size_of(path) or 0
    return replace(
        written,
        path=path,
        bytes=size,
        md5=after.md5,
        placed=False,
        index=IndexFile(f"{name}{ending}", index, size_of(index) or 0, readback.md5_of(index)),
    )


def _sort(source: Path, path: Path, index: Path, prefix: Path, threads: int) -> None:
    root = str(Path(hesiod_watch.__file__).resolve().parent.parent)
    search = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    numbers = os.getpid(), SORT_BYTES // threads, threads
    parent, memory, count = map(str, numbers)
    files = map(os.fspath, (source, path, index, prefix))
    done = subprocess.run(
        # -P: import nothing from the current directory, because anyone may own it.
        (sys.executable, "-P", "-m", "hesiod_watch.bam.sorting", parent, *files, memory, count),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": search},
        check=False,
    )
    if not done.returncode:
        return
    said = done.stderr.decode("utf-8", "replace").strip().splitlines()
    why = said[-1] if said else "it gave no reason"
    if any(text in line for line in said for text in _NO_SPACE):
        raise NoSpace(f"{path}: sorting failed: {why}")
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        raise TemporaryError(f"{path}: the process that sorts was ended by {name}")
    if not source.exists():
        raise TemporaryError(f"{path}: sorting failed: {source} has been removed")
    with translated(path, own_output=True):
        space = os.statvfs(path.parent)
    if space.f_bavail * space.f_frsize < (size_of(source) or 0):
        raise NoSpace(f"{path}: sorting failed, and there is little room left: {why}")
    raise PermanentError(f"{path}: sorting failed: {why}")


@frozen
class _FileReading:
    """Content of a whole file, as read from the disk."""

    header: BamHeader
    records: int
    digest: int  # sum of the digests of all records: it does not depend on their order
    md5: str


def _read(path: Path, *, ordered: bool) -> _FileReading:
    """Read a file from its disk; `ordered`: its records must be sorted. Raises PermanentError."""
    md5 = hashlib.md5(usedforsecurity=False)
    header: BamHeader | None = None
    count = digest = 0
    last = (-1, -1)
    with OutputReader(path) as reader:
        reader.seek(0, size_of(path) or 0, forget=True)
        blocks = BgzfBlocks(reader.readinto, path, md5.update)
        try:
            for unit in BamReader(blocks.readinto, path):
                header = header or unit.header
                count += len(unit.records)
                for record, record_digest in _digests(unit):
                    digest += record_digest
                    now = _place(record)
                    if ordered and now < last:
                        raise PermanentError(f"{path}: its records are not in order")
                    last = now
        except BadSource as error:  # about an output, which is not a source
            raise PermanentError(f"{path}: not as it was written: {error.said}") from error
    if blocks.last != bgzf.END_OF_FILE or header is None:
        raise PermanentError(f"{path}: the BGZF end-of-file block is missing")
    return _FileReading(header, count, digest % (1 << 128), md5.hexdigest())


def _place(record: BamRecord) -> tuple[int, int]:
    """Key of the order by coordinate: records without a reference come last."""
    reference = record.reference if record.reference >= 0 else 1 << 32
    return reference, record.position


def _digests(unit: BamUnit) -> Iterator[tuple[BamRecord, int]]:
    """Each record with a digest of its content."""
    for record in unit.records:
        data = bytearray(unit.data[record.start : record.end])
        data[_BIN] = b"\0\0"
        tags = record.tags - record.start
        if record.cigar_operations == 2 and b"CGBI" in data[tags:]:
            # A long CIGAR is kept in a tag, whose place among the others is free.
            data[tags:] = bytes(sorted(data[tags:]))
        yield record, int.from_bytes(hashlib.blake2b(data, digest_size=16).digest(), "little")


def _sync_directory_of(path: Path) -> None:
    with translated(path, own_output=True):
        sync_directory(path.parent)


def _differs(path: Path) -> PermanentError:
    return PermanentError(
        f"{path}: reading back what was just written gives other bytes:"
        " do not trust the disk or the memory of this host"
    )
