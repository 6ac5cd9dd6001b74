"""Settings of work on a Slurm cluster: which actions, with which resources, and how many jobs.

`sbatch_words` turns them into words for sbatch. They are read in the same way as all of `values`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import yaml

from hesiod_watch.config.reading import (
    ConfigMistake,
    DirectoryValue,
    DurationValue,
    IntegerValue,
    NotAKey,
    ReadContext,
    TextValue,
    WordListValue,
    scalar,
    suggestion,
)
from hesiod_watch.core.action_kinds import BACKUP, PROCESS, VERIFY
from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.naming import display

ACTIONS = (PROCESS.name, BACKUP.name, VERIFY.name)
"""Actions that may be Slurm jobs. All others need this host, or take seconds."""
AUTO = 0
"""CPUs of a job: as many as the action uses."""
DAY = 86400.0
OURS = (
    *("array", "chdir", "cluster", "clusters", "export", "export-file", "job-name", "no-requeue"),
    *("open-mode", "output", "parsable", "requeue", "test-only", "wait", "wrap"),
)
"""Options of sbatch that change how a job is identified or started."""
OURS_SHORT = "aDJMoW"


def automatic_cpus() -> int:
    """Value of `auto`; an action is needed to know more."""
    return AUTO


class MemoryValue:
    """Amount of memory in sbatch's form, such as 4G; or empty."""

    def __call__(self, node: yaml.Node, reading: ReadContext, key: str) -> str:
        text = scalar(node, "an amount of memory such as 4G")
        if text and not re.fullmatch(r"[1-9][0-9]{0,8}[MGT]", text):
            raise ConfigMistake("should be an amount of memory such as 500M, 4G or 1T")
        return text


class TimeLimitValue:
    """Time span of at least a minute; or empty, which means None."""

    def __call__(self, node: yaml.Node, reading: ReadContext, key: str) -> float | None:
        if not scalar(node, "a time span"):
            return None
        return DurationValue(at_least=60)(node, reading, key)


class SlurmActionsValue:
    """List of actions that are Slurm jobs."""

    def __call__(self, node: yaml.Node, reading: ReadContext, key: str) -> tuple[str, ...]:
        names = WordListValue()(node, reading, key)
        for name in names:
            if problem := _action_problem(name):
                raise ConfigMistake(problem)
        return tuple(dict.fromkeys(names))


class SbatchWordsValue:
    """List of options of sbatch, each one word that begins with `-`."""

    def __call__(self, node: yaml.Node, reading: ReadContext, key: str) -> tuple[str, ...]:
        words = WordListValue()(node, reading, key)
        for word in words:
            if problem := _option_problem(word):
                raise ConfigMistake(problem)
        return words


@frozen
class SlurmActionSettings:
    """Resources of one action, where they differ from those of all."""

    name: Annotated[str, NotAKey]
    """Key under `per_action`: `process`, `backup` or `verify`."""

    partition: Annotated[str, TextValue()] = ""
    """Partition; empty: as for all actions."""

    account: Annotated[str, TextValue()] = ""
    """Account; empty: as for all actions."""

    qos: Annotated[str, TextValue()] = ""
    """Quality of service; empty: as for all actions."""

    time: Annotated[float | None, TimeLimitValue()] = None
    """Time limit; empty: as for all actions."""

    cpus: Annotated[int, IntegerValue(1, 1024, auto=automatic_cpus)] = AUTO
    """CPUs of a job; `auto`: as for all actions."""

    memory: Annotated[str, MemoryValue()] = ""
    """Memory of a job; empty: as for all actions."""

    options: Annotated[tuple[str, ...], SbatchWordsValue()] = ()
    """More options of sbatch, after those for all actions."""


@frozen
class SlurmSettings:
    """Work on a Slurm cluster, for `processing.executor: slurm`."""

    actions: Annotated[tuple[str, ...], SlurmActionsValue()] = ACTIONS
    """Actions that are Slurm jobs: `process`, `backup`, `verify`. All others stay on this host."""

    partition: Annotated[str, TextValue()] = ""
    """Partition of the jobs; empty: Slurm's default."""

    account: Annotated[str, TextValue()] = ""
    """Account of the jobs; empty: Slurm's default."""

    qos: Annotated[str, TextValue()] = ""
    """Quality of service of the jobs; empty: Slurm's default."""

    cluster: Annotated[str, TextValue()] = ""
    """Cluster; empty: that of Slurm's own configuration on this host."""

    time: Annotated[float, DurationValue(at_least=60)] = DAY / 2
    """Time limit of a job. At the limit Slurm ends it, which is a failed attempt."""

    cpus: Annotated[int, IntegerValue(1, 1024, auto=automatic_cpus)] = AUTO
    """CPUs of a job; `auto`: `processing.processes` for `process`, 1 for others."""

    memory: Annotated[str, MemoryValue()] = "4G"
    """Memory of a job; empty: Slurm's default."""

    options: Annotated[tuple[str, ...], SbatchWordsValue()] = ()
    """More options of sbatch, such as `[--constraint=fast]`."""

    per_action: tuple[SlurmActionSettings, ...] = ()
    """What differs for an action, such as `{backup: {partition: io, cpus: 1}}`."""

    python: Annotated[Path | None, DirectoryValue(optional=True)] = None
    """Python interpreter on the nodes, with hesiod-watch installed; empty: the path of this one."""

    most_jobs: Annotated[int, IntegerValue(1, 100_000)] = 100
    """Most jobs of this installation at the same time, pending or running."""

    most_jobs_of_a_run: Annotated[int, IntegerValue(1, 100_000)] = 8
    """Most jobs of one run at the same time."""

    poll: Annotated[float, DurationValue(at_least=1)] = 10.0
    """Time between two questions to Slurm about all jobs."""

    answer_within: Annotated[float, DurationValue(at_least=1)] = 15.0
    """Longest time for an answer of Slurm."""

    def sbatch_words(self, action: str, processes: int) -> tuple[str, ...]:
        """Words for sbatch about a job of this action; `processes` is `processing.processes`."""
        own = next(
            (each for each in self.per_action if each.name == action), SlurmActionSettings(action)
        )
        cpus = own.cpus or self.cpus or (processes if action == PROCESS.name else 1)
        minutes = math.ceil((self.time if own.time is None else own.time) / 60)
        words = {
            "partition": own.partition or self.partition,
            "account": own.account or self.account,
            "qos": own.qos or self.qos,
            "time": str(minutes),
            "cpus-per-task": str(cpus),
            "mem": own.memory or self.memory,
        }
        given = tuple(f"--{name}={value}" for name, value in words.items() if value)
        return (*given, *self.options, *own.options)


def slurm_problems(slurm: SlurmSettings) -> Iterator[tuple[str, str]]:
    """Mistakes in the section: the key, and a sentence."""
    for each in slurm.per_action:
        if problem := _action_problem(each.name):
            yield f"per_action.{each.name}", problem
        elif each.name not in slurm.actions:
            yield f"per_action.{each.name}", "has no effect: it is not one of slurm.actions"


def _action_problem(name: str) -> str:
    if name in ACTIONS:
        return ""
    known = suggestion(name, ACTIONS) or f"; possible are {', '.join(ACTIONS)}"
    return f"{display(name)} cannot be a Slurm job{known}"


def _option_problem(word: str) -> str:
    """Problem of an option of sbatch; "" if there is none.

    A word that is no option would be taken for the batch script.
    """
    name = word.removeprefix("--").partition("=")[0]
    if not re.fullmatch(r"-[A-Za-z].*|--[a-z].*", word):
        return f"{display(word)} should be one option of sbatch, such as --constraint=fast"
    ours = (
        any(each.startswith(name) for each in OURS)
        if word.startswith("--")
        else (word[1] in OURS_SHORT)
    )
    return f"{display(word)} is set by hesiod-watch" if ours else ""
