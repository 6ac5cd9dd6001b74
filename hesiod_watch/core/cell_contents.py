"""Contents of a cell's directory: files counted by kind, its summaries, and the verdict on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class DataKind(StrEnum):
    """Kinds of data file that a final_summary counts."""

    FASTQ = "fastq"
    FAST5 = "fast5"
    POD5 = "pod5"
    BAM = "bam"


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class CellContents:
    """Content of a cell's directory, as far as it matters for completeness."""

    summaries: tuple[FinalSummary, ...] = ()
    files: Mapping[DataKind, int] = field(default_factory=dict)  # number of files by kind
    # Acquisition ids that data files name and no final_summary names. An id has as many hex digits
    # as the file names contain.
    unsummarised: tuple[str, ...] = ()
    readable: bool = True
    problem: str = ""  # e.g. "fastq_pass: permission denied"


class Verdict(StrEnum):
    """Result of checking whether all data of a cell have arrived."""

    RUNNING = "running"  # no final_summary yet
    UNREADABLE = "unreadable"  # the final_summary is half-written, or the file is not one at all
    SHORT = "short"  # fewer files in the landing area than announced
    OVER = "over"  # more files in the landing area than announced
    FALLBACK = "fallback"  # MinKNOW could not deliver some files; they are on the sequencer
    PROVEN = "proven"
    BY_HAND = "by-hand"  # not proven, but accepted as complete by a person


@dataclass(frozen=True, slots=True)
class Shortfall:
    """One wrong count: `found` files of `kind` where the final_summary says `expected`."""

    kind: DataKind
    found: int
    expected: int


@dataclass(frozen=True, slots=True)
class Completeness:
    """Verdict on a cell's data, with a sentence for people."""

    verdict: Verdict
    why: str
    shortfalls: tuple[Shortfall, ...] = ()
    fallback: Mapping[DataKind, int] = field(default_factory=dict)
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
        fallback = {str(kind): count for kind, count in self.fallback.items()}
        return {
            "verdict": str(self.verdict),
            "why": self.why,
            "shortfalls": shortfalls,
            "fallback": fallback,
        }

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
            fallback = {DataKind(kind): int(count) for kind, count in record["fallback"].items()}
            verdict = Verdict(record["verdict"])
            return cls(verdict, str(record["why"]), shortfalls, fallback)
        except (KeyError, TypeError, ValueError, AttributeError):
            return None


@dataclass(frozen=True, slots=True)
class LateData:
    """Data files that came into a cell's directory after the cell was processed."""

    files: Mapping[str, int]  # number of new files by directory; "" is the cell's own
    outside: frozenset[str]  # directories among these whose files MinKNOW does not count
    completeness: Completeness  # verdict on all files that are here now
