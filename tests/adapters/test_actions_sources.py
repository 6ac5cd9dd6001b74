"""Files of a cell, and which files of a growing cell are finished, by `stat` alone."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from hesiod_watch.actions import Job
from hesiod_watch.actions.outputs.sources import (
    NewestFile,
    contents_if_unchanged,
    find_outputs,
    finished_sources,
)
from hesiod_watch.config import Config
from hesiod_watch.core.file_entry import FileEntry
from hesiod_watch.core.model import CellId
from hesiod_watch.fastq.model import Output
from hesiod_watch.host import process
from hesiod_watch.rules.settling import QUIET
from hesiod_watch.runs import minknow


def source(name: str, size: int = 10, mtime_ns: int = 1) -> FileEntry:
    return FileEntry(name, size=size, mtime_ns=mtime_ns)


def output(*sources: FileEntry, name: str = "x_pass.fastq.gz") -> Output:
    return Output(name, None, "pass", sources)


def names(outputs: list[Output]) -> list[str]:
    return [one.name for each in outputs for one in each.sources]


def test_a_later_file_shows_that_the_earlier_ones_are_finished() -> None:
    """All but the newest file of an output are taken."""
    ready, newest = finished_sources(
        [output(source("a_0"), source("a_1"), source("a_2"))], {}, now=100
    )
    assert names(ready) == ["a_0", "a_1"]
    assert newest == {"a_2": NewestFile(10, 1, 100)}


def test_the_only_file_of_an_output_waits() -> None:
    """The only file of an output may still grow, so its output is not begun."""
    ready, newest = finished_sources([output(source("a_0"))], {}, now=100)
    assert ready == []
    assert not newest["a_0"].quiet(100)


def test_a_file_that_has_been_quiet_is_finished() -> None:
    """The newest file is taken after a quiet time by our clock, not the file system's."""
    growing = output(source("a_0", mtime_ns=10**18))
    _, newest = finished_sources([growing], {}, now=100)
    ready, newest = finished_sources([growing], newest, now=100 + QUIET - 1)
    assert ready == []
    for later in (
        QUIET,
        QUIET + 1,
        10 * QUIET,
    ):  # stays finished, otherwise work would be discarded
        ready, newest = finished_sources([growing], newest, now=100 + later)
        assert names(ready) == ["a_0"]


def test_a_change_restarts_the_wait() -> None:
    """A file that has grown, or was written again, must be quiet once more."""
    _, newest = finished_sources([output(source("a_0"))], {}, now=100)
    for changed in (source("a_0", size=11), source("a_0", mtime_ns=2)):
        ready, still = finished_sources([output(changed)], newest, now=100 + QUIET)
        assert ready == []
        assert still["a_0"].since == 100 + QUIET


def test_each_output_is_judged_for_itself() -> None:
    """A quiet barcode is taken while another still grows."""
    first, second = (
        output(source("a_0")),
        output(source("b_0"), source("b_1"), name="y_pass.fastq.gz"),
    )
    before = {"a_0": NewestFile(10, 1, 0)}
    ready, newest = finished_sources([first, second], before, now=QUIET)
    assert names(ready) == ["a_0", "b_0"]
    assert {name: file.quiet(QUIET) for name, file in newest.items()} == {"a_0": True, "b_1": False}


def exchange_times(one: Path, other: Path) -> None:
    times = [path.stat().st_mtime_ns for path in (other, one)]
    for path, time in zip((one, other), times, strict=True):
        os.utime(path, ns=(time, time))


CHANGES: dict[str, Callable[[Path], object]] = {
    "a new file": lambda data: (data / "a_4.fastq").write_text("x"),
    "one less": lambda data: (data / "a_1.fastq").unlink(),
    "another name": lambda data: (data / "a_1.fastq").rename(data / "a_3.fastq"),
    "another barcode": lambda data: (data / "a_1.fastq").rename(
        data.parent / "barcode02" / "a_1.fastq"
    ),
    "longer": lambda data: (data / "a_1.fastq").write_text("xx"),
    "another time": lambda data: os.utime(data / "a_1.fastq", ns=(5, 5)),
    "times exchanged": lambda data: exchange_times(data / "a_1.fastq", data / "a_2.fastq"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_the_files_is_seen(tmp_path: Path, change: str) -> None:
    """Unchanged files are the same sources in any order, and are counted; changed ones are not."""
    cell = tmp_path / "landing" / "run" / "lib" / "20190710_1723_2-A5-D5_PAD38578_c6ded78b"
    data = cell / "fastq_pass" / "barcode01"
    data.mkdir(parents=True)
    (data.parent / "barcode02").mkdir()
    for number in (1, 2):
        (data / f"a_{number}.fastq").write_text("x")
        os.utime(data / f"a_{number}.fastq", ns=(number, number))
    config = Config(tmp_path / "landing", tmp_path / "output")
    owner = process.this_owner("process", "inline")
    job = Job("process", cell.parents[1], config, owner, CellId("lib", cell.name))
    outputs, _ = find_outputs(job)
    assert contents_if_unchanged(job, outputs)
    assert contents_if_unchanged(job, outputs[::-1])
    assert contents_if_unchanged(job, outputs) == minknow.read_contents(job.cell_dir)
    CHANGES[change](data)
    assert not contents_if_unchanged(job, outputs)


def test_a_file_first_seen_in_the_future_is_not_waited_for() -> None:
    """A state file with a future time delays nothing, and files already taken stay taken."""
    growing = output(source("a_0"))
    before = {"a_0": NewestFile(10, 1, 10**9)}
    for now in (100.0, 100.0 + QUIET):
        ready, before = finished_sources([growing], before, now)
        assert names(ready) == ["a_0"]
