"""Copies of a cell: facts about files, records of copies, paths on a backup. No I/O.

A *fact* is the name, size and MD5 that a file should have. A *copy record* says that all facts of a
cell's results, and of its raw data, were true on one backup when the files were read there. It
describes the past: a deletion that relies on a copy needs a recent reading of that copy.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any

from hesiod_watch.core.file_entry import Entries
from hesiod_watch.core.model import Attempt, CellId
from hesiod_watch.core.records import whole_number
from hesiod_watch.core.times import time_of

RESULTS = "results"
RAW = "raw"
FLAGS = "pipeline"
SUPERSEDED = "superseded"


@dataclass(frozen=True, slots=True)
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

    def record(self) -> dict[str, object]:
        """The record as a JSON object."""
        return asdict(self)

    @property
    def verified(self) -> datetime | None:
        """Time of the verification; None if the record has none."""
        return time_of(self.verified_at)


def digest(facts: Entries) -> str:
    """SHA-256 of the names, sizes and checksums of all facts; "" without facts."""
    if not facts:
        return ""
    total = hashlib.sha256()
    for name in sorted(facts):
        fact = facts[name]
        total.update(f"{name}\0{fact.size}\0{fact.md5}\0".encode("utf-8", "surrogateescape"))
    return total.hexdigest()


def copies_in(record: Mapping[str, object]) -> tuple[CopyRecord, ...]:
    """The copy records in a flag's record; invalid ones are left out."""
    listed = record.get("copies")
    found = [_copy(each) for each in listed] if isinstance(listed, list) else []
    return tuple(copy for copy in found if copy is not None)


def _copy(record: object) -> CopyRecord | None:
    if not isinstance(record, dict):
        return None
    kinds = {"files": int, "bytes": int, "raw": bool}
    values: dict[str, Any] = {each.name: record.get(each.name) for each in fields(CopyRecord)}
    if any(type(value) is not kinds.get(name, str) for name, value in values.items()):
        return None
    return (
        CopyRecord(**values)
        if all(whole_number(values[name]) is not None for name in ("files", "bytes"))
        else None
    )


def known_copies(manifest_md5: str, *attempts: Attempt | None) -> tuple[CopyRecord, ...]:
    """Copies of a manifest's files that attempts have recorded, the newest of each backup.

    The attempts are backups and verifications.
    """
    newest: dict[str, CopyRecord] = {}
    for copy in (copy for each in attempts if each for copy in copies_in(each.record)):
        if copy.manifest_md5 != manifest_md5 or not manifest_md5:
            continue
        former = newest.get(copy.backup)
        if former is None or (
            copy.verified and (former.verified is None or former.verified < copy.verified)
        ):
            newest[copy.backup] = copy
    return tuple(newest[name] for name in sorted(newest))


def damage_in(verification: Attempt | None) -> tuple[str, ...]:
    """Sentences about damage of a cell that no later reading found repaired.

    Any damage prevents every deletion.
    """
    found = verification.record.get("problems") if verification else None
    return tuple(str(each) for each in found) if isinstance(found, list) else ()


def results_place(run: str, cell: CellId) -> str:
    """Directory of a cell's results on a backup, relative to its root."""
    return f"{run}/{RESULTS}/{cell}"


def raw_place(run: str, cell: CellId) -> str:
    """Directory of a cell's raw data on a backup, relative to its root."""
    return f"{run}/{RAW}/{cell}"


def raw_wanted(raw: Entries, sources: Iterable[str], *, wanted: bool, fastq: bool) -> Entries:
    """The raw data that a backup must contain: all, none, or all except some FASTQ files.

    The excepted files are `sources`, whose reads are in the results.
    """
    if not wanted:
        return {}
    left_out = frozenset() if fastq else frozenset(sources)
    return {name: fact for name, fact in raw.items() if name not in left_out}
