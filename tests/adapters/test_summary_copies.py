"""A sequencing summary that changes while its cell is processed."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from hesiod_watch.actions import Job
from hesiod_watch.actions.outputs.summary_copies import copy_summaries, require_unchanged
from hesiod_watch.config import Config
from hesiod_watch.core.cell_contents import CellContents
from hesiod_watch.core.errors import TemporaryError
from hesiod_watch.core.model import CellId
from hesiod_watch.host import process

RUN = "20261122_TEST_alpha"
CELL = CellId("pool", "20261122_2210_1A_PAW00001_0a1b2c3d")
TABLE = "filename\tread_id\na\t1\n"


@pytest.fixture
def job(tmp_path: Path) -> Job:
    config = Config(tmp_path / "landing", tmp_path / "output")
    config.output.mkdir()
    cell = config.landing / RUN / str(CELL)
    cell.mkdir(parents=True)
    (config.landing / RUN / "pipeline").mkdir()  # its file system tells the time
    (cell / "sequencing_summary_a.txt").write_text(TABLE)
    owner = process.this_owner("process", "test")
    return Job("process", config.landing / RUN, config, owner, CELL)


def grow(cell: Path) -> None:
    with (cell / "sequencing_summary_a.txt").open("a") as file:
        file.write("a\t2\n")


@pytest.mark.parametrize(
    "change",
    [
        grow,
        lambda cell: (cell / "sequencing_summary_a.txt").unlink(),
        lambda cell: (cell / "sequencing_summary_b.txt").write_text(TABLE),
    ],
    ids=["grows", "disappears", "another comes"],
)
def test_a_change_after_the_copy(
    job: Job, tmp_path: Path, change: Callable[[Path], object]
) -> None:
    """The attempt is repeated if a table changes before the last look at the cell."""
    (tmp_path / "place").mkdir()
    copied = copy_summaries(job, tmp_path / "place", CellContents())
    require_unchanged(job, copied)
    [copy] = copied.copies
    assert gzip.decompress(copy.path.read_bytes()).decode() == TABLE
    change(job.cell_dir.path)
    with pytest.raises(TemporaryError, match="changed while it was copied"):
        require_unchanged(job, copied)


def test_a_table_that_may_still_be_written(job: Job, tmp_path: Path) -> None:
    """A table that ends in the middle of a line and has just changed is waited for."""
    (job.cell_dir.path / "sequencing_summary_a.txt").write_text(TABLE + "a")
    (tmp_path / "place").mkdir()
    with pytest.raises(TemporaryError, match="may still be being written"):
        copy_summaries(job, tmp_path / "place", CellContents())
