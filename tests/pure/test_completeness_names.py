"""Verdict on a cell by the names of its files, by MinKNOW's lists, and by its later findings."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from snapshots import attempt

from hesiod_watch.core.cell_contents import (
    CellContents,
    Completeness,
    DataKind,
    FileNames,
    FinalSummary,
    ListedFiles,
    NamedFiles,
    Shortfall,
    Verdict,
)
from hesiod_watch.rules.completeness import (
    accept,
    judge,
    recorded,
    recorded_unverified,
    unverified_files,
    unverified_record,
    unverified_words,
    with_comparison,
    with_equal_files,
)

FASTQ, POD5, BAM = DataKind.FASTQ, DataKind.POD5, DataKind.BAM
FILES = NamedFiles(2, ("a_1.fastq", "a_2.fastq"))
ONE = NamedFiles(1, ("x.fastq",))


def summary(name: str = "final_summary_x.txt", **values: int | str) -> FinalSummary:
    """A final_summary of MinKNOW with these keys."""
    stated = {key: str(value) for key, value in values.items()}
    return FinalSummary(name, {"instrument": "X", "acquisition_run_id": "a" * 40, **stated})


def contents(*summaries: FinalSummary, **facts: Any) -> CellContents:
    """A cell with three FASTQ files that MinKNOW announced, changed by these facts."""
    usual: dict[str, Any] = {"files": {FASTQ: 3}}
    return CellContents(summaries or (summary(fastq_files_in_final_dest=3),), **(usual | facts))


VERDICTS: dict[str, tuple[CellContents, Verdict, str, tuple[str, ...]]] = {
    "a gap in the numbers": (
        contents(names={FASTQ: FileNames(gaps=NamedFiles(2, ("7", "9")))}),
        Verdict.PROVEN,
        "all files announced are here: 3 FASTQ files",
        ("2 numbers without a FASTQ file: 7, 9",),
    ),
    "one gap, and one file too few": (
        contents(files={FASTQ: 2}, names={FASTQ: FileNames(gaps=NamedFiles(1, ("7",)))}),
        Verdict.SHORT,
        "1 of 3 FASTQ files missing (7)",
        ("1 number without a FASTQ file: 7",),
    ),
    "two files of one number": (
        contents(names={FASTQ: FileNames(doubled=FILES, doubles=1)}),
        Verdict.SHORT,
        "1 of 3 FASTQ files missing; 2 FASTQ files with the same number: a_1.fastq, a_2.fastq",
        ("2 FASTQ files with the same number: a_1.fastq, a_2.fastq",),
    ),
    "two files of one number, and one more": (
        contents(files={FASTQ: 4}, names={FASTQ: FileNames(doubled=FILES, doubles=1)}),
        Verdict.OVER,
        "1 more FASTQ file here than announced (4 here, 3 announced);"
        " 2 FASTQ files with the same number: a_1.fastq, a_2.fastq",
        ("2 FASTQ files with the same number: a_1.fastq, a_2.fastq",),
    ),
    "a file of another acquisition": (
        contents(names={FASTQ: FileNames(foreign=ONE)}),
        Verdict.SHORT,
        "1 of 3 FASTQ files missing; 1 FASTQ file of another acquisition: x.fastq",
        ("1 FASTQ file of another acquisition: x.fastq",),
    ),
    "two foreign files more": (
        contents(files={FASTQ: 5}, names={FASTQ: FileNames(foreign=FILES)}),
        Verdict.OVER,
        "2 more FASTQ files here than announced (5 here, 3 announced);"
        " 2 FASTQ files of another acquisition: a_1.fastq, a_2.fastq",
        ("2 FASTQ files of another acquisition: a_1.fastq, a_2.fastq",),
    ),
    "everything in a list of names": (
        contents(
            summary(),
            files={POD5: 2},
            listed={POD5: ListedFiles(2)},
        ),
        Verdict.PROVEN,
        "all files announced are here: 2 POD5 files",
        (),
    ),
    "an empty list of names": (
        contents(summary(), files={}, listed={POD5: ListedFiles(0)}),
        Verdict.PROVEN,
        "no files were announced",
        (),
    ),
    "a count and a list": (
        contents(files={FASTQ: 3, POD5: 2}, listed={POD5: ListedFiles(2)}),
        Verdict.PROVEN,
        "all files announced are here: 3 FASTQ files, 2 POD5 files",
        (),
    ),
    "a file of the list is missing": (
        contents(
            files={FASTQ: 3, POD5: 1},
            listed={POD5: ListedFiles(2, absent=NamedFiles(1, ("b.pod5",)))},
        ),
        Verdict.SHORT,
        "1 of 2 POD5 files missing (b.pod5)",
        (),
    ),
    "a list of a kind that is counted": (
        contents(listed={FASTQ: ListedFiles(9, absent=ONE)}),
        Verdict.PROVEN,
        "all files announced are here: 3 FASTQ files",
        (),
    ),
    "files that the list does not name": (
        contents(files={FASTQ: 3, POD5: 4}, listed={POD5: ListedFiles(2, unnamed=2)}),
        Verdict.PROVEN,
        "all files announced are here: 3 FASTQ files, 2 POD5 files;"
        " 2 POD5 files not verified: MinKNOW states no number that can be compared",
        (),
    ),
    "a kind that this program does not know": (
        contents(summary(fastq_files_in_final_dest=3, cram_files_in_final_dest=2)),
        Verdict.PROVEN,
        "all files announced are here: 3 FASTQ files;"
        " 2 CRAM files not verified: MinKNOW states no number that can be compared",
        (),
    ),
    "an unknown kind in the fallback folder": (
        contents(summary(fastq_files_in_final_dest=3, cram_files_in_fallback=2)),
        Verdict.FALLBACK,
        "2 CRAM files are in MinKNOW's fallback folder on the sequencer",
        (),
    ),
    "a number that is none": (
        contents(summary(fastq_files_in_final_dest=3, cram_files_in_fallback="some")),
        Verdict.PROVEN,
        "all files announced are here: 3 FASTQ files",
        ("cram_files_in_fallback=some in a final_summary is not understood",),
    ),
    "a long key and a long value": (
        contents(
            FinalSummary(
                "x",
                {
                    "acquisition_run_id": "a" * 40,
                    "fastq_files_in_final_dest": "3",
                    "x" * 50 + "_files_in_trash": "y" * 61,
                },
            )
        ),
        Verdict.PROVEN,
        "all files announced are here: 3 FASTQ files",
        (f"{'x' * 50}_files_in_={'y' * 60} in a final_summary is not understood",),
    ),
    "another place": (
        contents(
            summary(fastq_files_in_final_dest=3, pod5_files_in_trash=2),
            summary("final_summary_y.txt", fastq_files_in_final_dest=3, pod5_files_in_trash=2),
        ),
        Verdict.PROVEN,
        "all files announced are here: 3 FASTQ files",
        ("pod5_files_in_trash=2 in a final_summary is not understood",),
    ),
    "another place without files": (
        contents(summary(fastq_files_in_final_dest=3, pod5_files_in_trash="00")),
        Verdict.PROVEN,
        "all files announced are here: 3 FASTQ files",
        (),
    ),
    "data of an unknown kind": (
        contents(unknown=("x: 1 CRAM file", "y: 2 files")),
        Verdict.PROVEN,
        "all files announced are here: 3 FASTQ files",
        ("data that are not counted and not processed: x: 1 CRAM file, y: 2 files",),
    ),
    "an acquisition without a summary": (
        contents(unsummarised=("b" * 8,)),
        Verdict.RUNNING,
        f"still running: acquisition {'b' * 8} has files here and no final_summary yet",
        (),
    ),
    "an acquisition without a summary, and a file too few": (
        contents(files={FASTQ: 2}, unsummarised=("b" * 8,)),
        Verdict.SHORT,
        "1 of 3 FASTQ files missing",
        (),
    ),
    "an acquisition without a summary, and a file too many": (
        contents(files={FASTQ: 4}, unsummarised=("b" * 8,)),
        Verdict.RUNNING,
        f"still running: acquisition {'b' * 8} has files here and no final_summary yet",
        (),
    ),
    "a stranger": (
        contents(
            unsummarised=("b" * 8,),
            strangers=frozenset({"b" * 8}),
            names={FASTQ: FileNames(gaps=NamedFiles(1, ("7",))), POD5: FileNames(foreign=ONE)},
        ),
        Verdict.OVER,
        "1 number without a FASTQ file: 7; 1 POD5 file of another acquisition: x.fastq",
        (
            "1 number without a FASTQ file: 7",
            "1 POD5 file of another acquisition: x.fastq",
        ),
    ),
    "a stranger, and an acquisition without a summary": (
        contents(unsummarised=("b" * 8, "c" * 8), strangers=frozenset({"b" * 8})),
        Verdict.RUNNING,
        f"still running: acquisitions {'b' * 8}, {'c' * 8} have files here and no final_summary"
        " yet",
        (),
    ),
    "no number in two summaries": (
        contents(summary(), summary("final_summary_y.txt")),
        Verdict.UNREADABLE,
        "no number of files in final_summary_x.txt and final_summary_y.txt:"
        " nothing proves that the data are here",
        (),
    ),
    "two summaries that cannot be read": (
        contents(
            FinalSummary("a", problem="a is half-written"),
            FinalSummary("b", problem="b is half-written"),
        ),
        Verdict.UNREADABLE,
        "a is half-written; b is half-written",
        (),
    ),
}


@pytest.mark.parametrize("case", VERDICTS)
def test_names_and_lists_decide(case: str) -> None:
    """Names, lists and unknown kinds give one verdict, its sentence and the evidence."""
    found, verdict, why, evidence = VERDICTS[case]
    judged = judge(found)
    assert (judged.verdict, judged.why, judged.evidence) == (verdict, why, evidence)
    assert judged.summaries == found.summaries


def test_shortfalls_count_the_files_that_can_be_those_announced() -> None:
    """A shortfall has the number of the files without doubled and foreign ones."""
    names = {FASTQ: FileNames(doubled=FILES, doubles=1, foreign=ONE)}
    listed = {POD5: ListedFiles(5, absent=NamedFiles(2, ("a", "b")))}
    judged = judge(contents(names=names, listed=listed))
    assert judged.shortfalls == (Shortfall(FASTQ, 1, 3), Shortfall(POD5, 3, 5))


@pytest.mark.parametrize("output_hashes", [False, True])
def test_the_verdict_knows_of_checksums(output_hashes: bool) -> None:
    """The verdict says whether MinKNOW wrote checksums, whatever it is."""
    running = CellContents((), {FASTQ: 3}, output_hashes=output_hashes)
    for found in (running, contents(output_hashes=output_hashes)):
        assert judge(found).output_hashes is output_hashes


def test_a_running_cell_has_no_other_words() -> None:
    """Without a final_summary nothing is unverified, and unknown data are not reported yet."""
    judged = judge(CellContents((), {FASTQ: 3}, unknown=("x: 1 CRAM file",)))
    assert (judged.unverified, judged.evidence) == ({}, ())


def test_a_directory_that_cannot_be_read_has_its_summaries() -> None:
    """The summaries of a cell that cannot be read in full are kept."""
    found = contents(readable=False, problem="pod5: permission denied")
    judged = judge(found)
    assert judged.summaries == found.summaries
    assert (judged.verdict, judged.why) == (Verdict.UNREADABLE, "pod5: permission denied")


def test_unverified_files() -> None:
    """Files that neither a count nor a list proves are counted by kind."""
    found = contents(
        summary(fastq_files_in_final_dest=3, cram_files_in_final_dest=2, sam_files_in_trash=4),
        summary("y", fastq_files_in_final_dest=3, cram_files_in_final_dest=1),
        files={FASTQ: 3, POD5: 4, BAM: 1, DataKind.FAST5: 0},
        listed={POD5: ListedFiles(3, unnamed=1)},
    )
    assert unverified_files(found) == {POD5: 1, BAM: 1, "cram": 3}
    assert judge(found).unverified == {POD5: 1, BAM: 1, "cram": 3}


def test_words_for_unverified_files() -> None:
    """The sentence has a number for each kind; there is none without such files."""
    assert unverified_words({}) == ""
    assert unverified_words({"bam": 1, "pod5": 2}) == (
        "1 BAM file, 2 POD5 files not verified: MinKNOW states no number that can be compared"
    )


def test_record_of_unverified_files() -> None:
    """The flag `synced` keeps the numbers; a damaged record has none."""
    found = Completeness(Verdict.PROVEN, "3 files", unverified={"bam": 1})
    assert unverified_record(found) == {"unverified": {"bam": 1}}
    assert recorded_unverified(unverified_record(found)) == {"bam": 1}
    assert unverified_record(replace(found, unverified={})) == {}
    for record in ({}, {"unverified": 3}, {"unverified": ["bam"]}, {"unverified": None}):
        assert recorded_unverified(record) == {}
    assert recorded_unverified({"unverified": {"bam": "1", "pod5": 2}}) == {"pod5": 2}


PROVEN = Completeness(Verdict.PROVEN, "3 files", evidence=("a gap",))
SHORT = Completeness(Verdict.SHORT, "1 file missing", evidence=("a gap",))
BAMS = NamedFiles(2, ("a.bam", "b.bam"))
MIXED = NamedFiles(2, ("a.bam", "b.fastq"))


@pytest.mark.parametrize(
    ("found", "equal", "verdict", "why"),
    [
        (
            PROVEN,
            FILES,
            Verdict.OVER,
            "2 FASTQ files with the same reads: a_1.fastq, a_2.fastq",
        ),
        (PROVEN, BAMS, Verdict.OVER, "2 BAM files with the same reads: a.bam, b.bam"),
        (PROVEN, MIXED, Verdict.OVER, "2 FASTQ files with the same reads: a.bam, b.fastq"),
        (
            SHORT,
            BAMS,
            Verdict.SHORT,
            "1 file missing; 2 BAM files with the same reads: a.bam, b.bam",
        ),
    ],
    ids=["proven", "BAM", "both kinds", "short"],
)
def test_files_with_the_same_reads(
    found: Completeness, equal: NamedFiles, verdict: Verdict, why: str
) -> None:
    """A cell with equal files is not proven; another verdict stays, with one more reason."""
    judged = with_equal_files(found, equal)
    assert (judged.verdict, judged.why) == (verdict, why)
    assert judged.evidence == ("a gap", why.removeprefix("1 file missing; "))
    assert with_equal_files(found, NamedFiles()) is found


@pytest.mark.parametrize("outcome", ["", "done", "failed"])
@pytest.mark.parametrize("found", [PROVEN, SHORT], ids=["proven", "short"])
def test_a_comparison_that_failed_is_damage(found: Completeness, outcome: str) -> None:
    """Only a proven cell whose comparison failed is damaged; the reason is that of the attempt."""
    judged = with_comparison(found, attempt(outcome, reason="1 file differs"))
    damaged = replace(found, verdict=Verdict.DAMAGED, why="1 file differs")
    assert judged == (damaged if found.proven and outcome == "failed" else found)


def test_an_accepted_cell_says_what_is_wrong() -> None:
    """A proven cell stays proven; any other verdict becomes that of a person."""
    assert accept(PROVEN) is PROVEN
    accepted = accept(SHORT)
    assert (accepted.verdict, accepted.why) == (
        Verdict.BY_HAND,
        "accepted as complete by a person; 1 file missing",
    )
    assert accepted.evidence == SHORT.evidence


OLD = "taken as complete by a person; 1 file missing"


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({}, None),
        ({"counted": "3 files"}, None),
        ({"counted": OLD}, Completeness(Verdict.BY_HAND, OLD)),
        ({"counted": OLD, "completeness": PROVEN.record()}, PROVEN),
        ({"counted": OLD, "completeness": None}, None),
        ({"completeness": SHORT.record()}, SHORT),
        ({"completeness": {"verdict": "?"}}, None),
    ],
    ids=["nothing", "counted", "0.1.0", "both", "empty", "a verdict", "damaged"],
)
def test_the_verdict_in_a_flag(record: dict[str, object], expected: Completeness | None) -> None:
    """The verdict is read from a flag of this version, and from one of version 0.1.0."""
    assert recorded(record) == expected
