"""Stuck cases on real trees, by kind: `explain` names the cause first, and a person hears of it."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable

import pytest
from sites import Site

from hesiod_watch import cli

pytestmark = pytest.mark.system

RUN, LIBRARY = "20261122_TEST_stuck", "lib1"
CELL = "20261122_2210_1A_PAW00001_0a1b2c3d"
OTHER = "20261122_2210_2B_PAW00002_0a1b2c4d"


def land(site: Site, *place: str) -> None:
    """Write a complete cell at a place in the landing area."""
    cell = site.landing.joinpath(*(place or (RUN, LIBRARY, CELL)))
    (cell / "fastq_pass").mkdir(parents=True)
    (cell / "fastq_pass" / "a_0.fastq").write_text("@r\nACGT\n+\n5555\n")
    (cell / "final_summary.txt").write_text("fastq_files_in_final_dest=1\n")


def landed_at(*place: str) -> Callable[[Site], None]:
    return lambda site: land(site, *place)


def linked(*place: str) -> Callable[[Site], None]:
    """Move a part of a run to another disk and leave a link."""

    def build(site: Site) -> None:
        land(site)
        original, target = site.landing.joinpath(*place), site.root / "disk2"
        shutil.move(original, target)
        original.symlink_to(target)

    return build


def linked_later(site: Site) -> None:
    """A cell that is known from its flags, and is a link now."""
    land(site)
    (site.landing / RUN / "pipeline").mkdir()
    (site.landing / RUN / "pipeline" / f"{CELL}.synced").touch()
    (site.landing / RUN / "pipeline" / "upstream").write_text("LOCAL\n")
    (site.output / RUN).mkdir()
    (site.landing / RUN / "pipeline" / "output").symlink_to(site.output / RUN)
    shutil.move(site.landing / RUN / LIBRARY / CELL, site.root / "disk2")
    (site.landing / RUN / LIBRARY / CELL).symlink_to(site.root / "disk2")


def dead_link(site: Site) -> None:
    (site.landing / RUN).symlink_to(site.root / "missing" / RUN)


def file_as_cell(site: Site) -> None:
    (site.landing / RUN / LIBRARY).mkdir(parents=True)
    (site.landing / RUN / LIBRARY / CELL).write_text("")


def cell_without_data(site: Site) -> None:
    """The directory of a cell, still empty, in the place of a library."""
    (site.landing / RUN / CELL).mkdir(parents=True)


def nameless_data(site: Site) -> None:
    """Pooled data, and a file among them that names no acquisition."""
    land(site, RUN, LIBRARY)
    (site.landing / RUN / LIBRARY / "fastq_pass" / "merged.fastq").write_text("")


def linked_batch(site: Site) -> None:
    """A directory of a year that is a link to another disk."""
    land(site, "2026", RUN, LIBRARY, CELL)
    shutil.move(site.landing / "2026", site.root / "disk2")
    (site.landing / "2026").symlink_to(site.root / "disk2")
    site.configure(processing="executor: inline", more="batch: year\n")


LINK = "is a symbolic link, and links are not followed"
WRONG_LEVEL = "cells belong at RUN/LIBRARY/CELL"
CASES: dict[str, tuple[Callable[[Site], None], str, tuple[str, ...], str]] = {
    "link to a run": (linked(RUN), "link", (RUN,), LINK),
    "link to a library": (linked(RUN, LIBRARY), "link", (RUN,), LINK),
    "link to a cell": (linked(RUN, LIBRARY, CELL), "link", (RUN, CELL), LINK),
    "link to a known cell": (linked_later, "link", (RUN, CELL), LINK),
    "dead link": (dead_link, "link", (RUN,), LINK),
    "link to a year": (linked_batch, "link", ("2026",), LINK),
    "file as cell": (file_as_cell, "wrong-level", (RUN, CELL), "a file is in the place"),
    "cell in the run": (cell_without_data, "wrong-level", (RUN, CELL), WRONG_LEVEL),
    "cell in the landing area": (landed_at(CELL), "wrong-level", (CELL,), WRONG_LEVEL),
    "data in the run": (landed_at(RUN), "wrong-level", (RUN,), WRONG_LEVEL),
    "one level too deep": (
        landed_at(RUN, "sub", LIBRARY, CELL),
        "wrong-level",
        (RUN, CELL),
        WRONG_LEVEL,
    ),
    "two levels too deep": (
        landed_at(RUN, "a", "b", LIBRARY, CELL),
        "wrong-level",
        (RUN, CELL),
        WRONG_LEVEL,
    ),
    "run in a project": (
        landed_at("project", RUN, LIBRARY, CELL),
        "wrong-level",
        ("project", CELL),
        WRONG_LEVEL,
    ),
    "pooled data": (nameless_data, "pooled", (RUN,), "MinKNOW data pooling"),
    "bad name of a cell": (
        landed_at(RUN, LIBRARY, CELL.upper()),
        "quarantined",
        (RUN, CELL.upper()),
        "not worked on",
    ),
}
"""Case → how it is built, its kind, what is explained, and a part of the first sentence."""


def ask(capsys: pytest.CaptureFixture[str], site: Site, *command: str) -> tuple[int, str]:
    """Run a command in this process; return its exit code and its standard output."""
    capsys.readouterr()
    code = cli.main(["--config", str(site.config), *command])
    return code, capsys.readouterr().out


@pytest.mark.parametrize("case", CASES)
def test_cause_is_named_and_reported(
    site: Site, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    """The first sentence of `explain` has the cause, `status` lists it, and `poll` ends with 1."""
    site.configure(processing="executor: inline")
    build, kind, names, words = CASES[case]
    build(site)
    code, text = ask(capsys, site, "explain", *names, "--json")
    assert code == 0
    explained = json.loads(text)
    assert words in explained["why"]
    code, text = ask(capsys, site, "status", "--attention", "--json")
    entries = [each for each in json.loads(text)["attention"] if each["kind"] == kind]
    assert (code, len(entries)) == (1, 1)
    assert words in entries[0]["sentence"]
    assert entries[0]["steps"]
    assert entries[0]["steps"][0] in explained["you_can"]
    assert ask(capsys, site, "poll")[0] == 1


def test_healthy_links_are_not_reported(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """Links to files, and to a place in the landing area itself, need no person."""
    site.configure(processing="executor: inline")
    land(site)
    (site.landing / "latest").symlink_to(RUN)
    (site.landing / "readme.txt").symlink_to(site.config)
    (site.landing / RUN / "sample_sheet.csv").symlink_to(site.config)
    (site.landing / RUN / LIBRARY / "notes").symlink_to(site.root)
    assert ask(capsys, site, "status", "--attention") == (0, "")
    assert ask(capsys, site, "status", "--json")[0] == 0
    assert ask(capsys, site, "poll")[0] == 0


def test_landing_missing_is_explained(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """Without the landing area, `explain` of a cell has the cause and the steps."""
    land(site)
    site.landing.rename(site.root / "away")
    code, text = ask(capsys, site, "explain", RUN, CELL)
    assert code == 75
    assert f"{RUN} {CELL} is unknown: the landing area {site.landing} does not exist." in text
    assert f"ls {site.landing}" in text


def unmounted_backup(site: Site) -> str:
    return f"backups: {{second: {{location: {site.root / 'backup'}}}}}\n"


def other_batch(site: Site) -> str:
    return "batch: year\n"


def no_upstreams(site: Site) -> str:
    return "upstreams: {}\n"


@pytest.mark.parametrize(
    ("configured", "kind"),
    [
        (unmounted_backup, "backup-missing"),
        (other_batch, "beside-batch"),
        (no_upstreams, "no-upstreams"),
    ],
)
def test_trouble_of_the_site_is_reported(
    site: Site, capsys: pytest.CaptureFixture[str], configured: Callable[[Site], str], kind: str
) -> None:
    """What concerns no single run is in `status --attention`, and `poll` ends with 1 for it."""
    (site.landing / RUN / LIBRARY / CELL).mkdir(parents=True)
    site.configure(processing="executor: inline", more=configured(site))
    code, text = ask(capsys, site, "status", "--attention", "--json")
    assert (code, [each["kind"] for each in json.loads(text)["attention"]]) == (1, [kind])
    assert ask(capsys, site, "poll")[0] == 1


def test_results_that_are_missing_come_first(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    """`explain` of a processed cell says first that its results are not where they were."""
    site.configure(processing="executor: inline")
    land(site)
    (site.landing / RUN / "pipeline").mkdir()
    (site.landing / RUN / "pipeline" / f"{CELL}.done").touch()
    (site.landing / RUN / "pipeline" / "upstream").write_text("LOCAL\n")
    (site.landing / RUN / "pipeline" / "output").symlink_to(site.output / RUN)
    (site.output / "other").mkdir()
    (site.output / ".hesiod-watch").mkdir()
    (site.output / ".hesiod-watch" / "output").touch()
    first = ask(capsys, site, "explain", RUN, CELL)[1].splitlines()[0]
    assert f"{site.output / RUN}, which does not exist" in first


def test_file_in_the_place_of_the_results(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """The first step moves the file aside, and the run's results have a directory again."""
    site.configure(processing="executor: inline")
    land(site)
    site.run("perform", "new-run", RUN)
    results = site.output / RUN
    shutil.rmtree(results)
    results.write_text("not a directory")
    code, text = ask(capsys, site, "status", "--attention", "--json")
    (entry,) = json.loads(text)["attention"]
    assert (code, entry["kind"]) == (1, "no-results")
    assert "not a directory" in entry["sentence"]
    command = entry["steps"][0].partition("make it: ")[2]
    assert "mkdir -p" not in " ".join(entry["steps"])
    subprocess.run(command, shell=True, check=True)  # noqa: S602 -- a step is for a shell
    assert (site.output / f"{RUN}.aside").read_text() == "not a directory"
    assert ask(capsys, site, "status", "--attention")[0] == 0


def test_link_among_the_data(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """The steps of a cell with a linked file show the link, and do not lead to the sequencer."""
    site.configure(processing="executor: inline, grace: 0s")
    land(site)
    site.run("perform", "new-run", RUN)
    data = site.landing / RUN / LIBRARY / CELL / "fastq_pass" / "a_0.fastq"
    data.rename(site.root / "elsewhere.fastq")
    data.symlink_to(site.root / "elsewhere.fastq")
    (entry,) = json.loads(ask(capsys, site, "status", "--attention", "--json")[1])["attention"]
    assert "links and special files are not followed" in entry["sentence"]
    command = entry["steps"][0].partition("data: ")[2]
    shown = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)  # noqa: S602 -- a step is for a shell
    assert shown.stdout.splitlines() == [str(data)]
    assert "replace each link" in entry["steps"][1]
    assert "sequencer" not in " ".join(entry["steps"])
