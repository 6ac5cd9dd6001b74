"""Data that come after a cell was processed: reported as new data, and processed by `retry`."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from minknow_cells import BAM_WITHOUT_READS
from sites import Site

pytestmark = pytest.mark.system

RUN = "20261122_TEST_alpha"
LIBRARY = "sample_A"
CELL = "20261122_2210_1A_PAW00001_0a1b2c3d"
NAME = f"{LIBRARY}/{CELL}"
READ = "@r{}\nACGT\n+\n5555\n"
NEW = "new data came after it was processed"


def write_cell(landing: Path, fastq: int = 2) -> Path:
    cell = landing / RUN / LIBRARY / CELL
    for directory in ("fastq_pass/barcode01", "pod5"):
        (cell / directory).mkdir(parents=True)
    for number in range(fastq):
        write_fastq(cell, number)
    (cell / "pod5" / "x_0.pod5").write_bytes(b"raw")
    write_summary(cell, fastq)
    return cell


def write_fastq(cell: Path, number: int, directory: str = "fastq_pass/barcode01") -> None:
    (cell / directory).mkdir(parents=True, exist_ok=True)
    (cell / directory / f"a_{number}.fastq").write_text(READ.format(number))


def write_summary(cell: Path, fastq: int, name: str = "final_summary.txt") -> None:
    text = f"fastq_files_in_final_dest={fastq}\npod5_files_in_final_dest=1\n"
    (cell / name).write_text(text)


def cell_of(site: Site) -> dict[str, object]:
    cell = site.status()[RUN]["cells"][NAME]
    assert isinstance(cell, dict)
    return cell


def reads(site: Site) -> int:
    [output] = (site.output / RUN / LIBRARY / CELL).glob("*barcode01_pass.fastq.gz")
    return gzip.decompress(output.read_bytes()).count(b"\n") // 4


def pod5(cell: Path) -> None:
    (cell / "pod5" / "x_1.pod5").write_bytes(b"raw")


def other_barcode(cell: Path) -> None:
    write_fastq(cell, 0, "fastq_pass/barcode02")


def other_kind(cell: Path) -> None:
    (cell / "bam_pass").mkdir()
    (cell / "bam_pass" / "x_0.bam").write_bytes(BAM_WITHOUT_READS)


def called_elsewhere(cell: Path) -> None:
    write_fastq(cell, 0, "basecalling/pass")


def other_summary(cell: Path) -> None:
    write_summary(cell, 2, "final_summary_PAW00001_11111111_22222222.txt")


def renamed(cell: Path) -> None:
    (cell / "pod5" / "x_0.pod5").rename(cell / "pod5" / "y_0.pod5")


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda cell: write_fastq(cell, 2), "1 file in fastq_pass/barcode01"),
        (other_barcode, "1 file in fastq_pass/barcode02"),
        (lambda cell: write_fastq(cell, 0, "fastq_fail"), "1 file in fastq_fail"),
        (pod5, "1 file in pod5"),
        (other_kind, "1 file in bam_pass"),
        (called_elsewhere, "1 file in basecalling/pass"),
        (other_summary, "1 file in its directory"),
        (renamed, "1 file in pod5"),
    ],
)
def test_late_data_are_reported(site: Site, change: Callable[[Path], None], place: str) -> None:
    """Every text names the new data and the command, `.done` stays, and nothing is damaged."""
    cell = write_cell(site.landing)
    site.run("poll")
    assert cell_of(site)["new_data"] == ""
    done = (site.landing / RUN / "pipeline" / f"{CELL}.done").read_text()
    change(cell)
    site.run("poll", check=1)
    assert (site.landing / RUN / "pipeline" / f"{CELL}.done").read_text() == done
    explained = site.run("explain", RUN, CELL).stdout
    texts = {
        "status": site.run("status", RUN).stdout,
        "why": str(cell_of(site)["why"]),
        "new_data": str(cell_of(site)["new_data"]),
        "explain": explained,
        "page": (site.output / RUN / "report.html").read_text(),
    }
    for name, text in texts.items():
        assert NEW in text, name
        assert place in text, name
    assert "but new data came after that" in texts["page"]
    assert f"hesiod-watch retry {RUN} {NAME} --why" in explained
    assert "hesiod-watch retry" in site.run("explain", RUN).stdout
    assert "damaged" not in explained
    missing = change is renamed
    verified = site.run("verify", RUN, check=int(missing)).stdout
    assert "pod5/x_0.pod5: missing" in verified if missing else "every file agrees" in verified


def no_data(cell: Path) -> None:
    (cell / "notes.txt").write_text("x")
    (cell / "report_late.html").write_text("x")
    (cell / "other_reports").mkdir()
    (cell / "fastq_pass" / "barcode01" / ".hidden").touch()


def removed(cell: Path) -> None:
    (cell / "fastq_pass" / "barcode01" / "a_0.fastq").unlink()


def old_done(cell: Path) -> None:
    """Add data to a cell that an earlier version processed."""
    output = cell.parents[3] / "output" / RUN / LIBRARY / CELL
    (output / ".directories.json").unlink()
    pod5(cell)


@pytest.mark.parametrize("change", [no_data, removed, old_done])
def test_no_alarm(site: Site, change: Callable[[Path], None]) -> None:
    """Files that are no data, removed files, and cells of earlier versions cause no report."""
    cell = write_cell(site.landing)
    site.run("poll")
    before = cell_of(site)["why"]
    change(cell)
    site.run("poll")
    assert (cell_of(site)["why"], cell_of(site)["new_data"]) == (before, "")
    assert "hesiod-watch retry" not in site.run("explain", RUN, CELL).stdout
    refused = site.run("retry", RUN, CELL, "--why", "x", check=1)
    assert "nothing to retry" in refused.stderr


def test_late_files_with_their_summary_are_processed(site: Site) -> None:
    """`retry` processes all data, keeps the former results, and ends the report."""
    cell = write_cell(site.landing)
    site.run("poll")
    write_fastq(cell, 2)
    write_summary(cell, 3)
    site.run("poll", check=1)
    assert reads(site) == 2
    site.run("retry", RUN, CELL, "--why", "late files")
    attic = site.landing / RUN / "pipeline" / "attic"
    assert {path.name for path in attic.glob("*/*")} >= {f"{CELL}.done", f"{CELL}.synced"}
    site.run("poll")
    assert (cell_of(site)["stage"], cell_of(site)["new_data"], reads(site)) == ("processed", "", 3)
    [former] = (site.output / RUN / LIBRARY / CELL / "superseded").glob("*/qc.json")
    assert json.loads(former.read_text())["total"]["reads"] == 2
    site.run("verify", RUN)


def test_late_files_that_no_summary_counts(site: Site) -> None:
    """After `retry` a person accepts the counts, also if a person accepted other data before."""
    cell = write_cell(site.landing)
    write_summary(cell, 4)
    site.run("perform", "new-run", RUN)
    synced = site.landing / RUN / "pipeline" / f"{CELL}.synced"
    synced.touch()
    site.run("poll")
    write_fastq(cell, 2)
    assert f"hesiod-touch-atomic {synced}" in site.run("explain", RUN, CELL).stdout
    site.run("retry", RUN, CELL, "--why", "late file")
    assert not synced.exists()
    site.run("poll")
    assert (cell_of(site)["stage"], reads(site)) == ("incomplete", 2)
    synced.touch()
    site.run("poll")
    assert (cell_of(site)["stage"], reads(site)) == ("processed", 3)
    assert "1 of 4 FASTQ files missing" in str(cell_of(site)["why"])


def test_the_service_reports_late_data(site: Site) -> None:
    """A full sweep finds late data without an event, and renews the page."""
    site.configure(watch="sweep_interval: 1s, full_sweep_interval: 1s")
    cell = write_cell(site.landing)
    page = site.output / RUN / "report.html"
    with site.service():
        site.eventually(
            lambda: page.exists() and ">Complete" in page.read_text(), "the run is complete"
        )
        pod5(cell)
        site.eventually(lambda: NEW in page.read_text(), "the page has the new data")
