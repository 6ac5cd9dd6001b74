"""`processing.checksums: require`: a cell that MinKNOW's checksums prove damaged waits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from minknow_cells import CELL, A, summary_text
from output_hashes import NAME, write_output_hash
from sites import Site
from younger_files import end_with_summaries

pytestmark = pytest.mark.system

RUN, LIBRARY = "20190710_TEST_required", "library"
REQUIRED = "workers: 2, checksums: require, grace: 0s"


def write_cell(site: Site) -> Path:
    """Write a finished cell with MinKNOW's checksums."""
    cell = site.landing / RUN / LIBRARY / CELL
    for directory in ("fastq_pass", "pod5"):
        (cell / directory).mkdir(parents=True)
    for number in range(2):
        name = f"X_pass_c6ded78b_{A[:8]}_{number}.fastq"
        (cell / "fastq_pass" / name).write_text(f"@r{number}\nACGT\n+\n5555\n")
    pod5_of(cell).write_bytes(b"raw")
    (cell / f"final_summary_X_c6ded78b_{A[:8]}.txt").write_text(summary_text(fastq=2, pod5=1))
    write_output_hash(cell)
    return cell


def pod5_of(cell: Path) -> Path:
    return cell / "pod5" / f"X_c6ded78b_{A[:8]}_0.pod5"


def write_pod5(cell: Path, data: bytes) -> None:
    """Write a pod5 before the summary: a file that is younger waits for a minute."""
    pod5_of(cell).write_bytes(data)
    end_with_summaries(cell)


def flag(site: Site, end: str) -> Path:
    return site.landing / RUN / "pipeline" / f"{CELL}.{end}"


def messages(site: Site) -> str:
    """Everything in the files of the run's messages."""
    directory = site.landing / RUN / "pipeline" / "messages"
    return "".join(path.read_text() for path in directory.iterdir() if path.is_file())


def poll(site: Site) -> None:
    site.run("poll", check=None)
    site.run("poll", check=None)


def test_a_cell_that_agrees_is_processed(site: Site) -> None:
    """Every named file is compared first; the result is in the flag."""
    site.configure(processing=REQUIRED)
    write_cell(site)
    poll(site)
    assert flag(site, "done").exists()
    assert "3 files agree" in flag(site, "checksums.done").read_text()
    assert "3 files agree" in site.run("explain", RUN, f"{LIBRARY}/{CELL}").stdout
    assert "3 files agree" in messages(site)


def test_a_cell_without_checksums_is_not_affected(site: Site) -> None:
    """Most sequencers write no checksums."""
    site.configure(processing=REQUIRED)
    (write_cell(site) / NAME).unlink()
    poll(site)
    assert flag(site, "done").exists()
    assert not flag(site, "checksums.done").exists()


def test_a_damaged_cell_waits_until_it_is_mended(site: Site) -> None:
    """The cell is not synced, every place names the file, and the mended cell is processed."""
    site.configure(processing=REQUIRED)
    write_pod5(write_cell(site), b"bad")
    poll(site)
    assert not flag(site, "synced").exists()
    name = f"pod5/{pod5_of(Path()).name}"
    words = site.run("explain", RUN, f"{LIBRARY}/{CELL}").stdout
    assert f"1 file differs: {name}" in words
    assert "perform checksums" in words
    assert name in messages(site)
    write_pod5(site.landing / RUN / LIBRARY / CELL, b"raw")
    site.run("perform", "checksums", RUN, f"{LIBRARY}/{CELL}")
    poll(site)
    assert flag(site, "done").exists()


def test_a_person_accepts_a_cell_without_a_file(site: Site) -> None:
    """A file that the checksums name is absent: a `synced` of a person lets the cell continue."""
    site.configure(processing=REQUIRED)
    write_output_hash(write_cell(site), {"pod5/lost_1.pod5": "0" * 64})
    poll(site)
    assert not flag(site, "synced").exists()
    assert "pod5/lost_1.pod5" in site.run("explain", RUN).stdout
    flag(site, "synced").touch()
    poll(site)
    assert flag(site, "done").exists()


def test_report_is_the_default(site: Site) -> None:
    """Without the key such a cell is processed, and its results say what is wrong."""
    write_pod5(write_cell(site), b"bad")
    poll(site)
    assert flag(site, "done").exists()
    qc = json.loads((site.output / RUN / LIBRARY / CELL / "qc.json").read_text())
    assert qc["minknow_checksums"]["agreeing"] == 2
    assert qc["minknow_checksums"]["differing"] == [f"pod5/{pod5_of(Path()).name}"]


def test_requiring_no_more_lets_a_cell_continue(site: Site) -> None:
    """A comparison that failed counts only while the key says so."""
    site.configure(processing=REQUIRED)
    write_pod5(write_cell(site), b"bad")
    poll(site)
    site.configure()
    poll(site)
    assert flag(site, "done").exists()


def test_a_copied_cell_waits_too(site: Site) -> None:
    """A cell of an upstream is copied, and is complete when its files agree with the checksums."""
    sequencer = site.root / "sequencer"
    site.configure(
        "upstream_interval: 0.1s", REQUIRED, f"upstreams: {{seq: {{location: {sequencer}}}}}\n"
    )
    cell = write_cell(site)
    sequencer.mkdir()
    (site.landing / RUN).rename(sequencer / RUN)
    there = sequencer / cell.relative_to(site.landing)
    write_pod5(there, b"bad")
    poll(site)
    (run,) = (path.name for path in site.landing.iterdir() if not path.name.startswith("."))
    pipeline = site.landing / run / "pipeline"
    assert not (pipeline / f"{CELL}.synced").exists()
    assert f"1 file differs: pod5/{pod5_of(Path()).name}" in site.run("explain", run).stdout
    write_pod5(there, b"raw")
    site.run("poll", check=None)  # copies the mended file
    site.run("perform", "checksums", run, f"{LIBRARY}/{CELL}")
    assert not (pipeline / f"{CELL}.synced").exists()
    poll(site)
    assert (pipeline / f"{CELL}.done").exists()
