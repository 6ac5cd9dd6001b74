"""MultiQC custom content with a cell's numbers: `multiqc` finds `*_mqc.json` by its name.

Each cell has its own files with the same section ids. MultiQC merges files of one id, so a report
over many cells has one table with a row for each cell, one bar graph and one line graph.

MultiQC cuts a sample name at anything that looks like the suffix of a file (`.fastq`, `_counts`,
…). Two names that are equal after the cut would be one row. So a name begins with its unique part:
first flow cell and run id, then the library.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from hesiod_watch.report.document import QcDocument
from hesiod_watch.report.read_groups import ReadGroup, passed_share

_PARENT = {
    "parent_id": "hesiod_watch",
    "parent_name": "hesiod-watch",
    "parent_description": (
        "Nanopore cells. All numbers are of passed reads, as judged by the instrument."
    ),
}


def multiqc_files(qc: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Files for MultiQC, name to content, to be written as JSON beside the cell's outputs.

    Empty for a cell without reads.
    """
    cell = QcDocument(qc)
    if not cell.has_reads:
        return {}
    sample = sample_name(cell)
    files = {"hesiod_watch_cell_mqc.json": _general(cell, sample)}
    if amounts := {
        _plain(barcode.label): barcode.passed.bases
        for barcode in cell.used_barcodes
        if barcode.passed.bases
    }:
        files["hesiod_watch_barcodes_mqc.json"] = _barcodes(sample, amounts)
    if cell.has_sheet:
        files["hesiod_watch_samples_mqc.json"] = _samples(cell, sample)
    if curve := _length_curve(cell):
        files["hesiod_watch_lengths_mqc.json"] = _lengths(sample, curve)
    if cell.passed.bam.reads:
        files["hesiod_watch_bam_mqc.json"] = _bam(sample, cell.passed.bam)
    return files


def is_multiqc_file(name: str) -> bool:
    """Whether `multiqc_files` of some version may have made a file of this name."""
    return name.startswith("hesiod_watch_") and name.endswith("_mqc.json")


def sample_name(cell: QcDocument) -> str:
    """Sample name in MultiQC: "PAW48211_c6ded78b pool_3"; re-called data have one more word."""
    directory, short_id = cell.field("cell"), cell.field("short_id")
    key, suffix = directory, ""
    if short_id and short_id in directory:
        key = f"{cell.field('flow_cell_id') or 'cell'}_{short_id}"
        suffix = directory.rpartition(short_id)[2].lstrip(".")
    return _plain(" ".join(word for word in (key, suffix, cell.field("library")) if word))


def _plain(name: str) -> str:
    """Name with only letters, digits, blanks and hyphens, and no hyphen at its start.

    MultiQC copies names into its page and tables without escapes. Some programs read a table field
    that begins with `=` or `-` as a formula.
    """
    return re.sub(r"[^A-Za-z0-9 -]+", "_", name).lstrip("- ") or "_"


BAM_COLUMNS = (
    ("aligned", "Aligned", "Aligned part of the passed reads"),
    ("duplex", "Duplex", "Duplex part of the passed reads"),
    ("modified", "Modified", "Part of the passed reads with calls of modified bases"),
)
"""Columns of cells whose reads came in BAM: key, title, description."""


def _general(cell: QcDocument, sample: str) -> dict[str, Any]:
    passed = cell.passed
    n50, median = passed.value("n50"), passed.value("median_length")
    share = passed_share(cell.parts)
    values = {
        "reads": passed.reads / 1e6,
        "bases": passed.bases / 1e9,
        "n50": None if n50 is None else n50 / 1e3,
        "median_length": None if median is None else median / 1e3,
        "mean_q": passed.value("mean_q"),
        "passed": None if share is None else 100 * share,
    }
    verdict = cell.verdict_by_limits
    graded = {"verdict": str(verdict.grade)} if verdict else {}
    return {
        "id": "hesiod_watch_cell",
        "plot_type": "generalstats",
        "namespace": "hesiod-watch",
        "headers": {
            "reads": _column("Reads", "Passed reads, in millions", " M", 3, "Blues"),
            "bases": _column("Bases", "Passed bases, in billions", " Gb", 2, "Greens"),
            "n50": _column(
                "N50", "N50 of the passed reads, in thousands of bases", " kb", 2, "Purples"
            ),
            "median_length": _column(
                "Median", "Median length of the passed reads", " kb", 2, "Purples"
            ),
            "mean_q": _column(
                "Mean Q",
                "Mean Q over the passed reads; the page of each cell says which mean",
                "",
                1,
                "RdYlGn",
            ),
            "passed": _column("Passed", "Passed part of the bases", " %", 1, "RdYlGn")
            | {"max": 100},
            **({"verdict": _VERDICT} if verdict else {}),
        },
        "data": {
            sample: {key: value for key, value in values.items() if value is not None} | graded
        },
    }


def _bam(sample: str, bam: ReadGroup) -> dict[str, Any]:
    """Columns that only cells with BAM have."""
    return {
        "id": "hesiod_watch_bam",
        "plot_type": "generalstats",
        "namespace": "hesiod-watch",
        "headers": {
            key: _column(title, description, " %", 1, "Blues") | {"max": 100}
            for key, title, description in BAM_COLUMNS
        },
        "data": {
            sample: {
                key: 100 * count / bam.reads
                for key, _, _ in BAM_COLUMNS
                if (count := bam.value(key)) is not None
            }
        },
    }


_VERDICT = {
    "title": "Verdict",
    "description": "By the limits of the facility",
    "scale": False,
    "cond_formatting_rules": {
        "pass": [{"s_eq": "PASS"}],
        "warn": [{"s_eq": "WARN"}],
        "fail": [{"s_eq": "FAIL"}],
    },
}


def _column(title: str, description: str, suffix: str, digits: int, scale: str) -> dict[str, Any]:
    return {
        "title": title,
        "description": description,
        "suffix": suffix,
        "min": 0,
        "scale": scale,
        "format": f"{{:,.{digits}f}}",
    }


def _barcodes(sample: str, amounts: Mapping[str, float]) -> dict[str, Any]:
    return {
        "id": "hesiod_watch_barcodes",
        **_PARENT,
        "section_name": "Bases by barcode",
        "description": (
            "Passed bases of each barcode; barcodes with less than 0.01 % of the cell's bases are"
            " left out."
        ),
        "plot_type": "bargraph",
        "pconfig": {
            "id": "hesiod_watch_barcodes_plot",
            "title": "hesiod-watch: bases by barcode",
            "ylab": "Passed bases",
        },
        "data": {sample: dict(amounts)},
    }


def _samples(cell: QcDocument, sample: str) -> dict[str, Any]:
    """Table of the barcodes with the names of the sample sheet; a row without reads too."""
    rows = [(barcode.sheet, barcode.label, barcode.passed) for barcode in cell.barcodes]
    rows += [(row, row.barcode, ReadGroup({})) for row in cell.without_reads]
    data = {
        f"{sample} {_plain(sheet.barcode if sheet else label)}": {
            "alias": _plain(sheet.alias) if sheet and sheet.alias else "",
            "sample": _plain(sheet.sample_id) if sheet and sheet.sample_id else "",
            "reads": passed.reads / 1e6,
            "bases": passed.bases / 1e9,
        }
        for sheet, label, passed in rows
    }
    return {
        "id": "hesiod_watch_samples",
        **_PARENT,
        "section_name": "Samples",
        "description": "Barcodes with the alias and the sample that the sample sheet names.",
        "plot_type": "table",
        "pconfig": {"id": "hesiod_watch_samples_table", "title": "hesiod-watch: samples"},
        "headers": {
            "alias": {"title": "Alias", "scale": False},
            "sample": {"title": "Sample", "scale": False},
            "reads": _column("Reads", "Passed reads, in millions", " M", 3, "Blues"),
            "bases": _column("Bases", "Passed bases, in billions", " Gb", 2, "Greens"),
        },
        "data": data,
    }


def _length_curve(cell: QcDocument) -> dict[str, float]:
    """Percentage of the passed bases, by the (geometric) middle of each length class."""
    bins = cell.passed.lengths
    whole = sum(a_bin.bases for a_bin in bins)
    if not whole:
        return {}
    return {
        f"{math.sqrt(a_bin.low * a_bin.high):.6g}": round(100 * a_bin.bases / whole, 5)
        for a_bin in bins
    }


def _lengths(sample: str, curve: Mapping[str, float]) -> dict[str, Any]:
    return {
        "id": "hesiod_watch_lengths",
        **_PARENT,
        "section_name": "Read length",
        "description": "Part of the passed bases in reads of each length, 20 classes to a decade.",
        "plot_type": "linegraph",
        "pconfig": {
            "id": "hesiod_watch_lengths_plot",
            "title": "hesiod-watch: bases by read length",
            "xlab": "Read length (bases)",
            "ylab": "Part of the passed bases (%)",
            "xlog": True,
            "ymin": 0,
        },
        "data": {sample: dict(curve)},
    }
