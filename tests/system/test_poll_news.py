"""Lines that a poll prints: a problem when it is new, once a day, and when it is solved."""

from __future__ import annotations

import json
import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sites import Site

pytestmark = pytest.mark.system

RUN, LIBRARY = "20261122_TEST_news", "lib1"
CELL = "20261122_2210_1A_PAW00001_0a1b2c3d"
ODD = "lib 2 (rerun)\x1b\udcff"


def land(site: Site, library: str = LIBRARY) -> Path:
    """Write a complete cell."""
    cell = site.landing / RUN / library / CELL
    (cell / "fastq_pass").mkdir(parents=True)
    (cell / "fastq_pass" / "a_0.fastq").write_text("@r\nACGT\n+\n5555\n")
    (cell / "final_summary.txt").write_text("fastq_files_in_final_dest=1\n")
    return cell


def poll(site: Site, code: int) -> list[str]:
    """Run a poll and return its lines."""
    done = site.run("poll", check=code)
    assert done.stdout == ""
    return done.stderr.splitlines()


def memory(site: Site) -> Path:
    return site.output / ".hesiod-watch" / f"{os.uname().nodename}-poll-printed.json"


def age(site: Site, by: timedelta) -> None:
    """Move all remembered times back."""
    record = json.loads(memory(site).read_text())
    for entry in record["problems"].values():
        entry["printed"] = (datetime.now(UTC) - by).isoformat()
    memory(site).write_text(json.dumps(record))


def test_new_daily_and_solved(site: Site) -> None:
    """Each poll ends with code 1, but only the first one, one a day, and the end print a line."""
    land(site, ODD)
    (line,) = poll(site, 1)
    assert "\x1b" not in line
    assert line.endswith(f"; hesiod-watch explain {RUN}")
    assert poll(site, 1) == []
    age(site, timedelta(hours=23))
    assert poll(site, 1) == []
    age(site, timedelta(hours=25))
    assert poll(site, 1) == [line]
    assert poll(site, 1) == []
    age(site, -timedelta(days=400))
    assert poll(site, 1) == [line]
    shutil.rmtree(site.landing / RUN / ODD)
    (solved,) = poll(site, 0)
    assert solved.startswith(f"hesiod-watch: solved: {RUN}: ")
    assert "hesiod-watch explain" not in solved
    assert poll(site, 0) == []


def test_another_problem_is_new(site: Site) -> None:
    """A second name in the same run is printed alone; each is solved by itself."""
    land(site, ODD)
    poll(site, 1)
    land(site, "lib 3 (rerun)")
    (line,) = poll(site, 1)
    assert "lib 3" in line
    shutil.rmtree(site.landing / RUN / ODD)
    (line,) = poll(site, 1)
    assert "solved" in line
    assert "lib 2" in line


@pytest.mark.parametrize("content", [None, "", "[]", '{"problems": {"x": 1, "y": {}}}', "\udcff"])
def test_the_memory_may_be_deleted_or_damaged(site: Site, content: str | None) -> None:
    """Without a memory everything is printed once more, and the memory is made again."""
    land(site, ODD)
    lines = poll(site, 1)
    memory(site).unlink()
    if content is not None:
        memory(site).write_bytes(content.encode("utf-8", "surrogateescape"))
    assert lines[0] in poll(site, 1)
    assert poll(site, 1) == []


def test_named_runs_get_an_answer_each_time(site: Site) -> None:
    """`poll RUN` is for a person: it prints every problem, and solves no other one."""
    land(site, ODD)
    (site.landing / "20261122_TEST_other" / LIBRARY / CELL).mkdir(parents=True)
    (line,) = poll(site, 1)
    for _ in range(2):
        assert site.run("poll", RUN, check=1).stderr.splitlines() == [line]
        assert site.run("poll", "20261122_TEST_other").stderr == ""
    assert poll(site, 1) == []


@pytest.mark.parametrize("area", ["landing", "output"])
def test_a_missing_area_is_printed_once_a_day(site: Site, area: str) -> None:
    """A poll without its landing or output area ends with code 75, prints that once, and its end.

    What was known before is neither solved nor printed again.
    """
    land(site, ODD)
    poll(site, 1)
    place = site.root / area
    for _ in range(2):
        place.rename(site.root / "away")
        (line,) = poll(site, 75)
        assert str(place) in line
        assert poll(site, 75) == []
        (site.root / "away").rename(place)
        lines = poll(site, 1)
        assert [line for line in lines if RUN in line] == []
        assert all("solved" in line for line in lines)
    assert poll(site, 1) == []


def test_a_failed_action_is_one_line(site: Site) -> None:
    """A problem is not printed by the log, too."""
    land(site)
    (site.output / RUN).mkdir()
    (site.output / RUN / "rundata").write_text("not a link")
    (line,) = poll(site, 1)
    assert RUN in line
    assert poll(site, 1) == []


def test_a_failure_without_a_flag_is_listed_between_polls(site: Site) -> None:
    """The page of a run cannot be written: the poll says it, and the list has it until it can."""
    page = site.output / RUN / "report.html"
    (page / "x").mkdir(parents=True)
    land(site)
    assert any("report was tried 1 time and has failed" in line for line in poll(site, 1))
    (each,) = listed(site, 1)
    assert (each["kind"], each["run"], each["cell"]) == ("action-refused", RUN, None)
    assert each["steps"] == [
        f"after fixing the cause, try it now: hesiod-watch perform report {RUN}"
    ]
    shutil.rmtree(page)
    (line,) = poll(site, 0)
    assert line.startswith(f"hesiod-watch: solved: {RUN}: report was tried")
    assert listed(site, 0) == []


def listed(site: Site, code: int) -> list[dict[str, Any]]:
    found = json.loads(site.run("status", "--attention", "--json", check=code).stdout)
    entries: list[dict[str, Any]] = found["attention"]
    return entries
