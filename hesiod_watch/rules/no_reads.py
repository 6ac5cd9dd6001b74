"""Cause of a processed cell without reads, in words: for its message, its page and `status`."""

from __future__ import annotations

from hesiod_watch.core.cell_contents import CellContents, DataKind
from hesiod_watch.core.text import number_of

_READS = (DataKind.FASTQ, DataKind.BAM)
_RAW = (DataKind.POD5, DataKind.FAST5)


def why_no_reads(contents: CellContents) -> str:
    """Say why the outputs of a cell with these contents have no reads."""
    raw, empty = _files(contents, _RAW), _files(contents, _READS)
    if contents.unknown:
        unknown = ", ".join(contents.unknown)
        return f"there are data that are not processed: {unknown}"
    if not empty and _basecalling_was_off(contents):
        here = f"raw data only ({raw})" if raw else "neither reads nor raw data"
        return f"basecalling was off, and it has {here}"
    if empty:
        return f"no reads passed or failed: there are none in {empty}"
    here = f"raw data ({raw}), and no FASTQ or BAM" if raw else "no data files"
    return f"no reads passed or failed: it has {here}"


def _basecalling_was_off(contents: CellContents) -> bool:
    stated = {summary.values.get("basecalling_enabled") for summary in contents.summaries}
    return stated == {"0"}


def _files(contents: CellContents, kinds: tuple[DataKind, ...]) -> str:
    """Say how many files of these kinds there are; "" if there are none."""
    return " and ".join(
        number_of(count, f"{kind.upper()} file")
        for kind in kinds
        if (count := contents.files.get(kind, 0))
    )
