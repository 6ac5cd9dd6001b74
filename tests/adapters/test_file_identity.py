"""Identity of a cell's files by their names: gaps, doubled numbers, other acquisitions, lists."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from minknow_cells import A, B, cell_with, summary_text
from open_runs import opened
from output_hashes import write_output_hash

from hesiod_watch.core.cell_contents import Completeness, DataKind, Verdict
from hesiod_watch.rules.completeness import judge
from hesiod_watch.runs.minknow import read_contents

FASTQ, POD5, BAM = DataKind.FASTQ, DataKind.POD5, DataKind.BAM
PROTOCOL = "c6ded78b"
"""Short id of the cell's protocol run."""


def series(
    numbers: Iterable[int],
    place: str = "fastq_pass/barcode01",
    name: str = f"PAD38578_pass_barcode01_{PROTOCOL}_{A[:8]}",
    suffix: str = ".fastq.gz",
) -> list[str]:
    """Names of the files with these numbers."""
    return [f"{place}/{name}_{number}{suffix}" for number in numbers]


def judged(tmp_path: Path, names: Iterable[str], era: int = 2024, **counts: int) -> Completeness:
    """Judge a cell with these files, whose final_summary states these counts."""
    cell = cell_with(tmp_path, names)
    (cell / f"final_summary_PAD38578_{PROTOCOL}_{A[:8]}.txt").write_text(
        summary_text(A, era, **counts)
    )
    return judge(read_contents(opened(cell)))


def test_missing_files_are_named_by_their_numbers(tmp_path: Path) -> None:
    """A short count says which numbers have no file, and names at most five of them."""
    found = judged(tmp_path, series({*range(69)} - {12, 13, 40}), fastq=69)
    name = series([12])[0].removesuffix(".fastq.gz")
    assert found.why == f"3 of 69 FASTQ files missing ({name}, _13, _40)"
    assert found.verdict is Verdict.SHORT


def test_a_long_gap_is_named_in_few_words(tmp_path: Path) -> None:
    """A number far beyond the others costs neither memory nor a long sentence."""
    found = judged(tmp_path, series([0, 10**14]), fastq=9)
    name = series([1])[0].removesuffix(".fastq.gz")
    assert f"({name}, _2, _3, _4, _5 and 99999999999994 more)" in found.why


DOUBLED = {
    "with and without gzip": series([3], suffix=".fastq"),
    "in another barcode's directory": series([3], place="fastq_pass/barcode02"),
    "in the directory of failed reads": series([3], place="fastq_fail/barcode01"),
    "beside the barcodes": series([3], place="fastq_pass"),
}


@pytest.mark.parametrize("more", DOUBLED.values(), ids=DOUBLED)
def test_a_doubled_number_does_not_stand_for_a_missing_file(
    tmp_path: Path, more: list[str]
) -> None:
    """The count agrees, but one number is missing and another is there twice."""
    found = judged(tmp_path, [*series({*range(9)} - {5}), *more], fastq=9)
    missing = series([5])[0].removesuffix(".fastq.gz")
    assert found.verdict is Verdict.SHORT
    assert (
        f"1 of 9 FASTQ files missing ({missing}); 2 FASTQ files with the same number" in found.why
    )
    assert more[0] in found.why
    assert series([3])[0] in found.why


def test_a_doubled_number_stands_for_no_missing_last_file(tmp_path: Path) -> None:
    """The last file of a series leaves no gap, and the doubled one is found all the same."""
    found = judged(tmp_path, [*series(range(8)), *series([3], suffix=".fastq")], fastq=9)
    assert found.verdict is Verdict.SHORT
    assert found.why.startswith("1 of 9 FASTQ files missing; 2 FASTQ files with the same number")


FOREIGN = {
    "another acquisition": series([1], name=f"PAD38578_pass_barcode01_{PROTOCOL}_{B[:8]}"),
    "another protocol run": series([1], name=f"PAD38578_pass_barcode01_{'d' * 8}_{B[:8]}"),
    "another flow cell": series([1], name=f"PAX00000_pass_barcode01_{B[:8]}"),
    "an old name": series([1], name=f"PAD38578_{B}"),
    "no acquisition": series([1], name="merged"),
    "no number": ["fastq_pass/barcode01/all_reads.fastq.gz"],
}


@pytest.mark.parametrize("more", FOREIGN.values(), ids=FOREIGN)
def test_a_foreign_file_does_not_stand_for_a_missing_one(tmp_path: Path, more: list[str]) -> None:
    """The count agrees, but one file is of another acquisition, or of none."""
    found = judged(tmp_path, [*series({*range(9)} - {5}), *more], fastq=9)
    missing = series([5])[0].removesuffix(".fastq.gz")
    assert found.verdict is Verdict.SHORT
    assert found.why == (
        f"1 of 9 FASTQ files missing ({missing}); 1 FASTQ file of another acquisition: {more[0]}"
    )


@pytest.mark.parametrize("kind", ["another protocol run", "another flow cell"])
def test_a_file_of_another_run_is_surplus(tmp_path: Path, kind: str) -> None:
    """All files are here and one of another run: a person is told, and it is not a running cell."""
    found = judged(tmp_path, [*series(range(9)), *FOREIGN[kind]], fastq=9)
    assert found.verdict is Verdict.OVER
    assert f"1 FASTQ file of another acquisition: {FOREIGN[kind][0]}" in found.why


def test_a_file_of_another_run_without_a_count_is_surplus_too(tmp_path: Path) -> None:
    """A kind without a stated number is compared by name as well."""
    bam = series([0], place="bam_pass", name=f"PAD38578_pass_{'d' * 8}_{B[:8]}", suffix=".bam")
    found = judged(tmp_path, [*series(range(2)), *bam], era=2022, fastq=2)
    assert (found.verdict, found.why) == (
        Verdict.OVER,
        f"1 BAM file of another acquisition: {bam[0]}",
    )


def test_another_acquisition_of_the_same_run_still_runs(tmp_path: Path) -> None:
    """A second acquisition in the cell's directory has its files before its final_summary."""
    more = series(range(3), name=f"PAD38578_pass_barcode01_{PROTOCOL}_{B[:8]}")
    found = judged(tmp_path, [*series(range(9)), *more], fastq=9)
    assert (found.verdict, found.evidence) == (Verdict.RUNNING, ())


def test_a_gap_alone_is_reported_and_blocks_nothing(tmp_path: Path) -> None:
    """The count decides: a site may remove a file and correct the count, as in the samples."""
    found = judged(tmp_path, series({*range(9)} - {5}), fastq=8)
    name = series([5])[0].removesuffix(".fastq.gz")
    assert found.verdict is Verdict.PROVEN
    assert found.why == "all files announced are here: 8 FASTQ files"
    assert found.evidence == (f"1 number without a FASTQ file: {name}",)
    assert Completeness.from_record(found.record()) == Completeness(
        Verdict.PROVEN, found.why, evidence=found.evidence
    )


HEALTHY = {
    "pass, fail, two barcodes": [
        *series(range(3)),
        *series(range(2), "fastq_fail/barcode01", f"X_fail_barcode01_{PROTOCOL}_{A[:8]}"),
        *series(range(1), "fastq_pass/barcode02", f"X_pass_barcode02_{PROTOCOL}_{A[:8]}"),
    ],
    "2019": [
        *series(range(3), "fastq_pass", f"X_{A}", ".fastq"),
        *series(range(3), "fastq_fail", f"X_{A}", ".fastq"),
    ],
    "2020 without the barcode in the name": [
        *series(range(3), "fastq_pass/barcode01", f"X_pass_{A[:8]}"),
        *series(range(3), "fastq_pass/barcode02", f"X_pass_{A[:8]}"),
    ],
    "one sequence through all barcodes": [
        *series([0, 3], "fastq_pass/barcode01", f"X_pass_barcode01_{A[:8]}"),
        *series([1, 2, 5], "fastq_pass/barcode02", f"X_pass_barcode02_{A[:8]}"),
        *series([4], "fastq_fail/barcode02", f"X_fail_barcode02_{A[:8]}"),
    ],
    "duplex": [
        *series(range(3), "fastq_pass", f"X_pass_{PROTOCOL}_{A[:8]}"),
        *series(range(3), "fastq_pass_duplex", f"X_pass_{PROTOCOL}_{A[:8]}"),
    ],
    "some gzipped": [
        *series([0, 2], "fastq_pass", f"X_{A}", ".fastq"),
        *series([1], "fastq_pass", f"X_{A}", ".fastq.gz"),
    ],
    "aliases": [
        *series(range(3), "fastq_pass/Müller_1", f"X_pass_Müller_1_{PROTOCOL}_{A[:8]}"),
        *series(range(3), "fastq_pass/a.b", f"X_pass_a.b_{PROTOCOL}_{A[:8]}"),
    ],
    "skipped": [
        *series(range(2), "fastq_pass", f"X_pass_{PROTOCOL}_{A[:8]}"),
        *series(range(2), "fastq_fail", f"X_fail__{PROTOCOL}_{A[:8]}"),
        *series(range(2), "fastq_skip", f"X_skip_{PROTOCOL}_{A[:8]}"),
    ],
    "called again": series(range(3), "fastq_pass", f"X_pass_{B[:8]}"),
}


@pytest.mark.parametrize("names", HEALTHY.values(), ids=HEALTHY)
def test_whole_cells_of_every_era_show_nothing(tmp_path: Path, names: list[str]) -> None:
    """Names of each era and layout have neither gaps nor doubled numbers."""
    found = judged(tmp_path, names, fastq=len(names))
    assert (found.verdict, found.evidence) == (Verdict.PROVEN, ())


def test_a_summary_by_hand_covers_every_name(tmp_path: Path) -> None:
    """Files of recovered reads may have any name; the person who counted them decides."""
    cell = cell_with(tmp_path, [*series(range(2)), *FOREIGN["no acquisition"]])
    (cell / "final_summary_by_hand.txt").write_text("fastq_files_in_final_dest=3\n")
    assert judge(read_contents(opened(cell))).proven


# Kinds without a stated number.


def test_the_list_of_names_is_the_count(tmp_path: Path) -> None:
    """Without a stated number, the files that MinKNOW's checksums name must all be here."""
    bams = series(range(4), "bam_pass", f"X_pass_{PROTOCOL}_{A[:8]}", ".bam")
    write_output_hash(cell_with(tmp_path, bams))
    whole = judged(tmp_path, bams, era=2022)
    assert (whole.verdict, whole.unverified) == (Verdict.PROVEN, {})
    assert whole.why == "all files announced are here: 4 BAM files"
    (cell_with(tmp_path, []) / bams[1]).unlink()
    short = judged(tmp_path, [], era=2022)
    assert (short.verdict, short.why) == (
        Verdict.SHORT,
        f"1 of 4 BAM files missing ({bams[1]})",
    )


def test_a_file_that_the_list_does_not_name_is_not_verified(tmp_path: Path) -> None:
    """Not every file has a checksum; such a file is neither missing nor surplus."""
    bams = series(range(3), "bam_pass", f"X_pass_{PROTOCOL}_{A[:8]}", ".bam")
    write_output_hash(cell_with(tmp_path, bams[:2]))
    found = judged(tmp_path, bams, era=2022)
    assert (found.verdict, found.unverified) == (Verdict.PROVEN, {"bam": 1})


def test_a_listed_file_that_was_compressed_is_here(tmp_path: Path) -> None:
    """A site may compress its files: the other form counts."""
    plain = series(range(2), "fastq_pass", f"X_pass_{PROTOCOL}_{A[:8]}", ".fastq")
    cell = cell_with(tmp_path, plain)
    write_output_hash(cell)
    (cell / plain[0]).rename(cell / f"{plain[0]}.gz")
    (cell / "final_summary.txt").write_text("instrument=x\nfastq_files_in_fallback=0\n")
    assert judge(read_contents(opened(cell))).proven


# Keys of later versions.


def with_keys(tmp_path: Path, names: Iterable[str], keys: str) -> Completeness:
    """Judge a cell whose final_summary ends with `keys`, without a line feed."""
    fastq = series(range(2))
    cell = cell_with(tmp_path, [*fastq, *names])
    (cell / "final_summary.txt").write_text(summary_text(fastq=2, bam=2) + keys)
    return judge(read_contents(opened(cell)))


BAMS = series(range(2), "bam_pass", f"X_pass_{PROTOCOL}_{A[:8]}", ".bam")
INDEXES = [f"{name}.bai" for name in BAMS]


@pytest.mark.parametrize(
    ("names", "verdict", "why"),
    [
        pytest.param(INDEXES, Verdict.PROVEN, "2 BAI files", id="whole"),
        pytest.param(INDEXES[:1], Verdict.SHORT, "1 of 2 BAI files missing", id="one missing"),
    ],
)
def test_indexes_are_counted_where_their_number_is_stated(
    tmp_path: Path, names: list[str], verdict: Verdict, why: str
) -> None:
    """The key `bai_files_in_final_dest` is the last one of the newest MinKNOW."""
    found = with_keys(tmp_path, [*BAMS, *names], "bai_files_in_final_dest=2")
    assert found.verdict is verdict
    assert why in found.why


def test_indexes_without_a_number_do_not_matter(tmp_path: Path) -> None:
    """An index can be made again."""
    found = with_keys(tmp_path, [*BAMS, *INDEXES], "")
    assert (found.verdict, found.unverified) == (Verdict.PROVEN, {})
    assert "BAI" not in found.why


@pytest.mark.parametrize(
    ("keys", "verdict", "why"),
    [
        pytest.param(
            "cram_files_in_final_dest=3\n",
            Verdict.PROVEN,
            "3 CRAM files not verified: MinKNOW states no number that can be compared",
            id="unknown kind",
        ),
        pytest.param("cram_files_in_final_dest=0\n", Verdict.PROVEN, "2 BAM files", id="none"),
        pytest.param(
            "cram_files_in_fallback=3\n",
            Verdict.FALLBACK,
            "3 CRAM files are in MinKNOW's fallback folder on the sequencer",
            id="unknown kind in the fallback folder",
        ),
        pytest.param(
            "bai_files_in_fallback=1\n",
            Verdict.FALLBACK,
            "1 BAI file is in MinKNOW's fallback folder on the sequencer",
            id="index in the fallback folder",
        ),
    ],
)
def test_keys_of_unknown_kinds_count(tmp_path: Path, keys: str, verdict: Verdict, why: str) -> None:
    """Files of a kind that a later MinKNOW writes are not verified, and never forgotten."""
    found = with_keys(tmp_path, BAMS, keys)
    assert found.verdict is verdict
    assert found.why.endswith(why)
    assert Completeness.from_record(found.record()) is not None


@pytest.mark.parametrize(
    "key", ["pod5_files_lost=2", "cram_files_in_final_dest=many", "bam_files_in_transit=4"]
)
def test_other_keys_about_files_are_named(tmp_path: Path, key: str) -> None:
    """A key that is not understood is shown as it is."""
    found = with_keys(tmp_path, BAMS, f"{key}\n")
    assert found.evidence == (f"{key} in a final_summary is not understood",)
