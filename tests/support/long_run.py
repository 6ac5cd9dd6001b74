"""Statistics of a cell of 96 barcodes, three days and hundreds of millions of reads; no reads.

They have as many different lengths, qualities, channels and half hours as real ones, because these,
not the reads, decide what statistics, documents and pages cost.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hesiod_watch.fastq.statistics import (
    LENGTH_CLASSES,
    LENGTH_EDGES,
    PERIOD_SECONDS,
    QUALITY_CLASSES,
    YIELD_SECONDS,
    ReadStatistics,
)

BEGIN = 1_790_000_000 // YIELD_SECONDS  # a yield bin in 2026
HOURS = 72
CHANNELS = 3000
MODEL = "dna_r10.4.1_e8.2_400bps_hac@v5.0.0"

Output = tuple[str | None, str, ReadStatistics]


@dataclass(frozen=True)
class LongRun:
    """Size of the cell: `sampled` reads of each output stand for its share of `reads`."""

    barcodes: int = 96
    reads: int = 300_000_000
    sampled: int = 60_000

    def outputs(self) -> list[Output]:
        rng = np.random.default_rng(2026)
        labels = [f"barcode{number:02}" for number in range(1, self.barcodes + 1)]
        each = self.reads // (len(labels) + 1)
        return [
            (label, part, self._statistics(rng, round(each * share), length, quality))
            for label in [*labels, "unclassified"]
            for part, share, length, quality in (
                ("pass", 0.9, 4000.0, 18.0),
                ("fail", 0.1, 1500.0, 7.5),
            )
        ]

    def _statistics(
        self, rng: np.random.Generator, reads: int, length: float, quality: float
    ) -> ReadStatistics:
        count = min(self.sampled, reads)
        weight = reads // count
        lengths = rng.lognormal(np.log(length), 0.8, count).astype(np.int64) + 50
        qualities = np.clip(rng.normal(quality, 2.5, count), 1, 45)
        bins = BEGIN + (rng.beta(1, 1.6, count) * HOURS * 3600 / YIELD_SECONDS).astype(np.int64)
        classes = np.searchsorted(LENGTH_EDGES[:-1], lengths, "right") - 1
        periods = bins // (PERIOD_SECONDS // YIELD_SECONDS)
        bases = weight * int(lengths.sum())
        found = ReadStatistics(
            reads=weight * count,
            bases=bases,
            acgt=bases,
            gc=round(bases * 0.42),
            bases_q20=round(bases * 0.7),
            bases_q30=round(bases * 0.3),
            lengths=_counts(lengths, weight),
            channels=_counts(rng.integers(1, CHANNELS + 1, count), weight),
            yield_reads=_counts(bins, weight),
            yield_bases=_counts(bins, weight, lengths),
            period_bases=_counts(periods * LENGTH_CLASSES + classes, weight, lengths),
            first_start=int(bins.min()) * YIELD_SECONDS * 1_000_000,
            models={MODEL},
        )
        for kind, shift in (("tagged.whole", -0.5), ("tagged.skip60", 0.0), ("tagged.qs", 0.1)):
            values = ((qualities + shift).clip(0) * 1_000_000).astype(np.int64)
            distribution = found.qualities[kind]
            distribution.reads = _counts(values // 1000, weight)
            distribution.bases = _counts(values // 500_000, weight, lengths)
            distribution.total = weight * int(values.sum())
            if joint := found.joint.get(kind):
                joint.by_period = _counts(periods, weight, values)
                joint.by_length = _counts(classes * QUALITY_CLASSES + values // 1_000_000, weight)
        return found


def _counts(
    values: NDArray[np.int64], weight: int, amounts: NDArray[np.int64] | None = None
) -> Counter[int]:
    """Reads by value, or the sums of `amounts` by value, `weight` times."""
    distinct, places = np.unique(values, return_inverse=True)
    sums = np.bincount(places, amounts, len(distinct)).astype(np.int64) * weight
    return Counter(dict(zip(distinct.tolist(), sums.tolist(), strict=True)))
