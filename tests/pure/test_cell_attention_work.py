"""What is blocked in a cell that is ready, claimed or processed: kind, beginning, and facts."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from blocked_cells import NOW, POLICY, ago, at, ended, failing
from snapshots import cell, claim, flag, run

from hesiod_watch.core.cell_contents import (
    Completeness,
    LateData,
    Verdict,
)
from hesiod_watch.core.circumstances import Circumstances, SlurmCondition, SlurmSilence
from hesiod_watch.core.model import Cell, RunType
from hesiod_watch.core.ownership import Liveness, Owner, Progress, Wait, WorkerDeath
from hesiod_watch.rules.cell_attention import attention_of_cell, job_waits
from hesiod_watch.rules.late_data import said

RAW = "/output/run/lib/cell/raw.json"
MISSING = "second: run/raw/a.pod5: missing; second: run/raw/b.pod5: missing; and 2 more"
PROVEN = Completeness(Verdict.PROVEN, "3 files")
LATE = LateData({"fastq_pass": 1}, frozenset(), PROVEN)


Row = tuple[Cell, dict[str, Any], dict[str, Any], list[tuple[str, datetime | None, dict[str, str]]]]
CLAIMED = claim(Liveness.UNKNOWN, evidence="on another host")
MADE = replace(CLAIMED, made=at(3600))
ALIVE = claim()
JOB = Owner("t", executor="slurm", slurm_name="hw-1")
WAITING_JOB = replace(claim(owner=JOB, evidence="pending"), made=at(3600))
FINDING = {"at": "2026-11-23T11:00:00Z", "said": "1 differs", "set": "1"}
DONE = flag(json.dumps({"hook_due": True}), at(60))

WAITS: dict[Wait, tuple[str, dict[str, str]]] = {
    Wait.FOR_SPACE: ("waiting-for-space", {"why": "no space", "output": "/output/run"}),
    Wait.FOR_WORKER: ("waiting-for-worker", {"holders": "process a/b, process c/d"}),
    Wait.TO_RETRY: ("worker-waits", {"why": "no space"}),
    Wait.FOR_INGEST: (
        "worker-waits",
        {"why": "an ingest of its cell is under way: no space"},
    ),
}


@pytest.mark.parametrize("phase", [*Wait, "reading"], ids=str)
def test_a_worker_that_waits(phase: str) -> None:
    """A worker that waits says since when and for what; one that works is no trouble."""
    progress = Progress(str(phase), updated=at(9), note="no space")
    only = cell(claims=(ALIVE,), progress=progress)
    around = Circumstances(busy={"process": ("process a/b", "process c/d")})
    found = list(attention_of_cell(run(only), only, around, POLICY, NOW))
    expected = [WAITS[phase]] if isinstance(phase, Wait) else []
    assert [(each.kind, each.since) for each in found] == [(kind, ago(9)) for kind, _ in expected]
    for each, (_, known) in zip(found, expected, strict=True):
        assert each.facts == {**known, "run": "run", "cell": str(only.id)}


CASES: dict[str, Row] = {
    "an owner in doubt for an hour": (
        cell(claims=(replace(MADE, made=at(3660)),)),
        {},
        {},
        [
            (
                "owner-unknown",
                ago(3660),
                {"owner": "an unknown owner", "why": "on another host"},
            )
        ],
    ),
    "an owner in doubt, who works": (
        cell(claims=(replace(MADE, made=at(9999)),), progress=Progress("x", updated=at(60))),
        {},
        {},
        [
            (
                "owner-elsewhere",
                ago(9999),
                {"owner": "an unknown owner", "why": "on another host"},
            )
        ],
    ),
    "a job in doubt while Slurm is silent": (
        cell(claims=(replace(MADE, made=at(9999), owner=JOB, worker=JOB),)),
        {},
        {"slurm": SlurmCondition(controller=SlurmSilence("down"))},
        [
            (
                "owner-elsewhere",
                ago(9999),
                {"owner": "a process (slurm) on an unnamed host", "why": "on another host"},
            )
        ],
    ),
    "a process in doubt while Slurm is silent": (
        cell(claims=(replace(MADE, made=at(9999), owner=JOB, worker=Owner("t")),)),
        {},
        {"slurm": SlurmCondition(controller=SlurmSilence("down"))},
        [
            (
                "owner-unknown",
                ago(9999),
                {"owner": "a process on an unnamed host", "why": "on another host"},
            )
        ],
    ),
    "a job that waits": (
        cell(claims=(WAITING_JOB,)),
        {},
        {},
        [("job-waiting", ago(3600), {"why": "pending", "job": "hw-1"})],
    ),
    "a worker that died": (
        cell(
            claims=(
                claim(
                    Liveness.DEAD,
                    owner=Owner("t", time=ago(100).isoformat()),
                    evidence="killed",
                    death=WorkerDeath("killed", ago(30).isoformat()),
                ),
            )
        ),
        {},
        {},
        [
            (
                "worker-died",
                ago(30),
                {"why": "killed; attempt 2 starts at 2026-11-23T12:00:30Z"},
            )
        ],
    ),
    "ready, of another type": (
        cell(synced=True),
        {"type": "visitor"},
        {},
        [
            (
                "not-processed",
                None,
                {"type": "visitor", "type_file": "/landing/run/pipeline/type.yaml"},
            )
        ],
    ),
    "ready": (cell(synced=True), {}, {}, []),
    "ready, and no worker is free": (
        cell(synced=True),
        {},
        {"busy": {"process": ()}},
        [("waiting-for-worker", None, {"holders": "other work"})],
    ),
    "ready, and other work has all its workers": (
        cell(synced=True),
        {},
        {"busy": {"backup": ("x",)}},
        [],
    ),
    "processed": (cell(done=DONE, backup=ended("done")), {}, {}, []),
    "a finding": (
        cell(done=DONE, backup=ended("done", minknow_checksums=FINDING)),
        {},
        {},
        [("files-damaged", ago(3600), {"why": "1 differs"})],
    ),
    "compressed on purpose": (
        cell(done=DONE, backup=ended("done", minknow_checksums={**FINDING, "repacked": True})),
        {},
        {},
        [("files-repacked", ago(3600), {"why": "1 differs"})],
    ),
    "damaged copies": (
        cell(done=DONE, verification=ended("failed", problems=["a: rot", "b: rot", "c: rot"])),
        {},
        {},
        [
            (
                "copy-damaged",
                ago(60),
                {
                    "why": "a: rot and 2 more",
                    "raw": RAW,
                    "only_raw": RAW,
                },
            )
        ],
    ),
    "a damaged copy, backed up": (
        cell(
            done=DONE, backup=ended("done"), verification=ended("failed", problems=["output: rot"])
        ),
        {},
        {},
        [
            (
                "copy-damaged",
                ago(60),
                {
                    "why": "output: rot",
                    "backed_up": "lib/cell",
                    "raw": RAW,
                },
            )
        ],
    ),
    "late data": (
        cell(done=DONE, late_data=LATE),
        {},
        {},
        [("new-data", ago(60), {"why": said(LATE)})],
    ),
    "a backup that fails": (
        cell(done=DONE, backup=ended("failed", reason="no space")),
        {},
        {},
        [("backup-behind", ago(60), {"why": "no space"})],
    ),
    "a backup without a file that is missing here": (
        cell(done=DONE, backup=ended("failed", reason=MISSING)),
        {},
        {},
        [("backup-behind", ago(60), {"why": MISSING, "raw": RAW})],
    ),
    "a backup that is retried": (
        cell(done=DONE, backup=ended("failed", needs_person=False)),
        {},
        {},
        [],
    ),
    "copies that cannot be read": (
        cell(done=DONE, verification=failing(3600)),
        {},
        {},
        [("copies-unread", ago(3660), {"why": "rot"})],
    ),
    "copies that could not be read for a moment": (
        cell(done=DONE, verification=failing(3599)),
        {},
        {},
        [],
    ),
    "copies that a person must make readable": (
        cell(done=DONE, verification=ended("failed", needs_person=True, reason="no manifest")),
        {},
        {},
        [("copies-unread", ago(60), {"why": "no manifest"})],
    ),
    "damaged copies that cannot be read": (
        cell(done=DONE, verification=failing(3600, problems=["output: x: missing"])),
        {},
        {},
        [("copy-damaged", ago(60), {"why": "output: x: missing", "raw": RAW, "only_raw": RAW})],
    ),
    "a mark and a strip that fail": (
        cell(done=DONE, deletable=failing(3600), strip=failing(7200)),
        {},
        {},
        [
            (
                "deletion-behind",
                ago(3660),
                {
                    "action": "deletable",
                    "what": "its mark on the upstream could not be made or withdrawn",
                    "why": "rot",
                },
            ),
            (
                "deletion-behind",
                ago(7260),
                {
                    "action": "strip",
                    "what": "its raw data could not be removed from the landing area",
                    "why": "rot",
                },
            ),
        ],
    ),
    "a mark and a strip that are refused": (
        cell(
            done=DONE,
            deletable=ended("failed", failing_since=ago(9000).isoformat(), needs_person=True),
            strip=failing(3599),
        ),
        {},
        {},
        [],
    ),
    "a command that fails": (
        cell(done=DONE, hook=ended("failed", reason="exit code 3")),
        {},
        {},
        [
            (
                "hook-failed",
                ago(60),
                {
                    "why": "exit code 3",
                    "log": "/output/run/pipeline.log",
                    "failed_hook": "/landing/run/pipeline/cell.hook.failed",
                    "done_hook": "/landing/run/pipeline/cell.hook.done",
                },
            )
        ],
    ),
    "without reads": (
        cell(done=DONE, results={"reads": 0}),
        {},
        {},
        [("no-reads", ago(60), {"why": "without reads"})],
    ),
}
TYPES = replace(POLICY, on_done=True, types=(RunType("visitor", "v", process=False),))


@pytest.mark.parametrize("case", CASES)
def test_what_is_blocked(case: str) -> None:
    """Each cause gives its entries, with the time of its beginning and its facts."""
    only, facts, around, expected = CASES[case]
    snapshot = run(only, **facts)
    found = list(attention_of_cell(snapshot, only, Circumstances(**around), TYPES, NOW))
    assert [(each.kind, each.since) for each in found] == [row[:2] for row in expected]
    for each, (_, _, known) in zip(found, expected, strict=True):
        assert (each.run, each.cell) == ("run", str(only.id))
        assert each.facts == {**known, "run": "run", "cell": str(only.id)}


def test_a_command_that_is_not_configured_any_more() -> None:
    """A command that fails is no trouble after it was removed from the configuration."""
    only = cell(done=DONE, hook=ended("failed"))
    assert list(attention_of_cell(run(only), only, Circumstances(), POLICY, NOW)) == []


def test_late_data_have_their_step() -> None:
    """The only step after late data is the one that processes them."""
    only = cell(done=DONE, late_data=LATE)
    (found,) = attention_of_cell(run(only), only, Circumstances(), POLICY, NOW)
    assert [str(step) for step in found.steps] == [
        "process the cell again, with the new data: hesiod-watch retry run lib/cell --why …"
    ]


WORKER = replace(WAITING_JOB, worker=JOB)
JOBS: dict[str, tuple[Cell, bool]] = {
    "for an hour": (cell(claims=(WAITING_JOB,)), True),
    "for less than an hour": (cell(claims=(replace(WAITING_JOB, made=at(3599)),)), False),
    "in doubt": (cell(claims=(replace(WAITING_JOB, liveness=Liveness.UNKNOWN),)), False),
    "no job": (cell(claims=(replace(WAITING_JOB, owner=Owner("t")),)), False),
    "no owner": (cell(claims=(replace(WAITING_JOB, owner=None),)), False),
    "no claim": (cell(), False),
    "with a worker": (cell(claims=(replace(WORKER, owner=replace(JOB, slurm_name="x")),)), False),
    "requeued": (cell(claims=(WORKER,)), True),
    "requeued, and worked within the hour": (
        cell(claims=(WORKER,), progress=Progress("reading", updated=at(3599))),
        False,
    ),
    "requeued, and worked before": (
        cell(claims=(WORKER,), progress=Progress("reading", updated=at(3600))),
        True,
    ),
    "without a worker, with progress of an earlier one": (
        cell(claims=(WAITING_JOB,), progress=Progress("reading", updated=at(60))),
        True,
    ),
}


@pytest.mark.parametrize("case", JOBS)
def test_a_job_that_waits(case: str) -> None:
    """A job waits if it has not begun, or not again, for longer than the grace period."""
    only, expected = JOBS[case]
    assert job_waits(only, {"hw-1"}, POLICY, NOW) is expected
