"""MinKNOW's own reports, sample sheet and sequencing summary, beside the data of a cell.

They are optional: MinKNOW may write them late or never, and nothing waits for them. The newest file
of a kind counts. Their names are not fully predictable: time and flow cell may differ from those of
the cell's directory.
"""

from __future__ import annotations

import re

from hesiod_watch.core.file_entry import FileEntry
from hesiod_watch.core.minknow_checksums import twin_of
from hesiod_watch.core.minknow_report import (
    NO_REPORT,
    REPORT_MAX_BYTES,
    MinknowReport,
    parse_minknow_report,
)
from hesiod_watch.core.naming import natural_key
from hesiod_watch.core.sample_sheet import SHEET_MAX_BYTES, SampleSheet, parse_sample_sheet
from hesiod_watch.host.files import OpenDirectory, read_head

_SEQUENCING_SUMMARY = re.compile(r"sequencing_summary(?:_.*)?\.txt(?:\.gz)?", re.DOTALL)


def ont_report(cell_dir: OpenDirectory) -> str | None:
    """Name of MinKNOW's report for people: `report_*.html`, else .pdf, else .md; or None."""
    return _newest(cell_dir, "report_", ("html", "pdf", "md"))


def read_ont_report(cell_dir: OpenDirectory) -> tuple[str, bytes] | None:
    """Read MinKNOW's report for people; returns its suffix and content. Never raises.

    None if there is none, if it cannot be read, or if it is too large to be one.
    """
    name = ont_report(cell_dir)
    if name is None:
        return None
    try:
        content = read_head(name, REPORT_MAX_BYTES + 1, cell_dir.descriptor)
    except OSError:
        return None
    return (name.rpartition(".")[2], content) if len(content) <= REPORT_MAX_BYTES else None


def minknow_report(cell_dir: OpenDirectory) -> MinknowReport:
    """Read the facts of MinKNOW's report for programs. Never raises."""
    name = _newest(cell_dir, "report_", ("json",))
    if name is None:
        return NO_REPORT
    try:
        return parse_minknow_report(read_head(name, REPORT_MAX_BYTES + 1, cell_dir.descriptor))
    except OSError:
        return NO_REPORT


def sample_sheet(cell_dir: OpenDirectory, flow_cell_id: str) -> SampleSheet | None:
    """Read the cell's sample sheet; None if it has none. Never raises."""
    name = _newest(cell_dir, "sample_sheet_", ("csv",))
    if name is None:
        return None
    try:
        data = read_head(name, SHEET_MAX_BYTES + 1, cell_dir.descriptor)
    except OSError as error:
        return SampleSheet(name, problem=f"cannot be read: {error.strerror}")
    return parse_sample_sheet(data, name, flow_cell_id)


def sequencing_summaries(cell_dir: OpenDirectory) -> list[FileEntry]:
    """List MinKNOW's tables of all reads: one for each acquisition, also as a link. Raises OSError.

    A table that is there plain and gzipped is listed once, plain.
    """
    found = {
        entry.name: FileEntry.of_status(
            entry.name,
            entry.stat(follow_symlinks=False),
            location=str(cell_dir / entry.name),
        )
        for entry in cell_dir.entries()
        if _SEQUENCING_SUMMARY.fullmatch(entry.name) and not entry.is_dir(follow_symlinks=False)
    }
    return [
        found[name]
        for name in sorted(found, key=natural_key)
        if not (name.endswith(".gz") and twin_of(name) in found)
    ]


def _newest(cell_dir: OpenDirectory, beginning: str, suffixes: tuple[str, ...]) -> str | None:
    """Name of the newest regular file with this beginning, of the first suffix that is there."""
    found: dict[str, list[tuple[int, str]]] = {}
    try:
        for entry in cell_dir.entries():
            stem, _, suffix = entry.name.rpartition(".")
            if stem.startswith(beginning) and entry.is_file(follow_symlinks=False):
                status = entry.stat(follow_symlinks=False)
                found.setdefault(suffix, []).append((status.st_mtime_ns, entry.name))
    except OSError:
        return None  # these files are optional; `read_contents` reports a cell that is unreadable
    return next((max(found[suffix])[1] for suffix in suffixes if suffix in found), None)
