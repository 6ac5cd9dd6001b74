"""Settled runs of a real site: what they cost, and that each change in them is still noticed."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from inotify_watches import watched_inodes
from sites import Site

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
LIBRARY = "sample_A"
CELL = "20261122_2210_1A_PAW{0:05}_{0:08x}"
RUNS = [f"20261122_TEST_run{number}" for number in range(12)]
READ = "@r\nACGT\n+\n5555\n"


def write_cell(site: Site, run: str, number: int, library: str = LIBRARY) -> Path:
    cell = site.landing / run / library / CELL.format(number)
    (cell / "fastq_pass").mkdir(parents=True)
    (cell / "fastq_pass" / "a_0.fastq").write_text(READ)
    (cell / "final_summary.txt").write_text("fastq_files_in_final_dest=1\n")
    return cell


def looks_of_a_poll(site: Site, *, check: int = 0) -> set[str]:
    """Runs that one poll looks at, as the audit hook of the benchmarks records them."""
    log = site.root / "looks"
    log.unlink(missing_ok=True)
    hook = os.pathsep.join([str(ROOT / "benchmarks" / "hook"), str(ROOT)])
    environ = {**site.environ, "PYTHONPATH": hook, "LOOKS_LOG": str(log)}
    done = subprocess.run(site.command("poll"), env=environ, capture_output=True, timeout=120)
    assert done.returncode == check, done.stderr.decode()
    lines = log.read_text().splitlines() if log.exists() else []
    return {line.split()[2] for line in lines if line.split()[1] == "look"}


@pytest.fixture
def settled_site(site: Site) -> Site:
    """A site of twelve settled runs, whose polls know that."""
    site.configure(processing="executor: inline, ingest: false")
    for number, run in enumerate(RUNS):
        write_cell(site, run, number)
    site.run("poll")
    site.eventually(lambda: len(looks_of_a_poll(site)) < len(RUNS), "settled runs are left alone")
    return site


def test_a_poll_leaves_settled_runs_alone(settled_site: Site) -> None:
    """A poll looks at four of the settled runs, and at the four that changed last."""
    site = settled_site
    site.eventually(lambda: len(looks_of_a_poll(site)) == 8, "all are known as settled")
    first, second = looks_of_a_poll(site), looks_of_a_poll(site)
    assert first | second == set(RUNS)
    assert len(first) == len(second) == 8
    assert len(first & second) == 4


def test_the_service_notices_a_retry_at_the_next_sweep(settled_site: Site) -> None:
    """A flag that a person removes from a settled run counts at the next sweep, full or not."""
    site = settled_site
    site.configure(
        watch="engine: poll, sweep_interval: 0.5, full_sweep_interval: 1h",
        processing="executor: inline, ingest: false",
    )
    with site.service():
        done = site.landing / RUNS[3] / "pipeline" / f"{CELL.format(3)}.done"
        done.unlink()
        site.eventually(done.exists, "the cell is processed once more")


@pytest.mark.parametrize("what", ["cell", "library", "flag", "renamed", "configuration"])
def test_a_poll_notices_what_changed(settled_site: Site, what: str) -> None:
    """The next poll looks at each run whose state has changed, and works on it."""
    site = settled_site
    changed = RUNS[3:5]
    for number, run in enumerate(changed):
        pipeline, stem = site.landing / run / "pipeline", CELL.format(RUNS.index(run))
        if what == "cell":
            write_cell(site, run, 100 + number)
        elif what == "library":
            write_cell(site, run, 100 + number, "sample_B")
        elif what == "flag":
            (pipeline / f"{stem}.done").unlink()
        elif what == "renamed":
            (site.landing / run / LIBRARY).rename(site.landing / run / "sample_C")
        else:
            site.configure(processing="executor: inline, ingest: false, grace: 2h")
    looks = looks_of_a_poll(site)
    assert set(changed if what != "configuration" else RUNS) <= looks
    stages = site.stages()
    if what in ("cell", "library", "flag"):
        assert set(stages.values()) == {"processed"}
        assert len(stages) == len(RUNS) + (0 if what == "flag" else 2)


def test_a_run_that_needs_a_person_is_not_settled(settled_site: Site) -> None:
    """Each poll finds a failed cell and late data again, although nothing changes."""
    site = settled_site
    (site.landing / RUNS[0] / LIBRARY / CELL.format(0) / "fastq_pass" / "a_1.fastq").write_text(
        READ
    )
    (site.landing / RUNS[1] / "pipeline" / f"{CELL.format(1)}.failed").touch()
    reports = [site.run("poll", check=None) for _ in range(4)]
    assert "new data came after it was processed" in "".join(each.stderr for each in reports)
    for report in reports[2:]:
        assert (report.returncode, report.stderr) == (1, "")  # it is neither news nor over


def test_the_service_watches_no_settled_run(settled_site: Site) -> None:
    """Only the landing area is watched, and a full sweep finds each change of a settled run."""
    site = settled_site
    site.configure(
        watch="sweep_interval: 0.5, full_sweep_interval: 2",
        processing="executor: inline, ingest: false",
    )
    with site.service() as service:

        def watches() -> int:
            return len(watched_inodes(service.pid))

        site.eventually(lambda: watches() == 1, "the settled runs have no watches")
        write_cell(site, RUNS[2], 100)
        new = f"{RUNS[2]}/{LIBRARY}/{CELL.format(100)}"
        site.eventually(lambda: site.stages().get(new) == "processed", "the new cell is processed")
        done = site.landing / RUNS[3] / "pipeline" / f"{CELL.format(3)}.done"
        done.unlink()
        site.eventually(done.exists, "the cell is processed once more")
        (site.landing / RUNS[4] / LIBRARY / CELL.format(4) / "fastq_pass" / "b.fastq").write_text(
            READ
        )
        site.eventually(lambda: site.logged("new-data") == 1, "the late data are noticed")
        site.eventually(lambda: watches() == 1, "nothing is watched any more")
        # A run that is being written is watched down to its cells, and no longer at its end.
        cell = site.landing / "20261122_TEST_new" / LIBRARY / CELL.format(200)
        (cell / "fastq_pass").mkdir(parents=True)
        site.eventually(lambda: watches() == 4, "the new run is watched")
        (cell / "fastq_pass" / "a_0.fastq").write_text(READ)
        (cell / "final_summary.txt").write_text("fastq_files_in_final_dest=1\n")
        site.eventually(lambda: watches() == 1, "the new run is settled")
    record = json.loads((site.output / ".hesiod-watch" / "settled-runs.json").read_text())
    assert set(record["runs"]) <= {*RUNS, "20261122_TEST_new"} - {RUNS[4]}


def test_status_prints_each_run_as_soon_as_it_is_known(site: Site) -> None:
    """`status --json` has one run in memory: a slow reader of its text stops its looks."""
    for number in range(200):
        write_cell(site, f"20261122_TEST_run{number:03}", number)
    site.configure(more="take_up: {since: always}\n")  # otherwise all runs are listed first
    log = site.root / "looks"
    hook = os.pathsep.join([str(ROOT / "benchmarks" / "hook"), str(ROOT)])
    environ = {**site.environ, "PYTHONPATH": hook, "LOOKS_LOG": str(log)}
    command = site.command("status", "--json")
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        first = process.stdout.read(16384)
        # The pipe has room for 64 KiB more: together fewer than 150 runs.
        assert log.read_text().count(" look ") < 150
        text = (first + process.stdout.read()).decode()
    document = json.loads(text)
    assert len(document["runs"]) == 200
    assert text == json.dumps(document, indent=1) + "\n"


@pytest.mark.parametrize("runs", [0, 1])
def test_documents_of_few_runs(site: Site, runs: int) -> None:
    """The text of the documents is that of one document, whatever the number of runs."""
    for number in range(runs):
        write_cell(site, f"20261122_TEST_run{number}", number)
    for command in ("status", "plan"):
        text = site.run(command, "--json").stdout
        document = json.loads(text)
        assert len(document["runs"]) == runs
        assert text == json.dumps(document, indent=1) + "\n"
