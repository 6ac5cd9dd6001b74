"""Deletion proof: the evidence required for every deletion of raw data, and its rules.

A `DeletionProof` names every file that may be deleted, with size, MD5 and identity, and the
remaining copies of each. Only `prove` makes a proof, and the deleting code accepts nothing else. A
proof is about one cell and one place: "upstream" (on the sequencer) or "landing" (our landing
area). It expires after minutes. All its evidence was read at the actual location of the files while
the evidence was gathered: no exit code, size, file time or earlier record replaces reading the
bytes.

Two deletions never count each other's copy. For a deletion upstream, the copies in landing, outputs
and backups count. For a deletion in landing, only those in outputs and backups count. This program
never deletes outputs or backups. So after a deletion in landing, two copies remain that no deletion
touches. This is also true for files deleted upstream while landing counted as a copy, in any order
and even if both deletions happen at once. Upstream and trash never count.

Upstream, a cell is deleted completely or not at all. In landing, each file is judged by itself, and
a file without two other copies is kept. The functions are pure: they take evidence and a time, and
return a proof or the reasons against it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from datetime import datetime, timedelta
from typing import Final, Literal

from hesiod_watch.core.cell_contents import DATA_SUFFIXES
from hesiod_watch.core.file_entry import Entries, FileEntry
from hesiod_watch.core.minknow_checksums import NO_CHECKSUMS, MinknowChecksums
from hesiod_watch.core.model import CellId
from hesiod_watch.core.naming import display
from hesiod_watch.core.text import number_of, span_text
from hesiod_watch.rules.completeness import unverified_words

Dropped = Literal["upstream", "landing"]
COPIES = 2
"""Verified copies of every file that must remain, each on a separate device."""
SMALL = 1_000_000
"""Bytes up to which a file in landing is always kept, unless it is a data file."""
ALWAYS_KEPT = ("final_summary", "report_", "output_hash_")
"""Beginnings of file names that stay in landing at any size, because people look for them."""
SHARED = "of several cells of a pooled directory"
"""Why a file stays in landing that belongs to each acquisition of a protocol run."""
NOTHING = "there is nothing to delete"
"""The only reason if no deletable file is left, or if there were only small files."""
CLOCK_SLACK = timedelta(seconds=2)
"""Most that a time may be in the future; hosts with NTP agree to about a second."""


@dataclass(frozen=True, slots=True)
class ProofLimits:
    """Greatest age of evidence and lifetime of a proof; the defaults are also the maxima."""

    fresh: timedelta = timedelta(hours=24)  # from the reading of a copy to the proof
    # from the last inventory of the place to the last deletion
    lasts: timedelta = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class CopyEvidence:
    """Another copy of a file, or a missing one."""

    place: str  # "landing", "output", "backup NAME"
    device: str = ""  # unique for its file system
    path: str = ""  # real path, with the host if it is another one
    inode: str = ""  # unique among the files that this host sees; "" if it is unknown
    md5: str = ""  # MD5 of the original bytes that the copy restores; "" if it does not count
    read_at: datetime | None = None  # when its bytes were last read at their location
    why: str = ""  # why it does not count; "" if it counts

    def __str__(self) -> str:
        return f"{self.place}: {self.why}" if self.why else self.place


@dataclass(frozen=True, slots=True)
class DeletionEvidence:
    """All evidence about one cell for deleting it from one place."""

    run: str
    cell: CellId
    dropped: Dropped
    taken_at: datetime  # time of the last inventory of the place
    found: Entries  # entries with the MD5 read there; "" if a file could not be read
    recorded: Entries  # files of the raw manifest: as they were when the cell was complete
    copies: Mapping[str, tuple[CopyEvidence, ...]]  # copies by name relative to the cell
    closed: str = ""  # why no more files can arrive; "": more may arrive
    epoch: int = 0  # epoch of the processing that `.done` records
    current_epoch: int = 0  # highest epoch that was not given up
    done_manifest: str = ""  # MD5 of manifest.json that `.done` records
    backup_manifest: str = ""  # MD5 of manifest.json that `.backup.done` records
    manifest: str = ""  # MD5 of the present manifest.json
    blockers: tuple[str, ...] = ()  # flags that prevent a deletion, one sentence each
    moved: tuple[str, ...] = ()  # names added, removed or changed while evidence was gathered
    checksums: MinknowChecksums = NO_CHECKSUMS  # result of MinKNOW's own checksums of the cell
    # Files by kind whose number nothing states: nothing says that all of them were ever here.
    unverified: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class KeptFile:
    """A file that is kept, with the reason."""

    name: str
    size: int
    why: str


@dataclass(frozen=True, slots=True)
class DeletionRefused:
    """Reasons against a proof, one sentence each; a reason about a file names it."""

    reasons: tuple[str, ...]
    checksums: MinknowChecksums = NO_CHECKSUMS  # checksums of the evidence

    def __str__(self) -> str:
        more = len(self.reasons) - 3
        return "; ".join(self.reasons[:3]) + (
            f"; and {number_of(more, 'more reason')}" if more > 0 else ""
        )


_PROVEN: Final = object()
"""Key that only `prove` passes to `DeletionProof`."""


@dataclass(frozen=True, slots=True)
class DeletionProof:
    """Permission to delete these files of a cell from one place until `not_after`.

    Only `prove` makes one.
    """

    run: str
    cell: CellId
    dropped: Dropped
    inventory_digest: str  # `digest_of` all files found there
    files: tuple[FileEntry, ...]
    kept: tuple[KeptFile, ...]
    # remaining copies of each of `files`
    copies: Mapping[str, tuple[CopyEvidence, ...]] = field(repr=False)
    made_at: datetime
    not_after: datetime
    shown: InitVar[object] = None

    def __post_init__(self, shown: object) -> None:
        if shown is not _PROVEN:
            raise TypeError("only deletion_proof.prove makes a DeletionProof")

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a DeletionProof does not leave the process that made it")

    def about(self, run: str, cell: CellId, dropped: Dropped) -> bool:
        """Whether the proof is about this cell and this place."""
        return (self.run, self.cell, self.dropped) == (run, cell, dropped)

    def holds(self, now: datetime) -> bool:
        """Whether the proof is valid at this time; it is not if the clock was set back."""
        return self.made_at <= now <= self.not_after

    @property
    def bytes(self) -> int:
        return sum(target.size for target in self.files)

    @property
    def places(self) -> tuple[str, ...]:
        """Places with remaining copies, sorted by name."""
        return tuple(sorted({copy.place for copies in self.copies.values() for copy in copies}))


def prove(
    evidence: DeletionEvidence, limits: ProofLimits, now: datetime
) -> DeletionProof | DeletionRefused:
    """A proof that a cell may be deleted from a place, or all reasons against it.

    `now` has a time zone.
    """
    limits = ProofLimits(
        min(limits.fresh, ProofLimits().fresh), min(limits.lasts, ProofLimits().lasts)
    )
    reasons = [
        *_about_checksums(evidence),
        *about_cell(evidence),
        *_about_time(evidence, limits, now),
    ]
    reasons += _about_names(evidence)
    files: list[FileEntry] = []
    kept: list[KeptFile] = []
    counted: dict[str, tuple[CopyEvidence, ...]] = {}
    for name in sorted(evidence.found):
        entry = evidence.found[name]
        if entry.kind == "d":
            continue
        why = _reason_kept(evidence, entry)
        copies, missing = _counting_copies(evidence, entry, limits, now) if not why else ((), "")
        if why or missing:
            kept.append(KeptFile(name, entry.size, why or missing))
        else:
            files.append(entry)
            counted[name] = copies
    if evidence.dropped == "upstream":
        reasons += [f"{display(each.name)}: {each.why}" for each in kept]
    if not files and not reasons:
        reasons.append(_why_nothing(kept))
    if reasons:
        return DeletionRefused(tuple(reasons), evidence.checksums)
    return DeletionProof(
        evidence.run,
        evidence.cell,
        evidence.dropped,
        digest_of(evidence.found),
        tuple(files),
        tuple(kept),
        counted,
        made_at=now,
        not_after=evidence.taken_at + limits.lasts,
        shown=_PROVEN,
    )


def digest_of(found: Entries) -> str:
    """MD5 of the `md5sum -z` listing of an inventory's files.

    Each name begins with `./`; the order is that of the names' bytes. `bin/hesiod-clean-upstream`
    computes the same digest with find, sort and md5sum.
    """
    listed = hashlib.md5(usedforsecurity=False)
    names = {
        name.encode("utf-8", "surrogateescape"): entry
        for name, entry in found.items()
        if entry.kind == "f"
    }
    for name, entry in sorted(names.items()):
        listed.update(entry.md5.encode() + b"  ./" + name + b"\0")
    return listed.hexdigest()


# Reasons.


def about_cell(evidence: DeletionEvidence) -> Iterator[str]:
    """Reasons in flags and manifests against deleting any file of a cell, whatever copies exist."""
    yield from evidence.blockers
    if not evidence.closed:
        yield "nothing says that all of the cell is here: neither its counts nor a person"
    if evidence.unverified:
        yield why_unverified(evidence.unverified)
    if not evidence.done_manifest:
        yield "its flag `done` names no manifest; it was made by hand, or by an earlier program"
    elif evidence.manifest != evidence.done_manifest:
        yield "manifest.json is not the one that its flag `done` names"
    if not evidence.backup_manifest:
        yield "there is no backup of it that was read back"
    elif evidence.backup_manifest != evidence.done_manifest:
        yield "its backup is of other results than its flag `done` names"
    if evidence.epoch != evidence.current_epoch:
        yield (
            f"its flag `done` is of attempt {evidence.epoch},"
            f" and there is an attempt {evidence.current_epoch}"
        )
    if not evidence.recorded:
        yield "raw.json, which says what the cell consists of, is missing or empty"


def why_unverified(unverified: Mapping[str, int]) -> str:
    """Reason against deleting any file of a cell with files that are not verified."""
    return (
        f"{unverified_words(unverified)}, and no person accepted them (a person who has counted"
        " them replaces the cell's flag `synced` by an empty one)"
    )


def _about_checksums(evidence: DeletionEvidence) -> Iterator[str]:
    """Damage or loss proven by MinKNOW's checksums, which prevents any deletion in the cell.

    Every copy may have the same damage.
    """
    wrong = evidence.checksums.wrong
    if wrong and wrong not in evidence.blockers:
        yield wrong


def _about_time(evidence: DeletionEvidence, limits: ProofLimits, now: datetime) -> Iterator[str]:
    if evidence.taken_at > now + CLOCK_SLACK:
        taken_at = evidence.taken_at.isoformat(timespec="seconds")
        yield f"the clock was set back: the inventory was taken at {taken_at}"
    elif now - evidence.taken_at >= limits.lasts:
        yield f"the inventory is {span_text((now - evidence.taken_at).total_seconds())} old"
    read = [copy.read_at for copies in evidence.copies.values() for copy in copies if copy.read_at]
    if read and max(read) > now + CLOCK_SLACK:
        read_at = max(read).isoformat(timespec="seconds")
        yield f"a copy was read in the future, at {read_at}: a clock is wrong"


def _about_names(evidence: DeletionEvidence) -> Iterator[str]:
    """Differences between the place of deletion and the record of the cell.

    In landing, some files may be missing, because they may have been deleted before.
    """
    for name in evidence.moved:
        yield f"{display(name)}: came, went or changed while it was looked at"
    for name, entry in sorted(evidence.found.items()):
        if entry.kind != "f":
            continue
        fact = evidence.recorded.get(name)
        if fact is None:
            yield f"{display(name)}: was not there when the cell was recorded as complete"
        elif not entry.md5:
            yield f"{display(name)}: could not be read"
        elif not entry.same_content(fact):
            yield f"{display(name)}: is not what it was when the cell was recorded as complete"
    if evidence.dropped == "upstream":
        for name in sorted(evidence.recorded.keys() - evidence.found.keys()):
            yield f"{display(name)}: is not there any more, so the cell was changed"


def _reason_kept(evidence: DeletionEvidence, entry: FileEntry) -> str:
    """Why a file is kept whatever copies exist; "" if the copies decide."""
    if entry.kind != "f":
        return "a link" if entry.kind == "l" else "no regular file"
    if evidence.dropped == "landing":
        last = entry.name.rpartition("/")[2]
        if last.startswith(ALWAYS_KEPT):
            return "always kept"
        if (pooled := evidence.cell.pooled) and pooled.shares(last):
            return SHARED
        if entry.size <= SMALL and not last.lower().endswith(DATA_SUFFIXES):
            return "small"
    return ""


def _counting_copies(
    evidence: DeletionEvidence, entry: FileEntry, limits: ProofLimits, now: datetime
) -> tuple[tuple[CopyEvidence, ...], str]:
    """The copies that count for a file, and why they are too few; "" if they suffice."""
    copies = evidence.copies.get(entry.name, ())
    good, bad = [], []
    for copy in copies:
        why = _why_not_counted(evidence, copy, entry, limits, now)
        if why:
            bad.append(f"{copy.place} {why}")
        else:
            good.append(copy)
    distinct = _distinct(good)
    if len(distinct) >= COPIES:
        return tuple(distinct), ""
    where = f", on {', '.join(copy.place for copy in distinct)}" if distinct else ""
    number = {0: "no other verified copy", 1: "only one other verified copy"}[len(distinct)]
    same = f"; {len(good)} are on the same device" if len(good) > len(distinct) else ""
    return (), f"{number}{where}{same}{'; ' + '; '.join(bad) if bad else ''}"


def _why_not_counted(
    evidence: DeletionEvidence,
    copy: CopyEvidence,
    entry: FileEntry,
    limits: ProofLimits,
    now: datetime,
) -> str:
    if copy.why:
        return copy.why
    if copy.place == evidence.dropped or copy.place in ("upstream", "trash"):
        return "may be deleted itself"
    if copy.md5 != entry.md5:
        return "differs"
    if not (copy.device and copy.path):
        return "has no known location"
    if copy.read_at is None or now - copy.read_at > limits.fresh:
        return f"was not read within {span_text(limits.fresh.total_seconds())}"
    return ""


def _distinct(copies: Iterable[CopyEvidence]) -> list[CopyEvidence]:
    """One copy for each device; a second name of the same file is left out."""
    taken: list[CopyEvidence] = []
    for copy in copies:
        if not any(_same(copy, other) for other in taken):
            taken.append(copy)
    return taken


def _same(copy: CopyEvidence, other: CopyEvidence) -> bool:
    same_file = copy.path == other.path or (copy.inode != "" and copy.inode == other.inode)
    return same_file or copy.device == other.device


def _why_nothing(kept: Sequence[KeptFile]) -> str:
    unproven = [each for each in kept if each.why not in ("small", "always kept", SHARED)]
    if unproven:
        return f"no file may be deleted: {display(unproven[0].name)}: {unproven[0].why}"
    return NOTHING
