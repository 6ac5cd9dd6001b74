"""From the last read to the report: real service, polls and workers, on cells like MinKNOW's."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from sites import DEADLINE, Site
from younger_files import end_with_summaries

from hesiod_watch.cli.simulator import SimulatedCell

pytestmark = pytest.mark.system

RUN = "20261122_TEST_alpha"
LIBRARY = "sample_A"
CELL = "20261122_2210_1A_PAW00001_0a1b2c3d"
OTHER = "20261122_2211_1B_PAW00002_1a2b3c4d"


def a_cell(
    site: Site,
    cell: str = CELL,
    run: str = RUN,
    *,
    files: int = 3,
    reads: int = 20,
    gz: bool = False,
    seed: int = 1,
) -> SimulatedCell:
    barcodes = ("barcode01", "barcode02")
    return SimulatedCell(
        site.landing,
        run,
        LIBRARY,
        cell,
        barcodes=barcodes,
        files_per_barcode=files,
        reads_per_file=reads,
        gz=gz,
        seed=seed,
    )


def cell_dir(site: Site, cell: str = CELL, run: str = RUN) -> Path:
    return site.landing / run / LIBRARY / cell


def results(site: Site, cell: str = CELL, run: str = RUN) -> Path:
    return site.output / run / LIBRARY / cell


def reads_in(path: Path) -> int:
    with gzip.open(path) as file:
        return sum(1 for _ in file) // 4


def assert_whole(site: Site, simulated: SimulatedCell, cell: str = CELL, run: str = RUN) -> None:
    """Assert that a finished cell is complete, compared with what the sequencer wrote."""
    place = results(site, cell, run)
    qc = json.loads((place / "qc.json").read_text())
    expected = simulated.expected.values()
    wanted = (sum(amount.reads for amount in expected), sum(amount.bases for amount in expected))
    assert (qc["total"]["reads"], qc["total"]["bases"]) == wanted
    written = {path.name: reads_in(path) for path in place.glob("*.fastq.gz")}
    assert {entry["file"]: entry["reads"] for entry in qc["outputs"]} == written
    assert sum(written.values()) == wanted[0]
    checked = subprocess.run(
        ["md5sum", "-c", "md5sums.txt"], cwd=place, capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout
    assert {"report.html", "cell_info.yaml", "manifest.json"} <= {
        path.name for path in place.iterdir()
    }
    assert not [path for path in place.iterdir() if path.name.startswith(".work")]
    site.run("verify", run)


def done(site: Site, cell: str = CELL, run: str = RUN) -> bool:
    return f"{cell}.done" in site.flags(run)


@pytest.mark.parametrize("gz", [False, True], ids=["plain", "gz"])
def test_events_alone_bring_a_cell_to_its_report(site: Site, gz: bool) -> None:
    """Events alone take a run that arrives file by file to its report.

    The sweeps are an hour apart.
    """
    site.configure(watch="sweep_interval: 1h, full_sweep_interval: 2h")
    with site.service():
        simulated = a_cell(site, gz=gz)
        for _ in simulated.steps():
            pass
        site.eventually(lambda: done(site), "the cell is done")
        site.eventually((site.output / RUN / "report.html").exists, "the run is reported")
    assert {
        "upstream",
        "output",
        f"{CELL}.synced",
        f"{CELL}.started",
        f"{CELL}.done",
    } <= site.flags(RUN)
    assert (site.landing / RUN / "pipeline" / "upstream").read_text().strip() == "LOCAL"
    assert (site.output / RUN / "rundata").resolve() == site.landing / RUN
    assert (site.landing / RUN / "pipeline" / "output").resolve() == site.output / RUN
    assert_whole(site, simulated)
    assert site.status()[RUN]["status"] == "complete"


def test_poll_alone_is_enough(site: Site) -> None:
    """One poll takes a run from landing to report; the next does and prints nothing.

    No service runs.
    """
    simulated = a_cell(site)
    simulated.write()
    assert site.run("poll").stderr == ""
    assert_whole(site, simulated)
    assert site.status()[RUN]["status"] == "complete"
    log = (site.output / RUN / "pipeline.log").read_text()
    again = site.run("poll")
    assert (again.stdout, again.stderr) == ("", "")
    assert (site.output / RUN / "pipeline.log").read_text() == log


def test_one_poll_does_more_than_it_has_workers_for(site: Site) -> None:
    """One poll does four complete cells in four runs with one worker, in sequence, then ends."""
    site.configure(processing="workers: 1")
    runs = [f"20261122_TEST_run{number}" for number in range(4)]
    for number, run in enumerate(runs):
        a_cell(site, run=run, seed=number).write()
    site.run("poll")
    assert [run for run in runs if done(site, run=run)] == runs


def test_a_silent_upstream_does_not_delay_local_runs(site: Site) -> None:
    """While a poll waits for a sequencer that does not answer, local cells finish.

    Then the poll reports both.
    """
    given_up = site.root / "given-up"
    silent = site.root / "bin" / "ssh"
    silent.parent.mkdir()
    silent.write_text(f'#!/bin/sh\nuntil [ -e "{given_up}" ]; do sleep 0.1; done\nexit 255\n')
    silent.chmod(0o755)
    site.environ |= {"PATH": f"{silent.parent}:{os.environ['PATH']}", "XDG_RUNTIME_DIR": ""}
    site.configure(
        more="upstreams: {here: {location: LOCAL}, PROM: {location: 'prom@promethion:/data'}}\n"
    )
    a_cell(site).write()
    poll = subprocess.Popen(
        site.command("poll"), stderr=subprocess.PIPE, text=True, env=site.environ
    )
    try:
        site.eventually(lambda: done(site), "the local cell is done")
        assert poll.poll() is None, "it waits for its upstream"
    finally:
        given_up.touch()
        _, errors = poll.communicate(timeout=120)
    assert poll.returncode == 1
    assert "upstream PROM: " in errors


def test_log_has_the_command_that_repeats_an_action(site: Site) -> None:
    """Each action's first line in the run's log is the command that repeats it."""
    a_cell(site).write()
    site.run("poll")
    log = (site.output / RUN / "pipeline.log").read_text()
    run_dir = site.landing / RUN
    assert f"$ hesiod-watch --config {site.config} perform new-run {run_dir}" in log
    assert (
        f"$ hesiod-watch --config {site.config} perform process {run_dir} {LIBRARY}/{CELL}" in log
    )


def test_files_that_arrive_after_the_summary_are_found(site: Site) -> None:
    """A cell that lacks files is counted again and again, and processed when it is complete.

    No watch covers its data directories.
    """
    with site.service():
        simulated = a_cell(site)
        simulated.write()
        directory = cell_dir(site, OTHER)
        late = a_cell(site, OTHER, seed=2)
        for _ in late.steps():
            files = sorted(directory.glob("fastq_pass/*/*.fastq*"))
            if files and not (site.root / "removed").exists():
                files[0].rename(site.root / "removed")
                place = files[0]
        site.eventually(lambda: done(site), "the first cell is done")
        site.eventually(
            lambda: "missing" in site.status()[RUN]["cells"][f"{LIBRARY}/{OTHER}"]["why"],
            "the missing file is reported",
        )
        assert not done(site, OTHER)
        (site.root / "removed").rename(place)
        # The file is younger than the summary, so it must rest for a minute first.
        site.eventually(lambda: done(site, OTHER), "the second cell is done", 2 * DEADLINE)
    assert_whole(site, late, OTHER)


def test_half_written_summary_never_counts(site: Site) -> None:
    """A truncated final_summary does not count; the cell is done when its rest is written."""
    simulated = a_cell(site)
    simulated.write()
    (summary,) = cell_dir(site).glob("final_summary*.txt")
    text = summary.read_text()
    summary.write_text(text[: text.index("fastq_files_in_final_dest") + 10])
    site.run("poll")
    assert not {f"{CELL}.synced", f"{CELL}.started"} & site.flags(RUN)
    assert "half-written" in site.status()[RUN]["why"]
    summary.write_text(text)
    site.run("poll")
    assert done(site)


def test_a_damaged_cell_does_not_stop_another(site: Site) -> None:
    """A file that is not FASTQ fails its cell by name, but no other cell.

    After repair and retry, the cell is done too.
    """
    bad, good = a_cell(site), a_cell(site, OTHER, seed=2)
    bad.write()
    good.write()
    victim = sorted(cell_dir(site).glob("fastq_pass/barcode01/*.fastq"))[0]
    text = victim.read_text()
    victim.write_text(text[: len(text) // 2])
    end_with_summaries(site.landing)
    polled = site.run("poll", check=1)
    assert CELL in polled.stderr
    assert f"{CELL}.failed" in site.flags(RUN)
    cells = site.status()[RUN]["cells"]
    assert cells[f"{LIBRARY}/{CELL}"]["stage"] == "failed"
    assert victim.name in cells[f"{LIBRARY}/{CELL}"]["why"]
    assert_whole(site, good, OTHER)
    site.run("poll", check=1)  # a failure needs a person: a poll does not retry it
    assert not done(site)
    victim.write_text(text)
    end_with_summaries(site.landing)
    site.run("retry", RUN, CELL, "--why", "file copied again")
    site.run("poll")
    assert_whole(site, bad)


def test_running_worker_survives_the_service(site: Site) -> None:
    """SIGTERM ends the service at once but not its worker.

    A new service finds the worker and starts no other.
    """
    simulated = a_cell(site, files=30, reads=200)
    simulated.write()
    with site.service() as service:
        site.eventually(lambda: f"{CELL}.started.worker" in site.flags(RUN), "a worker has begun")
        service.send_signal(signal.SIGTERM)
        assert service.wait(30) == 0
        with site.service():
            site.eventually(lambda: done(site), "the cell is done")
    assert not [name for name in site.flags(RUN) if name.startswith(f"{CELL}.started.2")]
    assert_whole(site, simulated)


def kill_worker(site: Site) -> bool:
    """Kill the worker of the cell; if it was faster than the test, have the cell done again."""
    pipeline = site.landing / RUN / "pipeline"
    try:
        os.kill(
            json.loads((pipeline / f"{CELL}.started.worker").read_text())["pid"], signal.SIGKILL
        )
    except OSError:
        (pipeline / f"{CELL}.done").unlink(missing_ok=True)
        return False
    return True


def test_dead_worker_is_replaced(site: Site) -> None:
    """A killed worker is recognized as dead, and the next epoch finishes its cell."""
    site.configure(processing="workers: 1, attempts_per_day: 5, attempt_pause: 0s")
    simulated = a_cell(site, files=30, reads=200)
    simulated.write()
    with site.service():
        site.eventually(lambda: kill_worker(site), "a worker is killed")
        site.eventually(lambda: done(site), "the cell is done")
    assert f"{CELL}.started.2" in site.flags(RUN)
    assert_whole(site, simulated)


def test_dead_worker_is_explained(site: Site) -> None:
    """Until the next attempt starts, people read how the worker ended; `release` starts it now."""
    simulated = a_cell(site, files=30, reads=200)
    simulated.write()
    with site.service():
        site.eventually(lambda: kill_worker(site), "a worker is killed")
        site.eventually(lambda: f"{CELL}.started.died" in site.flags(RUN), "its end is recorded")
        said = "attempt 1 was killed by signal 9 (out of memory?)"
        explained = site.run("explain", RUN, CELL).stdout
        assert said in explained
        assert "attempt 2 starts in " in explained
        assert said in site.run("status").stdout
        assert "the worker of this claim died" in site.run("flags", RUN).stdout
        assert f"{said}; attempt 2 starts at " in site.run("plan", RUN).stdout
        assert not {f"{CELL}.started.2", f"{CELL}.done"} & site.flags(RUN)
        site.run("release", RUN, CELL, "--why", "more memory")
        site.eventually(lambda: done(site), "the cell is done")
    assert_whole(site, simulated)


def test_services_and_polls_at_once_process_every_cell_once(site: Site) -> None:
    """Two services and three polls on one tree process every cell once."""
    names = [f"20261122_221{number}_1A_PAW0000{number}_0a1b2c3{number}" for number in range(6)]
    cells = [a_cell(site, name, seed=number) for number, name in enumerate(names)]
    with site.service(), site.service():
        for cell in cells:
            cell.write()
        polls = [subprocess.Popen(site.command("poll"), env=site.environ) for _ in range(3)]
        assert [poll.wait(120) for poll in polls] == [0, 0, 0]
        site.eventually(lambda: all(done(site, name) for name in names), "every cell is done")
    for name, cell in zip(names, cells, strict=True):
        assert_whole(site, cell, name)
    log = (site.output / RUN / "pipeline.log").read_text()
    assert [log.count(f"{LIBRARY}/{name}: done: ") for name in names] == [1] * len(names)
    assert not [name for name in site.flags(RUN) if ".started.2" in name and "yielded" not in name]


def test_a_persons_flags_take_effect_without_a_restart(site: Site) -> None:
    """A person's flags take effect without a restart.

    An aborted cell is left alone, `touch` of its synced flag starts a cell without a summary, and a
    removed flag counts as removed.
    """
    with site.service():
        aborted = a_cell(site)
        steps = aborted.steps()
        next(steps)
        site.eventually(lambda: site.flags(RUN) >= {"upstream"}, "the run is taken up")
        pipeline = site.landing / RUN / "pipeline"
        (pipeline / f"{CELL}.aborted").touch()
        for _ in steps:
            pass
        unsummarised = a_cell(site, OTHER, seed=2)
        all_but_the_summary = range(unsummarised.step_count - 1)
        for _ in zip(all_but_the_summary, unsummarised.steps(), strict=False):
            pass
        (pipeline / f"{OTHER}.synced").touch()
        site.eventually(lambda: done(site, OTHER), "the cell that a person called complete is done")
        assert not done(site)
        (pipeline / f"{CELL}.aborted").unlink()
        site.eventually(lambda: done(site), "the cell that is no longer aborted is done")


def test_landing_area_that_vanishes_and_returns(site: Site) -> None:
    """An empty directory in place of the landing area changes nothing.

    Afterwards work continues.
    """
    with site.service():
        a_cell(site).write()
        site.eventually(lambda: done(site), "the first cell is done")
        away = site.root / "away"
        site.landing.rename(away)
        site.eventually(
            lambda: site.logged("the landing area is not there") == 1, "the loss is logged"
        )
        site.landing.mkdir()
        assert site.run("poll", check=75).stderr
        a_second = a_cell(site, OTHER, seed=2)
        site.landing.rmdir()
        away.rename(site.landing)
        a_second.write()
        site.eventually(lambda: done(site, OTHER), "the second cell is done")
    assert_whole(site, a_second, OTHER)


def test_run_renamed_while_it_is_worked_on(site: Site) -> None:
    """The worker of a renamed run ends with a clear line.

    The run is finished under its new name.
    """
    site.configure(processing="workers: 1, attempts_per_day: 5")
    simulated = a_cell(site, files=30, reads=200)
    simulated.write()
    renamed = f"{RUN}_renamed"
    with site.service():
        site.eventually(lambda: f"{CELL}.started.worker" in site.flags(RUN), "a worker has begun")
        (site.landing / RUN).rename(site.landing / renamed)
        site.eventually(lambda: done(site, run=renamed), "the cell is done under the new name")
    # The link to the results moved with the run, so the results keep their place.
    qc = json.loads((results(site) / "qc.json").read_text())
    assert qc["total"]["reads"] == sum(amount.reads for amount in simulated.expected.values())


def test_bad_names_are_shown_and_left_alone(site: Site) -> None:
    """Names outside the grammar are quarantined with a reason; links are not followed out of the
    tree.
    """
    a_cell(site).write()
    outside = site.root / "outside"
    outside.mkdir()
    (site.landing / "-rf $(touch pwned)\n").mkdir()
    (site.landing / "-rf $(touch pwned)\n" / LIBRARY / CELL).mkdir(parents=True)
    (site.landing / RUN / "lib;rary" / OTHER).mkdir(parents=True)
    (site.landing / RUN / LIBRARY / OTHER).symlink_to(outside)
    (site.landing / "linked_run").symlink_to(site.landing / RUN)
    polled = site.run("poll", check=1).stderr
    assert "hesiod-watch explain -- $'-rf $(touch pwned)\\x0a'" in polled
    assert done(site)
    status = site.run("status").stdout
    assert "quarantined" in status
    assert "lib;rary" in status
    assert "-rf $(touch pwned)\\n" in status
    # A title, two runs, a cell, a link in the place of one, a library, and the disks of landing and
    # output: no name adds a line of its own.
    assert len(status.splitlines()) == 8
    assert {path.name for path in site.output.iterdir()} == {RUN, ".hesiod-watch"}
    assert list(site.status()[RUN]["cells"]) == [f"{LIBRARY}/{CELL}"]


def test_status_for_hesiods_scripts(site: Site) -> None:
    """`status --hesiod -I` prints the lines that Hesiod's driver evaluates, with upstream cells."""
    a_cell(site).write()
    site.run("poll")
    listing = (
        f"{RUN}\tprom@promethion:/data/alpha\t{LIBRARY}/{OTHER}\n"
        f"elsewhere\tx:/y\t{LIBRARY}/{CELL}\n"
    )
    lines = dict(
        line.split(": ", 1)
        for line in site.run("status", "--hesiod", "-I", RUN, input=listing).stdout.splitlines()
    )
    assert time.strptime(lines.pop("StartTime"))  # in the form of ctime(3)
    assert lines == {
        "Experiment": RUN,
        "Instrument": "TEST",
        "Type": "internal",
        "Upstream": "prom@promethion:/data/alpha",
        "Cells": f"{LIBRARY}/{CELL}\t{LIBRARY}/{OTHER}",
        "CellsPending": f"{LIBRARY}/{OTHER}",
        "CellsReady": "",
        "CellsDone": f"{LIBRARY}/{CELL}",
        "CellsAborted": "",
        "PipelineStatus": "sync_needed",
    }
    two = a_cell(site, run="20261122_TEST_beta")
    two.write()
    assert (
        site.run("status", "--hesiod")
        .stdout.split("\n---\n")[1]
        .startswith("Experiment: 20261122_TEST_beta\n")
    )
