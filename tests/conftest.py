"""What holds for every test: nothing of the host's own configuration leaks in, and property tests repeat."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

# The examples of a property test follow from the test itself: a failure in CI is a failure here. No database of
# earlier failures is kept for the same reason; machines under load make deadlines per example meaningless.
settings.register_profile("repeatable", derandomize=True, database=None, deadline=None)
settings.load_profile("repeatable")

LEAKING = ("HESIOD_WATCH_CONFIG", "JOURNAL_STREAM", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "SLURM_JOB_ID")


@pytest.fixture(autouse=True)
def clean_surroundings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The variables that this program looks at are unset, and the umask is the usual one."""
    for name in LEAKING:
        monkeypatch.delenv(name, raising=False)
    umask = os.umask(0o022)
    yield
    os.umask(umask)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Data as the name of a test is no name: unreadable, and different in each worker where it carries a time."""
    if isinstance(val, bytes) or (isinstance(val, str) and len(val) > 80):
        return argname
    return None
