"""Slurm's own commands: submit a job, ask the controller and the accounting, cancel jobs.

A job is found by its name, which is chosen before it is submitted (`rules.slurm_jobs`). So a lost
answer loses nothing: a later look finds the job, or learns that there is none. A caller never
submits a name twice.

1. Every command has a time limit: a frozen controller or accounting does not answer.
2. Variables such as SQUEUE_PARTITION or SLURM_TIME_FORMAT would hide jobs or change formats. They
   are removed, except the two that select the cluster.
3. An answer that cannot be read is no answer. No answer proves nothing.

These calls take seconds if Slurm is silent, so the thread that decides must not make them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TypeAlias

from hesiod_watch.core.naming import display
from hesiod_watch.host.command import CommandResult, CommandRunner, run
from hesiod_watch.rules.slurm_jobs import (
    JOB_NAME,
    LIVING,
    JobEvidence,
    JobMark,
    JobRow,
    ListedJob,
    mark_in,
)

ANSWER_WITHIN = 15.0
"""Seconds that a command may take; the commands themselves give a silent controller up after 10."""
MARGIN = timedelta(days=2)
"""Difference of time zones and clocks for which the accounting is asked about earlier jobs."""
MOST_NAMES = 1000
"""Names in one command, which has limited space for arguments."""
_KEPT = ("SLURM_CONF", "SLURM_CLUSTERS")
_DROPPED = ("SLURM_", "SQUEUE_", "SACCT_", "SBATCH_", "SCANCEL_")
_JOB = b'#!/bin/sh\nexec "$@"\n'
"""The batch script. It gets the command as its arguments, so nothing has to be quoted."""
# The reason is the last column, because it may contain any character.
_SHOWN = "JobID:20|,Name:64|,State:32|,RestartCnt:12|,NodeList:64|,Reason:64"
_LISTED = _SHOWN.replace("Reason:", "Comment:64|,Reason:")
_RECORDED = "JobIDRaw,JobName,State,End,NodeList"

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


@dataclass(frozen=True, slots=True)
class Submission:
    """Answer to an attempt to submit a job."""

    outcome: SubmissionOutcome
    job_id: str = ""
    cluster: str = ""
    why: str = ""  # one line of sbatch, for people


JobRows: TypeAlias = dict[str, tuple[JobRow, ...]]
"""Rows about jobs by the name of the job."""


class SlurmClient:
    """Client of one Slurm, with a time limit in seconds for each of its answers.

    `cluster` is empty for the cluster of the local configuration.
    """

    def __init__(
        self,
        cluster: str = "",
        answer_within: float = ANSWER_WITHIN,
        runner: CommandRunner = run,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self._cluster = (f"--clusters={cluster}",) if cluster else ()
        self._answer_within = answer_within
        self._runner = runner
        self._stop = stop

    def submit(
        self,
        name: str,
        command: Sequence[str],
        log: str,
        options: Sequence[str] = (),
        mark: JobMark | None = None,
    ) -> Submission:
        """Submit a job that runs `command`; `options` are words for sbatch.

        The job starts at most once. Its output is appended to `log`, a path on the node, in which
        sbatch replaces words such as %j. It gets no variable of this process.
        """
        if not JOB_NAME.fullmatch(name):
            raise ValueError(f"not a name of a job: {name}")
        ours = (
            *("--parsable", "--no-requeue", "--export=NONE", "--chdir=/", "--open-mode=append"),
            *(f"--job-name={name}", f"--output={log}"),
            *((f"--comment={mark}",) if mark else ()),
        )
        ended = self._run(("sbatch", *self._cluster, *options, *ours, "/dev/stdin", *command), _JOB)
        return submission_of(ended)

    def known(self, names: Collection[str]) -> tuple[JobRows | None, str]:
        """Rows of the controller about the jobs of these names, or None and the reason.

        A name without a job has no key.
        """
        found: JobRows = {}
        for some in _batches(names):
            ended = self._run(
                (
                    *("squeue", *self._cluster, "--all", "--noheader", "--states=all"),
                    *(f"--Format={_SHOWN}", f"--name={','.join(some)}"),
                )
            )
            try:
                _add(found, _rows(ended, 6), _shown)
            except ValueError as error:
                return None, f"squeue: {error}"
        return found, ""

    def listed(self, user: str = "") -> tuple[tuple[ListedJob, ...] | None, str]:
        """All jobs that hesiod-watch has submitted, or None and the reason.

        `user`, a name or number, asks for those of one user, which is less work for the controller.
        A row that is not of such a job is skipped: its name may contain anything.
        """
        ended = self._run(
            (
                *("squeue", *self._cluster, "--all", "--noheader", "--states=all"),
                *(f"--Format={_LISTED}", *((f"--user={user}",) if user else ())),
            )
        )
        if ended.why or ended.code:
            return None, f"squeue: {_words(ended)}"
        found = []
        for line in ended.output.decode("utf-8", "replace").splitlines():
            cells = [cell.strip() for cell in line.split("|", 6)]
            if len(cells) == 7 and cells[0].isdecimal() and JOB_NAME.fullmatch(cells[1]):
                mark = mark_in(cells.pop(5))
                if mark and cells[3].isdecimal():
                    found.append(ListedJob(cells[1], _shown(cells), mark))
        return tuple(found), ""

    def ended(self, names: Collection[str], since: datetime) -> tuple[JobRows | None, str]:
        """Rows of the accounting about the jobs of these names, or None and the reason.

        `since` is a time before they were submitted. Each start of a requeued job has its own row.
        For some seconds after a job is submitted there is none.
        """
        found: JobRows = {}
        for some in _batches(names):
            ended = self._run(
                (
                    *("sacct", *self._cluster, "--allusers", "--allocations", "--duplicates"),
                    *("--noheader", "--parsable2", f"--format={_RECORDED}"),
                    f"--starttime={since - MARGIN:%Y-%m-%dT%H:%M:%S}",
                    f"--name={','.join(some)}",
                )
            )
            try:
                _add(found, _rows(ended, 5), _recorded)
            except ValueError as error:
                return None, f"sacct: {error}"
        return found, ""

    def evidence(self, names: Collection[str], since: datetime) -> dict[str, JobEvidence]:
        """Evidence about the jobs of these names, by name.

        The controller alone shows that a job lives. About the others the accounting is asked, and
        then the controller again: only an answer that is later than that of the accounting counts.
        """
        names = [name for name in names if JOB_NAME.fullmatch(name)]
        shown, problem = self.known(names)
        if shown is None:
            return {name: JobEvidence(name, problem=problem) for name in names}
        evidence = {name: JobEvidence(name, rows) for name, rows in shown.items() if _lives(rows)}
        rest = [name for name in names if name not in evidence]
        if not rest:
            return evidence
        recorded, silent = self.ended(rest, since)
        shown, problem = self.known(rest)
        for name in rest:
            evidence[name] = JobEvidence(
                name,
                None if shown is None else shown.get(name, ()),
                None if recorded is None else recorded.get(name, ()),
                problem or silent,
            )
        return evidence

    def setting(self, key: str) -> tuple[str, str]:
        """Value in Slurm's configuration, and why it cannot be asked; one of the two is empty."""
        ended = self._run(("scontrol", *self._cluster, "show", "config"))
        if ended.why or ended.code:
            return "", f"scontrol: {_words(ended)}"
        for line in ended.output.decode("utf-8", "replace").splitlines():
            name, _, value = line.partition("=")
            if name.strip() == key:
                return value.strip(), ""
        return "", f"scontrol: it shows no {key}"

    def cancel(self, names: Collection[str]) -> str:
        """Cancel the jobs of these names; returns "", or why they may not be cancelled.

        Safe to repeat. A cancelled job may live for some time.
        """
        for name in filter(JOB_NAME.fullmatch, names):
            ended = self._run(("scancel", *self._cluster, f"--name={name}"))
            if ended.why or ended.code:
                return f"scancel: {_words(ended)}"
        return ""

    def _run(self, command: Sequence[str], given: bytes = b"") -> CommandResult:
        drop = [name for name in os.environ if name.startswith(_DROPPED) and name not in _KEPT]
        clean = ("env", *(word for name in sorted(drop) for word in ("-u", name)))
        return self._runner(
            (*clean, *command), quiet=self._answer_within, given=given, stop=self._stop
        )


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
    why = f"sbatch: {_words(ended)}"
    said = ended.errors.lower()
    if ended.why:
        return Submission(SubmissionOutcome.LOST, why=why)
    if FULL.search(ended.errors):
        return Submission(SubmissionOutcome.FULL, why=why)
    if ended.code in (126, 127) or any(text in said for text in REFUSED):
        return Submission(SubmissionOutcome.REFUSED, why=why)
    return Submission(SubmissionOutcome.LOST, why=why)


def _batches(names: Collection[str]) -> Iterator[list[str]]:
    """Valid names in groups that fit into one command; others were not chosen by this program."""
    ours = sorted({name for name in names if JOB_NAME.fullmatch(name)})
    for start in range(0, len(ours), MOST_NAMES):
        yield ours[start : start + MOST_NAMES]


def _rows(ended: CommandResult, columns: int) -> list[list[str]]:
    """Cells of each row that was printed; raises ValueError with the reason if it is no answer."""
    if ended.why or ended.code:
        raise ValueError(_words(ended))
    rows = []
    for line in ended.output.decode("utf-8", "replace").splitlines():
        if not line.strip() or line.startswith("CLUSTER: "):  # a heading for each named cluster
            continue
        cells = [cell.strip() for cell in line.split("|", columns - 1)]
        if len(cells) != columns or not cells[0].isdecimal():
            raise ValueError(f"its answer cannot be read: {display(line[:80])}")
        rows.append(cells)
    return rows


def _add(found: JobRows, rows: list[list[str]], row_of: Callable[[list[str]], JobRow]) -> None:
    for cells in rows:
        found[cells[1]] = (*found.get(cells[1], ()), row_of(cells))


def _shown(cells: list[str]) -> JobRow:
    job_id, _, state, restarts, nodes, reason = cells
    return JobRow(
        job_id,
        state,
        nodes=nodes,
        restarts=int(restarts),
        reason="" if reason == "None" else reason,
    )


def _recorded(cells: list[str]) -> JobRow:
    job_id, _, state, end, nodes = cells
    word = (state.split() or [""])[0]  # "CANCELLED by 1000"
    return JobRow(
        job_id,
        word,
        ended=end not in ("", "Unknown", "None"),
        nodes="" if nodes == "None assigned" else nodes,
    )


def _lives(rows: Sequence[JobRow]) -> bool:
    return any(row.state in LIVING for row in rows)


def _words(ended: CommandResult) -> str:
    """Reason of a failure in one line for people."""
    lines = [line.strip() for line in ended.errors.splitlines() if line.strip()]
    said = re.sub(r"^\w+: (error|fatal): ", "", lines[-1]) if lines else ""
    return ended.why or display(said[:200]) or f"exit code {ended.code}"
