"""Fixtures for every test: no configuration of the host, repeatable property tests."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from rt_server import RtServer
    from slurm_cluster import SlurmCluster

# The examples of a property test depend on the test only, so a failure in CI can be repeated here.
# For the same reason there is no database of earlier failures. A deadline for each example has no
# meaning on a machine under load.
settings.register_profile("repeatable", derandomize=True, database=None, deadline=None)
settings.load_profile("repeatable")

LEAKING = (
    "HESIOD_WATCH_CONFIG",
    "JOURNAL_STREAM",
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "SLURM_JOB_ID",
    "SLURM_JOB_NAME",
)


NEEDED = ("rsync", "samtools", "kill")
"""Programs without which some tests of `make check` cannot work; as root it installs them."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Skip a test that failed for want of a program, and name the program."""
    report = yield
    if report.failed:
        missing = [
            name
            for name in NEEDED
            if f"{name}': No such file" in report.longreprtext
            or f"No such file or directory: '{name}'" in report.longreprtext
        ]
        if missing and not any(map(shutil.which, missing)):
            report.outcome = "skipped"
            report.longrepr = (str(item.path), 0, f"Skipped: {missing[0]} is not installed")
    return report


@pytest.fixture(autouse=True)
def clean_surroundings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Unset the environment variables of hesiod-watch, and set the usual umask."""
    for name in LEAKING:
        monkeypatch.delenv(name, raising=False)
    umask = os.umask(0o022)
    yield
    os.umask(umask)


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """Directory in memory if possible: some tests make thousands of worlds, each with fsyncs."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="hesiod-watch-test-", dir=memory) as path:
        yield Path(path)


@pytest.fixture(scope="session")
def tracker_server() -> Iterator[RtServer]:
    """A real Request Tracker for all tests of this process; tests use `tracker`, which is fresh."""
    from rt_server import missing, rt_server  # late: only some tests need what it imports

    if packages := missing():
        pytest.skip(f"not installed: {packages}")
    with rt_server() as server:
        yield server


@pytest.fixture
def tracker(tracker_server: RtServer) -> Iterator[RtServer]:
    """A real Request Tracker that is running and has its initial content."""
    tracker_server.restore()
    yield tracker_server
    tracker_server.thaw()
    if not tracker_server.is_up:
        tracker_server.up()


@pytest.fixture(scope="session")
def slurm_session() -> Iterator[SlurmCluster]:
    """A real Slurm for all tests of this process; tests use `slurm`, which is in order."""
    from slurm_cluster import missing, slurm_cluster  # late: only some tests need it

    if problem := missing():
        pytest.skip(problem)
    with slurm_cluster() as cluster:
        yield cluster


@pytest.fixture
def slurm(slurm_session: SlurmCluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[SlurmCluster]:
    """A real Slurm that is running, without jobs, and that commands of this process use."""
    monkeypatch.setenv("SLURM_CONF", str(slurm_session.conf))
    yield slurm_session
    slurm_session.mend()


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Use the argument's name as the id of bytes and long texts.

    Such data are unreadable as an id. With a time in them they differ between workers.
    """
    if isinstance(val, bytes) or (isinstance(val, str) and len(val) > 80):
        return argname
    return None
