"""The page of a run compares its cells with those that were finished before it."""

from __future__ import annotations

from pathlib import Path

import pytest
from minknow_cells import summary_text
from sites import Site

pytestmark = pytest.mark.system

CELL = "20261122_2210_1A_PAW0000{}_0a1b2c3d"


def write_run(landing: Path, number: int) -> str:
    """Write a run with a cell of `number` reads, of one kit and instrument."""
    run = f"20261122_TEST_{number}"
    cell = landing / run / "pool" / CELL.format(number)
    (cell / "fastq_pass").mkdir(parents=True)
    reads = "".join(f"@r{number}_{each}\nACGT\n+\n5555\n" for each in range(number))
    (cell / "fastq_pass" / "a_0.fastq").write_text(reads)
    acquisition = f"{number}" * 40
    text = summary_text(acquisition, fastq=1).replace("c6ded78b", "0a1b2c3d")
    (cell / "final_summary.txt").write_text(
        text.replace("sequencing_summary_file=sequencing_summary.txt\n", "")
    )
    return run


def test_comparison_with_earlier_cells(site: Site) -> None:
    """The sixth cell of a kit and instrument is compared with the five before it."""
    for number in range(1, 6):
        write_run(site.landing, number)
    site.run("poll")
    pages = list(site.output.glob("*/report.html"))
    assert len(pages) == 5
    assert not any('id="compared"' in page.read_text() for page in pages)
    run = write_run(site.landing, 6)
    site.run("poll")
    page = (site.output / run / "report.html").read_text()
    assert "median 12 b" in page
    assert "higher than all 5" in page
    assert "SQK-LSK114" in page
