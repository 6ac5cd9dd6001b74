"""Cells with the right number of wrong files: nothing is announced as complete until mended."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from minknow_cells import CELL, A, B, summary_text
from sites import Site
from younger_files import end_with_summaries

pytestmark = pytest.mark.system

RUN, LIBRARY = "20190710_TEST_identity", "library"
READ = "@r{}\nACGT\n+\n5555\n"


def write_cell(site: Site) -> Path:
    """Write a finished cell with five FASTQ files."""
    cell = site.landing / RUN / LIBRARY / CELL
    (cell / "fastq_pass").mkdir(parents=True)
    for number in range(5):
        fastq(cell, number).write_text(READ.format(number))
    (cell / f"final_summary_X_c6ded78b_{A[:8]}.txt").write_text(summary_text(fastq=5))
    return cell


def fastq(cell: Path, number: int, acquisition: str = A) -> Path:
    return cell / "fastq_pass" / f"X_pass_c6ded78b_{acquisition[:8]}_{number}.fastq"


def flag(site: Site, end: str) -> Path:
    return site.landing / RUN / "pipeline" / f"{CELL}.{end}"


def test_a_doubled_file_is_no_substitute(site: Site) -> None:
    """A missing file and a second file of another number: the cell waits until it is mended."""
    cell = write_cell(site)
    lost = fastq(cell, 2).read_text()
    fastq(cell, 2).unlink()
    twin = fastq(cell, 3).with_suffix(".fastq.gz")
    twin.write_bytes(b"")
    site.run("poll", check=None)
    assert not flag(site, "synced").exists()
    words = site.run("explain", RUN).stdout
    assert "1 of 5 FASTQ files missing" in words
    assert f"fastq_pass/{twin.name}" in words
    twin.unlink()
    fastq(cell, 2).write_text(lost)
    end_with_summaries(cell)
    site.run("poll", check=None)
    assert flag(site, "done").exists()


def test_a_file_of_another_acquisition_is_no_substitute(site: Site) -> None:
    """A missing file and one of another acquisition: the cell waits, and both are named."""
    cell = write_cell(site)
    fastq(cell, 2).rename(fastq(cell, 2, B))
    site.run("poll", check=None)
    assert not flag(site, "synced").exists()
    words = site.run("explain", RUN).stdout
    assert "_2)" in words
    assert fastq(cell, 2, B).name in words
    fastq(cell, 2, B).rename(fastq(cell, 2))
    end_with_summaries(cell)
    site.run("poll", check=None)
    assert flag(site, "done").exists()


def test_equal_files_fail_until_mended(site: Site) -> None:
    """Names and counts agree, but two files have the same reads: nothing is published."""
    cell = write_cell(site)
    lost = fastq(cell, 2).read_text()
    shutil.copy(fastq(cell, 3), fastq(cell, 2))
    end_with_summaries(cell)
    site.run("poll", check=None)
    assert not flag(site, "done").exists()
    words = flag(site, "failed").read_text()
    assert "2 FASTQ files with the same reads" in words
    assert fastq(cell, 2).name in words
    assert fastq(cell, 3).name in words
    fastq(cell, 2).write_text(lost)
    end_with_summaries(cell)
    site.run("retry", RUN, f"{LIBRARY}/{CELL}", "--why", "mended")
    site.run("poll", check=None)
    assert flag(site, "done").exists()


def test_a_person_may_accept_equal_files(site: Site) -> None:
    """With a `synced` of a person the cell is processed, and every place says what is wrong."""
    cell = write_cell(site)
    shutil.copy(fastq(cell, 3), fastq(cell, 2))
    end_with_summaries(cell)
    site.run("poll", check=None)
    site.run("retry", RUN, f"{LIBRARY}/{CELL}", "--why", "the file is lost")
    flag(site, "synced").touch()
    site.run("poll", check=None)
    assert "2 FASTQ files with the same reads" in flag(site, "done").read_text()
    assert "with the same reads" in site.run("explain", RUN).stdout
