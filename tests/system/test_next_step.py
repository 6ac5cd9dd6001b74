"""The scripts of docs/next-step.md: real Snakemake, and the sample sheets."""

from __future__ import annotations

import csv
import gzip
import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from sites import Site

from hesiod_watch.cli.simulator import SimulatedCell

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
RUN, LIBRARY, CELL = "20261122_TEST_alpha", "sample_A", "20261122_2210_1A_PAW00001_0a1b2c3d"
SNAKEMAKE = shutil.which("snakemake", path=str(Path(sys.executable).parent))


def start(site: Site, engine: str, *words: str, more: str = "") -> Path:
    """Have a cell finished with the script as its command; returns the cell's directory there."""
    script = site.root / "start-pipeline"
    shutil.copy(ROOT / "contrib" / "next-step" / "start-pipeline", script)
    command = json.dumps([str(script), engine, str(site.root / "work"), "{manifest}", *words])
    site.configure(
        processing="workers: 2, ingest: false",
        more=f"on_done: {{command: {command}}}\n{more}",
    )
    SimulatedCell(
        *(site.landing, RUN, LIBRARY, CELL),
        barcodes=("barcode01", "barcode02", "unclassified"),
        files_per_barcode=1,
        reads_per_file=10,
    ).write()
    site.run("poll")
    return site.root / "work" / RUN / LIBRARY / CELL


def log(site: Site) -> str:
    return (site.output / RUN / "pipeline.log").read_text()


@pytest.mark.skipif(not SNAKEMAKE, reason="snakemake is not installed beside Python")
def test_snakemake(site: Site) -> None:
    """Snakemake finds the sample sheet, and its results are those of the cell's reads."""
    site.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    site.environ["HOME"] = str(site.root)  # where it keeps its cache
    snakefile = ROOT / "contrib" / "next-step" / "Snakefile"
    place = start(site, "snakemake", "--snakefile", str(snakefile), "--cores", "1")
    assert f"{CELL}.hook.done" in site.flags(RUN), log(site)
    results = site.output / RUN / LIBRARY / CELL
    for sample in ("barcode01", "barcode02"):
        (fastq,) = results.glob(f"*_{sample}_pass.fastq.gz")
        sequences = gzip.decompress(fastq.read_bytes()).split(b"\n")[1::4]
        found = (place / "lengths" / f"{sample}.txt").read_text().split()
        assert found
        assert list(map(int, found)) == sorted(map(len, sequences))
    assert not (place / "lengths" / "unclassified.txt").exists()
    assert f"hook {LIBRARY}/{CELL}: " in log(site)
    # Another attempt finds nothing to do, also beside the lock that a killed attempt has left.
    locks = place / ".snakemake" / "locks"
    locks.mkdir(exist_ok=True)
    (locks / "0.output.lock").write_text(f"{place}/lengths/barcode01.txt\n")
    (site.landing / RUN / "pipeline" / f"{CELL}.hook.done").unlink()
    site.run("poll")
    assert f"{CELL}.hook.done" in site.flags(RUN), log(site)
    assert "Nothing to be done" in log(site)


def stand_in(site: Site) -> None:
    """A program `nextflow` that prints its arguments."""
    programs = site.root / "programs"
    programs.mkdir()
    program = programs / "nextflow"
    program.write_text('#!/bin/sh\necho "$PWD:" "$@"\n')
    program.chmod(0o755)
    site.environ["PATH"] = f"{programs}{os.pathsep}{os.environ['PATH']}"


def test_sample_sheet_of_nextflow(site: Site) -> None:
    """Nextflow gets the sample sheet of nf-core, with files that exist."""
    stand_in(site)
    place = start(site, "nextflow", "nf-core/taxprofiler", "-profile", "singularity")
    assert f"{place}: run nf-core/taxprofiler -profile singularity --input samplesheet.csv" in log(
        site
    )
    with (place / "samplesheet.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["sample"] for row in rows] == ["barcode01", "barcode02"]
    assert {row["instrument_platform"] for row in rows} == {"OXFORD_NANOPORE"}
    assert {row["run_accession"] for row in rows} == {CELL}
    assert all(Path(row["fastq_1"]).is_file() for row in rows)
    assert {row["fastq_2"] for row in rows} == {""}


def test_nothing_for_a_failed_cell(site: Site) -> None:
    """A cell whose verdict is FAIL starts no pipeline, which is a success."""
    stand_in(site)
    place = start(site, "nextflow", "x", more="qc: {internal: {gigabases: {fail: 100}}}\n")
    assert f"{CELL}.hook.done" in site.flags(RUN)
    assert not place.exists()
    assert "nothing is started" in log(site)
