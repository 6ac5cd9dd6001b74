"""Commands that ask Slurm, without a Slurm: their options, and the meaning of each answer."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fake_programs import FakePrograms, PreparedAnswer

from hesiod_watch.remote.slurm import SlurmClient
from hesiod_watch.remote.slurm_answers import SubmissionOutcome
from hesiod_watch.rules.slurm_jobs import JobEvidence, JobRow, ListedJob, job_mark, job_name

NAME, OTHER = (job_name("process", letter * 16) for letter in "ab")
MARK = job_mark("/output", "run", "cell")
SINCE = datetime(2026, 3, 1, 12, 30, 15, tzinfo=UTC)
SLEEP = ("sleep", "600")
ERROR = PreparedAnswer(errors="x: error: Unable to contact slurm controller\n", code=1)
RUNNING = f"17 |{NAME} |RUNNING |0 |n1 |None\n"
ENDED = f"17 |{NAME} |COMPLETED |0 |n1 |None\n"
RECORDED = f"17|{NAME}|COMPLETED|2026-03-01T12:00:00|n1\n"
LOST = RECORDED.replace("COMPLETED", "NODE_FAIL")
CONFIGURATION = "Configuration data as of 2026-03-01T12:00:00\nKillWait                = 30 sec\n"
NODE = """\
NodeName=n1 Arch=x86_64
   State=DOWN+NOT_RESPONDING ThreadsPerCore=1
   BootTime=2026-03-01T10:00:00 SlurmdStartTime=2026-03-01T11:00:00
   Reason=Not responding [slurm@2026-03-01T12:00:00]
"""
COMMANDS: dict[str, Callable[[SlurmClient], object]] = {
    "sbatch": lambda client: client.submit(NAME, SLEEP, "/x.log").why,
    "squeue": lambda client: client.known([NAME]),
    "squeue for all": lambda client: client.listed(),
    "sacct": lambda client: client.ended([NAME], SINCE),
    "scontrol": lambda client: client.setting("KillWait"),
    "scontrol for nodes": lambda client: client.lost_nodes(["n1"]).problem,
    "scancel": lambda client: client.cancel([NAME]),
}


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakePrograms:
    return FakePrograms(tmp_path / "bin", monkeypatch)


def test_a_job_is_submitted(programs: FakePrograms) -> None:
    """A job starts at most once, without our variables; options of the site do not change that."""
    programs.prepare("sbatch", "17;east\n", "18\n")
    client = SlurmClient("east")
    submission = client.submit(NAME, SLEEP, "/jobs/%j.log", ("--time=5", "--requeue"), MARK)
    assert (submission.outcome, submission.job_id) == (SubmissionOutcome.ACCEPTED, "17")
    assert submission.cluster == "east"
    ours = [
        *("--parsable", "--no-requeue", "--export=NONE", "--chdir=/", "--open-mode=append"),
        *(f"--job-name={NAME}", "--output=/jobs/%j.log"),
    ]
    assert SlurmClient().submit(NAME, SLEEP, "/jobs/%j.log").cluster == ""
    assert programs.calls("sbatch") == [
        [
            *("--clusters=east", "--time=5", "--requeue"),
            *(*ours, f"--comment={MARK}", "/dev/stdin", *SLEEP),
        ],
        [*ours, "/dev/stdin", *SLEEP],
    ]


def test_the_batch_script_runs_the_command(programs: FakePrograms) -> None:
    """The job is the command itself, with its words as they are, and its exit code."""
    programs.prepare("sbatch", "17\n")
    SlurmClient().submit(NAME, SLEEP, "/x.log")
    (script,) = programs.given("sbatch")
    assert script.startswith("#!/bin/sh\n")
    command = ["sh", "-s", "--", "sh", "-c", 'printf "<%s>" "$@"; exit 3', "x", "a b", "$HOME", ""]
    ended = subprocess.run(command, input=script, capture_output=True, text=True, check=False)
    assert (ended.stdout, ended.returncode) == ("<a b><$HOME><>", 3)


@pytest.mark.parametrize("name", ["", "hw-process", f"{NAME}0", f"x{NAME}", "--help"])
def test_other_names_are_not_used(programs: FakePrograms, name: str) -> None:
    """A name that this program did not choose is never submitted, asked about or cancelled."""
    for program in ("sbatch", "squeue", "sacct", "scancel"):
        programs.prepare(program, "")
    client = SlurmClient()
    with pytest.raises(ValueError, match="not a name of a job"):
        client.submit(name, SLEEP, "/x.log")
    assert client.known([name]) == ({}, "")
    assert client.ended([name], SINCE) == ({}, "")
    assert client.evidence([name], SINCE) == {}
    assert client.cancel([name]) == ""
    assert programs.order() == []


@pytest.mark.parametrize("cluster", ["", "east"])
def test_questions(programs: FakePrograms, cluster: str) -> None:
    """All jobs of all users are asked for, on the configured cluster, with times in UTC."""
    for program in ("squeue", "sacct", "scontrol", "scancel"):
        programs.prepare(program, "")
    client = SlurmClient(cluster)
    client.known([OTHER, NAME, NAME])
    client.listed()
    client.listed("1000")
    client.ended([OTHER, NAME], SINCE)
    client.lost_nodes(["n[1-2]"])
    client.cancel([NAME])
    where = [f"--clusters={cluster}"] if cluster else []
    shown = [*where, "--all", "--noheader", "--states=all"]
    columns = "--Format=JobID:20|,Name:64|,State:32|,RestartCnt:12|,NodeList:64|,"
    marked = f"{columns}Comment:64|,Reason:64"
    assert programs.calls("squeue") == [
        [*shown, f"{columns}Reason:64", f"--name={NAME},{OTHER}"],
        [*shown, marked],
        [*shown, marked, "--user=1000"],
    ]
    assert programs.calls("sacct") == [
        [
            *(*where, "--allusers", "--allocations", "--duplicates", "--noheader", "--parsable2"),
            *("--format=JobIDRaw,JobName,State,End,NodeList", "--starttime=2026-02-27T12:30:15"),
            f"--name={NAME},{OTHER}",
        ]
    ]
    assert programs.calls("scontrol") == [
        [*where, "show", "config"],
        [*where, "show", "node", "n[1-2]"],
    ]
    assert programs.calls("scancel") == [[*where, f"--name={NAME}"]]
    assert programs.environments("sacct")[0]["TZ"] == "UTC"
    assert programs.environments("scontrol")[1]["TZ"] == "UTC"


def test_variables(programs: FakePrograms, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables that change answers do not reach Slurm; those that select the cluster do."""
    kept = {"SLURM_CONF": "/etc/x", "SLURM_CLUSTERS": "east", "OTHER": "y"}
    dropped = (
        *("SLURM_TIME_FORMAT", "SQUEUE_PARTITION", "SACCT_FORMAT", "SBATCH_QOS"),
        "SCANCEL_STATE",
    )
    for variable in (*kept, *dropped):
        monkeypatch.setenv(variable, kept.get(variable, "x"))
    programs.prepare("squeue", "")
    SlurmClient().known([NAME])
    (environment,) = programs.environments("squeue")
    assert kept.items() <= environment.items()
    assert not set(dropped) & set(environment)


def test_many_names(programs: FakePrograms) -> None:
    """More names than fit into one command are asked about in several, and none is left out."""
    names = [job_name("process", f"{number:016x}") for number in range(2001)]
    rows = [f"{number + 1}|{name}|RUNNING|0|n1|None\n" for number, name in enumerate(names)]
    programs.prepare("squeue", rows[0], rows[1000], rows[2000])
    found, problem = SlurmClient().known(names)
    asked = [words[-1].removeprefix("--name=").split(",") for words in programs.calls("squeue")]
    assert [len(each) for each in asked] == [1000, 1000, 1]
    assert [name for each in asked for name in each] == names
    assert problem == ""
    assert found is not None
    assert set(found) == {names[0], names[1000], names[2000]}


def test_rows_of_the_controller(programs: FakePrograms) -> None:
    """Each job of a name has a row; headings and empty lines are none."""
    programs.prepare(
        "squeue",
        f"CLUSTER: east\n\n17|{NAME}|PENDING|2||a|b (c)\n18 |{NAME} |RUNNING |0 |n[1-2] |None\n"
        f"19|{OTHER}|FAILED|0|n1|NonZeroExitCode\n",
    )
    assert SlurmClient().known([NAME, OTHER]) == (
        {
            NAME: (
                JobRow("17", "PENDING", restarts=2, reason="a|b (c)"),
                JobRow("18", "RUNNING", nodes="n[1-2]"),
            ),
            OTHER: (JobRow("19", "FAILED", nodes="n1", reason="NonZeroExitCode"),),
        },
        "",
    )


def test_rows_of_the_accounting(programs: FakePrograms) -> None:
    """Each start of a job has a row, with its end in UTC if it has one."""
    programs.prepare(
        "sacct",
        f"17|{NAME}|CANCELLED by 1000|2026-03-01T12:00:00|n1\n"
        f"17|{NAME}|RUNNING|Unknown|n1\n18|{OTHER}|PENDING||None assigned\n"
        f"19|{OTHER}||None|\n20|{OTHER}|FAILED|soon|n2\n",
    )
    end = datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert SlurmClient().ended([NAME, OTHER], SINCE) == (
        {
            NAME: (
                JobRow("17", "CANCELLED", ended=True, end=end, nodes="n1"),
                JobRow("17", "RUNNING", nodes="n1"),
            ),
            OTHER: (
                JobRow("18", "PENDING"),
                JobRow("19", ""),
                JobRow("20", "FAILED", ended=True, nodes="n2"),
            ),
        },
        "",
    )


BAD_ROWS = {
    "too few columns": f"17|{NAME}|RUNNING\n",
    "no number": f"x|{NAME}|RUNNING|0|n1|None\n",
    "one bad row of two": f"{RUNNING}slurm_load_jobs\n",
}


@pytest.mark.parametrize("output", BAD_ROWS.values(), ids=BAD_ROWS)
def test_an_answer_that_cannot_be_read(programs: FakePrograms, output: str) -> None:
    """An answer with a row that cannot be read is no answer about any job."""
    programs.prepare("squeue", output)
    programs.prepare("sacct", output)
    rows, problem = SlurmClient().known([NAME])
    shown = repr(output.splitlines()[-1])[1:-1]
    assert (rows, problem) == (None, f"squeue: its answer cannot be read: {shown}")
    rows, problem = SlurmClient().ended([NAME], SINCE)
    assert (rows, problem[:34]) == (None, "sacct: its answer cannot be read: ")


def test_listed_jobs(programs: FakePrograms) -> None:
    """Jobs of hesiod-watch are listed with their marks; rows of other jobs are skipped."""
    theirs = [
        f"18|other|RUNNING|0|n1|{MARK}|None",
        f"19|{OTHER}|RUNNING|0|n1|their comment|None",
        f"20|{OTHER}|RUNNING|x|n1|{MARK}|None",
        f"x|{OTHER}|RUNNING|0|n1|{MARK}|None",
        f"21|{OTHER}|RUNNING|0|n1|{MARK}",
        "",
    ]
    ours = f"17 |{NAME} |PENDING |1 | |{MARK} |a|b"
    programs.prepare("squeue", "\n".join((*theirs, ours, *theirs)))
    job = ListedJob(NAME, JobRow("17", "PENDING", restarts=1, reason="a|b"), MARK)
    assert SlurmClient().listed() == ((job,), "")


FAILURES = {
    "an error": (ERROR, "Unable to contact slurm controller"),
    "a fatal error": (PreparedAnswer(errors="a\nx: fatal: b\n\n", code=2), "b"),
    "no words": (PreparedAnswer(RUNNING, code=3), "exit code 3"),
    "long words": (PreparedAnswer(errors="y" * 300, code=1), "y" * 200),
    "odd words": (PreparedAnswer(errors="a\x1bb\n", code=1), "a\\x1bb"),
}


@pytest.mark.parametrize(("answer", "why"), FAILURES.values(), ids=FAILURES)
@pytest.mark.parametrize("case", COMMANDS)
def test_failures(programs: FakePrograms, case: str, answer: PreparedAnswer, why: str) -> None:
    """A command that fails is no answer, whatever it printed, and its own words say why."""
    program = case.partition(" ")[0]
    programs.prepare(program, answer)
    said = f"{program}: {why}"
    expected = {"sbatch": said, "scontrol": ("", said), "scancel": said}
    found = COMMANDS[case](SlurmClient())
    assert found == (said if "nodes" in case else expected.get(program, (None, said)))


@pytest.mark.parametrize("case", COMMANDS)
def test_silence(programs: FakePrograms, case: str) -> None:
    """A command that does not answer within the limit is no answer."""
    programs.install(case.partition(" ")[0], "#!/bin/sh\nexec sleep 60\n")
    assert "nothing came for 0 s" in str(COMMANDS[case](SlurmClient(answer_within=0.1)))


EVIDENCE = {
    # case: answers of squeue, of sacct, the order of questions, the evidence
    "living": ([RUNNING], "", "squeue", JobEvidence(NAME, (JobRow("17", "RUNNING", nodes="n1"),))),
    "ended": (
        [ENDED],
        RECORDED,
        "squeue sacct squeue",
        JobEvidence(
            NAME,
            (JobRow("17", "COMPLETED", nodes="n1"),),
            (JobRow("17", "COMPLETED", True, datetime(2026, 3, 1, 12, tzinfo=UTC), "n1"),),
        ),
    ),
    "known late": (
        ["", RUNNING],
        "",
        "squeue sacct squeue",
        JobEvidence(NAME, (JobRow("17", "RUNNING", nodes="n1"),), ()),
    ),
    "no job": ([""], "", "squeue sacct squeue", JobEvidence(NAME, (), ())),
    "no controller": (
        [ERROR],
        RECORDED,
        "squeue",
        JobEvidence(NAME, problem="squeue: Unable to contact slurm controller"),
    ),
    "no controller any more": (
        ["", ERROR],
        "",
        "squeue sacct squeue",
        JobEvidence(NAME, None, (), "squeue: Unable to contact slurm controller"),
    ),
    "no accounting": (
        [ENDED],
        ERROR,
        "squeue sacct squeue",
        JobEvidence(
            NAME,
            (JobRow("17", "COMPLETED", nodes="n1"),),
            None,
            "sacct: Unable to contact slurm controller",
        ),
    ),
}


@pytest.mark.parametrize(
    ("shown", "recorded", "order", "evidence"), EVIDENCE.values(), ids=EVIDENCE
)
def test_evidence(
    programs: FakePrograms,
    shown: list[PreparedAnswer | str],
    recorded: PreparedAnswer | str,
    order: str,
    evidence: JobEvidence,
) -> None:
    """Only an answer of the controller that is later than that of the accounting counts."""
    programs.prepare("squeue", *shown)
    programs.prepare("sacct", recorded)
    assert SlurmClient().evidence([NAME], SINCE) == {NAME: evidence}
    assert " ".join(programs.order()) == order


def test_evidence_about_several_jobs(programs: FakePrograms) -> None:
    """The accounting is asked only about jobs that the controller does not show alive."""
    programs.prepare("squeue", RUNNING, "")
    programs.prepare("sacct", "")
    evidence = SlurmClient().evidence([OTHER, NAME], SINCE)
    assert evidence == {
        NAME: JobEvidence(NAME, (JobRow("17", "RUNNING", nodes="n1"),)),
        OTHER: JobEvidence(OTHER, (), ()),
    }
    assert programs.calls("sacct")[0][-1] == f"--name={OTHER}"
    assert programs.calls("squeue")[1][-1] == f"--name={OTHER}"


@pytest.mark.parametrize(
    ("shown", "recorded", "asked"),
    [("", LOST, True), (ENDED, LOST, False), (ERROR, LOST, False), ("", RECORDED, False)],
    ids=["lost and forgotten", "lost, still known", "no answer", "not lost"],
)
def test_nodes_of_a_lost_job(
    programs: FakePrograms, shown: PreparedAnswer | str, recorded: str, asked: bool
) -> None:
    """Nodes are asked about a lost job that the controller has forgotten, and about no other."""
    programs.prepare("squeue", "", shown)
    programs.prepare("sacct", recorded)
    programs.prepare("scontrol", CONFIGURATION, NODE)
    nodes = SlurmClient().evidence([NAME], SINCE)[NAME].nodes
    assert (nodes is not None) == asked
    assert bool(programs.calls("scontrol")) == asked
    if nodes:
        assert nodes.nodes is not None
        assert set(nodes.nodes) == {"n1"}


def test_lost_nodes(programs: FakePrograms) -> None:
    """The states and times of nodes are those that the controller shows, with its KillWait."""
    programs.prepare("scontrol", CONFIGURATION, NODE, "Node n9 not found\n")
    before = datetime.now(UTC)
    lost = SlurmClient().lost_nodes(["n1", "n9", "--help", "", "n 1"])
    assert before <= lost.asked <= datetime.now(UTC)
    assert (lost.kill_wait, lost.problem) == (timedelta(seconds=30), "")
    assert lost.nodes is not None
    assert set(lost.nodes) == {"n1", "n9"}
    assert lost.nodes["n9"] == ()
    (node,) = lost.nodes["n1"]
    assert node.name == "n1"
    assert node.states == {"DOWN", "NOT_RESPONDING"}
    assert node.booted == datetime(2026, 3, 1, 10, tzinfo=UTC)
    assert node.slurmd_started == datetime(2026, 3, 1, 11, tzinfo=UTC)
    assert node.reason == "Not responding [slurm@2026-03-01T12:00:00]"


def test_settings(programs: FakePrograms) -> None:
    """A setting is found by its whole name; one that is not shown is a problem, not a value."""
    programs.prepare("scontrol", f"OverKillWait = 1 sec\n{CONFIGURATION}Prolog = a=b\nEmpty =\n")
    client = SlurmClient()
    assert client.setting("KillWait") == ("30 sec", "")
    assert client.setting("Prolog") == ("a=b", "")
    assert client.setting("Empty") == ("", "")
    assert client.setting("Wait") == ("", "scontrol: it shows no Wait")
    assert client.lost_nodes([]).kill_wait == timedelta(seconds=30)
    programs.prepare("scontrol", "")
    assert client.lost_nodes([]).kill_wait is None
    assert client.lost_nodes([]).problem == "scontrol: it shows no KillWait"


def test_cancelling(programs: FakePrograms) -> None:
    """Each job is cancelled by its name, until one may not be cancelled."""
    programs.prepare("scancel", "", ERROR)
    why = SlurmClient().cancel([NAME, "x", OTHER, NAME])
    assert why == "scancel: Unable to contact slurm controller"
    assert programs.calls("scancel") == [[f"--name={NAME}"], [f"--name={OTHER}"]]


def test_a_question_is_given_up(programs: FakePrograms) -> None:
    """A caller that has to stop does not wait for an answer."""
    programs.install("squeue", "#!/bin/sh\nexec sleep 60\n")
    rows, problem = SlurmClient(stop=lambda: True).known([NAME])
    assert rows is None
    assert "stopped" in problem
