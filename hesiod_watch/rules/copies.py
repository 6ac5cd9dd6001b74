"""Copies of a cell: facts about files, records of copies, paths on a backup. No I/O.

A *fact* is the name, size and MD5 that a file should have. A *copy record* says that all facts of a
cell's results, and of its raw data, were true on one backup when the files were read there. It
describes the past: a deletion that relies on a copy needs a recent reading of that copy.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from hesiod_watch.core.file_entry import Entries
from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.model import CellId
from hesiod_watch.core.ownership import Attempt
from hesiod_watch.core.results import BackupRecord, CopyRecord, VerificationRecord

RESULTS = "results"
RAW = "raw"
FLAGS = "pipeline"
SUPERSEDED = "superseded"


def digest(facts: Entries) -> str:
    """SHA-256 of the names, sizes and checksums of all facts; "" without facts."""
    if not facts:
        return ""
    total = hashlib.sha256()
    for name in sorted(facts):
        fact = facts[name]
        total.update(f"{name}\0{fact.size}\0{fact.md5}\0".encode("utf-8", "surrogateescape"))
    return total.hexdigest()


def known_copies(manifest_md5: str, *attempts: Attempt | None) -> tuple[CopyRecord, ...]:
    """Copies of a manifest's files that attempts have recorded, the newest of each backup.

    The attempts are backups and verifications.
    """
    newest: dict[str, CopyRecord] = {}
    for copy in (copy for each in attempts for copy in BackupRecord.of(each).copies):
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
    return VerificationRecord.of(verification).problems


@frozen
class CopyPlace:
    """Names of run and library under which a backup has a cell.

    The directories are relative to the backup's root.
    """

    run: str
    cell: CellId

    @property
    def results(self) -> str:
        """Directory of the cell's results."""
        return f"{self.run}/{RESULTS}/{self.cell}"

    @property
    def raw(self) -> str:
        """Directory of the cell's raw data."""
        return f"{self.run}/{RAW}/{self.cell}"


def raw_wanted(raw: Entries, sources: Iterable[str], *, wanted: bool, fastq: bool) -> Entries:
    """The raw data that a backup must contain: all, none, or all except some FASTQ files.

    The excepted files are `sources`, whose reads are in the results.
    """
    if not wanted:
        return {}
    left_out = frozenset() if fastq else frozenset(sources)
    return {name: fact for name, fact in raw.items() if name not in left_out}
