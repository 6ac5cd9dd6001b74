"""What a qc document says, with types. Reading it is forgiving: what is missing or is no number
becomes None or empty.

The document is this program's own, but it may be older than the program that draws it, and a page
that shows nine facts of ten is worth more than an exception. Only a document that is no mapping at
all is refused (by its caller's types).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from hesiod_watch.core.minknow_checksums import KEY, MinknowChecksums
from hesiod_watch.report.formatting import between, parse_moment

PARTS = ("pass", "fail", "skip")

TINY = 0.0001
"""Barcodes with a smaller part of the bases are mostly reads given to a barcode that nobody used.
"""


@dataclass(frozen=True, slots=True)
class HistogramBin:
    """One class of a histogram, `low` included, `high` not."""

    low: float
    high: float
    reads: float
    bases: float


@dataclass(frozen=True)
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
        """Bases per bin of time; None where the headers carry no times."""
        said = mapping(self.raw.get("yield"))
        start, seconds = parse_moment(text(said.get("start"))), number(said.get("bin_seconds"))
        bases = tuple(numbers(said.get("bases")))
        return (
            YieldOverTime(start, seconds, bases)
            if start is not None and seconds and seconds > 0 and bases
            else None
        )

    @cached_property
    def channels(self) -> Mapping[int, float]:
        """Reads per channel, of channels that gave any."""
        said = mapping(mapping(self.raw.get("channels")).get("reads"))
        found = {
            int(key): number(value) or 0 for key, value in said.items() if str(key).isdecimal()
        }
        return {channel: count for channel, count in found.items() if channel > 0 and count > 0}


_NO_READS = ReadGroup({"reads": 0, "bases": 0})


@dataclass(frozen=True, slots=True)
class YieldOverTime:
    """Bases per bin of `seconds`, the first bin beginning at `start`."""

    start: datetime
    seconds: float
    bases: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class BarcodeReads:
    """One barcode's reads; `label` is the barcode's directory name, or "not barcoded"."""

    label: str
    total: ReadGroup
    parts: Mapping[str, ReadGroup]

    @property
    def passed(self) -> ReadGroup:
        """What people count: the passed reads, or all of them where nothing was split."""
        return headline(self.total, self.parts)


@dataclass(frozen=True, slots=True)
class FileCount:
    """Files of one kind: how many MinKNOW announced (None: not stated) and how many are here."""

    kind: str
    announced: float | None
    found: float | None

    @property
    def difference(self) -> float:
        """Files too many, or missing (negative); 0 where nothing was announced."""
        return 0 if self.announced is None else (self.found or 0) - self.announced


@dataclass(frozen=True, slots=True)
class ListedOutput:
    """One file we wrote."""

    file: str
    reads: float | None
    bases: float | None
    bytes: float | None
    md5: str


@dataclass(frozen=True)
class QcDocument:
    """A cell's qc document."""

    raw: Mapping[str, Any]

    def said(self, key: str) -> str:
        return text(self.raw.get(key))

    def fact(self, key: str) -> str:
        return text(mapping(self.raw.get("facts")).get(key))

    @property
    def running(self) -> bool:
        return self.said("state") == "running"

    @property
    def verdict(self) -> str:
        return text(mapping(self.raw.get("completeness")).get("verdict"))

    @property
    def why(self) -> str:
        return text(mapping(self.raw.get("completeness")).get("why"))

    @property
    def checksums(self) -> MinknowChecksums:
        """What MinKNOW's own checksums said of the cell's files when it was processed."""
        return MinknowChecksums.from_record(self.raw.get(KEY))

    @property
    def fallback(self) -> tuple[tuple[str, float], ...]:
        said = mapping(mapping(self.raw.get("completeness")).get("fallback"))
        return tuple((str(kind), count) for kind, value in said.items() if (count := number(value)))

    @property
    def counts(self) -> tuple[FileCount, ...]:
        said = mapping(self.raw.get("counts"))
        found = (FileCount(str(kind), number(mapping(value).get("announced")), number(mapping(value).get("found")))
                 for kind, value in said.items())  # fmt: skip
        return tuple(count for count in found if count.announced or count.found)

    @property
    def meaning(self) -> str:
        """The sentence saying which mean Q this is."""
        return text(mapping(self.raw.get("mean_q")).get("meaning"))

    @cached_property
    def total(self) -> ReadGroup:
        return ReadGroup(mapping(self.raw.get("total")))

    @cached_property
    def parts(self) -> Mapping[str, ReadGroup]:
        """Pass, fail and skip, as far as the instrument told them apart."""
        return parts_of(self.raw)

    @property
    def passed(self) -> ReadGroup:
        return headline(self.total, self.parts)

    @property
    def split(self) -> bool:
        """The instrument told passed reads from failed ones."""
        return "pass" in self.parts or "fail" in self.parts

    @property
    def has_reads(self) -> bool:
        return self.total.reads > 0

    @cached_property
    def barcodes(self) -> tuple[BarcodeReads, ...]:
        """Sorted by passed bases, most first. Empty where the cell is not barcoded."""
        said = [
            BarcodeReads(
                text(item.get("barcode")) or "not barcoded",
                ReadGroup(mapping(item.get("total"))),
                parts_of(item),
            )
            for item in mappings(self.raw.get("barcodes"))
        ]
        if len(said) == 1 and mappings(self.raw.get("barcodes"))[0].get("barcode") is None:
            return ()
        return tuple(
            sorted(
                said,
                key=lambda barcode: (-barcode.passed.bases, -barcode.total.bases, barcode.label),
            )
        )

    @property
    def used_barcodes(self) -> tuple[BarcodeReads, ...]:
        return tuple(barcode for barcode in self.barcodes if self._share(barcode) >= TINY)

    @property
    def tiny_barcodes(self) -> tuple[BarcodeReads, ...]:
        return tuple(barcode for barcode in self.barcodes if self._share(barcode) < TINY)

    def _share(self, barcode: BarcodeReads) -> float:
        return (
            fraction(barcode.total.bases, sum(other.total.bases for other in self.barcodes)) or 0.0
        )

    @cached_property
    def outputs(self) -> tuple[ListedOutput, ...]:
        return tuple(
            ListedOutput(
                text(item.get("file")),
                number(item.get("reads")),
                number(item.get("bases")),
                number(item.get("bytes")),
                text(item.get("md5")),
            )
            for item in mappings(self.raw.get("outputs"))
        )

    def link(self, key: str) -> str:
        """A path, not yet a URL; "" where there is none."""
        return text(mapping(self.raw.get("links")).get(key))

    @property
    def models(self) -> tuple[str, ...]:
        return tuple(strings(mapping(self.raw.get("facts")).get("basecall_models")))

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(strings(self.raw.get("notes")))

    @property
    def run_seconds(self) -> float | None:
        """How long it sequenced: by the summary's times, or as the document says."""
        length = between(self.fact("started"), self.fact("acquisition_stopped"))
        if length is not None:
            return length.total_seconds()
        said = number(mapping(self.raw.get("facts")).get("run_hours"))
        return None if said is None else said * 3600

    @property
    def catch_up_seconds(self) -> float | None:
        """How long basecalling went on after the last read was sequenced."""
        length = between(self.fact("acquisition_stopped"), self.fact("processing_stopped"))
        return None if length is None else length.total_seconds()

    @property
    def basecalling_off(self) -> bool:
        return self.fact("basecalling_enabled") == "0"


def parts_of(raw: Mapping[str, Any]) -> Mapping[str, ReadGroup]:
    """The groups under "pass", "fail" and "skip" that are there."""
    return {
        part: ReadGroup(mapping(raw[part])) for part in PARTS if isinstance(raw.get(part), Mapping)
    }


def headline(total: ReadGroup, parts: Mapping[str, ReadGroup]) -> ReadGroup:
    """The passed reads where the instrument split them (nothing, if all failed), else all reads."""
    return parts.get("pass", _NO_READS if "fail" in parts else total)


def passed_share(parts: Mapping[str, ReadGroup], of: str = "bases") -> float | None:
    """Passed bases (or reads) as a part of those that were judged; None where nothing was. Skipped
    ones were not.
    """
    judged = {part: parts[part].value(of) or 0.0 for part in ("pass", "fail") if part in parts}
    return fraction(judged.get("pass", 0.0), sum(judged.values()))


def fraction(part: float | None, whole: float | None) -> float | None:
    """None where there is nothing to take a part of."""
    return part / whole if part is not None and whole else None


def number(value: object) -> float | None:
    """A finite JSON number, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return value


def numbers(value: object) -> list[float]:
    return [number(item) or 0 for item in value] if isinstance(value, list | tuple) else []


def text(value: object) -> str:
    """A string or a number as text, else ""."""
    return value if isinstance(value, str) else str(value) if number(value) is not None else ""


def strings(value: object) -> Iterable[str]:
    return (
        (item for item in value if isinstance(item, str)) if isinstance(value, list | tuple) else ()
    )


def mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def mappings(value: object) -> list[Mapping[str, Any]]:
    return (
        [item for item in value if isinstance(item, Mapping)]
        if isinstance(value, list | tuple)
        else []
    )
