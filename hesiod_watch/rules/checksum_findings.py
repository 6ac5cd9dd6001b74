"""Findings from MinKNOW's own checksums about a cell, as recorded in the flags of a run.

A finding never stops processing, because a site may compress or remove files on purpose. It stops
every deletion: the cell is neither stripped nor marked as safe to delete.

Processing, a backup, a verification, a strip and a mark each record their finding and its time in
their flags. The newest finding of a cell counts. So a later reading without a problem withdraws an
earlier finding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from hesiod_watch.core.minknow_checksums import KEY
from hesiod_watch.core.model import Cell
from hesiod_watch.core.times import time_of
from hesiod_watch.rules.copies import damage_in


@dataclass(frozen=True, slots=True)
class ChecksumFinding:
    """Newest finding about a cell."""

    said: str = ""  # sentence for people; "" if nothing is wrong or nothing is known
    names: str = ""  # digest of the names of the affected files


def finding_in(*records: Mapping[str, object]) -> ChecksumFinding:
    """Return the newest finding in the records of flags; of two equally old ones, the last."""
    newest, found = datetime.min.replace(tzinfo=UTC), ChecksumFinding()
    for entry in (record.get(KEY) for record in records):
        if not isinstance(entry, Mapping):
            continue
        at = time_of(entry.get("at")) or datetime.min.replace(tzinfo=UTC)
        if at >= newest:
            sentence, names = str(entry.get("said", "")), str(entry.get("set", ""))
            newest, found = at, ChecksumFinding(sentence, names)
    return found


def finding_of(cell: Cell) -> ChecksumFinding:
    """Return the newest finding about a processed cell."""
    attempts = (cell.backup, cell.verification, cell.deletable, cell.strip)
    return finding_in(processed_record(cell), *(each.record for each in attempts if each))


def other_damage(cell: Cell) -> tuple[str, ...]:
    """Return the problems of the last verification without the finding from MinKNOW's checksums."""
    known = problem_of(finding_of(cell).said)
    return tuple(each for each in damage_in(cell.verification) if not known.startswith(each))


def problem_of(said: str) -> str:
    """Return a finding as one of a verification's problems, which begin with the place."""
    return f"landing: {said}"


def finding_when_processed(cell: Cell) -> ChecksumFinding:
    """Return the finding of the processing, which `done` and the message `cell-done` report."""
    return finding_in(processed_record(cell))


def processed_record(cell: Cell) -> Mapping[str, object]:
    """Return the record in the flag `done` of a cell; empty if the cell is not processed."""
    return cell.flags.done.record if cell.flags.done else {}


def carried_finding(record: Mapping[str, object]) -> dict[str, object]:
    """Return the part of an attempt's record that the next attempt copies when it begins."""
    return {KEY: record[KEY]} if KEY in record else {}
