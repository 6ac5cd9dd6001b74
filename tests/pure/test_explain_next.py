"""What `explain` says about the next step of a run and a cell, and what a person can always do."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from outboxes import ALL_TOLD
from snapshots import attempt, cell, claim, flag, run

from hesiod_watch.core.cell_contents import Completeness, LateData, Verdict
from hesiod_watch.core.circumstances import Circumstances, UpstreamAnswer
from hesiod_watch.core.model import (
    Cell,
    Decision,
    Policy,
    QuarantinedName,
    RunType,
    Snapshot,
)
from hesiod_watch.core.ownership import Liveness, Owner, Progress, Wait, WorkerDeath
from hesiod_watch.core.queued_messages import Outbox, OutboxMessage
from hesiod_watch.rules.explain import (
    Explanation,
    explain_cell,
    explain_run,
    explain_unseen,
    is_hidden,
)
from hesiod_watch.rules.plan import plan

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
POLICY = Policy(
    ingest_interval=None,
    backups=frozenset({"one"}),
    on_done=True,
    types=(RunType("visitor", "v.*", process=False),),
)
THERE = "host:/data/Exp"
SILENT = UpstreamAnswer("prom", "host:/data", "no route")
UNTIL_FIXED = (
    "nothing for what is named above, until a person follows the steps below; everything else"
    " continues by itself"
)
FIXED = "nothing, until the cause is fixed; then it continues by itself"
ABORT_CELL = "disregard it: hesiod-watch abort run lib/cell --why …"
ABORT_RUN = "disregard the whole run: hesiod-watch abort run --why …"
PROVEN = Completeness(Verdict.PROVEN, "3 files")
RUNNING = Completeness(Verdict.RUNNING, "still running")
SHORT = Completeness(Verdict.SHORT, "1 file missing")


def ago(seconds: float) -> str:
    return (NOW - timedelta(seconds=seconds)).isoformat()


def ended(outcome: str, seconds: float = 20, **record: Any) -> Any:
    return attempt(outcome, owner=Owner("t", time=ago(seconds)), ended=ago(seconds), **record)


def of_cell(only: Cell, around: dict[str, Any], **facts: Any) -> Explanation:
    """Explanation of a cell for which nothing is planned now."""
    snapshot = run(only, outbox=ALL_TOLD, **facts)
    return explain_cell(snapshot, only.id, Decision(()), POLICY, NOW, Circumstances(**around))


BACKED_UP = attempt(
    "done",
    manifest="m",
    copies=[
        {
            "backup": "one",
            "identity": "id",
            "device": "device",
            "location": "/one",
            "manifest_md5": "m",
            "raw_digest": "",
            "files": 3,
            "bytes": 5,
            "verified_at": "2026-11-22T10:00:00Z",
            "raw": False,
        }
    ],
)


def done(backup: Any = BACKED_UP, *, hook_due: bool = False, **facts: Any) -> Cell:
    record = json.dumps({"manifest_md5": "m", "hook_due": hook_due})
    return cell(done=flag(record), backup=backup, **facts)


DEATH = WorkerDeath("killed", ago(20))
DEAD = claim(Liveness.DEAD, owner=Owner("t", time=ago(60)), evidence="killed", death=DEATH)
CELLS: dict[str, tuple[Cell, dict[str, Any], dict[str, Any], str]] = {
    "flagged": (
        cell(synced=True),
        {"flags": frozenset({"failed", "aborted"})},
        {},
        "nothing, because the run is flagged aborted, failed",
    ),
    "flagged, and processed": (
        done(),
        {"flags": frozenset({"stripped"})},
        {},
        "nothing; it is finished",
    ),
    "aborted": (cell(aborted=flag()), {}, {}, "nothing; it is disregarded"),
    "aborted, flagged": (
        cell(aborted=flag()),
        {"flags": frozenset({"failed"})},
        {},
        "nothing; it is disregarded",
    ),
    "failed": (cell(failed=flag()), {}, {}, "nothing, until a person decides"),
    "ready": (cell(synced=True), {}, {}, "it is processed as soon as a worker is free"),
    "ready, without an output": (
        cell(synced=True),
        {},
        {"output_problem": "not mounted"},
        FIXED,
    ),
    "ready, of another type": (
        cell(synced=True),
        {"type": "visitor"},
        {},
        "nothing: its run is of the type visitor, and such runs are not processed",
    ),
    "pending": (
        cell(upstream=True),
        {"upstream": THERE},
        {},
        "it is fetched by the next sync",
    ),
    "new": (
        cell(present=False, upstream=True),
        {"upstream": THERE},
        {},
        "it is fetched by the next sync",
    ),
    "new, and its upstream is silent": (
        cell(present=False, upstream=True),
        {"upstream": THERE},
        {"upstreams": (SILENT,)},
        "it is fetched as soon as the cause is fixed",
    ),
    "new, and its upstream refuses": (
        cell(present=False, upstream=True),
        {"upstream": THERE},
        {"upstreams": (replace(SILENT, refused=True),)},
        "it is fetched as soon as the cause is fixed",
    ),
    "new, and its upstream is not configured": (
        cell(present=False, upstream=True),
        {"upstream": THERE},
        {"upstream_configured": False},
        "it is fetched as soon as the cause is fixed",
    ),
    "new, and the sync is in doubt": (
        cell(present=False, upstream=True),
        {"upstream": THERE, "sync": attempt(liveness=Liveness.UNKNOWN)},
        {},
        "it is fetched as soon as the cause is fixed",
    ),
    "incomplete, and its upstream is not configured": (
        cell(completeness=RUNNING),
        {"upstream": THERE},
        {"upstream_configured": False},
        "nothing, until its upstream is in the configuration",
    ),
    "not here": (
        cell(present=False),
        {},
        {},
        "nothing, until its directory or its upstream is back",
    ),
    "in the fallback folder": (
        cell(completeness=Completeness(Verdict.FALLBACK, "x", fallback={"fastq": 1})),
        {},
        {},
        "nothing, until a person accepts it as complete: its final_summary names the fallback"
        " folder",
    ),
    "not at rest": (
        cell(completeness=PROVEN, unsettled_since=NOW.timestamp()),
        {},
        {},
        "it is processed when its files have been unchanged for a minute",
    ),
    "damaged": (
        cell(completeness=Completeness(Verdict.DAMAGED, "x")),
        {},
        {},
        "nothing, until its files agree with MinKNOW's checksums (processing.checksums: require);"
        " they are compared again within an hour",
    ),
    "short": (
        cell(completeness=SHORT),
        {},
        {},
        "its files are counted again every minute or sooner; processing starts when they agree",
    ),
    "running": (
        cell(completeness=RUNNING),
        {},
        {},
        "it is processed when its final_summary says that all files are written, and they are all"
        " here",
    ),
    "not counted": (
        cell(),
        {},
        {},
        "it is processed when its final_summary says that all files are written, and they are all"
        " here",
    ),
    "an owner in doubt": (
        cell(claims=(claim(Liveness.UNKNOWN),)),
        {},
        {},
        "nothing, until its owner is seen to end or a person releases the claim",
    ),
    "a pause": (
        cell(claims=(DEAD,)),
        {},
        {},
        "attempt 2 starts in 40 s, at 2026-11-23T12:00:40Z",
    ),
    "waiting for space": (
        cell(claims=(claim(),), progress=Progress(Wait.FOR_SPACE)),
        {},
        {},
        "its worker tries again within 5 minutes; other cells are processed meanwhile",
    ),
    "waiting to retry": (
        cell(claims=(claim(),), progress=Progress(Wait.TO_RETRY)),
        {},
        {},
        "its worker tries again within 5 minutes; other cells are processed meanwhile",
    ),
    "waiting for a worker": (
        cell(claims=(claim(),), progress=Progress(Wait.FOR_WORKER)),
        {},
        {},
        "its worker continues as soon as another cell is finished",
    ),
    "being processed": (
        cell(claims=(claim(),)),
        {},
        {},
        "its worker finishes it, or is found dead and replaced",
    ),
    "finished": (done(), {}, {}, "nothing; it is finished"),
    "being backed up": (done(attempt()), {}, {}, "its backup is under way"),
    "its backup failed": (
        done(ended("failed")),
        {},
        {},
        "its backup is tried again in 40 s",
    ),
    "its backup failed long ago": (
        done(ended("failed", 9999)),
        {},
        {},
        "its backup is tried again at the next look",
    ),
    "its backup failed, and the run is flagged": (
        done(ended("failed")),
        {"flags": frozenset({"failed"})},
        {},
        "nothing; it is finished",
    ),
    "a command is due": (
        done(hook_due=True),
        {},
        {},
        "its command of on_done is run at the next look",
    ),
    "a command is retried": (
        done(hook_due=True, hook=ended("failed")),
        {},
        {},
        "its command of on_done is run in 40 s",
    ),
    "a command runs": (
        done(hook_due=True, hook=attempt()),
        {},
        {},
        "its command of on_done is under way",
    ),
    "a command is due, and the run is flagged": (
        done(hook_due=True),
        {"flags": frozenset({"failed"})},
        {},
        "nothing; it is finished",
    ),
    "new data": (
        done(late_data=LateData({"": 1}, frozenset(), PROVEN)),
        {},
        {},
        "nothing, until a person has the new data processed",
    ),
    "a damaged copy": (
        done(verification=attempt("failed", problems=["output: rot"])),
        {},
        {},
        "nothing by itself: a person must follow the steps below",
    ),
    "a finding": (
        done(
            verification=attempt(
                "done",
                minknow_checksums={"at": "2026-11-23T10:00:00Z", "said": "1 differs", "set": "x"},
            )
        ),
        {},
        {},
        "nothing by itself: a person must follow the steps below",
    ),
}


@pytest.mark.parametrize("case", CELLS)
def test_next_step_of_a_cell(case: str) -> None:
    """The explanation of a cell says what happens next without a person, and when."""
    only, facts, around, expected = CELLS[case]
    assert of_cell(only, around, **facts).next == expected


def test_without_backups_and_commands_a_cell_is_finished() -> None:
    """A cell waits for no backup and no command that are not configured."""
    for only in (done(None), done(hook_due=True)):
        snapshot = run(only, outbox=ALL_TOLD)
        explained = explain_cell(snapshot, only.id, Decision(()), Policy(), NOW)
        assert explained.next == "nothing; it is finished"


CAN: dict[str, tuple[Cell, list[str]]] = {
    "ready": (cell(synced=True), [ABORT_CELL]),
    "processed": (
        done(None),
        [
            "check its results again: hesiod-watch verify run lib/cell",
            "process it again: rm /landing/run/pipeline/cell.done",
        ],
    ),
    "backed up": (
        done(),
        [
            "check its results again: hesiod-watch verify run lib/cell",
            "read all its copies, also those on backups: hesiod-watch verify run lib/cell --backup",
            "process it again: rm /landing/run/pipeline/cell.done",
        ],
    ),
    "aborted": (cell(aborted=flag()), ["to undo: rm /landing/run/pipeline/cell.aborted"]),
}


@pytest.mark.parametrize("case", CAN)
def test_what_a_person_can_always_do(case: str) -> None:
    """The last steps are those that a person can take with any cell of the stage."""
    only, expected = CAN[case]
    assert list(of_cell(only, {}).you_can) == expected


def of_run(*cells: Cell, around: dict[str, Any] | None = None, **facts: Any) -> Explanation:
    """Explanation of a run for which nothing is planned now."""
    snapshot = run(*cells, **({"outbox": ALL_TOLD} | facts))
    return explain_run(snapshot, Decision(()), POLICY, NOW, Circumstances(**(around or {})))


WORKING, WRITING = cell("w", claims=(claim(),)), cell("i", completeness=RUNNING)
FAILED, READY = cell("f", failed=flag()), cell("r", synced=True)
RUNS: dict[str, tuple[tuple[Cell, ...], dict[str, Any], str]] = {
    "historic": (
        (),
        {"historic": "too old", "has_pipeline": False},
        "nothing, until a person has it taken up, or it gets another cell",
    ),
    "flagged": (
        (WORKING,),
        {"flags": frozenset({"failed"})},
        "nothing, until a person removes the run's flag",
    ),
    "not trusted": (
        (),
        {"pipeline_foreign": True, "problem": "another owner"},
        "nothing, until a person decides",
    ),
    "half taken up": (
        (done(),),
        {"upstream": None, "around": {}},
        "nothing, until the run is taken up",
    ),
    "new": (
        (),
        {"has_pipeline": False, "upstream": None},
        "it is taken up with its first cell",
    ),
    "new, and blocked": (
        (),
        {"has_pipeline": False, "upstream": None, "problem": "permission denied"},
        UNTIL_FIXED,
    ),
    "one failed": ((FAILED, READY), {}, UNTIL_FIXED),
    "one failed, one is processed": (
        (FAILED, WORKING),
        {},
        "the cells being processed are finished",
    ),
    "all processed": (
        (done(), cell("x", aborted=flag())),
        {},
        "nothing, unless new cells appear",
    ),
    "one being written": (
        (done(), WRITING),
        {},
        "each cell is processed when its final_summary and all its files are here",
    ),
    "one ready": ((READY,), {}, "nothing by itself"),
    "no cell": ((), {}, "nothing by itself"),
}


@pytest.mark.parametrize("case", RUNS)
def test_next_step_of_a_run(case: str) -> None:
    """The explanation of a run says what happens next without a person."""
    cells, facts, expected = RUNS[case]
    assert of_run(*cells, **facts).next == expected


def test_a_delivery_that_is_retried() -> None:
    """The next attempt to deliver messages is the last part of what happens next."""
    failure = {"reason": "x", "attempts": 1, "since": ago(9), "until": ago(-300)}
    outbox = Outbox(
        channels=("rt",),
        waiting=(OutboxMessage(1, "cell-done", channels={"rt": "comment"}, time=ago(9)),),
        last_attempt=attempt("failed", channels={"rt": failure}),
    )
    assert of_run(done(), outbox=outbox).next == (
        "nothing, unless new cells appear; delivery of messages is tried again in 5 min"
    )
    over = attempt("failed", channels={"rt": {**failure, "until": ago(1)}})
    assert of_run(done(), outbox=replace(outbox, last_attempt=over)).next == (
        "nothing, unless new cells appear"
    )


def planned(snapshot: Snapshot, around: Circumstances, only: Cell | None = None) -> str:
    decision = plan(snapshot, POLICY, NOW)
    if only:
        return explain_cell(snapshot, only.id, decision, POLICY, NOW, around).next
    return explain_run(snapshot, decision, POLICY, NOW, around).next


def test_planned_actions() -> None:
    """What is planned now is named with its reason, and with what prevents it."""
    other = cell("s", synced=True)
    snapshot = run(READY, other, outbox=ALL_TOLD)
    both = "process lib/r, process lib/s (synced and complete, not started)"
    assert planned(snapshot, Circumstances()).startswith("at the next look: ")
    assert both in planned(snapshot, Circumstances())
    one = "process lib/r (synced and complete, not started)"
    assert planned(snapshot, Circumstances(), READY) == f"at the next look: {one}"
    blocked = Circumstances(output_problem="not mounted", output=Path("/output"))
    assert planned(snapshot, blocked, READY) == f"as soon as the cause is fixed: {one}"
    busy = Circumstances(busy={"process": ("process x",)})
    assert planned(snapshot, busy, READY) == f"as soon as a worker is free: {one}"


def test_evidence_about_a_run() -> None:
    """The explanation of a run has its status, its places, its flags and each of its cells."""
    explained = of_run(
        FAILED,
        READY,
        quarantined=(QuarantinedName("x", "a blank"),),
        ignored=(QuarantinedName("t", "a test"),),
    )
    assert explained.subject == "run"
    assert explained.state == "cell_ready"
    assert explained.evidence[0] == "its status is cell_ready: lib/r here and complete"
    for line in (
        "/landing/run/pipeline: there",
        "comes from: LOCAL",
        "results: /output/run",
        "lib/f: failed: because",
        "lib/r: ready: its data are here and complete",
        "quarantined: x: a blank",
        "left alone: t: a test",
    ):
        assert line in explained.evidence
    assert explained.you_can[-1] == ABORT_RUN
    new = of_run(has_pipeline=False, upstream=None, output=None)
    assert new.evidence[0] == "/landing/run/pipeline: not there"
    assert new.why == "no cell has been seen in this directory yet"
    assert new.you_can == ()
    old = of_run(historic="too old", has_pipeline=False, upstream=None)
    assert old.you_can == ("have it taken up: hesiod-watch take-up run",)
    stopped = of_run(READY, flags=frozenset({"failed", "stripped"}))
    assert [line for line in stopped.evidence if line.startswith("run flag")] == [
        "run flag: failed",
        "run flag: stripped",
    ]
    assert ABORT_RUN not in stopped.you_can
    foreign = of_run(READY, output=None, output_foreign=True, output_problem="of another run")
    assert "results: none are written: of another run" in foreign.evidence
    assert of_run(problem="permission denied").you_can[-1] != ABORT_RUN


def test_the_cause_of_a_cell_is_the_cause_of_its_run() -> None:
    """Without a cause of its own, a run is explained by its first cell that needs a person."""
    explained = of_run(READY, replace(FAILED, flags=replace(FAILED.flags, failed=flag("rot"))))
    assert explained.why.startswith("lib/f: ")
    assert "rot" in explained.why


def test_a_name_in_a_run_comes_first() -> None:
    """The explanation of a name in a run begins with what is wrong with that name."""
    names = (QuarantinedName("a b", "a blank"), QuarantinedName("c d", "another blank"))
    snapshot = run(READY, quarantined=names, outbox=ALL_TOLD)
    explained = explain_run(snapshot, Decision(()), POLICY, NOW, name="c d")
    assert explained.subject == "run c d"
    assert "another blank" in explained.why
    plain = explain_run(snapshot, Decision(()), POLICY, NOW)
    assert "a blank" in plain.why


@pytest.mark.parametrize(
    ("entries", "problem", "hidden"),
    [
        ((), "", False),
        ((), "permission denied", True),
        ((QuarantinedName("other", "x", "link"),), "", True),
        ((QuarantinedName("other", "x", "pooled"),), "", True),
        ((QuarantinedName("other", "x"),), "", False),
        ((QuarantinedName("lib/cell", "x"),), "", True),
        ((QuarantinedName("ce", "x"),), "", True),
    ],
    ids=["nothing", "a problem", "a link", "pooled", "another name", "its name", "a part of it"],
)
def test_a_cell_that_may_be_hidden(
    entries: tuple[QuarantinedName, ...], problem: str, hidden: bool
) -> None:
    """A cell may be hidden by what is wrong with its run, or with a name like its own."""
    assert is_hidden(run(quarantined=entries, problem=problem), "cell") is hidden


def test_a_run_that_cannot_be_looked_at() -> None:
    """A run that cannot be seen is explained by what is wrong outside of it."""
    around = Circumstances(
        landing_problem="not mounted", landing=Path("/landing"), backups={"one": "away"}
    )
    explained = explain_unseen("run", around, NOW)
    assert (explained.subject, explained.state, explained.next) == ("run", "unknown", FIXED)
    assert "not mounted" in explained.why
    assert len(explained.evidence) == 1
    assert "away" in explained.evidence[0]
    assert explained.you_can


def test_a_cell_that_is_not_in_the_run() -> None:
    """A cell that the run does not have cannot be explained."""
    with pytest.raises(KeyError):
        explain_cell(run(), READY.id, Decision(()), POLICY, NOW)


def test_the_explanation_of_a_cell_names_it() -> None:
    """The explanation of a cell has its run, its stage, and its stage's reason as evidence."""
    only = cell(failed=flag("no space"))
    explained = of_cell(only, {})
    assert (explained.subject, explained.state) == ("run lib/cell", "failed")
    assert explained.evidence[0] == "its stage is failed: no space"
    quiet = of_cell(cell(synced=True), {})
    assert quiet.why == "its data are here and complete"
    assert quiet.evidence[0] == "its directory is in the landing area"
