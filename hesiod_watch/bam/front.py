"""The header at the front of an output of BAM that this program wrote."""

from __future__ import annotations

from pathlib import Path

from hesiod_watch.bam.header import BamHeader, decode
from hesiod_watch.core.errors import PermanentError
from hesiod_watch.fastq.blocks import BgzfBlocks
from hesiod_watch.fastq.durable import OutputReader


def read_header(path: Path) -> tuple[BamHeader, int]:
    """The header of an output that this program wrote, and the bytes of its BGZF blocks.

    Raises PermanentError, TemporaryError.
    """
    with OutputReader(path) as reader:
        return header_in(reader)


def header_in(reader: OutputReader) -> tuple[BamHeader, int]:
    """As `read_header`, of an open output; the next reading from it must begin with `seek`."""
    path = reader.path
    front = bytearray()
    size = 0
    ends: list[tuple[int, int]] = []  # bytes of the file and of the text, after each block

    def count(block: memoryview, inflated: memoryview) -> None:
        nonlocal size
        size += len(block)
        ends.append((size, len(front) + len(inflated)))

    reader.seek(0, 1 << 62)
    for part in BgzfBlocks(reader.readinto, path, lambda part: None, on_block=count):
        front += part
        try:
            found = decode(front)
        except ValueError as error:
            raise PermanentError(f"{path}: {error}") from error
        if found:
            header, length = found
            at = next((end for end, text in ends if text == length), None)
            if at is None:
                raise PermanentError(f"{path}: its header shares a block with records")
            return header, at
    raise PermanentError(f"{path}: it ends in its header")
