"""Findings from MinKNOW's own checksums about a cell, as recorded in the flags of a run.

A finding never stops processing, because a site may compress or remove files on purpose. It stops
every deletion: the cell is neither stripped nor marked as safe to delete.

Processing, a backup, a verification, a strip and a mark each record their finding and its time in
their flags. The newest finding of a cell counts. So a later reading without a problem withdraws an
earlier finding.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from hesiod_watch.core.minknow_checksums import NO_FINDING, ChecksumFinding
from hesiod_watch.core.model import Cell
from hesiod_watch.core.results import DoneRecord
from hesiod_watch.core.times import time_of
from hesiod_watch.rules.copies import damage_in

_FIRST = datetime.min.replace(tzinfo=UTC)


def finding_in(*records: Mapping[str, object]) -> ChecksumFinding:
    """Return the newest finding in the records of flags; of two equally old ones, the last."""
    found = [ChecksumFinding.from_record(record) for record in reversed(records)]
    known = (finding for finding in found if finding.at)
    return max(known, key=lambda finding: time_of(finding.at) or _FIRST, default=NO_FINDING)


def finding_of(cell: Cell) -> ChecksumFinding:
    """Return the newest finding about a processed cell."""
    attempts = (cell.backup, cell.verification, cell.deletable, cell.strip)
    done = cell.flags.done
    return finding_in(
        done.record if done else {}, *(each.record for each in attempts if each is not None)
    )


def other_damage(cell: Cell) -> tuple[str, ...]:
    """Return the problems of the last verification without the finding from MinKNOW's checksums."""
    known = problem_of(finding_of(cell).said)
    return tuple(each for each in damage_in(cell.verification) if not known.startswith(each))


def problem_of(said: str) -> str:
    """Return a finding as one of a verification's problems, which begin with the place."""
    return f"landing: {said}"


def finding_when_processed(cell: Cell) -> ChecksumFinding:
    """Return the finding of the processing, which `done` and the message `cell-done` report."""
    return DoneRecord.of(cell.flags.done).finding
