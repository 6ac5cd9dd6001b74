"""Numbers and acquisitions in the names of data files: what is missing, doubled or foreign.

MinKNOW numbers the files of a series from 0. A series is the files of one kind, part, barcode and
acquisition; the names of its files differ only in the number. A name does not always state the part
and the barcode. Then the directory does, and the same name in two directories is not a doubled
file. In old versions one sequence of numbers may run through all series of an acquisition.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from hesiod_watch.core.cell_contents import (
    NAMED,
    DataKind,
    FileNames,
    FinalSummary,
    NamedFiles,
)
from hesiod_watch.core.frozen import frozen
from hesiod_watch.core.naming import display, parse_cell

# The last id before the number:
# …_{protocol 8}_{acquisition 8}_{n}, …_{acquisition 8}_{n}, {flow cell}_{40 digits}_{n}
_ACQUISITION = re.compile(r"(?:.*_)?([0-9a-f]{40}|[0-9a-f]{8})_[0-9]", re.DOTALL)
_PROTOCOL = re.compile(r".*_([0-9a-f]{8})_[0-9a-f]{8}", re.DOTALL)
# {flow cell}_{part}_[{barcode}_][{protocol 8}_]{acquisition 8}; the barcode is empty in `_fail__`
_STATED = re.compile(
    r".+?_(?:pass|fail|skip)_(?:(?P<barcode>.*?)_)??(?:[0-9a-f]{8}_)?[0-9a-f]{8}", re.DOTALL
)
_PART = re.compile(r"_(?:pass|fail|skip)(?=_|$)")
_SHORT_IDS_IN_NAME = re.compile(r"_([0-9a-f]{8})(?=[_.])")
_LONGEST_NUMBER = 15  # digits; a longer number is no number of a file


def acquisition_in(name: str) -> str:
    """Acquisition id in a data file's name, 8 or 40 hex digits; "" if there is none."""
    match = _ACQUISITION.match(name)
    return match[1] if match else ""


@frozen
class _Block:
    """Files in one directory whose names differ only in the number."""

    kind: DataKind
    place: str  # relative to the cell
    barcode: str | None  # name of the barcode's directory
    beginning: str  # of the names, up to the `_` before the number
    suffix: str

    def name(self, number: int) -> str:
        return f"{self.place}/{self.beginning}_{number}{self.suffix}"

    @property
    def acquisition(self) -> str:
        return acquisition_in(f"{self.beginning}_0")

    @property
    def series(self) -> tuple[str, ...]:
        """Key of the series: without part and barcode of the directory if the name states them."""
        stated = _STATED.fullmatch(self.beginning)
        directory = self.place.partition("/")[0]
        if stated and (self.barcode is None or stated["barcode"]):
            return _PART.sub("", directory), self.beginning  # `fastq_duplex` is not `fastq`
        return self.place, self.beginning


@dataclass
class _Finding:
    """A `FileNames` in the making."""

    gaps: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    gap_count: int = 0
    doubled_count: int = 0
    doubles: int = 0
    foreign_count: int = 0

    def result(self) -> FileNames:
        return FileNames(
            NamedFiles(self.gap_count, tuple(self.gaps[:NAMED])),
            NamedFiles(self.doubled_count, _shown(self.doubled)),
            self.doubles,
            NamedFiles(self.foreign_count, _shown(self.foreign)),
        )


class FileNumbers:
    """Names of a cell's data files, in eight bytes each."""

    def __init__(self) -> None:
        self._blocks: dict[tuple[DataKind, str, str | None, str, str], array[int]] = {}
        self._unnumbered: dict[tuple[DataKind, str], list[str]] = {}

    def add(self, kind: DataKind, directory: str, barcode: str | None, name: str) -> None:
        """Add a file; `directory` and `barcode` are the names of its directories."""
        beginning, _, rest = name.rpartition("_")
        digits, dot, suffix = rest.partition(".")
        if (
            not (digits.isascii() and digits.isdigit())
            or len(digits) > _LONGEST_NUMBER
            or (digits[0] == "0" and len(digits) > 1)
        ):
            place = f"{directory}/{barcode}" if barcode else directory
            self._unnumbered.setdefault((kind, place), []).append(name)
            return
        key = (kind, directory, barcode, beginning, dot + suffix)
        numbers = self._blocks.get(key)
        if numbers is None:
            numbers = self._blocks[key] = array("Q")
        numbers.append(int(digits))

    def judge(self, cell: str, summaries: Sequence[FinalSummary]) -> NumbersFound:
        """Compare the names with each other and with the summaries of the cell named `cell`."""
        blocks = {
            _Block(kind, f"{directory}/{barcode}" if barcode else directory, barcode, *rest): found
            for (kind, directory, barcode, *rest), found in self._blocks.items()
        }
        acquisitions = {block: block.acquisition for block in blocks}
        known = _known_ids(summaries)
        present = frozenset(filter(None, acquisitions.values()))
        matching = {one for one in present if any(_same_id(one, other) for other in known or ())}
        unsummarised = _unsummarised(present, matching, known, summaries)
        if not summaries:
            return NumbersFound(tuple(sorted(unsummarised)))
        own: dict[_Block, array[int]] = {}
        foreign: list[tuple[DataKind, int, list[str]]] = []
        nameless: list[tuple[DataKind, int, list[str]]] = [
            (kind, len(found), [f"{place}/{name}" for name in sorted(found)[:NAMED]])
            for (kind, place), found in self._unnumbered.items()
        ]
        for block, numbers in blocks.items():
            acquisition = acquisitions[block]
            names = [block.name(number) for number in sorted(numbers)[:NAMED]]
            if acquisition in unsummarised:
                foreign.append((block.kind, len(numbers), names))
            elif acquisition:
                own[block] = numbers
            else:
                nameless.append((block.kind, len(numbers), names))
        findings: dict[DataKind, _Finding] = {}
        _compare_numbers(own, acquisitions, findings)
        # A file without an id may be one of the cell; not if another of the cell is missing.
        comparable = {block.kind for block, one in acquisitions.items() if one in matching}
        gaps = {kind for kind, finding in findings.items() if finding.gap_count}
        foreign += [each for each in nameless if each[0] in comparable & gaps]
        for kind, count, names in foreign:
            finding = findings.setdefault(kind, _Finding())
            finding.foreign_count += count
            finding.foreign += names
        return NumbersFound(
            tuple(sorted(unsummarised)),
            frozenset(_strangers(cell, acquisitions, unsummarised, matching, known or set())),
            {kind: finding.result() for kind, finding in sorted(findings.items())},
        )


@frozen
class NumbersFound:
    """Result of comparing the names of a cell's files."""

    unsummarised: tuple[str, ...]  # acquisitions with files and without a final_summary
    # Of these, those of another protocol run or flow cell.
    strangers: frozenset[str] = frozenset()
    names: Mapping[DataKind, FileNames] = field(default_factory=dict)


def _known_ids(summaries: Sequence[FinalSummary]) -> set[str] | None:
    """Ids in summaries; None if a summary has none: people write those, for all acquisitions."""
    known: set[str] = set()
    for summary in summaries:
        ids = [summary.acquisition, summary.values.get("protocol_run_id", "").replace("-", "")]
        if not any(ids) and not summary.problem:
            return None
        known.update(filter(None, ids), _SHORT_IDS_IN_NAME.findall(summary.name))
    return known


def _unsummarised(
    present: Collection[str],
    matching: Collection[str],
    known: Collection[str] | None,
    summaries: Sequence[FinalSummary],
) -> frozenset[str]:
    """Acquisitions that have data and no summary; none in doubt.

    A false one would block a finished cell for ever. If the files name only one acquisition and no
    summary contains it, the ids are not comparable (data were renamed or called again), and the
    counts alone decide.
    """
    if known is None or (summaries and len(present) == 1):
        return frozenset()
    return frozenset(present) - frozenset(matching)


def _same_id(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)


def _strangers(
    cell: str,
    acquisitions: Mapping[_Block, str],
    unsummarised: Collection[str],
    matching: Collection[str],
    known: Collection[str],
) -> Iterator[str]:
    """Yield acquisitions of another protocol run, or of another flow cell than all known ones."""
    parsed = parse_cell(cell)
    here = {*known, *([parsed.short_id] if parsed else [])}
    flow_cells = {
        block.beginning.partition("_")[0] for block, one in acquisitions.items() if one in matching
    }
    for block, acquisition in acquisitions.items():
        if acquisition not in unsummarised or not flow_cells:
            continue
        protocol = _PROTOCOL.fullmatch(block.beginning)
        other_run = protocol and not any(_same_id(protocol[1], one) for one in here)
        if other_run or block.beginning.partition("_")[0] not in flow_cells:
            yield acquisition


def _compare_numbers(
    blocks: Mapping[_Block, array[int]],
    acquisitions: Mapping[_Block, str],
    findings: dict[DataKind, _Finding],
) -> None:
    """Add the gaps and the repeated numbers of each series to `findings`."""
    groups: dict[tuple[str, str], dict[tuple[str, ...], list[_Block]]] = {}
    for block in blocks:
        series = groups.setdefault((block.kind, acquisitions[block]), {})
        series.setdefault(block.series, []).append(block)
    for group in groups.values():
        together = _numbers(blocks, (block for parts in group.values() for block in parts))
        if together == list(range(len(together))):
            continue  # one sequence runs through all series, or there is one whole series
        for parts in group.values():
            numbers = _numbers(blocks, parts)
            _find_gaps(max(parts, key=lambda block: len(blocks[block])), numbers, findings)
            _find_doubled(parts, numbers, blocks, findings)


def _numbers(blocks: Mapping[_Block, array[int]], parts: Iterable[_Block]) -> list[int]:
    return sorted(number for block in parts for number in blocks[block])


def _find_gaps(block: _Block, numbers: Sequence[int], findings: dict[DataKind, _Finding]) -> None:
    shown: list[str] = []
    count, expected = 0, 0
    for number in numbers:
        if number > expected:
            count += number - expected
            last = min(number, expected + NAMED - len(shown))
            shown += [f"_{each}" for each in range(expected, last)]
        expected = max(expected, number + 1)
    if count:
        finding = findings.setdefault(block.kind, _Finding())
        shown[0] = display(f"{block.place}/{block.beginning}") + shown[0]
        finding.gap_count += count
        finding.gaps += shown


def _find_doubled(
    parts: Sequence[_Block],
    numbers: Sequence[int],
    blocks: Mapping[_Block, array[int]],
    findings: dict[DataKind, _Finding],
) -> None:
    doubled = {number for number, later in pairwise(numbers) if number == later}
    if not doubled:
        return
    finding = findings.setdefault(parts[0].kind, _Finding())
    files = sorted(
        (number, block.name(number))
        for block in parts
        for number in blocks[block]
        if number in doubled
    )
    finding.doubled_count += len(files)
    finding.doubles += len(files) - len(doubled)
    finding.doubled += [name for _, name in files[:NAMED]]


def _shown(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(map(display, list(names)[:NAMED]))
