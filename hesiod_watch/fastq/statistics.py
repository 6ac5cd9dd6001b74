"""Statistics of reads: exact, and mergeable in any order.

Only counts and integer sums are kept (a mean Q is summed in millionths). So merging is exact, and
two ways of dividing the same reads give equal statistics. The size grows with the number of
different lengths, and with the duration of the run, not with the number of reads.

The mean Q of a read is -10·log10(mean(10^(-q/10))) over its qualities. It is computed over all of
them ("whole"), and without the first 60 if there are more ("skip60", dorado's rule). "qs" is the
basecaller's own value, from the header. All are kept here, separately for reads with and without
`qs`; `qc` decides which of them a report shows.

Two values of a read together (length and time, length and mean Q) are counted in coarse classes,
because the exact ones would be as many as the reads: periods of half an hour, 20 length classes to
a power of ten, and whole Q. So an output of a run of three days has about 10,000 counts for them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

YIELD_SECONDS = 600
"""Width of a yield bin in seconds; bins are counted from 1970, so that they can be merged."""

PERIOD_SECONDS = 3 * YIELD_SECONDS
"""Width of a period in seconds; the lengths and qualities of reads are known for each period.

A shorter one has too few reads for an N50, and a longer one is coarse for a run of a few hours.
"""

LENGTH_EDGES: Final = (0, *sorted({round(10 ** (step / 20)) for step in range(181)}))
"""Lower edges of the length classes, 20 to a power of ten up to 10^9 bases; empty reads first."""

LENGTH_CLASSES = 256
"""More than there are length classes: the place of a period in a number for period and class."""

QUALITY_CLASSES = 128
"""More than the highest Q: the place of a length class in a number for class and whole Q."""

MODELS_LIMIT = 50
"""Most model names kept. A cell has one or two; many more are garbage in the headers."""

KINDS = ("tagged.whole", "tagged.skip60", "tagged.qs", "bare.whole", "bare.skip60")
"""Kinds of mean Q: of reads with `qs` in the header (tagged) and without (bare)."""

HEADLINE_KINDS = ("tagged.qs", "bare.whole", "bare.skip60")
"""Kinds of mean Q that a report can show."""


@dataclass(slots=True)
class LengthDistribution:
    """Distribution of one kind of mean Q over reads."""

    reads: Counter[int] = field(default_factory=Counter)  # reads by Q in thousandths, rounded down
    bases: Counter[int] = field(default_factory=Counter)  # bases by half Q, rounded down
    total: int = 0  # sum of Q over reads, in millionths

    def merge(self, other: LengthDistribution) -> None:
        self.reads.update(other.reads)
        self.bases.update(other.bases)
        self.total += other.total


@dataclass(slots=True)
class JointQuality:
    """One kind of mean Q together with another value of the same read."""

    by_period: Counter[int] = field(default_factory=Counter)  # sum of Q over reads, in millionths
    by_length: Counter[int] = field(default_factory=Counter)  # reads by length class and whole Q

    def merge(self, other: JointQuality) -> None:
        self.by_period.update(other.by_period)
        self.by_length.update(other.by_length)


@dataclass(slots=True)
class BamCounts:
    """Counts of reads that came in BAM; all 0 for reads from FASTQ."""

    reads: int = 0
    records: int = 0  # reads, and their further alignments
    aligned: int = 0  # reads
    duplex: int = 0  # reads that the tag `dx` names so
    modified: int = 0  # reads with modified bases (tag MM)
    # Models that called the modified bases; where the header names none, the modifications.
    modified_models: set[str] = field(default_factory=set)

    def merge(self, other: BamCounts) -> None:
        self.reads += other.reads
        self.records += other.records
        self.aligned += other.aligned
        self.duplex += other.duplex
        self.modified += other.modified
        self.saw_models(other.modified_models)

    def saw_models(self, models: Iterable[str]) -> None:
        self.modified_models = _first_names(self.modified_models.union(models))


@dataclass(slots=True)
class ReadStatistics:
    """Statistics of some reads. Starts empty; `merge` adds."""

    reads: int = 0
    bases: int = 0
    acgt: int = 0  # bases that are A, C, G or T (U), in either case
    gc: int = 0
    bases_q20: int = 0
    bases_q30: int = 0
    lengths: Counter[int] = field(default_factory=Counter)
    qualities: dict[str, LengthDistribution] = field(
        default_factory=lambda: {kind: LengthDistribution() for kind in KINDS}
    )
    channels: Counter[int] = field(default_factory=Counter)
    yield_reads: Counter[int] = field(default_factory=Counter)  # by start time // YIELD_SECONDS
    yield_bases: Counter[int] = field(default_factory=Counter)
    period_bases: Counter[int] = field(default_factory=Counter)  # by period and length class
    # Without the reads that an earlier version of this program measured.
    joint: dict[str, JointQuality] = field(
        default_factory=lambda: {kind: JointQuality() for kind in HEADLINE_KINDS}
    )
    first_start: int | None = None  # earliest start of a read, microseconds since 1970
    models: set[str] = field(default_factory=set)
    bam: BamCounts = field(default_factory=BamCounts)

    @property
    def tagged(self) -> int:
        """Reads with `qs` in the header."""
        return self.qualities["tagged.qs"].reads.total()

    def merge(self, other: ReadStatistics) -> None:
        """Add the reads of `other`."""
        self.reads += other.reads
        self.bases += other.bases
        self.acgt += other.acgt
        self.gc += other.gc
        self.bases_q20 += other.bases_q20
        self.bases_q30 += other.bases_q30
        self.lengths.update(other.lengths)
        for kind, distribution in self.qualities.items():
            distribution.merge(other.qualities[kind])
        self.channels.update(other.channels)
        self.yield_reads.update(other.yield_reads)
        self.yield_bases.update(other.yield_bases)
        self.period_bases.update(other.period_bases)
        for kind, joint in self.joint.items():
            joint.merge(other.joint[kind])
        self.saw_start(other.first_start)
        self.saw_models(other.models)
        self.bam.merge(other.bam)

    def saw_start(self, start: int | None) -> None:
        if start is not None and (self.first_start is None or start < self.first_start):
            self.first_start = start

    def saw_models(self, models: Iterable[str]) -> None:
        self.models = _first_names(self.models.union(models))


def _first_names(names: set[str]) -> set[str]:
    """The alphabetically first names, so that the order of merging does not matter."""
    return set(sorted(names)[:MODELS_LIMIT])
