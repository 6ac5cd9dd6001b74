"""Words about the cause of a cell without reads."""

from __future__ import annotations

import pytest

from hesiod_watch.core.cell_contents import CellContents, DataKind, FinalSummary
from hesiod_watch.rules.no_reads import why_no_reads

FASTQ, BAM, POD5, FAST5 = DataKind.FASTQ, DataKind.BAM, DataKind.POD5, DataKind.FAST5


def summary(basecalling: str | None) -> FinalSummary:
    values = {} if basecalling is None else {"basecalling_enabled": basecalling}
    return FinalSummary("final_summary.txt", values)


@pytest.mark.parametrize(
    ("files", "basecalling", "unknown", "words"),
    [
        ({POD5: 3}, ["0"], (), "basecalling was off, and it has raw data only (3 POD5 files)"),
        ({}, ["0"], (), "basecalling was off, and it has neither reads nor raw data"),
        (
            {POD5: 1},
            ["0", "1"],
            (),
            "no reads passed or failed: it has raw data (1 POD5 file), and no FASTQ or BAM",
        ),
        (
            {POD5: 1},
            [None],
            (),
            "no reads passed or failed: it has raw data (1 POD5 file), and no FASTQ or BAM",
        ),
        (
            {FASTQ: 2, BAM: 1},
            ["1"],
            (),
            "no reads passed or failed: there are none in 2 FASTQ files and 1 BAM file",
        ),
        (
            {FASTQ: 2, POD5: 1},
            ["0"],
            (),
            "no reads passed or failed: there are none in 2 FASTQ files",
        ),
        (
            {FAST5: 2, POD5: 1},
            ["0"],
            (),
            "basecalling was off, and it has raw data only (1 POD5 file and 2 FAST5 files)",
        ),
        ({FASTQ: 0}, ["1"], (), "no reads passed or failed: it has no data files"),
        ({}, [], (), "no reads passed or failed: it has no data files"),
        ({POD5: 1}, ["1"], ("x.cram", "y"), "there are data that are not processed: x.cram, y"),
    ],
)
def test_why_no_reads(
    files: dict[DataKind, int], basecalling: list[str | None], unknown: tuple[str, ...], words: str
) -> None:
    """Basecalling that was off is named, and other causes by the files that are there."""
    contents = CellContents(tuple(map(summary, basecalling)), files, unknown=unknown)
    assert why_no_reads(contents) == words
