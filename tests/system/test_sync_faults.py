"""Syncs that are cut off, frozen, killed, disturbed or raced: repeated, without false records."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from facility import CELL, LIBRARY, OTHER, Facility, assert_arrived, assert_like_local, run_of
from sshd_pair import needs_sshd, sshd_pair

from hesiod_watch.cli.simulator import SimulatedCell

pytestmark = [
    pytest.mark.system,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    needs_sshd,
]

RUN = run_of()
BIG = "other_reports/big.bin"
SIZE = 6_000_000
LIMIT = "1M"  # per second: slow enough for a fault in the middle of the file


@pytest.fixture
def facility(tmp_path: Path) -> Iterator[Facility]:
    """A site with separate sequencers that it may freeze; `hosta` is its only upstream."""
    with sshd_pair() as pair:
        made = Facility(tmp_path, pair)
        made.reach()
        yield made


def big_cell(facility: Facility) -> SimulatedCell:
    """A finished cell with one file whose copy takes a while."""
    cell = facility.cell()
    cell.write()
    (cell.path / BIG).parent.mkdir(exist_ok=True)
    (cell.path / BIG).write_bytes(os.urandom(SIZE))
    return cell


def landed(facility: Facility, run: str = RUN, cell: str = CELL) -> Path:
    return facility.landing / run / LIBRARY / cell


def own_cell(number: int) -> str:
    """Name of a cell with a flow cell and a short id of its own."""
    return f"20261122_22{number:02d}_1A_PAW{number:05d}_{number:08x}"


def arrived_of_big(facility: Facility) -> int:
    """Bytes of the big file that have arrived, under any name."""
    found = landed(facility).glob("other_reports/**/*big.bin*")
    return max((path.stat().st_size for path in found if path.is_file()), default=0)


def wait_for_the_middle(facility: Facility) -> None:
    facility.eventually(
        lambda: arrived_of_big(facility) > SIZE // 4, "a part of the big file is here"
    )
    assert not (landed(facility) / BIG).exists()


def cut(facility: Facility) -> None:
    facility.pair.hosta.link.cut()


def freeze(facility: Facility) -> None:
    facility.pair.hosta.freeze()


@pytest.mark.parametrize("mode", ["pull", "push"])
@pytest.mark.parametrize("fault", [cut, freeze])
def test_fault_in_the_middle_of_a_file(
    facility: Facility, tmp_path: Path, mode: str, fault: Callable[[Facility], None]
) -> None:
    """A sync with a cut link or a frozen host ends, fails, and continues at the next attempt."""
    facility.reach(mode=mode, bandwidth_limit=LIMIT)
    cell = big_cell(facility)
    poll = facility.start("poll")
    wait_for_the_middle(facility)
    fault(facility)
    began = time.monotonic()
    _, errors = poll.communicate(timeout=120)
    assert time.monotonic() - began < 60
    assert poll.returncode == 1
    assert RUN in errors
    assert "sync.failed" in facility.flags(RUN)
    assert not facility.flags(RUN) & {f"{CELL}.{flag}" for flag in ("synced", "started", "done")}
    assert list(landed(facility).glob("final_summary*")) == []
    if mode == "pull":  # the sequencer alone may complete a file that it pushes
        assert not (landed(facility) / BIG).exists()
    facility.pair.hosta.link.join()
    facility.pair.hosta.thaw()
    facility.pair.hosta.kill_sessions()
    facility.eventually(lambda: arrived_of_big(facility) > 0, "the partial file is kept")
    facility.reach(mode=mode, bandwidth_limit="")
    before = facility.pair.hosta.link.carried
    facility.poll()
    if mode == "pull":
        assert facility.pair.hosta.link.carried - before < SIZE * 0.9
    assert_arrived(cell.path, landed(facility))
    assert_like_local(facility, tmp_path / "local")


def test_three_of_ten_runs_are_not_copied(facility: Facility, tmp_path: Path) -> None:
    """One poll copies seven runs beside three others.

    One is aborted, one needs a person, and the copy of one hangs.
    """
    program = tmp_path / "rsync-that-may-hang"
    # An rsync stopped by a signal behaves like one with a hanging remote disk.
    program.write_text(
        '#!/bin/sh\ncase "$*" in */a_hangs/*) kill -STOP $$;; esac\nexec rsync "$@"\n'
    )
    program.chmod(0o755)
    facility.reach(rsync=[str(program), "{options}", "{source}", "{destination}"])
    good = [f"good{number}" for number in range(7)]
    bad = ("a_aborted", "a_fails", "a_hangs")
    cells = {experiment: own_cell(number) for number, experiment in enumerate((*bad, *good))}
    for experiment, cell in cells.items():
        facility.cell(experiment, cell, reads=5).write()
    for experiment in ("a_aborted", "a_fails"):
        run_dir = facility.landing / run_of(experiment)
        run_dir.mkdir()
        facility.run(
            "perform", "--upstream", facility.location(experiment), "new-run", str(run_dir)
        )
    facility.run("abort", run_of("a_aborted"), "--why", "not wanted")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    failing = landed(facility, run_of("a_fails"), cells["a_fails"])
    failing.mkdir(parents=True)
    (failing / "fastq_pass").symlink_to(elsewhere)
    errors = facility.run("poll", check=1).stderr.splitlines()
    assert [facility.processed(run_of(each), cells[each]) for each in good] == [True] * 7
    assert not [
        path for path in facility.landing.glob("*/pipeline/*.synced") if "good" not in str(path)
    ]
    assert list(elsewhere.iterdir()) == []
    assert not landed(facility, run_of("a_aborted"), cells["a_aborted"]).exists()
    for experiment in ("a_fails", "a_hangs"):
        assert "sync.failed" in facility.flags(run_of(experiment))
        assert any(run_of(experiment) in line for line in errors)
    assert not any(
        run_of(experiment) in line for experiment in ("a_aborted", *good) for line in errors
    )
    assert (
        "is a link in the landing area"
        in (facility.output / run_of("a_fails") / "sync.log").read_text()
    )


def rewrite(path: Path, data: bytes) -> None:
    """Write other data with the same size and modification time."""
    status = path.stat()
    assert len(data) == status.st_size
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize("mode", ["pull", "push"])
def test_other_content_under_the_same_size_and_time(
    facility: Facility, tmp_path: Path, mode: str
) -> None:
    """A file with other content but equal size and time is found before the cell is synced."""
    facility.reach(mode=mode)
    cell = facility.cell()
    steps = cell.steps()
    for _ in range(cell.step_count - 1):
        next(steps)
    facility.poll()
    (taken, *_) = sorted(landed(facility).glob("fastq_pass/barcode01/*.fastq"))
    source = cell.path / taken.relative_to(landed(facility))
    rewrite(source, source.read_bytes().translate(bytes.maketrans(b"ACGT", b"TGCA")))
    assert taken.stat().st_mtime_ns == source.stat().st_mtime_ns
    for _ in steps:
        pass
    facility.poll()
    assert "differ from the upstream: 1" in (facility.output / RUN / "sync.log").read_text()
    assert_like_local(facility, tmp_path / "local")


def copying(facility: Facility) -> bool:
    (shown,) = facility.status()[RUN]["cells"].values()
    progress = shown.get("progress")
    return bool(
        progress
        and progress["bytes_done"] < progress["bytes_total"]
        and shown["why"].startswith("copying: ")
    )


def test_a_file_that_changes_while_it_is_copied(facility: Facility) -> None:
    """A file that changes during its copy is copied again; the synced copy has the last content.

    Status shows the copy.
    """
    facility.reach(bandwidth_limit=LIMIT)
    cell = big_cell(facility)
    poll = facility.start("poll")
    wait_for_the_middle(facility)
    rewrite(cell.path / BIG, os.urandom(SIZE))
    late = cell.path / "other_reports" / "late.txt"
    late.write_text("came while the big one was copied")
    facility.eventually(lambda: copying(facility), "status shows that it is copied")
    assert poll.communicate(timeout=120) == ("", "")
    assert facility.processed(RUN)
    assert_arrived(cell.path, landed(facility))


def test_a_file_that_never_stops_changing(facility: Facility) -> None:
    """A cell that keeps changing is not synced in any number of copies, until it stops."""
    cell = big_cell(facility)
    (cell.path / BIG).write_bytes(os.urandom(1000))
    stop = threading.Event()

    def meddle() -> None:
        while not stop.wait(0.01):
            with (cell.path / BIG).open("r+b") as file:
                file.write(os.urandom(1000))

    meddling = threading.Thread(target=meddle)
    meddling.start()
    try:
        polled = facility.run("poll", check=1)
    finally:
        stop.set()
        meddling.join()
    assert RUN in polled.stderr
    assert "sync.failed" in facility.flags(RUN)
    assert f"{CELL}.synced" not in facility.flags(RUN)
    assert "changes while it is copied" in (facility.output / RUN / "pipeline.log").read_text()
    facility.poll()
    assert_arrived(cell.path, landed(facility))


def reads_so_far(facility: Facility) -> int:
    cells = facility.status().get(RUN, {"cells": {}})["cells"]
    return next((cell["reads"] or 0 for cell in cells.values()), 0)


def test_ingest_follows_the_sync(facility: Facility, tmp_path: Path) -> None:
    """A cell is copied and ingested while it is sequenced.

    Its numbers grow before it is complete.
    """
    facility.write(processing="workers: 2, ingest_interval: 0.5s")
    cell = facility.cell(files=8, reads=40)
    steps = cell.steps()
    with facility.service():
        for _ in range(cell.step_count // 2):
            next(steps)
        facility.eventually(lambda: reads_so_far(facility) > 0, "the growing cell has numbers")
        first = reads_so_far(facility)
        for _ in range(cell.step_count // 4):
            next(steps)
        facility.eventually(lambda: reads_so_far(facility) > first, "its numbers grow")
        assert f"{CELL}.synced" not in facility.flags(RUN)
        for _ in steps:
            pass
        facility.eventually(lambda: facility.processed(RUN), "the cell is processed")
    assert_like_local(facility, tmp_path / "local")


def test_many_at_once_copy_and_process_once(facility: Facility) -> None:
    """Two polls and a service at once send each file once and process each cell once.

    Each run has one transfer at a time.
    """
    facility.write("upstream_interval: 0.5s")
    experiments = ["alpha", "beta", "gamma"]
    cells = [
        facility.cell(experiment, own_cell(2 * number + each))
        for number, experiment in enumerate(experiments)
        for each in range(2)
    ]
    for cell in cells:
        cell.write()
    with facility.service():
        polls = [facility.start("poll") for _ in range(2)]
        for poll in polls:
            _, errors = poll.communicate(timeout=120)
            assert (poll.returncode, errors) == (0, "")
        facility.eventually(
            lambda: all(facility.processed(run_of(cell.run), cell.cell) for cell in cells),
            "all cells are processed",
        )
    for experiment in experiments:
        output = facility.output / run_of(experiment)
        transfers = [
            "ends" if ": exit code " in line else "begins"
            for line in (output / "sync.log").read_text().splitlines()
            if re.search(r": \d+ file(s and directories| or directory)$|: exit code ", line)
        ]
        assert transfers == ["begins", "ends"] * (len(transfers) // 2)
        sent = re.findall(r"/(\S+): exit code 0: (\d+) files?", (output / "sync.log").read_text())
        files = Counter[str]()
        for name, count in sent:
            files[name] += int(count)
        for cell in cells:
            if cell.run == experiment:
                assert files[cell.cell] == sum(path.is_file() for path in cell.path.rglob("*"))
                assert_arrived(cell.path, landed(facility, run_of(experiment), cell.cell))
        log = (output / "pipeline.log").read_text()
        assert log.count(" perform process ") == 2
        assert log.count(": done: ") == 2


def at_work_in(directory: Path) -> list[str]:
    """Processes with this current directory."""
    found = []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        with suppress(OSError):
            if link.readlink() == directory:
                found.append(link.parent.name)
    return found


def test_a_killed_sync_is_repeated(facility: Facility, tmp_path: Path) -> None:
    """A sync whose worker was killed has failed, and its flag names the signal.

    The next poll completes the cell.
    """
    facility.reach(bandwidth_limit=LIMIT)
    cell = big_cell(facility)
    poll = facility.start("poll")
    wait_for_the_middle(facility)
    flag = facility.landing / RUN / "pipeline" / "sync.started"
    os.kill(json.loads(flag.read_text())["pid"], signal.SIGKILL)
    _, errors = poll.communicate(timeout=120)
    assert poll.returncode == 1
    assert RUN in errors
    record = json.loads((flag.parent / "sync.failed").read_text())
    assert record["reason"] == "the worker was killed by signal 9 (out of memory?)"
    assert f"{CELL}.synced" not in facility.flags(RUN)
    facility.eventually(
        lambda: not at_work_in(facility.landing / RUN), "its rsync notices the lost connection"
    )
    facility.reach(bandwidth_limit="")
    facility.poll()
    assert {"sync.done", f"{CELL}.done"} <= facility.flags(RUN)
    assert "sync.started" not in facility.flags(RUN)
    assert_arrived(cell.path, landed(facility))
    assert_like_local(facility, tmp_path / "local")


def test_abort_while_it_is_copied(facility: Facility) -> None:
    """A cell that a person aborts during its copy is left as it is.

    The same sync copies the next cell.
    """
    facility.reach(bandwidth_limit=LIMIT)
    big_cell(facility)
    facility.cell(cell=OTHER).write()
    poll = facility.start("poll")
    wait_for_the_middle(facility)
    facility.run("abort", RUN, f"{LIBRARY}/{CELL}", "--why", "a bad sample")
    assert poll.communicate(timeout=120) == ("", "")
    assert poll.returncode == 0
    assert facility.stages() == {
        f"{RUN}/{LIBRARY}/{CELL}": "aborted",
        f"{RUN}/{LIBRARY}/{OTHER}": "processed",
    }
