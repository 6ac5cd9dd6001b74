"""Simulated sequencer: it writes the same files as MinKNOW, and reports them correctly."""

from __future__ import annotations

import argparse
import gzip
import math
import os
import re
import signal
import statistics
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from open_runs import opened

from hesiod_watch.cli import simulator
from hesiod_watch.cli.simulator import ReadAmount, SimulatedCell
from hesiod_watch.cli.simulator.reads import SKIPPED
from hesiod_watch.core import naming
from hesiod_watch.core.cell_contents import DataKind, Verdict
from hesiod_watch.core.errors import PermanentError, UsageError
from hesiod_watch.rules.completeness import judge
from hesiod_watch.runs import minknow

NAME = "20261122_2210_1A_PAW00001_0a1b2c3d"
ERAS = ["2019", "2021", "2024", "2026"]


def make(landing: Path, **options: Any) -> SimulatedCell:
    """A small cell, not written yet."""
    defaults: dict[str, Any] = {"reads_per_file": 20, "mean_length": 300}
    return SimulatedCell(landing, "20261122_DEMO_alpha", "sample_A", NAME, **(defaults | options))


def records(path: Path) -> list[tuple[str, str, str]]:
    """Header, bases and qualities of each read in a file."""
    data = path.read_bytes()
    lines = (gzip.decompress(data) if path.suffix == ".gz" else data).decode().splitlines()
    assert len(lines) % 4 == 0
    assert all(line[:1] == "@" for line in lines[::4])
    assert all(line == "+" for line in lines[2::4])
    return list(zip((line[1:] for line in lines[::4]), lines[1::4], lines[3::4], strict=True))


def tree(directory: Path) -> dict[str, bytes]:
    """Every file below a directory with its content."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    "barcodes", [(), ("barcode01", "unclassified")], ids=["no barcodes", "barcodes"]
)
@pytest.mark.parametrize("gz", [False, True], ids=["plain", "gzipped"])
def test_a_written_cell_is_complete_and_holds_what_was_expected(
    tmp_path: Path, era: str, barcodes: tuple[str, ...], gz: bool
) -> None:
    """In every era announced counts agree with the disk, reads and bases with `expected`."""
    cell = make(tmp_path, era=era, barcodes=barcodes, gz=gz)
    directory = cell.write()
    assert judge(minknow.read_contents(opened(directory))).verdict is Verdict.PROVEN
    found: dict[tuple[str | None, str], ReadAmount] = {}
    for file in minknow.data_files(opened(directory), (DataKind.FASTQ,)):
        assert file.entry.name.endswith(".fastq.gz" if gz else ".fastq")
        amount = found.setdefault((file.barcode, file.part), ReadAmount())
        for _, bases, qualities in records(file.entry.path):
            assert len(bases) == len(qualities)
            amount.reads += 1
            amount.bases += len(bases)
    assert found == cell.expected
    assert sum(amount.reads for amount in found.values()) == 2 * 20 * max(1, len(barcodes))
    assert {part for _, part in found} == {"pass", "fail"}


@pytest.mark.parametrize(
    ("options", "kinds"),
    [
        ({"era": "2024"}, {"fastq": 12, "pod5": 2}),
        ({"era": "2021"}, {"fastq": 12, "fast5": 12}),
        ({"pod5": False}, {"fastq": 12}),
        ({"fail_fraction": 0}, {"fastq": 6, "pod5": 2}),
        ({"fail_fraction": 1}, {"fastq": 6, "pod5": 2}),
        ({"duplex": True}, {"fastq": 18, "pod5": 2}),
        ({"files_per_barcode": 0}, {}),
        ({"reads_per_file": 0}, {"pod5": 2}),
    ],
    ids=[
        "era 2024",
        "era 2021",
        "no pod5",
        "none failed",
        "all failed",
        "duplex",
        "no files",
        "no reads",
    ],
)
def test_number_of_files(tmp_path: Path, options: dict[str, Any], kinds: dict[str, int]) -> None:
    """Each batch of each barcode gives one file of passed and one of failed reads, if any."""
    cell = make(tmp_path, **options)
    steps = list(cell.steps())
    contents = minknow.read_contents(opened(cell.path))
    assert {str(kind): count for kind, count in contents.files.items() if count} == kinds
    assert len(steps) == cell.step_count
    assert judge(contents).verdict is Verdict.PROVEN


@pytest.mark.parametrize("arrival", ["rename", "write", "link"])
def test_steps_leave_one_whole_file_each_and_the_summary_last(tmp_path: Path, arrival: str) -> None:
    """Each step adds exactly one file; the cell is complete only after the last step.

    After that no temporary file remains.
    """
    cell = make(tmp_path, arrival=arrival)
    there: set[str] = set()
    for path in cell.steps():
        verdict = judge(minknow.read_contents(opened(cell.path))).verdict
        now = {str(file.relative_to(tmp_path)) for file in cell.path.rglob("*") if file.is_file()}
        assert now - there == {str(path.relative_to(tmp_path))}
        assert path.stat().st_nlink == 1
        there = now
        assert verdict is (
            Verdict.PROVEN if path.name.startswith("final_summary") else Verdict.RUNNING
        )
    assert verdict is Verdict.PROVEN
    assert os.listdir(tmp_path) == ["20261122_DEMO_alpha"]


def test_an_abandoned_cell_is_still_running(tmp_path: Path) -> None:
    """Steps closed in the middle leave a cell without a final_summary or hidden files."""
    cell = make(tmp_path)
    steps = cell.steps()
    for _ in range(5):
        next(steps)
    steps.close()
    assert judge(minknow.read_contents(opened(cell.path))).verdict is Verdict.RUNNING
    assert os.listdir(tmp_path) == ["20261122_DEMO_alpha"]


def test_equal_seeds_give_equal_cells(tmp_path: Path) -> None:
    """Same arguments, same bytes; another seed or name, other reads."""
    one, same, other = (
        make(tmp_path / name, seed=seed) for name, seed in (("1", 7), ("2", 7), ("3", 8))
    )
    trees = [tree(cell.write()) for cell in (one, same, other)]
    assert trees[0] == trees[1]
    assert not set(trees[0].values()) & {
        content for content in trees[2].values() if len(content) > 100
    }


@pytest.mark.parametrize(
    ("era", "form"),
    [
        (
            "2019",
            r"[0-9a-f-]{36} runid=[0-9a-f]{40} read=\d+ ch=\d+ "
            r"start_time=[0-9T:-]+Z barcode=barcode01 .*",
        ),
        (
            "2021",
            r"[0-9a-f-]{36} runid=[0-9a-f]{40} read=\d+ ch=\d+ .* "
            r"flow_cell_id=PAW00001 .*barcode=barcode01 .*",
        ),
        (
            "2024",
            r"[0-9a-f-]{36} runid=[0-9a-f]{40} ch=\d+ start_time=[0-9T:.+-]+ .* "
            r"parent_read_id=.*@v5.0.0",
        ),
        (
            "2026",
            r"[0-9a-f-]{36}\tRG:Z:\S+@v5.0.0_barcode01\tDT:Z:\S+\tch:i:\d+\tst:Z:\S+\t.*\tqs:f:[0-9.]+\t.*",
        ),
    ],
)
def test_headers_are_those_of_the_era(tmp_path: Path, era: str, form: str) -> None:
    """Headers are key=value or SAM tags, with the fields of MinKNOW at that time."""
    directory = make(tmp_path, era=era, barcodes=("barcode01",)).write()
    for file in minknow.data_files(opened(directory), (DataKind.FASTQ,)):
        for header, _, _ in records(file.entry.path):
            assert re.fullmatch(form, header)


def test_reads_are_plausible(tmp_path: Path) -> None:
    """Lengths, GC, qualities, times and channels look real; passed reads are better."""
    cell = make(
        tmp_path, era="2026", barcodes=(), reads_per_file=2000, mean_length=1000, fail_fraction=0.2
    )
    directory = cell.write()
    scores: dict[str, list[float]] = {"pass": [], "fail": []}
    lengths, starts, channels = [], [], set()
    letters: Counter[str] = Counter()
    for file in sorted(
        minknow.data_files(opened(directory), (DataKind.FASTQ,)),
        key=lambda file: naming.natural_key(file.entry.name),
    ):
        for header, bases, qualities in records(file.entry.path):
            tags = dict(re.findall(r"\t(\w\w):\w:([^\t]*)", header))
            error = [10 ** (-(ord(letter) - 33) / 10) for letter in qualities]
            judged = error[SKIPPED:] or error
            assert float(tags["qs"]) == pytest.approx(
                -10 * math.log10(statistics.fmean(judged)), abs=1e-3
            )
            scores[file.part].append(float(tags["qs"]))
            lengths.append(len(bases))
            channels.add(int(tags["ch"]))
            letters.update(bases)
            if file.part == "pass":
                starts.append(tags["st"])
    assert statistics.mean(lengths) == pytest.approx(1000, rel=0.1)
    assert statistics.median(lengths) < 800 < 3000 < max(lengths)
    assert starts == sorted(starts)
    assert len(channels) > 1000
    assert 0.38 < (letters["G"] + letters["C"]) / letters.total() < 0.44
    assert statistics.mean(score > 10 for score in scores["pass"]) > 0.99
    assert statistics.mean(score < 10 for score in scores["fail"]) > 0.99


@pytest.mark.parametrize(
    "options",
    [{"era": "1999"}, {"fail_fraction": 1.5}, {"mean_length": 0}, {"reads_per_file": -1}],
    ids=["unknown era", "fraction above 1", "no length", "negative number of reads"],
)
def test_impossible_cells_are_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    """Impossible options are reported before any file is written."""
    with pytest.raises(UsageError):
        make(tmp_path, **options)
    assert os.listdir(tmp_path) == []


def test_invalid_cell_names_are_refused(tmp_path: Path) -> None:
    """A cell needs a cell's name, because ids and times are taken from it."""
    with pytest.raises(UsageError, match=r"no\\ncell is not the name of a cell"):
        SimulatedCell(tmp_path, "run", "library", "no\ncell")


def test_a_cell_is_never_written_into_another(tmp_path: Path) -> None:
    """An existing directory is not touched."""
    make(tmp_path).write()
    before = tree(tmp_path)
    with pytest.raises(FileExistsError):
        make(tmp_path, seed=1).write()
    assert tree(tmp_path) == before


# --- the command


def options(*arguments: str) -> argparse.Namespace:
    """The command's options, parsed as the command line does."""
    parser = argparse.ArgumentParser()
    simulator.add_arguments(parser)
    return parser.parse_args([*arguments])


def test_the_command_writes_runs_that_overlap(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every run ends complete, runs overlap, and each file has its line."""
    arguments = [
        "--runs",
        "2",
        "--cells",
        "2",
        "--barcodes",
        "2",
        "--files",
        "2",
        "--reads",
        "5",
        "--interval",
        "0",
    ]
    assert simulator.run(options(str(tmp_path), "--date", "20261122", *arguments)) == 0
    cells = sorted(tmp_path.glob("*/*/*"))
    assert [str(cell.relative_to(tmp_path))[:-9] for cell in cells] == [
        "20261122_DEMO_alpha/sample_A/20261122_1200_1A_PAW00001",
        "20261122_DEMO_alpha/sample_B/20261122_1200_1B_PAW00002",
        "20261122_DEMO_beta/sample_A/20261122_1200_1C_PAW00003",
        "20261122_DEMO_beta/sample_B/20261122_1200_1D_PAW00004",
    ]
    assert all(
        judge(minknow.read_contents(opened(cell))).verdict is Verdict.PROVEN for cell in cells
    )
    assert {file.barcode for file in minknow.data_files(opened(cells[0]), (DataKind.FASTQ,))} == {
        "barcode01",
        "unclassified",
    }
    lines = capsys.readouterr().out.splitlines()
    begins = [number for number, line in enumerate(lines) if line.endswith("begins")]
    ends = [number for number, line in enumerate(lines) if line.endswith("has ended")]
    assert len(begins) == len(ends) == 4
    for cell, begin, end in zip(cells, begins[1:], ends, strict=False):
        assert (
            sum(cell.name in line for line in lines[begin:end]) > 2
        )  # files written after the next cell had begun
    assert len(lines) - 8 == sum(1 for path in tmp_path.rglob("*") if path.is_file())


def test_errors_of_the_command(tmp_path: Path) -> None:
    """Wrong options, an existing run and an unwritable place give an error sentence."""
    small = ["--files", "1", "--reads", "1", "--interval", "0", "--date", "20261122", "--runs", "1"]
    assert simulator.run(options(str(tmp_path / "landing"), *small)) == 0
    with pytest.raises(UsageError, match="exists; give another"):
        simulator.run(options(str(tmp_path / "landing"), *small))
    with pytest.raises(UsageError, match="--speed"):
        simulator.run(options(str(tmp_path / "landing"), "--speed", "0"))
    with pytest.raises(UsageError, match="not the name of a cell"):
        simulator.run(options(str(tmp_path / "landing"), "--date", "tomorrow"))
    (tmp_path / "file").touch()
    with pytest.raises(PermanentError, match="file cannot be written: "):
        simulator.run(options(str(tmp_path / "file"), *small))
    with pytest.raises(SystemExit):
        options(str(tmp_path), "--runs", "-1")


def test_interrupting_the_command_ends_it_cleanly(tmp_path: Path) -> None:
    """Ctrl-C in the middle gives exit code 130 and a sentence, without a traceback.

    No temporary files remain, and the cell is unfinished.
    """
    program = (
        "import argparse, signal, sys; from hesiod_watch.cli import simulator as simulate;"
        # A test that runs in the background of a shell inherits that the signal is ignored.
        " signal.signal(signal.SIGINT, signal.default_int_handler);"
        " parser = argparse.ArgumentParser();"
        " simulate.add_arguments(parser); sys.exit(simulate.run(parser.parse_args()))"
    )
    # The command needs so many files that it is far from its end even when the signal is late.
    more = ["--runs", "1", "--files", "1000", "--interval", "0.02"]
    command = [sys.executable, "-c", program, str(tmp_path / "landing"), *more]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "fastq_pass" in line:
                process.send_signal(signal.SIGINT)
                break
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert errors == "simulate: interrupted; unfinished cells stay as they are\n"
    (run,) = (tmp_path / "landing").iterdir()
    (cell,) = run.glob("*/*")
    assert judge(minknow.read_contents(opened(cell))).verdict is Verdict.RUNNING
