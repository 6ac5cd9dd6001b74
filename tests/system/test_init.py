"""The first configuration: written once, whole, and after a look at what is there."""

from __future__ import annotations

import os
import pty
import subprocess
import time
from pathlib import Path

import pytest
from sites import Site

from hesiod_watch import cli, config

pytestmark = pytest.mark.system

CELL = "{}_2210_1A_PAW{:05}_{:08x}"


def land(place: Path, number: int, year: int = 2021) -> None:
    for index in range(number):
        cell = (
            place / f"{year}0304_TEST_{index}" / "lib1" / CELL.format(f"{year}0304", index, index)
        )
        (cell / "fastq_pass").mkdir(parents=True)
        (cell / "fastq_pass" / "a_0.fastq").write_text("@r\nACGT\n+\n5555\n")
        (cell / "final_summary.txt").write_text("fastq_files_in_final_dest=1\n")


@pytest.fixture
def bare(site: Site) -> Site:
    """A site without a configuration."""
    site.config.unlink()
    return site


def settings(site: Site) -> list[str]:
    """Lines of the configuration without comments."""
    return [line for line in site.config.read_text().splitlines() if not line.startswith("#")]


def init(site: Site, *arguments: str, check: int = 0) -> subprocess.CompletedProcess[str]:
    places = ("--landing", str(site.landing), "--output", str(site.output))
    done = site.run("init", *places, *arguments, check=check, stdin=subprocess.DEVNULL)
    assert [path.name for path in site.output.rglob("*")] == []
    assert not list(site.landing.rglob("pipeline"))
    return done


def test_empty_landing_area(bare: Site) -> None:
    """Two lines are enough; every user may read them; they are a good configuration."""
    os.umask(0o077)
    init(bare)
    assert settings(bare) == [f"landing: {bare.landing}", f"output: {bare.output}"]
    assert bare.config.stat().st_mode & 0o777 == 0o644
    assert "good" in bare.run("config", "check").stdout


def test_the_file_that_the_environment_names(bare: Site) -> None:
    """Without --config it is the file of $HESIOD_WATCH_CONFIG, as for every other command."""
    named = bare.root / "named.yaml"
    command = [*bare.command("init"), "--landing", str(bare.landing), "--output", str(bare.output)]
    done = subprocess.run(
        [word for word in command if word not in ("--config", str(bare.config))],
        env={**bare.environ, "HESIOD_WATCH_CONFIG": str(named)},
        cwd=bare.root,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert f"{named} is written" in done.stdout
    assert named.exists()
    assert not bare.config.exists()


@pytest.mark.parametrize(
    ("since", "left", "due"),
    [("now", 23, 0), ("always", 0, 23), ("2022-01-01", 23, 0), ("2021-03-04", 0, 23)],
)
def test_old_runs(since: str, left: int, due: int, bare: Site) -> None:
    """What is printed about old runs is what the next poll does."""
    land(bare.landing, 23)
    text = init(bare, "--since", since).stdout
    assert f"23 runs in {bare.landing}" in text
    assert (f"{left} of them historic" in text) == bool(left)
    shown = [line for line in text.splitlines() if line.startswith("  new-run ")]
    assert len(shown) == min(due, 10)
    assert (f"and {due - 10} more" in text) == (due > 10)
    bare.run("poll")
    assert len(list(bare.landing.glob("*/pipeline"))) == due


def test_old_runs_need_a_decision(bare: Site) -> None:
    """Without an answer about old runs nothing is written; the sentence has the answers."""
    land(bare.landing, 1)
    error = init(bare, check=2).stderr
    assert "1 finished run in" in error
    assert "--since" in error
    assert "always" in error
    assert not bare.config.exists()


@pytest.mark.parametrize("batch", ["year", "month"])
def test_directories_per_year_or_month(batch: str, bare: Site) -> None:
    """The layout is recognised, and its runs are counted."""
    land(bare.landing / {"year": "2021", "month": "2021-03"}[batch], 2)
    assert "2 runs" in init(bare, "--since", "now").stdout
    assert f"batch: {batch}" in settings(bare)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--landing", "{root}/missing"], "missing is not a directory"),
        (["--output", "{landing}"], "the same directory as landing"),
        (["--output", "{root}"], "landing is inside it"),
        (["--since", "yesterday"], "take_up.since"),
    ],
    ids=["missing", "same", "around", "since"],
)
def test_mistakes(arguments: list[str], words: str, bare: Site) -> None:
    """A wrong value is named, and no file is written."""
    given = [each.format(root=bare.root, landing=bare.landing) for each in arguments]
    assert words in init(bare, *given, check=2).stderr
    assert not bare.config.exists()


def test_nothing_is_replaced(bare: Site) -> None:
    """A configuration that exists, or a link in its place, stays; the command checks it."""
    for make in (lambda: bare.config.write_text("mine"), lambda: bare.config.symlink_to("nowhere")):
        make()
        assert "config check" in init(bare, check=2).stderr
        assert bare.config.is_symlink() or bare.config.read_text() == "mine"
        bare.config.unlink()


def test_default_place(bare: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user who is not root gets the file in the working directory, where all commands find it."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.chdir(bare.root)
    assert cli.main(["init", "--landing", "landing", "--output", "output"]) == 0
    assert config.load(None, environ={}, cwd=bare.root).landing == bare.landing


def test_questions_in_a_terminal(bare: Site) -> None:
    """A person answers questions; a wrong answer is named, and the question asked again."""
    land(bare.landing, 2)
    answers = (
        ("MinKNOW writes", str(bare.root / "typo")),
        ("typo is not a directory", str(bare.landing)),
        ("results", str(bare.output)),
        ("2 finished runs", "tomorrow"),
        ("tomorrow", ""),
    )
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        bare.command("init"), stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        os.close(theirs)
        assert running.stderr
        assert running.stdout
        for question, answer in answers:
            seen, deadline = b"", time.monotonic() + 60
            while question.encode() not in seen or not seen.endswith(b": "):
                assert time.monotonic() < deadline, seen
                seen += os.read(running.stderr.fileno(), 65536)
            os.write(ours, answer.encode() + b"\n")
        text = running.stdout.read().decode()
    os.close(ours)
    assert running.returncode == 0
    assert "2 of them historic" in text
    assert settings(bare)[-1] == "take_up: {since: now}"
