"""Runs that were there before the first look: historic, shown, and left alone."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import pytest
from sites import Site

pytestmark = pytest.mark.system

CELL = "20210304_2210_1A_PAW{:05}_{:08x}"
LIBRARY = "lib1"
UNDECIDED = "take-up-undecided"


def land(place: Path, run: str, cell: str, *, ended: bool = True) -> Path:
    """Write a cell of one file."""
    directory = place / run / LIBRARY / cell
    (directory / "fastq_pass").mkdir(parents=True)
    (directory / "fastq_pass" / "a_0.fastq").write_text("@r\nACGT\n+\n5555\n")
    if ended:
        end(directory)
    return directory


def end(cell: Path) -> None:
    (cell / "final_summary.txt").write_text("fastq_files_in_final_dest=1\n")


def land_old(place: Path, number: int, first: int = 0) -> None:
    for index in range(first, first + number):
        land(place, f"20210304_TEST_old{index}", CELL.format(index, index))


def configure(site: Site, more: str = "") -> None:
    site.configure(processing="workers: 2, ingest_interval: 0.2s", more=more)


def statuses(site: Site, *runs: str) -> dict[str, str]:
    found = json.loads(site.run("status", "--json", *runs).stdout)["runs"]
    return {run["run"]: run["status"] for run in found}


def kinds(site: Site) -> dict[str, list[str]]:
    """Kinds of what needs a person, each with its steps."""
    text = site.run("status", "--attention", "--json", check=None).stdout
    return {each["kind"]: each["steps"] for each in json.loads(text)["attention"]}


def touched(site: Site) -> set[str]:
    """Runs that have anything of ours."""
    flagged = {path.parent.name for path in site.landing.glob("*/pipeline")}
    return flagged | {each for each in os.listdir(site.output) if each != ".hesiod-watch"}


def test_a_long_history_costs_one_sentence(site: Site) -> None:
    """Of 3,000 old runs none is touched, one sentence is said, and a live cell is done at once."""
    land_old(site.landing, 3000)
    live = land(
        site.landing, "20261130_TEST_live", "20261130_0910_1A_PAW90000_90000000", ended=False
    )
    configure(site)
    done = site.run("poll", check=1)
    (sentence,) = done.stderr.splitlines()
    for words in (
        "3,000 runs are not taken up",
        "`now`",
        "`always`",
        "a day such as",
        "take-up RUN",
    ):
        assert words in sentence
    assert touched(site) == {"20261130_TEST_live"}
    with site.service():
        end(live)
        site.eventually(
            lambda: bool(list((site.landing / "20261130_TEST_live").glob("pipeline/*.done"))),
            "the live cell is done",
        )
        site.eventually(lambda: site.logged(UNDECIDED) > 0, "the service says it")
    assert touched(site) == {"20261130_TEST_live"}
    assert statuses(site, "20210304_TEST_old7") == {"20210304_TEST_old7": "historic"}
    assert list(kinds(site)) == [UNDECIDED]
    assert "3,000 runs" in site.run("status", "20261130_TEST_live").stderr
    assert "3,000 runs" in site.run("doctor", check=None).stdout
    assert not list(site.output.glob(".hesiod-watch/**/messages"))


def test_each_option_is_a_step_that_ends_it(site: Site) -> None:
    """Following a step settles the question, and does what it says."""
    land_old(site.landing, 21)
    configure(site)
    steps = kinds(site)[UNDECIDED]
    wanted = {"since: now": 0, "since: YYYY-MM-DD": 21, "since: always": 21}
    for setting, number in wanted.items():
        configure(site)
        (step,) = [each for each in steps if setting in each]
        command = step.rpartition(": (")[2].replace("YYYY-MM-DD", "2021-03-04")
        subprocess.run(f"({command}", shell=True, check=True)  # noqa: S602 -- a step is for a shell
        site.run("poll", "20210304_TEST_old0")
        assert UNDECIDED not in kinds(site)
        site.run("poll")
        assert len(touched(site)) == number


def test_few_finished_runs_are_taken_up(site: Site) -> None:
    """Twenty finished runs need no decision; neither do those that come later."""
    land_old(site.landing, 20)
    configure(site)
    site.run("poll")
    assert len(touched(site)) == 20
    land_old(site.landing, 25, first=20)
    site.run("poll")
    assert len(touched(site)) == 45


def test_an_upgrade_goes_on(site: Site) -> None:
    """Runs with flags are as before, however many there are and however old."""
    land_old(site.landing, 25)
    configure(site, "take_up: {since: always}\n")
    site.run("poll")
    (site.output / ".hesiod-watch" / "first-look.json").unlink(missing_ok=True)
    configure(site, "take_up: {since: 2026-01-01}\n")
    assert set(statuses(site).values()) == {"complete"}
    (site.output / ".hesiod-watch" / "first-look.json").unlink(missing_ok=True)
    configure(site)
    land_old(site.landing, 20, first=25)
    site.run("poll")
    assert set(statuses(site).values()) == {"complete"}


@pytest.mark.parametrize("change", ["none", "chown", "rename"])
def test_now_means_at_the_first_look(site: Site, change: str) -> None:
    """What was there stays historic, also under another name; what comes later is taken up."""
    land_old(site.landing, 3)
    configure(site, "take_up: {since: now}\n")
    site.run("poll")
    assert (touched(site), set(statuses(site).values())) == (set(), {"historic"})
    old = site.landing / "20210304_TEST_old0"
    if change == "chown":
        for path in [old, *old.rglob("*")]:
            os.chown(path, os.getuid(), os.getgid())
            path.chmod(0o775)
    elif change == "rename":
        old.rename(site.landing / "20210304_TEST_renamed")
    land(site.landing, "20210304_TEST_after", CELL.format(77, 77))
    site.run("poll")
    assert touched(site) == {"20210304_TEST_after"}


def test_a_day_and_names(site: Site) -> None:
    """The day is that in the names of cells; `include` and `exclude` match whole names."""
    land(site.landing, "20210304_TEST_a", "20210304_2210_1A_PAW00001_00000001")
    land(site.landing, "20210304_TEST_b", "20260101_0000_1A_PAW00002_00000002")
    land(site.landing, "20260101_TEST_c_qc", "20260101_2210_1A_PAW00003_00000003")
    land(site.landing, "20260101_OTHER_d", "20260101_2210_1A_PAW00004_00000004")
    live = "20210304_TEST_live"
    land(site.landing, live, "20210304_2210_1A_PAW00005_00000005", ended=False)
    configure(site, "take_up: {since: 2026-01-01, include: '[0-9]+_TEST_.*', exclude: ['.*_qc']}\n")
    site.run("poll")
    assert touched(site) == {"20210304_TEST_b", live}
    explained = site.run("explain", "20210304_TEST_a").stdout
    assert "it began before 2026-01-01" in explained
    assert "hesiod-watch take-up 20210304_TEST_a" in explained
    assert "take_up.exclude" in site.run("explain", "20260101_TEST_c_qc").stdout
    assert kinds(site) == {}


def test_odd_old_runs_are_not_reported(site: Site) -> None:
    """A historic run is not reported for its names, its levels or its pooled data."""
    land_old(site.landing, 21)
    land(site.landing, "20210304_Müller", CELL.format(90, 90))
    land(site.landing, "20210304_TEST_odd/more", CELL.format(91, 91))
    configure(site)
    site.run("poll", check=1)
    assert (list(kinds(site)), touched(site)) == ([UNDECIDED], set())
    land(site.landing, "20261130_Müller", "20261130_0910_1A_PAW90000_90000000")
    assert sorted(kinds(site)) == sorted([UNDECIDED, "quarantined"])


def test_take_up_by_name(site: Site) -> None:
    """`take-up` takes up single runs, and only these; a mistyped name changes nothing."""
    land_old(site.landing, 21)
    configure(site)
    site.run("poll", check=1)
    site.run("take-up", "20210304_TEST_old1", "20210304_TEST_oldX", check=2)
    assert touched(site) == set()
    site.run("take-up", "20210304_TEST_old1", "20210304_TEST_old2")
    assert "taken up already" in site.run("take-up", "20210304_TEST_old2").stdout
    site.run("poll", check=1)
    done = {"20210304_TEST_old1", "20210304_TEST_old2"}
    assert touched(site) == done
    assert set(statuses(site, *done).values()) == {"complete"}
    assert "19 runs are not taken up" in site.run("status", *done).stderr


def test_a_new_cell_of_a_historic_run(site: Site) -> None:
    """A historic run that gets another cell is taken up, because its data are new."""
    land_old(site.landing, 3)
    configure(site, "take_up: {since: now}\n")
    site.run("poll")
    land(site.landing, "20210304_TEST_old1", "20261130_0910_1A_PAW90000_90000000")
    site.run("poll")
    assert len(list(site.landing.glob("*/pipeline/*[0-9a-f].done"))) == 2
    assert touched(site) == {"20210304_TEST_old1"}


def upstream(site: Site, more: str = "") -> Path:
    place = site.root / "sequencer"
    place.mkdir(exist_ok=True)
    configure(site, f"upstreams: {{seq: {{location: {place}, {more}}}}}\n")
    return place


def test_history_of_an_upstream(site: Site) -> None:
    """Old runs of an upstream are not copied; a live one is, and one that a person takes up."""
    place = upstream(site)
    for index in range(25):
        land(place, f"old{index}", CELL.format(index, index))
    today = time.strftime("%Y%m%d")
    land(place, "finished", f"{today}_0000_1A_PAW90001_90000001")
    land(place, "live", f"{today}_0000_1A_PAW90000_90000000", ended=False)
    done = site.run("poll", check=1)
    assert "26 runs are not taken up" in done.stderr
    assert touched(site) == {f"{today}_seq_live"}
    listed = site.run("list-upstream")
    assert len(listed.stdout.splitlines()) == 27
    assert f"{today}_seq_finished: historic" in listed.stderr
    site.run("take-up", "old3")
    site.run("poll", check=1)
    assert touched(site) == {f"{today}_seq_live", "20210304_seq_old3"}
    assert "25 runs are not taken up" in site.run("status").stderr
    land(place, "later", CELL.format(99, 99))
    site.run("poll", check=1)
    assert "20210304_seq_later" in touched(site)


def test_take_up_of_one_upstream(site: Site) -> None:
    """An upstream has its own keys; the others are those of `take_up`."""
    place = upstream(site, "take_up: {exclude: qc.*, since: 2021-03-05}")
    land(place, "qc_run", "20260101_0000_1A_PAW90001_90000001")
    land(place, "old", CELL.format(1, 1))
    land(place, "new", "20210305_2210_1A_PAW00002_00000002")
    site.run("poll")
    assert touched(site) == {"20210305_seq_new"}
