"""Sentences of `explain` about what is known of a cell, its copies, its messages and its type."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from snapshots import attempt, cell, claim, flag, run

from hesiod_watch.core.cell_contents import Completeness, FinalSummary, Verdict
from hesiod_watch.core.model import Cell, IngestState, Policy, RunType, Snapshot
from hesiod_watch.core.ownership import Liveness, Owner, Progress
from hesiod_watch.core.queued_messages import Outbox, OutboxMessage
from hesiod_watch.rules.evidence import (
    cell_evidence,
    copy_evidence,
    message_evidence,
    owner_words,
    type_evidence,
)

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
HERE = "its directory is in the landing area"
OWNER = Owner("t", action="process", host="host1", pid=7)
WORDS = "process on host1, process 7"
UNKNOWN = "an unknown owner (an empty flag, made by hand or by an older program)"
SHORT = Completeness(
    Verdict.SHORT,
    "1 file missing",
    evidence=("2 numbers without a file", "1 file of another acquisition"),
    summaries=(FinalSummary("a.txt"), FinalSummary("b.txt", problem="half-written")),
)
BY_HAND = Completeness(Verdict.BY_HAND, "accepted as complete by a person; 1 file missing")


def at(hours: float) -> float:
    return (NOW - timedelta(hours=hours)).timestamp()


@pytest.mark.parametrize(
    ("owner", "words"),
    [
        (None, UNKNOWN),
        (Owner("t"), UNKNOWN),
        (OWNER, WORDS),
        (replace(OWNER, action=""), "a process on host1, process 7"),
        (replace(OWNER, slurm_job="17"), f"{WORDS}, Slurm job 17"),
    ],
    ids=["no owner", "no host", "a process", "no action", "a job"],
)
def test_owner(owner: Owner | None, words: str) -> None:
    """An owner is named by its action, host and process, and by its job."""
    assert owner_words(owner) == words


CELLS: dict[str, tuple[Cell, list[str]]] = {
    "here": (cell(), [HERE]),
    "not here": (cell(present=False), ["its directory is not in the landing area"]),
    "done": (
        cell(
            done=flag(json.dumps({"counted": "3 files", "compared": "all agree"}), at(3)),
            claims=(claim(),),
        ),
        [
            HERE,
            "flag done, 3 h old",
            "counted: 3 files",
            "compared when it was processed: all agree",
        ],
    ),
    "failed and aborted": (
        cell(failed=flag("no space", at(2)), aborted=flag("", at(4))),
        [HERE, "flag failed, 2 h old: no space", "flag aborted, 4 h old"],
    ),
    "claims": (
        cell(
            claims=(
                replace(claim(epoch=1), asked=False),
                replace(claim(epoch=2), asked=False),
                claim(epoch=3, owner=OWNER, yielded=True, liveness=Liveness.DEAD),
                claim(epoch=4, owner=Owner("t"), worker=OWNER, evidence="the process is there"),
            )
        ),
        [
            HERE,
            "2 earlier claims, which a later one has ended",
            f"claim 3 by {WORDS}: dead, released",
            f"claim 4 by {WORDS}: alive (the process is there)",
        ],
    ),
    "an earlier claim": (
        cell(claims=(replace(claim(epoch=1), asked=False), claim(epoch=2))),
        [
            HERE,
            "1 earlier claim, which a later one has ended",
            f"claim 2 by {UNKNOWN}: alive",
        ],
    ),
    "synced": (cell(synced=True), [HERE, "flag synced: its data were recorded as complete"]),
    "synced by a person": (
        cell(synced=True, accepted=True),
        [HERE, "flag synced: accepted as complete by a person"],
    ),
    "synced, and by hand": (
        cell(synced=True, completeness=BY_HAND),
        [HERE, "flag synced: accepted as complete by a person", f"counted: {BY_HAND.why}"],
    ),
    "times": (
        cell(summary_since=at(2), changed=at(3)),
        [HERE, "final_summary arrived 2 h ago", "last new file 3 h ago"],
    ),
    "no data": (
        cell(changed=at(3), has_data=False),
        [HERE, "no data file; its directory changed 3 h ago"],
    ),
    "counted": (
        cell(completeness=SHORT),
        [
            HERE,
            "counted: 1 file missing",
            "a.txt: read in full",
            "b.txt: half-written",
            "seen in its files: 2 numbers without a file",
            "seen in its files: 1 file of another acquisition",
        ],
    ),
    "counted, and done": (
        cell(done=flag("", at(2)), completeness=SHORT),
        [
            HERE,
            "flag done, 2 h old",
            "seen in its files: 2 numbers without a file",
            "seen in its files: 1 file of another acquisition",
        ],
    ),
    "ingested": (
        cell(
            results={"reads": 1, "bases": 2000},
            arriving=IngestState(1, last_attempt=attempt("done", owner=OWNER)),
        ),
        [HERE, "ingested so far: 1 read, 2000 bases", f"last ingest: done ({WORDS})"],
    ),
    "being ingested": (
        cell(results={"reads": "?"}, arriving=IngestState(1, last_attempt=attempt(owner=OWNER))),
        [
            HERE,
            "ingested so far: no number of reads, no number of bases",
            f"last ingest: under way, alive ({WORDS})",
        ],
    ),
    "results of another stage": (
        cell(synced=True, results={"reads": 1}, arriving=IngestState(1)),
        [HERE, "flag synced: its data were recorded as complete"],
    ),
    "progress": (
        cell(progress=Progress("copying", 1, 4, updated=at(2), note="slow")),
        [HERE, "worker reported 2 h ago: copying 25% slow"],
    ),
    "progress without a size": (
        cell(progress=Progress("waiting", updated=at(2))),
        [HERE, "worker reported 2 h ago: waiting"],
    ),
}


@pytest.mark.parametrize("case", CELLS)
def test_evidence_about_a_cell(case: str) -> None:
    """Each flag, count and worker of a cell is one line, in this order."""
    found, expected = CELLS[case]
    assert list(cell_evidence(found, NOW)) == expected


COPY = {
    "backup": "one",
    "identity": "id",
    "device": "device",
    "location": "/one",
    "manifest_md5": "m",
    "raw_digest": "",
    "files": 3,
    "bytes": 5,
    "verified_at": "2026-11-23T10:00:00Z",
    "raw": False,
}


def processed(**facts: Any) -> Cell:
    return cell(done=flag(json.dumps({"manifest_md5": "m"})), present=False, **facts)


OUTPUT = "copy on output: results in /output/run/lib/cell, not read again so far"
COPIES: dict[str, tuple[Cell, list[str]]] = {
    "backed up": (
        processed(backup=attempt("done", manifest="m", copies=[COPY])),
        [OUTPUT, "copy on one: results in /one/run, read in full 2 h ago"],
    ),
    "damaged, with a finding": (
        processed(
            verification=attempt("done", problems=["output: rot", "x: rot"]),
            deletable=attempt(
                "failed",
                reason="1 file differs",
                minknow_checksums={"at": "2026-11-22T10:00:00Z", "said": "1 differs", "set": "1"},
            ),
        ),
        [
            OUTPUT,
            "1 differs",
            "damaged: output: rot",
            "damaged: x: rot",
            "marked as safe to delete upstream: no: 1 file differs",
        ],
    ),
    "marked and stripped": (
        processed(
            deletable=attempt("done", reason="2 copies"),
            strip=attempt("done", reason="3 files", kept=["a: small", "b: a link"]),
        ),
        [
            OUTPUT,
            "marked as safe to delete upstream: 2 copies",
            "raw data removed from here: 3 files",
            "a: small",
            "b: a link",
        ],
    ),
    "being stripped": (processed(strip=attempt()), [OUTPUT]),
    "failed": (
        processed(
            backup=attempt("failed", reason="no space", owner=OWNER),
            verification=attempt("failed", reason="no right"),
            hook=attempt(owner=OWNER),
        ),
        [
            OUTPUT,
            f"last backup: failed: no space ({WORDS})",
            f"last verification: failed: no right ({UNKNOWN})",
            f"last command of on_done: under way, alive ({WORDS})",
        ],
    ),
    "all done": (processed(verification=attempt("done"), hook=attempt("done")), [OUTPUT]),
}


@pytest.mark.parametrize("case", COPIES)
def test_evidence_about_copies(case: str) -> None:
    """Each copy and each work on the copies of a cell is one line, in this order."""
    found, expected = COPIES[case]
    assert list(copy_evidence(run(found), found, NOW)) == expected


FAILURE = {
    "reason": "no route to host",
    "attempts": 2,
    "since": "2026-11-23T10:00:00Z",
    "until": "2026-11-23T12:05:00Z",
}
WAITING = Outbox(
    last=3,
    newest="cell-done.a",
    channels=("mail", "rt"),
    waiting=(OutboxMessage(3, "cell-done.a", channels={"rt": "comment"}),),
    last_attempt=attempt(
        "failed",
        channels={
            "rt": FAILURE,
            "mail": {**FAILURE, "attempts": 1, "until": "2026-11-23T12:00:00Z"},
        },
    ),
)


@pytest.mark.parametrize(
    ("outbox", "expected"),
    [
        (None, []),
        (Outbox(), []),
        (Outbox(last=1, newest="a"), ["reported: 1 message, the last one a"]),
        (
            Outbox(last=2, newest="b", ticket=0),
            ["reported in ticket 0: 2 messages, the last one b"],
        ),
        (
            WAITING,
            [
                "reported: 3 messages, the last one cell-done.a",
                "1 message not delivered to rt: no route to host",
                "mail: 1 attempt since 2026-11-23T10:00:00Z; again at the next look",
                "rt: 2 attempts since 2026-11-23T10:00:00Z; again in 5 min",
            ],
        ),
    ],
    ids=["none", "empty", "one", "a ticket", "not delivered"],
)
def test_evidence_about_messages(outbox: Outbox | None, expected: list[str]) -> None:
    """The messages of a run are counted, and each failure of a channel has its next attempt."""
    assert list(message_evidence(run(outbox=outbox), NOW)) == expected


TYPES = Policy(types=(RunType("visitor", "v.*", process=False), RunType("own", "o.*")))


@pytest.mark.parametrize(
    ("snapshot", "expected"),
    [
        (run(name="own"), ["type: own"]),
        (run(name="visit"), ["type: visitor: runs of this type are not processed"]),
        (
            run(name="x"),
            [
                "type: unknown",
                "no configured type matches the run's name; it is treated like any other",
            ],
        ),
    ],
    ids=["own", "visitor", "unknown"],
)
def test_evidence_about_the_type(snapshot: Snapshot, expected: list[str]) -> None:
    """The type of a run is named, with what it prevents and what is wrong with it."""
    assert list(type_evidence(snapshot, TYPES)) == expected
