"""The real MultiQC reads the cells' files and makes one report of them."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from qc_documents import not_barcoded, plate, qc_document, without_fastq

from hesiod_watch.report.multiqc import multiqc_files

pytestmark = [pytest.mark.slow, pytest.mark.system]

MULTIQC = Path(sys.executable).parent / "multiqc"


def table(path: Path) -> dict[str, dict[str, str]]:
    """A table of MultiQC's data directory, by sample."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert len({row["Sample"] for row in rows}) == len(rows)
    return {row.pop("Sample"): row for row in rows}


@pytest.fixture(scope="module")
def documents() -> list[dict[str, Any]]:
    """Three cells with reads, one with a library name that MultiQC truncates; one without FASTQ."""
    return [
        qc_document(),
        not_barcoded(library="soil.fastq_counts", cell="20261119_1411_2G_PAW48390_01ab34ff",
                     flow_cell_id="PAW48390", short_id="01ab34ff"),
        qc_document(library="soil.fastq_counts", cell="20261119_1412_2H_PAW48391_01ab3500",
                    flow_cell_id="PAW48391", short_id="01ab3500", barcodes=plate(24)),
        without_fastq(cell="20261119_1413_3A_PAW48392_01ab3501"),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def merged(documents: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MultiQC's output for the cells' directories."""
    if not MULTIQC.exists():
        pytest.skip(f"no multiqc beside {sys.executable}")
    directory = tmp_path_factory.mktemp("multiqc")
    for document in documents:
        cell = directory / "output" / document["library"] / document["cell"]
        cell.mkdir(parents=True)
        for name, content in multiqc_files(document).items():
            (cell / name).write_text(json.dumps(content), encoding="utf-8")
    command = (
        str(MULTIQC),
        "--no-version-check",
        "--no-ansi",
        "--strict",
        "-o",
        "report",
        "output",
    )
    run = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=110)
    assert run.returncode == 0, run.stdout + run.stderr
    assert (directory / "report" / "multiqc_report.html").stat().st_size > 0
    return directory / "report" / "multiqc_data"


def test_one_row_for_each_cell(merged: Path, documents: list[dict[str, Any]]) -> None:
    """The general statistics have one row for each cell with reads, with the cell's own numbers."""
    rows = table(merged / "multiqc_general_stats.txt")
    assert len(rows) == 3
    for document in documents[:3]:
        (row,) = (row for name, row in rows.items() if document["short_id"] in name)
        shown = {name.rpartition("-")[2]: float(value) for name, value in row.items()}
        passed = document["pass"]
        judged = passed["bases"] + document["fail"]["bases"]
        assert shown == pytest.approx(
            {
                "reads": passed["reads"] / 1e6,
                "bases": passed["bases"] / 1e9,
                "n50": passed["n50"] / 1e3,
                "median_length": passed["median_length"] / 1e3,
                "mean_q": passed["mean_q"],
                "passed": 100 * passed["bases"] / judged,
            }
        )


def test_barcodes_in_one_graph(merged: Path, documents: list[dict[str, Any]]) -> None:
    """The barcodes of all barcoded cells are in one bar graph, with a bar for each cell."""
    rows = table(merged / "multiqc_hesiod_watch_barcodes_plot.txt")
    assert len(rows) == 2
    (row,) = (row for name, row in rows.items() if "c6ded78b" in name)
    first = documents[0]["barcodes"][0]
    assert float(row[first["barcode"]]) == first["pass"]["bases"]


def test_lengths_in_one_graph(merged: Path) -> None:
    """The read lengths of all cells are in one line graph."""
    lines = (
        (merged / "multiqc_hesiod_watch_lengths_plot.txt").read_text(encoding="utf-8").splitlines()
    )
    assert len(lines) == 1 + 3
