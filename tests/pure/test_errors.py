"""The sentence about several damaged files."""

from __future__ import annotations

from pathlib import Path

from hesiod_watch.core.errors import BadSource, BadSources

CELL = Path("/landing/run/cell")


def test_damaged_files_by_reason() -> None:
    """Files are named by their reason, relative to the cell."""
    error = BadSources(
        [
            BadSource(CELL / "bam_pass" / "barcode01" / "a.bam", "empty file"),
            BadSource(CELL / "bam_pass" / "b.bam", "cut off", where="byte 7"),
            BadSource(CELL / "bam_fail" / "c.bam", "empty file"),
        ],
        CELL,
    )
    said = (
        "3 files are damaged in /landing/run/cell: "
        "empty file: bam_pass/barcode01/a.bam, bam_fail/c.bam; cut off (byte 7): bam_pass/b.bam"
    )
    assert str(error) == said


def test_many_damaged_files() -> None:
    """The sentence names some of the files, and counts the others."""
    each = [BadSource(CELL / f"{number}.fastq", "no FASTQ") for number in range(25)]
    said = str(BadSources(each, CELL))
    assert said.startswith("25 files are damaged in /landing/run/cell: no FASTQ: 0.fastq, ")
    assert said.endswith(", 19.fastq; and 5 more")
