"""Answers of sbatch and scontrol, as typed values: when there is a job, and what a node says."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from hesiod_watch.host.command import CommandResult
from hesiod_watch.remote.slurm_answers import (
    Submission,
    SubmissionOutcome,
    error_words,
    is_living,
    nodes_of,
    submission_of,
    utc_time,
)
from hesiod_watch.rules.lost_nodes import NodeState
from hesiod_watch.rules.slurm_jobs import JobRow

ACCEPTED, FULL, REFUSED, LOST = (
    *(SubmissionOutcome.ACCEPTED, SubmissionOutcome.FULL),
    *(SubmissionOutcome.REFUSED, SubmissionOutcome.LOST),
)
FAILED = "sbatch: error: Batch job submission failed: "
UNREADABLE = Submission(LOST, why="sbatch: its answer cannot be read")
TEN = datetime(2026, 3, 1, 10, tzinfo=UTC)


def failed(errors: str, code: int = 1, why: str = "") -> CommandResult:
    return CommandResult(code, b"", errors, why)


@pytest.mark.parametrize(
    ("output", "submission"),
    [
        (b"17\n", Submission(ACCEPTED, "17")),
        (b"17;east\n", Submission(ACCEPTED, "17", "east")),
        (b"17;\xff\n", Submission(ACCEPTED, "17", "\ufffd")),
        (b"", UNREADABLE),
        (b"Submitted batch job 17\n", UNREADABLE),
        (b"17\n18\n", UNREADABLE),
        (b"17;\n", UNREADABLE),
        (b"x17", UNREADABLE),
        (b"17;a;b", UNREADABLE),
    ],
)
def test_accepted(output: bytes, submission: Submission) -> None:
    """Only the number of a job proves that it was accepted; after any other answer there may be a
    job.
    """
    assert submission_of(CommandResult(0, output, "")) == submission


@pytest.mark.parametrize(
    ("errors", "outcome"),
    [
        (f"{FAILED}Invalid account or account/partition combination specified", REFUSED),
        (f"{FAILED}Access/permission denied", REFUSED),
        (f"{FAILED}Requested time limit is invalid (missing or exceeds some limit)", REFUSED),
        (f"{FAILED}Requested node configuration is not available", REFUSED),
        (f"{FAILED}Invalid qos specification", REFUSED),
        (f"{FAILED}Memory required by task is not available", REFUSED),
        ("sbatch: error: invalid partition specified: x\n" + FAILED + "x", LOST),
        ("sbatch: error: Unable to open file /dev/stdin", REFUSED),
        ("sbatch: unrecognized option '--nonsense'", REFUSED),
        ("sbatch: error: No cluster 'x' known by database.", REFUSED),
        (f"{FAILED}Job violates accounting/QOS policy (job submit limit)", REFUSED),
        ("sbatch: error: QOSMaxSubmitJobPerUserLimit\n" + FAILED + "Job violates", FULL),
        ("sbatch: error: AssocGrpSubmitJobsLimit\n" + FAILED + "accounting/QOS policy", FULL),
        (
            "sbatch: error: AssocMaxSubmitJobLimit\n"
            f"{FAILED}Job violates accounting/QOS policy (job submit limit)",
            FULL,
        ),
        (f"{FAILED}Unable to contact slurm controller (connect failure)", LOST),
        (f"{FAILED}Socket timed out on send/recv operation", LOST),
        ("", LOST),
    ],
)
def test_not_accepted(errors: str, outcome: SubmissionOutcome) -> None:
    """Only an error that proves that there is no job is a refusal, and a limit is none for ever.

    A command that was ended proves nothing, whatever it said.
    """
    submission = submission_of(failed(errors))
    assert submission.outcome is outcome
    assert submission.why == f"sbatch: {error_words(failed(errors))}"
    assert (submission.job_id, submission.cluster) == ("", "")
    assert submission_of(failed(errors, why="silent")) == Submission(LOST, why="sbatch: silent")
    assert submission_of(CommandResult(0, b"17\n", errors, "silent")).outcome is LOST


@pytest.mark.parametrize(
    ("code", "outcome"),
    [(125, LOST), (126, REFUSED), (127, REFUSED), (128, LOST), (1, LOST), (-9, LOST)],
)
def test_not_started(code: int, outcome: SubmissionOutcome) -> None:
    """An sbatch that did not start has submitted no job; one that was killed may have."""
    assert submission_of(CommandResult(code, b"17\n", "")).outcome is outcome


@pytest.mark.parametrize(
    ("ended", "words"),
    [
        (failed("squeue: error: a: b\n"), "a: b"),
        (failed("a\n\n sacct: fatal: b \n  \n"), "b"),
        (failed("no prefix: error: b"), "no prefix: error: b"),
        (failed(" \n", 7), "exit code 7"),
        (failed("said", why="ended by us"), "ended by us"),
    ],
)
def test_words_of_an_error(ended: CommandResult, words: str) -> None:
    """The last line of a command says what failed, without the prefix that Slurm writes."""
    assert error_words(ended) == words


def node_text(
    name: str = "n1",
    state: str = "IDLE",
    times: str = "BootTime=2026-03-01T10:00:00 SlurmdStartTime=2026-03-01T10:00:00",
    more: str = "",
) -> str:
    return f"NodeName={name} Arch=x\n   OS=Linux\n   State={state} Weight=1\n   {times}\n{more}\n"


@pytest.mark.parametrize(
    ("text", "nodes"),
    [
        ("", ()),
        (node_text(), (NodeState("n1", frozenset({"IDLE"}), TEN, TEN),)),
        (
            node_text("n1", "DOWN+DRAIN", more="   Reason=bad disk\n")
            + node_text("n2", times="BootTime=None SlurmdStartTime=2026-03-01T10:00:00 X=1"),
            (
                NodeState("n1", frozenset({"DOWN", "DRAIN"}), TEN, TEN, "bad disk"),
                NodeState("n2", frozenset({"IDLE"}), None, TEN),
            ),
        ),
        (
            node_text(times="BootTime=2026-03-01T10:00:00"),
            (NodeState("n1", frozenset({"IDLE"}), TEN),),
        ),
        ("NodeName=n1 Arch=x\n   OS=Linux\n", (NodeState("n1", frozenset()),)),
        (
            node_text(more="   Comment=State=DOWN\n   Extra=Reason=x\n"),
            (NodeState("n1", frozenset({"IDLE"}), TEN, TEN),),
        ),
        (node_text() + "Node n9 not found\n", ()),
        (
            node_text(more="   Comment=Node n9 not found\n"),
            (NodeState("n1", frozenset({"IDLE"}), TEN, TEN),),
        ),
    ],
    ids=[
        *("nothing", "one", "two", "without slurmd", "without lines", "free text", "one unknown"),
        "unknown in free text",
    ],
)
def test_nodes(text: str, nodes: tuple[NodeState, ...]) -> None:
    """Each node has its states and times; if one of them is not known, none counts."""
    assert nodes_of(text) == nodes


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-03-01T10:00:00", TEN),
        ("2026-03-01T10:00:00Z", None),
        ("2026-03-01", None),
        ("Unknown", None),
        ("", None),
    ],
)
def test_times(text: str, time: datetime | None) -> None:
    """A time is one in UTC with seconds, and nothing else."""
    assert utc_time(text) == time


@pytest.mark.parametrize(
    ("states", "living"),
    [
        ((), False),
        (("COMPLETED",), False),
        (("NODE_FAIL", "FAILED"), False),
        (("COMPLETED", "PENDING"), True),
        (("COMPLETING", "COMPLETED"), True),
    ],
)
def test_living(states: tuple[str, ...], living: bool) -> None:
    """A name is alive if one of its jobs is."""
    assert is_living([JobRow("17", state) for state in states]) is living
