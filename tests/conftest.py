"""What holds for every test: nothing of the host's own configuration leaks in, and property tests
repeat.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from rt_server import RtServer

# The examples of a property test follow from the test itself: a failure in CI is a failure here. No
# database of earlier failures is kept for the same reason; machines under load make deadlines per
# example meaningless.
settings.register_profile("repeatable", derandomize=True, database=None, deadline=None)
settings.load_profile("repeatable")

LEAKING = (
    "HESIOD_WATCH_CONFIG",
    "JOURNAL_STREAM",
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "SLURM_JOB_ID",
)


@pytest.fixture(autouse=True)
def clean_surroundings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The variables that this program looks at are unset, and the umask is the usual one."""
    for name in LEAKING:
        monkeypatch.delenv(name, raising=False)
    umask = os.umask(0o022)
    yield
    os.umask(umask)


@pytest.fixture(scope="session")
def tracker_server() -> Iterator[RtServer]:
    """A real Request Tracker for all tests of this process; ask for `tracker`, which is fresh."""
    from rt_server import missing, rt_server  # late: only some tests need what it imports

    if packages := missing():
        pytest.skip(f"not installed: {packages}")
    with rt_server() as server:
        yield server


@pytest.fixture
def tracker(tracker_server: RtServer) -> Iterator[RtServer]:
    """A real Request Tracker, up and as new."""
    tracker_server.restore()
    yield tracker_server
    tracker_server.thaw()
    if not tracker_server.is_up:
        tracker_server.up()


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Data as the name of a test is no name: unreadable, and different in each worker where it
    carries a time.
    """
    if isinstance(val, bytes) or (isinstance(val, str) and len(val) > 80):
        return argname
    return None
