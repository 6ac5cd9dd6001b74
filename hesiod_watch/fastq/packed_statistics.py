"""Statistics as a few bytes: their form in a checkpoint and in the memory of an ingest.

An output of 20,000 reads has 60,000 different values (lengths, and mean Q to the thousandth). As
dictionaries, those of 192 outputs would fill 800 MB and take seconds to read. As lightly compressed
sorted arrays of the smallest fitting type, they need a few per cent of that. New values are added
without building dictionaries.

Statistics that an earlier version packed have no joint counts. They are read as they are: the joint
counts are then of fewer reads than the others, and `joint_figures` leaves out what needs them.
"""

from __future__ import annotations

import json
import struct
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from hesiod_watch.fastq.statistics import (
    HEADLINE_KINDS,
    KINDS,
    BamCounts,
    JointQuality,
    LengthDistribution,
    ReadStatistics,
)

CountTable = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Sorted distinct values, and the count of each."""

_NO_TABLE = (0, "<u1", "<u1")
_HEAD = struct.Struct("<I")
_SUMS = ("reads", "bases", "acgt", "gc", "bases_q20", "bases_q30")
_COUNTERS = ("lengths", "channels", "yield_reads", "yield_bases")
_TABLES = len(_COUNTERS) + 2 * len(KINDS)  # tables of every version; joint ones follow
_JOINT_TABLES = 1 + 2 * len(HEADLINE_KINDS)


def pack(statistics: ReadStatistics) -> bytes:
    """Encode statistics as bytes; `unpack` returns equal statistics."""
    return _encode(_facts(statistics), [count_table(counter) for counter in _counters(statistics)])


def unpack(packed: bytes) -> ReadStatistics:
    """Decode statistics.

    Raises ValueError, KeyError or TypeError if `packed` was not made by `pack` or `add`.
    """
    facts, tables = _decode(packed)
    counters = [
        Counter(dict(zip(values.tolist(), counts.tolist(), strict=True)))
        for values, counts in tables
    ]
    statistics = ReadStatistics(first_start=facts["first_start"], models=set(facts["models"]))
    for name in _SUMS:
        setattr(statistics, name, facts[name])
    for name, counter in zip(_COUNTERS, counters[: len(_COUNTERS)], strict=True):
        setattr(statistics, name, counter)
    rest = iter(counters[len(_COUNTERS) :])
    for kind, total in zip(KINDS, facts["totals"], strict=True):
        statistics.qualities[kind] = LengthDistribution(next(rest), next(rest), total)
    statistics.period_bases = next(rest)
    for kind in HEADLINE_KINDS:
        statistics.joint[kind] = JointQuality(next(rest), next(rest))
    statistics.bam = _bam_of(facts)
    return statistics


def add(packed: bytes, more: ReadStatistics) -> bytes:
    """Add statistics to packed ones; returns the sum, packed."""
    facts, tables = _decode(packed)
    others = _facts(more)
    both: dict[str, Any] = {name: facts[name] + others[name] for name in _SUMS}
    both["first_start"] = min(
        (f["first_start"] for f in (facts, others) if f["first_start"] is not None), default=None
    )
    both["totals"] = [
        one + other for one, other in zip(facts["totals"], others["totals"], strict=True)
    ]
    models = ReadStatistics(models=set(facts["models"]))
    models.saw_models(more.models)
    both["models"] = sorted(models.models)
    counts = _bam_of(facts)
    counts.merge(more.bam)
    both |= _bam_facts(counts)
    merged = [
        _merge(table, count_table(counter))
        for table, counter in zip(tables, _counters(more), strict=True)
    ]
    return _encode(both, merged)


def _counters(statistics: ReadStatistics) -> list[Counter[int]]:
    found: list[Counter[int]] = [getattr(statistics, name) for name in _COUNTERS]
    for kind in KINDS:
        found += (statistics.qualities[kind].reads, statistics.qualities[kind].bases)
    found.append(statistics.period_bases)
    for kind in HEADLINE_KINDS:
        found += (statistics.joint[kind].by_period, statistics.joint[kind].by_length)
    return found


def _facts(statistics: ReadStatistics) -> dict[str, Any]:
    """The values that are not counted by value."""
    return {
        **{name: getattr(statistics, name) for name in _SUMS},
        "totals": [statistics.qualities[kind].total for kind in KINDS],
        "first_start": statistics.first_start,
        "models": sorted(statistics.models),
        **_bam_facts(statistics.bam),
    }


def _bam_facts(counts: BamCounts) -> dict[str, Any]:
    """The counts of BAM; absent for reads from FASTQ, as in checkpoints of earlier versions."""
    if not counts.records:
        return {}
    return {"bam": asdict(counts) | {"modified_models": sorted(counts.modified_models)}}


def _bam_of(facts: Mapping[str, Any]) -> BamCounts:
    found = facts.get("bam")
    if found is None:
        return BamCounts()
    return BamCounts(**{**found, "modified_models": set(found["modified_models"])})


def count_table(counter: Counter[int]) -> CountTable:
    """Sorted distinct values of a counter, and the count of each."""
    values = np.fromiter(counter.keys(), np.int64, len(counter))
    counts = np.fromiter(counter.values(), np.int64, len(counter))
    order = np.argsort(values)
    return values[order], counts[order]


def _merge(one: CountTable, other: CountTable) -> CountTable:
    if not len(other[0]):
        return one
    values, places = np.unique(np.concatenate((one[0], other[0])), return_inverse=True)
    counts = np.zeros(len(values), np.int64)
    counts[places[: len(one[0])]] = one[1]
    counts[places[len(one[0]) :]] += other[1]
    return values, counts


def _encode(facts: dict[str, Any], tables: Iterable[CountTable]) -> bytes:
    columns: list[bytes] = []
    types: list[tuple[int, str, str]] = []
    for values, counts in tables:
        steps = _smallest(np.diff(values, prepend=0))  # values are dense, so differences are small
        small = _smallest(counts)
        types.append((len(values), steps.dtype.str, small.dtype.str))
        columns += (steps.tobytes(), small.tobytes())
    # Earlier versions read "tables" only, and disregard the columns after these.
    listed = facts | {"tables": types[:_TABLES], "joint": types[_TABLES:]}
    head = json.dumps(listed, sort_keys=True, separators=(",", ":")).encode()
    return _HEAD.pack(len(head)) + head + isal_zlib.compress(b"".join(columns), 1)


def _smallest(numbers: NDArray[np.int64]) -> NDArray[np.integer[Any]]:
    """Convert to the smallest unsigned little-endian type that fits the largest number."""
    largest = int(numbers.max(initial=0))
    size = next(size for size in (1, 2, 4, 8) if largest < 1 << 8 * size)
    return numbers.astype(f"<u{size}")


def _decode(packed: bytes) -> tuple[dict[str, Any], Sequence[CountTable]]:
    (length,) = _HEAD.unpack_from(packed)
    facts: dict[str, Any] = json.loads(packed[_HEAD.size : _HEAD.size + length])
    columns = isal_zlib.decompress(packed[_HEAD.size + length :])
    tables: list[CountTable] = []
    at = 0
    for size, *types in (*facts["tables"], *facts.get("joint", [_NO_TABLE] * _JOINT_TABLES)):
        steps, counts = (
            np.frombuffer(columns, name, size, at + skip) for name, skip in _places(size, types)
        )
        at += size * sum(np.dtype(name).itemsize for name in types)
        tables.append((np.cumsum(steps.astype(np.int64)), counts.astype(np.int64)))
    return facts, tables


def _places(size: int, types: Sequence[str]) -> list[tuple[str, int]]:
    """Type and start of the steps and of the counts of a table."""
    steps, counts = types
    return [(steps, 0), (counts, size * np.dtype(steps).itemsize)]
