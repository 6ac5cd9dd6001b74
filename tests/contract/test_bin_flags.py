"""bin/hesiod-flags: the same facts as the program, under every installed shell."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from open_runs import opened, pipeline_at

from hesiod_watch.core.model import LOCAL
from hesiod_watch.core.ownership import Liveness, Owner
from hesiod_watch.core.text import age_text
from hesiod_watch.host import process
from hesiod_watch.runs import flags
from hesiod_watch.runs.flags import names

PROGRAM = Path(__file__).parents[2] / "bin" / "hesiod-flags"
SHELLS = {"dash": ["dash"], "bash": ["bash"], "busybox": ["busybox", "sh"]}
STEM = "20190710_1723_2-A5-D5_PAD38578_c6ded78b"
AGES = (-100.0, 121.0, 3601.0, 90_000.0, 1e7)  # a slow machine may add some seconds
ME = process.this_owner("process", "local")


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> list[str]:
    command = SHELLS[request.param]
    if shutil.which(command[0]) is None:
        pytest.skip(f"there is no {command[0]} here")
    return command


@pytest.fixture
def run(tmp_path: Path) -> Path:
    path = tmp_path / "my run"
    path.mkdir()
    output = tmp_path / "output"
    output.mkdir()
    assert flags.adopt(opened(path), LOCAL, output)
    return path


def show(
    shell: list[str], *arguments: str | Path, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*shell, PROGRAM, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def table(shell: list[str], run: Path) -> dict[str, list[str]]:
    """Age, owner, alive and meaning of each flag."""
    done = show(shell, run)
    assert (done.returncode, done.stderr) == (0, "")
    title, header, *rows = done.stdout.splitlines()
    assert title == str(run)
    starts = [match.start() for match in re.finditer(r"\S+( \S+)*", header)]
    assert header.split() == ["FLAG", "AGE", "MADE", "BY", "ALIVE", "MEANING"]
    ends = [*starts[1:], None]
    cells = [
        [row[start:end].strip() for start, end in zip(starts, ends, strict=True)] for row in rows
    ]
    return {name: rest for name, *rest in cells}


def test_table(shell: list[str], run: Path) -> None:
    """Each flag has a row with its age, its owner, the owner's liveness, and its meaning."""
    flags.claim_cell(pipeline_at(run / "pipeline"), STEM, ME, judge=process.judge_here)
    os.utime(run / "pipeline" / "upstream", (1, 1))
    rows = table(shell, run)
    assert list(rows) == [f"{STEM}.started", "messages", "output", "upstream"]
    age, owner, alive, meaning = rows[f"{STEM}.started"]
    assert re.fullmatch(r"\d+ s", age)
    assert owner == f"process, {ME.user}@{ME.host} pid {ME.pid}"
    assert (alive, meaning) == ("yes", "claimed for processing")
    assert re.fullmatch(r"\d{5} days", rows["upstream"][0])
    assert rows["upstream"][1] == LOCAL


def test_ages(shell: list[str], run: Path) -> None:
    """The age of a flag has the same words as in the program, also for a time in the future."""
    now = time.time()
    ages = {f"{index}.synced": age for index, age in enumerate(AGES)}
    for name, age in ages.items():
        flag = run / "pipeline" / name
        flag.touch()
        os.utime(flag, (now - age, now - age))
    rows = table(shell, run)
    for name, age in ages.items():
        assert rows[name][0] == age_text(age)


def test_meanings(shell: list[str], run: Path) -> None:
    """The meaning of a flag has the same words as in the program."""
    pipeline = run / "pipeline"
    made = [*names.RUN_FLAGS, "type.yaml", "kick_off.started", "strange", "X.done.bak"]
    made += ["notify_2_cells_complete.done", "start_times"]
    made += [flags.synced(STEM), flags.done(STEM), flags.failed(STEM), flags.aborted(STEM)]
    made += [
        spell(STEM, epoch)
        for spell in (flags.started, flags.worker, flags.yielded, flags.died)
        for epoch in (1, 2, 12)
    ]
    made += [
        f"{STEM}.{stage}.{end}" for stage in names.STAGES for end in ("started", "done", "failed")
    ]
    made += [names.over(work, "0123456789ab") for work in (flags.ingest(STEM), *RUN_WORKS)]
    for name in made:
        (pipeline / name).touch()
    rows = table(shell, run)
    assert set(rows) == {*made, "upstream", "output", "messages"}
    meanings = {name: re.sub(r" \(attempt \d+\)", "", names.meaning(name)) for name in rows}
    assert {name: row[3] for name, row in rows.items()} == meanings


def test_meanings_are_generated() -> None:
    """The script and docs/flags.md contain what the generator writes from the program's table."""
    generator = PROGRAM.parents[1] / ".ci" / "flag_meanings.py"
    done = subprocess.run(
        [sys.executable, generator, "--check"], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def dead() -> Owner:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as child:
        pid, start = child.pid, process.process_start(child.pid)
    return replace(ME, pid=pid, pid_start=start or 0)


RUN_WORKS = (flags.SYNC, flags.BACKUP, flags.NOTIFY)
LONG_AGO = "2001-01-01T00:00:00+00:00"
ADAPTER = "02:00:00:00:00:99"
OWNERS = {
    "a dead process": None,
    "a dead process of a Slurm job": replace(
        ME, executor="slurm", slurm_job="17", pid=2**22 - 1, pid_start=1
    ),
    "this process": ME,
    "a pid used again": replace(ME, pid_start=ME.pid_start - 1),
    "another boot": replace(ME, boot_id="another", time=LONG_AGO),
    "another boot, by a version without adapters": replace(
        ME, boot_id="another", time=LONG_AGO, mac_addresses=""
    ),
    "another boot, with one adapter more": replace(
        ME, boot_id="another", time=LONG_AGO, mac_addresses=f"{ADAPTER} {ME.mac_addresses}"
    ),
    "a clone of this name": replace(ME, boot_id="another", time=LONG_AGO, mac_addresses=ADAPTER),
    "a clone seen after our boot": replace(ME, boot_id="another", pid_start=ME.pid_start - 1),
    "this process, with another boot id": replace(ME, boot_id="another"),
    "another boot, without a time": replace(ME, boot_id="another", time="", pid=2**22 - 1),
    "another boot, at no time": replace(ME, boot_id="another", time="2001", pid=2**22 - 1),
    "this process, at no time": replace(ME, boot_id="another", time="2001"),
    "another host": replace(ME, boot_id="another", host="another", machine_id="another"),
    "a clone": replace(ME, boot_id="another", host="another"),
    "a container": replace(ME, pid_namespace="pid:[1]"),
    "no start time": replace(ME, pid_start=0),
    "no boot id": replace(ME, boot_id=""),
}


@pytest.mark.parametrize("kind", OWNERS)
def test_liveness(kind: str, shell: list[str], run: Path) -> None:
    """Alive, dead or unknown: the verdict equals the program's."""
    owner = OWNERS[kind] or dead()
    flags.create(pipeline_at(run / "pipeline"), flags.started(STEM), owner)
    verdict = {Liveness.ALIVE: "yes", Liveness.DEAD: "dead", Liveness.UNKNOWN: "unknown"}
    expected = verdict[process.judge_here(owner)[0]]
    assert table(shell, run)[f"{STEM}.started"][2].split(" ")[0] == expected


def test_made_by_hand(shell: list[str], run: Path) -> None:
    """Empty flags, other texts and special files are shown as they are, and block no process."""
    pipeline = run / "pipeline"
    (pipeline / "A.started").touch()
    (pipeline / "B.done").write_text('"host": rubbish\n\x1b[31m')
    os.mkfifo(pipeline / "C.done")
    (pipeline / "D.done").symlink_to("/dev/zero")
    (pipeline / "E.done").mkdir()
    (pipeline / "F.done").write_bytes(b"\0" * 100_000)
    rows = table(shell, run)
    assert rows["A.started"][1:3] == ["-", "unknown"]
    assert rows["C.done"][3] == "fully processed, never touched again; not a regular file"
    assert rows["D.done"][3] == "fully processed, never touched again; a symlink"
    assert rows["E.done"][3].endswith("not a regular file")


def test_hidden_and_attic(shell: list[str], run: Path) -> None:
    """Temporary files and the attic are not flags."""
    (run / "pipeline" / ".tmp.x").touch()
    (run / "pipeline" / "attic").mkdir()
    assert set(table(shell, run)) == {"output", "upstream", "messages"}


def test_output_is_safe(shell: list[str], run: Path) -> None:
    """Names and texts cannot control the terminal, or add rows."""
    (run / "pipeline" / "a\x1b[2J\n\tfake.done").touch()
    (run / "pipeline" / os.fsdecode(b"\xff%s.done")).touch()
    hostile = replace(ME, user="u\x1b[31m", action="a\tb\n", host="%n%s", boot_id="$(id)", pid=-1)
    flags.create(pipeline_at(run / "pipeline"), "X.started", hostile)
    done = show(shell, run)
    assert done.returncode == 0
    assert all(line.isascii() and line.isprintable() for line in done.stdout.splitlines())
    assert len(done.stdout.splitlines()) == 2 + 6


def test_names_of_runs(shell: list[str], run: Path) -> None:
    """A run is named by its directory or its pipeline, relative or not, whatever its name."""
    inside = show(
        shell, "my run", "my run/pipeline", "my run//", f"{run}/pipeline/", cwd=run.parent
    )
    assert inside.returncode == 0
    assert inside.stdout.count("upstream") == 4
    run.rename(run.parent / "-n")
    assert show(shell, "--", "-n", cwd=run.parent).returncode == 0
    assert show(shell, "-n", cwd=run.parent).returncode == 0


def test_no_pipeline(shell: list[str], run: Path) -> None:
    """A run without a pipeline is reported and gives exit status 1; the others are still shown."""
    (run.parent / "link").mkdir()
    (run.parent / "link" / "pipeline").symlink_to(run / "pipeline")
    done = show(shell, run.parent / "link", run.parent / "missing\x1b", run)
    assert done.returncode == 1
    assert done.stdout.count("upstream") == 1
    assert done.stderr.count("no pipeline directory") == 2
    assert "\x1b" not in done.stderr


def test_no_flags(shell: list[str], tmp_path: Path) -> None:
    """An empty pipeline is an empty table."""
    (tmp_path / "pipeline").mkdir()
    assert table(shell, tmp_path) == {}


def test_usage(shell: list[str]) -> None:
    """`--help` prints the help, and a call without a run is wrong usage."""
    assert "EXIT STATUS" in show(shell, "--help").stdout
    done = show(shell)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: ")


def test_changes_nothing(shell: list[str], run: Path) -> None:
    """The command changes nothing."""
    before = sorted((str(path), path.lstat().st_mtime_ns) for path in run.rglob("*"))
    show(shell, run)
    assert sorted((str(path), path.lstat().st_mtime_ns) for path in run.rglob("*")) == before
