"""Cells copied over a real ssh: pulled, pushed, cut off, frozen and stopped.

An incomplete copy is never taken for a complete one.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from sites import eventually
from ssh_sequencer import SshSequencer, cut, frozen
from sshd_pair import needs_sshd, signal_to
from upstream_cells import CELL, SUMMARY, make_cell
from younger_files import end_with_summaries

from hesiod_watch.core.model import CellId

pytestmark = [
    pytest.mark.system,
    needs_sshd,
]

BIG = "fastq_pass/big.fastq"


@pytest.mark.parametrize("mode", ["pull", "push"])
def test_odd_names(mode: str, sequencer: SshSequencer) -> None:
    """Every file of a cell arrives with its name and content; no name is executed."""
    make_cell(sequencer.run, odd=True)
    copied = sequencer.copy(sequencer.upstream(mode))
    assert (copied.outcome, copied.why, copied.verified) == ("done", "", True)
    assert sequencer.same()
    for directory in (Path.cwd(), Path.home(), sequencer.landing, sequencer.copy_of_run):
        assert not [name for name in os.listdir(directory) if "owned" in name]


@pytest.mark.parametrize("mode", ["pull", "push"])
def test_place_with_odd_names(mode: str, sequencer: SshSequencer) -> None:
    """The upstream's own directory may have any one-line name, also with patterns and quotes."""
    odd = sequencer.data / "a *[b]? 'c' $(touch owned) \\ ü;#"
    run_dir = odd / "My Exp"
    make_cell(run_dir)
    make_cell(sequencer.data / "a xb 'c'" / "My Exp")
    sequencer.run = run_dir
    copied = sequencer.copy(sequencer.upstream(mode, location=f"hosta:{odd}"))
    assert (copied.why, copied.verified) == ("", True)
    assert sequencer.same()


@pytest.mark.parametrize("mode", ["pull", "push"])
def test_growing_then_finished(mode: str, sequencer: SshSequencer) -> None:
    """A cell is copied while it grows, and verified when it has its summary."""
    make_cell(sequencer.run, finished=False)
    copied = sequencer.copy(sequencer.upstream(mode))
    assert (copied.outcome, copied.verified) == ("done", False)
    assert (sequencer.landed / "fastq_pass" / "PAD38578_pass_c6ded78b_0.fastq").exists()
    (sequencer.run / CELL.library / CELL.name / SUMMARY).write_text("x")
    assert sequencer.copy(sequencer.upstream(mode)).verified
    assert sequencer.same()


@pytest.mark.parametrize("mode", ["pull", "push"])
def test_other_content_under_same_size_and_time(mode: str, sequencer: SshSequencer) -> None:
    """A local file with other content but the same size and time is found and corrected."""
    cell = make_cell(sequencer.run)
    sequencer.copy(sequencer.upstream(mode))
    (sequencer.landed / SUMMARY).unlink()
    name = "fastq_pass/PAD38578_pass_c6ded78b_1.fastq"
    status = (cell / name).stat()
    (sequencer.landed / name).write_bytes(b"x" * status.st_size)
    os.utime(sequencer.landed / name, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert sequencer.copy(sequencer.upstream(mode)).verified
    assert sequencer.same()
    assert "differ from the upstream: 1" in sequencer.log.read_text()


def test_one_connection_for_many_cells(sequencer: SshSequencer) -> None:
    """A pass over many cells logs in once."""
    cells = [
        CellId("lib", f"20190710_172{number}_1A_PAD38578_c6ded78{number}") for number in range(5)
    ]
    for cell in cells:
        make_cell(sequencer.run, cell)
    before = sequencer.host.link.connections
    assert all(sequencer.copy(sequencer.upstream(timeout=30), cell).verified for cell in cells)
    assert sequencer.same()
    assert sequencer.host.link.connections == before + 1


class Watching:
    """Waits until a copy is in the middle of the big file, then runs an action."""

    def __init__(self, do: Callable[[], None], at: int = 700_000) -> None:
        self.do = do
        self.at = at
        self.done = False

    def __call__(self, done: int, total: int) -> None:
        if done > self.at and not self.done:
            self.done = True
            self.do()


@pytest.fixture
def big(sequencer: SshSequencer) -> SshSequencer:
    """A cell with a file that needs some seconds: 4 MB, at 1 MB/s."""
    cell = make_cell(sequencer.run)
    (cell / BIG).write_bytes(os.urandom(4_000_000))
    end_with_summaries(cell)
    return sequencer


def freeze_rsync(sequencer: SshSequencer) -> None:
    """Freeze only rsync; ssh and its keep-alives continue."""
    found = []
    for pid in sequencer.host.sessions():
        with suppress(FileNotFoundError):  # a session that has just ended
            if b"rsync" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    assert found
    for pid in found:
        signal_to(pid, signal.SIGSTOP)


FAULTS: dict[str, Callable[[SshSequencer], None]] = {
    "frozen": frozen,
    "rsync frozen": freeze_rsync,
    "cut": cut,
    "snapped": lambda sequencer: sequencer.host.link.snap(),
    "sessions killed": lambda sequencer: sequencer.host.kill_sessions(),
}


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["pull", "push"])
@pytest.mark.parametrize("fault", FAULTS)
def test_fault_in_the_middle_of_a_file(fault: str, mode: str, big: SshSequencer) -> None:
    """The copy ends in time, unverified, and continues at the next attempt."""
    upstream = big.upstream(mode, bandwidth_limit="1M")
    watching = Watching(lambda: FAULTS[fault](big))
    began = time.monotonic()
    copied = big.copy(upstream, on_progress=watching)
    took = time.monotonic() - began
    assert watching.done
    assert (copied.outcome, copied.verified) == ("again", False), copied.why
    # One or two seconds for copying, then at most twice the timeout and the time for connecting.
    assert took < 30, copied.why
    assert not (big.landed / SUMMARY).exists()
    # A sequencer that pushes may continue for a while. A file under its final name is complete in
    # any case.
    assert mode == "push" or not (big.landed / BIG).exists()
    assert not (big.landed / BIG).exists() or (big.landed / BIG).stat().st_size == 4_000_000
    big.host.thaw()
    big.host.link.join()
    carried = big.host.link.carried
    assert big.copy(big.upstream(mode)).verified
    assert big.same()
    if mode == "pull" and fault != "sessions killed":
        assert big.host.link.carried - carried < 3_700_000  # what had come was not sent again


@pytest.mark.slow
def test_short_interruption(big: SshSequencer) -> None:
    """The copy survives a network failure that is shorter than the timeout."""
    upstream = big.upstream(timeout=20, bandwidth_limit="2M")
    back = threading.Timer(1.5, big.host.link.join)

    def interrupt() -> None:
        big.host.link.cut()
        back.start()

    assert big.copy(upstream, on_progress=Watching(interrupt)).verified
    assert big.same()


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["pull", "push"])
def test_stopped(mode: str, big: SshSequencer) -> None:
    """A stopped copy ends soon, and the next attempt continues it.

    It leaves no process on either side.
    """
    watching = Watching(lambda: None)
    began = time.monotonic()
    copied = big.copy(
        big.upstream(mode, bandwidth_limit="1M"), on_progress=watching, stop=lambda: watching.done
    )
    assert time.monotonic() - began < 25
    assert (copied.outcome, copied.why) == ("again", "copying was ended: stopped")

    def rsyncs() -> list[str]:
        found = subprocess.run(
            ["pgrep", "-f", f"rsync .*{shlex.quote(big.data.name)}"], capture_output=True, text=True
        )
        return found.stdout.split()

    eventually(lambda: not rsyncs(), "no rsync is left")
    assert big.copy(big.upstream(mode)).verified
    assert big.same()


def test_destination_that_is_another(sequencer: SshSequencer, tmp_path: Path) -> None:
    """A push to another directory than the landing area is noticed, though rsync succeeds."""
    make_cell(sequencer.run)
    wrong = tmp_path / "wrong"
    (wrong / "2026" / "20190710_EGS1_My_Exp").mkdir(parents=True)
    copied = sequencer.copy(sequencer.upstream("push", landing_there=str(wrong)))
    assert (copied.outcome, copied.verified) == ("again", False)
    assert f"is {wrong} on the sequencer the landing area?" in copied.why


def test_noise_and_rsync(sequencer: SshSequencer) -> None:
    """A login shell that prints text needs a person before a pull can succeed."""
    make_cell(sequencer.run)
    copied = sequencer.copy(sequencer.upstream(host="noisy-hosta"))
    assert (copied.outcome, copied.verified) == ("failed", False)
    assert "login shell" in copied.why
