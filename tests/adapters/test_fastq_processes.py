"""Several processes write the same as one, fail together, and end with their parent."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fastq_files import GOOD, put, reads
from output_writing import write_outputs

from hesiod_watch.core.errors import BadSource, TemporaryError
from hesiod_watch.fastq import backlog, ingest
from hesiod_watch.fastq.model import Output, Settings, Tally
from hesiod_watch.fastq.qc import qc_groups


def several(directory: Path, count: int = 5) -> list[Output]:
    """Outputs of different sizes, plain and gzipped."""
    outputs = []
    for number in range(count):
        ending = ".gz" if number % 2 else ""
        sources = tuple(
            put(
                directory,
                f"{number}_{part}.fastq{ending}",
                reads(40 * (number + 1), 10 * number + part),
            )
            for part in range(3)
        )
        outputs.append(
            Output(
                f"o{number}.fastq.gz", f"barcode{number:02}", "pass" if number else "fail", sources
            )
        )
    return outputs


@pytest.fixture
def many_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers are started for little work, too."""
    monkeypatch.setattr(ingest, "BYTES_PER_WORKER", 1)
    monkeypatch.setattr(backlog, "SMALLEST_SHARE", 1)


@pytest.mark.usefixtures("many_workers")
def test_processes_give_the_same(tmp_path: Path) -> None:
    """Four processes write the same bytes, QC and progress as one."""
    outputs = several(tmp_path)
    results, tallies = [], []
    for processes in (1, 4):
        directory = tmp_path / str(processes)
        directory.mkdir()
        seen: list[Tally] = []
        how = Settings(level="small", processes=processes)  # its bytes are always the same
        results.append(write_outputs(outputs, directory, how, on_progress=seen.append))
        tallies.append(seen[-1])
    one, four = results
    assert [written.output for written in four] == outputs
    assert [written.md5 for written in one] == [written.md5 for written in four]
    assert [written.pieces for written in one] == [written.pieces for written in four]
    groups = [
        qc_groups((w.output.barcode, w.output.part, w.statistics) for w in results_)
        for results_ in results
    ]
    assert groups[0] == groups[1]
    assert tallies[0] == tallies[1]
    assert tallies[0].bytes_done == sum(output.size for output in outputs)
    assert tallies[0].bases == groups[0]["total"]["bases"]


@pytest.mark.usefixtures("many_workers")
def test_an_error_in_one_process_ends_all(tmp_path: Path) -> None:
    """The error arrives unchanged, with its place; no process remains."""
    outputs = several(tmp_path)
    bad = put(tmp_path, "bad.fastq", GOOD + b"@r\nACGT\n+\nIII\n")
    outputs.insert(2, Output("bad.fastq.gz", None, "pass", (bad,)))
    (tmp_path / "out").mkdir()
    with pytest.raises(BadSource, match="4 bases, 3 qualities") as caught:
        write_outputs(outputs, tmp_path / "out", Settings(processes=3))
    assert (caught.value.path, caught.value.where) == (bad.path, "record 2, line 8")
    assert not workers_of(os.getpid())


@pytest.mark.usefixtures("many_workers")
def test_a_killed_worker_is_a_temporary_error(tmp_path: Path) -> None:
    """A worker killed by the system (memory) is reported as killed, with the output's name."""
    outputs = several(tmp_path)
    (tmp_path / "out").mkdir()

    def kill_one(tally: Tally) -> None:
        for worker in workers_of(os.getpid())[:1]:
            os.kill(worker, 9)

    with pytest.raises(TemporaryError, match=r"writing o\d\.fastq\.gz was killed by signal 9"):
        write_outputs(outputs, tmp_path / "out", Settings(processes=2), on_progress=kill_one)
    assert not workers_of(os.getpid())


PARENT = """
import sys
from pathlib import Path
from hesiod_watch.fastq.ingest import Ingest
from hesiod_watch.fastq.model import Output, Settings
from hesiod_watch.fastq.sources import look
from hesiod_watch.host.files import OpenDirectory
path = Path(sys.argv[1])
sources = tuple(look(path, str(number)) for number in range(1000))
outputs = [Output(f"o{n}", None, "pass", sources) for n in range(2)]
def progress(tally): print("working", flush=True)
settings = Settings(processes=2)
cell = OpenDirectory(path.parent)
with Ingest.open(path.parent, cell, settings, owner={}, check_all=False) as ingest:
    ingest.finish(outputs, progress)
"""


def test_workers_die_with_their_parent(tmp_path: Path) -> None:
    """When the parent is killed, no worker continues to write."""
    source = put(tmp_path, "a.fastq", reads(1000))
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(source.path)], stdout=subprocess.PIPE
    )
    assert parent.stdout
    parent.stdout.readline()
    workers = workers_of(parent.pid)
    assert len(workers) == 2
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 10
    while any(alive(worker) for worker in workers):
        assert time.monotonic() < deadline, "a worker outlived its parent"


def workers_of(parent: int) -> list[int]:
    """Worker processes started by `parent`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                status = (entry / "stat").read_text()
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if (
                int(status.rpartition(")")[2].split()[1]) == parent
                and b"hesiod_watch.fastq.worker" in command
            ):
                found.append(int(entry.name))
    return found


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
