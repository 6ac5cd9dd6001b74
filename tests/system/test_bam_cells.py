"""Cells whose reads come in BAM, from the sequencer's files to results, copies and deletion.

samtools judges every output, and compares its reads with those of the cell.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from backup_mount import BackupMount
from bam_files import needs_samtools, reads_in, samtools
from mounts import needs_mounts
from simulated_cells import CELL, LIBRARY, RUN, simulated
from sites import Site, eventually

from hesiod_watch.cli.simulator import SimulatedCell
from hesiod_watch.cli.simulator.bam import MODIFIED_MODEL
from hesiod_watch.fastq import bgzf
from hesiod_watch.host.files import md5

pytestmark = [pytest.mark.system, pytest.mark.slow, needs_samtools]

NAME = f"{LIBRARY}/{CELL}"


def bam_cell(landing: Path, **options: Any) -> SimulatedCell:
    """A cell with two barcodes, BAM only; not written yet."""
    settings: dict[str, Any] = {
        "barcodes": ("barcode01", "Jörg"),
        "files_per_barcode": 3,
        "reads_per_file": 30,
        "mean_length": 400,
        "fastq": False,
        "bam": "unaligned",
    }
    return simulated(landing, **(settings | options))


def processed(site: Site) -> dict[str, Any]:
    """Have the cell processed; returns its qc.json."""
    done = site.landing / RUN / "pipeline" / f"{CELL}.done"

    def look() -> bool:
        site.run("poll", check=None)
        return done.exists()

    eventually(look, "the cell is processed")
    qc = json.loads((results(site) / "qc.json").read_text())
    assert isinstance(qc, dict)
    return qc


def results(site: Site) -> Path:
    return site.output / RUN / LIBRARY / CELL


def sources_of(cell: SimulatedCell, barcode: str | None, part: str) -> list[Path]:
    return sorted((cell.path / f"bam_{part}" / (barcode or "")).glob("*.bam"))


@pytest.mark.parametrize("bam", ["unaligned", "aligned"])
@pytest.mark.parametrize("barcodes", [("barcode01", "Jörg"), ()], ids=["barcodes", "flat"])
@pytest.mark.parametrize("fastq", [False, True], ids=["BAM only", "and FASTQ"])
def test_each_barcode_and_part_has_an_output(
    tmp_path: Path, bam: str, barcodes: tuple[str, ...], fastq: bool
) -> None:
    """Every read of the cell is in one output; the numbers, checksums and copies agree."""
    site = Site(tmp_path)
    cell = bam_cell(site.landing, bam=bam, barcodes=barcodes, fastq=fastq)
    cell.write()
    qc = processed(site)
    place = results(site)
    outputs = [entry for entry in qc["outputs"] if entry["file"].endswith(".bam")]
    parts = 2 * len(barcodes or (None,))
    assert len(outputs) == parts
    assert len(qc["outputs"]) == parts * (1 + fastq)
    for output in outputs:
        path = place / output["file"]
        sources = sources_of(cell, output["barcode"], output["part"])
        assert output["sources"] == len(sources) == 3
        samtools("quickcheck", *(["-u"] if bam == "unaligned" else []), path)
        assert reads_in(path) == reads_in(*sources)
        expected = cell.expected[output["barcode"], output["part"]]
        assert (output["reads"], output["bases"]) == (expected.reads, expected.bases)
        assert int(samtools("view", "-c", path)) == expected.reads
        assert output["md5"] == md5(path.read_bytes())
        assert ("index" in output) == (bam == "aligned")
        if bam == "aligned":
            mapped = samtools("idxstats", path).splitlines()
            assert sum(int(line.split("\t")[2]) for line in mapped) == int(
                samtools("view", "-c", "-F", "4", path)
            )
    reads = sum(amount.reads for amount in cell.expected.values())
    total = qc["total"]
    assert total["reads"] == reads
    assert total["bam"]["reads"] == total["bam"]["modified"] == reads
    assert total["bam"]["modified_base_models"] == [MODIFIED_MODEL]
    assert total["bam"]["duplex"] > 0
    assert (total["bam"]["aligned"] > 0) == (bam == "aligned")
    assert total["mean_q"] == pytest.approx(total["mean_q_qs"])
    listed = {line[34:]: line[:32] for line in (place / "md5sums.txt").read_text().splitlines()}
    names = {path.name for path in place.glob("*.bam*")}
    assert names <= listed.keys()
    assert all(listed[name] == md5((place / name).read_bytes()) for name in names)
    assert len(names) == parts * (2 if bam == "aligned" else 1)
    assert "every file agrees" in site.run("verify", RUN).stdout


def test_a_cell_grows_while_it_is_written(tmp_path: Path) -> None:
    """Finished files are taken while the cell runs, and numbers are shown."""
    site = Site(tmp_path)
    cell = bam_cell(site.landing, barcodes=(), files_per_barcode=4)
    steps = cell.steps()
    while len(list(cell.path.glob("bam_*/*.bam"))) < 6:
        next(steps)
    site.run("perform", "new-run", RUN)
    site.run("perform", "ingest", RUN, NAME)
    qc = json.loads((results(site) / "qc.json").read_text())
    assert qc["state"] == "running"
    taken = [path for part in ("pass", "fail") for path in sources_of(cell, None, part)[:2]]
    assert qc["total"]["reads"] == qc["total"]["bam"]["reads"] == len(reads_in(*taken))
    for _ in steps:
        pass
    qc = processed(site)
    expected = sum(amount.reads for amount in cell.expected.values())
    assert qc["total"]["reads"] == expected
    assert "again" not in " ".join(qc["notes"])


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda data: data[: -len(bgzf.END_OF_FILE)], "truncated: the end-of-file block"),
        (lambda data: b"", "empty file"),
        (lambda data: b"@r\nACGT\n+\n!!!!\n", "not BAM: it begins with"),
    ],
    ids=["truncated", "empty", "foreign"],
)
def test_a_damaged_file_is_named(tmp_path: Path, damage: Any, reason: str) -> None:
    """A damaged BAM stops the cell with its name and the reason; the other reads are shown."""
    site = Site(tmp_path)
    cell = bam_cell(site.landing)
    cell.write()
    bad = sources_of(cell, "barcode01", "pass")[1]
    bad.write_bytes(damage(bad.read_bytes()))
    failed = site.landing / RUN / "pipeline" / f"{CELL}.failed"

    def look() -> bool:
        site.run("poll", check=None)
        return failed.exists()

    eventually(look, "the cell has failed", 240)
    record = json.loads(failed.read_text())
    assert reason in record["reason"]
    qc = json.loads((results(site) / "qc.json").read_text())
    assert [each["name"] for each in qc["damaged"]] == [str(bad.relative_to(cell.path))]
    total = sum(amount.reads for amount in cell.expected.values())
    assert 0 < qc["total"]["reads"] < total


@pytest.mark.parametrize("bam", ["unaligned", "aligned"])
@needs_mounts
def test_copies_and_deletion(tmp_path: Path, bam: str) -> None:
    """Only a source that an output can restore is left out of backups, and removed with one."""
    mounted = BackupMount(tmp_path / "second")
    mounted.mount()
    try:
        site = Site(tmp_path)
        site.configure(more=f"backups: {{second: {{location: {mounted.place}, timeout: 10s}}}}\n")
        site.run("backup-init", "second")
        cell = bam_cell(site.landing, bam=bam)
        cell.write()
        sources = {path.relative_to(cell.path) for path in cell.path.glob("bam_*/*/*.bam")}
        processed(site)
        copied = site.landing / RUN / "pipeline" / f"{CELL}.backup.done"

        def look() -> bool:
            site.run("poll", check=None)
            return copied.exists()

        eventually(look, "the cell is backed up")
        there = mounted.place / RUN / "raw" / NAME
        raw = {path.relative_to(there) for path in there.glob("bam_*/*/*.bam")}
        assert raw == (sources if bam == "aligned" else set())
        names = {path.name for path in results(site).glob("*.bam*")}
        copies = mounted.place / RUN / "results" / NAME
        assert {path.name for path in copies.glob("*.bam*")} == names
        assert "every file agrees" in site.run("verify", RUN, "--backup").stdout
        site.run("strip", RUN, CELL, "--yes", check=None)
        left = {path.relative_to(cell.path) for path in cell.path.glob("bam_*/*/*.bam")}
        assert left == (sources if bam == "aligned" else set())
        if bam == "unaligned":
            output = next(results(site).glob("*barcode01_pass.bam"))
            assert int(samtools("view", "-c", output)) == cell.expected["barcode01", "pass"].reads
    finally:
        mounted.close()
