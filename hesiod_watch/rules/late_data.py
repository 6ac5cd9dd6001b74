"""Late data: files that came into a cell's directory after the cell was processed.

They are neither damage nor part of the results. A processed cell is never processed again without
a person, so these sentences say what came and which command processes it.
"""

from __future__ import annotations

from hesiod_watch.core.cell_contents import LateData, Verdict
from hesiod_watch.core.model import Cell, Snapshot
from hesiod_watch.core.naming import display
from hesiod_watch.core.results import StripRecord
from hesiod_watch.core.text import number_of, quoted

_SHOWN = 3  # directories in a sentence


def late_words(cell: Cell) -> str:
    """Return which new data a processed cell has; "" for every other cell."""
    late = cell.late_data
    return said(late) if late and cell.flags.done and not cell.flags.aborted else ""


def said(late: LateData) -> str:
    """Return one sentence about data that came after a cell was processed."""
    places = [
        f"{number_of(count, 'file')} in {display(name) or 'its directory'}"
        for name, count in sorted(late.files.items())
    ]
    more = len(places) - _SHOWN
    shown = ", ".join(places[:_SHOWN])
    if more > 0:
        shown += f" and in {number_of(more, 'more directory', 'more directories')}"
    return f"new data came after it was processed: {shown}; they are neither counted nor processed"


def raw_removed(snapshot: Snapshot, cell: Cell) -> bool:
    """Whether raw data of a cell were removed from here, or may be: new results would lack them."""
    removed = cell.strip is not None and not StripRecord.of(cell.strip).unchanged
    return removed or "stripped" in snapshot.flags


def late_step(snapshot: Snapshot, cell: Cell) -> str:
    """Return what a person can do about late data, with the command; "" if there are none."""
    late = cell.late_data
    if late is None or not late_words(cell):
        return ""
    retry = f"hesiod-watch retry {quoted(snapshot.run)} {quoted(str(cell.id))} --why …"
    if raw_removed(snapshot, cell):
        return (
            "process the new data: bring back the raw data that were removed from here, remove the "
            f"flags {snapshot.path}/pipeline/stripped and {cell.id.stem}.strip.*, then {retry}"
        )
    if late.files.keys() == late.outside:
        return (
            "process the new data: move the FASTQ files into "
            f"{snapshot.path}/{cell.id.place}/fastq_pass or fastq_fail, where they are counted, "
            f"then {retry}"
        )
    found = late.completeness
    if found.verdict is Verdict.RUNNING:
        return f"process the new data when their final_summary is here ({found.why}): {retry}"
    if not found.proven:
        flag = f"{snapshot.path}/pipeline/{cell.id.stem}.synced"
        return (
            f"process the cell again, with the new data: {retry}; "
            f"then, because its counts do not agree ({found.why}), accept them: "
            f"hesiod-touch-atomic {quoted(flag)}"
        )
    return f"process the cell again, with the new data: {retry}"
