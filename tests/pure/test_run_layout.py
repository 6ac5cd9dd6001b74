"""Layout of runs: the same names are runs, libraries and cells here and on an upstream."""

from __future__ import annotations

from pathlib import Path

import pytest

from hesiod_watch.core.model import CellId
from hesiod_watch.core.naming import is_final_summary
from hesiod_watch.rules.run_layout import RunContents, may_be_library, may_be_run
from hesiod_watch.runs.landing import LandingArea, LandingLevel

CELL = "20261122_1000_1A_PAD38578_c6ded78b"
TEST = "20261122_1000_1A_CTC00001_c6ded78b"


def test_cells_and_other_names() -> None:
    """Cells, near misses, test cells and other directories of a library are told apart."""
    found = RunContents()
    assert found.add("lib", CELL)
    assert not any(found.add("lib", name) for name in (TEST, "20261122_1000_x", "fastq_pass", ""))
    found.quarantine_twins()
    assert found.cells == [CellId("lib", CELL)]
    assert [each.name for each in found.quarantined] == ["lib/20261122_1000_x"]
    assert [each.name for each in found.ignored] == [f"lib/{TEST}"]


def test_twins() -> None:
    """Two cells of one name are both quarantined, and the other cells stay."""
    found = RunContents()
    for library, name in (("b", CELL), ("a", CELL), ("b", f"{CELL}.again")):
        found.add(library, name)
    found.quarantine_twins()
    assert found.cells == [CellId("b", f"{CELL}.again")]
    assert sorted(each.name for each in found.quarantined) == [f"a/{CELL}", f"b/{CELL}"]


@pytest.mark.parametrize("name", ["run", ".hidden", "lost+found", "pipeline", "rundata", "a b"])
def test_one_rule_for_watches_and_listings(name: str) -> None:
    """Watches see as runs and libraries the directories that listings read as such."""
    area = LandingArea(Path("/landing"))
    run = area.below(LandingLevel.LANDING, name)
    assert (run is LandingLevel.RUN) == may_be_run(name)
    library = area.below(LandingLevel.RUN, name)
    assert (library is LandingLevel.LIBRARY) == may_be_library(name)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("final_summary.txt", True),
        ("final_summary_PAD38578_c6ded78b.txt", True),
        ("final_summary_new\nline.txt", True),
        ("final_summary_x.txt.tmp", False),
        ("final_summaryx.txt", False),
        (".final_summary.txt", False),
        ("final_summary", False),
    ],
)
def test_names_of_final_summaries(name: str, expected: bool) -> None:
    """A file announces the end of an acquisition by the names that MinKNOW has given it."""
    assert is_final_summary(name) is expected
