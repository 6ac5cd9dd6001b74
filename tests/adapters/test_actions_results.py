"""Manifest of a cell, and earlier results of a cell that is processed again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from hesiod_watch.actions import Job
from hesiod_watch.actions.outputs.documents import manifest_text
from hesiod_watch.actions.outputs.publication import SUPERSEDED, publish_results
from hesiod_watch.actions.outputs.results import CellResults
from hesiod_watch.config import Config
from hesiod_watch.core.cell_contents import Completeness, Verdict
from hesiod_watch.core.file_entry import FileEntry
from hesiod_watch.core.minknow_checksums import LONGEST, MinknowChecksums
from hesiod_watch.core.model import CellId
from hesiod_watch.core.results import DoneRecord
from hesiod_watch.core.times import time_of
from hesiod_watch.fastq.model import Output, Piece, Written
from hesiod_watch.fastq.statistics import ReadStatistics
from hesiod_watch.host import process
from hesiod_watch.remote.backup.manifests import MANIFEST, read_manifest

CELL = CellId("lib", "c")
NAME = "x_pass.fastq.gz"
ODD = 'a"\n é\udcff.fastq'


def manifest(sources: list[str], md5: str) -> str:
    """Text of the manifest of a cell with one output, made from these sources."""
    job = Job(
        "process",
        Path("/l/run"),
        Config(Path("/l"), Path("/o")),
        process.this_owner("process", "x"),
        CELL,
    )
    pieces = tuple(Piece(source, 10, 1, NAME, 5, 6, 7, 8, 9) for source in sources)
    written = Written(
        Output(NAME, None, "pass", ()), Path(NAME), 4, md5, 1, 2, ReadStatistics(), pieces, ()
    )
    files = [FileEntry(NAME, size=4, md5=md5), FileEntry("qc.json", size=3, md5="q")]
    return "".join(manifest_text(job, [written], {file.name: file for file in files}))


def results(directory: Path, sources: list[str], md5: str) -> dict[str, Path]:
    """Result files that are ready to be published."""
    directory.mkdir()
    (directory / NAME).write_text(md5)
    (directory / MANIFEST).write_text(manifest(sources, md5), errors="backslashreplace")
    return {name: directory / name for name in (NAME, MANIFEST)}


@pytest.mark.parametrize(
    "sources",
    [[], ["a"], ["a", ODD, "c"]],
    ids=["no source", "one source", "three sources, one odd name"],
)
def test_a_manifest_in_parts_is_one_json_document(sources: list[str]) -> None:
    """The parts of a manifest form one JSON document, formatted as by `json`, with all sources."""
    text = manifest(sources, "m")
    document = json.loads(text)
    assert json.dumps(document, indent=1, ensure_ascii=False) + "\n" == text
    assert [source["name"] for source in document["sources"]] == sources
    assert [file["name"] for file in document["files"]] == ["qc.json", NAME]


@pytest.mark.parametrize("sources", [[], ["a", ODD]], ids=["no source", "two sources"])
@pytest.mark.parametrize(
    ("again", "superseded"),
    [("one", []), ("two", [MANIFEST, NAME])],
    ids=["equal FASTQ", "other FASTQ"],
)
def test_earlier_results_are_superseded_if_the_fastq_differ(
    tmp_path: Path, sources: list[str], again: str, superseded: list[str]
) -> None:
    """Earlier results are superseded exactly if the new FASTQ of the cell differ."""
    cell = tmp_path / "cell"
    cell.mkdir()
    publish_results(results(tmp_path / "first", sources, "one"), cell)
    publish_results(results(tmp_path / "second", sources, again), cell)
    assert (cell / NAME).read_text() == again
    assert read_manifest(cell)["files"][1]["md5"] == again
    assert sorted(path.name for path in cell.glob(f"{SUPERSEDED}/*/*")) == superseded


@pytest.mark.parametrize("former", ["", "{}", "[1]", '{\n "files": [\n'])
def test_an_unreadable_former_manifest(tmp_path: Path, former: str) -> None:
    """An unreadable manifest is replaced, and no results are superseded because of it."""
    cell = tmp_path / "cell"
    cell.mkdir()
    (cell / MANIFEST).write_text(former)
    publish_results(results(tmp_path / "first", ["a"], "one"), cell)
    assert read_manifest(cell)["files"]
    assert not (cell / SUPERSEDED).exists()


@pytest.mark.parametrize("damaged", [False, True], ids=["as written", "damaged"])
def test_done_says_all_that_later_work_needs(damaged: bool) -> None:
    """`.done` names its manifest, the numbers and the verdicts, and what is still to be done."""
    owner = replace(process.this_owner("process", "x"), epoch=3, host="prom", version="0.1.0")
    completeness = Completeness(Verdict.PROVEN, "all 3 files are here")
    checksums = MinknowChecksums(
        ("output_hash_x.csv",), agreeing=3, differing=("a.pod5",) if damaged else ()
    )
    done = CellResults(
        {},
        {MANIFEST: "m" * 32, "qc.json": "q" * 32},
        headline={"reads": 5, "bases": 70, "n50": 14},
        cell=str(CELL),
        completeness=completeness,
        checksums=checksums,
        no_reads="",
        qc_verdict="WARN: " + "v" * 2 * LONGEST,
        hook_due=damaged,
    ).record(owner)
    assert (done.cell, done.epoch, done.host, done.version) == (str(CELL), 3, "prom", "0.1.0")
    assert done.manifest_md5 == "m" * 32
    assert done.results == {"reads": 5, "bases": 70, "n50": 14}
    assert (done.counted, done.completeness) == ("all 3 files are here", completeness)
    assert bool(done.finding.said) is damaged
    assert done.finding.at.endswith("Z")
    assert done.compared == checksums.sentence
    assert len(done.qc_verdict) == LONGEST
    assert (done.no_reads, done.raw_due, done.hook_due) == ("", True, damaged)
    assert time_of(done.time)
    assert DoneRecord.from_record(json.loads(json.dumps(done.record()))) == done
