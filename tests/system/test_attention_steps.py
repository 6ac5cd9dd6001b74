"""Attention on real trees: each cause is named first, and following the steps ends it."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from site_states import make_older, state_path
from sites import Site

from hesiod_watch.core.attention_kinds import KINDS

pytestmark = pytest.mark.system

RUN, LIBRARY = "20261122_TEST_stuck", "lib1"
CELL = "20261122_2210_1A_PAW00001_0a1b2c3d"
NAME = f"{LIBRARY}/{CELL}"
BIN = Path(__file__).parents[2] / "bin"
COMMANDS = ("hesiod-", "rm ", "mv ", "mkdir ", "echo ")
"""Beginnings of steps that change something; `ls` and `df` only show."""
ELSEWHERE = {"token": "0" * 32, "action": "process", "host": "elsewhere", "pid": 42, "epoch": 1}


@pytest.fixture(autouse=True)
def short_times(site: Site) -> None:
    """Report overdue and quiet cells at once."""
    site.configure(processing="workers: 2, grace: 0s, quiet: 0s")


def land(
    site: Site, *, summary: str | None = "fastq_files_in_final_dest=2\n", files: int = 2
) -> Path:
    """Write a cell with these files."""
    cell = site.landing / RUN / LIBRARY / CELL
    cell.mkdir(parents=True)
    for number in range(files):
        (cell / "fastq_pass").mkdir(exist_ok=True)
        text = f"@r{number}\nACGT\n+\n5555\n"
        (cell / "fastq_pass" / f"a_{number}.fastq").write_text(text)
    if summary is not None:
        (cell / "final_summary.txt").write_text(summary)
    return cell


def adopt(site: Site, upstream: str = "LOCAL") -> Path:
    """Take the run up without processing its cells; return its directory of flags."""
    site.run("perform", "new-run", RUN)
    pipeline = site.landing / RUN / "pipeline"
    (pipeline / "upstream").write_text(f"{upstream}\n")
    return pipeline


def missing_files(site: Site) -> None:
    land(site, files=1)
    adopt(site)


def surplus_files(site: Site) -> None:
    land(site, files=3)
    adopt(site)


def fallback(site: Site) -> None:
    land(site, summary="fastq_files_in_final_dest=2\nfastq_files_in_fallback=1\n")
    adopt(site)


def empty_summary(site: Site) -> None:
    land(site, summary="")
    adopt(site)


def crashed(site: Site) -> None:
    land(site, summary=None)
    adopt(site)


def never_started(site: Site) -> None:
    land(site, summary=None, files=0)
    adopt(site)


def failed(site: Site) -> None:
    land(site)
    pipeline = adopt(site)
    (pipeline / f"{CELL}.synced").touch()
    (pipeline / f"{CELL}.failed").write_text("a_1.fastq: the last record was cut off\n")


def owner_unknown(site: Site) -> None:
    land(site)
    pipeline = adopt(site)
    (pipeline / f"{CELL}.synced").touch()
    started = pipeline / f"{CELL}.started"
    started.write_text(json.dumps(ELSEWHERE) + "\n")
    os.utime(started, (1.8e9 - 1e8, 1.8e9 - 1e8))  # long ago: a recent claim needs no person


def run_failed(site: Site) -> None:
    land(site)
    (adopt(site) / "failed").write_text("the disk was exchanged\n")


def no_upstream(site: Site) -> None:
    land(site)
    (adopt(site) / "upstream").unlink()


def upstream_unconfigured(site: Site) -> None:
    land(site)
    adopt(site, "/data/promethion/stuck")


def stale_sync(site: Site) -> None:
    land(site)
    (adopt(site, "/data/promethion/stuck") / "sync.started").write_text(
        json.dumps({**ELSEWHERE, "action": "sync"}) + "\n"
    )
    more = "upstreams: {promethion: {location: /data/promethion, instrument: P}}\n"
    site.configure(processing="workers: 2, grace: 0s, quiet: 0s", more=more)


def no_results(site: Site) -> None:
    land(site)
    (adopt(site) / "output").unlink()


def output_missing(site: Site) -> None:
    land(site)
    adopt(site)
    shutil.rmtree(site.output)
    site.output.mkdir()


def run_aborted(site: Site) -> None:
    land(site)
    (adopt(site) / "aborted").write_text("not needed\n")


def run_stripped(site: Site) -> None:
    land(site)
    (adopt(site) / "stripped").write_text("to make room\n")


def owner_elsewhere(site: Site) -> None:
    land(site)
    pipeline = adopt(site)
    (pipeline / f"{CELL}.synced").touch()
    (pipeline / f"{CELL}.started").write_text(json.dumps(ELSEWHERE) + "\n")


def no_watcher(site: Site) -> None:
    site.configure()
    land(site, summary=None)
    site.run("poll")
    make_older(state_path(site.output, "poll"))


CAUSES: dict[str, tuple[Callable[[Site], None], str]] = {
    "overdue": (missing_files, "1 of 2 FASTQ files missing"),
    "surplus-files": (surplus_files, "1 more FASTQ file here than announced"),
    "fallback": (fallback, "fallback folder"),
    "unreadable-summary": (empty_summary, "final_summary.txt is empty"),
    "quiet": (crashed, "no new file since"),
    "never-started": (never_started, "never started"),
    "failed": (failed, "a_1.fastq"),
    "owner-unknown": (owner_unknown, "elsewhere"),
    "run-failed": (run_failed, "the disk was exchanged"),
    "no-upstream": (no_upstream, "pipeline/upstream is missing"),
    "upstream-unconfigured": (upstream_unconfigured, "not in the configuration"),
    "stale-sync": (stale_sync, "a sync was begun"),
    "no-results": (no_results, "output is missing"),
    "output-missing": (output_missing, "has no marker"),
    "run-aborted": (run_aborted, "not needed"),
    "run-stripped": (run_stripped, "to make room"),
    "owner-elsewhere": (owner_elsewhere, "elsewhere"),
    "no-watcher": (no_watcher, "no process has looked"),
}
"""Kind → what causes it on disk, and a part of the sentence."""

SHOWING = (
    "cat ",
    "ls ",
    "df ",
    "systemctl ",
    "hesiod-watch doctor",
    "hesiod-watch config check",
    "hesiod-watch list-upstream",
    "hesiod-watch messages",
    "scontrol ping",
    "sacct ",
    "squeue ",
)
"""Beginnings of steps that change nothing, or that need a service of the system."""
NOT_FOLLOWED = {
    "watcher-stopped": "a second process must look meanwhile; the step is that of `no-watcher`",
    "backup-missing": "needs a second file system for the backup",
    "not-trusted": "needs a `pipeline/` of another user",
    "sync-elsewhere": "needs an upstream; the step is that of `stale-sync`",
    "sync-failed": "helps only after the cause on the upstream is fixed",
    "action-refused": "helps only after the cause of the refusal is fixed",
    "undelivered": "needs a ticket system that refuses; it retries, and helps when that answers",
    "delivery-retried": "needs a ticket system that refuses; the step is that of `undelivered`",
    "job-waiting": "needs a Slurm with a job that cannot start",
    "take-up-undecided": "needs many old runs; test_take_up.py follows its steps",
    "worker-died": "needs a worker that was killed; the step is that of `owner-elsewhere`",
    "unreadable-files": "needs files that this user cannot list; its steps are those of `overdue`",
    "data-lost": "its command is offered only with an upstream from which to copy again",
    "new-data": "its command is that of `failed`",
    "second-copy": "needs an upstream with a second copy of the cell",
    "ingest-failed": "helps only after a person has mended the file",
    "copies-unread": "needs a disk that has failed for an hour",
    "deletion-behind": "needs a disk that has failed for an hour",
    "files-damaged": "helps only after a person has copied the files again",
    "files-repacked": "helps only after a person has brought the files back",
    "copy-damaged": "needs a backup whose copies are damaged",
    "hook-failed": "helps only after the command is mended; test_on_done.py follows its steps",
    "backup-behind": "needs a backup that cannot be written",
    "run-files-behind": "needs a backup that cannot be written",
}
"""Kind → why its commands are not followed here."""


def attention(site: Site) -> list[dict[str, Any]]:
    """What needs a person, then the notes."""
    done = site.run("status", "--attention", "--json", check=None)
    found: list[dict[str, Any]] = json.loads(done.stdout)["attention"]
    assert done.returncode == (1 if found else 0)
    everything = [each for run in site.status().values() for each in run["attention"]]
    assert all(each in found for each in everything if each["severity"] == "person")
    return [*found, *(each for each in everything if each["severity"] == "note")]


def follow(site: Site, step: str) -> bool:
    """Run a step if it is a command that changes something; return whether it is."""
    _, separator, command = step.rpartition(": ")
    if not separator or not command.startswith(COMMANDS):
        return False
    programs = site.root / "programs"
    programs.mkdir(exist_ok=True)
    program = programs / "hesiod-watch"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m hesiod_watch "$@"\n')
    program.chmod(0o755)
    environ = {
        **site.environ,
        "PATH": f"{programs}:{BIN}:{os.environ['PATH']}",
        "HESIOD_WATCH_CONFIG": str(site.config),
    }
    done = subprocess.run(
        ["sh", "-c", command], env=environ, cwd=BIN.parent, capture_output=True, check=False
    )
    assert done.returncode == 0, (command, done.stderr)
    return True


def copy_of(site: Site) -> Callable[[], None]:
    """Save the site; the result brings it back."""
    saved = site.root / "saved"
    shutil.rmtree(saved, ignore_errors=True)
    for name in ("landing", "output"):
        shutil.copytree(site.root / name, saved / name, symlinks=True)

    def bring_back() -> None:
        for name in ("landing", "output"):
            shutil.rmtree(site.root / name)
            shutil.copytree(saved / name, site.root / name, symlinks=True)

    return bring_back


def test_each_kind_with_a_command_is_followed_or_excused() -> None:
    """A kind whose steps change something is followed here, or the reason against it is listed."""
    changing = {
        kind.name
        for kind in KINDS.values()
        if any(step.command and not step.command.startswith(SHOWING) for step in kind.steps)
    }
    assert set(CAUSES) | set(NOT_FOLLOWED) >= changing
    assert not set(CAUSES) & set(NOT_FOLLOWED)
    assert set(NOT_FOLLOWED) <= changing


@pytest.mark.parametrize("kind", CAUSES)
def test_each_command_among_the_steps_helps(site: Site, kind: str) -> None:
    """The cause is the first sentence of `explain`, and each command among its steps ends it."""
    cause, words = CAUSES[kind]
    cause(site)
    found = attention(site)
    assert kind in {each["kind"] for each in found}
    (entry,) = [each for each in found if each["kind"] == kind]
    assert words in entry["sentence"]
    assert entry["severity"] == str(KINDS[kind].severity)
    about = [RUN, entry["cell"]] if entry["cell"] else [RUN]
    first = json.loads(site.run("explain", *about, "--json").stdout)
    assert entry["sentence"] in first["why"]
    assert entry["steps"] == first["you_can"][: len(entry["steps"])]
    # A cause in the run or outside of it is also the first sentence about each cell.
    assert entry["sentence"] in site.run("explain", RUN, CELL).stdout.splitlines()[0]
    bring_back = copy_of(site)
    followed = 0
    for step in entry["steps"]:
        if follow(site, step):
            followed += 1
            assert kind not in {each["kind"] for each in attention(site)}, step
            bring_back()
    assert followed >= 1


def test_reads_do_not_become_fewer(site: Site) -> None:
    """The reads ingested from a running cell are shown until the next worker has counted more."""
    site.configure()
    land(site, summary=None, files=3)
    pipeline = adopt(site)
    site.run("perform", "ingest", RUN, CELL)

    def reads() -> int:
        found = site.status()[RUN]["cells"][NAME]["reads"]
        assert isinstance(found, int)
        return found

    before = reads()
    assert before > 0
    (pipeline / f"{CELL}.synced").touch()
    assert reads() == before
    (pipeline / f"{CELL}.started").write_text(json.dumps(ELSEWHERE) + "\n")
    assert reads() == before
    (pipeline / f"{CELL}.failed").write_text("killed\n")
    assert reads() == before


def test_short_names_and_near_misses(site: Site) -> None:
    """A command that reads takes a unique beginning; one that changes something suggests it."""
    land(site)
    adopt(site)
    for run, cell in (("20261122", "PAW00001"), ("paw00001", "1A"), (RUN, CELL[:13])):
        assert f"{RUN} {NAME} is " in site.run("explain", run, cell).stdout
    error = site.run("abort", "20261122", "--why", "x", check=2).stderr
    assert f"did you mean {RUN}?" in error
    assert (
        f"did you mean {RUN}?" in site.run("explain", RUN.replace("stuck", "sutck"), check=2).stderr
    )
    assert "did you mean" in site.run("retry", RUN, CELL[:-1] + "e", "--why", "x", check=2).stderr


def test_short_name_beside_a_misplaced_cell(site: Site) -> None:
    """A cell that is worked on has its short names also while another one is at a wrong level."""
    land(site)
    adopt(site)
    (site.landing / RUN / CELL.replace("PAW00001", "PAW00002")).mkdir()
    assert f"{RUN} {NAME} is " in site.run("explain", RUN, "PAW00001").stdout
    assert f"{RUN} PAW00002 is " in site.run("explain", RUN, "PAW00002").stdout


def in_terminal(site: Site, *arguments: str) -> list[str]:
    """Lines that a command prints in a terminal of 80 columns."""
    parent, child = pty.openpty()
    environ = {**site.environ, "COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb"}
    with subprocess.Popen(site.command(*arguments), stdout=child, stderr=child, env=environ):
        os.close(child)
        shown = b""
        with suppress(OSError):  # Linux ends the reading of a closed terminal with EIO
            while part := os.read(parent, 65536):
                shown += part
    os.close(parent)
    return shown.decode().replace("\r\n", "\n").splitlines()


def test_flags_are_grouped_by_cell_in_a_terminal(site: Site) -> None:
    """In 80 columns each name of a flag is whole, below its cell; a pipe has one line per flag."""
    land(site)
    pipeline = adopt(site)
    site.run("poll")
    names = {path.name for path in pipeline.iterdir() if not path.name.startswith(".")}
    lines = in_terminal(site, "flags", RUN)
    assert names == {line.strip() for line in lines} - {CELL, "the run"} & names
    cell = lines.index(CELL)
    below = [line.strip() for line in lines[cell + 1 :] if line.strip() in names]
    assert lines[0] == "the run"
    assert sorted(below) == sorted(name for name in names if name.startswith(CELL))
    assert all(len(line) <= 80 for line in lines)
    assert not any("dead" in line for line in lines)
    piped = site.run("flags", RUN).stdout.splitlines()
    assert {line.split()[0] for line in piped[1:]} == names


def too_long(lines: list[str]) -> list[str]:
    """Lines that could have been wrapped: those that are no command and have several words."""
    long = [line for line in lines if len(line) > 80 and len(line.split()) > 2]
    return [
        line
        for line in long
        if line.startswith("hesiod-watch: ") or not line.strip().startswith(COMMANDS)
    ]


@pytest.mark.parametrize(
    "command", [("status",), ("plan",), ("messages", RUN), ("doctor",)], ids=lambda words: words[0]
)
def test_lines_fit_into_a_terminal(command: tuple[str, ...], site: Site) -> None:
    """In 80 columns lines are wrapped at blanks, and no name is folded."""
    land(site)
    pipeline = adopt(site)
    site.run("poll")
    (pipeline / f"{CELL}.done").unlink()
    lines = in_terminal(site, *command)
    words = set(" ".join(lines).split())
    assert too_long(lines) == []
    piped = site.run(*command, check=None).stdout
    assert not {word for word in piped.split() if CELL in word} - words


def test_problems_fit_into_a_terminal(site: Site) -> None:
    """What is printed on standard error is wrapped in a terminal, too, and a command is whole."""
    output_missing(site)
    lines = in_terminal(site, "poll")
    assert lines[0].startswith("hesiod-watch: ")
    assert too_long(lines) == []


def test_more_messages_may_be_asked_for_after_the_command(site: Site) -> None:
    """`-v` counts after the command, too; what follows `--` is a name."""
    land(site)
    assert "INFO" in site.run("poll", "-v").stderr
    assert "-v: no run of this name" in site.run("explain", "--", "-v", check=2).stderr


def test_names_and_commands_stay_whole_in_a_terminal(site: Site) -> None:
    """In 80 columns only what cannot be wrapped is longer, and each command is on its own line."""
    output_missing(site)
    place = site.output / ".hesiod-watch"
    command = f"mkdir -p {place} && touch {place}/output"
    lines = in_terminal(site, "explain", RUN, CELL)
    assert [line.strip() for line in lines].count(command) == 3  # problem, first sentence, step
    for line in lines:
        whole = (
            line.strip().startswith(("mkdir ", "ls ", "rm ", "hesiod-")) or " " not in line.strip()
        )
        assert len(line) <= 80 or whole, line
