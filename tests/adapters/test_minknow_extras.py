"""Sample sheet and reports of MinKNOW, from the cell to its results."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from open_runs import pipeline_at

from hesiod_watch import actions
from hesiod_watch.actions import Job
from hesiod_watch.config import Config
from hesiod_watch.config.qc import QcSettings
from hesiod_watch.core.model import CellId
from hesiod_watch.core.qc_verdict import QcLimit
from hesiod_watch.host import process
from hesiod_watch.runs import flags

RUN = "20261122_TEST_alpha"
CELL = CellId("pool", "20261122_2210_1A_PAW00001_0a1b2c3d")
SHEET = (
    "flow_cell_id,sample_id,barcode,alias,type\n"
    "PAW00001,pool,barcode01,Maier,test_sample\n"
    "PAW00001,pool,barcode02,<b>,no_template_control\n"
)
REPORT = {
    "protocol_run_info": {"software_versions": {"distribution_version": "25.09"}},
    "acquisitions": [
        {
            "acquisition_run_info": {
                "bream_info": {
                    "mux_scan_results": [
                        {"mux_scan_timestamp": "200", "counts": {"single_pore": 50, "zero": 10}}
                    ]
                }
            },
            "basecaller_config": {"read_filtering": {"min_qscore": 9}},
        }
    ],
}
Process = Callable[..., tuple[Path, dict[str, Any]]]


@pytest.fixture
def processed(tmp_path: Path) -> Process:
    """A function that processes a cell with these files; it returns its results and qc.json."""

    def make(*limits: QcSettings, **files: str | bytes) -> tuple[Path, dict[str, Any]]:
        config = Config(tmp_path / "landing", tmp_path / "output", qc=limits)
        config.output.mkdir()
        cell = config.landing / RUN / str(CELL)
        for number, label in enumerate(("Maier", "barcode07", "unclassified")):
            place = cell / "fastq_pass" / label
            place.mkdir(parents=True)
            text = f"@read{number}\nACGT\n+\nIIII\n"
            (place / f"PAW00001_pass_{label}_0a1b2c3d_aaaaaaaa_0.fastq").write_text(text)
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            (cell / name.replace("__", ".")).write_bytes(data)
        for path in [each for each in cell.rglob("*") if each.is_file()]:
            os.utime(path, (1_790_000_000, 1_790_000_000))
        summary = cell / "final_summary.txt"  # the last change, as MinKNOW makes it
        summary.write_text("fastq_files_in_final_dest=3\n")
        os.utime(summary, (1_790_000_000, 1_790_000_000))

        def job(action: str) -> Job:
            owner = process.this_owner(action, "test")
            return Job(action, config.landing / RUN, config, owner, CELL)

        actions.perform(job("new-run"))
        actions.perform(job("synced"))
        work = job("process")
        pipeline = pipeline_at(config.landing / RUN / "pipeline")
        flags.claim_cell(pipeline, CELL.stem, work.owner, judge=process.judge_here)
        actions.perform(work)
        output = config.output / RUN / str(CELL)
        return output, json.loads((output / "qc.json").read_bytes())

    return make


def test_sample_sheet(processed: Process) -> None:
    """qc.json, the page and MultiQC have barcode, alias and sample; differences are notes."""
    output, qc = processed(sample_sheet_x__csv=SHEET)
    by_label = {entry["barcode"]: entry.get("sample_sheet") for entry in qc["barcodes"]}
    row = {"barcode": "barcode01", "alias": "Maier", "sample_id": "pool", "type": "test_sample"}
    assert by_label == {"Maier": row, "barcode07": None, "unclassified": None}
    assert [each["barcode"] for each in qc["sample_sheet"]["without_reads"]] == ["barcode02"]
    assert qc["sample_sheet"]["unexpected"] == ["barcode07"]
    page = (output / "report.html").read_text()
    for words in ("barcode01", "Maier", "not in the sample sheet", "barcode02", "&lt;b&gt;"):
        assert words in page
    assert "no reads of 1 barcode in the sample sheet: barcode02 (<b>)" in qc["notes"]
    table = json.loads((output / "hesiod_watch_samples_mqc.json").read_bytes())
    (name,) = (name for name in table["data"] if "barcode01" in name)
    assert table["data"][name]["alias"] == "Maier"
    assert table["data"][name]["sample"] == "pool"


def test_reports(processed: Process) -> None:
    """The facts of MinKNOW's report are in qc.json; its page is a result, with a relative link."""
    html = b"<!doctype html>ONT"
    output, qc = processed(report_PAW__html=html, report_PAW__json=json.dumps(REPORT))
    assert (qc["facts"]["minknow_version"], qc["facts"]["min_q"]) == ("25.09", 9)
    assert qc["pores"] == [{"seconds": 200, "available": 50, "pores": 60}]
    assert qc["links"] == {"ont_report": "ont_report.html"}
    assert (output / "ont_report.html").read_bytes() == html
    page = (output / "report.html").read_text()
    assert 'href="ont_report.html"' in page
    md5 = hashlib.md5(html, usedforsecurity=False).hexdigest()
    assert f"{md5}  ont_report.html\n" in (output / "md5sums.txt").read_text()
    manifest = json.loads((output / "manifest.json").read_bytes())
    assert {"name": "ont_report.html", "bytes": len(html), "md5": md5} in manifest["files"]


def test_verdict(processed: Process, tmp_path: Path) -> None:
    """The verdict is in qc.json, MultiQC, on the page and in the flag, which `status` reads."""
    limits = QcSettings("internal", gigabases=QcLimit(fail=1), pores=QcLimit(warn=40))
    output, qc = processed(limits, report_PAW__json=json.dumps(REPORT))
    reason = "passed gigabases 0 is below 1"
    assert qc["qc_verdict"] == {
        "grade": "FAIL",
        "type": "internal",
        "reasons": [reason],
        "limits": {
            "gigabases": {"warn": None, "fail": 1},
            "pores": {"warn": 40, "fail": None},
        },
    }
    assert reason in (output / "report.html").read_text()
    table = json.loads((output / "hesiod_watch_cell_mqc.json").read_bytes())
    assert [row["verdict"] for row in table["data"].values()] == ["FAIL"]
    flag = tmp_path / "landing" / RUN / "pipeline" / f"{CELL.stem}.done"
    assert json.loads(flag.read_bytes())["qc_verdict"] == f"FAIL: {reason}"


def test_what_cannot_be_used_stops_nothing(processed: Process) -> None:
    """A sheet and a report that are no such files are left out; the sheet with a note."""
    _, qc = processed(report_PAW__json="{", sample_sheet_x__csv=b"barcode\n\xff\n")
    assert "sample_sheet" not in qc
    assert "pores" not in qc
    assert qc["links"] == {"ont_report": None}
    assert qc["notes"] == [
        "the sample sheet is not used: sample_sheet_x.csv is no CSV table in UTF-8"
    ]
