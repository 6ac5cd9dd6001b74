"""Groups of reads in a qc document: their numbers, and the parts of a cell or barcode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any

from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.naming import PARTS
from hesiod_watch.report.formatting import parse_moment
from hesiod_watch.report.tolerant import (
    fraction,
    known_numbers,
    mapping,
    number,
    numbers,
    strings,
    text,
)


@frozen
class HistogramBin:
    """Class of a histogram: `low` is included, `high` is not."""

    low: float
    high: float
    reads: float
    bases: float


@frozen
class ReadGroup:
    """Numbers about a set of reads. Lengths in bases, qualities in Phred, fractions 0 to 1."""

    raw: Mapping[str, Any]

    def value(self, key: str) -> float | None:
        return number(self.raw.get(key))

    @property
    def reads(self) -> float:
        return self.value("reads") or 0

    @property
    def bases(self) -> float:
        return self.value("bases") or 0

    @property
    def bam(self) -> ReadGroup:
        """Counts of the reads that came in BAM; without a value if there are none."""
        return ReadGroup(mapping(self.raw.get("bam")))

    @property
    def modified_base_models(self) -> tuple[str, ...]:
        return tuple(strings(self.raw.get("modified_base_models")))

    @cached_property
    def lengths(self) -> tuple[HistogramBin, ...]:
        histogram = mapping(self.raw.get("length_histogram"))
        edges = numbers(histogram.get("edges"))
        reads, bases = numbers(histogram.get("reads")), numbers(histogram.get("bases"))
        return tuple(
            HistogramBin(low, high, count, amount)
            for low, high, count, amount in zip(edges, edges[1:], reads, bases, strict=False)
            if 0 < low < high
        )

    @cached_property
    def qualities(self) -> tuple[HistogramBin, ...]:
        histogram = mapping(self.raw.get("quality_histogram"))
        start, width = number(histogram.get("start")) or 0.0, number(histogram.get("width")) or 0.5
        reads, bases = numbers(histogram.get("reads")), numbers(histogram.get("bases"))
        return tuple(
            HistogramBin(start + index * width, start + (index + 1) * width, count, amount)
            for index, (count, amount) in enumerate(zip(reads, bases, strict=False))
        )

    @cached_property
    def yields(self) -> YieldOverTime | None:
        """Bases per bin of time; None if the read headers have no times."""
        yields = mapping(self.raw.get("yield"))
        start, seconds = parse_moment(text(yields.get("start"))), number(yields.get("bin_seconds"))
        bases = tuple(numbers(yields.get("bases")))
        return (
            YieldOverTime(start, seconds, bases)
            if start is not None and seconds and seconds > 0 and bases
            else None
        )

    @cached_property
    def over_time(self) -> FiguresOverTime | None:
        """Mean Q and N50 per period; None if they are not known."""
        found = mapping(self.raw.get("over_time"))
        start, seconds = parse_moment(text(found.get("start"))), number(found.get("bin_seconds"))
        reads = tuple(numbers(found.get("reads")))
        values = {key: tuple(known_numbers(found.get(key))) for key in ("mean_q", "n50")}
        if start is None or not seconds or seconds <= 0 or not reads:
            return None
        if any(len(each) != len(reads) for each in values.values()):
            return None
        return FiguresOverTime(start, seconds, reads, values)

    @cached_property
    def length_quality(self) -> tuple[LengthRow, ...]:
        """Reads by length and whole Q, without empty reads; nothing if they are not known."""
        found = mapping(self.raw.get("length_quality"))
        edges, start = numbers(found.get("edges")), number(found.get("start"))
        table = found.get("reads")
        rows = [numbers(row) for row in table] if isinstance(table, list | tuple) else []
        if start is None or found.get("width") != 1 or len(edges) != len(rows) + 1:
            return ()
        return tuple(
            LengthRow(low, high, int(start), tuple(row))
            for low, high, row in zip(edges, edges[1:], rows, strict=False)
            if 0 < low < high
        )

    @cached_property
    def channels(self) -> Mapping[int, float]:
        """Reads per channel, for the channels that have reads."""
        reads = mapping(mapping(self.raw.get("channels")).get("reads"))
        counts = {
            int(key): number(value) or 0 for key, value in reads.items() if str(key).isdecimal()
        }
        return {channel: count for channel, count in counts.items() if channel > 0 and count > 0}


_NO_READS = ReadGroup({"reads": 0, "bases": 0})


@frozen
class YieldOverTime:
    """Bases per bin of `seconds`; the first bin begins at `start`."""

    start: datetime
    seconds: float
    bases: tuple[float, ...]


@frozen
class FiguresOverTime:
    """Figures of the reads of each period of `seconds`; the first one begins at `start`."""

    start: datetime
    seconds: float
    reads: tuple[float, ...]
    values: Mapping[str, tuple[float | None, ...]]  # "mean_q" and "n50"; None without reads


@frozen
class LengthRow:
    """Reads of a length class by whole Q; the first number is of `start`."""

    low: float
    high: float
    start: int
    reads: tuple[float, ...]

    @property
    def total(self) -> float:
        return sum(self.reads)

    def quantile(self, part: float) -> int:
        """The whole Q that this part of the reads does not exceed."""
        running, wanted = 0.0, part * self.total
        for quality, count in enumerate(self.reads, self.start):
            running += count
            if running >= wanted and running:
                return quality
        return self.start


def parts_of(raw: Mapping[str, Any], parts: Sequence[str] = PARTS) -> Mapping[str, ReadGroup]:
    """The groups under "pass", "fail" and "skip" that exist, or under other keys."""
    return {
        part: ReadGroup(mapping(raw[part])) for part in parts if isinstance(raw.get(part), Mapping)
    }


def headline(total: ReadGroup, parts: Mapping[str, ReadGroup]) -> ReadGroup:
    """The passed reads if the instrument split them (none if all failed), else all reads."""
    return parts.get("pass", _NO_READS if "fail" in parts else total)


def passed_share(parts: Mapping[str, ReadGroup], of: str = "bases") -> float | None:
    """Passed bases (or reads) as a fraction of passed and failed ones; None without any.

    Skipped reads do not count.
    """
    judged = {part: parts[part].value(of) or 0.0 for part in ("pass", "fail") if part in parts}
    return fraction(judged.get("pass", 0.0), sum(judged.values()))
