"""The numbers of a cell are those of samtools and of NanoStat, where they mean the same thing.

samtools comes with pysam. NanoStat is asked where it is installed (`pip install NanoStat`).
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from itertools import accumulate
from pathlib import Path
from statistics import median
from typing import Any

import pysam
import pytest
from sites import Site

from hesiod_watch.cli.simulator import SimulatedCell

pytestmark = pytest.mark.system

RUN = "20261122_TEST_alpha"
LIBRARY = "sample_A"
CELL = "20261122_2210_1A_PAW00001_0a1b2c3d"
BARCODES = ("barcode01", "barcode02")
NANOSTAT = shutil.which("NanoStat", path=str(Path(sys.executable).parent))


def processed(site: Site, name: str = CELL, **options: Any) -> tuple[SimulatedCell, dict[str, Any]]:
    """Write a cell and process it; returns it with its qc.json."""
    cell = SimulatedCell(
        site.landing,
        RUN,
        LIBRARY,
        name,
        barcodes=BARCODES,
        files_per_barcode=2,
        reads_per_file=60,
        mean_length=900,
        **options,
    )
    cell.write()
    site.run("poll")
    site.eventually(lambda: f"{name}.done" in site.flags(RUN), "the cell is processed")
    qc = json.loads((site.output / RUN / LIBRARY / name / "qc.json").read_text())
    return cell, qc


def joined(cell: SimulatedCell, root: Path, kind: str, part: str, barcode: str = "*") -> Path:
    """All files of reads of a part in one file, made by samtools or by joining texts."""
    sources = sorted(map(str, cell.path.glob(f"{kind}_{part}/{barcode}/*.{kind}")))
    assert len(sources) == 2 * (len(BARCODES) if barcode == "*" else 1)
    path = root / f"joined_{part}_{barcode.replace('*', 'all')}.{kind}"
    if kind == "bam":
        pysam.cat("-o", str(path), *sources, catch_stdout=False)
    else:
        path.write_bytes(b"".join(Path(source).read_bytes() for source in sources))
    return path


def figures_of_samtools(path: Path) -> dict[str, float]:
    """Numbers of `samtools stats`, by our names."""
    if path.suffix == ".fastq":
        bam = path.with_suffix(".imported.bam")
        pysam.fqimport("-0", str(path), "-o", str(bam), catch_stdout=False)
        path = bam
    lines = [line.split("\t") for line in str(pysam.stats(str(path))).splitlines()]
    sums = {line[1].rstrip(":"): line[2] for line in lines if line[0] == "SN"}
    lengths = Counter({int(line[1]): int(line[2]) for line in lines if line[0] == "RL"})
    qualities: Counter[int] = Counter()  # bases of each quality
    for line in lines:
        if line[0] == "FFQ":
            qualities.update({quality: int(count) for quality, count in enumerate(line[2:])})
    a, c, g, t, _ = (int(each) for line in lines if line[0] == "FTC" for each in line[1:])
    whole = sum(qualities.values())
    descending = sorted(lengths.elements(), reverse=True)
    so_far = accumulate(descending)
    bases = int(sums["total length"])
    return {
        "reads": int(sums["raw total sequences"]),
        "bases": bases,
        "mean_length": bases / int(sums["raw total sequences"]),
        "longest": int(sums["maximum length"]),
        "shortest": descending[-1],
        "median_length": median(descending),
        "n50": next(
            length for length, sum_ in zip(descending, so_far, strict=True) if 2 * sum_ >= bases
        ),
        "bases_q20": sum(qualities[each] for each in qualities if each >= 20) / whole,
        "bases_q30": sum(qualities[each] for each in qualities if each >= 30) / whole,
        "gc": (c + g) / (a + c + g + t),
    }


def ours(group: dict[str, Any], like: dict[str, float]) -> dict[str, float]:
    return {key: group[key] for key in like}


@pytest.mark.parametrize(
    "options",
    [{"era": "2021"}, {"era": "2026", "fastq": False, "bam": "unaligned"}],
    ids=["FASTQ", "BAM"],
)
def test_numbers_of_samtools(site: Site, options: dict[str, Any]) -> None:
    """Reads, bases, lengths, N50, GC and shares of good bases are equal, also of a barcode."""
    cell, qc = processed(site, **options)
    kind = "bam" if options.get("bam") else "fastq"
    for part in ("pass", "fail"):
        expected = figures_of_samtools(joined(cell, site.root, kind, part))
        assert ours(qc[part], expected) == pytest.approx(expected, rel=1e-6)
    first = next(each for each in qc["barcodes"] if each["barcode"] == BARCODES[0])
    expected = figures_of_samtools(joined(cell, site.root, kind, "pass", BARCODES[0]))
    assert ours(first["pass"], expected) == pytest.approx(expected, rel=1e-6)


@pytest.mark.skipif(NANOSTAT is None, reason="NanoStat is not installed")
def test_numbers_of_nanostat(site: Site) -> None:
    """Reads, bases, lengths, N50, median Q and reads above a quality are equal.

    NanoStat measures the quality of a read over all its bases; so does this program for data before
    2023. Its mean quality is a mean of error probabilities, and ours one of qualities.
    """
    cell, qc = processed(site, CELL.replace("2026", "2021"), era="2021")
    assert qc["mean_q"]["rule"] == "whole"
    path = joined(cell, site.root, "fastq", "pass")
    command = [str(NANOSTAT), "--fastq", str(path), "--tsv"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    rows = [line.split("\t") for line in done.stdout.splitlines()[1:]]
    found = {name: float(value.split()[0]) for name, value in rows}
    group = qc["pass"]
    expected = {
        "number_of_reads": group["reads"],
        "number_of_bases": group["bases"],
        "n50": group["n50"],
        "longest_read_(with_Q):1": group["longest"],
        "Reads >Q10:": group["reads_q10"],
        "Reads >Q15:": group["reads_q15"],
        "Reads >Q20:": group["reads_q20"],
    }
    assert {name: found[name] for name in expected} == expected
    rounded = {
        "mean_read_length": group["mean_length"],
        "median_read_length": group["median_length"],
        "median_qual": group["median_q"],
    }
    assert {name: found[name] for name in rounded} == pytest.approx(rounded, abs=0.0501)
