"""Samples of MinKNOW output, real and composed: every tree gets the verdict of its index."""

from __future__ import annotations

import os

import pytest
from open_runs import opened
from samples import SAMPLES, needs_samples

from hesiod_watch.core import naming
from hesiod_watch.core.cell_contents import DataKind, Shortfall, Verdict
from hesiod_watch.core.model import CellId
from hesiod_watch.rules.completeness import announced, judge
from hesiod_watch.runs import minknow

TREES = SAMPLES / "trees"

pytestmark = needs_samples

FASTQ, FAST5, POD5, BAM = DataKind.FASTQ, DataKind.FAST5, DataKind.POD5, DataKind.BAM
PHIX = (
    "rbk_bc01_phix_circular_dsdna/rbk_bc01_phix_circular_dsdna_for_Tom/"
    "20210326_1221_X2_FAP96013_5c8ca1b1"
)
TESTLIB = "testlib/20190710_1723_2-A5-D5_PAD38578_c6ded78b"
BAMS = "20221103_EGS2_25070AT/25070AT0003/"

CELLS: dict[str, tuple[dict[DataKind, int], Verdict, str]] = {
    f"simple_done/20190710_LOCALTEST_00newrun/{TESTLIB}": (
        {FASTQ: 3, FAST5: 3, POD5: 2},
        Verdict.PROVEN,
        "all files announced are here: 3 FASTQ files, 3 FAST5 files; "
        "2 POD5 files not verified: MinKNOW states no number that can be compared",
    ),
    f"simple_missing_file/20190710_LOCALTEST_00missingfile/{TESTLIB}": (
        {FASTQ: 2, FAST5: 1},
        Verdict.SHORT,
        "1 of 2 FAST5 files missing",
    ),
    "barcoded_old/20210520_EGS1_16031BA/16031BApool01/20210520_1105_2-E1-H1_PAG23119_76e7e00f": (
        {FASTQ: 22, FAST5: 22},
        Verdict.PROVEN,
        "all files announced are here: 22 FASTQ files, 22 FAST5 files",
    ),
    f"barcoded_bam/{BAMS}20221103_1710_1F_PAM83464_136e9f68": (
        {FASTQ: 48, FAST5: 49, BAM: 49},
        Verdict.PROVEN,
        "all files announced are here: 48 FASTQ files, 49 FAST5 files; "
        "49 BAM files not verified: MinKNOW states no number that can be compared",
    ),
    f"barcoded_bam/{BAMS}20221104_1306_1G_PAM78534_6623d643": (
        {FASTQ: 48, FAST5: 49, BAM: 49},
        Verdict.PROVEN,
        "all files announced are here: 48 FASTQ files, 49 FAST5 files; "
        "49 BAM files not verified: MinKNOW states no number that can be compared",
    ),
    "flongle_pod5/20231107_MIN2_26171SS/26171SS0001L02/20231108_1411_MN32284_AOZ898_35873099": (
        {FASTQ: 33, POD5: 38},
        Verdict.PROVEN,
        "all files announced are here: 33 FASTQ files, 38 POD5 files",
    ),
    **{
        f"names_with_spaces/{name}": (
            {FASTQ: 2, FAST5: 2},
            Verdict.RUNNING,
            "still running: no final_summary yet",
        )
        for name in (
            "00testrun2/a test lib/20000101_0000_1-A1-A1_PAD00000_aaaaaaaa",
            "00testrun2/a test lib/20000101_0000_2-B1-B1_PAD00000_bbbbbbbb",
            "00testrun2/another test/20000101_0000_3-C1-C1_PAD00000_cccccccc",
            "name  with___spaces/testlib/20190226_1723_2-A5-D5_PAD38578_c6ded78b",
        )
    },
    "gridion_placeholders/66/DN585561I_A1/20190904_1514_GA20000_FAL01979_43578c8f": (
        {FASTQ: 6, FAST5: 6, BAM: 4},
        Verdict.UNREADABLE,
        "final_summary_FAL01979_43578c8f.txt is unreadable: line 1,"
        ' "bf3e8b3a-9152-4b90-8e67-8b57612b4c7b", is not key=value',
    ),
    "gridion_real_reads/20200311-POOLED/mIXED/20200311_1427_X1_FAK72834_a3787181": (
        {FASTQ: 2},
        Verdict.RUNNING,
        "still running: no final_summary yet",
    ),
    f"assembled_done/{PHIX}": (
        {FASTQ: 3},
        Verdict.PROVEN,
        "all files announced are here: 3 FASTQ files",
    ),
    f"assembled_running/{PHIX}": (
        {FASTQ: 3},
        Verdict.RUNNING,
        "still running: no final_summary yet",
    ),
    f"assembled_short_of_files/{PHIX}": ({FASTQ: 3}, Verdict.SHORT, "2 of 5 FASTQ files missing"),
    f"assembled_fallback/{PHIX}": (
        {FASTQ: 3},
        Verdict.FALLBACK,
        "1 FASTQ file is in MinKNOW's fallback folder on the sequencer;"
        " 1 more FASTQ file here than announced (3 here, 2 announced)",
    ),
    "assembled_no_basecalling/no_group/no_sample/20240301_0900_P2S-00581-A_PAU00001_0a1b2c3d": (
        {POD5: 3},
        Verdict.PROVEN,
        "all files announced are here: 3 POD5 files",
    ),
}


@pytest.mark.parametrize("cell", CELLS, ids=[f"{cell.split('/')[0]} {cell[-8:]}" for cell in CELLS])
def test_every_tree_gets_its_verdict(cell: str) -> None:
    """The counts of files by kind, the verdict and its sentence are those of the index."""
    counts, verdict, why = CELLS[cell]
    contents = minknow.read_contents(opened(TREES / cell))
    completeness = judge(contents)
    assert {kind: count for kind, count in contents.files.items() if count} == counts
    assert (completeness.verdict, completeness.why) == (verdict, why)
    listed = [file.kind for file in minknow.data_files(opened(TREES / cell))]
    assert {kind: listed.count(kind) for kind in set(listed)} == counts


def test_every_cell_of_the_trees_is_found_and_expected() -> None:
    """Exactly the directories of the table are recognised as cells, by their names alone."""
    found = {
        str(path.relative_to(TREES))
        for path in TREES.glob("*/*/*/*")
        if naming.parse_cell(path.name)
    }
    assert found == set(CELLS)
    assert len({cell.split("/")[0] for cell in CELLS}) == 13  # the fourteenth tree is pooled


def test_pooled_acquisitions_are_found() -> None:
    """Only the library with two acquisitions and no cell directories has pooled cells."""
    run = TREES / "assembled_pooled" / "exp_pooled"
    found = minknow.find_pooled(opened(run / "sampleA"), "sampleA")
    assert [each.name for each in found.cells] == [
        "PBA00001_11111111_aaaaaaaa.pooled",
        "PBA00001_22222222_bbbbbbbb.pooled",
    ]
    assert not found.problems
    for each in found.cells:
        cell = CellId("sampleA", each.name)
        verdict = judge(minknow.read_contents(opened(run).open_cell(cell)))
        assert (verdict.verdict, verdict.why) == (
            Verdict.PROVEN,
            "all files announced are here: 1 FASTQ file",
        )
    for cell_path in CELLS:
        run, library = (TREES / cell_path).parents[1], (TREES / cell_path).parent.name
        assert not list(minknow.find_misplaced(opened(run), library, []))
        assert not minknow.may_be_pooled(library, os.listdir(run / library), 1)


def test_missing_and_surplus_files_are_counted() -> None:
    """The result has the differing counts and the fallback as numbers, beside the sentence."""
    short = judge(minknow.read_contents(opened(TREES / "assembled_short_of_files" / PHIX)))
    fallback = judge(minknow.read_contents(opened(TREES / "assembled_fallback" / PHIX)))
    assert short.shortfalls == (Shortfall(FASTQ, 3, 5),)
    assert fallback.shortfalls == (Shortfall(FASTQ, 3, 2),)
    assert fallback.fallback == {FASTQ: 1}


@pytest.mark.parametrize(
    ("folder", "counts", "hours", "flow_cell_type", "kit"),
    [
        ("2019-09_P48_PAE00827", {FASTQ: 786, FAST5: 786}, 22.41, None, None),
        ("2020-02_P48_PAE24142", {FASTQ: 2189, FAST5: 2189}, 64.8, "FLO-PRO002", "SQK-LSK109"),
        ("2022-03_P48_PAK00383", {FASTQ: 3125, FAST5: 3126}, 25.54, "FLO-PRO002", "SQK-LSK109"),
        ("2022-03_P48_RNA_PAK01185", {FASTQ: 1706, FAST5: 1706}, 72.0, "FLO-PRO002", "SQK-RNA002"),
        ("2022-11_P24_PAM83464", {FASTQ: 48, FAST5: 49}, 72.0, "FLO-PRO002", "SQK-LSK109"),
        (
            "2023-11_Mk1B_flongle_AOZ898",
            {FASTQ: 33, FAST5: 0, POD5: 38},
            24.0,
            "FLO-FLG114",
            "SQK-LSK114",
        ),
    ],
)
def test_final_summaries_of_every_era_are_read(
    folder: str,
    counts: dict[DataKind, int],
    hours: float,
    flow_cell_type: str | None,
    kit: str | None,
) -> None:
    """final_summary files of seven years give counts, run length, flow-cell type and kit."""
    (path,) = (SAMPLES / "final_summary" / folder).iterdir()
    summary = minknow.parse_summary(path.read_bytes(), path.name)
    facts = minknow.facts([summary])
    assert summary.problem == ""
    assert len(summary.acquisition) == 40
    assert announced([summary]) == counts
    assert (facts["run_hours"], facts.get("flow_cell_type"), facts.get("kit")) == (
        hours,
        flow_cell_type,
        kit,
    )
    assert ("position" in facts) is ("Mk1B" not in folder)


def test_a_half_written_summary_is_refused() -> None:
    """A final_summary cut in the middle of a key has a problem, whatever precedes the cut."""
    (path,) = (SAMPLES / "final_summary" / "2024-07_PromethION_PAW21164_cut_short").iterdir()
    summary = minknow.parse_summary(path.read_bytes(), path.name)
    assert summary.problem == f'{path.name} is half-written: its last line, "b", has no end'


def test_real_summaries_cut_anywhere_are_refused() -> None:
    """A real final_summary cut anywhere is refused, unless only its last line end is missing."""
    for path in (SAMPLES / "final_summary").glob("*/*"):
        data = path.read_bytes()
        if "cut_short" in str(path) or b"\n#" in data:
            continue
        for size in range(len(data.rstrip(b"\n"))):
            assert minknow.parse_summary(data[:size], path.name).problem, data[:size]


def test_listed_run_folder_names_are_cells() -> None:
    """The real directory name of each machine is accepted as a cell's name."""
    lines = (SAMPLES / "listings" / "run_folder_names.txt").read_text().splitlines()
    names = [line for line in lines if not line.startswith("#")]
    assert len(names) == 9
    for name in names:
        cell = naming.parse_cell(name)
        assert cell is not None
        assert (
            f"{cell.date}_{cell.time}_{cell.position}_{cell.flow_cell_id}_{cell.short_id}" == name
        )
