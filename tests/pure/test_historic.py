"""Historic runs: their age by the names of cells and runs."""

from __future__ import annotations

import pytest

from hesiod_watch.core.take_up import TakeUpRule
from hesiod_watch.rules.historic import is_before

OLD, NEW = "20210304_2210_1A_PAW00001_00000001", "20260101_2210_1A_PAW00002_00000002"
POOLED = "PAW00001_00000001_00000002.pooled"


@pytest.mark.parametrize(
    ("run", "cells", "before"),
    [
        pytest.param("any", [OLD], True, id="old"),
        pytest.param("20210304_any", [OLD, NEW], False, id="one is new"),
        pytest.param("20210304_any", [POOLED], True, id="pooled in an old run"),
        pytest.param("20260101_any", [POOLED], False, id="pooled in a new run"),
        pytest.param("any", [POOLED], False, id="no day at all"),
        pytest.param("20210304_any", [], True, id="no cell, old"),
        pytest.param("any", [], False, id="no cell, no day"),
    ],
)
def test_age_by_names(run: str, cells: list[str], before: bool) -> None:
    """A run is old if every cell is; an acquisition in a pooled directory is as old as its run."""
    assert is_before(TakeUpRule("2026-01-01"), run, cells) == before
    assert not is_before(TakeUpRule("now"), run, cells)
