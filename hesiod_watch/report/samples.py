"""Totals of each sample over the cells of a run. Pure.

A sample is a barcode of one library, or a library without barcodes. Where the sample sheets of two
cells give a barcode different aliases, these are two samples: reads of different people's material
are never summed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hesiod_watch.core.naming import natural_key
from hesiod_watch.core.sample_sheet import UNPLACED, SheetRow
from hesiod_watch.report.document import BarcodeReads, QcDocument
from hesiod_watch.report.read_groups import ReadGroup
from hesiod_watch.report.tolerant import fraction


@dataclass(slots=True)
class SampleTotal:
    """Sums of one sample. `judged`: passed and failed bases, where the instrument split them."""

    library: str
    barcode: str  # "": the library is not barcoded
    alias: str = ""
    sample_id: str = ""
    cells: int = 0  # cells with reads of it
    reads: float = 0  # passed
    bases: float = 0  # passed
    judged: float = 0
    passed: float = 0

    @property
    def share(self) -> float | None:
        """Passed part of the bases."""
        return fraction(self.passed, self.judged)

    def add(self, total: ReadGroup, passed: ReadGroup, judged: float | None) -> None:
        self.cells += bool(total.reads)
        self.reads += passed.reads
        self.bases += passed.bases
        if judged is not None:
            self.judged += judged
            self.passed += passed.bases


def sample_totals(cells: Sequence[QcDocument]) -> list[SampleTotal]:
    """Totals by library and barcode, in the order of their names; none for fewer than two cells.

    Barcodes of the sample sheet without reads are included. Those that no sheet names and that have
    less than 0.01 % of their cell's bases are left out.
    """
    if len(cells) < 2:
        return []
    found: dict[tuple[str, str, str], SampleTotal] = {}

    def total(library: str, row: SheetRow) -> SampleTotal:
        alias = "" if row.alias == row.barcode else row.alias
        key = library, row.barcode, alias
        return found.setdefault(key, SampleTotal(library, row.barcode, alias, row.sample_id))

    for cell in cells:
        library, tiny = cell.field("library"), {each.label for each in cell.tiny_barcodes}
        if not cell.barcodes:
            judged = _judged(cell) if cell.split else None
            total(library, SheetRow("")).add(cell.total, cell.passed, judged)
        for barcode in cell.barcodes:
            if barcode.sheet or barcode.label not in tiny:
                row = barcode.sheet or SheetRow(barcode.label)
                total(library, row).add(barcode.total, barcode.passed, _judged(barcode))
        for row in cell.without_reads if cell.barcodes else ():
            total(library, row)
    return sorted(
        found.values(),
        key=lambda each: (
            natural_key(each.library),
            each.barcode in UNPLACED,
            natural_key(each.barcode),
            natural_key(each.alias),
        ),
    )


def _judged(reads: QcDocument | BarcodeReads) -> float | None:
    """Passed and failed bases; None if the instrument did not split them."""
    judged = [reads.parts[part].bases for part in ("pass", "fail") if part in reads.parts]
    return sum(judged) if judged else None
