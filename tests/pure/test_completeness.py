"""Verdict on a cell's contents, and its sentence."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from hesiod_watch.core.cell_contents import CellContents, DataKind, FinalSummary, Shortfall, Verdict
from hesiod_watch.rules.completeness import announced, judge

FASTQ, FAST5, POD5, BAM = DataKind.FASTQ, DataKind.FAST5, DataKind.POD5, DataKind.BAM
A, B = "a" * 40, "b" * 40


def minknow(
    acquisition: str = A, name: str = "final_summary_x.txt", **counts: int | str
) -> FinalSummary:
    """Return a final_summary as MinKNOW writes it; counts are `fastq=3` or `fastq_fallback=1`."""
    values = {"instrument": "X", "acquisition_run_id": acquisition}
    for key, count in counts.items():
        kind, _, fallback = key.partition("_")
        values[f"{kind}_files_in_{'fallback' if fallback else 'final_dest'}"] = str(count)
    return FinalSummary(name, values)


def by_hand(**counts: int | str) -> FinalSummary:
    """Return a handwritten final_summary: a few counts, no ids."""
    values = minknow(A, "", **counts).values
    return FinalSummary(
        "final_summary_basecall_recovery.txt",
        {key: value for key, value in values.items() if "_files_in_" in key},
    )


@pytest.mark.parametrize(
    ("summaries", "files", "verdict", "why"),
    [
        pytest.param(
            [],
            {},
            Verdict.RUNNING,
            "still running: no final_summary yet",
            id="no summary, no files",
        ),
        pytest.param(
            [], {FASTQ: 3}, Verdict.RUNNING, "still running: no final_summary yet", id="no summary"
        ),
        pytest.param(
            [minknow(fastq=3)],
            {FASTQ: 3},
            Verdict.PROVEN,
            "all files announced are here: 3 FASTQ files",
            id="complete",
        ),
        pytest.param(
            [minknow(fastq=1, fast5=0, pod5=2)],
            {FASTQ: 1, POD5: 2},
            Verdict.PROVEN,
            "all files announced are here: 1 FASTQ file, 2 POD5 files",
            id="complete with pod5",
        ),
        pytest.param(
            [minknow(fastq=0, pod5=0)],
            {},
            Verdict.PROVEN,
            "no files were announced",
            id="nothing announced",
        ),
        pytest.param(
            [minknow(fastq=69)],
            {FASTQ: 66},
            Verdict.SHORT,
            "3 of 69 FASTQ files missing",
            id="3 missing",
        ),
        pytest.param(
            [minknow(fastq=1)], {}, Verdict.SHORT, "1 of 1 FASTQ file missing", id="all missing"
        ),
        pytest.param(
            [minknow(fastq=2, pod5=4)],
            {FASTQ: 1, POD5: 2},
            Verdict.SHORT,
            "1 of 2 FASTQ files missing; 2 of 4 POD5 files missing",
            id="two kinds missing",
        ),
        pytest.param(
            [minknow(fastq=22)],
            {FASTQ: 27},
            Verdict.OVER,
            "5 more FASTQ files here than announced (27 here, 22 announced)",
            id="surplus",
        ),
        pytest.param(
            [minknow(bam=0)],
            {BAM: 1},
            Verdict.OVER,
            "1 more BAM file here than announced (1 here, 0 announced)",
            id="surplus of a kind announced as 0",
        ),
        pytest.param(
            [minknow(fastq=2, pod5=2)],
            {FASTQ: 3, POD5: 1},
            Verdict.SHORT,
            "1 more FASTQ file here than announced (3 here, 2 announced); "
            "1 of 2 POD5 files missing",
            id="surplus and missing",
        ),
        pytest.param(
            [minknow(fastq=2, fastq_fallback=1)],
            {FASTQ: 2},
            Verdict.FALLBACK,
            "1 FASTQ file is in MinKNOW's fallback folder on the sequencer",
            id="fallback",
        ),
        pytest.param(
            [minknow(fastq=2, pod5_fallback=4)],
            {FASTQ: 1},
            Verdict.FALLBACK,
            "4 POD5 files are in MinKNOW's fallback folder on the sequencer; "
            "1 of 2 FASTQ files missing",
            id="fallback and missing",
        ),
        pytest.param(
            [minknow(bam_fallback=1)],
            {},
            Verdict.FALLBACK,
            "1 BAM file is in MinKNOW's fallback folder on the sequencer",
            id="fallback only",
        ),
        # MinKNOW core 5.5.3 announced no number of its POD5 files; in 2022, none of its BAM files.
        pytest.param(
            [minknow(fastq=2)],
            {FASTQ: 2, POD5: 1, BAM: 2},
            Verdict.PROVEN,
            "all files announced are here: 2 FASTQ files; "
            "1 POD5 file, 2 BAM files not verified: MinKNOW states no number that can be compared",
            id="kinds without a number",
        ),
        pytest.param(
            [minknow(fastq=2, pod5="")],
            {FASTQ: 2},
            Verdict.PROVEN,
            "all files announced are here: 2 FASTQ files",
            id="an empty number",
        ),
        pytest.param(
            [minknow(fastq=2, bam=2)],
            {FASTQ: 2},
            Verdict.SHORT,
            "2 of 2 BAM files missing",
            id="a kind is missing",
        ),
        pytest.param(
            [minknow()],
            {FASTQ: 2},
            Verdict.UNREADABLE,
            "no number of files in final_summary_x.txt: nothing proves that the data are here",
            id="no number",
        ),
        pytest.param(
            [minknow(fastq="", fastq_fallback=0)],
            {FASTQ: 2},
            Verdict.UNREADABLE,
            "no number of files in final_summary_x.txt: nothing proves that the data are here",
            id="only a fallback number",
        ),
    ],
)
def test_counts_decide(
    summaries: list[FinalSummary], files: Mapping[DataKind, int], verdict: Verdict, why: str
) -> None:
    """Announced, present and fallback counts give one verdict and one sentence."""
    completeness = judge(CellContents(tuple(summaries), files))
    assert (completeness.verdict, completeness.why) == (verdict, why)
    assert completeness.proven is (verdict is Verdict.PROVEN)
    assert completeness.summaries == tuple(summaries)


@pytest.mark.parametrize(
    ("summaries", "expected"),
    [
        pytest.param([minknow(A, fastq=3), minknow(B, fastq=4)], {FASTQ: 7}, id="two acquisitions"),
        # The same acquisition twice (a copy, or a corrected file) counts once; for each key the
        # later file wins.
        pytest.param([minknow(A, fastq=3), minknow(A, fastq=3)], {FASTQ: 3}, id="a copy"),
        pytest.param(
            [minknow(A, fastq=3, pod5=1), minknow(A, fastq=5)],
            {FASTQ: 5, POD5: 1},
            id="a correction",
        ),
        pytest.param(
            [minknow(A, fastq=3), minknow(B, fastq=4), minknow(A, fastq=5)],
            {FASTQ: 9},
            id="a correction of one of two",
        ),
        pytest.param(
            [
                FinalSummary(
                    "by hand", {"acquisition_run_id": A, "fastq_files_in_final_dest": "9"}
                ),
                minknow(A, fastq=3),
            ],
            {FASTQ: 9},
            id="an older file by hand, with an id",
        ),
        # A kind is not summed if one acquisition states no number for it.
        pytest.param(
            [minknow(A, fastq=3, pod5=1), minknow(B, fastq=4)],
            {FASTQ: 7},
            id="a kind without a number",
        ),
        # A handwritten file without an acquisition replaces the counts that it states, even if it
        # is the older file.
        pytest.param(
            [minknow(A, fastq=3, fast5=2), by_hand(fastq=40)],
            {FASTQ: 40, FAST5: 2},
            id="by hand, newer",
        ),
        pytest.param(
            [by_hand(fastq=40), minknow(A, fastq=3, fast5=2)],
            {FASTQ: 40, FAST5: 2},
            id="by hand, older",
        ),
        pytest.param(
            [minknow(A, fastq=3), minknow(B, fastq=4), by_hand(fastq=40)],
            {FASTQ: 40},
            id="by hand, for two acquisitions",
        ),
        pytest.param([by_hand(fastq=3, fast5=3)], {FASTQ: 3, FAST5: 3}, id="by hand only"),
        pytest.param([by_hand(fastq=3), by_hand(fastq=4)], {FASTQ: 4}, id="by hand, twice"),
        pytest.param([minknow(A, fastq=3), by_hand(fastq="")], {FASTQ: 3}, id="by hand, empty"),
        pytest.param(
            [
                minknow(A, fastq=3),
                FinalSummary("x", {"fastq_files_in_final_dest": "9"}, "x is half-written"),
            ],
            {FASTQ: 3},
            id="half-written",
        ),
        pytest.param([], {}, id="none"),
    ],
)
def test_counts_of_several_summaries(
    summaries: list[FinalSummary], expected: Mapping[DataKind, int]
) -> None:
    """Counts are summed over acquisitions; repeated and handwritten files correct them."""
    assert announced(summaries) == expected


def test_a_person_can_settle_a_fallback_by_a_summary_of_their_own() -> None:
    """After files were copied from the fallback folder, a handwritten file proves the cell."""
    summaries = (minknow(fastq=2, fastq_fallback=1), by_hand(fastq=3, fastq_fallback=0))
    assert judge(CellContents(summaries, {FASTQ: 3})).proven


def test_the_fallback_of_one_acquisition_is_not_hidden_by_another() -> None:
    """The fallback of one acquisition counts even if another acquisition states none."""
    contents = CellContents(
        (minknow(A, fastq=2, fastq_fallback=1), minknow(B, fastq=1)), {FASTQ: 3}
    )
    completeness = judge(contents)
    assert completeness.verdict is Verdict.FALLBACK
    assert completeness.fallback == {FASTQ: 1}


def test_numbers_are_given_beside_the_sentence() -> None:
    """Every wrong count is a shortfall, too many files as well as too few."""
    contents = CellContents((minknow(fastq=3, fast5=4, pod5=5),), {FASTQ: 1, FAST5: 9, POD5: 5})
    assert judge(contents).shortfalls == (Shortfall(FASTQ, 1, 3), Shortfall(FAST5, 9, 4))


@pytest.mark.parametrize(
    ("acquisitions", "why"),
    [
        (
            ("bbbbbbbb",),
            "still running: acquisition bbbbbbbb has files here and no final_summary yet",
        ),
        (
            ("bbbbbbbb", "cccccccc"),
            "still running: acquisitions bbbbbbbb, cccccccc have files here "
            "and no final_summary yet",
        ),
    ],
    ids=["one", "two"],
)
def test_every_acquisition_needs_its_summary(acquisitions: tuple[str, ...], why: str) -> None:
    """A cell still runs while an acquisition lacks its final_summary, even if the counts agree."""
    completeness = judge(CellContents((minknow(fastq=3),), {FASTQ: 3}, unsummarised=acquisitions))
    assert (completeness.verdict, completeness.why) == (Verdict.RUNNING, why)


def test_one_bad_summary_is_enough() -> None:
    """A half-written or unreadable file decides, despite a good one or counts that agree."""
    bad = FinalSummary(
        "final_summary_y.txt", {}, "final_summary_y.txt is half-written: it ends before x"
    )
    completeness = judge(CellContents((minknow(fastq=3), bad), {FASTQ: 3}))
    assert (completeness.verdict, completeness.why) == (Verdict.UNREADABLE, bad.problem)


def test_unlisted_directories_prove_nothing() -> None:
    """Counts of an incompletely listed directory are not trusted."""
    contents = CellContents(
        (minknow(fastq=3),), {FASTQ: 3}, readable=False, problem="c/pod5 cannot be read: I/O error"
    )
    completeness = judge(contents)
    assert (completeness.verdict, completeness.why) == (Verdict.UNREADABLE, contents.problem)


def test_links_left_out_are_mentioned() -> None:
    """The sentence gives the reason for a short count."""
    contents = CellContents((minknow(fastq=3),), {FASTQ: 2}, problem="not counted: x")
    assert judge(contents).why == "1 of 3 FASTQ files missing; not counted: x"


def test_names_in_sentences_are_harmless() -> None:
    """A hostile file name cannot reach a terminal through the sentence."""
    contents = CellContents((minknow(name="final_summary_\x1b[2J\n.txt"),), {})
    assert judge(contents).why.isprintable()
