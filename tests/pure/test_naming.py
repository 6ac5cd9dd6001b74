"""Names of runs, libraries, cells and outputs."""

from __future__ import annotations

import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hesiod_watch.core.errors import PermanentError
from hesiod_watch.core.model import CellId, CellName
from hesiod_watch.core.naming import (
    DUPLEX_PARTS,
    PARTS,
    cell_problem,
    display,
    is_configuration_test,
    library_problem,
    looks_like_cell,
    natural_key,
    output_file_name,
    parse_cell,
    run_problem,
)

CELL = "20190710_1723_2-A5-D5_PAD38578_c6ded78b"


@pytest.mark.parametrize(
    ("name", "position", "flow_cell_id", "short_id", "suffix"),
    [
        ("20190710_1723_2-A5-D5_PAD38578_c6ded78b", "2-A5-D5", "PAD38578", "c6ded78b", ""),
        ("20190228_1936_2-E11-H11_PAD13330_c59f16fe", "2-E11-H11", "PAD13330", "c59f16fe", ""),
        ("20221103_1710_1F_PAM83464_136e9f68", "1F", "PAM83464", "136e9f68", ""),
        ("20250603_1201_3E_PAA12345_e05460c6", "3E", "PAA12345", "e05460c6", ""),
        ("20190904_1514_GA20000_FAL01979_43578c8f", "GA20000", "FAL01979", "43578c8f", ""),
        ("20200311_1427_X1_FAK72834_a3787181", "X1", "FAK72834", "a3787181", ""),
        ("20231108_1411_MN32284_AOZ898_35873099", "MN32284", "AOZ898", "35873099", ""),
        ("20230101_0000_MC-115499_FAX00001_00000000", "MC-115499", "FAX00001", "00000000", ""),
        ("20240101_2359_MD-101527_FAX00001_00000000", "MD-101527", "FAX00001", "00000000", ""),
        ("20240301_0900_P2S-00581-A_PAU00001_0a1b2c3d", "P2S-00581-A", "PAU00001", "0a1b2c3d", ""),
        ("20240301_0900_P2I-00128-A_PAU00001_0a1b2c3d", "P2I-00128-A", "PAU00001", "0a1b2c3d", ""),
        ("20240301_0900_P2S_00581_A_PAU00001_0a1b2c3d", "P2S_00581_A", "PAU00001", "0a1b2c3d", ""),
        # Flow cells typed by people: lower case, "_" and "-", the placeholder, none at all.
        ("20240301_0900_X1_fak72834_0a1b2c3d", "X1", "fak72834", "0a1b2c3d", ""),
        ("20240301_0900_X1_my_flow-cell_2_0a1b2c3d", "X1", "my_flow-cell_2", "0a1b2c3d", ""),
        ("20240301_0900_2-A5-D5_A_B_0a1b2c3d", "2-A5-D5", "A_B", "0a1b2c3d", ""),
        ("20240301_0900_X1_OLD_PAD38578_0a1b2c3d", "X1", "OLD_PAD38578", "0a1b2c3d", ""),
        ("20240301_0900_X1_UNKNOWN_0a1b2c3d", "X1", "UNKNOWN", "0a1b2c3d", ""),
        ("20240301_0900_X1__0a1b2c3d", "X1", "", "0a1b2c3d", ""),
        ("20240301_0900_X1_deadbeef_0a1b2c3d", "X1", "deadbeef", "0a1b2c3d", ""),
        # Positions not seen yet.
        ("20300101_0900_Q7-1_PZZ00001_0a1b2c3d", "Q7-1", "PZZ00001", "0a1b2c3d", ""),
        ("20300101_0900_NEW_BOX_PAD38578_0a1b2c3d", "NEW_BOX", "PAD38578", "0a1b2c3d", ""),
        ("20300101_0900_NEWBOX_odd_cell_0a1b2c3d", "NEWBOX", "odd_cell", "0a1b2c3d", ""),
        # Called again by scripts.
        ("20190710_1723_2-A5-D5_PAD38578_c6ded78b.sup", "2-A5-D5", "PAD38578", "c6ded78b", "sup"),
        (
            "20190710_1723_2-A5-D5_PAD38578_c6ded78b.re-call.v2",
            "2-A5-D5",
            "PAD38578",
            "c6ded78b",
            "re-call.v2",
        ),
    ],
)
def test_cell_names_of_every_machine_are_taken_apart(
    name: str, position: str, flow_cell_id: str, short_id: str, suffix: str
) -> None:
    """Each machine's directory name gives its position, flow cell, short id and suffix."""
    date, time = name[:8], name[9:13]
    assert parse_cell(name) == CellName(date, time, position, flow_cell_id, short_id, suffix)
    assert cell_problem(name) == ""


@pytest.mark.parametrize(
    "name",
    [
        "",
        "fastq_pass",
        CELL + "\n",
        " " + CELL,
        "x" + CELL,
        CELL + "0",
        CELL + ".",
        CELL + "./x",
        CELL.replace("c6ded78b", "C6DED78B"),
        CELL.replace("c6ded78b", "c6ded78"),
        CELL.replace("20190710", "20191310"),
        CELL.replace("20190710", "20190230"),
        CELL.replace("20190710", "00010101"),
        CELL.replace("20190710", "٢٠١٩٠٧١٠"),
        CELL.replace("1723", "2460"),
        CELL.replace("PAD38578", "PAD 38578"),
        CELL.replace("PAD38578", "PAD/38578"),
        "20190710_1723_PAD38578_c6ded78b",
        "20190710_1723__PAD38578_c6ded78b",
        "20190710_1723___c6ded78b",
    ],
)
def test_other_names_are_no_cells(name: str) -> None:
    """A name with one error is not a cell's name, and its quarantine has a reason."""
    assert parse_cell(name) is None
    assert cell_problem(name) != ""


@pytest.mark.parametrize(
    ("flow_cell", "expected"),
    [
        ("CTC00123", True),
        ("ctc1", True),
        ("CTC", True),
        ("PAD38578", False),
        ("", False),
        ("ACTC1", False),
    ],
)
def test_configuration_test_cells_are_known_by_their_flow_cell(
    flow_cell: str, expected: bool
) -> None:
    """A flow cell that begins with CTC tests the instrument and contains no sample."""
    cell = parse_cell(f"20190710_1723_X1_{flow_cell}_c6ded78b")
    assert cell is not None
    assert is_configuration_test(cell) is expected


@pytest.mark.parametrize(
    "name",
    [
        "20190710_TEST_testrun",
        "a test lib",
        "name  with___spaces",
        "_x",
        "0",
        "A.b+c@d=e, f-g",
        "no_sample",
        "x" * 200,
        "trailing.",
    ],
)
def test_ordinary_names_may_be_worked_on(name: str) -> None:
    """Names a facility uses, blanks included, are accepted for runs and libraries."""
    assert run_problem(name) == ""
    assert library_problem(name) == ""


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("", "empty"),
        (".", 'begins with "."'),
        ("..", 'begins with "."'),
        (".hidden", 'begins with "."'),
        ("-rf", 'begins with "-"'),
        ("=cmd", 'begins with "="'),
        (" x", 'begins with " "'),
        ("x ", "ends in a blank"),
        ("x\n", r'contains "\n"'),
        ("a\nb", r'contains "\n"'),
        ("a/b", 'contains "/"'),
        ("a;b", 'contains ";"'),
        ("a$(b)", 'contains "$"'),
        ("a`b`", 'contains "`"'),
        ("a'b", 'contains "\'"'),
        ('a"b', 'contains """'),
        ("a\\b", r'contains "\\"'),
        ("a\tb", r'contains "\t"'),
        ("a\x1b[2J", r'contains "\x1b"'),
        ("a\u202eb", r'contains "\u202e"'),
        ("é", 'contains "é"'),
        ("٢٠", 'contains "٢"'),
        (os.fsdecode(b"a\xffb"), r'contains "\xff"'),
        ("<script>", 'contains "<"'),
        ("x" * 201, "201 bytes long"),
    ],
)
def test_other_names_are_quarantined_with_a_reason(name: str, says: str) -> None:
    """An invalid name of a run, library or cell is refused in one printable sentence."""
    for problem in (run_problem(name), library_problem(name), cell_problem(name)):
        assert says in problem
        assert problem.isprintable()


@pytest.mark.parametrize(
    "name", ["pipeline", "rundata", "report.html", "pipeline.log", "sync.log", "x_mqc.json"]
)
def test_names_of_our_own_directories_are_no_libraries(name: str) -> None:
    """A library cannot have a name that the run's or its output directory needs."""
    assert "uses itself" in library_problem(name)
    assert run_problem(name) == ""


@pytest.mark.parametrize("suffix", ["done", "backup", "backup.done", "started.2", "sup.failed"])
def test_suffixes_that_read_like_flags_are_quarantined(suffix: str) -> None:
    """`X.backup` is not a cell: its flag `X.backup.done` would say that X is backed up."""
    assert "flag" in cell_problem(f"{CELL}.{suffix}")
    assert parse_cell(f"{CELL}.{suffix}") is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (CELL, True),
        (CELL + "\n", True),
        (CELL + ".backup", True),
        ("20190710_1723_PAD38578", True),
        ("fastq_pass", False),
        ("20190710", False),
        ("x" + CELL, False),
    ],
)
def test_a_name_similar_to_a_cells_is_reported(name: str, expected: bool) -> None:
    """A directory that begins with date and time but is no cell is reported to a person."""
    assert looks_like_cell(name) is expected


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("plain name-1.2", "plain name-1.2"),
        ("日本語 é", "日本語 é"),
        ("a\nb\r\tc", r"a\nb\r\tc"),
        ("\x1b[31m\x7f\x00", r"\x1b[31m\x7f\x00"),
        ("\x9b1m", r"\u009b1m"),
        (os.fsdecode(b"\x9b\xff"), r"\x9b\xff"),
        ("\ud800", r"\ud800"),
        ("\u202eabc\u2066", r"\u202eabc\u2066"),
        ("a\u200bb\ufeff", r"a\u200bb\ufeff"),
        ("\u00a0\u3000\u2028", r"\u00a0\u3000\u2028"),
        ("e\u0301", r"e\u0301"),
        ("\u3164", r"\u3164"),
        ("\U000e0041", r"\U000e0041"),
        (r"\n", r"\\n"),
    ],
)
def test_display_shows_what_is_invisible(name: str, shown: str) -> None:
    """Invisible, control and undecodable characters become escapes; readable text stays."""
    assert display(name) == shown


@given(st.one_of(st.text(), st.binary().map(os.fsdecode)))
def test_display_is_one_printable_line(name: str) -> None:
    """Every displayed name can be printed and encoded, and contains no control character."""
    shown = display(name)
    assert shown.isprintable()
    assert shown.encode("utf-8").decode() == shown


@given(
    st.text(alphabet="ax0n\\\n\x1b\u202e\x9b\udc9b", max_size=6),
    st.text(alphabet="ax0n\\\n\x1b\u202e\x9b\udc9b"),
)
def test_display_tells_names_apart(one: str, other: str) -> None:
    """Two names that differ look different."""
    assert (display(one) == display(other)) is (one == other)


def test_natural_order_counts_numbers() -> None:
    """Files are sorted by the numbers in their names, whatever their width."""
    in_order = [
        "a2b9",
        "a2b10",
        "x.fastq",
        "x_01.fastq",
        "x_1.fastq",
        "x_9.fastq",
        "x_10.fastq",
        "x_" + "9" * 5000,
    ]
    assert sorted(sorted(in_order), key=natural_key) == in_order


@given(st.lists(st.text(alphabet="a0129_é٢\udcff"), unique=True))
def test_natural_order_is_total(names: list[str]) -> None:
    """Different names have different sort keys, so the order does not depend on the listing."""
    assert len({natural_key(name) for name in names}) == len(names)
    assert sorted(names, key=natural_key) == sorted(set(names), key=natural_key)


@pytest.mark.parametrize(
    ("run", "library", "cell", "barcode", "part", "expected"),
    [
        ("R", "L", CELL, None, "pass", "R_L_PAD38578_c6ded78b_pass.fastq.gz"),
        ("R", "L", CELL, "barcode01", "fail", "R_L_PAD38578_c6ded78b_barcode01_fail.fastq.gz"),
        (
            "R",
            "L",
            CELL,
            "unclassified",
            "skip",
            "R_L_PAD38578_c6ded78b_unclassified_skip.fastq.gz",
        ),
        (
            "R",
            "L",
            CELL + ".sup",
            "barcode01",
            "pass",
            "R_L_PAD38578_c6ded78b.sup_barcode01_pass.fastq.gz",
        ),
        (
            "my run",
            "a test lib",
            CELL,
            None,
            "pass",
            "my run_a test lib_PAD38578_c6ded78b_pass.fastq.gz",
        ),
        ("R", "L", "20240301_0900_X1__0a1b2c3d", None, "pass", "R_L__0a1b2c3d_pass.fastq.gz"),
        (
            "R",
            "L",
            CELL,
            "my sample/1%",
            "pass",
            "R_L_PAD38578_c6ded78b_my%20sample%2F1%25_pass.fastq.gz",
        ),
        ("R", "L", CELL, "a\nb\\é", "pass", "R_L_PAD38578_c6ded78b_a%0Ab%5C%C3%A9_pass.fastq.gz"),
        ("R", "L", CELL, os.fsdecode(b"\xff"), "pass", "R_L_PAD38578_c6ded78b_%FF_pass.fastq.gz"),
    ],
)
def test_output_names(
    run: str, library: str, cell: str, barcode: str | None, part: str, expected: str
) -> None:
    """An output is named after its run, library, flow cell, short id, barcode and part."""
    assert output_file_name(run, CellId(library, cell), barcode, part) == expected


_barcode_and_part = st.tuples(
    st.one_of(st.none(), st.sampled_from(["pass", "x_pass"]), st.text(max_size=8)),
    st.sampled_from([*PARTS, *DUPLEX_PARTS]),
)


@given(
    _barcode_and_part,
    _barcode_and_part,
)
def test_outputs_of_one_cell_never_share_a_name(
    one: tuple[str | None, str], other: tuple[str | None, str]
) -> None:
    """Different barcode or part, different file; and every name is plain ASCII on one line."""
    names = [
        output_file_name("R", CellId("L", CELL), barcode, part) for barcode, part in (one, other)
    ]
    assert (names[0] == names[1]) is (one == other)
    assert all(re.fullmatch(r"[A-Za-z0-9._%-]+", name) for name in names)


@pytest.mark.parametrize(
    ("run", "library", "cell", "barcode", "part", "says"),
    [
        ("x" * 120, "y" * 120, CELL, None, "pass", "bytes long"),
        ("R", "L", CELL, "é" * 40, "pass", "bytes long"),
        ("R", "L", "no cell", None, "pass", "not of the form"),
        ("R\n", "L", CELL, None, "pass", "contains"),
        ("R", "pipeline", CELL, None, "pass", "uses itself"),
        ("R", "L", CELL, None, "none", "no outputs"),
    ],
)
def test_impossible_output_names_are_errors(
    run: str, library: str, cell: str, barcode: str | None, part: str, says: str
) -> None:
    """A name that is too long or has quarantined parts is refused, with a one-line reason."""
    with pytest.raises(PermanentError, match=says) as caught:
        output_file_name(run, CellId(library, cell), barcode, part)
    assert str(caught.value).isprintable()
