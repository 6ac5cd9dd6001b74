"""Answers of Slurm's commands: what they print, as typed values.

An answer that cannot be read is no answer. Every time must have been printed in UTC.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import TypeAlias

from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.naming import display
from hesiod_watch.host.command import CommandResult
from hesiod_watch.rules.lost_nodes import NodeState
from hesiod_watch.rules.slurm_jobs import LIVING, JobRow

REFUSED = (
    "invalid partition name specified",
    "invalid account",
    "invalid qos specification",
    "invalid user id",
    "invalid feature specification",
    "invalid wckey specification",
    "no cluster '",
    "user's group not permitted",
    "access/permission denied",
    "requested time limit is invalid",
    "requested node configuration is not available",
    "requested reservation is invalid",
    "node count specification invalid",
    "more processors requested than permitted",
    "memory required by task is not available",
    "job violates accounting/qos policy",
    "unable to open file",
    # Mistakes in the options, which sbatch finds before it sends anything.
    "unrecognized option",
    "invalid option",
    "option requires an argument",
    "invalid --",
)
"""Errors of sbatch that prove that there is no job, in lower case. A person must act."""
FULL = re.compile(r"(Assoc|QOS)(Max|Grp)[A-Za-z]*SubmitJob[A-Za-z]*Limit")
"""Error of sbatch that proves that there is no job: an account or QOS has as many as it may have.
"""


class SubmissionOutcome(StrEnum):
    """Result of an attempt to submit a job."""

    ACCEPTED = "accepted"
    FULL = "full"  # there is no job; a later attempt may succeed
    REFUSED = "refused"  # there is no job, and a person must act
    LOST = "lost"  # there may be a job of that name, now or later


@frozen
class Submission:
    """Answer to an attempt to submit a job."""

    outcome: SubmissionOutcome
    job_id: str = ""
    cluster: str = ""
    why: str = ""  # one line of sbatch, for people


JobRows: TypeAlias = dict[str, tuple[JobRow, ...]]
"""Rows about jobs by the name of the job."""


def submission_of(ended: CommandResult) -> Submission:
    """Meaning of the end of sbatch.

    Only an error that is known to prove it counts as a refusal. After any other error there may be
    a job: a controller that was frozen creates it later.
    """
    if ended.code == 0 and not ended.why:
        match = re.fullmatch(rb"([0-9]+)(?:;([^;\s]+))?", ended.output.strip())
        if match:
            cluster = (match[2] or b"").decode("utf-8", "replace")
            return Submission(SubmissionOutcome.ACCEPTED, match[1].decode(), cluster)
        return Submission(SubmissionOutcome.LOST, why="sbatch: its answer cannot be read")
    why = f"sbatch: {error_words(ended)}"
    said = ended.errors.lower()
    if ended.why:
        return Submission(SubmissionOutcome.LOST, why=why)
    if FULL.search(ended.errors):
        return Submission(SubmissionOutcome.FULL, why=why)
    if ended.code in (126, 127) or any(text in said for text in REFUSED):
        return Submission(SubmissionOutcome.REFUSED, why=why)
    return Submission(SubmissionOutcome.LOST, why=why)


def rows_of(ended: CommandResult, columns: int) -> list[list[str]]:
    """Cells of each row that was printed; raises ValueError with the reason if it is no answer."""
    if ended.why or ended.code:
        raise ValueError(error_words(ended))
    rows = []
    for line in ended.output.decode("utf-8", "replace").splitlines():
        if not line.strip() or line.startswith("CLUSTER: "):  # a heading for each named cluster
            continue
        cells = [cell.strip() for cell in line.split("|", columns - 1)]
        if len(cells) != columns or not cells[0].isdecimal():
            raise ValueError(f"its answer cannot be read: {display(line[:80])}")
        rows.append(cells)
    return rows


def add_rows(found: JobRows, rows: list[list[str]], row_of: Callable[[list[str]], JobRow]) -> None:
    for cells in rows:
        found[cells[1]] = (*found.get(cells[1], ()), row_of(cells))


def shown_row(cells: list[str]) -> JobRow:
    job_id, _, state, restarts, nodes, reason = cells
    return JobRow(
        job_id,
        state,
        nodes=nodes,
        restarts=int(restarts),
        reason="" if reason == "None" else reason,
    )


def recorded_row(cells: list[str]) -> JobRow:
    job_id, _, state, end, nodes = cells
    word = (state.split() or [""])[0]  # "CANCELLED by 1000"
    return JobRow(
        job_id,
        word,
        ended=end not in ("", "Unknown", "None"),
        end=utc_time(end),
        nodes="" if nodes == "None assigned" else nodes,
    )


def nodes_of(text: str) -> tuple[NodeState, ...]:
    """Nodes that `scontrol show node` printed; none if it did not find one of them.

    The end of a line may be free text, so only its begin counts.
    """
    if re.search(r"^Node \S+ not found", text, re.MULTILINE):
        return ()
    found = []
    for block in re.split(r"^NodeName=", text, flags=re.MULTILINE)[1:]:
        lines = [line.strip() for line in block.splitlines()]

        def first(start: str, lines: list[str] = lines) -> str:
            return next((line.removeprefix(start) for line in lines if line.startswith(start)), "")

        state = (first("State=").split() or [""])[0]
        booted, _, rest = first("BootTime=").partition(" SlurmdStartTime=")
        found.append(
            NodeState(
                (lines[0].split() or [""])[0],
                frozenset(filter(None, state.split("+"))),
                utc_time(booted),
                utc_time((rest.split() or [""])[0]),
                first("Reason="),
            )
        )
    return tuple(found)


def utc_time(text: str) -> datetime | None:
    """Time that a command printed, which had to print it in UTC; None if it is none."""
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        return None


def is_living(rows: Sequence[JobRow]) -> bool:
    """Whether one of these jobs runs, will run, or still has processes."""
    return any(row.state in LIVING for row in rows)


def error_words(ended: CommandResult) -> str:
    """Reason of a failure in one line for people."""
    lines = [line.strip() for line in ended.errors.splitlines() if line.strip()]
    said = re.sub(r"^\w+: (error|fatal): ", "", lines[-1]) if lines else ""
    return ended.why or display(said[:200]) or f"exit code {ended.code}"
