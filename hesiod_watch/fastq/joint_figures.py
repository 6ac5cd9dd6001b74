"""Figures of two values of a read together: N50 and mean Q over time, and length against quality.

They are pure arithmetic over counts in coarse classes (`statistics`). Reads that an earlier version
of this program measured are not in these counts. A figure would then be of other reads than the
numbers beside it, so it is None.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from hesiod_watch.core.times import iso
from hesiod_watch.fastq.statistics import (
    LENGTH_CLASSES,
    LENGTH_EDGES,
    PERIOD_SECONDS,
    QUALITY_CLASSES,
    YIELD_SECONDS,
    ReadStatistics,
)

_BINS = PERIOD_SECONDS // YIELD_SECONDS  # yield bins of a period


def joint_figures(
    statistics: ReadStatistics, bare_rule: str, *, times_usable: bool
) -> dict[str, Any]:
    """The keys "over_time" and "length_quality" of a GROUP of `qc.json`.

    `bare_rule`: the rule for reads without a tag `qs:f`, as in `qc.group`. `times_usable`: the
    start times are those of one run.
    """
    kinds = [statistics.joint[kind] for kind in ("tagged.qs", f"bare.{bare_rule}")]
    reads: Counter[int] = Counter()
    for kind in kinds:
        reads.update(kind.by_length)
    whole = statistics.reads > 0 and reads.total() == statistics.reads
    qualities: Counter[int] = Counter()
    for kind in kinds:
        qualities.update(kind.by_period)
    return {
        "over_time": _over_time(statistics, qualities) if whole and times_usable else None,
        "length_quality": _length_quality(reads) if whole else None,
    }


def _over_time(statistics: ReadStatistics, qualities: Mapping[int, int]) -> dict[str, Any]:
    """Reads, their mean Q and their N50, by period."""
    reads: Counter[int] = Counter()
    for number, count in statistics.yield_reads.items():
        reads[number // _BINS] += count
    bases: dict[int, dict[int, int]] = {}
    for key, amount in statistics.period_bases.items():
        period, length_class = divmod(key, LENGTH_CLASSES)
        bases.setdefault(period, {})[length_class] = amount
    periods = range(min(reads), max(reads) + 1)
    return {
        "start": iso(datetime.fromtimestamp(periods[0] * PERIOD_SECONDS, UTC)),
        "bin_seconds": PERIOD_SECONDS,
        "reads": [reads[period] for period in periods],
        "mean_q": [
            round(qualities[period] / reads[period] / 1_000_000, 3) if reads[period] else None
            for period in periods
        ],
        "n50": [class_n50(bases.get(period, {})) for period in periods],
    }


def class_n50(bases: Mapping[int, int]) -> int | None:
    """N50 from the bases of each length class; None without reads.

    It is in the class of the exact N50, at the place that the bases of this class suggest.
    """
    whole, running = sum(bases.values()), 0
    for length_class in sorted(bases, reverse=True):
        amount = bases[length_class]
        if 2 * (running + amount) >= whole:
            low, top = LENGTH_EDGES[length_class], LENGTH_EDGES[length_class + 1] - 1
            share = (whole / 2 - running) / amount if amount else 0.0
            return round(top * (low / top) ** share) if top else 0
        running += amount
    return None


def _length_quality(reads: Mapping[int, int]) -> dict[str, Any]:
    """Reads by length class and whole Q, over the classes that occur."""
    lengths, qualities = zip(*(divmod(key, QUALITY_CLASSES) for key in reads), strict=True)
    first, start = min(lengths), min(qualities)
    table = [[0] * (max(qualities) + 1 - start) for _ in range(first, max(lengths) + 1)]
    for key, count in reads.items():
        length_class, quality = divmod(key, QUALITY_CLASSES)
        table[length_class - first][quality - start] = count
    return {
        "edges": list(LENGTH_EDGES[first : max(lengths) + 2]),
        "start": start,
        "width": 1,
        "reads": table,
    }
