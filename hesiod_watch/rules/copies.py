"""Which copies of a cell there are, in words: facts about files, records of verified copies, where
things lie. No I/O.

A *fact* is a file's name, size and MD5. A *copy record* says that all facts of a cell's results,
and of its raw data, were found to hold on one backup, by reading there. It speaks of the past: what
is deleted because a copy exists needs a reading that is fresh.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any

from hesiod_watch.core.model import Attempt, CellId
from hesiod_watch.core.records import whole_number
from hesiod_watch.core.times import time_of

RESULTS = "results"
RAW = "raw"
FLAGS = "pipeline"
SUPERSEDED = "superseded"


@dataclass(frozen=True, slots=True)
class FileFact:
    """One file as it should be. `name` is relative to its directory, with `/` between the parts."""

    name: str
    size: int
    md5: str


Facts = Mapping[str, FileFact]
"""Facts by the name of their file."""


@dataclass(frozen=True, slots=True)
class CopyRecord:
    """One copy of a cell that was read in full and found to agree."""

    backup: str  # its name in the configuration
    identity: str  # id in the marker of the backup
    # the file system it lay on, as `Store.device` gave it then; true until the next boot of that
    # host
    device: str
    location: str
    manifest_md5: str  # of the manifest.json that its results agree with
    raw_digest: str  # `digest` of all facts of the raw data; "" where nothing is known of them
    files: int
    bytes: int
    verified_at: str  # ISO 8601, UTC
    raw: bool  # the raw data are part of the copy, as the policy of that backup says

    def record(self) -> dict[str, object]:
        """The same as a JSON object."""
        return asdict(self)

    @property
    def verified(self) -> datetime | None:
        """When it was verified; None where the record does not say."""
        return time_of(self.verified_at)


def digest(facts: Facts) -> str:
    """What stands for all of some facts: SHA-256 of names, sizes and checksums; "" for none at all."""
    if not facts:
        return ""
    total = hashlib.sha256()
    for name in sorted(facts):
        fact = facts[name]
        total.update(f"{name}\0{fact.size}\0{fact.md5}\0".encode("utf-8", "surrogateescape"))
    return total.hexdigest()


def copies_in(record: Mapping[str, object]) -> tuple[CopyRecord, ...]:
    """The copy records in a flag's record; what cannot be read as one is left out."""
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


def known_copies(manifest_md5: str, *rounds: Attempt | None) -> tuple[CopyRecord, ...]:
    """The copies of what a manifest names that rounds of backup and verification tell of, the
    newest of each backup.
    """
    newest: dict[str, CopyRecord] = {}
    for copy in (copy for each in rounds if each for copy in copies_in(each.record)):
        if copy.manifest_md5 != manifest_md5 or not manifest_md5:
            continue
        former = newest.get(copy.backup)
        if former is None or (
            copy.verified and (former.verified is None or former.verified < copy.verified)
        ):
            newest[copy.backup] = copy
    return tuple(newest[name] for name in sorted(newest))


def damage_in(verification: Attempt | None) -> tuple[str, ...]:
    """What was found wrong with a cell and has not been found mended: sentences. It holds back
    every deletion.
    """
    found = verification.record.get("problems") if verification else None
    return tuple(str(each) for each in found) if isinstance(found, list) else ()


def results_place(run: str, cell: CellId) -> str:
    """Where the results of a cell lie on a backup, relative to its root."""
    return f"{run}/{RESULTS}/{cell}"


def raw_place(run: str, cell: CellId) -> str:
    """Where the raw data of a cell lie on a backup, relative to its root."""
    return f"{run}/{RAW}/{cell}"


def raw_wanted(raw: Facts, sources: Iterable[str], *, wanted: bool, fastq: bool) -> Facts:
    """The raw data that a backup is to hold: all of them, none, or all but the FASTQ whose reads
    are in the results.
    """
    if not wanted:
        return {}
    held = frozenset() if fastq else frozenset(sources)
    return {name: fact for name, fact in raw.items() if name not in held}
