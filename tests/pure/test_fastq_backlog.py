"""The next batch: its order, its limits, and what is left after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from hesiod_watch.core.file_entry import FileEntry
from hesiod_watch.fastq.backlog import SMALLEST_SHARE, SourceBacklog
from hesiod_watch.fastq.model import Output
from hesiod_watch.fastq.tasks import TaskLimits

MANY = 1 << 40


def backlog(
    sizes: Mapping[str, Sequence[int]],
    taken: Mapping[str, int] | None = None,
    *,
    limits: TaskLimits = TaskLimits(files=1000, bytes=MANY),  # noqa: B008  it is frozen
    processes: int = 1,
) -> SourceBacklog:
    """A backlog of outputs by name, each with sources of these sizes."""
    outputs = [
        Output(
            name,
            None,
            "pass",
            tuple(FileEntry(f"{name}{number}", size=one) for number, one in enumerate(listed)),
        )
        for name, listed in sizes.items()
    ]
    return SourceBacklog(outputs, taken or {}, limits, processes)


def batch_of(found: SourceBacklog) -> list[list[str]]:
    """The next batch: the names of the sources of each output."""
    return [[source.name for source in sources] for _, sources in found.next_batch()]


def test_only_sources_that_are_not_taken_are_left() -> None:
    """Outputs without a source or with all of them taken are left out; bytes are of the rest."""
    found = backlog({"a": [1, 2, 4], "b": [8], "c": [], "d": [16]}, {"a": 1, "b": 1})
    assert (len(found), found.bytes) == (2, 2 + 4 + 16)
    assert batch_of(found) == [["a1", "a2"], ["d0"]]
    assert batch_of(found) == []


# Sizes, limits, and the batches that follow each other.
LIMITS = [
    (TaskLimits(files=2, bytes=MANY), [[["a0", "a1"]], [["b0"], ["c0"]]]),
    (TaskLimits(files=3, bytes=MANY), [[["a0", "a1"], ["b0"]], [["c0"]]]),
    (TaskLimits(bytes=19), [[["a0"]], [["b0"]], [["c0"]]]),
    (TaskLimits(bytes=20), [[["a0", "a1"]], [["b0"]], [["c0"]]]),
    (TaskLimits(bytes=49), [[["a0", "a1"]], [["b0"]], [["c0"]]]),
    (TaskLimits(bytes=50), [[["a0", "a1"], ["b0"]], [["c0"]]]),
    (TaskLimits(bytes=1), [[["a0"]], [["b0"]], [["c0"]]]),
]


@pytest.mark.parametrize(
    ("limits", "batches"),
    LIMITS,
    ids=[f"{row[0].files} files, {row[0].bytes} bytes" for row in LIMITS],
)
def test_a_batch_ends_at_the_first_limit(
    limits: TaskLimits, batches: list[list[list[str]]]
) -> None:
    """A limit may be reached and not be exceeded, but every batch has at least one source."""
    found = backlog({"a": [10, 10], "b": [30], "c": [40]}, limits=limits)
    assert [batch_of(found) for _ in range(4)] == [*batches, *[[]] * (4 - len(batches))]


def test_an_output_is_in_one_batch_at_a_time() -> None:
    """After the end of its batch the next sources of an output follow those dealt with."""
    found = backlog({"a": [1, 2, 4, 8], "b": [16]}, limits=TaskLimits(files=2))
    assert batch_of(found) == [["a0", "a1"]]
    assert batch_of(found) == [["b0"]]
    assert batch_of(found) == []
    found.end_batch("a", 1)
    assert (len(found), found.bytes) == (2, 2 + 4 + 8 + 16)
    assert batch_of(found) == [["a1", "a2"]]
    found.end_batch("b", 0)
    assert batch_of(found) == [["b0"]]
    found.end_batch("b", 1)
    assert (len(found), found.bytes) == (1, 2 + 4 + 8)
    found.end_batch("a", 2)
    assert batch_of(found) == [["a3"]]
    found.end_batch("a", 1)
    assert (len(found), found.bytes, batch_of(found)) == (0, 0, [])


def test_a_dropped_output_is_left_out() -> None:
    """The rest of an output with a bad source is not taken; a second drop does nothing."""
    found = backlog({"a": [1, 2], "b": [4]})
    found.drop("a")
    found.drop("a")
    assert (len(found), found.bytes) == (1, 4)
    assert batch_of(found) == [["b0"]]


def test_several_processes_begin_with_most_data() -> None:
    """Outputs with most data left come first, and each process gets a quarter of its share."""
    share = SMALLEST_SHARE
    sizes = {"a": [share] * 2, "b": [share] * 8, "c": [share] * 6}
    found = backlog(sizes, processes=2)
    assert batch_of(found) == [["b0", "b1"]]  # 16 shares for 2 processes in 4 turns each
    assert batch_of(found) == [["c0", "c1"]]
    assert batch_of(found) == [["a0", "a1"]]
    found.end_batch("b", 2)
    found.end_batch("c", 2)
    assert batch_of(found) == [["b2"]]  # 12 shares are left
    assert batch_of(backlog(sizes)) == [
        ["a0", "a1"],
        [f"b{number}" for number in range(8)],
        [f"c{number}" for number in range(6)],
    ]


def test_a_share_is_not_too_small_and_not_above_the_limit() -> None:
    """A batch of little data is not divided further; the limit of a batch is kept."""
    tiny = SMALLEST_SHARE // 4
    assert batch_of(backlog({"a": [tiny] * 9}, processes=3)) == [["a0", "a1", "a2", "a3"]]
    assert batch_of(backlog({"a": [tiny] * 9}, limits=TaskLimits(bytes=2 * tiny), processes=3)) == [
        ["a0", "a1"]
    ]
