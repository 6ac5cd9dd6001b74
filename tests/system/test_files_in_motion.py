"""Files that still change when all of them have their names: data younger than the summary wait."""

from __future__ import annotations

import gzip
import time
from pathlib import Path

import pytest
from sites import Site
from younger_files import make_younger

pytestmark = pytest.mark.system

RUN = "20261122_TEST_alpha"
LIBRARY = "sample_A"
CELL = "20261122_2210_1A_PAW00001_0a1b2c3d"
NAME = f"{LIBRARY}/{CELL}"
WHOLE = "@r{}\nACGT\n+\n5555\n"
CUT = "@r1\nACGT\n+\n55"


def write_cell(landing: Path, last: str) -> Path:
    """Write a cell of two files, the last one with this content and before the summary."""
    cell = landing / RUN / LIBRARY / CELL
    (cell / "fastq_pass").mkdir(parents=True)
    (cell / "fastq_pass" / "a_0.fastq").write_text(WHOLE.format(0))
    (cell / "fastq_pass" / "a_1.fastq").write_text(last)
    (cell / "final_summary.txt").write_text("fastq_files_in_final_dest=2\n")
    return cell


def reads(site: Site) -> int:
    [output] = (site.output / RUN / LIBRARY / CELL).glob("*_pass.fastq.gz")
    return gzip.decompress(output.read_bytes()).count(b"\n") // 4


def waits(site: Site) -> None:
    """Assert that the complete cell is not started, and that every text says why."""
    polled = site.run("poll")
    assert (polled.stdout, polled.stderr) == ("", "")
    cell = site.status()[RUN]["cells"][NAME]
    assert cell["stage"] == "incomplete"
    assert "files changed after its final_summary arrived" in cell["why"]
    assert "unchanged for a minute" in site.run("explain", RUN, CELL).stdout
    assert f"{CELL}.synced" not in site.flags(RUN)


def test_a_file_that_grows_after_the_summary(site: Site) -> None:
    """A cell is not started while its last file grows, and then all of its reads are processed."""
    cell = write_cell(site.landing, CUT)
    last = cell / "fastq_pass" / "a_1.fastq"
    last.write_text(WHOLE.format(1))
    make_younger(last, cell / "final_summary.txt")
    waits(site)
    with last.open("a") as file:
        file.write(WHOLE.format(2))
    waits(site)
    (cell / "final_summary.txt").touch()  # the usual order: nothing is younger
    site.run("poll")
    assert (site.stages()[f"{RUN}/{NAME}"], reads(site)) == ("processed", 3)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_service_starts_the_cell_after_a_minute(site: Site) -> None:
    """Without any event the service processes the cell when its files have rested."""
    cell = write_cell(site.landing, CUT)
    last = cell / "fastq_pass" / "a_1.fastq"
    last.write_text(WHOLE.format(1))
    make_younger(last, cell / "final_summary.txt")
    changed = last.stat().st_ctime
    with site.service():
        site.eventually(lambda: f"{CELL}.done" in site.flags(RUN), "the cell is done", 100)
    synced = site.landing / RUN / "pipeline" / f"{CELL}.synced"
    assert synced.stat().st_mtime - changed >= 60
    assert reads(site) == 2


def test_a_damaged_file_that_is_completed(site: Site) -> None:
    """A cut file that has just changed is waited for, even if it is older than the summary."""
    cell = write_cell(site.landing, CUT)
    last = cell / "fastq_pass" / "a_1.fastq"
    with site.service():
        log = site.output / RUN / "pipeline.log"
        site.eventually(
            lambda: log.exists() and "may still be being written" in log.read_text(),
            "the worker waits for the file",
        )
        assert "cut off" in site.status()[RUN]["cells"][NAME]["why"]
        last.write_text(WHOLE.format(1))
        site.eventually(lambda: f"{CELL}.done" in site.flags(RUN), "the cell is done")
    assert f"{CELL}.failed" not in site.flags(RUN)
    assert reads(site) == 2


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_damaged_file_that_stays(site: Site) -> None:
    """A cut file fails its cell when it has not changed for a minute."""
    cell = write_cell(site.landing, CUT)
    changed = (cell / "fastq_pass" / "a_1.fastq").stat().st_ctime
    site.run("poll", check=1)
    assert time.time() - changed >= 60
    assert "cut off" in (site.landing / RUN / "pipeline" / f"{CELL}.failed").read_text()
