"""Judge of owners whose work is a Slurm job: when it asks Slurm, about whom, and how often."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fake_programs import FakePrograms, PreparedAnswer

from hesiod_watch.config import Config
from hesiod_watch.config.slurm import SlurmSettings
from hesiod_watch.core.ownership import Liveness, Owner
from hesiod_watch.core.times import iso
from hesiod_watch.host.process import this_owner
from hesiod_watch.remote.slurm import SlurmClient
from hesiod_watch.remote.slurm_judge import (
    AskingJudge,
    client_of,
    is_job,
    judge_without_slurm,
    since,
    verdicts,
)
from hesiod_watch.rules.slurm_jobs import JobEvidence, JobRow, ListedJob, job_mark, job_name

ALIVE, DEAD, UNKNOWN = Liveness.ALIVE, Liveness.DEAD, Liveness.UNKNOWN
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NAME, OTHER = (job_name("process", letter * 16) for letter in "ab")
MARK = job_mark("/output", "run", "cell")
"""A worker on another host."""
WORKER = Owner(
    *("t", "process", "slurm", "node1"),
    machine_id="m",
    boot_id="b",
    time=iso(NOW),
    slurm_job="17",
    slurm_name=NAME,
)
ERROR = PreparedAnswer(errors="x: error: no answer\n", code=1)
LISTED = f"17|{NAME}|RUNNING|0|n1|{MARK}|None\n"
COMPLETED = f"17|{NAME}|COMPLETED|0|n1|None\n"
RECORDED = f"17|{NAME}|COMPLETED|2026-03-01T12:00:00|n1\n"


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakePrograms:
    return FakePrograms(tmp_path / "bin", monkeypatch)


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        (iso(NOW), NOW),
        (iso(NOW - timedelta(days=400)), NOW - timedelta(days=400)),
        (iso(NOW + timedelta(days=1)), NOW + timedelta(days=1)),
        (iso(NOW + timedelta(days=1, seconds=1)), NOW - timedelta(days=365)),
        ("", NOW - timedelta(days=365)),
        ("soon", NOW - timedelta(days=365)),
    ],
)
def test_the_time_of_a_question(time: str, expected: datetime) -> None:
    """The accounting is asked since the owner's time, or for a year if that cannot be true."""
    assert since(replace(WORKER, time=time), NOW) == expected


def test_owners_that_need_no_answer() -> None:
    """Slurm is asked about a job unless its worker is seen alive here, and about nothing else."""
    here = replace(this_owner("process", "slurm"), slurm_name=NAME, slurm_job="17")
    verdict = judge_without_slurm(here)
    assert verdict is not None
    assert verdict[0] is ALIVE
    assert judge_without_slurm(WORKER) is None
    assert judge_without_slurm(replace(here, slurm_job="")) is None
    for owner in (None, replace(WORKER, slurm_name=""), replace(WORKER, slurm_name="theirs")):
        assert not is_job(owner)
        verdict = judge_without_slurm(owner)
        assert verdict is not None
        assert verdict[0] is UNKNOWN
    assert is_job(WORKER)


def test_verdicts(programs: FakePrograms) -> None:
    """One look judges many owners; only those that are not listed as alive are asked about."""
    programs.prepare("squeue", "", f"18|{OTHER}|FAILED|0|n1|None\n")
    earlier = replace(WORKER, slurm_job="18", slurm_name=OTHER, time=iso(NOW - timedelta(days=9)))
    unknown = replace(
        earlier, slurm_job="", slurm_name=job_name("process", "c" * 16), time=iso(NOW)
    )
    programs.prepare("sacct", "")
    listed = ListedJob(NAME, JobRow("17", "RUNNING"), MARK)
    ended = ListedJob(OTHER, JobRow("18", "FAILED"), MARK)
    found = verdicts(SlurmClient(), [earlier, WORKER, unknown], [listed, ended])
    assert [verdict[0] for verdict, _ in found] == [DEAD, ALIVE, UNKNOWN]
    assert [evidence.name for _, evidence in found] == [OTHER, NAME, unknown.slurm_name]
    assert found[1][1] == JobEvidence(NAME, (listed.row,))
    (asked,) = programs.calls("sacct")
    assert asked[-2:] == ["--starttime=2026-02-18T12:00:00", f"--name={OTHER},{unknown.slurm_name}"]


def test_verdicts_without_a_question(programs: FakePrograms) -> None:
    """Slurm is not asked if all jobs are listed as alive, or if it has just not answered."""
    programs.prepare("squeue", "")
    listed = ListedJob(NAME, JobRow("17", "RUNNING"), MARK)
    assert verdicts(SlurmClient(), [WORKER], [listed])[0][0][0] is ALIVE
    (((liveness, why), evidence),) = verdicts(SlurmClient(), [WORKER], None, "squeue: no answer")
    assert (liveness, evidence) == (UNKNOWN, JobEvidence(NAME, problem="squeue: no answer"))
    assert "squeue: no answer" in why
    assert verdicts(SlurmClient(), [], []) == []
    assert programs.order() == []


def test_one_list_for_many_owners(programs: FakePrograms, tmp_path: Path) -> None:
    """A list of jobs counts for seconds for all owners; nothing is asked about others."""
    programs.prepare("squeue", LISTED)
    judge = AskingJudge(Config(tmp_path, tmp_path))
    assert judge(this_owner("process", "local"))[0] is ALIVE
    assert judge(None)[0] is UNKNOWN
    assert programs.order() == []
    assert judge(WORKER)[0] is ALIVE
    assert judge(WORKER)[0] is ALIVE
    assert programs.order() == ["squeue"]
    assert judge.problem == ""


def test_a_silent_controller(programs: FakePrograms, tmp_path: Path) -> None:
    """Without a list nothing is known, the reason is told, and the rest is not asked."""
    programs.prepare("squeue", ERROR)
    judge = AskingJudge(Config(tmp_path, tmp_path))
    liveness, why = judge(WORKER)
    assert liveness is UNKNOWN
    assert "squeue: no answer" in why
    assert programs.order() == ["squeue"]
    assert judge.problem == ""


def test_a_silent_accounting(programs: FakePrograms, tmp_path: Path) -> None:
    """A verdict that depends on a silent accounting is UNKNOWN; that problem stays known."""
    programs.prepare("squeue", "", "", "", "", "", COMPLETED)
    programs.prepare("sacct", ERROR, RECORDED)
    judge = AskingJudge(Config(tmp_path, tmp_path))
    assert judge(WORKER)[0] is UNKNOWN
    assert judge.problem == "sacct: no answer"
    assert judge(WORKER)[0] is DEAD
    assert judge.problem == "sacct: no answer"
    assert programs.order() == ["squeue", "squeue", "sacct", "squeue", "squeue", "sacct", "squeue"]


def test_the_configured_cluster(programs: FakePrograms, tmp_path: Path) -> None:
    """The client asks the cluster of the configuration, for as long as that allows."""
    programs.prepare("squeue", "")
    config = Config(tmp_path, tmp_path, slurm=SlurmSettings(cluster="east", answer_within=0.1))
    client_of(config).listed()
    assert programs.calls("squeue")[0][0] == "--clusters=east"
    programs.install("squeue", "#!/bin/sh\nexec sleep 60\n")
    assert client_of(config).listed()[0] is None
