"""Findings of MinKNOW's own checksums against a cell, as the flags of a run record them.

A finding never stops processing, because a site may compress or remove files on purpose. It stops
every deletion: no strip, no mark.

Processing, a backup, a verification, a strip and a mark each record what they found, with the
time, in their flags. The newest finding of a cell counts. So a later reading that finds no fault
withdraws an earlier finding.
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
    """The last record about a cell. `said` is "" where nothing is wrong, or nothing is known."""

    said: str = ""
    names: str = ""  # digest of the names of the files; the same files, the same digest


def finding_in(*records: Mapping[str, object]) -> ChecksumFinding:
    """The newest finding in the records of some flags; of two of one second the later argument."""
    newest, found = datetime.min.replace(tzinfo=UTC), ChecksumFinding()
    for said in (record.get(KEY) for record in records):
        if not isinstance(said, Mapping):
            continue
        at = time_of(said.get("at")) or datetime.min.replace(tzinfo=UTC)
        if at >= newest:
            newest, found = at, ChecksumFinding(str(said.get("said", "")), str(said.get("set", "")))
    return found


def finding_of(cell: Cell) -> ChecksumFinding:
    """What MinKNOW's checksums were last found to prove against a processed cell."""
    rounds = (cell.backup, cell.verification, cell.deletable, cell.strip)
    return finding_in(processed_record(cell), *(each.record for each in rounds if each))


def other_damage(cell: Cell) -> tuple[str, ...]:
    """Problems that the last verification found, apart from what MinKNOW's checksums prove."""
    known = problem_of(finding_of(cell).said)
    return tuple(each for each in damage_in(cell.verification) if not known.startswith(each))


def problem_of(said: str) -> str:
    """How a verification records a finding among its problems, which begin with the place."""
    return f"landing: {said}"


def finding_when_processed(cell: Cell) -> ChecksumFinding:
    """The finding of the processing: the flag `done` and the message `cell-done` say it."""
    return finding_in(processed_record(cell))


def processed_record(cell: Cell) -> Mapping[str, object]:
    """What the flag `done` of a cell holds; empty for a cell that is not processed."""
    return cell.flags.done.record if cell.flags.done else {}


def carried_finding(record: Mapping[str, object]) -> dict[str, object]:
    """The part of a round's record that the next round repeats from its beginning."""
    return {KEY: record[KEY]} if KEY in record else {}
