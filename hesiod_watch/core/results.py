"""Results of work as flags record them: actions write them, rules read them. No I/O.

Each class has one pair `record` and `from_record`. A record may be damaged, or written by another
version or program: a value that is impossible counts as missing. How an attempt ended is the same
in every record: `AttemptEnd`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, field, fields
from datetime import datetime
from typing import Any, ClassVar, Self, TypeVar

from hesiod_watch.core.cell_contents import Completeness
from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.minknow_checksums import NO_FINDING, ChecksumFinding
from hesiod_watch.core.ownership import Attempt, Flag
from hesiod_watch.core.records import current, numbers_in, texts_in, whole_number
from hesiod_watch.core.times import time_of


@frozen
class CopyRecord:
    """One copy of a cell that was read completely and agreed with its facts."""

    backup: str  # name of the backup in the configuration
    identity: str  # id in the marker of the backup
    # file system of the copy, as `BackupStore.device` gave it; valid until that host boots again
    device: str
    location: str
    manifest_md5: str  # MD5 of the manifest.json that the results agree with
    raw_digest: str  # `digest` of all facts of the raw data; "" if none are known
    files: int
    bytes: int
    verified_at: str  # ISO 8601, UTC
    raw: bool  # whether the raw data are part of the copy, by the policy of that backup
    run: str = ""  # name of the run at the backup; "": an earlier version made the record

    def record(self) -> dict[str, object]:
        """The record as a JSON object."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: object) -> CopyRecord | None:
        """Read what the method `record` wrote; None for anything else."""
        if not isinstance(record, Mapping):
            return None
        kinds = {"files": int, "bytes": int, "raw": bool}
        values: dict[str, Any] = {each.name: record.get(each.name) for each in fields(cls)}
        values["run"] = values["run"] or ""
        if any(type(value) is not kinds.get(name, str) for name, value in values.items()):
            return None
        if any(whole_number(values[name]) is None for name in ("files", "bytes")):
            return None
        return cls(**values)

    @property
    def verified(self) -> datetime | None:
        """Time of the verification; None if the record has none."""
        return time_of(self.verified_at)


def _text(value: object) -> str:
    return str(value or "")


def _copies(value: object) -> tuple[CopyRecord, ...]:
    """The copy records of a list; invalid ones are left out."""
    found = [CopyRecord.from_record(each) for each in value] if isinstance(value, list) else []
    return tuple(copy for copy in found if copy is not None)


_READERS: dict[str, Callable[[object], Any]] = {
    "str": _text,
    "int": lambda value: whole_number(value) or 0,
    "int | None": whole_number,
    "bool": lambda value: value is True,
    "bool | None": lambda value: value if isinstance(value, bool) else None,
    "tuple[str, ...]": texts_in,
    "tuple[CopyRecord, ...]": _copies,
    "Mapping[str, Any]": numbers_in,
    "Completeness | None": Completeness.from_record,
}
"""Reader of a value in a record, by the type of its field."""


@frozen
class WorkRecord:
    """Result of work that records nothing but how it ended, and base of all other results.

    A record has a key for each field. Without a value for the field `_complete`, the work has not
    finished: only the fields that have a value are recorded.
    """

    _complete: ClassVar[str] = ""

    def record(self) -> dict[str, object]:
        finished = getattr(self, self._complete, None) not in (None, "")
        record: dict[str, object] = {}
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, ChecksumFinding):
                record |= value.record()
            elif isinstance(value, bool) or value or value == 0 or finished:
                record[each.name] = _plain(value)
        return record

    @classmethod
    def from_record(cls, record: Mapping[str, object]) -> Self:
        return cls(
            **{
                each.name: ChecksumFinding.from_record(record)
                if each.type == "ChecksumFinding"
                else _READERS[str(each.type)](record.get(each.name))
                for each in fields(cls)
            }
        )

    @classmethod
    def of(cls, recorded: Attempt | Flag | None) -> Self:
        """Read the record of an attempt or a flag; an empty result without one."""
        known = recorded.results if recorded else _EMPTY
        if cls not in known:  # the rules ask dozens of times in each look
            known[cls] = cls.from_record(recorded.record if recorded else {})
        result: Self = known[cls]
        return result


def _plain(value: Any) -> object:
    """A value as JSON has it."""
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    if isinstance(value, Mapping):
        return dict(value)
    return value.record() if isinstance(value, CopyRecord | Completeness) else value


R = TypeVar("R", bound=WorkRecord)

_EMPTY: dict[type, Any] = {}
"""Results of work that recorded nothing, by their class."""


@frozen
class AttemptEnd(WorkRecord):
    """How an attempt ended; spelled alike in the record of every attempt."""

    reason: str = ""  # while it is under way: why it began
    needs_person: bool | None = None  # a retry alone will not help; None: not recorded
    ended: str = ""  # ISO 8601, UTC
    cell: str = ""  # library/cell; "": work on a run
    died: bool | None = None  # True: the worker died, and its starter recorded that
    # end of the first of the failed attempts in a row, ISO 8601, UTC; "": the last one succeeded
    failing_since: str = ""


@frozen
class ChecksumsRecord(WorkRecord):
    """Result of comparing a cell with MinKNOW's checksums before it counts as complete."""

    finding: ChecksumFinding = NO_FINDING


@frozen
class BackupRecord(WorkRecord):
    """Result of backing up a cell: its verified copies."""

    _complete = "manifest"
    manifest: str = ""  # MD5 of the manifest that they are copies of
    copies: tuple[CopyRecord, ...] = ()
    finding: ChecksumFinding = NO_FINDING
    damaged_ends: bool = False  # raw data without the end markers of their format


@frozen
class RunBackupRecord(WorkRecord):
    """Result of backing up a run's own files."""

    covers: str = ""  # digest of the cells at the time, `backup_schedule.run_digest`


@frozen
class VerificationRecord(WorkRecord):
    """Result of reading a cell's copies again."""

    _complete = "here"
    copies: tuple[CopyRecord, ...] = ()  # copies that agree
    # whether the copy on this host was read to the end; None: the reading was not finished
    here: bool | None = None
    problems: tuple[str, ...] = ()  # damage that no later reading found repaired
    finding: ChecksumFinding = NO_FINDING
    raw_made: bool = False  # this reading made `raw.json`


@frozen
class HookRecord(WorkRecord):
    """Result of running the facility's command for a cell."""

    _complete = "code"
    done: str = ""  # `DoneRecord.key` of the processing that it was run for
    code: int | None = None  # exit code of the command, negative for a signal
    failing: str = ""  # while it is run again: the failure before, if that needed a person


@frozen
class MarkRecord(WorkRecord):
    """Result of marking a cell on its upstream as safe to delete."""

    _complete = "inventory"
    marked: bool = False  # whether the list on the upstream has the mark, or may have it
    files: int | None = None
    bytes: int | None = None
    inventory: str = ""  # digest of the marked files; "" if this attempt proved nothing
    evidence: str = ""  # name of the file with the evidence
    places: tuple[str, ...] = ()  # where the copies are
    until: str = ""  # end of the mark, ISO 8601, UTC
    finding: ChecksumFinding = NO_FINDING


@frozen
class StripRecord(WorkRecord):
    """Result of removing a cell's raw data from the landing area."""

    _complete = "inventory"
    # number of deleted files; 0: the cell is unchanged; None: not known, some may be deleted
    files: int | None = None
    bytes: int | None = None
    inventory: str = ""  # digest of the files in the proof; "" if the removal was not finished
    places: tuple[str, ...] = ()  # where the copies are
    kept: tuple[str, ...] = ()  # sentences about the files that stay
    finding: ChecksumFinding = NO_FINDING

    @property
    def unchanged(self) -> bool:
        """Whether it is certain that no file of the cell was deleted."""
        return self.files == 0


@frozen
class DoneRecord(WorkRecord):
    """Result of processing a cell, the content of `{cell}.done`; empty for a person's flag."""

    _complete = "cell"
    cell: str = ""
    epoch: int = 0
    host: str = ""
    version: str = ""
    time: str = ""  # ISO 8601, UTC
    manifest_md5: str = ""  # "": the flag was made by hand or by an earlier Hesiod
    results: Mapping[str, Any] = field(default_factory=dict)  # the most important numbers
    counted: str = ""  # sentence about the count of the files
    completeness: Completeness | None = None
    finding: ChecksumFinding = NO_FINDING
    compared: str = ""  # sentence about MinKNOW's checksums; "": MinKNOW wrote none
    no_reads: str = ""  # sentence about a cell without reads; "" for any other
    qc_verdict: str = ""  # sentence: "WARN: N50 4,100 is below 5,000"; "": no limits
    # `raw.json` is made after the processing; False in the flags of earlier versions
    raw_due: bool = False
    # a command of `on_done` was configured when the cell was processed
    hook_due: bool = False

    @property
    def key(self) -> str:
        """Text that no other `.done` of the cell has, except those that persons make."""
        return f"{self.time} {self.epoch} {self.manifest_md5}" if self.time else "by hand"


@frozen
class DamageRecord(WorkRecord):
    """Damaged sources of a cell, in its flag `failed`; empty where it failed for another reason."""

    NAMED: ClassVar[int] = 100
    """Largest number of files that a flag names, because a large flag cannot be read again."""
    LONGEST: ClassVar[int] = 24_000
    """Largest sum of the lengths of these names, in characters."""

    damaged: tuple[str, ...] = ()  # names relative to the cell
    damaged_files: int | None = None  # number of all damaged files; None: none is known

    @classmethod
    def about(cls, names: Iterable[str]) -> Self:
        """The record about these files."""
        every, kept, room = list(names), list[str](), cls.LONGEST
        for name in every[: cls.NAMED]:
            room -= len(json.dumps(name))
            if room < 0:
                break
            kept.append(name)
        return cls(tuple(kept), len(every))


@frozen
class DeliveryFailure:
    """Why a channel does not accept a run's messages, and when it is retried.

    Times are ISO 8601, UTC.
    """

    reason: str
    attempts: int = 1
    since: str = ""
    until: str = ""
    needs_person: bool = False  # a retry alone will not help


@frozen
class DeliveryRecord(WorkRecord):
    """Result of delivering a run's messages: the failure of each channel that has one."""

    failures: Mapping[str, DeliveryFailure] = field(default_factory=dict)

    def record(self) -> dict[str, object]:
        found = {name: asdict(failure) for name, failure in self.failures.items()}
        return {"channels": found} if found else {}

    @classmethod
    def from_record(cls, record: Mapping[str, object]) -> DeliveryRecord:
        """Read a record; a channel with an impossible entry has no failure and is tried again."""
        channels = record.get("channels")
        failures = {}
        for name, entry in channels.items() if isinstance(channels, Mapping) else ():
            known = current(entry) if isinstance(entry, Mapping) else {}
            if (attempts := whole_number(known.get("attempts"))) is not None:
                texts = {key: str(known.get(key, "")) for key in ("reason", "since", "until")}
                needs_person = known.get("needs_person") is True
                failures[str(name)] = DeliveryFailure(
                    attempts=attempts, needs_person=needs_person, **texts
                )
        return cls(failures)
