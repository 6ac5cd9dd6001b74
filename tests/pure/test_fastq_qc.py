"""Statistics merge exactly, and give the defined numbers."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hesiod_watch.fastq.qc import group, n50, qc_groups
from hesiod_watch.fastq.statistics import KINDS, MODELS_LIMIT, LengthDistribution, ReadStatistics

counts = st.dictionaries(st.integers(0, 10**6), st.integers(1, 10**9), max_size=5).map(Counter)
distributions = st.builds(LengthDistribution, counts, counts, st.integers(0, 10**15))
many_statistics = st.builds(
    ReadStatistics,
    reads=st.integers(0, 10**9),
    bases=st.integers(0, 10**15),
    acgt=st.integers(0, 10**15),
    gc=st.integers(0, 10**15),
    bases_q20=st.integers(0, 10**15),
    bases_q30=st.integers(0, 10**15),
    lengths=counts,
    qualities=st.fixed_dictionaries(dict.fromkeys(KINDS, distributions)),
    channels=counts,
    yield_reads=counts,
    yield_bases=counts,
    first_start=st.none() | st.integers(0, 10**16),
    models=st.sets(st.text(max_size=9), max_size=4),
)


def reads_of(
    *lengths: int, quality: float = 10.0, tag: float | None = None, start: str = "", model: str = ""
) -> ReadStatistics:
    """Statistics of reads that all have one quality, and optionally a tag."""
    statistics = ReadStatistics(reads=len(lengths), bases=sum(lengths), lengths=Counter(lengths))
    kinds = {"bare.whole": quality, "bare.skip60": quality + 1}
    if tag is not None:
        kinds = {"tagged.whole": quality, "tagged.skip60": quality + 1, "tagged.qs": tag}
    for kind, value in kinds.items():
        distribution = statistics.qualities[kind]
        distribution.reads[int(value * 1000)] += len(lengths)
        distribution.bases[int(value * 2)] += sum(lengths)
        distribution.total += int(value * 1_000_000) * len(lengths)
    if start:
        moment = datetime.fromisoformat(start).timestamp()
        statistics.first_start = int(moment * 1_000_000)
        statistics.yield_reads[int(moment // 600)] += len(lengths)
        statistics.yield_bases[int(moment // 600)] += sum(lengths)
    if model:
        statistics.models.add(model)
    return statistics


def merged(*several: ReadStatistics) -> ReadStatistics:
    total = ReadStatistics()
    for statistics in several:
        total.merge(statistics)
    return total


@given(many_statistics, many_statistics, many_statistics)
def test_merging_in_any_order(
    one: ReadStatistics, two: ReadStatistics, three: ReadStatistics
) -> None:
    """Merging is commutative and associative, and empty statistics change nothing."""
    assert (
        merged(one, two, three)
        == merged(three, merged(two, one))
        == merged(merged(one, ReadStatistics()), two, three)
    )


def test_nonsense_models_are_bounded() -> None:
    """Headers with a different model per read do not fill the memory, in any order."""
    names = [f"model{number:04}" for number in range(200)]
    one, two = ReadStatistics(), ReadStatistics()
    one.saw_models(names[::-1])
    for name in names:
        two.saw_models([name])
    assert one.models == two.models
    assert len(one.models) == MODELS_LIMIT


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [
        ([], None),
        ([5], 5),
        ([1, 1, 1, 1], 1),
        ([2, 3, 5], 5),
        ([2, 2, 3, 3], 3),
        ([10, 1, 1, 1], 10),
        ([0, 0], 0),
    ],
    ids=[
        "no reads",
        "one read",
        "equal lengths",
        "half in the longest",
        "half in the two longest",
        "one long read",
        "no bases",
    ],
)
def test_n50(lengths: list[int], expected: int | None) -> None:
    """N50 is the length at which the sum, longest first, reaches half of the bases."""
    assert n50(Counter(lengths)) == expected


@pytest.mark.parametrize(
    ("lengths", "median"),
    [
        ([], None),
        ([3], 3),
        ([3, 4], 3.5),
        ([1, 5, 9], 5),
        ([2, 2, 2, 9], 2),
        ([1, 2, 2, 9, 9, 9], 5.5),
    ],
    ids=["no reads", "one read", "two reads", "three reads", "equal lengths", "six reads"],
)
def test_median_length(lengths: list[int], median: float | None) -> None:
    """The median of an even number of reads is the mean of the middle two."""
    assert group(reads_of(*lengths), "whole")["median_length"] == median


@pytest.mark.parametrize(
    ("statistics", "rule", "mean_q"),
    [
        pytest.param(ReadStatistics(), "none", None, id="no reads"),
        pytest.param(reads_of(100, 200, tag=12.5), "qs", 12.5, id="tag"),
        pytest.param(reads_of(100, 200), "whole", 10.0, id="no tag, no time"),
        pytest.param(
            reads_of(100, start="2022-12-31T23:59:59+00:00"), "whole", 10.0, id="before 2023"
        ),
        pytest.param(
            reads_of(100, start="2023-01-01T00:00:00+00:00"), "skip60", 11.0, id="since 2023"
        ),
        pytest.param(
            reads_of(
                100, start="2021-01-01T00:00:00+00:00", model="dna_r10.4.1_e8.2_400bps_hac@v4.2.0"
            ),
            "skip60",
            11.0,
            id="old time, model of v4.2",
        ),
        pytest.param(
            reads_of(100, start="2024-01-01T00:00:00+00:00", model="dna_r9.4.1_450bps_hac"),
            "whole",
            10.0,
            id="new time, R9 model",
        ),
        pytest.param(
            merged(reads_of(100, tag=14.0), reads_of(100)), "mixed", 12.0, id="tag for a half"
        ),
        pytest.param(
            merged(reads_of(100, tag=14.0), reads_of(100, model="x@v1.0.0")),
            "mixed",
            12.5,
            id="tag for a half, newer model",
        ),
    ],
)
def test_which_mean_q_is_the_headline(
    statistics: ReadStatistics, rule: str, mean_q: float | None
) -> None:
    """The basecaller's own Q if all reads have it, otherwise by era; the rule is named."""
    qc = qc_groups([(None, "pass", statistics)])
    assert qc["mean_q"]["rule"] == rule
    assert qc["mean_q"]["meaning"]
    assert qc["total"]["mean_q"] == mean_q
    assert (qc["total"]["mean_q_qs"] is not None) == (rule == "qs")


def test_the_rule_is_one_for_the_whole_cell() -> None:
    """A barcode without dated reads is judged by the era of its cell."""
    qc = qc_groups(
        [
            ("barcode01", "pass", reads_of(10, start="2024-01-01T00:00:00+00:00")),
            ("barcode02", "pass", reads_of(20)),
        ]
    )
    assert [entry["total"]["mean_q"] for entry in qc["barcodes"]] == [11.0, 11.0]


def test_groups_of_a_barcoded_cell() -> None:
    """Parts and barcodes are separate, barcodes sorted by bases; missing parts are null."""
    qc = qc_groups(
        [
            ("barcode01", "pass", reads_of(100)),
            ("barcode01", "fail", reads_of(50)),
            ("barcode02", "pass", reads_of(1000)),
            ("unclassified", "pass", ReadStatistics()),
        ]
    )
    assert (qc["total"]["bases"], qc["pass"]["bases"], qc["fail"]["bases"], qc["skip"]) == (
        1150,
        1100,
        50,
        None,
    )
    assert [entry["barcode"] for entry in qc["barcodes"]] == [
        "barcode02",
        "barcode01",
        "unclassified",
    ]
    assert [entry["total"]["bases"] for entry in qc["barcodes"]] == [1000, 150, 0]
    assert qc["barcodes"][0]["fail"] is None
    assert qc["barcodes"][2]["pass"]["mean_length"] is None
    assert json.loads(json.dumps(qc)) == qc


def test_no_outputs_at_all() -> None:
    """A cell without FASTQ has no barcodes and an empty total."""
    qc = qc_groups([])
    assert (qc["barcodes"], qc["pass"], qc["total"]["reads"], qc["total"]["n50"]) == (
        [],
        None,
        0,
        None,
    )


def test_an_unknown_part_is_a_mistake() -> None:
    """A part other than pass, fail and skip is refused; it would be missing from the groups."""
    with pytest.raises(ValueError, match="passed"):
        qc_groups([(None, "passed", ReadStatistics())])


@given(st.lists(st.integers(0, 5_000_000), max_size=50))
def test_length_histogram_holds_every_read(lengths: list[int]) -> None:
    """Every read is in the bin of its length, and the outer bins are not empty."""
    histogram: dict[str, Any] = group(reads_of(*lengths), "whole")["length_histogram"]
    edges = histogram["edges"]
    assert edges == sorted(set(edges))
    assert len(edges) == (len(histogram["reads"]) + 1 if lengths else 0)
    for low, high, reads, bases in zip(
        edges, edges[1:], histogram["reads"], histogram["bases"], strict=False
    ):
        assert reads == sum(low <= length < high for length in lengths)
        assert bases == sum(length for length in lengths if low <= length < high)
    assert sum(histogram["reads"]) == len(lengths)
    assert not lengths or (histogram["reads"][0] and histogram["reads"][-1])


def test_quality_histogram_and_counts() -> None:
    """Reads are counted by half Q, and at or above the limits."""
    total = group(
        merged(reads_of(7, quality=9.999), reads_of(5, 6, quality=10.0), reads_of(8, quality=20.3)),
        "whole",
    )
    histogram = total["quality_histogram"]
    assert (histogram["start"], histogram["width"], len(histogram["reads"])) == (0.0, 0.5, 41)
    assert {number: count for number, count in enumerate(histogram["reads"]) if count} == {
        19: 1,
        20: 2,
        40: 1,
    }
    assert {number: count for number, count in enumerate(histogram["bases"]) if count} == {
        19: 7,
        20: 11,
        40: 8,
    }
    assert (total["reads_q10"], total["reads_q15"], total["reads_q20"]) == (3, 1, 1)


def test_yield_starts_with_the_bin_of_the_first_read() -> None:
    """Bins without reads are included, and the start is the start of the first bin."""
    statistics = merged(
        reads_of(100, 1, start="2024-05-01T10:25:00+00:00"),
        reads_of(50, start="2024-05-01T12:05:00+02:00"),
    )
    assert group(statistics, "whole")["yield"] == {
        "start": "2024-05-01T10:00:00Z",
        "bin_seconds": 600,
        "reads": [1, 0, 2],
        "bases": [50, 0, 101],
    }


def test_a_wrong_clock_gives_no_yield() -> None:
    """Times years apart do not make a histogram of a million bins."""
    statistics = merged(
        reads_of(1, start="1970-01-01T00:10:00+00:00"),
        reads_of(1, start="2024-05-01T12:05:00+00:00"),
    )
    assert group(statistics, "whole")["yield"]["start"] is None
    assert datetime.fromtimestamp((statistics.first_start or 0) / 1e6, UTC).year == 1970


def test_duplex_reads_are_apart() -> None:
    """The totals are without duplex reads, which have numbers of their own."""
    simplex, failed, duplex = reads_of(100, 200), reads_of(50), reads_of(300)
    qc = qc_groups([("b", "pass", simplex), ("b", "fail", failed), ("b", "pass_duplex", duplex)])
    for groups in (qc, qc["barcodes"][0]):
        assert [groups[key]["reads"] for key in ("total", "pass", "fail")] == [3, 2, 1]
        assert groups["pass_duplex"]["bases"] == 300
        assert "fail_duplex" not in groups
    only = qc_groups([(None, "pass_duplex", duplex)])
    assert only["total"] == only["pass_duplex"]
    assert only["pass"] is None
