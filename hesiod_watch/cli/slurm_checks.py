"""Checks of Slurm by `doctor`: how it keeps track of processes, and one job for each partition."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from hesiod_watch import __version__
from hesiod_watch.cli.node_check import ANSWER, TOKEN
from hesiod_watch.config import Config
from hesiod_watch.core.check import Check
from hesiod_watch.core.errors import HesiodError
from hesiod_watch.core.naming import display
from hesiod_watch.remote.slurm import SlurmClient
from hesiod_watch.remote.slurm_answers import SubmissionOutcome
from hesiod_watch.remote.slurm_judge import client_of
from hesiod_watch.rules.slurm_jobs import LIVING, JobRow, job_name

WAIT = 60.0
"""Seconds that a job may take to start and to answer."""
CGROUP = "proctrack/cgroup"


def check_slurm(name: str, config: Config, landing: Path, output: Path) -> Iterator[Check]:
    """Try Slurm with jobs that look at these directories of the landing area and the output area.

    `landing` and `output` are temporary, and used by this check alone.
    """
    client = client_of(config)
    tracking, problem = client.setting("ProctrackType")
    if problem:
        yield Check(name, False, f"Slurm does not answer: {problem}")
        return
    yield Check(
        name,
        tracking == CGROUP,
        f"ProctrackType is {display(tracking)}"
        + ("" if tracking == CGROUP else f"; it must be {CGROUP}, or processes outlive their jobs"),
    )
    tried = set[str]()
    for action in config.slurm.actions:
        words = config.slurm.sbatch_words(action, config.processing.processes)
        words = tuple(word for word in words if not word.startswith("--time="))
        partition = next((word for word in words if word.startswith("--partition=")), "")
        if partition not in tried:
            tried.add(partition)
            where = display(partition.partition("=")[2]) or "the default partition"
            for place in (landing, output):
                with suppress(FileNotFoundError):
                    (place / ANSWER).unlink()
            yield _try_job(name, config, client, where, words, (landing, output))


def _try_job(
    name: str,
    config: Config,
    client: SlurmClient,
    where: str,
    words: tuple[str, ...],
    places: tuple[Path, ...],
) -> Check:
    token, job = os.urandom(8).hex(), job_name("doctor", os.urandom(16).hex())
    for place in places:
        (place / TOKEN).write_text(token)
    command = (
        *(str(config.slurm.python or sys.executable), "-m", "hesiod_watch.cli.node_check"),
        *(str(config.path.absolute() if config.path else ""), *map(str, places)),
    )
    log = str(places[1] / "log").replace("%", "%%")
    submission = client.submit(job, command, log, (*words, "--time=5"))
    if submission.outcome is not SubmissionOutcome.ACCEPTED:
        client.cancel([job])
        return Check(name, False, f"{where}: no job was submitted: {submission.why}")
    row = _wait(client, job, places)
    who = f"{where}: job {submission.job_id}"
    if row and row.state in LIVING and not (places[0] / ANSWER).exists():
        client.cancel([job])
        reason = f" ({display(row.reason)})" if row.reason else ""
        says = f"{who} has not answered within {WAIT:.0f} s: it is {display(row.state)}{reason}"
        return Check(name, None, says)
    wrong = [problem for place in places for problem in _problems(config, place, token)]
    if wrong:
        said = ""
        with suppress(OSError):
            said = (places[1] / "log").read_text(errors="replace").strip()[-200:]
        more = f"; its output: {display(said)}" if said else ""
        return Check(name, False, f"{who}: {'; '.join(dict.fromkeys(wrong))}{more}")
    return Check(name, True, f"{who}: a node has the same program, configuration and directories")


def _wait(client: SlurmClient, job: str, places: tuple[Path, ...]) -> JobRow | None:
    """Wait until the job has ended; returns what the controller shows last."""
    until, row = time.monotonic() + WAIT, None
    while time.monotonic() < until:
        rows, _ = client.known([job])
        row = (rows or {}).get(job, (None,))[0]
        if rows is not None and (row is None or row.state not in LIVING):
            break
        time.sleep(0.5)
    return row


def _problems(config: Config, place: Path, token: str) -> Iterator[str]:
    try:
        facts = json.loads((place / ANSWER).read_text())
    except OSError:
        yield f"nothing that it writes in {display(str(place.parent))} is seen here"
        return
    except ValueError as error:
        raise HesiodError(f"{place / ANSWER}: {error}") from error
    node = display(str(facts.get("node")))
    if facts.get("version") != __version__:
        found = display(str(facts.get("version")))
        yield f"{node} has hesiod-watch {found}, and this host has {__version__}"
    if facts.get("digest") != config.digest:
        yield f"{node} has another configuration: {display(str(facts.get('digest')))}"
    if (seen := facts.get(str(place))) != token:
        yield f"{node} does not see {display(str(place.parent))}: {display(str(seen))}"
