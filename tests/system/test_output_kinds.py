"""Cells with more than passed and failed reads in FASTQ: what people and programs are told."""

from __future__ import annotations

import html
import json
import shutil
from typing import Any

import pytest
from sites import Site
from younger_files import end_with_summaries

from hesiod_watch.cli.simulator import SimulatedCell

pytestmark = pytest.mark.system

RUN = "20261122_TEST_alpha"
LIBRARY = "sample_A"
CELL = "20261122_2210_1A_PAW00001_0a1b2c3d"
NAME = f"{LIBRARY}/{CELL}"


def simulated(site: Site, **options: Any) -> SimulatedCell:
    """A small cell of this site; not written yet."""
    settings: dict[str, Any] = {
        "barcodes": ("barcode01",),
        "reads_per_file": 20,
        "mean_length": 300,
    }
    return SimulatedCell(site.landing, RUN, LIBRARY, CELL, **(settings | options))


def processed(site: Site) -> tuple[dict[str, Any], str]:
    """Have the cell processed; returns its qc.json, and the text of its page."""
    place = site.output / RUN / LIBRARY / CELL

    def look() -> bool:
        site.run("poll", check=None)
        return f"{CELL}.done" in site.flags(RUN)

    site.eventually(look, "the cell is processed")
    qc = json.loads((place / "qc.json").read_text())
    return qc, html.unescape((place / "report.html").read_text())


def messages(site: Site) -> str:
    """The text of all messages of the run."""
    outbox = site.landing / RUN / "pipeline" / "messages"
    return "".join(path.read_text() for path in outbox.iterdir())


def test_data_without_an_output_are_named(site: Site) -> None:
    """CRAM, and reads at places that MinKNOW does not have, are named and change nothing else."""
    cell = simulated(site)
    cell.write()
    expected = sum(amount.reads for amount in cell.expected.values())
    names = [
        "bam_pass/barcode01/x.cram",
        "dorado/calls.bam",
        "fastq_pass/barcode01/again/x.fastq",
        "fastq_pass_trimmed/barcode01/x.fastq.gz",
    ]
    for name in names:
        (cell.path / name).parent.mkdir(parents=True, exist_ok=True)
        (cell.path / name).write_bytes(b"x")
    end_with_summaries(cell.path)
    qc, page = processed(site)
    assert qc["total"]["reads"] == expected
    for text in (json.dumps(qc), page, site.run("explain", RUN, NAME).stdout):
        assert all(name in text for name in names)
    assert "every file agrees" in site.run("verify", RUN).stdout


def test_fastq_named_fq(site: Site) -> None:
    """Files that end in .fq have outputs like those that end in .fastq."""
    cell = simulated(site)
    cell.write()
    for path in cell.path.glob("fastq_*/*/*.fastq"):
        path.rename(path.with_suffix(".fq"))
    end_with_summaries(cell.path)
    qc, _ = processed(site)
    assert qc["completeness"]["verdict"] == "proven"
    assert qc["total"]["reads"] == sum(amount.reads for amount in cell.expected.values())


def test_duplex_reads_are_a_part_of_their_own(site: Site) -> None:
    """They have their own outputs and numbers; the totals are those of the simplex reads."""
    cell = simulated(site, duplex=True, era="2026", bam="unaligned")
    cell.write()
    qc, page = processed(site)
    expected = {part: cell.expected["barcode01", part] for part in ("pass", "fail", "pass_duplex")}
    assert qc["total"]["reads"] == expected["pass"].reads + expected["fail"].reads
    assert {part: qc[part]["reads"] for part in expected} == {
        part: amount.reads for part, amount in expected.items()
    }
    outputs = {(each["part"], each["file"].rpartition("_pass")[2]) for each in qc["outputs"]}
    assert {("pass_duplex", "_duplex.fastq.gz"), ("pass_duplex", "_duplex.bam")} <= outputs
    assert len(qc["outputs"]) == 6
    assert "Passed duplex" in page
    message = messages(site)
    assert f"Duplex:  {expected['pass_duplex'].reads} reads" in message
    assert "every file agrees" in site.run("verify", RUN).stdout


def test_duplex_reads_only(site: Site) -> None:
    """Without other reads the totals are those of the duplex reads."""
    cell = simulated(site, duplex=True, reads_per_file=40)
    cell.write()
    duplex = cell.expected["barcode01", "pass_duplex"]
    for name in ("fastq_pass", "fastq_fail"):
        shutil.rmtree(cell.path / name)
    (summary,) = cell.path.glob("final_summary*.txt")
    text = summary.read_text()
    summary.write_text(text.replace("fastq_files_in_final_dest=6", "fastq_files_in_final_dest=2"))
    qc, _ = processed(site)
    assert qc["total"]["reads"] == qc["pass_duplex"]["reads"] == duplex.reads
    assert f"passed {duplex.reads} (100.0% of the reads), failed 0" in messages(site)
    assert "Duplex:" not in messages(site)


@pytest.mark.parametrize(
    ("basecalling", "why"),
    [
        ("0", "basecalling was off, and it has raw data only (2 POD5 files)"),
        ("1", "no reads passed or failed: it has raw data (2 POD5 files), and no FASTQ or BAM"),
    ],
    ids=["off", "on"],
)
def test_raw_data_only(site: Site, basecalling: str, why: str) -> None:
    """Message, status, explain, qc.json and both pages say why there are no reads."""
    cell = simulated(site, fastq=False)
    cell.write()
    (summary,) = cell.path.glob("final_summary*.txt")
    text = summary.read_text()
    summary.write_text(text.replace("basecalling_enabled=1", f"basecalling_enabled={basecalling}"))
    qc, page = processed(site)
    assert qc["no_reads"] == why
    for said in (
        messages(site),
        site.run("explain", RUN, NAME).stdout,
        site.run("status", RUN).stdout,
    ):
        assert why in " ".join(said.split())
    assert why.partition(":")[0].partition(",")[0] in page.lower()
    assert why in html.unescape((site.output / RUN / "report.html").read_text())
