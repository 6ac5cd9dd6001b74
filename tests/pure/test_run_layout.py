"""Layout of runs: the same names are runs, libraries and cells here and on an upstream."""

from __future__ import annotations

from pathlib import Path

import pytest

from hesiod_watch.core.model import CellId, QuarantinedName
from hesiod_watch.core.naming import cell_problem, is_final_summary
from hesiod_watch.core.pooled import PooledCell
from hesiod_watch.rules.run_layout import (
    RunContents,
    in_run_itself,
    may_be_library,
    may_be_run,
    may_link_to_directory,
    too_deep,
    with_advice,
)
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


LINKED, LOST = CELL.replace("1A", "1B"), CELL.replace("1A", "1C")
POOLED = PooledCell("PAD38578", "c6ded78b", "0123abcd")


def test_names_in_a_library() -> None:
    """Each name that is no cell although it might seem so has its reason and its kind."""
    found = RunContents()
    assert found.add("lib", CELL)
    for name in ("20261122_1000_x\n", POOLED.name, TEST, "fastq_pass"):
        assert not found.add("lib", name)
    found.add_other("lib", LINKED, is_link=True)
    found.add_other("lib", LOST, is_link=False)
    for name in (f"{CELL}.txt", "fastq_pass"):
        found.add_other("lib", name, is_link=True)
        found.add_other("lib", name, is_link=False)
    found.add_pooled("pool", [POOLED, PooledCell("CTC00001", "c6ded78b", "0123abcd")])
    assert found.cells == [CellId("lib", CELL), CellId("pool", POOLED.name)]
    assert found.quarantined == [
        QuarantinedName("lib/20261122_1000_x\\n", cell_problem("20261122_1000_x\n")),
        QuarantinedName(
            f"lib/{POOLED.name}",
            "only cells in pooled directories, which have no directories, have such names",
        ),
        QuarantinedName(f"lib/{LINKED}", "a symbolic link; links are not followed", "link"),
        QuarantinedName(
            f"lib/{LOST}", "a file is in the place of a cell's directory", "wrong-level"
        ),
    ]
    assert found.ignored == [
        QuarantinedName(f"lib/{TEST}", "a configuration test cell, not data"),
        QuarantinedName(
            "pool/CTC00001_c6ded78b_0123abcd.pooled", "a configuration test cell, not data"
        ),
    ]


def test_twins_have_a_reason_and_the_others_an_order() -> None:
    """Cells of one name share their flags; all other cells are sorted."""
    found = RunContents([CellId("b", "y"), CellId("b", "x"), CellId("a", "x"), CellId("a", "z")])
    found.quarantine_twins()
    assert found.cells == [CellId("a", "z"), CellId("b", "y")]
    assert {(each.why, each.kind) for each in found.quarantined} == {
        (
            "another library of this run has a cell of the same name; they would share their flags",
            "doubled",
        )
    }


@pytest.mark.parametrize(
    ("name", "may"),
    [
        ("run", True),
        ("a.b-c", True),
        ("a.123", True),
        ("a.longer", True),
        ("a.txt", False),
        ("a.h5", False),
        ("a.fastq", False),
        ("a.txt.1", True),
    ],
)
def test_links_that_may_lead_to_a_directory(name: str, may: bool) -> None:
    """A link that is named like a file is not reported."""
    assert may_link_to_directory(name) is may


def test_data_at_the_wrong_level() -> None:
    """A cell too deep in a run, and data in the run itself, are named with the right layout."""
    assert too_deep("run", "run/a/b\n/c") == QuarantinedName(
        "run",
        "run/a/b\\n/c is a cell's directory too deep in the run; cells belong at RUN/LIBRARY/CELL",
        "wrong-level",
    )
    assert in_run_itself("run", "fastq\n") == QuarantinedName(
        "run",
        "fastq\\n is in the run itself, without library and cell directories; cells belong at"
        " RUN/LIBRARY/CELL",
        "wrong-level",
    )


def test_advice_about_a_name() -> None:
    """A quarantined name has the step that helps where it is; other kinds have none here."""
    entry = QuarantinedName("a b", "it has a blank")
    sentence = with_advice(entry, "/data")
    assert sentence == "a b: it has a blank; rename a b, so that it can be worked on safely"
    assert with_advice(QuarantinedName("x", "too deep", "wrong-level"), "/data") == (
        "x: too deep; move it, so that the cell is at /data/RUN/LIBRARY/CELL"
    )
    for kind in ("unreadable", "pooled"):
        assert with_advice(QuarantinedName("x", "a reason", kind), "/data") == "x: a reason"


@pytest.mark.parametrize(
    ("name", "run", "library"),
    [
        ("alpha", True, True),
        ("pipeline", True, False),
        ("rundata", True, False),
        ("lost+found", False, True),
        (".hidden", False, False),
    ],
)
def test_runs_and_libraries(name: str, run: bool, library: bool) -> None:
    """Directories of the program, of the file system, and hidden ones are neither."""
    assert (may_be_run(name), may_be_library(name)) == (run, library)
