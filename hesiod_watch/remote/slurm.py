"""Slurm's own commands: submit a job, ask the controller and the accounting, cancel jobs.

A job is found by its name, which is chosen before it is submitted (`rules.slurm_jobs`). So a lost
answer loses nothing: a later look finds the job, or learns that there is none. A caller never
submits a name twice.

1. Every command has a time limit: a frozen controller or accounting does not answer.
2. Variables such as SQUEUE_PARTITION or SLURM_TIME_FORMAT would hide jobs or change formats. They
   are removed, except the two that select the cluster.
3. An answer that cannot be read (`remote.slurm_answers`) is no answer. No answer proves nothing.

These calls take seconds if Slurm is silent, so the thread that decides must not make them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hesiod_watch.host.command import CommandResult, CommandRunner, run
from hesiod_watch.remote.slurm_answers import (
    JobRows,
    Submission,
    add_rows,
    error_words,
    is_living,
    nodes_of,
    recorded_row,
    rows_of,
    shown_row,
    submission_of,
)
from hesiod_watch.rules.lost_nodes import LostNodes
from hesiod_watch.rules.slurm_jobs import (
    JOB_NAME,
    LOST,
    JobEvidence,
    JobMark,
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

_IN_UTC = ("env", "TZ=UTC")
"""Local times are ambiguous for an hour each autumn; the times in options of sbatch stay local."""
_NODES = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.,\[\]-]*")
"""List of nodes that a command does not take for an option."""


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
                add_rows(found, rows_of(ended, 6), shown_row)
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
            return None, f"squeue: {error_words(ended)}"
        found = []
        for line in ended.output.decode("utf-8", "replace").splitlines():
            cells = [cell.strip() for cell in line.split("|", 6)]
            if len(cells) == 7 and cells[0].isdecimal() and JOB_NAME.fullmatch(cells[1]):
                mark = mark_in(cells.pop(5))
                if mark and cells[3].isdecimal():
                    found.append(ListedJob(cells[1], shown_row(cells), mark))
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
                    *(*_IN_UTC, "sacct", *self._cluster, "--allusers"),
                    *("--allocations", "--duplicates"),
                    *("--noheader", "--parsable2", f"--format={_RECORDED}"),
                    f"--starttime={since - MARGIN:%Y-%m-%dT%H:%M:%S}",
                    f"--name={','.join(some)}",
                )
            )
            try:
                add_rows(found, rows_of(ended, 5), recorded_row)
            except ValueError as error:
                return None, f"sacct: {error}"
        return found, ""

    def evidence(self, names: Collection[str], since: datetime) -> dict[str, JobEvidence]:
        """Evidence about the jobs of these names, by name.

        The controller alone shows that a job lives. About the others the accounting is asked, and
        then the controller again: only an answer that is later than that of the accounting counts.
        About a job that was lost, and that the controller has forgotten, its nodes are asked too.
        """
        names = [name for name in names if JOB_NAME.fullmatch(name)]
        shown, problem = self.known(names)
        if shown is None:
            return {name: JobEvidence(name, problem=problem) for name in names}
        living = {name: rows for name, rows in shown.items() if is_living(rows)}
        evidence = {name: JobEvidence(name, rows) for name, rows in living.items()}
        rest = [name for name in names if name not in evidence]
        if not rest:
            return evidence
        recorded, silent = self.ended(rest, since)
        shown, problem = self.known(rest)
        for name in rest:
            rows = None if recorded is None else recorded.get(name, ())
            evidence[name] = JobEvidence(
                name,
                None if shown is None else shown.get(name, ()),
                rows,
                problem or silent,
            )
            lost = {row.nodes for row in rows or () if row.state in LOST}
            if lost and evidence[name].controller == ():
                evidence[name] = replace(evidence[name], nodes=self.lost_nodes(lost))
        return evidence

    def lost_nodes(self, lists: Collection[str]) -> LostNodes:
        """State of the nodes in these lists, each as Slurm writes it, such as "n[1-2]"."""
        asked = datetime.now(UTC)
        wait, problem = self.setting("KillWait")  # "30 sec"
        seconds = re.match(r"([0-9]+) sec", wait)
        found = {}
        for nodes in filter(_NODES.fullmatch, lists):
            ended = self._run((*_IN_UTC, "scontrol", *self._cluster, "show", "node", nodes))
            if ended.why or ended.code:
                problem = f"scontrol: {error_words(ended)}"
            else:
                found[nodes] = nodes_of(ended.output.decode("utf-8", "replace"))
        kill_wait = timedelta(seconds=int(seconds[1])) if seconds else None
        return LostNodes(asked, kill_wait, found, problem)

    def setting(self, key: str) -> tuple[str, str]:
        """Value in Slurm's configuration, and why it cannot be asked; one of the two is empty."""
        ended = self._run(("scontrol", *self._cluster, "show", "config"))
        if ended.why or ended.code:
            return "", f"scontrol: {error_words(ended)}"
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
                return f"scancel: {error_words(ended)}"
        return ""

    def _run(self, command: Sequence[str], given: bytes = b"") -> CommandResult:
        drop = [name for name in os.environ if name.startswith(_DROPPED) and name not in _KEPT]
        clean = ("env", *(word for name in sorted(drop) for word in ("-u", name)))
        return self._runner(
            (*clean, *command), quiet=self._answer_within, given=given, stop=self._stop
        )


def _batches(names: Collection[str]) -> Iterator[list[str]]:
    """Valid names in groups that fit into one command; others were not chosen by this program."""
    ours = sorted({name for name in names if JOB_NAME.fullmatch(name)})
    for start in range(0, len(ours), MOST_NAMES):
        yield ours[start : start + MOST_NAMES]
