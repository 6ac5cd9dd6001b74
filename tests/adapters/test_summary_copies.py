"""A sequencing summary that changes while its cell is processed."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from hesiod_watch.actions import Job
from hesiod_watch.actions.outputs.summary_copies import (
    MOST,
    copy_summaries,
    is_summary_copy,
    require_unchanged,
)
from hesiod_watch.config import Config
from hesiod_watch.core.cell_contents import CellContents, FinalSummary
from hesiod_watch.core.errors import TemporaryError
from hesiod_watch.core.model import CellId
from hesiod_watch.host import process
from hesiod_watch.host.files import md5

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


def test_copies_are_numbered_and_recorded(job: Job, tmp_path: Path) -> None:
    """Each table has a copy of its own name, and `qc.json` says what it is a copy of."""
    text = TABLE + "a\t2\n"
    (job.cell_dir.path / "sequencing_summary_b.txt").write_text(text)
    (tmp_path / "place").mkdir()
    copied = copy_summaries(job, tmp_path / "place", CellContents())
    names = ["sequencing_summary.txt.gz", "sequencing_summary_2.txt.gz"]
    assert [copy.name for copy in copied.copies] == names
    assert sorted(path.name for path in (tmp_path / "place").iterdir()) == sorted(names)
    assert all(is_summary_copy(name) for name in names)
    second = tmp_path / "place" / names[1]
    assert gzip.decompress(second.read_bytes()).decode() == text
    assert copied.record()[1] == {
        "file": names[1],
        "bytes": second.stat().st_size,
        "md5": md5(second.read_bytes()),
        "source": "sequencing_summary_b.txt",
        "source_bytes": len(text),
        "source_md5": md5(text.encode()),
        "rows": 2,
    }
    assert copied.sources[names[1]].name == "sequencing_summary_b.txt"
    assert not list(copied.notes(3))
    (note,) = copied.notes(4)
    assert note == "the sequencing summary has 3 rows for 4 reads in the results"


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        (TABLE, []),
        (
            "a\t1\n",
            ["sequencing_summary_a.txt does not begin with the names of its columns"],
        ),
    ],
    ids=["with columns", "without"],
)
def test_a_table_without_columns_is_told(
    job: Job, tmp_path: Path, text: str, problems: list[str]
) -> None:
    """A table without the names of its columns is copied and reported; its rows are not counted."""
    (job.cell_dir.path / "sequencing_summary_a.txt").write_text(text)
    (tmp_path / "place").mkdir()
    copied = copy_summaries(job, tmp_path / "place", CellContents())
    assert len(copied.copies) == 1
    assert list(copied.notes(1)) == problems


def test_not_more_tables_than_a_cell_can_have(job: Job, tmp_path: Path) -> None:
    """At most a fixed number of tables is copied, and the number of the others is told."""
    for number in range(MOST + 1):
        (job.cell_dir.path / f"sequencing_summary_b{number}.txt").write_text(TABLE)
    (tmp_path / "place").mkdir()
    copied = copy_summaries(job, tmp_path / "place", CellContents())
    assert (len(copied.copies), len(copied.listed)) == (MOST, MOST + 2)
    (problem,) = copied.problems
    assert "no copy of 2 more" in problem


@pytest.mark.parametrize(
    ("named", "missing"),
    [
        ("", False),
        ("sequencing_summary_a.txt", False),
        ("there/sequencing_summary_a.txt.gz", False),
        ("sequencing_summary_b.txt", True),
    ],
)
def test_a_table_that_a_final_summary_names(
    job: Job, tmp_path: Path, named: str, missing: bool
) -> None:
    """A table that MinKNOW names and that is in the cell in no form is reported."""
    summary = FinalSummary("final_summary_a.txt", {"sequencing_summary_file": named})
    (tmp_path / "place").mkdir()
    copied = copy_summaries(job, tmp_path / "place", CellContents(summaries=(summary,)))
    assert [f"{named}, which final_summary_a.txt names" in each for each in copied.problems] == (
        [True] if missing else []
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sequencing_summary.txt.gz", True),
        ("sequencing_summary_16.txt.gz", True),
        ("sequencing_summary_.txt.gz", False),
        ("sequencing_summary.txt", False),
        ("x_sequencing_summary.txt.gz", False),
    ],
)
def test_names_of_copies(name: str, expected: bool) -> None:
    """Only names that copies of tables can have are taken for such a copy."""
    assert is_summary_copy(name) is expected
