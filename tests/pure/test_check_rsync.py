"""Check of the version that an rsync reports."""

from __future__ import annotations

import pytest

from hesiod_watch.host.command import CommandResult
from hesiod_watch.remote.sequencer.checks import check_rsync

GOOD = CommandResult(0, b"rsync  version 3.2.7  protocol version 31\nCopyright", "")
OLD = CommandResult(0, b"rsync  version 3.0.9  protocol version 30", "")
NEWEST = CommandResult(0, b"rsync  version v3.10.0pre1  protocol version 32", "")
NONE = CommandResult(127, b"", "sh: 1: rsync: not found\n")
SILENT = CommandResult(-15, b"", "", "nothing came for 5 s")


@pytest.mark.parametrize(
    ("sides", "ok", "says"),
    [
        pytest.param({"here": GOOD}, True, "rsync is 3.2.7 here", id="here only"),
        pytest.param(
            {"here": GOOD, "there": NEWEST}, True, "rsync is 3.2.7 here, 3.10.0 there", id="both"
        ),
        pytest.param(
            {"here": OLD, "there": GOOD},
            False,
            "rsync here is 3.0.9; 3.1 or later is needed",
            id="too old here",
        ),
        pytest.param(
            {"here": GOOD, "there": OLD},
            False,
            "rsync there is 3.0.9; 3.1 or later is needed",
            id="too old there",
        ),
        pytest.param({"here": GOOD, "there": NONE}, False, "not found", id="missing there"),
        pytest.param(
            {"here": GOOD, "there": SILENT},
            False,
            "rsync there: nothing came for 5 s",
            id="silent there",
        ),
        pytest.param(
            {"here": CommandResult(0, b"openrsync: protocol version 29", "")},
            False,
            "rsync here: it says something else",
            id="another program here",
        ),
    ],
)
def test_check_rsync(sides: dict[str, CommandResult], ok: bool, says: str) -> None:
    """Every side needs rsync 3.1 or later; a side that fails is named."""
    check = check_rsync(sides)
    assert (check.name, check.ok) == ("rsync", ok)
    assert says in check.says
