"""Real MinKNOW trees through the real poll: every result, and every number of their index."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from samples import SAMPLES, needs_samples
from sites import Site
from younger_files import end_with_summaries

pytestmark = [pytest.mark.system, needs_samples]

TREES = {
    "simple_done": ("complete", "processed"),
    "simple_missing_file": ("incomplete", "1 of 2 FAST5 files missing"),
    "barcoded_old": ("complete", "processed"),
    "barcoded_bam": ("failed", "49 files are damaged"),  # its BAM files are empty
    "flongle_pod5": ("complete", "processed"),
    "names_with_spaces": ("incomplete", "still running: no final_summary yet"),
    "gridion_placeholders": ("incomplete", "final_summary_FAL01979_43578c8f.txt is unreadable"),
    "gridion_real_reads": ("incomplete", "still running: no final_summary yet"),
    "assembled_done": ("complete", "processed"),
    "assembled_running": ("incomplete", "still running: no final_summary yet"),
    "assembled_short_of_files": ("incomplete", "2 of 5 FASTQ files missing"),
    "assembled_fallback": (
        "incomplete",
        "1 FASTQ file is in MinKNOW's fallback folder on the sequencer",
    ),
    "assembled_no_basecalling": ("complete", "processed"),
    "assembled_pooled": ("complete", "processed"),
}


def land(site: Site, tree: str) -> None:
    shutil.copytree(SAMPLES / "trees" / tree, site.landing, dirs_exist_ok=True)
    for directory, _, files in os.walk(site.landing):  # the samples may be read-only
        for path in (Path(directory), *(Path(directory, name) for name in files)):
            path.chmod(0o755 if path.is_dir() else 0o644)
    end_with_summaries(site.landing)


def qc_of(site: Site) -> dict[str, Any]:
    (path,) = site.output.glob("*/*/*/qc.json")
    document: dict[str, Any] = json.loads(path.read_text())
    return document


def test_there_are_no_other_trees() -> None:
    """TREES names every sample tree."""
    assert set(TREES) == {path.name for path in (SAMPLES / "trees").iterdir() if path.is_dir()}


@pytest.mark.parametrize("tree", TREES)
def test_tree_ends_with_its_status(site: Site, tree: str) -> None:
    """A poll of each tree ends with the status and the sentence of its index."""
    land(site, tree)
    status, sentence = TREES[tree]
    # The first ingest reports a file that is not FASTQ, although the cell is not complete.
    fails = status == "failed" or tree == "gridion_placeholders"
    site.run("poll", check=1 if fails else 0)
    runs = site.status()
    assert {run["status"] for run in runs.values()} == {status}
    for run in runs.values():
        for cell in run["cells"].values():
            assert cell["stage"] == {"complete": "processed"}.get(status, status)
            assert sentence in cell["why"]
        if not run["cells"]:
            assert sentence in run["why"]
    if status == "complete":
        for run in runs:
            site.run("verify", run)


def test_numbers_of_a_finished_tree(site: Site) -> None:
    """Reads, bases and N50 are exact, mean Q is within 0.01: pass, fail and all."""
    land(site, "assembled_done")
    site.run("poll")
    qc = qc_of(site)
    for part, reads, bases, n50, median, longest, mean_q, mean_q60, q10 in (
        ("pass", 28, 129_050, 5427, 5412.5, 10_581, 12.27, 12.49, 28),
        ("fail", 13, 54_314, 5382, 5298, 5538, 8.97, 9.25, 0),
        ("total", 41, 183_364, 5420, 5382, 10_581, 11.22, 11.46, 28),
    ):
        group = qc[part]
        assert (group["reads"], group["bases"], group["n50"]) == (reads, bases, n50)
        assert (group["median_length"], group["longest"]) == (median, longest)
        assert group["mean_q_whole"] == pytest.approx(mean_q, abs=0.01)
        assert group["mean_q_skip60"] == pytest.approx(mean_q60, abs=0.01)
        if qc["mean_q"]["rule"] == "whole":
            assert group["reads_q10"] == q10


def test_numbers_of_a_tree_that_a_person_calls_complete(site: Site) -> None:
    """A cell without final_summary is processed after `touch` of its synced flag.

    Its barcodes have the numbers of the index.
    """
    land(site, "gridion_real_reads")
    site.run("poll")
    (run,) = site.landing.iterdir()
    (cell,) = (run / "mIXED").iterdir()
    (run / "pipeline" / f"{cell.name}.synced").touch()
    site.run("poll")
    qc = qc_of(site)
    assert qc["completeness"]["verdict"] == "by-hand"
    assert [qc["total"][key] for key in ("reads", "bases", "n50", "longest")] == [
        3184,
        1_931_375,
        526,
        2630,
    ]
    assert qc["total"]["mean_q_whole"] == pytest.approx(10.57, abs=0.01)
    found = {entry["barcode"]: entry["total"] for entry in qc["barcodes"]}
    for barcode, reads, bases, n50, mean_q in (
        ("barcode07", 1720, 1_063_169, 529, 10.61),
        ("barcode09", 1464, 868_206, 525, 10.52),
    ):
        assert [found[barcode][key] for key in ("reads", "bases", "n50")] == [reads, bases, n50]
        assert found[barcode]["mean_q_whole"] == pytest.approx(mean_q, abs=0.01)


def test_placeholder_files_are_an_error_and_no_crash(site: Site) -> None:
    """FASTQ files that are not FASTQ fail their cell with the name of the file."""
    land(site, "gridion_placeholders")
    site.run("poll", check=1)
    (run,) = site.landing.iterdir()
    (cell,) = (run / "DN585561I_A1").iterdir()
    (run / "pipeline" / f"{cell.name}.synced").touch()
    site.run("poll", check=1)
    why = site.status()["66"]["cells"][f"DN585561I_A1/{cell.name}"]["why"]
    assert ".fastq" in why
    assert "bug" not in why
