"""Ended cells that stay incomplete: the real program reports start and end of the problem."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest
from sites import Site
from younger_files import end_with_summaries

pytestmark = pytest.mark.system

RUN, LIBRARY = "20261122_TEST_overdue", "lib1"
CELL = "20261122_2210_1A_PAW00001_0a1b2c3d"
YEAR = 365 * 86400.0
GRACE = 1.0
SHORT, USUAL = "workers: 2, grace: 1s", "workers: 2"
NORMAL = ["cell-ready", "all-cells-run", "cell-done", "run-complete"]


def fastq(name: str) -> str:
    return f"@{name}\nACGT\n+\n5555\n"


@pytest.fixture(autouse=True)
def short_grace(site: Site) -> None:
    """Set a grace period of one second after the arrival of a final_summary."""
    site.configure(processing=SHORT)


def land(
    site: Site,
    summary: str,
    files: int = 2,
    *,
    cell: str = CELL,
    late: bool = True,
    age: float = YEAR,
) -> Path:
    """Write an ended cell with this number of FASTQ files; with `late`, wait for its grace period.

    Its final_summary is dated `age` seconds ago, which must not matter.
    """
    directory = site.landing / RUN / LIBRARY / cell
    (directory / "fastq_pass").mkdir(parents=True)
    for number in range(files):
        (directory / "fastq_pass" / f"a_{number}.fastq").write_text(fastq(f"{cell}{number}"))
    (directory / "final_summary.txt").write_text(summary)
    os.utime(directory / "final_summary.txt", (time.time() - age, time.time() - age))
    if late:
        wait(site, directory)
    return directory


def wait(site: Site, directory: Path) -> None:
    """Wait until the grace period of a cell is over."""
    arrived = (directory / "final_summary.txt").stat().st_ctime
    site.eventually(lambda: time.time() > arrived + GRACE + 0.1, "the grace period is over")


def messages(site: Site, run: str = RUN) -> list[str]:
    """Reported events in order."""
    place = site.landing / run / "pipeline" / "messages"
    links = sorted(path for path in place.iterdir() if path.name.isdigit())
    return [str(link.readlink()).split(".")[0] for link in links]


def poll(site: Site, code: int) -> str:
    done = site.run("poll", check=code)
    assert done.stdout == ""
    return done.stderr


TWO = "fastq_files_in_final_dest=2\n"
CAUSES = {
    "missing": (TWO, 1, "1 of 2 FASTQ files missing", "look for the missing FASTQ files"),
    "fallback": (
        f"{TWO}fastq_files_in_fallback=1\n",
        *(
            2,
            "1 FASTQ file is in MinKNOW's fallback folder",
            "in MinKNOW's fallback folder on the sequencer",
        ),
    ),
    "more": (
        TWO,
        3,
        "1 more FASTQ file here than announced",
        "find the FASTQ files that do not belong",
    ),
    "empty": ("", 2, "final_summary.txt is empty", "copy final_summary.txt again"),
    "nonsense": (
        "a page of text\n",
        2,
        "final_summary.txt is unreadable",
        "copy final_summary.txt again",
    ),
}


@pytest.mark.parametrize("cause", CAUSES)
def test_each_cause_is_reported_once_and_fails_every_poll(site: Site, cause: str) -> None:
    """An overdue cell causes one line, and exit code 1 in every poll.

    People get one message at its start and one at its end.
    """
    summary, files, why, step = CAUSES[cause]
    directory = land(site, summary, files)
    (line,) = poll(site, 1).splitlines()
    assert line.startswith(f"hesiod-watch: {RUN} {LIBRARY}/{CELL}: overdue: {why}")
    assert line.endswith(f"; hesiod-watch explain {RUN} {LIBRARY}/{CELL}")
    for _ in range(2):
        assert poll(site, 1) == ""
    assert messages(site) == ["run-new", "cell-overdue"]
    assert step in site.run("messages", RUN, "--text").stdout
    explained = site.run("explain", RUN, CELL).stdout
    assert step in explained
    assert "the grace period" in explained
    shutil.rmtree(directory / "fastq_pass")
    (directory / "fastq_pass").mkdir()
    for number in range(2):
        (directory / "fastq_pass" / f"a_{number}.fastq").write_text(fastq(f"read{number}"))
    (directory / "final_summary.txt").write_text(TWO)
    (line,) = poll(site, 0).splitlines()
    assert line.startswith(f"hesiod-watch: solved: {RUN} {LIBRARY}/{CELL}: overdue: {why}")
    assert messages(site) == ["run-new", "cell-overdue", "cell-overdue-ended", *NORMAL]
    assert poll(site, 0) == ""


def test_other_counts_are_the_same_problem_and_a_repeat_is_another(site: Site) -> None:
    """A changed count adds no message; a problem that starts again is reported with its end."""
    directory = land(site, "fastq_files_in_final_dest=3\n", 0)
    for number in range(2):
        assert bool(poll(site, 1)) == (number == 0)
        (directory / "fastq_pass" / f"a_{number}.fastq").write_text(fastq(f"read{number}"))
    assert "1 of 3 FASTQ files missing" in poll_run(site, RUN)
    assert messages(site) == ["run-new", "cell-overdue"]
    (directory / "final_summary.txt").write_text("fastq_files_in_final_dest=4\n")
    site.configure(processing=USUAL)
    poll(site, 0)
    assert messages(site)[2:] == ["cell-overdue-ended"]
    site.configure(processing=SHORT)
    wait(site, directory)
    poll(site, 1)
    assert messages(site)[3:] == ["cell-overdue"]
    site.run("abort", RUN, CELL, "--why", "lost at sea")
    poll(site, 0)
    assert messages(site)[4:6] == ["cell-overdue-ended", "cell-aborted"]
    assert "disregard it: lost at sea" in site.run("messages", RUN, "--text").stdout


def test_accepted_by_a_person(site: Site) -> None:
    """The last step in the message solves the problem; the run's other cells never waited."""
    other = "20261122_2211_1B_PAW00002_1a2b3c4d"
    land(site, TWO, 1)
    land(site, TWO, 2, cell=other, late=False)
    poll(site, 1)
    assert site.stages()[f"{RUN}/{LIBRARY}/{other}"] == "processed"
    (site.landing / RUN / "pipeline" / f"{CELL}.synced").touch()
    poll(site, 0)
    assert messages(site).count("cell-overdue") == messages(site).count("cell-overdue-ended") == 1
    assert site.stages()[f"{RUN}/{LIBRARY}/{CELL}"] == "processed"


def test_within_the_grace_period_nothing_is_reported(site: Site) -> None:
    """Files that are a little late cause no message, nor does a cell without final_summary."""
    site.configure(processing=USUAL)
    directory = land(site, TWO, 1, late=False)
    running = land(site, TWO, 1, cell="20261122_2211_1B_PAW00002_1a2b3c4d", late=False)
    (running / "final_summary.txt").unlink()
    assert poll(site, 0) == ""
    assert messages(site) == ["run-new"]
    assert "look for the missing" not in site.run("explain", RUN, CELL).stdout
    os.utime(directory / "final_summary.txt", (time.time() - YEAR, time.time() - YEAR))
    assert poll(site, 0) == ""


def test_a_run_with_a_run_level_flag_is_not_reported(site: Site) -> None:
    """A run-level flag shows that a person knows the problem: no message, no line."""
    land(site, TWO, 1)
    site.run("perform", "new-run", RUN)
    (site.landing / RUN / "pipeline" / "failed").touch()
    poll(site, 0)
    assert "cell-overdue" not in messages(site)


def test_a_run_from_before_there_were_messages(site: Site) -> None:
    """A cell that is already overdue when its run gets its outbox is reported like any other."""
    land(site, TWO, 1)
    pipeline = site.landing / RUN / "pipeline"
    pipeline.mkdir()
    (site.output / RUN).mkdir()
    (site.output / RUN / "rundata").symlink_to(site.landing / RUN)
    (pipeline / "upstream").write_text("LOCAL\n")
    (pipeline / "output").symlink_to(site.output / RUN)
    poll(site, 1)
    assert messages(site) == ["run-new", "cell-overdue"]


@pytest.mark.parametrize("age", [0, -3 * YEAR], ids=["now", "dated in the future"])
def test_the_service_reports_the_end_of_the_grace_period(site: Site, age: float) -> None:
    """The service reports an overdue cell soon after its grace period, without an event.

    It logs one warning.
    """
    site.configure(
        watch="sweep_interval: 1h, full_sweep_interval: 2h", processing="workers: 2, grace: 3s"
    )
    directory = land(site, TWO, 1, late=False, age=age)
    with site.service():
        site.eventually(lambda: "upstream" in site.flags(RUN), "the run is taken up")
        site.eventually(lambda: "cell-overdue" in messages(site), "the cell is reported", 20)
        (directory / "fastq_pass" / "a_1.fastq").write_text(fastq("late"))
        end_with_summaries(directory)
        site.eventually(lambda: messages(site)[-1] == "run-complete", "the cell is processed")
    assert messages(site) == ["run-new", "cell-overdue", "cell-overdue-ended", *NORMAL]
    assert site.logged("WARNING overdue") == 1


def test_a_cell_that_is_incomplete_on_its_upstream(site: Site) -> None:
    """A copied cell whose upstream lacks files is reported, even if the upstream is down.

    All that the upstream has was copied, so the last step is to accept the cell as it is.
    """
    there = site.root / "there"
    more = f"upstreams: {{gridion: {{location: {there}, instrument: GRID}}}}\n"
    site.configure(processing=USUAL, more=more)
    run = "20261122_GRID_alpha"
    land(site, TWO, 1, late=False)
    there.mkdir()
    shutil.move(site.landing / RUN, there / "alpha")
    cell = f"{LIBRARY}/{CELL}"
    poll(site, 0)
    site.configure(processing=SHORT, more=more)
    wait(site, site.landing / run / cell)
    for printed in (True, False):
        line = f"{run} {cell}: overdue: 1 of 2 FASTQ files missing"
        assert (line in poll(site, 1)) is printed
    assert messages(site, run) == ["run-new", "cell-overdue"]
    text = site.run("messages", run, "--text").stdout
    copying = f"copy them into {there}/alpha/{cell}; the next sync copies them"
    assert 0 < text.index(copying) < text.index(".synced")
    assert "overdue" in poll_run(site, run)
    (there / "alpha" / cell / "fastq_pass" / "a_1.fastq").write_text(fastq("late"))
    end_with_summaries(there)
    assert "hesiod-watch: solved: " in poll(site, 0)
    assert messages(site, run) == ["run-new", "cell-overdue", "cell-overdue-ended", *NORMAL]


def poll_run(site: Site, run: str) -> str:
    """Standard error of a poll of one run, which queries no upstream."""
    return site.run("poll", run, check=1).stderr
