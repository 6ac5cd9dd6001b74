"""Record that a cell is complete: with a count just made, or with a new one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import snapshots
from open_runs import opened
from younger_files import make_younger

from hesiod_watch.actions import Job
from hesiod_watch.actions.mark_synced import perform
from hesiod_watch.config import Config
from hesiod_watch.core.errors import TemporaryError
from hesiod_watch.core.model import LOCAL, Cell, CellId
from hesiod_watch.host import process
from hesiod_watch.rules import completeness
from hesiod_watch.rules.settling import QUIET
from hesiod_watch.runs import minknow
from hesiod_watch.runs.flags import adopt

CELL = CellId("lib", "20190710_1723_2-A5-D5_PAD38578_c6ded78b")


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """Job for a cell whose summary announces one file, which is present."""
    run_dir, output = tmp_path / "landing" / "20190710_run", tmp_path / "output"
    data = run_dir / CELL.library / CELL.name / "fastq_pass"
    data.mkdir(parents=True)
    (data / "x_0.fastq").write_text("@r\nA\n+\n5\n")
    (data.parent / "final_summary.txt").write_text(
        "instrument=x\nfastq_files_in_final_dest=1\nfastq_files_in_fallback=0\n"
    )
    (output / run_dir.name).mkdir(parents=True)
    assert adopt(opened(run_dir), LOCAL, output / run_dir.name)
    return Job(
        "synced",
        run_dir,
        Config(run_dir.parent, output),
        process.this_owner("synced", "inline"),
        CELL,
    )


def proven(job: Job, unsettled_since: float | None = None) -> Job:
    """The same job, with the count already made."""
    proof = completeness.judge(minknow.read_contents(job.cell_dir))
    assert proof.proven
    seen = snapshots.run(
        Cell(CELL, present=True, completeness=proof, unsettled_since=unsettled_since)
    )
    return replace(job, snapshot=seen)


def test_it_counts_the_files_without_a_count(job: Job) -> None:
    """Without a count, the action makes its own, and refuses an incomplete cell."""
    (job.cell_dir / "fastq_pass" / "x_0.fastq").unlink()
    with pytest.raises(TemporaryError, match="not complete"):
        perform(job)
    (job.cell_dir / "fastq_pass" / "x_0.fastq").touch()
    (job.cell_dir / "final_summary.txt").touch()
    assert perform(job) == "done"
    assert (job.pipeline / f"{CELL.name}.synced").exists()


def test_it_records_an_earlier_count(job: Job) -> None:
    """A count made by the deciding process is recorded as it is; files are not listed again."""
    job = proven(job)
    data = job.cell_dir / "fastq_pass"
    (data / "x_0.fastq").rename(job.cell_dir / "gone.fastq")
    assert perform(job) == "done"
    assert (job.pipeline / f"{CELL.name}.synced").exists()


@pytest.mark.parametrize("counted", [False, True], ids=["counted now", "counted before"])
def test_data_younger_than_the_summary(job: Job, counted: bool) -> None:
    """A file that changed after the summary must rest, by the file system's clock, whatever ours.

    Its modification time, which a copying program sets, does not matter.
    """
    data = job.cell_dir / "fastq_pass" / "x_0.fastq"
    data.write_text("@r\nA\n+\n5\n@s\nA\n+\n5\n")
    make_younger(data, job.cell_dir / "final_summary.txt")
    if counted:
        job = proven(job, unsettled_since=data.stat().st_ctime)
    with pytest.raises(TemporaryError, match="files changed after its final_summary"):
        perform(job)
    assert not (job.pipeline / f"{CELL.name}.synced").exists()
    assert not [path.name for path in job.pipeline.path.iterdir() if path.name.startswith(".")]
    if counted:
        job = proven(job, unsettled_since=data.stat().st_ctime - QUIET)
    else:
        (job.cell_dir / "final_summary.txt").touch()
    assert perform(job) == "done"
