"""When a run is finished and at rest, and which facts are in the digest of its report."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from snapshots import attempt, cell, claim, flag, run

from hesiod_watch.core.cell_contents import Completeness, LateData, Verdict
from hesiod_watch.core.model import Cell, Snapshot
from hesiod_watch.core.ownership import Attempt
from hesiod_watch.core.queued_messages import Outbox, OutboxMessage
from hesiod_watch.rules.stages import (
    digest_of_report,
    find_cell,
    is_at_rest,
    is_finished,
    match_cells,
    sync_under_way,
)

PROVEN = Completeness(Verdict.PROVEN, "all files announced are here: 3 FASTQ files")
BY_HAND = Completeness(
    Verdict.BY_HAND, "accepted as complete by a person; 1 of 3 FASTQ files missing"
)
LATE = LateData({"fastq_pass": 1}, frozenset(), PROVEN)


READY, WORKING = cell("r", synced=True), cell("w", claims=(claim(),))
NEW = cell("n", present=False, upstream=True)
DONE, ABORTED = cell("d", done=flag("")), cell("x", aborted=flag(""))
FAILED = cell("f", failed=flag("no space"))


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (set(), False),
        ({"sync.done"}, False),
        ({"sync.started"}, True),
        ({"sync.started", "failed"}, True),
        ({"sync.started", "sync.done"}, False),
        ({"sync.started", "sync.failed"}, False),
    ],
    ids=lambda value: " ".join(sorted(value)) or "none" if isinstance(value, set) else "",
)
def test_a_sync_is_under_way(flags: set[str], expected: bool) -> None:
    """A sync is under way from its first flag to its last one."""
    assert sync_under_way(run(flags=frozenset(flags))) is expected


FINISHED: dict[str, tuple[Snapshot, bool]] = {
    "all settled": (run(DONE, FAILED, ABORTED), True),
    "one is not": (run(DONE, READY), False),
    "no cell": (run(), False),
    "historic": (run(READY, historic="too old", has_pipeline=False), True),
    "aborted": (run(READY, flags=frozenset({"aborted"})), True),
    "stripped": (run(READY, flags=frozenset({"stripped"})), True),
    "failed": (run(READY, flags=frozenset({"failed"})), False),
    "not taken up": (run(DONE, has_pipeline=False), False),
    "with a problem": (run(DONE, problem="permission denied"), False),
}


@pytest.mark.parametrize("case", FINISHED)
def test_finished(case: str) -> None:
    """A run is finished if all its cells are settled, or if it is over."""
    snapshot, expected = FINISHED[case]
    assert is_finished(snapshot) is expected
    assert is_at_rest(snapshot) is expected


MESSAGE = OutboxMessage(1, "cell-done", channels={"rt": "comment"})
WORK = ("backup", "verification", "hook", "deletable", "strip", "checksums")


def with_work(last: Attempt, *kinds: str) -> Cell:
    """A processed cell with this last attempt at each of these kinds of work."""
    work: dict[str, Any] = dict.fromkeys(kinds, last)
    return replace(DONE, **work)


BUSY: dict[str, Snapshot] = {
    "a sync": run(DONE, sync=attempt()),
    "the run's backup": run(DONE, backup=attempt()),
    **{f"{work} of a cell": run(ABORTED, with_work(attempt(), work)) for work in WORK},
    "a delivery": run(DONE, outbox=Outbox(last_attempt=attempt())),
    "a message": run(DONE, outbox=Outbox(channels=("mail", "rt"), waiting=(MESSAGE,))),
    "an outbox that cannot be read": run(DONE, outbox=Outbox(problem="permission denied")),
}


@pytest.mark.parametrize("case", BUSY)
def test_not_at_rest(case: str) -> None:
    """A finished run with an attempt that has not ended, or with a message, is not at rest."""
    assert is_finished(BUSY[case])
    assert not is_at_rest(BUSY[case])


def test_at_rest() -> None:
    """Attempts that ended, and messages that are delivered, leave a run at rest."""
    outbox = Outbox(
        channels=("mail", "rt"),
        delivered={"rt": 1},
        waiting=(MESSAGE,),
        last_attempt=attempt("done"),
    )
    snapshot = run(
        with_work(attempt("failed"), *WORK),
        sync=attempt("done"),
        backup=attempt("failed"),
        outbox=outbox,
    )
    assert is_at_rest(snapshot)


def test_a_cell_by_its_name() -> None:
    """A cell is found by its path in the run, or by its directory's name alone."""
    snapshot = run(cell("a"), cell("b", library="other"))
    assert [str(find_cell(snapshot, text)) for text in ("lib/a", "b", "other/b", "lib/b")] == [
        "lib/a",
        "other/b",
        "other/b",
        "None",
    ]


def test_cells_by_a_short_form() -> None:
    """A flow cell comes before a position, and both before the beginning of a name."""
    names = [
        "20190710_1723_2-A5-D5_PAD38578_c6ded78b",
        "20190710_1723_3-A5-D5_PAD38579_c6ded78c",
        "20190711_1723_2-A5-D5_PAD38580_c6ded78d",
        "no cell name",
    ]
    snapshot = run(*map(cell, names))

    def matched(text: str) -> list[int]:
        return [names.index(each.name) for each in match_cells(snapshot, text)]

    assert matched("pad38579") == [1]
    assert matched("2-a5-d5") == [0, 2]
    assert matched("20190710") == [0, 1]
    assert matched("lib/no") == [3]
    assert matched("PAD") == []


REPORTED: dict[str, tuple[Cell, Cell]] = {
    "settled otherwise": (cell(done=flag("")), cell(failed=flag(""))),
    "settled at another time": (cell(done=flag("")), cell(done=flag("", 2.0))),
    "aborted at another time": (cell(aborted=flag("")), cell(aborted=flag("", 2.0))),
    "more reads so far": (cell(results={"reads": 1}), cell(results={"reads": 2})),
    "accepted": (cell(done=flag("")), cell(done=flag(""), completeness=BY_HAND)),
    "ready and accepted": (cell(synced=True), cell(synced=True, completeness=BY_HAND)),
    "damaged": (
        cell(done=flag("")),
        cell(done=flag(""), verification=attempt("failed", problems=["output: rot"])),
    ),
    "damaged otherwise": (
        cell(done=flag(""), verification=attempt("failed", problems=["a: rot", "b: rot"])),
        cell(done=flag(""), verification=attempt("failed", problems=["a: rot", "c: rot"])),
    ),
    "backed up": (cell(done=flag("")), cell(done=flag(""), backup=attempt("done", manifest="m"))),
    "late data": (cell(done=flag("")), cell(done=flag(""), late_data=LATE)),
    "not verified": (cell(done=flag("")), cell(done=flag(""), unverified={"bam": 1})),
    "a finding": (
        cell(done=flag(""), backup=attempt("failed", reason="x")),
        cell(
            done=flag(""),
            backup=attempt(
                "failed",
                reason="x",
                minknow_checksums={"at": "2026-11-22T10:00:00Z", "said": "1", "set": "a"},
            ),
        ),
    ),
    "another cell": (cell("a", done=flag("")), cell("b", done=flag(""))),
}


@pytest.mark.parametrize("case", REPORTED)
def test_the_report_is_out_of_date(case: str) -> None:
    """Everything that the page of a run shows about a cell is in the digest of the report."""
    before, after = REPORTED[case]
    assert digest_of_report(run(before)) != digest_of_report(run(after))
    assert digest_of_report(run(before, DONE)) == digest_of_report(run(DONE, before))


def test_cells_that_the_page_does_not_show() -> None:
    """A cell that is only on its upstream, and how far an open one is, change no page."""
    assert digest_of_report(run(DONE, NEW)) == digest_of_report(run(DONE))
    assert digest_of_report(run(READY)) == digest_of_report(run(replace(WORKING, id=READY.id)))
    gone = cell("x", aborted=flag(""), present=False)
    assert digest_of_report(run(DONE, gone)) != digest_of_report(run(DONE))


def test_the_digest_of_a_page_stays() -> None:
    """A digest that changes with a version would have every page written again after an upgrade."""
    rotten = attempt("failed", problems=["output: rot\udcff", "one: rot"])
    finding = {"at": "2026-11-22T10:00:00Z", "said": "1", "set": "a"}
    snapshot = run(
        NEW,
        cell("b", results={"reads": 3}),
        DONE,
        cell("f\udcff", failed=flag("x", 7.5)),
        cell(
            "g",
            done=flag("", 2.0),
            completeness=BY_HAND,
            verification=rotten,
            backup=attempt("failed", reason="no space", minknow_checksums=finding),
            late_data=LATE,
        ),
        cell("h", done=flag(""), unverified={"bam": 1}),
    )
    assert digest_of_report(snapshot) == "515deee30b1d3081"
