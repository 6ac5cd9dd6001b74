"""Typed, tolerant view of a qc document: a missing or malformed value becomes None or empty.

This program writes the document, but an older version may have written it. A page that shows nine
facts of ten is more useful than an exception. Only a document that is no mapping is refused (by the
types of the caller).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.minknow_checksums import KEY, MinknowChecksums
from hesiod_watch.core.minknow_report import PoreScan
from hesiod_watch.core.naming import DUPLEX_PARTS
from hesiod_watch.core.qc_verdict import QcVerdict
from hesiod_watch.core.sample_sheet import UNPLACED, SheetRow
from hesiod_watch.report.formatting import between
from hesiod_watch.report.read_groups import ReadGroup, headline, parts_of
from hesiod_watch.report.tolerant import (
    fraction,
    mapping,
    mappings,
    number,
    strings,
    text,
)

TINY = 0.0001
"""Smallest share of the bases of a used barcode. Reads of a barcode below it are mostly wrong
assignments.
"""


@frozen
class BarcodeReads:
    """Reads of one barcode; `label` is the name of its directory, or "not barcoded"."""

    label: str
    total: ReadGroup
    parts: Mapping[str, ReadGroup]
    sheet: SheetRow | None = None  # its row in the sample sheet

    @property
    def passed(self) -> ReadGroup:
        """The passed reads, or all reads if the instrument did not split them."""
        return headline(self.total, self.parts)


@frozen
class FileCount:
    """Files of one kind: announced by MinKNOW (None: not stated) and found."""

    kind: str
    announced: float | None
    found: float | None

    @property
    def difference(self) -> float:
        """Surplus files, or missing ones (negative); 0 if no number was announced."""
        return 0 if self.announced is None else (self.found or 0) - self.announced


@frozen
class ListedOutput:
    """Output file that hesiod-watch wrote."""

    file: str
    reads: float | None
    bases: float | None
    bytes: float | None
    md5: str


@frozen
class QcDocument:
    """Qc document of a cell, with typed and tolerant access."""

    raw: Mapping[str, Any]

    def field(self, key: str) -> str:
        return text(self.raw.get(key))

    def fact(self, key: str) -> str:
        return text(mapping(self.raw.get("facts")).get(key))

    @property
    def running(self) -> bool:
        return self.field("state") == "running"

    @property
    def failed(self) -> bool:
        """Whether the cell is not finished because it needs a person."""
        return self.field("state") == "failed"

    @property
    def damaged(self) -> int:
        """Number of damaged files, whose reads are in no number."""
        return len(mappings(self.raw.get("damaged")))

    @property
    def removed(self) -> int:
        """Number of files that were damaged or removed, and whose reads are in no number."""
        return len(mappings(self.raw.get("removed")))

    @property
    def verdict(self) -> str:
        return text(mapping(self.raw.get("completeness")).get("verdict"))

    @property
    def why(self) -> str:
        return text(mapping(self.raw.get("completeness")).get("why"))

    @property
    def checksums(self) -> MinknowChecksums:
        """Result of MinKNOW's own checksums when the cell was processed."""
        return MinknowChecksums.from_record(self.raw.get(KEY))

    @property
    def fallback(self) -> tuple[tuple[str, float], ...]:
        counts = mapping(mapping(self.raw.get("completeness")).get("fallback"))
        return tuple(
            (str(kind), count) for kind, value in counts.items() if (count := number(value))
        )

    @property
    def unverified(self) -> tuple[tuple[str, float], ...]:
        """Kinds with files whose number MinKNOW did not state, and the number found."""
        counts = mapping(mapping(self.raw.get("completeness")).get("unverified"))
        return tuple(
            (str(kind), count) for kind, value in counts.items() if (count := number(value))
        )

    @property
    def evidence(self) -> tuple[str, ...]:
        """Sentences about the names of the cell's files."""
        return tuple(strings(mapping(self.raw.get("completeness")).get("evidence")))

    @property
    def counts(self) -> tuple[FileCount, ...]:
        counts = (
            FileCount(
                str(kind),
                number(mapping(value).get("announced")),
                number(mapping(value).get("found")),
            )
            for kind, value in mapping(self.raw.get("counts")).items()
        )
        return tuple(count for count in counts if count.announced or count.found)

    @property
    def meaning(self) -> str:
        """Sentence that defines the mean Q of this document."""
        return text(mapping(self.raw.get("mean_q")).get("meaning"))

    @cached_property
    def total(self) -> ReadGroup:
        return ReadGroup(mapping(self.raw.get("total")))

    @cached_property
    def parts(self) -> Mapping[str, ReadGroup]:
        """Pass, fail and skip, as far as the instrument split the reads."""
        return parts_of(self.raw)

    @cached_property
    def duplex(self) -> Mapping[str, ReadGroup]:
        """Duplex reads by part. They are not in the total, unless there are no other reads."""
        return parts_of(self.raw, DUPLEX_PARTS)

    @property
    def passed(self) -> ReadGroup:
        return headline(self.total, self.parts)

    @property
    def split(self) -> bool:
        """Whether the instrument split the reads into passed and failed."""
        return "pass" in self.parts or "fail" in self.parts

    @property
    def has_reads(self) -> bool:
        return self.total.reads > 0

    @cached_property
    def barcodes(self) -> tuple[BarcodeReads, ...]:
        """Barcodes, most passed bases first, and reads without a barcode after them.

        Empty if the cell is not barcoded.
        """
        barcodes = [
            BarcodeReads(
                text(item.get("barcode")) or "not barcoded",
                ReadGroup(mapping(item.get("total"))),
                parts_of(item),
                SheetRow.from_record(item.get("sample_sheet")),
            )
            for item in mappings(self.raw.get("barcodes"))
        ]
        if len(barcodes) == 1 and mappings(self.raw.get("barcodes"))[0].get("barcode") is None:
            return ()
        return tuple(
            sorted(
                barcodes,
                key=lambda barcode: (
                    barcode.label in UNPLACED,
                    -barcode.passed.bases,
                    -barcode.total.bases,
                    barcode.label,
                ),
            )
        )

    @property
    def has_sheet(self) -> bool:
        """Whether a sample sheet names barcodes of this cell."""
        return bool(mappings(mapping(self.raw.get("sample_sheet")).get("samples")))

    @property
    def without_reads(self) -> tuple[SheetRow, ...]:
        """Barcodes that the sample sheet names and that have no read."""
        rows = mappings(mapping(self.raw.get("sample_sheet")).get("without_reads"))
        return tuple(row for each in rows if (row := SheetRow.from_record(each)))

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
        """Path of a linked file, not yet a URL; "" if there is none."""
        return text(mapping(self.raw.get("links")).get(key))

    @property
    def sequencing_summaries(self) -> tuple[tuple[str, float | None], ...]:
        """Copies of MinKNOW's sequencing summaries beside the page: name and bytes."""
        listed = mappings(self.raw.get("sequencing_summaries"))
        return tuple((text(each.get("file")), number(each.get("bytes"))) for each in listed)

    @property
    def models(self) -> tuple[str, ...]:
        return tuple(strings(mapping(self.raw.get("facts")).get("basecall_models")))

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(strings(self.raw.get("notes")))

    @property
    def run_seconds(self) -> float | None:
        """Duration of sequencing, in seconds: from the summary's times, else from `run_hours`."""
        length = between(self.fact("started"), self.fact("acquisition_stopped"))
        if length is not None:
            return length.total_seconds()
        hours = number(mapping(self.raw.get("facts")).get("run_hours"))
        return None if hours is None else hours * 3600

    @property
    def catch_up_seconds(self) -> float | None:
        """Duration of basecalling, in seconds, after the last read was sequenced."""
        length = between(self.fact("acquisition_stopped"), self.fact("processing_stopped"))
        return None if length is None else length.total_seconds()

    @property
    def verdict_by_limits(self) -> QcVerdict | None:
        """Verdict by the limits of the facility; None if there are none."""
        return QcVerdict.from_record(self.raw.get("qc_verdict"))

    @property
    def pore_scans(self) -> tuple[PoreScan, ...]:
        """Scans of all pores with their time, in order."""
        scans = (
            [number(each.get(key)) for key in ("seconds", "available", "pores")]
            for each in mappings(self.raw.get("pores"))
        )
        return tuple(
            PoreScan(int(seconds), int(available), int(pores))
            for seconds, available, pores in scans
            if seconds is not None and available is not None and pores
        )

    @property
    def min_q(self) -> float | None:
        """Mean Q from which reads pass."""
        return number(mapping(self.raw.get("facts")).get("min_q"))

    @property
    def basecalling_off(self) -> bool:
        return self.fact("basecalling_enabled") == "0"
