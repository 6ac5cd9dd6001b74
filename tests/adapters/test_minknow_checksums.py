"""Damage or loss proven by MinKNOW's checksums: the cell is processed, the finding reported."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from output_hashes import NAME, spoil, write_output_hash
from younger_files import end_with_summaries

from hesiod_watch import cli
from hesiod_watch.cli.simulator import SimulatedCell
from hesiod_watch.core.model import CellId

RUN = "20261122_TEST_alpha"
CELL = CellId("sample_A", "20261122_2210_1A_PAW00001_0a1b2c3d")
ABSENT = "bam_pass/gone_0.bam"
Prepare = Callable[[Path], str]


class Landed:
    """Site without backups, with one cell that `prepare` changes before the first pass."""

    def __init__(self, root: Path, prepare: Prepare) -> None:
        self.landing, self.output = root / "landing", root / "output"
        self.config = root / "hesiod-watch.yaml"
        self.config.write_text(
            f"landing: {self.landing}\noutput: {self.output}\nprocessing: {{executor: inline}}\n"
        )
        self.landing.mkdir()
        self.output.mkdir()
        made = SimulatedCell(
            self.landing, RUN, CELL.library, CELL.name, barcodes=(), reads_per_file=4
        )
        made.write()
        self.wrong = prepare(made.path)
        end_with_summaries(made.path)

    def call(self, *arguments: str) -> int:
        return cli.main(["--config", str(self.config), *arguments])

    @property
    def cell(self) -> Path:
        return self.landing / RUN / str(CELL)

    @property
    def results(self) -> Path:
        return self.output / RUN / str(CELL)

    def qc(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.results / "qc.json").read_text())
        return found


def pod5(cell: Path) -> Path:
    return min(cell.glob("pod5/*.pod5"))


def differs(cell: Path) -> str:
    """Damage a pod5 after its checksum was made; returns the sentence about it."""
    write_output_hash(cell)
    spoil(pod5(cell))
    return f"MinKNOW's checksums ({NAME}): 1 file differs: pod5/{pod5(cell).name}"


def is_absent(cell: Path) -> str:
    """Name a file that never arrived and that the final summary does not count."""
    write_output_hash(cell, {f"20261122_TEST_alpha/{CELL}/{ABSENT}": "0" * 64})
    return f"MinKNOW's checksums ({NAME}): 1 file is missing: {ABSENT}"


def is_compressed(cell: Path) -> str:
    """Compress a FASTQ during its transfer."""
    write_output_hash(cell)
    path = min(cell.glob("fastq_pass/*.fastq"))
    path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    name = f"fastq_pass/{path.name}"
    return f"MinKNOW's checksums ({NAME}): 1 file is missing: {name} ({name}.gz is there instead)"


def agrees(cell: Path) -> str:
    write_output_hash(cell)
    return ""


def has_none(cell: Path) -> str:
    return ""


def messages(site: Landed, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert site.call("messages", RUN, "--text") == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("prepare", [differs, is_absent, is_compressed])
def test_a_cell_with_damage_or_loss(
    prepare: Prepare, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The cell is processed; pages, qc.json, commands and messages name the file."""
    site = Landed(tmp_path, prepare)
    assert site.call("poll") == 1
    finding = site.qc()["minknow_checksums"]
    assert len(finding["differing"]) + len(finding["absent"]) == 1
    sent = messages(site, capsys)
    assert sent.count(site.wrong) == 2  # in the messages about the cell and about the run
    assert "processed, checked" not in sent
    assert "checksums-failed" not in sent  # the message about the cell reports it
    for arguments in (["status", RUN], ["status", RUN, "--json"], ["explain", RUN, str(CELL)]):
        assert site.call(*arguments) == 0
        shown = capsys.readouterr().out
        assert site.wrong in shown
        assert "processed, checked" not in shown
    for page in (site.results / "report.html", site.output / RUN / "report.html"):
        html = page.read_text().replace("&#39;", "'")
        assert site.wrong.partition(": ")[2] in html
        assert "checksums show damaged or missing files" in html
        assert 'class="state bad"' in html


@pytest.mark.parametrize("prepare", [differs, is_absent, is_compressed])
@pytest.mark.parametrize("how", [[], ["--backup"]], ids=["here", "with backups"])
def test_verify_finds_it_without_raw_json(
    prepare: Prepare, how: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without any backup `verify` reads the files that MinKNOW names, and exits 1."""
    site = Landed(tmp_path, agrees)
    assert site.call("poll") == 0
    capsys.readouterr()
    assert site.call("verify", RUN, *how) == 0
    assert "every file agrees" in capsys.readouterr().out
    (site.results / "raw.json").unlink()
    wrong = prepare(site.cell)
    assert site.call("verify", RUN, *how) == 1
    shown = capsys.readouterr().out
    assert f"landing: {wrong}" in shown
    assert "every file agrees" not in shown


def test_a_finding_is_reported_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same files give one message, other files give another, and a repair gives none."""
    site = Landed(tmp_path, agrees)
    assert site.call("poll") == 0
    good = pod5(site.cell).read_bytes()
    wrong = differs(site.cell)
    for _ in range(2):
        assert site.call("verify", RUN, "--backup") == 1
        site.call("poll")
    sent = messages(site, capsys)
    assert (sent.count("checksums-failed"), sent.count("verification-failed")) == (1, 0)
    assert sent.count(wrong) == 1
    page = (site.output / RUN / "report.html").read_text().replace("&#39;", "'")
    assert wrong.partition(": ")[2] in page
    pod5(site.cell).write_bytes(good)
    wrong = is_absent(site.cell)
    assert site.call("verify", RUN, "--backup") == 1
    site.call("poll")
    sent = messages(site, capsys)
    assert (sent.count("checksums-failed"), sent.count(wrong)) == (2, 1)
    agrees(site.cell)
    assert site.call("verify", RUN, "--backup") == 0
    assert site.call("poll") == 0
    capsys.readouterr()
    assert site.call("status", RUN, "--json") == 0
    shown = capsys.readouterr().out
    assert "MinKNOW's checksums" not in shown
    assert "processed, checked and reported" in shown
    assert 'class="state good"' in (site.output / RUN / "report.html").read_text()


@pytest.mark.parametrize(("prepare", "files"), [(agrees, 6), (has_none, None)])
def test_a_cell_without_problems(
    prepare: Prepare, files: int | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """qc.json, the cell's page and its message say that files agree."""
    site = Landed(tmp_path, prepare)
    assert site.call("poll") == 0
    finding = site.qc()["minknow_checksums"]
    expected = (
        {"files": [NAME], "agreeing": files, "differing": [], "absent": []} if files else None
    )
    assert finding == expected
    assert ("6 files agree" in (site.results / "report.html").read_text()) is bool(files)
    sent = messages(site, capsys)
    assert "is processed, checked and reported." in sent
    assert ("6 files agree" in sent) is bool(files)
    assert ("MinKNOW" in sent) is bool(files)


def test_a_missing_file_that_comes_later(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A later verification that finds the file withdraws the finding of the processing."""
    site = Landed(tmp_path, lambda cell: str(write_output_hash(cell, {ABSENT: "0" * 64})))
    assert site.call("poll") == 1
    capsys.readouterr()
    site.call("status", RUN)
    assert ABSENT in capsys.readouterr().out
    (site.cell / ABSENT).parent.mkdir()
    (site.cell / ABSENT).write_bytes(b"BAM")
    write_output_hash(site.cell)
    (site.results / "raw.json").unlink()
    assert site.call("verify", RUN, "--backup") == 0
    capsys.readouterr()
    site.call("status", RUN)
    assert ABSENT not in capsys.readouterr().out


def has_a_large_pod5(cell: Path) -> str:
    """Let a pod5 have 5 GiB, more than the processing reads for this, and damage a FASTQ."""
    write_output_hash(cell)
    os.truncate(pod5(cell), 5 << 30)
    fastq = min(cell.glob("fastq_pass/*.fastq"))
    fastq.write_bytes(fastq.read_bytes().replace(b"A", b"C", 1))
    return f"fastq_pass/{fastq.name}"


def test_fastq_is_compared_without_another_reading(tmp_path: Path) -> None:
    """Each named FASTQ is compared by the processing, whatever the size of the other files."""
    site = Landed(tmp_path, has_a_large_pod5)
    for arguments in (["new-run", RUN], ["synced", RUN, str(CELL)], ["process", RUN, str(CELL)]):
        assert site.call("perform", *arguments) == 0
    finding = site.qc()["minknow_checksums"]
    assert finding["differing"] == [site.wrong]
    assert finding["agreeing"] == len([*site.cell.glob("fastq_*/*.fastq")]) - 1
    assert finding["not_compared"] == len([*site.cell.glob("pod5/*.pod5")])
