"""The drop proof: the only thing for which data are ever deleted, and the rules by which it is
given.

A `DeletionProof` names every file that may go, by size, MD5 and identity, and the copies of each
that stay. `prove` is the only maker of one; what deletes takes nothing else. It is about one cell
and one place, "upstream" (the sequencer's own) or "landing" (ours), and it runs out after minutes.
Everything it rests on was read where it lies while the evidence was gathered: no exit code, no
size, no time of a file and no earlier record stands for bytes.

Why two droppers never count each other's copy: what is dropped from upstream is counted on landing,
outputs and backups; what is dropped from landing is counted on outputs and backups alone. Nothing
in this program deletes outputs or backups. So when landing goes, two copies stay that no dropper
touches, also of what was dropped upstream while landing was counted for it: whatever the order, and
if both happen at once. Upstream and trash never count.

Upstream goes whole or not at all; in landing each file is judged by itself, and what has not two
other copies is kept. Pure: evidence and time in, a proof or the reasons against it out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from datetime import datetime, timedelta
from typing import Final, Literal

from hesiod_watch.core.minknow_checksums import NO_CHECKSUMS, MinknowChecksums
from hesiod_watch.core.model import CellId
from hesiod_watch.core.naming import display
from hesiod_watch.core.text import number_of

Dropped = Literal["upstream", "landing"]
Kind = Literal["f", "d", "l", "o"]
COPIES = 2
"""Verified copies that must be left of every file, each on a device of its own."""
SMALL = 1_000_000
"""Bytes up to which a file of landing that is no data is always kept."""
DATA_SUFFIXES = (".fastq", ".fastq.gz", ".fq", ".fq.gz", ".fast5", ".pod5", ".bam")
ALWAYS_KEPT = ("final_summary", "report_")
"""Beginnings of names that stay in landing whatever their size: what people look for in a stub."""
NOTHING = "there is nothing to go"
"""The one reason against dropping what is not there any more, or was never more than small files.
"""
CLOCK_SLACK = timedelta(seconds=2)
"""How far in the future a time may lie: hosts agree to about a second where NTP runs."""


@dataclass(frozen=True, slots=True)
class ProofLimits:
    """How old evidence may be, and how long a proof counts. The defaults are the most there can be."""

    fresh: timedelta = timedelta(hours=24)  # from the reading of a copy to the proof
    lasts: timedelta = timedelta(
        minutes=10
    )  # from the last look at what is dropped to the last deletion


@dataclass(frozen=True, slots=True)
class FoundEntry:
    """An entry of the place that is to be dropped, as it was seen just now."""

    kind: Kind
    size: int = 0
    identity: tuple[
        int, ...
    ] = ()  # what differs when it is another file, or was changed: device, inode, times
    md5: str = ""  # of its bytes, read there; "" where they could not be read


@dataclass(frozen=True, slots=True)
class RecordedFile:
    """What was recorded about a file when its cell was proven complete."""

    size: int
    md5: str


@dataclass(frozen=True, slots=True)
class CopyEvidence:
    """Another copy of a file, or the lack of one."""

    place: str  # "landing", "output", "backup NAME"
    device: str = ""  # tells its file system from every other
    path: str = ""  # its real path, with its host where that is another
    inode: str = (
        ""  # tells the file from every other that this host sees; "" where it cannot be asked
    )
    md5: str = ""  # of the original bytes that it gives back; "" where there is none to count
    read_at: datetime | None = None  # when its bytes were read where they lie, at the latest
    why: str = ""  # why it does not count, where it does not

    def __str__(self) -> str:
        return f"{self.place}: {self.why}" if self.why else self.place


@dataclass(frozen=True, slots=True)
class DeletionEvidence:
    """All that was found out about one cell in order to drop it from one place."""

    run: str
    cell: CellId
    dropped: Dropped
    taken_at: datetime  # of the last look at what is to be dropped
    found: Mapping[str, FoundEntry]  # by name relative to the cell
    recorded: Mapping[str, RecordedFile]  # the raw manifest
    copies: Mapping[str, tuple[CopyEvidence, ...]]  # by the same names
    closed: str = ""  # why no file can come any more; "": it may
    epoch: int = 0  # of the processing that `.done` records
    current_epoch: int = 0  # the highest that was not given up
    done_manifest: str = ""  # MD5 of manifest.json that `.done` records
    backup_manifest: str = ""  # the same that `.backup.done` records
    manifest: str = ""  # MD5 of manifest.json as it lies there
    blockers: tuple[str, ...] = ()  # flags in the way, a sentence each
    moved: tuple[str, ...] = ()  # names that came, went or changed while evidence was gathered
    checksums: MinknowChecksums = NO_CHECKSUMS  # what MinKNOW's own say of the cell


@dataclass(frozen=True, slots=True)
class DeletionTarget:
    """A file that may be dropped. `identity` is that of `FoundEntry`."""

    name: str
    size: int
    md5: str
    identity: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class KeptFile:
    """A file that stays, and why."""

    name: str
    size: int
    why: str


@dataclass(frozen=True, slots=True)
class DeletionRefused:
    """Why there is no proof: a sentence each, with the name of the file where it is about one."""

    reasons: tuple[str, ...]
    checksums: MinknowChecksums = NO_CHECKSUMS  # those of the evidence

    def __str__(self) -> str:
        more = len(self.reasons) - 3
        return "; ".join(self.reasons[:3]) + (
            f"; and {number_of(more, 'more reason')}" if more > 0 else ""
        )


_PROVEN: Final = object()
"""What `prove` shows to `DeletionProof`; nobody else has it."""


@dataclass(frozen=True, slots=True)
class DeletionProof:
    """That these files of this cell may be dropped from this place, until `not_after`. Only `prove`
    makes one.
    """

    run: str
    cell: CellId
    dropped: Dropped
    inventory_digest: str  # of the names, sizes and MD5 of all files found there
    files: tuple[DeletionTarget, ...]
    kept: tuple[KeptFile, ...]
    copies: Mapping[str, tuple[CopyEvidence, ...]] = field(
        repr=False
    )  # that stay, of each of `files`
    made_at: datetime
    not_after: datetime
    shown: InitVar[object] = None

    def __post_init__(self, shown: object) -> None:
        if shown is not _PROVEN:
            raise TypeError("a DropProof is made by proof.prove and by nothing else")

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a DropProof does not leave the process that has made it")

    def about(self, run: str, cell: CellId, dropped: Dropped) -> bool:
        """Whether it speaks of this cell and this place."""
        return (self.run, self.cell, self.dropped) == (run, cell, dropped)

    def holds(self, now: datetime) -> bool:
        """Whether it counts at this time; a clock that was set back makes it count no more."""
        return self.made_at <= now <= self.not_after

    @property
    def bytes(self) -> int:
        return sum(target.size for target in self.files)

    @property
    def places(self) -> tuple[str, ...]:
        """Where copies stay, in the order of their names."""
        return tuple(sorted({copy.place for copies in self.copies.values() for copy in copies}))


def prove(
    evidence: DeletionEvidence, limits: ProofLimits, now: datetime
) -> DeletionProof | DeletionRefused:
    """A proof that a cell may be dropped from a place, or every reason against it. `now` is aware
    of its time zone.
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
    files: list[DeletionTarget] = []
    kept: list[KeptFile] = []
    counted: dict[str, tuple[CopyEvidence, ...]] = {}
    for name in sorted(evidence.found):
        entry = evidence.found[name]
        if entry.kind == "d":
            continue
        why = _stays(evidence, name, entry)
        copies, lack = _counted(evidence, name, entry, limits, now) if not why else ((), "")
        if why or lack:
            kept.append(KeptFile(name, entry.size, why or lack))
        else:
            files.append(DeletionTarget(name, entry.size, entry.md5, entry.identity))
            counted[name] = copies
    if evidence.dropped == "upstream":
        reasons += [f"{display(each.name)}: {each.why}" for each in kept]
    if not files and not reasons:
        reasons.append(_nothing(kept))
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


def digest_of(found: Mapping[str, FoundEntry]) -> str:
    """MD5 of the files of an inventory as `md5sum -z` lists them, `./` before each, in the order of
    their bytes.

    `bin/hesiod-clean-upstream` computes the same with find, sort and md5sum.
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
    """The reasons against dropping anything of a cell, whatever copies there are: what flags and
    manifests say.
    """
    yield from evidence.blockers
    if not evidence.closed:
        yield "nothing says that all of the cell is here: neither its counts nor a person"
    if not evidence.done_manifest:
        yield "its flag `done` names no manifest; it was made by hand, or by an earlier program"
    elif evidence.manifest != evidence.done_manifest:
        yield "manifest.json is not the one that its flag `done` names"
    if not evidence.backup_manifest:
        yield "there is no backup of it that was read back"
    elif evidence.backup_manifest != evidence.done_manifest:
        yield "its backup is of other results than its flag `done` names"
    if evidence.epoch != evidence.current_epoch:
        yield f"its flag `done` is of attempt {evidence.epoch}, and there is an attempt {evidence.current_epoch}"
    if not evidence.recorded:
        yield "raw.json, which says what the cell consists of, is missing or empty"


def _about_checksums(evidence: DeletionEvidence) -> Iterator[str]:
    """Damage or loss that MinKNOW's own checksums prove keeps all of a cell.

    Every copy may have it.
    """
    wrong = evidence.checksums.wrong
    if wrong and wrong not in evidence.blockers:
        yield wrong


def _about_time(evidence: DeletionEvidence, limits: ProofLimits, now: datetime) -> Iterator[str]:
    if evidence.taken_at > now + CLOCK_SLACK:
        yield f"the clock was set back: the inventory was taken at {evidence.taken_at.isoformat(timespec='seconds')}"
    elif now - evidence.taken_at >= limits.lasts:
        yield f"the inventory is {number_of(round((now - evidence.taken_at).total_seconds() / 60), 'minute')} old"
    read = [copy.read_at for copies in evidence.copies.values() for copy in copies if copy.read_at]
    if read and max(read) > now + CLOCK_SLACK:
        yield f"a copy was read in the future, at {max(read).isoformat(timespec='seconds')}: a clock is wrong"


def _about_names(evidence: DeletionEvidence) -> Iterator[str]:
    """What is other than recorded in the place that is to be dropped. Part of landing may have been
    dropped before.
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
        elif (entry.size, entry.md5) != (fact.size, fact.md5):
            yield f"{display(name)}: is not what it was when the cell was recorded as complete"
    if evidence.dropped == "upstream":
        for name in sorted(evidence.recorded.keys() - evidence.found.keys()):
            yield f"{display(name)}: is not there any more, so the cell was changed"


def _stays(evidence: DeletionEvidence, name: str, entry: FoundEntry) -> str:
    """Why a file stays whatever copies there are; "" where copies decide."""
    if entry.kind != "f":
        return "a link" if entry.kind == "l" else "no regular file"
    if evidence.dropped == "landing":
        last = name.rpartition("/")[2]
        if last.startswith(ALWAYS_KEPT):
            return "always kept"
        if entry.size <= SMALL and not last.lower().endswith(DATA_SUFFIXES):
            return "small"
    return ""


def _counted(
    evidence: DeletionEvidence, name: str, entry: FoundEntry, limits: ProofLimits, now: datetime
) -> tuple[tuple[CopyEvidence, ...], str]:
    """The copies that count for a file, and "" or why they do not suffice."""
    copies = evidence.copies.get(name, ())
    good, bad = [], []
    for copy in copies:
        why = _does_not_count(evidence, copy, entry, limits, now)
        if why:
            bad.append(f"{copy.place} {why}")
        else:
            good.append(copy)
    distinct = _distinct(good)
    if len(distinct) >= COPIES:
        return tuple(distinct), ""
    where = f", on {', '.join(copy.place for copy in distinct)}" if distinct else ""
    number = {0: "no other verified copy", 1: "only one other verified copy"}[len(distinct)]
    same = f"; {len(good)} lie on the same device" if len(good) > len(distinct) else ""
    return (), f"{number}{where}{same}{'; ' + '; '.join(bad) if bad else ''}"


def _does_not_count(
    evidence: DeletionEvidence,
    copy: CopyEvidence,
    entry: FoundEntry,
    limits: ProofLimits,
    now: datetime,
) -> str:
    if copy.why:
        return copy.why
    if copy.place == evidence.dropped or copy.place in ("upstream", "trash"):
        return "is what may be dropped itself"
    if copy.md5 != entry.md5:
        return "differs"
    if not (copy.device and copy.path):
        return "lies nobody knows where"
    if copy.read_at is None or now - copy.read_at > limits.fresh:
        return f"was not read within {limits.fresh.total_seconds() / 3600:.0f} h"
    return ""


def _distinct(copies: Iterable[CopyEvidence]) -> list[CopyEvidence]:
    """As many copies as there are devices; one that is another name of a file already taken is left
    out.
    """
    taken: list[CopyEvidence] = []
    for copy in copies:
        if not any(_same(copy, other) for other in taken):
            taken.append(copy)
    return taken


def _same(copy: CopyEvidence, other: CopyEvidence) -> bool:
    same_file = copy.path == other.path or (copy.inode != "" and copy.inode == other.inode)
    return same_file or copy.device == other.device


def _nothing(kept: Sequence[KeptFile]) -> str:
    lacking = [each for each in kept if each.why not in ("small", "always kept")]
    if lacking:
        return f"nothing may go: {display(lacking[0].name)}: {lacking[0].why}"
    return NOTHING
