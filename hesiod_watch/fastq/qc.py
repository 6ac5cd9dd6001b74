"""Turn statistics into the numbers of `qc.json`: for the cell, its parts and its barcodes.

This is pure arithmetic over counts. The result does not depend on how the work was divided, or on
its order.

One rule, chosen for the whole cell, decides which mean Q is the main value (`mean_q.rule`):

- `qs` if every read has the tag `qs:f`: the basecaller's own number, which decided pass or fail;
- `mixed` if some reads have it: those reads by their tag, the others by the rule that follows;
- `skip60`, without the first 60 bases, for data of dorado's era;
- `whole` for older data, and for data of unknown age.

Data are of dorado's era if a header names a model with a version (`…_sup@v4.3.0`). If no header
names a model, they are if the first read started in 2023 or later.

Guppy judged reads by all their qualities. Dorado leaves out 60, because the start of an untrimmed
read is bad. MinKNOW trims barcodes only if it is configured to, and a FASTQ file does not show
whether it did. So barcodes in headers are no evidence of trimming. The rule is also the safe one.
The first 60 bases of a trimmed read are like the rest, so leaving them out changes little. Keeping
those of an untrimmed read makes one passed read in twenty look failed.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hesiod_watch.core.naming import DUPLEX_PARTS, PARTS
from hesiod_watch.core.times import iso
from hesiod_watch.fastq.joint_figures import joint_figures
from hesiod_watch.fastq.packed_statistics import CountTable, count_table
from hesiod_watch.fastq.statistics import (
    LENGTH_EDGES,
    YIELD_SECONDS,
    BamCounts,
    LengthDistribution,
    ReadStatistics,
)

MEANINGS: Final = {
    "qs": "arithmetic mean over reads of the basecaller's own mean Q, from the tag qs:f of each"
    " read",
    "skip60": "arithmetic mean over reads of -10*log10(mean error) over the qualities of each read,"
    " leaving out the first 60 bases of longer reads, as dorado does",
    "whole": "arithmetic mean over reads of -10*log10(mean error) over all qualities of each read",
    "mixed": "arithmetic mean over reads; of reads with a tag qs:f the basecaller's own mean Q,"
    " of the others -10*log10(mean error) over their qualities, {}",
    "none": "no reads",
}

DORADO_SINCE = datetime(2023, 1, 1, tzinfo=UTC)

YIELD_DAYS_LIMIT = 60
"""Days; runs take days, so a longer yield comes from a wrong clock and is left out."""


def qc_groups(written: Iterable[tuple[str | None, str, ReadStatistics]]) -> dict[str, Any]:
    """The keys "mean_q", "total", "pass", "fail", "skip" and "barcodes" of `qc.json`.

    `written` contains barcode (None: not barcoded), part and statistics of each output of one cell.
    The value of a part without outputs is None. Parts of duplex reads have keys only if there are
    outputs of them. Their molecules are in the other parts, too, so the total is without them,
    unless the cell has nothing else. Reads that a barcode's part has both as FASTQ and as BAM count
    once. Raises ValueError for an unknown part.
    """
    given: dict[str | None, dict[str, list[ReadStatistics]]] = {}
    for barcode, part, statistics in written:
        if part not in PARTS and part not in DUPLEX_PARTS:
            raise ValueError(f"unknown part {part!r}")
        given.setdefault(barcode, {}).setdefault(part, []).append(statistics)
    by_barcode = {
        barcode: {part: _of_both_formats(several) for part, several in parts.items()}
        for barcode, parts in given.items()
    }
    by_part = {
        part: _merged([parts[part] for parts in by_barcode.values() if part in parts])
        for part in (*PARTS, *DUPLEX_PARTS)
        if any(part in parts for parts in by_barcode.values())
    }
    counted = PARTS if any(part in by_part for part in PARTS) else DUPLEX_PARTS
    total = _of_parts(counted, by_part)
    bare_rule = "skip60" if dorado_era(total) else "whole"

    def groups(
        whole: ReadStatistics,
        parts: Mapping[str, ReadStatistics],
        numbers: Callable[[ReadStatistics, str], dict[str, Any]],
    ) -> dict[str, Any]:
        found: dict[str, Any] = {"total": numbers(whole, bare_rule)}
        for part in PARTS:
            found[part] = numbers(parts[part], bare_rule) if part in parts else None
        for part in DUPLEX_PARTS:
            if part in parts:
                found[part] = numbers(parts[part], bare_rule)
        return found

    barcodes = [
        {"barcode": name, **groups(_of_parts(counted, parts), parts, group)}
        for name, parts in by_barcode.items()
    ]
    barcodes.sort(key=lambda entry: (-entry["total"]["bases"], entry["barcode"] or ""))
    return {
        "mean_q": _mean_q(total, bare_rule),
        **groups(total, by_part, cell_group),
        "barcodes": barcodes,
    }


def dorado_era(statistics: ReadStatistics) -> bool:
    """Whether the basecaller leaves out the first 60 bases; see the module's docstring."""
    if statistics.models:
        return any("@" in model for model in statistics.models)
    start = statistics.first_start
    return start is not None and start >= DORADO_SINCE.timestamp() * 1_000_000


def cell_group(statistics: ReadStatistics, bare_rule: str) -> dict[str, Any]:
    """One GROUP of the whole cell: it has figures over time, too."""
    numbers = group(statistics, bare_rule)
    usable = numbers["yield"]["start"] is not None
    return numbers | joint_figures(statistics, bare_rule, times_usable=usable)


def group(statistics: ReadStatistics, bare_rule: str) -> dict[str, Any]:
    """One GROUP of `qc.json`.

    In the main Q, reads without a tag `qs:f` count by `bare_rule`: skip60 or whole.
    """
    reads, bases, lengths = statistics.reads, statistics.bases, count_table(statistics.lengths)
    totals = {kind: distribution.total for kind, distribution in statistics.qualities.items()}
    headline = _both(statistics.qualities["tagged.qs"], statistics.qualities[f"bare.{bare_rule}"])
    qualities = count_table(headline.reads)
    median_q = _median(qualities)
    return {
        "reads": reads,
        "bases": bases,
        "n50": _n50(lengths),
        "mean_length": bases / reads if reads else None,
        "median_length": _median(lengths),
        "shortest": min(statistics.lengths, default=None),
        "longest": max(statistics.lengths, default=None),
        "gc": statistics.gc / statistics.acgt if statistics.acgt else None,
        "mean_q": _mean(headline.total, reads),
        "median_q": None if median_q is None else median_q / 1000,
        "mean_q_whole": _mean(totals["tagged.whole"] + totals["bare.whole"], reads),
        "mean_q_skip60": _mean(totals["tagged.skip60"] + totals["bare.skip60"], reads),
        "mean_q_qs": _mean(totals["tagged.qs"], reads) if statistics.tagged == reads else None,
        **{f"reads_q{limit}": _at_least(qualities, 1000 * limit) for limit in (10, 15, 20)},
        "bases_q20": statistics.bases_q20 / bases if bases else None,
        "bases_q30": statistics.bases_q30 / bases if bases else None,
        "length_histogram": _length_histogram(lengths),
        "quality_histogram": _quality_histogram(qualities, headline.bases),
        "yield": _yield(statistics),
        "channels": {
            "active": len(statistics.channels),
            "reads": {
                str(channel): statistics.channels[channel]
                for channel in sorted(statistics.channels)
            },
        },
        **_bam(statistics.bam),
    }


def _bam(counts: BamCounts) -> dict[str, Any]:
    """The key "bam" of a GROUP; absent if none of its reads came in BAM."""
    if not counts.records:
        return {}
    return {
        "bam": {
            "reads": counts.reads,
            "records": counts.records,
            "aligned": counts.aligned,
            "duplex": counts.duplex,
            "modified": counts.modified,
            "modified_base_models": sorted(counts.modified_models),
        }
    }


def n50(lengths: Counter[int]) -> int | None:
    """Length of the read at which the running sum reaches half of all bases; None without reads.

    The sum begins with the longest read.
    """
    return _n50(count_table(lengths))


def _n50(lengths: CountTable) -> int | None:
    values, counts = lengths
    if not len(values):
        return None
    running = np.cumsum((values * counts)[::-1])
    return int(values[::-1][np.searchsorted(2 * running, running[-1])])


def _mean_q(total: ReadStatistics, bare_rule: str) -> dict[str, str]:
    if not total.reads:
        rule = "none"
    elif not total.tagged:
        rule = bare_rule
    else:
        rule = "qs" if total.tagged == total.reads else "mixed"
    which = (
        "leaving out the first 60 bases of longer reads" if bare_rule == "skip60" else "all of them"
    )
    return {"rule": rule, "meaning": MEANINGS[rule].format(which)}


def _merged(several: Collection[ReadStatistics]) -> ReadStatistics:
    """Merge all statistics. A single one is returned itself, and must not be changed."""
    if len(several) == 1:
        return next(iter(several))
    merged = ReadStatistics()
    for statistics in several:
        merged.merge(statistics)
    return merged


def _of_parts(counted: Iterable[str], parts: Mapping[str, ReadStatistics]) -> ReadStatistics:
    return _merged([parts[part] for part in counted if part in parts])


def _of_both_formats(several: Collection[ReadStatistics]) -> ReadStatistics:
    """Statistics of the outputs of one barcode and part: MinKNOW writes each read in each format.

    The numbers are those of FASTQ if there are any, with what only BAM shows.
    """
    fastq = [one for one in several if not one.bam.records]
    if len(fastq) == len(several) or not any(one.reads for one in fastq):
        return _merged(several)
    both = ReadStatistics()
    both.merge(_merged(fastq))
    for one in several:
        both.bam.merge(one.bam)
    return both


def _both(one: LengthDistribution, other: LengthDistribution) -> LengthDistribution:
    """Both together. If one is empty, the other itself is returned, and must not be changed."""
    if not one.reads or not other.reads:
        return one if one.reads else other
    both = LengthDistribution()
    both.merge(one)
    both.merge(other)
    return both


def _mean(total: int, reads: int) -> float | None:
    """Mean Q over reads from its sum in millionths."""
    return round(total / reads / 1_000_000, 6) if reads else None


def _median(table: CountTable) -> float | None:
    """Median of the values, each counted as often as it occurs; None without values.

    For an even number it is the mean of the middle two.
    """
    values, counts = table
    seen = np.cumsum(counts)
    if not len(seen) or not seen[-1]:
        return None
    total = int(seen[-1])
    first, second = np.searchsorted(seen, ((total + 1) // 2, total // 2 + 1))
    return (int(values[first]) + int(values[second])) / 2


def _at_least(table: CountTable, limit: int) -> int:
    """Number of values that are `limit` or more."""
    values, counts = table
    return int(counts[np.searchsorted(values, limit) :].sum())


def _by_class(table: CountTable, edges: Sequence[int], amounts: NDArray[np.int64]) -> list[int]:
    """Sums of `amounts`, one for each value of the table, between edges."""
    sums = np.concatenate(([0], np.cumsum(amounts)))[np.searchsorted(table[0], edges)]
    found: list[int] = np.diff(sums).tolist()
    return found


def _length_histogram(lengths: CountTable) -> dict[str, list[int]]:
    """Reads and bases by length, in bins that grow by an eighth, over the lengths that occur."""
    values, counts = lengths
    if not len(values):
        return {"edges": [], "reads": [], "bases": []}
    first, last = (bisect_right(LENGTH_EDGES, values[end]) - 1 for end in (0, -1))
    edges = list(LENGTH_EDGES[first : last + 2])
    return {
        "edges": edges,
        "reads": _by_class(lengths, edges, counts),
        "bases": _by_class(lengths, edges, values * counts),
    }


def _quality_histogram(qualities: CountTable, bases: Counter[int]) -> dict[str, Any]:
    size = max(bases, default=-1) + 1
    return {
        "start": 0.0,
        "width": 0.5,
        "reads": _by_class(qualities, range(0, 500 * size + 1, 500), qualities[1]),
        "bases": [bases[number] for number in range(size)],
    }


def _yield(statistics: ReadStatistics) -> dict[str, Any]:
    """Reads and bases per ten minutes. `start` is the start of the first read's bin."""
    bins = statistics.yield_reads
    numbers = range(min(bins, default=0), max(bins, default=-1) + 1)
    usable = 0 < len(numbers) <= YIELD_DAYS_LIMIT * 86400 // YIELD_SECONDS
    return {
        "start": iso(datetime.fromtimestamp(numbers[0] * YIELD_SECONDS, UTC)) if usable else None,
        "bin_seconds": YIELD_SECONDS,
        "reads": [bins[number] for number in numbers] if usable else [],
        "bases": [statistics.yield_bases[number] for number in numbers] if usable else [],
    }
