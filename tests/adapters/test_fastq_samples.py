"""Real reads give the numbers that other programs compute for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from output_writing import write_outputs
from samples import SAMPLES, needs_samples

from hesiod_watch.core.errors import BadSource
from hesiod_watch.fastq.model import Output, Settings
from hesiod_watch.fastq.qc import qc_groups
from hesiod_watch.fastq.sources import look
from hesiod_watch.fastq.verify import verify

CELL_07_09 = (
    "trees/gridion_real_reads/20200311-POOLED/mIXED/20200311_1427_X1_FAK72834_a3787181/fastq_pass"
)
DONE = (
    "trees/assembled_done/rbk_bc01_phix_circular_dsdna/rbk_bc01_phix_circular_dsdna_for_Tom/"
    "20210326_1221_X2_FAP96013_5c8ca1b1"
)

pytestmark = needs_samples

# The files, and: reads, bases, N50, median length, longest, mean Q, median Q, mean Q without 60,
# reads of Q >= 10.
TABLE = [
    ("fastq/keyvalue_*.fastq", 41, 183_364, 5_420, 5_382, 10_581, 11.22, 10.79, 11.46, 28),
    (
        "fastq/sam_tags_PAM14583_*.fastq",
        20,
        261_268,
        31_127,
        2_777,
        43_346,
        18.90,
        19.02,
        19.56,
        20,
    ),
    (
        "fastq/sam_tags_PAS15247_*.fastq.gz",
        21,
        533_743,
        33_277,
        26_532,
        51_091,
        19.91,
        20.54,
        19.97,
        21,
    ),
    ("fastq/output_spec_2601_1read.fastq.gz", 1, 4, 4, 4, 4, 40.00, 40.00, 40.00, 1),
    (
        f"{CELL_07_09}/barcode07/*.fastq",
        1_720,
        1_063_169,
        529,
        518,
        2_492,
        10.61,
        10.71,
        10.75,
        1_096,
    ),
    (f"{CELL_07_09}/barcode09/*.fastq", 1_464, 868_206, 525, 518, 2_630, 10.52, 10.56, 10.72, 901),
    (f"{CELL_07_09}/*/*.fastq", 3_184, 1_931_375, 526, 518, 2_630, 10.57, 10.64, 10.73, 1_997),
    (f"{DONE}/fastq_pass/*/*.gz", 28, 129_050, 5_427, 5_412.5, 10_581, 12.27, 12.40, 12.49, 28),
    (f"{DONE}/fastq_fail/*/*.gz", 13, 54_314, 5_382, 5_298, 5_538, 8.97, 8.93, 9.25, 0),
    (f"{DONE}/fastq_*/*/*.gz", 41, 183_364, 5_420, 5_382, 10_581, 11.22, 10.79, 11.46, 28),
    (
        "trees/assembled_pooled/*/*/fastq_pass/*.gz",
        20,
        261_268,
        31_127,
        2_777,
        43_346,
        18.90,
        19.02,
        19.56,
        20,
    ),
]
GC = {
    "fastq/keyvalue_*.fastq": 44.59,
    "fastq/sam_tags_PAM14583_*.fastq": 40.48,
    "fastq/sam_tags_PAS15247_*.fastq.gz": 40.21,
    "fastq/output_spec_2601_1read.fastq.gz": 50.00,
}


def qc_of(pattern: str, tmp_path: Path, settings: Settings) -> dict[str, Any]:
    """Write the files that match `pattern` as one output, verify it, and compute its QC."""
    sources = tuple(look(path, path.name) for path in sorted(SAMPLES.glob(pattern)))
    assert sources
    [written] = write_outputs([Output("out.fastq.gz", None, "pass", sources)], tmp_path, settings)
    verify(written.path, md5=written.md5, reads=written.reads, bases=written.bases)
    return qc_groups([(None, "pass", written.statistics)])


@pytest.mark.parametrize("recompress", [False, True], ids=["members kept", "recompressed"])
@pytest.mark.parametrize("row", TABLE, ids=[row[0] for row in TABLE])
def test_numbers_of_real_reads(row: tuple[Any, ...], recompress: bool, tmp_path: Path) -> None:
    """Counts agree exactly, mean Q to a hundredth, for members kept or compressed again."""
    pattern, reads, bases, n50, median, longest, q_whole, median_q, q_skip60, q10 = row
    qc = qc_of(pattern, tmp_path, Settings(recompress=recompress))
    total = qc["total"]
    assert (total["reads"], total["bases"], total["n50"]) == (reads, bases, n50)
    assert (total["median_length"], total["longest"]) == (median, longest)
    assert total["mean_q_whole"] == pytest.approx(q_whole, abs=0.01)
    assert total["mean_q_skip60"] == pytest.approx(q_skip60, abs=0.01)
    if qc["mean_q"]["rule"] == "whole":
        assert total["median_q"] == pytest.approx(median_q, abs=0.01)
        assert total["reads_q10"] == q10
    if pattern in GC:
        assert 100 * total["gc"] == pytest.approx(GC[pattern], abs=0.005)


def test_the_tag_decides_if_every_read_has_it(tmp_path: Path) -> None:
    """If every read has qs:f it decides; it agrees with skip60 for untrimmed reads."""
    qc = qc_of("fastq/sam_tags_PAS15247_*", tmp_path, Settings())
    total = qc["total"]
    assert qc["mean_q"]["rule"] == "qs"
    assert total["mean_q"] == total["mean_q_qs"] == pytest.approx(total["mean_q_skip60"], abs=0.02)


def test_placeholder_files_are_refused_by_name(tmp_path: Path) -> None:
    """Files named .fastq with one line of text give an error with path and place."""
    [path] = SAMPLES.glob("trees/gridion_placeholders/**/fastq_pass/*_1.fastq")
    with pytest.raises(BadSource, match="record 1, line 1") as caught:
        write_outputs(
            [Output("o.gz", None, "pass", (look(path, path.name),))], tmp_path, Settings()
        )
    assert caught.value.path == path
    assert not (tmp_path / "o.gz").exists()


def test_a_file_that_is_being_written_is_truncated_gzip(tmp_path: Path) -> None:
    """A .fastq.gz cut in the middle of its stream is reported as truncated."""
    [path] = SAMPLES.glob("trees/assembled_running/**/fastq_pass/*/*_1.fastq.gz")
    with pytest.raises(BadSource, match="truncated gzip"):
        write_outputs(
            [Output("o.gz", None, "pass", (look(path, path.name),))], tmp_path, Settings()
        )
