"""Contents of a cell's directory: files counted by kind, its summaries, and the verdict on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum

from hesiod_watch.core.frozen import frozen

DATA_SUFFIXES = (".fastq", ".fastq.gz", ".fq", ".fq.gz", ".fast5", ".pod5", ".bam", ".cram", ".sam")
"""Endings of the names of data files, also of formats that no final_summary counts."""


class DataKind(StrEnum):
    """Kinds of data file that a final_summary counts."""

    FASTQ = "fastq"
    FAST5 = "fast5"
    POD5 = "pod5"
    BAM = "bam"
    BAI = "bai"  # index of a BAM file; counted only where a final_summary states its number


@frozen
class FinalSummary:
    """One parsed final_summary file."""

    name: str  # file name, as on disk
    # Values by key; if a key is repeated, its last value.
    values: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""  # why the file is not valid: half-written or unreadable

    @property
    def acquisition(self) -> str:
        """Acquisition id, 40 hex digits; "" if the file states none."""
        return self.values.get("acquisition_run_id", "")


@frozen
class NamedFiles:
    """A number of files of a cell; the first of them by name."""

    count: int = 0
    names: tuple[str, ...] = ()  # relative to the cell, escaped for display; at most NAMED

    def __str__(self) -> str:
        more = self.count - len(self.names)
        listed = ", ".join(self.names)
        return f"{listed} and {more} more" if more > 0 else listed


NAMED = 5
"""Most files, or numbers of files, that a sentence names."""


@frozen
class FileNames:
    """Evidence in the names of the files of one kind, apart from their number."""

    gaps: NamedFiles = NamedFiles()  # numbers without a file, between files of one series
    doubled: NamedFiles = NamedFiles()  # files whose number another file of the series has, too
    doubles: int = 0  # of these, the files beyond one for each number
    foreign: NamedFiles = NamedFiles()  # files of no acquisition that a final_summary names


@frozen
class ListedFiles:
    """Files of one kind that MinKNOW lists by name in its `output_hash` files."""

    count: int
    absent: NamedFiles = NamedFiles()
    unnamed: int = 0  # files here that the list does not name


@frozen
class CellContents:
    """Content of a cell's directory, as far as it matters for completeness."""

    summaries: tuple[FinalSummary, ...] = ()
    files: Mapping[DataKind, int] = field(default_factory=dict)  # number of files by kind
    names: Mapping[DataKind, FileNames] = field(default_factory=dict)  # kinds with a finding
    # Kinds that MinKNOW lists by name, if a final_summary states no number of them.
    listed: Mapping[DataKind, ListedFiles] = field(default_factory=dict)
    # Acquisition ids that data files name and no final_summary names. An id has as many hex digits
    # as the file names contain.
    unsummarised: tuple[str, ...] = ()
    # Of these, the ids of another protocol run than that of the cell and of its summaries.
    strangers: frozenset[str] = frozenset()
    output_hashes: bool = False  # MinKNOW wrote checksums
    unknown: tuple[str, ...] = ()  # data in formats or directories that are not known, in words
    readable: bool = True
    problem: str = ""  # e.g. "fastq_pass: permission denied"


NOT_FOLLOWED = "links and special files are not followed"
"""Part of the problem of a cell that has links or special files among its data."""


class Verdict(StrEnum):
    """Result of checking whether all data of a cell have arrived."""

    RUNNING = "running"  # no final_summary yet
    UNREADABLE = "unreadable"  # the final_summary is half-written, or the file is not one at all
    SHORT = "short"  # fewer files in the landing area than announced
    OVER = "over"  # more files in the landing area than announced
    FALLBACK = "fallback"  # MinKNOW could not deliver some files; they are on the sequencer
    DAMAGED = "damaged"  # the counts agree, and MinKNOW's checksums do not
    PROVEN = "proven"
    BY_HAND = "by-hand"  # not proven, but accepted as complete by a person


@frozen
class Shortfall:
    """One wrong count: `found` files of `kind` where the final_summary says `expected`."""

    kind: DataKind
    found: int
    expected: int


@frozen
class Completeness:
    """Verdict on a cell's data, with a sentence for people."""

    verdict: Verdict
    why: str
    shortfalls: tuple[Shortfall, ...] = ()
    # Files in MinKNOW's fallback folder, by kind as the final_summary spells it.
    fallback: Mapping[str, int] = field(default_factory=dict)
    # Files whose number nothing states, by kind: nothing proves that all of them are here.
    unverified: Mapping[str, int] = field(default_factory=dict)
    evidence: tuple[str, ...] = ()  # sentences about the names of the files
    output_hashes: bool = False  # MinKNOW wrote checksums
    summaries: tuple[FinalSummary, ...] = ()

    @property
    def proven(self) -> bool:
        return self.verdict is Verdict.PROVEN

    @property
    def by_hand(self) -> str:
        """Sentence about a cell that a person accepted despite wrong counts; "" for other cells."""
        return self.why if self.verdict is Verdict.BY_HAND else ""

    def record(self) -> dict[str, object]:
        """Return the verdict as a JSON object for qc.json, `.done` and `status --json`."""
        shortfalls = [
            {"kind": str(each.kind), "found": each.found, "expected": each.expected}
            for each in self.shortfalls
        ]
        fallback, unverified = (
            {str(kind): count for kind, count in counts.items()}
            for counts in (self.fallback, self.unverified)
        )
        always: dict[str, object] = {
            "verdict": str(self.verdict),
            "why": self.why,
            "shortfalls": shortfalls,
            "fallback": fallback,
        }
        further = {"unverified": unverified, "evidence": list(self.evidence)}
        return always | {key: value for key, value in further.items() if value}

    @classmethod
    def from_record(cls, record: object) -> Completeness | None:
        """Read what the method `record` wrote; None for anything else."""
        if not isinstance(record, dict):
            return None
        try:
            shortfalls = tuple(
                Shortfall(DataKind(each["kind"]), int(each["found"]), int(each["expected"]))
                for each in record["shortfalls"]
            )
            fallback, unverified = (
                {str(kind): int(count) for kind, count in counts.items()}
                for counts in (record["fallback"], record.get("unverified", {}))
            )
            evidence = tuple(map(str, record.get("evidence", ())))
            verdict = Verdict(record["verdict"])
            return cls(verdict, str(record["why"]), shortfalls, fallback, unverified, evidence)
        except (KeyError, TypeError, ValueError, AttributeError):
            return None


@frozen
class LateData:
    """Data files that came into a cell's directory after the cell was processed."""

    files: Mapping[str, int]  # number of new files by directory; "" is the cell's own
    outside: frozenset[str]  # directories among these whose files MinKNOW does not count
    completeness: Completeness  # verdict on all files that are here now
