"""Numbers of a cell that a facility may limit, from its qc document. Pure."""

from __future__ import annotations

from hesiod_watch.core.sample_sheet import UNPLACED
from hesiod_watch.report.document import QcDocument
from hesiod_watch.report.read_groups import passed_share
from hesiod_watch.report.tolerant import fraction


def limited_figures(cell: QcDocument) -> dict[str, float | None]:
    """Numbers by the name of their limit; None: not known; absent: the cell cannot have it.

    If the instrument did not split the reads, there is no passed part.
    """
    figures: dict[str, float | None] = {
        "n50": cell.passed.value("n50"),
        "gigabases": cell.passed.bases / 1e9,
        "mean_q": cell.passed.value("mean_q"),
        "pores": cell.pore_scans[0].available if cell.pore_scans else None,
    }
    share = passed_share(cell.parts)
    if cell.split:
        figures["passed_percent"] = None if share is None else 100 * share
    if cell.barcodes:
        whole = sum(barcode.passed.bases for barcode in cell.barcodes)
        rest = (each.passed.bases for each in cell.barcodes if each.label in UNPLACED)
        part = fraction(sum(rest), whole)
        figures["unclassified_percent"] = None if part is None else 100 * part
    return figures
