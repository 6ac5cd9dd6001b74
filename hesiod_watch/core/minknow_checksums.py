"""Result of comparing a cell's files with MinKNOW's own checksums (`output_hash_*.csv`).

A file that differs, or that MinKNOW names and that is missing, is proof of damage or loss.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, field, replace

from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.naming import display
from hesiod_watch.core.text import number_of

KEY = "minknow_checksums"
"""Key of the result in JSON: the full result in qc.json, the finding and its time in flags."""
NAMED = 5
"""Number of files that a sentence names, for each kind of problem."""
LONGEST_NAME = 200
"""Longest name in a sentence, in characters; the rest is cut off."""
LONGEST = 2_000
"""Longest sentence in a flag, in characters: a flag that is too large cannot be read again."""
_ALWAYS = ("files", "agreeing", "differing", "absent")
"""Keys that a record always contains, also with an empty value."""
_DIGEST = 12


@frozen
class ChecksumFinding:
    """Finding about a cell, as the flag of each work that has compared it contains it."""

    said: str = ""  # sentence for people; "" if nothing is wrong or nothing is known
    names: str = ""  # digest of the names of the affected files
    at: str = field(default="", compare=False)  # ISO 8601, UTC; "": nothing was found out
    # All affected files are here in compressed or unpacked form: a site may do that on purpose.
    repacked: bool = field(default=False, compare=False)

    def record(self) -> dict[str, object]:
        more = {"repacked": True} if self.repacked else {}
        found = {"at": self.at, "said": self.said, "set": self.names, **more}
        return {KEY: found} if self.at else {}

    @classmethod
    def from_record(cls, record: Mapping[str, object]) -> ChecksumFinding:
        """Read the finding in the record of a flag; NO_FINDING if it has none."""
        entry = record.get(KEY)
        if not isinstance(entry, Mapping):
            return NO_FINDING
        said, names = str(entry.get("said", "")), str(entry.get("set", ""))
        at, repacked = str(entry.get("at") or "unknown"), entry.get("repacked") is True
        return cls(said, names, at, repacked)


NO_FINDING = ChecksumFinding()


@frozen
class MinknowChecksums:
    """Result of comparing a cell's files with MinKNOW's checksums.

    Names are relative to the cell.
    """

    files: tuple[str, ...] = ()  # names of the output_hash files; empty: MinKNOW wrote none
    agreeing: int = 0  # number of files whose checksum agrees
    differing: tuple[str, ...] = ()  # files whose checksum differs
    absent: tuple[str, ...] = ()  # files named by MinKNOW and never seen in the cell
    repacked: tuple[str, ...] = ()  # absent files whose compressed or unpacked form is in the cell
    not_compared: int = 0  # files in the cell that were not read for this comparison
    unnamed: int = 0  # data files in the cell that MinKNOW's checksums do not name
    rows_skipped: int = 0  # rows without a file of this cell or without a SHA-256
    problem: str = ""  # why an output_hash file could not be used

    def __bool__(self) -> bool:
        """Whether MinKNOW wrote any checksums."""
        return bool(self.files)

    @property
    def wrong(self) -> str:
        """Sentence for people about files that differ or are missing; "" if there are none."""
        parts = []
        if self.differing:
            parts.append(
                f"{_files(self.differing, 'differs', 'differ')}: {self._named(self.differing)}"
            )
        if self.absent:
            parts.append(
                f"{_files(self.absent, 'is missing', 'are missing')}: {self._named(self.absent)}"
            )
        return f"{self._title}: {'; '.join(parts)}" if parts else ""

    @property
    def sentence(self) -> str:
        """The whole result in one sentence; "" if MinKNOW wrote no checksums."""
        if not self.files:
            return ""
        parts = [self.wrong.removeprefix(f"{self._title}: ")] if self.wrong else []
        parts.append(
            f"{number_of(self.agreeing, 'file')} {'agrees' if self.agreeing == 1 else 'agree'}"
        )
        if self.not_compared:
            parts.append(f"{number_of(self.not_compared, 'file')} not compared yet")
        if self.unnamed:
            parts.append(f"{number_of(self.unnamed, 'data file')} without a checksum")
        return f"{self._title}: {'; '.join([*parts, *self._left_out()])}"

    def lines(self) -> Iterator[str]:
        """Yield sentences for a log, one for each file that differs or is absent."""
        source = display(self.files[0]) if self.files else ""
        for name in self.differing:
            yield f"{display(name)} is not what MinKNOW wrote: its SHA-256 differs from {source}"
        for name in self.absent:
            yield f"{self._shown(name)} is missing: {source} names it"
        yield from self._left_out()

    def _left_out(self) -> Iterator[str]:
        if self.rows_skipped:
            rows = number_of(self.rows_skipped, "row")
            yield f"{rows} skipped that name no file of this cell or no SHA-256"
        if self.problem:
            yield self.problem

    def without_absent(self, names: Collection[str] | None) -> MinknowChecksums:
        """Return a copy that does not report `names` as absent; None: no file at all as absent."""
        absent, repacked = (
            tuple(name for name in listed if names is not None and name not in names)
            for listed in (self.absent, self.repacked)
        )
        return replace(self, absent=absent, repacked=repacked)

    def record(self) -> dict[str, object]:
        """Return the result as a JSON object, for qc.json and raw.json; empty without checksums."""
        said = {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in asdict(self).items()
        }
        return (
            {key: value for key, value in said.items() if value or key in _ALWAYS} if self else {}
        )

    @classmethod
    def from_record(cls, record: object) -> MinknowChecksums:
        """Read a record, also one of an earlier version; unknown parts are ignored."""
        if not isinstance(record, Mapping):
            return cls()
        files, differing, absent, repacked = (
            _names(record.get(key)) for key in ("files", "differing", "absent", "repacked")
        )
        agreeing, not_compared, unnamed, skipped = (
            _count(record.get(key))
            for key in ("agreeing", "not_compared", "unnamed", "rows_skipped")
        )
        problem = record.get("problem")
        return cls(
            files,
            agreeing,
            differing,
            absent,
            repacked,
            not_compared,
            unnamed,
            skipped,
            problem if isinstance(problem, str) else "",
        )

    def finding(self, at: str) -> ChecksumFinding:
        """Return the finding at the time `at`.

        It is empty if no problem was found and not every file was compared. Such an incomplete
        reading must not withdraw an earlier finding.
        """
        if not self or (not self.wrong and (self.not_compared or self.problem)):
            return NO_FINDING
        names = "\0".join(
            ["differing", *sorted(self.differing), "", "absent", *sorted(self.absent)]
        )
        digest = hashlib.sha256(names.encode("utf-8", "surrogateescape")).hexdigest()[:_DIGEST]
        repacked = not self.differing and set(self.absent) <= set(self.repacked)
        return ChecksumFinding(self.wrong[:LONGEST], digest if self.wrong else "", at, repacked)

    @property
    def _title(self) -> str:
        more = f" and {len(self.files) - 1} more" if len(self.files) > 1 else ""
        return f"MinKNOW's checksums ({display(self.files[0])[:LONGEST_NAME]}{more})"

    def _named(self, names: tuple[str, ...]) -> str:
        shown = [self._shown(name) for name in names[:NAMED]]
        return ", ".join(shown) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")

    def _shown(self, name: str) -> str:
        words = _cut(display(name))
        return (
            f"{words} ({_cut(display(twin_of(name)))} is there instead)"
            if name in self.repacked
            else words
        )


NO_CHECKSUMS = MinknowChecksums()
"""Result for a cell without MinKNOW checksums, or for one that was not compared."""


def twin_of(name: str) -> str:
    """Return the name of a file's compressed form, or of a compressed file's unpacked form."""
    return name.removesuffix(".gz") if name.endswith(".gz") else f"{name}.gz"


def _files(names: tuple[str, ...], one: str, many: str) -> str:
    return f"{number_of(len(names), 'file')} {one if len(names) == 1 else many}"


def _cut(words: str) -> str:
    return words if len(words) <= LONGEST_NAME else f"{words[:LONGEST_NAME]}…"


def _names(value: object) -> tuple[str, ...]:
    return tuple(each for each in value if isinstance(each, str)) if isinstance(value, list) else ()


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
