"""Sample sheet of a cell: barcode, alias and sample, and which of them have reads. No I/O.

MinKNOW writes `sample_sheet_*.csv` into the cell at the start of the run. Where it names an alias,
the directories and files of that barcode have the alias as their name. A barcode of the sheet is
expected. All texts come from a user of the sequencer.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields

from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.naming import display
from hesiod_watch.core.text import number_of

SHEET_MAX_BYTES = 1 << 20  # the largest real one has 96 lines
UNPLACED = frozenset({"unclassified", "mixed"})
"""Names in place of a barcode for reads without a barcode."""
NAMED = 24
"""Most barcodes that a sentence names."""


@frozen
class SheetRow:
    """A barcode of the sample sheet; "" where the sheet has no value."""

    barcode: str
    alias: str = ""
    sample_id: str = ""
    type: str = ""  # for example positive_control

    @property
    def labels(self) -> frozenset[str]:
        """Names that the directories of this barcode may have."""
        return frozenset({self.barcode, self.alias} - {""})

    def __str__(self) -> str:
        known = self.alias and self.alias != self.barcode
        return display(f"{self.barcode} ({self.alias})" if known else self.barcode)

    def record(self) -> dict[str, str]:
        """The row as a JSON object, with the columns of MinKNOW as keys."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: object) -> SheetRow | None:
        """Read what the method `record` wrote; None for anything else."""
        if not isinstance(record, Mapping):
            return None
        values = {each.name: record.get(each.name, "") for each in fields(cls)}
        if not all(isinstance(value, str) for value in values.values()):
            return None
        row = cls(**values)
        return row if row.barcode else None


@frozen
class SampleSheet:
    """Barcodes that a sample sheet names, in its order."""

    name: str  # file name, as on disk
    rows: tuple[SheetRow, ...] = ()
    problem: str = ""  # why the file is not used

    def row_of(self, label: str | None) -> SheetRow | None:
        """Row of a directory's name; None if the sheet does not name it."""
        return next((row for row in self.rows if label in row.labels), None)

    def without_reads(self, reads: Mapping[str | None, int]) -> list[SheetRow]:
        """Return the expected barcodes that have no read; `reads`: number by directory name."""
        return [row for row in self.rows if not any(reads.get(label) for label in row.labels)]

    def unexpected(self, reads: Mapping[str | None, int]) -> list[str]:
        """Return the names that have reads and are not in the sheet, most reads first."""
        found = [
            label
            for label, count in reads.items()
            if label and count and label not in UNPLACED and not self.row_of(label)
        ]
        return sorted(found, key=lambda label: (-reads[label], label))

    def notes(self, reads: Mapping[str | None, int], tiny: float) -> Iterable[str]:
        """Yield sentences about differences between the sheet and the reads.

        `tiny`: smallest share of the reads of an unexpected barcode; below it, reads are mostly
        wrong assignments.
        """
        if self.problem:
            yield f"the sample sheet is not used: {display(self.name)} {self.problem}"
        if missing := self.without_reads(reads):
            yield f"no reads of {_of_sheet(missing)} in the sample sheet: {_listed(missing)}"
        least = tiny * sum(reads.values())
        if self.rows and (more := [name for name in self.unexpected(reads) if reads[name] > least]):
            yield f"reads of {_of_sheet(more)} that the sample sheet does not name: {_listed(more)}"


def _of_sheet(barcodes: Sequence[object]) -> str:
    return number_of(len(barcodes), "barcode")


def _listed(barcodes: Sequence[object]) -> str:
    more = f" and {len(barcodes) - NAMED} more" if len(barcodes) > NAMED else ""
    return ", ".join(display(str(each)) for each in barcodes[:NAMED]) + more


def parse_sample_sheet(data: bytes, name: str, flow_cell_id: str) -> SampleSheet:
    """Parse a sample sheet as MinKNOW writes it. Never raises.

    A sheet of several flow cells counts for the rows of this one, if it names this one. A sheet
    without barcodes has no row.
    """
    if len(data) > SHEET_MAX_BYTES:
        return SampleSheet(name, problem="is larger than 1 MiB")
    try:
        lines = data.decode("utf-8-sig").splitlines()
        table = list(csv.DictReader(lines, strict=True))
    except (UnicodeDecodeError, csv.Error):
        return SampleSheet(name, problem="is no CSV table in UTF-8")
    own = [row for row in table if row.get("flow_cell_id") == flow_cell_id] or table
    found: dict[str, SheetRow] = {}
    for row in own:
        values = {
            key: value.strip()
            for key, value in row.items()
            if isinstance(key, str) and isinstance(value, str)
        }
        both = (values.get("internal_barcode", ""), values.get("external_barcode", ""))
        barcode = values.get("barcode") or "_".join(filter(None, both))
        if barcode:
            sheet_row = SheetRow(
                barcode,
                values.get("alias", ""),
                values.get("sample_id", ""),
                values.get("type", ""),
            )
            found.setdefault(barcode, sheet_row)
    return SampleSheet(name, tuple(found.values()))
