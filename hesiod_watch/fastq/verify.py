"""Read a written file back from the disk and prove that it contains what was written.

All checks are independent of how the file was written: the MD5 of the bytes, the CRC and size of
every gzip member, the form of every record, and the counts. For BGZF also the length that every
block claims, and the end-of-file block.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from hesiod_watch.core.errors import PermanentError
from hesiod_watch.fastq import bgzf
from hesiod_watch.fastq.blocks import BgzfBlocks
from hesiod_watch.fastq.formats import unit_reader
from hesiod_watch.fastq.gunzip import GzipReader
from hesiod_watch.fastq.model import Tally
from hesiod_watch.fastq.sources import SourceFile, look
from hesiod_watch.host.files import OpenDirectory


def verify(
    written_path: Path,
    *,
    md5: str,
    reads: int,
    bases: int,
    on_progress: Callable[[Tally], None] | None = None,
) -> None:
    """Read `written_path` again and compare. Returns only if everything agrees.

    Raises `PermanentError` (often `BadSource`) that names the file and the difference;
    `TemporaryError` if the file cannot be read at the moment. The file must have been fsynced;
    otherwise the cached copy is read.
    """
    digest = hashlib.md5(usedforsecurity=False)
    source, place = look(written_path, written_path.name), OpenDirectory(written_path.parent)
    with SourceFile(source, place) as file:
        file.forget_cache()
        head = file.head(bgzf.HEAD_BYTES)
        blocks = (
            BgzfBlocks(file.readinto, written_path, digest.update) if bgzf.is_block(head) else None
        )
        inflating = blocks or GzipReader(file.readinto, written_path, digest.update)
        reader = unit_reader(written_path.name, inflating.readinto, written_path)
        found_reads = found_bases = 0
        for unit in reader:
            found_reads += unit.reads
            found_bases += int(unit.lengths.sum())
            if on_progress is not None:
                on_progress(Tally(file.consumed, found_reads, found_bases, "verifying"))
        file.check_unchanged()
    if blocks and blocks.last != bgzf.END_OF_FILE:
        raise PermanentError(
            f"{written_path}: the BGZF end-of-file block is missing: the file is truncated"
        )
    for what, found, expected in (
        ("MD5", digest.hexdigest(), md5),
        ("reads", found_reads, reads),
        ("bases", found_bases, bases),
    ):
        if found != expected:
            raise PermanentError(
                f"{written_path}: {what} differ on re-reading: {found} on disk, {expected} written"
            )
    if reader.repaired:
        raise PermanentError(f"{written_path}: unexpected content: {reader.repaired}")
