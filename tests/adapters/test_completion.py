"""Completion: which words may stand at the cursor. tests/system has the shells themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from hesiod_watch import cli

RUN, LIBRARY, CELL = "20261122_PROM_lake", "lib1", "20261122_1000_1A_PAD38578_c6ded78b"
HOSTILE = ("$(touch here)", "a b", "`id`", "-rf", "a;b", "x\x1b[2J", "käse", "a'b", 'a"b', "a=b")


@pytest.fixture(autouse=True)
def configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration in the working directory, and a landing area with hostile names."""
    (tmp_path / "landing" / RUN / LIBRARY / CELL).mkdir(parents=True)
    for number, name in enumerate(HOSTILE):
        (tmp_path / "landing" / name / LIBRARY / CELL).mkdir(parents=True)
        (tmp_path / "landing" / RUN / name / f"{CELL[:-3]}{number:03}").mkdir(parents=True)
    path = tmp_path / "hesiod-watch.yaml"
    path.write_text(
        "landing: landing\noutput: output\nbackups: {second: {location: /mnt/second}}\n"
        "upstreams: {promethion: {location: 'prom@promethion:/data'}}\n"
    )
    monkeypatch.chdir(tmp_path)
    return path


def complete(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    """Candidates for the last word."""
    assert cli.main(["--complete", *words]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    return [line.partition("\t")[0] for line in shown.out.splitlines()]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["exp"], ["explain"]),
        (["-v", "exp"], ["explain"]),
        (["--verb"], ["--verbose"]),
        (["--config"], ["--config"]),
        (["--config", ""], [":files"]),
        (["--config", "other.yaml", "stat"], ["status"]),
        (["config", ""], ["check", "sample"]),
        (["config", "check", ""], []),
        (["status", "--h"], ["--help", "--hesiod"]),
        (["status", "2026"], [RUN]),
        (["status", RUN, "2026"], [RUN]),
        (["explain", "2026"], [RUN]),
        (["explain", "--json", "2026"], [RUN]),
        (["explain", RUN, ""], [f"{LIBRARY}/{CELL}"]),
        (["explain", RUN, "lib"], [f"{LIBRARY}/{CELL}"]),
        (["explain", RUN, CELL[:-2]], [CELL]),
        (["explain", f"landing/{RUN}", CELL[:-2]], [CELL]),
        (["explain", RUN, CELL, ""], []),
        (["explain", "other", ""], []),
        (["explain", "--", "2026"], [RUN]),
        (["abort", RUN, CELL, "--w"], ["--why"]),
        (["abort", "--why", "2026"], []),
        (["abort", "--why", "a reason", "2026"], [RUN]),
        (["perform", "pro"], ["process"]),
        (["perform", "process", "2026"], [RUN]),
        (["perform", "process", RUN, CELL[:-2]], [CELL]),
        (["take-up", "2026"], [RUN]),
        (["backup-init", ""], ["second"]),
        (["list-upstream", ""], ["promethion"]),
        (["demo", ""], [":files"]),
        (["simulate", "runs", "--bam", "al"], ["aligned"]),
        (["no-command", ""], []),
        (["status", "--no-option", "2026"], [RUN]),
    ],
    ids=" ".join,
)
def test_candidates(
    words: list[str], expected: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Commands, options, values, runs and cells are completed where the parser takes them."""
    assert complete(capsys, *words) == expected


@pytest.mark.parametrize("command", list(cli.COMMANDS))
def test_every_option_is_a_candidate(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each option that the help of a command names is a candidate, and nothing else is."""
    found = complete(capsys, command, "-")
    assert cli.main([command, "--help"]) == 0
    options = capsys.readouterr().out.partition("options:\n")[2].partition("\n\n")[0]
    shown = {
        word.strip(" ,")
        for line in options.splitlines()
        if line.startswith("  -")
        for word in line.strip().partition("  ")[0].split()
        if word.startswith("-")
    }
    assert set(found) == shown


def test_hostile_names_are_no_candidates(capsys: pytest.CaptureFixture[str]) -> None:
    """No name is offered that a shell or a terminal would interpret."""
    assert complete(capsys, "explain", "") == [RUN]
    assert complete(capsys, "explain", RUN, "") == [f"{LIBRARY}/{CELL}"]


@pytest.mark.parametrize(
    "text", ["landing: [", "", "landing: missing\noutput: output\n"], ids=["YAML", "empty", "gone"]
)
def test_no_words_about_a_mistake(
    text: str, configuration: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wrong configuration or a missing landing area leaves the prompt as it is."""
    configuration.write_text(text)
    assert complete(capsys, "explain", "2026") == []
    configuration.unlink()
    assert complete(capsys, "explain", "2026") == []
