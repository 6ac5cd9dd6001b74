"""Configuration of work on a Slurm cluster: values, mistakes, and the words for a real sbatch."""

from __future__ import annotations

from pathlib import Path

import pytest
from slurm_cluster import SlurmCluster

from hesiod_watch.config import Config, parse
from hesiod_watch.config.slurm import SlurmActionSettings, SlurmSettings
from hesiod_watch.core.errors import ConfigError
from hesiod_watch.remote.slurm import SlurmClient
from hesiod_watch.remote.slurm_answers import SubmissionOutcome
from hesiod_watch.rules.slurm_jobs import job_name

FILE = Path("/etc/place/hesiod-watch.yaml")
MINIMAL = "landing: /data/runs\noutput: /data/results\n"


def config(text: str) -> Config:
    return parse(f"{MINIMAL}processing: {{executor: slurm}}\nslurm: {text}\n", FILE)


def test_every_key() -> None:
    """Every key sets the value of its name."""
    assert config("") == config("{}")
    assert config("{}").processing.executor == "slurm"
    assert config(
        "{actions: [backup, process, backup], partition: p, account: a, qos: q, cluster: c,"
        " time: 90s, cpus: 3, memory: 500M, options: [--exclusive, -Cfast], python: bin/python3,"
        " per_action: {backup: {partition: io, account: x, qos: y, time: 2 days, cpus: 1,"
        " memory: 1T, options: [--nice=5]}},"
        " most_jobs: 7, most_jobs_of_a_run: 2, poll: 3, answer_within: 4}"
    ).slurm == SlurmSettings(
        actions=("backup", "process"),
        partition="p",
        account="a",
        qos="q",
        cluster="c",
        time=90,
        cpus=3,
        memory="500M",
        options=("--exclusive", "-Cfast"),
        per_action=(
            SlurmActionSettings("backup", "io", "x", "y", 2 * 86400, 1, "1T", ("--nice=5",)),
        ),
        python=Path("/etc/place/bin/python3"),
        most_jobs=7,
        most_jobs_of_a_run=2,
        poll=3,
        answer_within=4,
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{actions: [ingest]}", "slurm.actions: ingest cannot be a Slurm job; possible are "),
        ("{actions: [proces]}", "slurm.actions: proces cannot be a Slurm job; did you mean proces"),
        ("{actions: process}", "slurm.actions: should be a list of words"),
        ("{per_action: {sync: {}}}", "slurm.per_action.sync: sync cannot be a Slurm job"),
        (
            "{actions: [process], per_action: {backup: {}}}",
            "slurm.per_action.backup: has no effect: it is not one of slurm.actions",
        ),
        ("{per_action: {backup: {poll: 3}}}", "slurm.per_action.backup.poll: unknown key"),
        ("{per_action: {backup: {time: soon}}}", "slurm.per_action.backup.time: should be a time"),
        ("{time: 59}", "slurm.time: should be from 60 seconds to 366 days"),
        ("{time: ''}", "slurm.time: should be a time span"),
        ("{cpus: 0}", "slurm.cpus: should be from 1 to 1024, not 0"),
        ("{memory: 4}", "slurm.memory: should be an amount of memory such as 500M, 4G or 1T"),
        ("{memory: [4G]}", "slurm.memory: should be an amount of memory such as 4G, not a list"),
        ("{options: --exclusive}", "slurm.options: should be a list of words"),
        ("{options: [-C, fast]}", "slurm.options: fast should be one option of sbatch"),
        ("{options: [script.sh]}", "slurm.options: script.sh should be one option of sbatch"),
        ("{options: [--]}", "slurm.options: -- should be one option of sbatch"),
        ("{options: ['']}", "should be one option of sbatch"),
        ("{options: [--job-name=x]}", "slurm.options: --job-name=x is set by hesiod-watch"),
        ("{options: [--arr=1-9]}", "slurm.options: --arr=1-9 is set by hesiod-watch"),
        ("{options: [--requeue]}", "slurm.options: --requeue is set by hesiod-watch"),
        ("{options: [-a1-9]}", "slurm.options: -a1-9 is set by hesiod-watch"),
        ("{per_action: {verify: {options: [-W]}}}", "verify.options: -W is set by hesiod-watch"),
        ("{most_jobs: 0}", "slurm.most_jobs: should be from 1 to 100000, not 0"),
        ("{poll: 0}", "slurm.poll: should be from 1 second"),
    ],
)
def test_mistakes(text: str, expected: str) -> None:
    """Each mistake is reported with its line and key."""
    with pytest.raises(ConfigError) as caught:
        config(text)
    (problem,) = caught.value.problems
    assert problem.startswith("/etc/place/hesiod-watch.yaml:4: ")
    assert expected in problem


def test_words_for_sbatch() -> None:
    """An action has its own resources, and those of all actions where it has none."""
    assert SlurmSettings().sbatch_words("process", 6) == (
        "--time=720",
        "--cpus-per-task=6",
        "--mem=4G",
    )
    assert "--cpus-per-task=1" in SlurmSettings().sbatch_words("verify", 6)
    settings = config(
        "{partition: p, qos: q, time: 61s, cpus: 4, memory: '', options: [--exclusive],"
        " per_action: {backup: {partition: io, time: 1h, cpus: 2, options: [--nice=5]}}}"
    ).slurm
    assert settings.sbatch_words("process", 6) == (
        *("--partition=p", "--qos=q", "--time=2", "--cpus-per-task=4"),
        "--exclusive",
    )
    assert settings.sbatch_words("backup", 6) == (
        *("--partition=io", "--qos=q", "--time=60", "--cpus-per-task=2"),
        *("--exclusive", "--nice=5"),
    )


@pytest.mark.system
def test_resources_of_a_real_job(slurm: SlurmCluster) -> None:
    """A real Slurm gives a job the configured resources."""
    settings = config(
        "{partition: test, account: lab, qos: normal, time: 90 min, memory: 300M,"
        " options: [--hold], per_action: {verify: {partition: high, cpus: 2}}}"
    ).slurm
    name = job_name("verify", "0" * 32)
    submission = SlurmClient(settings.cluster, settings.answer_within).submit(
        name, ("true",), "/dev/null", settings.sbatch_words("verify", 6)
    )
    assert submission.outcome is SubmissionOutcome.ACCEPTED, submission.why
    shown = slurm.run("scontrol", "-o", "show", "job", submission.job_id)
    for expected in (
        *("Partition=high", "Account=lab", "QOS=normal", "TimeLimit=01:30:00", "CPUs/Task=2"),
        *("MinMemoryNode=300M", f"JobName={name}", "Requeue=0", "WorkDir=/", "StdOut=/dev/null"),
    ):
        assert expected in shown
