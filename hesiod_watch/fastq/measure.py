"""Measure the reads of one source.

The compiled coder's scan of a unit, where there is one, contains all figures; the rest of this text
is about units without. They are measured with numpy: about one millisecond per megabyte.

All lines of a kind are joined into one array per unit. Two qualities are looked up at once, in a
table with the error of every pair of quality characters. The newline after a quality line fills up
lines of odd length, because it can never be part of a line. A character that is not a quality has
the error NaN, which every sum then shows.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hesiod_watch.core.errors import BadSource
from hesiod_watch.fastq.coder import ERROR_UNIT, UNUSUAL, Scan
from hesiod_watch.fastq.headers import (
    CHANNEL,
    MODEL,
    SCORE,
    START,
    HeaderColumns,
    model_name,
    read_headers,
)
from hesiod_watch.fastq.records import RecordUnit
from hesiod_watch.fastq.start_times import StartTimes, microseconds
from hesiod_watch.fastq.statistics import (
    LENGTH_CLASSES,
    LENGTH_EDGES,
    PERIOD_SECONDS,
    QUALITY_CLASSES,
    YIELD_SECONDS,
    ReadStatistics,
)

SKIPPED = 60
"""Bases at the start that dorado omits from the mean Q of longer reads."""

FOLD_READS = 1 << 16
"""Reads whose values are kept one by one before they are counted."""

_PER_Q = 1_000_000  # Q values are integers, in millionths
_ABSENT = -1
_GATHER = 1 << 15  # pairs looked up per call: indices, table and result stay in the cache
_CLASS_STARTS: Final = np.array(LENGTH_EDGES[:-1])  # the last class has no end
_BASES = frozenset(b"ACGTUNRYKMSWBDHVacgtunrykmswbdhv.-*")


def _pair_errors() -> NDArray[np.float64]:
    """Sum of both error probabilities of a pair of qualities.

    The index is the pair as a little-endian 16-bit number. Each value is a multiple of 2^-36. Sums
    below 2^17 in float64 are therefore exact, in any order that numpy chooses.
    """
    error = np.full(256, np.nan)
    error[33:127] = np.rint(10.0 ** (-np.arange(94) / 10) * 2.0**36) / 2.0**36
    second = error.copy()
    second[ord("\n")] = 0.0
    pairs: NDArray[np.float64] = (second[:, np.newaxis] + error[np.newaxis, :]).reshape(-1)
    return pairs


_PAIR_ERRORS: Final = _pair_errors()


class ReadMeasurer:
    """Measures the units of one source and returns their `ReadStatistics`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._start_times = StartTimes()
        self._statistics = ReadStatistics()
        self._models: set[bytes] = set()
        self._pending: list[tuple[NDArray[np.int64], ...]] = []
        self._pending_reads = 0
        self._errors = np.zeros(0, np.float64)

    def add(self, unit: RecordUnit) -> bool:
        """Count the reads of `unit`; whether all their bases are A, C, G or T, as is usual.

        Raises `BadSource` for a character that cannot be a base or a quality.
        """
        lengths = unit.lengths
        if unit.scan is not None:
            plain = unit.scan.plain
            self._add_bases(unit.reads, int(lengths.sum()), unit.scan.gc, unit.scan.acgt)
            self._statistics.bases_q20 += unit.scan.bases_q20
            self._statistics.bases_q30 += unit.scan.bases_q30
            errors = unit.scan.errors.astype(np.float64) * ERROR_UNIT
            whole, skip60 = _mean_qualities(errors[:, 0], errors[:, 1], lengths)
            scores, channels, bins = self._scanned_headers(unit, unit.scan)
        else:
            plain = self._count_bases(unit)
            whole, skip60 = self._sum_qualities(unit, lengths)
            columns = read_headers(_join(unit, 0), unit.reads)
            self._models.update(columns.models or ())
            scores = _scores(columns, unit.reads)
            channels = _channels(columns, unit.reads)
            bins = self._start_times.bins(columns.starts, unit.reads)
        self._pending.append((lengths, whole, skip60, scores, channels, bins))
        self._pending_reads += unit.reads
        if self._pending_reads >= FOLD_READS:
            self._fold()
        return plain

    def result(self) -> ReadStatistics:
        """Statistics of everything added so far. The measurer cannot be used afterwards."""
        self._fold()
        self._statistics.saw_start(self._start_times.first)
        names = (model_name(value.decode("ascii", "replace")) for value in self._models)
        self._statistics.saw_models(name for name in names if name)
        return self._statistics

    def _scanned_headers(self, unit: RecordUnit, scan: Scan) -> tuple[NDArray[np.int64], ...]:
        """Score, channel and yield bin of each read."""
        # Copied, because a column would keep the whole table in memory.
        channels, moments, scores = (
            scan.numbers[:, field].copy() for field in (CHANNEL, START, SCORE)
        )
        for field, numbers, parse in ((START, moments, microseconds), (SCORE, scores, _score)):
            for record in np.flatnonzero(numbers == UNUSUAL).tolist():
                start, end = scan.places[record, field].tolist()
                numbers[record] = parse(bytes(unit.data[start:end]))
        models = scan.places[:, MODEL]
        for start, end in models[models[:, 0] != _ABSENT].tolist():
            self._models.add(bytes(unit.data[start:end]))
        return scores, channels, self._start_times.bins_of(moments)

    def _count_bases(self, unit: RecordUnit) -> bool:
        bases = np.frombuffer(_join(unit, 1), np.uint8)
        total = len(bases) - unit.reads  # without the newlines
        gc = _count(bases, b"G") + _count(bases, b"C")
        acgt = gc + _count(bases, b"A") + _count(bases, b"T")
        plain = acgt == total
        if not plain:
            counts = np.bincount(bases, minlength=256)
            counts[ord("\n")] = 0
            strange = [int(byte) for byte in np.flatnonzero(counts) if int(byte) not in _BASES]
            if strange:
                raise self._bad_symbol(unit, 1, strange[0], "base")
            gc = int(sum(counts[byte] for byte in b"GCgc"))
            acgt = gc + int(sum(counts[byte] for byte in b"ATUatu"))
        self._add_bases(unit.reads, total, gc, acgt)
        return plain

    def _add_bases(self, reads: int, bases: int, gc: int, acgt: int) -> None:
        self._statistics.reads += reads
        self._statistics.bases += bases
        self._statistics.gc += gc
        self._statistics.acgt += acgt

    def _sum_qualities(
        self, unit: RecordUnit, lengths: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Mean Q of each read in millionths, for the whole read and without its first 60 bases."""
        starts = unit.starts[:, 3].tolist()
        stops = (unit.starts[:, 3] + lengths + (lengths & 1)).tolist()
        data = unit.data
        joined = b"".join([data[start:stop] for start, stop in zip(starts, stops, strict=True)])
        symbols = np.frombuffer(joined, np.uint8)
        self._statistics.bases_q20 += int(np.count_nonzero(symbols >= 33 + 20))
        self._statistics.bases_q30 += int(np.count_nonzero(symbols >= 33 + 30))
        sizes = (lengths + 1) >> 1  # in pairs
        firsts = np.cumsum(sizes) - sizes
        bounds = np.empty(2 * unit.reads, np.int64)
        bounds[0::2] = firsts
        bounds[1::2] = firsts + np.minimum(sizes, SKIPPED // 2)
        errors = self._look_up(np.frombuffer(joined, "<u2"))
        sums = np.add.reduceat(errors, bounds)
        # reduceat returns one element, not zero, for an empty range.
        front = np.where(lengths > 0, sums[0::2], 0.0)
        rest = np.where(lengths > SKIPPED, sums[1::2], 0.0)
        if np.isnan(front).any() or np.isnan(rest).any():
            strange = next(
                byte for byte in sorted(set(joined)) if byte != ord("\n") and not 33 <= byte <= 126
            )
            raise self._bad_symbol(unit, 3, strange, "quality")
        return _mean_qualities(front, rest, lengths)

    def _look_up(self, pairs: NDArray[np.uint16]) -> NDArray[np.float64]:
        """The error of each pair, then a zero, so that an empty range at the end has an index."""
        if len(self._errors) <= len(pairs) or len(self._errors) > 8 * len(pairs) + (1 << 20):
            self._errors = np.zeros(len(pairs) + 1 + len(pairs) // 4, np.float64)
        errors = self._errors[: len(pairs) + 1]
        for start in range(0, len(pairs), _GATHER):
            stop = min(start + _GATHER, len(pairs))
            _PAIR_ERRORS.take(pairs[start:stop], out=errors[start:stop], mode="clip")
        errors[-1] = 0.0
        return errors

    def _bad_symbol(self, unit: RecordUnit, line: int, byte: int, what: str) -> BadSource:
        symbol = bytes([byte])
        record = next(
            number
            for number, (start, end) in enumerate(
                zip(unit.starts[:, line], unit.ends[:, line], strict=True)
            )
            if symbol in bytes(unit.data[start:end])
        )
        number = unit.first + record
        return BadSource(
            self._path,
            f"not FASTQ: byte 0x{byte:02x} is not a {what}",
            where=f"record {number + 1}, line {4 * number + line + 1}",
        )

    def _fold(self) -> None:
        """Count the pending reads."""
        if not self._pending:
            return
        lengths, whole, skip60, scores, channels, bins = map(
            np.concatenate, zip(*self._pending, strict=True)
        )
        self._pending.clear()
        self._pending_reads = 0
        statistics = self._statistics
        _add(statistics.lengths, lengths)
        _add(statistics.channels, channels[channels != _ABSENT])
        timed = bins != _ABSENT
        _add(statistics.yield_reads, bins[timed])
        _add(statistics.yield_bases, bins[timed], lengths[timed])
        classes = np.searchsorted(_CLASS_STARTS, lengths, "right") - 1
        periods = bins // (PERIOD_SECONDS // YIELD_SECONDS)
        both = periods * LENGTH_CLASSES + classes
        _add(statistics.period_bases, both[timed], lengths[timed])
        tagged = scores != _ABSENT
        for kind, values, chosen in (
            ("tagged.whole", whole, tagged),
            ("tagged.skip60", skip60, tagged),
            ("tagged.qs", scores, tagged),
            ("bare.whole", whole, ~tagged),
            ("bare.skip60", skip60, ~tagged),
        ):
            values = values[chosen]
            distribution = statistics.qualities[kind]
            _add(distribution.reads, values // (_PER_Q // 1000))
            _add(distribution.bases, values // (_PER_Q // 2), lengths[chosen])
            distribution.total += int(values.sum())
            if (joint := statistics.joint.get(kind)) and len(values):
                _add(joint.by_length, classes[chosen] * QUALITY_CLASSES + values // _PER_Q)
                known = timed[chosen]
                _add(joint.by_period, periods[chosen][known], values[known])


def _join(unit: RecordUnit, line: int) -> bytes:
    """All lines number `line` (0 to 3) of the unit's records, each with its newline."""
    data = unit.data
    starts, ends = unit.starts[:, line].tolist(), unit.ends[:, line].tolist()
    return b"".join([data[start : end + 1] for start, end in zip(starts, ends, strict=True)])


def _count(symbols: NDArray[np.uint8], symbol: bytes) -> int:
    return int(np.count_nonzero(symbols == ord(symbol)))


def _mean_qualities(
    front: NDArray[np.float64], rest: NDArray[np.float64], lengths: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """As `_sum_qualities`, from the summed errors of the first 60 bases and of the rest."""
    whole = _phred(front + rest, lengths)
    return whole, np.where(lengths > SKIPPED, _phred(rest, lengths - SKIPPED), whole)


def _phred(errors: NDArray[np.float64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Mean Q of reads in millionths, from their summed errors; 0 for empty reads as in dorado."""
    with np.errstate(divide="ignore", invalid="ignore"):
        quality = -10 * np.log10(errors / lengths)
    quality[lengths <= 0] = 0.0
    millionths: NDArray[np.int64] = np.rint(quality * _PER_Q).astype(np.int64)
    return millionths


def _scores(columns: HeaderColumns, count: int) -> NDArray[np.int64]:
    """The basecaller's Q of each read in millionths; -1 if the header has no valid one."""
    if columns.scores is None:
        return np.full(count, _ABSENT)
    return np.array([_score(text) for text in columns.scores], np.int64)


def _score(text: bytes) -> int:
    try:
        score = float(text)
    except ValueError:
        return _ABSENT
    return round(score * _PER_Q) if 0 <= score <= 100 else _ABSENT


def _channels(columns: HeaderColumns, count: int) -> NDArray[np.int64]:
    """The channel of each read; -1 if the header has no valid one."""
    if columns.channels is None:
        return np.full(count, _ABSENT)
    return np.array(
        [int(text) if text.isdigit() and len(text) < 7 else _ABSENT for text in columns.channels],
        np.int64,
    )


def _add(
    counts: Counter[int], values: NDArray[np.int64], weights: NDArray[np.int64] | None = None
) -> None:
    """Add 1, or its weight, for each of `values`."""
    if weights is None:
        distinct, amounts = np.unique(values, return_counts=True)
    else:
        distinct, inverse = np.unique(values, return_inverse=True)
        # bincount adds weights as float64, which is exact far beyond the bases of one fold.
        amounts = np.bincount(inverse, weights, len(distinct)).astype(np.int64)
    counts.update(dict(zip(distinct.tolist(), amounts.tolist(), strict=True)))
