"""Plan: the reason of each action, and each cell judged by itself."""

from __future__ import annotations

from dataclasses import replace

import pytest
from planned_runs import (
    NOT_PROCESSED,
    NOW,
    POLICY,
    PROVEN,
    SHORT,
    THERE,
    ago,
    at,
    dead,
    ended,
    listed,
    reported,
    written,
)
from snapshots import attempt, cell, claim, flag

from hesiod_watch.core.cell_contents import Completeness, Verdict
from hesiod_watch.core.model import Action, Cell, CellId, Policy, Snapshot
from hesiod_watch.core.ownership import WorkerDeath
from hesiod_watch.rules.plan import plan

BY_HAND = Completeness(Verdict.BY_HAND, "accepted as complete by a person; 1 file missing")
CHECKED = replace(POLICY, require_checksums=True)


def actions(snapshot: Snapshot, policy: Policy = POLICY) -> list[Action]:
    return [action for action in plan(snapshot, policy, NOW).actions if action.name != "report"]


REASONS: dict[str, tuple[Snapshot, Policy, list[tuple[str, int, str]]]] = {
    "a new run here": (
        reported(cell("a"), cell("b"), has_pipeline=False, upstream=None),
        POLICY,
        [("new-run", 1, "2 cell(s) seen in a run that is not taken up yet")],
    ),
    "a new run upstream": (
        listed(cell(present=False, upstream=True), has_pipeline=False, upstream=None),
        POLICY,
        [("new-run", 1, f"1 cell(s) seen on {THERE}")],
    ),
    "a new run upstream, where none is local": (
        listed(cell(present=False, upstream=True), has_pipeline=False, upstream=None),
        replace(POLICY, local=False),
        [("new-run", 1, f"1 cell(s) seen on {THERE}")],
    ),
    "a new run with a problem": (
        listed(cell(), has_pipeline=False, problem="permission denied"),
        POLICY,
        [],
    ),
    "a historic run": (listed(cell(), has_pipeline=False, historic="too old"), POLICY, []),
    "one cell is here, one is not": (
        reported(cell("a", present=False), cell("b"), has_pipeline=False, upstream=None),
        POLICY,
        [("new-run", 1, "2 cell(s) seen in a run that is not taken up yet")],
    ),
    "complete": (
        reported(cell(completeness=PROVEN)),
        POLICY,
        [("synced", 1, "3 of 3 FASTQ files")],
    ),
    "complete without checksums": (
        reported(cell(completeness=replace(PROVEN, output_hashes=False))),
        CHECKED,
        [("synced", 1, "3 of 3 FASTQ files")],
    ),
    "complete, and to be compared": (
        reported(cell(completeness=PROVEN)),
        CHECKED,
        [("checksums", 1, "MinKNOW's checksums must agree before the cell is complete")],
    ),
    "damaged, and compared an hour ago": (
        reported(
            cell(
                completeness=replace(PROVEN, verdict=Verdict.DAMAGED),
                checksums=ended("failed", 3600),
            )
        ),
        CHECKED,
        [("checksums", 1, "MinKNOW's checksums must agree before the cell is complete")],
    ),
    "damaged, and compared just now": (
        reported(
            cell(
                completeness=replace(PROVEN, verdict=Verdict.DAMAGED),
                checksums=ended("failed", 3599),
            )
        ),
        CHECKED,
        [],
    ),
    "being compared": (
        reported(cell(completeness=PROVEN, checksums=attempt())),
        CHECKED,
        [],
    ),
    "not at rest": (
        reported(cell(completeness=PROVEN, unsettled_since=at(59))),
        replace(POLICY, ingest_interval=None),
        [],
    ),
    "at rest": (
        reported(cell(completeness=PROVEN, unsettled_since=at(60))),
        replace(POLICY, ingest_interval=None),
        [("synced", 1, "3 of 3 FASTQ files")],
    ),
    "not counted": (reported(cell()), POLICY, []),
    "short": (reported(cell(completeness=SHORT)), POLICY, []),
    "not here": (reported(cell(present=False, completeness=PROVEN)), POLICY, []),
    "ready": (
        reported(cell(synced=True)),
        POLICY,
        [("process", 1, "synced and complete, not started")],
    ),
    "ready by hand": (
        reported(cell(synced=True, completeness=BY_HAND)),
        POLICY,
        [("process", 1, f"{BY_HAND.why}, not started")],
    ),
    "ready, of another type": (reported(cell(synced=True)), NOT_PROCESSED, []),
    "every claim released": (
        reported(cell(claims=(claim(yielded=True, epoch=3),))),
        POLICY,
        [("process", 4, "every claim was released")],
    ),
    "its worker died": (
        reported(cell(claims=(dead(1, 600),))),
        POLICY,
        [("process", 2, "attempt 1 has ended without a result: no such process")],
    ),
    "its worker was killed": (
        reported(
            cell(claims=(dead(1, 600, death=WorkerDeath("killed", ago(60))),)),
        ),
        POLICY,
        [("process", 2, "no such process")],
    ),
    "its worker was killed a moment ago": (
        reported(cell(claims=(dead(1, 600, death=WorkerDeath("killed", ago(59))),))),
        POLICY,
        [],
    ),
    "given up": (
        reported(cell(claims=(dead(1, 600), dead(2, 500), dead(3, 400)))),
        POLICY,
        [
            (
                "give-up",
                1,
                "3 attempts within 24 hours ended without a result; the last one: no such process",
            )
        ],
    ),
    "given up after one": (
        reported(cell(claims=(dead(1, 600),))),
        replace(POLICY, attempts_per_day=1),
        [
            (
                "give-up",
                1,
                "1 attempt within 24 hours ended without a result; the last one: no such process",
            )
        ],
    ),
    "dead, of another type": (
        reported(cell(claims=(dead(1, 600), dead(2, 500), dead(3, 400)))),
        NOT_PROCESSED,
        [],
    ),
    "being written": (
        reported(written()),
        POLICY,
        [("ingest", 1, "new files of reads have landed")],
    ),
    "being written, of another type": (reported(written()), NOT_PROCESSED, []),
    "being written, without ingest": (
        reported(written()),
        replace(POLICY, ingest_interval=None),
        [],
    ),
    "being written, in a flagged run": (
        reported(written(), flags=frozenset({"failed"})),
        POLICY,
        [],
    ),
    "partly here": (
        listed(replace(written(), upstream=True)),
        POLICY,
        [
            ("ingest", 1, "new files of reads have landed"),
            ("sync", 1, f"1 cell(s) of {THERE} are missing or incomplete here"),
        ],
    ),
    "a copy": (listed(replace(written(), upstream=True, copy_of="run/lib/a")), POLICY, []),
    "complete upstream, and not recorded": (
        listed(replace(written(), completeness=PROVEN, upstream=True), listed_at=""),
        POLICY,
        [("ingest", 1, "new files of reads have landed")],
    ),
    "to be fetched": (
        listed(cell("a", present=False, upstream=True), cell("b", upstream=True), written()),
        POLICY,
        [
            ("ingest", 1, "new files of reads have landed"),
            ("sync", 1, f"2 cell(s) of {THERE} are missing or incomplete here"),
        ],
    ),
    "lost": (listed(cell(present=False, upstream=True, synced=True)), POLICY, []),
    "lost in processing": (
        listed(cell(present=False, upstream=True, claims=(claim(),))),
        POLICY,
        [],
    ),
    "lost after a failure": (
        listed(cell(present=False, upstream=True, failed=flag())),
        POLICY,
        [],
    ),
    "ready and to be fetched, not processed": (
        listed(cell("a", upstream=True), cell("b", synced=True)),
        NOT_PROCESSED,
        [("sync", 1, f"1 cell(s) of {THERE} are missing or incomplete here")],
    ),
}


@pytest.mark.parametrize("case", REASONS)
def test_the_reason_of_each_action(case: str) -> None:
    """Each rule plans its action with its attempt and the reason, or nothing."""
    snapshot, policy, expected = REASONS[case]
    found = actions(snapshot, policy)
    assert [(action.name, action.epoch, action.reason) for action in found] == expected
    assert {action.run for action in found} <= {snapshot.run}
    for action in found:
        of_run = action.name in ("new-run", "sync")
        assert (action.cell is None) is of_run
        assert action.upstream == (snapshot.listed_at if of_run and snapshot.listed_at else "LOCAL")


OTHERS = (
    cell("x", completeness=replace(PROVEN, output_hashes=False)),
    cell("y", synced=True),
    cell("z", claims=(dead(1, 600),)),
    written(name="w"),
)
ONE_CELL = [case for case, (snapshot, *_) in REASONS.items() if len(snapshot.cells) == 1]


@pytest.mark.parametrize(
    "case", [case for case in ONE_CELL if REASONS[case][0].upstream == "LOCAL"]
)
def test_each_cell_is_judged_by_itself(case: str) -> None:
    """What a cell waits for keeps no other cell of the run from its work."""
    snapshot, policy, _ = REASONS[case]
    first = snapshot.cells[0]

    def planned(*cells: Cell) -> set[tuple[str, CellId | None]]:
        found = replace(snapshot, cells=cells)
        return {(action.name, action.cell) for action in actions(found, policy)}

    assert planned(first, *OTHERS) == set().union(*map(planned, (first, *OTHERS)))


PAGES: dict[str, tuple[Snapshot, str]] = {
    "no page": (
        reported(cell(done=flag()), report_digest=None),
        "the run has no page yet",
    ),
    "an old page": (
        reported(cell(done=flag()), report_digest="x"),
        "the run's page is out of date",
    ),
    "results of a running cell": (
        reported(cell("a"), cell("b", results={"reads": 1}), outbox=None, report_digest=None),
        "the run has no page yet",
    ),
    "a page that is up to date": (reported(cell(done=flag())), ""),
    "a run of an earlier Hesiod": (
        reported(cell(done=flag()), outbox=None, report_digest=None),
        "",
    ),
    "nothing to show": (reported(cell(), report_digest=None), ""),
    "no output": (reported(cell(done=flag()), report_digest=None, output=None), ""),
    "a moment after a cell, with another in work": (
        reported(cell("a", done=flag("", at(1.9))), cell("b", synced=True), report_digest=None),
        "",
    ),
    "two seconds after a cell, with another in work": (
        reported(cell("a", done=flag("", at(2))), cell("b", synced=True), report_digest=None),
        "the run has no page yet",
    ),
}


@pytest.mark.parametrize("case", PAGES)
def test_pages(case: str) -> None:
    """A page is written if it shows something else than the cells; the reason says which."""
    snapshot, reason = PAGES[case]
    found = plan(snapshot, replace(POLICY, ingest_interval=None), NOW).actions
    assert [each.reason for each in found if each.name == "report"] == ([reason] if reason else [])
