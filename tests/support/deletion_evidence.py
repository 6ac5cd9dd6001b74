"""Evidence for a deletion proof, complete or spoilt in one way, and what `prove` makes of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hesiod_watch.core.file_entry import FileEntry
from hesiod_watch.core.model import CellId
from hesiod_watch.rules import deletion_proof
from hesiod_watch.rules.deletion_proof import (
    CopyEvidence,
    DeletionEvidence,
    DeletionProof,
    DeletionRefused,
    ProofLimits,
    prove,
)

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
CELL = CellId("lib", "20190710_1723_2-A5-D5_PAD38578_c6ded78b")
READS, SIGNAL, SUMMARY = "fastq_pass/a.fastq.gz", "pod5/a.pod5", "final_summary_a.txt"
SIZES = {READS: 5_000_000, SIGNAL: 9_000_000, SUMMARY: 300}


def md5(name: str) -> str:
    data = name.encode("utf-8", "surrogateescape")
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def a_copy(place: str, name: str, **more: Any) -> CopyEvidence:
    values: dict[str, Any] = {
        "device": f"device of {place}",
        "path": f"/{place}/{name}",
        "inode": f"{place}:{name}",
        "md5": md5(name),
        "read_at": NOW - timedelta(minutes=20),
    }
    return CopyEvidence(place, **(values | more))


def evidence(dropped: deletion_proof.Dropped = "upstream", **more: Any) -> DeletionEvidence:
    """Complete evidence for deleting a cell of three files.

    Copies are in landing and on a backup; the reads are also in the output.
    """
    places = {
        name: ["landing", "backup one"] if dropped == "upstream" else ["backup one", "backup two"]
        for name in SIZES
    }
    places[READS] = [*places[READS][:1], "output", *places[READS][1:]]
    values: dict[str, Any] = {
        "run": "20190710_PROM_alpha",
        "cell": CELL,
        "dropped": dropped,
        "taken_at": NOW - timedelta(seconds=5),
        "found": {"fastq_pass": FileEntry("fastq_pass", "d")}
        | {
            name: FileEntry(name, size=size, device=1, inode=2, md5=md5(name))
            for name, size in SIZES.items()
        },
        "recorded": {
            name: FileEntry(name, size=size, md5=md5(name)) for name, size in SIZES.items()
        },
        "copies": {
            name: tuple(a_copy(place, name) for place in copies_of_file)
            for name, copies_of_file in places.items()
        },
        "closed": "all 3 files announced are here",
        "epoch": 1,
        "current_epoch": 1,
        "done_manifest": "m" * 32,
        "backup_manifest": "m" * 32,
        "manifest": "m" * 32,
    }
    return DeletionEvidence(**(values | more))


def proven(
    found: DeletionEvidence, now: datetime = NOW, limits: ProofLimits | None = None
) -> DeletionProof:
    answer = prove(found, limits or ProofLimits(), now)
    assert isinstance(answer, DeletionProof), answer
    return answer


def refused(found: DeletionEvidence, now: datetime = NOW, limits: ProofLimits | None = None) -> str:
    """All reasons against a proof, in one text."""
    answer = prove(found, limits or ProofLimits(), now)
    assert isinstance(answer, DeletionRefused)
    return "; ".join(answer.reasons)


Spoil = Callable[[DeletionEvidence], DeletionEvidence]


def with_copy(name: str, where: str, **more: Any) -> Spoil:
    """Change one copy of one file."""

    def spoil(found: DeletionEvidence) -> DeletionEvidence:
        copies_of_file = tuple(
            replace(copy, **more) if copy.place == where else copy for copy in found.copies[name]
        )
        return replace(found, copies={**found.copies, name: copies_of_file})

    return spoil


def with_found(name: str, entry: FileEntry | None) -> Spoil:
    """Change one file in the place of deletion; None removes it."""

    def spoil(found: DeletionEvidence) -> DeletionEvidence:
        entries = {key: value for key, value in found.found.items() if key != name}
        return replace(found, found=entries | ({name: entry} if entry else {}))

    return spoil


def changed(**more: Any) -> Spoil:
    return lambda found: replace(found, **more)
