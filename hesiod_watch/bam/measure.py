"""Measure the reads of BAM by the code that measures FASTQ, and count what only BAM shows.

Each read is written as a FASTQ record with the few tags that count, so that the same reads have the
same numbers in both formats. Further alignments of a read (secondary, supplementary) are counted as
records only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import numpy as np

from hesiod_watch.bam.records import REVERSE, UNMAPPED, BamRecord, BamUnit
from hesiod_watch.bam.tags import Tag, read_tags
from hesiod_watch.core.errors import BadSource
from hesiod_watch.fastq.measure import ReadMeasurer
from hesiod_watch.fastq.records import RecordUnit
from hesiod_watch.fastq.statistics import ReadStatistics

# Two bases of four bits each as two letters; "=" (equal to the reference) says nothing.
_LETTERS = np.frombuffer(b"NACMGRSVTWYHKDBN", np.uint8)
_PAIRS: Final = np.stack((np.repeat(_LETTERS, 16), np.tile(_LETTERS, 16)), axis=1).copy()
_QUALITIES: Final = bytes(min(quality, 93) + 33 for quality in range(255)) + b"!"  # 255: none
_TAGS: Final = frozenset((b"ch", b"st", b"qs", b"RG", b"dx", b"MM", b"Mm"))
_PLAIN = re.compile(rb"[!-~]+")
_MODEL = re.compile(r"(?:^|[\t ])basecall_model=([^\t ]+)")
_MODIFIED_MODELS = re.compile(r"(?:^|[\t ])modbase_models=([^\t ]+)")
_SANE = re.compile(r"[\w.@+:-]{1,120}", re.ASCII)
_DESCRIPTION = re.compile(r"\tDS:([^\t]*)")
_ID = re.compile(r"\tID:([^\t]*)")
_MODIFICATION = re.compile(rb"([ACGTUN][+-](?:[a-z]+|[0-9]+))")


class BamMeasurer:
    """Measures the units of one source; `lines`: its header's, with the read groups."""

    def __init__(self, path: Path, lines: Iterable[str]) -> None:
        self._path = path
        self._measurer = ReadMeasurer(path)
        self._extra = ReadStatistics()
        self._models: dict[bytes, bytes] = {}
        self._modified: dict[bytes, frozenset[str]] = {}
        for line in lines:
            if line.startswith("@RG\t") and (found := _ID.search(line)):
                group = found[1].encode("utf-8", "surrogateescape")
                description = _DESCRIPTION.search(line)
                text = description[1] if description else ""
                if model := _MODEL.search(text):
                    self._models[group] = model[1].encode("utf-8", "surrogateescape")
                if models := _MODIFIED_MODELS.search(text):
                    names = filter(_SANE.fullmatch, models[1].split(","))
                    self._modified[group] = frozenset(names)

    def add(self, unit: BamUnit) -> bool:
        """Count the reads of `unit`. Raises `BadSource` for tags that are none."""
        data = bytes(unit.data)
        counts = self._extra.bam
        counts.records += len(unit.records)
        text: list[bytes] = []
        parts: list[tuple[int, int, int]] = []  # bytes of header, bases, record
        for number, record in enumerate(unit.records):
            wanted = _TAGS if record.primary else frozenset()
            try:
                tags = read_tags(data, record.tags, record.end, wanted)
            except ValueError as error:
                raise BadSource(
                    self._path, f"not BAM: {error}", where=f"record {unit.first + number + 1}"
                ) from error
            if not record.primary:
                continue
            counts.reads += 1
            counts.aligned += not record.flag & UNMAPPED
            counts.duplex += tags.get(b"dx") == 1
            self._see_modifications(tags)
            header = self._header(tags)
            bases, qualities = _sequence(data, record), _read_qualities(data, record)
            text += (header, b"\n", bases, b"\n+\n", qualities, b"\n")
            parts.append((len(header), record.bases, len(header) + 2 * record.bases + 5))
        return not parts or self._measurer.add(_fastq(b"".join(text), parts, unit.first))

    def result(self) -> ReadStatistics:
        """Statistics of everything added so far. The measurer cannot be used afterwards."""
        statistics = self._measurer.result()
        statistics.bam.merge(self._extra.bam)
        return statistics

    def _see_modifications(self, tags: dict[bytes, Tag]) -> None:
        text = tags.get(b"MM", tags.get(b"Mm"))
        if not isinstance(text, bytes):
            return
        counts = self._extra.bam
        counts.modified += 1
        group = tags.get(b"RG", b"")
        models = self._modified.get(group) if isinstance(group, bytes) else None
        if models is None:
            found = (_MODIFICATION.match(part) for part in text.split(b";"))
            models = frozenset(one[1].decode("ascii") for one in found if one)
        if not models <= counts.modified_models:
            counts.saw_models(models)

    def _header(self, tags: dict[bytes, Tag]) -> bytes:
        """A FASTQ header with the tags of a read that are measured."""
        parts = [b"@r"]
        if isinstance(channel := tags.get(b"ch"), int):
            parts.append(b"ch:i:%d" % channel)
        if isinstance(start := tags.get(b"st"), bytes) and _PLAIN.fullmatch(start):
            parts.append(b"st:Z:" + start)
        if isinstance(score := tags.get(b"qs"), int | float):
            parts.append(b"qs:f:%a" % round(score, 6))
        if isinstance(group := tags.get(b"RG"), bytes):
            model = self._models.get(group, group if b"@v" in group else b"")
            if _PLAIN.fullmatch(model):
                parts.append(b"RG:Z:" + model)
        return b"\t".join(parts)


def _sequence(data: bytes, record: BamRecord) -> bytes:
    """The bases of a read, as letters; in the order of the reference, which no number shows."""
    if not record.bases:
        return b""
    packed = np.frombuffer(data, np.uint8, (record.bases + 1) // 2, record.sequence)
    return _PAIRS[packed].tobytes()[: record.bases]


def _read_qualities(data: bytes, record: BamRecord) -> bytes:
    """The qualities of a read as FASTQ has them, in the order in which it was read."""
    qualities = data[record.qualities : record.tags].translate(_QUALITIES)
    return qualities[::-1] if record.flag & REVERSE else qualities


def _fastq(text: bytes, parts: list[tuple[int, int, int]], first: int) -> RecordUnit:
    """A unit of FASTQ records; `parts`: bytes of header, bases and whole record of each."""
    headers, bases, sizes = np.array(parts, np.int64).T
    ends = np.empty((len(parts), 4), np.int64)
    starts = np.empty_like(ends)
    starts[:, 0] = np.cumsum(sizes) - sizes
    ends[:, 0] = starts[:, 0] + headers
    starts[:, 1] = ends[:, 0] + 1
    ends[:, 1] = starts[:, 1] + bases
    starts[:, 2] = ends[:, 1] + 1
    ends[:, 2] = starts[:, 2] + 1
    starts[:, 3] = ends[:, 2] + 1
    ends[:, 3] = starts[:, 3] + bases
    return RecordUnit(memoryview(text), starts, ends, first)
